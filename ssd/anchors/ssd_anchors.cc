#include "ssd/anchors/ssd_anchors.h"

#include <ATen/ops/empty.h>

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

constexpr char kField[] = "anchor_generator.ssd.";

absl::Status CheckPositive(double value, const std::string& field) {
  if (value > 0 && std::isfinite(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(kField, field, ": ", value, " must be positive and finite"));
}

// The paper's levels, for a config that gives none.
std::vector<SsdAnchorsOptions::Level> PaperLevels() {
  std::vector<SsdAnchorsOptions::Level> levels(6);
  for (size_t i = 0; i < levels.size(); ++i) {
    levels[i].add_aspect_ratio(2);
    if (i >= 1 && i <= 3) levels[i].add_aspect_ratio(3);
  }
  return levels;
}

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
    scales.push_back(low + range * static_cast<double>(k) / intervals);
  }
  if (options.beyond_last() == SsdAnchorsOptions::ONE) scales.back() = 1;
  return scales;
}

absl::Status CheckRatios(const SsdAnchorsOptions::Level& level, const std::string& field) {
  for (int i = 0; i < level.aspect_ratio_size(); ++i) {
    const double ratio = level.aspect_ratio(i);
    SSD_RETURN_IF_ERROR(CheckPositive(ratio, field));
    for (int j = 0; j < i; ++j) {
      const double other = level.aspect_ratio(j);
      if (std::abs(ratio - other) < 1e-6 || std::abs(ratio * other - 1) < 1e-6) {
        return absl::InvalidArgumentError(
            absl::StrCat(kField, field, ": ", ratio, " repeats ", other,
                         ", which adds the boxes of both it and its reciprocal; remove one"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<AnchorGenerator>> SsdAnchorGenerator::Create(
    const SsdAnchorsOptions& options, const AnchorGeneratorContext& context) {
  CHECK_GT(context.num_levels, 0);
  SSD_RETURN_IF_ERROR(CheckPositive(options.min_scale(), "min_scale"));
  SSD_RETURN_IF_ERROR(CheckPositive(options.max_scale(), "max_scale"));
  if (options.has_first_scale()) {
    SSD_RETURN_IF_ERROR(CheckPositive(options.first_scale(), "first_scale"));
  }
  if (options.min_scale() > options.max_scale()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kField, "min_scale: ", options.min_scale(),
                     " must not be above max_scale: ", options.max_scale()));
  }
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
    const std::string field = absl::StrCat("level[", k, "].");
    SSD_RETURN_IF_ERROR(CheckRatios(setting, field + "aspect_ratio"));
    Level level;
    if (setting.has_step()) {
      SSD_RETURN_IF_ERROR(CheckPositive(setting.step(), field + "step"));
      level.step = setting.step();
    }
    const double scale = scales[k];
    level.shapes.push_back({scale, scale});
    if (options.sqrt_scale()) {
      const double between = std::sqrt(scale * scales[k + 1]);
      level.shapes.push_back({between, between});
    }
    for (const double ratio : setting.aspect_ratio()) {
      if (std::abs(ratio - 1) < 1e-6) continue;
      const double root = std::sqrt(ratio);
      level.shapes.push_back({scale * root, scale / root});
      level.shapes.push_back({scale / root, scale * root});
    }
    levels.push_back(std::move(level));
  }
  return std::unique_ptr<AnchorGenerator>(new SsdAnchorGenerator(std::move(levels)));
}

std::vector<int64_t> SsdAnchorGenerator::AnchorsPerCell() const {
  std::vector<int64_t> counts;
  for (const Level& level : levels_) counts.push_back(static_cast<int64_t>(level.shapes.size()));
  return counts;
}

Anchors SsdAnchorGenerator::Generate(absl::Span<const FeatureSpec> levels, ImageSize input) const {
  CHECK_EQ(levels.size(), levels_.size());
  CHECK(input.height > 0 && input.width > 0);
  Anchors anchors;
  int64_t total = 0;
  for (size_t k = 0; k < levels_.size(); ++k) {
    CHECK(levels[k].height > 0 && levels[k].width > 0) << "level " << k;
    anchors.per_level.push_back(levels[k].height * levels[k].width *
                                static_cast<int64_t>(levels_[k].shapes.size()));
    total += anchors.per_level.back();
  }
  anchors.boxes = at::empty({total, 4}, at::kFloat);
  float* out = anchors.boxes.mutable_data_ptr<float>();
  for (size_t k = 0; k < levels_.size(); ++k) {
    const Level& level = levels_[k];
    const double step_x = level.step > 0 ? level.step / static_cast<double>(input.width)
                                         : 1 / static_cast<double>(levels[k].width);
    const double step_y = level.step > 0 ? level.step / static_cast<double>(input.height)
                                         : 1 / static_cast<double>(levels[k].height);
    for (int64_t row = 0; row < levels[k].height; ++row) {
      for (int64_t column = 0; column < levels[k].width; ++column) {
        for (const Shape& shape : level.shapes) {
          *out++ = static_cast<float>((static_cast<double>(column) + 0.5) * step_x);
          *out++ = static_cast<float>((static_cast<double>(row) + 0.5) * step_y);
          *out++ = static_cast<float>(shape.width);
          *out++ = static_cast<float>(shape.height);
        }
      }
    }
  }
  return anchors;
}

SSD_REGISTER_ANCHOR_GENERATOR(SsdAnchorsOptions, SsdAnchorGenerator);

}  // namespace ssd
