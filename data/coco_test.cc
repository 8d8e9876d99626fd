#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "data/coco_json.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Ids with holes and in no order, a mask, a crowd and much that is not read.
constexpr char kInstances[] = R"({
 "info": {"year": 2017, "nested": [[{"id": 1}], {"images": []}]},
 "images": [
  {"id": 42, "file_name": "b.png", "width": 40, "height": 30, "license": 3, "tags": [1, [2]]},
  {"license": null, "height": 16, "width": 32, "file_name": "sub/a.png", "id": 7},
  {"id": 9, "file_name": "c.png", "width": 24, "height": 20}
 ],
 "annotations": [
  {"id": 900, "image_id": 7, "category_id": 90, "bbox": [1.5, 2, 10, 4.25], "iscrowd": 0,
   "segmentation": [[1.5, 2, 11.5, 2, 11.5, 6.25]], "area": 21.25},
  {"id": 3, "image_id": 42, "category_id": 1, "bbox": [0, 0, 40, 30], "iscrowd": 1, "area": 700,
   "segmentation": {"counts": [3, 5], "size": [30, 40]}},
  {"id": 4, "image_id": 42, "category_id": 3, "bbox": [5, 6, 7, 8]},
  {"id": 5, "image_id": 9, "category_id": 1, "bbox": [2, 2, 4, 4], "iscrowd": 1}
 ],
 "categories": [
  {"id": 90, "name": "toothbrush", "supercategory": "indoor", "keypoints": ["bristle"]},
  {"id": 1, "name": "person"},
  {"id": 3, "name": "car"}
 ]
})";

class CocoTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = absl::StrCat(testing::TempDir(), "/coco_",
                         testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/images/sub");
    WriteImage("b.png", 40, 30, 60);
    WriteImage("sub/a.png", 32, 16, 120);
    WriteImage("c.png", 24, 20, 180);
  }

  void WriteImage(const std::string& name, int width, int height, int grey) const {
    ASSERT_TRUE(cv::imwrite(root_ + "/images/" + name,
                            cv::Mat(height, width, CV_8UC3, cv::Scalar::all(grey))));
  }

  DatasetConfig Config() const {
    DatasetConfig config;
    config.mutable_coco()->set_annotations(root_ + "/instances.json");
    config.mutable_coco()->set_images(root_ + "/images");
    return config;
  }

  absl::StatusOr<std::unique_ptr<Dataset>> Create(const std::string& json,
                                                  const std::vector<std::string>& labels = {},
                                                  bool drop_images_without_objects = false) const {
    EXPECT_TRUE(WriteFileAtomically(root_ + "/instances.json", json).ok());
    DatasetConfig config = Config();
    if (drop_images_without_objects) config.mutable_coco()->set_drop_images_without_objects(true);
    return CreateDataset(config, {labels});
  }

  // kInstances with `from`, which must be there, replaced.
  static std::string With(const std::string& from, const std::string& to) {
    std::string json = kInstances;
    EXPECT_GT(absl::StrReplaceAll({{from, to}}, &json), 0) << from;
    return json;
  }

  std::string ErrorOf(const std::string& json, const std::vector<std::string>& labels = {}) const {
    const absl::Status status = Create(json, labels).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("instances.json"));
    return std::string(status.message());
  }

  std::string root_;
};

std::vector<double> Corners(const Annotation& object) {
  return {object.box.x0, object.box.y0, object.box.x1, object.box.y1};
}

