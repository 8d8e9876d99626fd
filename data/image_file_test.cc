#include "data/image_file.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdint>
#include <cstdio>
// libjpeg's header needs <cstdio> before it.
#include <jpeglib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

// Smooth, so that JPEG keeps it nearly; no two corners and no two channels alike. RGB.
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

// `image` as OpenCV keeps it (BGR), encoded.
std::string Encode(const char* extension, const cv::Mat& image,
                   const std::vector<int>& parameters = {}) {
  std::vector<uchar> bytes;
  EXPECT_TRUE(cv::imencode(extension, image, bytes, parameters));
  return std::string(bytes.begin(), bytes.end());
}

std::string Jpeg(const cv::Mat& rgb, bool progressive = false) {
  return Encode(".jpg", Swapped(rgb),
                {cv::IMWRITE_JPEG_QUALITY, 95, cv::IMWRITE_JPEG_PROGRESSIVE, progressive});
}

// Four inks, each of its own value, at full quality; Adobe's inverted form if so asked.
std::string FourColorJpeg(J_COLOR_SPACE stored, const cv::Vec4b& inks, int width, int height) {
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): libjpeg's type
  jpeg_mem_dest(&jpeg, &buffer, &size);
  jpeg.image_width = static_cast<JDIMENSION>(width);
  jpeg.image_height = static_cast<JDIMENSION>(height);
  jpeg.input_components = 4;
  jpeg.in_color_space = JCS_CMYK;
  jpeg_set_defaults(&jpeg);
  jpeg_set_colorspace(&jpeg, stored);
  jpeg_set_quality(&jpeg, 100, TRUE);
  jpeg_start_compress(&jpeg, TRUE);
  cv::Mat line(1, width, CV_8UC4, cv::Scalar(inks[0], inks[1], inks[2], inks[3]));
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = line.data;
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  std::string bytes(reinterpret_cast<char*>(buffer), size);
  jpeg_destroy_compress(&jpeg);
  std::free(buffer);
  return bytes;
}

std::string Integer(uint32_t value, int size, bool little) {
  std::string bytes;
  for (int i = 0; i < size; ++i) {
    const int shift = 8 * (little ? i : size - 1 - i);
    bytes.push_back(static_cast<char>(value >> shift & 0xff));
  }
  return bytes;
}

// A TIFF structure whose 0th IFD has two tags: ImageWidth and Orientation.
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

constexpr size_t kEndOfPngHeader = 8 + 12 + 13;  // signature, frame and fields of IHDR

std::string WithPngChunk(const std::string& png, const std::string& chunk) {
  return png.substr(0, kEndOfPngHeader) + chunk + png.substr(kEndOfPngHeader);
}

// Opens and decodes; the first error.
absl::StatusOr<cv::Mat> Decode(const std::string& bytes) {
  const auto source = OpenEncodedImage(bytes, "some/image.file");
  if (!source.ok()) return source.status();
  const auto pixels = (*source)->Decode();
  if (pixels.ok()) {
    EXPECT_EQ((*source)->size(), (ImageSize{pixels->rows, pixels->cols}));
    EXPECT_EQ(pixels->type(), CV_8UC3);
  }
  return pixels;
}

double LargestDifference(const cv::Mat& a, const cv::Mat& b) {
  if (a.size() != b.size() || a.type() != b.type()) return 1e9;
  return cv::norm(a, b, cv::NORM_INF);
}

// A bad image's error, which must name it and not print.
absl::Status ErrorOf(const std::string& bytes) {
  testing::internal::CaptureStderr();
  const absl::Status status = Decode(bytes).status();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_TRUE(absl::StrContains(status.message(), "some/image.file")) << status;
  return status;
}

