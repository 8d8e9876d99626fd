#include "experiments/anchor_matches.h"

#include <ATen/ops/zeros.h>

#include <algorithm>

#include "ssd/core/boxes.h"
#include "ssd/core/logging.h"
#include "ssd/matchers/matcher.pb.h"

namespace ssd {
namespace {

std::optional<double> PositiveIou(const MatcherConfig& config) {
  if (config.has_ssd()) return config.ssd().positive_iou();
  if (config.has_argmax()) return config.argmax().positive_iou();
  return std::nullopt;
}

// Corners [A, 4] of all anchors, contiguous.
Tensor CornersOf(const AnchorSetting& setting) {
  return CornersFromCenters(setting.anchors.boxes).contiguous();
}

}  // namespace

PixelBox InPixels(const Tensor& corners, int64_t row, ImageSize view) {
  const float* const box = corners.const_data_ptr<float>() + 4 * row;
  const auto width = static_cast<double>(view.width), height = static_cast<double>(view.height);
  return {box[0] * width, box[1] * height, box[2] * width, box[3] * height};
}

AnchorSetting AnchorSettingOf(const SsdDetector& detector) {
  Anchors anchors = detector.anchors();
  anchors.boxes = anchors.boxes.cpu();
  return {detector.matcher(), anchors, detector.levels(), PositiveIou(detector.config().matcher())};
}

AnchorPlace PlaceOfAnchor(int64_t anchor, const AnchorSetting& setting) {
  const std::vector<int64_t>& per_level = setting.anchors.per_level;
  CHECK_EQ(per_level.size(), setting.levels.size());
  AnchorPlace place;
  for (size_t level = 0; level < per_level.size(); ++level) {
    if (anchor >= per_level[level]) {
      anchor -= per_level[level];
      continue;
    }
    const FeatureSpec& map = setting.levels[level];
    const int64_t per_cell = per_level[level] / (map.height * map.width);
    const int64_t cell = anchor / per_cell;
    place.level = static_cast<int64_t>(level);
    place.row = cell / map.width;
    place.column = cell % map.width;
    place.shape = anchor % per_cell;
    return place;
  }
  LOG(FATAL) << "there are not so many anchors";
  return place;
}

Truth TruthTensors(const std::vector<Annotation>& objects, ImageSize view) {
  const auto rows = std::max<int64_t>(1, static_cast<int64_t>(objects.size()));
  Truth truth;
  truth.boxes = at::zeros({1, rows, 4}, at::kFloat);
  truth.labels = at::zeros({1, rows}, at::kLong);
  truth.ignore = at::zeros({1, rows}, at::kBool);
  const auto width = static_cast<double>(view.width), height = static_cast<double>(view.height);
  float* box = truth.boxes.mutable_data_ptr<float>();
  int64_t* label = truth.labels.mutable_data_ptr<int64_t>();
  bool* ignore = truth.ignore.mutable_data_ptr<bool>();
  for (const Annotation& object : objects) {
    *box++ = static_cast<float>(object.box.x0 / width);
    *box++ = static_cast<float>(object.box.y0 / height);
    *box++ = static_cast<float>(object.box.x1 / width);
    *box++ = static_cast<float>(object.box.y1 / height);
    *label++ = object.label;
    *ignore++ = object.crowd || object.difficult;
  }
  return truth;
}

std::vector<std::vector<AnchorMatch>> MatchAnchors(const AnchorSetting& setting,
                                                   const std::vector<Annotation>& objects,
                                                   ImageSize view) {
  std::vector<std::vector<AnchorMatch>> matches(objects.size());
  if (objects.empty()) return matches;
  const Truth truth = TruthTensors(objects, view);
  const Tensor rows = setting.matcher.Match(truth, setting.anchors)[0].contiguous();
  const Tensor corners = CornersOf(setting);
  const Tensor ious = PairwiseIou(truth.boxes[0], corners).contiguous();
  const int64_t total = rows.numel();
  const int64_t* const row_of = rows.const_data_ptr<int64_t>();
  const float* const iou = ious.const_data_ptr<float>();
  const bool* const ignored = truth.ignore.const_data_ptr<bool>();

  const auto best_row = [&](int64_t anchor) {
    int64_t best = -1;
    for (int64_t row = 0; row < static_cast<int64_t>(objects.size()); ++row) {
      if (ignored[row]) continue;
      if (best < 0 || iou[row * total + anchor] > iou[best * total + anchor]) best = row;
    }
    return best;
  };
  for (int64_t anchor = 0; anchor < total; ++anchor) {
    const int64_t row = row_of[anchor];
    if (row < 0) continue;
    AnchorMatch match;
    match.anchor = anchor;
    match.place = PlaceOfAnchor(anchor, setting);
    match.box = InPixels(corners, anchor, view);
    match.iou = iou[row * total + anchor];
    match.forced = setting.positive_iou.has_value() &&
                   (iou[row * total + anchor] < static_cast<float>(*setting.positive_iou) ||
                    best_row(anchor) != row);
    matches[static_cast<size_t>(row)].push_back(match);
  }
  for (std::vector<AnchorMatch>& of_truth : matches) {
    std::stable_sort(of_truth.begin(), of_truth.end(),
                     [](const AnchorMatch& a, const AnchorMatch& b) { return a.iou > b.iou; });
  }
  return matches;
}

AnchorMatch NearestAnchor(const AnchorSetting& setting, const Annotation& object, ImageSize view) {
  const Tensor corners = CornersOf(setting);
  const Tensor ious = PairwiseIou(TruthTensors({object}, view).boxes[0], corners).contiguous();
  const float* const iou = ious.const_data_ptr<float>();
  AnchorMatch nearest;
  nearest.anchor = std::max_element(iou, iou + ious.numel()) - iou;
  nearest.place = PlaceOfAnchor(nearest.anchor, setting);
  nearest.box = InPixels(corners, nearest.anchor, view);
  nearest.iou = iou[nearest.anchor];
  return nearest;
}

}  // namespace ssd