TEST_F(CocoTest, ReadsWhatWasWritten) {
  const auto dataset = Create(kInstances);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("person", "car", "toothbrush"));
  EXPECT_THAT((*dataset)->labels().source_ids, ElementsAre(1, 3, 90));
  ASSERT_EQ((*dataset)->size(), 3);

  const auto b = (*dataset)->Get(0);
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(b->truth.image_id, 42);
  EXPECT_EQ(b->truth.file_name, "b.png");
  EXPECT_EQ(b->truth.size, (ImageSize{30, 40}));
  EXPECT_EQ(b->geometry.original, (ImageSize{30, 40}));
  ASSERT_EQ(b->truth.objects.size(), 2u);
  const Annotation& person = b->truth.objects[0];
  EXPECT_THAT(Corners(person), ElementsAre(0, 0, 40, 30));
  EXPECT_EQ(person.id, 3);
  EXPECT_EQ(person.label, 1);
  EXPECT_EQ(person.area, 700);  // the mask's
  EXPECT_TRUE(person.crowd);
  EXPECT_FALSE(person.difficult);
  const Annotation& car = b->truth.objects[1];
  EXPECT_THAT(Corners(car), ElementsAre(5, 6, 12, 14));
  EXPECT_EQ(car.id, 4);
  EXPECT_EQ(car.label, 2);
  EXPECT_EQ(car.area, 7 * 8);  // none is given: the box's
  EXPECT_FALSE(car.crowd);

  const auto a = (*dataset)->Get(1);
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_EQ(a->truth.image_id, 7);
  ASSERT_EQ(a->truth.objects.size(), 1u);
  EXPECT_THAT(Corners(a->truth.objects[0]), ElementsAre(1.5, 2, 11.5, 6.25));
  EXPECT_EQ(a->truth.objects[0].label, 3);
  EXPECT_EQ(a->truth.objects[0].area, 21.25);
  const auto pixels = a->image.Render();
  ASSERT_TRUE(pixels.ok()) << pixels.status();
  EXPECT_EQ(pixels->size(), cv::Size(32, 16));
  EXPECT_EQ(pixels->at<cv::Vec3b>(3, 3), cv::Vec3b(120, 120, 120));

  EXPECT_EQ(a->truth.objects[0].line, 9);
  EXPECT_EQ(person.line, 11);
  EXPECT_EQ(car.line, 13);
  EXPECT_EQ((*dataset)->AnnotationFile(2), root_ + "/instances.json");
  EXPECT_EQ(b->truth.line, 4);
  EXPECT_EQ(a->truth.line, 5);
  EXPECT_EQ((*dataset)->ClassPlace(1).file, root_ + "/instances.json");
  EXPECT_EQ((*dataset)->ClassPlace(1).line, 18);  // person
  EXPECT_EQ((*dataset)->ClassPlace(3).line, 17);  // toothbrush
}

TEST_F(CocoTest, ReadsTheListsInAnyOrder) {
  std::vector<std::string> lists = {
      R"("annotations": [{"id": 2, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}])",
      R"("categories": [{"id": 3, "name": "car"}])",
      R"("images": [{"id": 1, "file_name": "b.png", "width": 40, "height": 30}])"};
  std::set<std::string> fingerprints;
  int orders = 0;
  do {
    ++orders;
    const auto dataset = Create(absl::StrCat("{", absl::StrJoin(lists, ", "), "}"));
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ((*dataset)->GetAnnotations(0)->objects.size(), 1u);
    fingerprints.insert((*dataset)->Fingerprint());
  } while (std::next_permutation(lists.begin(), lists.end()));
  EXPECT_EQ(orders, 6);
  EXPECT_EQ(fingerprints.size(), 1u);
}

TEST_F(CocoTest, TakesFilesWithoutAnnotations) {
  const std::string images = R"("images": [{"id": 8, "file_name": "b.png"}])";
  const auto listed =
      Create(absl::StrCat("{", images, R"(, "categories": [{"id": 3, "name": "car"}]})"));
  ASSERT_TRUE(listed.ok()) << listed.status();
  EXPECT_THAT((*listed)->labels().names, ElementsAre("car"));
  EXPECT_THAT((*listed)->labels().source_ids, ElementsAre(3));
  EXPECT_TRUE((*listed)->GetAnnotations(0)->objects.empty());
  EXPECT_EQ((*listed)->GetAnnotations(0)->size, (ImageSize{30, 40}));

  const std::string alone = absl::StrCat("{", images, "}");
  const auto given = Create(alone, {"car", "person"});
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_THAT((*given)->labels().source_ids, ElementsAre(1, 2));
  EXPECT_THAT(ErrorOf(alone), HasSubstr("data.label"));
}

TEST_F(CocoTest, NumbersAnObjectOfIdZero) {
  const auto dataset = Create(With("\"id\": 4,", "\"id\": 0,"));
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->GetAnnotations(0)->objects[1].id, 901);
}

