#ifndef DATA_IMAGE_CACHE_H_
#define DATA_IMAGE_CACHE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <opencv2/core.hpp>
#include <unordered_map>

#include "data/lazy_image.h"

namespace ssd {

// Decoded images in memory, up to a budget: what comes first stays, nothing is evicted, since every
// epoch asks for every image once. Thread-safe. Which images are kept depends on the order of
// arrival; their pixels do not.
class ImageCache {
 public:
  struct Statistics {
    int64_t hits = 0;
    int64_t misses = 0;
    int64_t bytes = 0;  // held now
  };

  // A budget of 0 keeps nothing.
  explicit ImageCache(int64_t max_bytes) : max_bytes_(max_bytes) {}

  // The same pixels as `source`, taken from here if they were decoded before under the same
  // `index`. Adds the time spent in source->Decode() to *decode_seconds. The result refers to this
  // cache and to decode_seconds.
  std::shared_ptr<const ImageSource> Wrap(int64_t index, std::shared_ptr<const ImageSource> source,
                                          double* decode_seconds);

  Statistics statistics() const;

 private:
  class CachedSource;

  // An empty image if `index` is not held.
  cv::Mat Find(int64_t index);
  void Insert(int64_t index, const cv::Mat& image);

  const int64_t max_bytes_;
  mutable std::mutex mutex_;
  std::unordered_map<int64_t, cv::Mat> images_;
  Statistics statistics_;
};

}  // namespace ssd

#endif  // DATA_IMAGE_CACHE_H_
