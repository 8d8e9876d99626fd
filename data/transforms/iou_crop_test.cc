#include "data/transforms/iou_crop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "data/transforms/transform_testing.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

const IouCrop& AsIouCrop(const std::unique_ptr<Transform>& transform) {
  return dynamic_cast<const IouCrop&>(*transform);
}

TEST(IouCropTest, PatchesAreDistributedAsCaffes) {
  const rapidjson::Value& golden = Golden()["sampler"]["sample_bbox"];
  const auto crop = MakeTransform("iou_crop {}");
  constexpr int kSamples = 100000;
  constexpr int64_t kSide = 10000;
  std::vector<double> widths, areas, aspect_ratios;
  double x = 0, height = 0;
  Random random(5, 0, 0);
  for (int i = 0; i < kSamples; ++i) {
    const cv::Rect patch = AsIouCrop(crop).SamplePatch(random, {kSide, kSide});
    ASSERT_EQ(patch & cv::Rect(0, 0, kSide, kSide), patch);
    widths.push_back(static_cast<double>(patch.width) / kSide);
    areas.push_back(widths.back() * patch.height / kSide);
    aspect_ratios.push_back(static_cast<double>(patch.width) / patch.height);
    x += static_cast<double>(patch.x) / kSide / kSamples;
    height += static_cast<double>(patch.height) / kSide / kSamples;
  }
  const auto mean = [](const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return sum / static_cast<double>(values.size());
  };
  const rapidjson::Value& means = golden["mean"];
  EXPECT_NEAR(mean(widths), means["w"].GetDouble(), 0.01);
  EXPECT_NEAR(height, means["h"].GetDouble(), 0.01);
  EXPECT_NEAR(mean(areas), means["area"].GetDouble(), 0.01);
  EXPECT_NEAR(mean(aspect_ratios), means["ar"].GetDouble(), 0.01);
  EXPECT_NEAR(x, means["x"].GetDouble(), 0.01);
  const rapidjson::Value& quantiles = golden["quantiles"];
  for (auto& [name, values] : std::map<std::string, std::vector<double>*>{
           {"w", &widths}, {"area", &areas}, {"ar", &aspect_ratios}}) {
    std::sort(values->begin(), values->end());
    for (rapidjson::SizeType i = 0; i < quantiles["q"].Size(); ++i) {
      const double q = quantiles["q"][i].GetDouble();
      EXPECT_NEAR((*values)[static_cast<size_t>(q * (kSamples - 1))],
                  quantiles[name.c_str()][i].GetDouble(), 0.02)
          << name << " at " << q;
    }
  }
  // Up to the rounding of its sides.
  const double small = static_cast<double>(
      std::lower_bound(areas.begin(), areas.end(), 0.09 - 1e-4) - areas.begin());
  EXPECT_EQ(small / kSamples, golden["fraction_area_below_0_09"].GetDouble());
}

TEST(IouCropTest, SamplersSucceedAsOftenAsCaffes) {
  const auto crop = MakeTransform("iou_crop {}");
  uint64_t golden_case = 0;
  for (const auto& golden : Golden()["sampler"]["batch_sampler"].GetArray()) {
    ++golden_case;
    constexpr double kSide = 10000;
    Annotations truth;
    truth.size = {static_cast<int64_t>(kSide), static_cast<int64_t>(kSide)};
    for (const auto& box : golden["objects"].GetArray()) {
      truth.objects.push_back({ToBox(box, kSide), 1});
    }
    constexpr int kRuns = 4000;
    double successes = 0, area = 0;
    std::vector<double> histogram(8, 0);
    for (uint64_t run = 0; run < kRuns; ++run) {
      Random random(11, golden_case, run);
      const auto patches = AsIouCrop(crop).FindPatches(random, truth);
      successes += static_cast<double>(patches.size());
      ASSERT_LT(patches.size(), histogram.size());
      histogram[patches.size()] += 1;
      for (const cv::Rect& patch : patches) area += patch.width / kSide * patch.height / kSide;
    }
    // Caffe's figures come from 2000 runs.
    EXPECT_NEAR(successes / kRuns, golden["mean_number_of_successful_samplers"].GetDouble(), 0.05);
    EXPECT_NEAR(area / successes, golden["mean_area_of_pooled_samples"].GetDouble(), 0.01);
    const double golden_runs = golden["runs"].GetDouble();
    ASSERT_EQ(golden["histogram"].Size(), histogram.size());
    for (rapidjson::SizeType n = 0; n < golden["histogram"].Size(); ++n) {
      // Four standard deviations of the difference at a half.
      EXPECT_NEAR(histogram[n] / kRuns, golden["histogram"][n].GetDouble() / golden_runs, 0.055)
          << n << " samplers, case " << golden_case;
    }
  }
}

// One of the patches found is drawn at even odds (Caffe), so the whole image is drawn with a chance
// of one in their number.
TEST(IouCropTest, WholeImageIsOneOfThePatchesFound) {
  const auto crop = MakeTransform("iou_crop {}");
  const cv::Mat image(1000, 1000, CV_8UC3);
  double expected = 0;
  int whole = 0;
  constexpr int kRuns = 4000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(image, {{200, 200, 800, 900}});
    Random random(3, 3, run);
    const size_t found = AsIouCrop(crop).FindPatches(random, sample.truth).size();
    expected += 1 / static_cast<double>(found);
    random = Random(3, 3, run);
    crop->Apply(random, sample);
    whole += sample.image.size() == ImageSize{1000, 1000};
  }
  // Four standard deviations; patches of the whole image's size are rare.
  EXPECT_NEAR(whole, expected, 96);
}

TEST(IouCropTest, WrongOptionsNameFieldValueAndRange) {
  ExpectRefused("iou_crop { min_scale: 0 }", "iou_crop.min_scale: 0");
  ExpectRefused("iou_crop { max_scale: 1.1 }", "iou_crop.max_scale: 1.1");
  ExpectRefused("iou_crop { min_scale: 0.9 max_scale: 0.8 }", "iou_crop.min_scale: 0.9");
  ExpectRefused("iou_crop { min_aspect_ratio: 3 }", "iou_crop.min_aspect_ratio: 3");
  ExpectRefused("iou_crop { max_aspect_ratio: nan }", "iou_crop.max_aspect_ratio: nan");
  ExpectRefused("iou_crop { max_trials: 0 }", "iou_crop.max_trials: 0");
  ExpectRefused("iou_crop { max_trials: 10001 }", "iou_crop.max_trials: 10001");
}

}  // namespace
}  // namespace ssd
