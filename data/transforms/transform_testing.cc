#include "data/transforms/transform_testing.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "data/lazy_image.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

class ImageInMemory : public ImageSource {
 public:
  explicit ImageInMemory(cv::Mat image) : image_(std::move(image)) {}

  ImageSize size() const override { return {image_.rows, image_.cols}; }
  absl::StatusOr<cv::Mat> Decode() const override { return image_; }

 private:
  const cv::Mat image_;
};

}  // namespace

const rapidjson::Document& Golden() {
  static const rapidjson::Document* const golden = [] {
    auto* document = new rapidjson::Document;
    const auto text = ReadFile("tests/golden/transforms.json");
    CHECK(text.ok()) << text.status();
    CHECK(!document->Parse(text->c_str()).HasParseError());
    return document;
  }();
  return *golden;
}

cv::Mat ToMat(const rapidjson::Value& rows) {
  cv::Mat image(static_cast<int>(rows.Size()), static_cast<int>(rows[0].Size()), CV_8UC3);
  for (int y = 0; y < image.rows; ++y) {
    for (int x = 0; x < image.cols; ++x) {
      for (int c = 0; c < 3; ++c) {
        image.at<cv::Vec3b>(y, x)[c] = static_cast<uchar>(rows[y][x][c].GetInt());
      }
    }
  }
  return image;
}

cv::Mat ReverseChannels(const cv::Mat& image) {
  cv::Mat reversed;
  cv::cvtColor(image, reversed, cv::COLOR_BGR2RGB);
  return reversed;
}

PixelBox ToBox(const rapidjson::Value& corners, double unit) {
  return {corners[0].GetDouble() * unit, corners[1].GetDouble() * unit,
          corners[2].GetDouble() * unit, corners[3].GetDouble() * unit};
}

double MaxDifference(const cv::Mat& a, const cv::Mat& b) { return cv::norm(a, b, cv::NORM_INF); }

cv::Mat NoiseImage(ImageSize size, uint64_t seed) {
  Random random(seed, 0, 0);
  cv::Mat image(static_cast<int>(size.height), static_cast<int>(size.width), CV_8UC3);
  for (size_t i = 0; i < image.total() * 3; ++i) {
    image.data[i] = static_cast<uchar>(random.Integer(0, 255));
  }
  return image;
}

absl::StatusOr<std::unique_ptr<Transform>> CreateTransform(const std::string& text,
                                                           const TransformContext& context) {
  TransformConfig config;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  return TransformRegistry::Get().Create(config, context);
}

std::unique_ptr<Transform> MakeTransform(const std::string& text, ImageSize input) {
  auto transform = CreateTransform(text, {input, {123, 117, 104}});
  CHECK(transform.ok()) << transform.status();
  return *std::move(transform);
}

Sample MakeSample(const cv::Mat& image, const std::vector<PixelBox>& boxes) {
  Sample sample;
  sample.image = LazyImage(std::make_shared<ImageInMemory>(image));
  sample.geometry = Geometry::Identity(sample.image.size());
  sample.truth.size = sample.image.size();
  for (const PixelBox& box : boxes) {
    Annotation object;
    object.box = box;
    object.label = 1;
    object.id = static_cast<int64_t>(sample.truth.objects.size());
    object.area = box.area();
    sample.truth.objects.push_back(object);
  }
  return sample;
}

void ExpectNear(const PixelBox& a, const PixelBox& b, double tolerance) {
  EXPECT_NEAR(a.x0, b.x0, tolerance);
  EXPECT_NEAR(a.y0, b.y0, tolerance);
  EXPECT_NEAR(a.x1, b.x1, tolerance);
  EXPECT_NEAR(a.y1, b.y1, tolerance);
}

void ExpectRefused(const std::string& text, const std::string& message) {
  const auto transform = CreateTransform(text, {{60, 80}, {}});
  ASSERT_FALSE(transform.ok()) << text;
  EXPECT_EQ(transform.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StartsWith(transform.status().message(), message)) << transform.status();
}

void ExpectSpread(const Transform& transform, const cv::Mat& image,
                  int (*measure)(const cv::Mat& rgb), const Spread& expected) {
  constexpr int kRuns = 2000;
  const int before = measure(image);
  int changed = 0;
  int least = before;
  int greatest = before;
  double sum = 0;
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(image, {});
    Random random(1, 1, run);
    transform.Apply(random, sample);
    const int value = measure(*sample.image.Render());
    changed += value != before;
    least = std::min(least, value);
    greatest = std::max(greatest, value);
    sum += value;
  }
  const double p = expected.changed;
  EXPECT_NEAR(changed, kRuns * p, 4 * std::sqrt(kRuns * p * (1 - p)));
  const double width = expected.greatest - expected.least;
  EXPECT_GE(least, expected.least - 0.5);
  EXPECT_LE(least, expected.least + 0.05 * width);
  EXPECT_GE(greatest, expected.greatest - 0.05 * width);
  EXPECT_LE(greatest, expected.greatest + 0.5);
  // The variance of uniform numbers is a twelfth of their range's square.
  EXPECT_NEAR(sum / kRuns, (expected.least + expected.greatest) / 2,
              4 * width * std::sqrt(p / 12 / kRuns));
}

}  // namespace ssd
