#include "ssd/train/observers/event_records.h"

#include <array>

namespace ssd {
namespace {

std::array<uint32_t, 256> CastagnoliTable() {
  std::array<uint32_t, 256> table;
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) ? 0x82f63b78u : 0u);
    table[i] = value;
  }
  return table;
}

template <typename Word>
std::string LittleEndian(Word value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(Word); ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

}  // namespace

uint32_t Crc32c(absl::string_view bytes) {
  static const std::array<uint32_t, 256> table = CastagnoliTable();
  uint32_t crc = 0xffffffffu;
  for (const char byte : bytes) {
    crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  }
  return ~crc;
}

uint32_t MaskedCrc32c(absl::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

std::string FramedRecord(absl::string_view bytes) {
  std::string record = LittleEndian<uint64_t>(bytes.size());
  record += LittleEndian(MaskedCrc32c(record));
  record.append(bytes.data(), bytes.size());
  record += LittleEndian(MaskedCrc32c(bytes));
  return record;
}

}  // namespace ssd
