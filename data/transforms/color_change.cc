#include "data/transforms/color_change.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "ssd/core/logging.h"

namespace ssd {
namespace {

// The loops below have a fixed trip count and no branches, and each works on elements of one size,
// so that the compiler makes vector instructions of them (this file is compiled with -O3).
constexpr int kBlock = 512;  // pixels; all planes together stay in the first-level cache

struct BytePlanes {
  alignas(64) uint8_t channel[3][kBlock];
};

struct FloatPlanes {
  alignas(64) float r[kBlock];
  alignas(64) float g[kBlock];
  alignas(64) float b[kBlock];
};

float Clamp(float value, float low, float high) {
  value = value < low ? low : value;
  return value > high ? high : value;
}

float RoundToByte(float value) { return Clamp(std::rint(value), 0.0f, 255.0f); }

void Load(const uint8_t* rgb, FloatPlanes& planes) {
  BytePlanes bytes;
  for (int i = 0; i < kBlock; ++i) {
    bytes.channel[0][i] = rgb[3 * i];
    bytes.channel[1][i] = rgb[3 * i + 1];
    bytes.channel[2][i] = rgb[3 * i + 2];
  }
  for (int i = 0; i < kBlock; ++i) planes.r[i] = static_cast<float>(bytes.channel[0][i]);
  for (int i = 0; i < kBlock; ++i) planes.g[i] = static_cast<float>(bytes.channel[1][i]);
  for (int i = 0; i < kBlock; ++i) planes.b[i] = static_cast<float>(bytes.channel[2][i]);
}

void ToBytes(const float* plane, uint8_t* bytes) {
  for (int i = 0; i < kBlock; ++i) {
    bytes[i] = static_cast<uint8_t>(static_cast<int>(RoundToByte(plane[i])));
  }
}

void Store(const FloatPlanes& planes, uint8_t* rgb) {
  BytePlanes bytes;
  ToBytes(planes.r, bytes.channel[0]);
  ToBytes(planes.g, bytes.channel[1]);
  ToBytes(planes.b, bytes.channel[2]);
  for (int i = 0; i < kBlock; ++i) {
    rgb[3 * i] = bytes.channel[0][i];
    rgb[3 * i + 1] = bytes.channel[1][i];
    rgb[3 * i + 2] = bytes.channel[2][i];
  }
}

// OpenCV's fixed-point reciprocal of RGB2HSV, with 12 bits after the point.
int Reciprocal(float unit, float of) {
  return static_cast<int>(std::rint(unit / (of < 1.0f ? 1.0f : of)));
}

int TimesReciprocal(float value, int reciprocal) {
  return (static_cast<int>(value) * reciprocal + (1 << 11)) >> 12;
}

// The share of its chroma that a channel lacks, hue in sextants [0, 6]: a trapezoid of period 6
// that is 0 for two sextants around the channel's own colour.
float Lack(float sextant, float shift) {
  float k = sextant + shift;
  k = k >= 6.0f ? k - 6.0f : k;
  const float other = 4.0f - k;
  return Clamp(k < other ? k : other, 0.0f, 1.0f);
}

// To 8-bit HSV as OpenCV's cvtColor goes (equal in every bit), and back as its scalar code does;
// its vector code cuts instead of rounding, which darkens the image.
void ChangeSaturationAndHue(float saturation, float hue, FloatPlanes& planes) {
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
    const float new_hue = RoundToByte(static_cast<float>(h) + hue);

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

  const bool is_one_row = rgb.isContinuous();
  const int rows = is_one_row ? 1 : rgb.rows;
  const int pixels = is_one_row ? rgb.rows * rgb.cols : rgb.cols;
  for (int y = 0; y < rows; ++y) {
    uint8_t* const row = rgb.ptr<uint8_t>(y);
    for (int x = 0; x < pixels; x += kBlock) {
      uint8_t* const block = row + 3 * static_cast<size_t>(x);
      const int count = std::min(kBlock, pixels - x);
      if (has_first) first.Apply(block, 3 * count);
      if (in_hsv) {
        uint8_t padded[3 * kBlock];
        uint8_t* const full = count < kBlock ? padded : block;
        if (count < kBlock) {
          std::fill(std::copy_n(block, 3 * count, padded), padded + 3 * kBlock, uint8_t{0});
        }
        FloatPlanes planes;
        Load(full, planes);
        ChangeSaturationAndHue(static_cast<float>(saturation), turn, planes);
        Store(planes, full);
        if (count < kBlock) std::copy_n(padded, 3 * count, block);
      }
      if (has_last) last.Apply(block, 3 * count);
    }
  }
}

}  // namespace ssd
