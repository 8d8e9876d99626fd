#include "ssd/matchers/reference_matching.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "ssd/core/boxes.h"
#include "ssd/matchers/matcher.h"

namespace ssd {

Tensor RandomCenters(int64_t n) {
  const Tensor boxes = at::cat({at::rand({n, 2}), at::rand({n, 2}) * 0.5 + 0.02}, 1);
  if (n > 3) boxes[n - 1].copy_(boxes[1]);
  return boxes;
}

Truth RandomTruth(int64_t batch, int64_t padded) {
  Truth truth;
  truth.boxes = CornersFromCenters(RandomCenters(batch * padded)).view({batch, padded, 4});
  truth.labels = at::randint(0, 4, {batch, padded}, at::kLong);
  truth.ignore = at::rand({batch, padded}) < 0.1;
  return truth;
}

ReferenceImage::ReferenceImage(const Truth& truth, int64_t image, const Tensor& corners)
    : num_anchors_(corners.size(0)) {
  const Tensor iou = PairwiseIou(truth.boxes[image], corners).contiguous();
  iou_.assign(iou.const_data_ptr<float>(), iou.const_data_ptr<float>() + iou.numel());
  const Tensor coverage = PairwiseCoverage(truth.boxes[image], corners).contiguous();
  coverage_.assign(coverage.const_data_ptr<float>(),
                   coverage.const_data_ptr<float>() + coverage.numel());
  for (int64_t g = 0; g < truth.labels.size(1); ++g) {
    const bool present = truth.labels[image][g].item<int64_t>() > 0;
    const bool ignore = truth.ignore[image][g].item<bool>();
    usable_.push_back(present && !ignore);
    ignored_.push_back(present && ignore);
  }
}

std::vector<int64_t> ReferenceImage::MatchByRules(const MatchRules& rules) const {
  std::vector<int64_t> matches(num_anchors_, Matcher::kUnmatched);
  for (int64_t a = 0; a < num_anchors_; ++a) {
    float best = 0;
    float covered = 0;
    int64_t best_truth = -1;
    for (int64_t g = 0; g < num_truths(); ++g) {
      if (usable_[g] && iou(g, a) > best) {
        best = iou(g, a);
        best_truth = g;
      }
      if (ignored_[g]) covered = std::max(covered, coverage(g, a));
    }
    if (best >= rules.positive_iou) {
      matches[a] = best_truth;
    } else if (best >= rules.negative_iou || covered >= rules.ignore_overlap) {
      matches[a] = Matcher::kIgnored;
    }
  }
  return matches;
}

std::vector<MatchRules> SomeRules() {
  std::vector<MatchRules> all;
  for (const float positive : {0.5f, 0.05f, 1.0f}) {
    MatchRules rules;
    rules.positive_iou = rules.negative_iou = positive;
    all.push_back(rules);
    rules.negative_iou = 0.8f * positive;
    all.push_back(rules);
    rules.ignore_overlap = 0.3f;
    all.push_back(rules);
  }
  return all;
}

}  // namespace ssd
