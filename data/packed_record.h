#ifndef DATA_PACKED_RECORD_H_
#define DATA_PACKED_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/digest.h"
#include "data/packed.pb.h"
#include "ssd/core/annotations.h"

namespace ssd {

// The records of a packed file (packed.proto) and their keys, which ascend in this order: image and
// truth of each image in turn, then the header.

inline constexpr int kPackedVersion = 1;
inline constexpr char kPackedHeaderKey[] = "header";

std::string PackedImageKey(int64_t index);
std::string PackedTruthKey(int64_t index);

// One image's record. Lines of annotation files are not kept: these are no part of a packed file.
struct PackedRecord {
  Annotations truth;
  int64_t image_bytes = 0;
  std::string image_digest;
};

// Of an image file's bytes.
std::string PackedImageDigest(absl::string_view image);

std::string SerializePackedRecord(const PackedRecord& record);

// `where` starts messages. \error DataLoss for what is no record, a label above num_classes, or an
// image without pixels.
absl::StatusOr<PackedRecord> ParsePackedRecord(absl::string_view bytes, int64_t num_classes,
                                               absl::string_view where);

// \error DataLoss for what is no header, InvalidArgument for another version.
absl::StatusOr<PackedHeader> ParsePackedHeader(absl::string_view bytes, absl::string_view where);

// What PackedHeader::digest holds.
class PackedDigest {
 public:
  // Everything of the header but the digest itself.
  explicit PackedDigest(const PackedHeader& header);
  // Records in the order of images.
  void Add(const PackedRecord& record);
  std::string Hex() const { return digest_.Hex(); }

 private:
  Digest digest_;
};

}  // namespace ssd

#endif  // DATA_PACKED_RECORD_H_
