// Data with every kind of problem in it, as `check` sees it, and data with none.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "data/data_problem.h"
#include "experiments/check/check_report.h"
#include "experiments/experiment.pb.h"
#include "experiments/run_check.h"
#include "ssd/core/file.h"
#include "ssd/core/text_proto.h"

namespace ssd {

// For messages of failures.
void PrintTo(const DataProblem& problem, std::ostream* out) {
  *out << "kind " << static_cast<int>(problem.kind) << " " << problem.file << ":" << problem.line
       << ": " << problem.message;
}

namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kWidth = 160;
constexpr int kHeight = 120;
constexpr int kCleanImages = 12;

void Write(const std::string& path, const std::string& content) {
  const absl::Status status = WriteFileAtomically(path, content);
  ASSERT_TRUE(status.ok()) << status;
}

// A smooth picture, of its own for each seed.
cv::Mat Picture(int seed, int width = kWidth, int height = kHeight) {
  cv::Mat patches(6, 8, CV_8UC3);
  cv::RNG(static_cast<uint64_t>(seed) + 1).fill(patches, cv::RNG::UNIFORM, 0, 256);
  cv::Mat picture;
  cv::resize(patches, picture, cv::Size(width, height), 0, 0, cv::INTER_LINEAR);
  return picture;
}

void WritePicture(const std::string& path, const cv::Mat& picture) {
  ASSERT_TRUE(cv::imwrite(path, picture)) << path;
}

std::string Jpeg(const cv::Mat& picture) {
  std::vector<uchar> bytes;
  EXPECT_TRUE(cv::imencode(".jpg", picture, bytes));
  return std::string(bytes.begin(), bytes.end());
}

// The JPEG with the EXIF orientation 6: to be turned by 90 degrees clockwise.
std::string Turned(const std::string& jpeg) {
  const std::string exif(
      "\xff\xe1\x00\x22"  // APP1 of 34 bytes
      "Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08"
      "\x00\x01"                                          // one tag:
      "\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"  // Orientation, SHORT, 1 value, 6
      "\x00\x00\x00\x00",
      36);
  return jpeg.substr(0, 2) + exif + jpeg.substr(2);
}

// The line of `text`, from 1, on which `needle` first stands.
int64_t LineOf(const std::string& text, const std::string& needle) {
  const size_t place = text.find(needle);
  EXPECT_NE(place, std::string::npos) << needle;
  if (place == std::string::npos) return -1;
  return 1 + std::count(text.begin(), text.begin() + static_cast<int64_t>(place), '\n');
}

// A COCO file, an item a line.
class CocoFile {
 public:
  void AddImage(int id, const std::string& name) {
    images_.push_back(absl::StrCat(R"({"id": )", id, R"(, "file_name": ")", name, R"(", "width": )",
                                   kWidth, R"(, "height": )", kHeight, "}"));
  }
  // `bbox` is "x, y, width, height".
  void AddObject(int id, int image, int category, const std::string& bbox) {
    annotations_.push_back(absl::StrCat(R"({"id": )", id, R"(, "image_id": )", image,
                                        R"(, "category_id": )", category, R"(, "bbox": [)", bbox,
                                        R"(], "iscrowd": 0})"));
  }
  void AddRawObject(const std::string& json) { annotations_.push_back(json); }
  void AddCategory(int id, const std::string& name) {
    categories_.push_back(absl::StrCat(R"({"id": )", id, R"(, "name": ")", name, R"("})"));
  }

  std::string Text() const {
    return absl::StrCat("{\"images\": [\n", absl::StrJoin(images_, ",\n"),
                        "\n], \"annotations\": [\n", absl::StrJoin(annotations_, ",\n"),
                        "\n], \"categories\": [\n", absl::StrJoin(categories_, ",\n"), "\n]}\n");
  }

