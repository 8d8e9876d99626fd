#include "ssd/weights/load_weights.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "ssd/core/glob.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"
#include "ssd/model/multibox_head.h"
#include "ssd/weights/class_rows.h"
#include "ssd/weights/read_weights.h"
#include "ssd/weights/sources/source.h"
#include "ssd/weights/weight_metadata.h"

namespace ssd {
namespace {

constexpr char kBackbone[] = "backbone.";
constexpr char kBoxCodes[] = "head.box_codes.";
constexpr char kClassLogits[] = "head.class_logits.";
constexpr int64_t kCodesPerBox = 4;
constexpr size_t kMaxProblemsShown = 5;

std::string ShapeText(at::IntArrayRef shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

template <typename Patterns>
bool MatchesAny(const Patterns& patterns, absl::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [name](const auto& pattern) { return MatchesGlob(pattern, name); });
}

// Counters of norms' running averages, which files before 2018 lack and frozen norms have not.
bool IsCounter(absl::string_view name) { return absl::EndsWith(name, ".num_batches_tracked"); }

// The level whose predictions a weight of `convolutions` (kClassLogits, kBoxCodes) makes, counted
// from 0; nullopt for any other weight. Of a separable head that is the convolution behind the
// depthwise one.
std::optional<size_t> LevelOf(absl::string_view name, absl::string_view convolutions) {
  if (!absl::ConsumePrefix(&name, convolutions)) return std::nullopt;
  const size_t dot = name.find('.');
  size_t level = 0;
  if (dot == absl::string_view::npos || !absl::SimpleAtoi(name.substr(0, dot), &level)) {
    return std::nullopt;
  }
  name.remove_prefix(dot + 1);
  absl::ConsumePrefix(&name, "1.");
  if (name != "weight" && name != "bias") return std::nullopt;
  return level;
}

// `current` with the logits that have a row replaced: [anchors x logits, ...] from
// [anchors x rows, ...].
Tensor WithRows(const Tensor& current, const Tensor& stored, int64_t anchors,
                const std::vector<int64_t>& chosen) {
  Tensor result = current.detach().cpu().contiguous().clone();
  const int64_t logits = static_cast<int64_t>(chosen.size());
  Tensor destination = result.view({anchors, logits, -1});
  const Tensor rows = stored.reshape({anchors, stored.size(0) / anchors, -1});
  for (int64_t logit = 0; logit < logits; ++logit) {
    const int64_t row = chosen[static_cast<size_t>(logit)];
    if (row >= 0) destination.select(1, logit).copy_(rows.select(1, row));
  }
  return result;
}

// Whether all dimensions but the first are equal, and there are elements in both.
bool AlikeButForRows(const Tensor& a, const Tensor& b) {
  return a.dim() == b.dim() && a.dim() > 0 && a.numel() > 0 && b.numel() > 0 &&
         a.sizes().slice(1) == b.sizes().slice(1);
}

class Loader {
 public:
  Loader(const WeightsOptions& options, const LabelMap& labels, SsdDetector& detector)
      : options_(options), labels_(labels), detector_(detector) {}

  absl::StatusOr<LoadReport> Run() {
    if (options_.path().empty()) {
      return absl::InvalidArgumentError(
          "model.weights.path is not set; name the file, or remove model.weights");
    }
    SSD_ASSIGN_OR_RETURN(const WeightFile file, ReadWeights(options_.path()));
    SSD_ASSIGN_OR_RETURN(const WeightSource* const source,
                         FindSource(options_.source(), file, options_.path()));
    report_.source = source->description;
    if (source->backbone_only && !BackboneOnly()) {
      return absl::InvalidArgumentError(
          absl::StrCat(options_.path(), ": the weights of ", source->description,
                       " are a backbone's, without a head; set model.weights.part: BACKBONE"));
    }
    SSD_ASSIGN_OR_RETURN(const std::vector<TranslatedTensor> tensors,
                         Translate(*source, file, options_.path()));
    CollectDestinations();
    CountAnchors(tensors);
    for (const TranslatedTensor& tensor : tensors) {
      SSD_RETURN_IF_ERROR(Place(tensor, *source, file.labels));
    }
    for (const auto& [name, destination] : destinations_) {
      if (placed_.count(name) > 0) continue;
      report_.missing.push_back(name);
      if (IsCounter(name) || MatchesAny(source->may_be_missing, name)) continue;
      if (MatchesAny(options_.allow_missing(), name)) continue;
      problems_.push_back(absl::StrCat("'", name, "' is missing (allow_missing)"));
    }
    SSD_RETURN_IF_ERROR(Judge());
    Copy();
    if (!options_.class_row().empty() && !rows_chosen_) {
      report_.notes.push_back("class_row has no effect: no class logits of the file are loaded");
    }
    NoteInput(file.input ? file.input : source->input, *source);
    return std::move(report_);
  }

