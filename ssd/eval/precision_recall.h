#ifndef SSD_EVAL_PRECISION_RECALL_H_
#define SSD_EVAL_PRECISION_RECALL_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "ssd/eval/evaluator.h"

namespace ssd {

// Truths and detections by class, images numbered 0.. in ascending order of their ids, so that ties
// between scores fall the same way in whatever order images are added. Does no matching.
class DetectionsByClass {
 public:
  struct Detection {
    int32_t image = 0;
    PixelBox box;
    double score = 0;
  };
  struct Truth {
    int32_t image = 0;
    Annotation object;
  };

  // Dies if two truths have the same image id, or a label is outside 1..C.
  explicit DetectionsByClass(const EvaluatorContext& context);

  // As Evaluator::Add. Dies on a label outside 1..C and on a score that is NaN.
  void Add(int64_t image_id, const std::vector<PixelDetection>& detections);
  void Reset();

  int64_t num_images() const { return static_cast<int64_t>(position_.size()); }
  int64_t num_classes() const { return static_cast<int64_t>(truths_.size()); }

  // Of class `label`, by image; the order within an image is that of the annotations.
  const std::vector<Truth>& TruthsOf(int64_t label) const { return truths_[label - 1]; }
  // Of class `label`, by image, best score first within an image; ties as they were added.
  std::vector<Detection> DetectionsOf(int64_t label) const;

  // By image, its place in context.truths.
  const std::vector<int64_t>& positions() const { return position_; }

 private:
  std::vector<int64_t> position_;                   // in context.truths, by image
  absl::flat_hash_map<int64_t, int32_t> image_of_;  // by id
  std::vector<std::vector<Truth>> truths_;          // [C]
  std::vector<std::vector<Detection>> detections_;  // [C], as added
  std::vector<bool> added_;                         // by image
};

// values[position] for each of `positions`: weights of context.truths as weights of images.
std::vector<int32_t> Gathered(absl::Span<const int32_t> values,
                              const std::vector<int64_t>& positions);

// Positions of `detections` ranked by score, best first; ties keep their order.
std::vector<int32_t> RankByScore(const std::vector<DetectionsByClass::Detection>& detections);

// Precision against recall of one class, met in order of falling score. A detection may count
// several times: an image drawn w times into a bootstrap resample counts its detections w times,
// its copies side by side.
class PrecisionRecallSweep {
 public:
  void Clear();
  // A detection that is right, or wrong. Ignored ones are not reported.
  void AddTrue(int64_t count) {
    if (count == 0) return;
    true_ += count;
    points_.push_back({true_, static_cast<double>(true_) / static_cast<double>(true_ + false_)});
  }
  void AddFalse(int64_t count) { false_ += count; }

  // Makes precision fall with recall: at each recall the best precision of that or a greater one.
  // To be called once, after the last detection; `truths` > 0 is the number to be found.
  void Finish(int64_t truths);

  // The greatest recall, in [0, 1].
  double FinalRecall() const;
  // Precision at recalls i / (count - 1), where recall is not reached 0.
  std::vector<double> PrecisionAtRecalls(int count) const;
  // Mean of PrecisionAtRecalls(count): COCO's AP (101), VOC's until 2009 (11).
  double MeanPrecisionAtRecalls(int count) const;
  // The area below the curve: VOC's AP since 2010.
  double Area() const;

 private:
  struct Point {
    int64_t found;     // right ones up to here
    double precision;  // from Finish() on, the best from here on
  };
  std::vector<Point> points_;  // where recall rises
  int64_t true_ = 0;
  int64_t false_ = 0;
  int64_t truths_ = 0;
};

// Calls body(0) ... body(count - 1) on LibTorch's threads, whichever is free next. The body must
// not throw.
void ForEachInParallel(int64_t count, const std::function<void(int64_t)>& body);

// The mean of the numbers that exist; nullopt if none does.
std::optional<double> MeanOfExisting(absl::Span<const std::optional<double>> values);

}  // namespace ssd

#endif  // SSD_EVAL_PRECISION_RECALL_H_
