#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
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

int Red(const cv::Mat& rgb) { return rgb.at<cv::Vec3b>(0)[0]; }
int RedOfSecond(const cv::Mat& rgb) { return rgb.at<cv::Vec3b>(1)[0]; }
int BlueAboveRed(const cv::Mat& rgb) { return rgb.at<cv::Vec3b>(0)[2] - Red(rgb); }

// The ranges are the defaults of torchvision's RandomPhotometricDistort. An amount that rounds to
// nothing changes nothing.
TEST(ColorJitterTest, EachOperationHasItsOddsAndRange) {
  const cv::Mat grey(1, 1, CV_8UC3, cv::Scalar::all(200));
  cv::Mat two_greys(1, 2, CV_8UC3, cv::Scalar::all(40));
  two_greys.at<cv::Vec3b>(1) = cv::Vec3b(200, 200, 200);
  const cv::Mat reddish(1, 1, CV_8UC3, cv::Scalar(200, 100, 100));
  const double its_grey = 0.2989 * 200 + (0.587 + 0.114) * 100;
  const double colored = 200 - its_grey;
  const cv::Mat green(1, 1, CV_8UC3, cv::Scalar(0, 255, 0));
  for (const double odds : {0.5, 1.0}) {
    for (const char* const order : {"ANY", "CONTRAST_SECOND_OR_LAST"}) {
      const std::string rule = absl::StrCat("probability: ", odds, " order: ", order);
      SCOPED_TRACE(rule);
      const auto jitter = [&rule](const std::string& others) {
        return MakeTransform(absl::StrCat("color_jitter { ", rule, " ", others, " }"));
      };
      ExpectSpread(*jitter("contrast: 0 saturation: 0 hue: 0"), grey, Red,
                   {odds * (1 - 1 / 50.0), 0.875 * 200, 1.125 * 200});
      ExpectSpread(*jitter("brightness: 0 saturation: 0 hue: 0"), two_greys, RedOfSecond,
                   {odds * (1 - 1 / 80.0), 120 + 0.5 * 80, 120 + 1.5 * 80});
      ExpectSpread(*jitter("brightness: 0 contrast: 0 hue: 0"), reddish, Red,
                   {odds * (1 - 1 / colored), its_grey + 0.5 * colored, its_grey + 1.5 * colored});
      // A sixth of a turn makes yellow or cyan of green.
      ExpectSpread(*jitter("brightness: 0 contrast: 0 saturation: 0"), green, BlueAboveRed,
                   {odds * (1 - 1 / 153.0), -0.05 * 6 * 255, 0.05 * 6 * 255});
    }
  }
}

using Order = std::vector<ColorStep::Kind>;

constexpr ColorStep::Kind kKinds[] = {ColorStep::BRIGHTNESS, ColorStep::CONTRAST,
                                      ColorStep::SATURATION, ColorStep::HUE};

constexpr int kOrderRuns = 2000;

cv::Mat Jittered(const Transform& jitter, const cv::Mat& image, uint64_t run) {
  Sample sample = MakeSample(image, {});
  Random random(1, 1, run);
  jitter.Apply(random, sample);
  return *sample.image.Render();
}

// Pixels in which every factor multiplies the distance from blue to red, and a turn moves green,
// which is halfway between them.
cv::Mat OrangeRamp() {
  cv::Mat ramp(1, 64, CV_8UC3);
  for (int d = 0; d < ramp.cols; ++d) {
    ramp.at<cv::Vec3b>(d) =
        cv::Vec3b(static_cast<uchar>(100 + d), 100, static_cast<uchar>(100 - d));
  }
  return ramp;
}

// The step of `kind` that makes `jittered` of the ramp.
ColorStep StepOf(ColorStep::Kind kind, const cv::Mat& jittered) {
  const cv::Scalar before = cv::sum(OrangeRamp());
  const cv::Scalar after = cv::sum(jittered);
  const double red_off_blue = after[0] - after[2];
  if (kind == ColorStep::HUE) return {kind, ((after[1] - after[2]) / red_off_blue - 0.5) / 6};
  return {kind, red_off_blue / (before[0] - before[2])};
}

