#include "ssd/tensor_files/zip_archive.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "ssd/tensor_files/little_endian.h"

namespace ssd {
namespace {

constexpr char kPath[] = "weights.zip";

struct TestEntry {
  std::string name;
  std::string content;
  uint16_t method = 0;
  uint16_t flags = 0;
  // What the directory says where it is not the truth; -1: the truth.
  int64_t size = -1;
  int64_t header = -1;
  int64_t crc32 = -1;
};

struct Zip64 {
  bool with_records = false;
  uint64_t directory_offset = 0;  // added to the true one
};

void Append(std::string& bytes, std::initializer_list<std::pair<uint64_t, size_t>> numbers) {
  for (const auto& [number, width] : numbers) AppendLittleEndian(number, width, bytes);
}

// A zip file as APPNOTE 4.3 lays it out. `padding` zeros stand in every local extra field, as
// PyTorch aligns its records.
std::string MakeZip(const std::vector<TestEntry>& entries, const Zip64& zip64 = {},
                    size_t padding = 7, const std::string& comment = "") {
  std::string bytes;
  std::string directory;
  for (const TestEntry& entry : entries) {
    const uint64_t header = entry.header >= 0 ? static_cast<uint64_t>(entry.header) : bytes.size();
    const uint64_t size =
        entry.size >= 0 ? static_cast<uint64_t>(entry.size) : entry.content.size();
    const uint64_t crc = entry.crc32 >= 0
                             ? static_cast<uint64_t>(entry.crc32)
                             : crc32_z(0, reinterpret_cast<const Bytef*>(entry.content.data()),
                                       entry.content.size());
    bytes += "PK\3\4";
    Append(bytes, {{20, 2},
                   {entry.flags, 2},
                   {entry.method, 2},
                   {0, 4},
                   {0, 4},
                   {0, 4},
                   {0, 4},
                   {entry.name.size(), 2},
                   {padding, 2}});
    bytes += entry.name;
    bytes += std::string(padding, '\0');
    bytes += entry.content;
    directory += "PK\1\2";
    Append(directory, {{20, 2}, {20, 2}, {entry.flags, 2}, {entry.method, 2}, {0, 4}, {crc, 4}});
    if (zip64.with_records) {
      Append(directory, {{0xffffffff, 4},
                         {0xffffffff, 4},
                         {entry.name.size(), 2},
                         {28, 2},
                         {0, 2},
                         {0, 2},
                         {0, 2},
                         {0, 4},
                         {0xffffffff, 4}});
    } else {
      Append(directory, {{size, 4},
                         {size, 4},
                         {entry.name.size(), 2},
                         {0, 2},
                         {0, 2},
                         {0, 2},
                         {0, 2},
                         {0, 4},
                         {header, 4}});
    }
    directory += entry.name;
    if (zip64.with_records) Append(directory, {{1, 2}, {24, 2}, {size, 8}, {size, 8}, {header, 8}});
  }
  const uint64_t offset = bytes.size();
  bytes += directory;
  if (zip64.with_records) {
    const uint64_t end64 = bytes.size();
    bytes += "PK\6\6";
    Append(bytes, {{44, 8},
                   {45, 2},
                   {45, 2},
                   {0, 4},
                   {0, 4},
                   {entries.size(), 8},
                   {entries.size(), 8},
                   {directory.size(), 8},
                   {offset + zip64.directory_offset, 8}});
    bytes += "PK\6\7";
    Append(bytes, {{0, 4}, {end64, 8}, {1, 4}});
  }
  bytes += "PK\5\6";
  const bool elsewhere = zip64.with_records;
  Append(bytes, {{0, 2},
                 {0, 2},
                 {entries.size(), 2},
                 {entries.size(), 2},
                 {elsewhere ? 0xffffffff : directory.size(), 4},
                 {elsewhere ? 0xffffffff : offset, 4},
                 {comment.size(), 2}});
  return bytes + comment;
}

std::string OpenError(const std::string& bytes) {
  return std::string(ZipArchive::Open(bytes, kPath).status().message());
}

void ExpectError(const std::string& message, const std::string& what) {
  EXPECT_EQ(message.find(kPath), 0u) << message;
  EXPECT_NE(message.find(what), std::string::npos) << message;
}

TEST(ZipArchiveTest, ReadsStoredEntries) {
  const std::vector<TestEntry> entries = {{"a/data.pkl", "first"}, {"a/data/0", ""}, {"a/b", "x"}};
  for (const bool with_records : {false, true}) {
    const std::string bytes = MakeZip(entries, {with_records, 0}, 7, with_records ? "" : "a note");
    const absl::StatusOr<ZipArchive> archive = ZipArchive::Open(bytes, kPath);
    ASSERT_TRUE(archive.ok()) << archive.status();
    EXPECT_EQ(archive->entries().size(), 3u);
    for (const TestEntry& entry : entries) {
      const absl::StatusOr<absl::string_view> content = archive->Read(entry.name);
      ASSERT_TRUE(content.ok()) << content.status();
      EXPECT_EQ(*content, entry.content);
    }
    EXPECT_EQ(archive->Read("a/c").status().code(), absl::StatusCode::kNotFound);
  }
}

TEST(ZipArchiveTest, WhatCannotBeReadIsRefusedWhenRead) {
  // TorchScript compresses its source code, which nobody reads here.
  const std::string bytes = MakeZip({{"a/code.py", "packed", 8},
                                     {"a/secret", "x", 0, 1},
                                     {"a/data.pkl", "plain"},
                                     {"a/wrong", "y", 0, 0, -1, -1, 12345},
                                     {"a/unchecked", "z", 0, 0, -1, -1, 0}});
  const absl::StatusOr<ZipArchive> archive = ZipArchive::Open(bytes, kPath);
  ASSERT_TRUE(archive.ok()) << archive.status();
  EXPECT_EQ(*archive->Read("a/data.pkl"), "plain");
  EXPECT_EQ(*archive->Read("a/unchecked"), "z");
  ExpectError(std::string(archive->Read("a/code.py").status().message()), "is compressed");
  ExpectError(std::string(archive->Read("a/secret").status().message()), "is encrypted");
  ExpectError(std::string(archive->Read("a/wrong").status().message()), "the wrong checksum");
}

TEST(ZipArchiveTest, EveryCutIsAnError) {
  for (const bool with_records : {false, true}) {
    const std::string bytes = MakeZip({{"a/data.pkl", "first"}, {"a/b", "x"}}, {with_records, 0});
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_NE(OpenError(bytes.substr(0, size)), "") << size;
    }
  }
}

TEST(ZipArchiveTest, NoByteThatChangesCrashes) {
  for (const bool with_records : {false, true}) {
    const std::string bytes = MakeZip({{"a/data.pkl", "first"}, {"a/b", "x"}}, {with_records, 0});
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (int value = 0; value < 256; ++value) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(value);
        const absl::StatusOr<ZipArchive> archive = ZipArchive::Open(damaged, kPath);
        if (!archive.ok()) continue;
        for (const auto& [name, entry] : archive->entries()) {
          const absl::StatusOr<absl::string_view> content = archive->Read(name);
          EXPECT_TRUE(!content.ok() || content->size() <= bytes.size());
        }
      }
    }
  }
}

