#include "data/transforms/color_change.h"

#include <cmath>
#include <cstdint>

#include "data/transforms/pixel_planes.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

// OpenCV's fixed-point reciprocal of RGB2HSV, with 12 bits after the point.
int Reciprocal(float unit, float of) {
  return static_cast<int>(std::rint(unit / (of < 1.0f ? 1.0f : of)));
}

int TimesReciprocal(float value, int reciprocal) {
  return (static_cast<int>(value) * reciprocal + (1 << 11)) >> 12;
}

// To 8-bit HSV as OpenCV's cvtColor goes (equal in every bit), and back as its scalar code does;
// its vector code cuts instead of rounding, which darkens the image.
// `circle` is added to a hue below 0 and taken from one of 180 and more: 180, or 0 for Caffe's.
void ChangeSaturationAndHue(float saturation, float hue, float circle, FloatPlanes& planes) {
  constexpr float kSaturationUnit = 255 << 12;
  constexpr float kHueUnit = (180 << 12) / 6;
  for (int i = 0; i < kBlock; ++i) {
    const float r = planes.r[i];
    const float g = planes.g[i];
    const float b = planes.b[i];
    float value = r > g ? r : g;
    value = value > b ? value : b;
    float least = r < g ? r : g;
    least = least < b ? least : b;
    const float chroma = value - least;

    float around = value == g ? b - r + 2 * chroma : r - g + 4 * chroma;
    around = value == r ? g - b : around;
    const int s = TimesReciprocal(chroma, Reciprocal(kSaturationUnit, value));
    int h = TimesReciprocal(around, Reciprocal(kHueUnit, chroma));
    h += h < 0 ? 180 : 0;

    const float new_saturation = RoundToByte(static_cast<float>(s) * saturation);
    float turned = static_cast<float>(h) + hue;
    turned = turned < 0.0f ? turned + circle : turned;
    turned = turned >= 180.0f ? turned - circle : turned;
    const float new_hue = RoundToByte(turned);

    const float sextants = new_hue * (1.0f / 30.0f);  // up to 8.5
    const float sextant = sextants >= 6.0f ? sextants - 6.0f : sextants;
    const float new_chroma = value * new_saturation * (1.0f / 255.0f);
    planes.r[i] = value - new_chroma * Lack(sextant, 5);
    planes.g[i] = value - new_chroma * Lack(sextant, 3);
    planes.b[i] = value - new_chroma * Lack(sextant, 1);
  }
}

// Brightness, then contrast.
struct ByteTable {
  ByteTable(float shift, float factor) {
    for (int v = 0; v < 256; ++v) {
      const float shifted = RoundToByte(static_cast<float>(v) + shift);
      value[v] = static_cast<uint8_t>(RoundToByte(shifted * factor));
    }
  }
  void Apply(uint8_t* bytes, int count) const {
    for (int i = 0; i < count; ++i) bytes[i] = value[bytes[i]];
  }

  uint8_t value[256];
};

}  // namespace

void ColorChange::Apply(cv::Mat& rgb) const {
  CHECK(rgb.type() == CV_8UC3);
  // Caffe leaves out a contrast this close to 1.
  const float factor = std::abs(contrast - 1) > 1e-3 ? static_cast<float>(contrast) : 1.0f;
  const float shift = static_cast<float>(brightness);
  const bool in_hsv = saturation != 1 || hue != 0;
  const bool split_contrast = contrast_last && in_hsv;
  const ByteTable first(shift, split_contrast ? 1.0f : factor);
  const ByteTable last(0, factor);
  const bool has_first = shift != 0 || (factor != 1 && !split_contrast);
  const bool has_last = factor != 1 && split_contrast;
  const float turn = static_cast<float>(hue);
  const float circle = wrap_hue ? 180.0f : 0.0f;

  ForEachBlock(rgb, [&](uint8_t* block, int count) {
    if (has_first) first.Apply(block, 3 * count);
    if (in_hsv) {
      FloatPlanes planes;
      Load(block, count, planes);
      ChangeSaturationAndHue(static_cast<float>(saturation), turn, circle, planes);
      Store(planes, count, block);
    }
    if (has_last) last.Apply(block, 3 * count);
  });
}

}  // namespace ssd
