#include "experiments/check/ceiling.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/types/span.h"
#include "ssd/core/boxes.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"
#include "ssd/model/detections_in_pixels.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {
namespace {

// The strictest IoU that any of COCO's numbers asks for.
constexpr float kFoundIou = 0.95f;
// A score of 1 but for 1e-11.
constexpr float kSureLogit = 30;
// Lost truths that are looked into; each takes a few runs of the post-processor.
constexpr int64_t kMostExamined = 2000;
// Of the truths that may have suppressed one, the most overlapping.
constexpr size_t kMostRivals = 16;
constexpr int64_t kBatchImages = 64;
constexpr int64_t kBatchPositives = 1 << 14;  // with padding

// The answers of some anchors of one image, which those of its truths they were given.
struct Answers {
  std::vector<int32_t> anchors;
  std::vector<int64_t> truths;  // of each anchor, in MatchedTruths::truths
};

// Plays a perfect network.
class PerfectNetwork {
 public:
  PerfectNetwork(const MatchedTruths& matched, const SsdDetector& detector)
      : matched_(matched), detector_(detector) {
    const HeadConfig& head = detector.config().head();
    is_sigmoid_ = head.activation() == HeadConfig::SIGMOID;
  }

  // All answers for the truths `truths`; or only each one's from the anchor of highest IoU.
  Answers AnswersFor(const std::vector<int64_t>& truths, bool only_best) const {
    Answers answers;
    for (const int64_t t : truths) {
      const ViewTruth& truth = matched_.truths[t];
      absl::Span<const int32_t> anchors = matched_.PositivesOf(truth);
      if (anchors.empty()) continue;
      if (only_best) anchors = anchors.subspan(BestOf(truth, anchors), 1);
      answers.anchors.insert(answers.anchors.end(), anchors.begin(), anchors.end());
      answers.truths.insert(answers.truths.end(), anchors.size(), t);
    }
    return answers;
  }

  // The boxes [P, 4] that the answers decode to, image after image.
  Tensor Decoded(const std::vector<Answers>& images) const {
    std::vector<int32_t> anchors;
    std::vector<Corners> boxes;
    for (const Answers& answers : images) {
      anchors.insert(anchors.end(), answers.anchors.begin(), answers.anchors.end());
      for (const int64_t t : answers.truths) boxes.push_back(matched_.truths[t].box);
    }
    const auto count = static_cast<int64_t>(anchors.size());
    const Tensor truth = at::empty({count, 4}, at::kFloat);
    if (count == 0) return truth;
    float* out = truth.mutable_data_ptr<float>();
    for (const Corners& box : boxes) {
      *out++ = box.x0;
      *out++ = box.y0;
      *out++ = box.x1;
      *out++ = box.y1;
    }
    const Tensor own = detector_.anchors().boxes.index_select(0, IndexOf(anchors));
    const Tensor codes = detector_.box_coder().Encode(truth, own);
    return detector_.box_coder().Decode(codes, own).to(at::kFloat).contiguous();
  }

  // What the post-processor makes of `images`; `decoded` as Decoded of them.
  Detections Detect(const std::vector<Answers>& images, const Tensor& decoded) const {
    size_t most = 1;
    for (const Answers& answers : images) most = std::max(most, answers.anchors.size());
    const auto batch = static_cast<int64_t>(images.size());
    const auto width = static_cast<int64_t>(most);
    const int64_t logits = detector_.num_classes() + (is_sigmoid_ ? 0 : 1);
    const Tensor boxes = at::zeros({batch, width, 4}, at::kFloat);
    const Tensor scores =
        at::full({batch, width, logits}, is_sigmoid_ ? -kSureLogit : 0.0f, at::kFloat);
    float* const box = boxes.mutable_data_ptr<float>();
    float* const score = scores.mutable_data_ptr<float>();
    const float* from = decoded.const_data_ptr<float>();
    for (int64_t b = 0; b < batch; ++b) {
      const Answers& answers = images[b];
      for (int64_t i = 0; i < width; ++i) {
        float* const row = score + (b * width + i) * logits;
        if (i >= static_cast<int64_t>(answers.anchors.size())) {
          if (!is_sigmoid_) row[0] = kSureLogit;  // padding is background
          continue;
        }
        const int64_t label = matched_.truths[answers.truths[i]].label;
        row[is_sigmoid_ ? label - 1 : label] = kSureLogit;
        std::copy_n(from, 4, box + (b * width + i) * 4);
        from += 4;
      }
    }
    return detector_.post_processor().Process(boxes, scores);
  }

