#ifndef DATA_PACKED_FILE_H_
#define DATA_PACKED_FILE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/lmdb_file.h"
#include "data/packed.pb.h"
#include "data/packed_record.h"
#include "ssd/core/annotations.h"

namespace ssd {

// A packed dataset's file, open for reading. Thread-safe.
class PackedFile {
 public:
  // \error NotFound, PermissionDenied; DataLoss for a foreign, truncated or damaged file,
  // InvalidArgument for one of another version; each names the file.
  static absl::StatusOr<std::shared_ptr<const PackedFile>> Open(const std::string& path);

  const std::string& path() const { return path_; }
  int64_t size() const { return header_.images(); }
  int64_t num_objects() const { return header_.objects(); }
  const LabelMap& labels() const { return labels_; }
  // Of the dataset that was packed (PackedHeader::fingerprint).
  const std::string& fingerprint() const { return header_.fingerprint(); }
  const std::string& digest() const { return header_.digest(); }

  // All of them, in order. \error DataLoss where they are not what the header's digest is of.
  absl::StatusOr<std::vector<Annotations>> ReadTruths() const;

  // The image file's bytes. \error DataLoss.
  absl::StatusOr<std::string> ReadImage(int64_t index) const;

  // Reads everything. \error DataLoss naming the first image that is not what was packed.
  absl::Status Verify() const;

 private:
  PackedFile(std::string path, std::unique_ptr<const LmdbFile> records, PackedHeader header);

  // "FILE: image 7".
  std::string Where(int64_t index) const;
  // Calls `use` with each record and its index; at the end compares digests.
  absl::Status ReadRecords(
      const std::function<absl::Status(int64_t index, PackedRecord record)>& use) const;

  const std::string path_;
  const std::unique_ptr<const LmdbFile> records_;
  const PackedHeader header_;
  LabelMap labels_;
};

}  // namespace ssd

#endif  // DATA_PACKED_FILE_H_
