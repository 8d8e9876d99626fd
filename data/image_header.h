#ifndef DATA_IMAGE_HEADER_H_
#define DATA_IMAGE_HEADER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/image_orientation.h"
#include "ssd/core/geometry.h"

namespace ssd {

// Images of more pixels are refused by their header, before memory is taken for them: 400 MB as
// RGB.
inline constexpr int64_t kMaxImagePixels = int64_t{1} << 27;
// So are longer ones, however thin: OpenCV decodes little more (2^20).
inline constexpr int64_t kMaxImageSide = 1000000;

enum class ImageFormat { kUnknown, kJpeg, kPng, kBmp, kWebP, kTiff, kPnm, kGif };

// By the first bytes. kUnknown: none of them.
ImageFormat FormatOf(absl::string_view bytes);

// What an image file tells before its pixels.
struct ImageHeader {
  ImageSize stored;  // of the pixels as they are stored
  int orientation = kUpright;

  // Of the upright image.
  ImageSize size() const {
    return ExchangesSides(orientation) ? ImageSize{stored.width, stored.height} : stored;
  }
};

// The header of a PNG, BMP, WebP, TIFF or PNM image. Finds what has been cut off: all of a PNG's
// chunks and their sums are checked, and whether the pixels that other formats announce are there,
// as far as headers tell. JPEG: jpeg_file.h.
// \error DataLoss and ResourceExhausted naming `name`; also for animated WebP, GIF and unknown
// formats.
absl::StatusOr<ImageHeader> ReadImageHeader(absl::string_view bytes, absl::string_view name);

// DataLoss "name: what; ...".
absl::Status CorruptImageError(absl::string_view name, absl::string_view what);

// The same of one of which `bytes` is all there is: "name: truncated PNG, ends at byte 7; ...".
absl::Status TruncatedImageError(absl::string_view name, absl::string_view format,
                                 absl::string_view bytes);

// Internal "name: ...": there is no memory to decode it in.
absl::Status OutOfMemoryError(absl::string_view name);

// Whether `error`, met when an image was read or decoded, is the image's: it is missing, damaged,
// none, or too large. Everything else is the machine's (a file that may not be read, too many open
// files, a failing disk, no memory), and the next image would not fare better.
bool IsBadImage(const absl::Status& error);

// \error DataLoss for no pixels, ResourceExhausted for more than kMaxImagePixels, or than
// kMaxImageSide on a side.
absl::Status CheckPixels(absl::string_view name, ImageSize size);

}  // namespace ssd

#endif  // DATA_IMAGE_HEADER_H_
