#include <gtest/gtest.h>

#include <opencv2/core.hpp>

#include "data/transforms/transform_testing.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

TEST(VerticalFlipTest, TwiceIsIdentity) {
  const cv::Mat image = ToMat(Golden()["resize"]["src"]);
  const double height = image.rows;
  Sample sample = MakeSample(image, {{1, 2, 4.5, 6}});
  const auto flip = MakeTransform("vertical_flip { probability: 1 }");
  Random random(1, 1, 1);
  flip->Apply(random, sample);
  ExpectNear(sample.truth.objects[0].box, {1, height - 6, 4.5, height - 2}, 1e-12);
  EXPECT_EQ(sample.image.Render()->at<cv::Vec3b>(0, 0), image.at<cv::Vec3b>(image.rows - 1, 0));
  flip->Apply(random, sample);
  ExpectNear(sample.truth.objects[0].box, {1, 2, 4.5, 6}, 1e-12);
  EXPECT_EQ(MaxDifference(*sample.image.Render(), image), 0);
}

TEST(VerticalFlipTest, HappensWithItsProbability) {
  const auto flip = MakeTransform("vertical_flip { probability: 0.3 }");
  int flipped = 0;
  constexpr int kRuns = 2000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(cv::Mat(4, 1, CV_8UC3), {});
    Random random(1, 1, run);
    flip->Apply(random, sample);
    flipped += sample.geometry.scale_y < 0;
  }
  EXPECT_NEAR(flipped, 0.3 * kRuns, 82);  // four standard deviations
}

TEST(VerticalFlipTest, WrongOptionsNameFieldValueAndRange) {
  ExpectRefused("vertical_flip { probability: -0.5 }", "vertical_flip.probability: -0.5");
}

}  // namespace
}  // namespace ssd
