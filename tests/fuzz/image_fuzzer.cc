// Image files, header, pixels and a part of them: data/image_file.h. Checksums bar the way into a
// changed PNG; hence it is read again with the right ones.

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "data/image_file.h"
#include "data/image_header.h"
#include "data/lazy_image.h"

namespace {

void Read(const std::string& bytes) {
  const absl::StatusOr<std::shared_ptr<const ssd::ImageSource>> source =
      ssd::OpenEncodedImage(bytes, "fuzz");
  if (!source.ok()) return;
  const ssd::ImageSize size = (*source)->size();
  if (size.width < 1 || size.height < 1 || size.height > ssd::kMaxImagePixels / size.width) {
    __builtin_trap();
  }
  constexpr int64_t kMostPixels = int64_t{1} << 16;  // that are decoded: time
  if (size.width * size.height > kMostPixels) return;

  const int width = static_cast<int>(size.width);
  const int height = static_cast<int>(size.height);
  const absl::StatusOr<cv::Mat> whole = (*source)->Decode();
  if (whole.ok() && (whole->type() != CV_8UC3 || whole->size() != cv::Size(width, height))) {
    __builtin_trap();
  }
  // Of three thirds the second.
  const cv::Rect part(width / 3, height / 3, (width + 2) / 3, (height + 2) / 3);
  for (const int max_reduction : {1, 8}) {
    const absl::StatusOr<ssd::DecodedRegion> region = (*source)->DecodeRegion(part, max_reduction);
    if (!region.ok()) continue;
    const cv::Mat& pixels = region->pixels;
    const cv::Rect& area = region->area;
    if (region->reduction < 1 || region->reduction > max_reduction) __builtin_trap();
    if (pixels.type() != CV_8UC3 || pixels.size() * region->reduction != area.size() ||
        (area & part) != part) {
      __builtin_trap();
    }
    // JPEGs alone are decoded in part, to the bits of the whole.
    const bool is_jpeg = ssd::FormatOf(bytes) == ssd::ImageFormat::kJpeg;
    if (is_jpeg && max_reduction == 1 && whole.ok() &&
        cv::norm(pixels, (*whole)(area), cv::NORM_INF) != 0) {
      __builtin_trap();
    }
  }
}

std::string WithRightChecksums(std::string png) {
  constexpr size_t kSignature = 8;
  constexpr size_t kFrame = 12;  // of a chunk: length, type and CRC
  for (size_t at = kSignature; at <= png.size() && png.size() - at >= kFrame;) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<uint8_t>(png[at + i]);
    if (png.size() - at - kFrame < length) break;
    const uint64_t crc =
        crc32_z(0, reinterpret_cast<const unsigned char*>(png.data() + at + 4), 4 + length);
    at += 8 + length;
    for (const int shift : {24, 16, 8, 0}) png[at++] = static_cast<char>(crc >> shift & 0xff);
  }
  return png;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  Read(bytes);
  if (ssd::FormatOf(bytes) == ssd::ImageFormat::kPng) Read(WithRightChecksums(std::move(bytes)));
  return 0;
}
