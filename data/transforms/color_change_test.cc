#include "data/transforms/color_change.h"

#include <gtest/gtest.h>

#include <opencv2/imgproc.hpp>
#include <string>
#include <vector>

#include "data/transforms/transform_testing.h"

namespace ssd {
namespace {

TEST(ColorChangeTest, EqualsCaffe) {
  const rapidjson::Value& golden = Golden()["color"];
  const cv::Mat original = ReverseChannels(ToMat(golden["bgr"]));
  for (const auto& op : golden["ops"].GetArray()) {
    const std::string name = op["op"].GetString();
    const double value = op["value"].GetDouble();
    ColorChange change;
    if (name == "brightness") change.brightness = value;
    if (name == "contrast") change.contrast = value;
    if (name == "saturation") change.saturation = value;
    if (name == "hue") change.hue = value;
    cv::Mat image = original.clone();
    change.Apply(image);
    EXPECT_EQ(MaxDifference(image, ReverseChannels(ToMat(op["out"]))), 0) << name << " " << value;
  }
}

TEST(ColorChangeTest, ContrastBeforeOrAfterHueAndSaturation) {
  const cv::Mat original = ReverseChannels(ToMat(Golden()["color"]["bgr"]));
  ColorChange contrast;
  contrast.contrast = 1.4;
  ColorChange hue;
  hue.hue = 12;
  hue.saturation = 0.7;
  ColorChange both = hue;
  both.contrast = 1.4;

  cv::Mat expected = original.clone();
  contrast.Apply(expected);
  hue.Apply(expected);
  cv::Mat image = original.clone();
  both.Apply(image);
  EXPECT_EQ(MaxDifference(image, expected), 0);

  both.contrast_last = true;
  expected = original.clone();
  hue.Apply(expected);
  contrast.Apply(expected);
  image = original.clone();
  both.Apply(image);
  EXPECT_EQ(MaxDifference(image, expected), 0);
}

TEST(ColorChangeTest, WrappedHueGoesRoundAtBothEnds) {
  const cv::Mat original = NoiseImage({40, 60}, 4);
  for (const double hue : {-1.0, -10.0, -90.0, -179.0}) {
    ColorChange back;
    back.hue = hue;
    back.wrap_hue = true;
    ColorChange forth = back;
    forth.hue = hue + 180;
    cv::Mat image = original.clone();
    back.Apply(image);
    cv::Mat expected = original.clone();
    forth.Apply(expected);
    EXPECT_EQ(MaxDifference(image, expected), 0) << hue;

    // Without it, hues below 0 end at 0.
    cv::Mat kept = original.clone();
    back.wrap_hue = false;
    back.Apply(kept);
    EXPECT_GT(MaxDifference(image, kept), 0) << hue;
  }
  // Hues that stay on the circle are the same.
  cv::Mat yellow(1, 1, CV_8UC3, cv::Scalar(200, 200, 0));  // hue 30
  cv::Mat wrapped = yellow.clone();
  ColorChange change;
  change.hue = -20;
  change.Apply(yellow);
  change.wrap_hue = true;
  change.Apply(wrapped);
  EXPECT_EQ(MaxDifference(yellow, wrapped), 0);
}

// Any part of any image: blocks, their remainders and rows with gaps between them.
TEST(ColorChangeTest, DependsOnThePixelAlone) {
  cv::Mat image = NoiseImage({41, 67}, 3);
  ColorChange change;
  change.brightness = -20;
  change.contrast = 1.2;
  change.contrast_last = true;
  change.saturation = 1.4;
  change.hue = -9;
  cv::Mat whole = image.clone();
  change.Apply(whole);
  cv::Mat part = image(cv::Rect(3, 5, 50, 30));
  change.Apply(part);
  EXPECT_EQ(MaxDifference(part, whole(cv::Rect(3, 5, 50, 30))), 0);
  EXPECT_GT(MaxDifference(image(cv::Rect(0, 0, 67, 5)), whole(cv::Rect(0, 0, 67, 5))), 0);
  for (int i = 0; i < 40; ++i) {
    cv::Mat pixel = image(cv::Rect(i, 1, 1, 1)).clone();
    change.Apply(pixel);
    EXPECT_EQ(pixel.at<cv::Vec3b>(0), whole.at<cv::Vec3b>(1, i));
  }
}

// OpenCV's own way there and back differs where its vector code cuts instead of rounding.
TEST(ColorChangeTest, StaysCloseToOpenCvOnAllColours) {
  cv::Mat image(256, 256 * 16, CV_8UC3);
  for (int r = 0; r < 256; ++r) {
    for (int i = 0; i < image.cols; ++i) {
      image.at<cv::Vec3b>(r, i) = cv::Vec3b(r, i % 256, 17 * (i / 256));
    }
  }
  for (const double hue : {-180.0, -18.0, 0.0, 18.0, 180.0}) {
    cv::Mat hsv;
    cv::cvtColor(image, hsv, cv::COLOR_RGB2HSV);
    std::vector<cv::Mat> channels;
    cv::split(hsv, channels);
    channels[0].convertTo(channels[0], -1, 1, hue);
    channels[1].convertTo(channels[1], -1, 0.6);
    cv::merge(channels, hsv);
    cv::Mat expected;
    cv::cvtColor(hsv, expected, cv::COLOR_HSV2RGB);
    cv::Mat changed = image.clone();
    ColorChange change;
    change.hue = hue;
    change.saturation = 0.6;
    change.Apply(changed);
    EXPECT_LE(MaxDifference(changed, expected), 1) << hue;
  }
}

}  // namespace
}  // namespace ssd
