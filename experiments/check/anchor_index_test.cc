#include "experiments/check/anchor_index.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/anchors/anchor_generator.h"
#include "ssd/core/boxes.h"
#include "ssd/core/logging.h"
#include "ssd/core/random.h"
#include "ssd/core/text_proto.h"
#include "ssd/core/types.h"

namespace ssd {
namespace {

std::vector<FeatureSpec> Maps(const std::vector<std::pair<int64_t, int64_t>>& sizes,
                              ImageSize input) {
  std::vector<FeatureSpec> specs;
  for (const auto& [height, width] : sizes) {
    FeatureSpec spec;
    spec.height = height;
    spec.width = width;
    spec.stride_y = static_cast<double>(input.height) / static_cast<double>(height);
    spec.stride_x = static_cast<double>(input.width) / static_cast<double>(width);
    spec.first_center_y = spec.stride_y / 2;
    spec.first_center_x = spec.stride_x / 2;
    specs.push_back(spec);
  }
  return specs;
}

Anchors OneAnchor(float cx, float cy, float width, float height) {
  return {at::tensor({cx, cy, width, height}).view({1, 4}), {1}};
}

TEST(AnchorIndexTest, FindsTheOnlyAnchor) {
  const AnchorIndex index(OneAnchor(0.5f, 0.5f, 0.4f, 0.2f), Maps({{1, 1}}, {100, 100}),
                          std::vector<int64_t>{1});
  float level = -1;
  EXPECT_NEAR(index.Find({0.3f, 0.4f, 0.7f, 0.6f}, &level).iou, 1, 1e-6);
  EXPECT_NEAR(level, 1, 1e-6);
  // The left half of it.
  const AnchorIndex::Best half = index.Find({0.3f, 0.4f, 0.5f, 0.6f}, &level);
  EXPECT_NEAR(half.iou, 0.5, 1e-6);
  EXPECT_EQ(half.anchor, 0);
  // Shifted by half its width: a third.
  EXPECT_NEAR(index.Find({0.5f, 0.4f, 0.9f, 0.6f}, &level).iou, 1.0 / 3, 1e-6);
  // Nothing in common, and nothing at all.
  EXPECT_EQ(index.Find({0.0f, 0.0f, 0.2f, 0.2f}, &level).anchor, -1);
  EXPECT_EQ(level, 0);
  EXPECT_EQ(index.Find({0.5f, 0.5f, 0.5f, 0.6f}, &level).anchor, -1);
  ASSERT_EQ(index.shapes().size(), 1u);
  EXPECT_NEAR(index.shapes()[0].width, 0.4, 1e-6);
  EXPECT_NEAR(index.shapes()[0].height, 0.2, 1e-6);
}

Corners RandomTruth(Random& random) {
  const double width = std::pow(random.Uniform(0.05, 1), 2);
  const double height = std::pow(random.Uniform(0.05, 1), 2);
  const double x = random.Uniform(0, 1 - width), y = random.Uniform(0, 1 - height);
  return {static_cast<float>(x), static_cast<float>(y), static_cast<float>(x + width),
          static_cast<float>(y + height)};
}

// Compares with every anchor.
void ExpectBest(const Anchors& anchors, const std::vector<FeatureSpec>& levels,
                const std::vector<int64_t>& per_cell, const std::string& what) {
  const AnchorIndex index(anchors, levels, per_cell);
  const Tensor corners = CornersFromCenters(anchors.boxes);
  std::vector<float> level_iou(levels.size());
  Random random(1, 2, 3);
  for (int i = 0; i < 300; ++i) {
    const Corners truth = RandomTruth(random);
    const AnchorIndex::Best best = index.Find(truth, level_iou.data());
    const Tensor all =
        PairwiseIou(at::tensor({truth.x0, truth.y0, truth.x1, truth.y1}).view({1, 4}), corners)[0]
            .contiguous();
    const float* const iou = all.const_data_ptr<float>();
    ASSERT_NEAR(best.iou, all.max().item<float>(), 1e-6) << what << ", truth " << i;
    ASSERT_GE(best.anchor, 0) << what;
    ASSERT_NEAR(iou[best.anchor], best.iou, 1e-6) << what;
    int64_t begin = 0;
    for (size_t k = 0; k < levels.size(); ++k) {
      const float highest = *std::max_element(iou + begin, iou + begin + anchors.per_level[k]);
      if (highest >= AnchorIndex::kLeastExact) {
        ASSERT_NEAR(level_iou[k], highest, 1e-6) << what << ", level " << k;
      } else {
        ASSERT_LE(level_iou[k], highest + 1e-6) << what << ", level " << k;
      }
      begin += anchors.per_level[k];
    }
  }
}

TEST(AnchorIndexTest, FindsTheBestOfAnyGenerator) {
  const ImageSize input{240, 320};
  const std::vector<FeatureSpec> levels = Maps({{15, 20}, {8, 10}, {3, 3}, {1, 1}}, input);
  std::vector<std::string> configs = {
      "fixed_size { level { min_size: 20 max_size: 35 aspect_ratio: 2 step: 17 } "
      "level { min_size: 50 aspect_ratio: [2, 3] } level { min_size: [100, 140] } "
      "level { min_size: 220 } }",
      "grid { level { boxes { scale: 20 ratio { width: 1.3 height: 0.6 } } } "
      "level { boxes { scale: [50, 60] } } level { boxes { scale: 120 } } "
      "level { boxes { scale: 200 } } }"};
  for (const char* clip : {"NONE", "CORNERS", "SIZE", "CENTER_SIZE"}) {
    configs.push_back(absl::StrCat("ssd { clip: ", clip, " }"));
  }
  for (const std::string& text : configs) {
    AnchorGeneratorConfig config;
    ASSERT_TRUE(ParseTextProto(text, "test", config).ok()) << text;
    const auto generator = AnchorGeneratorRegistry::Get().Create(
        config, AnchorGeneratorContext{static_cast<int64_t>(levels.size())});
    ASSERT_TRUE(generator.ok()) << generator.status();
    const absl::StatusOr<Anchors> anchors = (*generator)->Generate(levels, input);
    ASSERT_TRUE(anchors.ok()) << anchors.status();
    ExpectBest(*anchors, levels, (*generator)->AnchorsPerCell(), text);
  }
}

TEST(AnchorIndexTest, NeedsNoGrid) {
  at::manual_seed(1);
  Anchors anchors;
  anchors.boxes = at::cat({at::rand({4 * 5 * 2 + 3, 2}), at::rand({4 * 5 * 2 + 3, 2}) + 0.1}, 1);
  anchors.per_level = {40, 3};
  ExpectBest(anchors, Maps({{4, 5}, {1, 1}}, {100, 100}), {2, 3}, "random boxes");
}

TEST(AnchorIndexTest, KnowsTheShapeOfEachAnchor) {
  Anchors anchors;
  anchors.boxes = at::rand({2 * 3 * 2 + 1 * 1 * 3, 4}) + 0.1;
  anchors.per_level = {12, 3};
  const AnchorIndex index(anchors, Maps({{2, 3}, {1, 1}}, {100, 100}), std::vector<int64_t>{2, 3});
  ASSERT_EQ(index.shapes().size(), 5u);
  EXPECT_EQ(index.shapes()[1].level, 0);
  EXPECT_EQ(index.shapes()[2].level, 1);
  for (int64_t anchor = 0; anchor < 12; ++anchor) EXPECT_EQ(index.ShapeOf(anchor), anchor % 2);
  for (int64_t anchor = 12; anchor < 15; ++anchor) EXPECT_EQ(index.ShapeOf(anchor), anchor - 10);
}

}  // namespace
}  // namespace ssd