std::string Write(const std::string& name, const std::string& bytes) {
  const std::string path = testing::TempDir() + "/" + name;
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

TEST(ImageFileTest, DecodesJpegToRgb) {
  const cv::Mat image = Gradient(75, 53);  // no multiples of a block
  for (const bool progressive : {false, true}) {
    const std::string bytes = Jpeg(image, progressive);
    const auto pixels = Decode(bytes);
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    EXPECT_LE(LargestDifference(*pixels, image), 8);
    // OpenCV decodes by libjpeg-turbo, too.
    EXPECT_EQ(LargestDifference(*pixels,
                                Swapped(cv::imdecode(std::vector<uchar>(bytes.begin(), bytes.end()),
                                                     cv::IMREAD_COLOR))),
              0);
  }
}

TEST(ImageFileTest, RepeatsGrey) {
  cv::Mat grey;
  cv::extractChannel(Gradient(40, 24), grey, 0);
  cv::Mat expected;
  cv::cvtColor(grey, expected, cv::COLOR_GRAY2RGB);
  const auto jpeg = Decode(Encode(".jpg", grey));
  ASSERT_TRUE(jpeg.ok()) << jpeg.status();
  EXPECT_LE(LargestDifference(*jpeg, expected), 8);
  const auto png = Decode(Encode(".png", grey));
  ASSERT_TRUE(png.ok()) << png.status();
  EXPECT_EQ(LargestDifference(*png, expected), 0);
}

TEST(ImageFileTest, ConvertsFourColors) {
  // Inverted: 255 is no ink. Red = C * K / 255, green and blue alike.
  const cv::Vec4b inks(200, 100, 50, 204);
  const cv::Mat expected(24, 40, CV_8UC3, cv::Scalar(160, 80, 40));
  for (const J_COLOR_SPACE stored : {JCS_CMYK, JCS_YCCK}) {
    const auto pixels = Decode(FourColorJpeg(stored, inks, 40, 24));
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    EXPECT_LE(LargestDifference(*pixels, expected), 2) << "color space " << stored;
  }
}

TEST(ImageFileTest, DecodesPngAsItIs) {
  const cv::Mat image = Gradient(61, 37);
  const auto plain = Decode(Encode(".png", Swapped(image)));
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(LargestDifference(*plain, image), 0);
  const auto bitmap = Decode(Encode(".bmp", Swapped(image)));
  ASSERT_TRUE(bitmap.ok()) << bitmap.status();
  EXPECT_EQ(LargestDifference(*bitmap, image), 0);
}

TEST(ImageFileTest, CutsSixteenBits) {
  const cv::Mat image = Gradient(61, 37);
  cv::Mat wide;
  Swapped(image).convertTo(wide, CV_16U, 256, 200);  // the low byte is 200: no rounding up
  const auto color = Decode(Encode(".png", wide));
  ASSERT_TRUE(color.ok()) << color.status();
  EXPECT_EQ(LargestDifference(*color, image), 0);

  cv::Mat grey, expected;
  cv::extractChannel(image, grey, 0);
  cv::cvtColor(grey, expected, cv::COLOR_GRAY2RGB);
  grey.convertTo(wide, CV_16U, 256);
  const auto single = Decode(Encode(".png", wide));
  ASSERT_TRUE(single.ok()) << single.status();
  EXPECT_EQ(LargestDifference(*single, expected), 0);
}

TEST(ImageFileTest, DropsAlpha) {
  const cv::Mat image = Gradient(61, 37);
  std::vector<cv::Mat> channels;
  cv::split(Swapped(image), channels);
  for (const double alpha : {0.0, 128.0}) {
    channels.resize(3);
    channels.emplace_back(image.size(), CV_8UC1, cv::Scalar(alpha));
    cv::Mat transparent;
    cv::merge(channels, transparent);
    const auto pixels = Decode(Encode(".png", transparent));
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    EXPECT_EQ(LargestDifference(*pixels, image), 0);
  }
}

// EXIF 2.32, section 4.6.5: where the 0th row and column of the stored image are shown.
cv::Mat Shown(const cv::Mat& stored, int orientation) {
  const int w = stored.cols, h = stored.rows;
  const bool turned = orientation >= 5;
  cv::Mat shown(turned ? w : h, turned ? h : w, stored.type());
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      cv::Point to;
      switch (orientation) {
        case 1:
          to = {x, y};
          break;  // row: top, column: left
        case 2:
          to = {w - 1 - x, y};
          break;  // top, right
        case 3:
          to = {w - 1 - x, h - 1 - y};
          break;  // bottom, right
        case 4:
          to = {x, h - 1 - y};
          break;  // bottom, left
        case 5:
          to = {y, x};
          break;  // left, top
        case 6:
          to = {h - 1 - y, x};
          break;  // right, top
        case 7:
          to = {h - 1 - y, w - 1 - x};
          break;  // right, bottom
        case 8:
          to = {y, w - 1 - x};
          break;  // left, bottom
      }
      shown.at<cv::Vec3b>(to) = stored.at<cv::Vec3b>(y, x);
    }
  }
  return shown;
}

