#include "experiments/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "experiments/folder_lock.h"
#include "experiments/run_record.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

TEST(RunFolder, DefaultNamesGetANumber) {
  const std::string here = testing::TempDir() + "/default_names";
  EXPECT_THAT(RunFolder::Create("", "digits", here)->path(), EndsWith("/runs/digits"));
  EXPECT_THAT(RunFolder::Create("", "digits", here)->path(), EndsWith("/runs/digits-2"));
  EXPECT_THAT(RunFolder::Create("", "digits", here)->path(), EndsWith("/runs/digits-3"));
}

TEST(RunFolder, AnOutputThatExistsIsRefusedWithTheRemedy) {
  const std::string path = testing::TempDir() + "/output";
  ASSERT_TRUE(RunFolder::Create(path, "x", "").ok());
  EXPECT_TRUE(std::filesystem::is_directory(path + "/checkpoints"));
  const absl::Status status = RunFolder::Create(path, "x", "").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--resume"));
}

TEST(RunFolder, OpensOnlyRunFolders) {
  const std::string path = testing::TempDir() + "/opened";
  EXPECT_EQ(RunFolder::Open(path).status().code(), absl::StatusCode::kNotFound);
  const RunFolder folder = *RunFolder::Create(path, "x", "");
  EXPECT_THAT(std::string(RunFolder::Open(path).status().message()), HasSubstr("config.textproto"));
  ASSERT_TRUE(WriteFileAtomically(folder.config(), "seed: 1").ok());
  EXPECT_TRUE(RunFolder::Open(path).ok());
}

TEST(FolderLock, OneHolderAtATime) {
  const std::string path = RunFolder::Create(testing::TempDir() + "/locked", "x", "")->path();
  {
    const absl::StatusOr<FolderLock> first = FolderLock::Acquire(path);
    ASSERT_TRUE(first.ok()) << first.status();
    const absl::Status status = FolderLock::Acquire(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("another process"));
  }
  EXPECT_TRUE(FolderLock::Acquire(path).ok());
}

TEST(RunRecord, ReadsBackWhatItWrites) {
  RunRecord record;
  DescribeEnvironment(record);
  EXPECT_THAT(record.torch_version, HasSubstr("2."));
  EXPECT_GT(record.cores, 0);
  record.name = "zwölf \"数字\"";
  record.status = "done";
  record.seed = 0xffffffffffffffffull;
  record.command_line = {"train", "--config=a b"};
  record.seconds = 0.1;
  record.best = 0.123456789;
  const absl::StatusOr<RunRecord> read = RunRecordFromJson(ToJson(record), "run.json");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ToJson(*read), ToJson(record));
  EXPECT_EQ(read->seed, record.seed);
  EXPECT_EQ(read->best, record.best);
}

TEST(RunRecord, NamesTheFileThatIsNoRecord) {
  EXPECT_THAT(std::string(RunRecordFromJson("{", "r/run.json").status().message()),
              HasSubstr("r/run.json"));
  EXPECT_FALSE(RunRecordFromJson("[]", "r").ok());
}

}  // namespace
}  // namespace ssd
