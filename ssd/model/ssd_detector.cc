#include "ssd/model/ssd_detector.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/core/registry.h"
#include "ssd/model/model_defaults.h"
#include "ssd/model/target_assigner.h"

namespace ssd {
namespace {

// Larger inputs and maps are typing errors, and would overflow or fill the memory.
constexpr int kMaxInputSize = 16384;
constexpr int kMaxLevels = 64;
constexpr int kMaxHeadKernel = 31;
// What matchers and post-processors can count (ssd_matcher.cc, candidates.h), and more than fits
// into the memory of a training step.
constexpr int64_t kMaxAnchors = (int64_t{1} << 24) - 1;
constexpr int64_t kMaxLogits = int64_t{1} << 32;

// An error of the component that `field` of ModelConfig sets, under the field's full path.
// Components name their own options ("backbone.resnet.depth: ...") or another field of the model
// ("num_levels: ...").
absl::Status InModel(absl::string_view field, const absl::Status& status) {
  if (status.ok()) return status;
  const absl::string_view message = status.message();
  const std::string first_name(message.substr(0, message.find_first_of(".:")));
  const bool names_field = ModelConfig::descriptor()->FindFieldByName(first_name) != nullptr;
  return absl::Status(status.code(), names_field ? absl::StrCat("model.", message)
                                                 : absl::StrCat("model.", field, ": ", message));
}

template <typename T>
absl::StatusOr<T> InModel(absl::string_view field, absl::StatusOr<T> result) {
  if (!result.ok()) return InModel(field, result.status());
  return result;
}

absl::Status Check(bool valid, absl::string_view field, double value, absl::string_view rule) {
  return CheckOption(valid, absl::StrCat("model.", field), value, rule);
}

absl::Status ValidateHead(const HeadConfig& head) {
  const int kernel = head.kernel();
  SSD_RETURN_IF_ERROR(Check(kernel > 0 && kernel % 2 == 1 && kernel <= kMaxHeadKernel,
                            "head.kernel", kernel,
                            absl::StrCat("odd and in [1, ", kMaxHeadKernel, "]")));
  const double prior = head.prior_probability();
  if (head.has_prior_probability()) {
    SSD_RETURN_IF_ERROR(
        Check(prior > 0 && prior < 1, "head.prior_probability", prior, "in (0, 1)"));
    if (head.activation() != HeadConfig::SIGMOID) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.head.prior_probability: ", prior,
                       " is of head.activation: SIGMOID only; set that or leave this out"));
    }
  }
  SSD_RETURN_IF_ERROR(
      Check(head.norm_epsilon() > 0, "head.norm_epsilon", head.norm_epsilon(), "> 0"));
  SSD_RETURN_IF_ERROR(Check(head.norm_momentum() > 0 && head.norm_momentum() <= 1,
                            "head.norm_momentum", head.norm_momentum(), "in (0, 1]"));
  if (!head.separable()) {
    for (const char* const name : {"norm_epsilon", "norm_momentum"}) {
      SSD_RETURN_IF_ERROR(CheckUnused(head, name, "model.head.", "separable: true"));
    }
  }
  if (head.has_initial_standard_deviation()) {
    SSD_RETURN_IF_ERROR(Check(head.initial_standard_deviation() > 0,
                              "head.initial_standard_deviation", head.initial_standard_deviation(),
                              "> 0"));
  } else {
    SSD_RETURN_IF_ERROR(
        CheckUnused(head, "truncate_initial_weights", "model.head.", "initial_standard_deviation"));
  }
  if (head.shared() && head.separable()) {
    return absl::InvalidArgumentError(
        "model.head.shared: true does not go with head.separable: true, whose norms differ by "
        "level; set one of them to false");
  }
  return absl::OkStatus();
}

