#include <gtest/gtest.h>

#include <opencv2/core.hpp>
#include <set>
#include <tuple>

#include "data/transforms/transform_testing.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

// Draws probabilities and amounts as documented: counts what happened to a grey image.
TEST(PhotometricDistortionTest, EachOperationHappensHalfOfTheTime) {
  const auto distort = MakeTransform(
      "photometric_distortion { min_contrast: 0.5 max_contrast: 0.5 hue: 0 "
      "min_saturation: 1 max_saturation: 1 brightness: 20 }");
  int dark = 0, unchanged = 0;
  constexpr int kRuns = 2000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(cv::Mat(1, 1, CV_8UC3, cv::Scalar::all(100)), {});
    Random random(1, 1, run);
    distort->Apply(random, sample);
    const int value = sample.image.Render()->at<cv::Vec3b>(0)[0];
    ASSERT_TRUE((value >= 40 && value <= 60) || (value >= 80 && value <= 120)) << value;
    dark += value <= 60;
    unchanged += value == 100;
  }
  EXPECT_NEAR(dark, kRuns / 2, 100);
  // A quarter has neither; brightness rounds to 0 now and then.
  EXPECT_NEAR(unchanged, kRuns * (0.25 + 0.25 / 40), 90);
}

int Red(const cv::Mat& rgb) { return rgb.at<cv::Vec3b>(0)[0]; }
int RedAboveGreen(const cv::Mat& rgb) { return Red(rgb) - rgb.at<cv::Vec3b>(0)[1]; }
int BlueAboveRed(const cv::Mat& rgb) { return rgb.at<cv::Vec3b>(0)[2] - Red(rgb); }

// The ranges are Caffe's defaults. An amount that rounds to nothing changes nothing.
TEST(PhotometricDistortionTest, EachOperationHasItsOddsAndRange) {
  const cv::Mat brown(1, 1, CV_8UC3, cv::Scalar(160, 80, 40));
  ExpectSpread(*MakeTransform("photometric_distortion { min_contrast: 1 max_contrast: 1 "
                              "min_saturation: 1 max_saturation: 1 hue: 0 }"),
               brown, Red, {0.5 * (1 - 1 / 64.0), 160 - 32, 160 + 32});
  ExpectSpread(*MakeTransform("photometric_distortion { brightness: 0 min_saturation: 1 "
                              "max_saturation: 1 hue: 0 }"),
               brown, Red, {0.5 * (1 - 1 / 160.0), 0.5 * 160, 1.5 * 160});
  // Where a channel is 255, another's distance from it is OpenCV's saturation.
  ExpectSpread(*MakeTransform("photometric_distortion { brightness: 0 min_contrast: 1 "
                              "max_contrast: 1 hue: 0 }"),
               cv::Mat(1, 1, CV_8UC3, cv::Scalar(255, 95, 95)), RedAboveGreen,
               {0.5 * (1 - 1 / 160.0), 0.5 * 160, 1.5 * 160});
  // A turn of 30 in OpenCV's units, taken in whole ones, makes yellow or cyan of green.
  ExpectSpread(*MakeTransform("photometric_distortion { brightness: 0 min_contrast: 1 "
                              "max_contrast: 1 min_saturation: 1 max_saturation: 1 }"),
               cv::Mat(1, 1, CV_8UC3, cv::Scalar(0, 255, 0)), BlueAboveRed,
               {0.5 * (1 - 1 / 36.0), -18 * 255 / 30.0, 18 * 255 / 30.0});
}

TEST(PhotometricDistortionTest, ContrastComesLastHalfOfTheTime) {
  const auto distort = MakeTransform(
      "photometric_distortion { probability: 1 brightness: 0 hue: 0 min_contrast: 2 "
      "max_contrast: 2 min_saturation: 0.5 max_saturation: 0.5 }");
  // First, it makes (255, 200, 200) of which half the saturation is left; last, it cuts twice
  // (200, 150, 150) off.
  const cv::Vec3b contrast_first(255, 227, 227), contrast_last(255, 255, 255);
  int last = 0;
  constexpr int kRuns = 2000;
  for (uint64_t seed = 0; seed < kRuns; ++seed) {
    Sample sample = MakeSample(cv::Mat(1, 1, CV_8UC3, cv::Scalar(200, 100, 100)), {});
    Random random(seed, 1, 1);
    distort->Apply(random, sample);
    const cv::Vec3b pixel = sample.image.Render()->at<cv::Vec3b>(0);
    ASSERT_TRUE(pixel == contrast_first || pixel == contrast_last) << pixel;
    last += pixel == contrast_last;
  }
  EXPECT_NEAR(last, kRuns / 2, 89);  // four standard deviations
}

TEST(PhotometricDistortionTest, ShufflesChannelsInAllSixOrders) {
  const auto distort =
      MakeTransform("photometric_distortion { probability: 0 channel_shuffle_probability: 0.5 }");
  std::set<std::tuple<int, int, int>> seen;
  int unchanged = 0;
  constexpr int kRuns = 2000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(cv::Mat(1, 1, CV_8UC3, cv::Scalar(10, 20, 30)), {});
    Random random(1, 1, run);
    distort->Apply(random, sample);
    const cv::Vec3b pixel = sample.image.Render()->at<cv::Vec3b>(0);
    EXPECT_EQ(pixel[0] + pixel[1] + pixel[2], 60);
    seen.emplace(pixel[0], pixel[1], pixel[2]);
    unchanged += pixel == cv::Vec3b(10, 20, 30);
  }
  EXPECT_EQ(seen.size(), 6u);
  // A half, and a sixth of the other; four standard deviations.
  EXPECT_NEAR(unchanged, kRuns * (0.5 + 0.5 / 6), 89);
}

// What comes after draws the same numbers as before there was a shuffle.
TEST(PhotometricDistortionTest, WithoutShuffleDrawsNothingForIt) {
  const auto distort = MakeTransform("photometric_distortion { probability: 0 }");
  Sample sample = MakeSample(cv::Mat(1, 1, CV_8UC3, cv::Scalar::all(100)), {});
  Random random(1, 1, 1);
  distort->Apply(random, sample);
  Random expected(1, 1, 1);
  for (int i = 0; i < 5; ++i) expected.Uniform();
  EXPECT_EQ(random(), expected());
}

TEST(PhotometricDistortionTest, WrongOptionsNameFieldValueAndRange) {
  ExpectRefused("photometric_distortion { brightness: -1 }",
                "photometric_distortion.brightness: -1");
  ExpectRefused("photometric_distortion { min_contrast: 2 }",
                "photometric_distortion.min_contrast: 2");
  ExpectRefused("photometric_distortion { max_saturation: -1 }",
                "photometric_distortion.max_saturation: -1");
  ExpectRefused("photometric_distortion { hue: 200 }", "photometric_distortion.hue: 200");
  ExpectRefused("photometric_distortion { probability: 2 }",
                "photometric_distortion.probability: 2");
  ExpectRefused("photometric_distortion { channel_shuffle_probability: 1.5 }",
                "photometric_distortion.channel_shuffle_probability: 1.5");
}

}  // namespace
}  // namespace ssd
