#ifndef SSD_ANCHORS_SSD_ANCHORS_H_
#define SSD_ANCHORS_SSD_ANCHORS_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ssd/anchors/anchor_generator.h"

namespace ssd {

// The paper's default boxes by scale (Liu et al., arXiv:1512.02325, section 2.2):
//
//   s_k = s_min + (s_max - s_min) (k - 1) / (m - 1),  k = 1..m       (equation 4; m = 1: s_min)
//   w = s_k sqrt(a),  h = s_k / sqrt(a),  a = 1 and each r and 1/r of the level
//   s'_k = sqrt(s_k s_{k+1}),  the extra square box;  s_{m+1} as beyond_last says
//   centre = ((i + 0.5) / |f_k|, (j + 0.5) / |f_k|),  or (i + 0.5) step / input
//
// With first_scale, s_1 is that and levels 2..m take equation 4 over m - 1 points (Caffe's
// scripts): m = 2 gives s_2 = s_min. beyond_last: CONTINUE_STEP is the scale that a further level
// would have; where only one level follows equation 4, so that it has no step, that is s_max.
//
// whole_percent_step, whole_pixels, square_in_pixels, clip and offset, and a level's square_scale
// and sqrt_scale, are what Caffe, torchvision, TensorFlow and others do otherwise; the schema says
// which does what.
//
// Shapes in a cell are ordered [1, s', r, 1/r, r', 1/r', ...], as Caffe and torchvision have them.
// (NVIDIA orders a level by shape, then cell: nothing depends on it but the channels of imported
// heads.) Computed in double, stored in float32.
//
//   anchor_generator { ssd { min_scale: 0.2 max_scale: 0.9 first_scale: 0.1
//     whole_percent_step: true beyond_last: CONTINUE_STEP } }          # SSD300 for VOC: 8732 boxes
class SsdAnchorGenerator final : public AnchorGenerator {
 public:
  // \error InvalidArgument naming the field: a scale or step that is not positive and finite,
  // min_scale > max_scale, a scale that is no whole percent though whole_percent_step is set, an
  // offset outside [0, 1], a ratio given twice, fewer levels than num_levels, beyond_last without a
  // box that it makes.
  static absl::StatusOr<std::unique_ptr<AnchorGenerator>> Create(
      const SsdAnchorsOptions& options, const AnchorGeneratorContext& context);

  std::vector<int64_t> AnchorsPerCell() const override;
  absl::StatusOr<Anchors> Generate(absl::Span<const FeatureSpec> levels,
                                   ImageSize input) const override;
  absl::StatusOr<Anchors> GenerateForImage(absl::Span<const FeatureSpec> levels, ImageSize input,
                                           ImageSize image) const override;

 private:
  struct Level {
    double scale = 0;            // s_k
    double square_scale = 0;     // of the box of ratio 1: s_k, or as the level has it
    bool sqrt_scale = true;      // whether there is a box of s'_k
    double next_scale = 0;       // s_{k+1}
    std::vector<double> ratios;  // beside 1, without reciprocals
    double step = 0;             // px of the input; 0: the input's size over the map's
  };

  SsdAnchorGenerator(const SsdAnchorsOptions& options, std::vector<Level> levels)
      : options_(options), levels_(std::move(levels)) {}

  SsdAnchorsOptions options_;
  std::vector<Level> levels_;
};

}  // namespace ssd

#endif  // SSD_ANCHORS_SSD_ANCHORS_H_
