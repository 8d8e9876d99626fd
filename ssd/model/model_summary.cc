#include "ssd/model/model_summary.h"

#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/zeros.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

// How far a map's cells look, and how far apart in the image they are; px.
struct Field {
  double size = 1;
  double stride = 1;
};

bool IsConvolution(absl::string_view operation) { return operation == "conv2d"; }

bool IsPooling(absl::string_view operation) { return absl::StrContains(operation, "_pool2d"); }

// Whether each output cell depends on the cells at its own place alone (as far as an image's own
// pixels go: statistics of a batch or a group are left out, as everywhere).
bool IsPointwise(absl::string_view operation) {
  static const std::set<std::string>* const operations = new std::set<std::string>{
      "add",         "add_",        "batch_norm", "cat",      "clamp",     "clone",
      "contiguous",  "div",         "div_",       "dropout",  "gelu",      "group_norm",
      "hardsigmoid", "hardswish",   "hardswish_", "hardtanh", "hardtanh_", "layer_norm",
      "leaky_relu",  "leaky_relu_", "mul",        "mul_",     "relu",      "relu_",
      "relu6",       "relu6_",      "rsqrt",      "sigmoid",  "silu",      "silu_",
      "square",      "sub",         "sub_",       "to",       "flip"};
  return operations->count(std::string(operation)) > 0;
}

// Whether the operation adds up the channels of each cell, as an L2 norm does.
bool IsSumOverChannels(absl::string_view operation, c10::ArrayRef<const c10::IValue> inputs) {
  return operation == "sum" && inputs.size() > 1 && inputs[1].isIntList() &&
         inputs[1].toIntVector() == std::vector<int64_t>{1};
}

// An operation between its start and its end.
struct Pending : public at::ObserverContext {
  LayerSummary layer;
  bool top_level = false;  // not a part of another one
  bool listed = false;
  bool is_view = false;
  int64_t weights_per_output = 0;
  std::optional<Field> field;
};

// Takes notes of the operations of this thread while it lives.
class Recorder {
 public:
  explicit Recorder(const torch::nn::Module& module) {
    for (const auto& parameter : module.named_parameters()) {
      owners_[parameter.value().unsafeGetTensorImpl()] = {ModuleName(parameter.key()),
                                                          parameter.value().numel()};
    }
    for (const auto& buffer : module.named_buffers()) {
      owners_[buffer.value().unsafeGetTensorImpl()] = {ModuleName(buffer.key()), 0};
    }
    CHECK(active_ == nullptr);
    active_ = this;
    handle_ =
        at::addThreadLocalCallback(at::RecordFunctionCallback(&Recorder::OnStart, &Recorder::OnEnd)
                                       .needsInputs(true)
                                       .needsOutputs(true)
                                       .scopes({at::RecordScope::FUNCTION}));
  }
  ~Recorder() {
    at::removeCallback(handle_);
    active_ = nullptr;
  }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void SetField(const Tensor& map, Field field) {
    fields_[map.unsafeGetTensorImpl()] = field;
    alive_.push_back(map);
  }

  std::vector<LayerSummary> TakeLayers() { return std::move(layers_); }

 private:
  struct Owner {
    std::string module;
    int64_t parameters = 0;
  };

  static std::string ModuleName(const std::string& tensor_name) {
    const size_t dot = tensor_name.rfind('.');
    return dot == std::string::npos ? "" : tensor_name.substr(0, dot);
  }

  static std::unique_ptr<at::ObserverContext> OnStart(const at::RecordFunction& function) {
    auto pending = std::make_unique<Pending>();
    pending->top_level = active_->depth_++ == 0;
    if (pending->top_level) active_->Start(function, *pending);
    return pending;
  }

  static void OnEnd(const at::RecordFunction& function, at::ObserverContext* context) {
    --active_->depth_;
    Pending& pending = *static_cast<Pending*>(context);
    if (pending.top_level) active_->End(function, pending);
  }

