#include "data/packed_file.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

absl::Status DamagedError(absl::string_view where, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(where, ": ", what, "; make or copy the file again"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const PackedFile>> PackedFile::Open(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(std::unique_ptr<const LmdbFile> records, LmdbFile::Open(path));
  const absl::StatusOr<std::string> bytes = records->Read(kPackedHeaderKey);
  if (absl::IsNotFound(bytes.status())) {
    return absl::DataLossError(
        absl::StrCat(path, ": an LMDB file, but no packed dataset; make one with `pack`"));
  }
  if (!bytes.ok()) return bytes.status();
  SSD_ASSIGN_OR_RETURN(PackedHeader header, ParsePackedHeader(*bytes, path));
  return std::shared_ptr<const PackedFile>(
      new PackedFile(path, std::move(records), std::move(header)));
}

PackedFile::PackedFile(std::string path, std::unique_ptr<const LmdbFile> records,
                       PackedHeader header)
    : path_(std::move(path)), records_(std::move(records)), header_(std::move(header)) {
  labels_.names.assign(header_.label().begin(), header_.label().end());
  labels_.source_ids.assign(header_.source_id().begin(), header_.source_id().end());
}

std::string PackedFile::Where(int64_t index) const {
  return absl::StrCat(path_, ": image ", index);
}

absl::Status PackedFile::ReadRecords(
    const std::function<absl::Status(int64_t index, PackedRecord record)>& use) const {
  PackedDigest digest(header_);
  for (int64_t index = 0; index < size(); ++index) {
    const absl::StatusOr<std::string> bytes = records_->Read(PackedTruthKey(index));
    if (absl::IsNotFound(bytes.status())) return DamagedError(Where(index), "no record of it");
    if (!bytes.ok()) return bytes.status();
    SSD_ASSIGN_OR_RETURN(PackedRecord record,
                         ParsePackedRecord(*bytes, labels_.num_classes(), Where(index)));
    digest.Add(record);
    SSD_RETURN_IF_ERROR(use(index, std::move(record)));
  }
  if (digest.Hex() == header_.digest()) return absl::OkStatus();
  return DamagedError(path_, "its truths are not those that were packed");
}

absl::StatusOr<std::vector<Annotations>> PackedFile::ReadTruths() const {
  std::vector<Annotations> truths;
  SSD_RETURN_IF_ERROR(ReadRecords([&truths](int64_t, PackedRecord record) {
    truths.push_back(std::move(record.truth));
    return absl::OkStatus();
  }));
  return truths;
}

absl::StatusOr<std::string> PackedFile::ReadImage(int64_t index) const {
  absl::StatusOr<std::string> bytes = records_->Read(PackedImageKey(index));
  if (absl::IsNotFound(bytes.status())) return DamagedError(Where(index), "it is not there");
  return bytes;
}

absl::Status PackedFile::Verify() const {
  return ReadRecords([this](int64_t index, PackedRecord record) -> absl::Status {
    SSD_ASSIGN_OR_RETURN(const std::string image, ReadImage(index));
    if (static_cast<int64_t>(image.size()) == record.image_bytes &&
        PackedImageDigest(image) == record.image_digest) {
      return absl::OkStatus();
    }
    return DamagedError(absl::StrCat(Where(index), " '", record.truth.file_name, "'"),
                        "its bytes are not those that were packed");
  });
}

}  // namespace ssd
