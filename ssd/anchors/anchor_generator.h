#ifndef SSD_ANCHORS_ANCHOR_GENERATOR_H_
#define SSD_ANCHORS_ANCHOR_GENERATOR_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ssd/anchors/anchor_generator.pb.h"
#include "ssd/core/registry.h"
#include "ssd/core/types.h"

namespace ssd {

struct AnchorGeneratorContext {
  int64_t num_levels = 0;  // > 0
};

// Makes the default boxes of every cell of every feature map. Does not look at images or truths.
class AnchorGenerator {
 public:
  virtual ~AnchorGenerator() = default;

  // Boxes a cell, per level; num_levels entries.
  virtual std::vector<int64_t> AnchorsPerCell() const = 0;

  // All anchors of a network whose maps are `levels` (num_levels of them) and whose input is
  // `input`: [A, 4] f32 (cx, cy, w, h) in units of the input, w and h > 0, on the CPU, ordered by
  // level, row, column, shape.
  // \error InvalidArgument naming the option if these maps and this input do not go with it.
  virtual absl::StatusOr<Anchors> Generate(absl::Span<const FeatureSpec> levels,
                                           ImageSize input) const = 0;
};

using AnchorGeneratorRegistry = Registry<AnchorGenerator, AnchorGeneratorContext>;

}  // namespace ssd

#define SSD_REGISTER_ANCHOR_GENERATOR(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::AnchorGenerator, ::ssd::AnchorGeneratorContext, Options, Component)

#endif  // SSD_ANCHORS_ANCHOR_GENERATOR_H_
