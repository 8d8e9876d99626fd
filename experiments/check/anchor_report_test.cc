#include "experiments/check/anchor_report.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "data/check/memory_dataset.h"
#include "data/check/network_view.h"
#include "data/data_problem.h"
#include "experiments/check/anchor_index.h"
#include "experiments/check/anchor_suggestion.h"
#include "experiments/check/truth_matching.h"
#include "ssd/anchors/anchor_generator.h"
#include "ssd/core/annotations.h"
#include "ssd/core/boxes.h"
#include "ssd/core/geometry.h"
#include "ssd/core/logging.h"
#include "ssd/core/random.h"
#include "ssd/core/text_proto.h"
#include "ssd/core/types.h"
#include "ssd/matchers/matcher.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr ImageSize kInput{128, 128};

Annotation Object(int64_t label, const PixelBox& box) {
  Annotation object;
  object.label = label;
  object.box = box;
  object.area = box.area();
  object.line = 7;
  return object;
}

Annotations Image(std::vector<Annotation> objects, ImageSize size = kInput) {
  Annotations truth;
  truth.file_name = "a.png";
  truth.size = size;
  truth.objects = std::move(objects);
  return truth;
}

std::vector<FeatureSpec> Maps(const std::vector<int64_t>& sides) {
  std::vector<FeatureSpec> specs;
  for (const int64_t side : sides) {
    FeatureSpec spec;
    spec.height = spec.width = side;
    spec.stride_y = spec.stride_x = 128.0 / static_cast<double>(side);
    spec.first_center_y = spec.first_center_x = spec.stride_x / 2;
    specs.push_back(spec);
  }
  return specs;
}

// Anchors on square maps, and the paper's matcher.
struct Parts {
  std::vector<FeatureSpec> levels;
  std::vector<int64_t> per_cell;
  Anchors anchors;
  std::unique_ptr<AnchorIndex> index;
  std::unique_ptr<Matcher> matcher;

  MatchedTruths Match(const Dataset& dataset) const {
    const auto matched = MatchTruths(dataset, WarpedTo(kInput), anchors, *index, *matcher);
    CHECK(matched.ok()) << matched.status().message();
    return *matched;
  }

  AnchorReport Report(const Dataset& dataset) const {
    const auto report = ReportAnchors(dataset, Match(dataset), *index, levels, per_cell, kInput);
    CHECK(report.ok()) << report.status().message();
    return *report;
  }
};

Parts MakeParts(std::vector<FeatureSpec> levels, std::vector<int64_t> per_cell, Anchors anchors) {
  Parts parts;
  parts.levels = std::move(levels);
  parts.per_cell = std::move(per_cell);
  parts.anchors = std::move(anchors);
  parts.index = std::make_unique<AnchorIndex>(parts.anchors, parts.levels, parts.per_cell);
  MatcherConfig config;
  config.mutable_ssd();
  auto matcher = MatcherRegistry::Get().Create(config, {});
  CHECK(matcher.ok()) << matcher.status().message();
  parts.matcher = *std::move(matcher);
  return parts;
}

// One anchor of 64 x 32 pixels, (32, 48, 96, 80), in the middle of 128 x 128.
Parts OneAnchor() {
  return MakeParts(Maps({1}), {1}, {at::tensor({0.5f, 0.5f, 0.5f, 0.25f}).view({1, 4}), {1}});
}

Parts Generated(const std::string& text, const std::vector<int64_t>& sides) {
  AnchorGeneratorConfig config;
  CHECK(ParseTextProto(text, "test", config).ok()) << text;
  const auto generator = AnchorGeneratorRegistry::Get().Create(
      config, AnchorGeneratorContext{static_cast<int64_t>(sides.size())});
  CHECK(generator.ok()) << generator.status().message();
  auto anchors = (*generator)->Generate(Maps(sides), kInput);
  CHECK(anchors.ok()) << anchors.status().message();
  return MakeParts(Maps(sides), (*generator)->AnchorsPerCell(), *std::move(anchors));
}

