#ifndef SSD_WEIGHTS_TORCH_TENSORS_H_
#define SSD_WEIGHTS_TORCH_TENSORS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/core/types.h"
#include "ssd/tensor_files/element_type.h"
#include "ssd/weights/pickle_value.h"

// Tensors as PyTorch's pickles describe them: records of calls and objects, over storages that
// stand elsewhere in the file.
namespace ssd {

// Whether a tensor comes of `value`: of a call of torch._utils._rebuild_..., or an instance of
// torch.FloatTensor or another of the classes that files before PyTorch 0.2 have.
bool IsTorchTensor(const PickleValue& value);

// Whether it is a storage.
bool IsTorchStorage(const PickleValue& value);

// What a Parameter or Variable of files before PyTorch 0.4 is made of; null for any other value.
const PickleValue* WrappedTensor(const PickleValue& value);

// What a persistent id says about a storage: ("storage", class, key, location, elements), and in
// old files None or the part of the storage that is meant: (key, first element, elements).
struct TorchStorageId {
  const ElementType* type = nullptr;
  std::string key;
  int64_t elements = 0;
  int64_t first = 0;
  int64_t used = 0;

  // Of all of it; nullopt when they are more than any memory has.
  std::optional<int64_t> bytes() const;
};

// \error naming the file `path` and the byte: DataLoss for what is no storage, InvalidArgument for
// a type that is not in kElementTypes.
absl::StatusOr<TorchStorageId> ParseTorchStorageId(const PickleValue& persistent,
                                                   const std::string& path);

// The bytes of a storage in the file. \error naming the file: there is none of that key, or it
// cannot be read.
class TorchStorages {
 public:
  virtual ~TorchStorages() = default;
  virtual absl::StatusOr<absl::string_view> Find(const std::string& key) const = 0;
};

// Makes a pickle's tensors. Each storage is copied once; the tensors are views of it.
class TorchTensorBuilder {
 public:
  // Both must outlive it; `path` names the file in errors.
  TorchTensorBuilder(const std::string& path, const TorchStorages& source)
      : path_(path), source_(source) {}

  // \error naming the file and the byte: InvalidArgument for a tensor that is not dense or of a
  // type that is not in kElementTypes; DataLoss when it leaves its storage; as `source`.
  // Precondition: IsTorchTensor(value).
  absl::StatusOr<Tensor> Build(const PickleValue& value) { return Build(value, 0); }

 private:
  absl::StatusOr<Tensor> Build(const PickleValue& value, int depth);
  absl::StatusOr<Tensor> Call(const PicklePlace& place, const PickleValue& function,
                              const PickleValue& arguments, int depth);
  absl::StatusOr<Tensor> Assemble(const PicklePlace& place, const std::vector<PickleValue*>& parts,
                                  const PickleValue* dtype);
  absl::StatusOr<Tensor> View(const PicklePlace& place, const TorchStorageId& id, int64_t offset,
                              const std::vector<int64_t>& shape,
                              const std::vector<int64_t>& strides);
  absl::StatusOr<Tensor> Storage(const PicklePlace& place, const TorchStorageId& id);

  const std::string& path_;
  const TorchStorages& source_;
  std::map<std::string, Tensor> storages_;  // by key, of one dimension
};

}  // namespace ssd

#endif  // SSD_WEIGHTS_TORCH_TENSORS_H_