absl::Status Validate(const ModelConfig& config) {
  const InputConfig& input = config.input();
  const auto valid_size = [](int size) { return size > 0 && size <= kMaxInputSize; };
  const std::string size_rule = absl::StrCat("in [1, ", kMaxInputSize, "] pixels");
  SSD_RETURN_IF_ERROR(Check(config.num_levels() > 0 && config.num_levels() <= kMaxLevels,
                            "num_levels", config.num_levels(),
                            absl::StrCat("at least 1 and at most ", kMaxLevels)));
  SSD_RETURN_IF_ERROR(Check(valid_size(input.height()), "input.height", input.height(), size_rule));
  SSD_RETURN_IF_ERROR(Check(valid_size(input.width()), "input.width", input.width(), size_rule));
  for (const auto& [field, values] :
       {std::make_pair("input.mean", &input.mean()), std::make_pair("input.std", &input.std())}) {
    if (values->size() != 3) {
      return absl::InvalidArgumentError(absl::StrCat("model.", field, ": has ", values->size(),
                                                     " values; give one for each of 3 channels"));
    }
    for (const float value : *values) {
      SSD_RETURN_IF_ERROR(Check(std::isfinite(value), field, value, "finite"));
    }
  }
  for (const float value : input.std()) {
    SSD_RETURN_IF_ERROR(Check(value > 0, "input.std", value, "> 0"));
  }
  return ValidateHead(config.head());
}

// The first level, from 1, whose map has no cells; 0: there is none.
size_t EmptyLevel(const std::vector<FeatureSpec>& levels) {
  for (size_t i = 0; i < levels.size(); ++i) {
    if (levels[i].height <= 0 || levels[i].width <= 0) return i + 1;
  }
  return 0;
}

// Whether an image of `size` has no more boxes, and class logits, than the components can count.
absl::Status CheckAnchorCount(absl::string_view field, ImageSize size,
                              const std::vector<FeatureSpec>& levels,
                              const std::vector<int64_t>& anchors_per_cell,
                              int64_t logits_per_anchor) {
  CHECK_EQ(levels.size(), anchors_per_cell.size());
  int64_t anchors = 0;
  for (size_t i = 0; i < levels.size(); ++i) {
    anchors += levels[i].height * levels[i].width * anchors_per_cell[i];
  }
  const bool fits = anchors <= kMaxAnchors && anchors * logits_per_anchor < kMaxLogits;
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      field, anchors, " boxes of ", logits_per_anchor, " class logits each for an image of ",
      size.height, "x", size.width, " are too many; at most ", kMaxAnchors, " boxes and ",
      kMaxLogits, " logits can be told apart: use a smaller image, or fewer boxes a cell"));
}

// Freezing random layers is seldom meant: frozen_stages is for weights that come from a file.
void WarnOfFrozenRandomLayers(const ModelConfig& config) {
  if (config.has_weights()) return;
  const absl::StatusOr<const google::protobuf::Message*> options = SetKind(config.backbone());
  if (!options.ok()) return;
  using google::protobuf::FieldDescriptor;
  const FieldDescriptor* const field =
      (*options)->GetDescriptor()->FindFieldByName("frozen_stages");
  if (field == nullptr || field->is_repeated() ||
      field->cpp_type() != FieldDescriptor::CPPTYPE_INT32) {
    return;
  }
  const int stages = (*options)->GetReflection()->GetInt32(**options, field);
  if (stages <= 0) return;
  LOG(WARNING) << "model.backbone: frozen_stages: " << stages
               << " keeps layers as they are, but model.weights is not set: unless weights are "
                  "loaded, they stay random";
}

// Shared convolutions need levels alike.
absl::Status CheckShared(const HeadConfig& head, const std::vector<FeatureSpec>& levels,
                         const std::vector<int64_t>& anchors_per_cell) {
  for (size_t i = 1; head.shared() && i < levels.size(); ++i) {
    if (levels[i].channels == levels[0].channels && anchors_per_cell[i] == anchors_per_cell[0]) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "model.head.shared: true needs levels alike, but level 1 has ", levels[0].channels,
        " channels and ", anchors_per_cell[0], " anchors a cell, level ", i + 1, " has ",
        levels[i].channels, " and ", anchors_per_cell[i],
        "; choose another neck or anchor_generator, or shared: false"));
  }
  return absl::OkStatus();
}

