#ifndef TESTS_FUZZ_STORED_ZIP_H_
#define TESTS_FUZZ_STORED_ZIP_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "ssd/tensor_files/little_endian.h"

namespace ssd {

// A zip file (PKWARE's APPNOTE 4.3) of these entries, uncompressed and without checksums: those are
// 0, as PyTorch writes them when it is told to compute none. Names have less than 65,536 bytes.
inline std::string StoredZip(const std::map<std::string, absl::string_view>& entries) {
  const auto append = [](std::string& bytes,
                         std::initializer_list<std::pair<uint64_t, size_t>> numbers) {
    for (const auto& [number, width] : numbers) AppendLittleEndian(number, width, bytes);
  };
  constexpr uint64_t kVersion = 20;
  std::string bytes;
  std::string directory;
  for (const auto& [name, content] : entries) {
    // Version, flags and method, time and date, checksum; sizes; the name's, the extra field's
    // size.
    std::string facts;
    append(facts, {{kVersion, 2}, {0, 4}, {0, 4}, {0, 4}});
    append(facts, {{content.size(), 4}, {content.size(), 4}, {name.size(), 2}, {0, 2}});
    directory += "PK\1\2";
    append(directory, {{kVersion, 2}});
    directory += facts;
    append(directory, {{0, 8}, {0, 2}, {bytes.size(), 4}});
    directory += name;
    bytes += "PK\3\4";
    bytes += facts;
    bytes += name;
    bytes.append(content.data(), content.size());
  }
  const uint64_t offset = bytes.size();
  bytes += directory;
  bytes += "PK\5\6";
  append(bytes, {{0, 4}, {entries.size(), 2}, {entries.size(), 2}});
  append(bytes, {{directory.size(), 4}, {offset, 4}, {0, 2}});
  return bytes;
}

}  // namespace ssd

#endif  // TESTS_FUZZ_STORED_ZIP_H_
