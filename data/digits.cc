#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "data/digit_scenes.h"
#include "data/strokes.h"

namespace ssd {
namespace {

// One movement of the pen through points of a unit square, y downwards.
struct PenStroke {
  enum Form { kStraight, kCurved, kClosed } form;
  std::vector<cv::Point2f> points;
};
using Skeleton = std::vector<PenStroke>;

// The ways to write each digit.
const std::vector<Skeleton>& SkeletonsOf(int digit) {
  constexpr auto kStraight = PenStroke::kStraight;
  constexpr auto kCurved = PenStroke::kCurved;
  constexpr auto kClosed = PenStroke::kClosed;
  static const auto* const skeletons = new std::vector<std::vector<Skeleton>>{
      // 0
      {{{kClosed,
         {{.5, 0}, {.87, .13}, {1, .5}, {.87, .87}, {.5, 1}, {.13, .87}, {0, .5}, {.13, .13}}}}},
      // 1: a stroke, with a flag, with a foot
      {{{kStraight, {{.5, 0}, {.5, 1}}}},
       {{kStraight, {{.2, .24}, {.6, 0}, {.6, 1}}}},
       {{kStraight, {{.2, .22}, {.55, 0}, {.55, 1}}}, {kStraight, {{.2, 1}, {.9, 1}}}}},
      // 2
      {{{kCurved, {{.04, .26}, {.2, .05}, {.55, 0}, {.88, .13}, {.92, .36}, {.62, .66}, {.04, 1}}},
        {kStraight, {{.04, 1}, {1, 1}}}}},
      // 3: round, and with a flat top
      {{{kCurved, {{.05, .12}, {.4, 0}, {.83, .08}, {.87, .33}, {.38, .47}}},
        {kCurved, {{.38, .47}, {.88, .56}, {1, .78}, {.68, .98}, {.25, .98}, {0, .84}}}},
       {{kStraight, {{.05, 0}, {.92, 0}, {.42, .42}}},
        {kCurved, {{.42, .42}, {.88, .54}, {.95, .8}, {.5, 1}, {0, .88}}}}},
      // 4: open, and closed
      {{{kStraight, {{.3, 0}, {.02, .62}, {1, .62}}}, {kStraight, {{.72, .25}, {.72, 1}}}},
       {{kStraight, {{.72, 1}, {.72, 0}, {0, .68}, {1, .68}}}}},
      // 5
      {{{kStraight, {{.92, 0}, {.16, 0}, {.1, .45}}},
        {kCurved, {{.1, .45}, {.5, .36}, {.9, .48}, {1, .72}, {.75, .96}, {.35, 1}, {0, .88}}}}},
      // 6
      {{{kCurved,
         {{.8, 0},
          {.38, .17},
          {.07, .52},
          {.08, .83},
          {.42, 1},
          {.86, .9},
          {.93, .66},
          {.55, .5},
          {.1, .66}}}}},
      // 7: plain, with a bar, and with a bent stem
      {{{kStraight, {{0, 0}, {1, 0}, {.4, 1}}}},
       {{kStraight, {{0, 0}, {1, 0}, {.4, 1}}}, {kStraight, {{.32, .5}, {.92, .5}}}},
       {{kStraight, {{0, 0}, {1, 0}}}, {kCurved, {{1, 0}, {.62, .38}, {.48, 1}}}}},
      // 8
      {{{kClosed,
         {{.5, .46},
          {.87, .24},
          {.5, 0},
          {.13, .24},
          {.5, .46},
          {.97, .76},
          {.5, 1},
          {.03, .76}}}}},
      // 9: with a bent, and with a straight stem
      {{{kCurved,
         {{.9, .28},
          {.62, .5},
          {.18, .44},
          {.08, .2},
          {.45, 0},
          {.86, .1},
          {.92, .36},
          {.82, .7},
          {.55, 1}}}},
       {{kClosed, {{.5, 0}, {.88, .1}, {.9, .38}, {.5, .52}, {.1, .4}, {.1, .12}}},
        {kStraight, {{.9, .05}, {.88, 1}}}}},
  };
  return (*skeletons)[digit];
}

float Between(Random& random, double low, double high) {
  return static_cast<float>(random.Uniform(low, high));
}

cv::Point2f PointWithin(Random& random, int canvas_size) {
  const float x = Between(random, 0, canvas_size);
  return {x, Between(random, 0, canvas_size)};
}

cv::Vec3b AnyColor(Random& random) {
  const uint32_t bits = random();
  return {static_cast<uint8_t>(bits), static_cast<uint8_t>(bits >> 8),
          static_cast<uint8_t>(bits >> 16)};
}

// `color` with every channel moved by up to `most`.
cv::Vec3b NearbyColor(Random& random, const cv::Vec3b& color, double most) {
  cv::Vec3b moved;
  for (int c = 0; c < 3; ++c) {
    moved[c] = cv::saturate_cast<uint8_t>(color[c] + random.Uniform(-most, most));
  }
  return moved;
}

// ITU-R BT.601.
float Luminance(const cv::Vec3b& rgb) { return .299f * rgb[0] + .587f * rgb[1] + .114f * rgb[2]; }

// A colour that stands out from both in luminance.
cv::Vec3b ContrastingColor(Random& random, const cv::Vec3b& a, const cv::Vec3b& b) {
  constexpr float kLeastContrast = 80;
  constexpr int kAttempts = 20;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const cv::Vec3b color = AnyColor(random);
    if (std::abs(Luminance(color) - Luminance(a)) >= kLeastContrast &&
        std::abs(Luminance(color) - Luminance(b)) >= kLeastContrast) {
      return color;
    }
  }
  return Luminance(a) + Luminance(b) > 255 ? cv::Vec3b(0, 0, 0) : cv::Vec3b(255, 255, 255);
}

// Goes from one colour to the other across the canvas, in any direction.
cv::Mat Gradient(Random& random, int canvas_size, const cv::Vec3b& from, const cv::Vec3b& to) {
  const double angle = random.Uniform(0, 2 * CV_PI);
  const float dx = static_cast<float>(std::cos(angle)) / static_cast<float>(canvas_size);
  const float dy = static_cast<float>(std::sin(angle)) / static_cast<float>(canvas_size);
  cv::Mat rgb(canvas_size, canvas_size, CV_8UC3);
  const float middle = static_cast<float>(canvas_size) / 2;
  for (int y = 0; y < canvas_size; ++y) {
    cv::Vec3b* const row = rgb.ptr<cv::Vec3b>(y);
    for (int x = 0; x < canvas_size; ++x) {
      // |dx| + |dy| <= sqrt(2) / canvas_size, so the position lies in 0.5 +- 0.71.
      const float position = std::clamp(
          0.5f + (static_cast<float>(x) - middle) * dx + (static_cast<float>(y) - middle) * dy,
          0.0f, 1.0f);
      for (int c = 0; c < 3; ++c) {
        row[x][c] = cv::saturate_cast<uint8_t>(static_cast<float>(from[c]) +
                                               position * static_cast<float>(to[c] - from[c]));
      }
    }
  }
  return rgb;
}

// Something that is no digit: a spot of a similar colour, a dash shorter than any digit, or a line
// longer than any, from edge to edge.
void PaintClutter(Random& random, const cv::Vec3b& background, cv::Mat& rgb) {
  const int side = rgb.cols;
  Polyline line;
  float radius;
  float opacity = 1;
  cv::Vec3b color = AnyColor(random);
  switch (random.Integer(0, 2)) {
    case 0:
      line = {PointWithin(random, side)};
      radius = Between(random, 0.05, 0.3) * static_cast<float>(side);
      color = NearbyColor(random, background, 50);
      opacity = 0.6f;
      break;
    case 1: {
      const cv::Point2f start = PointWithin(random, side);
      const double angle = random.Uniform(0, 2 * CV_PI);
      const double length = random.Uniform(0, 7);
      line = {start, start + cv::Point2f(static_cast<float>(length * std::cos(angle)),
                                         static_cast<float>(length * std::sin(angle)))};
      radius = Between(random, 0.7, 2);
      break;
    }
    default: {
      const float edge = static_cast<float>(side);
      const float from = Between(random, 0, edge), to = Between(random, 0, edge);
      line =
          random.Bernoulli(0.5) ? Polyline{{0, from}, {edge, to}} : Polyline{{from, 0}, {to, edge}};
      radius = Between(random, 0.5, 1.5);
      break;
    }
  }
  // Only what the stroke can reach is drawn.
  const float reach = radius + 1;
  cv::Point2f low = line.front(), high = line.front();
  for (const cv::Point2f& point : line) {
    low = {std::min(low.x, point.x), std::min(low.y, point.y)};
    high = {std::max(high.x, point.x), std::max(high.y, point.y)};
  }
  const cv::Point first(static_cast<int>(std::floor(low.x - reach)),
                        static_cast<int>(std::floor(low.y - reach)));
  const cv::Point last(static_cast<int>(std::ceil(high.x + reach)),
                       static_cast<int>(std::ceil(high.y + reach)));
  const cv::Rect reached = cv::Rect(first, last) & cv::Rect(cv::Point(), rgb.size());
  cv::Mat ink = cv::Mat::zeros(reached.size(), CV_8UC1);
  const cv::Point2f origin = reached.tl();
  for (cv::Point2f& point : line) point -= origin;
  DrawStroke(line, radius, ink);
  BlendInk(ink, reached.tl(), color, opacity, rgb);
}

// Adds noise, uniform in +-amplitude, to every value. Bytes of SplitMix64 (Steele, Lea, Flood,
// OOPSLA 2014), which makes eight at a time: Philox would take longer than all the rest of a scene.
void AddNoise(Random& random, int amplitude, cv::Mat& rgb) {
  uint64_t state = random();
  state = state << 32 | random();
  uint8_t* const values = rgb.data;
  const size_t size = rgb.total() * rgb.elemSize();
  for (size_t i = 0; i < size; i += 8) {
    uint64_t bits = (state += 0x9e3779b97f4a7c15u);
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    bits ^= bits >> 31;
    uint8_t bytes[8];
    std::memcpy(bytes, &bits, sizeof(bytes));
    for (size_t k = 0; k < std::min<size_t>(8, size - i); ++k) {
      const int noise = ((2 * bytes[k] - 255) * amplitude + 128) >> 8;
      values[i + k] = static_cast<uint8_t>(std::clamp(values[i + k] + noise, 0, 255));
    }
  }
}

// Digits written by a shaky pen: one of the digit's skeletons with every point moved a little,
// narrowed, slanted and turned, in a stroke of any width; as in MNIST, the ink's longer side is
// 20/28 of the field. Ink and ground have any colours that stand out from each other; below the
// digits are a gradient and clutter, above them noise.
class DrawnStyle : public DigitStyle {
 public:
  DigitInk Draw(Random& random, int side) const override {
    DigitInk drawn;
    drawn.digit = static_cast<int>(random.Integer(0, 9));
    const std::vector<Skeleton>& skeletons = SkeletonsOf(drawn.digit);
    const size_t way =
        static_cast<size_t>(random.Integer(0, static_cast<int64_t>(skeletons.size()) - 1));

    const float width = Between(random, 0.55, 0.85);
    const float slant = Between(random, -0.2, 0.2);
    const double turn = random.Uniform(-0.26, 0.26);  // 15 degrees
    const float cosine = static_cast<float>(std::cos(turn));
    const float sine = static_cast<float>(std::sin(turn));
    std::vector<Polyline> lines;
    cv::Point2f low(1e9f, 1e9f), high(-1e9f, -1e9f);
    for (const PenStroke& stroke : skeletons[way]) {
      std::vector<cv::Point2f> points;
      for (const cv::Point2f& point : stroke.points) {
        constexpr double kShake = 0.03;
        const float x = point.x - 0.5f + static_cast<float>(kShake * random.Normal());
        const float y = point.y - 0.5f + static_cast<float>(kShake * random.Normal());
        const float slanted = width * x - slant * y;
        points.emplace_back(cosine * slanted - sine * y, sine * slanted + cosine * y);
      }
      constexpr int kSteps = 5;
      lines.push_back(stroke.form == PenStroke::kStraight
                          ? points
                          : Spline(points, stroke.form == PenStroke::kClosed, kSteps));
      for (const cv::Point2f& point : lines.back()) {
        low = {std::min(low.x, point.x), std::min(low.y, point.y)};
        high = {std::max(high.x, point.x), std::max(high.y, point.y)};
      }
    }

    const float longer_side = static_cast<float>(side) * (20.0f / 28.0f);
    const float radius = std::max(0.9f, Between(random, 0.05, 0.1) * longer_side);
    const float scale = (longer_side - 2 * radius) / std::max(high.x - low.x, high.y - low.y);
    const cv::Point2f middle = (low + high) * 0.5f;
    const cv::Point2f center(static_cast<float>(side) / 2, static_cast<float>(side) / 2);
    drawn.ink = cv::Mat::zeros(side, side, CV_8UC1);
    for (Polyline& line : lines) {
      for (cv::Point2f& point : line) point = (point - middle) * scale + center;
      DrawStroke(line, radius, drawn.ink);
    }
    return drawn;
  }

