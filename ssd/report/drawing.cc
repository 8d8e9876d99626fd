#include "ssd/report/drawing.h"

#include <algorithm>
#include <cmath>
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

std::string AsciiName(const LabelMap& labels, int64_t label) {
  CHECK(label >= 1 && label <= labels.num_classes()) << "label " << label;
  const std::string& name = labels.names[label - 1];
  const bool ascii = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isprint(static_cast<unsigned char>(c));
  });
  return ascii ? name : absl::StrCat("#", label);
}

void DrawBox(const PixelBox& box, const cv::Scalar& color, int thickness, cv::Mat& image) {
  // A pixel's centre is at half its coordinates, but at whole ones for OpenCV. Far outside, fixed
  // point would overflow.
  const auto fixed = [](double value, int size) {
    const double inside = std::clamp(value, -100.0, size + 100.0);
    return static_cast<int>(std::lround((inside - 0.5) * (1 << kShift)));
  };
  cv::rectangle(image, cv::Point(fixed(box.x0, image.cols), fixed(box.y0, image.rows)),
                cv::Point(fixed(box.x1, image.cols), fixed(box.y1, image.rows)), color, thickness,
                cv::LINE_AA, kShift);
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

void DrawTruths(const std::vector<Annotation>& truths, const LabelMap& labels, cv::Mat& image) {
  CheckImage(image);
  for (const Annotation& truth : truths) {
    DrawBox(truth.box, Bgr(ClassColor(truth.label)), LineThickness(image), image);
  }
  for (const Annotation& truth : truths) {
    DrawTab(truth.box,
            absl::StrCat(AsciiName(labels, truth.label), truth.difficult ? " (difficult)" : "",
                         truth.crowd ? " (crowd)" : ""),
            ClassColor(truth.label), image);
  }
}

void DrawDetections(const std::vector<PixelDetection>& detections, const LabelMap& labels,
                    double minimum_score, cv::Mat& image) {
  CheckImage(image);
  std::vector<PixelDetection> shown;
  for (const PixelDetection& detection : detections) {
    if (detection.score >= minimum_score) shown.push_back(detection);
  }
  std::stable_sort(shown.begin(), shown.end(),
                   [](const auto& a, const auto& b) { return a.score < b.score; });
  for (const PixelDetection& detection : shown) {
    DrawBox(detection.box, Bgr(ClassColor(detection.label)), LineThickness(image), image);
  }
  for (const PixelDetection& detection : shown) {
    DrawTab(detection.box,
            absl::StrFormat("%s %.2f", AsciiName(labels, detection.label), detection.score),
            ClassColor(detection.label), image);
  }
}

void DrawAnchors(const std::vector<PixelBox>& anchors, int64_t label, cv::Mat& image) {
  CheckImage(image);
  const cv::Scalar color = label == 0 ? cv::Scalar(255, 255, 255) : Bgr(ClassColor(label));
  for (const PixelBox& anchor : anchors) DrawBox(anchor, color, 1, image);
}

}  // namespace ssd