 private:
  std::vector<std::string> images_, annotations_, categories_;
};

struct VocBox {
  std::string name;
  int xmin, ymin, xmax, ymax;
};

// An object a line, from line 3.
std::string VocXml(const std::vector<VocBox>& boxes) {
  std::string xml = absl::StrCat("<annotation>\n<size><width>", kWidth, "</width><height>", kHeight,
                                 "</height><depth>3</depth></size>\n");
  for (const VocBox& box : boxes) {
    absl::StrAppend(&xml, "<object><name>", box.name, "</name><bndbox><xmin>", box.xmin,
                    "</xmin><ymin>", box.ymin, "</ymin><xmax>", box.xmax, "</xmax><ymax>", box.ymax,
                    "</ymax></bndbox></object>\n");
  }
  return xml + "</annotation>\n";
}

struct Findings {
  std::vector<DataProblem> train;
  std::vector<DataProblem> validation;
};

// A small network on the data, which it sees as 300 x 300 pixels.
Findings Check(const DatasetConfig& train, const DatasetConfig& validation) {
  Findings found;
  Experiment experiment;
  const absl::Status parsed = ParseTextProto(
      "model {\n"
      "  num_levels: 2\n"
      "  input { height: 300 width: 300 }\n"
      "  backbone { tiny { width: 4 } }\n"
      "  anchor_generator { fixed_size {\n"
      "    level { min_size: 60 }\n"
      "    level { min_size: 120 }\n"
      "  } }\n"
      "}\n"
      "evaluator { coco {} }\n",
      "test", experiment);
  EXPECT_TRUE(parsed.ok()) << parsed;
  DataConfig& data = *experiment.mutable_data();
  *data.mutable_train() = train;
  *data.mutable_validation() = validation;
  data.mutable_train()->add_transform()->mutable_resize();
  data.mutable_validation()->add_transform()->mutable_resize();
  CheckOptions options;
  options.device = "cpu";
  absl::StatusOr<CheckReport> report = RunCheck(experiment, options);
  EXPECT_TRUE(report.ok()) << report.status();
  if (!report.ok()) return found;
  EXPECT_TRUE(report->has_read_images);
  found.train = std::move(report->train.problems);
  found.validation = std::move(report->validation.problems);
  return found;
}

// What is said of a problem: its kind, the end of its file, its line, a part of its message.
struct Expected {
  ProblemKind kind;
  std::string file;
  int64_t line;
  std::string message;
};

void ExpectFound(const std::vector<DataProblem>& problems, const Expected& expected) {
  EXPECT_THAT(problems, Contains(AllOf(Field(&DataProblem::kind, expected.kind),
                                       Field(&DataProblem::file, EndsWith(expected.file)),
                                       Field(&DataProblem::line, expected.line),
                                       Field(&DataProblem::message, HasSubstr(expected.message)))));
}

// Training data as COCO, validation data as VOC, at first without a fault: twelve images each, in
// each a cat and a dog.
class PlantedDefectsTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string name =
        absl::StrCat("planted_", testing::UnitTest::GetInstance()->current_test_info()->name());
    root_ = (std::filesystem::path(testing::TempDir()) / name).lexically_normal().string();
    std::filesystem::remove_all(root_);
    for (const char* folder :
         {"train", "voc/Annotations", "voc/JPEGImages", "voc/ImageSets/Main"}) {
      std::filesystem::create_directories(Path(folder));
    }
    coco_.AddCategory(1, "cat");
    coco_.AddCategory(2, "dog");
    for (int i = 1; i <= kCleanImages; ++i) {
      coco_.AddImage(i, absl::StrCat("faultless", i, ".png"));
      coco_.AddObject(1000 + i, i, 1, absl::StrCat(10 + i, ", 12, 60, 50"));
      coco_.AddObject(2000 + i, i, 2, absl::StrCat("80, ", 40 + i, ", 50, 60"));
      WritePicture(Path(absl::StrCat("train/faultless", i, ".png")), Picture(i));
      AddVocImage(absl::StrCat("faultless", i), Picture(100 + i),
                  {{"cat", 20, 10 + i, 90, 70}, {"dog", 70, 30, 120 + i, 110}});
    }
  }

  std::string Path(const std::string& name) const { return absl::StrCat(root_, "/", name); }

  void AddVocImage(const std::string& name, const cv::Mat& picture,
                   const std::vector<VocBox>& boxes) {
    WritePicture(Path(absl::StrCat("voc/JPEGImages/", name, ".png")), picture);
    AddVocAnnotation(name, VocXml(boxes));
  }
  void AddVocAnnotation(const std::string& name, const std::string& xml) {
    Write(Path(absl::StrCat("voc/Annotations/", name, ".xml")), xml);
    voc_names_.push_back(name);
  }

  // Checks what was written and added.
  Findings CheckAll() const {
    Write(Path("instances.json"), coco_.Text());
    Write(Path("voc/ImageSets/Main/val.txt"), absl::StrJoin(voc_names_, "\n"));
    DatasetConfig train, validation;
    train.mutable_coco()->set_annotations(Path("instances.json"));
    train.mutable_coco()->set_images(Path("train"));
    validation.mutable_voc()->set_root(Path("voc"));
    validation.mutable_voc()->set_image_set("val");
    return Check(train, validation);
  }

  std::string root_;
  CocoFile coco_;
  std::vector<std::string> voc_names_;
};

