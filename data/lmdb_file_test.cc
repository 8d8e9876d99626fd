#include "data/lmdb_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "ssd/core/file.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

using Records = std::vector<std::pair<std::string, std::string>>;

// Values that fit into a page, some pages long, and empty.
Records SomeRecords(int count) {
  Random random(1, 2, 3);
  Records records;
  for (int i = 0; i < count; ++i) {
    const int64_t size = i % 3 == 0   ? random.Integer(3000, 30000)
                         : i % 3 == 1 ? random.Integer(1, 500)
                                      : 0;
    std::string value;
    for (int64_t k = 0; k < size; ++k) value.push_back(static_cast<char>(random.Integer(0, 255)));
    records.emplace_back(absl::StrFormat("key%05d", i), value);
  }
  return records;
}

std::string NewPath(const std::string& name) {
  const std::string path = testing::TempDir() + "/" + name;
  std::filesystem::remove(path);
  return path;
}

std::string WriteRecords(const std::string& name, const Records& records) {
  const std::string path = NewPath(name);
  auto writer = LmdbWriter::Create(path);
  EXPECT_TRUE(writer.ok()) << writer.status();
  for (const auto& [key, value] : records) EXPECT_TRUE((*writer)->Append(key, value).ok());
  EXPECT_TRUE((*writer)->Finish().ok());
  return path;
}

void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST(LmdbFileTest, ReadsWhatWasWritten) {
  for (const int count : {1, 7, 1500}) {
    const Records records = SomeRecords(count);
    const std::string path = WriteRecords("whole", records);
    const auto file = LmdbFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    for (const auto& [key, value] : records) {
      const auto read = (*file)->Read(key);
      ASSERT_TRUE(read.ok()) << read.status();
      ASSERT_EQ(*read, value);
    }
    EXPECT_EQ((*file)->Read("another").status().code(), absl::StatusCode::kNotFound);
    EXPECT_FALSE(std::filesystem::exists(path + "-lock"));
  }
}

TEST(LmdbFileTest, ReadsFromManyThreadsAndFromReadOnlyFiles) {
  const Records records = SomeRecords(200);
  const std::string path = WriteRecords("threads", records);
  ASSERT_EQ(chmod(path.c_str(), 0400), 0);
  const auto file = LmdbFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto again = LmdbFile::Open(path);  // one program may have it open twice
  ASSERT_TRUE(again.ok()) << again.status();
  std::vector<int> wrong(6, 0);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 3 * records.size(); ++i) {
        const auto& [key, value] = records[(i * 7 + t) % records.size()];
        const auto read = (t % 2 == 0 ? *file : *again)->Read(key);
        if (!read.ok() || *read != value) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(6, 0));
}

TEST(LmdbFileTest, KeysMustAscend) {
  const auto writer = LmdbWriter::Create(NewPath("order"));
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_TRUE((*writer)->Append("b", "1").ok());
  EXPECT_FALSE((*writer)->Append("a", "2").ok());
}

TEST(LmdbFileTest, NamesFilesThatAreNone) {
  const std::string missing = NewPath("missing");
  EXPECT_EQ(LmdbFile::Open(missing).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(LmdbFile::Open(testing::TempDir()).ok());
  const std::string path = NewPath("foreign");
  for (const std::string& bytes :
       {std::string(), std::string("CDF"), std::string(5000, '\0'), std::string(50000, 'x')}) {
    WriteBytes(path, bytes);
    const absl::Status status = LmdbFile::Open(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), path)) << status;
  }
}

TEST(LmdbFileTest, RefusesTruncatedFiles) {
  const Records records = SomeRecords(60);
  const std::string whole = *ReadFile(WriteRecords("to_be_cut", records));
  const std::string path = NewPath("cut");
  for (size_t size = 0; size + 4096 <= whole.size(); size += 1 + whole.size() / 150) {
    WriteBytes(path, whole.substr(0, size));
    EXPECT_EQ(LmdbFile::Open(path).status().code(), absl::StatusCode::kDataLoss)
        << size << " of " << whole.size() << " bytes";
  }
}

// LMDB reads where a file tells it to. A damaged one is refused, or read with other values; it is
// never read outside of its bounds.
TEST(LmdbFileTest, SurvivesDamage) {
  const Records records = SomeRecords(120);
  const std::string whole = *ReadFile(WriteRecords("to_be_damaged", records));
  const std::string path = NewPath("damaged");
  Random random(3, 2, 1);
  int refused = 0;
  for (int i = 0; i < 600; ++i) {
    std::string bytes = whole;
    for (int64_t changes = random.Integer(1, 3); changes > 0; --changes) {
      // Where the structure is: page and node headers lie at the ends of pages and near their
      // beginning.
      const int64_t pages = static_cast<int64_t>(bytes.size()) / 4096;
      const int64_t page = i % 2 == 0 ? random.Integer(0, pages - 1) : random.Integer(0, 1);
      const int64_t place = random.Integer(0, i % 2 == 0 ? 4095 : 160);
      bytes[static_cast<size_t>(4096 * page + place)] = static_cast<char>(random.Integer(0, 255));
    }
    WriteBytes(path, bytes);
    const auto file = LmdbFile::Open(path);
    if (!file.ok()) {
      ++refused;
      continue;
    }
    size_t seen = 0;
    for (const auto& record : records) {
      const auto read = (*file)->Read(record.first);
      if (read.ok()) seen += read->size();
    }
    EXPECT_LE(seen, bytes.size() * records.size());
  }
  EXPECT_GT(refused, 20);
}

}  // namespace
}  // namespace ssd
