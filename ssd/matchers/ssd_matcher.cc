#include "ssd/matchers/ssd_matcher.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/core/boxes.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

// Caffe's: pairs up to here do not overlap.
constexpr float kLeastIou = 1e-6f;

// Anchors per turn of the loops, whose scratch then stays in the first-level cache.
constexpr int64_t kBlock = 512;

// The anchors' corners and areas, one array each.
struct AnchorArrays {
  std::vector<float> x0, y0, x1, y1, area;
  int64_t size = 0;

  explicit AnchorArrays(const Tensor& corners) : size(corners.size(0)) {
    const Tensor rows = corners.contiguous();
    const float* in = rows.const_data_ptr<float>();
    for (std::vector<float>* array : {&x0, &y0, &x1, &y1, &area}) array->resize(size);
    for (int64_t i = 0; i < size; ++i, in += 4) {
      const Corners box{in[0], in[1], in[2], in[3]};
      x0[i] = box.x0;
      y0[i] = box.y0;
      x1[i] = box.x1;
      y1[i] = box.y1;
      area[i] = BoxArea(box);
    }
  }

  // iou[i] = the truth's IoU with anchor begin + i; returns the largest.
  float IouWith(const Corners& truth, int64_t begin, int64_t count, float* iou) const {
    const float truth_area = BoxArea(truth);
    const float* const ax0 = x0.data() + begin;
    const float* const ay0 = y0.data() + begin;
    const float* const ax1 = x1.data() + begin;
    const float* const ay1 = y1.data() + begin;
    const float* const a = area.data() + begin;
    const auto [tx0, ty0, tx1, ty1] = truth;
    float largest = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < count; ++i) {
      const float value = Iou(tx0, ty0, tx1, ty1, truth_area, ax0[i], ay0[i], ax1[i], ay1[i], a[i]);
      iou[i] = value;
      largest = value > largest ? value : largest;
    }
    return largest;
  }
};

// A pair as a number that orders pairs of one truth as the rules do: higher IoU, then lower anchor.
uint64_t PairKey(float iou, int64_t anchor) {
  uint32_t bits;  // of a float >= 0: ordered like the float
  std::memcpy(&bits, &iou, sizeof(bits));
  return uint64_t{bits} << 32 | (0xffffffffu - static_cast<uint32_t>(anchor));
}

int64_t AnchorOf(uint64_t key) { return 0xffffffffu - static_cast<uint32_t>(key); }

