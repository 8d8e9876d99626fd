#include "data/truth_collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Annotations Image(int64_t id, const std::string& name) {
  Annotations image;
  image.image_id = id;
  image.file_name = name;
  image.size = {30, 40};
  return image;
}

Annotation Object(const PixelBox& box, int64_t line = 0) {
  Annotation object;
  object.box = box;
  object.line = line;
  return object;
}

TruthCollector Collector(const DatasetContext& context) {
  auto collector = TruthCollector::Create(context, "set");
  EXPECT_TRUE(collector.ok()) << collector.status();
  return *std::move(collector);
}

// The class names of all objects, in their order.
std::vector<std::string> ClassesOf(const Dataset& dataset) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const Annotations image = *dataset.GetAnnotations(i);
    for (const Annotation& object : image.objects) {
      names.push_back(dataset.labels().names[object.label - 1]);
    }
  }
  return names;
}

TEST(TruthCollectorTest, CollectsAndSortsClasses) {
  TruthCollector truths = Collector({});
  EXPECT_EQ(*truths.AddImage(Image(5, "a.png"), "a.xml"), 0);
  EXPECT_EQ(*truths.AddImage(Image(3, "b.png"), "b.xml"), 1);
  const PixelBox box = {1, 2, 11, 22};
  ASSERT_TRUE(truths.AddObject(1, Object(box, 7), "dog").ok());
  ASSERT_TRUE(truths.AddObject(0, Object(box), "cat").ok());
  ASSERT_TRUE(truths.AddObject(1, Object(box), "bird").ok());
  ASSERT_TRUE(truths.AddObject(0, Object({50, 2, 60, 22}), "ant").ok());  // outside: no class
  Annotation whole = Object({-3, 0, 40, 30});
  whole.id = 17;
  whole.area = 5;
  ASSERT_TRUE(truths.AddObject(0, whole, "dog").ok());

  const auto dataset = std::move(truths).Finish("folder");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("bird", "cat", "dog"));
  EXPECT_THAT((*dataset)->labels().source_ids, ElementsAre(1, 2, 3));
  EXPECT_THAT(ClassesOf(**dataset), ElementsAre("cat", "dog", "dog", "bird"));
  EXPECT_EQ((*dataset)->AnnotationFile(0), "a.xml");
  EXPECT_EQ((*dataset)->AnnotationFile(1), "b.xml");
  EXPECT_EQ((*dataset)->GetAnnotations(1)->image_id, 3);
  const Annotation dog = (*dataset)->GetAnnotations(1)->objects[0];
  EXPECT_EQ(dog.line, 7);
  EXPECT_EQ(dog.id, 1);
  EXPECT_EQ(dog.area, 10 * 20);
  const Annotation cut = (*dataset)->GetAnnotations(0)->objects[1];
  EXPECT_EQ(cut.box.x0, 0);
  EXPECT_EQ(cut.area, 5);
  EXPECT_EQ(cut.id, 17);
}

TEST(TruthCollectorTest, TakesDeclaredClassesInTheirOrder) {
  TruthCollector truths = Collector({});
  ASSERT_TRUE(truths.AddClass("dog", 3).ok());
  ASSERT_TRUE(truths.AddClass("cat", 90).ok());
  ASSERT_TRUE(truths.AddImage(Image(1, "a.png"), "a.json").ok());
  ASSERT_TRUE(truths.AddObject(0, Object({1, 2, 3, 4}), "cat").ok());
  EXPECT_THAT(std::string(truths.AddObject(0, Object({1, 2, 3, 4}, 6), "yak").message()),
              HasSubstr("a.json:6: object 'yak' of image 'a.png': class 'yak'"));
  const absl::Status twice = truths.AddClass("dog", 4, 13);
  EXPECT_EQ(twice.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(twice.message()), HasSubstr("set:13: categories 3 and 4"));
  EXPECT_FALSE(truths.AddClass("", 5).ok());
}