TEST(ZipArchiveTest, LiesAboutSizesAndPlacesAreErrors) {
  ExpectError(OpenError("PNG"), "is no zip file");
  ExpectError(OpenError(MakeZip({{"a", "content", 0, 0, 1000}})), "leaves the file");
  ExpectError(OpenError(MakeZip({{"a", "content", 0, 0, 0xfffffff0}})), "leaves the file");
  ExpectError(OpenError(MakeZip({{"a", "content", 0, 0, -1, 5}})), "is not at byte 5");
  ExpectError(OpenError(MakeZip({{"a", "content", 0, 0, -1, 0xfffffff0}})), "is not at byte");
  // Beyond the file by zip64's numbers, up to where sums would overflow.
  for (const int64_t size : {int64_t{1} << 40, std::numeric_limits<int64_t>::max()}) {
    ExpectError(OpenError(MakeZip({{"a", "content", 0, 0, size}}, {true, 0})), "leaves the file");
    ExpectError(OpenError(MakeZip({{"a", "content", 0, 0, -1, size}}, {true, 0})),
                "is not at byte");
  }
  ExpectError(OpenError(MakeZip({{"a", "content"}}, {true, uint64_t{1} << 60})), "leaves the file");
  ExpectError(OpenError(MakeZip({{"a", "content"}}, {true, ~uint64_t{0} - 1000})),
              "leaves the file");
}

TEST(ZipArchiveTest, AmbiguousFilesAreErrors) {
  ExpectError(OpenError(MakeZip({{"a", "x"}, {"a", "y"}})), "two entries are called 'a'");
  // The first entry's content holds the second's header.
  const std::string inner = MakeZip({{"b", "0123456789"}});
  ExpectError(OpenError(MakeZip({{"a", inner}, {"b", "", 0, 0, 10, 30 + 1 + 7}})), "overlap");
  // The local header has another name than the directory.
  std::string renamed = MakeZip({{"name", "x"}});
  renamed[30] = 'N';
  ExpectError(OpenError(renamed), "has two names");
}

}  // namespace
}  // namespace ssd
