#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "data/yolo_text.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using ::testing::AllOf;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<double> Corners(const PixelBox& box) { return {box.x0, box.y0, box.x1, box.y1}; }

// --- label files ---

TEST(YoloLabelsTest, ReadsBoxesAndPolygons) {
  const YoloLabels labels = ParseYoloLabels(
      "\xef\xbb\xbf"
      "0 0.5 0.5 0.25 0.5\r\n"
      "\n"
      "  2.0\t0.25  0.75 0.5 0.5  \n"
      "1 0.1 0.9 0.7 0.2 0.4 0.3");
  EXPECT_THAT(labels.faults, IsEmpty());
  ASSERT_EQ(labels.objects.size(), 3u);
  EXPECT_EQ(labels.objects[0].class_index, 0);
  EXPECT_EQ(labels.objects[0].line, 1);
  EXPECT_THAT(Corners(labels.objects[0].box), ElementsAre(0.375, 0.25, 0.625, 0.75));
  EXPECT_EQ(labels.objects[1].class_index, 2);
  EXPECT_EQ(labels.objects[1].line, 3);
  EXPECT_THAT(Corners(labels.objects[1].box), ElementsAre(0, 0.5, 0.5, 1));
  EXPECT_EQ(labels.objects[2].class_index, 1);
  EXPECT_THAT(Corners(labels.objects[2].box), ElementsAre(0.1, 0.2, 0.7, 0.9));
  EXPECT_THAT(ParseYoloLabels("").objects, IsEmpty());
}

TEST(YoloLabelsTest, NumbersThatAreNoneReachTheBox) {
  const YoloLabels labels = ParseYoloLabels("0 nan 0.5 0.5 0.5\n0 .1 .1 .2 .2 nan .3\n");
  ASSERT_EQ(labels.objects.size(), 2u);
  EXPECT_TRUE(std::isnan(labels.objects[0].box.x0));
  EXPECT_TRUE(std::isnan(labels.objects[1].box.x0));
}

TEST(YoloLabelsTest, NamesTheLineOfEachFault) {
  const std::vector<std::pair<std::string, std::string>> lines = {
      {"0 0.5 0.5 0.2", "has 4 numbers; want five"},
      {"0 0.5 0.5 0.2 0.2 0.9", "has 6 numbers"},  // a detection's confidence
      {"0 .1 .1 .2 .2 .3 .3 .4", "has 8 numbers"},
      {"0 0.5 0.5 0.2 wide", "'wide' is no number"},
      {"cat 0.5 0.5 0.2 0.2", "'cat' is no number"},
      {"-1 0.5 0.5 0.2 0.2", "class -1 is no whole number"},
      {"0.5 0.5 0.5 0.2 0.2", "class 0.5 is no whole number"},
      {"nan 0.5 0.5 0.2 0.2", "is no whole number"},
      {"1e30 0.5 0.5 0.2 0.2", "is no whole number"},
      {"0,0.5,0.5,0.2,0.2", "is no number"},
  };
  std::string text;
  for (const auto& line : lines) absl::StrAppend(&text, line.first, "\n3 .5 .5 .1 .1\n");
  const YoloLabels labels = ParseYoloLabels(text);
  EXPECT_EQ(labels.objects.size(), lines.size());
  ASSERT_EQ(labels.faults.size(), lines.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(labels.faults[i].line, static_cast<int64_t>(1 + 2 * i));
    EXPECT_THAT(labels.faults[i].message, HasSubstr(lines[i].second)) << lines[i].first;
  }
}

// --- class names ---

std::vector<std::string> Names(const std::string& text, const std::string& name = "data.yaml") {
  const auto names = ParseYoloNames(text, name);
  EXPECT_TRUE(names.ok()) << names.status() << "\n" << text;
  return names.value_or(std::vector<std::string>());
}

TEST(YoloNamesTest, ReadsALineEach) {
  EXPECT_THAT(Names("\xef\xbb\xbf"
                    "cat\r\ntraffic light\r\n\n",
                    "classes.txt"),
              ElementsAre("cat", "traffic light"));
  EXPECT_THAT(Names("[cat]", "obj.names"), ElementsAre("[cat]"));
}

