#include "ssd/report/drawing.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ssd/core/logging.h"
#include "ssd/report/class_colors.h"

namespace ssd {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr int kShift = 4;  // fixed-point bits of coordinates

cv::Scalar Bgr(Rgb color) { return cv::Scalar(color.blue, color.green, color.red); }

// 1 for images up to about 400 pixels.
double ScaleOf(const cv::Mat& image) {
  return std::max(1.0, std::min(image.cols, image.rows) / 400.0);
}

// A coordinate, or one as far outside the picture that nothing of a line there shows: fixed point
// would overflow.
double NearPicture(double value, int size) { return std::clamp(value, -100.0, size + 100.0); }

void DrawSolid(const PixelBox& box, const cv::Scalar& color, int thickness, cv::Mat& image) {
  // A pixel's centre is at half its coordinates, but at whole ones for OpenCV.
  const auto fixed = [](double value, int size) {
    return static_cast<int>(std::lround((NearPicture(value, size) - 0.5) * (1 << kShift)));
  };
  cv::rectangle(image, cv::Point(fixed(box.x0, image.cols), fixed(box.y0, image.rows)),
                cv::Point(fixed(box.x1, image.cols), fixed(box.y1, image.rows)), color, thickness,
                cv::LINE_AA, kShift);
}

// Lengths of line and gap in turn, in widths of the line.
const std::vector<int>& PatternOf(LineStyle style) {
  static const auto* const dashed = new std::vector<int>{8, 5};
  static const auto* const dotted = new std::vector<int>{1, 2};
  static const auto* const dash_dotted = new std::vector<int>{6, 3, 1, 3};
  CHECK(style != LineStyle::kSolid);
  if (style == LineStyle::kDashed) return *dashed;
  return style == LineStyle::kDotted ? *dotted : *dash_dotted;
}

// Four lines of whole pixels, the pattern of each beginning at its left or upper end.
void DrawInterrupted(const PixelBox& box, LineStyle style, const cv::Scalar& color, int thickness,
                     cv::Mat& image) {
  const auto first_pixel = [thickness](double value, int size) {
    return static_cast<int>(std::lround(NearPicture(value, size) - 0.5 * thickness));
  };
  const int left = first_pixel(box.x0, image.cols), right = first_pixel(box.x1, image.cols);
  const int top = first_pixel(box.y0, image.rows), bottom = first_pixel(box.y1, image.rows);
  const cv::Rect whole(0, 0, image.cols, image.rows);
  const auto fill = [&](const cv::Rect& rect) {
    const cv::Rect visible = rect & whole;
    if (!visible.empty()) image(visible).setTo(color);
  };
  const std::vector<int>& pattern = PatternOf(style);
  const auto for_each_dash = [&](int begin, int end, const auto& draw) {
    size_t part = 0;
    for (int at = begin; at < end; ++part) {
      const int next = std::min(end, at + pattern[part % pattern.size()] * thickness);
      if (part % 2 == 0) draw(at, next - at);
      at = next;
    }
  };
  for_each_dash(left, right + thickness, [&](int at, int length) {
    fill(cv::Rect(at, top, length, thickness));
    fill(cv::Rect(at, bottom, length, thickness));
  });
  for_each_dash(top, bottom + thickness, [&](int at, int length) {
    fill(cv::Rect(left, at, thickness, length));
    fill(cv::Rect(right, at, thickness, length));
  });
}

// A tab with text on the upper edge of `box`, inside the image where there is no room above.
void DrawTab(const PixelBox& box, const std::string& text, Rgb color, cv::Mat& image) {
  const double font_scale = 0.42 * ScaleOf(image);
  const int thickness = std::max(1, static_cast<int>(std::lround(ScaleOf(image))));
  int baseline = 0;
  const cv::Size size = cv::getTextSize(text, kFont, font_scale, thickness, &baseline);
  const int padding = 2 * thickness;
  const int width = size.width + 2 * padding;
  const int height = size.height + baseline + padding;
  const auto within = [](double value, int room) {
    return static_cast<int>(std::lround(std::clamp<double>(value, 0, std::max(0, room))));
  };
  const int left = within(box.x0, image.cols - width);
  const int top = within(box.y0 >= height ? box.y0 - height : box.y0, image.rows - height);
  cv::rectangle(image, cv::Rect(left, top, width, height), Bgr(color), cv::FILLED);
  cv::putText(image, text, cv::Point(left + padding, top + height - baseline), kFont, font_scale,
              Bgr(TextColorOn(color)), thickness, cv::LINE_AA);
}

int LineThickness(const cv::Mat& image) {
  return std::max(1, static_cast<int>(std::lround(1.5 * ScaleOf(image))));
}

void CheckImage(const cv::Mat& image) {
  CHECK_EQ(image.type(), CV_8UC3) << "drawing needs 8 bits and three channels";
}

}  // namespace

void DrawBoxes(const std::vector<OutlinedBox>& boxes, cv::Mat& image) {
  CheckImage(image);
  for (const OutlinedBox& outlined : boxes) {
    const int thickness = outlined.thin ? 1 : LineThickness(image);
    if (outlined.style == LineStyle::kSolid) {
      DrawSolid(outlined.box, Bgr(outlined.color), thickness, image);
    } else {
      DrawInterrupted(outlined.box, outlined.style, Bgr(outlined.color), thickness, image);
    }
  }
  for (const OutlinedBox& outlined : boxes) {
    if (!outlined.text.empty()) DrawTab(outlined.box, outlined.text, outlined.color, image);
  }
}

std::string LetterableName(const LabelMap& labels, int64_t label) {
  CHECK(label >= 1 && label <= labels.num_classes()) << "label " << label;
  const std::string& name = labels.names[label - 1];
  const bool ascii = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isprint(static_cast<unsigned char>(c));
  });
  return ascii ? name : absl::StrCat("#", label);
}

void DrawTruths(const std::vector<Annotation>& truths, const LabelMap& labels, cv::Mat& image) {
  std::vector<OutlinedBox> boxes;
  for (const Annotation& truth : truths) {
    boxes.push_back(
        {truth.box, ClassColor(truth.label), LineStyle::kSolid,
         absl::StrCat(LetterableName(labels, truth.label), truth.difficult ? " (difficult)" : "",
                      truth.crowd ? " (crowd)" : "")});
  }
  DrawBoxes(boxes, image);
}

void DrawDetections(const std::vector<PixelDetection>& detections, const LabelMap& labels,
                    double minimum_score, cv::Mat& image) {
  std::vector<PixelDetection> shown;
  for (const PixelDetection& detection : detections) {
    if (detection.score >= minimum_score) shown.push_back(detection);
  }
  std::stable_sort(shown.begin(), shown.end(),
                   [](const auto& a, const auto& b) { return a.score < b.score; });
  std::vector<OutlinedBox> boxes;
  for (const PixelDetection& detection : shown) {
    boxes.push_back(
        {detection.box, ClassColor(detection.label), LineStyle::kSolid,
         absl::StrFormat("%s %.2f", LetterableName(labels, detection.label), detection.score)});
  }
  DrawBoxes(boxes, image);
}

void DrawAnchors(const std::vector<PixelBox>& anchors, int64_t label, cv::Mat& image) {
  const Rgb color = label == 0 ? Rgb{255, 255, 255} : ClassColor(label);
  std::vector<OutlinedBox> boxes;
  for (const PixelBox& anchor : anchors) {
    boxes.push_back({anchor, color, LineStyle::kSolid, "", /*thin=*/true});
  }
  DrawBoxes(boxes, image);
}

}  // namespace ssd
