#include "data/image_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "data/image_file.h"
#include "data/image_testing.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

using Source = std::shared_ptr<const ImageSource>;
using Cache = LoaderConfig::Cache;

constexpr int64_t kAmple = int64_t{1} << 20;
const cv::Rect kRegion(10, 5, 21, 17);

// 60 x 40 pixels, 7200 bytes, that come from no file. Remembers what it was asked for.
class DrawnSource : public ImageSource {
 public:
  explicit DrawnSource(uint8_t grey = 7) : pixels_(40, 60, CV_8UC3, cv::Scalar::all(grey)) {}

  ImageSize size() const override { return {40, 60}; }
  absl::StatusOr<cv::Mat> Decode() const override {
    ++wholes;
    if (is_damaged) return absl::DataLossError("drawn.jpg: damaged at the end");
    return pixels_;
  }
  absl::StatusOr<DecodedRegion> DecodeRegion(const cv::Rect& region,
                                             int max_reduction) const override {
    ++regions;
    last_max_reduction = max_reduction;
    return DecodedRegion{pixels_(region).clone(), region, 1};
  }

  bool is_damaged = false;  // outside all regions
  mutable int wholes = 0;
  mutable int regions = 0;
  mutable int last_max_reduction = 0;

 private:
  const cv::Mat pixels_;
};

// A JPEG in a folder of its own.
std::string NewFile(const std::string& name) {
  const std::string folder = testing::TempDir() + "/image_cache";
  std::filesystem::create_directories(folder);
  const std::string path = folder + "/" + name;
  CHECK(WriteFileAtomically(path, Jpeg(Gradient(60, 40))).ok());
  return path;
}

Source FileSource(const std::string& path) { return ImageFileOfSize(path, {40, 60}); }

bool SamePixels(const cv::Mat& a, const cv::Mat& b) {
  return a.size() == b.size() && cv::norm(a, b, cv::NORM_INF) == 0;
}

// The region of what was decoded around it.
cv::Mat RegionOf(const DecodedRegion& decoded) {
  CHECK_EQ(decoded.reduction, 1);
  return decoded.pixels(kRegion - decoded.area.tl());
}

TEST(ImageCacheTest, WithoutABudgetEverythingIsTheSources) {
  for (const auto content : {Cache::DECODED, Cache::ENCODED}) {
    ImageCache cache(content, 0);
    const auto drawn = std::make_shared<DrawnSource>();
    double seconds = 0;
    const Source source = cache.Wrap(3, drawn, &seconds);
    EXPECT_EQ(source->size(), drawn->size());
    for (int repeat = 0; repeat < 2; ++repeat) {
      ASSERT_TRUE(source->Decode().ok());
      ASSERT_TRUE(source->DecodeRegion(kRegion, 4).ok());
    }
    EXPECT_EQ(drawn->wholes, 2);
    EXPECT_EQ(drawn->regions, 2);
    EXPECT_EQ(drawn->last_max_reduction, 4);
    EXPECT_GT(seconds, 0);
    EXPECT_EQ(cache.statistics().hits + cache.statistics().misses + cache.statistics().bytes, 0);
  }
}

TEST(ImageCacheTest, DecodesOnce) {
  ImageCache cache(Cache::DECODED, kAmple);
  double seconds = 0;
  const auto first = std::make_shared<DrawnSource>(7), again = std::make_shared<DrawnSource>(7);
  for (const auto& drawn : {first, again}) {
    const Source source = cache.Wrap(3, drawn, &seconds);
    const auto region = source->DecodeRegion(kRegion, 1);
    ASSERT_TRUE(region.ok());
    EXPECT_TRUE(SamePixels(RegionOf(*region), cv::Mat(17, 21, CV_8UC3, cv::Scalar::all(7))));
    EXPECT_EQ(source->Decode()->size(), cv::Size(60, 40));
  }
  EXPECT_EQ(first->wholes, 1);
  EXPECT_EQ(first->regions + again->wholes + again->regions, 0);
  EXPECT_EQ(cache.statistics().misses, 1);
  EXPECT_EQ(cache.statistics().hits, 3);
  EXPECT_EQ(cache.statistics().bytes, 7200);
}