// What Ultralytics' own files, Roboflow's, CVAT's and people write.
TEST(YoloNamesTest, ReadsTheListsOfYaml) {
  const std::string head = "path: ../datasets # root\ntrain: images/train\nnc: 2\n\n";
  for (const std::string& list : {
           std::string("names: ['cat', 'traffic light']\n"),
           std::string("names: [cat, \"traffic light\"]"),
           std::string("names: [ cat , # feline\n  traffic light,\n]\n"),
           std::string("names: {0: cat, 1: traffic light}\n"),
           std::string("names:\n  - cat\n  - traffic light\n"),
           std::string("names:\r\n- cat   # feline\r\n- 'traffic light'\r\n"),
           std::string("names: # two\n  0: cat\n\n  # and\n  1: traffic light\n"),
           std::string("names:\n  1: traffic light\n  0: 'cat'\n"),
       }) {
    EXPECT_THAT(Names(head + list), ElementsAre("cat", "traffic light")) << list;
    EXPECT_THAT(Names(absl::StrCat(list, "\ndownload: |\n  from x import y\n")),
                ElementsAre("cat", "traffic light"))
        << list;
  }
  EXPECT_THAT(Names("names: ['it''s', \"a \\\"b\\\" \\\\\", a#b, '[x]', 'yes: no']"),
              ElementsAre("it's", "a \"b\" \\", "a#b", "[x]", "yes: no"));
  EXPECT_THAT(Names("names:\n  - 7\n  - a: b, c\n", "data.yml"), ElementsAre("7", "a: b, c"));
}

TEST(YoloNamesTest, SaysWhatItCannotRead) {
  struct Case {
    std::string text, error;
  };
  const std::vector<Case> cases = {
      {"", "data.yaml: no key 'names'"},
      {"nc: 2\n  names: [a]\n", "data.yaml: no key 'names'"},
      {"names:\n", "data.yaml: names no class"},
      {"names: []", "data.yaml: names no class"},
      {"nc: 1\nnames: cat\n", "data.yaml:2: the value of 'names' is neither a list nor a map"},
      {"names: [a, b\n", "data.yaml:2: "},
      {"names: [a b] [c]", ""},
      {"names: ['a' b]", "data.yaml:1: want ',' or ']'"},
      {"names: [a, , b]", "begins with ','"},
      {"names: ['a, b]", "a quoted class name has no end"},
      {"names: [\"\\u00e9\"]", "an escape other than"},
      {"names:\n  - [a]\n", "data.yaml:2: a class name begins with '['"},
      {"names:\n  - &anchor a\n", "begins with '&'"},
      {"names:\n  - 'a' b\n", "data.yaml:2: text follows a class name"},
      {"names:\n  -\n", "class 0 has an empty name"},
      {"names:\n  cat: 0\n", "data.yaml:2: want '- NAME' or 'NUMBER: NAME'"},
      {"names:\n  1: a\n  2: b\n", "names class 1 but not class 0"},
      {"names:\n  0: a\n  0: b\n", "data.yaml:3: class 0 is named twice"},
  };
  for (const Case& bad : cases) {
    const auto names = ParseYoloNames(bad.text, "data.yaml");
    if (bad.error.empty()) {
      EXPECT_TRUE(names.ok()) << bad.text;  // what follows is not looked at
      continue;
    }
    EXPECT_EQ(names.status().code(), absl::StatusCode::kInvalidArgument) << bad.text;
    EXPECT_THAT(std::string(names.status().message()), HasSubstr(bad.error)) << bad.text;
  }
  const auto names = ParseYoloNames("cat\n\ndog\n", "classes.txt");
  EXPECT_THAT(std::string(names.status().message()),
              HasSubstr("classes.txt:2: class 1 has an empty name"));
  EXPECT_FALSE(ParseYoloNames("", "classes.txt").ok());
}

TEST(YoloTextTest, ChangedTextIsNoHarm) {
  const std::vector<std::string> texts = {
      "0 0.5 0.5 0.25 0.5\n1 0.1 0.9 0.7 0.2 0.4 0.3\n",
      "nc: 2\nnames: ['cat', \"do\\\"g\", {0: a, # b\n 1: c}]\n",
      "names:\n  - cat\n  - 'dog'\n",
      "names:\n  0: cat\n  1: \"dog\"\n",
  };
  std::mt19937 random(1);
  for (size_t i = 0; i < 6000; ++i) {
    std::string text = texts[i % texts.size()];
    for (uint32_t changes = 1 + random() % 4; changes > 0 && !text.empty(); --changes) {
      const size_t at = random() % text.size();
      if (random() % 2 == 0) {
        text[at] = static_cast<char>(random());
      } else {
        text.erase(at, 1 + random() % 9);
      }
    }
    for (const YoloObject& object : ParseYoloLabels(text).objects) {
      EXPECT_GE(object.class_index, 0);
    }
    const auto names = ParseYoloNames(text, "data.yaml");
    if (!names.ok()) continue;
    for (const std::string& name : *names) EXPECT_FALSE(name.empty());
  }
}

