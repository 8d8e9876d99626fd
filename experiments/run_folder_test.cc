#include "experiments/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/folder_lock.h"
#include "experiments/run_record.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

absl::StatusOr<RunFolder> Create(const std::string& path, const std::string& name,
                                 const std::string& here) {
  return RunFolder::Create(path, name, here, "seed: 1", "{}");
}

std::vector<std::string> FilesIn(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path().filename().string());
  }
  return files;
}

TEST(RunFolder, DefaultNamesGetANumber) {
  const std::string here = testing::TempDir() + "/default_names";
  EXPECT_THAT(LatestFolder("digits", here), EndsWith("/runs/digits"));
  EXPECT_THAT(Create("", "digits", here)->path(), EndsWith("/runs/digits"));
  EXPECT_THAT(Create("", "digits", here)->path(), EndsWith("/runs/digits-2"));
  EXPECT_THAT(Create("", "digits", here)->path(), EndsWith("/runs/digits-3"));
  // Names that only begin alike are others.
  for (const char* other : {"digits-9b", "digits-09", "digits9", "digits-", "digit"}) {
    std::filesystem::create_directories(here + "/runs/" + other);
  }
  EXPECT_THAT(LatestFolder("digits", here), EndsWith("/runs/digits-3"));
  // A number that was deleted is not given again: the highest is the latest.
  std::filesystem::remove_all(here + "/runs/digits");
  std::filesystem::remove_all(here + "/runs/digits-2");
  EXPECT_THAT(LatestFolder("digits", here), EndsWith("/runs/digits-3"));
  EXPECT_THAT(Create("", "digits", here)->path(), EndsWith("/runs/digits-4"));
}

TEST(RunFolder, IsWholeFromTheStart) {
  const std::string parent = testing::TempDir() + "/whole";
  const absl::StatusOr<RunFolder> folder = Create(parent + "/run/", "x", "");
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(folder->path(), parent + "/run");
  EXPECT_EQ(*ReadFile(folder->config()), "seed: 1");
  EXPECT_EQ(*ReadFile(folder->record()), "{}");
  EXPECT_THAT(FilesIn(parent), ElementsAre("run"));
  EXPECT_THAT(FilesIn(folder->path()),
              UnorderedElementsAre("config.textproto", "run.json", "checkpoints"));
  // What cannot be made leaves nothing.
  ASSERT_TRUE(WriteFileAtomically(parent + "/file", "").ok());
  EXPECT_THAT(std::string(Create(parent + "/file/run", "x", "").status().message()),
              HasSubstr("whole/file/run"));
  EXPECT_THAT(FilesIn(parent), UnorderedElementsAre("run", "file"));
}

TEST(RunFolder, AnOutputThatExistsIsRefusedWithTheRemedy) {
  const std::string path = testing::TempDir() + "/output";
  ASSERT_TRUE(Create(path, "x", "").ok());
  const absl::Status status = Create(path, "x", "").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--resume"));
}

TEST(RunFolder, LosesOnlyItsLeftovers) {
  const RunFolder folder = *Create(testing::TempDir() + "/leftovers", "x", "");
  const std::string checkpoints = folder.path() + "/checkpoints";
  for (const char* name :
       {"/last.pt", "/last.pt.123.tmp", "/mine.tmp", "/mine.v2.tmp", "/.1.tmp"}) {
    ASSERT_TRUE(WriteFileAtomically(checkpoints + name, "x").ok());
    ASSERT_TRUE(WriteFileAtomically(folder.path() + name, "x").ok());
  }
  std::filesystem::create_directory(checkpoints + "/folder.5.tmp");
  folder.RemoveAllLeftovers();
  EXPECT_THAT(FilesIn(checkpoints),
              UnorderedElementsAre("last.pt", "mine.tmp", "mine.v2.tmp", ".1.tmp", "folder.5.tmp"));
  EXPECT_THAT(FilesIn(folder.path()),
              UnorderedElementsAre("config.textproto", "run.json", "checkpoints", "last.pt",
                                   "mine.tmp", "mine.v2.tmp", ".1.tmp"));
}

