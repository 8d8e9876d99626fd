#include <gtest/gtest.h>

#include <cmath>
#include <opencv2/core.hpp>

#include "data/transforms/transform_testing.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

const cv::Scalar kRed(255, 0, 0);

// An image of 200x100 just fits into 80x60 at 80x40.
TEST(RandomScaleTest, ScalesCropsAndPads) {
  const auto scale = MakeTransform("random_scale { min_scale: 0.5 max_scale: 2 }", {60, 80});
  const cv::Mat image(100, 200, CV_8UC3, kRed);
  double sum = 0;
  constexpr int kRuns = 2000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(image, {{0, 0, 200, 100}});
    Random random(1, 1, run);
    scale->Apply(random, sample);
    ASSERT_EQ(sample.image.size(), (ImageSize{60, 80}));
    const double drawn = 200 / sample.geometry.scale_x / 80;
    EXPECT_TRUE(drawn >= 0.49 && drawn <= 2.01) << drawn;
    // One factor for both sides, up to whole pixels.
    EXPECT_NEAR(sample.geometry.scale_x / sample.geometry.scale_y, 1, 0.04);
    sum += drawn;
    if (run >= 50) continue;
    // Red is where the image is, at the top left if it is smaller.
    const PixelBox shown = sample.geometry.ToView({0, 0, 200, 100});
    const PixelBox box = Clip(shown, {60, 80});
    EXPECT_EQ(box.x0, 0);
    EXPECT_EQ(box.y0, 0);
    cv::Mat expected(60, 80, CV_8UC3, cv::Scalar(123, 117, 104));
    expected(cv::Rect(0, 0, static_cast<int>(std::lround(box.x1)),
                      static_cast<int>(std::lround(box.y1))))
        .setTo(kRed);
    EXPECT_EQ(MaxDifference(*sample.image.Render(), expected), 0);
    if (drawn > 1.1) {
      EXPECT_NEAR(box.x1, 80, 1e-9);
    }
  }
  // Four standard deviations of the mean of uniform numbers.
  EXPECT_NEAR(sum / kRuns, 1.25, 0.04);
}

TEST(RandomScaleTest, ShowsARandomPartOfALargerImage) {
  const auto scale = MakeTransform("random_scale { min_scale: 2 max_scale: 2 }", {60, 60});
  const cv::Mat image(100, 100, CV_8UC3);
  double left = 0, top = 0;
  int kept = 0;
  constexpr int kRuns = 2000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    // In view pixels of the whole, 120 a side, the truth's centre is at 18.
    Sample sample = MakeSample(image, {{10, 10, 20, 20}});
    Random random(2, 1, run);
    scale->Apply(random, sample);
    left += sample.geometry.offset_x;
    top += sample.geometry.offset_y;
    const bool shows_center =
        sample.geometry.offset_x <= 15 + 1e-9 && sample.geometry.offset_y <= 15 + 1e-9;
    EXPECT_EQ(sample.truth.objects.size(), shows_center ? 1u : 0u);
    kept += shows_center;
  }
  // Uniform from 0 to 50; 19 of 61 places on each axis.
  EXPECT_NEAR(left / kRuns, 25, 1.4);
  EXPECT_NEAR(top / kRuns, 25, 1.4);
  EXPECT_NEAR(kept, kRuns * 19.0 / 61 * 19 / 61, 54);
}

TEST(RandomScaleTest, PlacesASmallerImageAndFills) {
  const auto scale = MakeTransform(
      "random_scale { min_scale: 0.5 max_scale: 0.5 position: CENTER fill: [1, 2, 3] }", {60, 80});
  Sample sample = MakeSample(cv::Mat(120, 160, CV_8UC3, kRed), {{0, 0, 160, 120}});
  Random random(1, 1, 1);
  scale->Apply(random, sample);
  cv::Mat expected(60, 80, CV_8UC3, cv::Scalar(1, 2, 3));
  expected(cv::Rect(20, 15, 40, 30)).setTo(kRed);
  EXPECT_EQ(MaxDifference(*sample.image.Render(), expected), 0);
  ExpectNear(sample.truth.objects.at(0).box, {20, 15, 60, 45}, 1e-12);
}

TEST(RandomScaleTest, WrongOptionsNameFieldValueAndRange) {
  ExpectRefused("random_scale { min_scale: 0 }", "random_scale.min_scale: 0");
  ExpectRefused("random_scale { min_scale: 3 }", "random_scale.min_scale: 3");
  ExpectRefused("random_scale { max_scale: 17 }", "random_scale.max_scale: 17");
  ExpectRefused("random_scale { fill: [1, 2, nan] }", "random_scale.fill[2]: nan");
  const auto empty = CreateTransform("random_scale {}", {{0, 0}, {}});
  ASSERT_FALSE(empty.ok());
  EXPECT_EQ(empty.status().message(),
            "random_scale: model.input is 0x0; set a positive width and height");
}

}  // namespace
}  // namespace ssd