// --- the dataset ---

class YoloTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    root_ =
        (std::filesystem::path(testing::TempDir()) / ("yolo_" + name)).lexically_normal().string();
    std::filesystem::remove_all(root_);
    for (const char* folder : {"images/train/sub", "labels/train/sub"}) {
      std::filesystem::create_directories(absl::StrCat(root_, "/", folder));
    }
    Write("data.yaml", "names: [cat, dog, yak]\n");
  }

  void Write(const std::string& name, const std::string& content) const {
    const absl::Status status = WriteFileAtomically(root_ + "/" + name, content);
    ASSERT_TRUE(status.ok()) << status;
  }
  void WriteImage(const std::string& name, int width, int height) const {
    const cv::Mat image(height, width, CV_8UC3, cv::Scalar(10, 20, 30));
    ASSERT_TRUE(cv::imwrite(root_ + "/" + name, image));
  }

  // `options` with @ for the root.
  absl::StatusOr<std::unique_ptr<Dataset>> Create(const std::string& options,
                                                  const DatasetContext& context = {}) const {
    DatasetConfig config;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrReplaceAll(options, {{"@", root_}}), config.mutable_yolo()));
    return CreateDataset(config, context);
  }
  std::string Error(const std::string& options, const DatasetContext& context = {}) const {
    return std::string(Create(options, context).status().message());
  }

  std::string root_;
};

constexpr char kTrain[] = "images: '@/images/train' names: '@/data.yaml'";

TEST_F(YoloTest, ReadsAFolder) {
  WriteImage("images/train/b.jpg", 200, 100);
  WriteImage("images/train/a.PNG", 40, 30);
  WriteImage("images/train/sub/c.bmp", 20, 10);
  WriteImage("images/train/sub/d.png", 20, 10);
  Write("images/train/readme.txt", "no image");
  Write("images/train/.hidden.jpg", "no image");
  Write("labels/train/b.txt", "1 0.5 0.5 0.2 0.4\n\n0 .1 .2 .3 .2 .3 .4 .1 .4\n");
  Write("labels/train/sub/c.txt", "");
  Write("labels/train/sub/d.txt", "0 0.5 0.5 1 1\n");
  const auto dataset = Create(kTrain);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 4);
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("cat", "dog", "yak"));
  EXPECT_THAT((*dataset)->labels().source_ids, ElementsAre(0, 1, 2));
  std::vector<std::string> names;
  for (int64_t i = 0; i < 4; ++i) {
    const auto truth = (*dataset)->GetAnnotations(i);
    names.push_back(truth->file_name);
    EXPECT_EQ(truth->image_id, i + 1);
    EXPECT_TRUE((*dataset)->Get(i)->image.Render().ok());
  }
  EXPECT_THAT(names, ElementsAre("a.PNG", "b.jpg", "sub/c.bmp", "sub/d.png"));
  EXPECT_THAT((*dataset)->GetAnnotations(0)->objects, IsEmpty());
  EXPECT_EQ((*dataset)->AnnotationFile(0), "");
  EXPECT_THAT((*dataset)->GetAnnotations(2)->objects, IsEmpty());
  const auto b = (*dataset)->GetAnnotations(1);
  ASSERT_EQ(b->objects.size(), 2u);
  EXPECT_THAT(Corners(b->objects[0].box), ElementsAre(DoubleNear(80, 1e-9), DoubleNear(30, 1e-9),
                                                      DoubleNear(120, 1e-9), DoubleNear(70, 1e-9)));
  EXPECT_EQ(b->objects[0].label, 2);
  EXPECT_EQ(b->objects[0].line, 1);
  EXPECT_THAT(Corners(b->objects[1].box), ElementsAre(DoubleNear(20, 1e-9), DoubleNear(20, 1e-9),
                                                      DoubleNear(60, 1e-9), DoubleNear(40, 1e-9)));
  EXPECT_EQ(b->objects[1].label, 1);
  EXPECT_EQ(b->objects[1].line, 3);
  EXPECT_EQ(b->line, 1);
  EXPECT_EQ((*dataset)->GetAnnotations(2)->line, 0);
  EXPECT_EQ((*dataset)->AnnotationFile(1), root_ + "/labels/train/b.txt");
  EXPECT_EQ((*dataset)->ImageFile(3), root_ + "/images/train/sub/d.png");
  EXPECT_THAT(Corners((*dataset)->GetAnnotations(3)->objects[0].box), ElementsAre(0, 0, 20, 10));

  // Labels elsewhere keep the subfolders.
  std::filesystem::rename(root_ + "/labels", root_ + "/texts");
  const auto elsewhere = Create(absl::StrCat(kTrain, " labels: '@/texts/train'"));
  ASSERT_TRUE(elsewhere.ok()) << elsewhere.status();
  EXPECT_EQ((*elsewhere)->Fingerprint(), (*dataset)->Fingerprint());
}

