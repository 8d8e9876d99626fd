#include "data/check/dataset_problems.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "data/check/dataset_statistics.h"
#include "data/check/memory_dataset.h"
#include "data/check/network_view.h"
#include "ssd/core/annotations.h"
#include "ssd/core/geometry.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr ImageSize kSize{300, 300};  // of images and of the view

Annotation Object(int64_t label, const PixelBox& box, int64_t line = 0) {
  Annotation object;
  object.label = label;
  object.box = box;
  object.area = box.area();
  object.line = line;
  object.id = 100 + line;
  return object;
}

Annotations Image(std::vector<Annotation> objects) {
  Annotations truth;
  truth.file_name = "a.png";
  truth.size = kSize;
  truth.objects = std::move(objects);
  return truth;
}

std::vector<DataProblem> ProblemsOf(std::vector<Annotation> objects) {
  MemoryDataset dataset({"cat", "dog"});
  dataset.Add(Image(std::move(objects)), "truths.json");
  const auto problems = FindTruthProblems(dataset, WarpedTo(kSize));
  EXPECT_TRUE(problems.ok()) << problems.status();
  return problems.ok() ? *problems : std::vector<DataProblem>();
}

std::vector<ProblemKind> KindsOf(std::vector<Annotation> objects) {
  std::vector<ProblemKind> kinds;
  for (const DataProblem& problem : ProblemsOf(std::move(objects))) kinds.push_back(problem.kind);
  return kinds;
}

TEST(DatasetProblemsTest, KnowsBoxesThatAreOne) {
  // 100x100 with so many columns in common that the IoU is 0.94 and 0.89.
  const Annotation cat = Object(1, {50, 50, 150, 150}, 7);
  const Annotation same = Object(1, {53, 50, 153, 150}, 9);
  const Annotation neighbour = Object(1, {56, 50, 156, 150}, 9);
  const Annotation dog = Object(2, {53, 50, 153, 150}, 9);
  const std::vector<DataProblem> problems = ProblemsOf({cat, same});
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].kind, ProblemKind::kDuplicateBox);
  EXPECT_EQ(problems[0].file, "truths.json");
  EXPECT_EQ(problems[0].line, 9);
  EXPECT_THAT(problems[0].message, HasSubstr("line 7"));
  EXPECT_THAT(problems[0].message, HasSubstr("a.png"));
  EXPECT_THAT(problems[0].message, HasSubstr("0.94"));
  EXPECT_THAT(KindsOf({cat, neighbour}), IsEmpty());
  EXPECT_THAT(KindsOf({same, dog}), ElementsAre(ProblemKind::kConflictingLabels));
  EXPECT_THAT(KindsOf({cat, same, dog}),
              ElementsAre(ProblemKind::kDuplicateBox, ProblemKind::kConflictingLabels));
  // The third has two such boxes before it, of which the first is enough.
  EXPECT_THAT(KindsOf({cat, same, cat}),
              ElementsAre(ProblemKind::kDuplicateBox, ProblemKind::kDuplicateBox));
  Annotation crowd = same;
  crowd.crowd = true;
  EXPECT_THAT(KindsOf({cat, crowd}), IsEmpty());
}

TEST(DatasetProblemsTest, FindsEveryPairOfTheSameBox) {
  Random random(3, 0, 0);
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<Annotation> objects;
    for (int i = 0; i < 40; ++i) {
      // Few places, so that many nearly coincide.
      const double x = 100.0 * static_cast<double>(random.Integer(0, 1)) + random.Uniform(0, 4);
      const double y = 100.0 * static_cast<double>(random.Integer(0, 1)) + random.Uniform(0, 4);
      objects.push_back(
          Object(1, {x, y, x + random.Uniform(60, 64), y + random.Uniform(60, 64)}, i + 1));
    }
    std::vector<int64_t> expected;  // lines
    for (size_t i = 0; i < objects.size(); ++i) {
      const bool has_twin = std::any_of(
          objects.begin(), objects.begin() + static_cast<int64_t>(i), [&](const Annotation& other) {
            const PixelBox& a = objects[i].box;
            const PixelBox& b = other.box;
            const double width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
            const double height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
            if (width <= 0 || height <= 0) return false;
            const double overlap = width * height;
            return overlap / (a.area() + b.area() - overlap) > kSameBoxIou;
          });
      if (has_twin) expected.push_back(objects[i].line);
    }
    std::vector<int64_t> found;
    for (const DataProblem& problem : ProblemsOf(objects)) found.push_back(problem.line);
    EXPECT_EQ(found, expected);
    EXPECT_FALSE(expected.empty());
  }
}