TEST(TruthCollectorTest, TakesTheExperimentsLabels) {
  DatasetContext context;
  context.labels = {"cat", "yak", "dog"};
  TruthCollector truths = Collector(context);
  ASSERT_TRUE(truths.AddClass("dog", 3, 21).ok());
  ASSERT_TRUE(truths.AddClass("cat", 90).ok());
  ASSERT_TRUE(truths.AddClass("eel", 91).ok());  // without an object it need not be a label
  ASSERT_TRUE(truths.AddImage(Image(1, "a.png"), "a.json").ok());
  ASSERT_TRUE(truths.AddObject(0, Object({1, 2, 3, 4}), "dog").ok());
  const auto dataset = std::move(truths).Finish("folder");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("cat", "yak", "dog"));
  EXPECT_THAT((*dataset)->labels().source_ids, ElementsAre(90, 92, 3));
  EXPECT_EQ((*dataset)->ClassPlace(3).file, "set");
  EXPECT_EQ((*dataset)->ClassPlace(3).line, 21);
  EXPECT_EQ((*dataset)->ClassPlace(1).file, "");  // its line is not known
  EXPECT_EQ((*dataset)->ClassPlace(2).file, "");  // the experiment's alone
  EXPECT_THAT(ClassesOf(**dataset), ElementsAre("dog"));

  context.labels = {"cat", "cat"};
  EXPECT_THAT(std::string(TruthCollector::Create(context, "set").status().message()),
              HasSubstr("twice"));
}

TEST(TruthCollectorTest, MapsClasses) {
  DatasetContext context;
  ClassMap::Rename* const rename = context.class_map.add_rename();
  rename->add_from("puppy");
  rename->add_from("hound");
  rename->set_to("dog");
  context.class_map.add_drop("ant");
  const PixelBox box = {1, 2, 3, 4};
  {
    TruthCollector truths = Collector(context);
    ASSERT_TRUE(truths.AddImage(Image(1, "a.png"), "a.xml").ok());
    for (const char* name : {"puppy", "ant", "cat", "hound"}) {
      ASSERT_TRUE(truths.AddObject(0, Object(box), name).ok());
    }
    // What is dropped may be as wrong as it likes.
    ASSERT_TRUE(truths.AddObject(0, Object({1, 2, std::nan(""), 4}), "ant").ok());
    const auto dataset = std::move(truths).Finish("folder");
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_THAT((*dataset)->labels().names, ElementsAre("cat", "dog"));
    EXPECT_THAT(ClassesOf(**dataset), ElementsAre("dog", "cat", "dog"));
  }
  {
    TruthCollector truths = Collector(context);
    ASSERT_TRUE(truths.AddClass("hound", 2).ok());
    ASSERT_TRUE(truths.AddClass("ant", 4).ok());
    ASSERT_TRUE(truths.AddClass("puppy", 6).ok());
    ASSERT_TRUE(truths.AddImage(Image(1, "a.png"), "a.json").ok());
    for (const char* name : {"puppy", "ant", "hound"}) {
      ASSERT_TRUE(truths.AddObject(0, Object(box), name).ok());
    }
    const auto dataset = std::move(truths).Finish("folder");
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_THAT((*dataset)->labels().names, ElementsAre("dog"));
    EXPECT_THAT((*dataset)->labels().source_ids, ElementsAre(2));
    EXPECT_THAT(ClassesOf(**dataset), ElementsAre("dog", "dog"));
  }
  // Labels are what the map makes of the names.
  context.labels = {"dog"};
  TruthCollector truths = Collector(context);
  ASSERT_TRUE(truths.AddImage(Image(1, "a.png"), "a.xml").ok());
  EXPECT_TRUE(truths.AddObject(0, Object(box), "puppy").ok());
  EXPECT_FALSE(truths.AddObject(0, Object(box), "cat").ok());
}

TEST(TruthCollectorTest, WarnsOnceOfDroppedBoxes) {
  TruthCollector truths = Collector({});
  ASSERT_TRUE(truths.AddImage(Image(1, "a.png"), "a.xml").ok());
  ASSERT_TRUE(truths.AddObject(0, Object({5, 5, 5, 9}, 4), "cat").ok());   // no width
  ASSERT_TRUE(truths.AddObject(0, Object({9, 5, 7, 9}, 8), "cat").ok());   // inverted
  ASSERT_TRUE(truths.AddObject(0, Object({5, 5, 99, 9}, 9), "cat").ok());  // cut
  const absl::Status not_finite =
      truths.AddObject(0, Object({5, 5, std::numeric_limits<double>::infinity(), 9}, 10), "cat");
  EXPECT_EQ(not_finite.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(not_finite.message()), HasSubstr("a.xml:10: object 'cat'"));
  testing::internal::CaptureStderr();
  const auto dataset = std::move(truths).Finish("folder");
  const std::string log = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->GetAnnotations(0)->objects.size(), 1u);
  EXPECT_THAT(log, HasSubstr("set: dropped 2 of 4"));
  EXPECT_THAT(log, HasSubstr("a.xml:4: object 'cat' of image 'a.png': box (5, 5) to (5, 9)"));
  EXPECT_THAT(log, Not(HasSubstr("a.xml:8")));
}

