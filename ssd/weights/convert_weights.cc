#include "ssd/weights/convert_weights.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ssd/core/status_macros.h"
#include "ssd/tensor_files/element_type.h"
#include "ssd/tensor_files/named_tensors.h"
#include "ssd/tensor_files/safetensors.h"
#include "ssd/weights/name_rules.h"
#include "ssd/weights/read_weights.h"
#include "ssd/weights/sources/source.h"
#include "ssd/weights/torch_file_writer.h"
#include "ssd/weights/weight_metadata.h"

namespace ssd {
namespace {

// Whose names torchvision's are, the first that has one for every weight.
constexpr WeightsOptions::Source kTorchvision[] = {
    WeightsOptions::TORCHVISION_SSD300_VGG16,
    WeightsOptions::TORCHVISION_SSDLITE320_MOBILENET_V3_LARGE,
    WeightsOptions::TORCHVISION_RESNET,
    WeightsOptions::TORCHVISION_VGG16,
    WeightsOptions::TORCHVISION_VGG16_BN,
    WeightsOptions::TORCHVISION_MOBILENET_V2,
    WeightsOptions::TORCHVISION_MOBILENET_V3_LARGE,
};

// Whether `name`, one of the detector's, is of a kind that the names of a source show: its
// signature, translated, must be among the weights, so that MobileNets are not called VGGs.
bool HasSignature(const WeightSource& source, const std::vector<TranslatedTensor>& tensors) {
  return std::all_of(source.signature.begin(), source.signature.end(), [&](const auto& wanted) {
    const std::optional<std::string> name = Rename(source.rules, wanted);
    return name && std::any_of(tensors.begin(), tensors.end(),
                               [&](const auto& tensor) { return tensor.name == name; });
  });
}

// The detector's names to torchvision's.
absl::StatusOr<const WeightSource*> ToTorchvision(std::vector<TranslatedTensor>& tensors,
                                                  const std::string& path) {
  std::string nameless;
  for (const WeightsOptions::Source id : kTorchvision) {
    SSD_ASSIGN_OR_RETURN(const WeightSource* const target, FindSource(id, WeightFile(), path));
    if (!HasSignature(*target, tensors)) continue;
    std::vector<std::string> names;
    for (const TranslatedTensor& tensor : tensors) {
      const std::optional<std::string> name = RenameBack(target->rules, *tensor.name);
      if (name) {
        names.push_back(*name);
      } else if (nameless.empty()) {
        nameless = *tensor.name;
      }
    }
    if (names.size() < tensors.size()) continue;
    for (size_t i = 0; i < names.size(); ++i) tensors[i].name = std::move(names[i]);
    return target;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": torchvision has no such network",
      nameless.empty() ? "" : absl::StrCat(": no name for '", nameless, "'"), "; use --names=own"));
}

// Of the backbones, by the detector's names.
constexpr absl::string_view kFirstConvolutions[] = {
    "backbone.conv1.weight", "backbone.features.0.weight", "backbone.features.0.0.weight"};

// Turns the first convolution's input channels.
void TurnChannels(std::vector<TranslatedTensor>& tensors) {
  for (TranslatedTensor& tensor : tensors) {
    const bool is_first = std::find(std::begin(kFirstConvolutions), std::end(kFirstConvolutions),
                                    *tensor.name) != std::end(kFirstConvolutions);
    if (!is_first || tensor.tensor.dim() != 4 || tensor.tensor.size(1) != 3) continue;
    tensor.tensor = tensor.tensor.flip({1});
  }
}

// What whoever feeds the converted network must know. `trained` is of the written weights.
std::string InputNote(const std::optional<TrainedInput>& trained, const WeightSource& source,
                      const WeightSource& target) {
  if (!trained) {
    return absl::StrCat(
        UnknownInputText(source),
        target.input ? absl::StrCat("; ", target.description, " is fed ", InputText(*target.input))
                     : "");
  }
  if (!target.input) return absl::StrCat("the weights were trained on ", InputText(*trained));
  if (AreAlike(*trained, *target.input)) return "";
  return absl::StrCat("the weights were trained on ", InputText(*trained), ", ", target.description,
                      " is fed ", InputText(*target.input), ": give it the weights' mean and std");
}

}  // namespace

absl::StatusOr<Conversion> ConvertWeights(const ConversionOptions& options) {
  const bool is_torch =
      absl::EndsWith(options.output, ".pt") || absl::EndsWith(options.output, ".pth");
  if (!is_torch && !absl::EndsWith(options.output, ".safetensors")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--output='", options.output, "' ends neither in .safetensors nor in .pt or .pth"));
  }
  if (options.names != "torchvision" && options.names != "own") {
    return absl::InvalidArgumentError(
        absl::StrCat("--names='", options.names, "' is neither torchvision nor own"));
  }
  SSD_ASSIGN_OR_RETURN(const WeightFile input, ReadWeights(options.input));
  SSD_ASSIGN_OR_RETURN(const WeightSource* const source,
                       FindSource(WeightsOptions::AUTO, input, options.input));
  SSD_ASSIGN_OR_RETURN(std::vector<TranslatedTensor> translated,
                       Translate(*source, input, options.input));
  Conversion conversion;
  conversion.source = source->description;
  std::vector<TranslatedTensor> tensors;
  for (TranslatedTensor& tensor : translated) {
    if (tensor.name && !tensor.name->empty()) {
      tensors.push_back(std::move(tensor));
    } else {
      conversion.left_out.push_back(tensor.file_name);
    }
  }
  std::optional<TrainedInput> trained = input.input ? input.input : source->input;
  const WeightSource* target = nullptr;
  if (options.names == "torchvision") {
    // All of torchvision's networks are fed RGB.
    if (trained && trained->bgr) {
      TurnChannels(tensors);
      conversion.notes.push_back("the first convolution was turned from BGR to RGB");
      trained->bgr = false;
      std::reverse(trained->mean.begin(), trained->mean.end());
      std::reverse(trained->deviation.begin(), trained->deviation.end());
    }
    SSD_ASSIGN_OR_RETURN(target, ToTorchvision(tensors, options.input));
  } else {
    SSD_ASSIGN_OR_RETURN(target, FindSource(WeightsOptions::OWN, input, options.input));
    if (is_torch && (!input.labels.empty() || trained)) {
      conversion.notes.push_back(absl::StrCat(
          options.output, " keeps no names of classes and no input; a .safetensors file does"));
    }
  }
  conversion.target = target->description;
  std::string note = InputNote(trained, *source, *target);
  if (!note.empty()) conversion.notes.push_back(std::move(note));

  NamedTensors output;
  output.metadata["format"] = "pt";  // as safetensors' own writer says for PyTorch
  AddMetadata(input.labels, trained, output.metadata);
  for (TranslatedTensor& tensor : tensors) {
    const ElementType* const type = FindElementType(tensor.tensor.scalar_type());
    conversion.rows.push_back({*tensor.name, tensor.file_name, tensor.tensor.sizes().vec(),
                               type == nullptr ? "" : type->torch_name});
    conversion.elements += tensor.tensor.numel();
    output.tensors.emplace_back(*tensor.name, std::move(tensor.tensor));
  }
  const absl::Status written =
      is_torch ? WriteTorchFile(options.output, output) : WriteSafetensors(options.output, output);
  if (!written.ok()) return written;
  return conversion;
}

}  // namespace ssd
