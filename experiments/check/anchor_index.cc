#include "experiments/check/anchor_index.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "ssd/core/logging.h"

namespace ssd {

AnchorIndex::AnchorIndex(const Anchors& anchors, absl::Span<const FeatureSpec> levels,
                         absl::Span<const int64_t> per_cell)
    : num_levels_(static_cast<int64_t>(levels.size())) {
  CHECK_EQ(levels.size(), per_cell.size());
  const Tensor corners = CornersFromCenters(anchors.boxes.to(at::kCPU, at::kFloat)).contiguous();
  const float* in = corners.const_data_ptr<float>();
  for (int64_t i = 0; i < corners.size(0); ++i, in += 4) {
    corners_.push_back({in[0], in[1], in[2], in[3]});
  }
  int64_t begin = 0;
  for (size_t k = 0; k < levels.size(); ++k) {
    level_begin_.push_back(begin);
    shape_begin_.push_back(static_cast<int64_t>(groups_.size()));
    for (int64_t s = 0; s < per_cell[k]; ++s) {
      AddGroup(static_cast<int64_t>(k), begin + s, per_cell[k], levels[k].height, levels[k].width);
    }
    begin += levels[k].height * levels[k].width * per_cell[k];
  }
  level_begin_.push_back(begin);
  CHECK_EQ(begin, num_anchors());
}

void AnchorIndex::AddGroup(int64_t level, int64_t first, int64_t step, int64_t rows,
                           int64_t columns) {
  Group group;
  group.level = level;
  group.first = first;
  group.step = step;
  group.count = rows * columns;
  const auto box = [&](int64_t row, int64_t column) -> const Corners& {
    return corners_[first + (row * columns + column) * step];
  };
  for (int64_t row = 0; row < rows; ++row) group.rows.push_back({box(row, 0).y0, box(row, 0).y1});
  for (int64_t column = 0; column < columns; ++column) {
    group.columns.push_back({box(0, column).x0, box(0, column).x1});
  }
  bool is_grid = true;
  group.least_area = std::numeric_limits<float>::max();
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      const Corners& here = box(row, column);
      const Interval& x = group.columns[column];
      const Interval& y = group.rows[row];
      is_grid =
          is_grid && here.x0 == x.low && here.x1 == x.high && here.y0 == y.low && here.y1 == y.high;
      group.most_width = std::max(group.most_width, here.x1 - here.x0);
      group.most_height = std::max(group.most_height, here.y1 - here.y0);
      group.least_area = std::min(group.least_area, BoxArea(here));
    }
  }
  if (!is_grid) {
    group.rows.clear();
    group.columns.clear();
  }
  const Corners& middle = box(rows / 2, columns / 2);
  shapes_.push_back({level, middle.x1 - middle.x0, middle.y1 - middle.y0});
  groups_.push_back(std::move(group));
}

int64_t AnchorIndex::ShapeOf(int64_t anchor) const {
  CHECK(anchor >= 0 && anchor < num_anchors()) << anchor;
  const auto after = std::upper_bound(level_begin_.begin(), level_begin_.end(), anchor);
  const int64_t level = after - level_begin_.begin() - 1;
  const int64_t begin = shape_begin_[level];
  return begin + (anchor - level_begin_[level]) % groups_[begin].step;
}

// No IoU of a box of the group is above it: the intersection is no larger than the largest box and
// the truth allow, and the box no smaller than the smallest one or the intersection.
float AnchorIndex::Bound(const Group& group, const Corners& truth) {
  const float intersection = std::min(truth.x1 - truth.x0, group.most_width) *
                             std::min(truth.y1 - truth.y0, group.most_height);
  const float area = std::max(group.least_area, intersection);
  const float whole = BoxArea(truth) + area - intersection;
  constexpr float kRounding = 1.0001f;
  return whole > 0 ? kRounding * intersection / whole : 0.0f;
}

void AnchorIndex::FindReaches(const std::vector<Interval>& intervals, float low, float high,
                              std::vector<Reach>& reaches) {
  reaches.clear();
  for (size_t i = 0; i < intervals.size(); ++i) {
    const Interval& interval = intervals[i];
    const float overlap = std::min(interval.high, high) - std::max(interval.low, low);
    if (!(overlap > 0)) continue;
    const float length = interval.length();
    const bool is_dominated = std::any_of(reaches.begin(), reaches.end(), [&](const Reach& other) {
      return other.overlap >= overlap && other.length <= length;
    });
    if (is_dominated) continue;
    reaches.erase(std::remove_if(reaches.begin(), reaches.end(),
                                 [&](const Reach& other) {
                                   return overlap >= other.overlap && length <= other.length;
                                 }),
                  reaches.end());
    reaches.push_back({overlap, length, static_cast<int64_t>(i)});
  }
}

AnchorIndex::Best AnchorIndex::Find(const Corners& truth, float* level_iou) const {
  std::fill_n(level_iou, num_levels_, 0.0f);
  Best best;
  const float truth_area = BoxArea(truth);
  if (!(truth_area > 0)) return best;
  std::vector<Reach> rows, columns;
  for (const Group& group : groups_) {
    float& level_best = level_iou[group.level];
    const float bound = Bound(group, truth);
    if (bound <= level_best || (bound < kLeastExact && bound <= best.iou)) continue;
    const auto offer = [&](float iou, int64_t anchor) {
      level_best = std::max(level_best, iou);
      if (iou > best.iou) best = {iou, anchor};
    };
    if (group.rows.empty()) {
      for (int64_t i = 0; i < group.count; ++i) {
        const int64_t anchor = group.first + i * group.step;
        const Corners& box = corners_[anchor];
        offer(Iou(truth.x0, truth.y0, truth.x1, truth.y1, truth_area, box.x0, box.y0, box.x1,
                  box.y1, BoxArea(box)),
              anchor);
      }
      continue;
    }
    FindReaches(group.rows, truth.y0, truth.y1, rows);
    if (rows.empty()) continue;
    FindReaches(group.columns, truth.x0, truth.x1, columns);
    const auto width = static_cast<int64_t>(group.columns.size());
    for (const Reach& row : rows) {
      for (const Reach& column : columns) {
        const float intersection = row.overlap * column.overlap;
        const float area = truth_area + row.length * column.length - intersection;
        offer(intersection / area, group.first + (row.index * width + column.index) * group.step);
      }
    }
  }
  return best;
}

}  // namespace ssd
