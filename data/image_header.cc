#include "data/image_header.h"

#include <zlib.h>

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "data/tiff_directory.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

constexpr absl::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);

// An unsigned number of `size` bytes; past the end reads as 0.
uint32_t LittleEndian(absl::string_view bytes, size_t at, size_t size) {
  uint32_t value = 0;
  if (at > bytes.size() || bytes.size() - at < size) return value;
  for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// Of four bytes that are there.
uint32_t BigEndian(absl::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// PNG, third edition, section 5. OpenCV takes a truncated file for a whole one or prints, depending
// on where it ends; hence all chunks.
absl::StatusOr<ImageHeader> ReadPngHeader(absl::string_view bytes, absl::string_view name) {
  constexpr size_t kFrame = 12;  // length, type and CRC
  ImageHeader header;
  bool has_size = false;
  for (size_t at = kPngSignature.size(); bytes.size() - at >= kFrame;) {
    const size_t length = BigEndian(bytes, at);
    if (bytes.size() - at - kFrame < length) break;
    const absl::string_view type = bytes.substr(at + 4, 4);
    const absl::string_view data = bytes.substr(at + 8, length);
    const uint32_t crc = static_cast<uint32_t>(
        crc32(0, reinterpret_cast<const Bytef*>(type.data()), static_cast<uInt>(4 + length)));
    if (crc != BigEndian(bytes, at + 8 + length)) {
      return CorruptImageError(name, absl::StrCat("damaged PNG, wrong checksum at byte ", at));
    }
    if (!has_size) {
      if (type != "IHDR" || length != 13) return CorruptImageError(name, "PNG without header");
      header.stored = {int64_t{BigEndian(data, 4)}, int64_t{BigEndian(data, 0)}};
      has_size = true;
    } else if (type == "eXIf") {
      header.orientation = ExifOrientation(data);
    } else if (type == "IEND") {
      return header;
    }
    at += kFrame + length;
  }
  return TruncatedImageError(name, "PNG", bytes);
}

// BITMAPFILEHEADER, then BITMAPCOREHEADER or BITMAPINFOHEADER and its successors.
absl::StatusOr<ImageHeader> ReadBmpHeader(absl::string_view bytes, absl::string_view name) {
  constexpr uint32_t kCoreHeader = 12, kInfoHeader = 40;
  constexpr size_t kInfo = 14;  // where it begins
  if (bytes.size() < kInfo + kCoreHeader) return TruncatedImageError(name, "BMP", bytes);
  const uint32_t header_size = LittleEndian(bytes, kInfo, 4);
  const bool is_core = header_size == kCoreHeader;
  if (!is_core && header_size < kInfoHeader) {
    return CorruptImageError(name, absl::StrCat("BMP with a header of ", header_size, " bytes"));
  }
  if (bytes.size() - kInfo < header_size) return TruncatedImageError(name, "BMP", bytes);
  const auto side = [&](size_t index) {
    if (is_core) return int64_t{LittleEndian(bytes, kInfo + 4 + 2 * index, 2)};
    return int64_t{static_cast<int32_t>(LittleEndian(bytes, kInfo + 4 + 4 * index, 4))};
  };
  ImageHeader header;
  header.stored = {side(1), side(0)};
  if (header.stored.height < 0) header.stored.height = -header.stored.height;  // from the top
  SSD_RETURN_IF_ERROR(CheckPixels(name, header.stored));

  const int64_t bits = LittleEndian(bytes, kInfo + (is_core ? 10 : 14), 2);
  const uint32_t compression = is_core ? 0 : LittleEndian(bytes, kInfo + 16, 4);
  constexpr uint32_t kPlain = 0, kBitFields = 3, kAlphaBitFields = 6;
  if (compression != kPlain && compression != kBitFields && compression != kAlphaBitFields) {
    return header;
  }
  const int64_t row = (header.stored.width * bits + 31) / 32 * 4;
  const int64_t end = int64_t{LittleEndian(bytes, 10, 4)} + row * header.stored.height;
  if (static_cast<int64_t>(bytes.size()) < end) return TruncatedImageError(name, "BMP", bytes);
  return header;
}

// RFC 9649.
absl::StatusOr<ImageHeader> ReadWebPHeader(absl::string_view bytes, absl::string_view name) {
  constexpr size_t kRiffHeader = 8, kFirstChunk = 12, kChunkHeader = 8;
  if (bytes.size() < kFirstChunk + kChunkHeader ||
      bytes.size() - kRiffHeader < LittleEndian(bytes, 4, 4)) {
    return TruncatedImageError(name, "WebP", bytes);
  }
  const absl::string_view kind = bytes.substr(kFirstChunk, 4);
  const size_t data = kFirstChunk + kChunkHeader;
  ImageHeader header;
  if (kind == "VP8 ") {
    constexpr uint32_t kSide = 0x3fff;  // the other bits are a scale for display
    header.stored = {int64_t{LittleEndian(bytes, data + 8, 2) & kSide},
                     int64_t{LittleEndian(bytes, data + 6, 2) & kSide}};
    return header;
  }
  if (kind == "VP8L") {
    constexpr uint32_t kSide = 0x3fff;
    const uint32_t sides = LittleEndian(bytes, data + 1, 4);
    header.stored = {int64_t{sides >> 14 & kSide} + 1, int64_t{sides & kSide} + 1};
    return header;
  }
  if (kind != "VP8X") return CorruptImageError(name, "WebP without an image");
  constexpr uint32_t kAnimated = 0x02;
  if ((LittleEndian(bytes, data, 1) & kAnimated) != 0) {
    return CorruptImageError(name, "animated WebP, of which no frame is the image");
  }
  header.stored = {int64_t{LittleEndian(bytes, data + 7, 3)} + 1,
                   int64_t{LittleEndian(bytes, data + 4, 3)} + 1};
  for (size_t at = kFirstChunk; at < bytes.size() && bytes.size() - at >= kChunkHeader;) {
    const size_t length = LittleEndian(bytes, at + 4, 4);
    if (bytes.size() - at - kChunkHeader < length) return TruncatedImageError(name, "WebP", bytes);
    if (bytes.substr(at, 4) == "EXIF") {
      absl::string_view exif = bytes.substr(at + kChunkHeader, length);
      // JPEG's prefix, which some programs leave there.
      constexpr absl::string_view kJpegPrefix("Exif\0\0", 6);
      if (absl::StartsWith(exif, kJpegPrefix)) exif.remove_prefix(kJpegPrefix.size());
      header.orientation = ExifOrientation(exif);
    }
    at += kChunkHeader + length + length % 2;
  }
  return header;
}

// What OpenCV and libtiff do not decode, and print of, or decode wrong (signed samples).
absl::Status CheckTiffSamples(const TiffDirectory& directory, absl::string_view name) {
  constexpr uint64_t kMostSamples = 4, kUnsigned = 1, kCmyk = 5;
  for (const uint64_t samples : directory.Numbers(TiffDirectory::kSamplesPerPixel)) {
    if (samples <= kMostSamples) continue;
    return CorruptImageError(name, absl::StrCat("TIFF of ", samples, " samples a pixel (at most ",
                                                kMostSamples, " are read)"));
  }
  const std::vector<uint64_t> color = directory.Numbers(TiffDirectory::kPhotometricInterpretation);
  const bool is_cmyk = !color.empty() && color[0] == kCmyk;
  for (const uint64_t bits : directory.Numbers(TiffDirectory::kBitsPerSample)) {
    if (bits == 8 || (!is_cmyk && (bits == 1 || bits == 16))) continue;
    return CorruptImageError(
        name, absl::StrCat(is_cmyk ? "CMYK TIFF of " : "TIFF of ", bits, " bits a sample (",
                           is_cmyk ? "8" : "1, 8 and 16", " are read)"));
  }
  for (const uint64_t format : directory.Numbers(TiffDirectory::kSampleFormat)) {
    if (format == kUnsigned) continue;
    // TIFF 6.0, section 19.
    const char* const kind = format == 2 ? "signed" : format == 3 ? "floating-point" : "undefined";
    return CorruptImageError(name,
                             absl::StrCat("TIFF of ", kind, " samples (unsigned ones are read)"));
  }
  return absl::OkStatus();
}

// TIFF 6.0, BigTIFF. The first image of several.
absl::StatusOr<ImageHeader> ReadTiffHeader(absl::string_view bytes, absl::string_view name) {
  const std::optional<TiffDirectory> directory = TiffDirectory::Open(bytes);
  if (!directory || !directory->IsWhole()) return TruncatedImageError(name, "TIFF", bytes);
  // Directories and their longer values usually come last.
  for (const int tag : {TiffDirectory::kBitsPerSample, TiffDirectory::kStripOffsets,
                        TiffDirectory::kStripByteCounts, TiffDirectory::kColorMap,
                        TiffDirectory::kTileOffsets, TiffDirectory::kTileByteCounts}) {
    if (directory->Has(tag) && directory->Numbers(tag).empty()) {
      return TruncatedImageError(name, "TIFF", bytes);
    }
  }
  const std::vector<uint64_t> width = directory->Numbers(TiffDirectory::kImageWidth);
  const std::vector<uint64_t> height = directory->Numbers(TiffDirectory::kImageLength);
  if (width.empty() || height.empty()) {
    return CorruptImageError(name, "TIFF without a width or height");
  }
  constexpr uint64_t kMostSide = uint64_t{1} << 32;
  if (width[0] > kMostSide || height[0] > kMostSide) {
    return CorruptImageError(name, absl::StrCat("TIFF of ", width[0], "x", height[0], " pixels"));
  }
  SSD_RETURN_IF_ERROR(CheckTiffSamples(*directory, name));
  ImageHeader header;
  header.stored = {static_cast<int64_t>(height[0]), static_cast<int64_t>(width[0])};
  header.orientation = directory->Orientation();
  const std::pair<int, int> parts[] = {
      {TiffDirectory::kStripOffsets, TiffDirectory::kStripByteCounts},
      {TiffDirectory::kTileOffsets, TiffDirectory::kTileByteCounts}};
  for (const auto& [offsets_tag, counts_tag] : parts) {
    const std::vector<uint64_t> offsets = directory->Numbers(offsets_tag);
    const std::vector<uint64_t> counts = directory->Numbers(counts_tag);
    for (size_t i = 0; i < offsets.size() && i < counts.size(); ++i) {
      if (offsets[i] > bytes.size() || bytes.size() - offsets[i] < counts[i]) {
        return TruncatedImageError(name, "TIFF", bytes);
      }
    }
  }
  return header;
}

// netpbm's PBM, PGM and PPM, plain or raw.
absl::StatusOr<ImageHeader> ReadPnmHeader(absl::string_view bytes, absl::string_view name) {
  const char kind = bytes[1];
  size_t at = 2;
  // The next number, after white space and comments; -1: there is none.
  const auto next = [&]() -> int64_t {
    while (at < bytes.size() && (absl::ascii_isspace(bytes[at]) || bytes[at] == '#')) {
      if (bytes[at] == '#') {
        while (at < bytes.size() && bytes[at] != '\n') ++at;
      } else {
        ++at;
      }
    }
    constexpr int64_t kMost = int64_t{1} << 32;
    int64_t number = -1;
    for (; at < bytes.size() && absl::ascii_isdigit(bytes[at]) && number < kMost; ++at) {
      number = (number < 0 ? 0 : 10 * number) + (bytes[at] - '0');
    }
    return number;
  };
  ImageHeader header;
  header.stored.width = next();
  header.stored.height = next();
  const bool has_maximum = kind != '1' && kind != '4';
  const int64_t maximum = has_maximum ? next() : 1;
  if (header.stored.width < 0 || header.stored.height < 0 || maximum < 0) {
    return at < bytes.size() ? CorruptImageError(name, "PNM with a header that is no number")
                             : TruncatedImageError(name, "PNM", bytes);
  }
  SSD_RETURN_IF_ERROR(CheckPixels(name, header.stored));
  // OpenCV leaves others as dark as they are.
  if (has_maximum && maximum != 255 && maximum != 65535) {
    return CorruptImageError(
        name, absl::StrCat("PNM whose greatest value is ", maximum, " (255 and 65535 are read)"));
  }
  if (kind < '4') return header;  // plain text, of any length
  const int64_t row = kind == '4'
                          ? (header.stored.width + 7) / 8
                          : header.stored.width * (kind == '6' ? 3 : 1) * (maximum > 255 ? 2 : 1);
  // One white space is between header and pixels.
  const int64_t end = static_cast<int64_t>(at) + 1 + row * header.stored.height;
  if (static_cast<int64_t>(bytes.size()) < end) return TruncatedImageError(name, "PNM", bytes);
  return header;
}

absl::StatusOr<ImageHeader> ReadAny(absl::string_view bytes, absl::string_view name) {
  switch (FormatOf(bytes)) {
    case ImageFormat::kPng:
      return ReadPngHeader(bytes, name);
    case ImageFormat::kBmp:
      return ReadBmpHeader(bytes, name);
    case ImageFormat::kWebP:
      return ReadWebPHeader(bytes, name);
    case ImageFormat::kTiff:
      return ReadTiffHeader(bytes, name);
    case ImageFormat::kPnm:
      return ReadPnmHeader(bytes, name);
    case ImageFormat::kGif:
      return CorruptImageError(name, "GIF, which is not read: save it as PNG");
    default:
      return CorruptImageError(name,
                               "no image, or of an unknown format (JPEG, PNG, BMP, WebP, TIFF and "
                               "PNM are known)");
  }
}

}  // namespace

ImageFormat FormatOf(absl::string_view bytes) {
  if (absl::StartsWith(bytes, "\xff\xd8\xff")) return ImageFormat::kJpeg;
  if (absl::StartsWith(bytes, kPngSignature)) return ImageFormat::kPng;
  if (absl::StartsWith(bytes, "BM")) return ImageFormat::kBmp;
  if (absl::StartsWith(bytes, "RIFF") && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP") {
    return ImageFormat::kWebP;
  }
  for (const absl::string_view tiff :
       {absl::string_view("II*\0", 4), absl::string_view("MM\0*", 4), absl::string_view("II+\0", 4),
        absl::string_view("MM\0+", 4)}) {
    if (absl::StartsWith(bytes, tiff)) return ImageFormat::kTiff;
  }
  if (absl::StartsWith(bytes, "GIF8")) return ImageFormat::kGif;
  if (bytes.size() >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
      absl::ascii_isspace(bytes[2])) {
    return ImageFormat::kPnm;
  }
  return ImageFormat::kUnknown;
}

absl::StatusOr<ImageHeader> ReadImageHeader(absl::string_view bytes, absl::string_view name) {
  SSD_ASSIGN_OR_RETURN(const ImageHeader header, ReadAny(bytes, name));
  SSD_RETURN_IF_ERROR(CheckPixels(name, header.stored));
  return header;
}

absl::Status CorruptImageError(absl::string_view name, absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat(name, ": ", what, "; replace the file or drop the image"));
}

absl::Status TruncatedImageError(absl::string_view name, absl::string_view format,
                                 absl::string_view bytes) {
  return CorruptImageError(name,
                           absl::StrCat("truncated ", format, ", ends at byte ", bytes.size()));
}

absl::Status OutOfMemoryError(absl::string_view name) {
  return absl::InternalError(absl::StrCat(
      name,
      ": out of memory while it was read or decoded; use fewer loader workers or a smaller "
      "cache, or scale the image down"));
}

bool IsBadImage(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kInvalidArgument:  // a folder
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kResourceExhausted:  // too many pixels or bytes
      return true;
    default:
      return false;
  }
}

absl::Status CheckPixels(absl::string_view name, ImageSize size) {
  if (size.height <= 0 || size.width <= 0) return CorruptImageError(name, "image without pixels");
  if (size.height <= kMaxImageSide && size.width <= kMaxImageSide &&
      size.height <= kMaxImagePixels / size.width) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat(name, ": ", size.width, "x", size.height, " pixels; at most ", kMaxImagePixels,
                   " are decoded, ", kMaxImageSide, " on a side: scale the image down"));
}

}  // namespace ssd