TEST_F(PlantedDefectsTest, NothingIsFoundInSoundData) {
  const Findings found = CheckAll();
  EXPECT_THAT(found.train, IsEmpty());
  EXPECT_THAT(found.validation, IsEmpty());
}

TEST_F(PlantedDefectsTest, EveryKindIsFound) {
  // Images of the training data.
  struct Planted {
    int id;
    std::string name;
    bool has_object;
  };
  const std::vector<Planted> planted = {
      {101, "no_objects.png", false}, {102, "crowded.png", false}, {103, "truncated.jpg", true},
      {104, "resized.png", true},     {105, "turned.jpg", true},   {106, "copy.png", true},
      {107, "copy.bmp", true},        {108, "copy.jpg", true},     {109, "uniform.png", true},
      {110, "missing.png", true},     {1, "second_id.png", false}, {111, "huge.png", false},
      {112, "boxes.png", false},
  };
  for (const Planted& image : planted) {
    coco_.AddImage(image.id, image.name);
    if (image.has_object) coco_.AddObject(300 + image.id, image.id, 1, "40, 30, 60, 50");
  }
  int seed = 200;
  for (const char* name :
       {"no_objects.png", "crowded.png", "second_id.png", "huge.png", "boxes.png"}) {
    WritePicture(Path(absl::StrCat("train/", name)), Picture(seed++));
  }
  const std::string jpeg = Jpeg(Picture(303));
  Write(Path("train/truncated.jpg"), jpeg.substr(0, jpeg.size() / 2));
  WritePicture(Path("train/resized.png"), Picture(304, 100, 80));
  Write(Path("train/turned.jpg"), Turned(Jpeg(Picture(305))));
  for (const char* name : {"copy.png", "copy.bmp", "copy.jpg"}) {
    WritePicture(Path(absl::StrCat("train/", name)), Picture(1));
  }
  WritePicture(Path("train/uniform.png"),
               cv::Mat(kHeight, kWidth, CV_8UC3, cv::Scalar(40, 40, 40)));
  WritePicture(Path("train/unnamed.png"), Picture(306));

  // Objects of the training data.
  for (int i = 0; i < 104; ++i) {
    coco_.AddObject(500 + i, 102, 1, absl::StrCat(12 * (i % 13), ", ", 14 * (i / 13), ", 10, 12"));
  }
  coco_.AddObject(201, 112, 1, "150, 10, 30, 30");  // reaches out
  coco_.AddObject(202, 112, 1, "200, 10, 30, 30");  // is outside
  coco_.AddObject(203, 112, 1, "50, 50, -20, 30");
  coco_.AddObject(204, 112, 1, "NaN, 10, 30, 30");
  coco_.AddObject(205, 112, 1, "20, 20, 50, 40");
  coco_.AddObject(206, 112, 1, "20, 20, 50, 41");
  coco_.AddObject(207, 112, 1, "90, 60, 50, 40");
  coco_.AddObject(208, 112, 2, "90, 60, 50, 40");
  coco_.AddObject(209, 112, 1, "5, 100, 0.8, 10");
  coco_.AddObject(210, 112, 1, "2, 5, 150, 2.5");
  coco_.AddObject(211, 112, 6, "100, 15, 30, 30");
  coco_.AddObject(212, 999, 1, "10, 10, 30, 30");
  coco_.AddObject(213, 112, 77, "10, 10, 30, 30");
  coco_.AddObject(205, 112, 1, "10, 70, 20, 20");
  coco_.AddRawObject(R"({"id": 215, "image_id": 112, "category_id": 1})");
  coco_.AddObject(216, 111, 2, "0, 0, 160, 120");
  coco_.AddCategory(5, "bird");
  coco_.AddCategory(6, "fox");
  coco_.AddCategory(2, "wolf");

  // The validation data.
  AddVocImage("leak", Picture(2), {{"cat", 20, 20, 90, 70}});
  AddVocImage("unknown", Picture(401), {{"cat", 20, 20, 90, 70}, {"zebra", 30, 30, 100, 100}});
  AddVocImage("smaller", Picture(403, 100, 80), {{"cat", 20, 20, 90, 70}});
  AddVocImage("empty", Picture(404), {});
  AddVocAnnotation("no_image", VocXml({{"cat", 20, 20, 90, 70}}));
  AddVocAnnotation("malformed", "<annotation>\n<object>\n");
  WritePicture(Path("voc/JPEGImages/malformed.png"), Picture(402));
  voc_names_.push_back("no_annotation");

  const Findings found = CheckAll();
  std::vector<DataProblem> all = found.train;
  all.insert(all.end(), found.validation.begin(), found.validation.end());
  constexpr int kKinds = static_cast<int>(ProblemKind::kLowAnchorRecall) + 1;
  EXPECT_EQ(kKinds, 33);
  for (int kind = 0; kind < kKinds; ++kind) {
    EXPECT_THAT(all, Contains(Field(&DataProblem::kind, static_cast<ProblemKind>(kind))))
        << "kind " << kind;
  }

  const std::string json = coco_.Text();
  const auto object = [&](int id) { return LineOf(json, absl::StrCat(R"({"id": )", id, ",")); };
  const std::vector<Expected> of_train = {
      {ProblemKind::kBoxOutside, "instances.json", object(201), ""},
      {ProblemKind::kBoxEmpty, "instances.json", object(202), ""},
      {ProblemKind::kBoxInverted, "instances.json", object(203), ""},
      {ProblemKind::kBoxNotFinite, "instances.json", object(204), ""},
      {ProblemKind::kDuplicateBox, "instances.json", object(206), absl::StrCat(object(205))},
      {ProblemKind::kConflictingLabels, "instances.json", object(208), "'cat'"},
      {ProblemKind::kBoxTiny, "instances.json", object(209), "1.5x25.0"},
      {ProblemKind::kBoxExtremeShape, "instances.json", object(210), "45.0 times as wide"},
      {ProblemKind::kUnknownImage, "instances.json", object(212), "999"},
      {ProblemKind::kUnknownCategory, "instances.json", object(213), "77"},
      {ProblemKind::kDuplicateAnnotationId, "instances.json", LineOf(json, "[10, 70, 20, 20]"),
       "205"},
      {ProblemKind::kUnreadableAnnotation, "instances.json", object(215), "bbox"},
      {ProblemKind::kBoxHuge, "instances.json", object(216), "huge.png"},
      {ProblemKind::kDuplicateImageId, "instances.json", LineOf(json, "second_id.png"), "1"},
      {ProblemKind::kDuplicateCategory, "instances.json", LineOf(json, "wolf"), "2"},
      {ProblemKind::kMissingImage, "instances.json", LineOf(json, "missing.png"), "missing.png"},
      {ProblemKind::kCategoryHole, "instances.json", LineOf(json, "bird"), "3-4"},
      {ProblemKind::kNoObjects, "instances.json", LineOf(json, "no_objects.png"), "no_objects.png"},
      {ProblemKind::kCrowdedImage, "instances.json", LineOf(json, "crowded.png"),
       "crowded.png has 104"},
      {ProblemKind::kUnusedLabel, "instances.json", LineOf(json, "bird"), "'bird'"},
      {ProblemKind::kRareLabel, "instances.json", object(211), "'fox'"},
      // The 104 of crowded.png.
      {ProblemKind::kSmallObjects, "instances.json", 0, "smaller than 32x32 pixels"},
      {ProblemKind::kLowAnchorRecall, "instances.json", 0, "less than 95 %"},
      {ProblemKind::kUnreadableImage, "truncated.jpg", 0, ""},
      {ProblemKind::kSizeMismatch, "instances.json", LineOf(json, "resized.png"),
       "resized.png is 100x80 pixels, but annotated as 160x120"},
      {ProblemKind::kRotatedByExif, "instances.json", LineOf(json, "turned.jpg"),
       "turned.jpg is annotated as 160x120 pixels, which its EXIF orientation turns to 120x160"},
      {ProblemKind::kUniformImage, "uniform.png", 0, "(40, 40, 40)"},
      {ProblemKind::kDuplicateImage, "copy.png", 0, "same file"},
      {ProblemKind::kDuplicateImage, "copy.bmp", 0, "same pixels"},
      {ProblemKind::kDuplicateImage, "copy.jpg", 0, "nearly the same"},
      {ProblemKind::kAnnotationMissingForImage, "unnamed.png", 0, ""},
  };
  const std::vector<Expected> of_validation = {
      {ProblemKind::kUnknownLabel, "unknown.xml", 4, "zebra"},
      {ProblemKind::kMissingImage, "no_image.xml", 0, "no_image"},
      {ProblemKind::kMissingAnnotation, "no_annotation.xml", 0, ""},
      {ProblemKind::kSizeMismatch, "smaller.xml", 2, "smaller.png is 100x80"},
      {ProblemKind::kNoObjects, "empty.xml", 2, "empty.png"},
      {ProblemKind::kLeak, "leak.png", 0, "faultless2.png"},
      {ProblemKind::kMismatchedSplits, "Annotations", 0, "'fox'"},
  };
  for (const Expected& expected : of_train) ExpectFound(found.train, expected);
  for (const Expected& expected : of_validation) ExpectFound(found.validation, expected);
  EXPECT_THAT(found.validation,
              Contains(AllOf(Field(&DataProblem::kind, ProblemKind::kUnreadableAnnotation),
                             Field(&DataProblem::file, EndsWith("malformed.xml")))));

  // Nothing is said of what is sound.
  for (const DataProblem& problem : all) {
    EXPECT_THAT(problem.file, Not(HasSubstr("faultless"))) << problem.message;
    const bool names_another =
        problem.kind == ProblemKind::kDuplicateImage || problem.kind == ProblemKind::kLeak;
    if (names_another) continue;
    EXPECT_THAT(problem.message, Not(HasSubstr("faultless"))) << problem.file;
  }
  EXPECT_EQ(std::count_if(all.begin(), all.end(),
                          [](const DataProblem& problem) {
                            return problem.kind == ProblemKind::kAnnotationMissingForImage;
                          }),
            1);
}

