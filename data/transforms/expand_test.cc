#include <gtest/gtest.h>

#include <opencv2/core.hpp>

#include "data/transforms/transform_testing.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

TEST(ExpandTest, PlacesTheImageOnTheMeanColour) {
  const auto expand = MakeTransform("expand { probability: 1 max_ratio: 3 }");
  for (uint64_t run = 0; run < 50; ++run) {
    Sample sample = MakeSample(cv::Mat(10, 20, CV_8UC3, cv::Scalar(1, 2, 3)), {{0, 0, 20, 10}});
    Random random(1, 1, run);
    expand->Apply(random, sample);
    const cv::Mat image = *sample.image.Render();
    EXPECT_TRUE(image.rows >= 10 && image.rows <= 30 && image.cols >= 20 && image.cols <= 60);
    const PixelBox& box = sample.truth.objects[0].box;
    const cv::Rect where(static_cast<int>(box.x0), static_cast<int>(box.y0), 20, 10);
    cv::Mat expected(image.size(), CV_8UC3, cv::Scalar(123, 117, 104));
    expected(where).setTo(cv::Scalar(1, 2, 3));
    EXPECT_EQ(MaxDifference(image, expected), 0);
  }
}

TEST(ExpandTest, RatioIsUniformAndPlaceToo) {
  const auto expand = MakeTransform("expand { probability: 0.5 min_ratio: 2 max_ratio: 4 }");
  constexpr int kRuns = 4000;
  int expanded = 0;
  double ratio = 0, left = 0, top = 0;
  const cv::Mat image(1000, 2000, CV_8UC3);
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(image, {{0, 0, 2000, 1000}});
    Random random(1, 2, run);
    expand->Apply(random, sample);
    const ImageSize size = sample.image.size();
    if (size.width == 2000) continue;
    ++expanded;
    const double drawn = static_cast<double>(size.width) / 2000;
    EXPECT_TRUE(drawn > 1.999 && drawn < 4) << drawn;
    EXPECT_NEAR(static_cast<double>(size.height) / 1000, drawn, 2e-3);
    ratio += drawn;
    left += sample.truth.objects[0].box.x0 / static_cast<double>(size.width - 2000);
    top += sample.truth.objects[0].box.y0 / static_cast<double>(size.height - 1000);
  }
  // Four standard deviations of a fair coin and of means of uniform numbers.
  EXPECT_NEAR(expanded, kRuns / 2, 127);
  EXPECT_NEAR(ratio / expanded, 3, 0.053);
  EXPECT_NEAR(left / expanded, 0.5, 0.027);
  EXPECT_NEAR(top / expanded, 0.5, 0.027);
}

TEST(ExpandTest, FillsWithAColourOfOnesOwn) {
  const auto expand = MakeTransform("expand { probability: 1 min_ratio: 2 fill: [7, 8, 9] }");
  Sample sample = MakeSample(cv::Mat(10, 20, CV_8UC3, cv::Scalar(1, 2, 3)), {});
  Random random(1, 1, 1);
  expand->Apply(random, sample);
  const cv::Mat image = *sample.image.Render();
  int own = 0;
  for (int y = 0; y < image.rows; ++y) {
    for (int x = 0; x < image.cols; ++x) {
      const cv::Vec3b& pixel = image.at<cv::Vec3b>(y, x);
      own += pixel == cv::Vec3b(1, 2, 3);
      EXPECT_TRUE(pixel == cv::Vec3b(1, 2, 3) || pixel == cv::Vec3b(7, 8, 9));
    }
  }
  EXPECT_EQ(own, 10 * 20);
}

TEST(ExpandTest, WrongOptionsNameFieldValueAndRange) {
  ExpectRefused("expand { probability: -1 }", "expand.probability: -1");
  ExpectRefused("expand { max_ratio: 0.5 }", "expand.max_ratio: 0.5");
  ExpectRefused("expand { max_ratio: inf }", "expand.max_ratio: inf");
  ExpectRefused("expand { min_ratio: 0.9 }", "expand.min_ratio: 0.9");
  ExpectRefused("expand { min_ratio: 5 }", "expand.min_ratio: 5");
  ExpectRefused("expand { fill: [1, 2] }", "expand.fill: 2 values");
  ExpectRefused("expand { fill: [1, 2, 256] }", "expand.fill[2]: 256");
}

}  // namespace
}  // namespace ssd
