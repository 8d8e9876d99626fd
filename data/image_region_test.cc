// Parts of images against the whole: ImageSource::DecodeRegion and what LazyImage makes of it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "data/image_file.h"
#include "data/image_testing.h"
#include "data/lazy_image.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

using Source = std::shared_ptr<const ImageSource>;

// Blurred noise: every pixel is another, in every channel.
cv::Mat Clouds(int width, int height, int channels, double blur = 1) {
  cv::Mat image(height, width, CV_8UC(channels));
  cv::RNG(static_cast<uint64>(width * height + channels)).fill(image, cv::RNG::UNIFORM, 0, 256);
  cv::GaussianBlur(image, image, cv::Size(), blur);
  cv::normalize(image, image, 0, 255, cv::NORM_MINMAX);
  return image;
}

Source Open(const std::string& bytes) {
  auto source = OpenEncodedImage(bytes, "some/image.file");
  EXPECT_TRUE(source.ok()) << source.status();
  return source.ok() ? *source : nullptr;
}

cv::Rect RandomRect(Random& random, ImageSize size) {
  const int width = static_cast<int>(random.Integer(1, size.width));
  const int height = static_cast<int>(random.Integer(1, size.height));
  return cv::Rect(static_cast<int>(random.Integer(0, size.width - width)),
                  static_cast<int>(random.Integer(0, size.height - height)), width, height);
}

struct NamedImage {
  std::string name;
  std::string bytes;
};

// Every way that JPEGs store colour, in sizes that are no multiple of a block. `blur`: of the
// clouds, in pixels.
std::vector<NamedImage> Images(double blur) {
  std::vector<NamedImage> images;
  const auto add = [&](const std::string& name, const cv::Mat& pixels, const JpegForm& form) {
    images.push_back({name, Jpeg(pixels, form)});
  };
  const cv::Mat color = Clouds(151, 107, 3, blur);
  for (const auto& [across, down] : {std::pair(1, 1), std::pair(2, 1), std::pair(1, 2),
                                     std::pair(2, 2), std::pair(4, 1), std::pair(4, 2)}) {
    JpegForm form;
    form.across = across;
    form.down = down;
    add(absl::StrCat("colour ", across, "x", down), color, form);
    form.restart_rows = 1;
    add(absl::StrCat("restart ", across, "x", down), color, form);
    form.restart_rows = 0;
    form.progressive = true;
    add(absl::StrCat("progressive ", across, "x", down), color, form);
  }
  JpegForm form;
  form.stored = JCS_RGB;
  add("rgb", color, form);
  add("grey", Clouds(151, 107, 1, blur), JpegForm());
  JpegForm odd_grey;
  odd_grey.across = odd_grey.down = 2;  // allowed, and without meaning
  add("grey 2x2", Clouds(151, 107, 1, blur), odd_grey);
  form.stored = JCS_CMYK;
  add("cmyk", Clouds(83, 61, 4, blur), form);
  form.stored = JCS_YCCK;
  form.across = form.down = 2;
  add("ycck", Clouds(83, 61, 4, blur), form);
  JpegForm small;
  small.across = small.down = 2;
  add("narrow", Clouds(5, 90, 3, blur), small);
  add("low", Clouds(90, 3, 3, blur), small);
  add("dot", Clouds(1, 1, 3, blur), small);
  const std::string turned = Jpeg(color, small);
  for (int orientation = 2; orientation <= 8; ++orientation) {
    images.push_back(
        {absl::StrCat("orientation ", orientation), WithExif(turned, Tiff(orientation, true))});
  }
  images.push_back({"png", Encode(".png", Swapped(color))});
  images.push_back({"bmp", Encode(".bmp", Swapped(color))});
  return images;
}

TEST(ImageRegionTest, RegionsHaveTheBitsOfTheWhole) {
  for (const NamedImage& image : Images(/*blur=*/1)) {
    SCOPED_TRACE(image.name);
    const Source source = Open(image.bytes);
    ASSERT_NE(source, nullptr);
    const auto whole = source->Decode();
    ASSERT_TRUE(whole.ok()) << whole.status();
    Random random(1, 1, 1);
    for (int i = 0; i < 120; ++i) {
      const cv::Rect rect = RandomRect(random, source->size());
      const auto region = source->DecodeRegion(rect, 1);
      ASSERT_TRUE(region.ok()) << region.status();
      ASSERT_EQ(region->reduction, 1);
      ASSERT_EQ(region->area & rect, rect);
      ASSERT_EQ(region->pixels.size(), region->area.size());
      ASSERT_EQ(LargestDifference(region->pixels, (*whole)(region->area)), 0)
          << rect << " as " << region->area;
    }
  }
}

