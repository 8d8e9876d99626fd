#include "ssd/model/tensor_archive.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>
#include <caffe2/serialize/inline_container.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"
#include "ssd/model/tensor_archive.pb.h"

namespace ssd {
namespace {

using DataType = TensorArchiveIndex::DataType;

constexpr int kVersion = 1;
constexpr char kIndexRecord[] = "index";
constexpr char kTextFolder[] = "text/";
constexpr char kTensorFolder[] = "data/";

constexpr std::array<std::pair<DataType, at::ScalarType>, 10> kDataTypes = {{
    {TensorArchiveIndex::UINT8, at::kByte},
    {TensorArchiveIndex::INT8, at::kChar},
    {TensorArchiveIndex::INT16, at::kShort},
    {TensorArchiveIndex::INT32, at::kInt},
    {TensorArchiveIndex::INT64, at::kLong},
    {TensorArchiveIndex::FLOAT16, at::kHalf},
    {TensorArchiveIndex::FLOAT32, at::kFloat},
    {TensorArchiveIndex::FLOAT64, at::kDouble},
    {TensorArchiveIndex::BOOL, at::kBool},
    {TensorArchiveIndex::BFLOAT16, at::kBFloat16},
}};

DataType ToDataType(at::ScalarType scalar_type) {
  for (const auto& [data_type, candidate] : kDataTypes) {
    if (candidate == scalar_type) return data_type;
  }
  return TensorArchiveIndex::UNKNOWN;
}

at::ScalarType ToScalarType(DataType data_type) {
  for (const auto& [candidate, scalar_type] : kDataTypes) {
    if (candidate == data_type) return scalar_type;
  }
  return at::ScalarType::Undefined;
}

// Calls `read`, and turns what LibTorch throws on a bad container into a status.
template <typename Function>
absl::Status CatchCorruption(const std::string& path, const Function& read) {
  try {
    read();
    return absl::OkStatus();
  } catch (const c10::Error& error) {
    return absl::DataLossError(
        absl::StrCat(path, ": the file is cut off or corrupt: ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return absl::DataLossError(
        absl::StrCat(path, ": the file is cut off or corrupt: ", error.what()));
  }
}

uint32_t Crc32(const void* data, size_t size) {
  return static_cast<uint32_t>(crc32_z(0, static_cast<const Bytef*>(data), size));
}

// Bytes of the elements, or -1 when the shape is no shape, or larger than any memory.
int64_t ByteSize(const TensorArchiveIndex::Entry& entry) {
  int64_t bytes = static_cast<int64_t>(c10::elementSize(ToScalarType(entry.data_type())));
  for (const int64_t size : entry.shape()) {
    if (size < 0) return -1;
    if (size > 0 && bytes > std::numeric_limits<int64_t>::max() / size) return -1;
    bytes *= size;
  }
  return bytes;
}

// False when it is corrupt.
bool ParseIndex(const unsigned char* data, size_t size, TensorArchiveIndex& index) {
  if (size < 4 || size > static_cast<size_t>(std::numeric_limits<int>::max())) return false;
  size -= 4;
  uint32_t checksum = 0;
  for (int i = 3; i >= 0; --i) checksum = checksum << 8 | data[size + i];
  return checksum == Crc32(data, size) && index.ParseFromArray(data, static_cast<int>(size));
}

}  // namespace

void TensorArchiveWriter::AddTensor(absl::string_view name, const Tensor& tensor) {
  CHECK(tensor.defined()) << name;
  CHECK(ToDataType(tensor.scalar_type()) != TensorArchiveIndex::UNKNOWN)
      << name << " is of a type that is not stored: " << c10::toString(tensor.scalar_type());
  CHECK(std::none_of(tensors_.begin(), tensors_.end(),
                     [&](const NamedTensor& other) { return other.name == name; }))
      << "two tensors are called " << name;
  tensors_.push_back({std::string(name), tensor.detach()});
}

void TensorArchiveWriter::AddText(absl::string_view name, absl::string_view text) {
  CHECK(!name.empty());
  CHECK(texts_.emplace(name, text).second) << "two texts are called " << name;
}

absl::Status TensorArchiveWriter::Write(const std::string& path) const {
  AtomicFile file(path);
  SSD_RETURN_IF_ERROR(file.status());
  {
    // The writer is told that all went well even when it did not: it would throw, in its destructor
    // too. file remembers the error.
    caffe2::serialize::PyTorchStreamWriter zip([&file](const void* data, size_t size) {
      file.Append(absl::string_view(static_cast<const char*>(data), size));
      return size;
    });
    TensorArchiveIndex index;
    index.set_version(kVersion);
    for (size_t i = 0; i < tensors_.size() && file.status().ok(); ++i) {
      const Tensor values = tensors_[i].tensor.cpu().contiguous();
      TensorArchiveIndex::Entry& entry = *index.add_tensor();
      entry.set_name(tensors_[i].name);
      entry.set_data_type(ToDataType(values.scalar_type()));
      for (const int64_t size : values.sizes()) entry.add_shape(size);
      if (values.numel() == 0) continue;
      entry.set_record(absl::StrCat(kTensorFolder, i));
      entry.set_crc32(Crc32(values.const_data_ptr(), values.nbytes()));
      zip.writeRecord(entry.record(), values.const_data_ptr(), values.nbytes());
    }
    for (const auto& [name, text] : texts_) {
      TensorArchiveIndex::Text& entry = *index.add_text();
      entry.set_name(name);
      entry.set_crc32(Crc32(text.data(), text.size()));
      zip.writeRecord(absl::StrCat(kTextFolder, name), text.data(), text.size());
    }
    std::string serialized = index.SerializeAsString();
    const uint32_t checksum = Crc32(serialized.data(), serialized.size());
    for (int shift = 0; shift < 32; shift += 8) {
      serialized.push_back(static_cast<char>(checksum >> shift & 0xff));
    }
    zip.writeRecord(kIndexRecord, serialized.data(), serialized.size());
    zip.writeEndOfFile();
  }
  return file.Commit();
}

struct TensorArchiveReader::Content {
  explicit Content(const std::string& path) : zip(path) {}

