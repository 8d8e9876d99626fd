#include "data/image_file.h"

#include <cstdint>
#include <exception>
#include <new>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "data/image_header.h"
#include "data/image_orientation.h"
#include "data/jpeg_file.h"
#include "data/tiff_directory.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Longer files are refused: 1 GiB.
constexpr size_t kMostBytes = size_t{1} << 30;

// What `read` returns, or an error naming the image instead of what OpenCV or the standard library
// throws.
template <typename Read>
auto CatchExceptions(absl::string_view name, const Read& read) -> decltype(read()) {
  try {
    return read();
  } catch (const std::bad_alloc&) {
    return OutOfMemoryError(name);
  } catch (const cv::Exception& error) {
    if (error.code == cv::Error::StsNoMem) return OutOfMemoryError(name);
    return CorruptImageError(name,
                             absl::StrCat("image that OpenCV cannot decode (", error.err, ")"));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat(name, ": ", error.what()));
  }
}

// With the orientation set to upright, since OpenCV would turn the pixels itself, and not those of
// every depth right, and with alpha as a sample without meaning, since libtiff would multiply the
// colours by it. Empty: the image is so already.
std::string PlainTiff(absl::string_view bytes) {
  constexpr uint64_t kUnspecified = 0;
  const std::optional<TiffDirectory> directory = TiffDirectory::Open(bytes);
  if (!directory) return "";
  const auto says_other = [&directory](int tag, uint64_t value) {
    const std::vector<uint64_t> numbers = directory->Numbers(tag);
    return !numbers.empty() && numbers.front() != value;
  };
  // Not Orientation(), which is strict about the tag's type, as libtiff is not.
  if (!says_other(TiffDirectory::kOrientation, kUpright) &&
      !says_other(TiffDirectory::kExtraSamples, kUnspecified)) {
    return "";
  }
  std::string plain(bytes);
  directory->SetFirst(TiffDirectory::kOrientation, kUpright, plain);
  directory->SetFirst(TiffDirectory::kExtraSamples, kUnspecified, plain);
  return plain;
}

// Every format but JPEG. The stored pixels as RGB.
absl::StatusOr<cv::Mat> DecodeByOpenCv(absl::string_view bytes, absl::string_view name,
                                       const ImageHeader& header) {
  std::string plain;
  if (FormatOf(bytes) == ImageFormat::kTiff) plain = PlainTiff(bytes);
  if (!plain.empty()) bytes = plain;
  const cv::Mat encoded(1, static_cast<int>(bytes.size()), CV_8UC1,
                        const_cast<char*>(bytes.data()));
  cv::Mat image = cv::imdecode(encoded, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  if (image.empty()) return CorruptImageError(name, "image that OpenCV cannot decode");
  if (image.rows != header.stored.height || image.cols != header.stored.width) {
    return CorruptImageError(
        name, absl::StrCat(image.cols, "x", image.rows, " pixels under a ", header.stored.width,
                           "x", header.stored.height, " header"));
  }
  cv::cvtColor(image, image, cv::COLOR_BGR2RGB);
  return image;
}

absl::Status CheckLength(absl::string_view bytes, absl::string_view name) {
  if (bytes.empty()) return CorruptImageError(name, "empty file");
  if (bytes.size() <= kMostBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(name, ": more than ", kMostBytes, " bytes, the most that an image may have"));
}

absl::StatusOr<std::string> ReadImageFile(const std::string& path) {
  // A byte more tells a longer file.
  SSD_ASSIGN_OR_RETURN(std::string bytes, ReadFilePrefix(path, kMostBytes + 1));
  SSD_RETURN_IF_ERROR(CheckLength(bytes, path));
  return bytes;
}

absl::Status CheckSize(absl::string_view name, ImageSize size, ImageSize announced) {
  if (size == announced) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(name, ": ", size.width, "x", size.height,
                   " pixels (after EXIF orientation), but ", announced.width, "x", announced.height,
                   " are announced; correct the annotation or replace the image"));
}

// ReadEncodedHeader, whose callers see to exceptions.
absl::StatusOr<ImageHeader> HeaderOf(absl::string_view bytes, absl::string_view name) {
  SSD_RETURN_IF_ERROR(CheckLength(bytes, name));
  if (FormatOf(bytes) == ImageFormat::kJpeg) return JpegReader(bytes, name).ReadHeader();
  return ReadImageHeader(bytes, name);
}

absl::StatusOr<ImageSize> SizeOf(absl::string_view bytes, absl::string_view name) {
  SSD_ASSIGN_OR_RETURN(const ImageHeader header, HeaderOf(bytes, name));
  return header.size();
}

// Of an image of `size`. The whole of it if `region` is null.
absl::StatusOr<DecodedRegion> DecodeEncoded(absl::string_view bytes, absl::string_view name,
                                            ImageSize size, const cv::Rect* region,
                                            int max_reduction) {
  SSD_RETURN_IF_ERROR(CheckLength(bytes, name));
  const cv::Rect whole(0, 0, static_cast<int>(size.width), static_cast<int>(size.height));
  if (FormatOf(bytes) != ImageFormat::kJpeg) {
    SSD_ASSIGN_OR_RETURN(const ImageHeader header, ReadImageHeader(bytes, name));
    SSD_RETURN_IF_ERROR(CheckSize(name, header.size(), size));
    SSD_ASSIGN_OR_RETURN(const cv::Mat stored, DecodeByOpenCv(bytes, name, header));
    return DecodedRegion{Turned(stored, header.orientation), whole, 1};
  }
  JpegReader reader(bytes, name);
  SSD_ASSIGN_OR_RETURN(const ImageHeader header, reader.ReadHeader());
  SSD_RETURN_IF_ERROR(CheckSize(name, header.size(), size));
  const cv::Rect stored_region = Turned(region != nullptr ? *region : whole, whole.size(),
                                        InverseOrientation(header.orientation));
  SSD_ASSIGN_OR_RETURN(DecodedRegion decoded, reader.ReadRegion(stored_region, max_reduction));
  const cv::Size stored_size(static_cast<int>(header.stored.width),
                             static_cast<int>(header.stored.height));
  decoded.pixels = Turned(decoded.pixels, header.orientation);
  decoded.area = Turned(decoded.area, stored_size, header.orientation);
  return decoded;
}

