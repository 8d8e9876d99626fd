#ifndef SSD_REPORT_HTML_REPORT_H_
#define SSD_REPORT_HTML_REPORT_H_

#include <string>
#include <utility>
#include <vector>

#include "ssd/core/annotations.h"
#include "ssd/eval/evaluator.h"
#include "ssd/report/svg_chart.h"

namespace ssd {

// A default box that answers for a truth.
struct MatchedAnchor {
  PixelBox box;
  double iou = 0;  // with the truth
};

struct MatchedTruth {
  Annotation truth;
  std::vector<MatchedAnchor> anchors;  // may be empty: nothing learns from this truth
};

// One picture of the sheets. Boxes are in pixels of an image of `size`; the JPEG shows that image
// and may be smaller.
struct ReportPicture {
  std::string name;  // of the file
  ImageSize size;
  std::string jpeg;
  std::vector<Annotation> truths;
  std::vector<PixelDetection> detections;
  std::vector<MatchedTruth> matches;  // for the sheet of anchors; may be fewer than the truths
};

// What a report is made of; whatever is empty is left out.
struct ReportContent {
  using Facts = std::vector<std::pair<std::string, std::string>>;

  std::string title;
  std::string summary;  // a sentence or two below the title
  Facts highlights;     // label, value: shown large, after the first three metrics
  std::vector<Chart> charts;
  LabelMap labels;
  Metrics metrics;
  // Detections below this score are not drawn; [0, 1].
  double shown_score = 0.5;
  std::vector<ReportPicture> pictures;
  Facts run;     // label, value
  Facts timing;  // label, value
  std::string config;
};

// report.html: a whole page in one file (see HtmlPage). Boxes and class names are laid over the
// pictures, not drawn into them, so names may be in any script; every text is escaped. The same
// content gives the same bytes.
std::string HtmlReport(const ReportContent& content);

}  // namespace ssd

#endif  // SSD_REPORT_HTML_REPORT_H_