 private:
  bool BackboneOnly() const { return options_.part() == WeightsOptions::BACKBONE; }

  // Notes an input that is not what the weights were trained on, or may not be.
  void NoteInput(const std::optional<TrainedInput>& trained, const WeightSource& source) {
    const std::optional<TrainedInput> fed = InputOf(detector_.config().input());
    if (trained && (!fed || AreAlike(*trained, *fed))) return;
    report_.notes.push_back(
        absl::StrCat(trained ? absl::StrCat("the weights were trained on ", InputText(*trained))
                             : UnknownInputText(source),
                     fed ? absl::StrCat(", the detector has ", InputText(*fed)) : ""));
  }

  void CollectDestinations() {
    const auto add = [this](const std::string& name, const Tensor& tensor) {
      if (BackboneOnly() && !absl::StartsWith(name, kBackbone)) return;
      destinations_[name] = tensor;
    };
    for (const auto& parameter : detector_.named_parameters()) {
      add(parameter.key(), parameter.value());
    }
    for (const auto& buffer : detector_.named_buffers()) add(buffer.key(), buffer.value());
  }

  // Boxes a cell of the file's levels, which the convolutions of the box codes tell.
  void CountAnchors(const std::vector<TranslatedTensor>& tensors) {
    for (const TranslatedTensor& tensor : tensors) {
      const std::optional<size_t> level = LevelOf(tensor.name.value_or(""), kBoxCodes);
      if (level && tensor.tensor.dim() > 0) {
        file_anchors_[*level] = tensor.tensor.size(0) / kCodesPerBox;
      }
    }
  }

  // What is to be said when the file has another number of boxes a cell of the level than the
  // detector, so that its logits are those of other boxes; "" otherwise.
  std::string OtherAnchors(size_t level) const {
    const auto found = file_anchors_.find(level);
    if (found == file_anchors_.end() || level >= detector_.anchors_per_cell().size()) return "";
    const int64_t anchors = detector_.anchors_per_cell()[level];
    if (found->second == anchors) return "";
    return absl::StrCat(": the file has ", found->second, " boxes a cell of level ", level,
                        ", the detector ", anchors);
  }

  // Finds out where a weight of the file goes.
  absl::Status Place(const TranslatedTensor& tensor, const WeightSource& source,
                     const std::vector<std::string>& file_labels) {
    if (tensor.name && tensor.name->empty()) return absl::OkStatus();
    if (tensor.name && BackboneOnly() && !absl::StartsWith(*tensor.name, kBackbone)) {
      return absl::OkStatus();
    }
    const auto destination = tensor.name ? destinations_.find(*tensor.name) : destinations_.end();
    if (destination == destinations_.end()) {
      const std::string name = tensor.name.value_or(tensor.file_name);
      if (IsCounter(name)) return absl::OkStatus();
      report_.unused.push_back(tensor.file_name);
      const bool allowed = MatchesAny(source.may_be_unused, name) ||
                           MatchesAny(options_.allow_unused(), name) ||
                           MatchesAny(options_.allow_unused(), tensor.file_name);
      if (!allowed) {
        problems_.push_back(absl::StrCat("the file's '", tensor.file_name,
                                         "' has no place in the detector (allow_unused)"));
      }
      return absl::OkStatus();
    }
    const std::string& name = destination->first;
    if (!placed_.insert(name).second) {
      problems_.push_back(
          absl::StrCat("'", name, "' comes twice, as '", tensor.file_name, "' too"));
      return absl::OkStatus();
    }
    Tensor values = tensor.tensor;
    const Tensor& current = destination->second;
    // Whole numbers are a quantized network's, whose scales are elsewhere.
    if (current.is_floating_point() && !values.is_floating_point()) {
      problems_.push_back(absl::StrCat("'", name, "' is of type ",
                                       c10::toString(values.scalar_type()), ", the detector's of ",
                                       c10::toString(current.scalar_type())));
      return absl::OkStatus();
    }
    const std::optional<size_t> level = LevelOf(name, kClassLogits);
    const std::string other_anchors = level ? OtherAnchors(*level) : "";
    const bool may_choose = level && other_anchors.empty();
    if (may_choose) SSD_RETURN_IF_ERROR(ChooseRows(*level, current, file_labels, values));
    // With other boxes equal shapes are chance: 4 boxes of 21 classes, 6 of 14.
    if (values.sizes() != current.sizes() || !other_anchors.empty()) {
      std::string mismatch =
          absl::StrCat("'", name, "' has shape ", ShapeText(tensor.tensor.sizes()),
                       ", the detector's has ", ShapeText(current.sizes()), other_anchors);
      if (!MatchesAny(options_.allow_mismatched(), name) &&
          !MatchesAny(options_.allow_mismatched(), tensor.file_name)) {
        problems_.push_back(absl::StrCat(
            mismatch, may_choose ? " (class_row, allow_mismatched)" : " (allow_mismatched)"));
      }
      report_.mismatched.push_back(std::move(mismatch));
      return absl::OkStatus();
    }
    report_.loaded.push_back(name);
    copies_.emplace_back(current, std::move(values));
    return absl::OkStatus();
  }

