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
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

constexpr char kField[] = "anchor_generator.grid.";

// Boxes of any shapes around what the network sees of the input at each cell:
//
//   centre = first_center + (column, row) stride   in pixels, of the receptive fields (FeatureSpec)
//   (w, h) = scale (width, height)                 in pixels, for each scale and each ratio
//
// A cell's boxes are ordered as the config has them: its `boxes`, in each the scales, for each of
// these the ratios. The centres differ from those of `ssd` where padding makes a map larger or
// smaller than the input's size over its stride; with `centers: EVEN` they are the same.
//
//   anchor_generator { grid { level {                                       # 10 boxes a cell
//     boxes { scale: 50 ratio {} ratio { width: 0.7 height: 1.4 } ratio { width: 1.4 height: 0.7 }
//             ratio { width: 0.5 height: 1 } }
//     boxes { scale: [53, 56] ratio {} ratio { width: 0.6 } ratio { height: 0.6 } } } } }
class GridAnchorGenerator final : public AnchorGenerator {
 public:
  // \error InvalidArgument naming the field: fewer levels than num_levels, a level without boxes,
  // boxes without scale, a scale, width or height that is not positive and finite.
  static absl::StatusOr<std::unique_ptr<AnchorGenerator>> Create(
      const GridAnchorsOptions& options, const AnchorGeneratorContext& context) {
    CHECK_GT(context.num_levels, 0);
    if (options.level_size() < context.num_levels) {
      return absl::InvalidArgumentError(absl::StrCat(
          kField, "level: ", options.level_size(), " given, but model.num_levels is ",
          context.num_levels, "; give one `level { boxes { scale: PIXELS } }` for each"));
    }
    std::vector<std::vector<BoxSize>> sizes;
    for (int k = 0; k < context.num_levels; ++k) {
      const std::string field = absl::StrCat(kField, "level[", k, "].boxes");
      if (options.level(k).boxes_size() == 0) {
        return absl::InvalidArgumentError(
            absl::StrCat(field, ": none given; give at least one `boxes { scale: PIXELS }`"));
      }
      sizes.emplace_back();
      for (int i = 0; i < options.level(k).boxes_size(); ++i) {
        SSD_RETURN_IF_ERROR(
            AddSizes(options.level(k).boxes(i), absl::StrCat(field, "[", i, "]."), sizes.back()));
      }
    }
    return std::unique_ptr<AnchorGenerator>(
        new GridAnchorGenerator(std::move(sizes), options.clip(), options.centers()));
  }

  std::vector<int64_t> AnchorsPerCell() const override {
    std::vector<int64_t> counts;
    for (const std::vector<BoxSize>& sizes : sizes_) {
      counts.push_back(static_cast<int64_t>(sizes.size()));
    }
    return counts;
  }

  absl::StatusOr<Anchors> Generate(absl::Span<const FeatureSpec> levels,
                                   ImageSize input) const override {
    return GenerateForImage(levels, input, input);
  }

  absl::StatusOr<Anchors> GenerateForImage(absl::Span<const FeatureSpec> levels,
                                           ImageSize /*input*/, ImageSize image) const override {
    CHECK_EQ(levels.size(), sizes_.size());
    CHECK(image.height > 0 && image.width > 0);
    const double height = static_cast<double>(image.height);
    const double width = static_cast<double>(image.width);
    std::vector<CellBoxes> boxes;
    for (size_t k = 0; k < sizes_.size(); ++k) {
      CellBoxes cells = centers_ == GridAnchorsOptions::EVEN
                            ? EvenCells(levels[k], image, /*step=*/0, /*offset=*/0.5)
                            : ReceptiveFields(levels[k], image);
      for (const BoxSize& size : sizes_[k]) {
        cells.sizes.push_back({size.width / width, size.height / height});
      }
      boxes.push_back(std::move(cells));
    }
    return TileBoxes(levels, boxes, clip_, kField);
  }

 private:
  static absl::Status AddSizes(const GridAnchorsOptions::Boxes& boxes, const std::string& field,
                               std::vector<BoxSize>& sizes) {
    if (boxes.scale_size() == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, "scale: none given; give at least one, in pixels"));
    }
    std::vector<BoxSize> ratios;
    for (int i = 0; i < boxes.ratio_size(); ++i) {
      const std::string ratio = absl::StrCat(field, "ratio[", i, "].");
      SSD_RETURN_IF_ERROR(CheckPositive(boxes.ratio(i).width(), ratio + "width"));
      SSD_RETURN_IF_ERROR(CheckPositive(boxes.ratio(i).height(), ratio + "height"));
      ratios.push_back({boxes.ratio(i).width(), boxes.ratio(i).height()});
    }
    if (ratios.empty()) ratios.push_back({1, 1});
    for (const double scale : boxes.scale()) {
      SSD_RETURN_IF_ERROR(CheckPositive(scale, field + "scale"));
      for (const BoxSize& ratio : ratios) {
        sizes.push_back({scale * ratio.width, scale * ratio.height});
      }
    }
    return absl::OkStatus();
  }

  // Without sizes.
  static CellBoxes ReceptiveFields(const FeatureSpec& level, ImageSize image) {
    CHECK(level.stride_y > 0 && level.stride_x > 0);
    CellBoxes cells;
    cells.step_y = level.stride_y / static_cast<double>(image.height);
    cells.step_x = level.stride_x / static_cast<double>(image.width);
    cells.offset_y = level.first_center_y / level.stride_y;
    cells.offset_x = level.first_center_x / level.stride_x;
    return cells;
  }

  GridAnchorGenerator(std::vector<std::vector<BoxSize>> sizes, SsdAnchorsOptions::Clip clip,
                      GridAnchorsOptions::Centers centers)
      : sizes_(std::move(sizes)), clip_(clip), centers_(centers) {}

  std::vector<std::vector<BoxSize>> sizes_;  // px of the input, level by level
  SsdAnchorsOptions::Clip clip_;
  GridAnchorsOptions::Centers centers_;
};

SSD_REGISTER_ANCHOR_GENERATOR(GridAnchorsOptions, GridAnchorGenerator);

}  // namespace
}  // namespace ssd
