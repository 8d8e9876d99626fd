#include "ssd/model/tensor_archive.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <caffe2/serialize/inline_container.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"
#include "ssd/model/tensor_archive.pb.h"
#include "ssd/tensor_files/element_count.h"
#include "ssd/tensor_files/little_endian.h"
#include "ssd/tensor_files/mapped_file.h"
#include "ssd/tensor_files/zip_archive.h"

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

uint32_t Crc32(const void* data, size_t size) {
  return static_cast<uint32_t>(crc32_z(0, static_cast<const Bytef*>(data), size));
}

std::vector<int64_t> ShapeOf(const TensorArchiveIndex::Entry& entry) {
  return {entry.shape().begin(), entry.shape().end()};
}

// False when it is corrupt.
bool ParseIndex(absl::string_view bytes, TensorArchiveIndex& index) {
  if (bytes.size() < 4 || bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return false;
  }
  const uint64_t checksum = FromLittleEndian(bytes.substr(bytes.size() - 4));
  bytes.remove_suffix(4);
  return checksum == Crc32(bytes.data(), bytes.size()) &&
         index.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
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
    AppendLittleEndian(checksum, 4, serialized);
    zip.writeRecord(kIndexRecord, serialized.data(), serialized.size());
    zip.writeEndOfFile();
  }
  return file.Commit();
}

struct TensorArchiveReader::Content {
  // The bytes of a record. \error naming the file: DataLoss.
  absl::StatusOr<absl::string_view> Read(const std::string& record) const {
    const absl::StatusOr<absl::string_view> bytes = zip.Read(folder + record);
    if (bytes.ok()) return bytes;
    return absl::DataLossError(bytes.status().message());
  }

  // The same of one that the index knows, which was written with that checksum.
  absl::StatusOr<absl::string_view> Read(const std::string& record, uint32_t crc32) const {
    SSD_ASSIGN_OR_RETURN(const absl::string_view bytes, Read(record));
    // That it is the bytes' own, Read() has seen to, unless it is 0.
    if (zip.entries().at(folder + record).crc32 == crc32 &&
        (crc32 != 0 || Crc32(bytes.data(), bytes.size()) == 0)) {
      return bytes;
    }
    return absl::DataLossError(
        absl::StrCat(zip.path(), ": record '", record, "' is not the one that the index means"));
  }

  MappedFile file;
  ZipArchive zip;      // of `file`
  std::string folder;  // of all records in it, with the slash
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
  const absl::Status not_ours = absl::InvalidArgumentError(absl::StrCat(
      path, ": this is no model file or checkpoint of this program (those are best.pt, last.pt)"));
  SSD_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  const absl::string_view bytes = file.bytes();
  if (!absl::StartsWith(bytes, "PK\3\4")) return not_ours;
  SSD_ASSIGN_OR_RETURN(ZipArchive zip, ZipArchive::Open(bytes, path));
  std::string folder;
  for (const auto& [name, entry] : zip.entries()) {
    const size_t slash = name.find('/');
    if (slash != std::string::npos && name.substr(slash + 1) == kIndexRecord) {
      folder = name.substr(0, slash + 1);
    }
  }
  if (folder.empty()) return not_ours;
  auto content = std::make_unique<Content>(
      Content{std::move(file), std::move(zip), std::move(folder), {}, {}, {}});
  SSD_ASSIGN_OR_RETURN(const absl::string_view index, content->Read(kIndexRecord));
  const absl::Status corrupt =
      absl::DataLossError(absl::StrCat(path, ": the file's index is corrupt"));
  if (!ParseIndex(index, content->index)) return corrupt;
  if (content->index.version() > kVersion) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": written by a later version (format ",
                                                   content->index.version(),
                                                   ", this program reads up to ", kVersion, ")"));
  }
  // A record that several tensors share, or that they overlap in, would make a small file large.
  std::set<absl::string_view> records;
  uint64_t unclaimed = bytes.size();
  for (const auto& entry : content->index.tensor()) {
    const at::ScalarType type = ToScalarType(entry.data_type());
    const std::optional<int64_t> elements = ElementCount(ShapeOf(entry));
    if (type == at::ScalarType::Undefined || !elements) return corrupt;
    const uint64_t size = static_cast<uint64_t>(*elements) * c10::elementSize(type);
    if (size > unclaimed) return corrupt;
    unclaimed -= size;
    if (size > 0 && !records.insert(entry.record()).second) return corrupt;
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
  return ShapeOf(*found->second);
}

absl::StatusOr<Tensor> TensorArchiveReader::ReadTensor(absl::string_view name) const {
  const auto found = content_->tensors.find(std::string(name));
  if (found == content_->tensors.end()) {
    return absl::NotFoundError(absl::StrCat(path_, ": has no tensor '", name, "'"));
  }
  const TensorArchiveIndex::Entry& entry = *found->second;
  Tensor tensor = at::empty(ShapeOf(entry), ToScalarType(entry.data_type()));
  if (tensor.numel() == 0) return tensor;
  SSD_ASSIGN_OR_RETURN(const absl::string_view bytes,
                       content_->Read(entry.record(), entry.crc32()));
  if (bytes.size() != tensor.nbytes()) {
    return absl::DataLossError(absl::StrCat(path_, ": tensor '", entry.name(), "' has ",
                                            bytes.size(), " bytes, not the ", tensor.nbytes(),
                                            " of its shape"));
  }
  std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

absl::StatusOr<std::string> TensorArchiveReader::ReadText(absl::string_view name) const {
  const auto found = content_->texts.find(std::string(name));
  if (found == content_->texts.end()) {
    return absl::NotFoundError(absl::StrCat(path_, ": has no text '", name, "'"));
  }
  SSD_ASSIGN_OR_RETURN(const absl::string_view text,
                       content_->Read(absl::StrCat(kTextFolder, name), found->second->crc32()));
  return std::string(text);
}

}  // namespace ssd