  cv::Mat Paint(Random& random, int canvas_size,
                const std::vector<PlacedDigit>& digits) const override {
    const cv::Vec3b from = AnyColor(random);
    const cv::Vec3b to = NearbyColor(random, from, 40);
    cv::Mat rgb = Gradient(random, canvas_size, from, to);
    constexpr int kMostClutter = 5;
    const int64_t clutter = random.Integer(0, kMostClutter);
    for (int64_t i = 0; i < clutter; ++i) PaintClutter(random, from, rgb);
    for (const PlacedDigit& digit : digits) {
      BlendInk(digit.drawn.ink, digit.origin, ContrastingColor(random, from, to), 1, rgb);
    }
    constexpr int kMostNoise = 24;
    AddNoise(random, static_cast<int>(random.Integer(0, kMostNoise)), rgb);
    return rgb;
  }

  // To be changed with every change of what is drawn.
  std::string Fingerprint() const override { return "drawn digits, version 2"; }
};

// Scenes of digits that the program draws itself; no files needed. Datasets with different
// scene_seed are independent draws.
//   digits { max_digits: 3 scenes: 10000 scene_seed: 1 }
class DrawnDigitScenes {
 public:
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(const DigitsOptions& options,
                                                         const DatasetContext& context) {
    return DigitScenes::Create(DigitSceneOptions::From(options), "digits",
                               std::make_shared<DrawnStyle>(), context);
  }
};

SSD_REGISTER_DATASET(DigitsOptions, DrawnDigitScenes);

}  // namespace
}  // namespace ssd
