#include "ssd/anchors/cell_boxes.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

struct CenterBox {
  double cx, cy, width, height;
};

double InUnitRange(double value) { return std::clamp(value, 0.0, 1.0); }

CenterBox Clipped(const CenterBox& box, SsdAnchorsOptions::Clip clip) {
  switch (clip) {
    case SsdAnchorsOptions::NONE:
      break;
    case SsdAnchorsOptions::CORNERS: {
      const double x0 = InUnitRange(box.cx - box.width / 2);
      const double y0 = InUnitRange(box.cy - box.height / 2);
      const double x1 = InUnitRange(box.cx + box.width / 2);
      const double y1 = InUnitRange(box.cy + box.height / 2);
      return {(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0};
    }
    case SsdAnchorsOptions::SIZE:
      return {box.cx, box.cy, InUnitRange(box.width), InUnitRange(box.height)};
    case SsdAnchorsOptions::CENTER_SIZE:
      return {InUnitRange(box.cx), InUnitRange(box.cy), InUnitRange(box.width),
              InUnitRange(box.height)};
  }
  return box;
}

}  // namespace

CellBoxes EvenCells(const FeatureSpec& level, ImageSize image, double step, double offset) {
  CHECK(image.height > 0 && image.width > 0);
  CellBoxes cells;
  cells.step_y =
      step > 0 ? step / static_cast<double>(image.height) : 1 / static_cast<double>(level.height);
  cells.step_x =
      step > 0 ? step / static_cast<double>(image.width) : 1 / static_cast<double>(level.width);
  cells.offset_y = cells.offset_x = offset;
  return cells;
}

absl::StatusOr<Anchors> TileBoxes(absl::Span<const FeatureSpec> levels,
                                  absl::Span<const CellBoxes> boxes, SsdAnchorsOptions::Clip clip,
                                  absl::string_view field) {
  CHECK_EQ(levels.size(), boxes.size());
  Anchors anchors;
  int64_t total = 0;
  for (size_t k = 0; k < levels.size(); ++k) {
    CHECK(levels[k].height > 0 && levels[k].width > 0) << "level " << k;
    anchors.per_level.push_back(levels[k].height * levels[k].width *
                                static_cast<int64_t>(boxes[k].sizes.size()));
    total += anchors.per_level.back();
  }
  anchors.boxes = at::empty({total, 4}, at::kFloat);
  float* out = anchors.boxes.mutable_data_ptr<float>();
  for (size_t k = 0; k < levels.size(); ++k) {
    const CellBoxes& cells = boxes[k];
    for (int64_t row = 0; row < levels[k].height; ++row) {
      for (int64_t column = 0; column < levels[k].width; ++column) {
        const double cx = (static_cast<double>(column) + cells.offset_x) * cells.step_x;
        const double cy = (static_cast<double>(row) + cells.offset_y) * cells.step_y;
        for (const BoxSize& size : cells.sizes) {
          const CenterBox box = Clipped({cx, cy, size.width, size.height}, clip);
          if (!(box.width > 0 && box.height > 0)) {
            return absl::InvalidArgumentError(absl::StrCat(
                field, "clip: CORNERS leaves nothing of a box of level ", k + 1, " around (", cx,
                ", ", cy, "), which lies outside the image; use another clip, or a smaller step"));
          }
          *out++ = static_cast<float>(box.cx);
          *out++ = static_cast<float>(box.cy);
          *out++ = static_cast<float>(box.width);
          *out++ = static_cast<float>(box.height);
        }
      }
    }
  }
  return anchors;
}

double WholePixels(double size) {
  constexpr double kRounding = 1e-6;
  return std::floor(size + kRounding);
}

absl::Status CheckPositive(double value, absl::string_view field) {
  return CheckOption(value > 0, field, value, "positive");
}

absl::Status CheckRatios(absl::Span<const double> ratios, bool with_reciprocals,
                         absl::string_view field) {
  constexpr double kSame = 1e-6;
  for (size_t i = 0; i < ratios.size(); ++i) {
    SSD_RETURN_IF_ERROR(CheckPositive(ratios[i], field));
    for (size_t j = 0; j < i; ++j) {
      if (std::abs(ratios[i] - ratios[j]) < kSame ||
          (with_reciprocals && std::abs(ratios[i] * ratios[j] - 1) < kSame)) {
        return absl::InvalidArgumentError(absl::StrCat(
            field, ": ", ratios[i], " repeats ", ratios[j],
            with_reciprocals ? ", which adds the boxes of both it and its reciprocal" : "",
            "; remove one"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace ssd