TEST(ImageCacheTest, KeepsItsBudget) {
  ImageCache cache(Cache::DECODED, 20000);  // two images of 7200 bytes, not three
  double seconds = 0;
  std::vector<std::shared_ptr<DrawnSource>> drawn;
  for (int i = 0; i < 10; ++i) drawn.push_back(std::make_shared<DrawnSource>(i));
  for (int repeat = 0; repeat < 2; ++repeat) {
    for (int i = 0; i < 10; ++i) {
      const auto region = cache.Wrap(i, drawn[i], &seconds)->DecodeRegion(kRegion, 8);
      ASSERT_TRUE(region.ok());
      EXPECT_TRUE(SamePixels(RegionOf(*region), cv::Mat(17, 21, CV_8UC3, cv::Scalar::all(i))));
    }
  }
  EXPECT_EQ(cache.statistics().bytes, 14400);
  EXPECT_EQ(cache.statistics().hits, 2);
  EXPECT_EQ(cache.statistics().misses, 18);
  EXPECT_EQ(drawn[0]->wholes + drawn[1]->wholes, 2);
  // The others are not decoded whole in vain, nor reduced: those that are kept are not, either.
  EXPECT_EQ(drawn[9]->wholes, 0);
  EXPECT_EQ(drawn[9]->regions, 2);
  EXPECT_EQ(drawn[9]->last_max_reduction, 1);
}

TEST(ImageCacheTest, DamageOutsideTheRegionIsFoundByNoCache) {
  for (const int64_t budget : {int64_t{0}, kAmple}) {
    ImageCache cache(Cache::DECODED, budget);
    double seconds = 0;
    const auto drawn = std::make_shared<DrawnSource>();
    drawn->is_damaged = true;
    const Source source = cache.Wrap(3, drawn, &seconds);
    EXPECT_TRUE(source->DecodeRegion(kRegion, 1).ok());
    EXPECT_EQ(source->Decode().status().message(), "drawn.jpg: damaged at the end");
    EXPECT_EQ(cache.statistics().bytes, 0);
  }
}

TEST(ImageCacheTest, KeepsFilesAsTheyAre) {
  const std::string path = NewFile("kept.jpg");
  const cv::Mat pixels = *FileSource(path)->Decode();
  const int64_t bytes = static_cast<int64_t>(std::filesystem::file_size(path));
  ImageCache cache(Cache::ENCODED, kAmple);
  double seconds = 0;
  for (int repeat = 0; repeat < 3; ++repeat) {
    const Source source = cache.Wrap(3, FileSource(path), &seconds);
    const auto region = source->DecodeRegion(kRegion, 1);
    ASSERT_TRUE(region.ok()) << region.status();
    EXPECT_TRUE(SamePixels(RegionOf(*region), pixels(kRegion)));
    EXPECT_TRUE(SamePixels(*source->Decode(), pixels));
    // The file is not looked at again.
    std::filesystem::remove(path);
  }
  EXPECT_EQ(cache.statistics().bytes, bytes);
  EXPECT_EQ(cache.statistics().misses, 1);
  EXPECT_EQ(cache.statistics().hits, 5);
}

TEST(ImageCacheTest, KeepsItsBudgetOfFiles) {
  const std::string paths[] = {NewFile("a.jpg"), NewFile("b.jpg"), NewFile("c.jpg")};
  const cv::Mat pixels = *FileSource(paths[0])->Decode();
  const int64_t bytes = static_cast<int64_t>(std::filesystem::file_size(paths[0]));
  ImageCache cache(Cache::ENCODED, 2 * bytes + bytes / 2);
  double seconds = 0;
  for (int repeat = 0; repeat < 2; ++repeat) {
    for (int i = 0; i < 3; ++i) {
      const auto decoded = cache.Wrap(i, FileSource(paths[i]), &seconds)->Decode();
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      EXPECT_TRUE(SamePixels(*decoded, pixels));
    }
  }
  EXPECT_EQ(cache.statistics().bytes, 2 * bytes);
  EXPECT_EQ(cache.statistics().hits, 2);
  EXPECT_EQ(cache.statistics().misses, 4);
}

TEST(ImageCacheTest, ErrorsAreTheSources) {
  const std::string missing = testing::TempDir() + "/image_cache/none.jpg";
  const std::string cut = NewFile("cut.jpg");
  std::filesystem::resize_file(cut, std::filesystem::file_size(cut) / 2);
  const std::string other = NewFile("other_size.jpg");
  for (const auto content : {Cache::DECODED, Cache::ENCODED}) {
    ImageCache cache(content, kAmple);
    double seconds = 0;
    const Source sources[] = {FileSource(missing), FileSource(cut),
                              ImageFileOfSize(other, {41, 60})};
    int64_t index = 0;
    for (const Source& source : sources) {
      const absl::Status expected = source->Decode().status();
      EXPECT_FALSE(expected.ok());
      for (int repeat = 0; repeat < 2; ++repeat) {
        EXPECT_EQ(cache.Wrap(index, source, &seconds)->Decode().status(), expected);
      }
      ++index;
    }
  }
}

