#include "ssd/report/judged_boxes.h"

#include <algorithm>

#include "ssd/core/geometry.h"

namespace ssd {
namespace {

bool Counts(const Annotation& truth) { return !truth.difficult && !truth.crowd; }

// As COCO has it: detections in a crowd need not cover it.
double Overlap(const PixelBox& detection, const Annotation& truth) {
  if (!truth.crowd) return BoxIou(detection, truth.box);
  const double area = detection.area();
  return area > 0 ? IntersectionArea(detection, truth.box) / area : 0;
}

}  // namespace

JudgedImage JudgeDetections(const std::vector<PixelDetection>& detections,
                            const std::vector<Annotation>& truths, double min_score,
                            double min_iou) {
  JudgedImage image;
  image.found.assign(truths.size(), false);
  for (const PixelDetection& detection : detections) {
    if (detection.score >= min_score) image.detections.push_back({detection});
  }
  std::stable_sort(image.detections.begin(), image.detections.end(),
                   [](const JudgedDetection& a, const JudgedDetection& b) {
                     return a.detection.score > b.detection.score;
                   });
  for (JudgedDetection& judged : image.detections) {
    for (const bool counts : {true, false}) {
      for (size_t g = 0; g < truths.size(); ++g) {
        const Annotation& truth = truths[g];
        if (truth.label != judged.detection.label || Counts(truth) != counts) continue;
        if (counts && image.found[g]) continue;
        const double overlap = Overlap(judged.detection.box, truth);
        if (overlap < min_iou || overlap <= judged.iou) continue;
        judged.iou = overlap;
        judged.truth = static_cast<int64_t>(g);
      }
      if (judged.truth < 0) continue;
      judged.verdict = counts ? DetectionVerdict::kTrue : DetectionVerdict::kNotJudged;
      image.found[static_cast<size_t>(judged.truth)] = true;
      break;
    }
  }
  return image;
}

double LeastTrueIou(const EvaluatorConfig& config) {
  return config.has_voc() ? config.voc().iou() : 0.5;
}

}  // namespace ssd
