#include "experiments/truth_life_text.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ssd/eval/text_table.h"

namespace ssd {
namespace {

using Align = TextTable::Align;

// Lines of a table: the best, then a word about the others.
constexpr size_t kMostRows = 20;

std::string BoxText(const PixelBox& box) {
  return absl::StrFormat("%.1f %.1f %.1f %.1f", box.x0, box.y0, box.x1, box.y1);
}

std::string SidesText(const PixelBox& box) {
  return absl::StrFormat("%.1f x %.1f", box.width(), box.height());
}

std::string SizeText(ImageSize size) { return absl::StrCat(size.width, " x ", size.height); }

std::vector<std::string> PlaceCells(const AnchorPlace& place) {
  return {absl::StrCat(place.level + 1), absl::StrCat(place.row), absl::StrCat(place.column),
          absl::StrCat(place.shape)};
}

class LifeWriter {
 public:
  explicit LifeWriter(const TruthLife& life) : life_(life) {}

  std::string Text() {
    TellAnnotation();
    TellTransforms();
    TellMatches();
    if (life_.detection.has_value()) TellDetection(*life_.detection);
    return std::move(text_);
  }

 private:
  void TellAnnotation() {
    const Annotation& object = life_.annotated();
    absl::StrAppend(&text_, "Truth ", life_.place, " of ", life_.image.file_name, " (id ",
                    life_.image.image_id, ", image ", life_.index, " of ", life_.field, ")\n");
    if (!life_.annotation_file.empty()) {
      absl::StrAppend(&text_, "annotation  ", life_.annotation_file,
                      object.line > 0 ? absl::StrCat(":", object.line) : "", "\n");
    }
    absl::StrAppend(&text_, "class       ", life_.ClassName(object.label), " (label ", object.label,
                    ")", object.difficult ? ", difficult: never matched" : "",
                    object.crowd ? ", a crowd: never matched" : "", "\n");
  }

  void TellTransforms() {
    absl::StrAppend(&text_, "\nTransforms of ", life_.field, ", seed ", life_.seed, ", epoch ",
                    life_.epoch, "; boxes in pixels of the view\n");
    TextTable table({Align::kLeft, Align::kLeft, Align::kRight, Align::kRight});
    table.AddRow({"after", "box (x0 y0 x1 y1)", "width x height", "view"});
    const PixelBox& original = life_.annotated().box;
    table.AddRow(
        {"(annotated)", BoxText(original), SidesText(original), SizeText(life_.image.size)});
    for (const TransformedTruth& step : life_.transforms) {
      table.AddRow({step.transform,
                    absl::StrCat(step.is_dropped ? "dropped: would be " : "", BoxText(step.box)),
                    SidesText(step.box), SizeText(step.view)});
    }
    absl::StrAppend(&text_, table.Render());
  }

  // Appends "and 5 more" where a table was cut.
  void TellRest(size_t all) {
    if (all > kMostRows) absl::StrAppend(&text_, "and ", all - kMostRows, " more\n");
  }

  // Which transform removed the truth, the last that is told of. All of this project's keep those
  // whose centre they show.
  std::string RemovalText() const {
    const TransformedTruth& last = life_.transforms.back();
    const std::string removed =
        absl::StrCat(last.transform, " of epoch ", life_.epoch, " removed box ", life_.place);
    const double x = (last.box.x0 + last.box.x1) / 2, y = (last.box.y0 + last.box.y1) / 2;
    const bool is_shown = x >= 0 && x <= static_cast<double>(last.view.width) && y >= 0 &&
                          y <= static_cast<double>(last.view.height);
    if (is_shown) return removed;
    return absl::StrFormat("%s (its centre, %.1f %.1f, lies outside its %s view)", removed, x, y,
                           SizeText(last.view));
  }

  void TellMatches() {
    absl::StrAppend(&text_, "\nDefault boxes that answer for it\n");
    const TruthView& view = life_.training;
    if (!view.object.has_value()) {
      absl::StrAppend(&text_, "none: the network is not shown it: ", RemovalText(), "\n");
      return;
    }
    if (life_.nearest.has_value()) {
      const AnchorPlace& place = life_.nearest->place;
      absl::StrAppendFormat(
          &text_, "none; the nearest is on level %d, row %d, column %d, shape %d: IoU %.3f\n",
          place.level + 1, place.row, place.column, place.shape, life_.nearest->iou);
      return;
    }
    std::vector<std::string> heads = {"level",          "row", "column", "shape",
                                      "width x height", "IoU", "matched"};
    if (life_.losses.has_value()) {
      heads.push_back("class. loss");
      heads.push_back("loc. loss");
    }
    std::vector<Align> columns(heads.size(), Align::kRight);
    columns[6] = Align::kLeft;
    TextTable table(columns);
    table.AddRow(heads);
    for (size_t i = 0; i < std::min(view.matches.size(), kMostRows); ++i) {
      const AnchorMatch& match = view.matches[i];
      std::vector<std::string> row = PlaceCells(match.place);
      row.push_back(SidesText(match.box));
      row.push_back(absl::StrFormat("%.3f", match.iou));
      const char* const by_iou = life_.has_iou_rule ? "by IoU" : "";
      row.push_back(match.forced ? "forced" : by_iou);
      if (life_.losses.has_value()) {
        row.push_back(absl::StrFormat("%.4f", life_.losses->classification[i]));
        row.push_back(absl::StrFormat("%.4f", life_.losses->localization[i]));
      }
      table.AddRow(row);
    }
    absl::StrAppend(&text_, table.Render());
    TellRest(view.matches.size());
    absl::StrAppend(&text_, "Levels count from 1, rows, columns and shapes from 0.\n");
    if (life_.losses.has_value()) {
      absl::StrAppendFormat(&text_,
                            "Losses before normalisation; of the image as a batch of one: %.4f.\n",
                            life_.losses->total);
    }
  }

