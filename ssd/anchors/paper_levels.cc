#include "ssd/anchors/paper_levels.h"

#include <cstddef>

namespace ssd {

std::vector<SsdAnchorsOptions::Level> PaperLevels() {
  std::vector<SsdAnchorsOptions::Level> levels(6);
  for (size_t i = 0; i < levels.size(); ++i) {
    levels[i].add_aspect_ratio(2);
    if (i >= 1 && i <= 3) levels[i].add_aspect_ratio(3);
  }
  return levels;
}

}  // namespace ssd
