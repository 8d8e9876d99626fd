#ifndef SSD_ANCHORS_CELL_BOXES_H_
#define SSD_ANCHORS_CELL_BOXES_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "ssd/anchors/anchor_generator.h"

// What anchor generators have in common that put the same boxes on every cell of a map.
namespace ssd {

// The size of a box, in shares of the image's sides. The image is the one that anchors are made
// for: the network's input, or one of another size (AnchorGenerator::GenerateForImage).
struct BoxSize {
  double width = 0;
  double height = 0;
};

// The boxes of every cell of one map. The centre of those of cell (row, column) is
// ((column + offset_x) step_x, (row + offset_y) step_y).
struct CellBoxes {
  std::vector<BoxSize> sizes;
  double step_y = 0, step_x = 0;          // shares of the image's sides
  double offset_y = 0.5, offset_x = 0.5;  // cells
};

// Without sizes: centres `step` pixels apart or, if it is 0, the image's size divided by the map's,
// as the paper has them; `offset` cells from a cell's upper left corner.
CellBoxes EvenCells(const FeatureSpec& level, ImageSize image, double step, double offset);

// The anchors of all levels, `boxes` having an entry for each; computed in double.
// \error InvalidArgument, for clip = CORNERS, if a box lies outside the image, so that nothing
// would be left of it; names "FIELDclip".
absl::StatusOr<Anchors> TileBoxes(absl::Span<const FeatureSpec> levels,
                                  absl::Span<const CellBoxes> boxes, SsdAnchorsOptions::Clip clip,
                                  absl::string_view field);

// `size`, in pixels, without its fraction. A size that only rounding keeps below a whole number is
// that number.
double WholePixels(double size);

// \error InvalidArgument "FIELD: VALUE must be positive".
absl::Status CheckPositive(double value, absl::string_view field);

// \error InvalidArgument naming `field` if a ratio is not positive and finite or stands there
// twice; with_reciprocals: also as its reciprocal.
absl::Status CheckRatios(absl::Span<const double> ratios, bool with_reciprocals,
                         absl::string_view field);

}  // namespace ssd

#endif  // SSD_ANCHORS_CELL_BOXES_H_
