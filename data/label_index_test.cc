#include "data/label_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(LabelIndexTest, CountsFromOneInTheGivenOrder) {
  const auto index = LabelIndex::Create({"zebra", "ant", "Ant", "caf\xc3\xa9"});
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(*index->Find("zebra", "a.xml"), 1);
  EXPECT_EQ(*index->Find("ant", "a.xml"), 2);
  EXPECT_EQ(*index->Find("Ant", "a.xml"), 3);
  EXPECT_EQ(*index->Find("caf\xc3\xa9", "a.xml"), 4);
}

TEST(LabelIndexTest, SaysWhereAnUnknownClassIs) {
  const auto index = LabelIndex::Create({"cat", "dog"});
  ASSERT_TRUE(index.ok()) << index.status();
  for (const char* name : {"cow", "", "cat ", "ca"}) {
    const absl::Status status = index->Find(name, "a.xml:7").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat("a.xml:7: class '", name,
                                       "' is not among the experiment's 2 labels (cat, dog)")));
  }
}

TEST(LabelIndexTest, ListsTwentyOfMany) {
  std::vector<std::string> names;
  for (int i = 100; i < 180; ++i) names.push_back(absl::StrCat("c", i));
  const auto index = LabelIndex::Create(names);
  ASSERT_TRUE(index.ok()) << index.status();
  const std::string message(index->Find("x", "a.xml").status().message());
  EXPECT_THAT(message, HasSubstr("80 labels (c100, "));
  EXPECT_THAT(message, HasSubstr("c119, ...)"));
  EXPECT_THAT(message, Not(HasSubstr("c120")));
}

TEST(LabelIndexTest, RefusesNamesThatAreEmptyOrTwice) {
  const absl::Status empty = LabelIndex::Create({"cat", ""}).status();
  EXPECT_EQ(empty.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(empty.message()), HasSubstr("data.label: an empty class name"));
  const absl::Status twice = LabelIndex::Create({"cat", "dog", "cat"}).status();
  EXPECT_EQ(twice.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(twice.message()), HasSubstr("data.label: class 'cat' is given twice"));
}

}  // namespace
}  // namespace ssd