Tensor PerChannel(const google::protobuf::RepeatedField<float>& values) {
  return at::tensor(at::ArrayRef<float>(values.data(), 3)).view({1, 3, 1, 1});
}

}  // namespace

absl::StatusOr<std::shared_ptr<SsdDetector>> SsdDetector::Create(const ModelConfig& config,
                                                                 int64_t num_classes,
                                                                 const Tensor& file_boxes) {
  CHECK_GT(num_classes, 0);
  ModelConfig resolved = config;
  ResolveModelDefaults(resolved);
  SSD_RETURN_IF_ERROR(Validate(resolved));
  const std::shared_ptr<SsdDetector> detector(new SsdDetector);
  detector->config_ = resolved;
  detector->num_classes_ = num_classes;
  const ImageSize input = detector->input_size();
  const int64_t num_levels = resolved.num_levels();

  SSD_ASSIGN_OR_RETURN(detector->backbone_, InModel("backbone", BackboneRegistry::Get().Create(
                                                                    resolved.backbone(), {input})));
  const std::vector<FeatureSpec> features = detector->backbone_->OutputSpecs(input);
  SSD_ASSIGN_OR_RETURN(
      detector->neck_,
      InModel("neck", NeckRegistry::Get().Create(resolved.neck(), {features, num_levels})));
  detector->levels_ = detector->neck_->OutputSpecs(features);
  CHECK_EQ(static_cast<int64_t>(detector->levels_.size()), num_levels);
  if (const size_t empty = EmptyLevel(detector->levels_); empty > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.num_levels: ", num_levels, " is too large for an input of ",
                     input.height, "x", input.width, ": level ", empty,
                     " has no cells; use at most ", empty - 1, ", or a larger input"));
  }

  SSD_ASSIGN_OR_RETURN(
      detector->anchor_generator_,
      InModel("anchor_generator", AnchorGeneratorRegistry::Get().Create(resolved.anchor_generator(),
                                                                        {num_levels, file_boxes})));
  detector->anchors_per_cell_ = detector->anchor_generator_->AnchorsPerCell();
  SSD_RETURN_IF_ERROR(CheckAnchorCount(
      "model.anchor_generator: ", input, detector->levels_, detector->anchors_per_cell_,
      MultiboxHead::LogitsPerAnchor(resolved.head(), num_classes)));
  SSD_ASSIGN_OR_RETURN(
      detector->anchors_,
      InModel("anchor_generator", detector->anchor_generator_->Generate(detector->levels_, input)));
  SSD_RETURN_IF_ERROR(CheckShared(resolved.head(), detector->levels_, detector->anchors_per_cell_));
  detector->head_ = std::make_shared<MultiboxHead>(detector->levels_, detector->anchors_per_cell_,
                                                   num_classes, resolved.head());
  for (size_t i = 0; i < detector->levels_.size(); ++i) {
    const FeatureSpec& level = detector->levels_[i];
    CHECK_EQ(detector->anchors_.per_level[i],
             level.height * level.width * detector->anchors_per_cell_[i]);
  }

  SSD_ASSIGN_OR_RETURN(detector->matcher_,
                       InModel("matcher", MatcherRegistry::Get().Create(resolved.matcher(), {})));
  SSD_ASSIGN_OR_RETURN(detector->box_coder_, InModel("box_coder", BoxCoderRegistry::Get().Create(
                                                                      resolved.box_coder(), {})));
  const bool sigmoid = resolved.head().activation() == HeadConfig::SIGMOID;
  SSD_ASSIGN_OR_RETURN(
      detector->loss_,
      InModel("loss", LossRegistry::Get().Create(resolved.loss(), {num_classes, sigmoid})));
  SSD_ASSIGN_OR_RETURN(
      detector->post_processor_,
      InModel("post_processor", PostProcessorRegistry::Get().Create(resolved.post_processor(),
                                                                    {num_classes, sigmoid})));
  detector->mean_ = PerChannel(resolved.input().mean());
  detector->std_ = PerChannel(resolved.input().std());

  detector->register_module("backbone", detector->backbone_);
  detector->register_module("neck", detector->neck_);
  detector->register_module("head", detector->head_);
  WarnOfFrozenRandomLayers(resolved);
  return detector;
}