// What a process that was killed in Create leaves; number 99999999 is above Linux's highest.
void LeaveUnfinished(const std::string& folder) {
  std::filesystem::create_directories(folder + "/checkpoints");
  ASSERT_TRUE(WriteFileAtomically(folder + "/config.textproto", "seed: 2").ok());
  ASSERT_TRUE(WriteFileAtomically(folder + "/run.json.99999999.tmp", "{").ok());
}

TEST(RunFolder, RemovesWhatKilledProcessesLeftUnfinished) {
  const std::string parent = testing::TempDir() + "/unfinished";
  const std::string own = "run." + std::to_string(getpid()) + ".tmp";
  const std::string parents = "run." + std::to_string(getppid()) + ".tmp";
  for (const std::string& name :
       {std::string("run.99999999.tmp"), own, parents, std::string("run2.99999999.tmp"),
        std::string("run.99999998.tmp"), std::string("run.99999997.tmp")}) {
    LeaveUnfinished(parent + "/" + name);
  }
  ASSERT_TRUE(WriteFileAtomically(parent + "/run.99999998.tmp/notes", "mine").ok());
  ASSERT_TRUE(WriteFileAtomically(parent + "/run.99999997.tmp/checkpoints/last.pt", "x").ok());
  const absl::StatusOr<RunFolder> folder = Create(parent + "/run", "x", "");
  ASSERT_TRUE(folder.ok()) << folder.status();
  // Another's name, a live process's, and folders with something to lose stay.
  EXPECT_THAT(FilesIn(parent), UnorderedElementsAre("run", parents, "run2.99999999.tmp",
                                                    "run.99999998.tmp", "run.99999997.tmp"));
  EXPECT_THAT(FilesIn(folder->path()),
              UnorderedElementsAre("config.textproto", "run.json", "checkpoints"));
  EXPECT_EQ(*ReadFile(folder->config()), "seed: 1");
}

TEST(RunFolder, NamesAreOneFolders) {
  for (const std::string& name :
       {std::string("digits"), std::string("m=6,seed=1"), std::string("my run"),
        std::string("zw\xc3\xb6lf"), std::string("..."), std::string(200, 'x')}) {
    EXPECT_TRUE(CheckFolderName("name", name).ok()) << name;
  }
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/"), std::string("/a"),
        std::string("../../../escaped"), std::string(201, 'x'), std::string("a\nb"),
        std::string("a\0b", 3)}) {
    EXPECT_EQ(CheckFolderName("name", name).code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_EQ(CheckFolderName("name", "a\nb/").message(),
            "name: 'a\\nb/' must be the name of one folder, of 1 to 200 bytes, without '/' and "
            "control characters, and neither . nor ..");
}

// Once it went round for ever where a name led to a folder that is there.
TEST(RunFolder, ANameThatIsTakenWithoutANumberEnds) {
  const std::string here = testing::TempDir() + "/taken";
  std::filesystem::create_directories(here + "/runs/full");
  EXPECT_FALSE(Create("", "", here).ok());
  EXPECT_THAT(FilesIn(here + "/runs"), ElementsAre("full"));
}

TEST(RunFolder, OpensOnlyRunFolders) {
  const std::string path = testing::TempDir() + "/opened";
  EXPECT_EQ(RunFolder::Open(path).status().code(), absl::StatusCode::kNotFound);
  std::filesystem::create_directory(path);
  EXPECT_THAT(std::string(RunFolder::Open(path).status().message()), HasSubstr("config.textproto"));
  ASSERT_TRUE(Create(path + "/run", "x", "").ok());
  EXPECT_TRUE(RunFolder::Open(path + "/run").ok());
}

TEST(FolderLock, OneHolderAtATime) {
  const std::string path = Create(testing::TempDir() + "/locked", "x", "")->path();
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
