#include "ssd/postprocess/per_class_nms.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/core/boxes.h"
#include "ssd/core/logging.h"
#include "ssd/core/vector_exp.h"
#include "ssd/postprocess/nms.h"

namespace ssd {
namespace {

// A candidate as a number: higher score first, then lower index, where index = class * A + anchor.
uint64_t CandidateKey(float score, int64_t index) {
  uint32_t bits;  // of a float > 0: ordered like the float
  std::memcpy(&bits, &score, sizeof(bits));
  return uint64_t{bits} << 32 | (0xffffffffu - static_cast<uint32_t>(index));
}
int64_t IndexOf(uint64_t key) { return 0xffffffffu - static_cast<uint32_t>(key); }
float ScoreOf(uint64_t key) {
  const uint32_t bits = static_cast<uint32_t>(key >> 32);
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
  static constexpr int kShift = 32 + 15;
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

float Clip(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : (x <= 0 ? 0.0f : x); }

bool IsFinite(const Corners& box) {
  return std::isfinite(box.x0) && std::isfinite(box.y0) && std::isfinite(box.x1) &&
         std::isfinite(box.y1);
}

// Pushes the scores of one image above the threshold; classes with the background.
void FindCandidates(const float* logits, int64_t num_anchors, int64_t classes, float threshold,
                    CandidateQueue& queue) {
  // Less than any rounding of the logits in a float's range of use.
  constexpr double kSlack = 1e-3;
  const float least = threshold > 0 ? static_cast<float>(std::log(threshold) - kSlack)
                                    : -std::numeric_limits<float>::infinity();
  std::vector<float> exponentials(classes);
  for (int64_t a = 0; a < num_anchors; ++a) {
    const float* const row = logits + a * classes;
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
    if (!(VectorExp(foreground - largest > -87.0f ? foreground - largest : -87.0f) / sum >
          threshold)) {
      continue;
    }
    for (int64_t c = 1; c < classes; ++c) {
      const float score = exponentials[c] / sum;
      if (score > threshold) queue.Push(CandidateKey(score, (c - 1) * num_anchors + a));
    }
  }
}

// Where an image's detections go; rows of K.
struct DetectionRows {
  float* boxes;
  float* scores;
  int64_t* labels;
};

// Returns how many were found.
int64_t ProcessImage(const float* boxes, const float* logits, int64_t num_anchors, int64_t classes,
                     const PerClassNmsOptions& options, const DetectionRows& out) {
  CandidateQueue queue;
  FindCandidates(logits, num_anchors, classes, static_cast<float>(options.score_threshold()),
                 queue);
  GreedySuppression suppression(classes - 1, static_cast<float>(options.iou_threshold()));
  std::vector<int32_t> visited(classes - 1, 0);
  const bool clip = options.clip() == PerClassNmsOptions::BEFORE_NMS;
  int64_t count = 0;
  for (;;) {
    const std::vector<uint64_t>& sorted = queue.NextSorted();
    if (sorted.empty()) return count;
    for (const uint64_t key : sorted) {
      const int64_t label = IndexOf(key) / num_anchors;  // 0 is the first class here
      const float* const in = boxes + 4 * (IndexOf(key) % num_anchors);
      Corners box{in[0], in[1], in[2], in[3]};
      if (clip) box = {Clip(box.x0), Clip(box.y0), Clip(box.x1), Clip(box.y1)};
      if (!IsFinite(box)) continue;
      if (visited[label]++ >= options.max_candidates_per_class()) continue;
      if (!suppression.Offer(label, box)) continue;
      std::memcpy(out.boxes + 4 * count, &box, sizeof(box));
      out.scores[count] = ScoreOf(key);
      out.labels[count] = label + 1;
      if (++count == options.max_detections()) return count;
    }
  }
}

absl::Status CheckOption(bool in_range, const char* field, double value, const char* range) {
  if (in_range) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("post_processor.per_class_nms.", field, ": ", value, " must be ", range));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostProcessor>> PerClassNms::Create(
    const PerClassNmsOptions& options, const PostProcessorContext& context) {
  CHECK_GT(context.num_classes, 0);
  const double score = options.score_threshold();
  SSD_RETURN_IF_ERROR(CheckOption(score >= 0 && score < 1, "score_threshold", score, "in [0, 1)"));
  const double iou = options.iou_threshold();
  SSD_RETURN_IF_ERROR(CheckOption(iou > 0 && iou <= 1, "iou_threshold", iou, "in (0, 1]"));
  const int candidates = options.max_candidates_per_class();
  SSD_RETURN_IF_ERROR(CheckOption(candidates > 0, "max_candidates_per_class", candidates, "> 0"));
  const int detections = options.max_detections();
  SSD_RETURN_IF_ERROR(CheckOption(detections > 0, "max_detections", detections, "> 0"));
  return std::unique_ptr<PostProcessor>(new PerClassNms(options, context.num_classes));
}

Detections PerClassNms::Process(const Tensor& boxes, const Tensor& class_logits) const {
  at::NoGradGuard no_grad;
  const int64_t batch = boxes.size(0);
  const int64_t num_anchors = boxes.size(1);
  const int64_t classes = num_classes_ + 1;
  CHECK(boxes.sizes() == at::IntArrayRef({batch, num_anchors, 4}));
  CHECK(class_logits.sizes() == at::IntArrayRef({batch, num_anchors, classes}));
  CHECK_LT(num_classes_ * num_anchors, int64_t{1} << 32);
  const int64_t rows = options_.max_detections();
  const Tensor host_boxes = boxes.to(at::kCPU, at::kFloat).contiguous();
  const Tensor host_logits = class_logits.to(at::kCPU, at::kFloat).contiguous();
  Detections detections{at::zeros({batch, rows, 4}, at::kFloat),
                        at::zeros({batch, rows}, at::kFloat), at::zeros({batch, rows}, at::kLong),
                        at::zeros({batch}, at::kLong)};
  const float* const box = host_boxes.const_data_ptr<float>();
  const float* const logit = host_logits.const_data_ptr<float>();
  const DetectionRows out{detections.boxes.mutable_data_ptr<float>(),
                          detections.scores.mutable_data_ptr<float>(),
                          detections.labels.mutable_data_ptr<int64_t>()};
  int64_t* const counts = detections.counts.mutable_data_ptr<int64_t>();
  at::parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      counts[b] = ProcessImage(
          box + b * num_anchors * 4, logit + b * num_anchors * classes, num_anchors, classes,
          options_, {out.boxes + b * rows * 4, out.scores + b * rows, out.labels + b * rows});
    }
  });
  const at::Device device = boxes.device();
  return {detections.boxes.to(device), detections.scores.to(device), detections.labels.to(device),
          detections.counts.to(device)};
}

SSD_REGISTER_POST_PROCESSOR(PerClassNmsOptions, PerClassNms);

}  // namespace ssd
