#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ssd/weights/sources/tables.h"

namespace ssd {
namespace {

constexpr char kBoxCodes[] = "head.box_codes.";
constexpr char kClassLogits[] = "head.class_logits.";

// Channels [values x anchors] to [anchors x values]. False when they are no multiple of `anchors`.
bool ToAnchorMajor(int64_t anchors, Tensor& tensor) {
  if (tensor.numel() == 0 || tensor.dim() == 0 || anchors <= 0) return false;
  if (tensor.size(0) % anchors != 0) return false;
  const Tensor by_value = tensor.reshape({tensor.size(0) / anchors, anchors, -1});
  tensor = by_value.transpose(0, 1).reshape(tensor.sizes());
  return true;
}

// SSD300.bbox_view() takes a level's output channels as [4 or labels, anchors of a cell], while the
// head here, as everyone else's, has [anchors of a cell, 4 or labels]. The anchors' own order (the
// square, the larger square, a and 1 / a for each aspect ratio) is the same.
absl::Status ReorderHead(std::vector<TranslatedTensor>& tensors) {
  std::map<std::string, int64_t> anchors;  // by "LEVEL.weight", "LEVEL.bias"
  for (const TranslatedTensor& entry : tensors) {
    if (!entry.name || !absl::StartsWith(*entry.name, kBoxCodes) || entry.tensor.dim() == 0) {
      continue;
    }
    anchors[entry.name->substr(sizeof(kBoxCodes) - 1)] = entry.tensor.size(0) / 4;
  }
  for (TranslatedTensor& entry : tensors) {
    if (!entry.name) continue;
    const bool is_codes = absl::StartsWith(*entry.name, kBoxCodes);
    if (!is_codes && !absl::StartsWith(*entry.name, kClassLogits)) continue;
    const size_t prefix = is_codes ? sizeof(kBoxCodes) - 1 : sizeof(kClassLogits) - 1;
    const auto found = anchors.find(entry.name->substr(prefix));
    if (found == anchors.end() || !ToAnchorMajor(found->second, entry.tensor)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the channels of '", entry.file_name, "' belong to no whole anchors"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

// NVIDIA/DeepLearningExamples, PyTorch/Detection/SSD/src/model.py: the backbone is a list of
// torchvision's layers (0 conv1, 1 bn1, 4 to 6 layer1 to layer3).
WeightSource NvidiaSsd300Resnet50() {
  WeightSource source;
  source.id = WeightsOptions::NVIDIA_SSD300_RESNET50;
  source.description = "NVIDIA's SSD300";
  source.signature = {"feature_extractor.feature_extractor.0.weight",
                      "additional_blocks.0.0.weight", "loc.0.weight", "conf.0.weight"};
  source.rules = {
      {"feature_extractor.feature_extractor.0.*", "backbone.conv1.*"},
      {"feature_extractor.feature_extractor.1.*", "backbone.bn1.*"},
      {"feature_extractor.feature_extractor.4.*", "backbone.layer1.*"},
      {"feature_extractor.feature_extractor.5.*", "backbone.layer2.*"},
      {"feature_extractor.feature_extractor.6.*", "backbone.layer3.*"},
      {"additional_blocks.#.0.*", "neck.#.conv1.*"},
      {"additional_blocks.#.1.*", "neck.#.bn1.*"},
      {"additional_blocks.#.3.*", "neck.#.conv2.*"},
      {"additional_blocks.#.4.*", "neck.#.bn2.*"},
      {"loc.#.*", "head.box_codes.#.*"},
      {"conf.#.*", "head.class_logits.#.*"},
  };
  source.input = ImageNetInput();
  source.change_layout = &ReorderHead;
  return source;
}

}  // namespace ssd
