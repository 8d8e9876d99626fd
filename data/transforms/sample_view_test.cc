#include "data/transforms/sample_view.h"

#include <gtest/gtest.h>

#include <cmath>

#include "data/transforms/transform_testing.h"

namespace ssd {
namespace {

TEST(SampleViewTest, CropsKeepAndCutTruthsAsCaffe) {
  int inside = 0;
  for (const auto& golden : Golden()["crop"].GetArray()) {
    constexpr double kUnit = 100000;
    const PixelBox patch = ToBox(golden["crop"], kUnit);
    const PixelBox box = ToBox(golden["box"], kUnit);
    EXPECT_EQ(CenterIsInside(box, patch), golden["center_inside"].GetBool());
    // Where Caffe's projection finds nothing, the two have nothing in common.
    if (!golden["projects"].GetBool()) {
      EXPECT_FALSE(HasIou(box, patch, 1e-9));
    }
    if (!CenterIsInside(box, patch)) continue;
    ++inside;
    Sample sample = MakeSample(cv::Mat(1, 1, CV_8UC3), {box});
    const cv::Point first(static_cast<int>(std::lround(patch.x0)),
                          static_cast<int>(std::lround(patch.y0)));
    const cv::Point last(static_cast<int>(std::lround(patch.x1)),
                         static_cast<int>(std::lround(patch.y1)));
    CropView(sample, cv::Rect(first, last), {});
    ASSERT_EQ(sample.truth.objects.size(), 1u);
    const PixelBox cut = sample.truth.objects[0].box;
    const double width = patch.width();
    const double height = patch.height();
    ExpectNear({cut.x0 / width, cut.y0 / height, cut.x1 / width, cut.y1 / height},
               ToBox(golden["projected_clipped"], 1), 1e-5);
  }
  EXPECT_GT(inside, 2);
}

TEST(SampleViewTest, IouOfBoxAndPatch) {
  const PixelBox patch = BoxOf(cv::Rect(2, 4, 10, 20));
  ExpectNear(patch, {2, 4, 12, 24}, 0);
  EXPECT_TRUE(HasIou({2, 4, 12, 14}, patch, 0.5));
  EXPECT_FALSE(HasIou({2, 4, 12, 14}, patch, 0.501));
  EXPECT_TRUE(HasIou({50, 50, 60, 60}, patch, 0));
  EXPECT_FALSE(HasIou({50, 50, 60, 60}, patch, 1e-9));
  EXPECT_TRUE(HasIou(patch, patch, 1));
}

}  // namespace
}  // namespace ssd
