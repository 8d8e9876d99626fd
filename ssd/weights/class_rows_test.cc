#include "ssd/weights/class_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "ssd/core/text_proto.h"
#include "ssd/weights/sources/source.h"

namespace ssd {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using Names = std::vector<std::string>;
using Rows = std::vector<int64_t>;

// VOC's or COCO's, of that many rows, without the background.
Names Published(int64_t rows) {
  Names names = PublishedClasses(rows);
  names.erase(names.begin());
  return names;
}

// 0, 1, ..., count - 1.
Rows OneByOne(int64_t count) {
  Rows rows;
  for (int64_t row = 0; row < count; ++row) rows.push_back(row);
  return rows;
}

struct Choice {
  absl::StatusOr<std::optional<Rows>> rows;
  Names notes;

  std::string error() const { return std::string(rows.status().message()); }
};

// For a file of `rows` that tells `file_labels`, of a detector of `labels` and a background.
Choice Choose(const Names& file_labels, int64_t rows, const Names& labels,
              const std::string& options = "", int64_t backgrounds = 1) {
  WeightsOptions parsed;
  const absl::Status status = ParseTextProto(options, "test", parsed);
  EXPECT_TRUE(status.ok()) << status;
  LabelMap map;
  map.names = labels;
  Names notes;
  absl::StatusOr<std::optional<Rows>> chosen =
      ClassRows(parsed, file_labels, map, map.num_classes() + backgrounds).Choose(rows, notes);
  return {std::move(chosen), std::move(notes)};
}

TEST(ClassRowsTest, ToldClassesAreFoundByName) {
  const Names file = {"cat", "dog", "person"};
  const Choice choice = Choose(file, 4, {"person", "robot", "cat"});
  ASSERT_TRUE(choice.rows.ok()) << choice.rows.status();
  EXPECT_EQ(*choice.rows, (Rows{0, 3, -1, 1}));
  EXPECT_THAT(choice.notes, ElementsAre(HasSubstr("start as without the file: robot")));
  // As many, and none of them: the file tells that they are others.
  EXPECT_EQ(*Choose(file, 4, {"a", "b", "c"}).rows, (Rows{0, -1, -1, -1}));
  // Fewer, and none of them.
  const Choice none = Choose(file, 4, {"a", "b"});
  ASSERT_TRUE(none.rows.ok()) << none.rows.status();
  EXPECT_EQ(*none.rows, std::nullopt);
  EXPECT_THAT(none.notes, IsEmpty());
  // Sigmoids, on either side.
  EXPECT_EQ(*Choose(file, 4, {"dog", "cat"}, "", 0).rows, (Rows{2, 1}));
  EXPECT_EQ(*Choose(file, 3, {"dog", "cat"}).rows, (Rows{-1, 1, 0}));
}

TEST(ClassRowsTest, ClassesThatNothingTellsAreTakenOneByOne) {
  const Choice choice = Choose({}, 4, {"a", "b", "c"});
  ASSERT_TRUE(choice.rows.ok()) << choice.rows.status();
  EXPECT_EQ(*choice.rows, OneByOne(4));
  EXPECT_THAT(choice.notes, ElementsAre(HasSubstr("classes are unknown")));
  EXPECT_EQ(*Choose({}, 4, {"a", "b"}).rows, std::nullopt);
  // None of the 20 is VOC's.
  Names others;
  for (int i = 0; i < 20; ++i) others.push_back(absl::StrCat("class ", i));
  EXPECT_EQ(*Choose({}, 21, others).rows, OneByOne(21));
}

TEST(ClassRowsTest, TheirNumberTellsPublishedClasses) {
  const Choice few = Choose({}, 81, {"toothbrush", "robot", "person"});
  ASSERT_TRUE(few.rows.ok()) << few.rows.status();
  EXPECT_EQ(*few.rows, (Rows{0, 80, -1, 1}));
  EXPECT_THAT(few.notes, ElementsAre(AllOf(HasSubstr("by their number"), HasSubstr("robot"))));
  // All of them, in any order.
  Names turned = Published(21);
  std::swap(turned.front(), turned.back());
  Rows expected = OneByOne(21);
  std::swap(expected[1], expected[20]);
  EXPECT_EQ(*Choose({}, 21, turned).rows, expected);
}

// 20 classes of which one is VOC's need not be VOC's.
TEST(ClassRowsTest, AsManyClassesOfWhichSomeAreOthersMustBeListed) {
  for (const int64_t rows : {21, 81, 91}) {
    Names labels;
    for (int64_t i = 1; i < rows; ++i) labels.push_back(absl::StrCat("class ", i));
    labels[4] = "person";
    const Choice choice = Choose({}, rows, labels);
    EXPECT_EQ(choice.rows.status().code(), absl::StatusCode::kInvalidArgument) << rows;
    EXPECT_THAT(choice.error(), AllOf(HasSubstr("model.weights.class_row"), HasSubstr("class 2"),
                                      Not(HasSubstr("person"))));
    EXPECT_THAT(choice.notes, IsEmpty());
    // The same in a file that tells them is no guess.
    EXPECT_EQ(*Choose(labels, rows, labels).rows, OneByOne(rows));
    const Choice listed = Choose({}, rows, labels, "class_row { label: 'person' row: 3 }");
    ASSERT_TRUE(listed.rows.ok()) << listed.rows.status();
    EXPECT_EQ((**listed.rows)[5], 3);
  }
  Names renamed = Published(21);
  renamed.back() = "television";
  EXPECT_THAT(Choose({}, 21, renamed).error(), HasSubstr("television"));
}

// Programs with a class for each of COCO's ids have names for those that do not occur.
TEST(ClassRowsTest, ClassesOfUnusedIdsMayHaveAnyName) {
  Names labels = Published(91);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i].empty()) labels[i] = absl::StrCat("id ", i + 1);
  }
  const Choice choice = Choose({}, 91, labels);
  ASSERT_TRUE(choice.rows.ok()) << choice.rows.status();
  EXPECT_EQ(*choice.rows, OneByOne(91));
  EXPECT_THAT(choice.notes, AllOf(SizeIs(1), Each(Not(HasSubstr("id 12")))));
  // The background's row is no such place.
  Names without_background = Published(21);
  without_background.insert(without_background.begin(), "robot");
  EXPECT_THAT(Choose({}, 21, without_background, "", 0).error(), HasSubstr("robot"));
}