TEST_F(YoloTest, ReadsAList) {
  WriteImage("images/train/a.png", 40, 30);
  WriteImage("images/train/b.png", 40, 30);
  Write("labels/train/a.txt", "0 .5 .5 .5 .5\n");
  Write("labels/train/b.txt", "1 .5 .5 .5 .5\n");
  Write("train.txt", absl::StrCat("./images/train/b.png\r\n\n", root_, "/images/train/a.png\n"));
  const auto dataset = Create("images: '@/train.txt' names: '@/data.yaml'");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 2);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->file_name, "images/train/b.png");
  EXPECT_EQ((*dataset)->GetAnnotations(0)->objects[0].label, 2);
  EXPECT_EQ((*dataset)->GetAnnotations(1)->objects[0].label, 1);
  EXPECT_TRUE((*dataset)->Get(1)->image.Render().ok());

  const auto with_folder =
      Create("images: '@/train.txt' names: '@/data.yaml' labels: '@/labels/train'");
  ASSERT_TRUE(with_folder.ok()) << with_folder.status();
  EXPECT_EQ((*with_folder)->Fingerprint(), (*dataset)->Fingerprint());

  Write("train.txt", "images/train/b.png\n./images/train/b.png\n");
  EXPECT_THAT(Error("images: '@/train.txt' names: '@/data.yaml'"),
              HasSubstr("train.txt:2: image 'images/train/b.png' is listed twice"));
  Write("train.txt", "images/train/b.png\nimages/train/gone.png\n");
  EXPECT_THAT(Error("images: '@/train.txt' names: '@/data.yaml'"),
              HasSubstr("train.txt:2: no file "));
}

TEST_F(YoloTest, TakesNamesFromTheExperiment) {
  WriteImage("images/train/a.png", 40, 30);
  Write("labels/train/a.txt", "1 .5 .5 .5 .5\n");
  DatasetContext context;
  context.labels = {"one", "two"};
  const auto dataset = Create("images: '@/images/train'", context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->GetAnnotations(0)->objects[0].label, 2);
  EXPECT_THAT(Error("images: '@/images/train'"),
              HasSubstr("yolo.names is not set and data.label is empty"));

  // With both, the files' names are found among the experiment's.
  context.labels = {"yak", "dog"};
  const auto found = Create(kTrain, context);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT((*found)->labels().names, ElementsAre("yak", "dog"));
  EXPECT_EQ((*found)->GetAnnotations(0)->objects[0].label, 2);
  context.labels = {"cat"};
  EXPECT_THAT(Error(kTrain, context), HasSubstr("a.txt:1: object 'dog'"));
}

TEST_F(YoloTest, NamesWhatIsWrong) {
  EXPECT_THAT(Error("names: '@/data.yaml'"), HasSubstr("yolo.images is not set"));
  EXPECT_THAT(Error("images: '@/nowhere' names: '@/data.yaml'"), HasSubstr("correct yolo.images"));
  EXPECT_THAT(Error(kTrain), HasSubstr("no image; correct yolo.images"));
  WriteImage("images/train/a.png", 40, 30);
  EXPECT_THAT(Error(kTrain), HasSubstr("labels/train/a.txt: no such file, and none of the 1"));
  EXPECT_THAT(Error(absl::StrCat(kTrain, " labels: '@/nowhere'")),
              HasSubstr("correct yolo.labels"));
  EXPECT_THAT(Error("images: '@/images/train' names: '@/none.yaml'"), HasSubstr("none.yaml"));
  Write("labels/train/a.txt", "0 .5 .5 .5 .5\n7 .5 .5 .5 .5\n");
  EXPECT_THAT(Error(kTrain), HasSubstr("a.txt:2: class 7 is none of the 3 that have names"));
  Write("labels/train/a.txt", "0 .5 .5 .5\n");
  EXPECT_THAT(Error(kTrain), HasSubstr("a.txt:1: has 4 numbers"));
  Write("labels/train/a.txt", "0 .5 .5 .5 .5\n");
  Write("images/train/b.png", "no image");
  EXPECT_THAT(Error(kTrain), HasSubstr("images/train/b.png: "));
  std::filesystem::remove(root_ + "/images/train/b.png");
  Write("data.yaml", "names: [cat, cat]\n");
  EXPECT_THAT(Error(kTrain), HasSubstr("categories 0 and 1 are both named 'cat'"));
  // Pictures that are in no folder `images`.
  Write("data.yaml", "names: [cat]\n");
  std::filesystem::create_directories(root_ + "/photos");
  WriteImage("photos/a.png", 40, 30);
  EXPECT_THAT(Error("images: '@/photos' names: '@/data.yaml'"), HasSubstr("set yolo.labels"));
}

