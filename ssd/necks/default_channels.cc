#include "ssd/necks/default_channels.h"

#include <algorithm>
#include <initializer_list>

namespace ssd {
namespace {

template <typename Options>
void Fill(Options& options, std::initializer_list<int> defaults) {
  if (options.channels().empty()) {
    options.mutable_channels()->Add(defaults.begin(), defaults.end());
  }
  if (!options.mid_channels().empty()) return;
  for (const int channels : options.channels()) options.add_mid_channels(std::max(1, channels / 2));
}

}  // namespace

// SSD300's conv8_2; conv9_2, conv10_2 and conv11_2.
void FillChannels(SsdExtrasOptions& options) { Fill(options, {512, 256}); }

void FillChannels(SsdliteExtrasOptions& options) { Fill(options, {512, 256, 256, 128}); }

}  // namespace ssd