  void TellDetection(const TruthDetection& detection) {
    absl::StrAppend(&text_, "\nDetection, as data.validation's transforms show the image\n");
    if (!detection.view.object.has_value()) {
      absl::StrAppend(&text_, "none: the network is not shown it\n");
      return;
    }
    TellVerdict(detection);
    TellDetectionsNear(detection);
    TellCandidates(detection);
  }

  // "RBC 0.950".
  std::string ScoredName(int64_t label, double score) const {
    return absl::StrFormat("%s %.3f", life_.ClassName(label), score);
  }
  std::string ScoredName(const PixelDetection& found) const {
    return ScoredName(found.label, found.score);
  }

  void TellVerdict(const TruthDetection& detection) {
    if (detection.finder.has_value()) {
      absl::StrAppendFormat(&text_, "found at IoU %.3f by %s\n", detection.finder->iou,
                            ScoredName(detection.finder->detection));
    } else {
      absl::StrAppendFormat(&text_, "missed: no detection of its class takes it at IoU %g\n",
                            life_.min_iou);
    }
  }

  void TellDetectionsNear(const TruthDetection& detection) {
    if (detection.near.empty()) {
      absl::StrAppend(&text_, "none of the image's ", detection.detections.size(),
                      " detections has IoU ", kLeastOverlap, " or more with it\n");
      return;
    }
    TextTable table({Align::kRight, Align::kLeft, Align::kLeft, Align::kRight});
    table.AddRow({"detection", "class and score", "box (x0 y0 x1 y1)", "IoU"});
    for (size_t i = 0; i < std::min(detection.near.size(), kMostRows); ++i) {
      const NearDetection& near = detection.near[i];
      const PixelDetection& found = detection.detections[near.detection];
      table.AddRow({absl::StrCat(near.detection + 1), ScoredName(found), BoxText(found.box),
                    absl::StrFormat("%.3f", near.iou)});
    }
    absl::StrAppend(&text_, table.Render());
    TellRest(detection.near.size());
  }

  void TellCandidates(const TruthDetection& detection) {
    if (detection.candidates.empty()) {
      absl::StrAppendFormat(&text_,
                            "No box of the network's lies on it; the nearest has IoU %.3f and "
                            "scores %.4f.\n",
                            detection.nearest_iou, detection.nearest_score);
      return;
    }
    absl::StrAppendFormat(&text_, "\nBoxes that answer for it or have IoU %g or more with it\n",
                          life_.min_iou);
    TextTable table({Align::kRight, Align::kRight, Align::kRight, Align::kRight, Align::kLeft,
                     Align::kRight, Align::kRight, Align::kLeft, Align::kLeft});
    table.AddRow({"level", "row", "column", "shape", "answers", "IoU", "score", "best class",
                  "what became of it"});
    for (size_t i = 0; i < std::min(detection.candidates.size(), kMostRows); ++i) {
      const TruthCandidate& candidate = detection.candidates[i];
      std::vector<std::string> row = PlaceCells(candidate.place);
      row.push_back(candidate.answers ? "yes" : "");
      row.push_back(absl::StrFormat("%.3f", candidate.iou));
      row.push_back(absl::StrFormat("%.4f", candidate.fate.score));
      row.push_back(ScoredName(candidate.best_label, candidate.best_score));
      row.push_back(FateText(candidate.fate, detection));
      table.AddRow(row);
    }
    absl::StrAppend(&text_, table.Render());
    TellRest(detection.candidates.size());
  }

  std::string FateText(const CandidateFate& fate, const TruthDetection& found) const {
    const auto detection = [&] {
      return absl::StrCat("detection ", fate.detection + 1, " (",
                          ScoredName(found.detections[static_cast<size_t>(fate.detection)]), ")");
    };
    const std::optional<SelectionRules>& rules = life_.rules;
    switch (fate.fate) {
      case Fate::kDetected:
        return detection();
      case Fate::kBelowScore:
        return absl::StrFormat("cut by score_threshold %g", rules->score_threshold);
      case Fate::kOtherClass:
        return "its anchor takes part with its best class";
      case Fate::kBeyondCandidates:
        return absl::StrCat("cut by ",
                            rules->across_classes ? "max_candidates " : "max_candidates_per_class ",
                            rules->max_candidates);
      case Fate::kSuppressed:
        return absl::StrFormat("suppressed by %s, IoU %.3f, limit %g", detection(), fate.iou,
                               fate.limit);
      case Fate::kBeyondDetections:
        return absl::StrCat("cut by max_detections ", rules->max_detections);
      case Fate::kNotKept:
        break;
    }
    if (fate.detection < 0) return "not kept; overlaps no detection";
    return absl::StrFormat("not kept; overlaps %s, IoU %.3f", detection(), fate.iou);
  }

  const TruthLife& life_;
  std::string text_;
};

}  // namespace

std::string TruthLifeText(const TruthLife& life) { return LifeWriter(life).Text(); }

}  // namespace ssd