  caffe2::serialize::PyTorchStreamReader zip;
  TensorArchiveIndex index;
  std::map<std::string, const TensorArchiveIndex::Entry*> tensors;
  std::map<std::string, const TensorArchiveIndex::Text*> texts;
};

TensorArchiveReader::TensorArchiveReader(std::string path, std::unique_ptr<Content> content)
    : path_(std::move(path)), content_(std::move(content)) {
  for (const auto& entry : content_->index.tensor()) tensor_names_.push_back(entry.name());
}

TensorArchiveReader::TensorArchiveReader(TensorArchiveReader&&) noexcept = default;
TensorArchiveReader& TensorArchiveReader::operator=(TensorArchiveReader&&) noexcept = default;
TensorArchiveReader::~TensorArchiveReader() = default;

absl::StatusOr<TensorArchiveReader> TensorArchiveReader::Open(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return FileError(EISDIR, "cannot read", path);
  std::FILE* const file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return FileError(errno, "cannot read", path);
  std::array<char, 4> magic = {};
  const size_t magic_size = std::fread(magic.data(), 1, magic.size(), file);
  std::fclose(file);
  const absl::Status not_ours = absl::InvalidArgumentError(absl::StrCat(
      path, ": this is no model file or checkpoint of this program (those are best.pt, last.pt)"));
  if (magic_size < magic.size() || std::memcmp(magic.data(), "PK\3\4", magic.size()) != 0) {
    return not_ours;
  }
  const auto file_size = std::filesystem::file_size(path, ignored);
  if (ignored) return FileError(ignored.value(), "cannot read", path);

  std::unique_ptr<Content> content;
  bool has_index = false;
  bool parsed = false;
  SSD_RETURN_IF_ERROR(CatchCorruption(path, [&] {
    content = std::make_unique<Content>(path);
    has_index = content->zip.hasRecord(kIndexRecord);
    // Records are not compressed, so none is larger than the file: what claims to be is corrupt.
    if (!has_index) return;
    TORCH_CHECK(content->zip.getRecordSize(kIndexRecord) <= file_size, "a record is too large");
    const auto [data, size] = content->zip.getRecord(kIndexRecord);
    parsed = ParseIndex(static_cast<const unsigned char*>(data.get()), size, content->index);
  }));
  if (!has_index) return not_ours;
  const absl::Status corrupt =
      absl::DataLossError(absl::StrCat(path, ": the file's index is corrupt"));
  if (!parsed) return corrupt;
  if (content->index.version() > kVersion) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": written by a later version (format ",
                                                   content->index.version(),
                                                   ", this program reads up to ", kVersion, ")"));
  }
  // A record that several tensors share, or that they overlap in, would make a small file large.
  std::set<absl::string_view> records;
  uint64_t unclaimed = file_size;
  for (const auto& entry : content->index.tensor()) {
    if (ToScalarType(entry.data_type()) == at::ScalarType::Undefined) return corrupt;
    const int64_t bytes = ByteSize(entry);
    if (bytes < 0 || static_cast<uint64_t>(bytes) > unclaimed) return corrupt;
    unclaimed -= static_cast<uint64_t>(bytes);
    if (bytes > 0 && !records.insert(entry.record()).second) return corrupt;
    if (!content->tensors.emplace(entry.name(), &entry).second) return corrupt;
  }
  for (const auto& entry : content->index.text()) content->texts.emplace(entry.name(), &entry);
  return TensorArchiveReader(path, std::move(content));
}

