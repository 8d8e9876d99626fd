#ifndef DATA_LAZY_IMAGE_H_
#define DATA_LAZY_IMAGE_H_

#include <functional>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ssd/core/geometry.h"

namespace ssd {

// A part of an image, perhaps reduced.
struct DecodedRegion {
  cv::Mat pixels;  // CV_8UC3, RGB; not to be written to
  // What the pixels show, in those of the whole image: `reduction` times their number. It reaches
  // over the image's edges where the image is no multiple of `reduction`.
  cv::Rect area;
  int reduction = 1;  // each pixel is the mean of so many by so many
};

// Where an image's pixels come from. Immutable and shared between threads.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  // Pixels, EXIF orientation honoured; known without decoding.
  virtual ImageSize size() const = 0;

  // The pixels: CV_8UC3, RGB, of size(). Whoever receives them does not write to them: they may be
  // shared. \error DataLoss naming the file for a truncated or corrupt image, and when the decoded
  // size differs from size().
  virtual absl::StatusOr<cv::Mat> Decode() const = 0;

  // The part of Decode() that shows at least `region`, in less time than the whole takes if the
  // format allows. At a reduction of 1 the same bits as Decode()'s; reduced, by no more than
  // `max_reduction`, nearly their means. Damage outside the region may go unnoticed.
  // Precondition: `region` is not empty and in the image. \error as Decode().
  virtual absl::StatusOr<DecodedRegion> DecodeRegion(const cv::Rect& region,
                                                     int max_reduction) const;

  // The image file as it is, which OpenEncodedImage (image_file.h) reads; empty: there is none, as
  // for an image that is drawn. \error NotFound, PermissionDenied, DataLoss (no byte in it),
  // ResourceExhausted (too many), Internal naming the file.
  virtual absl::StatusOr<std::string> ReadEncoded() const { return std::string(); }
};

// An image with the operations still to be done on it. Recording is cheap; Render() makes the
// pixels once, as if decoding first and then doing every operation in the recorded order, but
// touching only pixels that the result shows: only these are decoded, crops are done before
// colours, several crops at once, and a canvas around the image is not filled where it is cut off
// again. Does not know boxes: see data/transforms/sample_view.h. Copyable; not thread-safe.
//
// Memory, while it renders: 3 bytes for each decoded pixel, and where a fill, a colour or a flip
// comes before the first Resize(), 3 for each of the view's pixels there, since cv::resize's bits
// are those of a whole image. An expansion to four times the sides of 6000x4000 pixels is a view of
// 24000x16000, 1.15 GB, unless a Crop() follows before it; a max_reduction of 8 makes that 18 MB,
// where the resize is to an eighth or less and the source can reduce.
class LazyImage {
 public:
  // Changes pixel values in place without moving them, and without giving `rgb` other memory; its
  // result at a pixel depends on that pixel's value alone.
  using ColorOperation = std::function<void(cv::Mat& rgb)>;

  LazyImage() = default;
  explicit LazyImage(std::shared_ptr<const ImageSource> source);

  // Of the view after all recorded operations.
  ImageSize size() const { return size_; }

  // Null for a default-constructed image.
  const std::shared_ptr<const ImageSource>& source() const { return source_; }
  // Takes the pixels from elsewhere, e.g. from a cache. Precondition: `source` is of the same size.
  void ReplaceSource(std::shared_ptr<const ImageSource> source);

  // Shows the rectangle `rect` of the current view; what lies outside it is filled with `fill`
  // (RGB, rounded to the nearest integer). Later colour operations change the fill too, earlier
  // ones do not. Precondition: `rect` is not empty.
  void Crop(const cv::Rect& rect, const cv::Scalar& fill);
  // Precondition: `size` is not empty.
  void Resize(ImageSize size, int interpolation);  // cv::InterpolationFlags
  void FlipHorizontally();                         // left becomes right
  void FlipVertically();                           // top becomes bottom
  void Recolor(ColorOperation operation);

  // CV_8UC3, RGB, contiguous, of size(). \error from the source.
  absl::StatusOr<cv::Mat> Render() const;

  // The same into the memory of `destination`. With a max_reduction above 1, an image that the
  // first Resize() shrinks by 2 or more may be decoded at as much less (by at most max_reduction):
  // faster, and smoother, since every pixel counts then. Precondition: CV_8UC3 of size().
  absl::Status RenderTo(cv::Mat& destination, int max_reduction = 1) const;

 private:
  struct CropTo {
    cv::Rect rect;
    cv::Scalar fill;
  };
  struct ResizeTo {
    ImageSize size;
    int interpolation;
  };
  struct FlipX {};
  struct FlipY {};
  using Operation = std::variant<CropTo, ResizeTo, FlipX, FlipY, ColorOperation>;

  std::shared_ptr<const ImageSource> source_;
  ImageSize size_;
  std::vector<Operation> operations_;
};

}  // namespace ssd

#endif  // DATA_LAZY_IMAGE_H_
