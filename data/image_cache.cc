#include "data/image_cache.h"

#include <chrono>
#include <utility>

namespace ssd {

class ImageCache::CachedSource : public ImageSource {
 public:
  CachedSource(ImageCache* cache, int64_t index, std::shared_ptr<const ImageSource> source,
               double* decode_seconds)
      : cache_(cache), index_(index), source_(std::move(source)), seconds_(decode_seconds) {}

  ImageSize size() const override { return source_->size(); }

  absl::StatusOr<cv::Mat> Decode() const override {
    cv::Mat kept = cache_->Find(index_);
    if (!kept.empty()) return kept;
    const auto start = std::chrono::steady_clock::now();
    auto decoded = source_->Decode();
    *seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (decoded.ok()) cache_->Insert(index_, *decoded);
    return decoded;
  }

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
  std::lock_guard<std::mutex> lock(mutex_);
  return statistics_;
}

cv::Mat ImageCache::Find(int64_t index) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = images_.find(index);
  // An entry that is still being filled is empty.
  if (found == images_.end() || found->second.empty()) {
    ++statistics_.misses;
    return cv::Mat();
  }
  ++statistics_.hits;
  return found->second;
}

void ImageCache::Insert(int64_t index, const cv::Mat& image) {
  const int64_t bytes = static_cast<int64_t>(image.total() * image.elemSize());
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (statistics_.bytes + bytes > max_bytes_ || images_.count(index) != 0) return;
    statistics_.bytes += bytes;
    images_.emplace(index, cv::Mat());
  }
  // An image that is part of a larger one, or lies in memory it does not own, is copied.
  cv::Mat owned = image.u == nullptr || image.isSubmatrix() ? image.clone() : image;
  std::lock_guard<std::mutex> lock(mutex_);
  images_[index] = std::move(owned);
}

}  // namespace ssd
