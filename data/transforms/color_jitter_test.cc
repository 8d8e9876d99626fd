#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/lazy_image.h"
#include "data/transforms/color_steps.h"
#include "data/transforms/transform_testing.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

cv::Mat Changed(const cv::Mat& image, const std::vector<ColorStep>& steps) {
  cv::Mat result = image.clone();
  ApplyColorSteps(steps, result);
  return result;
}

TEST(ColorStepsTest, EqualTorchvision) {
  const rapidjson::Value& golden = Golden()["torchvision_color"];
  const cv::Mat original = ToMat(golden["rgb"]);
  const std::map<std::string, ColorStep::Kind> kinds = {{"brightness", ColorStep::BRIGHTNESS},
                                                        {"contrast", ColorStep::CONTRAST},
                                                        {"saturation", ColorStep::SATURATION},
                                                        {"hue", ColorStep::HUE}};
  for (const auto& op : golden["ops"].GetArray()) {
    const std::string name = op["op"].GetString();
    const double amount = op["value"].GetDouble();
    const cv::Mat image = Changed(original, {{kinds.at(name), amount}});
    // The figures were cut to bytes where these are rounded.
    EXPECT_LE(MaxDifference(image, ToMat(op["out"])), 1) << name << " " << amount;
  }
}

TEST(ColorStepsTest, ExtremesAreTheMeanTheGreysAndOtherChannels) {
  const cv::Mat image = NoiseImage({37, 91}, 5);
  const cv::Mat grey = Changed(image, {{ColorStep::SATURATION, 0}});
  double mean = 0;
  for (int y = 0; y < image.rows; ++y) {
    for (int x = 0; x < image.cols; ++x) {
      const cv::Vec3b& pixel = image.at<cv::Vec3b>(y, x);
      const double expected = 0.2989 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
      mean += expected / static_cast<double>(image.total());
      for (int c = 0; c < 3; ++c) EXPECT_NEAR(grey.at<cv::Vec3b>(y, x)[c], expected, 0.501);
    }
  }
  const cv::Mat flat = Changed(image, {{ColorStep::CONTRAST, 0}});
  EXPECT_LE(
      MaxDifference(flat, cv::Mat(flat.size(), flat.type(), cv::Scalar::all(std::lround(mean)))),
      std::abs(mean - std::floor(mean) - 0.5) < 1e-3 ? 1 : 0);

  // A third of the circle takes red to green, green to blue and blue to red.
  const cv::Mat turned = Changed(image, {{ColorStep::HUE, 1.0 / 3}});
  for (int y = 0; y < image.rows; ++y) {
    for (int x = 0; x < image.cols; ++x) {
      const cv::Vec3b& pixel = image.at<cv::Vec3b>(y, x);
      const cv::Vec3b& other = turned.at<cv::Vec3b>(y, x);
      EXPECT_NEAR(other[0], pixel[2], 1);
      EXPECT_NEAR(other[1], pixel[0], 1);
      EXPECT_NEAR(other[2], pixel[1], 1);
    }
  }
  EXPECT_LE(MaxDifference(Changed(image, {{ColorStep::HUE, 0.5}}),
                          Changed(image, {{ColorStep::HUE, -0.5}})),
            1);
  EXPECT_EQ(MaxDifference(Changed(image, {{ColorStep::HUE, 0}}), image), 0);
}

// Greys 40 and 200, twice as bright 80 and 255: the mean is that of the image at its step.
TEST(ColorStepsTest, TakeEffectInTheirOrder) {
  cv::Mat image(1, 2, CV_8UC3);
  image.at<cv::Vec3b>(0) = cv::Vec3b(40, 40, 40);
  image.at<cv::Vec3b>(1) = cv::Vec3b(200, 200, 200);
  const cv::Mat bright_first =
      Changed(image, {{ColorStep::BRIGHTNESS, 2}, {ColorStep::CONTRAST, 0.5}});
  EXPECT_NEAR(bright_first.at<cv::Vec3b>(0)[0], 80 * 0.5 + 167.5 * 0.5, 0.51);
  EXPECT_NEAR(bright_first.at<cv::Vec3b>(1)[0], 255 * 0.5 + 167.5 * 0.5, 0.51);
  const cv::Mat bright_last =
      Changed(image, {{ColorStep::CONTRAST, 0.5}, {ColorStep::BRIGHTNESS, 2}});
  EXPECT_NEAR(bright_last.at<cv::Vec3b>(0)[0], 2 * (40 * 0.5 + 120 * 0.5), 0.51);
  EXPECT_EQ(bright_last.at<cv::Vec3b>(1)[0], 255);
}

// Blocks, their remainders and rows with gaps between them.
TEST(ColorStepsTest, DependOnThePixelAloneWithoutContrast) {
  const std::vector<ColorStep> steps = {
      {ColorStep::HUE, -0.04}, {ColorStep::SATURATION, 1.3}, {ColorStep::BRIGHTNESS, 0.9}};
  EXPECT_FALSE(NeedWholeImage(steps));
  EXPECT_TRUE(NeedWholeImage({{ColorStep::BRIGHTNESS, 0.9}, {ColorStep::CONTRAST, 0.5}}));
  cv::Mat image = NoiseImage({41, 67}, 3);
  const cv::Mat whole = Changed(image, steps);
  cv::Mat part = image(cv::Rect(3, 5, 50, 30));
  ApplyColorSteps(steps, part);
  EXPECT_EQ(MaxDifference(part, whole(cv::Rect(3, 5, 50, 30))), 0);
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(Changed(image(cv::Rect(i, 1, 1, 1)), steps).at<cv::Vec3b>(0),
              whole.at<cv::Vec3b>(1, i));
  }
}

