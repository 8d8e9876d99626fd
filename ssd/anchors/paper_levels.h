#ifndef SSD_ANCHORS_PAPER_LEVELS_H_
#define SSD_ANCHORS_PAPER_LEVELS_H_

#include <vector>

#include "ssd/anchors/anchor_generator.pb.h"

namespace ssd {

// What an empty SsdAnchorsOptions.level means: the levels of SSD300, fine to coarse, with their
// aspect ratios beside 1 (arXiv:1512.02325, section 3.1).
std::vector<SsdAnchorsOptions::Level> PaperLevels();

}  // namespace ssd

#endif  // SSD_ANCHORS_PAPER_LEVELS_H_
