#include "ssd/matchers/threshold_matching.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

absl::Status CheckShare(double value, absl::string_view field, absl::string_view name) {
  return CheckOption(value > 0 && value <= 1, absl::StrCat(field, name), value, "in (0, 1]");
}

// The truths of one image that may be matched, with their rows in the padded truth, and those that
// only keep anchors out.
struct ImageTruths {
  std::vector<Corners> usable;
  std::vector<int64_t> rows;
  std::vector<Corners> ignored;
};

// Matches one image by the rules and finds its truths' best anchors.
void MatchImage(const AnchorArrays& anchors, const ImageTruths& truths, const MatchRules& rules,
                std::vector<BestAnchor>& best_anchors, int64_t* matches) {
  constexpr int64_t kBlock = AnchorArrays::kBlock;
  best_anchors.assign(truths.usable.size(), {});
  alignas(64) float iou[kBlock];
  alignas(64) float best[kBlock];
  alignas(64) int32_t best_truth[kBlock];
  for (int64_t begin = 0; begin < anchors.size(); begin += kBlock) {
    const int64_t count = std::min(kBlock, anchors.size() - begin);
    std::fill_n(best, count, 0.0f);
    std::fill_n(best_truth, count, 0);
    for (size_t g = 0; g < truths.usable.size(); ++g) {
      const float largest = anchors.IouWith(truths.usable[g], begin, count, iou);
      if (largest > best_anchors[g].iou) {
        best_anchors[g] = {largest, begin + (std::find(iou, iou + count, largest) - iou)};
      }
      if (largest < rules.negative_iou) continue;
      const int32_t truth = static_cast<int32_t>(g);
      for (int64_t i = 0; i < count; ++i) {
        best_truth[i] = iou[i] > best[i] ? truth : best_truth[i];
        best[i] = iou[i] > best[i] ? iou[i] : best[i];
      }
    }
    int64_t* const block = matches + begin;
    for (int64_t i = 0; i < count; ++i) {
      block[i] = best[i] >= rules.negative_iou ? Matcher::kIgnored : Matcher::kUnmatched;
      if (best[i] >= rules.positive_iou) block[i] = truths.rows[best_truth[i]];
    }
    for (const Corners& truth : truths.ignored) {
      float* const share = iou;  // whose values are used up
      if (anchors.CoverageBy(truth, begin, count, share) < rules.ignore_overlap) continue;
      for (int64_t i = 0; i < count; ++i) {
        if (share[i] >= rules.ignore_overlap && block[i] < 0) block[i] = Matcher::kIgnored;
      }
    }
  }
}

}  // namespace

absl::StatusOr<MatchRules> MakeMatchRules(double positive_iou, std::optional<double> negative_iou,
                                          std::optional<double> ignore_overlap,
                                          bool ignore_cross_border, absl::string_view field) {
  SSD_RETURN_IF_ERROR(CheckShare(positive_iou, field, "positive_iou"));
  MatchRules rules;
  rules.positive_iou = rules.negative_iou = static_cast<float>(positive_iou);
  if (negative_iou.has_value()) {
    SSD_RETURN_IF_ERROR(CheckShare(*negative_iou, field, "negative_iou"));
    if (*negative_iou > positive_iou) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, "negative_iou: ", *negative_iou,
                       " must not be above positive_iou: ", positive_iou));
    }
    rules.negative_iou = static_cast<float>(*negative_iou);
  }
  if (ignore_overlap.has_value()) {
    SSD_RETURN_IF_ERROR(CheckShare(*ignore_overlap, field, "ignore_overlap"));
    rules.ignore_overlap = static_cast<float>(*ignore_overlap);
  }
  rules.ignore_cross_border = ignore_cross_border;
  return rules;
}

Tensor MatchWithinBorder(const Anchors& anchors, const MatchRules& rules,
                         const std::function<Tensor(const Tensor& anchor_corners)>& match) {
  at::NoGradGuard no_grad;
  const Tensor corners = CornersFromCenters(anchors.boxes);
  if (!rules.ignore_cross_border) return match(corners);
  const Tensor crosses = (corners < 0).logical_or_(corners > 1).any(-1);  // [A]
  const Tensor matches = match(corners.masked_fill(crosses.unsqueeze(-1), 0));
  return matches.masked_fill(crosses, Matcher::kIgnored);
}

