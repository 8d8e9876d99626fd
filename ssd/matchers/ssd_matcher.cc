#include "ssd/matchers/ssd_matcher.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

#include "ssd/core/boxes.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// A pair as a number that orders pairs of one truth as the rules do: higher IoU, then lower anchor.
uint64_t PairKey(float iou, int64_t anchor) {
  uint32_t bits;  // of a float >= 0: ordered like the float
  std::memcpy(&bits, &iou, sizeof(bits));
  return uint64_t{bits} << 32 | (0xffffffffu - static_cast<uint32_t>(anchor));
}

int64_t AnchorOf(uint64_t key) { return 0xffffffffu - static_cast<uint32_t>(key); }

// Of an int64, beside its sign and a float in [0, 1].
constexpr int kPairBits = 33;

// Bits that hold 0..count.
int BitsFor(int64_t count) {
  int bits = 0;
  while (bits < 62 && (int64_t{1} << bits) <= count) ++bits;
  return bits;
}

// A truth's best free anchor, at first the best of all; if another truth takes it, the truth's best
// n anchors are listed, n the number of truths: more cannot be taken before its turn.
class Suitor {
 public:
  explicit Suitor(const BestAnchor& best)
      : key_(best.iou > kLeastIou ? PairKey(best.iou, best.anchor) : 0) {}

  void Retire() { key_ = 0; }
  // 0 when no anchor is left.
  uint64_t key() const { return key_; }

  // Moves on to the best anchor that is not taken.
  void MoveOn(const Corners& truth, const AnchorArrays& anchors, const std::vector<uint8_t>& taken,
              size_t num_truths) {
    if (next_ == 0) List(truth, anchors, num_truths);
    key_ = 0;
    while (next_ < ranked_.size() && key_ == 0) {
      const uint64_t candidate = ranked_[next_++];
      if (!taken[AnchorOf(candidate)]) key_ = candidate;
    }
  }

 private:
  void List(const Corners& truth, const AnchorArrays& anchors, size_t num_truths) {
    constexpr int64_t kBlock = AnchorArrays::kBlock;
    float iou[kBlock];
    for (int64_t begin = 0; begin < anchors.size(); begin += kBlock) {
      const int64_t count = std::min(kBlock, anchors.size() - begin);
      if (anchors.IouWith(truth, begin, count, iou) <= kLeastIou) continue;
      for (int64_t i = 0; i < count; ++i) {
        if (iou[i] > kLeastIou) ranked_.push_back(PairKey(iou[i], begin + i));
      }
    }
    if (ranked_.size() > num_truths) {
      std::nth_element(ranked_.begin(), ranked_.begin() + num_truths, ranked_.end(),
                       std::greater<uint64_t>());
      ranked_.resize(num_truths);
    }
    std::sort(ranked_.begin(), ranked_.end(), std::greater<uint64_t>());
  }

  uint64_t key_;
  std::vector<uint64_t> ranked_;
  size_t next_ = 0;
};

