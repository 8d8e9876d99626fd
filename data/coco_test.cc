#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
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
}

TEST_F(CocoTest, DropsImagesWithoutObjects) {
  // Image 9 has a crowd only.
  const auto dataset = Create(kInstances, {}, /*drop_images_without_objects=*/true);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 2);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->image_id, 42);
  EXPECT_EQ((*dataset)->GetAnnotations(1)->image_id, 7);
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
  EXPECT_THAT(error, HasSubstr("annotations[0] (id 900)"));
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
  EXPECT_THAT(log, HasSubstr("annotations[0] (id 900)"));
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
      {"\"width\": 40", "\"width\": \"40\"", {"images[0]", "width"}},
      {"\"id\": 9,", "\"id\": 7,", {"images[2]", "same id 7"}},
      {"\"id\": 4,", "\"id\": 3,", {"annotations[2]", "same id"}},
      {"\"id\": 3, \"name\"", "\"id\": 1, \"name\"", {"categories[2]", "same id"}},
      {"\"name\": \"car\"", "\"name\": \"person\"", {"'person'", "1 and 3"}},
      {"\"name\": \"car\"", "\"title\": \"car\"", {"categories[2]", "no name"}},
      {"\"image_id\": 9", "\"image_id\": 8", {"annotations[3] (id 5)", "image_id 8"}},
      {"\"category_id\": 3", "\"category_id\": 2", {"annotations[2] (id 4)", "category_id 2"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": [5, 6, 7]", {"annotations[2]", "four numbers"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": [5, 6, 7, \"8\"]", {"annotations[2]", "four numbers"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": [5, 6, [7], 8]", {"annotations[2]", "four numbers"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": {\"x\": 5}", {"annotations[2]", "four numbers"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": [5, 6, 7, 1e999]", {":13:", "too big"}},
      {"\"bbox\": [5, 6, 7, 8]", "\"bbox\": null", {"annotations[2]", "four numbers"}},
      {", \"bbox\": [5, 6, 7, 8]", "", {":13:", "annotations[2] (id 4)", "no bbox"}},
      {"\"area\": 700", "\"area\": \"big\"", {"annotations[1]", "area", "a number"}},
      {"\"iscrowd\": 1, \"area\"", "\"iscrowd\": 2, \"area\"", {"annotations[1]", "0 or 1"}},
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

}  // namespace
}  // namespace ssd
