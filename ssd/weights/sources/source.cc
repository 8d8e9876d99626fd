#include "ssd/weights/sources/source.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ssd/weights/sources/tables.h"

namespace ssd {
namespace {

bool HasSignature(const WeightFile& file, const WeightSource& source) {
  const auto is_known = [&source](const auto& entry) {
    return Rename(source.rules, entry.first).has_value();
  };
  if (source.has_all_names && !std::all_of(file.tensors.begin(), file.tensors.end(), is_known)) {
    return false;
  }
  return std::all_of(source.signature.begin(), source.signature.end(), [&](const auto& wanted) {
    const NameRule rule = {wanted, ""};
    return std::any_of(file.tensors.begin(), file.tensors.end(), [&](const auto& entry) {
      return Rename(absl::MakeConstSpan(&rule, 1), entry.first).has_value();
    });
  });
}

}  // namespace

TrainedInput ImageNetInput() { return {false, {123.675, 116.28, 103.53}, {58.395, 57.12, 57.375}}; }

TrainedInput TorchvisionSsd300Input() {
  return {false, {0.48235 * 255, 0.45882 * 255, 0.40784 * 255}, {1, 1, 1}};
}

void AddConvolution(const std::string& from, const std::string& to, std::vector<NameRule>& rules) {
  for (const char* const kind : {".weight", ".bias"}) {
    rules.push_back({absl::StrCat(from, kind), absl::StrCat(to, kind)});
  }
}

bool AreAlike(const TrainedInput& trained, const TrainedInput& fed) {
  constexpr double kTolerance = 2.55;
  if (trained.bgr != fed.bgr) return false;
  for (size_t i = 0; i < trained.mean.size(); ++i) {
    // Black and white as the network gets to see them, back in units of pixel values.
    for (const double value : {0.0, 255.0}) {
      const double seen = (value - fed.mean[i]) / fed.deviation[i] * trained.deviation[i];
      if (std::abs(seen - (value - trained.mean[i])) > kTolerance) return false;
    }
  }
  return true;
}

std::string InputText(const TrainedInput& input) {
  return absl::StrCat("input { channel_order: ", input.bgr ? "BGR" : "RGB", " mean: [",
                      absl::StrJoin(input.mean, ", "), "] std: [",
                      absl::StrJoin(input.deviation, ", "), "] }");
}

std::string UnknownInputText(const WeightSource& source) {
  std::vector<std::string> published;
  for (const PublishedInput& entry : source.published_inputs) {
    published.push_back(absl::StrCat(entry.file, " on ", InputText(entry.input)));
  }
  return absl::StrCat("the file does not tell what its weights were trained on",
                      published.empty() ? "" : "; of those that are published, ",
                      absl::StrJoin(published, ", "));
}

const std::vector<WeightSource>& WeightSources() {
  static const auto* const sources = new std::vector<WeightSource>{
      OwnSource(),
      CaffeSsd300(),
      CaffeVgg16Reducedfc(),
      NvidiaSsd300Resnet50(),
      AmdegrootSsd300(),
      TorchvisionSsd300Vgg16(),
      TorchvisionSsdlite320(),
      TorchvisionResnet(),
      TorchvisionMobilenetV2(),
      TorchvisionMobilenetV3Large(),
      TorchvisionVgg16(),
      TorchvisionVgg16Bn(),
      Vgg16Reducedfc(),
      OwnBackbone(),
  };
  return *sources;
}

absl::StatusOr<const WeightSource*> FindSource(WeightsOptions::Source id, const WeightFile& file,
                                               const std::string& path) {
  for (const WeightSource& source : WeightSources()) {
    const bool is_it = id == WeightsOptions::AUTO ? HasSignature(file, source) : source.id == id;
    if (is_it) return &source;
  }
  constexpr size_t kShown = 3;
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(kShown, file.tensors.size()); ++i) {
    names.push_back(absl::StrCat("'", file.tensors[i].first, "'"));
  }
  std::vector<std::string> known;
  for (const WeightSource& source : WeightSources()) known.push_back(source.description);
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": its ", file.tensors.size(), " tensors (", absl::StrJoin(names, ", "),
                   file.tensors.size() > kShown ? ", ..." : "",
                   ") are named as none of the known sources has "
                   "them: ",
                   absl::StrJoin(known, ", "), "; set `source`, or rename them"));
}

absl::StatusOr<std::vector<TranslatedTensor>> Translate(const WeightSource& source,
                                                        const WeightFile& file,
                                                        const std::string& path) {
  std::vector<TranslatedTensor> tensors;
  for (const auto& [name, tensor] : file.tensors) {
    tensors.push_back({Rename(source.rules, name), name, tensor});
  }
  if (source.change_layout != nullptr) {
    const absl::Status changed = source.change_layout(tensors);
    if (!changed.ok()) {
      return absl::Status(changed.code(),
                          absl::StrCat(path, ": as ", source.description, ": ", changed.message()));
    }
  }
  return tensors;
}

}  // namespace ssd
