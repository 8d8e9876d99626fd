#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "data/transforms/transform_testing.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

cv::Mat Resized(const cv::Mat& image, const std::string& interpolation, ImageSize size) {
  const auto resize =
      MakeTransform(absl::StrCat("resize { interpolation: ", interpolation, " }"), size);
  Sample sample = MakeSample(image, {});
  Random random(1, 1, 1);
  resize->Apply(random, sample);
  return *sample.image.Render();
}

TEST(ResizeTest, EqualsOpenCv) {
  const rapidjson::Value& golden = Golden()["resize"];
  const cv::Mat original = ToMat(golden["src"]);
  const std::map<std::string, std::string> names = {
      {"LINEAR", "LINEAR"}, {"AREA", "AREA"},        {"NEAREST", "NEAREST"},
      {"CUBIC", "CUBIC"},   {"LANCZOS4", "LANCZOS"}, {"LINEAR_up_11x14", "LINEAR"}};
  for (const auto& out : golden["out"].GetObject()) {
    const std::string name = out.name.GetString();
    const cv::Mat expected = ToMat(out.value);
    const cv::Mat resized = Resized(original, names.at(name), {expected.rows, expected.cols});
    // NEAREST computes nothing; the others' sums round as the processor's instructions do.
    EXPECT_LE(MaxDifference(resized, expected), name == "NEAREST" ? 0 : 1) << name;
  }
}

// PyTorch's bilinear interpolation without antialiasing, which torchvision's SSD ends with, is that
// of OpenCV but for the rounding to bytes, its own and that of its fixed-point weights.
TEST(ResizeTest, LinearIsPyTorchs) {
  const rapidjson::Value& golden = Golden()["resize"];
  const rapidjson::Value& rows = golden["torch_bilinear_no_antialias_float"];
  const ImageSize size = {rows.Size(), rows[0].Size()};
  const cv::Mat resized = Resized(ToMat(golden["src"]), "LINEAR", size);
  double largest = 0;
  for (int y = 0; y < resized.rows; ++y) {
    for (int x = 0; x < resized.cols; ++x) {
      for (int c = 0; c < 3; ++c) {
        largest =
            std::max(largest, std::abs(resized.at<cv::Vec3b>(y, x)[c] - rows[y][x][c].GetDouble()));
      }
    }
  }
  EXPECT_LE(largest, 1);
}

TEST(ResizeTest, RandomInterpolationIsUniform) {
  const cv::Mat image = ToMat(Golden()["resize"]["src"]);
  const auto resize = MakeTransform("resize { interpolation: RANDOM }", {5, 6});
  std::map<std::vector<uchar>, int> seen;
  constexpr int kRuns = 2000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(image, {});
    Random random(1, 1, run);
    resize->Apply(random, sample);
    const cv::Mat rendered = *sample.image.Render();
    ++seen[std::vector<uchar>(rendered.datastart, rendered.dataend)];
  }
  EXPECT_EQ(seen.size(), 5u);
  for (const auto& entry : seen) EXPECT_NEAR(entry.second, kRuns / 5, 80);
}

TEST(ResizeTest, RefusesAnEmptyInput) {
  const auto resize = CreateTransform("resize {}", {{0, 10}, {}});
  ASSERT_FALSE(resize.ok());
  EXPECT_EQ(resize.status().message(),
            "resize: model.input is 10x0; set a positive width and height");
}

}  // namespace
}  // namespace ssd