// The best pairs of the image, one to one.
void ForceBestPairs(const ImageMatches& image) {
  const size_t num_truths = image.truths.size();
  std::vector<Suitor> suitors(image.best.begin(), image.best.end());
  std::vector<uint8_t> taken(image.anchors.size(), 0);
  for (size_t round = 0; round < num_truths; ++round) {
    size_t winner = 0;
    for (size_t g = 1; g < num_truths; ++g) {
      if (suitors[g].key() > suitors[winner].key()) winner = g;
    }
    const uint64_t pair = suitors[winner].key();
    if (pair == 0) break;
    taken[AnchorOf(pair)] = 1;
    image.matches[AnchorOf(pair)] = image.rows[winner];
    suitors[winner].Retire();
    for (size_t g = 0; g < num_truths; ++g) {
      if (suitors[g].key() != 0 && AnchorOf(suitors[g].key()) == AnchorOf(pair)) {
        suitors[g].MoveOn(image.truths[g], image.anchors, taken, num_truths);
      }
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Matcher>> SsdMatcher::Create(const SsdMatcherOptions& options,
                                                            const MatcherContext& /*context*/) {
  SSD_ASSIGN_OR_RETURN(const MatchRules rules, ReadMatchRules(options, "matcher.ssd."));
  return std::unique_ptr<Matcher>(new SsdMatcher(rules));
}

Tensor SsdMatcher::Match(const Truth& truth, const Anchors& anchors) const {
  return MatchWithinBorder(anchors, rules_, [&](const Tensor& corners) {
    return truth.boxes.is_cpu() ? BipartiteMatchOnCpu(truth, corners, rules_)
                                : BipartiteMatchByTensorOps(truth, corners, rules_);
  });
}

Tensor BipartiteMatchOnCpu(const Truth& truth, const Tensor& anchor_corners,
                           const MatchRules& rules) {
  return MatchImagesOnCpu(truth, anchor_corners, rules, ForceBestPairs);
}

Tensor BipartiteMatchByTensorOps(const Truth& truth, const Tensor& anchor_corners,
                                 const MatchRules& rules) {
  // A pair is one int64 that orders pairs as the rules do: IoU (the bits of a float in [0, 1] are
  // ordered like it and need 30), then the lowest anchor, then the lowest truth. 33 bits are left
  // for these: more pairs than that would be 34 GB of IoUs.
  const int64_t batch = truth.boxes.size(0);
  const int64_t padded = truth.boxes.size(1);
  const int64_t size = anchor_corners.size(0);
  const int truth_bits = BitsFor(padded);
  CHECK_LT(truth_bits, kPairBits) << padded << " truths";
  const int64_t last_truth = (int64_t{1} << truth_bits) - 1;
  const int64_t last_anchor = (int64_t{1} << (kPairBits - truth_bits)) - 1;
  CHECK_LE(size, last_anchor) << "anchors with " << padded << " truths";
  const at::TensorOptions options = truth.labels.options();
  if (padded == 0) return at::full({batch, size}, Matcher::kUnmatched, options);

  const TruthOverlaps overlaps = OverlapsByTensorOps(truth, anchor_corners, rules);
  const Tensor anchor_part =
      at::arange(size, options).neg_().add_(last_anchor).bitwise_left_shift(truth_bits);
  const Tensor truth_part = at::arange(padded, options).neg_().add_(last_truth).view({padded, 1});
  const Tensor keys = at::where(overlaps.iou > kLeastIou,
                                overlaps.iou.view(at::kInt)
                                    .to(at::kLong)
                                    .bitwise_left_shift(kPairBits)
                                    .bitwise_or(anchor_part)
                                    .bitwise_or(truth_part),
                                int64_t{-1});
  // Other truths take at most G - 1 anchors, so a truth's best G are enough.
  Tensor ranked = std::get<0>(keys.topk(std::min(padded, size), 2, true, false));  // [B, G, K]
  const auto anchor_of = [&](const Tensor& key) {
    return key.bitwise_right_shift(truth_bits).bitwise_and(last_anchor);
  };
  const Tensor ranked_anchor = anchor_of(ranked);
  // Column A takes what no pair is left for.
  const Tensor forced = at::full({batch, size + 1}, Matcher::kUnmatched, options);
  for (int64_t round = 0; round < padded; ++round) {
    const Tensor pair = ranked.amax({1, 2}, true);  // [B, 1, 1]
    const Tensor found = pair >= 0;
    const Tensor pair_anchor = anchor_of(pair);
    const Tensor pair_truth = pair.bitwise_and(last_truth);
    forced.scatter_(1, at::where(found, pair_anchor.neg().add_(last_anchor), size).view({batch, 1}),
                    pair_truth.neg().add_(last_truth).view({batch, 1}));
    const Tensor gone = (ranked_anchor == pair_anchor).logical_or_(truth_part == pair_truth);
    ranked = ranked.masked_fill(gone, -1);
  }
  const Tensor one_to_one = forced.narrow(1, 0, size);
  return at::where(one_to_one >= 0, one_to_one, overlaps.matches);
}

SSD_REGISTER_MATCHER(SsdMatcherOptions, SsdMatcher);

}  // namespace ssd
