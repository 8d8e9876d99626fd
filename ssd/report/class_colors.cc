#include "ssd/report/class_colors.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_format.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

constexpr Rgb kColors[] = {{0x33, 0xbb, 0xee}, {0xee, 0x77, 0x33}, {0xee, 0x33, 0x77},
                           {0x44, 0xbb, 0x77}, {0xdd, 0xcc, 0x44}, {0x99, 0x77, 0xee},
                           {0x00, 0x99, 0x88}, {0xcc, 0x33, 0x11}, {0x00, 0x77, 0xbb},
                           {0xff, 0xaa, 0xbb}};

// `hue` in [0, 1).
Rgb FromHue(double hue, double saturation, double lightness) {
  const double chroma = (1 - std::abs(2 * lightness - 1)) * saturation;
  const auto channel = [&](double offset) {
    const double place = std::fmod(hue * 6 + offset, 6.0);
    const double value =
        lightness - chroma / 2 + chroma * std::clamp(std::min(place, 4 - place), 0.0, 1.0);
    return static_cast<uint8_t>(std::lround(255 * value));
  };
  return {channel(2), channel(0), channel(4)};
}

// Relative luminance of WCAG 2.
double Luminance(Rgb color) {
  const auto linear = [](uint8_t channel) {
    const double value = channel / 255.0;
    return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
  };
  return 0.2126 * linear(color.red) + 0.7152 * linear(color.green) + 0.0722 * linear(color.blue);
}

}  // namespace

Rgb ClassColor(int64_t label) {
  CHECK_GE(label, 1);
  const int64_t index = label - 1;
  if (index < static_cast<int64_t>(std::size(kColors))) return kColors[index];
  // The golden angle: no two near neighbours.
  const double hue = std::fmod(static_cast<double>(index) * 0.6180339887498949, 1.0);
  return FromHue(hue, 0.75, index % 2 == 0 ? 0.6 : 0.45);
}

Rgb TextColorOn(Rgb background) {
  // Where contrast with black and with white are equal: (L + 0.05)^2 = 1.05 * 0.05.
  return Luminance(background) > 0.179 ? Rgb{0, 0, 0} : Rgb{255, 255, 255};
}

std::string CssColor(Rgb color) {
  return absl::StrFormat("#%02x%02x%02x", color.red, color.green, color.blue);
}

}  // namespace ssd