// What is common to images whose bytes are here and there.
class EncodedSource : public ImageSource {
 public:
  EncodedSource(std::string name, ImageSize size) : name_(std::move(name)), size_(size) {}

  ImageSize size() const override { return size_; }

 protected:
  absl::StatusOr<cv::Mat> DecodeWhole(absl::string_view bytes) const {
    return CatchExceptions(name_, [&]() -> absl::StatusOr<cv::Mat> {
      SSD_ASSIGN_OR_RETURN(DecodedRegion decoded, DecodeEncoded(bytes, name_, size_, nullptr, 1));
      return std::move(decoded.pixels);
    });
  }
  absl::StatusOr<DecodedRegion> DecodePart(absl::string_view bytes, const cv::Rect& region,
                                           int max_reduction) const {
    return CatchExceptions(
        name_, [&] { return DecodeEncoded(bytes, name_, size_, &region, max_reduction); });
  }

  const std::string& name() const { return name_; }

 private:
  const std::string name_;
  const ImageSize size_;
};

class ImageFile : public EncodedSource {
 public:
  using EncodedSource::EncodedSource;

  absl::StatusOr<cv::Mat> Decode() const override {
    SSD_ASSIGN_OR_RETURN(const std::string bytes, ReadEncoded());
    return DecodeWhole(bytes);
  }
  absl::StatusOr<DecodedRegion> DecodeRegion(const cv::Rect& region,
                                             int max_reduction) const override {
    SSD_ASSIGN_OR_RETURN(const std::string bytes, ReadEncoded());
    return DecodePart(bytes, region, max_reduction);
  }
  absl::StatusOr<std::string> ReadEncoded() const override {
    return CatchExceptions(name(), [this] { return ReadImageFile(name()); });
  }
};

class EncodedImage : public EncodedSource {
 public:
  EncodedImage(std::string bytes, std::string name, ImageSize size)
      : EncodedSource(std::move(name), size), bytes_(std::move(bytes)) {}

  absl::StatusOr<cv::Mat> Decode() const override { return DecodeWhole(bytes_); }
  absl::StatusOr<DecodedRegion> DecodeRegion(const cv::Rect& region,
                                             int max_reduction) const override {
    return DecodePart(bytes_, region, max_reduction);
  }
  absl::StatusOr<std::string> ReadEncoded() const override {
    return CatchExceptions(name(), [this] { return absl::StatusOr<std::string>(bytes_); });
  }

 private:
  const std::string bytes_;
};

// ReadImageSize, which sees to exceptions.
absl::StatusOr<ImageSize> SizeOfFile(const std::string& path) {
  // Holds nearly every JPEG's header; thumbnails, profiles and notes of editors make others longer.
  constexpr size_t kFirstBytes = size_t{1} << 16;
  for (size_t wanted = kFirstBytes; wanted <= kMostBytes; wanted *= 4) {
    SSD_ASSIGN_OR_RETURN(const std::string prefix, ReadFilePrefix(path, wanted));
    if (prefix.size() < wanted) return SizeOf(prefix, path);  // it is the whole file
    if (FormatOf(prefix) != ImageFormat::kJpeg) break;
    // A header that is cut off is an error, not another size; so is a damaged one.
    const absl::StatusOr<ImageSize> size = SizeOf(prefix, path);
    if (size.ok() || !absl::IsDataLoss(size.status())) return size;
  }
  SSD_ASSIGN_OR_RETURN(const std::string bytes, ReadImageFile(path));
  return SizeOf(bytes, path);
}

}  // namespace

bool IsImageName(absl::string_view file_name) {
  // Of many names, some are numbers, which are told apart at once.
  if (file_name.empty() || file_name.front() == '.' || !absl::ascii_isalpha(file_name.back())) {
    return false;
  }
  for (const absl::string_view extension :
       {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}) {
    if (absl::EndsWithIgnoreCase(file_name, extension)) return true;
  }
  return false;
}

absl::StatusOr<ImageHeader> ReadEncodedHeader(absl::string_view bytes, absl::string_view name) {
  return CatchExceptions(name, [&] { return HeaderOf(bytes, name); });
}

absl::StatusOr<ImageSize> ReadImageSize(const std::string& path) {
  return CatchExceptions(path, [&path] { return SizeOfFile(path); });
}

absl::StatusOr<std::shared_ptr<const ImageSource>> OpenImageFile(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const ImageSize size, ReadImageSize(path));
  return ImageFileOfSize(path, size);
}

std::shared_ptr<const ImageSource> ImageFileOfSize(std::string path, ImageSize size) {
  return std::make_shared<ImageFile>(std::move(path), size);
}

absl::StatusOr<std::shared_ptr<const ImageSource>> OpenEncodedImage(std::string bytes,
                                                                    std::string name) {
  SSD_ASSIGN_OR_RETURN(const ImageSize size,
                       CatchExceptions(name, [&] { return SizeOf(bytes, name); }));
  return EncodedImageOfSize(std::move(bytes), std::move(name), size);
}

std::shared_ptr<const ImageSource> EncodedImageOfSize(std::string bytes, std::string name,
                                                      ImageSize size) {
  return std::make_shared<EncodedImage>(std::move(bytes), std::move(name), size);
}

}  // namespace ssd