TEST(TruthCollectorTest, RecordsFaultsWhereThereIsALog) {
  ProblemLog log;
  DatasetContext context;
  context.labels = {"cat"};
  context.problems = &log;
  TruthCollector truths = Collector(context);
  ASSERT_TRUE(truths.AddImage(Image(1, "a.png"), "a.xml").ok());
  ASSERT_TRUE(truths.AddObject(0, Object({5, 5, 5, 9}, 4), "cat").ok());
  ASSERT_TRUE(truths.AddObject(0, Object({5, 5, 9, 9}, 5), "yak").ok());
  ASSERT_TRUE(truths.AddObject(0, Object({5, 5, 9, 9}, 6), "yak").ok());
  ASSERT_TRUE(truths.Fault(Severity::kNote, ProblemKind::kCategoryHole, "a.xml", 0, "a hole").ok());
  testing::internal::CaptureStderr();
  const auto dataset = std::move(truths).Finish("folder");
  EXPECT_THAT(testing::internal::GetCapturedStderr(), IsEmpty());
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_TRUE((*dataset)->GetAnnotations(0)->objects.empty());
  const std::vector<DataProblem> problems = log.Take();
  ASSERT_EQ(problems.size(), 3u);
  EXPECT_EQ(problems[0].kind, ProblemKind::kBoxEmpty);
  EXPECT_EQ(problems[0].line, 4);
  EXPECT_EQ(problems[1].kind, ProblemKind::kCategoryHole);
  EXPECT_EQ(problems[1].severity, Severity::kNote);
  EXPECT_EQ(problems[2].kind, ProblemKind::kUnknownLabel);
  EXPECT_EQ(problems[2].file, "a.xml");
  EXPECT_EQ(problems[2].line, 5);
  EXPECT_THAT(problems[2].message, HasSubstr("2 such objects"));
}

TEST(TruthCollectorTest, ReturnsFaultsWhereThereIsNoLog) {
  TruthCollector truths = Collector({});
  const absl::Status with_line =
      truths.Fault(Severity::kWarning, ProblemKind::kMissingImage, "a.xml", 3, "no image");
  EXPECT_EQ(with_line, absl::InvalidArgumentError("a.xml:3: no image"));
  EXPECT_EQ(truths.Fault(Severity::kError, ProblemKind::kMissingImage, "a.xml", 0, "no image"),
            absl::InvalidArgumentError("a.xml: no image"));
  EXPECT_TRUE(truths.Fault(Severity::kNote, ProblemKind::kCategoryHole, "a.xml", 0, "hole").ok());
  EXPECT_THAT(std::string(std::move(truths).Finish("folder").status().message()),
              HasSubstr("set: no image"));
}

// Sides of images become int in OpenCV.
TEST(TruthCollectorTest, RefusesImagesLargerThanAnyThatIsDecoded) {
  for (const ImageSize size :
       {ImageSize{30, 3000000000}, ImageSize{1000001, 1}, ImageSize{20000, 20000}}) {
    Annotations large = Image(2, "large.png");
    large.size = size;
    large.line = 7;
    TruthCollector truths = Collector({});
    const absl::Status status = truths.AddImage(large, "a.json").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat("a.json:7: image 'large.png': ", size.width, "x",
                                       size.height, " pixels")));

    ProblemLog log;
    DatasetContext context;
    context.problems = &log;
    TruthCollector logging = Collector(context);
    const auto index = logging.AddImage(large, "a.json");
    ASSERT_TRUE(index.ok()) << index.status();
    EXPECT_EQ(*index, -1);
    ASSERT_TRUE(logging.AddObject(*index, Object({1, 2, 3, 4}), "dog").ok());
    ASSERT_TRUE(logging.AddImage(Image(1, "a.png"), "a.json").ok());
    const auto dataset = std::move(logging).Finish("folder");
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ((*dataset)->size(), 1);
    EXPECT_THAT((*dataset)->labels().names, IsEmpty());
    const std::vector<DataProblem> problems = log.Take();
    ASSERT_EQ(problems.size(), 1u);
    EXPECT_EQ(problems[0].kind, ProblemKind::kUnreadableImage);
    EXPECT_EQ(problems[0].line, 7);
  }
}

