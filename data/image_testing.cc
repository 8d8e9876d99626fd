#include "data/image_testing.h"

#include <zlib.h>

#include <cstdlib>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

constexpr char kPngSignature[] = "\x89PNG\r\n\x1a\n";

// A zlib stream that stores `bytes` (RFC 1950; RFC 1951, section 3.2.4).
std::string Stored(const std::string& bytes) {
  uint32_t low = 1, high = 0;  // Adler-32
  for (const char byte : bytes) {
    low = (low + static_cast<uint8_t>(byte)) % 65521;
    high = (high + low) % 65521;
  }
  const auto size = static_cast<uint32_t>(bytes.size());
  return "\x78\x01\x01" + Integer(size, 2, true) + Integer(~size & 0xffff, 2, true) + bytes +
         Integer(high << 16 | low, 4, false);
}

}  // namespace

cv::Mat Gradient(int width, int height) {
  cv::Mat image(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int red = 40 + 180 * x / width;
      const int green = 30 + 160 * y / height;
      image.at<cv::Vec3b>(y, x) =
          cv::Vec3b(static_cast<uchar>(red), static_cast<uchar>(green), 120);
    }
  }
  return image;
}

cv::Mat Swapped(const cv::Mat& image) {
  cv::Mat swapped;
  cv::cvtColor(image, swapped, cv::COLOR_RGB2BGR);
  return swapped;
}

std::string Encode(const char* extension, const cv::Mat& image,
                   const std::vector<int>& parameters) {
  std::vector<uchar> bytes;
  if (!cv::imencode(extension, image, bytes, parameters)) return "";
  return std::string(bytes.begin(), bytes.end());
}

std::string Jpeg(const cv::Mat& pixels, const JpegForm& form) {
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): libjpeg's type
  jpeg_mem_dest(&jpeg, &buffer, &size);
  jpeg.image_width = static_cast<JDIMENSION>(pixels.cols);
  jpeg.image_height = static_cast<JDIMENSION>(pixels.rows);
  jpeg.input_components = pixels.channels();
  jpeg.in_color_space = pixels.channels() == 1   ? JCS_GRAYSCALE
                        : pixels.channels() == 3 ? JCS_RGB
                                                 : JCS_CMYK;
  jpeg_set_defaults(&jpeg);
  jpeg_set_colorspace(&jpeg, pixels.channels() == 1 ? JCS_GRAYSCALE : form.stored);
  if (!form.adobe_marker) jpeg.write_Adobe_marker = FALSE;
  jpeg_set_quality(&jpeg, form.quality, TRUE);
  for (int i = 0; i < jpeg.num_components; ++i) {
    // The first component is brightness, and the fourth black.
    const bool is_whole = i == 0 || i == 3;
    jpeg.comp_info[i].h_samp_factor = is_whole ? form.across : 1;
    jpeg.comp_info[i].v_samp_factor = is_whole ? form.down : 1;
  }
  if (form.progressive) jpeg_simple_progression(&jpeg);
  jpeg.restart_in_rows = form.restart_rows;
  jpeg_start_compress(&jpeg, TRUE);
  while (jpeg.next_scanline < jpeg.image_height) {
    // libjpeg does not write there.
    JSAMPROW row = const_cast<uchar*>(pixels.ptr(static_cast<int>(jpeg.next_scanline)));
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  std::string bytes(reinterpret_cast<char*>(buffer), size);
  jpeg_destroy_compress(&jpeg);
  std::free(buffer);
  return bytes;
}

std::string Jpeg(const cv::Mat& rgb) { return Jpeg(rgb, JpegForm()); }

std::string Integer(uint32_t value, int size, bool little) {
  std::string bytes;
  for (int i = 0; i < size; ++i) {
    const int shift = 8 * (little ? i : size - 1 - i);
    bytes.push_back(static_cast<char>(value >> shift & 0xff));
  }
  return bytes;
}

std::string Tiff(int orientation, bool little) {
  const auto number = [little](uint32_t value, int size) { return Integer(value, size, little); };
  return absl::StrCat(little ? "II" : "MM", number(42, 2), number(8, 4), number(2, 2),
                      // tag, type (4: LONG, 3: SHORT), count, value
                      number(0x0100, 2), number(4, 2), number(1, 4), number(7, 4),
                      number(0x0112, 2), number(3, 2), number(1, 4),
                      number(static_cast<uint32_t>(orientation), 2), number(0, 2), number(0, 4));
}

std::string WithExif(const std::string& jpeg, const std::string& tiff) {
  const std::string payload = std::string("Exif\0\0", 6) + tiff;
  return jpeg.substr(0, 2) + "\xff\xe1" +
         Integer(static_cast<uint32_t>(payload.size() + 2), 2, /*little=*/false) + payload +
         jpeg.substr(2);
}

std::string PngChunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const uLong sum =
      crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return Integer(static_cast<uint32_t>(data.size()), 4, false) + body +
         Integer(static_cast<uint32_t>(sum), 4, false);
}

std::string WithPngChunk(const std::string& png, const std::string& chunk) {
  constexpr size_t kEndOfHeader = 8 + 12 + 13;  // signature, frame and fields of IHDR
  return png.substr(0, kEndOfHeader) + chunk + png.substr(kEndOfHeader);
}

std::string PngRow(int width, int bits, int color, const std::string& tables,
                   const std::string& pixels) {
  const std::string header = Integer(static_cast<uint32_t>(width), 4, false) +
                             Integer(1, 4, false) + static_cast<char>(bits) +
                             static_cast<char>(color) + std::string(3, '\0');
  return kPngSignature + PngChunk("IHDR", header) + tables +
         PngChunk("IDAT", Stored(std::string(1, '\0') + pixels)) + PngChunk("IEND", "");
}

std::string PngWithoutPixels(uint32_t width, uint32_t height) {
  const std::string header =
      Integer(width, 4, false) + Integer(height, 4, false) + std::string("\x08\x02\0\0\0", 5);
  return kPngSignature + PngChunk("IHDR", header) + PngChunk("IDAT", "x") + PngChunk("IEND", "");
}

std::string AnimatedWebP(uint32_t width, uint32_t height) {
  constexpr uint32_t kAnimation = 0x02;
  return "RIFF" + Integer(22, 4, true) + "WEBPVP8X" + Integer(10, 4, true) +
         Integer(kAnimation, 4, true) + Integer(width - 1, 3, true) + Integer(height - 1, 3, true);
}

std::string AnimatedGif() { return "GIF89a" + std::string(20, '\1'); }

double LargestDifference(const cv::Mat& a, const cv::Mat& b) {
  if (a.size() != b.size() || a.type() != b.type()) return 1e9;
  return cv::norm(a, b, cv::NORM_INF);
}

}  // namespace ssd
