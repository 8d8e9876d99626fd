#include "experiments/truth_life_picture.h"

#include <algorithm>
#include <opencv2/core.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ssd/core/status_macros.h"
#include "ssd/report/class_colors.h"
#include "ssd/report/drawing.h"

namespace ssd {
namespace {

constexpr Rgb kTruthColor = {0xee, 0x33, 0x77};
constexpr Rgb kBoxColor = {0x33, 0xbb, 0xee};
constexpr Rgb kOtherColor = {0xee, 0x77, 0x33};

// More hide what they lie on; the text lists them.
constexpr size_t kMostDetections = 6;

// `truth` may be null.
SheetTile Tile(const cv::Mat& rgb, int side, const PixelBox* truth, std::vector<OutlinedBox> others,
               std::vector<std::string> caption) {
  FittedPicture fitted = FitPicture(rgb, side);
  for (OutlinedBox& other : others) other.box = fitted.Place(other.box);
  if (truth != nullptr) {
    OutlinedBox outlined;
    outlined.box = fitted.Place(*truth);
    outlined.color = kTruthColor;
    outlined.style = LineStyle::kDotted;
    others.push_back(outlined);
  }
  DrawBoxes(others, fitted.bgr);
  return {fitted.bgr, std::move(caption)};
}

SheetTile TrainingTile(const TruthLife& life, int side) {
  const TruthView& view = life.training;
  std::vector<OutlinedBox> anchors;
  for (const AnchorMatch& match : view.matches) {
    anchors.push_back({match.box, kBoxColor, match.forced ? LineStyle::kDashed : LineStyle::kSolid,
                       "", /*thin=*/true});
  }
  return Tile(view.rgb, side, view.object.has_value() ? &view.truth().box : nullptr, anchors,
              {absl::StrCat("epoch ", life.epoch, " of training"),
               view.object.has_value()
                   ? absl::StrCat("default boxes that answer for it: ", view.matches.size())
                   : "not shown to the network"});
}

SheetTile EvaluationTile(const TruthLife& life, const TruthDetection& detection, int side) {
  std::vector<OutlinedBox> boxes;
  const size_t all = detection.near.size(), drawn = std::min(all, kMostDetections);
  for (size_t i = 0; i < drawn; ++i) {
    const NearDetection& near = detection.near[i];
    const PixelDetection& found = detection.detections[near.detection];
    const bool finds = near.iou >= life.min_iou && found.label == life.annotated().label;
    boxes.push_back(
        {found.box, finds ? kBoxColor : kOtherColor,
         finds ? LineStyle::kSolid : LineStyle::kDashDotted,
         absl::StrFormat("%s %.2f", LetterableName(life.labels, found.label), found.score)});
  }
  std::reverse(boxes.begin(), boxes.end());  // the best on top
  return Tile(
      detection.view.rgb, side, &detection.view.truth().box, boxes,
      {"in evaluation", absl::StrCat("detections on it: ", all,
                                     all > drawn ? absl::StrCat(", the best ", drawn) : "")});
}

}  // namespace

absl::StatusOr<PictureSheet> TruthLifeSheet(const TruthLife& life, int tile) {
  SSD_ASSIGN_OR_RETURN(const cv::Mat rgb, life.original.Render());
  PictureSheet sheet;
  sheet.columns = 3;
  sheet.title = absl::StrCat("Truth ", life.place, " of ", life.image.file_name);
  sheet.legend = {{kTruthColor, LineStyle::kDotted, "the truth"},
                  {kBoxColor, LineStyle::kSolid, "default box by its IoU, or detection"},
                  {kBoxColor, LineStyle::kDashed, "default box, forced"},
                  {kOtherColor, LineStyle::kDashDotted, "detection that does not find it"}};
  const Annotation& annotated = life.annotated();
  sheet.tiles.push_back(
      Tile(rgb, tile, &annotated.box, {}, {"as annotated", life.ClassName(annotated.label)}));
  sheet.tiles.push_back(TrainingTile(life, tile));
  if (life.detection.has_value() && life.detection->view.object.has_value()) {
    sheet.tiles.push_back(EvaluationTile(life, *life.detection, tile));
  }
  return sheet;
}

}  // namespace ssd
