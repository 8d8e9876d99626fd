#include "ssd/weights/caffe_model.h"

#include <ATen/ops/empty.h>
#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ssd/core/status_macros.h"
#include "ssd/tensor_files/element_count.h"
#include "ssd/weights/caffe.pb.h"

namespace ssd {
namespace {

using ::google::protobuf::io::CodedInputStream;

constexpr size_t kMaxDimensions = 16;
constexpr int64_t kMaxMessages = 100'000;  // layers and blobs; far above any model's

// Of a field in protobuf's encoding: the lowest three bits of its tag; the others are its number.
enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// Counts the layers of a net, or the blobs of a layer, and what is in them. A message takes far
// more memory than the two bytes that an empty one has in a file, so this comes before parsing.
// False for what is no message, or one that holds groups, which Caffe's do not.
bool CountMessages(CodedInputStream& input, bool is_net, int64_t& count) {
  for (uint32_t tag = input.ReadTag(); tag != 0; tag = input.ReadTag()) {
    uint64_t number = 0;
    int size = 0;
    switch (tag & 7) {
      case kVarint:
        if (!input.ReadVarint64(&number)) return false;
        break;
      case kFixed64:
        if (!input.Skip(8)) return false;
        break;
      case kFixed32:
        if (!input.Skip(4)) return false;
        break;
      case kBytes: {
        if (!input.ReadVarintSizeAsInt(&size)) return false;
        const int field = static_cast<int>(tag >> 3);
        const bool is_layer =
            field == CaffeNet::kLayersFieldNumber || field == CaffeNet::kLayerFieldNumber;
        const bool is_blob =
            field == CaffeLayer::kBlobsFieldNumber || field == CaffeV1Layer::kBlobsFieldNumber;
        if (is_net ? is_layer : is_blob) ++count;
        if (!is_net || !is_layer) {
          if (!input.Skip(size)) return false;
          break;
        }
        const CodedInputStream::Limit limit = input.PushLimit(size);
        if (!CountMessages(input, false, count)) return false;
        input.PopLimit(limit);
        break;
      }
      default:
        return false;
    }
  }
  return true;
}

std::vector<int64_t> ShapeOf(const CaffeBlob& blob) {
  if (blob.has_shape()) return {blob.shape().dim().begin(), blob.shape().dim().end()};
  return {blob.num(), blob.channels(), blob.height(), blob.width()};
}

class Converter {
 public:
  explicit Converter(const std::string& path) : path_(path) {}

  // Of CaffeLayer and CaffeV1Layer alike.
  template <typename Layer>
  absl::Status Add(const Layer& layer) {
    if (layer.blobs().empty()) return absl::OkStatus();
    if (!names_.insert(layer.name()).second) {
      return absl::DataLossError(
          absl::StrCat(path_, ": two layers with blobs are called '", layer.name(), "'"));
    }
    for (int i = 0; i < layer.blobs_size(); ++i) {
      std::string name = absl::StrCat(layer.name(), "/", i);
      SSD_ASSIGN_OR_RETURN(Tensor tensor, ToTensor(name, layer.blobs(i)));
      file_.tensors.emplace_back(std::move(name), std::move(tensor));
    }
    return absl::OkStatus();
  }

  WeightFile& file() { return file_; }

 private:
  absl::StatusOr<Tensor> ToTensor(const std::string& name, const CaffeBlob& blob) const {
    const std::vector<int64_t> shape = ShapeOf(blob);
    const int64_t floats = blob.data_size();
    const int64_t doubles = blob.double_data_size();
    if (shape.size() > kMaxDimensions || (floats > 0 && doubles > 0) ||
        ElementCount(shape) != std::max(floats, doubles)) {
      return absl::DataLossError(absl::StrCat(path_, ": blob '", name, "' of shape [",
                                              absl::StrJoin(shape, ", "), "] has ", floats,
                                              " floats and ", doubles, " doubles"));
    }
    if (doubles > 0) {
      const Tensor tensor = at::empty(shape, at::kDouble);
      std::copy(blob.double_data().begin(), blob.double_data().end(),
                tensor.mutable_data_ptr<double>());
      return tensor;
    }
    const Tensor tensor = at::empty(shape, at::kFloat);
    std::copy(blob.data().begin(), blob.data().end(), tensor.mutable_data_ptr<float>());
    return tensor;
  }

  const std::string& path_;
  WeightFile file_;
  std::set<std::string> names_;
};

}  // namespace

absl::StatusOr<WeightFile> ParseCaffeModel(absl::string_view bytes, const std::string& path) {
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has ", bytes.size(), " bytes; Caffe's files have less than 2 GiB"));
  }
  const int size = static_cast<int>(bytes.size());
  CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data()), size);
  int64_t messages = 0;
  bool parsed = CountMessages(input, true, messages);
  if (messages > kMaxMessages) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has ", messages, " layers and blobs, more than any Caffe model"));
  }
  CaffeNet net;
  parsed = parsed && net.ParseFromArray(bytes.data(), size);
  if (!parsed) {
    return absl::DataLossError(absl::StrCat(
        path, ": is no Caffe model, or cut off or corrupt within its ", bytes.size(), " bytes"));
  }
  if (net.layer().empty() && net.layers().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is no Caffe model: it has no layers"));
  }
  Converter converter(path);
  for (const CaffeV1Layer& layer : net.layers()) SSD_RETURN_IF_ERROR(converter.Add(layer));
  for (const CaffeLayer& layer : net.layer()) SSD_RETURN_IF_ERROR(converter.Add(layer));
  if (net.has_name()) converter.file().metadata["net"] = net.name();
  return std::move(converter.file());
}

bool LooksLikeCaffeModel(absl::string_view bytes) {
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) return false;
  CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data()),
                         static_cast<int>(bytes.size()));
  // NetParameter's fields that caffe.proto leaves out: input, input_dim, force_backward, state,
  // debug_info, input_shape.
  const std::set<int> numbers = {4, 5, 7};
  const std::set<int> messages_and_texts = {
      CaffeNet::kNameFieldNumber, CaffeNet::kLayersFieldNumber, 3, 6, 8,
      CaffeNet::kLayerFieldNumber};
  bool has_layers = false;
  for (uint32_t tag = input.ReadTag(); tag != 0; tag = input.ReadTag()) {
    const int field = static_cast<int>(tag >> 3);
    if ((tag & 7) == kVarint) {
      uint64_t number = 0;
      if (numbers.count(field) == 0 || !input.ReadVarint64(&number)) return false;
      continue;
    }
    int size = 0;
    if ((tag & 7) != kBytes || messages_and_texts.count(field) == 0 ||
        !input.ReadVarintSizeAsInt(&size) || !input.Skip(size)) {
      return false;
    }
    has_layers |= field == CaffeNet::kLayersFieldNumber || field == CaffeNet::kLayerFieldNumber;
  }
  return has_layers && input.ConsumedEntireMessage();
}

}  // namespace ssd
