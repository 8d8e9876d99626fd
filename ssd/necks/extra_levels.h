#ifndef SSD_NECKS_EXTRA_LEVELS_H_
#define SSD_NECKS_EXTRA_LEVELS_H_

#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "ssd/layers/window.h"
#include "ssd/necks/neck.h"

// What the necks share that add levels behind the backbone's. Not a component.
namespace ssd {

// Layers that make one more level of the level before it.
class ExtraLevel : public torch::nn::Module {
 public:
  virtual Tensor Forward(const Tensor& map) = 0;
  virtual FeatureSpec OutputSpec(const FeatureSpec& input) const = 0;
};

// The backbone's maps, as many as there are levels, then the extra levels, which are called 0, 1,
// ... Their geometry is chosen once, for the inputs that the neck is made for.
class ExtraLevels : public Neck {
 public:
  // `kept`: of the backbone's maps.
  ExtraLevels(size_t kept, const std::vector<std::shared_ptr<ExtraLevel>>& levels);

  std::vector<Tensor> Forward(std::vector<Tensor> features) override;
  std::vector<FeatureSpec> OutputSpecs(absl::Span<const FeatureSpec> inputs) const override;

 private:
  const size_t kept_;
  std::vector<std::shared_ptr<ExtraLevel>> levels_;
};

// What one extra level must have.
struct ExtraLevelShape {
  int64_t in_channels = 0;
  int64_t mid_channels = 0;
  int64_t out_channels = 0;
  Window window;  // of the convolution that shrinks the map
};

// The window that shrinks a map of `spec` to the extra level `index`, or why there is none.
using ChooseWindow = std::function<absl::StatusOr<Window>(const FeatureSpec& spec, size_t index)>;

// How many of the backbone's maps a neck keeps.
size_t KeptMaps(const NeckContext& context);

// The shapes of the levels that the backbone lacks. Of `channels` and `mid_channels` the last entry
// serves all further levels. Precondition: neither is empty (default_channels.h).
// \error InvalidArgument naming neck.`kind`.channels or mid_channels when one is not in [1, 8192],
// input when a map of the backbone has no cells, num_levels when a level would have none, or as
// `choose_window`.
absl::StatusOr<std::vector<ExtraLevelShape>> PlanExtraLevels(const NeckContext& context,
                                                             absl::string_view kind,
                                                             absl::Span<const int64_t> channels,
                                                             absl::Span<const int64_t> mid_channels,
                                                             const ChooseWindow& choose_window);

// The error for a map of `spec`, level `level`, that cannot shrink any more.
absl::Status NoLevelBehind(const FeatureSpec& spec, size_t level, int64_t num_levels);

}  // namespace ssd

#endif  // SSD_NECKS_EXTRA_LEVELS_H_
