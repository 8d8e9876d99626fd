#include <gtest/gtest.h>

#include <map>
#include <opencv2/core.hpp>
#include <string>

#include "data/transforms/transform_testing.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

const cv::Scalar kMean(123, 117, 104);
const cv::Scalar kRed(255, 0, 0);

// A red image of 200x100 in an input of 80x60: 80x40 pixels of it.
Sample Applied(const std::string& text, uint64_t run = 0) {
  Sample sample = MakeSample(cv::Mat(100, 200, CV_8UC3, kRed), {{50, 20, 150, 80}});
  Random random(1, 1, run);
  MakeTransform(text, {60, 80})->Apply(random, sample);
  return sample;
}

void ExpectRedFrom(const Sample& sample, int top, const cv::Scalar& fill) {
  cv::Mat expected(60, 80, CV_8UC3, fill);
  expected(cv::Rect(0, top, 80, 40)).setTo(kRed);
  EXPECT_EQ(MaxDifference(*sample.image.Render(), expected), 0);
  ASSERT_EQ(sample.truth.objects.size(), 1u);
  const double y = top;
  ExpectNear(sample.truth.objects[0].box, {20, y + 8, 60, y + 32}, 1e-12);
  ExpectNear(sample.geometry.ToOriginal(sample.truth.objects[0].box), {50, 20, 150, 80}, 1e-9);
}

TEST(ResizeAndPadTest, KeepsTheRatioAndPlacesTheImage) {
  ExpectRedFrom(Applied("resize_and_pad {}"), 0, kMean);
  ExpectRedFrom(Applied("resize_and_pad { position: CENTER }"), 10, kMean);
  ExpectRedFrom(Applied("resize_and_pad { fill: [114, 114, 114] }"), 0, cv::Scalar::all(114));
  std::map<int, int> tops;
  for (uint64_t run = 0; run < 420; ++run) {
    const Sample sample = Applied("resize_and_pad { position: RANDOM }", run);
    const int top = static_cast<int>(sample.truth.objects.at(0).box.y0) - 8;
    if (run < 20) ExpectRedFrom(sample, top, kMean);
    ++tops[top];
  }
  EXPECT_EQ(tops.size(), 21u);
  EXPECT_EQ(tops.begin()->first, 0);
  EXPECT_EQ(tops.rbegin()->first, 20);
}

TEST(ResizeAndPadTest, OfTheInputsShapeItIsAResize) {
  const cv::Mat image = NoiseImage({30, 40}, 1);
  Sample padded = MakeSample(image, {});
  Sample resized = MakeSample(image, {});
  Random random(1, 1, 1);
  MakeTransform("resize_and_pad {}", {60, 80})->Apply(random, padded);
  MakeTransform("resize_and_pad {}", {30, 40})->Apply(random, resized);
  EXPECT_EQ(padded.image.size(), (ImageSize{60, 80}));
  EXPECT_EQ(padded.geometry.scale_x, 0.5);
  EXPECT_EQ(MaxDifference(*resized.image.Render(), image), 0);
}

TEST(ResizeAndPadTest, LeavesAPixelOfTheThinnestImage) {
  Sample sample = MakeSample(cv::Mat(3, 1000, CV_8UC3, kRed), {{0, 0, 1000, 3}});
  Random random(1, 1, 1);
  MakeTransform("resize_and_pad { position: CENTER }", {60, 80})->Apply(random, sample);
  cv::Mat expected(60, 80, CV_8UC3, kMean);
  expected.row(29).setTo(kRed);
  EXPECT_EQ(MaxDifference(*sample.image.Render(), expected), 0);
  ExpectNear(sample.truth.objects.at(0).box, {0, 29, 80, 30}, 1e-12);
}

TEST(ResizeAndPadTest, WrongOptionsNameFieldValueAndRange) {
  ExpectRefused("resize_and_pad { fill: 1 }", "resize_and_pad.fill: 1 values");
  ExpectRefused("resize_and_pad { fill: [-1, 0, 0] }", "resize_and_pad.fill[0]: -1");
  const auto empty = CreateTransform("resize_and_pad {}", {{60, 0}, {}});
  ASSERT_FALSE(empty.ok());
  EXPECT_EQ(empty.status().message(),
            "resize_and_pad: model.input is 0x60; set a positive width and height");
}

}  // namespace
}  // namespace ssd
