#include "ssd/necks/extra_levels.h"

#include <algorithm>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// 3x3 convolutions between as many need 2.4 GB: more is a typing error.
constexpr double kMaxChannels = 8192;

int64_t EntryOrLast(absl::Span<const int64_t> list, size_t index) {
  return list[std::min(index, list.size() - 1)];
}

absl::Status CheckChannels(absl::string_view kind, absl::string_view field,
                           absl::Span<const int64_t> list) {
  for (const int64_t channels : list) {
    SSD_RETURN_IF_ERROR(CheckRange(absl::StrCat("neck.", kind, ".", field),
                                   static_cast<double>(channels), 1, kMaxChannels));
  }
  return absl::OkStatus();
}

}  // namespace

ExtraLevels::ExtraLevels(size_t kept, const std::vector<std::shared_ptr<ExtraLevel>>& levels)
    : kept_(kept) {
  for (size_t i = 0; i < levels.size(); ++i) {
    levels_.push_back(register_module(absl::StrCat(i), levels[i]));
  }
}

std::vector<Tensor> ExtraLevels::Forward(std::vector<Tensor> features) {
  CHECK_GE(features.size(), kept_);
  features.resize(kept_);
  for (const auto& level : levels_) features.push_back(level->Forward(features.back()));
  return features;
}

std::vector<FeatureSpec> ExtraLevels::OutputSpecs(absl::Span<const FeatureSpec> inputs) const {
  CHECK_GE(inputs.size(), kept_);
  std::vector<FeatureSpec> specs(inputs.begin(),
                                 inputs.begin() + static_cast<std::ptrdiff_t>(kept_));
  for (const auto& level : levels_) specs.push_back(level->OutputSpec(specs.back()));
  return specs;
}

size_t KeptMaps(const NeckContext& context) {
  CHECK(!context.inputs.empty());
  CHECK_GT(context.num_levels, 0);
  return std::min(static_cast<size_t>(context.num_levels), context.inputs.size());
}

absl::StatusOr<std::vector<ExtraLevelShape>> PlanExtraLevels(const NeckContext& context,
                                                             absl::string_view kind,
                                                             absl::Span<const int64_t> channels,
                                                             absl::Span<const int64_t> mid_channels,
                                                             const ChooseWindow& choose_window) {
  CHECK(!channels.empty() && !mid_channels.empty());
  SSD_RETURN_IF_ERROR(CheckChannels(kind, "channels", channels));
  SSD_RETURN_IF_ERROR(CheckChannels(kind, "mid_channels", mid_channels));
  const size_t kept = KeptMaps(context);
  for (size_t i = 0; i < kept; ++i) {
    if (context.inputs[i].height <= 0 || context.inputs[i].width <= 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "input: the image is too small: the backbone's map ", i + 1, " has no cells"));
    }
  }
  std::vector<ExtraLevelShape> shapes;
  FeatureSpec spec = context.inputs[kept - 1];
  for (size_t i = 0; kept + i < static_cast<size_t>(context.num_levels); ++i) {
    ExtraLevelShape shape;
    SSD_ASSIGN_OR_RETURN(shape.window, choose_window(spec, i));
    shape.in_channels = spec.channels;
    shape.out_channels = EntryOrLast(channels, i);
    shape.mid_channels = EntryOrLast(mid_channels, i);
    spec = MoveWindow(shape.window, spec, shape.out_channels);
    shapes.push_back(shape);
  }
  return shapes;
}

absl::Status NoLevelBehind(const FeatureSpec& spec, size_t level, int64_t num_levels) {
  return absl::InvalidArgumentError(absl::StrCat(
      "num_levels: ", num_levels, " is too large for this input: level ", level, " is ",
      spec.height, "x", spec.width, " cells already; use at most ", level, ", or a larger input"));
}

}  // namespace ssd