// The same of tables and of text files beside the images.
TEST_F(PlantedDefectsTest, TablesAndTextFilesAreToldByLine) {
  std::filesystem::create_directories(Path("yolo/images"));
  std::filesystem::create_directories(Path("yolo/labels"));
  std::string table = "image,x0,y0,x1,y1,label\n";
  for (int i = 1; i <= kCleanImages; ++i) {
    absl::StrAppend(&table, "faultless", i, ".png,10,10,70,60,cat\n");
    absl::StrAppend(&table, "faultless", i, ".png,60,30,110,100,dog\n");
    WritePicture(Path(absl::StrCat("yolo/images/", i, ".png")), Picture(500 + i));
    Write(Path(absl::StrCat("yolo/labels/", i, ".txt")), "0 0.3 0.3 0.4 0.4\n1 0.7 0.6 0.3 0.5\n");
  }
  Write(Path("yolo/names.txt"), "cat\ndog\n");
  DatasetConfig train, validation;
  train.mutable_table()->set_file(Path("truths.csv"));
  train.mutable_table()->set_images(Path("train"));
  validation.mutable_yolo()->set_images(Path("yolo/images"));
  validation.mutable_yolo()->set_labels(Path("yolo/labels"));
  validation.mutable_yolo()->set_names(Path("yolo/names.txt"));

  Write(Path("truths.csv"), table);
  const Findings sound = Check(train, validation);
  EXPECT_THAT(sound.train, IsEmpty());
  EXPECT_THAT(sound.validation, IsEmpty());

  absl::StrAppend(&table, "faultless1.png,90,90,80,110,dog\n",  //
                  "faultless2.png,140,10,190,60,cat\n",         //
                  "faultless3.png,10,10,abc,60,cat\n",          //
                  "faultless4.png,10,10,70,60,dog\n",           //
                  "gone.png,10,10,70,60,dog\n");
  Write(Path("truths.csv"), table);
  Write(Path("yolo/labels/1.txt"),
        "0 0.3 0.3 0.4 0.4\n"
        "7 0.5 0.5 0.2 0.2\n"
        "1 0.95 0.5 0.2 0.2\n"
        "0 0.5 0.5\n"
        "0 0.3 0.3 0.4 0.4\n");
  const Findings found = Check(train, validation);
  const std::vector<Expected> of_train = {
      {ProblemKind::kBoxInverted, "truths.csv", LineOf(table, "faultless1.png,90"), ""},
      {ProblemKind::kBoxOutside, "truths.csv", LineOf(table, "faultless2.png,140"), ""},
      {ProblemKind::kUnreadableAnnotation, "truths.csv", LineOf(table, "abc"), "abc"},
      {ProblemKind::kConflictingLabels, "truths.csv",
       LineOf(table, "faultless4.png,10,10,70,60,dog"), "'cat'"},
      {ProblemKind::kMissingImage, "truths.csv", LineOf(table, "gone.png"), "gone.png"},
  };
  const std::vector<Expected> of_validation = {
      {ProblemKind::kUnknownLabel, "1.txt", 2, "7"},
      {ProblemKind::kBoxOutside, "1.txt", 3, ""},
      {ProblemKind::kUnreadableAnnotation, "1.txt", 4, ""},
      {ProblemKind::kDuplicateBox, "1.txt", 5, "line 1"},
  };
  for (const Expected& expected : of_train) ExpectFound(found.train, expected);
  for (const Expected& expected : of_validation) ExpectFound(found.validation, expected);
  EXPECT_EQ(found.train.size(), of_train.size());
  EXPECT_EQ(found.validation.size(), of_validation.size());
}

}  // namespace
}  // namespace ssd
