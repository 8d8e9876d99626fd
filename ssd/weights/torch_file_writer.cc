#include "ssd/weights/torch_file_writer.h"

#include <caffe2/serialize/inline_container.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ssd/core/file.h"
#include "ssd/tensor_files/element_type.h"
#include "ssd/tensor_files/little_endian.h"

namespace ssd {
namespace {

// Writes a pickle of protocol 2 as Python's pickle module does, which remembers every value that it
// may have to refer to again, whether it does or not.
class Pickler {
 public:
  void Byte(unsigned char byte) { bytes_.push_back(static_cast<char>(byte)); }

  // Not negative.
  void Integer(int64_t value) {
    const uint64_t number = static_cast<uint64_t>(value);
    size_t width = 1;
    if (value < 0x100) {
      Byte('K');
    } else if (value < 0x10000) {
      Byte('M');
      width = 2;
    } else if (value <= std::numeric_limits<int32_t>::max()) {
      Byte('J');
      width = 4;
    } else {
      // As few bytes as leave room for the sign.
      for (width = 5; width < 8 && number >> (8 * width - 1) != 0;) ++width;
      Byte(0x8a);
      Byte(static_cast<unsigned char>(width));
    }
    AppendLittleEndian(number, width, bytes_);
  }

  void String(absl::string_view text) {
    Byte('X');
    AppendLittleEndian(text.size(), 4, bytes_);
    absl::StrAppend(&bytes_, text);
    Remember();
  }

  // A string or a class that comes again and again is written once.
  void SharedString(const std::string& text) {
    if (Recall(text)) return;
    String(text);
    shared_[text] = remembered_ - 1;
  }
  void Global(const std::string& module, const std::string& name) {
    const std::string line = absl::StrCat(module, "\n", name, "\n");
    if (Recall(line)) return;
    Byte('c');
    absl::StrAppend(&bytes_, line);
    Remember();
    shared_[line] = remembered_ - 1;
  }

  void Tuple(at::IntArrayRef numbers) {
    if (numbers.size() > 3) Byte('(');
    for (const int64_t number : numbers) Integer(number);
    EndTuple(numbers.size());
  }

  // Of the `size` values before; above three they began with a mark.
  void EndTuple(size_t size) {
    constexpr unsigned char kOpcodes[] = {')', 0x85, 0x86, 0x87};
    Byte(size > 3 ? 't' : kOpcodes[size]);
    if (size > 0) Remember();
  }

  void Reduce() {
    Byte('R');
    Remember();
  }

  void EmptyOrderedDict() {
    Global("collections", "OrderedDict");
    EndTuple(0);
    Reduce();
  }

  const std::string& bytes() const { return bytes_; }

 private:
  void Remember() {
    const bool is_short = remembered_ < 0x100;
    Byte(is_short ? 'q' : 'r');
    AppendLittleEndian(remembered_, is_short ? 1 : 4, bytes_);
    ++remembered_;
  }

  bool Recall(const std::string& key) {
    const auto found = shared_.find(key);
    if (found == shared_.end()) return false;
    const bool is_short = found->second < 0x100;
    Byte(is_short ? 'h' : 'j');
    AppendLittleEndian(found->second, is_short ? 1 : 4, bytes_);
    return true;
  }

  std::string bytes_;
  uint64_t remembered_ = 0;
  std::map<std::string, uint64_t> shared_;
};

void PickleTensor(const Tensor& tensor, const ElementType& type, size_t key, Pickler& pickler) {
  pickler.Global("torch._utils", "_rebuild_tensor_v2");
  pickler.Byte('(');
  pickler.Byte('(');
  pickler.SharedString("storage");
  pickler.Global("torch", type.storage_class);
  pickler.String(absl::StrCat(key));
  pickler.SharedString("cpu");
  pickler.Integer(tensor.numel());
  pickler.EndTuple(5);
  pickler.Byte('Q');
  pickler.Integer(0);
  pickler.Tuple(tensor.sizes());
  pickler.Tuple(tensor.strides());
  pickler.Byte(0x89);
  pickler.EmptyOrderedDict();
  pickler.EndTuple(6);
  pickler.Reduce();
}

}  // namespace

absl::Status WriteTorchFile(const std::string& path, const NamedTensors& weights) {
  // Python's pickle module writes items in groups of this size.
  constexpr size_t kBatch = 1000;
  std::vector<Tensor> rows;
  Pickler pickler;
  pickler.Byte(0x80);
  pickler.Byte(2);
  pickler.EmptyOrderedDict();
  for (size_t i = 0; i < weights.tensors.size(); ++i) {
    const auto& [name, tensor] = weights.tensors[i];
    const ElementType* const type = FindElementType(tensor.scalar_type());
    if (type == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": cannot write: tensor '", name, "' is of type ",
                       c10::toString(tensor.scalar_type()), ", which is not written"));
    }
    const size_t group = std::min(kBatch, weights.tensors.size() - i / kBatch * kBatch);
    if (i % kBatch == 0 && group > 1) pickler.Byte('(');
    rows.push_back(tensor.detach().cpu().contiguous());
    pickler.String(name);
    PickleTensor(rows.back(), *type, i, pickler);
    if (i % kBatch == group - 1) pickler.Byte(group > 1 ? 'u' : 's');
  }
  pickler.Byte('.');

  std::string content;
  {
    caffe2::serialize::PyTorchStreamWriter zip([&content](const void* data, size_t size) {
      content.append(static_cast<const char*>(data), size);
      return size;
    });
    zip.writeRecord("data.pkl", pickler.bytes().data(), pickler.bytes().size());
    constexpr absl::string_view kByteOrder = "little";
    zip.writeRecord("byteorder", kByteOrder.data(), kByteOrder.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      const void* const data = rows[i].numel() > 0 ? rows[i].const_data_ptr() : "";
      zip.writeRecord(absl::StrCat("data/", i), data, rows[i].nbytes());
    }
    zip.writeEndOfFile();
  }
  return WriteFileAtomically(path, content);
}

}  // namespace ssd