AnchorArrays::AnchorArrays(const Tensor& corners) : size_(corners.size(0)) {
  const Tensor rows = corners.contiguous();
  const float* in = rows.const_data_ptr<float>();
  for (std::vector<float>* array : {&x0_, &y0_, &x1_, &y1_, &area_}) array->resize(size_);
  for (int64_t i = 0; i < size_; ++i, in += 4) {
    const Corners box{in[0], in[1], in[2], in[3]};
    x0_[i] = box.x0;
    y0_[i] = box.y0;
    x1_[i] = box.x1;
    y1_[i] = box.y1;
    area_[i] = BoxArea(box);
  }
}

float AnchorArrays::IouWith(const Corners& truth, int64_t begin, int64_t count, float* iou) const {
  const float truth_area = BoxArea(truth);
  const float* const ax0 = x0_.data() + begin;
  const float* const ay0 = y0_.data() + begin;
  const float* const ax1 = x1_.data() + begin;
  const float* const ay1 = y1_.data() + begin;
  const float* const a = area_.data() + begin;
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

float AnchorArrays::CoverageBy(const Corners& truth, int64_t begin, int64_t count,
                               float* share) const {
  const float* const ax0 = x0_.data() + begin;
  const float* const ay0 = y0_.data() + begin;
  const float* const ax1 = x1_.data() + begin;
  const float* const ay1 = y1_.data() + begin;
  const float* const a = area_.data() + begin;
  const auto [tx0, ty0, tx1, ty1] = truth;
  float largest = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < count; ++i) {
    const float value = Coverage(tx0, ty0, tx1, ty1, ax0[i], ay0[i], ax1[i], ay1[i], a[i]);
    share[i] = value;
    largest = value > largest ? value : largest;
  }
  return largest;
}

Tensor MatchImagesOnCpu(const Truth& truth, const Tensor& anchor_corners, const MatchRules& rules,
                        const std::function<void(const ImageMatches&)>& force) {
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
  const Tensor result = at::empty({batch, anchors.size()}, at::kLong);
  int64_t* const matches = result.mutable_data_ptr<int64_t>();
  at::parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
    ImageTruths truths;
    std::vector<BestAnchor> best;
    for (int64_t image = begin; image < end; ++image) {
      truths.usable.clear();
      truths.rows.clear();
      truths.ignored.clear();
      for (int64_t row = 0; row < padded; ++row) {
        const int64_t at = image * padded + row;
        if (label[at] <= 0) continue;
        const float* const b = box + 4 * at;
        if (!ignored[at]) {
          truths.usable.push_back({b[0], b[1], b[2], b[3]});
          truths.rows.push_back(row);
        } else if (rules.ignores_overlap()) {
          truths.ignored.push_back({b[0], b[1], b[2], b[3]});
        }
      }
      int64_t* const out = matches + image * anchors.size();
      if (truths.usable.empty() && truths.ignored.empty()) {
        std::fill_n(out, anchors.size(), Matcher::kUnmatched);
        continue;
      }
      MatchImage(anchors, truths, rules, best, out);
      if (!truths.usable.empty()) force({anchors, truths.usable, truths.rows, best, out});
    }
  });
  return result;
}

TruthOverlaps OverlapsByTensorOps(const Truth& truth, const Tensor& anchor_corners,
                                  const MatchRules& rules) {
  CHECK_GT(truth.labels.size(1), 0);
  const Tensor present = truth.labels > 0;
  TruthOverlaps overlaps;
  overlaps.iou = at::where(present.logical_and(truth.ignore.logical_not()).unsqueeze(-1),
                           PairwiseIou(truth.boxes, anchor_corners), -1.0);
  const auto best = overlaps.iou.max(1);
  const Tensor& iou = std::get<0>(best);
  overlaps.matches = at::where(iou >= rules.positive_iou, std::get<1>(best), Matcher::kUnmatched);
  if (rules.negative_iou < rules.positive_iou) {
    const Tensor between = (iou >= rules.negative_iou).logical_and_(iou < rules.positive_iou);
    overlaps.matches.masked_fill_(between, Matcher::kIgnored);
  }
  if (rules.ignores_overlap()) {
    const Tensor share = at::where(present.logical_and(truth.ignore).unsqueeze(-1),
                                   PairwiseCoverage(truth.boxes, anchor_corners), -1.0);
    const Tensor covered =
        (share.amax({1}) >= rules.ignore_overlap).logical_and_(overlaps.matches < 0);
    overlaps.matches.masked_fill_(covered, Matcher::kIgnored);
  }
  return overlaps;
}

}  // namespace ssd
