#include "ssd/anchors/ssd_anchors.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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
  return (*generator)->Generate(levels, input);
}

const std::vector<FeatureSpec> kSsd300Maps = SquareMaps({38, 19, 10, 5, 3, 1});
constexpr char kSsd300Levels[] =
    "beyond_last: CONTINUE_STEP "
    "level { aspect_ratio: 2 step: 8 } level { aspect_ratio: [2, 3] step: 16 } "
    "level { aspect_ratio: [2, 3] step: 32 } level { aspect_ratio: [2, 3] step: 64 } "
    "level { aspect_ratio: 2 step: 100 } level { aspect_ratio: 2 step: 300 }";
// 0.1, 0.2, 0.37, 0.54, 0.71, 0.88, then 1.05.
const std::string kVoc300 =
    absl::StrCat("first_scale: 0.1 min_scale: 0.2 max_scale: 0.88 ", kSsd300Levels);
const std::string kCoco300 =
    absl::StrCat("first_scale: 0.07 min_scale: 0.15 max_scale: 0.87 ", kSsd300Levels);

// What an entry of priors.json says beside the options that express it here. The peers that clip
// are compared after the same clipping, by `finish`, of these unclipped anchors.
struct Entry {
  const char* name;
  std::string options;
  std::vector<FeatureSpec> levels;
  ImageSize input;
  // Anchors (cx, cy, w, h) -> the entry's form and units.
  std::function<at::Tensor(const Anchors&)> finish;
};

at::Tensor Corner(const Anchors& anchors) { return CornersFromCenters(anchors.boxes); }
at::Tensor ClippedCorner(const Anchors& anchors) { return Corner(anchors).clamp(0, 1); }
at::Tensor Center(const Anchors& anchors) { return anchors.boxes; }
at::Tensor ClippedCenter(const Anchors& anchors) { return anchors.boxes.clamp(0, 1); }

// torchvision's corners in pixels, w and h clipped.
std::function<at::Tensor(const Anchors&)> Pixels(double height, double width, bool clip) {
  return [=](const Anchors& anchors) {
    const at::Tensor size = anchors.boxes.narrow(1, 2, 2);
    const at::Tensor boxes =
        at::cat({anchors.boxes.narrow(1, 0, 2), clip ? size.clamp(0, 1) : size}, 1);
    return CornersFromCenters(boxes) * at::tensor({width, height, width, height}, at::kFloat);
  };
}

// NVIDIA orders a level by shape, then cell.
at::Tensor ShapeMajor(const Anchors& anchors) {
  std::vector<at::Tensor> levels;
  const std::vector<int64_t> shapes = {4, 6, 6, 6, 4, 4};
  const std::vector<at::Tensor> parts = at::split_with_sizes(anchors.boxes, anchors.per_level);
  for (size_t k = 0; k < parts.size(); ++k) {
    levels.push_back(parts[k].view({-1, shapes[k], 4}).transpose(0, 1).reshape({-1, 4}));
  }
  return at::cat(levels).clamp(0, 1);
}

