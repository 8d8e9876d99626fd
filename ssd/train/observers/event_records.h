#ifndef SSD_TRAIN_OBSERVERS_EVENT_RECORDS_H_
#define SSD_TRAIN_OBSERVERS_EVENT_RECORDS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace ssd {

// CRC-32C (Castagnoli; RFC 3720, appendix B.4).
uint32_t Crc32c(absl::string_view bytes);

// A checksum safe to store beside what it covers: TensorFlow's crc32c::Mask.
uint32_t MaskedCrc32c(absl::string_view bytes);

// One record of a TFRecord file: length (u64), its masked CRC (u32), the bytes, theirs (u32); all
// little-endian.
std::string FramedRecord(absl::string_view bytes);

}  // namespace ssd

#endif  // SSD_TRAIN_OBSERVERS_EVENT_RECORDS_H_
