#include "data/image_cache.h"

#include <chrono>
#include <opencv2/core.hpp>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "data/image_file.h"

namespace ssd {
namespace {

// Adds the time of its life to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(double* seconds) : seconds_(seconds), start_(Clock::now()) {}
  ~Stopwatch() { *seconds_ += std::chrono::duration<double>(Clock::now() - start_).count(); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  using Clock = std::chrono::steady_clock;

  double* const seconds_;
  const Clock::time_point start_;
};

class DecodedImage : public ImageSource {
 public:
  explicit DecodedImage(cv::Mat pixels) : pixels_(std::move(pixels)) {}

  ImageSize size() const override { return {pixels_.rows, pixels_.cols}; }
  absl::StatusOr<cv::Mat> Decode() const override { return pixels_; }

 private:
  const cv::Mat pixels_;
};

}  // namespace

class ImageCache::CachedSource : public ImageSource {
 public:
  CachedSource(ImageCache* cache, int64_t index, std::shared_ptr<const ImageSource> source,
               double* decode_seconds)
      : cache_(cache), index_(index), source_(std::move(source)), seconds_(decode_seconds) {}

  ImageSize size() const override { return source_->size(); }

  absl::StatusOr<cv::Mat> Decode() const override {
    const Stopwatch stopwatch(seconds_);
    const std::shared_ptr<const ImageSource> kept = cache_->FindOrKeep(index_, *source_);
    if (kept != nullptr) {
      absl::StatusOr<cv::Mat> pixels = kept->Decode();
      if (pixels.ok()) return pixels;
    }
    // Errors are the source's own, so that they name the file and do not depend on what is kept.
    return source_->Decode();
  }

  absl::StatusOr<DecodedRegion> DecodeRegion(const cv::Rect& region,
                                             int max_reduction) const override {
    const Stopwatch stopwatch(seconds_);
    const std::shared_ptr<const ImageSource> kept = cache_->FindOrKeep(index_, *source_);
    if (kept != nullptr) {
      absl::StatusOr<DecodedRegion> decoded = kept->DecodeRegion(region, max_reduction);
      if (decoded.ok()) return decoded;
    }
    const bool keeps_pixels =
        cache_->max_bytes_ > 0 && cache_->content_ == LoaderConfig::Cache::DECODED;
    return source_->DecodeRegion(region, keeps_pixels ? 1 : max_reduction);
  }

  absl::StatusOr<std::string> ReadEncoded() const override { return source_->ReadEncoded(); }

 private:
  ImageCache* const cache_;
  const int64_t index_;
  const std::shared_ptr<const ImageSource> source_;
  double* const seconds_;
};

std::shared_ptr<const ImageSource> ImageCache::Wrap(int64_t index,
                                                    std::shared_ptr<const ImageSource> source,
                                                    double* decode_seconds) {
  return std::make_shared<CachedSource>(this, index, std::move(source), decode_seconds);
}

ImageCache::Statistics ImageCache::statistics() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return statistics_;
}

std::shared_ptr<const ImageSource> ImageCache::FindOrKeep(int64_t index,
                                                          const ImageSource& source) {
  if (max_bytes_ <= 0) return nullptr;
  std::shared_ptr<const ImageSource> image = Find(index);
  if (image != nullptr) return image;
  return content_ == LoaderConfig::Cache::DECODED ? KeepDecoded(index, source)
                                                  : KeepEncoded(index, source);
}

std::shared_ptr<const ImageSource> ImageCache::Find(int64_t index) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = images_.find(index);
  if (found == images_.end() || found->second == nullptr) {
    ++statistics_.misses;
    return nullptr;
  }
  ++statistics_.hits;
  return found->second;
}

std::shared_ptr<const ImageSource> ImageCache::KeepDecoded(int64_t index,
                                                           const ImageSource& source) {
  const ImageSize size = source.size();
  const int64_t bytes = 3 * size.height * size.width;
  // Without room for all of it, the part that is wanted takes less time.
  if (!Reserve(index, bytes)) return nullptr;
  std::shared_ptr<const ImageSource> image;
  if (const absl::StatusOr<cv::Mat> pixels = source.Decode(); pixels.ok()) {
    // An image that is part of a larger one, or lies in memory it does not own, is copied.
    const bool owns_memory = pixels->u != nullptr && !pixels->isSubmatrix();
    image = std::make_shared<DecodedImage>(owns_memory ? *pixels : pixels->clone());
  }
  Fill(index, bytes, image);
  return image;
}

std::shared_ptr<const ImageSource> ImageCache::KeepEncoded(int64_t index,
                                                           const ImageSource& source) {
  absl::StatusOr<std::string> file = source.ReadEncoded();
  if (!file.ok() || file->empty()) return nullptr;
  const auto bytes = static_cast<int64_t>(file->size());
  // The name is never seen: see CachedSource::Decode.
  const std::shared_ptr<const ImageSource> image =
      EncodedImageOfSize(*std::move(file), "an image in memory", source.size());
  if (Reserve(index, bytes)) Fill(index, bytes, image);
  return image;
}

bool ImageCache::Reserve(int64_t index, int64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (statistics_.bytes + bytes > max_bytes_ || !images_.emplace(index, nullptr).second) {
    return false;
  }
  statistics_.bytes += bytes;
  return true;
}

void ImageCache::Fill(int64_t index, int64_t bytes, std::shared_ptr<const ImageSource> image) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (image == nullptr) {
    statistics_.bytes -= bytes;
    images_.erase(index);
  } else {
    images_[index] = std::move(image);
  }
}

}  // namespace ssd