TEST(ImageFileTest, HonoursOrientation) {
  const cv::Mat image = Gradient(40, 24);
  const std::string jpeg = Jpeg(image);
  const std::string png = Encode(".png", Swapped(image));
  const auto stored = Decode(jpeg);
  ASSERT_TRUE(stored.ok()) << stored.status();
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const bool little : {true, false}) {
      SCOPED_TRACE(absl::StrCat("orientation ", orientation, little ? " II" : " MM"));
      const std::string tiff = Tiff(orientation, little);
      const auto of_jpeg = Decode(WithExif(jpeg, tiff));
      ASSERT_TRUE(of_jpeg.ok()) << of_jpeg.status();
      EXPECT_EQ(LargestDifference(*of_jpeg, Shown(*stored, orientation)), 0);
      const auto of_png = Decode(WithPngChunk(png, PngChunk("eXIf", tiff)));
      ASSERT_TRUE(of_png.ok()) << of_png.status();
      EXPECT_EQ(LargestDifference(*of_png, Shown(image, orientation)), 0);
    }
  }
}

TEST(ImageFileTest, IgnoresSenselessExif) {
  const std::string jpeg = Jpeg(Gradient(40, 24));
  const auto stored = Decode(jpeg);
  ASSERT_TRUE(stored.ok()) << stored.status();
  const std::string good = Tiff(6, true);
  std::vector<std::string> senseless = {Tiff(0, true), Tiff(9, false), "", "II", "XX" + good};
  // Up to the end of the tag's head: the value (at byte 30) is missing or half there.
  for (size_t size = 3; size < 32; ++size) senseless.push_back(good.substr(0, size));
  for (const std::string& tiff : senseless) {
    const auto pixels = Decode(WithExif(jpeg, tiff));
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    EXPECT_EQ(LargestDifference(*pixels, *stored), 0) << tiff.size() << " bytes";
  }
}

TEST(ImageFileTest, RefusesTruncatedImages) {
  const cv::Mat image = Gradient(64, 48);
  for (const std::string& whole :
       {Jpeg(image), Jpeg(image, /*progressive=*/true), Encode(".png", Swapped(image))}) {
    ASSERT_TRUE(Decode(whole).ok());
    std::vector<size_t> sizes = {0, 1, 2, 3, 8, 20, whole.size() - 2, whole.size() - 1};
    for (size_t size = 30; size + 2 < whole.size(); size += 41) sizes.push_back(size);
    for (const size_t size : sizes) {
      const absl::Status status = ErrorOf(whole.substr(0, size));
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss)
          << size << " of " << whole.size() << " bytes: " << status;
    }
  }
}

TEST(ImageFileTest, RefusesDamagedImages) {
  const cv::Mat image = Gradient(64, 48);
  std::string png = Encode(".png", Swapped(image));
  png[png.size() / 2] ^= 0x10;
  EXPECT_EQ(ErrorOf(png).code(), absl::StatusCode::kDataLoss);

  // Entropy-coded data that ends in the middle, and a marker there.
  std::string jpeg = Jpeg(image);
  const size_t scan = jpeg.find("\xff\xda");
  ASSERT_NE(scan, std::string::npos);
  jpeg.replace((scan + jpeg.size()) / 2, 2, "\xff\xd9");
  EXPECT_EQ(ErrorOf(jpeg).code(), absl::StatusCode::kDataLoss);

  EXPECT_EQ(ErrorOf("").code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ErrorOf("What a fine day it is.").code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ErrorOf(std::string(1000, '\0')).code(), absl::StatusCode::kDataLoss);
}

