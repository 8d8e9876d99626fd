#ifndef DATA_IMAGE_FILE_H_
#define DATA_IMAGE_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/lazy_image.h"
#include "ssd/core/geometry.h"

namespace ssd {

// Images in files and in memory as ImageSources. JPEG is decoded by libjpeg-turbo, PNG and every
// other format by OpenCV. Pixels always come out as 8-bit RGB: grey is repeated, CMYK is converted
// (as Adobe stores it, inverted, like Pillow and OpenCV do), 16 bits are cut to 8, alpha is dropped
// (not blended, like Pillow's convert("RGB")). The EXIF orientation of JPEG and PNG is honoured.
//
// Nothing is printed for a bad image. A JPEG whose data ends early or does not decode, and a PNG
// with a missing or damaged chunk, are errors; harmless faults that libjpeg warns of (stray bytes
// between markers, an odd JFIF version) are not.

// Images of more pixels are refused by their header, before memory is taken for them: 400 MB as
// RGB. In formats other than JPEG and PNG the header is OpenCV's to read, and its own limit (2^30
// pixels) comes first.
inline constexpr int64_t kMaxImagePixels = int64_t{1} << 27;

// The size, after EXIF orientation, from the header of JPEG and PNG; other formats are decoded.
// \error as OpenImageFile.
absl::StatusOr<ImageSize> ReadImageSize(const std::string& path);

// The image file at `path`, its header read, its pixels not yet.
// \error NotFound, PermissionDenied; DataLoss for what is no image; ResourceExhausted for too many
// pixels; each names the file.
absl::StatusOr<std::shared_ptr<const ImageSource>> OpenImageFile(const std::string& path);

// The same where the size is known, from an annotation: touches no file until it decodes. A file of
// another size is an error of Decode().
std::shared_ptr<const ImageSource> ImageFileOfSize(std::string path, ImageSize size);

// An image file's bytes in memory; `name` stands in messages.
// \error as OpenImageFile.
absl::StatusOr<std::shared_ptr<const ImageSource>> OpenEncodedImage(std::string bytes,
                                                                    std::string name);

}  // namespace ssd

#endif  // DATA_IMAGE_FILE_H_