// A truth's best free anchor. Found in the scan of all anchors; if another truth takes it, the
// truth's best n anchors are listed, n the number of truths: more cannot be taken before its turn.
class Suitor {
 public:
  // Anchors come in rising order.
  void Offer(float iou, int64_t anchor) {
    if (iou > kLeastIou && PairKey(iou, anchor) > key_) key_ = PairKey(iou, anchor);
  }
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
    float iou[kBlock];
    for (int64_t begin = 0; begin < anchors.size; begin += kBlock) {
      const int64_t count = std::min(kBlock, anchors.size - begin);
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

  uint64_t key_ = 0;
  std::vector<uint64_t> ranked_;
  size_t next_ = 0;
};

// Matches one image's truths, whose rows in the padded truth are `rows`.
void MatchImage(const AnchorArrays& anchors, const std::vector<Corners>& truths,
                const std::vector<int64_t>& rows, float positive_iou, int64_t* matches) {
  std::vector<Suitor> suitors(truths.size());
  alignas(64) float iou[kBlock];
  alignas(64) float best[kBlock];
  alignas(64) int32_t best_truth[kBlock];
  for (int64_t begin = 0; begin < anchors.size; begin += kBlock) {
    const int64_t count = std::min(kBlock, anchors.size - begin);
    std::fill_n(best, count, 0.0f);
    std::fill_n(best_truth, count, 0);
    for (size_t g = 0; g < truths.size(); ++g) {
      const float largest = anchors.IouWith(truths[g], begin, count, iou);
      if (largest <= kLeastIou) continue;
      suitors[g].Offer(largest, begin + (std::find(iou, iou + count, largest) - iou));
      if (largest < positive_iou) continue;
      const int32_t truth = static_cast<int32_t>(g);
      for (int64_t i = 0; i < count; ++i) {
        best_truth[i] = iou[i] > best[i] ? truth : best_truth[i];
        best[i] = iou[i] > best[i] ? iou[i] : best[i];
      }
    }
    for (int64_t i = 0; i < count; ++i) {
      matches[begin + i] = best[i] >= positive_iou ? rows[best_truth[i]] : Matcher::kUnmatched;
    }
  }

  std::vector<uint8_t> taken(anchors.size, 0);
  for (size_t round = 0; round < truths.size(); ++round) {
    size_t winner = 0;
    for (size_t g = 1; g < suitors.size(); ++g) {
      if (suitors[g].key() > suitors[winner].key()) winner = g;
    }
    const uint64_t pair = suitors[winner].key();
    if (pair == 0) break;
    taken[AnchorOf(pair)] = 1;
    matches[AnchorOf(pair)] = rows[winner];
    suitors[winner] = Suitor();
    for (size_t g = 0; g < suitors.size(); ++g) {
      if (suitors[g].key() != 0 && AnchorOf(suitors[g].key()) == AnchorOf(pair)) {
        suitors[g].MoveOn(truths[g], anchors, taken, truths.size());
      }
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Matcher>> SsdMatcher::Create(const SsdMatcherOptions& options,
                                                            const MatcherContext& /*context*/) {
  if (!(options.positive_iou() > 0 && options.positive_iou() <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("matcher.ssd.positive_iou: ", options.positive_iou(), " must be in (0, 1]"));
  }
  return std::unique_ptr<Matcher>(new SsdMatcher(static_cast<float>(options.positive_iou())));
}

Tensor SsdMatcher::Match(const Truth& truth, const Anchors& anchors) const {
  at::NoGradGuard no_grad;
  const Tensor corners = CornersFromCenters(anchors.boxes);
  return truth.boxes.is_cpu() ? MatchOnCpu(truth, corners, positive_iou_)
                              : MatchByTensorOps(truth, corners, positive_iou_);
}

Tensor MatchOnCpu(const Truth& truth, const Tensor& anchor_corners, float positive_iou) {
  const int64_t batch = truth.boxes.size(0);
  const int64_t padded = truth.boxes.size(1);
  CHECK_EQ(truth.labels.numel(), batch * padded);
  CHECK_EQ(truth.ignore.numel(), batch * padded);
  const AnchorArrays anchors(anchor_corners);
  const Tensor boxes = truth.boxes.contiguous();
  const Tensor labels = truth.labels.contiguous();
  const Tensor ignore = truth.ignore.contiguous();
  const float* const box = boxes.const_data_ptr<float>();
  const int64_t* const label = labels.const_data_ptr<int64_t>();
  const bool* const ignored = ignore.const_data_ptr<bool>();
  const Tensor result = at::empty({batch, anchors.size}, at::kLong);
  int64_t* const matches = result.mutable_data_ptr<int64_t>();
  at::parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
    std::vector<Corners> truths;
    std::vector<int64_t> rows;
    for (int64_t image = begin; image < end; ++image) {
      truths.clear();
      rows.clear();
      for (int64_t row = 0; row < padded; ++row) {
        const int64_t at = image * padded + row;
        if (label[at] <= 0 || ignored[at]) continue;
        const float* const b = box + 4 * at;
        truths.push_back({b[0], b[1], b[2], b[3]});
        rows.push_back(row);
      }
      int64_t* const out = matches + image * anchors.size;
      if (truths.empty()) {
        std::fill_n(out, anchors.size, Matcher::kUnmatched);
      } else {
        MatchImage(anchors, truths, rows, positive_iou, out);
      }
    }
  });
  return result;
}

Tensor MatchByTensorOps(const Truth& truth, const Tensor& anchor_corners, float positive_iou) {
  // A pair is one int64 that orders pairs as the rules do: IoU (the bits of a float in [0, 1] are
  // ordered like it and need 30), then the lowest anchor (20 bits), then the lowest truth (13).
  constexpr int kAnchorBits = 20;
  constexpr int kTruthBits = 13;
  constexpr int64_t kLastAnchor = (int64_t{1} << kAnchorBits) - 1;
  constexpr int64_t kLastTruth = (int64_t{1} << kTruthBits) - 1;
  const int64_t batch = truth.boxes.size(0);
  const int64_t padded = truth.boxes.size(1);
  const int64_t size = anchor_corners.size(0);
  CHECK_LT(size, kLastAnchor);
  CHECK_LT(padded, kLastTruth);
  const at::TensorOptions options = truth.labels.options();
  if (padded == 0) return at::full({batch, size}, Matcher::kUnmatched, options);

  const Tensor valid = (truth.labels > 0).logical_and(truth.ignore.logical_not()).unsqueeze(-1);
  const Tensor iou = at::where(valid, PairwiseIou(truth.boxes, anchor_corners), -1.0);  // [B, G, A]
  const auto best = iou.max(1);
  const Tensor by_threshold =
      at::where(std::get<0>(best) >= positive_iou, std::get<1>(best), Matcher::kUnmatched);

  const Tensor anchor_part =
      at::arange(size, options).neg_().add_(kLastAnchor).bitwise_left_shift(kTruthBits);
  const Tensor truth_part = at::arange(padded, options).neg_().add_(kLastTruth).view({padded, 1});
  const Tensor keys = at::where(iou > kLeastIou,
                                iou.view(at::kInt)
                                    .to(at::kLong)
                                    .bitwise_left_shift(kAnchorBits + kTruthBits)
                                    .bitwise_or(anchor_part)
                                    .bitwise_or(truth_part),
                                int64_t{-1});
  // Other truths take at most G - 1 anchors, so a truth's best G are enough.
  Tensor ranked = std::get<0>(keys.topk(std::min(padded, size), 2, true, false));  // [B, G, K]
  const auto anchor_of = [&](const Tensor& key) {
    return key.bitwise_right_shift(kTruthBits).bitwise_and(kLastAnchor);
  };
  const Tensor ranked_anchor = anchor_of(ranked);
  // Column A takes what no pair is left for.
  const Tensor forced = at::full({batch, size + 1}, Matcher::kUnmatched, options);
  for (int64_t round = 0; round < padded; ++round) {
    const Tensor pair = ranked.amax({1, 2}, true);  // [B, 1, 1]
    const Tensor found = pair >= 0;
    const Tensor pair_anchor = anchor_of(pair);
    const Tensor pair_truth = pair.bitwise_and(kLastTruth);
    forced.scatter_(1, at::where(found, pair_anchor.neg().add_(kLastAnchor), size).view({batch, 1}),
                    pair_truth.neg().add_(kLastTruth).view({batch, 1}));
    const Tensor gone = (ranked_anchor == pair_anchor).logical_or_(truth_part == pair_truth);
    ranked = ranked.masked_fill(gone, -1);
  }
  const Tensor one_to_one = forced.narrow(1, 0, size);
  return at::where(one_to_one >= 0, one_to_one, by_threshold);
}

SSD_REGISTER_MATCHER(SsdMatcherOptions, SsdMatcher);

}  // namespace ssd
