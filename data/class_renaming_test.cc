#include "data/class_renaming.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace ssd {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<ClassRenaming> Create(const std::string& text) {
  ClassMap map;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &map)) << text;
  return ClassRenaming::Create(map);
}

ClassRenaming CreateOrDie(const std::string& text) {
  auto renaming = Create(text);
  EXPECT_TRUE(renaming.ok()) << renaming.status();
  return *std::move(renaming);
}

TEST(ClassRenamingTest, NoRuleChangesNothing) {
  const ClassRenaming renaming = CreateOrDie("");
  EXPECT_EQ(renaming.Apply("cat"), "cat");
  EXPECT_EQ(renaming.Apply(""), "");
}

TEST(ClassRenamingTest, RenamesMergesAndDrops) {
  const ClassRenaming renaming = CreateOrDie(R"(
      rename { from: 'puppy' from: 'hound' to: 'dog' }
      rename { from: 'lynx' to: 'cat' }
      drop: 'ant')");
  EXPECT_EQ(renaming.Apply("puppy"), "dog");
  EXPECT_EQ(renaming.Apply("hound"), "dog");
  EXPECT_EQ(renaming.Apply("lynx"), "cat");
  EXPECT_EQ(renaming.Apply("cat"), "cat");
  EXPECT_EQ(renaming.Apply("ant"), std::nullopt);
  EXPECT_EQ(renaming.Apply("anteater"), "anteater");
}

TEST(ClassRenamingTest, KeepLeavesOutWhatIsNotNamed) {
  const ClassRenaming renaming = CreateOrDie("rename { from: 'puppy' to: 'dog' } keep: 'cat'");
  EXPECT_EQ(renaming.Apply("cat"), "cat");
  EXPECT_EQ(renaming.Apply("puppy"), "dog");
  // The files' dog is not the dog that puppies become.
  EXPECT_EQ(renaming.Apply("dog"), std::nullopt);
}

// Rules speak of the files' names, so none sees another's result.
TEST(ClassRenamingTest, NamesCanBeExchanged) {
  const ClassRenaming renaming =
      CreateOrDie("rename { from: 'left' to: 'right' } rename { from: 'right' to: 'left' }");
  EXPECT_EQ(renaming.Apply("left"), "right");
  EXPECT_EQ(renaming.Apply("right"), "left");
}

TEST(ClassRenamingTest, NamesTheRuleThatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"rename { from: 'a' to: 'b' } rename { from: 'a' to: 'c' }",
       "class_map.rename[1].from: class 'a' is named twice"},
      {"rename { from: ['a', 'a'] to: 'b' }", "class_map.rename[0].from: class 'a'"},
      {"rename { from: 'a' to: 'b' } drop: 'a'", "class_map.drop: class 'a'"},
      {"keep: 'a' drop: 'a'", "class_map.keep: class 'a'"},
      {"rename { from: 'a' }", "class_map.rename[0].to is not set"},
      {"rename { to: 'a' }", "class_map.rename[0].from is not set"},
      {"rename { from: '' to: 'a' }", "class_map.rename[0].from: an empty class name"},
      {"drop: ''", "class_map.drop: an empty class name"},
  };
  for (const auto& [text, error] : cases) {
    const absl::Status status = Create(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(error)) << text;
  }
}

}  // namespace
}  // namespace ssd
