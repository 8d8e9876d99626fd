// Packed datasets, the LMDB file and its records: data/lmdb_file.h, data/packed_record.h,
// data/packed_file.h and data/packed.cc. The input is a whole file, a header, and the record of an
// image, which is put into a file with the digest that keeps other records from being read.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/dataset.h"
#include "data/lmdb_file.h"
#include "data/packed_file.h"
#include "data/packed_record.h"
#include "tests/fuzz/image_folder.h"
#include "tests/fuzz/memory_file.h"

namespace {

constexpr int kClasses = 3;

// Whether the file has truths.
bool Read(const std::string& path) {
  const auto packed = ssd::PackedFile::Open(path);
  if (!packed.ok()) return false;
  (*packed)->ReadImage(0).status().IgnoreError();
  (*packed)->Verify().IgnoreError();
  ssd::DatasetConfig config;
  config.mutable_packed()->set_file(path);
  ssd::LookAtDataset(config);
  return (*packed)->ReadTruths().ok();
}

// Makes `file` a packed one of an image without bytes and its record.
void Pack(absl::string_view bytes, const ssd::PackedRecord& record, ssd::MemoryFile& file) {
  ssd::PackedHeader header;
  header.set_version(ssd::kPackedVersion);
  for (int id = 1; id <= kClasses; ++id) {
    header.add_label(std::to_string(id));
    header.add_source_id(id);
  }
  header.set_images(1);
  header.set_fingerprint("0");
  ssd::PackedDigest digest(header);
  digest.Add(record);
  header.set_digest(digest.Hex());

  file.Write(nullptr, 0);
  const auto writer = ssd::LmdbWriter::Create(file.path());
  if (!writer.ok() || !(*writer)->Append(ssd::PackedImageKey(0), "").ok() ||
      !(*writer)->Append(ssd::PackedTruthKey(0), bytes).ok() ||
      !(*writer)->Append(ssd::kPackedHeaderKey, header.SerializeAsString()).ok() ||
      !(*writer)->Finish().ok()) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const file = new ssd::MemoryFile;
  file->Write(data, size);
  Read(file->path());

  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  ssd::ParsePackedHeader(bytes, "fuzz").status().IgnoreError();
  const absl::StatusOr<ssd::PackedRecord> record = ssd::ParsePackedRecord(bytes, kClasses, "fuzz");
  if (!record.ok()) return 0;
  Pack(bytes, *record, *file);
  if (!Read(file->path())) __builtin_trap();
  return 0;
}
