#ifndef SSD_ANCHORS_ANCHOR_GENERATOR_H_
#define SSD_ANCHORS_ANCHOR_GENERATOR_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ssd/anchors/anchor_generator.pb.h"
#include "ssd/core/registry.h"
#include "ssd/core/types.h"

namespace ssd {

struct AnchorGeneratorContext {
  int64_t num_levels = 0;  // > 0
  // [A, 4] f32 (cx, cy, w, h) on the CPU: what a file of boxes that the options name held when the
  // model was saved. Undefined: the file is read.
  Tensor file_boxes = {};
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

  // All anchors of the same network for an image of another size, whose maps are `levels`, in units
  // of that image: each has as many pixels as Generate gives it on `input`, about the centre that
  // its cell has in the image; clipping comes last, at the image's border. For `image` = `input`
  // they are Generate's. Generators that clip implement this: the default takes the centres that
  // Generate yields for the image and the sizes that it yields for the input.
  // \error as Generate.
  virtual absl::StatusOr<Anchors> GenerateForImage(absl::Span<const FeatureSpec> levels,
                                                   ImageSize input, ImageSize image) const;
};

using AnchorGeneratorRegistry = Registry<AnchorGenerator, AnchorGeneratorContext>;

}  // namespace ssd

#define SSD_REGISTER_ANCHOR_GENERATOR(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::AnchorGenerator, ::ssd::AnchorGeneratorContext, Options, Component)

#endif  // SSD_ANCHORS_ANCHOR_GENERATOR_H_