TEST_F(CocoTest, DropsImagesWithoutObjects) {
  // Image 9 has a crowd only.
  const auto dataset = Create(kInstances, {}, /*drop_images_without_objects=*/true);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 2);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->image_id, 42);
  EXPECT_EQ((*dataset)->GetAnnotations(1)->image_id, 7);
  EXPECT_THAT(
      (*dataset)->NamedImageFiles(),
      ElementsAre(root_ + "/images/b.png", root_ + "/images/sub/a.png", root_ + "/images/c.png"));
}

TEST_F(CocoTest, OrdersLabelsAsGiven) {
  const auto dataset = Create(kInstances, {"car", "toothbrush", "person"});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("car", "toothbrush", "person"));
  EXPECT_THAT((*dataset)->labels().source_ids, ElementsAre(3, 90, 1));
  EXPECT_EQ((*dataset)->GetAnnotations(0)->objects[0].label, 3);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->objects[1].label, 1);

  // A class that the file lacks gets an id of its own.
  const auto more = Create(kInstances, {"car", "yak", "toothbrush", "person"});
  ASSERT_TRUE(more.ok()) << more.status();
  EXPECT_THAT((*more)->labels().source_ids, ElementsAre(3, 91, 90, 1));

  const std::string error = ErrorOf(kInstances, {"person", "car"});
  EXPECT_THAT(error, HasSubstr("instances.json:9: object 900"));
  EXPECT_THAT(error, HasSubstr("'toothbrush'"));
  EXPECT_THAT(error, HasSubstr("data.label"));
}

TEST_F(CocoTest, CutsBoxesAndDropsWhatIsEmpty) {
  testing::internal::CaptureStderr();
  const auto dataset = Create(absl::StrReplaceAll(
      kInstances, {{"[5, 6, 7, 8]", "[-5, 6, 100, 8]"}, {"[1.5, 2, 10, 4.25]", "[9, 2, -3, 4]"}}));
  const std::string log = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT(Corners((*dataset)->GetAnnotations(0)->objects[1]), ElementsAre(0, 6, 40, 14));
  EXPECT_TRUE((*dataset)->GetAnnotations(1)->objects.empty());
  EXPECT_THAT(log, HasSubstr("dropped 1 of 4"));
  EXPECT_THAT(log, HasSubstr("instances.json:9: object 900"));
  EXPECT_THAT(log, HasSubstr("inverted"));
}

TEST_F(CocoTest, ReadsSizesThatAreNotGiven) {
  for (const char* replacement :
       {"\"file_name\": \"b.png\"", "\"file_name\": \"b.png\", \"width\": null, \"height\": 0"}) {
    const auto dataset =
        Create(With("\"file_name\": \"b.png\", \"width\": 40, \"height\": 30", replacement));
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ((*dataset)->GetAnnotations(0)->size, (ImageSize{30, 40}));
  }
}

TEST_F(CocoTest, TakesWhatExportersWrite) {
  // A byte order mark, integers with a point, crowds as booleans, no annotations.
  const auto marked = Create(std::string("\xef\xbb\xbf") + kInstances);
  EXPECT_TRUE(marked.ok()) << marked.status();
  const auto points =
      Create(absl::StrReplaceAll(kInstances, {{"\"image_id\": 42", "\"image_id\": 42.0"},
                                              {"\"iscrowd\": 1", "\"iscrowd\": true"}}));
  ASSERT_TRUE(points.ok()) << points.status();
  EXPECT_TRUE((*points)->GetAnnotations(0)->objects[0].crowd);
  EXPECT_EQ((*points)->Fingerprint(), (*Create(kInstances))->Fingerprint());
  const auto none = Create(
      R"({"images": [{"id": 1, "file_name": "b.png", "width": 40, "height": 30}],
          "annotations": [], "categories": [{"id": 5, "name": "x"}]})");
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE((*none)->GetAnnotations(0)->objects.empty());
}