  // Which of `truths`, of one image, are found by row `row` of the detections; only those that are
  // learnt can be.
  std::vector<bool> Found(const Detections& detections, int64_t row,
                          const std::vector<int64_t>& truths) const {
    const int64_t kept = detections.counts.const_data_ptr<int64_t>()[row];
    const int64_t width = detections.labels.size(1);
    const float* const box = detections.boxes.const_data_ptr<float>() + row * width * 4;
    const int64_t* const label = detections.labels.const_data_ptr<int64_t>() + row * width;
    std::vector<bool> found(truths.size(), false);
    for (int64_t k = 0; k < kept; ++k) {
      const Corners here{box[4 * k], box[4 * k + 1], box[4 * k + 2], box[4 * k + 3]};
      float highest = kFoundIou;
      int64_t match = -1;
      for (size_t i = 0; i < truths.size(); ++i) {
        const ViewTruth& truth = matched_.truths[truths[i]];
        if (found[i] || !truth.is_learnt() || truth.label != label[k]) continue;
        const float iou = Iou(here, truth.box);
        if (iou < highest || (match >= 0 && iou == highest)) continue;
        highest = iou;
        match = static_cast<int64_t>(i);
      }
      if (match >= 0) found[match] = true;
    }
    return found;
  }

  // Whether truth `truths.front()` is found in an image with these truths alone.
  bool Survives(std::vector<int64_t> truths, bool only_best) const {
    const int64_t wanted = truths.front();
    std::sort(truths.begin(), truths.end());  // the order in the image breaks ties
    const std::vector<Answers> images = {AnswersFor(truths, only_best)};
    const std::vector<bool> found = Found(Detect(images, Decoded(images)), 0, truths);
    return found[std::find(truths.begin(), truths.end(), wanted) - truths.begin()];
  }

 private:
  size_t BestOf(const ViewTruth& truth, absl::Span<const int32_t> anchors) const {
    const Tensor corners =
        CornersFromCenters(detector_.anchors().boxes.index_select(0, IndexOf(anchors)));
    const float* const box = corners.const_data_ptr<float>();
    size_t best = 0;
    float highest = -1;
    for (size_t i = 0; i < anchors.size(); ++i) {
      const float iou =
          Iou({box[4 * i], box[4 * i + 1], box[4 * i + 2], box[4 * i + 3]}, truth.box);
      if (iou <= highest) continue;
      highest = iou;
      best = i;
    }
    return best;
  }

  static Tensor IndexOf(absl::Span<const int32_t> anchors) {
    const Tensor index = at::empty({static_cast<int64_t>(anchors.size())}, at::kLong);
    std::copy(anchors.begin(), anchors.end(), index.mutable_data_ptr<int64_t>());
    return index;
  }

  const MatchedTruths& matched_;
  const SsdDetector& detector_;
  bool is_sigmoid_ = false;
};

// Goes through the images in batches.
class CeilingComputation {
 public:
  CeilingComputation(const MatchedTruths& matched, const SsdDetector& detector,
                     Evaluator& evaluator)
      : matched_(matched), network_(matched, detector), evaluator_(evaluator) {}

  // Image `image` of the dataset, whose id for the evaluator is the same number.
  void AddImage(int64_t image, const Geometry& geometry) {
    std::vector<int64_t> truths;
    for (int64_t t = matched_.image_begin[image]; t < matched_.image_begin[image + 1]; ++t) {
      truths.push_back(t);
    }
    if (truths.empty()) return;
    Answers answers = network_.AnswersFor(truths, /*only_best=*/false);
    const auto images = static_cast<int64_t>(images_.size()) + 1;
    const size_t most = std::max(most_answers_, answers.anchors.size());
    if (images > kBatchImages ||
        (images > 1 && images * static_cast<int64_t>(most) > kBatchPositives)) {
      RunBatch();
    }
    most_answers_ = std::max(most_answers_, answers.anchors.size());
    images_.push_back(image);
    geometry_.push_back(geometry);
    truths_.push_back(std::move(truths));
    answers_.push_back(std::move(answers));
  }

  // Call once, after all images.
  Ceiling Finish() {
    RunBatch();
    ceiling_.metrics = evaluator_.Compute();
    for (const LostTruth& lost : ceiling_.lost) {
      ++ceiling_.reasons[static_cast<size_t>(lost.reason)];
    }
    return std::move(ceiling_);
  }

 private:
  void RunBatch() {
    if (images_.empty()) return;
    const Tensor decoded = network_.Decoded(answers_);
    const Detections detections = network_.Detect(answers_, decoded);
    for (ImageDetections& image : DetectionsInPixels(detections, images_, geometry_)) {
      evaluator_.Add(image.image_id, std::move(image.detections));
    }
    const int64_t limit = detections.labels.size(1);
    const float* box = decoded.const_data_ptr<float>();
    for (size_t b = 0; b < images_.size(); ++b) {
      const auto row = static_cast<int64_t>(b);
      const std::vector<bool> found = network_.Found(detections, row, truths_[b]);
      const bool is_full = detections.counts.const_data_ptr<int64_t>()[b] == limit;
      for (size_t i = 0; i < found.size(); ++i) {
        if (!found[i]) ceiling_.lost.push_back(Explain(truths_[b], i, answers_[b], box, is_full));
      }
      box += 4 * answers_[b].anchors.size();
    }
    images_.clear();
    geometry_.clear();
    truths_.clear();
    answers_.clear();
    most_answers_ = 0;
  }

