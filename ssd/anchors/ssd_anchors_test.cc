#include "ssd/anchors/ssd_anchors.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ssd/core/boxes.h"
#include "ssd/core/text_proto.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<AnchorGenerator>> Create(const std::string& options,
                                                        int64_t num_levels) {
  AnchorGeneratorConfig config;
  const absl::Status status = ParseTextProto("ssd {" + options + "}", "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return AnchorGeneratorRegistry::Get().Create(config, {num_levels});
}

std::vector<FeatureSpec> Maps(const std::vector<std::pair<int64_t, int64_t>>& sizes) {
  std::vector<FeatureSpec> specs;
  for (const auto& [height, width] : sizes) {
    FeatureSpec spec;
    spec.height = height;
    spec.width = width;
    specs.push_back(spec);
  }
  return specs;
}

std::vector<FeatureSpec> SquareMaps(const std::vector<int64_t>& sizes) {
  std::vector<std::pair<int64_t, int64_t>> pairs;
  for (const int64_t size : sizes) pairs.emplace_back(size, size);
  return Maps(pairs);
}

Anchors Generate(const std::string& options, const std::vector<FeatureSpec>& levels,
                 ImageSize input) {
  auto generator = Create(options, static_cast<int64_t>(levels.size()));
  EXPECT_TRUE(generator.ok()) << generator.status();
  absl::StatusOr<Anchors> anchors = (*generator)->Generate(levels, input);
  EXPECT_TRUE(anchors.ok()) << anchors.status();
  return *std::move(anchors);
}

const std::vector<FeatureSpec> kSsd300Maps = SquareMaps({38, 19, 10, 5, 3, 1});
constexpr char kSsd300Levels[] =
    "beyond_last: CONTINUE_STEP "
    "level { aspect_ratio: 2 step: 8 } level { aspect_ratio: [2, 3] step: 16 } "
    "level { aspect_ratio: [2, 3] step: 32 } level { aspect_ratio: [2, 3] step: 64 } "
    "level { aspect_ratio: 2 step: 100 } level { aspect_ratio: 2 step: 300 }";
const std::string kCoco300 =
    absl::StrCat("first_scale: 0.07 min_scale: 0.15 max_scale: 0.87 ", kSsd300Levels);

TEST(SsdAnchors, ScalesAndShapesEqualTheFormula) {
  for (const auto& row : golden::File("priors.json")["scales"].GetArray()) {
    const int64_t m = row["m"].GetInt64();
    std::string options = absl::StrCat("min_scale: ", row["s_min"].GetDouble(),
                                       " max_scale: ", row["s_max"].GetDouble());
    // torchvision takes s_max for s_2 where there is one level.
    if (m == 1) options += " beyond_last: CONTINUE_STEP";
    for (int64_t k = 0; k < m; ++k) options += " level { aspect_ratio: [2, 3] }";
    const Anchors anchors = Generate(options, SquareMaps(std::vector<int64_t>(m, 1)), {300, 300});
    golden::ExpectNear(
        anchors.boxes.narrow(1, 2, 2).view({m, 6, 2}), golden::Numbers(row["wh_pairs_torchvision"]),
        absl::StrCat("scales/", m, "_", row["s_min"].GetDouble(), "_", row["s_max"].GetDouble()));
    for (int64_t k = 0; k < m; ++k) {
      EXPECT_FLOAT_EQ(anchors.boxes[6 * k][2].item<float>(),
                      row["paper_formula_torchvision"][k].GetDouble());
    }
    // pierluigiferrari spaces m + 1 scales evenly; s_max is the last level's next scale.
    const at::Tensor spaced = golden::Numbers(row["pierluigi_linspace_m_plus_1"]);
    const double last = m == 1 ? row["s_max"].GetDouble() : spaced[m - 1].item<double>();
    std::string even =
        absl::StrCat("min_scale: ", row["s_min"].GetDouble(),
                     " beyond_last: ", "CONTINUE_STEP max_scale: ", absl::StrFormat("%.17g", last));
    for (int64_t k = 0; k < m; ++k) even += " level {}";
    const at::Tensor squares =
        Generate(even, SquareMaps(std::vector<int64_t>(m, 1)), {300, 300}).boxes.select(1, 2);
    golden::ExpectNear(squares.view({m, 2}).select(1, 0), spaced.narrow(0, 0, m), "scales/even");
    golden::ExpectNear(squares.view({m, 2}).select(1, 1),
                       (spaced.narrow(0, 0, m) * spaced.narrow(0, 1, m)).sqrt(), "scales/next");
  }
}

TEST(SsdAnchors, EqualPublishedUnitTests) {
  const auto& file = golden::File("priors.json");
  // torchvision's pairs, level by level.
  const Anchors coco = Generate(kCoco300, SquareMaps({1, 1, 1, 1, 1, 1}), {300, 300});
  int64_t first = 0;
  for (const auto& level : file["torchvision_wh_pairs"]["ssd300_vgg16"].GetArray()) {
    const at::Tensor expected = golden::Numbers(level);
    golden::ExpectNear(coco.boxes.narrow(0, first, expected.size(0)).narrow(1, 2, 2), expected,
                       "priors/torchvision_wh_pairs");
    first += expected.size(0);
  }
  int checked = 0;
  for (const auto& test : file["published_unit_test_values"].GetObject()) {
    const std::string name = test.name.GetString();
    if (name.find("torchvision test_defaultbox_generator") == 0) {
      const Anchors anchors = Generate(
          "min_scale: 0.15 max_scale: 0.9 beyond_last: CONTINUE_STEP level { aspect_ratio: 2 }",
          SquareMaps({1}), {15, 15});
      golden::ExpectNear(CornersFromCenters(anchors.boxes) * 15, golden::Numbers(test.value), name,
                         0, 1e-4);
      ++checked;
    } else if (name.find("mmdetection") == 0) {
      // Boxes of the first cell of each level, in pixels.
      const Anchors anchors = Generate(kCoco300, kSsd300Maps, {300, 300});
      const at::Tensor corners = CornersFromCenters(anchors.boxes) * 300;
      int64_t begin = 0;
      for (size_t k = 0; k < anchors.per_level.size(); ++k) {
        const at::Tensor expected = golden::Numbers(test.value[static_cast<unsigned>(k)]);
        golden::ExpectNear(corners.narrow(0, begin, expected.size(0)), expected, name, 0, 1e-4);
        begin += anchors.per_level[k];
      }
      ++checked;
    }
  }
  EXPECT_EQ(checked, 2);
}

std::vector<double> LevelScales(const std::string& options, int64_t m) {
  const Anchors anchors =
      Generate(options + " sqrt_scale: false", SquareMaps(std::vector<int64_t>(m, 1)), {300, 300});
  std::vector<double> scales;
  int64_t row = 0;
  for (const int64_t count : anchors.per_level) {
    scales.push_back(std::round(anchors.boxes[row][2].item<double>() * 1e6) / 1e6);
    row += count;
  }
  return scales;
}

TEST(SsdAnchors, FirstScaleStandsApart) {
  const std::string options = "first_scale: 0.07 min_scale: 0.2 max_scale: 0.8";
  EXPECT_THAT(LevelScales(options, 1), ElementsAre(0.07));
  EXPECT_THAT(LevelScales(options, 2), ElementsAre(0.07, 0.2));
  EXPECT_THAT(LevelScales(options, 3), ElementsAre(0.07, 0.2, 0.8));
  EXPECT_THAT(LevelScales(options, 5), ElementsAre(0.07, 0.2, 0.4, 0.6, 0.8));
  EXPECT_THAT(LevelScales("min_scale: 0.3 max_scale: 0.9", 1), ElementsAre(0.3));
}

double LastSqrtScale(const std::string& options, int64_t m) {
  const Anchors anchors = Generate(options, SquareMaps(std::vector<int64_t>(m, 1)), {300, 300});
  return anchors.boxes[anchors.boxes.size(0) - anchors.per_level.back() + 1][2].item<double>();
}

TEST(SsdAnchors, BeyondTheLastLevel) {
  const std::string scales = "min_scale: 0.2 max_scale: 0.8 ";
  EXPECT_NEAR(LastSqrtScale(scales, 4), std::sqrt(0.8 * 1.0), 1e-7);
  EXPECT_NEAR(LastSqrtScale(scales + "beyond_last: CONTINUE_STEP", 4), std::sqrt(0.8 * 1.0), 1e-7);
  EXPECT_NEAR(LastSqrtScale(scales + "beyond_last: CONTINUE_STEP", 3), std::sqrt(0.8 * 1.1), 1e-7);
  EXPECT_NEAR(LastSqrtScale(scales + "beyond_last: CONTINUE_STEP", 1), std::sqrt(0.2 * 0.8), 1e-7);
  const std::string first = scales + "beyond_last: CONTINUE_STEP first_scale: 0.1 ";
  EXPECT_NEAR(LastSqrtScale(first, 2), std::sqrt(0.2 * 0.8), 1e-7);
  EXPECT_NEAR(LastSqrtScale(first, 1), std::sqrt(0.1 * 0.2), 1e-7);
}

TEST(SsdAnchors, CountsAndDefaults) {
  auto paper = Create("", 6);
  ASSERT_TRUE(paper.ok());
  EXPECT_THAT((*paper)->AnchorsPerCell(), ElementsAre(4, 6, 6, 6, 4, 4));
  const Anchors anchors = *(*paper)->Generate(kSsd300Maps, {300, 300});
  EXPECT_EQ(anchors.boxes.size(0), 8732);
  EXPECT_THAT(anchors.per_level, ElementsAre(5776, 2166, 600, 150, 36, 4));
  EXPECT_EQ(anchors.boxes.scalar_type(), at::kFloat);
  // The first num_levels settings serve; a ratio of 1 adds nothing.
  auto four = Create(
      "sqrt_scale: false level { aspect_ratio: [1, 2] } level {} level {} level {} level {}", 4);
  ASSERT_TRUE(four.ok());
  EXPECT_THAT((*four)->AnchorsPerCell(), ElementsAre(3, 1, 1, 1));
}

TEST(SsdAnchors, OrderIsRowColumnShapeOnAnyGrid) {
  const Anchors anchors =
      Generate("level { aspect_ratio: 2 step: 50 }", Maps({{2, 3}}), {100, 200});
  ASSERT_EQ(anchors.boxes.size(0), 24);
  for (int64_t row = 0; row < 2; ++row) {
    for (int64_t column = 0; column < 3; ++column) {
      for (int64_t shape = 0; shape < 4; ++shape) {
        const at::Tensor box = anchors.boxes[(row * 3 + column) * 4 + shape];
        EXPECT_FLOAT_EQ(box[0].item<float>(), (column + 0.5) * 50 / 200);
        EXPECT_FLOAT_EQ(box[1].item<float>(), (row + 0.5) * 50 / 100);
      }
    }
  }
  EXPECT_GT(anchors.boxes[2][2].item<float>(), anchors.boxes[2][3].item<float>());  // ratio 2: wide
  EXPECT_LT(anchors.boxes[3][2].item<float>(), anchors.boxes[3][3].item<float>());
}

TEST(SsdAnchors, StepsAreCutToWholePercents) {
  // 70 / 4 percent; the last level ends below max_scale.
  const std::string options = "min_scale: 0.2 max_scale: 0.9 whole_percent_step: true ";
  EXPECT_THAT(LevelScales(options, 5), ElementsAre(0.2, 0.37, 0.54, 0.71, 0.88));
  EXPECT_THAT(LevelScales(options, 4), ElementsAre(0.2, 0.43, 0.66, 0.89));
  EXPECT_THAT(LevelScales(options + "first_scale: 0.125", 3), ElementsAre(0.125, 0.2, 0.9));
  EXPECT_NEAR(LastSqrtScale(options + "beyond_last: CONTINUE_STEP", 5), std::sqrt(0.88 * 1.05),
              1e-7);
}

TEST(SsdAnchors, WholePixelsComeBeforeRatios) {
  // 0.15 of 512 pixels are 76.8, 0.3 are 153.6.
  const Anchors anchors = Generate(
      "min_scale: 0.15 max_scale: 0.3 whole_pixels: true level { aspect_ratio: 4 } level {}",
      SquareMaps({1, 1}), {512, 512});
  const at::Tensor widths = anchors.boxes.select(1, 2) * 512;
  EXPECT_FLOAT_EQ(widths[0].item<float>(), 76);
  EXPECT_FLOAT_EQ(widths[1].item<float>(), std::sqrt(76.0f * 153.0f));
  EXPECT_FLOAT_EQ(widths[2].item<float>(), 152);
  EXPECT_FLOAT_EQ(widths[3].item<float>(), 38);
}

TEST(SsdAnchors, ScalesAreSharesOfEachAxisOrOfTheShorterSide) {
  const std::string options = "min_scale: 0.5 sqrt_scale: false level { aspect_ratio: 4 } ";
  const Anchors shares = Generate(options, Maps({{1, 1}}), {100, 400});
  EXPECT_FLOAT_EQ(shares.boxes[0][2].item<float>(), 0.5);
  EXPECT_FLOAT_EQ(shares.boxes[0][3].item<float>(), 0.5);
  const Anchors square = Generate(options + "square_in_pixels: true", Maps({{1, 1}}), {100, 400});
  const at::Tensor pixels = square.boxes * at::tensor({400.0f, 100.0f, 400.0f, 100.0f});
  const at::Tensor expected = at::tensor(
      {200.0f, 50.0f, 50.0f, 50.0f, 200.0f, 50.0f, 100.0f, 25.0f, 200.0f, 50.0f, 25.0f, 100.0f});
  EXPECT_TRUE(at::allclose(pixels, expected.view({3, 4})));
}

TEST(SsdAnchors, OffsetMovesCentresInTheirCell) {
  const Anchors anchors =
      Generate("offset: 0.25 sqrt_scale: false level {}", Maps({{2, 4}}), {100, 100});
  EXPECT_FLOAT_EQ(anchors.boxes[0][0].item<float>(), 0.25 / 4);
  EXPECT_FLOAT_EQ(anchors.boxes[0][1].item<float>(), 0.25 / 2);
  EXPECT_FLOAT_EQ(anchors.boxes[7][0].item<float>(), 3.25 / 4);
  EXPECT_FLOAT_EQ(anchors.boxes[7][1].item<float>(), 1.25 / 2);
}

TEST(SsdAnchors, ClipChangesWhatItSays) {
  const std::string options = "min_scale: 0.6 sqrt_scale: false level { aspect_ratio: 4 } ";
  const auto box = [&](const std::string& clip) {
    // The first cell's second shape: 1.2 x 0.3 around (0.25, 1).
    return Generate(absl::StrCat(options, "offset: 1 clip: ", clip), Maps({{1, 4}}), {100, 100})
        .boxes[1];
  };
  const auto expect = [&](const std::string& clip, const std::vector<float>& expected) {
    EXPECT_TRUE(at::allclose(box(clip), at::tensor(expected), 1e-6, 1e-7)) << clip << box(clip);
  };
  expect("NONE", {0.25f, 1.0f, 1.2f, 0.3f});
  expect("SIZE", {0.25f, 1.0f, 1.0f, 0.3f});
  expect("CENTER_SIZE", {0.25f, 1.0f, 1.0f, 0.3f});
  expect("CORNERS", {0.425f, 0.925f, 0.85f, 0.15f});
  // A step of 60 of 100 pixels puts the third centre at 1.5.
  const std::string far = "min_scale: 0.6 sqrt_scale: false level { step: 60 } clip: ";
  EXPECT_FLOAT_EQ(
      Generate(far + "CENTER_SIZE", Maps({{1, 3}}), {100, 100}).boxes[2][0].item<float>(), 1);
  EXPECT_FLOAT_EQ(Generate(far + "SIZE", Maps({{1, 3}}), {100, 100}).boxes[2][0].item<float>(),
                  1.5);
}

// TensorFlow's reduce_boxes_in_lowest_layer (multiple_grid_anchor_generator.py): boxes of (scale,
// ratio) (0.1, 1), (0.2, 2) and (0.2, 1/2) on the first level alone.
TEST(SsdAnchors, ALevelMayHaveASquareOfItsOwn) {
  const std::string options =
      "min_scale: 0.2 max_scale: 0.95 "
      "level { aspect_ratio: 2 square_scale: 0.1 sqrt_scale: false } level { aspect_ratio: 2 }";
  const auto generator = Create(options, 2);
  ASSERT_TRUE(generator.ok()) << generator.status();
  EXPECT_THAT((*generator)->AnchorsPerCell(), ElementsAre(3, 4));
  const at::Tensor sizes =
      Generate(options, SquareMaps({1, 1}), {300, 300}).boxes.narrow(1, 2, 2).to(at::kDouble);
  const double root = std::sqrt(2.0);
  const at::Tensor expected =
      at::tensor({0.1, 0.1, 0.2 * root, 0.2 / root, 0.2 / root, 0.2 * root}, at::kDouble);
  EXPECT_TRUE(at::allclose(sizes.narrow(0, 0, 3), expected.view({3, 2}), 1e-6, 1e-7)) << sizes;
  EXPECT_NEAR(sizes[3][0].item<double>(), 0.95, 1e-6);
  EXPECT_NEAR(sizes[4][0].item<double>(), std::sqrt(0.95), 1e-6);
}

// An image of twice the size shows boxes of as many pixels; what reaches beyond it, and only that,
// is cut off: first true sizes, then the border, as Caffe's PriorBox has it.
TEST(SsdAnchors, AnotherImageCutsAtItsOwnBorder) {
  const std::string options = "min_scale: 0.6 sqrt_scale: false level {} clip: ";
  const auto boxes = [&](const std::string& clip) {
    const auto generator = Create(options + clip, 1);
    EXPECT_TRUE(generator.ok()) << generator.status();
    const auto anchors = (*generator)->GenerateForImage(Maps({{4, 4}}), {100, 100}, {200, 200});
    EXPECT_TRUE(anchors.ok()) << anchors.status();
    return anchors->boxes * 200;
  };
  // Squares of 60 pixels around 25, 75, 125 and 175.
  const at::Tensor cut = boxes("CORNERS");
  EXPECT_TRUE(at::allclose(cut[0], at::tensor({27.5f, 27.5f, 55.0f, 55.0f}), 1e-6)) << cut[0];
  EXPECT_TRUE(at::allclose(cut[1], at::tensor({75.0f, 27.5f, 60.0f, 55.0f}), 1e-6)) << cut[1];
  EXPECT_TRUE(at::allclose(cut[5], at::tensor({75.0f, 75.0f, 60.0f, 60.0f}), 1e-6)) << cut[5];
  EXPECT_TRUE(at::allclose(cut[15], at::tensor({172.5f, 172.5f, 55.0f, 55.0f}), 1e-6)) << cut[15];
  for (const char* clip : {"NONE", "SIZE", "CENTER_SIZE"}) {
    EXPECT_TRUE(at::allclose(boxes(clip)[0], at::tensor({25.0f, 25.0f, 60.0f, 60.0f}), 1e-6))
        << clip;
  }
}

TEST(SsdAnchors, BoxesWithoutSizeAreErrors) {
  const auto status_of = [](const std::string& options, const std::vector<FeatureSpec>& levels) {
    auto generator = Create(options, 1);
    EXPECT_TRUE(generator.ok()) << generator.status();
    return (*generator)->Generate(levels, {100, 100}).status();
  };
  const absl::Status outside =
      status_of("min_scale: 0.6 level { step: 60 } clip: CORNERS", Maps({{1, 3}}));
  EXPECT_EQ(outside.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(outside.message()), HasSubstr("anchor_generator.ssd.clip: CORNERS"));
  const absl::Status tiny = status_of("min_scale: 0.005 whole_pixels: true", Maps({{1, 1}}));
  EXPECT_EQ(tiny.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tiny.message()), HasSubstr("anchor_generator.ssd.whole_pixels"));
}

