#ifndef SSD_REPORT_DRAWING_H_
#define SSD_REPORT_DRAWING_H_

#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

#include "ssd/core/annotations.h"
#include "ssd/eval/evaluator.h"

namespace ssd {

// Each draws onto `image`, 8-bit with three channels in OpenCV's order (blue, green, red); boxes
// are in its pixels and may reach outside. The same input gives the same bytes.
//
// OpenCV can only letter ASCII: a class whose name has other letters is shown as "#<label>". (The
// HTML report letters names itself, in any script.)

// Truths with class names; difficult ones and crowds are marked as such.
void DrawTruths(const std::vector<Annotation>& truths, const LabelMap& labels, cv::Mat& image);

// Detections of at least `minimum_score` with class names and scores, the best on top.
void DrawDetections(const std::vector<PixelDetection>& detections, const LabelMap& labels,
                    double minimum_score, cv::Mat& image);

// Default boxes, thin, in the color of class `label`; 0: white.
void DrawAnchors(const std::vector<PixelBox>& anchors, int64_t label, cv::Mat& image);

}  // namespace ssd

#endif  // SSD_REPORT_DRAWING_H_