TEST(AnchorReportTest, IsExactForOneAnchorAndOneTruth) {
  MemoryDataset dataset({"cat", "dog"});
  dataset.Add(Image({Object(1, {32, 48, 64, 80})}));  // the anchor's left half
  const AnchorReport report = OneAnchor().Report(dataset);
  EXPECT_EQ(report.anchors, 1);
  EXPECT_EQ(report.all.truths, 1);
  EXPECT_NEAR(report.all.mean_iou(), 0.5, 1e-6);
  EXPECT_NEAR(report.all.mean_matched_iou(), 0.5, 1e-6);
  EXPECT_EQ(report.all.positives, 1);
  EXPECT_EQ(report.all.without_anchor, 0);
  EXPECT_THAT(report.all.reached, ElementsAre(1, 1, 1, 0, 0, 0, 0));
  EXPECT_EQ(report.sizes[1].truths, 1);  // 1024 pixels are medium
  EXPECT_EQ(report.classes[0].truths, 1);
  EXPECT_EQ(report.classes[1].truths, 0);
  EXPECT_THAT(report.levels[0].reached, ElementsAre(1, 1, 1, 0, 0, 0, 0));
  EXPECT_EQ(report.levels[0].best_truths, 1);
  ASSERT_EQ(report.shapes.size(), 1u);
  EXPECT_EQ(report.shapes[0].width, 64);
  EXPECT_EQ(report.shapes[0].height, 32);
  EXPECT_THAT(report.truths_by_positives, ElementsAre(0, 1));
  EXPECT_EQ(report.MedianPositives(), 1);
  EXPECT_TRUE(report.below_half.empty());
}

TEST(AnchorReportTest, TellsBeforeFromAfterMatching) {
  // Both want the only anchor; the one that fits has it.
  MemoryDataset dataset({"cat"});
  dataset.Add(Image({Object(1, {32, 48, 64, 80}), Object(1, {32, 48, 96, 80})}), "truth.json");
  const AnchorReport report = OneAnchor().Report(dataset);
  EXPECT_EQ(report.all.truths, 2);
  EXPECT_NEAR(report.all.mean_iou(), 0.75, 1e-6);
  EXPECT_NEAR(report.all.mean_matched_iou(), 0.5, 1e-6);
  EXPECT_EQ(report.all.without_anchor, 1);
  EXPECT_DOUBLE_EQ(report.all.recall(kHalf), 1);
  EXPECT_DOUBLE_EQ(report.all.matched_recall(kHalf), 0.5);
  EXPECT_THAT(report.truths_by_positives, ElementsAre(1, 1));
}

TEST(AnchorReportTest, ForcesAnAnchorUponATruthThatNoneReaches) {
  MemoryDataset dataset({"cat"});
  dataset.Add(Image({Object(1, {40, 52, 44, 56})}), "truth.json");  // of 2048 pixels
  const AnchorReport report = OneAnchor().Report(dataset);
  EXPECT_EQ(report.all.positives, 1);
  EXPECT_EQ(report.all.without_anchor, 0);
  EXPECT_NEAR(report.all.mean_matched_iou(), 16.0 / 2048, 1e-6);
  EXPECT_THAT(report.all.reached, ElementsAre(0, 0, 0, 0, 0, 0, 0));
  ASSERT_EQ(report.below_half.size(), 1u);
  EXPECT_NEAR(report.below_half[0].iou, 16.0 / 2048, 1e-6);
  EXPECT_NEAR(report.below_half[0].matched_iou, 16.0 / 2048, 1e-6);
  EXPECT_EQ(report.below_half[0].place.file, "truth.json");
  EXPECT_EQ(report.below_half[0].place.line, 7);
  EXPECT_EQ(PlaceText(report.below_half[0].place),
            "'cat' in a.png (4.0x4.0 px of the view; truth.json:7)");
}

TEST(AnchorReportTest, ListsEveryTruthBelowHalfTheLowestFirst) {
  // Strips of the anchor, 32 pixels high: of 64 columns 1 to 31, 32 and 33. Each wants the only
  // anchor; the widest has it.
  MemoryDataset dataset({"cat"});
  std::vector<Annotation> strips;
  for (int columns = 33; columns > 0; --columns) {
    strips.push_back(Object(1, {32, 48, 32.0 + columns, 80}));
  }
  dataset.Add(Image(strips));
  dataset.Add(Image({Object(1, {32, 48, 40, 80})}));
  const AnchorReport report = OneAnchor().Report(dataset);
  ASSERT_EQ(report.below_half.size(), 32u);
  EXPECT_NEAR(report.below_half[0].iou, 1.0 / 64, 1e-6);
  EXPECT_EQ(report.below_half[0].matched_iou, 0);
  // Of equal ones the first image's comes first; in the other the anchor is forced upon it.
  EXPECT_NEAR(report.below_half[7].iou, 8.0 / 64, 1e-6);
  EXPECT_EQ(report.below_half[7].matched_iou, 0);
  EXPECT_NEAR(report.below_half[8].iou, 8.0 / 64, 1e-6);
  EXPECT_NEAR(report.below_half[8].matched_iou, 8.0 / 64, 1e-6);
  EXPECT_NEAR(report.below_half[31].iou, 31.0 / 64, 1e-6);
}