// Drawn images have no file.
TEST(ImageCacheTest, KeepsNoFileWhereThereIsNone) {
  ImageCache cache(Cache::ENCODED, kAmple);
  const auto drawn = std::make_shared<DrawnSource>();
  double seconds = 0;
  for (int repeat = 0; repeat < 2; ++repeat) {
    EXPECT_TRUE(cache.Wrap(3, drawn, &seconds)->DecodeRegion(kRegion, 4).ok());
  }
  EXPECT_EQ(drawn->last_max_reduction, 4);
  EXPECT_EQ(cache.statistics().bytes, 0);
  EXPECT_EQ(cache.statistics().misses, 2);
}

TEST(ImageCacheTest, ServesManyThreads) {
  const std::string path = NewFile("shared.jpg");
  const cv::Mat pixels = *FileSource(path)->Decode();
  for (const auto content : {Cache::DECODED, Cache::ENCODED}) {
    ImageCache cache(content, kAmple);
    std::vector<std::thread> threads;
    std::vector<int> wrong(8);
    for (size_t i = 0; i < wrong.size(); ++i) {
      threads.emplace_back([&, i] {
        double seconds = 0;
        for (int64_t index = 0; index < 40; ++index) {
          const auto decoded = cache.Wrap(index % 5, FileSource(path), &seconds)->Decode();
          wrong[i] += !decoded.ok() || !SamePixels(*decoded, pixels);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, std::vector<int>(8));
    EXPECT_EQ(cache.statistics().hits + cache.statistics().misses, 8 * 40);
    EXPECT_GE(cache.statistics().misses, 5);
    EXPECT_GT(cache.statistics().bytes, 0);
  }
}

// Asks for ten images, of which two and a half fit, from eight threads at once, and then in turn.
void ExpectKeepsItsBudgetUnderThreads(Cache::Content content, int64_t bytes,
                                      const std::function<Source(int64_t)>& make_source) {
  constexpr int64_t kImages = 10;
  const int64_t budget = 2 * bytes + bytes / 2;
  ImageCache cache(content, budget);
  std::vector<int> failed(8);
  std::vector<int64_t> most(failed.size());  // bytes that each thread saw
  std::vector<std::thread> threads;
  for (size_t i = 0; i < failed.size(); ++i) {
    threads.emplace_back([&, i] {
      double seconds = 0;
      for (int64_t repeat = 0; repeat < 200; ++repeat) {
        const int64_t index = (repeat * static_cast<int64_t>(2 * i + 1)) % kImages;
        const auto region =
            cache.Wrap(index, make_source(index), &seconds)->DecodeRegion(kRegion, 1);
        failed[i] += !region.ok();
        most[i] = std::max(most[i], cache.statistics().bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, std::vector<int>(failed.size()));
  for (const int64_t seen : most) EXPECT_LE(seen, budget);
  const ImageCache::Statistics before = cache.statistics();
  EXPECT_EQ(before.bytes, 2 * bytes);
  EXPECT_EQ(before.hits + before.misses, 200 * static_cast<int64_t>(failed.size()));

  double seconds = 0;
  for (int64_t index = 0; index < kImages; ++index) {
    EXPECT_TRUE(cache.Wrap(index, make_source(index), &seconds)->DecodeRegion(kRegion, 1).ok());
  }
  EXPECT_EQ(cache.statistics().hits - before.hits, 2);
  EXPECT_EQ(cache.statistics().misses - before.misses, kImages - 2);
  EXPECT_EQ(cache.statistics().bytes, 2 * bytes);
}

TEST(ImageCacheTest, KeepsItsBudgetUnderThreads) {
  // Room that was claimed for an image that turns out to be damaged is given back.
  ExpectKeepsItsBudgetUnderThreads(Cache::DECODED, 7200, [](int64_t index) {
    const auto drawn = std::make_shared<DrawnSource>();
    drawn->is_damaged = index == 0;
    return drawn;
  });
  const std::string path = NewFile("budget.jpg");
  ExpectKeepsItsBudgetUnderThreads(Cache::ENCODED,
                                   static_cast<int64_t>(std::filesystem::file_size(path)),
                                   [&path](int64_t) { return FileSource(path); });
}

}  // namespace
}  // namespace ssd