TEST_F(CocoTest, NamesThePlaceOfBadFields) {
  struct Case {
    std::string from, to;
    std::vector<std::string> message;
  };
  const std::vector<Case> cases = {
      {"\"id\": 42", "\"id\": \"42\"", {":4:", "images[0]", "id", "an integer"}},
      {"\"id\": 42", "\"id\": 42.5", {":4:", "images[0]", "an integer"}},
      {"\"id\": 42, ", "", {"images[0]", "no id"}},
      {"\"b.png\"", "17", {"images[0]", "file_name", "a string"}},
      {"\"file_name\": \"b.png\", ", "", {"images[0]", "no file_name"}},
      {"\"width\": 40", "\"width\": -40", {"images[0]", "-40x30"}},
      {"\"width\": 40", "\"width\": 3000000000", {":4:", "'b.png'", "3000000000x30 pixels"}},
      {"\"width\": 40", "\"width\": \"40\"", {"images[0]", "width"}},
      {"\"id\": 9,", "\"id\": 7,", {":6:", "'c.png'", "same id 7"}},
      {"\"id\": 4,", "\"id\": 3,", {":13:", "annotation 3", "same id"}},
      {"\"id\": 3, \"name\"", "\"id\": 1, \"name\"", {":19:", "category 1", "same id"}},
      {"\"name\": \"car\"", "\"name\": \"person\"", {"'person'", "1 and 3"}},
      {"\"name\": \"car\"", "\"title\": \"car\"", {"categories[2]", "no name"}},
      {"\"name\": \"car\"", "\"name\": \"\"", {"category 3", "empty or blank name"}},
      {"\"name\": \"car\"", "\"name\": \" \\t\"", {"category 3", "empty or blank name"}},
      {"\"image_id\": 9", "\"image_id\": 8", {":14:", "annotation 5", "image_id 8"}},
      {"\"category_id\": 3", "\"category_id\": 2", {":13:", "annotation 4", "category_id 2"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": [5, 6, 7]", {"annotations[2]", "four numbers"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": [5, 6, 7, \"8\"]", {"annotations[2]", "four numbers"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": [5, 6, [7], 8]", {"annotations[2]", "four numbers"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": {\"x\": 5}", {"annotations[2]", "four numbers"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": [5, 6, 7, 1e999]", {":13:", "too big"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": null", {"annotations[2]", "four numbers"}},
      {", \"bbox\": [5, 6, 7, 8]", "", {":13:", "annotations[2] (id 4)", "no bbox"}},
      {"\"area\": 700", "\"area\": \"big\"", {"annotations[1]", "area", "a number"}},
      {"\"iscrowd\": 1, \"area\"", "\"iscrowd\": 2, \"area\"", {"annotations[1]", "0 or 1"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": [5, 6, 7, NaN]", {":13:", "object 4", "not finite"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": [-Infinity, 6, 7, 8]", {":13:", "not finite"}},
      {"\"images\": [\n", "\"images\": [5,\n", {"images[0]", "not an object"}},
      {"\"images\": [\n", "\"images\": [[],\n", {"images[0]", "not an object"}},
      {"\"images\": [\n", "\"pictures\": [\n", {"no images"}},
      {"\"categories\": [", "\"classes\": [", {"no categories"}},
  };
  for (const Case& bad : cases) {
    SCOPED_TRACE(absl::StrCat(bad.from, " -> ", bad.to));
    const std::string error = ErrorOf(With(bad.from, bad.to));
    for (const std::string& part : bad.message) EXPECT_THAT(error, HasSubstr(part));
  }
}

TEST_F(CocoTest, NamesThePlaceOfMalformedJson) {
  const std::string whole = kInstances;
  for (size_t size = 0; size + 2 < whole.size(); size += 29) {
    EXPECT_THAT(ErrorOf(whole.substr(0, size)), HasSubstr("Is the file complete"));
  }
  const std::string error = ErrorOf(With("\"id\": 42,", "\"id\": 42;"));
  EXPECT_THAT(error, HasSubstr(":4:12"));
  EXPECT_THAT(error, HasSubstr(absl::StrCat("(byte ", whole.find("42,") + 2, ")")));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("files of detections"));
  EXPECT_THAT(ErrorOf("3"), HasSubstr("no object"));
  EXPECT_THAT(ErrorOf(R"({"images": {}})"), HasSubstr("images is not a list"));
  EXPECT_THAT(ErrorOf(R"({"images": 3})"), HasSubstr("images is not a list"));
  // Deep nesting costs no stack.
  EXPECT_THAT(ErrorOf("{\"x\": " + std::string(1000000, '[')), HasSubstr("malformed"));
}

TEST_F(CocoTest, NamesWhatIsMissing) {
  const auto message = [](const DatasetConfig& config) {
    return std::string(CreateDataset(config, {}).status().message());
  };
  EXPECT_THAT(message(Config()), HasSubstr("instances.json"));  // not written yet
  ASSERT_TRUE(Create(kInstances).ok());
  DatasetConfig config = Config();
  config.mutable_coco()->clear_annotations();
  EXPECT_THAT(message(config), HasSubstr("coco.annotations"));
  config = Config();
  config.mutable_coco()->set_annotations(root_);
  EXPECT_THAT(message(config), HasSubstr(root_));
  config = Config();
  config.mutable_coco()->clear_images();
  EXPECT_THAT(message(config), HasSubstr("coco.images"));
  config = Config();
  config.mutable_coco()->set_images(root_ + "/pictures");
  EXPECT_THAT(message(config), HasSubstr("/pictures"));
  config = Config();
  config.mutable_coco()->set_images(root_);  // a folder without the images
  EXPECT_THAT(message(config), HasSubstr("b.png"));

  // A later image is missed when it is read.
  std::filesystem::remove(root_ + "/images/c.png");
  const auto dataset = CreateDataset(Config(), {});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  const absl::Status status = (*dataset)->Get(2)->image.Render().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("images/c.png"));
}

TEST_F(CocoTest, FingerprintTellsDataApart) {
  const auto fingerprint = [&](const std::string& json) { return (*Create(json))->Fingerprint(); };
  const std::string before = fingerprint(kInstances);
  EXPECT_EQ(before.size(), 16u);
  EXPECT_EQ(fingerprint(With("\"year\": 2017", "\"year\": 2018")), before);
  EXPECT_NE(fingerprint(With("[5, 6, 7, 8]", "[5, 6, 7, 9]")), before);
  EXPECT_NE(fingerprint(With("\"area\": 700", "\"area\": 701")), before);
  EXPECT_NE(fingerprint(With("\"name\": \"car\"", "\"name\": \"van\"")), before);
  EXPECT_NE(fingerprint(With("42", "43")), before);
}

// Every fault that a file can have beside being no COCO file at all.
constexpr char kFaulty[] = R"({
 "images": [
  {"id": 1, "file_name": "b.png", "width": 40, "height": 30},
  {"id": 1, "file_name": "c.png", "width": 24, "height": 20},
  {"id": 2, "file_name": "b.png", "width": 40, "height": 30},
  {"id": 3, "file_name": "no.png", "width": 40, "height": 30},
  {"id": 4, "width": 40, "height": 30},
  [5, {"id": 6}]
 ],
 "annotations": [
  {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]},
  {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]},
  {"id": 2, "image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4]},
  {"id": 3, "image_id": 1, "category_id": 9, "bbox": [1, 2, 3, 4]},
  {"id": 4, "image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4]},
  {"id": 5, "image_id": 1, "category_id": 1, "bbox": [1, 2, [3], 4]},
  {"id": 6, "image_id": 1, "category_id": 1, "bbox": [1, 2, Infinity, 4]},
  {"id": 7, "image_id": 1, "category_id": 1, "bbox": [5, 2, -3, 4]},
  {"id": 8, "image_id": 1, "category_id": 1, "bbox": [50, 2, 3, 4]},
  {"id": 9, "image_id": 1, "category_id": 1, "bbox": [38, 2, 30, 4]},
  {"id": 10, "image_id": 1, "category_id": 1, "bbox": [38, 2, 2.5, 4]},
  {"id": 11, "image_id": 1, "category_id": 1, "bbox": [38, 2, 2.005, 4]},
  {"id": 12, "image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4]},
  {"id": 13, "image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4]}
 ],
 "categories": [
  {"id": 1, "name": "car"},
  {"id": 1, "name": "person"},
  {"id": 2, "name": "car"},
  {"id": 5, "name": "yak"}
 ]
})";

TEST_F(CocoTest, RecordsProblemsAndGoesOn) {
  ASSERT_TRUE(WriteFileAtomically(root_ + "/instances.json", kFaulty).ok());
  ProblemLog log;
  DatasetContext context;
  context.labels = {"car"};
  context.problems = &log;
  const auto dataset = CreateDataset(Config(), context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 2);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->image_id, 1);
  EXPECT_EQ((*dataset)->GetAnnotations(1)->image_id, 2);
  std::vector<int64_t> kept;
  const Annotations first = *(*dataset)->GetAnnotations(0);
  for (const Annotation& object : first.objects) kept.push_back(object.id);
  EXPECT_THAT(kept, ElementsAre(1, 9, 10, 11));

  struct Expected {
    Severity severity;
    ProblemKind kind;
    int64_t line;
    std::string message;
  };
  const std::vector<Expected> expected = {
      // While the file is read.
      {Severity::kError, ProblemKind::kUnreadableAnnotation, 7,
       "images[4] (id 4) has no file_name"},
      {Severity::kError, ProblemKind::kUnreadableAnnotation, 8, "images[5] is not an object"},
      {Severity::kError, ProblemKind::kUnreadableAnnotation, 16, "annotations[5] (id 5).bbox"},
      // While its lists are joined.
      {Severity::kError, ProblemKind::kDuplicateCategory, 28, "category 1"},
      {Severity::kError, ProblemKind::kDuplicateCategory, 29, "categories 1 and 2"},
      {Severity::kNote, ProblemKind::kCategoryHole, 30, "3-4"},
      {Severity::kError, ProblemKind::kDuplicateImageId, 4, "same id 1"},
      {Severity::kWarning, ProblemKind::kDuplicateImageId, 5, "'b.png'"},
      {Severity::kError, ProblemKind::kMissingImage, 6, "'no.png'"},
      {Severity::kError, ProblemKind::kDuplicateAnnotationId, 12, "annotation 1"},
      {Severity::kError, ProblemKind::kUnknownImage, 13, "image_id 9"},
      {Severity::kError, ProblemKind::kUnknownCategory, 14, "category_id 9"},
      {Severity::kError, ProblemKind::kBoxNotFinite, 17, "object 6"},
      {Severity::kError, ProblemKind::kBoxInverted, 18, "(5, 2) to (2, 6)"},
      {Severity::kWarning, ProblemKind::kBoxEmpty, 19, "outside"},
      {Severity::kWarning, ProblemKind::kBoxOutside, 20, "28 pixels"},
      {Severity::kNote, ProblemKind::kBoxOutside, 21, "0.5 pixels"},
      {Severity::kError, ProblemKind::kUnknownLabel, 23, "2 such objects"},
  };
  const std::vector<DataProblem> problems = log.Take();
  ASSERT_EQ(problems.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(problems[i].message);
    EXPECT_EQ(problems[i].severity, expected[i].severity);
    EXPECT_EQ(problems[i].kind, expected[i].kind);
    EXPECT_EQ(problems[i].file, root_ + "/instances.json");
    EXPECT_EQ(problems[i].line, expected[i].line);
    EXPECT_THAT(problems[i].message, HasSubstr(expected[i].message));
  }
}

// Also where the nameless category is the only one, so that no other class is declared.
TEST_F(CocoTest, NoClassIsWithoutAName) {
  const std::string json = R"({"images": [{"id": 1, "file_name": "b.png", "width": 40,
      "height": 30}], "annotations": [{"id": 1, "image_id": 1, "category_id": 6,
      "bbox": [1, 2, 3, 4]}], "categories": [{"id": 6, "name": " "}]})";
  ASSERT_TRUE(WriteFileAtomically(root_ + "/instances.json", json).ok());
  for (const bool has_labels : {false, true}) {
    ProblemLog log;
    DatasetContext context;
    context.problems = &log;
    if (has_labels) context.labels = {"car"};
    const auto dataset = CreateDataset(Config(), context);
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ((*dataset)->labels().num_classes(), has_labels ? 1 : 0);
    EXPECT_TRUE((*dataset)->GetAnnotations(0)->objects.empty());
    const std::vector<DataProblem> problems = log.Take();
    ASSERT_FALSE(problems.empty());
    EXPECT_EQ(problems[0].kind, ProblemKind::kUnreadableAnnotation);
    EXPECT_EQ(problems[0].file, root_ + "/instances.json");
    EXPECT_THAT(problems[0].message, HasSubstr("category 6 has an empty or blank name"));
    for (const DataProblem& problem : problems) {
      EXPECT_NE(problem.kind, ProblemKind::kUnknownLabel) << problem.message;
    }
  }
}

TEST_F(CocoTest, LeavesOutBadImagesWhereTheyAreCounted) {
  ASSERT_TRUE(WriteFileAtomically(root_ + "/instances.json",
                                  With("\"width\": 24, \"height\": 20", "\"width\": null"))
                  .ok());
  ASSERT_TRUE(WriteFileAtomically(root_ + "/images/c.png", "no image").ok());
  std::filesystem::remove(root_ + "/images/b.png");  // the first; its size is stated
  std::vector<int64_t> bad_images;
  DatasetContext context;
  context.bad_images = &bad_images;
  const auto dataset = CreateDataset(Config(), context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 2);
  EXPECT_THAT(bad_images, ElementsAre(2));  // the loader counts the other
  // A wrong folder is still told at once.
  std::filesystem::remove(root_ + "/images/sub/a.png");
  std::filesystem::remove(root_ + "/images/c.png");
  EXPECT_THAT(std::string(CreateDataset(Config(), context).status().message()),
              HasSubstr("correct coco.images"));
}

TEST_F(CocoTest, NamesImagesOfFaultyEntries) {
  // One fault before the name, one behind it, one that shows at the end.
  constexpr char kEntries[] = R"({"images": [
  {"id": "x", "file_name": "a.png", "width": 40, "height": 30},
  {"id": 2, "file_name": "c.png", "width": "wide", "height": 20},
  {"file_name": "d.png", "width": 40, "height": 30},
  {"id": 4, "file_name": 5, "width": 40, "height": 30},
  {"id": 5, "file_name": "b.png", "width": 40, "height": 30}
 ], "categories": [{"id": 1, "name": "car"}]})";
  ASSERT_TRUE(WriteFileAtomically(root_ + "/instances.json", kEntries).ok());
  ProblemLog log;
  DatasetContext context;
  context.problems = &log;
  const auto dataset = CreateDataset(Config(), context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 1);
  EXPECT_EQ(log.Take().size(), 4u);
  EXPECT_THAT((*dataset)->NamedImageFiles(),
              ElementsAre(root_ + "/images/b.png", root_ + "/images/a.png", root_ + "/images/c.png",
                          root_ + "/images/d.png"));
}