TEST(DatasetProblemsTest, JudgesShapesInTheNetworksView) {
  EXPECT_THAT(KindsOf({Object(1, {10, 10, 11.9, 15})}), ElementsAre(ProblemKind::kBoxTiny));
  EXPECT_THAT(KindsOf({Object(1, {10, 10, 12, 15})}), IsEmpty());
  EXPECT_THAT(KindsOf({Object(1, {0, 10, 201, 20})}), ElementsAre(ProblemKind::kBoxExtremeShape));
  EXPECT_THAT(KindsOf({Object(1, {10, 0, 20, 201})}), ElementsAre(ProblemKind::kBoxExtremeShape));
  EXPECT_THAT(KindsOf({Object(1, {0, 10, 200, 20})}), IsEmpty());
  EXPECT_THAT(KindsOf({Object(1, {0, 0, 298, 300})}), ElementsAre(ProblemKind::kBoxHuge));
  EXPECT_THAT(KindsOf({Object(1, {0, 0, 296, 300})}), IsEmpty());

  MemoryDataset dataset({"cat"});
  dataset.Add(Image({Object(1, {10, 10, 22, 22})}));
  const auto problems = FindTruthProblems(dataset, WarpedTo({30, 300}));  // one tenth as high
  ASSERT_TRUE(problems.ok()) << problems.status();
  ASSERT_EQ(problems->size(), 1u);
  EXPECT_EQ((*problems)[0].kind, ProblemKind::kBoxTiny);
  EXPECT_EQ((*problems)[0].file, "a.png");
  EXPECT_THAT((*problems)[0].message, HasSubstr("12.0x1.2"));
}

TEST(DatasetProblemsTest, CountsObjects) {
  EXPECT_THAT(KindsOf({}), ElementsAre(ProblemKind::kNoObjects));
  Annotation crowd = Object(1, {10, 10, 90, 90});
  crowd.crowd = true;
  const std::vector<DataProblem> problems = ProblemsOf({crowd});
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].kind, ProblemKind::kNoObjects);
  EXPECT_THAT(problems[0].message, HasSubstr("crowds"));

  const auto grid = [](int columns, int rows) {
    std::vector<Annotation> objects;
    for (int i = 0; i < columns * rows; ++i) {
      const double x = 12 * (i % columns), y = 12 * (i / columns);
      objects.push_back(Object(1, {x, y, x + 10, y + 10}));
    }
    return objects;
  };
  const auto crowded_beside = [&](int columns, int rows, const std::vector<Annotation>& crowded) {
    MemoryDataset dataset({"cat"});
    for (int i = 0; i < 3; ++i) dataset.Add(Image(grid(columns, rows)));
    Annotations image = Image(crowded);
    image.line = 4;
    dataset.Add(std::move(image), "crowded.xml");
    const auto found = FindTruthProblems(dataset, WarpedTo(kSize));
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *found : std::vector<DataProblem>();
  };
  EXPECT_THAT(crowded_beside(5, 2, grid(10, 10)), IsEmpty());  // ten times as many, and 100
  const std::vector<DataProblem> found = crowded_beside(5, 2, grid(20, 10));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].kind, ProblemKind::kCrowdedImage);
  EXPECT_EQ(found[0].file, "crowded.xml");
  EXPECT_EQ(found[0].line, 4);
  EXPECT_THAT(crowded_beside(7, 3, grid(20, 10)), IsEmpty());  // the others have 21
}

// Of `objects` of each class, in an image each; those of label 1 from line 100, of 2 from 200.
MemoryDataset WithObjects(const std::vector<std::pair<std::string, int>>& classes) {
  std::vector<std::string> names;
  for (const auto& entry : classes) names.push_back(entry.first);
  MemoryDataset dataset(names);
  for (size_t label = 1; label <= classes.size(); ++label) {
    for (int i = 0; i < classes[label - 1].second; ++i) {
      const Annotation object = Object(static_cast<int64_t>(label), {10, 10, 60, 60},
                                       static_cast<int64_t>(100 * label) + i);
      dataset.Add(Image({object}), "/data/all.csv");
    }
  }
  return dataset;
}

