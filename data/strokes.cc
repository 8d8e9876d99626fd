#include "data/strokes.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace ssd {
namespace {

float SquaredDistance(const cv::Point2f& point, const cv::Point2f& a, const cv::Point2f& b) {
  const cv::Point2f along = b - a;
  const cv::Point2f to_point = point - a;
  const float squared_length = along.dot(along);
  const float position =
      squared_length > 0 ? std::clamp(to_point.dot(along) / squared_length, 0.0f, 1.0f) : 0.0f;
  const cv::Point2f away = to_point - position * along;
  return away.dot(away);
}

void DrawSegment(const cv::Point2f& a, const cv::Point2f& b, float radius, cv::Mat& ink) {
  // Pixels whose centres may be within radius + 1/2.
  const float reach = radius + 1;
  const int x0 = std::max(0, static_cast<int>(std::floor(std::min(a.x, b.x) - reach)));
  const int y0 = std::max(0, static_cast<int>(std::floor(std::min(a.y, b.y) - reach)));
  const int x1 = std::min(ink.cols, static_cast<int>(std::ceil(std::max(a.x, b.x) + reach)));
  const int y1 = std::min(ink.rows, static_cast<int>(std::ceil(std::max(a.y, b.y) + reach)));
  const float outer = radius + 0.5f;
  for (int y = y0; y < y1; ++y) {
    uint8_t* const row = ink.ptr<uint8_t>(y);
    for (int x = x0; x < x1; ++x) {
      const cv::Point2f center(static_cast<float>(x) + 0.5f, static_cast<float>(y) + 0.5f);
      const float squared = SquaredDistance(center, a, b);
      if (squared >= outer * outer) continue;
      const float coverage = std::min(1.0f, outer - std::sqrt(squared));
      row[x] = std::max(row[x], cv::saturate_cast<uint8_t>(255 * coverage));
    }
  }
}

}  // namespace

Polyline Spline(const std::vector<cv::Point2f>& points, bool closed, int steps) {
  const int count = static_cast<int>(points.size());
  if (count < 2) return points;
  // Past the ends of an open line its end points are repeated.
  const auto at = [&](int i) -> const cv::Point2f& {
    return closed ? points[(i + count) % count] : points[std::clamp(i, 0, count - 1)];
  };
  Polyline line;
  const int pieces = closed ? count : count - 1;
  for (int piece = 0; piece < pieces; ++piece) {
    const cv::Point2f &p0 = at(piece - 1), &p1 = at(piece), &p2 = at(piece + 1),
                      &p3 = at(piece + 2);
    for (int step = 0; step < steps; ++step) {
      const float t = static_cast<float>(step) / static_cast<float>(steps);
      line.push_back(0.5f * (2 * p1 + t * (p2 - p0) + t * t * (2 * p0 - 5 * p1 + 4 * p2 - p3) +
                             t * t * t * (3 * p1 - p0 - 3 * p2 + p3)));
    }
  }
  line.push_back(closed ? points.front() : points.back());
  return line;
}

void DrawStroke(const Polyline& line, float radius, cv::Mat& ink) {
  if (line.size() == 1) DrawSegment(line.front(), line.front(), radius, ink);
  for (size_t i = 1; i < line.size(); ++i) DrawSegment(line[i - 1], line[i], radius, ink);
}

void BlendInk(const cv::Mat& ink, cv::Point origin, const cv::Vec3b& color, float opacity,
              cv::Mat& rgb) {
  const cv::Rect visible = cv::Rect(origin, ink.size()) & cv::Rect(cv::Point(), rgb.size());
  const int full = static_cast<int>(std::lround(256 * opacity));
  for (int y = visible.y; y < visible.br().y; ++y) {
    const uint8_t* const from = ink.ptr<uint8_t>(y - origin.y) - origin.x;
    cv::Vec3b* const to = rgb.ptr<cv::Vec3b>(y);
    for (int x = visible.x; x < visible.br().x; ++x) {
      if (from[x] == 0) continue;
      const int share = from[x] * full;  // of 255 * 256
      for (int c = 0; c < 3; ++c) {
        constexpr int kWhole = 255 * 256;
        const int mixed = (to[x][c] * (kWhole - share) + color[c] * share + kWhole / 2) / kWhole;
        to[x][c] = static_cast<uint8_t>(mixed);
      }
    }
  }
}

}  // namespace ssd