TEST(SsdAnchors, EqualPeers) {
  const std::string ssd512 =
      "first_scale: 0.04 min_scale: 0.1 max_scale: 0.9 beyond_last: CONTINUE_STEP "
      "level { aspect_ratio: 2 } level { aspect_ratio: [2, 3] } level { aspect_ratio: [2, 3] } "
      "level { aspect_ratio: [2, 3] } level { aspect_ratio: [2, 3] } level { aspect_ratio: 2 } "
      "level { aspect_ratio: 2 }";
  const std::string six_of_three =
      "level { aspect_ratio: [2, 3] } level { aspect_ratio: [2, 3] } level { aspect_ratio: [2, 3] "
      "} "
      "level { aspect_ratio: [2, 3] } level { aspect_ratio: [2, 3] } level { aspect_ratio: [2, 3] "
      "}";
  const ImageSize s300{300, 300};
  const std::vector<Entry> entries = {
      {"caffe_ssd300_voc", kVoc300, kSsd300Maps, s300, Corner},
      {"caffe_clip_ssd300_voc", kVoc300, kSsd300Maps, s300, ClippedCorner},
      {"lufficc_ssd300_voc", kVoc300, kSsd300Maps, s300, ClippedCenter},
      {"lufficc_noclip_ssd300_voc", kVoc300, kSsd300Maps, s300, Center},
      {"amdegroot_ssd300_voc", kVoc300, kSsd300Maps, s300, ClippedCenter},
      {"pierluigi_ssd300_voc", kVoc300, kSsd300Maps, s300, Center},
      {"torchvision_ssd300_vocscales_noclip", kVoc300, kSsd300Maps, s300, Pixels(300, 300, false)},
      {"caffe_ssd300_coco", kCoco300, kSsd300Maps, s300, Corner},
      {"amdegroot_ssd300_coco", kCoco300, kSsd300Maps, s300, ClippedCenter},
      {"torchvision_ssd300_vgg16_default", kCoco300, kSsd300Maps, s300, Pixels(300, 300, true)},
      {"nvidia_dboxes300_coco", kCoco300, kSsd300Maps, s300, ShapeMajor},
      {"lufficc_noclip_ssd512_coco",
       ssd512,
       SquareMaps({64, 32, 16, 8, 4, 2, 1}),
       {512, 512},
       Center},
      {"torchvision_ssdlite320",
       "min_scale: 0.2 max_scale: 0.95 " + six_of_three,
       SquareMaps({20, 10, 5, 3, 2, 1}),
       {320, 320},
       Pixels(320, 320, true)},
      {"torchvision_rect_200x400",
       six_of_three,
       Maps({{3, 5}, {2, 3}}),
       {200, 400},
       Pixels(200, 400, true)},
      {"caffe_no_max_size",
       "min_scale: 0.1875 max_scale: 0.1875 sqrt_scale: false level { aspect_ratio: [2, 3] }",
       SquareMaps({4}),
       {64, 64},
       Corner},
  };
  const auto& file = golden::File("priors.json")["entries"];
  EXPECT_EQ(file.MemberCount(), entries.size());
  for (const Entry& entry : entries) {
    const auto& expected = file[entry.name];
    const at::Tensor boxes = entry.finish(Generate(entry.options, entry.levels, entry.input));
    ASSERT_EQ(boxes.size(0), expected["total"].GetInt64()) << entry.name;
    const bool in_pixels = std::string(expected["form"].GetString()) == "xyxy_px";
    const double absolute = in_pixels ? 1e-7 * static_cast<double>(entry.input.width) : 1e-7;
    const std::string name = absl::StrCat("priors/", entry.name);
    golden::ExpectNear(boxes.narrow(0, 0, 8), golden::Numbers(expected["first8"]), name + "/first",
                       1e-6, absolute);
    golden::ExpectNear(boxes.narrow(0, boxes.size(0) - 8, 8), golden::Numbers(expected["last8"]),
                       name + "/last", 1e-6, absolute);
    for (const auto& probe : expected["probes"].GetObject()) {
      const at::Tensor got = boxes[std::stoll(probe.name.GetString())].to(at::kDouble);
      EXPECT_TRUE(at::allclose(got, golden::Numbers(probe.value), 1e-6, absolute))
          << entry.name << " " << probe.name.GetString();
    }
    // All boxes and their order.
    const at::Tensor wide = boxes.to(at::kDouble);
    golden::ExpectNear(wide.sum(0), golden::Numbers(expected["sum"]), name + "/sum");
    const at::Tensor weights =
        at::arange(boxes.size(0), at::kDouble).remainder(97).add(1).unsqueeze(1);
    golden::ExpectNear((wide * weights).sum(0), golden::Numbers(expected["order_checksum"]),
                       name + "/order");
  }
}

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
  const Anchors anchors = (*paper)->Generate(kSsd300Maps, {300, 300});
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
       }) {
    const auto generator = Create(c.options, c.num_levels);
    EXPECT_EQ(generator.status().code(), absl::StatusCode::kInvalidArgument) << c.options;
    EXPECT_THAT(std::string(generator.status().message()), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace ssd