TEST(DatasetProblemsTest, FindsClassesThatCannotBeLearnt) {
  const MemoryDataset dataset = WithObjects({{"cat", 10}, {"dog", 9}, {"bird", 0}});
  const auto statistics = ComputeDatasetStatistics(dataset, WarpedTo(kSize));
  ASSERT_TRUE(statistics.ok()) << statistics.status();
  const std::vector<DataProblem> problems = FindClassProblems(dataset, *statistics);
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems[0].kind, ProblemKind::kRareLabel);
  EXPECT_THAT(problems[0].message, HasSubstr("'dog' has only 9 objects; this is the first"));
  EXPECT_EQ(problems[0].file, "/data/all.csv");
  EXPECT_EQ(problems[0].line, 200);
  EXPECT_EQ(problems[1].kind, ProblemKind::kUnusedLabel);
  EXPECT_THAT(problems[1].message, HasSubstr("'bird'"));
  EXPECT_EQ(problems[1].file, "/data/all.csv");  // nothing says where it is declared
  EXPECT_EQ(problems[1].line, 0);
}

TEST(DatasetProblemsTest, TellsThatMostObjectsAreSmallInTheView) {
  const auto problems_of = [](int small, int medium) {
    MemoryDataset dataset({"cat"});
    for (int i = 0; i < small + medium; ++i) {
      const double side = i < small ? 62 : 66;  // 31 and 33 in a view of half the size
      dataset.Add(Image({Object(1, {10, 10, 10 + side, 10 + side})}), "/data/all.csv");
    }
    const auto statistics = ComputeDatasetStatistics(dataset, WarpedTo({150, 150}));
    EXPECT_TRUE(statistics.ok()) << statistics.status();
    return FindSizeProblems(dataset, *statistics);
  };
  EXPECT_THAT(problems_of(0, 0), IsEmpty());
  EXPECT_THAT(problems_of(2, 2), IsEmpty());
  const std::vector<DataProblem> problems = problems_of(3, 2);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].severity, Severity::kNote);
  EXPECT_EQ(problems[0].kind, ProblemKind::kSmallObjects);
  EXPECT_EQ(problems[0].file, "/data/all.csv");
  EXPECT_THAT(problems[0].message, HasSubstr("3 of 5 objects are smaller than 32x32 pixels"));
}

TEST(DatasetProblemsTest, ComparesClassesByName) {
  const auto compare = [](const MemoryDataset& train, const MemoryDataset& validation) {
    std::vector<std::string> messages;
    const auto a = ComputeDatasetStatistics(train, WarpedTo(kSize));
    const auto b = ComputeDatasetStatistics(validation, WarpedTo(kSize));
    EXPECT_TRUE(a.ok() && b.ok());
    for (const DataProblem& problem : CompareSplits(*a, *b, validation)) {
      EXPECT_EQ(problem.kind, ProblemKind::kMismatchedSplits);
      messages.push_back(problem.message);
    }
    return messages;
  };
  EXPECT_THAT(compare(WithObjects({{"cat", 2}, {"dog", 1}, {"bird", 0}}),
                      WithObjects({{"cat", 1}, {"dog", 3}, {"bird", 0}})),
              IsEmpty());
  EXPECT_THAT(compare(WithObjects({{"cat", 2}, {"dog", 0}}), WithObjects({{"cat", 0}, {"dog", 3}})),
              ElementsAre(HasSubstr("'cat' has no object to validate"),
                          HasSubstr("'dog' has 3 objects to validate with and none")));
  EXPECT_THAT(compare(WithObjects({{"cat", 2}, {"dog", 1}}), WithObjects({{"cat", 1}, {"fox", 3}})),
              ElementsAre(HasSubstr("'dog' is one of the training data only"),
                          HasSubstr("'fox' is one of the validation data only")));
}

TEST(DatasetProblemsTest, FindsTheRootOfAnnotations) {
  const auto root_of = [](const std::vector<std::string>& files) {
    MemoryDataset dataset({"cat"});
    for (const std::string& file : files) dataset.Add(Image({}), file);
    return AnnotationRoot(dataset);
  };
  EXPECT_EQ(root_of({}), "");
  EXPECT_EQ(root_of({"", ""}), "");
  EXPECT_EQ(root_of({"/a/b.json", "/a/b.json"}), "/a/b.json");
  EXPECT_EQ(root_of({"/a/xml/10.xml", "/a/xml/11.xml", "/a/xml/2.xml"}), "/a/xml");
  EXPECT_EQ(root_of({"/a/xml/1.xml", "/a/xml/2.xml", "/a/xml2/3.xml"}), "/a");
  EXPECT_EQ(root_of({"/a/1.xml", "/b/2.xml", "/b/3.xml"}), "/");
  EXPECT_EQ(root_of({"a.xml", "b.xml"}), "");
}

}  // namespace
}  // namespace ssd
