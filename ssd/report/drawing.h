#ifndef SSD_REPORT_DRAWING_H_
#define SSD_REPORT_DRAWING_H_

#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

#include "ssd/core/annotations.h"
#include "ssd/eval/evaluator.h"
#include "ssd/report/class_colors.h"

namespace ssd {

// Each draws onto `image`, 8-bit with three channels in OpenCV's order (blue, green, red); boxes
// are in its pixels and may reach outside. The same input gives the same bytes.
//
// OpenCV can only letter ASCII: a class whose name has other letters is shown as "#<label>". (The
// HTML report letters names itself, in any script.)

// How an outline is drawn, so that boxes can be told apart without color.
enum class LineStyle { kSolid, kDashed, kDotted, kDashDotted };

// A box with an outline of its own.
struct OutlinedBox {
  PixelBox box;
  Rgb color = {255, 255, 255};
  LineStyle style = LineStyle::kSolid;
  std::string text;   // on a tab at the box, printable ASCII; empty: no tab
  bool thin = false;  // one pixel wide
};

// The outlines in the order given, later ones on top, then the tabs likewise.
void DrawBoxes(const std::vector<OutlinedBox>& boxes, cv::Mat& image);

// The name of class `label`, or "#<label>" where OpenCV cannot letter it.
std::string LetterableName(const LabelMap& labels, int64_t label);

// Truths with class names; difficult ones and crowds are marked as such.
void DrawTruths(const std::vector<Annotation>& truths, const LabelMap& labels, cv::Mat& image);

// Detections of at least `minimum_score` with class names and scores, the best on top.
void DrawDetections(const std::vector<PixelDetection>& detections, const LabelMap& labels,
                    double minimum_score, cv::Mat& image);

// Default boxes, thin, in the color of class `label`; 0: white.
void DrawAnchors(const std::vector<PixelBox>& anchors, int64_t label, cv::Mat& image);

}  // namespace ssd

#endif  // SSD_REPORT_DRAWING_H_
