#ifndef DATA_TRANSFORMS_PIXEL_PLANES_H_
#define DATA_TRANSFORMS_PIXEL_PLANES_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <opencv2/core.hpp>

namespace ssd {

// For colour changes: an image in blocks of pixels, a block as planes of floats. Loops over a block
// have a fixed trip count and no branches, and each works on elements of one size, so that the
// compiler makes vector instructions of them: files that include this are compiled for that
// (BUILD).
constexpr int kBlock = 512;  // pixels; all planes together stay in the first-level cache

struct FloatPlanes {
  alignas(64) float r[kBlock];
  alignas(64) float g[kBlock];
  alignas(64) float b[kBlock];
};

struct BytePlanes {
  alignas(64) uint8_t channel[3][kBlock];
};

inline float Clamp(float value, float low, float high) {
  value = value < low ? low : value;
  return value > high ? high : value;
}

// Half to even.
inline float RoundToByte(float value) { return Clamp(std::rint(value), 0.0f, 255.0f); }

// The share of its chroma that a channel lacks, hue in sextants [0, 6]: a trapezoid of period 6
// that is 0 for two sextants around the channel's own colour. `shift` is 5 for red, 3 for green and
// 1 for blue.
inline float Lack(float sextant, float shift) {
  float k = sextant + shift;
  k = k >= 6.0f ? k - 6.0f : k;
  const float other = 4.0f - k;
  return Clamp(k < other ? k : other, 0.0f, 1.0f);
}

// The first `count` pixels of a block; the rest becomes black.
inline void Load(const uint8_t* rgb, int count, FloatPlanes& planes) {
  uint8_t padded[3 * kBlock];
  if (count < kBlock) {
    std::fill(std::copy_n(rgb, 3 * count, padded), padded + 3 * kBlock, uint8_t{0});
    rgb = padded;
  }
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

inline void ToBytes(const float* plane, uint8_t* bytes) {
  for (int i = 0; i < kBlock; ++i) {
    bytes[i] = static_cast<uint8_t>(static_cast<int>(RoundToByte(plane[i])));
  }
}

// The way back, of the first `count` pixels.
inline void Store(const FloatPlanes& planes, int count, uint8_t* rgb) {
  BytePlanes bytes;
  ToBytes(planes.r, bytes.channel[0]);
  ToBytes(planes.g, bytes.channel[1]);
  ToBytes(planes.b, bytes.channel[2]);
  uint8_t padded[3 * kBlock];
  uint8_t* const whole = count < kBlock ? padded : rgb;
  for (int i = 0; i < kBlock; ++i) {
    whole[3 * i] = bytes.channel[0][i];
    whole[3 * i + 1] = bytes.channel[1][i];
    whole[3 * i + 2] = bytes.channel[2][i];
  }
  if (count < kBlock) std::copy_n(padded, 3 * count, rgb);
}

// Calls work(pixels, count) for all of `rgb`, CV_8UC3, in blocks of at most kBlock pixels.
template <typename Work>
void ForEachBlock(cv::Mat& rgb, const Work& work) {
  const bool is_one_row = rgb.isContinuous();
  const int rows = is_one_row ? 1 : rgb.rows;
  const int pixels = is_one_row ? rgb.rows * rgb.cols : rgb.cols;
  for (int y = 0; y < rows; ++y) {
    uint8_t* const row = rgb.ptr<uint8_t>(y);
    for (int x = 0; x < pixels; x += kBlock) {
      work(row + 3 * static_cast<size_t>(x), std::min(kBlock, pixels - x));
    }
  }
}

}  // namespace ssd

#endif  // DATA_TRANSFORMS_PIXEL_PLANES_H_
