#ifndef SSD_POSTPROCESS_CANDIDATES_H_
#define SSD_POSTPROCESS_CANDIDATES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "ssd/postprocess/per_image.h"

// An image's candidates: which classes of which anchors score above a threshold, best first. Does
// not look at boxes.
namespace ssd {

// What is left of 64 bits by a score, whose floats in (0, 2) need 30. An image with more classes of
// anchors has more than 64 GB of logits.
constexpr int kIndexBits = 34;
constexpr uint64_t kLastIndex = (uint64_t{1} << kIndexBits) - 1;

// A candidate as a number: higher score first, then lower index, where index = class * A + anchor
// and class is 0 for the first class that is not background. Scores are above 0.
inline uint64_t CandidateKey(float score, int64_t index) {
  uint32_t bits;  // of a float > 0: ordered like the float
  std::memcpy(&bits, &score, sizeof(bits));
  return uint64_t{bits} << kIndexBits | (kLastIndex - static_cast<uint64_t>(index));
}
inline int64_t IndexOf(uint64_t key) {
  return static_cast<int64_t>(kLastIndex - (key & kLastIndex));
}
inline float ScoreOf(uint64_t key) {
  const uint32_t bits = static_cast<uint32_t>(key >> kIndexBits);
  float score;
  std::memcpy(&score, &bits, sizeof(score));
  return score;
}

// Candidates in falling order, sorted only as far as they are asked for: an untrained network has
// hundreds of thousands, of which a few hundred are looked at.
class CandidateQueue {
 public:
  void Push(uint64_t key) {
    all_.push_back(key);
    ++histogram_[BinOf(key)];
  }

  // The next and lower candidates; empty when there are none left. Valid until the next call.
  const std::vector<uint64_t>& NextSorted() {
    if (waiting_.empty()) FillWaiting();
    const size_t count = std::min(chunk_, waiting_.size());
    // The best move to the end, from where they can be cut off.
    const auto first = waiting_.end() - static_cast<int64_t>(count);
    if (first != waiting_.begin()) std::nth_element(waiting_.begin(), first, waiting_.end());
    sorted_.assign(first, waiting_.end());
    waiting_.erase(first, waiting_.end());
    std::sort(sorted_.begin(), sorted_.end(), std::greater<uint64_t>());
    chunk_ *= 2;
    return sorted_;
  }

 private:
  // Scores (0, 1] by their eight bits of exponent and upper eight of the fraction.
  static constexpr int kShift = kIndexBits + 15;
  static constexpr size_t kBins = (0x3f800000u >> 15) + 2;
  static size_t BinOf(uint64_t key) {
    return std::min<size_t>(static_cast<size_t>(key >> kShift), kBins - 1);
  }

  // Takes whole bins, from the top, until there is enough for a chunk.
  void FillWaiting() {
    if (next_bin_ == 0) return;
    const size_t end = next_bin_;
    size_t count = 0;
    while (next_bin_ > 0 && count < chunk_) count += histogram_[--next_bin_];
    waiting_.reserve(count);
    for (const uint64_t key : all_) {
      const size_t bin = BinOf(key);
      if (bin >= next_bin_ && bin < end) waiting_.push_back(key);
    }
  }

  std::vector<uint64_t> all_;
  std::vector<uint32_t> histogram_ = std::vector<uint32_t>(kBins, 0);
  size_t next_bin_ = kBins;        // bins from here on have been taken
  std::vector<uint64_t> waiting_;  // taken, not yet sorted
  std::vector<uint64_t> sorted_;
  size_t chunk_ = 1024;
};

// Which classes of an anchor are candidates: all above the threshold, or the best of them (of equal
// ones the first).
enum class AnchorClasses { kAll, kBest };

// Pushes the candidates of one image: softmax over C + 1 classes, or sigmoids, above the threshold.
// Softmax is left to anchors with a logit above the background's by more than log(threshold), which
// p_c < exp(x_c - x_0) needs. Anchors without any finite logit have none, nor have infinite logits
// of sigmoids.
void FindCandidates(const ImagePredictions& image, float threshold, AnchorClasses which,
                    CandidateQueue& queue);

}  // namespace ssd

#endif  // SSD_POSTPROCESS_CANDIDATES_H_
