#ifndef DATA_LAZY_IMAGE_H_
#define DATA_LAZY_IMAGE_H_

#include <functional>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "ssd/core/geometry.h"

namespace ssd {

// Where an image's pixels come from. Immutable and shared between threads.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  // Pixels, EXIF orientation honoured; known without decoding.
  virtual ImageSize size() const = 0;

  // The pixels: CV_8UC3, RGB, of size(). \error DataLoss naming the file for a truncated or corrupt
  // image, and when the decoded size differs from size().
  virtual absl::StatusOr<cv::Mat> Decode() const = 0;
};

// An image with the operations still to be done on it. Recording is cheap; Render() makes the pixels
// once, decoding first, cropping as early as the result allows, and keeping the recorded order
// otherwise. Copyable; not thread-safe.
class LazyImage {
 public:
  // Changes pixel values in place without moving them; its result at a pixel depends on that pixel
  // alone, so a crop may be done before it.
  using ColorOperation = std::function<void(cv::Mat& rgb)>;

  LazyImage() = default;
  explicit LazyImage(std::shared_ptr<const ImageSource> source);

  // Of the view after all recorded operations.
  ImageSize size() const { return size_; }

  // Shows the rectangle `rect` of the current view; what lies outside it is filled with `fill` (RGB).
  void Crop(const cv::Rect& rect, const cv::Scalar& fill);
  void Resize(ImageSize size, int interpolation);  // cv::InterpolationFlags
  void FlipHorizontally();
  void Recolor(ColorOperation operation);

  // CV_8UC3, RGB, contiguous, of size(). \error from the source.
  absl::StatusOr<cv::Mat> Render() const;

 private:
  struct CropTo {
    cv::Rect rect;
    cv::Scalar fill;
  };
  struct ResizeTo {
    ImageSize size;
    int interpolation;
  };
  struct Flip {};
  using Operation = std::variant<CropTo, ResizeTo, Flip, ColorOperation>;

  std::shared_ptr<const ImageSource> source_;
  ImageSize size_;
  std::vector<Operation> operations_;
};

}  // namespace ssd

#endif  // DATA_LAZY_IMAGE_H_
