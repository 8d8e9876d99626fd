#include "ssd/anchors/ssd_anchors.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ssd/anchors/cell_boxes.h"
#include "ssd/anchors/paper_levels.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

constexpr char kField[] = "anchor_generator.ssd.";

// Scales are computed in double; this is what rounding may make of a whole percent.
constexpr double kRounding = 1e-6;

// s_1..s_m and s_{m+1}.
std::vector<double> Scales(const SsdAnchorsOptions& options, int64_t num_levels) {
  const double low = options.min_scale();
  const double range = options.max_scale() - low;
  const int64_t apart = options.has_first_scale() ? 1 : 0;
  const int64_t points = num_levels - apart;  // that follow equation 4
  const double intervals = points > 1 ? static_cast<double>(points - 1) : 1;
  std::vector<double> scales;
  if (apart) scales.push_back(options.first_scale());
  for (int64_t k = 0; k <= points; ++k) {
    const double steps = static_cast<double>(k);
    scales.push_back(options.whole_percent_step()
                         ? low + std::floor(100 * range / intervals + kRounding) / 100 * steps
                         : low + range * steps / intervals);
  }
  if (options.beyond_last() == SsdAnchorsOptions::ONE) scales.back() = 1;
  return scales;
}

absl::Status CheckScale(double scale, bool whole_percent, const std::string& field) {
  SSD_RETURN_IF_ERROR(CheckPositive(scale, kField + field));
  if (whole_percent && std::abs(100 * scale - std::round(100 * scale)) > kRounding) {
    return absl::InvalidArgumentError(absl::StrCat(
        kField, field, ": ", scale, " must be a whole percent for whole_percent_step: true"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<AnchorGenerator>> SsdAnchorGenerator::Create(
    const SsdAnchorsOptions& options, const AnchorGeneratorContext& context) {
  CHECK_GT(context.num_levels, 0);
  SSD_RETURN_IF_ERROR(CheckScale(options.min_scale(), options.whole_percent_step(), "min_scale"));
  SSD_RETURN_IF_ERROR(CheckScale(options.max_scale(), options.whole_percent_step(), "max_scale"));
  if (options.has_first_scale()) {
    SSD_RETURN_IF_ERROR(CheckScale(options.first_scale(), false, "first_scale"));
  }
  if (options.min_scale() > options.max_scale()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kField, "min_scale: ", options.min_scale(),
                     " must not be above max_scale: ", options.max_scale()));
  }
  SSD_RETURN_IF_ERROR(CheckRange(absl::StrCat(kField, "offset"), options.offset(), 0, 1));
  const bool given = options.level_size() > 0;
  const std::vector<SsdAnchorsOptions::Level> settings =
      given ? std::vector<SsdAnchorsOptions::Level>(options.level().begin(), options.level().end())
            : PaperLevels();
  if (static_cast<int64_t>(settings.size()) < context.num_levels) {
    return absl::InvalidArgumentError(
        absl::StrCat(kField, "level: ", given ? "" : "the paper's default has ", settings.size(),
                     given ? " given, but" : " levels, but", " model.num_levels is ",
                     context.num_levels, "; give one `level {}` for each"));
  }

  const std::vector<double> scales = Scales(options, context.num_levels);
  std::vector<Level> levels;
  for (int64_t k = 0; k < context.num_levels; ++k) {
    const SsdAnchorsOptions::Level& setting = settings[k];
    const std::string field = absl::StrCat(kField, "level[", k, "].");
    SSD_RETURN_IF_ERROR(CheckRatios(setting.aspect_ratio(), true, field + "aspect_ratio"));
    Level level;
    level.scale = level.square_scale = scales[k];
    if (setting.has_square_scale()) {
      SSD_RETURN_IF_ERROR(CheckPositive(setting.square_scale(), field + "square_scale"));
      level.square_scale = setting.square_scale();
    }
    level.sqrt_scale = setting.has_sqrt_scale() ? setting.sqrt_scale() : options.sqrt_scale();
    level.next_scale = scales[k + 1];
    if (setting.has_step()) {
      SSD_RETURN_IF_ERROR(CheckPositive(setting.step(), field + "step"));
      level.step = setting.step();
    }
    for (const double ratio : setting.aspect_ratio()) {
      if (std::abs(ratio - 1) >= 1e-6) level.ratios.push_back(ratio);
    }
    levels.push_back(std::move(level));
  }
  if (!levels.back().sqrt_scale) {
    SSD_RETURN_IF_ERROR(
        CheckUnused(options, "beyond_last", kField, "sqrt_scale: true on the last level"));
  }
  return std::unique_ptr<AnchorGenerator>(new SsdAnchorGenerator(options, std::move(levels)));
}

std::vector<int64_t> SsdAnchorGenerator::AnchorsPerCell() const {
  std::vector<int64_t> counts;
  for (const Level& level : levels_) {
    counts.push_back((level.sqrt_scale ? 2 : 1) + 2 * static_cast<int64_t>(level.ratios.size()));
  }
  return counts;
}

absl::StatusOr<Anchors> SsdAnchorGenerator::Generate(absl::Span<const FeatureSpec> levels,
                                                     ImageSize input) const {
  return GenerateForImage(levels, input, input);
}

absl::StatusOr<Anchors> SsdAnchorGenerator::GenerateForImage(absl::Span<const FeatureSpec> levels,
                                                             ImageSize input,
                                                             ImageSize image) const {
  CHECK_EQ(levels.size(), levels_.size());
  // What a scale is a share of, in pixels.
  const int64_t shorter = std::min(input.height, input.width);
  const double width = static_cast<double>(options_.square_in_pixels() ? shorter : input.width);
  const double height = static_cast<double>(options_.square_in_pixels() ? shorter : input.height);
  // Where nothing is cut, shares are not taken to pixels and back, which would round them.
  const auto size_of = [&](double scale) -> BoxSize {
    if (options_.whole_pixels()) {
      return {WholePixels(scale * width) / static_cast<double>(image.width),
              WholePixels(scale * height) / static_cast<double>(image.height)};
    }
    return {scale * (width / static_cast<double>(image.width)),
            scale * (height / static_cast<double>(image.height))};
  };
  std::vector<CellBoxes> boxes;
  for (size_t k = 0; k < levels_.size(); ++k) {
    const Level& level = levels_[k];
    CellBoxes cells = EvenCells(levels[k], image, level.step, options_.offset());
    const BoxSize one = size_of(level.scale);
    const BoxSize square = size_of(level.square_scale);
    for (const auto& [scale, size] :
         {std::make_pair(level.scale, one), std::make_pair(level.square_scale, square)}) {
      if (size.width > 0 && size.height > 0) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          kField, "whole_pixels: true leaves nothing of level ", k + 1, "'s scale ", scale,
          ", less than a pixel of an input of ", input.height, "x", input.width));
    }
    cells.sizes.push_back(square);
    if (level.sqrt_scale) {
      const BoxSize next = size_of(level.next_scale);
      cells.sizes.push_back(
          {std::sqrt(one.width * next.width), std::sqrt(one.height * next.height)});
    }
    for (const double ratio : level.ratios) {
      const double root = std::sqrt(ratio);
      cells.sizes.push_back({one.width * root, one.height / root});
      cells.sizes.push_back({one.width / root, one.height * root});
    }
    boxes.push_back(std::move(cells));
  }
  return TileBoxes(levels, boxes, options_.clip(), kField);
}

SSD_REGISTER_ANCHOR_GENERATOR(SsdAnchorsOptions, SsdAnchorGenerator);

}  // namespace ssd