TEST(AnchorReportTest, LeavesOutWhatIsNotLearnt) {
  MemoryDataset dataset({"cat"});
  Annotation difficult = Object(1, {32, 48, 96, 80}), crowd = Object(1, {32, 48, 96, 80});
  difficult.difficult = true;
  crowd.crowd = true;
  dataset.Add(Image({difficult, crowd}));
  dataset.Add(Image({}));
  const AnchorReport report = OneAnchor().Report(dataset);
  EXPECT_EQ(report.all.truths, 0);
  EXPECT_EQ(report.left_out, 1);
  EXPECT_EQ(report.all.recall(kHalf), 0);
  EXPECT_EQ(report.MedianPositives(), 0);
}

TEST(AnchorReportTest, SizesAreThoseOfTheOriginal) {
  // 256 x 128 pixels of 512 x 512: large there, the anchor's size in the view.
  MemoryDataset dataset({"cat"});
  dataset.Add(Image({Object(1, {128, 192, 384, 320})}, {512, 512}));
  const AnchorReport report = OneAnchor().Report(dataset);
  EXPECT_EQ(report.sizes[2].truths, 1);
  EXPECT_NEAR(report.all.mean_iou(), 1, 1e-6);
}

MemoryDataset RandomDataset(int images, int most_objects) {
  MemoryDataset dataset({"cat", "dog", "bird"});
  Random random(5, 6, 7);
  for (int i = 0; i < images; ++i) {
    std::vector<Annotation> objects;
    const int64_t count = random.Integer(0, most_objects);
    for (int64_t k = 0; k < count; ++k) {
      const double width = random.Uniform(2, 60), height = random.Uniform(2, 60);
      const double x = random.Uniform(0, 128 - width), y = random.Uniform(0, 128 - height);
      objects.push_back(Object(random.Integer(1, 3), {x, y, x + width, y + height}));
      objects.back().difficult = random.Bernoulli(0.1);
      objects.back().crowd = random.Bernoulli(0.1);
    }
    dataset.Add(Image(std::move(objects)));
  }
  return dataset;
}

TEST(AnchorReportTest, AddsUp) {
  // More images than a batch has, and one with many truths.
  MemoryDataset dataset = RandomDataset(150, 8);
  const Parts parts = Generated("ssd { min_scale: 0.1 max_scale: 0.6 }", {12, 6, 3, 1});
  const AnchorReport report = parts.Report(dataset);
  ASSERT_GT(report.all.truths, 300);
  for (int i = 0; i + 1 < kRecallIous; ++i) {
    EXPECT_GE(report.all.reached[i], report.all.reached[i + 1]);
    EXPECT_GE(report.all.matched[i], report.all.matched[i + 1]);
    EXPECT_GE(report.all.reached[i], report.all.matched[i]);
    for (const AnchorLevelUse& level : report.levels) {
      EXPECT_GE(level.reached[i], level.reached[i + 1]);
      EXPECT_LE(level.reached[i], report.all.reached[i]);
    }
  }
  EXPECT_GE(report.all.mean_iou(), report.all.mean_matched_iou());
  const auto sum = [](const auto& groups, auto of) {
    int64_t total = 0;
    for (const auto& group : groups) total += of(group);
    return total;
  };
  const auto truths = [](const auto& group) { return group.truths; };
  const auto positives = [](const auto& group) { return group.positives; };
  const auto best = [](const auto& group) { return group.best_truths; };
  const auto number = [](int64_t count) { return count; };
  EXPECT_EQ(sum(report.sizes, truths), report.all.truths);
  EXPECT_EQ(sum(report.classes, truths), report.all.truths);
  EXPECT_EQ(sum(report.levels, positives), report.all.positives);
  EXPECT_EQ(sum(report.shapes, positives), report.all.positives);
  EXPECT_EQ(sum(report.shapes, best), report.all.truths);
  EXPECT_EQ(sum(report.best_ious, number), report.all.truths);
  EXPECT_EQ(sum(report.truths_by_positives, number), report.all.truths);
  EXPECT_EQ(report.truths_by_positives[0], report.all.without_anchor);
  // The paper's matcher gives every truth an anchor that overlaps it.
  EXPECT_EQ(report.all.without_anchor, 0);
}

