#include "ssd/model/model_file.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ssd/core/logging.h"
#include "ssd/core/random_state.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"
#include "ssd/model/model_file.pb.h"

namespace ssd {
namespace {

constexpr char kModelText[] = "model";
constexpr char kLabelsText[] = "labels";
constexpr char kExperimentText[] = "experiment";
constexpr char kModelPrefix[] = "model";
constexpr char kAnchors[] = "anchors";
constexpr size_t kMaxProblemsShown = 3;

std::vector<std::pair<std::string, Tensor>> StateOf(const torch::nn::Module& module) {
  std::vector<std::pair<std::string, Tensor>> state;
  for (const auto& parameter : module.named_parameters()) {
    state.emplace_back(parameter.key(), parameter.value());
  }
  for (const auto& buffer : module.named_buffers()) {
    state.emplace_back(buffer.key(), buffer.value());
  }
  return state;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// `text` of the archive, parsed. Whatever is wrong with it names the file.
absl::Status ReadProto(const TensorArchiveReader& reader, absl::string_view text,
                       google::protobuf::Message& message) {
  if (!reader.HasText(text)) {
    return absl::InvalidArgumentError(
        absl::StrCat(reader.path(), ": this file holds no whole model (text '", text,
                     "' is missing); model files are called best.pt"));
  }
  SSD_ASSIGN_OR_RETURN(const std::string content, reader.ReadText(text));
  return ParseTextProto(content, absl::StrCat(reader.path(), "/", text), message);
}

absl::Status InFile(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace

absl::Status SaveModel(const std::string& path, const SsdDetector& detector, const LabelMap& labels,
                       absl::string_view experiment) {
  CHECK_EQ(labels.num_classes(), detector.num_classes());
  CHECK_EQ(labels.names.size(), labels.source_ids.size());
  SavedLabels saved_labels;
  for (size_t i = 0; i < labels.names.size(); ++i) {
    SavedLabels::Class& saved = *saved_labels.add_classes();
    saved.set_name(labels.names[i]);
    saved.set_source_id(labels.source_ids[i]);
  }
  TensorArchiveWriter writer;
  writer.AddText(kModelText, PrintTextProto(detector.config()));
  writer.AddText(kLabelsText, PrintTextProto(saved_labels));
  writer.AddText(kExperimentText, experiment);
  AddState(kModelPrefix, detector, writer);
  if (detector.config().anchor_generator().has_from_file()) {
    writer.AddTensor(kAnchors, detector.anchors().boxes);
  }
  return writer.Write(path);
}

absl::StatusOr<SavedModel> LoadModel(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const TensorArchiveReader reader, TensorArchiveReader::Open(path));
  ModelConfig config;
  SSD_RETURN_IF_ERROR(ReadProto(reader, kModelText, config));
  SavedLabels saved_labels;
  SSD_RETURN_IF_ERROR(ReadProto(reader, kLabelsText, saved_labels));
  SavedModel model;
  if (reader.HasText(kExperimentText)) {
    SSD_ASSIGN_OR_RETURN(model.experiment, reader.ReadText(kExperimentText));
  }
  for (const SavedLabels::Class& saved : saved_labels.classes()) {
    model.labels.names.push_back(saved.name());
    model.labels.source_ids.push_back(saved.source_id());
  }
  if (model.labels.num_classes() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": the model has no classes"));
  }
  Tensor anchors;
  if (reader.HasTensor(kAnchors)) {
    SSD_ASSIGN_OR_RETURN(anchors, reader.ReadTensor(kAnchors));
    if (anchors.dim() != 2 || anchors.size(1) != 4 || anchors.scalar_type() != at::kFloat) {
      return absl::DataLossError(absl::StrCat(path, ": its anchors are no boxes [A, 4]"));
    }
  }
  {
    const RandomStateScope random_state;
    auto detector = SsdDetector::Create(config, model.labels.num_classes(), anchors);
    if (!detector.ok()) return InFile(path, detector.status());
    model.detector = *std::move(detector);
  }
  const absl::Status loaded = LoadState(reader, kModelPrefix, *model.detector);
  if (absl::IsInvalidArgument(loaded)) return absl::DataLossError(loaded.message());
  SSD_RETURN_IF_ERROR(loaded);
  model.detector->eval();
  return model;
}

void AddState(absl::string_view prefix, const torch::nn::Module& module,
              TensorArchiveWriter& writer) {
  for (const auto& [name, tensor] : StateOf(module)) {
    writer.AddTensor(absl::StrCat(prefix, ".", name), tensor);
  }
}

absl::Status LoadState(const TensorArchiveReader& reader, absl::string_view prefix,
                       torch::nn::Module& module) {
  std::vector<std::string> problems;
  std::map<std::string, Tensor> destinations;
  for (const auto& [name, tensor] : StateOf(module)) {
    const std::string stored = absl::StrCat(prefix, ".", name);
    destinations[stored] = tensor;
    if (!reader.HasTensor(stored)) {
      problems.push_back(absl::StrCat("'", stored, "' is missing"));
    } else if (const auto shape = reader.TensorShape(stored); shape != tensor.sizes().vec()) {
      problems.push_back(absl::StrCat("'", stored, "' has shape ", ShapeText(shape),
                                      ", the model's has ", ShapeText(tensor.sizes().vec())));
    }
  }
  for (const std::string& stored : reader.tensor_names()) {
    if (absl::StartsWith(stored, absl::StrCat(prefix, ".")) && destinations.count(stored) == 0) {
      problems.push_back(absl::StrCat("'", stored, "' is not in the model"));
    }
  }
  if (!problems.empty()) {
    const size_t shown = std::min(problems.size(), kMaxProblemsShown);
    std::string message =
        absl::StrCat(reader.path(), ": the weights do not fit the model: ",
                     absl::StrJoin(problems.begin(), problems.begin() + shown, "; "));
    if (problems.size() > shown) {
      absl::StrAppend(&message, "; and ", problems.size() - shown, " more");
    }
    return absl::InvalidArgumentError(message);
  }

  // All is read before anything is changed.
  std::vector<std::pair<Tensor, Tensor>> copies;
  for (const auto& [stored, destination] : destinations) {
    SSD_ASSIGN_OR_RETURN(Tensor values, reader.ReadTensor(stored));
    copies.emplace_back(destination, std::move(values));
  }
  at::NoGradGuard no_grad;
  for (auto& [destination, values] : copies) destination.copy_(values);
  return absl::OkStatus();
}

}  // namespace ssd