  // Brings a weight of the class logits to the detector's classes, where the file's can be told;
  // else leaves it as it is.
  absl::Status ChooseRows(size_t level, const Tensor& current,
                          const std::vector<std::string>& file_labels, Tensor& values) {
    if (level >= detector_.anchors_per_cell().size()) return absl::OkStatus();
    const int64_t anchors = detector_.anchors_per_cell()[level];
    const int64_t logits =
        MultiboxHead::LogitsPerAnchor(detector_.config().head(), detector_.num_classes());
    if (!AlikeButForRows(values, current) || values.size(0) % anchors != 0 ||
        current.size(0) != anchors * logits) {
      return absl::OkStatus();
    }
    const ClassRows classes(options_, file_labels, labels_, logits);
    SSD_ASSIGN_OR_RETURN(const std::optional<std::vector<int64_t>> chosen,
                         classes.Choose(values.size(0) / anchors, report_.notes));
    if (!chosen) return absl::OkStatus();
    values = WithRows(current, values, anchors, *chosen);
    rows_chosen_ = true;
    return absl::OkStatus();
  }

  absl::Status Judge() const {
    if (problems_.empty()) return absl::OkStatus();
    const size_t shown = std::min(problems_.size(), kMaxProblemsShown);
    std::string message = absl::StrCat(
        options_.path(), ": the weights of ", report_.source, " do not fit the detector: ",
        absl::StrJoin(problems_.begin(), problems_.begin() + static_cast<std::ptrdiff_t>(shown),
                      "; "));
    if (problems_.size() > shown) {
      absl::StrAppend(&message, "; and ", problems_.size() - shown, " more");
    }
    absl::StrAppend(&message, "; patterns in model.weights permit what is in brackets");
    return absl::InvalidArgumentError(message);
  }

  void Copy() {
    at::NoGradGuard no_grad;
    for (auto& [destination, values] : copies_) destination.copy_(values);
  }

  const WeightsOptions& options_;
  const LabelMap& labels_;
  SsdDetector& detector_;
  std::map<std::string, Tensor> destinations_;
  std::map<size_t, int64_t> file_anchors_;  // by level
  bool rows_chosen_ = false;
  std::set<std::string> placed_;                   // that the file has
  std::vector<std::pair<Tensor, Tensor>> copies_;  // to, from
  std::vector<std::string> problems_;
  LoadReport report_;
};

}  // namespace

std::string LoadReport::Summary() const {
  const auto named = [](const std::vector<std::string>& names) {
    constexpr size_t kShown = 3;
    const size_t shown = std::min(kShown, names.size());
    return absl::StrCat(
        names.size(), names.empty() ? "" : " (",
        absl::StrJoin(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
        names.size() > shown ? ", ..." : "", names.empty() ? "" : ")");
  };
  return absl::StrCat(loaded.size(), " weights of ", source, " loaded; unused: ", named(unused),
                      "; missing: ", named(missing), "; mismatched: ", named(mismatched));
}

absl::StatusOr<LoadReport> LoadWeights(const WeightsOptions& options, const LabelMap& labels,
                                       SsdDetector& detector) {
  CHECK_EQ(labels.num_classes(), detector.num_classes());
  return Loader(options, labels, detector).Run();
}

}  // namespace ssd
