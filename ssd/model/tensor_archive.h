#ifndef SSD_MODEL_TENSOR_ARCHIVE_H_
#define SSD_MODEL_TENSOR_ARCHIVE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/core/types.h"

// Files of named tensors and named texts: a zip container as PyTorch writes it (caffe2/serialize),
// with checksums of our own for every record. What the names mean is the business of whoever writes
// them: ssd/model/model_file.h for models, ssd/train for checkpoints.
//
// Equal content in equal order gives equal bytes.
namespace ssd {

// Collects tensors and texts, then writes them at once.
class TensorArchiveWriter {
 public:
  // Keeps a reference: the tensor must not change before Write. Values are stored row by row from
  // any device, whatever the layout in memory. Precondition: the name is new, the tensor is dense
  // and of a type that TensorArchiveIndex.DataType lists.
  void AddTensor(absl::string_view name, const Tensor& tensor);

  // Precondition: the name is new among the texts, not empty, and fit for a path.
  void AddText(absl::string_view name, absl::string_view text);

  // Replaces the file whole or not at all, through an AtomicFile. \error as AtomicFile::status().
  absl::Status Write(const std::string& path) const;

 private:
  struct NamedTensor {
    std::string name;
    Tensor tensor;
  };

  std::vector<NamedTensor> tensors_;
  std::map<std::string, std::string> texts_;
};

// Reads such a file, tensor by tensor, out of its bytes in memory (MappedFile): the file must not
// be cut while this lives; one that a new file replaces, as AtomicFile does, stays readable.
// Movable; several threads may read at once. Safe on files of any origin: sizes are checked before
// memory is taken, nothing in a file is executed.
class TensorArchiveReader {
 public:
  // Reads the index. \error naming the file: NotFound, PermissionDenied; InvalidArgument when it is
  // no tensor archive, or one of a later version; DataLoss when it is cut off or corrupt.
  static absl::StatusOr<TensorArchiveReader> Open(const std::string& path);

  TensorArchiveReader(TensorArchiveReader&&) noexcept;
  TensorArchiveReader& operator=(TensorArchiveReader&&) noexcept;
  ~TensorArchiveReader();

  const std::string& path() const { return path_; }

  // In the order in which they were added.
  const std::vector<std::string>& tensor_names() const { return tensor_names_; }
  bool HasTensor(absl::string_view name) const;
  bool HasText(absl::string_view name) const;

  // Known without reading the values. Precondition: HasTensor(name).
  std::vector<int64_t> TensorShape(absl::string_view name) const;

  // A new tensor on the CPU, contiguous. \error NotFound; DataLoss when the record is corrupt.
  absl::StatusOr<Tensor> ReadTensor(absl::string_view name) const;

  // \error NotFound; DataLoss when the record is corrupt.
  absl::StatusOr<std::string> ReadText(absl::string_view name) const;

 private:
  struct Content;

  TensorArchiveReader(std::string path, std::unique_ptr<Content> content);

  std::string path_;
  std::unique_ptr<Content> content_;
  std::vector<std::string> tensor_names_;
};

}  // namespace ssd

#endif  // SSD_MODEL_TENSOR_ARCHIVE_H_