TEST(SsdAnchors, BadOptionsNameTheField) {
  struct Case {
    const char* options;
    int64_t num_levels;
    const char* message;
  };
  for (const Case& c : {
           Case{"min_scale: 0.9 max_scale: 0.2", 6,
                "anchor_generator.ssd.min_scale: 0.9 must not be above max_scale: 0.2"},
           Case{"min_scale: 0", 6, "anchor_generator.ssd.min_scale: 0 must be positive"},
           Case{"min_scale: nan", 6, "anchor_generator.ssd.min_scale: nan must be"},
           Case{"max_scale: inf", 6, "anchor_generator.ssd.max_scale: inf must be"},
           Case{"max_scale: nan", 6, "anchor_generator.ssd.max_scale: nan must be"},
           Case{"first_scale: -0.1", 6, "anchor_generator.ssd.first_scale: -0.1 must be"},
           Case{"level {} level {}", 3,
                "anchor_generator.ssd.level: 2 given, but model.num_levels is 3"},
           Case{"", 7, "the paper's default has 6 levels, but model.num_levels is 7"},
           Case{"level {} level { aspect_ratio: -2 }", 2, "level[1].aspect_ratio: -2 must be"},
           Case{"level { aspect_ratio: nan }", 1, "level[0].aspect_ratio: nan must be"},
           Case{"level { aspect_ratio: [2, 0.5] }", 1, "level[0].aspect_ratio: 0.5 repeats 2"},
           Case{"level { step: 0 }", 1, "level[0].step: 0 must be positive"},
           Case{"offset: 1.5", 1, "anchor_generator.ssd.offset: 1.5 must be in [0, 1]"},
           Case{"offset: nan", 1, "anchor_generator.ssd.offset: nan must be in [0, 1]"},
           Case{"min_scale: 0.125 whole_percent_step: true", 1,
                "anchor_generator.ssd.min_scale: 0.125 must be a whole percent"},
           Case{"max_scale: 0.955 whole_percent_step: true", 1,
                "anchor_generator.ssd.max_scale: 0.955 must be a whole percent"},
           Case{"level { square_scale: 0 }", 1, "level[0].square_scale: 0 must be positive"},
           Case{"sqrt_scale: false beyond_last: CONTINUE_STEP", 6,
                "anchor_generator.ssd.beyond_last: CONTINUE_STEP has no effect without "
                "anchor_generator.ssd.sqrt_scale: true on the last level"},
       }) {
    const auto generator = Create(c.options, c.num_levels);
    EXPECT_EQ(generator.status().code(), absl::StatusCode::kInvalidArgument) << c.options;
    EXPECT_THAT(std::string(generator.status().message()), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace ssd
