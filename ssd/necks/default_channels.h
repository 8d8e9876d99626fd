#ifndef SSD_NECKS_DEFAULT_CHANNELS_H_
#define SSD_NECKS_DEFAULT_CHANNELS_H_

#include "ssd/necks/neck.pb.h"

namespace ssd {

// Writes out what empty lists of channels mean: for `channels` the paper's and torchvision's, for
// `mid_channels` half of each of them, at least 1. Doing it twice changes nothing.
void FillChannels(SsdExtrasOptions& options);
void FillChannels(SsdliteExtrasOptions& options);

}  // namespace ssd

#endif  // SSD_NECKS_DEFAULT_CHANNELS_H_
