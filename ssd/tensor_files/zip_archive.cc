#include "ssd/tensor_files/zip_archive.h"

#include <zlib.h>

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/status_macros.h"
#include "ssd/tensor_files/little_endian.h"

namespace ssd {
namespace {

// APPNOTE 4.3.7, 4.3.12, 4.3.14, 4.3.15, 4.3.16: signatures, and sizes without what varies.
constexpr char kLocalSignature[] = "PK\3\4";
constexpr size_t kLocalSize = 30;
constexpr char kCentralSignature[] = "PK\1\2";
constexpr size_t kCentralSize = 46;
constexpr char kEnd64Signature[] = "PK\6\6";
constexpr size_t kEnd64Size = 56;
constexpr char kLocator64Signature[] = "PK\6\7";
constexpr size_t kLocator64Size = 20;
constexpr char kEndSignature[] = "PK\5\6";
constexpr size_t kEndSize = 22;
constexpr size_t kLongestComment = 0xffff;
// Of a 32-bit field whose value stands in the zip64 record.
constexpr uint64_t kElsewhere = 0xffffffff;
constexpr uint64_t kZip64Extra = 1;
constexpr uint16_t kStored = 0;
constexpr uint16_t kEncrypted = 1;

// Numbers of a record at a place that is known to lie in the file.
class Record {
 public:
  Record(absl::string_view bytes, size_t begin) : bytes_(bytes), begin_(begin) {}

  uint64_t operator()(size_t offset, size_t width) const {
    return FromLittleEndian(bytes_.substr(begin_ + offset, width));
  }

 private:
  absl::string_view bytes_;
  size_t begin_;
};

// Where the central directory is and how many entries it has.
struct Directory {
  uint64_t offset = 0;
  uint64_t size = 0;
  uint64_t entries = 0;
  uint64_t limit = 0;  // the first byte behind it that is something else
};

class Parser {
 public:
  Parser(absl::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  absl::Status Corrupt(uint64_t byte, absl::string_view what) const {
    return absl::DataLossError(
        absl::StrCat(path_, ": byte ", byte, ": the zip file is cut off or corrupt: ", what));
  }

  absl::StatusOr<Directory> FindDirectory() const {
    if (!absl::StartsWith(bytes_, "PK")) {
      return absl::InvalidArgumentError(absl::StrCat(path_, ": is no zip file"));
    }
    // The end record is followed by a comment of unknown length alone.
    if (bytes_.size() < kEndSize) return Corrupt(bytes_.size(), "it has no end record");
    const size_t last = bytes_.size() - kEndSize;
    const size_t first = last > kLongestComment ? last - kLongestComment : 0;
    for (size_t end = last + 1; end-- > first;) {
      if (!HasSignature(end, kEndSignature)) continue;
      if (Record(bytes_, end)(20, 2) != last - end) continue;
      return ReadEnd(end);
    }
    return Corrupt(bytes_.size(), "it has no end record");
  }

  // Appends the entry at `position`, which moves behind it.
  absl::Status ReadEntry(const Directory& directory, uint64_t& position,
                         std::map<std::string, ZipArchive::Entry>& entries) const {
    const uint64_t limit = directory.offset + directory.size;
    if (limit - position < kCentralSize || !HasSignature(position, kCentralSignature)) {
      return Corrupt(position, "no entry of the directory");
    }
    const Record record(bytes_, position);
    const uint64_t name_size = record(28, 2);
    const uint64_t extra_size = record(30, 2);
    const uint64_t whole_size = kCentralSize + name_size + extra_size + record(32, 2);
    if (limit - position < whole_size) return Corrupt(position, "an entry leaves the directory");
    const absl::string_view name = bytes_.substr(position + kCentralSize, name_size);
    const absl::string_view extra = bytes_.substr(position + kCentralSize + name_size, extra_size);
    uint64_t stored_size = record(20, 4);
    uint64_t size = record(24, 4);
    uint64_t header = record(42, 4);
    if (!ReadZip64Extra(extra, {&size, &stored_size, &header})) {
      return Corrupt(position, "an entry lacks its zip64 sizes");
    }

    ZipArchive::Entry entry;
    entry.flags = static_cast<uint16_t>(record(8, 2));
    entry.method = static_cast<uint16_t>(record(10, 2));
    entry.crc32 = static_cast<uint32_t>(record(16, 4));
    if (header > directory.offset || directory.offset - header < kLocalSize ||
        !HasSignature(header, kLocalSignature)) {
      return Corrupt(position, absl::StrCat("entry '", name, "' is not at byte ", header));
    }
    const Record local(bytes_, header);
    const uint64_t local_name_size = local(26, 2);
    const uint64_t offset = header + kLocalSize + local_name_size + local(28, 2);
    if (offset > directory.offset || stored_size > directory.offset - offset) {
      return Corrupt(position, absl::StrCat("entry '", name, "' of ", stored_size,
                                            " bytes from byte ", offset, " leaves the file"));
    }
    if (bytes_.substr(header + kLocalSize, local_name_size) != name) {
      return Corrupt(header, absl::StrCat("entry '", name, "' has two names"));
    }
    if (entry.method == kStored && size != stored_size) {
      return Corrupt(position, absl::StrCat("entry '", name, "' has two sizes"));
    }
    entry.header = header;
    entry.offset = offset;
    entry.size = stored_size;
    if (!entries.emplace(name, entry).second) {
      return Corrupt(position, absl::StrCat("two entries are called '", name, "'"));
    }
    position += whole_size;
    return absl::OkStatus();
  }

 private:
  bool HasSignature(uint64_t position, const char* signature) const {
    return bytes_.substr(position, 4) == signature;
  }

  absl::StatusOr<Directory> ReadEnd(size_t end) const {
    const Record record(bytes_, end);
    Directory directory{record(16, 4), record(12, 4), record(10, 2), end};
    uint64_t disk = record(4, 2);
    uint64_t first_disk = record(6, 2);
    uint64_t entries_here = record(8, 2);
    if (end >= kLocator64Size && HasSignature(end - kLocator64Size, kLocator64Signature)) {
      const uint64_t locator = end - kLocator64Size;
      const uint64_t end64 = Record(bytes_, locator)(8, 8);
      if (end64 > locator || locator - end64 < kEnd64Size ||
          !HasSignature(end64, kEnd64Signature)) {
        return Corrupt(locator, absl::StrCat("its zip64 end record is not at byte ", end64));
      }
      const Record record64(bytes_, end64);
      const Directory directory64{record64(48, 8), record64(40, 8), record64(32, 8), end64};
      const auto agree = [](uint64_t small, uint64_t large, uint64_t elsewhere) {
        return small == elsewhere || small == large;
      };
      if (!agree(directory.offset, directory64.offset, kElsewhere) ||
          !agree(directory.size, directory64.size, kElsewhere) ||
          !agree(directory.entries, directory64.entries, 0xffff)) {
        return Corrupt(end64, "its two end records disagree");
      }
      directory = directory64;
      disk = record64(16, 4);
      first_disk = record64(20, 4);
      entries_here = record64(24, 8);
    }
    if (disk != 0 || first_disk != 0 || entries_here != directory.entries) {
      return Corrupt(end, "it is one of several volumes");
    }
    if (directory.offset > directory.limit || directory.size > directory.limit - directory.offset ||
        directory.entries > directory.size / kCentralSize) {
      return Corrupt(
          end, absl::StrCat("a directory of ", directory.entries, " entries and ", directory.size,
                            " bytes from byte ", directory.offset, " leaves the file"));
    }
    return directory;
  }

  // Fills in those of the sizes that say they stand in the extra field (APPNOTE 4.5.3), where they
  // stand in this order. False when they do not.
  static bool ReadZip64Extra(absl::string_view extra, const std::vector<uint64_t*>& sizes) {
    const bool needed = std::any_of(sizes.begin(), sizes.end(),
                                    [](const uint64_t* size) { return *size == kElsewhere; });
    while (needed && extra.size() >= 4) {
      const uint64_t id = FromLittleEndian(extra.substr(0, 2));
      const uint64_t size = FromLittleEndian(extra.substr(2, 2));
      extra.remove_prefix(4);
      if (size > extra.size()) return false;
      if (id != kZip64Extra) {
        extra.remove_prefix(size);
        continue;
      }
      absl::string_view values = extra.substr(0, size);
      for (uint64_t* const value : sizes) {
        if (*value != kElsewhere) continue;
        if (values.size() < 8) return false;
        *value = FromLittleEndian(values.substr(0, 8));
        values.remove_prefix(8);
      }
      return true;
    }
    return !needed;
  }

  absl::string_view bytes_;
  const std::string& path_;
};

}  // namespace

absl::StatusOr<ZipArchive> ZipArchive::Open(absl::string_view bytes, const std::string& path) {
  const Parser parser(bytes, path);
  SSD_ASSIGN_OR_RETURN(const Directory directory, parser.FindDirectory());
  ZipArchive archive(bytes, path);
  uint64_t position = directory.offset;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    SSD_RETURN_IF_ERROR(parser.ReadEntry(directory, position, archive.entries_));
  }
  if (position != directory.offset + directory.size) {
    return parser.Corrupt(position, "its directory has another size than it says");
  }

