#include "ssd/model/detections_in_pixels.h"

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace ssd {
namespace {

TEST(DetectionsInPixels, LeadsThemBackToTheOriginal) {
  Detections detections;
  detections.boxes = at::tensor({0.0f, 0.0f, 0.5f, 0.5f, -0.5f, 0.25f, 0.25f, 2.0f,  //
                                 0.0f, 0.5f, 0.25f, 1.0f, 1.5f, 0.0f, 2.0f, 1.0f})
                         .view({2, 2, 4});
  detections.scores = at::tensor({0.9f, 0.8f, 0.7f, 0.6f}).view({2, 2});
  detections.labels = at::tensor({1, 2, 3, 4}, at::kLong).view({2, 2});
  detections.counts = at::tensor({2, 2}, at::kLong);
  const Geometry plain = Geometry::Identity({50, 200}).Resized({100, 100});
  const auto images = DetectionsInPixels(detections, {7, 9}, {plain, plain.FlippedHorizontally()});
  ASSERT_EQ(images.size(), 2u);
  EXPECT_EQ(images[0].image_id, 7);
  ASSERT_EQ(images[0].detections.size(), 2u);
  const auto expect_box = [](const PixelBox& box, double x0, double y0, double x1, double y1) {
    EXPECT_NEAR(box.x0, x0, 1e-6);
    EXPECT_NEAR(box.y0, y0, 1e-6);
    EXPECT_NEAR(box.x1, x1, 1e-6);
    EXPECT_NEAR(box.y1, y1, 1e-6);
  };
  expect_box(images[0].detections[0].box, 0, 0, 100, 25);
  expect_box(images[0].detections[1].box, 0, 12.5, 50, 50);  // clipped
  EXPECT_NEAR(images[0].detections[1].score, 0.8, 1e-7);
  EXPECT_EQ(images[0].detections[1].label, 2);
  // Mirrored; what lies outside is dropped.
  ASSERT_EQ(images[1].detections.size(), 1u);
  expect_box(images[1].detections[0].box, 150, 25, 200, 50);
}

}  // namespace
}  // namespace ssd
