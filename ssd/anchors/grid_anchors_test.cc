#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "ssd/anchors/anchor_generator.h"
#include "ssd/core/text_proto.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<AnchorGenerator>> Create(const std::string& options,
                                                        int64_t num_levels) {
  AnchorGeneratorConfig config;
  const absl::Status status = ParseTextProto("grid {" + options + "}", "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return AnchorGeneratorRegistry::Get().Create(config, {num_levels});
}

// As a 3 x 3 convolution with stride 2 and no padding, twice, has it: 7 pixels seen, 4 apart.
FeatureSpec Unpadded(int64_t height, int64_t width) {
  FeatureSpec level;
  level.height = height;
  level.width = width;
  level.stride_y = level.stride_x = 4;
  level.first_center_y = level.first_center_x = 3.5;
  level.receptive_field = 7;
  return level;
}

Anchors Generate(const std::string& options, const std::vector<FeatureSpec>& levels,
                 ImageSize input) {
  const auto generator = Create(options, static_cast<int64_t>(levels.size()));
  EXPECT_TRUE(generator.ok()) << generator.status();
  absl::StatusOr<Anchors> anchors = (*generator)->Generate(levels, input);
  EXPECT_TRUE(anchors.ok()) << anchors.status();
  return *std::move(anchors);
}

// Scales 50, 53 and 56 with pairs of their own: ten shapes a cell.
TEST(GridAnchors, AnyScalesAndPairs) {
  const std::string options =
      "level { boxes { scale: 50 ratio {} ratio { width: 0.7 height: 1.4 } "
      "ratio { width: 1.4 height: 0.7 } ratio { width: 0.5 } } "
      "boxes { scale: [53, 56] ratio {} ratio { width: 0.6 } ratio { height: 0.6 } } }";
  const auto generator = Create(options, 1);
  ASSERT_TRUE(generator.ok()) << generator.status();
  EXPECT_THAT((*generator)->AnchorsPerCell(), ElementsAre(10));
  const Anchors anchors = Generate(options, {Unpadded(1, 1)}, {100, 200});
  const at::Tensor pixels = anchors.boxes * at::tensor({200.0f, 100.0f, 200.0f, 100.0f});
  const at::Tensor expected =
      at::tensor({50.0f, 50.0f, 35.0f, 70.0f, 70.0f, 35.0f, 25.0f, 50.0f, 53.0f, 53.0f,
                  31.8f, 53.0f, 53.0f, 31.8f, 56.0f, 56.0f, 33.6f, 56.0f, 56.0f, 33.6f});
  EXPECT_TRUE(at::allclose(pixels.narrow(1, 2, 2), expected.view({10, 2}), 1e-6, 1e-5)) << pixels;
}

TEST(GridAnchors, CentresAreThoseOfReceptiveFields) {
  const Anchors anchors =
      Generate("level { boxes { scale: 5 } } level { boxes { scale: [8, 9] } } level {}",
               {Unpadded(3, 5), Unpadded(1, 2)}, {16, 32});
  EXPECT_THAT(anchors.per_level, ElementsAre(15, 4));
  for (int64_t row = 0; row < 3; ++row) {
    for (int64_t column = 0; column < 5; ++column) {
      const at::Tensor box = anchors.boxes[row * 5 + column];
      EXPECT_FLOAT_EQ(box[0].item<float>(), (3.5 + 4.0 * static_cast<double>(column)) / 32);
      EXPECT_FLOAT_EQ(box[1].item<float>(), (3.5 + 4.0 * static_cast<double>(row)) / 16);
      EXPECT_FLOAT_EQ(box[2].item<float>(), 5.0 / 32);
      EXPECT_FLOAT_EQ(box[3].item<float>(), 5.0 / 16);
    }
  }
  EXPECT_FLOAT_EQ(anchors.boxes[18][0].item<float>(), 7.5 / 32);
  EXPECT_FLOAT_EQ(anchors.boxes[18][2].item<float>(), 9.0 / 32);
}

TEST(GridAnchors, CentresAreEvenOnRequest) {
  const Anchors anchors =
      Generate("centers: EVEN level { boxes { scale: 5 } }", {Unpadded(3, 5)}, {16, 32});
  for (int64_t row = 0; row < 3; ++row) {
    for (int64_t column = 0; column < 5; ++column) {
      const at::Tensor box = anchors.boxes[row * 5 + column];
      EXPECT_FLOAT_EQ(box[0].item<float>(), (static_cast<double>(column) + 0.5) / 5);
      EXPECT_FLOAT_EQ(box[1].item<float>(), (static_cast<double>(row) + 0.5) / 3);
      EXPECT_FLOAT_EQ(box[2].item<float>(), 5.0 / 32);
    }
  }
}

TEST(GridAnchors, ClipsOnRequest) {
  const Anchors anchors =
      Generate("level { boxes { scale: 10 } } clip: CORNERS", {Unpadded(1, 1)}, {20, 20});
  // -1.5 to 8.5 pixels become 0 to 8.5.
  EXPECT_TRUE(
      at::allclose(anchors.boxes[0], at::tensor({4.25f, 4.25f, 8.5f, 8.5f}) / 20, 1e-6, 1e-7));
}

TEST(GridAnchors, BadOptionsNameTheField) {
  struct Case {
    const char* options;
    const char* message;
  };
  for (const Case& c : {
           Case{"", "anchor_generator.grid.level: 0 given, but model.num_levels is 1"},
           Case{"level {}", "anchor_generator.grid.level[0].boxes: none given"},
           Case{"level { boxes {} }", "anchor_generator.grid.level[0].boxes[0].scale: none given"},
           Case{"level { boxes { scale: [5, 0] } }", "boxes[0].scale: 0 must be positive"},
           Case{"level { boxes { scale: nan } }", "boxes[0].scale: nan must be"},
           Case{"level { boxes { scale: 5 } boxes { scale: 5 ratio { width: -1 } } }",
                "boxes[1].ratio[0].width: -1 must be positive"},
           Case{"level { boxes { scale: 5 ratio { height: inf } } }",
                "ratio[0].height: inf must be"},
       }) {
    const absl::Status status = Create(c.options, 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.options;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace ssd
