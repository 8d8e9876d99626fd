#include "experiments/check/experiment_view.h"

#include <gtest/gtest.h>

#include <string>

#include "ssd/core/geometry.h"
#include "ssd/core/logging.h"
#include "ssd/core/text_proto.h"

namespace ssd {
namespace {

// The view of data.validation's `transforms` in front of a network of 64 x 64 pixels.
NetworkView Viewed(const std::string& transforms) {
  Experiment experiment;
  const absl::Status parsed = ParseTextProto(
      "model { input { height: 64 width: 64 } } data { validation { " + transforms + " } }", "test",
      experiment);
  CHECK(parsed.ok()) << parsed.message();
  const absl::StatusOr<NetworkView> view = ViewOf(experiment);
  CHECK(view.ok()) << view.status().message();
  return *view;
}

constexpr ImageSize kImage{100, 200};  // height, width

void ExpectBox(const PixelBox& box, const PixelBox& expected) {
  EXPECT_DOUBLE_EQ(box.x0, expected.x0);
  EXPECT_DOUBLE_EQ(box.y0, expected.y0);
  EXPECT_DOUBLE_EQ(box.x1, expected.x1);
  EXPECT_DOUBLE_EQ(box.y1, expected.y1);
}

TEST(ViewOfTest, WarpsAsResizeDoes) {
  for (const char* transforms : {"transform { resize {} }", ""}) {
    const Geometry geometry = Viewed(transforms)(kImage);
    EXPECT_EQ(geometry.original, kImage);
    EXPECT_EQ(geometry.view, (ImageSize{64, 64}));
    ExpectBox(geometry.ToView({0, 0, 100, 50}), {0, 0, 32, 32});
  }
}

TEST(ViewOfTest, KeepsTheAspectRatioWhereTheTransformsDo) {
  const Geometry geometry = Viewed("transform { resize_and_pad {} }")(kImage);
  EXPECT_EQ(geometry.view, (ImageSize{64, 64}));
  ExpectBox(geometry.ToView({0, 0, 200, 100}), {0, 0, 64, 32});
}

TEST(ViewOfTest, IsAFunctionOfTheSize) {
  const NetworkView view = Viewed(
      "transform { horizontal_flip { probability: 0.5 } } transform { expand {} } "
      "transform { resize {} }");
  for (const ImageSize size : {kImage, ImageSize{33, 77}}) {
    const Geometry first = view(size), second = view(size);
    EXPECT_EQ(first.scale_x, second.scale_x);
    EXPECT_EQ(first.offset_x, second.offset_x);
    EXPECT_EQ(first.view, (ImageSize{64, 64}));
  }
}

TEST(ViewOfTest, NamesATransformThatIsWrong) {
  Experiment experiment;
  ASSERT_TRUE(ParseTextProto("model { input { height: 64 width: 64 } } data { validation { "
                             "transform { horizontal_flip { probability: 2 } } } }",
                             "test", experiment)
                  .ok());
  const absl::StatusOr<NetworkView> view = ViewOf(experiment);
  ASSERT_FALSE(view.ok());
  EXPECT_EQ(view.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(view.status().message().substr(0, 17), "data.validation: ");
}

}  // namespace
}  // namespace ssd
