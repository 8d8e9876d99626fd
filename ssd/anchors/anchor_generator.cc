#include "ssd/anchors/anchor_generator.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>

#include "ssd/core/status_macros.h"

namespace ssd {

absl::StatusOr<Anchors> AnchorGenerator::GenerateForImage(absl::Span<const FeatureSpec> levels,
                                                          ImageSize input, ImageSize image) const {
  // Options in pixels and options in shares of the network's own input: given that input's size,
  // Generate yields boxes of both in its units. Centres are those of the cells of `image`.
  SSD_ASSIGN_OR_RETURN(const Anchors centers, Generate(levels, image));
  SSD_ASSIGN_OR_RETURN(Anchors anchors, Generate(levels, input));
  const Tensor shrink =
      at::tensor({static_cast<float>(input.width) / static_cast<float>(image.width),
                  static_cast<float>(input.height) / static_cast<float>(image.height)});
  anchors.boxes = at::cat({centers.boxes.slice(1, 0, 2), anchors.boxes.slice(1, 2, 4) * shrink}, 1);
  return anchors;
}

}  // namespace ssd
