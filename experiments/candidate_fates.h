#ifndef EXPERIMENTS_CANDIDATE_FATES_H_
#define EXPERIMENTS_CANDIDATE_FATES_H_

#include <cstdint>
#include <optional>

#include "ssd/core/boxes.h"
#include "ssd/core/types.h"
#include "ssd/postprocess/post_processor.pb.h"

namespace ssd {

// How a post-processor chooses among the boxes of one image, as its options say.
struct SelectionRules {
  double score_threshold = 0;
  double iou_threshold = 1;
  bool suppress_equal = false;
  double nms_eta = 1;
  // Boxes lose score to better ones instead of being suppressed.
  bool soft = false;
  // An anchor takes part with its best class, and boxes of all classes suppress each other.
  bool across_classes = false;
  int64_t max_candidates = 0;  // of a class, or of all
  int64_t max_detections = 0;
  bool clip = true;  // before boxes are compared
};

// nullopt: a post-processor from outside, whose rules are its own.
std::optional<SelectionRules> SelectionRulesOf(const PostProcessorConfig& config);

enum class Fate {
  kDetected,          // it is a detection
  kBelowScore,        // score_threshold cut it
  kOtherClass,        // its anchor took part with another class
  kBeyondCandidates,  // max_candidates cut it
  kSuppressed,        // by a detection
  kBeyondDetections,  // max_detections cut it
  kNotKept,           // for a reason that cannot be told: soft suppression, rules from outside
};

// What became of one anchor's box for one class.
struct CandidateFate {
  double score = 0;
  Corners box = {};  // as boxes were compared: clipped where the rules say so
  Fate fate = Fate::kNotKept;
  // The detection it is, that suppressed it, or, of kNotKept, that overlaps it most; its place
  // among the image's detections, best first. -1: there is none.
  int64_t detection = -1;
  double iou = 0;    // with that detection
  double limit = 0;  // of kSuppressed: the IoU from which the detection suppressed
};

// The fate of `anchor` for class `label` (1..C). boxes: [A, 4] decoded corners; scores: [A, C]
// after softmax or sigmoid; both float32 on the CPU. `detections` are what the post-processor made
// of them, one image, on the CPU.
CandidateFate FateOf(int64_t anchor, int64_t label, const Tensor& boxes, const Tensor& scores,
                     const Detections& detections, const std::optional<SelectionRules>& rules);

}  // namespace ssd

#endif  // EXPERIMENTS_CANDIDATE_FATES_H_
