#ifndef DATA_IMAGE_CACHE_H_
#define DATA_IMAGE_CACHE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "data/data.pb.h"
#include "data/lazy_image.h"

namespace ssd {

// Images in memory, decoded or as the files they come from, up to a budget: what comes first stays,
// nothing is evicted, since every epoch asks for every image once. Thread-safe. Which images are
// kept depends on the order of arrival; what a sample sees of them does not.
class ImageCache {
 public:
  struct Statistics {
    int64_t hits = 0;
    int64_t misses = 0;
    int64_t bytes = 0;  // held now
  };

  // A budget of 0 keeps nothing, and counts nothing.
  ImageCache(LoaderConfig::Cache::Content content, int64_t max_bytes)
      : content_(content), max_bytes_(max_bytes) {}

  // The same image as `source`, taken from here if it was asked for before under the same `index`.
  // Adds the time spent on decoding, and on reading for it, to *decode_seconds. A cache of decoded
  // images never reduces one. The result refers to this cache and to decode_seconds.
  std::shared_ptr<const ImageSource> Wrap(int64_t index, std::shared_ptr<const ImageSource> source,
                                          double* decode_seconds);

  Statistics statistics() const;

 private:
  class CachedSource;

  // The image from memory, where it now is if there is room. Null: take it from `source`.
  std::shared_ptr<const ImageSource> FindOrKeep(int64_t index, const ImageSource& source);
  std::shared_ptr<const ImageSource> Find(int64_t index);
  std::shared_ptr<const ImageSource> KeepDecoded(int64_t index, const ImageSource& source);
  std::shared_ptr<const ImageSource> KeepEncoded(int64_t index, const ImageSource& source);

  // Claims room, which Fill() fills, or gives back with a null image.
  bool Reserve(int64_t index, int64_t bytes);
  void Fill(int64_t index, int64_t bytes, std::shared_ptr<const ImageSource> image);

  const LoaderConfig::Cache::Content content_;
  const int64_t max_bytes_;
  mutable std::mutex mutex_;
  // Null while it is being read.
  std::unordered_map<int64_t, std::shared_ptr<const ImageSource>> images_;
  Statistics statistics_;
};

}  // namespace ssd

#endif  // DATA_IMAGE_CACHE_H_