// Every edge of the region at every place within a block, and beside the image's own.
TEST(ImageRegionTest, RegionsBeginAndEndAnywhere) {
  JpegForm form;
  form.across = form.down = 2;
  const Source source = Open(Jpeg(Clouds(70, 70, 3), form));
  ASSERT_NE(source, nullptr);
  const auto whole = source->Decode();
  ASSERT_TRUE(whole.ok()) << whole.status();
  for (int begin = 0; begin < 70; ++begin) {
    for (const int end : {begin + 1, begin + 2, (begin + 70) / 2 + 1, 70}) {
      if (end > 70) continue;
      for (const cv::Rect& rect :
           {cv::Rect(begin, 0, end - begin, 70), cv::Rect(0, begin, 70, end - begin),
            cv::Rect(begin, begin, end - begin, end - begin)}) {
        const auto region = source->DecodeRegion(rect, 1);
        ASSERT_TRUE(region.ok()) << region.status();
        ASSERT_EQ(region->area & rect, rect);
        ASSERT_EQ(LargestDifference(region->pixels, (*whole)(region->area)), 0) << rect;
      }
    }
  }
}

TEST(ImageRegionTest, RegionsOfJpegsAreNoLargerThanAskedFor) {
  const Source source = Open(Jpeg(Clouds(151, 107, 3)));
  ASSERT_NE(source, nullptr);
  const cv::Rect rect(50, 40, 30, 20);
  const auto region = source->DecodeRegion(rect, 1);
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ(region->area, rect);
}

// The mean of each block of pixels that lies in the whole image; `area` as in DecodedRegion.
cv::Mat BlockMeans(const cv::Mat& whole, const cv::Rect& area, int reduction) {
  // What lies over the edges is not compared: any pixels will do.
  cv::Mat wide;
  const cv::Rect bounds(cv::Point(), whole.size());
  const cv::Rect inside = area & bounds;
  cv::copyMakeBorder(whole(inside), wide, inside.y - area.y, area.br().y - inside.br().y,
                     inside.x - area.x, area.br().x - inside.br().x, cv::BORDER_REPLICATE);
  cv::Mat means;
  cv::resize(wide, means, area.size() / reduction, 0, 0, cv::INTER_AREA);
  return means;
}

TEST(ImageRegionTest, ReducedRegionsAreNearlyMeans) {
  for (const NamedImage& image : Images(/*blur=*/4)) {
    SCOPED_TRACE(image.name);
    const Source source = Open(image.bytes);
    ASSERT_NE(source, nullptr);
    const cv::Mat whole = *source->Decode();
    const bool is_jpeg = image.bytes[0] == '\xff';
    const std::string sampling = image.name.substr(image.name.rfind(' ') + 1);
    const bool unequal =
        sampling == "2x1" || sampling == "1x2" || sampling == "4x1" || sampling == "4x2";
    Random random(1, 1, 2);
    for (const int max_reduction : {2, 3, 4, 8, 100}) {
      for (int i = 0; i < 10; ++i) {
        const cv::Rect rect = RandomRect(random, source->size());
        const auto region = source->DecodeRegion(rect, max_reduction);
        ASSERT_TRUE(region.ok()) << region.status();
        const int reduction = region->reduction;
        const int expected = max_reduction >= 8 ? 8 : max_reduction >= 4 ? 4 : 2;
        ASSERT_EQ(reduction, is_jpeg ? expected : 1);
        ASSERT_EQ(region->area & rect, rect);
        ASSERT_EQ(region->pixels.size() * reduction, region->area.size());
        if (!is_jpeg) continue;
        const cv::Mat means = BlockMeans(whole, region->area, reduction);
        // Blocks that lie in the image as a whole.
        const cv::Rect area = region->area;
        const auto inner = [reduction](int begin, int end, int limit) {
          const int first = begin < 0 ? 1 : 0;
          const int last = (end - begin) / reduction - (end > limit ? 1 : 0);
          return cv::Range(first, std::max(first, last));
        };
        const cv::Range rows = inner(area.y, area.br().y, whole.rows);
        const cv::Range columns = inner(area.x, area.br().x, whole.cols);
        if (rows.empty() || columns.empty()) continue;
        // libjpeg's scaled transforms give means of pixels; but colour of lower resolution is not
        // interpolated first, and that of unequal resolution across and down not averaged either:
        // of those, brightness counts. A shift by a pixel would be a difference of 10.
        cv::Mat a = region->pixels(rows, columns), b = means(rows, columns);
        if (unequal) {
          cv::cvtColor(a, a, cv::COLOR_RGB2GRAY);
          cv::cvtColor(b, b, cv::COLOR_RGB2GRAY);
        }
        const double values = static_cast<double>(a.total()) * a.channels();
        EXPECT_LT(cv::norm(a, b, cv::NORM_L1) / values, 5) << rect << " by " << reduction;
      }
    }
  }
}

