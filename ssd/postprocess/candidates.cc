#include "ssd/postprocess/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ssd/core/logging.h"
#include "ssd/core/vector_exp.h"

namespace ssd {
namespace {

// Less than any rounding of the logits in a float's range of use.
constexpr double kSlack = 1e-3;

void FindBySoftmax(const ImagePredictions& image, float threshold, AnchorClasses which,
                   CandidateQueue& queue) {
  const int64_t num_anchors = image.num_anchors;
  const int64_t classes = image.num_classes + 1;
  const float least = threshold > 0 ? static_cast<float>(std::log(threshold) - kSlack)
                                    : -std::numeric_limits<float>::infinity();
  std::vector<float> exponentials(classes);
  for (int64_t a = 0; a < num_anchors; ++a) {
    const float* const row = image.logits + a * classes;
    float foreground = row[1];
#pragma omp simd reduction(max : foreground)
    for (int64_t c = 1; c < classes; ++c) foreground = row[c] > foreground ? row[c] : foreground;
    if (foreground - row[0] < least) continue;
    const float largest = std::max(foreground, row[0]);
    if (!std::isfinite(largest)) continue;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < classes; ++c) {
      const float below = row[c] - largest;
      exponentials[c] = VectorExp(below > -87.0f ? below : -87.0f);
      sum += exponentials[c];
    }
    // The same division for the largest score as for all: only then are the others worth a look.
    const float best =
        VectorExp(foreground - largest > -87.0f ? foreground - largest : -87.0f) / sum;
    if (!(best > threshold)) continue;
    if (which == AnchorClasses::kBest) {
      const int64_t c = std::find(row + 1, row + classes, foreground) - row;
      queue.Push(CandidateKey(best, (c - 1) * num_anchors + a));
      continue;
    }
    for (int64_t c = 1; c < classes; ++c) {
      const float score = exponentials[c] / sum;
      if (score > threshold) queue.Push(CandidateKey(score, (c - 1) * num_anchors + a));
    }
  }
}

float Sigmoid(float x) {
  const float within = x > -87.0f ? (x < 87.0f ? x : 87.0f) : -87.0f;
  return 1.0f / (1.0f + VectorExp(-within));
}

void FindBySigmoid(const ImagePredictions& image, float threshold, AnchorClasses which,
                   CandidateQueue& queue) {
  const int64_t num_anchors = image.num_anchors;
  const int64_t classes = image.num_classes;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  // sigmoid(x) > t where x > log(t / (1 - t)).
  const float least = threshold > 0
                          ? static_cast<float>(std::log(threshold / (1.0 - threshold)) - kSlack)
                          : -kInfinity;
  for (int64_t a = 0; a < num_anchors; ++a) {
    const float* const row = image.logits + a * classes;
    float largest = -kInfinity;
#pragma omp simd reduction(max : largest)
    for (int64_t c = 0; c < classes; ++c) largest = row[c] > largest ? row[c] : largest;
    if (!(largest > least)) continue;
    uint64_t best = 0;  // which is no candidate's
    for (int64_t c = 0; c < classes; ++c) {
      if (!(row[c] > least) || row[c] == kInfinity) continue;
      const float score = Sigmoid(row[c]);
      if (!(score > threshold)) continue;
      const uint64_t key = CandidateKey(score, c * num_anchors + a);
      if (which == AnchorClasses::kAll) {
        queue.Push(key);
      } else {
        best = std::max(best, key);
      }
    }
    if (best != 0) queue.Push(best);
  }
}

}  // namespace

void FindCandidates(const ImagePredictions& image, float threshold, AnchorClasses which,
                    CandidateQueue& queue) {
  CHECK_LT(image.num_classes * image.num_anchors, int64_t{1} << kIndexBits);
  if (image.sigmoid) {
    FindBySigmoid(image, threshold, which, queue);
  } else {
    FindBySoftmax(image, threshold, which, queue);
  }
}

}  // namespace ssd