TEST(TruthCollectorTest, SkipsBadImagesWhereTheyAreCounted) {
  const absl::Status damaged = absl::DataLossError("a.jpg: truncated");
  EXPECT_FALSE(Collector({}).SkipBadImage(damaged));
  std::vector<int64_t> bad_images;
  DatasetContext context;
  context.bad_images = &bad_images;
  TruthCollector collector = Collector(context);
  ASSERT_TRUE(collector.AddImage(Image(1, "a.png"), "a.xml").ok());
  EXPECT_TRUE(collector.SkipBadImage(damaged));
  ASSERT_TRUE(collector.AddImage(Image(2, "b.png"), "b.xml").ok());
  EXPECT_TRUE(collector.SkipBadImage(absl::NotFoundError("b.jpg: no such file")));
  // The machine's fault.
  EXPECT_FALSE(collector.SkipBadImage(absl::PermissionDeniedError("c.jpg: cannot read")));
  EXPECT_FALSE(collector.SkipBadImage(absl::InternalError("d.jpg: too many open files")));
  EXPECT_THAT(bad_images, ElementsAre(1, 3));
  // The annotation's.
  const auto too_large = collector.AddImage({3, "e.jpg", {1 << 20, 1 << 20}, {}}, "e.xml");
  EXPECT_EQ(too_large.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(too_large.status().message()), HasSubstr("e.xml: image 'e.jpg'"));
  EXPECT_EQ(bad_images.size(), 2u);
  // With a log they are faults, which keep their places.
  ProblemLog log;
  context.problems = &log;
  bad_images.clear();
  EXPECT_FALSE(Collector(context).SkipBadImage(damaged));
  EXPECT_THAT(bad_images, ElementsAre(0));
}

TEST(TruthCollectorTest, ClassesHaveNames) {
  for (const char* name : {"", " ", "\t \n"}) {
    const absl::Status status = Collector({}).AddClass(name, 17);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("category 17 has an empty or blank name"));
  }
}

TEST(TruthCollectorTest, DropsImagesWithoutObjects) {
  std::vector<int64_t> bad_images;
  DatasetContext context;
  context.bad_images = &bad_images;
  TruthCollector truths = Collector(context);
  for (int i = 0; i < 5; ++i) {
    if (i == 1 || i == 3) {
      ASSERT_TRUE(truths.SkipBadImage(absl::DataLossError("truncated")));
    }
    ASSERT_TRUE(truths.AddImage(Image(i, absl::StrCat(i, ".png")), absl::StrCat(i, ".xml")).ok());
  }
  Annotation crowd = Object({1, 2, 3, 4});
  crowd.crowd = true;
  ASSERT_TRUE(truths.AddObject(0, crowd, "cat").ok());
  ASSERT_TRUE(truths.AddObject(1, crowd, "cat").ok());
  ASSERT_TRUE(truths.AddObject(1, Object({1, 2, 3, 4}), "cat").ok());
  ASSERT_TRUE(truths.AddObject(3, Object({1, 2, 3, 4}), "dog").ok());
  const auto dataset = std::move(truths).Finish("folder", /*drop_images_without_objects=*/true);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 2);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->file_name, "1.png");
  EXPECT_EQ((*dataset)->GetAnnotations(1)->file_name, "3.png");
  EXPECT_EQ((*dataset)->AnnotationFile(1), "3.xml");
  EXPECT_EQ((*dataset)->GetAnnotations(0)->objects.size(), 2u);
  EXPECT_THAT(bad_images, ElementsAre(0, 2));  // before 1.png, before 3.png
}

}  // namespace
}  // namespace ssd
