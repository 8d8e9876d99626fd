#include "experiments/check/check_json.h"

#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace ssd {
namespace {

// Writes one document; each method a value, or with a key before it.
class Writer {
 public:
  Writer() : json_(buffer_) {
    json_.SetIndent(' ', 2);
    json_.SetFormatOptions(rapidjson::kFormatSingleLineArray);
  }

  std::string Text() const { return std::string(buffer_.GetString(), buffer_.GetSize()) + "\n"; }

  void Begin() { json_.StartObject(); }
  void End() { json_.EndObject(); }
  void BeginArray() { json_.StartArray(); }
  void EndArray() { json_.EndArray(); }

  void Key(absl::string_view key) {
    json_.Key(key.data(), static_cast<rapidjson::SizeType>(key.size()));
  }
  void String(absl::string_view value) {
    json_.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  }
  void Number(double value) { std::isfinite(value) ? json_.Double(value) : json_.Null(); }
  void Integer(int64_t value) { json_.Int64(value); }

  void Field(absl::string_view key, absl::string_view value) {
    Key(key);
    String(value);
  }
  void Field(absl::string_view key, int64_t value) {
    Key(key);
    Integer(value);
  }
  void Field(absl::string_view key, double value) {
    Key(key);
    Number(value);
  }
  void Field(absl::string_view key, const std::optional<double>& value) {
    Key(key);
    value.has_value() ? Number(*value) : Null();
  }
  void Flag(absl::string_view key, bool value) {
    Key(key);
    json_.Bool(value);
  }
  template <typename Integers>
  void List(absl::string_view key, const Integers& values) {
    Key(key);
    BeginArray();
    for (const int64_t value : values) Integer(value);
    EndArray();
  }
  void Null() { json_.Null(); }

