#include "data/transforms/color_steps.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "data/transforms/pixel_planes.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

float Grey(float r, float g, float b) { return 0.2989f * r + 0.587f * g + 0.114f * b; }

float CutToByte(float value) { return Clamp(value, 0.0f, 255.0f); }

// factor x + shift.
void Scale(float factor, float shift, float* plane) {
  for (int i = 0; i < kBlock; ++i) plane[i] = CutToByte(factor * plane[i] + shift);
}

void Saturate(float factor, FloatPlanes& planes) {
  for (int i = 0; i < kBlock; ++i) {
    const float grey = (1.0f - factor) * Grey(planes.r[i], planes.g[i], planes.b[i]);
    planes.r[i] = CutToByte(factor * planes.r[i] + grey);
    planes.g[i] = CutToByte(factor * planes.g[i] + grey);
    planes.b[i] = CutToByte(factor * planes.b[i] + grey);
  }
}

void TurnHue(float sextants, FloatPlanes& planes) {
  for (int i = 0; i < kBlock; ++i) {
    const float r = planes.r[i];
    const float g = planes.g[i];
    const float b = planes.b[i];
    float value = r > g ? r : g;
    value = value > b ? value : b;
    float least = r < g ? r : g;
    least = least < b ? least : b;
    const float chroma = value - least;

    float around = value == g ? b - r + 2.0f * chroma : r - g + 4.0f * chroma;
    around = value == r ? g - b : around;
    float hue = around / (chroma > 0.0f ? chroma : 1.0f) + sextants;  // in [-4, 8]
    hue = hue < 0.0f ? hue + 6.0f : hue;
    hue = hue >= 6.0f ? hue - 6.0f : hue;
    planes.r[i] = value - chroma * Lack(hue, 5.0f);
    planes.g[i] = value - chroma * Lack(hue, 3.0f);
    planes.b[i] = value - chroma * Lack(hue, 1.0f);
  }
}

// The first `count` steps; greys[i] is what the contrast of step i leans towards.
void Run(const std::vector<ColorStep>& steps, size_t count, const std::vector<float>& greys,
         FloatPlanes& planes) {
  for (size_t i = 0; i < count; ++i) {
    const float amount = static_cast<float>(steps[i].amount);
    switch (steps[i].kind) {
      case ColorStep::BRIGHTNESS:
      case ColorStep::CONTRAST: {
        const float shift = (1.0f - amount) * greys[i];
        Scale(amount, shift, planes.r);
        Scale(amount, shift, planes.g);
        Scale(amount, shift, planes.b);
        break;
      }
      case ColorStep::SATURATION:
        Saturate(amount, planes);
        break;
      case ColorStep::HUE:
        TurnHue(6.0f * amount, planes);
        break;
    }
  }
}

double SumOfGrey(const FloatPlanes& planes, int count) {
  constexpr int kSums = 16;  // independent of each other, so that additions overlap
  float sums[kSums] = {};
  int i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (int k = 0; k < kSums; ++k) {
      sums[k] += Grey(planes.r[i + k], planes.g[i + k], planes.b[i + k]);
    }
  }
  for (; i < count; ++i) sums[0] += Grey(planes.r[i], planes.g[i], planes.b[i]);
  double sum = 0;
  for (const float part : sums) sum += part;
  return sum;
}

}  // namespace

bool NeedWholeImage(const std::vector<ColorStep>& steps) {
  return std::any_of(steps.begin(), steps.end(),
                     [](const ColorStep& step) { return step.kind == ColorStep::CONTRAST; });
}

void ApplyColorSteps(const std::vector<ColorStep>& steps, cv::Mat& rgb) {
  CHECK(rgb.type() == CV_8UC3 && !rgb.empty());
  FloatPlanes planes;
  // What comes before a contrast is done twice, once for the mean: cheaper than to keep the image
  // in floats.
  std::vector<float> greys(steps.size(), 0.0f);
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].kind != ColorStep::CONTRAST) continue;
    double sum = 0;
    ForEachBlock(rgb, [&](const uint8_t* pixels, int count) {
      Load(pixels, count, planes);
      Run(steps, i, greys, planes);
      sum += SumOfGrey(planes, count);
    });
    greys[i] = static_cast<float>(sum / static_cast<double>(rgb.total()));
  }
  ForEachBlock(rgb, [&](uint8_t* pixels, int count) {
    Load(pixels, count, planes);
    Run(steps, steps.size(), greys, planes);
    Store(planes, count, pixels);
  });
}

}  // namespace ssd