TEST(ClassRowsTest, ListedRowsAreTakenAsGiven) {
  const Names file = {"cat", "dog", "person"};
  const Choice choice =
      Choose(file, 4, {"kitten", "robot", "tree"},
             "class_row { label: 'robot' row: 2 } class_row { label: 'kitten' from: 'cat' }");
  ASSERT_TRUE(choice.rows.ok()) << choice.rows.status();
  EXPECT_EQ(*choice.rows, (Rows{0, 1, 2, -1}));
  EXPECT_THAT(choice.notes, ElementsAre(HasSubstr("class_row names")));
  // A background that comes last.
  EXPECT_EQ(*Choose({}, 4, {"a", "b"}, "class_row { label: 'background' row: 3 }").rows,
            (Rows{3, -1, -1}));
  const auto error = [&file](const std::string& options) {
    return Choose(file, 4, {"a", "b"}, options).error();
  };
  EXPECT_EQ(error("class_row { label: 'c' row: 1 }"),
            "model.weights.class_row[0].label: 'c' is none of the labels: a, b");
  EXPECT_EQ(error("class_row { label: 'a' }"),
            "model.weights.class_row[0].row: set either row or from");
  EXPECT_EQ(error("class_row { label: 'a' row: 4 }"),
            "model.weights.class_row[0].row: 4 must be in [0, 3]");
  EXPECT_THAT(error("class_row { label: 'a' from: 'oak' }"), HasSubstr("'oak' is no class"));
}

// Every level gives the same notes.
TEST(ClassRowsTest, NotesComeOnce) {
  WeightsOptions options;
  const Names file = {"a"};
  LabelMap labels;
  labels.names = {"a"};
  const ClassRows classes(options, file, labels, 2);
  Names notes;
  ASSERT_TRUE(classes.Choose(2, notes).ok());
  ASSERT_TRUE(classes.Choose(2, notes).ok());
  EXPECT_THAT(notes, SizeIs(1));
  EXPECT_THAT(notes, Contains(HasSubstr("of the same name")));
}

}  // namespace
}  // namespace ssd
