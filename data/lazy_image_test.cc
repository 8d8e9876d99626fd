#include "data/lazy_image.h"

#include <gtest/gtest.h>

#include <memory>
#include <opencv2/imgproc.hpp>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

class FixedSource : public ImageSource {
 public:
  explicit FixedSource(cv::Mat image) : image_(std::move(image)) {}
  ImageSize size() const override { return {image_.rows, image_.cols}; }
  absl::StatusOr<cv::Mat> Decode() const override { return image_; }

 private:
  const cv::Mat image_;
};

class BrokenSource : public ImageSource {
 public:
  ImageSize size() const override { return {10, 20}; }
  absl::StatusOr<cv::Mat> Decode() const override {
    return absl::DataLossError("broken.jpg: truncated");
  }
};

cv::Mat Noise(Random& random, int rows, int cols) {
  cv::Mat image(rows, cols, CV_8UC3);
  for (int i = 0; i < rows * cols * 3; ++i) {
    image.data[i] = static_cast<uchar>(random.Integer(0, 255));
  }
  return image;
}

// What RenderTo() means: every operation on the whole image, in the recorded order.
class Reference {
 public:
  explicit Reference(const cv::Mat& image) : image_(image.clone()) {}

  void Crop(const cv::Rect& rect, const cv::Scalar& fill) {
    cv::Mat canvas(rect.size(), CV_8UC3, fill);
    const cv::Rect shown = rect & cv::Rect(cv::Point(), image_.size());
    if (!shown.empty()) image_(shown).copyTo(canvas(shown - rect.tl()));
    image_ = canvas;
  }
  void Resize(ImageSize size, int interpolation) {
    cv::Mat resized;
    cv::resize(image_, resized, cv::Size(size.width, size.height), 0, 0, interpolation);
    image_ = resized;
  }
  // `axis` as for cv::flip: 1 is left to right, 0 top to bottom.
  void Flip(int axis) {
    cv::Mat flipped;
    cv::flip(image_, flipped, axis);
    image_ = flipped;
  }
  void Recolor(const LazyImage::ColorOperation& operation) { operation(image_); }

  const cv::Mat& image() const { return image_; }

 private:
  cv::Mat image_;
};

bool Equal(const cv::Mat& a, const cv::Mat& b) {
  return a.size() == b.size() && cv::norm(a, b, cv::NORM_INF) == 0;
}

TEST(LazyImageTest, RandomChainsEqualTheOperationsOneByOne) {
  for (uint64_t chain = 0; chain < 400; ++chain) {
    Random random(1, 2, chain);
    const cv::Mat original = Noise(random, static_cast<int>(random.Integer(1, 40)),
                                   static_cast<int>(random.Integer(1, 40)));
    const cv::Mat untouched = original.clone();
    LazyImage image(std::make_shared<FixedSource>(original));
    Reference reference(original);
    for (int64_t i = random.Integer(0, 8); i > 0; --i) {
      const ImageSize size = image.size();
      switch (random.Integer(0, 5)) {
        case 0:
        case 1: {
          const cv::Rect rect(static_cast<int>(random.Integer(-15, size.width + 5)),
                              static_cast<int>(random.Integer(-15, size.height + 5)),
                              static_cast<int>(random.Integer(1, 40)),
                              static_cast<int>(random.Integer(1, 40)));
          const cv::Scalar fill(random.Integer(0, 255), random.Integer(0, 255),
                                random.Integer(0, 255));
          image.Crop(rect, fill);
          reference.Crop(rect, fill);
          break;
        }
        case 2: {
          const ImageSize to{random.Integer(1, 30), random.Integer(1, 30)};
          const int interpolation = static_cast<int>(random.Integer(0, 4));
          image.Resize(to, interpolation);
          reference.Resize(to, interpolation);
          break;
        }
        case 3:
          image.FlipHorizontally();
          reference.Flip(1);
          break;
        case 4:
          image.FlipVertically();
          reference.Flip(0);
          break;
        default: {
          const double factor = random.Uniform(0.5, 1.5);
          const LazyImage::ColorOperation color = [factor](cv::Mat& rgb) {
            rgb.convertTo(rgb, -1, factor, 7);
          };
          image.Recolor(color);
          reference.Recolor(color);
          break;
        }
      }
    }
    const auto rendered = image.Render();
    ASSERT_TRUE(rendered.ok());
    ASSERT_TRUE(rendered->isContinuous());
    ASSERT_EQ(image.size(), (ImageSize{rendered->rows, rendered->cols}));
    ASSERT_TRUE(Equal(*rendered, reference.image())) << "chain " << chain;
    // The source's pixels are shared with others.
    ASSERT_TRUE(Equal(original, untouched)) << "chain " << chain;
  }
}

TEST(LazyImageTest, AFillIsChangedByLaterColoursOnly) {
  const cv::Mat pixel(1, 1, CV_8UC3, cv::Scalar(10, 20, 30));
  LazyImage image(std::make_shared<FixedSource>(pixel));
  const auto brighter = [](cv::Mat& rgb) { cv::add(rgb, cv::Scalar::all(100), rgb); };
  image.Recolor(brighter);
  image.Crop({-1, 0, 2, 1}, {1, 2, 3});
  EXPECT_EQ(image.Render()->at<cv::Vec3b>(0, 0), cv::Vec3b(1, 2, 3));
  EXPECT_EQ(image.Render()->at<cv::Vec3b>(0, 1), cv::Vec3b(110, 120, 130));
  image.Recolor(brighter);
  EXPECT_EQ(image.Render()->at<cv::Vec3b>(0, 0), cv::Vec3b(101, 102, 103));
  EXPECT_EQ(image.Render()->at<cv::Vec3b>(0, 1), cv::Vec3b(210, 220, 230));
}

TEST(LazyImageTest, ColoursSeeOnlyThePixelsThatStay) {
  const cv::Mat large(100, 100, CV_8UC3, cv::Scalar::all(0));
  LazyImage image(std::make_shared<FixedSource>(large));
  size_t seen = 0;
  image.Recolor([&seen](cv::Mat& rgb) { seen += rgb.total(); });
  image.Crop({90, 95, 100, 100}, {});
  ASSERT_TRUE(image.Render().ok());
  EXPECT_EQ(seen, 10u * 5u);
}

TEST(LazyImageTest, RendersIntoGivenMemory) {
  Random random(1, 1, 1);
  const cv::Mat original = Noise(random, 8, 9);
  LazyImage image(std::make_shared<FixedSource>(original));
  image.FlipHorizontally();
  image.FlipHorizontally();
  std::vector<uchar> memory(8 * 9 * 3);
  cv::Mat destination(8, 9, CV_8UC3, memory.data());
  ASSERT_TRUE(image.RenderTo(destination).ok());
  EXPECT_EQ(destination.data, memory.data());
  EXPECT_TRUE(Equal(destination, original));
}

TEST(LazyImageTest, PassesOnTheSourcesError) {
  LazyImage image(std::make_shared<BrokenSource>());
  image.Resize({5, 5}, cv::INTER_LINEAR);
  EXPECT_EQ(image.size(), (ImageSize{5, 5}));
  const auto rendered = image.Render();
  EXPECT_EQ(rendered.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(rendered.status().message(), "broken.jpg: truncated");
}

}  // namespace
}  // namespace ssd