TEST_F(YoloTest, LeavesOutBadImagesWhereTheyAreCounted) {
  WriteImage("images/train/a.png", 40, 30);
  WriteImage("images/train/d.png", 20, 10);
  Write("images/train/b.png", "no image");
  Write("images/train/c.jpg", "");
  for (const char* name : {"a", "b", "c", "d"}) {
    Write(absl::StrCat("labels/train/", name, ".txt"), "0 .5 .5 .5 .5\n");
  }
  std::vector<int64_t> bad_images;
  DatasetContext context;
  context.bad_images = &bad_images;
  const auto dataset = Create(kTrain, context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT(bad_images, ElementsAre(1, 2));
  ASSERT_EQ((*dataset)->size(), 2);
  EXPECT_EQ((*dataset)->GetAnnotations(1)->file_name, "d.png");
  EXPECT_EQ((*dataset)->GetAnnotations(1)->image_id, 4);
  EXPECT_EQ((*dataset)->GetAnnotations(1)->objects.size(), 1u);
  EXPECT_THAT(Error(kTrain), HasSubstr("images/train/b.png: "));

  // One of a list that is not there.
  Write("train.txt", "images/train/gone.png\nimages/train/a.png\n");
  bad_images.clear();
  const auto listed = Create("images: '@/train.txt' names: '@/data.yaml'", context);
  ASSERT_TRUE(listed.ok()) << listed.status();
  EXPECT_EQ((*listed)->size(), 1);
  EXPECT_THAT(bad_images, ElementsAre(0));

  // Without any there is no dataset.
  std::filesystem::remove(root_ + "/images/train/a.png");
  EXPECT_THAT(Error("images: '@/train.txt' names: '@/data.yaml'", context),
              AllOf(HasSubstr("no image that could be read; the first problem: "),
                    HasSubstr("images/train/gone.png: ")));
}

TEST_F(YoloTest, RecordsProblemsAndGoesOn) {
  WriteImage("images/train/a.png", 40, 30);
  WriteImage("images/train/c.png", 40, 30);
  Write("images/train/b.png", "no image");
  Write("labels/train/a.txt", "0 .5 .5 .5 .5\n7 .5 .5 .5 .5\n0 .5 .5\n1 .5 .5 0 .5\n");
  Write("labels/train/b.txt", "0 .5 .5 .5 .5\n");
  Write("labels/train/lonely.txt", "0 .5 .5 .5 .5\n");
  Write("labels/train/classes.txt", "cat\n");
  ProblemLog log;
  DatasetContext context;
  context.problems = &log;
  const auto dataset = Create(kTrain, context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 2);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->objects.size(), 1u);
  struct Expected {
    Severity severity;
    ProblemKind kind;
    std::string file;
    int64_t line;
  };
  const std::vector<Expected> expected = {
      {Severity::kError, ProblemKind::kUnreadableAnnotation, "/labels/train/a.txt", 3},
      {Severity::kError, ProblemKind::kUnknownLabel, "/labels/train/a.txt", 2},
      {Severity::kWarning, ProblemKind::kBoxEmpty, "/labels/train/a.txt", 4},
      {Severity::kError, ProblemKind::kUnreadableImage, "/images/train/b.png", 0},
      {Severity::kNote, ProblemKind::kMissingAnnotation, "/labels/train/c.txt", 0},
      {Severity::kWarning, ProblemKind::kMissingImage, "/labels/train/lonely.txt", 0},
  };
  const std::vector<DataProblem> problems = log.Take();
  ASSERT_EQ(problems.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(problems[i].message);
    EXPECT_EQ(problems[i].severity, expected[i].severity);
    EXPECT_EQ(problems[i].kind, expected[i].kind);
    EXPECT_EQ(problems[i].file, root_ + expected[i].file);
    EXPECT_EQ(problems[i].line, expected[i].line);
  }
}

}  // namespace
}  // namespace ssd
