#include "ssd/layers/window.h"

#include <algorithm>

namespace ssd {
namespace {

int64_t OutputSize(const Window& window, int64_t size) {
  const int64_t room = size + 2 * window.padding - window.dilation * (window.kernel - 1) - 1 +
                       (window.ceil_mode ? window.stride - 1 : 0);
  if (size <= 0 || room < 0) return 0;
  const int64_t steps = room / window.stride;
  const bool last_is_outside = window.ceil_mode && steps * window.stride >= size + window.padding;
  return last_is_outside ? steps : steps + 1;
}

}  // namespace

FeatureSpec ImageSpec(ImageSize size) {
  FeatureSpec spec;
  spec.channels = 3;
  spec.height = size.height;
  spec.width = size.width;
  spec.stride_y = spec.stride_x = 1;
  spec.first_center_y = spec.first_center_x = 0.5;
  spec.receptive_field = 1;
  return spec;
}

FeatureSpec MoveWindow(const Window& window, const FeatureSpec& input, int64_t channels) {
  const double reach = static_cast<double>(window.dilation * (window.kernel - 1));
  const double shift = reach / 2 - static_cast<double>(window.padding);
  const double stride = static_cast<double>(window.stride);
  FeatureSpec output;
  output.channels = channels;
  output.height = OutputSize(window, input.height);
  output.width = OutputSize(window, input.width);
  output.stride_y = input.stride_y * stride;
  output.stride_x = input.stride_x * stride;
  output.first_center_y = input.first_center_y + shift * input.stride_y;
  output.first_center_x = input.first_center_x + shift * input.stride_x;
  output.receptive_field = input.receptive_field + reach * std::max(input.stride_y, input.stride_x);
  return output;
}

}  // namespace ssd