  void Start(const at::RecordFunction& function, Pending& pending) {
    const std::string full_name = function.name();
    const size_t colon = full_name.rfind(':');
    const std::string operation =
        colon == std::string::npos ? full_name : full_name.substr(colon + 1);
    const c10::ArrayRef<const c10::IValue> inputs = function.inputs();

    std::optional<Field> field;
    bool has_unknown_map = false;
    const auto look_at = [&](const Tensor& tensor) {
      if (!tensor.defined()) return;
      if (const auto owner = owners_.find(tensor.unsafeGetTensorImpl()); owner != owners_.end()) {
        pending.layer.name = owner->second.module;
        pending.layer.parameters += std::exchange(owner->second.parameters, 0);
        pending.listed = true;
        return;
      }
      const auto found = fields_.find(tensor.unsafeGetTensorImpl());
      if (found == fields_.end()) {
        has_unknown_map |= tensor.dim() == 4 && tensor.size(2) * tensor.size(3) > 1;
        return;
      }
      if (!field) field = found->second;
      field->size = std::max(field->size, found->second.size);
    };
    for (const c10::IValue& input : inputs) {
      if (input.isTensor()) look_at(input.toTensor());
      if (!input.isTensorList()) continue;
      for (const Tensor& tensor : input.toTensorVector()) look_at(tensor);
    }
    if (has_unknown_map) field = std::nullopt;

    pending.layer.type = operation;
    pending.is_view = operation == "view";
    if (IsConvolution(operation)) {
      const Tensor& weight = inputs[1].toTensor();
      pending.weights_per_output = weight.numel() / weight.size(0);
      const std::vector<int64_t> dilation = inputs[5].toIntVector();
      Slide(weight.sizes().slice(2), inputs[3].toIntVector(), dilation, pending, field);
    } else if (operation == "linear") {
      pending.weights_per_output = inputs[1].toTensor().size(1);
      field = std::nullopt;
    } else if (IsPooling(operation)) {
      pending.listed = true;
      if (pending.layer.name.empty()) pending.layer.name = "(pooling)";
      if (absl::StartsWith(operation, "adaptive")) {
        field = std::nullopt;
      } else {
        const std::vector<int64_t> kernel = inputs[1].toIntVector();
        const std::vector<int64_t> stride = inputs[2].toIntVector();
        const std::vector<int64_t> dilation =
            absl::StartsWith(operation, "max") ? inputs[4].toIntVector() : std::vector<int64_t>{1};
        Slide(kernel, stride.empty() ? kernel : stride, dilation, pending, field);
      }
    } else if (!IsPointwise(operation) && !IsSumOverChannels(operation, inputs)) {
      field = std::nullopt;
    }
    pending.field = field;
  }

  // Windows are square here, or the longer side counts.
  static void Slide(c10::ArrayRef<int64_t> kernel, const std::vector<int64_t>& stride,
                    const std::vector<int64_t>& dilation, Pending& pending,
                    std::optional<Field>& field) {
    const int64_t height = kernel.front();
    const int64_t width = kernel.back();
    absl::StrAppend(&pending.layer.type, " ", height, "x", width);
    if (stride.front() != 1) absl::StrAppend(&pending.layer.type, "/", stride.front());
    if (dilation.front() != 1) absl::StrAppend(&pending.layer.type, " dilated ", dilation.front());
    if (!field) return;
    field->size +=
        static_cast<double>((std::max(height, width) - 1) * dilation.front()) * field->stride;
    field->stride *= static_cast<double>(stride.front());
  }

  void End(const at::RecordFunction& function, Pending& pending) {
    const std::vector<c10::IValue>& outputs = function.outputs();
    if (outputs.empty() || !outputs[0].isTensor()) return;
    const Tensor& output = outputs[0].toTensor();
    if (pending.field) SetField(output, *pending.field);
    if (!pending.listed) return;
    LayerSummary& layer = pending.layer;
    if (pending.is_view) {
      // A parameter in another shape is still that parameter, of the layer that will use it.
      owners_[output.unsafeGetTensorImpl()] = {layer.name, layer.parameters};
      alive_.push_back(output);
      return;
    }
    layer.output_shape.assign(output.sizes().begin() + (output.dim() > 0), output.sizes().end());
    layer.multiply_adds = output.numel() * pending.weights_per_output;
    if (pending.field) layer.receptive_field = pending.field->size;
    layers_.push_back(std::move(layer));
  }

  static thread_local Recorder* active_;

  at::CallbackHandle handle_ = at::INVALID_CALLBACK_HANDLE;
  int depth_ = 0;
  std::map<const c10::TensorImpl*, Owner> owners_;
  std::map<const c10::TensorImpl*, Field> fields_;
  std::vector<Tensor> alive_;  // whose addresses must not be used again
  std::vector<LayerSummary> layers_;
};

thread_local Recorder* Recorder::active_ = nullptr;

}  // namespace

ModelSummary SummarizeModel(SsdDetector& detector) {
  at::NoGradGuard no_grad;
  const bool was_training = detector.is_training();
  detector.eval();
  const ImageSize input = detector.input_size();
  const Tensor image = at::zeros({1, 3, input.height, input.width},
                                 at::device(detector.anchors().boxes.device()).dtype(at::kByte));
  ModelSummary summary;
  {
    Recorder recorder(detector);
    recorder.SetField(image, Field());
    detector.Forward(image);
    summary.layers = recorder.TakeLayers();
  }
  detector.train(was_training);
  for (const LayerSummary& layer : summary.layers) summary.multiply_adds += layer.multiply_adds;
  for (const Tensor& parameter : detector.parameters()) summary.parameters += parameter.numel();
  return summary;
}

}  // namespace ssd
