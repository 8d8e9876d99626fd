#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "ssd/anchors/anchor_generator.h"
#include "ssd/core/text_proto.h"

// Beside peer_anchors_test, which compares with Caffe's, lufficc's and rykov8's.
namespace ssd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<AnchorGenerator>> Create(const std::string& options,
                                                        int64_t num_levels) {
  AnchorGeneratorConfig config;
  const absl::Status status = ParseTextProto("fixed_size {" + options + "}", "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return AnchorGeneratorRegistry::Get().Create(config, {num_levels});
}

// The boxes of the one cell of a map on an input of 100 x 200 pixels, in pixels.
at::Tensor OneCell(const std::string& options) {
  const auto generator = Create(options, 1);
  EXPECT_TRUE(generator.ok()) << generator.status();
  FeatureSpec level;
  level.height = level.width = 1;
  const absl::StatusOr<Anchors> anchors =
      (*generator)->Generate(std::vector<FeatureSpec>{level}, {100, 200});
  EXPECT_TRUE(anchors.ok()) << anchors.status();
  return anchors->boxes * at::tensor({200.0f, 100.0f, 200.0f, 100.0f});
}

void ExpectSizes(const at::Tensor& boxes, const std::vector<float>& sizes) {
  EXPECT_TRUE(at::allclose(boxes.narrow(1, 2, 2), at::tensor(sizes).view({-1, 2}), 1e-6, 1e-5))
      << boxes;
}

TEST(FixedSizeAnchors, SizesArePixelsInTheOrderOfPriorBox) {
  const float mean = std::sqrt(20.0f * 45.0f);
  const at::Tensor boxes =
      OneCell("level { min_size: [20, 10] max_size: [45, 40] aspect_ratio: 4 }");
  ExpectSizes(boxes, {20, 20, mean, mean, 40, 10, 10, 40, 10, 10, 20, 20, 20, 5, 5, 20});
  EXPECT_TRUE(at::allclose(boxes[0], at::tensor({100.0f, 50.0f, 20.0f, 20.0f})));
}

TEST(FixedSizeAnchors, FlipMaxSizeAndRatioOneAreOptional) {
  ExpectSizes(OneCell("level { min_size: 20 aspect_ratio: [4, 0.25, 1] } flip: false"),
              {20, 20, 40, 10, 10, 40});
  ExpectSizes(OneCell("level { min_size: 35.84 }"), {35.84f, 35.84f});
  ExpectSizes(OneCell("level { min_size: 35.84 max_size: 76.8 } whole_pixels: true"),
              {35, 35, std::sqrt(35.0f * 76.0f), std::sqrt(35.0f * 76.0f)});
}

TEST(FixedSizeAnchors, StepAndOffsetPlaceCentres) {
  const auto generator =
      Create("level { min_size: 8 step: 20 } level { min_size: 8 } level {} offset: 0", 2);
  ASSERT_TRUE(generator.ok()) << generator.status();
  EXPECT_THAT((*generator)->AnchorsPerCell(), ElementsAre(1, 1));
  FeatureSpec level;
  level.height = 2;
  level.width = 3;
  const absl::StatusOr<Anchors> anchors =
      (*generator)->Generate(std::vector<FeatureSpec>{level, level}, {100, 200});
  ASSERT_TRUE(anchors.ok()) << anchors.status();
  EXPECT_THAT(anchors->per_level, ElementsAre(6, 6));
  EXPECT_FLOAT_EQ(anchors->boxes[5][0].item<float>(), 2 * 20 / 200.0);
  EXPECT_FLOAT_EQ(anchors->boxes[5][1].item<float>(), 20 / 100.0);
  EXPECT_FLOAT_EQ(anchors->boxes[11][0].item<float>(), 2 / 3.0);
  EXPECT_FLOAT_EQ(anchors->boxes[11][1].item<float>(), 1 / 2.0);
}

TEST(FixedSizeAnchors, BadOptionsNameTheField) {
  struct Case {
    const char* options;
    const char* message;
  };
  for (const Case& c : {
           Case{"", "anchor_generator.fixed_size.level: 0 given, but model.num_levels is 1"},
           Case{"level {}", "anchor_generator.fixed_size.level[0].min_size: none given"},
           Case{"level { min_size: 0 }", "level[0].min_size: 0 must be positive"},
           Case{"level { min_size: nan }", "level[0].min_size: nan must be"},
           Case{"level { min_size: 0.5 } whole_pixels: true", "level[0].min_size: 0 must be"},
           Case{"level { min_size: [8, 9] max_size: 10 }", "max_size: 1 given for 2 of min_size"},
           Case{"level { min_size: 8 max_size: 8 }", "max_size: 8 must be above its min_size: 8"},
           Case{"level { min_size: 8 max_size: inf }", "max_size: inf must be"},
           Case{"level { min_size: 8 aspect_ratio: 0 }", "aspect_ratio: 0 must be positive"},
           Case{"level { min_size: 8 aspect_ratio: [2, 0.5] }", "aspect_ratio: 0.5 repeats 2"},
           Case{"level { min_size: 8 aspect_ratio: [2, 2] } flip: false", "2 repeats 2; remove"},
           Case{"level { min_size: 8 step: -1 }", "level[0].step: -1 must be positive"},
           Case{"level { min_size: 8 } offset: -0.5", "fixed_size.offset: -0.5 must be in [0, 1]"},
           Case{"level { min_size: 8 } flip: false",
                "fixed_size.flip: false has no effect without"},
       }) {
    const absl::Status status = Create(c.options, 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.options;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace ssd
