#ifndef SSD_REPORT_JUDGED_BOXES_H_
#define SSD_REPORT_JUDGED_BOXES_H_

#include <cstdint>
#include <vector>

#include "ssd/core/annotations.h"
#include "ssd/eval/evaluator.h"
#include "ssd/eval/evaluator.pb.h"

namespace ssd {

enum class DetectionVerdict {
  kTrue,       // finds a truth that none better has found
  kFalse,      // finds none
  kNotJudged,  // lies on a difficult object or a crowd: neither right nor wrong
};

struct JudgedDetection {
  PixelDetection detection;
  DetectionVerdict verdict = DetectionVerdict::kFalse;
  int64_t truth = -1;  // the place of the truth it finds or lies on; -1: there is none
  double iou = 0;      // with that truth; of a crowd, the share of the detection that lies in it
};

// One image's detections beside its truths, for pictures. (Evaluators judge with more thresholds
// than one.)
struct JudgedImage {
  std::vector<JudgedDetection> detections;  // best first
  std::vector<bool> found;                  // by truth; true for a difficult one that was found
};

// Best first, each detection of at least `min_score` takes the truth of its class that it overlaps
// most, by `min_iou` or more, and no better detection has taken; else it lies on a difficult object
// or a crowd, or is wrong.
JudgedImage JudgeDetections(const std::vector<PixelDetection>& detections,
                            const std::vector<Annotation>& truths, double min_score,
                            double min_iou);

// The IoU from which the evaluator of `config` takes a truth for found; of several, the least: 0.5
// unless evaluator.voc.iou says otherwise.
double LeastTrueIou(const EvaluatorConfig& config);

}  // namespace ssd

#endif  // SSD_REPORT_JUDGED_BOXES_H_
