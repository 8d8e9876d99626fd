#ifndef EXPERIMENTS_CHECK_ANCHOR_INDEX_H_
#define EXPERIMENTS_CHECK_ANCHOR_INDEX_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "ssd/core/boxes.h"
#include "ssd/core/types.h"

namespace ssd {

// The anchors of one level that stand at the same place in every cell's list.
struct AnchorShape {
  int64_t level = 0;  // from 0
  float width = 0;    // of a cell in the middle of the map; shares of the view
  float height = 0;
};

// Finds the anchor that overlaps a truth most, without looking at all of them: boxes of one shape
// have the same extent on x down a column and on y along a row, so that for a truth only the rows
// and columns on the front of more overlap and less length come into question, which is one of each
// where no box is cut at the border. Anchors that are no such grid are all looked at.
//
// Immutable; may be used by several threads at once.
class AnchorIndex {
 public:
  // `levels` are the maps that the anchors are on, `per_cell` the anchors of each level's cells.
  AnchorIndex(const Anchors& anchors, absl::Span<const FeatureSpec> levels,
              absl::Span<const int64_t> per_cell);

  // On a single level, IoUs below this need not be exact.
  static constexpr float kLeastExact = 0.3f;

  struct Best {
    float iou = 0;
    int64_t anchor = -1;  // none overlaps the truth
  };

  // `level_iou` [levels] receives the highest IoU on each level; below kLeastExact it may be too
  // low. The result is exact.
  Best Find(const Corners& truth, float* level_iou) const;

  int64_t num_levels() const { return num_levels_; }
  int64_t num_anchors() const { return static_cast<int64_t>(corners_.size()); }
  const Corners& corners(int64_t anchor) const { return corners_[anchor]; }

  // Level by level, in the order of a cell's list.
  const std::vector<AnchorShape>& shapes() const { return shapes_; }
  // The place in shapes() of an anchor.
  int64_t ShapeOf(int64_t anchor) const;

 private:
  // What a box covers of one axis.
  struct Interval {
    float low = 0, high = 0;
    float length() const { return high - low; }
  };

  // The anchors of one shape: number first + (row * columns.size() + column) * step.
  struct Group {
    int64_t level = 0;
    int64_t first = 0;
    int64_t step = 1;
    int64_t count = 0;
    std::vector<Interval> rows, columns;  // empty: not a grid
    float most_width = 0, most_height = 0;
    float least_area = 0;
  };

  // An interval that overlaps the truth's.
  struct Reach {
    float overlap = 0;
    float length = 0;
    int64_t index = 0;
  };

  void AddGroup(int64_t level, int64_t first, int64_t step, int64_t rows, int64_t columns);
  static float Bound(const Group& group, const Corners& truth);
  static void FindReaches(const std::vector<Interval>& intervals, float low, float high,
                          std::vector<Reach>& reaches);

  int64_t num_levels_;
  std::vector<Corners> corners_;
  std::vector<Group> groups_;  // as shapes_
  std::vector<AnchorShape> shapes_;
  std::vector<int64_t> level_begin_;  // anchors; levels + 1 of them
  std::vector<int64_t> shape_begin_;  // of each level
};

}  // namespace ssd

#endif  // EXPERIMENTS_CHECK_ANCHOR_INDEX_H_