// Links in a ring, as a disk that fails: nobody can tell whether the file is there.
TEST_F(CocoTest, AnImageThatCannotBeLookedForIsNotMissing) {
  std::filesystem::remove(root_ + "/images/b.png");
  std::filesystem::create_symlink("b.png", root_ + "/images/b.png");
  EXPECT_EQ(Create(kInstances).status().code(), absl::StatusCode::kInternal);
  ProblemLog log;
  DatasetContext context;
  context.problems = &log;
  const auto dataset = CreateDataset(Config(), context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 2);
  const std::vector<DataProblem> problems = log.Take();
  ASSERT_EQ(problems.size(), 2u);  // and a note of the holes in the categories
  EXPECT_EQ(problems[1].kind, ProblemKind::kUnreadableImage);
  EXPECT_EQ(problems[1].file, root_ + "/images/b.png");
}

TEST_F(CocoTest, RecordsNothingOfAGoodFile) {
  ASSERT_TRUE(Create(kInstances).ok());
  ProblemLog log;
  DatasetContext context;
  context.problems = &log;
  const auto dataset = CreateDataset(Config(), context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->Fingerprint(), (*CreateDataset(Config(), {}))->Fingerprint());
  const std::vector<DataProblem> problems = log.Take();
  ASSERT_EQ(problems.size(), 1u);  // as in COCO itself
  EXPECT_EQ(problems[0].kind, ProblemKind::kCategoryHole);
  EXPECT_THAT(problems[0].message, HasSubstr("2, 4-89"));
}

