#ifndef DATA_STROKES_H_
#define DATA_STROKES_H_

#include <opencv2/core.hpp>
#include <vector>

namespace ssd {

// Points joined by straight lines, in pixels; (0, 0) is the corner of the first pixel. One point is
// a dot.
using Polyline = std::vector<cv::Point2f>;

// Points of the Catmull-Rom spline through `points`, `steps` to each of its pieces; closed: from
// the last point back to the first.
Polyline Spline(const std::vector<cv::Point2f>& points, bool closed, int steps);

// Draws a line with round ends into `ink` (CV_8UC1) by each pixel's distance to it: full up to
// `radius` - 1/2 from the line, none from `radius` + 1/2 on, linear between; where there is ink
// already, the more stays. What lies outside `ink` is left out.
void DrawStroke(const Polyline& line, float radius, cv::Mat& ink);

// Mixes `color` (RGB) into `rgb` (CV_8UC3) by `opacity` (0..1) times the ink, whose first pixel is
// at `origin`. What lies outside `rgb` is left out.
void BlendInk(const cv::Mat& ink, cv::Point origin, const cv::Vec3b& color, float opacity,
              cv::Mat& rgb);

}  // namespace ssd

#endif  // DATA_STROKES_H_
