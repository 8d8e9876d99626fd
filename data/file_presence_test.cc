#include "data/file_presence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

TEST(IsFileTest, TellsMissingFilesFromOnesThatCannotBeLookedFor) {
  const std::string root = absl::StrCat(testing::TempDir(), "/file_presence");
  fs::remove_all(root);
  fs::create_directories(root);
  ASSERT_TRUE(WriteFileAtomically(root + "/a.txt", "a").ok());
  fs::create_symlink("a.txt", root + "/link");
  fs::create_symlink("nothing", root + "/dangling");
  fs::create_symlink("ring", root + "/ring");

  for (const char* name : {"/a.txt", "/link"}) {
    const auto is_file = IsFile(root + name);
    ASSERT_TRUE(is_file.ok()) << is_file.status();
    EXPECT_TRUE(*is_file) << name;
  }
  for (const char* name : {"", "/b.txt", "/none/a.txt", "/a.txt/b.txt", "/dangling"}) {
    const auto is_file = IsFile(root + name);
    ASSERT_TRUE(is_file.ok()) << is_file.status();
    EXPECT_FALSE(*is_file) << name;
  }
  const absl::Status ring = IsFile(root + "/ring").status();
  EXPECT_EQ(ring.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(ring.message()), HasSubstr(root + "/ring: cannot look for"));
}

}  // namespace
}  // namespace ssd