  // Entries on top of each other would let a small file claim to be a large one.
  std::vector<const std::pair<const std::string, Entry>*> in_order;
  for (const auto& entry : archive.entries_) in_order.push_back(&entry);
  std::sort(in_order.begin(), in_order.end(),
            [](const auto* a, const auto* b) { return a->second.header < b->second.header; });
  for (size_t i = 1; i < in_order.size(); ++i) {
    const Entry& before = in_order[i - 1]->second;
    if (before.offset + before.size > in_order[i]->second.header) {
      return parser.Corrupt(in_order[i]->second.header,
                            absl::StrCat("entries '", in_order[i - 1]->first, "' and '",
                                         in_order[i]->first, "' overlap"));
    }
  }
  return archive;
}

absl::StatusOr<absl::string_view> ZipArchive::Read(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    return absl::NotFoundError(absl::StrCat(path_, ": has no entry '", name, "'"));
  }
  const Entry& entry = found->second;
  const auto error = [&](absl::string_view what) {
    return absl::StrCat(path_, ": byte ", entry.header, ": entry '", name, "' ", what);
  };
  if (entry.method != kStored) {
    return absl::InvalidArgumentError(
        error("is compressed; pack the file's content again without compression (zip -0)"));
  }
  if ((entry.flags & kEncrypted) != 0) {
    return absl::InvalidArgumentError(error("is encrypted; decrypt the file first"));
  }
  const absl::string_view content = bytes_.substr(entry.offset, entry.size);
  const auto crc32 = static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()));
  // PyTorch can be told not to compute checksums, and then writes 0.
  if (entry.crc32 != 0 && entry.crc32 != crc32) {
    return absl::DataLossError(error("has the wrong checksum: the file is corrupt"));
  }
  return content;
}

}  // namespace ssd