// What ParseCocoJson makes of `json`, faults and error included, in one line.
std::string Summary(const std::string& json, size_t chunk_bytes) {
  std::string summary;
  const CocoFault fault = [&](int64_t line, const std::string& message) {
    absl::StrAppend(&summary, "fault ", line, " ", message, "; ");
    return absl::OkStatus();
  };
  const auto instances = ParseCocoJson(json, "x.json", fault, chunk_bytes);
  if (!instances.ok()) return absl::StrCat(summary, instances.status().ToString());
  for (const CocoImage& image : instances->images) {
    absl::StrAppend(&summary, "image ", image.id, " ", image.file_name, " ", image.size.width, "x",
                    image.size.height, " ", image.line, "; ");
  }
  for (const CocoAnnotation& object : instances->annotations) {
    absl::StrAppend(&summary, "object ", object.id, " ", object.image_id, " ", object.category_id,
                    " ", object.box.x0, " ", object.box.y1, " ", object.area, " ",
                    object.crowd ? "crowd " : "", object.line, "; ");
  }
  for (const CocoCategory& category : instances->categories) {
    absl::StrAppend(&summary, "category ", category.id, " ", category.name, " ", category.line,
                    "; ");
  }
  return summary;
}

constexpr size_t kOneChunk = 1 << 14;

