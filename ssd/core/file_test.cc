#include "ssd/core/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

using testing::HasSubstr;

TEST(File, WritesAndReadsBackAnyBytes) {
  const std::string path = testing::TempDir() + "/bytes";
  const std::string content("\0\n\xff text", 8);
  ASSERT_TRUE(WriteFileAtomically(path, content).ok());
  EXPECT_EQ(*ReadFile(path), content);
  ASSERT_TRUE(WriteFileAtomically(path, "").ok());
  EXPECT_EQ(*ReadFile(path), "");
}

TEST(File, NamesTheFileInErrors) {
  const std::string missing = testing::TempDir() + "/none/file";
  EXPECT_EQ(ReadFile(missing).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ReadFile(missing).status().message()), HasSubstr(missing));
  EXPECT_EQ(WriteFileAtomically(missing, "x").code(), absl::StatusCode::kNotFound);
}

TEST(File, AMessageGoesWithoutItsFile) {
  const absl::Status missing = ReadFile("none").status();
  EXPECT_EQ(absl::StrCat("none: ", MessageWithoutFile(missing, "none")), missing.message());
  EXPECT_EQ(MessageWithoutFile(absl::DataLossError("a: b: c"), "a"), "b: c");
  EXPECT_EQ(MessageWithoutFile(absl::DataLossError("a: b: c"), "b"), "a: b: c");
  EXPECT_EQ(MessageWithoutFile(absl::DataLossError("abc"), "a"), "abc");
}

TEST(File, AFailureIsNoEnd) {
  // A folder can be opened, but not read.
  const absl::Status status = ReadFile(testing::TempDir()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(testing::TempDir() + ": cannot read: "));
}

TEST(File, ReadsNoMoreThanAskedFor) {
  const std::string path = testing::TempDir() + "/prefix";
  std::string content;
  for (int i = 0; i < 20000; ++i) content.push_back(static_cast<char>(i * 7 % 251));
  ASSERT_TRUE(WriteFileAtomically(path, content).ok());
  EXPECT_EQ(*ReadFile(path), content);
  for (const size_t size : {0, 1, 4096, 19999, 20000, 20001, 100000}) {
    EXPECT_EQ(*ReadFilePrefix(path, size), content.substr(0, size)) << size;
  }
  EXPECT_EQ(ReadFilePrefix(path + "s", 1).status().code(), absl::StatusCode::kNotFound);
}

TEST(File, ReadsLongFilesWhole) {
  const std::string path = testing::TempDir() + "/long";
  std::string content(9500000, '\0');  // more than twice what memory is taken for at first
  for (size_t i = 0; i < content.size(); i += 1000) content[i] = static_cast<char>(i / 1000 % 251);
  ASSERT_TRUE(WriteFileAtomically(path, content).ok());
  EXPECT_TRUE(*ReadFile(path) == content);
  EXPECT_TRUE(*ReadFilePrefix(path, 9000000) == content.substr(0, 9000000));
}

#ifdef __linux__
TEST(File, ReadsWhatHasNoSize) {
  // Linux makes it up: longer than a page, its size told as 0.
  const auto symbols = ReadFile("/proc/self/smaps");
  ASSERT_TRUE(symbols.ok()) << symbols.status();
  EXPECT_GT(symbols->size(), 4096u);
}
#endif

TEST(File, AFullDiskIsAnErrorAndLeavesNothing) {
  EXPECT_EQ(FileError(ENOSPC, "cannot write", "f").code(), absl::StatusCode::kResourceExhausted);
  const std::string folder = testing::TempDir() + "/taken";
  std::filesystem::create_directories(folder + "/inside");
  EXPECT_FALSE(WriteFileAtomically(folder, "x").ok());  // a folder cannot be replaced by a file
  for (const auto& entry : std::filesystem::directory_iterator(testing::TempDir())) {
    EXPECT_EQ(entry.path().string().find(".tmp"), std::string::npos) << entry.path();
  }
}

TEST(AtomicFile, AppearsWithCommitAlone) {
  const std::string path = testing::TempDir() + "/appended";
  ASSERT_TRUE(WriteFileAtomically(path, "old").ok());
  const auto files = [] {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(testing::TempDir())) {
      count += entry.path().filename().string().rfind("appended", 0) == 0 ? 1 : 0;
    }
    return count;
  };
  {
    AtomicFile given_up(path);
    given_up.Append("new");
    EXPECT_TRUE(given_up.status().ok());
    EXPECT_EQ(files(), 2u);
  }
  EXPECT_EQ(*ReadFile(path), "old");
  EXPECT_EQ(files(), 1u);
  {
    AtomicFile file(path);
    for (const char* part : {"n", "", "ew"}) file.Append(part);
    EXPECT_EQ(*ReadFile(path), "old");
    EXPECT_TRUE(file.Commit().ok());
    EXPECT_EQ(*ReadFile(path), "new");
  }
  EXPECT_EQ(*ReadFile(path), "new");
  EXPECT_EQ(files(), 1u);
}

TEST(AtomicFile, KeepsItsFirstError) {
  const std::string missing = testing::TempDir() + "/none/file";
  AtomicFile file(missing);
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  file.Append("x");
  EXPECT_EQ(file.Commit(), file.status());
  EXPECT_THAT(std::string(file.status().message()), HasSubstr(missing));
}

}  // namespace
}  // namespace ssd