Predictions SsdDetector::Forward(const Tensor& images) {
  const ImageSize input = input_size();
  CHECK(images.dim() == 4 && images.size(1) == 3 && images.size(2) == input.height &&
        images.size(3) == input.width)
      << "images of " << images.sizes() << " for an input of " << input.height << "x"
      << input.width;
  return ForwardAnySize(images);
}

Predictions SsdDetector::ForwardAnySize(const Tensor& images) {
  const bool bgr = config_.input().channel_order() == InputConfig::BGR;
  const Tensor ordered = bgr ? images.flip({1}) : images;
  const Tensor normalized = ordered.to(at::kFloat).sub(mean_).div_(std_);
  return head_->Forward(neck_->Forward(backbone_->Forward(normalized)));
}

absl::StatusOr<Anchors> SsdDetector::AnchorsAt(ImageSize size) const {
  CHECK(size.height > 0 && size.width > 0);
  const std::vector<FeatureSpec> levels = neck_->OutputSpecs(backbone_->OutputSpecs(size));
  if (const size_t empty = EmptyLevel(levels); empty > 0) {
    return absl::InvalidArgumentError(absl::StrCat("level ", empty, " has no cells in an input of ",
                                                   size.height, "x", size.width,
                                                   "; use a larger one"));
  }
  SSD_RETURN_IF_ERROR(
      CheckAnchorCount("", size, levels, anchors_per_cell_,
                       MultiboxHead::LogitsPerAnchor(config_.head(), num_classes_)));
  SSD_ASSIGN_OR_RETURN(Anchors anchors,
                       anchor_generator_->GenerateForImage(levels, input_size(), size));
  anchors.boxes = anchors.boxes.to(anchors_.boxes.device());
  return anchors;
}

Targets SsdDetector::AssignTargets(const Truth& truth) const {
  return ssd::AssignTargets(*matcher_, *box_coder_, truth, anchors_);
}

Losses SsdDetector::ComputeLosses(const Predictions& predictions, const Truth& truth,
                                  LossDetail* per_anchor) const {
  const BoxDecoder decode = [this](const Tensor& codes) {
    return box_coder_->Decode(codes, anchors_.boxes);
  };
  return loss_->Compute(predictions, AssignTargets(truth), decode, per_anchor);
}

Detections SsdDetector::Detect(const Predictions& predictions) const {
  at::NoGradGuard no_grad;
  const Tensor boxes = box_coder_->Decode(predictions.box_codes.to(at::kFloat), anchors_.boxes);
  return post_processor_->Process(boxes, predictions.class_logits.to(at::kFloat));
}

ImageSize SsdDetector::input_size() const {
  return {config_.input().height(), config_.input().width()};
}

void SsdDetector::to(torch::Device device, bool non_blocking) {
  torch::nn::Module::to(device, non_blocking);
  MoveConstants(device, non_blocking);
}

void SsdDetector::to(torch::Device device, torch::Dtype dtype, bool non_blocking) {
  torch::nn::Module::to(device, dtype, non_blocking);
  MoveConstants(device, non_blocking);
}

void SsdDetector::MoveConstants(torch::Device device, bool non_blocking) {
  for (Tensor* tensor : {&anchors_.boxes, &mean_, &std_}) {
    *tensor = tensor->to(device, non_blocking);
  }
}

}  // namespace ssd
