#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "ssd/anchors/anchor_generator.h"
#include "ssd/anchors/cell_boxes.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

constexpr char kField[] = "anchor_generator.fixed_size.";

// One level: the sizes of its boxes in pixels of the input.
struct Level {
  std::vector<BoxSize> sizes;
  double step = 0;  // px of the input; 0: the input's size over the map's
};

// Whether an aspect ratio adds nothing to the square of its size.
bool IsSquare(double ratio) { return std::abs(ratio - 1) < 1e-6; }

absl::StatusOr<Level> MakeLevel(const FixedSizeAnchorsOptions& options,
                                const FixedSizeAnchorsOptions::Level& setting,
                                const std::string& field) {
  if (setting.min_size_size() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, "min_size: none given; give at least one, in pixels"));
  }
  if (setting.max_size_size() != 0 && setting.max_size_size() != setting.min_size_size()) {
    return absl::InvalidArgumentError(absl::StrCat(field, "max_size: ", setting.max_size_size(),
                                                   " given for ", setting.min_size_size(),
                                                   " of min_size; give as many, or none"));
  }
  SSD_RETURN_IF_ERROR(CheckRatios(setting.aspect_ratio(), options.flip(), field + "aspect_ratio"));
  Level level;
  if (setting.has_step()) {
    SSD_RETURN_IF_ERROR(CheckPositive(setting.step(), field + "step"));
    level.step = setting.step();
  }
  const auto pixels = [&](double size) {
    return options.whole_pixels() ? WholePixels(size) : size;
  };
  for (int i = 0; i < setting.min_size_size(); ++i) {
    const double size = pixels(setting.min_size(i));
    SSD_RETURN_IF_ERROR(CheckPositive(size, field + "min_size"));
    level.sizes.push_back({size, size});
    if (setting.max_size_size() > 0) {
      SSD_RETURN_IF_ERROR(CheckPositive(setting.max_size(i), field + "max_size"));
      if (setting.max_size(i) <= setting.min_size(i)) {
        return absl::InvalidArgumentError(
            absl::StrCat(field, "max_size: ", setting.max_size(i),
                         " must be above its min_size: ", setting.min_size(i)));
      }
      const double between = std::sqrt(size * pixels(setting.max_size(i)));
      level.sizes.push_back({between, between});
    }
    for (const double ratio : setting.aspect_ratio()) {
      if (IsSquare(ratio)) continue;
      const double root = std::sqrt(ratio);
      level.sizes.push_back({size * root, size / root});
      if (options.flip()) level.sizes.push_back({size / root, size * root});
    }
  }
  return level;
}

// Boxes of sizes in pixels, as Caffe's PriorBox layers have them (weiliu89/caffe, branch ssd). A
// cell has, for each min_size s of the level and its max_size t, in this order,
//
//   s x s,  sqrt(s t) x sqrt(s t) if there is a t,  then for each aspect ratio r
//   s sqrt(r) x s / sqrt(r),  and with `flip`  s / sqrt(r) x s sqrt(r)
//
// Sizes are pixels, so a square is square in pixels on any input.
//
//   anchor_generator { fixed_size {                      # the first SSD300: 7308 boxes on 6 levels
//     level { min_size: 30 aspect_ratio: 2 }
//     level { min_size: 60 max_size: 114 aspect_ratio: [2, 3] }
//     level { min_size: 114 max_size: 168 aspect_ratio: [2, 3] }
//     level { min_size: 168 max_size: 222 aspect_ratio: [2, 3] }
//     level { min_size: 222 max_size: 276 aspect_ratio: [2, 3] }
//     level { min_size: 276 max_size: 330 aspect_ratio: [2, 3] } } }
class FixedSizeAnchorGenerator final : public AnchorGenerator {
 public:
  // \error InvalidArgument naming the field: fewer levels than num_levels, a level without
  // min_size, max_size that are not one above each min_size, a size, ratio or step that is not
  // positive and finite, a ratio given twice, an offset outside [0, 1], flip: false without ratios.
  static absl::StatusOr<std::unique_ptr<AnchorGenerator>> Create(
      const FixedSizeAnchorsOptions& options, const AnchorGeneratorContext& context) {
    CHECK_GT(context.num_levels, 0);
    if (options.level_size() < context.num_levels) {
      return absl::InvalidArgumentError(
          absl::StrCat(kField, "level: ", options.level_size(), " given, but model.num_levels is ",
                       context.num_levels, "; give one `level { min_size: PIXELS }` for each"));
    }
    SSD_RETURN_IF_ERROR(CheckRange(absl::StrCat(kField, "offset"), options.offset(), 0, 1));
    bool has_ratio = false;
    for (int k = 0; k < context.num_levels; ++k) {
      for (const double ratio : options.level(k).aspect_ratio()) has_ratio |= !IsSquare(ratio);
    }
    if (!has_ratio) {
      SSD_RETURN_IF_ERROR(CheckUnused(options, "flip", kField, "level.aspect_ratio"));
    }
    std::vector<Level> levels;
    for (int k = 0; k < context.num_levels; ++k) {
      SSD_ASSIGN_OR_RETURN(Level level, MakeLevel(options, options.level(k),
                                                  absl::StrCat(kField, "level[", k, "].")));
      levels.push_back(std::move(level));
    }
    return std::unique_ptr<AnchorGenerator>(
        new FixedSizeAnchorGenerator(std::move(levels), options.clip(), options.offset()));
  }

  std::vector<int64_t> AnchorsPerCell() const override {
    std::vector<int64_t> counts;
    for (const Level& level : levels_) counts.push_back(static_cast<int64_t>(level.sizes.size()));
    return counts;
  }

  absl::StatusOr<Anchors> Generate(absl::Span<const FeatureSpec> levels,
                                   ImageSize input) const override {
    return GenerateForImage(levels, input, input);
  }

  absl::StatusOr<Anchors> GenerateForImage(absl::Span<const FeatureSpec> levels,
                                           ImageSize /*input*/, ImageSize image) const override {
    CHECK_EQ(levels.size(), levels_.size());
    std::vector<CellBoxes> boxes;
    for (size_t k = 0; k < levels_.size(); ++k) {
      boxes.push_back(EvenCells(levels[k], image, levels_[k].step, offset_));
      for (const BoxSize& size : levels_[k].sizes) {
        boxes.back().sizes.push_back({size.width / static_cast<double>(image.width),
                                      size.height / static_cast<double>(image.height)});
      }
    }
    return TileBoxes(levels, boxes, clip_, kField);
  }

 private:
  FixedSizeAnchorGenerator(std::vector<Level> levels, SsdAnchorsOptions::Clip clip, double offset)
      : levels_(std::move(levels)), clip_(clip), offset_(offset) {}

  std::vector<Level> levels_;
  SsdAnchorsOptions::Clip clip_;
  double offset_;
};

SSD_REGISTER_ANCHOR_GENERATOR(FixedSizeAnchorsOptions, FixedSizeAnchorGenerator);

}  // namespace
}  // namespace ssd