 private:
  rapidjson::StringBuffer buffer_;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> json_;
};

std::string IouName(int i) { return absl::StrFormat("%.1f", RecallIou(i)); }

// Shares of a group that may be empty.
std::optional<double> Of(const AnchorRecall& recall, double value) {
  return recall.truths > 0 ? std::optional<double>(value) : std::nullopt;
}

void WriteProblems(const std::vector<DataProblem>& problems, Writer& json) {
  json.Key("problems");
  json.BeginArray();
  for (const DataProblem& problem : problems) {
    json.Begin();
    json.Field("severity", SeverityName(problem.severity));
    json.Field("kind", ProblemKindName(problem.kind));
    json.Field("file", problem.file);
    json.Field("line", problem.line);
    json.Field("message", problem.message);
    json.End();
  }
  json.EndArray();
}

// Of any anchor, or of those that the matcher gave.
enum class RecallOf { kAny, kMatched };

std::optional<double> RecallAt(int i, const AnchorRecall& group, RecallOf which) {
  return Of(group, which == RecallOf::kAny ? group.recall(i) : group.matched_recall(i));
}

// By IoU.
void WriteRecall(absl::string_view key, const AnchorRecall& group, RecallOf which, Writer& json) {
  json.Key(key);
  json.Begin();
  for (int i = 0; i < kRecallIous; ++i) json.Field(IouName(i), RecallAt(i, group, which));
  json.End();
}

// "all": 0.9, "small": ...
void WriteBySize(int i, const AnchorRecall& all,
                 const std::array<AnchorRecall, kSizeClasses>& sizes, RecallOf which,
                 Writer& json) {
  json.Begin();
  json.Field("all", RecallAt(i, all, which));
  for (const AnchorRecall& size : sizes) json.Field(size.name, RecallAt(i, size, which));
  json.End();
}

// By IoU and size.
void WriteRecallBySize(absl::string_view key, const AnchorReport& anchors, RecallOf which,
                       Writer& json) {
  json.Key(key);
  json.Begin();
  for (int i = 0; i < kRecallIous; ++i) {
    json.Key(IouName(i));
    WriteBySize(i, anchors.all, anchors.sizes, which, json);
  }
  json.End();
}

void WriteDistribution(absl::string_view key, const Distribution& distribution, Writer& json) {
  json.Key(key);
  json.Begin();
  json.Field("count", distribution.count);
  json.Field("mean", distribution.mean);
  json.Field("minimum", distribution.minimum);
  json.Field("percentile_5", distribution.percentile_5);
  json.Field("percentile_25", distribution.percentile_25);
  json.Field("median", distribution.median);
  json.Field("percentile_75", distribution.percentile_75);
  json.Field("percentile_95", distribution.percentile_95);
  json.Field("maximum", distribution.maximum);
  json.End();
}

void WriteBoxes(absl::string_view key, const BoxStatistics& boxes, Writer& json) {
  json.Key(key);
  json.Begin();
  WriteDistribution("width", boxes.width, json);
  WriteDistribution("height", boxes.height, json);
  WriteDistribution("area", boxes.area, json);
  json.List("aspect_ratios", boxes.aspect_ratios);
  for (int i = 0; i < kSizeClasses; ++i) json.Field(kSizeClassNames[i], boxes.sizes[i]);
  json.End();
}

// `anchors` null: of no group of its own.
void WriteObjects(const ObjectStatistics& objects, const AnchorRecall* anchors, Writer& json) {
  json.Begin();
  if (!objects.name.empty()) json.Field("name", objects.name);
  json.Field("images", objects.images);
  json.Field("boxes", objects.objects);
  json.Field("crowds", objects.crowds);
  json.Field("difficult", objects.difficult);
  if (anchors != nullptr) {
    json.Field("mean_best_iou", Of(*anchors, anchors->mean_iou()));
    json.Field("anchor_recall_50", Of(*anchors, anchors->recall(kHalf)));
    json.Field("without_anchor", anchors->without_anchor);
    WriteRecall("anchor_recall", *anchors, RecallOf::kAny, json);
    WriteRecall("matched_recall", *anchors, RecallOf::kMatched, json);
  }
  WriteBoxes("original", objects.original, json);
  WriteBoxes("view", objects.view, json);
  json.List("positions", objects.positions);
  json.End();
}

void WriteStatistics(const DatasetStatistics& statistics, Writer& json) {
  json.Key("statistics");
  json.Begin();
  json.Field("images_without_objects", statistics.images_without_objects);
  WriteDistribution("image_width", statistics.image_width, json);
  WriteDistribution("image_height", statistics.image_height, json);
  WriteDistribution("objects_per_image", statistics.objects_per_image, json);
  json.List("images_by_objects", statistics.images_by_objects);
  json.Key("all");
  WriteObjects(statistics.all, nullptr, json);
  json.Key("sizes");
  json.BeginArray();
  for (const ObjectStatistics& size : statistics.sizes) WriteObjects(size, nullptr, json);
  json.EndArray();
  json.Key("co_occurrence");
  json.BeginArray();
  const size_t classes = statistics.classes.size();
  for (size_t row = 0; row < classes; ++row) {
    json.BeginArray();
    for (size_t column = 0; column < classes; ++column) {
      json.Integer(statistics.co_occurrence[row * classes + column]);
    }
    json.EndArray();
  }
  json.EndArray();
  json.End();
}

void WritePlace(const TruthPlace& place, Writer& json) {
  json.Field("file", place.file);
  json.Field("line", place.line);
  json.Field("image", place.image);
  json.Field("class", place.class_name);
  json.Field("width", place.width);
  json.Field("height", place.height);
}

void WriteAnchors(const AnchorReport& anchors, Writer& json) {
  const AnchorRecall& all = anchors.all;
  json.Key("anchors");
  json.Begin();
  json.Field("total", anchors.anchors);
  json.Field("truths", all.truths);
  json.Field("left_out", anchors.left_out);
  json.Field("mean_best_iou", Of(all, all.mean_iou()));
  json.Field("mean_matched_iou", Of(all, all.mean_matched_iou()));
  json.Field("without_anchor", all.without_anchor);
  json.Field("positives", all.positives);
  json.List("truths_by_positives", anchors.truths_by_positives);
  json.List("best_iou_histogram", anchors.best_ious);
  json.List("matched_iou_histogram", anchors.matched_ious);
  WriteRecallBySize("matched_recall", anchors, RecallOf::kMatched, json);
  json.Key("levels");
  json.BeginArray();
  for (const AnchorLevelUse& level : anchors.levels) {
    json.Begin();
    json.Field("height", level.map.height);
    json.Field("width", level.map.width);
    json.Field("stride", level.map.stride_y);
    json.Field("anchors", level.anchors);
    json.Field("positives", level.positives);
    json.Field("best_truths", level.best_truths);
    json.Key("recall");
    json.Begin();
    for (int i = 0; i < kRecallIous; ++i) {
      json.Field(IouName(i),
                 Of(all, static_cast<double>(level.reached[i]) / static_cast<double>(all.truths)));
    }
    json.End();
    json.End();
  }
  json.EndArray();
  json.Key("shapes");
  json.BeginArray();
  for (const AnchorShapeUse& shape : anchors.shapes) {
    json.Begin();
    json.Field("level", shape.level + 1);
    json.Field("width", shape.width);
    json.Field("height", shape.height);
    json.Field("positives", shape.positives);
    json.Field("best_truths", shape.best_truths);
    json.End();
  }
  json.EndArray();
  json.List("unused_levels", FindUnused(anchors).levels);
  json.Key("truths_below_half");
  json.BeginArray();
  for (const HardTruth& truth : anchors.below_half) {
    json.Begin();
    WritePlace(truth.place, json);
    json.Field("best_iou", truth.iou);
    json.Field("matched_iou", truth.matched_iou);
    json.End();
  }
  json.EndArray();
  json.End();
}

void WriteCeiling(const DatasetCheck& check, Writer& json) {
  const Ceiling& ceiling = check.ceiling;
  json.Key("ceiling");
  json.Begin();
  json.Key("metrics");
  json.Begin();
  for (const auto& [name, value] : ceiling.metrics.values) json.Field(name, value);
  json.End();
  json.Field("lost", ceiling.lost_to_learn());
  json.Key("reasons");
  json.Begin();
  for (int i = 0; i < kLossReasons; ++i) {
    if (ceiling.reasons[i] == 0) continue;
    json.Field(LossReasonName(static_cast<LossReason>(i)), ceiling.reasons[i]);
  }
  json.End();
  json.Key("lost_truths");
  json.BeginArray();
  for (const NamedLoss& loss : check.losses) {
    json.Begin();
    json.Field("reason", LossReasonName(loss.reason));
    WritePlace(loss.place, json);
    if (loss.other.has_value()) {
      json.Key("other");
      json.Begin();
      WritePlace(*loss.other, json);
      json.Field("iou", loss.iou);
      json.End();
    }
    json.End();
  }
  json.EndArray();
  json.End();
}

void WriteSuggestion(const AnchorSuggestion& suggestion, const AnchorReport& present,
                     Writer& json) {
  json.Key("suggested_anchors");
  json.Begin();
  const bool is_worth_it = IsWorthIt(suggestion, present);
  json.Key("config");
  if (is_worth_it) {
    json.String(suggestion.config);
  } else {
    json.Null();
  }
  json.Field("anchors", suggestion.anchors);
  json.Field("mean_best_iou", suggestion.all.mean_iou());
  json.Field("present_mean_best_iou", present.all.mean_iou());
  json.Key("recall_50");
  WriteBySize(kHalf, suggestion.all, suggestion.sizes, RecallOf::kAny, json);
  json.Key("present_recall_50");
  WriteBySize(kHalf, present.all, present.sizes, RecallOf::kAny, json);
  json.Flag("worth_it", is_worth_it);
  json.Field("verdict", SuggestionVerdict(suggestion, present));
  json.End();
}

void WriteDataset(const DatasetCheck& check, const std::optional<AnchorSuggestion>& suggestion,
                  Writer& json) {
  json.Key(check.name);
  json.Begin();
  json.Field("images", check.statistics.images);
  json.Field("boxes", check.statistics.all.objects + check.statistics.all.crowds);
  json.Field("classes", static_cast<int64_t>(check.statistics.classes.size()));
  WriteProblems(check.problems, json);
  WriteRecallBySize("anchor_recall", check.anchors, RecallOf::kAny, json);
  json.Key("per_class");
  json.BeginArray();
  for (size_t c = 0; c < check.statistics.classes.size(); ++c) {
    WriteObjects(check.statistics.classes[c], &check.anchors.classes[c], json);
  }
  json.EndArray();
  WriteStatistics(check.statistics, json);
  WriteAnchors(check.anchors, json);
  WriteCeiling(check, json);
  if (suggestion.has_value()) WriteSuggestion(*suggestion, check.anchors, json);
  json.End();
}

void WriteOverfit(const OverfitOutcome& overfit, Writer& json) {
  json.Key("overfit");
  json.Begin();
  json.Flag("passed", overfit.has_passed);
  json.Field("verdict", overfit.verdict);
  json.Field("images", overfit.images);
  json.Field("batch_size", overfit.batch_size);
  json.Field("truths", overfit.truths);
  json.Field("steps", overfit.steps);
  json.Field("AP50", overfit.ap50);
  json.Field("ceiling_AP50", overfit.ceiling_ap50);
  json.Key("loss");
  json.BeginArray();
  for (size_t i = 0; i < overfit.loss.x.size(); ++i) {
    json.BeginArray();
    json.Number(overfit.loss.x[i]);
    json.Number(overfit.loss.y[i]);
    json.EndArray();
  }
  json.EndArray();
  json.Key("missed");
  json.BeginArray();
  for (const MissedTruth& missed : overfit.missed) {
    json.Begin();
    WritePlace(missed.place, json);
    json.Field("positives", missed.positives);
    json.Field("found_iou", missed.found_iou);
    json.Field("found_score", missed.found_score);
    json.End();
  }
  json.EndArray();
  json.End();
}

}  // namespace

std::string CheckJson(const CheckReport& report) {
  Writer json;
  json.Begin();
  WriteDataset(report.train, report.suggestion, json);
  WriteDataset(report.validation, std::nullopt, json);
  if (report.overfit.has_value()) WriteOverfit(*report.overfit, json);
  json.End();
  return json.Text();
}

}  // namespace ssd