TEST(MatchTruthsTest, MatchesAsOneBatchDoes) {
  MemoryDataset dataset = RandomDataset(100, 6);
  const Parts parts = Generated("ssd { min_scale: 0.1 max_scale: 0.6 }", {12, 6, 3});
  const MatchedTruths matched = parts.Match(dataset);
  ASSERT_EQ(matched.image_begin.size(), 101u);
  for (int64_t image = 0; image < dataset.size(); ++image) {
    const int64_t begin = matched.image_begin[image], end = matched.image_begin[image + 1];
    if (begin == end) continue;
    Truth truth;
    truth.boxes = at::zeros({1, end - begin, 4}, at::kFloat);
    truth.labels = at::ones({1, end - begin}, at::kLong);
    truth.ignore = at::zeros({1, end - begin}, at::kBool);
    for (int64_t t = begin; t < end; ++t) {
      const Corners& box = matched.truths[t].box;
      truth.boxes[0][t - begin].copy_(at::tensor({box.x0, box.y0, box.x1, box.y1}));
      truth.ignore[0][t - begin].fill_(matched.truths[t].difficult);
    }
    const Tensor expected = parts.matcher->Match(truth, parts.anchors)[0];
    Tensor actual = at::full_like(expected, Matcher::kUnmatched);
    for (int64_t t = begin; t < end; ++t) {
      for (const int32_t anchor : matched.PositivesOf(matched.truths[t])) {
        EXPECT_EQ(actual[anchor].item<int64_t>(), Matcher::kUnmatched);
        actual[anchor].fill_(t - begin);
      }
    }
    EXPECT_TRUE(at::equal(actual, expected)) << "image " << image;
  }
}

TEST(SuggestAnchorsTest, OneClusterIsTheMeanOfTheTruths) {
  MemoryDataset dataset({"cat"});
  for (int i = 0; i < 10; ++i) {
    dataset.Add(Image({Object(1, {1.0 * i, 2.0 * i, 1.0 * i + 40, 2.0 * i + 20})}));
  }
  const Parts parts = Generated("fixed_size { level { min_size: 30 } }", {32});
  const auto suggestion =
      SuggestAnchors(parts.Match(dataset), parts.levels, parts.per_cell, kInput);
  ASSERT_TRUE(suggestion.ok()) << suggestion.status();
  // sqrt(40 20) = 28.28, sqrt(40 / 20) = 1.41.
  EXPECT_EQ(suggestion->config,
            "anchor_generator {\n"
            "  grid {\n"
            "    centers: EVEN\n"
            "    level {  # 32x32 cells\n"
            "      boxes { scale: 28.28 ratio { width: 1.41 height: 0.707 } }\n"
            "    }\n"
            "  }\n"
            "}\n");
  EXPECT_EQ(suggestion->anchors, 1024);
  const AnchorReport present = parts.Report(dataset);
  EXPECT_GT(suggestion->all.mean_iou(), present.all.mean_iou());
  // Centres differ by 2 pixels at most: (38 18) / (1600 - 38 18) is 0.747 before rounding.
  EXPECT_GT(suggestion->all.mean_iou(), 0.74);
  EXPECT_EQ(suggestion->all.truths, 10);
  EXPECT_EQ(suggestion->all.recall(kHalf), 1);
  EXPECT_EQ(suggestion->sizes[0].truths, 10);  // 800 pixels
  EXPECT_EQ(suggestion->sizes[0].reached, suggestion->all.reached);
  EXPECT_EQ(suggestion->sizes[2].truths, 0);
}

TEST(SuggestAnchorsTest, WritesNoBoxTwice) {
  MemoryDataset dataset({"cat"});
  for (int i = 0; i < 10; ++i) {
    dataset.Add(Image({Object(1, {1.0 * i, 2.0 * i, 1.0 * i + 40, 2.0 * i + 20})}));
  }
  // Five boxes a cell, for truths of one size.
  const Parts parts = Generated(
      "fixed_size { level { min_size: [20, 30, 40] } level { min_size: [60, 70] } }", {16, 8});
  const auto suggestion =
      SuggestAnchors(parts.Match(dataset), parts.levels, parts.per_cell, kInput);
  ASSERT_TRUE(suggestion.ok()) << suggestion.status();
  const std::string box = "      boxes { scale: 28.28 ratio { width: 1.41 height: 0.707 } }\n";
  EXPECT_EQ(suggestion->config, absl::StrCat("anchor_generator {\n"
                                             "  grid {\n"
                                             "    centers: EVEN\n"
                                             "    level {  # 16x16 cells\n",
                                             box,
                                             "    }\n"
                                             "    level {  # 8x8 cells\n",
                                             box,
                                             "    }\n"
                                             "  }\n"
                                             "}\n"));
  EXPECT_EQ(suggestion->anchors, 16 * 16 + 8 * 8);
}