// A crop, a mirror image and a resize, by reduced and by whole decoding, of an image that is smooth
// enough to look the same: a shift by a fraction of a pixel would show.
TEST(ImageRegionTest, ReducedImagesAreInTheirPlace) {
  const int width = 640, height = 480;
  cv::Mat image(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const auto wave = [](double at, double length) {
        return cv::saturate_cast<uchar>(127.5 + 110 * std::sin(at / length));
      };
      image.at<cv::Vec3b>(y, x) = cv::Vec3b(wave(x, 40), wave(y, 40), wave(x + y, 60));
    }
  }
  JpegForm form;
  form.across = form.down = 2;
  const std::string jpeg = Jpeg(image, form);
  Random random(1, 1, 3);
  int reduced = 0;
  for (int i = 0; i < 80; ++i) {
    const std::string bytes =
        i % 4 == 0 ? WithExif(jpeg, Tiff(static_cast<int>(random.Integer(1, 8)), true)) : jpeg;
    LazyImage lazy(Open(bytes));
    const ImageSize size = lazy.size();
    cv::Rect rect = RandomRect(random, size);
    if (i % 3 == 0) {  // a canvas around the image
      rect = cv::Rect(-static_cast<int>(random.Integer(0, 300)),
                      -static_cast<int>(random.Integer(0, 300)), 1100, 1000);
    } else {
      rect.width = std::max(rect.width, 200);
      rect.height = std::max(rect.height, 200);
      rect.x = std::min(rect.x, static_cast<int>(size.width) - rect.width);
      rect.y = std::min(rect.y, static_cast<int>(size.height) - rect.height);
    }
    lazy.Crop(rect, {127, 127, 127});
    if (i % 2 == 0) lazy.FlipHorizontally();
    if (i % 5 == 0) lazy.FlipVertically();
    if (i % 7 == 0) lazy.Recolor([](cv::Mat& rgb) { cv::bitwise_not(rgb, rgb); });
    const ImageSize to{rect.height / static_cast<int64_t>(random.Integer(2, 7)),
                       rect.width / static_cast<int64_t>(random.Integer(2, 7))};
    lazy.Resize(to, i % 6 == 0 ? cv::INTER_LINEAR : cv::INTER_AREA);
    if (i % 4 == 1) lazy.Resize({50, 60}, cv::INTER_LINEAR);
    const auto whole = lazy.Render();
    ASSERT_TRUE(whole.ok()) << whole.status();
    cv::Mat faster(whole->size(), CV_8UC3);
    ASSERT_TRUE(lazy.RenderTo(faster, 8).ok());
    // Waves change by 2.75 a pixel at most, of which up to 7 become one. Edges of a canvas are
    // placed to half a pixel.
    const double mean =
        cv::norm(*whole, faster, cv::NORM_L1) / static_cast<double>(whole->total() * 3);
    EXPECT_LT(mean, 2.5) << rect << " to " << to.width << "x" << to.height;
    if (mean > 0) ++reduced;
  }
  EXPECT_GT(reduced, 60);
}

// Without a reduction nothing changes, whatever the caller allows.
TEST(ImageRegionTest, WhatDoesNotShrinkKeepsItsBits) {
  LazyImage lazy(Open(Jpeg(Clouds(151, 107, 3))));
  lazy.Crop({20, 10, 100, 90}, {});
  lazy.Resize({60, 60}, cv::INTER_LINEAR);
  const auto whole = lazy.Render();
  ASSERT_TRUE(whole.ok()) << whole.status();
  cv::Mat allowed(whole->size(), CV_8UC3);
  ASSERT_TRUE(lazy.RenderTo(allowed, 8).ok());
  EXPECT_EQ(LargestDifference(*whole, allowed), 0);
}

TEST(ImageRegionTest, CropsOfATruncatedJpegAreErrors) {
  const std::string jpeg = Jpeg(Clouds(151, 107, 3));
  const Source source = Open(jpeg.substr(0, jpeg.size() - 40));
  ASSERT_NE(source, nullptr);
  const auto top = source->DecodeRegion({0, 0, 151, 10}, 1);
  EXPECT_EQ(top.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(top.status().message().find("some/image.file"), std::string::npos) << top.status();
}

TEST(ImageRegionTest, HandsOutTheFileItself) {
  const std::string jpeg = Jpeg(Clouds(30, 20, 3));
  const auto bytes = Open(jpeg)->ReadEncoded();
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(*bytes, jpeg);
}

}  // namespace
}  // namespace ssd
