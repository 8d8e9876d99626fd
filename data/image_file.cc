#include "data/image_file.h"

#include <zlib.h>

#include <csetjmp>
#include <cstdio>
// libjpeg's headers need <cstdio> before them, and jerror.h counts its codes by what jpeglib.h
// says.
#include <jpeglib.h>
// clang-format's order ends here.
#include <jerror.h>

#include <algorithm>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// What a header tells. The size is that of the stored pixels.
struct Header {
  ImageSize stored;
  int orientation = 1;  // EXIF: 1..8

  ImageSize size() const {
    return orientation >= 5 ? ImageSize{stored.width, stored.height} : stored;
  }
};

absl::Status CorruptError(absl::string_view name, absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat(name, ": ", what, "; replace the file or drop the image"));
}

absl::Status CheckPixels(absl::string_view name, ImageSize size) {
  if (size.height <= 0 || size.width <= 0) return CorruptError(name, "image without pixels");
  if (size.height <= kMaxImagePixels / size.width) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(name, ": ", size.width, "x", size.height,
                                                   " pixels; at most ", kMaxImagePixels,
                                                   " are decoded: scale the image down"));
}

// --- EXIF ---

// The orientation in a TIFF structure (EXIF 2.32, section 4.6.4 and 4.6.5: tag 0x0112 of the 0th
// IFD); 1 where there is none, or none that makes sense.
int ExifOrientation(absl::string_view tiff) {
  const bool little = absl::StartsWith(tiff, "II");
  if (!little && !absl::StartsWith(tiff, "MM")) return 1;
  // Unsigned integer of `size` bytes; past the end reads as 0.
  const auto number = [&](size_t at, size_t size) {
    uint32_t value = 0;
    if (at > tiff.size() || tiff.size() - at < size) return value;
    for (size_t i = 0; i < size; ++i) {
      const size_t byte = little ? at + size - 1 - i : at + i;
      value = value << 8 | static_cast<uint8_t>(tiff[byte]);
    }
    return value;
  };
  if (number(2, 2) != 42) return 1;
  const size_t directory = number(4, 4);
  const uint32_t entries = number(directory, 2);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{12} * i;
    if (entry >= tiff.size()) return 1;
    if (number(entry, 2) != 0x0112) continue;
    constexpr uint32_t kShort = 3;
    const uint32_t value = number(entry + 8, 2);
    return number(entry + 2, 2) == kShort && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

// The stored pixels, upright.
cv::Mat Upright(const cv::Mat& stored, int orientation) {
  constexpr int kAroundX = 0, kAroundY = 1, kAroundBoth = -1;  // cv::flip's codes
  cv::Mat turned = stored;
  if (orientation >= 5) cv::transpose(stored, turned);
  const auto flip = [](const cv::Mat& image, int code) {
    cv::Mat flipped;
    cv::flip(image, flipped, code);
    return flipped;
  };
  switch (orientation) {
    case 2:
    case 6:  // 90 degrees clockwise
      return flip(turned, kAroundY);
    case 3:
    case 7:
      return flip(turned, kAroundBoth);
    case 4:
    case 8:  // 90 degrees counter-clockwise
      return flip(turned, kAroundX);
    default:
      return turned;
  }
}

// --- JPEG ---

bool IsJpeg(absl::string_view bytes) { return absl::StartsWith(bytes, "\xff\xd8\xff"); }

// libjpeg's error manager, without output and without exit().
struct JpegErrors {
  jpeg_error_mgr manager;  // first: libjpeg knows the address of this alone
  std::jmp_buf on_error;
  char message[JMSG_LENGTH_MAX];
  bool data_lost;

  static JpegErrors& Of(j_common_ptr jpeg) { return *reinterpret_cast<JpegErrors*>(jpeg->err); }

  static void Exit(j_common_ptr jpeg) {
    jpeg->err->format_message(jpeg, Of(jpeg).message);
    std::longjmp(Of(jpeg).on_error, 1);
  }

  static void Emit(j_common_ptr jpeg, int level) {
    if (level >= 0 || Of(jpeg).data_lost) return;  // a trace message, or the first is kept
    switch (jpeg->err->msg_code) {
      case JWRN_ARITH_BAD_CODE:
      case JWRN_HIT_MARKER:
      case JWRN_HUFF_BAD_CODE:
      case JWRN_JPEG_EOF:
      case JWRN_MUST_RESYNC:
        Of(jpeg).data_lost = true;
        jpeg->err->format_message(jpeg, Of(jpeg).message);
        break;
      default:  // all pixels are there
        break;
    }
  }

  static void Print(j_common_ptr) {}
};

// One JPEG in memory. libjpeg reports errors by longjmp, so nothing between setjmp and there may
// have a destructor: hence plain pointers, and a class that frees libjpeg's memory.
class JpegReader {
 public:
  explicit JpegReader(absl::string_view bytes) : bytes_(bytes) {
    jpeg_.err = jpeg_std_error(&errors_.manager);
    errors_.manager.error_exit = JpegErrors::Exit;
    errors_.manager.emit_message = JpegErrors::Emit;
    errors_.manager.output_message = JpegErrors::Print;
    errors_.message[0] = '\0';
    errors_.data_lost = false;
    created_ = Create();
  }
  ~JpegReader() {
    if (created_) jpeg_destroy_decompress(&jpeg_);
  }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  absl::StatusOr<Header> ReadHeader(absl::string_view name) {
    if (!created_ || !ReadHeader() || errors_.data_lost) return CorruptError(name, errors_.message);
    Header header;
    header.stored = {static_cast<int64_t>(jpeg_.image_height),
                     static_cast<int64_t>(jpeg_.image_width)};
    constexpr absl::string_view kExif("Exif\0\0", 6);
    for (auto marker = jpeg_.marker_list; marker != nullptr; marker = marker->next) {
      const absl::string_view data(reinterpret_cast<const char*>(marker->data),
                                   marker->data_length);
      if (!absl::StartsWith(data, kExif)) continue;
      header.orientation = ExifOrientation(data.substr(kExif.size()));
      break;
    }
    return header;
  }

  // After ReadHeader. The stored pixels as RGB.
  absl::StatusOr<cv::Mat> ReadPixels(absl::string_view name, const Header& header) {
    const bool cmyk = jpeg_.jpeg_color_space == JCS_CMYK || jpeg_.jpeg_color_space == JCS_YCCK;
    jpeg_.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    cv::Mat pixels(static_cast<int>(header.stored.height), static_cast<int>(header.stored.width),
                   cmyk ? CV_8UC4 : CV_8UC3);
    if (!ReadRows(pixels.data, pixels.step) || errors_.data_lost) {
      return CorruptError(name, errors_.message);
    }
    return cmyk ? RgbOfInvertedCmyk(pixels) : pixels;
  }

 private:
  bool Create() {
    if (setjmp(errors_.on_error) != 0) return false;
    jpeg_create_decompress(&jpeg_);
    return true;
  }

  bool ReadHeader() {
    if (setjmp(errors_.on_error) != 0) return false;
    jpeg_mem_src(&jpeg_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
    constexpr int kLongestMarker = 0xffff;
    jpeg_save_markers(&jpeg_, JPEG_APP0 + 1, kLongestMarker);
    jpeg_read_header(&jpeg_, TRUE);
    return true;
  }

  bool ReadRows(unsigned char* rows, size_t bytes_per_row) {
    if (setjmp(errors_.on_error) != 0) return false;
    jpeg_start_decompress(&jpeg_);
    while (jpeg_.output_scanline < jpeg_.output_height) {
      JSAMPROW row = rows + bytes_per_row * jpeg_.output_scanline;
      jpeg_read_scanlines(&jpeg_, &row, 1);
    }
    jpeg_finish_decompress(&jpeg_);
    return true;
  }

  static cv::Mat RgbOfInvertedCmyk(const cv::Mat& cmyk) {
    cv::Mat rgb(cmyk.size(), CV_8UC3);
    for (int y = 0; y < cmyk.rows; ++y) {
      const cv::Vec4b* const from = cmyk.ptr<cv::Vec4b>(y);
      cv::Vec3b* const to = rgb.ptr<cv::Vec3b>(y);
      for (int x = 0; x < cmyk.cols; ++x) {
        for (int c = 0; c < 3; ++c) {
          to[x][c] = static_cast<uint8_t>((from[x][c] * from[x][3] + 127) / 255);
        }
      }
    }
    return rgb;
  }

  const absl::string_view bytes_;
  jpeg_decompress_struct jpeg_;
  JpegErrors errors_;
  bool created_ = false;
};

// --- PNG ---

constexpr absl::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);

bool IsPng(absl::string_view bytes) { return absl::StartsWith(bytes, kPngSignature); }

uint32_t BigEndian(absl::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// Walks all chunks and checks their sums (PNG, third edition, section 5): OpenCV takes a truncated
// file for a whole one or prints, depending on where it ends.
absl::StatusOr<Header> ReadPngHeader(absl::string_view bytes, absl::string_view name) {
  constexpr size_t kFrame = 12;  // length, type and CRC
  Header header;
  bool has_size = false;
  for (size_t at = kPngSignature.size(); bytes.size() - at >= kFrame;) {
    const size_t length = BigEndian(bytes, at);
    if (bytes.size() - at - kFrame < length) break;
    const absl::string_view type = bytes.substr(at + 4, 4);
    const absl::string_view data = bytes.substr(at + 8, length);
    const uint32_t crc = static_cast<uint32_t>(
        crc32(0, reinterpret_cast<const Bytef*>(type.data()), static_cast<uInt>(4 + length)));
    if (crc != BigEndian(bytes, at + 8 + length)) {
      return CorruptError(name, absl::StrCat("damaged PNG, wrong checksum at byte ", at));
    }
    if (!has_size) {
      if (type != "IHDR" || length != 13) return CorruptError(name, "PNG without header");
      header.stored = {int64_t{BigEndian(data, 4)}, int64_t{BigEndian(data, 0)}};
      has_size = true;
    } else if (type == "eXIf") {
      header.orientation = ExifOrientation(data);
    } else if (type == "IEND") {
      return header;
    }
    at += kFrame + length;
  }
  return CorruptError(name, absl::StrCat("truncated PNG, ends at byte ", bytes.size()));
}

// --- every format ---

// By OpenCV. PNG's orientation is left to the caller, that of other formats is OpenCV's to honour.
absl::StatusOr<cv::Mat> DecodeByOpenCv(absl::string_view bytes, absl::string_view name) {
  const int flags =
      IsPng(bytes) ? cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION : cv::IMREAD_COLOR;
  const cv::Mat encoded(1, static_cast<int>(bytes.size()), CV_8UC1,
                        const_cast<char*>(bytes.data()));
  cv::Mat image;
  try {
    image = cv::imdecode(encoded, flags);
  } catch (const cv::Exception& error) {
    return CorruptError(name, absl::StrCat("image that OpenCV cannot decode (", error.err, ")"));
  }
  if (image.empty()) {
    return CorruptError(name,
                        "no image, or of an unknown format (JPEG, PNG, BMP, WebP, TIFF and "
                        "PNM are known)");
  }
  cv::cvtColor(image, image, cv::COLOR_BGR2RGB);
  return image;
}

absl::Status CheckNotEmpty(absl::string_view bytes, absl::string_view name) {
  constexpr size_t kMostBytes = size_t{1} << 30;
  if (bytes.empty()) return CorruptError(name, "empty file");
  if (bytes.size() <= kMostBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(name, ": ", bytes.size(), " bytes; image files have at most ", kMostBytes));
}

absl::StatusOr<ImageSize> SizeOf(absl::string_view bytes, absl::string_view name) {
  SSD_RETURN_IF_ERROR(CheckNotEmpty(bytes, name));
  Header header;
  if (IsJpeg(bytes)) {
    SSD_ASSIGN_OR_RETURN(header, JpegReader(bytes).ReadHeader(name));
  } else if (IsPng(bytes)) {
    SSD_ASSIGN_OR_RETURN(header, ReadPngHeader(bytes, name));
  } else {
    SSD_ASSIGN_OR_RETURN(const cv::Mat image, DecodeByOpenCv(bytes, name));
    header.stored = {image.rows, image.cols};
  }
  SSD_RETURN_IF_ERROR(CheckPixels(name, header.stored));
  return header.size();
}

absl::StatusOr<cv::Mat> DecodeAny(absl::string_view bytes, absl::string_view name) {
  SSD_RETURN_IF_ERROR(CheckNotEmpty(bytes, name));
  if (IsJpeg(bytes)) {
    JpegReader reader(bytes);
    SSD_ASSIGN_OR_RETURN(const Header header, reader.ReadHeader(name));
    SSD_RETURN_IF_ERROR(CheckPixels(name, header.stored));
    SSD_ASSIGN_OR_RETURN(const cv::Mat stored, reader.ReadPixels(name, header));
    return Upright(stored, header.orientation);
  }
  if (IsPng(bytes)) {
    SSD_ASSIGN_OR_RETURN(const Header header, ReadPngHeader(bytes, name));
    SSD_RETURN_IF_ERROR(CheckPixels(name, header.stored));
    SSD_ASSIGN_OR_RETURN(const cv::Mat stored, DecodeByOpenCv(bytes, name));
    return Upright(stored, header.orientation);
  }
  return DecodeByOpenCv(bytes, name);
}

absl::StatusOr<cv::Mat> DecodeToSize(absl::string_view bytes, absl::string_view name,
                                     ImageSize size) {
  SSD_ASSIGN_OR_RETURN(cv::Mat image, DecodeAny(bytes, name));
  if (image.rows == size.height && image.cols == size.width) return image;
  return absl::DataLossError(absl::StrCat(
      name, ": ", image.cols, "x", image.rows, " pixels (after EXIF orientation), but ", size.width,
      "x", size.height, " are announced; correct the annotation or replace the image"));
}

class ImageFile : public ImageSource {
 public:
  ImageFile(std::string path, ImageSize size) : path_(std::move(path)), size_(size) {}

  ImageSize size() const override { return size_; }

  absl::StatusOr<cv::Mat> Decode() const override {
    SSD_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path_));
    return DecodeToSize(bytes, path_, size_);
  }

 private:
  const std::string path_;
  const ImageSize size_;
};

class EncodedImage : public ImageSource {
 public:
  EncodedImage(std::string bytes, std::string name, ImageSize size)
      : bytes_(std::move(bytes)), name_(std::move(name)), size_(size) {}

  ImageSize size() const override { return size_; }

  absl::StatusOr<cv::Mat> Decode() const override { return DecodeToSize(bytes_, name_, size_); }

 private:
  const std::string bytes_;
  const std::string name_;
  const ImageSize size_;
};

}  // namespace

absl::StatusOr<ImageSize> ReadImageSize(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  return SizeOf(bytes, path);
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
  SSD_ASSIGN_OR_RETURN(const ImageSize size, SizeOf(bytes, name));
  return std::make_shared<EncodedImage>(std::move(bytes), std::move(name), size);
}

}  // namespace ssd