// A single grey pixel shows the brightness alone.
TEST(ColorJitterTest, FactorsAreUniform) {
  const auto jitter = MakeTransform("color_jitter {}");
  double sum = 0;
  constexpr int kRuns = 2000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(cv::Mat(1, 1, CV_8UC3, cv::Scalar::all(200)), {});
    Random random(1, 1, run);
    jitter->Apply(random, sample);
    const int value = sample.image.Render()->at<cv::Vec3b>(0)[1];
    EXPECT_TRUE(value >= 175 && value <= 225) << value;
    sum += value;
  }
  // Four standard deviations of the mean of uniform numbers 50 apart.
  EXPECT_NEAR(sum / kRuns, 200, 1.3);
}

TEST(ColorJitterTest, EachOperationHasItsProbability) {
  const auto jitter = MakeTransform(
      "color_jitter { probability: 0.5 order: CONTRAST_SECOND_OR_LAST "
      "channel_shuffle_probability: 0.5 }");
  int unchanged = 0;
  constexpr int kRuns = 2000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(cv::Mat(1, 1, CV_8UC3, cv::Scalar::all(200)), {});
    Random random(1, 1, run);
    jitter->Apply(random, sample);
    unchanged += sample.image.Render()->at<cv::Vec3b>(0)[0] == 200;
  }
  // One in fifty factors rounds to nothing. Four standard deviations.
  EXPECT_NEAR(unchanged, kRuns * (0.5 + 0.5 / 50), 90);
}

TEST(ColorJitterTest, ShufflesChannels) {
  const auto jitter =
      MakeTransform("color_jitter { probability: 0 channel_shuffle_probability: 0.5 }");
  int unchanged = 0;
  constexpr int kRuns = 2000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(cv::Mat(1, 1, CV_8UC3, cv::Scalar(10, 20, 30)), {});
    Random random(1, 1, run);
    jitter->Apply(random, sample);
    unchanged += sample.image.Render()->at<cv::Vec3b>(0) == cv::Vec3b(10, 20, 30);
  }
  EXPECT_NEAR(unchanged, kRuns * (0.5 + 0.5 / 6), 89);
}

// The contrast leans towards the mean of the view as it is at that moment, whatever of it is shown
// later; a canvas around it from before belongs to it.
TEST(ColorJitterTest, ContrastIsOfTheWholeView) {
  const auto jitter = MakeTransform("color_jitter { brightness: 0 saturation: 0 hue: 0 }");
  cv::Mat image(10, 20, CV_8UC3, cv::Scalar::all(0));
  image(cv::Rect(10, 0, 10, 10)).setTo(cv::Scalar::all(200));
  const cv::Rect right(10, 0, 10, 10);
  bool changed = false;
  for (uint64_t run = 0; run < 20; ++run) {
    Sample sample = MakeSample(image, {{0, 0, 20, 10}});
    Random random(1, 1, run);
    jitter->Apply(random, sample);
    const cv::Mat whole = *sample.image.Render();
    // Grey around the mean of 100 both ways.
    EXPECT_NEAR(whole.at<cv::Vec3b>(0, 0)[0] + whole.at<cv::Vec3b>(0, 19)[0], 200,
                whole.at<cv::Vec3b>(0, 0)[0] == 0 ? 50 : 1);
    changed |= MaxDifference(whole, image) > 0;
    sample.image.Crop(right, cv::Scalar());
    EXPECT_EQ(MaxDifference(*sample.image.Render(), whole(right)), 0);

    Sample padded = MakeSample(image(right), {});
    padded.image.Crop(cv::Rect(-10, 0, 20, 10), cv::Scalar());
    random = Random(1, 1, run);
    jitter->Apply(random, padded);
    EXPECT_EQ(MaxDifference(*padded.image.Render(), whole), 0);
  }
  EXPECT_TRUE(changed);
}

class TruncatedImage : public ImageSource {
 public:
  ImageSize size() const override { return {4, 4}; }
  absl::StatusOr<cv::Mat> Decode() const override {
    return absl::DataLossError("a.jpg: truncated");
  }
};

TEST(ColorJitterTest, PassesOnWhatTheImageFailsWith) {
  const auto jitter = MakeTransform("color_jitter {}");
  Sample sample;
  sample.image = LazyImage(std::make_shared<TruncatedImage>());
  Random random(1, 1, 1);
  jitter->Apply(random, sample);
  EXPECT_EQ(sample.image.Render().status(), absl::DataLossError("a.jpg: truncated"));
}

TEST(ColorJitterTest, WrongOptionsNameFieldValueAndRange) {
  ExpectRefused("color_jitter { brightness: -0.1 }", "color_jitter.brightness: -0.1");
  ExpectRefused("color_jitter { contrast: 1.5 }", "color_jitter.contrast: 1.5");
  ExpectRefused("color_jitter { saturation: nan }", "color_jitter.saturation: nan");
  ExpectRefused("color_jitter { hue: 0.6 }", "color_jitter.hue: 0.6");
  ExpectRefused("color_jitter { probability: 2 }", "color_jitter.probability: 2");
  ExpectRefused("color_jitter { channel_shuffle_probability: -1 }",
                "color_jitter.channel_shuffle_probability: -1");
}

}  // namespace
}  // namespace ssd