bool TensorArchiveReader::HasTensor(absl::string_view name) const {
  return content_->tensors.count(std::string(name)) > 0;
}

bool TensorArchiveReader::HasText(absl::string_view name) const {
  return content_->texts.count(std::string(name)) > 0;
}

std::vector<int64_t> TensorArchiveReader::TensorShape(absl::string_view name) const {
  const auto found = content_->tensors.find(std::string(name));
  CHECK(found != content_->tensors.end()) << name;
  return {found->second->shape().begin(), found->second->shape().end()};
}

absl::StatusOr<Tensor> TensorArchiveReader::ReadTensor(absl::string_view name) const {
  const auto found = content_->tensors.find(std::string(name));
  if (found == content_->tensors.end()) {
    return absl::NotFoundError(absl::StrCat(path_, ": has no tensor '", name, "'"));
  }
  const TensorArchiveIndex::Entry& entry = *found->second;
  const std::vector<int64_t> shape(entry.shape().begin(), entry.shape().end());
  Tensor tensor;
  SSD_RETURN_IF_ERROR(CatchCorruption(path_, [&] {
    const size_t bytes = static_cast<size_t>(ByteSize(entry));
    TORCH_CHECK(bytes == 0 || content_->zip.getRecordSize(entry.record()) == bytes, "tensor '",
                entry.name(), "' has another size than the index says");
    tensor = at::empty(shape, ToScalarType(entry.data_type()));
    if (bytes == 0) return;
    content_->zip.getRecord(entry.record(), tensor.mutable_data_ptr(), bytes);
    TORCH_CHECK(Crc32(tensor.const_data_ptr(), bytes) == entry.crc32(), "tensor '", entry.name(),
                "' has the wrong checksum");
  }));
  return tensor;
}

absl::StatusOr<std::string> TensorArchiveReader::ReadText(absl::string_view name) const {
  const auto found = content_->texts.find(std::string(name));
  if (found == content_->texts.end()) {
    return absl::NotFoundError(absl::StrCat(path_, ": has no text '", name, "'"));
  }
  std::string text;
  SSD_RETURN_IF_ERROR(CatchCorruption(path_, [&] {
    const std::string record = absl::StrCat(kTextFolder, name);
    std::error_code ignored;
    TORCH_CHECK(content_->zip.getRecordSize(record) <= std::filesystem::file_size(path_, ignored),
                "a record is too large");
    const auto [data, size] = content_->zip.getRecord(record);
    TORCH_CHECK(Crc32(data.get(), size) == found->second->crc32(), "text '", record,
                "' has the wrong checksum");
    text.assign(static_cast<const char*>(data.get()), size);
  }));
  return text;
}

}  // namespace ssd