// For each run, the orders of steps that make of an image what a jitter of this `rule` makes. The
// steps are read off jitters that do one alone: what is drawn does not depend on the ranges.
std::vector<std::vector<Order>> PossibleOrders(const std::string& rule) {
  const auto make = [&rule](const std::string& ranges) {
    return MakeTransform(absl::StrCat("color_jitter { ", rule, " ", ranges, " }"));
  };
  const auto all = make("brightness: 0.5 contrast: 0.5 saturation: 0.5 hue: 0.07");
  std::map<ColorStep::Kind, std::unique_ptr<Transform>> alone;
  alone[ColorStep::BRIGHTNESS] = make("brightness: 0.5 contrast: 0 saturation: 0 hue: 0");
  alone[ColorStep::CONTRAST] = make("brightness: 0 contrast: 0.5 saturation: 0 hue: 0");
  alone[ColorStep::SATURATION] = make("brightness: 0 contrast: 0 saturation: 0.5 hue: 0");
  alone[ColorStep::HUE] = make("brightness: 0 contrast: 0 saturation: 0 hue: 0.07");

  // Steps that cut nothing off commute, so the image has colours near all limits.
  const cv::Mat image = NoiseImage({8, 8}, 7);
  const cv::Mat ramp = OrangeRamp();
  std::vector<std::vector<Order>> possible(kOrderRuns);
  for (int run = 0; run < kOrderRuns; ++run) {
    const cv::Mat jittered = Jittered(*all, image, run);
    std::map<ColorStep::Kind, ColorStep> steps;
    for (const ColorStep::Kind kind : kKinds) {
      steps[kind] = StepOf(kind, Jittered(*alone[kind], ramp, run));
    }
    Order order(std::begin(kKinds), std::end(kKinds));
    do {
      std::vector<ColorStep> ordered;
      for (const ColorStep::Kind kind : order) ordered.push_back(steps[kind]);
      // The steps are known to about 1e-3.
      if (MaxDifference(Changed(image, ordered), jittered) <= 6) possible[run].push_back(order);
    } while (std::next_permutation(order.begin(), order.end()));
  }
  return possible;
}

// The rule has two of the 24 orders; of the runs that tell them apart, each has a half.
TEST(ColorJitterTest, ContrastIsSecondOrLast) {
  const Order second = {ColorStep::BRIGHTNESS, ColorStep::CONTRAST, ColorStep::SATURATION,
                        ColorStep::HUE};
  const Order last = {ColorStep::BRIGHTNESS, ColorStep::SATURATION, ColorStep::HUE,
                      ColorStep::CONTRAST};
  int only_second = 0;
  int only_last = 0;
  for (const std::vector<Order>& orders : PossibleOrders("order: CONTRAST_SECOND_OR_LAST")) {
    const bool can_be_second = std::count(orders.begin(), orders.end(), second) > 0;
    const bool can_be_last = std::count(orders.begin(), orders.end(), last) > 0;
    ASSERT_TRUE(can_be_second || can_be_last);
    only_second += can_be_second && !can_be_last;
    only_last += can_be_last && !can_be_second;
  }
  const int told = only_second + only_last;
  EXPECT_GT(told, kOrderRuns / 3);
  EXPECT_NEAR(only_second, told / 2.0, 2 * std::sqrt(told));  // four standard deviations
}

// A run counts in equal parts for the orders that are possible in it, so that all 24 of equal odds
// come out equal.
TEST(ColorJitterTest, AnyOrderHasEqualOdds) {
  std::map<Order, double> counts;
  int certain = 0;
  for (const std::vector<Order>& orders : PossibleOrders("order: ANY")) {
    ASSERT_FALSE(orders.empty());
    certain += orders.size() == 1;
    for (const Order& order : orders) counts[order] += 1.0 / static_cast<double>(orders.size());
  }
  EXPECT_GT(certain, kOrderRuns / 20);
  EXPECT_EQ(counts.size(), 24u);
  const double odds = 1 / 24.0;
  for (const auto& entry : counts) {
    EXPECT_NEAR(entry.second, kOrderRuns * odds, 4 * std::sqrt(kOrderRuns * odds * (1 - odds)));
  }
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