  // Why truths[which] of an image was lost. `decoded`: the boxes of the image's answers. `is_full`:
  // it has as many detections as are kept.
  LostTruth Explain(const std::vector<int64_t>& truths, size_t which, const Answers& answers,
                    const float* decoded, bool is_full) {
    LostTruth lost;
    lost.truth = truths[which];
    const ViewTruth& truth = matched_.truths[lost.truth];
    if (!truth.is_seen()) {
      lost.reason = LossReason::kOutOfView;
      return lost;
    }
    if (truth.difficult) {
      lost.reason = LossReason::kDifficult;
      return lost;
    }
    if (truth.num_positives == 0) {
      ExplainNoAnchor(answers, lost);
      return lost;
    }
    float highest = 0;
    for (size_t i = 0; i < answers.truths.size(); ++i) {
      if (answers.truths[i] != lost.truth) continue;
      const float* const box = decoded + 4 * i;
      highest = std::max(highest, Iou({box[0], box[1], box[2], box[3]}, truth.box));
    }
    if (highest < kFoundIou) {
      lost.reason = LossReason::kNotCoded;
      return lost;
    }
    if (examined_++ < kMostExamined) ExplainDrop(truths, is_full, lost);
    return lost;
  }

  void ExplainNoAnchor(const Answers& answers, LostTruth& lost) const {
    const ViewTruth& truth = matched_.truths[lost.truth];
    lost.reason = LossReason::kNoAnchor;
    const auto taken = std::find(answers.anchors.begin(), answers.anchors.end(), truth.best_anchor);
    if (taken == answers.anchors.end()) return;
    lost.reason = LossReason::kSharedAnchors;
    SetOther(answers.truths[taken - answers.anchors.begin()], lost);
  }

  void ExplainDrop(const std::vector<int64_t>& truths, bool is_full, LostTruth& lost) const {
    const ViewTruth& truth = matched_.truths[lost.truth];
    if (!network_.Survives({lost.truth}, /*only_best=*/false)) {
      lost.reason = LossReason::kNotDetected;
      return;
    }
    std::vector<std::pair<float, int64_t>> rivals;  // minus IoU, truth
    for (const int64_t other : truths) {
      const float iou = Iou(truth.box, matched_.truths[other].box);
      if (other != lost.truth && iou > 0) rivals.emplace_back(-iou, other);
    }
    std::sort(rivals.begin(), rivals.end());
    if (rivals.size() > kMostRivals) rivals.resize(kMostRivals);
    for (const auto& [minus_iou, other] : rivals) {
      if (network_.Survives({lost.truth, other}, /*only_best=*/false)) continue;
      lost.reason = LossReason::kSuppressed;
      SetOther(other, lost);
      return;
    }
    std::vector<int64_t> all = truths;
    std::swap(all.front(), *std::find(all.begin(), all.end(), lost.truth));
    if (network_.Survives(std::move(all), /*only_best=*/true)) {
      lost.reason = LossReason::kCandidateLimit;
    } else {
      // By several boxes together, where it was no limit.
      lost.reason = is_full ? LossReason::kDetectionLimit : LossReason::kSuppressed;
    }
  }

  void SetOther(int64_t other, LostTruth& lost) const {
    lost.other = other;
    lost.iou = Iou(matched_.truths[lost.truth].box, matched_.truths[other].box);
  }

  const MatchedTruths& matched_;
  const PerfectNetwork network_;
  Evaluator& evaluator_;
  int64_t examined_ = 0;
  Ceiling ceiling_;

  // The batch.
  std::vector<int64_t> images_;
  std::vector<Geometry> geometry_;
  std::vector<std::vector<int64_t>> truths_;
  std::vector<Answers> answers_;
  size_t most_answers_ = 0;
};

}  // namespace

absl::StatusOr<Ceiling> ComputeCeiling(const Dataset& dataset, const NetworkView& view,
                                       const MatchedTruths& matched, const SsdDetector& detector,
                                       const EvaluatorConfig& evaluator) {
  at::NoGradGuard no_grad;
  EvaluatorContext context;
  context.labels = dataset.labels();
  std::vector<Geometry> geometry;
  for (int64_t image = 0; image < dataset.size(); ++image) {
    SSD_ASSIGN_OR_RETURN(Annotations truth, dataset.GetAnnotations(image));
    geometry.push_back(view(truth.size));
    // The dataset's own ids need not differ where something is wrong with it.
    truth.image_id = image;
    context.truths.push_back(std::move(truth));
  }
  CHECK_EQ(matched.image_begin.size(), geometry.size() + 1);
  SSD_ASSIGN_OR_RETURN(const std::unique_ptr<Evaluator> judge,
                       EvaluatorRegistry::Get().Create(evaluator, context));
  CeilingComputation computation(matched, detector, *judge);
  for (size_t image = 0; image < geometry.size(); ++image) {
    computation.AddImage(static_cast<int64_t>(image), geometry[image]);
  }
  return computation.Finish();
}

}  // namespace ssd
