#include "data/image_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <new>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "data/image_header.h"
#include "data/image_testing.h"

namespace ssd {
namespace {

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
    JpegForm form;
    form.across = form.down = 2;
    form.progressive = progressive;
    const std::string bytes = Jpeg(image, form);
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
  const cv::Mat image(24, 40, CV_8UC4, cv::Scalar(inks[0], inks[1], inks[2], inks[3]));
  const cv::Mat expected(24, 40, CV_8UC3, cv::Scalar(160, 80, 40));
  for (const J_COLOR_SPACE stored : {JCS_CMYK, JCS_YCCK}) {
    JpegForm form;
    form.stored = stored;
    form.quality = 100;
    const auto pixels = Decode(Jpeg(image, form));
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    EXPECT_LE(LargestDifference(*pixels, expected), 2) << "color space " << stored;
  }
}

TEST(ImageFileTest, TakesFourColorsWithoutMarkerAsOpenCvDoes) {
  const cv::Mat image(24, 40, CV_8UC4, cv::Scalar(200, 100, 50, 204));
  JpegForm form;
  form.stored = JCS_CMYK;
  form.quality = 100;
  EXPECT_TRUE(absl::StrContains(Jpeg(image, form), "Adobe"));
  form.adobe_marker = false;
  const std::string bytes = Jpeg(image, form);
  EXPECT_FALSE(absl::StrContains(bytes, "Adobe"));
  const auto pixels = Decode(bytes);
  ASSERT_TRUE(pixels.ok()) << pixels.status();
  EXPECT_LE(LargestDifference(*pixels, cv::Mat(24, 40, CV_8UC3, cv::Scalar(160, 80, 40))), 2);
  const cv::Mat by_opencv =
      cv::imdecode(std::vector<uchar>(bytes.begin(), bytes.end()), cv::IMREAD_COLOR);
  EXPECT_LE(LargestDifference(*pixels, Swapped(by_opencv)), 2);
}

TEST(ImageFileTest, KnowsImagesByName) {
  for (const char* name : {"a.jpg", "b.JPEG", "c.d.Png", "e.bmp", "f.webp", "g.tif", "h.tiff",
                           "i.ppm", "j.pgm", "k.pbm"}) {
    EXPECT_TRUE(IsImageName(name)) << name;
  }
  for (const char* name : {"", "jpg", "a.txt", "a.jpg.7", "._a.jpg", ".a.png", ".jpg", "a.gif"}) {
    EXPECT_FALSE(IsImageName(name)) << name;
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
  // Of TIFF, libtiff rounds colours instead.
  cv::Mat rounded(wide.size(), CV_8UC3);
  for (int y = 0; y < wide.rows; ++y) {
    for (int x = 0; x < wide.cols; ++x) {
      for (int c = 0; c < 3; ++c) {
        rounded.at<cv::Vec3b>(y, x)[c] =
            static_cast<uchar>((wide.at<cv::Vec3w>(y, x)[c] + 128) / 257);
      }
    }
  }
  const auto tiff = Decode(Encode(".tiff", wide));
  ASSERT_TRUE(tiff.ok()) << tiff.status();
  EXPECT_EQ(LargestDifference(*tiff, Swapped(rounded)), 0);

  cv::Mat grey, expected;
  cv::extractChannel(image, grey, 0);
  cv::cvtColor(grey, expected, cv::COLOR_GRAY2RGB);
  grey.convertTo(wide, CV_16U, 256, 200);
  for (const char* extension : {".png", ".tiff"}) {
    const auto single = Decode(Encode(extension, wide));
    ASSERT_TRUE(single.ok()) << single.status();
    EXPECT_EQ(LargestDifference(*single, expected), 0) << extension;
  }
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
    std::vector<std::string> files = {Encode(".png", transparent), Encode(".tiff", transparent)};
    // Where nothing shows, libwebp stores other colours.
    if (alpha > 0) {
      files.push_back(Encode(".webp", transparent, {cv::IMWRITE_WEBP_QUALITY, 101}));
    }
    for (size_t i = 0; i < files.size(); ++i) {
      const auto pixels = Decode(files[i]);
      ASSERT_TRUE(pixels.ok()) << pixels.status();
      EXPECT_EQ(LargestDifference(*pixels, image), 0) << "file " << i << ", alpha " << alpha;
    }
  }
}

TEST(ImageFileTest, DropsAlphaOfGrey) {
  constexpr int kGreyAndAlpha = 4;
  for (const std::string& png :
       {PngRow(2, 8, kGreyAndAlpha, "", std::string("\x32\x80\x3c\x00", 4)),
        PngRow(2, 16, kGreyAndAlpha, "", std::string("\x32\xc8\x80\x00\x3c\xc8\x00\x00", 8))}) {
    const auto pixels = Decode(png);
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    ASSERT_EQ(pixels->size(), cv::Size(2, 1));
    EXPECT_EQ(pixels->at<cv::Vec3b>(0, 0), cv::Vec3b::all(50));
    EXPECT_EQ(pixels->at<cv::Vec3b>(0, 1), cv::Vec3b::all(60));
  }
}

constexpr uint32_t kWhiteIsZero = 0, kBlackIsZero = 1, kRgb = 2, kCmyk = 5;
constexpr uint32_t kExtraSamples = 338, kSampleFormat = 339;

// A TIFF image of one row, not compressed.
struct TiffRow {
  uint32_t color = kRgb;  // PhotometricInterpretation
  uint32_t bits = 8;      // of a sample: a multiple of 8
  std::vector<std::vector<uint32_t>> pixels;
  std::vector<std::pair<uint32_t, uint32_t>> tags = {};  // more of them, and their values
};

// Its directory, to lie at byte `at` of the file, and what that refers to. `next` is where the next
// image's lies.
std::string TiffImage(const TiffRow& row, size_t at, size_t next) {
  const auto number = [](size_t value, int size) {
    return Integer(static_cast<uint32_t>(value), size, /*little=*/true);
  };
  const size_t samples = row.pixels.front().size();
  std::string bits, pixels;
  for (size_t i = 0; i < samples; ++i) bits += number(row.bits, 2);
  for (const std::vector<uint32_t>& pixel : row.pixels) {
    for (const uint32_t sample : pixel) pixels += number(sample, static_cast<int>(row.bits / 8));
  }
  const size_t fields = 9 + row.tags.size();
  const size_t end = at + 2 + 12 * fields + 4;
  constexpr size_t kShort = 3, kLong = 4;
  const auto field = [&number](size_t tag, size_t type, size_t value) {
    return number(tag, 2) + number(type, 2) + number(1, 4) + number(value, 4);
  };
  std::string image = number(fields, 2) + field(256, kLong, row.pixels.size()) +
                      field(257, kLong, 1) + number(258, 2) + number(kShort, 2) +
                      number(samples, 4);
  image += bits.size() <= 4 ? bits + std::string(4 - bits.size(), '\0') : number(end, 4);
  image += field(259, kShort, 1) + field(262, kShort, row.color) +
           field(273, kLong, end + bits.size()) + field(277, kShort, samples) +
           field(278, kLong, 1) + field(279, kLong, pixels.size());
  for (const auto& [tag, value] : row.tags) image += field(tag, kShort, value);
  return image + number(next, 4) + bits + pixels;
}

constexpr size_t kFirstTiffImage = 8;

std::string TiffOf(const std::string& images) {
  return "II" + Integer(42, 2, true) + Integer(kFirstTiffImage, 4, true) + images;
}

TEST(ImageFileTest, DecodesTiffOfEveryColor) {
  const std::vector<cv::Vec3b> colors = {{200, 100, 50}, {1, 2, 3}};
  const std::vector<cv::Vec3b> greys = {cv::Vec3b::all(50), cv::Vec3b::all(60)};
  std::vector<std::pair<TiffRow, std::vector<cv::Vec3b>>> rows = {
      {{kRgb, 8, {{200, 100, 50}, {1, 2, 3}}}, colors},
      {{kBlackIsZero, 16, {{50 * 256 + 200}, {60 * 256 + 200}}}, greys},
      {{kWhiteIsZero, 8, {{205}, {195}}}, greys},
      // 0 is no ink. Red = (255 - C) * (255 - K) / 255.
      {{kCmyk, 8, {{55, 155, 205, 51}, {0, 0, 0, 0}}}, {{160, 80, 40}, {255, 255, 255}}},
  };
  // Alpha: unspecified, multiplied with the colours, not multiplied.
  for (const uint32_t kind : {0, 1, 2}) {
    const std::vector<std::pair<uint32_t, uint32_t>> tags = {{kExtraSamples, kind}};
    rows.push_back({{kRgb, 8, {{200, 100, 50, 128}, {1, 2, 3, 0}}, tags}, colors});
    rows.push_back({{kRgb,
                     16,
                     {{200 * 257, 100 * 257, 50 * 257, 128 * 257}, {1 * 257, 2 * 257, 3 * 257, 0}},
                     tags},
                    colors});
    rows.push_back({{kBlackIsZero, 8, {{50, 128}, {60, 0}}, tags}, greys});
    rows.push_back({{kWhiteIsZero, 8, {{205, 128}, {195, 0}}, tags}, greys});
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(absl::StrCat("row ", i));
    const auto pixels = Decode(TiffOf(TiffImage(rows[i].first, kFirstTiffImage, 0)));
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    ASSERT_EQ(pixels->size(), cv::Size(2, 1));
    EXPECT_EQ(pixels->at<cv::Vec3b>(0, 0), rows[i].second[0]);
    EXPECT_EQ(pixels->at<cv::Vec3b>(0, 1), rows[i].second[1]);
  }
}

TEST(ImageFileTest, ShowsTheFirstImageOfATiff) {
  const TiffRow first = {kRgb, 8, {{200, 100, 50}, {1, 2, 3}}};
  const TiffRow second = {kBlackIsZero, 8, {{7}, {8}, {9}}};
  const size_t place = kFirstTiffImage + TiffImage(first, kFirstTiffImage, 0).size();
  const auto pixels =
      Decode(TiffOf(TiffImage(first, kFirstTiffImage, place) + TiffImage(second, place, 0)));
  ASSERT_TRUE(pixels.ok()) << pixels.status();
  ASSERT_EQ(pixels->size(), cv::Size(2, 1));
  EXPECT_EQ(pixels->at<cv::Vec3b>(0, 0), cv::Vec3b(200, 100, 50));
}

TEST(ImageFileTest, RefusesWhatWouldDecodeWrong) {
  const std::pair<TiffRow, std::string> rows[] = {
      {{kBlackIsZero, 32, {{0x3f000000}}, {{kSampleFormat, 3}}}, "TIFF of 32 bits a sample"},
      {{kBlackIsZero, 16, {{0x3800}}, {{kSampleFormat, 3}}},
       "TIFF of floating-point samples (unsigned"},
      {{kBlackIsZero, 8, {{200}}, {{kSampleFormat, 2}}}, "TIFF of signed samples (unsigned"},
      {{kBlackIsZero, 8, {{200}}, {{kSampleFormat, 4}}},  // untyped data
       "TIFF of undefined samples (unsigned"},
      {{kCmyk, 16, {{1, 2, 3, 4}}}, "CMYK TIFF of 16 bits a sample (8 are read)"},
      {{kCmyk, 8, {{1, 2, 3, 4, 5}}, {{kExtraSamples, 2}}}, "TIFF of 5 samples a pixel"},
  };
  for (const auto& [row, expected] : rows) {
    const absl::Status status = ErrorOf(TiffOf(TiffImage(row, kFirstTiffImage, 0)));
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_TRUE(absl::StrContains(status.message(), expected)) << status;
  }
  for (const char* pnm : {"P5 1 1 15\n\5", "P6 1 1 1023\n\1\2\1\2\1\2", "P2 1 1 1023\n511\n"}) {
    EXPECT_TRUE(absl::StrContains(ErrorOf(pnm).message(), "PNM whose greatest value is ")) << pnm;
  }
  const auto wide = Decode(std::string("P5 1 1 65535\n\x32\xc8", 15));
  ASSERT_TRUE(wide.ok()) << wide.status();
  EXPECT_EQ(wide->at<cv::Vec3b>(0, 0), cv::Vec3b::all(50));
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
  JpegForm progressive;
  progressive.progressive = true;
  for (const std::string& whole :
       {Jpeg(image), Jpeg(image, progressive), Encode(".png", Swapped(image))}) {
    ASSERT_TRUE(Decode(whole).ok());
    std::vector<size_t> sizes = {0, 1, 2, 3, 8, 20, whole.size() - 2, whole.size() - 1};
    for (size_t size = 30; size + 2 < whole.size(); size += 41) sizes.push_back(size);
    for (const size_t size : sizes) {
      const absl::Status status = ErrorOf(whole.substr(0, size));
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss)
          << size << " of " << whole.size() << " bytes: " << status;
      if (size < 20) continue;  // of no format, as far as is told
      EXPECT_TRUE(absl::StrContains(
          status.message(),
          absl::StrCat("truncated ", whole[1] == 'P' ? "PNG" : "JPEG", ", ends at byte ", size)))
          << status;
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

TEST(ImageFileTest, RefusesTruncatedImagesOfEveryFormat) {
  const cv::Mat image = Gradient(64, 48);
  for (const char* extension : {".bmp", ".ppm", ".webp", ".tiff"}) {
    SCOPED_TRACE(extension);
    const std::string whole = Encode(extension, Swapped(image));
    ASSERT_TRUE(Decode(whole).ok()) << Decode(whole).status();
    for (size_t size = 0; size < whole.size(); size += 1 + whole.size() / 50) {
      const absl::Status status = ErrorOf(whole.substr(0, size));
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss)
          << size << " of " << whole.size() << " bytes: " << status;
    }
  }
}

TEST(ImageFileTest, ReadsSizesFromHeaders) {
  const cv::Mat image = Swapped(Gradient(61, 37));
  cv::Mat grey, black_and_white;
  cv::cvtColor(image, grey, cv::COLOR_BGR2GRAY);
  cv::threshold(grey, black_and_white, 127, 255, cv::THRESH_BINARY);
  const std::vector<std::string> files = {
      Jpeg(Gradient(61, 37)),
      Encode(".png", image),
      Encode(".bmp", image),
      Encode(".bmp", grey),  // with a palette
      Encode(".tiff", image),
      Encode(".webp", image, {cv::IMWRITE_WEBP_QUALITY, 80}),   // VP8
      Encode(".webp", image, {cv::IMWRITE_WEBP_QUALITY, 101}),  // VP8L
      Encode(".ppm", image),
      Encode(".ppm", image, {cv::IMWRITE_PXM_BINARY, 0}),
      Encode(".pgm", grey),
      Encode(".pbm", black_and_white),
  };
  for (size_t i = 0; i < files.size(); ++i) {
    ASSERT_FALSE(files[i].empty()) << i;
    const auto source = OpenEncodedImage(files[i], "image");
    ASSERT_TRUE(source.ok()) << i << ": " << source.status();
    EXPECT_EQ((*source)->size(), (ImageSize{37, 61})) << i;
    EXPECT_TRUE(Decode(files[i]).ok()) << i;  // and it is as large as that
  }
  // A comment, and white space of all kinds.
  const auto commented = Decode("P5 # made by hand\n2\t3\r\n# 255 is white\n255\nabcdef");
  ASSERT_TRUE(commented.ok()) << commented.status();
  EXPECT_EQ(commented->size(), cv::Size(2, 3));
}

TEST(ImageFileTest, TurnsTiffAndWebP) {
  const cv::Mat image = Gradient(40, 24);
  const std::string tiff = Encode(".tiff", Swapped(image), {cv::IMWRITE_TIFF_COMPRESSION, 1});
  const std::string planar = Integer(284, 2, true) + Integer(3, 2, true) + Integer(1, 4, true);
  // Lossless WebP in an extended file: VP8X, the image, EXIF.
  const std::string plain =
      Encode(".webp", Swapped(image), {cv::IMWRITE_WEBP_QUALITY, 101}).substr(12);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    SCOPED_TRACE(absl::StrCat("orientation ", orientation));
    const std::string exif = Tiff(orientation, true);
    const auto chunk = [](const std::string& kind, const std::string& data) {
      const auto size = static_cast<uint32_t>(data.size());
      return kind + Integer(size, 4, true) + data + std::string(size % 2, '\0');
    };
    const std::string extended =
        chunk("VP8X", Integer(0x08, 4, true) + Integer(39, 3, true) + Integer(23, 3, true)) +
        plain + chunk("EXIF", exif);
    const auto webp = Decode("RIFF" + Integer(static_cast<uint32_t>(extended.size() + 4), 4, true) +
                             "WEBP" + extended);
    ASSERT_TRUE(webp.ok()) << webp.status();
    EXPECT_EQ(LargestDifference(*webp, Shown(image, orientation)), 0);

    // In place of the planar configuration, whose value is the default. The reader minds neither
    // that it is missing nor that tags are out of order.
    const size_t place = tiff.rfind(planar);
    ASSERT_NE(place, std::string::npos);
    std::string turned = tiff;
    turned.replace(place, 12,
                   Integer(274, 2, true) + Integer(3, 2, true) + Integer(1, 4, true) +
                       Integer(static_cast<uint32_t>(orientation), 2, true) + Integer(0, 2, true));
    const auto of_tiff = Decode(turned);
    ASSERT_TRUE(of_tiff.ok()) << of_tiff.status();
    EXPECT_EQ(LargestDifference(*of_tiff, Shown(image, orientation)), 0);
  }
}

TEST(ImageFileTest, RefusesAnimations) {
  const absl::Status animated = ErrorOf(AnimatedWebP(40, 24));
  EXPECT_EQ(animated.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(absl::StrContains(animated.message(), "animated WebP")) << animated;
  const absl::Status gif = ErrorOf(AnimatedGif());
  EXPECT_TRUE(absl::StrContains(gif.message(), "GIF")) << gif;
}

TEST(ImageFileTest, ShowsAnAnimatedPngsDefaultImage) {
  const cv::Mat image = Gradient(40, 24);
  const std::string control = Integer(1, 4, false) + Integer(0, 4, false);  // one frame, for ever
  const auto pixels =
      Decode(WithPngChunk(Encode(".png", Swapped(image)), PngChunk("acTL", control)));
  ASSERT_TRUE(pixels.ok()) << pixels.status();
  EXPECT_EQ(LargestDifference(*pixels, image), 0);
}

TEST(ImageFileTest, LooksUpPalettes) {
  // Two pixels: entries 1 and 0. Entry 0 is transparent.
  constexpr int kByPalette = 3;
  const std::string tables = PngChunk("PLTE", std::string("\x0a\x14\x1e\xc8\x96\x64", 6)) +
                             PngChunk("tRNS", std::string("\x00", 1));
  const auto pixels = Decode(PngRow(2, 8, kByPalette, tables, std::string("\x01\x00", 2)));
  ASSERT_TRUE(pixels.ok()) << pixels.status();
  ASSERT_EQ(pixels->size(), cv::Size(2, 1));
  EXPECT_EQ(pixels->at<cv::Vec3b>(0, 0), cv::Vec3b(200, 150, 100));
  EXPECT_EQ(pixels->at<cv::Vec3b>(0, 1), cv::Vec3b(10, 20, 30));
}

TEST(ImageFileTest, RefusesTooManyPixelsByTheHeader) {
  const std::string png = PngWithoutPixels(1 << 16, 1 << 15);

  std::string jpeg = Jpeg(Gradient(64, 48));
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xdc\xff\xdc");  // height and width

  const cv::Mat image = Swapped(Gradient(64, 48));
  std::string bmp = Encode(".bmp", image);
  bmp.replace(18, 8, Integer(1 << 16, 4, true) + Integer(1 << 15, 4, true));
  std::string tiff = Encode(".tiff", image);
  for (const uint32_t tag : {256, 257}) {  // a SHORT each
    const size_t entry = tiff.rfind(Integer(tag, 2, true) + Integer(3, 2, true));
    ASSERT_NE(entry, std::string::npos);
    tiff.replace(entry + 8, 2, "\xff\xff");
  }
  const std::string webp = "RIFF" + Integer(22, 4, true) + "WEBPVP8X" + Integer(10, 4, true) +
                           Integer(0, 4, true) + Integer(16383, 3, true) + Integer(16383, 3, true);
  for (const std::string& bomb : {png, jpeg, bmp, tiff, webp, std::string("P6 65536 32768 255\n"),
                                  std::string("P3 99999999999999999999 1 255\n")}) {
    const absl::Status status = ErrorOf(bomb);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  }
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

// `jpeg` with so many segments of 64 KB, as of a colour profile, before all others.
std::string WithLongHeader(const std::string& jpeg, int segments) {
  constexpr uint32_t kLongest = 0xffff;  // with the length itself
  std::string profile;
  for (int i = 0; i < segments; ++i) {
    profile += "\xff\xe2" + Integer(kLongest, 2, /*little=*/false) +
               std::string(kLongest - 2, static_cast<char>(i));
  }
  return jpeg.substr(0, 2) + profile + jpeg.substr(2);
}

TEST(ImageFileTest, SizesFromTheBeginningAreThoseOfTheWholeFile) {
  const std::string jpeg = Jpeg(Gradient(61, 37));
  const cv::Mat image = Swapped(Gradient(61, 37));
  const std::string turned_png =
      WithPngChunk(Encode(".png", image), PngChunk("eXIf", Tiff(8, true)));
  std::vector<std::string> files = {
      jpeg,       turned_png, Encode(".bmp", image), Encode(".tiff", image), Encode(".webp", image),
      "no image", ""};
  for (const int segments : {0, 1, 3, 4, 5, 17}) {
    files.push_back(WithLongHeader(jpeg, segments));
    files.push_back(WithLongHeader(WithExif(jpeg, Tiff(6, false)), segments));
    files.push_back(WithExif(WithLongHeader(jpeg, segments), Tiff(6, false)));
  }
  // Cut off around what is read at a time, and where the size is.
  const std::string longer = WithLongHeader(WithExif(jpeg, Tiff(6, true)), 4);
  const size_t frame = longer.find("\xff\xc0", 4 * 65537);
  const size_t scan = longer.find("\xff\xda", frame);
  ASSERT_NE(scan, std::string::npos);
  for (const size_t place : {size_t{1} << 16, size_t{1} << 18, frame, scan, scan + 14}) {
    for (size_t size = place - 3; size < place + 12 && size < longer.size(); ++size) {
      files.push_back(longer.substr(0, size));
    }
  }
  for (size_t i = 0; i < files.size(); ++i) {
    SCOPED_TRACE(absl::StrCat("file ", i, ", ", files[i].size(), " bytes"));
    const std::string path = Write("size_of", files[i]);
    const auto from_file = ReadImageSize(path);
    const auto from_memory = OpenEncodedImage(files[i], path);
    ASSERT_EQ(from_file.status(), from_memory.status());
    if (from_file.ok()) {
      EXPECT_EQ(*from_file, (*from_memory)->size());
    }
  }
}

// By this process, until now; nullopt where the system does not tell.
std::optional<uint64_t> BytesRead() {
  std::ifstream account("/proc/self/io");  // Linux
  std::string name;
  uint64_t bytes = 0;
  if (account >> name >> bytes && name == "rchar:") return bytes;
  return std::nullopt;
}

TEST(ImageFileTest, ReadsOfAJpegNoMoreThanItsHeader) {
  constexpr uint64_t kBytes = uint64_t{1} << 24;
  const std::string path = Write("long.jpg", WithLongHeader(Jpeg(Gradient(61, 37)), 2));
  std::error_code error;
  std::filesystem::resize_file(path, kBytes, error);
  ASSERT_FALSE(error) << error.message();
  const std::optional<uint64_t> before = BytesRead();
  const auto size = ReadImageSize(path);
  const std::optional<uint64_t> after = BytesRead();
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(*size, (ImageSize{37, 61}));
  if (!before || !after) GTEST_SKIP() << "the system keeps no account of what is read";
  EXPECT_LT(*after - *before, kBytes / 8);
}

TEST(ImageFileTest, TellsBadImagesFromAFailingMachine) {
  const std::string path = Write("good.jpg", Jpeg(Gradient(40, 24)));
  const auto source = ImageFileOfSize(path, {24, 40});
  rlimit files;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  rlimit none = files;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const std::vector<absl::Status> failed = {source->Decode().status(), ReadImageSize(path).status(),
                                            source->ReadEncoded().status()};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  for (const absl::Status& status : failed) {
    EXPECT_FALSE(status.ok());
    EXPECT_FALSE(IsBadImage(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat(path, ": cannot read: ")))
        << status;
  }
  EXPECT_TRUE(source->Decode().ok());

  EXPECT_FALSE(IsBadImage(absl::OkStatus()));
  EXPECT_FALSE(IsBadImage(absl::PermissionDeniedError("a.jpg: cannot read: Permission denied")));
  EXPECT_FALSE(IsBadImage(OutOfMemoryError("a.jpg")));
  EXPECT_TRUE(IsBadImage(ReadImageSize(path + "s").status()));             // missing
  EXPECT_TRUE(IsBadImage(ReadImageSize(testing::TempDir()).status()));     // a folder
  EXPECT_TRUE(IsBadImage(ReadImageSize(Write("none", "none")).status()));  // no image
  EXPECT_TRUE(IsBadImage(ImageFileOfSize(path, {25, 40})->Decode().status()));
  EXPECT_TRUE(IsBadImage(CheckPixels("a.jpg", {1 << 16, 1 << 16})));
}

// Throws instead of giving memory.
class ThrowingAllocator : public cv::MatAllocator {
 public:
  explicit ThrowingAllocator(std::function<void()> thrower) : throw_(std::move(thrower)) {}

  cv::UMatData* allocate(int, const int*, int, void*, size_t*, cv::AccessFlag,
                         cv::UMatUsageFlags) const override {
    throw_();
    return nullptr;
  }
  bool allocate(cv::UMatData*, cv::AccessFlag, cv::UMatUsageFlags) const override { return false; }
  void deallocate(cv::UMatData*) const override {}

 private:
  const std::function<void()> throw_;
};

TEST(ImageFileTest, ExceptionsBecomeErrors) {
  const std::string bytes = Jpeg(Gradient(40, 24));
  const auto error_of = [&bytes](const std::function<void()>& thrower) {
    ThrowingAllocator allocator(thrower);
    cv::MatAllocator* const usual = cv::Mat::getDefaultAllocator();
    cv::Mat::setDefaultAllocator(&allocator);
    const absl::Status status = Decode(bytes).status();
    cv::Mat::setDefaultAllocator(usual);
    EXPECT_TRUE(absl::StrContains(status.message(), "some/image.file: ")) << status;
    return status;
  };
  const auto throw_code = [](int code) {
    return [code] { throw cv::Exception(code, "no good", "f", "f.cc", 1); };
  };
  for (const absl::Status& status :
       {error_of([] { throw std::bad_alloc(); }), error_of(throw_code(cv::Error::StsNoMem))}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "out of memory")) << status;
  }
  EXPECT_EQ(error_of(throw_code(cv::Error::StsAssert)).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Decode(bytes).ok());
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