TEST(CocoJsonTest, ChunksOfAnySizeReadAlike) {
  for (const std::string json : {kInstances, kFaulty}) {
    const std::string whole = Summary(json, kOneChunk);
    EXPECT_THAT(whole, HasSubstr("object 4 "));
    for (size_t chunk_bytes = 1; chunk_bytes < 70; ++chunk_bytes) {
      EXPECT_EQ(Summary(json, chunk_bytes), whole) << chunk_bytes;
    }
    for (size_t size = 0; size < json.size(); ++size) {
      const std::string start = json.substr(0, size);
      const std::string error = Summary(start, kOneChunk);
      EXPECT_THAT(error, HasSubstr("Is the file complete"));
      EXPECT_EQ(Summary(start, 1 + size % 7), error);
    }
  }
}

TEST(CocoJsonTest, SkipsWhatIsNotKept) {
  const auto with = [](const std::string& value) {
    return absl::StrCat(R"({"x": )", value, R"(, "images": [{"mask" : )", value,
                        R"(, "id": 1, "more":)", value, R"(, "file_name": "a"}], "y":)", value,
                        "}");
  };
  for (const std::string value :
       {R"("")", R"("a\"]}\\")", "[]", "{}", "7", "-1.5e3", "null", "true", R"([[1, 2], ["]"]])",
        R"({"images": [{"id": "2"}], "\"": "}"})", "[\n\n]", R"([1, {"a": {"b": []}}])"}) {
    SCOPED_TRACE(value);
    const int64_t line_ends = std::count(value.begin(), value.end(), '\n');
    const std::string expected = absl::StrCat("image 1 a 0x0 ", 1 + line_ends, "; ");
    EXPECT_EQ(Summary(with(value), kOneChunk), expected);
    EXPECT_EQ(Summary(with(value), 1), expected);
  }
  for (const std::string value :
       {"[}", "[[1, 2}", R"({"a": 1])", "\"", "nul", "1.", "", "[] []", R"("a"5)", "[].5"}) {
    SCOPED_TRACE(value);
    EXPECT_THAT(Summary(with(value), kOneChunk), HasSubstr("malformed"));
    EXPECT_EQ(Summary(with(value), 1), Summary(with(value), kOneChunk));
  }
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(Summary(with(nested(100)), kOneChunk), "image 1 a 0x0 1; ");
  EXPECT_THAT(Summary(with(nested(101)), kOneChunk), HasSubstr("more than 100 deep"));
  EXPECT_THAT(Summary(R"({"images": [)" + nested(200) + "]}", kOneChunk), HasSubstr("malformed"));
}

TEST(CocoJsonTest, ChangedFilesReadAlikeInAnyChunks) {
  std::mt19937 random(1);
  const std::string whole = kFaulty;
  for (int i = 0; i < 3000; ++i) {
    std::string json = whole;
    for (uint32_t changes = 1 + random() % 4; changes > 0; --changes) {
      const size_t at = random() % json.size();
      constexpr char kBytes[] = "\"[]{}:,\\0.eN\n";
      switch (random() % 3) {
        case 0:
          json[at] = kBytes[random() % (sizeof(kBytes) - 1)];
          break;
        case 1:
          json.erase(at, 1 + random() % 9);
          break;
        default:
          json.insert(at, json.substr(random() % json.size(), 1 + random() % 9));
      }
      if (json.empty()) json = " ";
    }
    EXPECT_EQ(Summary(json, 1 + random() % 9), Summary(json, kOneChunk)) << json;
  }
}

}  // namespace
}  // namespace ssd
