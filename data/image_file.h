#ifndef DATA_IMAGE_FILE_H_
#define DATA_IMAGE_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/image_header.h"
#include "data/lazy_image.h"
#include "ssd/core/geometry.h"

namespace ssd {

// Images in files and in memory as ImageSources. JPEG is decoded by libjpeg-turbo, PNG, BMP, WebP,
// TIFF and PNM by OpenCV. Pixels always come out as 8-bit RGB: grey is repeated, CMYK is converted
// (a JPEG's as Adobe stores it, inverted, with its marker or without, like Pillow and OpenCV do),
// 16 bits are cut to 8 (the colours of a TIFF are rounded, 65535 being 255), alpha is dropped: not
// blended, like Pillow's convert("RGB"), but where a TIFF's colours are stored multiplied by it,
// they stay so. The EXIF orientation of JPEG, PNG and WebP and the tag of TIFF are honoured. An
// animated PNG is its default image, a TIFF of several its first.
//
// What OpenCV cannot decode, or decodes wrong, is an error: a TIFF whose samples are not 1, 8 or 16
// unsigned bits, CMYK of 16, more than 4 samples a pixel; a PNM whose greatest value is neither 255
// nor 65535.
//
// Nothing is printed for a bad image where its header tells that it is bad. An image whose data
// ends early or does not decode, and a PNG with a damaged chunk, are errors; harmless faults of
// JPEGs are not (jpeg_file.h). So are images of more than kMaxImagePixels (image_header.h), by
// their header: 400 MB as RGB; and files of more than 1 GiB, of which no more is read.

// Whether a file in a folder of images counts as one: by its extension, in either case. Hidden
// files do not; file managers leave them ("._a.jpg").
bool IsImageName(absl::string_view file_name);

// The size, after EXIF orientation, from the header: of a JPEG only what comes before its pixels is
// read, of other formats, which may tell of size and orientation at their end, the whole file.
// \error as OpenImageFile.
absl::StatusOr<ImageSize> ReadImageSize(const std::string& path);

// The header of an image file's bytes, of any format; `name` stands in messages.
// \error as OpenEncodedImage.
absl::StatusOr<ImageHeader> ReadEncodedHeader(absl::string_view bytes, absl::string_view name);

// The image file at `path`, its header read, its pixels not yet.
// \error NotFound, PermissionDenied; DataLoss for what is no image; ResourceExhausted for too many
// pixels or bytes; Internal for a failing machine; each names the file. Which of them are the
// image's own fault, IsBadImage (image_header.h) tells. Nothing here throws.
absl::StatusOr<std::shared_ptr<const ImageSource>> OpenImageFile(const std::string& path);

// The same where the size is known, from an annotation: touches no file until it decodes. A file of
// another size is an error of Decode().
std::shared_ptr<const ImageSource> ImageFileOfSize(std::string path, ImageSize size);

// An image file's bytes in memory; `name` stands in messages. \error as OpenImageFile.
absl::StatusOr<std::shared_ptr<const ImageSource>> OpenEncodedImage(std::string bytes,
                                                                    std::string name);

// The same where the size is known. Bytes of another size are an error of Decode().
std::shared_ptr<const ImageSource> EncodedImageOfSize(std::string bytes, std::string name,
                                                      ImageSize size);

}  // namespace ssd

#endif  // DATA_IMAGE_FILE_H_