TEST(ImageFileTest, TakesHarmlessFaults) {
  const std::string jpeg = Jpeg(Gradient(64, 48));
  const auto expected = Decode(jpeg);
  ASSERT_TRUE(expected.ok()) << expected.status();
  // Bytes after the end, and between markers: libjpeg skips those with a warning.
  const size_t tables = jpeg.find("\xff\xdb");
  ASSERT_NE(tables, std::string::npos);
  for (const std::string& odd :
       {jpeg + "trailing", jpeg.substr(0, tables) + std::string(3, '\0') + jpeg.substr(tables)}) {
    testing::internal::CaptureStderr();
    const auto pixels = Decode(odd);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    EXPECT_EQ(LargestDifference(*pixels, *expected), 0);
  }
}

TEST(ImageFileTest, RefusesTooManyPixelsByTheHeader) {
  // 2^16 x 2^15 pixels in less than 100 bytes.
  const std::string fields =
      Integer(1 << 16, 4, false) + Integer(1 << 15, 4, false) + std::string("\x08\x02\0\0\0", 5);
  const std::string png = std::string("\x89PNG\r\n\x1a\n") + PngChunk("IHDR", fields) +
                          PngChunk("IDAT", "x") + PngChunk("IEND", "");
  EXPECT_EQ(ErrorOf(png).code(), absl::StatusCode::kResourceExhausted);

  std::string jpeg = Jpeg(Gradient(64, 48));
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xdc\xff\xdc");  // height and width
  EXPECT_EQ(ErrorOf(jpeg).code(), absl::StatusCode::kResourceExhausted);
}

TEST(ImageFileTest, ReadsFiles) {
  const std::string path = Write("turned.jpg", WithExif(Jpeg(Gradient(40, 24)), Tiff(6, true)));
  const auto size = ReadImageSize(path);
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(*size, (ImageSize{40, 24}));
  const auto source = OpenImageFile(path);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->size(), (ImageSize{40, 24}));
  EXPECT_TRUE((*source)->Decode().ok());

  // Annotations that were drawn on the unturned pixels.
  const absl::Status other = ImageFileOfSize(path, {24, 40})->Decode().status();
  EXPECT_EQ(other.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(absl::StrContains(other.message(), path)) << other;
  EXPECT_TRUE(absl::StrContains(other.message(), "24x40")) << other;
  EXPECT_TRUE(absl::StrContains(other.message(), "40x24")) << other;
}

TEST(ImageFileTest, NamesFilesThatCannotBeRead) {
  const std::string missing = testing::TempDir() + "/missing.jpg";
  for (const absl::Status& status :
       {OpenImageFile(missing).status(), ReadImageSize(missing).status(),
        ImageFileOfSize(missing, {24, 40})->Decode().status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_TRUE(absl::StrContains(status.message(), missing)) << status;
  }
  const std::string folder = testing::TempDir();
  EXPECT_FALSE(OpenImageFile(folder).ok());
  const std::string empty = Write("empty.png", "");
  EXPECT_EQ(OpenImageFile(empty).status().code(), absl::StatusCode::kDataLoss);
}

TEST(ImageFileTest, DecodesInParallelAsInTurn) {
  std::vector<std::shared_ptr<const ImageSource>> sources;
  std::vector<cv::Mat> expected;
  for (int i = 0; i < 6; ++i) {
    const cv::Mat image = Gradient(80 + 7 * i, 60 + 5 * i);
    const std::string bytes = i % 2 == 0 ? Jpeg(image) : Encode(".png", Swapped(image));
    const auto source = OpenImageFile(Write(absl::StrCat("parallel", i), bytes));
    ASSERT_TRUE(source.ok()) << source.status();
    const auto pixels = (*source)->Decode();
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    sources.push_back(*source);
    expected.push_back(*pixels);
  }
  // By thread: where it differs.
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 60; ++i) {
        const size_t which = (i + t) % sources.size();
        const auto pixels = sources[which]->Decode();
        if (!pixels.ok() || LargestDifference(*pixels, expected[which]) != 0) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace ssd