// A box a cell, every 4 pixels: of 99 small truths and a large one, the mean serves the small ones.
TEST(SuggestAnchorsTest, MayLoseAGroup) {
  MemoryDataset dataset({"cat"});
  for (int i = 0; i < 99; ++i) dataset.Add(Image({Object(1, {54, 54, 74, 74})}));
  dataset.Add(Image({Object(1, {14, 14, 114, 114})}));
  const Parts parts = Generated("fixed_size { level { min_size: 100 } }", {32});
  const AnchorReport present = parts.Report(dataset);
  EXPECT_EQ(present.sizes[0].reached[kHalf], 0);  // 400 of 10000 pixels
  EXPECT_EQ(present.sizes[2].reached[kHalf], 1);
  const auto suggestion =
      SuggestAnchors(parts.Match(dataset), parts.levels, parts.per_cell, kInput);
  ASSERT_TRUE(suggestion.ok()) << suggestion.status();
  EXPECT_THAT(suggestion->config, HasSubstr("boxes { scale: 20.8 ratio { width: 1 height: 1 } }"));
  EXPECT_EQ(suggestion->sizes[0].reached[kHalf], 99);
  EXPECT_EQ(suggestion->sizes[2].reached[kHalf], 0);
  EXPECT_EQ(suggestion->all.reached[kHalf], 99);
}

TEST(FindAnchorProblemsTest, WarnsBelow95Percent) {
  MemoryDataset dataset({"cat"});
  dataset.Add(Image({Object(1, {32, 48, 96, 80})}), "truth.json");
  AnchorReport report;
  EXPECT_TRUE(FindAnchorProblems(dataset, report).empty());
  report.all.truths = 100;
  report.all.reached[kHalf] = 95;
  EXPECT_TRUE(FindAnchorProblems(dataset, report).empty());
  report.all.reached[kHalf] = 94;
  const std::vector<DataProblem> problems = FindAnchorProblems(dataset, report);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].severity, Severity::kWarning);
  EXPECT_EQ(problems[0].kind, ProblemKind::kLowAnchorRecall);
  EXPECT_EQ(problems[0].file, "truth.json");
  EXPECT_THAT(problems[0].message,
              HasSubstr("only 94 of 100 truths have an anchor at an IoU of 0.5 or more, less than "
                        "95 %: "));
}

TEST(SuggestAnchorsTest, SeparatesShapes) {
  MemoryDataset dataset({"cat"});
  for (int i = 0; i < 40; ++i) {
    const double x = i, y = 39 - i;
    dataset.Add(Image({Object(1, {x, y, x + 40, y + 10}), Object(1, {x, y, x + 10, y + 40})}));
  }
  const Parts parts = Generated("fixed_size { level { min_size: [20, 30] } }", {32});
  const auto suggestion =
      SuggestAnchors(parts.Match(dataset), parts.levels, parts.per_cell, kInput);
  ASSERT_TRUE(suggestion.ok()) << suggestion.status();
  EXPECT_THAT(suggestion->config, HasSubstr("scale: 20 ratio { width: 2 height: 0.5 }"));
  EXPECT_THAT(suggestion->config, HasSubstr("scale: 20 ratio { width: 0.5 height: 2 }"));
}

TEST(SuggestAnchorsTest, IsAFunctionOfItsInputAndNoWorseThanBadAnchors) {
  MemoryDataset dataset = RandomDataset(200, 6);
  const Parts parts = Generated("ssd { min_scale: 0.7 max_scale: 0.9 }", {12, 6, 3, 1});
  const MatchedTruths matched = parts.Match(dataset);
  const auto first = SuggestAnchors(matched, parts.levels, parts.per_cell, kInput);
  const auto second = SuggestAnchors(matched, parts.levels, parts.per_cell, kInput);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->config, second->config);
  EXPECT_EQ(first->all.iou_sum, second->all.iou_sum);
  EXPECT_EQ(first->anchors, parts.index->num_anchors());
  EXPECT_GT(first->all.mean_iou(), parts.Report(dataset).all.mean_iou());
}

TEST(SuggestAnchorsTest, NeedsATruth) {
  MemoryDataset dataset({"cat"});
  dataset.Add(Image({}));
  const Parts parts = OneAnchor();
  EXPECT_EQ(
      SuggestAnchors(parts.Match(dataset), parts.levels, parts.per_cell, kInput).status().code(),
      absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ssd
