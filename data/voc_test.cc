#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "data/voc_xml.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

struct Object {
  std::string name;
  int xmin, ymin, xmax, ymax;
  std::string more = "";  // further elements
};

std::string Xml(const std::string& head, const std::vector<Object>& objects) {
  std::string xml = absl::StrCat("<annotation>\n", head, "\n");
  for (const Object& object : objects) {
    absl::StrAppend(&xml, "<object>\n<name>", object.name, "</name>", object.more, "<bndbox><xmin>",
                    object.xmin, "</xmin><ymin>", object.ymin, "</ymin><xmax>", object.xmax,
                    "</xmax><ymax>", object.ymax, "</ymax></bndbox>\n</object>\n");
  }
  return absl::StrCat(xml, "</annotation>\n");
}

std::string Size(int width, int height) {
  return absl::StrCat("<size><width>", width, "</width><height>", height,
                      "</height><depth>3</depth></size>");
}

// A folder in VOC's layout, empty at first.
class VocTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = absl::StrCat(testing::TempDir(), "/voc_",
                         testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(root_);
    for (const char* folder : {"Annotations", "JPEGImages", "ImageSets/Main"}) {
      std::filesystem::create_directories(absl::StrCat(root_, "/", folder));
    }
  }

  void Write(const std::string& name, const std::string& content) const {
    const absl::Status status = WriteFileAtomically(root_ + "/" + name, content);
    ASSERT_TRUE(status.ok()) << status;
  }

  // One colour (RGB), so that it says which image was read.
  void WriteImage(const std::string& name, int width, int height,
                  const cv::Scalar& rgb = cv::Scalar(10, 20, 30)) const {
    const cv::Mat image(height, width, CV_8UC3, cv::Scalar(rgb[2], rgb[1], rgb[0]));
    ASSERT_TRUE(cv::imwrite(root_ + "/JPEGImages/" + name, image));
  }

  // An image of 40x30 and its annotation.
  void WritePair(const std::string& name, const std::vector<Object>& objects) const {
    WriteImage(name + ".png", 40, 30);
    Write("Annotations/" + name + ".xml", Xml(Size(40, 30), objects));
  }

  absl::StatusOr<std::unique_ptr<Dataset>> Create(
      const std::string& image_set = "", const std::vector<std::string>& labels = {}) const {
    DatasetConfig config;
    config.mutable_voc()->set_root(root_);
    if (!image_set.empty()) config.mutable_voc()->set_image_set(image_set);
    return CreateDataset(config, {labels});
  }

  // The message of Create(), which must fail with `code`.
  std::string ErrorOf(absl::StatusCode code, const std::string& image_set = "",
                      const std::vector<std::string>& labels = {}) const {
    const absl::Status status = Create(image_set, labels).status();
    EXPECT_EQ(status.code(), code) << status;
    return std::string(status.message());
  }

  std::string root_;
};

TEST_F(VocTest, ReadsWhatWasWritten) {
  WriteImage("b.jpg", 64, 48, {200, 0, 0});
  WriteImage("a.png", 32, 16, {0, 150, 0});
  WriteImage("c.jpeg", 40, 24, {0, 0, 100});
  Write("Annotations/b.xml",
        Xml("<filename>b.jpg</filename>" + Size(64, 48),
            {{"dog", 1, 1, 64, 48, "<difficult>1</difficult>"},
             {"cat", 11, 21, 30, 25, "<difficult>0</difficult><truncated>1</truncated>"}}));
  Write("Annotations/a.xml", Xml("", {{"bird", 3, 4, 3, 4}}));  // no name, no size
  Write("Annotations/c.xml", Xml(Size(0, 0), {}));
  const auto dataset = Create();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 3);
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("bird", "cat", "dog"));
  EXPECT_THAT((*dataset)->labels().source_ids, ElementsAre(1, 2, 3));

  struct Expected {
    std::string file_name;
    ImageSize size;
    cv::Vec3b color;
    int objects;
  };
  const std::vector<Expected> expected = {{"a.png", {16, 32}, {0, 150, 0}, 1},
                                          {"b.jpg", {48, 64}, {200, 0, 0}, 2},
                                          {"c.jpeg", {24, 40}, {0, 0, 100}, 0}};
  for (int i = 0; i < 3; ++i) {
    SCOPED_TRACE(expected[i].file_name);
    const auto sample = (*dataset)->Get(i);
    ASSERT_TRUE(sample.ok()) << sample.status();
    EXPECT_EQ(sample->truth.image_id, i + 1);
    EXPECT_EQ(sample->truth.file_name, expected[i].file_name);
    EXPECT_EQ(sample->truth.size, expected[i].size);
    EXPECT_EQ(sample->image.size(), expected[i].size);
    EXPECT_EQ(sample->geometry.original, expected[i].size);
    EXPECT_EQ(static_cast<int>(sample->truth.objects.size()), expected[i].objects);
    const auto pixels = sample->image.Render();
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    EXPECT_LE(cv::norm(pixels->at<cv::Vec3b>(5, 5), expected[i].color, cv::NORM_INF), 4);
  }

  const auto a = (*dataset)->GetAnnotations(0);
  const auto b = (*dataset)->GetAnnotations(1);
  ASSERT_TRUE(a.ok() && b.ok());
  const auto corners = [](const Annotation& object) {
    return std::vector<double>{object.box.x0, object.box.y0, object.box.x1, object.box.y1};
  };
  // One pixel is one pixel wide; 1 to width is the whole image.
  EXPECT_THAT(corners(a->objects[0]), ElementsAre(2, 3, 3, 4));
  EXPECT_EQ(a->objects[0].label, 1);
  EXPECT_EQ(a->objects[0].area, 1);
  EXPECT_THAT(corners(b->objects[0]), ElementsAre(0, 0, 64, 48));
  EXPECT_EQ(b->objects[0].label, 3);
  EXPECT_TRUE(b->objects[0].difficult);
  EXPECT_THAT(corners(b->objects[1]), ElementsAre(10, 20, 30, 25));
  EXPECT_EQ(b->objects[1].label, 2);
  EXPECT_EQ(b->objects[1].area, 20 * 5);
  EXPECT_FALSE(b->objects[1].difficult);
  EXPECT_FALSE(b->objects[1].crowd);
  EXPECT_NE(b->objects[0].id, b->objects[1].id);

  EXPECT_EQ(b->objects[0].line, 3);
  EXPECT_EQ(b->objects[1].line, 6);
  EXPECT_EQ(b->line, 2);  // of its <size>
  EXPECT_EQ(a->line, 0);
  EXPECT_EQ((*dataset)->AnnotationFile(1), root_ + "/Annotations/b.xml");
}

TEST_F(VocTest, TakesTheImageSetInItsOrder) {
  for (const char* name : {"a", "b", "c"}) WritePair(name, {{name, 1, 1, 5, 5}});
  // Lists for one class say -1, 0 or 1 after the name; some files come from Windows.
  Write("ImageSets/Main/some.txt", "c  1\r\n\na -1\r\n");
  const auto dataset = Create("some");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 2);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->file_name, "c.png");
  EXPECT_EQ((*dataset)->GetAnnotations(1)->file_name, "a.png");
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("a", "c"));

  Write("ImageSets/Main/twice.txt", "a\nb\na\n");
  EXPECT_THAT(ErrorOf(absl::StatusCode::kInvalidArgument, "twice"), HasSubstr("twice.txt:3"));
  Write("ImageSets/Main/empty.txt", "\n");
  EXPECT_THAT(ErrorOf(absl::StatusCode::kInvalidArgument, "empty"), HasSubstr("empty.txt"));
  Write("ImageSets/Main/unknown.txt", "a\nzebra\n");
  EXPECT_THAT(ErrorOf(absl::StatusCode::kNotFound, "unknown"), HasSubstr("zebra.xml"));
  EXPECT_THAT(ErrorOf(absl::StatusCode::kNotFound, "missing"), HasSubstr("missing.txt"));
}

TEST_F(VocTest, UsesTheFoldersOfTheOptions) {
  WritePair("a", {{"cat", 1, 1, 5, 5}});
  std::filesystem::rename(root_ + "/Annotations", root_ + "/xml");
  std::filesystem::rename(root_ + "/JPEGImages", root_ + "/pictures");
  EXPECT_THAT(ErrorOf(absl::StatusCode::kNotFound), HasSubstr("voc.annotations_dir"));
  DatasetConfig config;
  config.mutable_voc()->set_root(root_);
  config.mutable_voc()->set_annotations_dir("xml");
  EXPECT_THAT(std::string(CreateDataset(config, {}).status().message()),
              HasSubstr("voc.images_dir"));
  config.mutable_voc()->set_images_dir("pictures");
  const auto dataset = CreateDataset(config, {});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_TRUE((*dataset)->Get(0)->image.Render().ok());
}

TEST_F(VocTest, OrdersLabelsAsGiven) {
  WritePair("a", {{"cat", 1, 1, 5, 5}, {"dog", 1, 1, 5, 5}});
  const auto dataset = Create("", {"zebra", "dog", "cat"});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("zebra", "dog", "cat"));
  const auto truth = (*dataset)->GetAnnotations(0);
  EXPECT_EQ(truth->objects[0].label, 3);
  EXPECT_EQ(truth->objects[1].label, 2);

  const std::string error = ErrorOf(absl::StatusCode::kInvalidArgument, "", {"dog", "bird"});
  EXPECT_THAT(error, HasSubstr("a.xml:3"));
  EXPECT_THAT(error, HasSubstr("'cat'"));
  EXPECT_THAT(error, HasSubstr("data.label"));
  EXPECT_THAT(ErrorOf(absl::StatusCode::kInvalidArgument, "", {"cat", "dog", "cat"}),
              HasSubstr("twice"));
}

TEST_F(VocTest, CutsBoxesAndDropsWhatIsEmpty) {
  WritePair("a", {{"cat", -4, 11, 12, 50}, {"cat", 20, 10, 15, 12}});  // 40x30; the second inverted
  WritePair("b", {{"cat", 41, 1, 45, 5}, {"cat", 40, 30, 41, 31}});    // the first outside
  testing::internal::CaptureStderr();
  const auto dataset = Create();
  const std::string log = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  const auto a = (*dataset)->GetAnnotations(0);
  ASSERT_EQ(a->objects.size(), 1u);
  EXPECT_EQ(a->objects[0].box.x0, 0);
  EXPECT_EQ(a->objects[0].box.y0, 10);
  EXPECT_EQ(a->objects[0].box.x1, 12);
  EXPECT_EQ(a->objects[0].box.y1, 30);
  EXPECT_EQ(a->objects[0].area, 12 * 20);
  const auto b = (*dataset)->GetAnnotations(1);
  ASSERT_EQ(b->objects.size(), 1u);
  EXPECT_EQ(b->objects[0].area, 1);
  EXPECT_THAT(log, HasSubstr("dropped 2 of 4"));
  EXPECT_THAT(log, HasSubstr("a.xml"));
  EXPECT_THAT(log, Not(HasSubstr("b.xml")));  // the first is enough
}

TEST_F(VocTest, SkipsHiddenFiles) {
  WritePair("a", {{"cat", 1, 1, 2, 2}});
  Write("Annotations/._a.xml", "no XML");
  const auto dataset = Create();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 1);
}

TEST_F(VocTest, FindsImagesByEitherName) {
  WriteImage("stem.JPG", 40, 30);
  Write("Annotations/stem.xml", Xml("<filename>no_such.jpg</filename>" + Size(40, 30), {}));
  WriteImage("other.png", 40, 30);
  Write("Annotations/x.xml", Xml("<filename>other.png</filename>" + Size(40, 30), {}));
  const auto dataset = Create();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->GetAnnotations(0)->file_name, "stem.JPG");
  EXPECT_EQ((*dataset)->GetAnnotations(1)->file_name, "other.png");

  std::filesystem::remove(root_ + "/JPEGImages/other.png");
  const std::string error = ErrorOf(absl::StatusCode::kNotFound);
  EXPECT_THAT(error, HasSubstr("JPEGImages/x.png"));
  EXPECT_THAT(error, HasSubstr("x.xml"));
}

TEST_F(VocTest, NamesFileAndLineOfBadAnnotations) {
  WriteImage("a.png", 40, 30);
  struct Case {
    std::string xml;
    std::string where;
    std::string what;
  };
  const std::string size = Size(40, 30);
  const std::string box =
      "<bndbox><xmin>1</xmin><ymin>1</ymin>\n<xmax>x</xmax><ymax>5</ymax></bndbox>";
  const std::vector<Case> cases = {
      {"<annotation>\n<size>\n</annotation>\n", "a.xml:3", "malformed XML"},
      {"", "a.xml", "malformed XML"},
      {"no XML", "a.xml", "XML"},
      {"<annotations/>", "a.xml", "<annotation>"},
      {"<annotation>\n" + size + "\n<object>\n<name>cat</name></object></annotation>", "a.xml:3",
       "<bndbox>"},
      {"<annotation>\n" + size + "\n<object><bndbox/></object></annotation>", "a.xml:3", "<name>"},
      {"<annotation>\n" + size +
           "\n<object><name>cat</name>\n<bndbox><xmin>1</xmin></bndbox>"
           "</object></annotation>",
       "a.xml:4", "<ymin>"},
      {"<annotation>\n" + size + "\n<object><name>cat</name>\n" + box + "</object></annotation>",
       "a.xml:5", "'x'"},
      {"<annotation>\n<size><width>40.5</width><height>30</height></size></annotation>", "a.xml:2",
       "<width>"},
      {"<annotation>\n<size><width>40</width><height>-30</height></size></annotation>", "a.xml:2",
       "<height>"},
      {"<annotation>\n" + size +
           "<object>\n<name>cat</name><difficult>maybe</difficult>"
           "</object></annotation>",
       "a.xml:3", "<difficult>"},
  };
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.xml);
    Write("Annotations/a.xml", bad.xml);
    const std::string error = ErrorOf(absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(error, HasSubstr(bad.where));
    EXPECT_THAT(error, HasSubstr(bad.what));
  }
}

TEST_F(VocTest, NamesWhatIsMissing) {
  EXPECT_THAT(ErrorOf(absl::StatusCode::kNotFound), HasSubstr("Annotations"));  // no annotation
  DatasetConfig config;
  config.mutable_voc();
  EXPECT_THAT(std::string(CreateDataset(config, {}).status().message()), HasSubstr("voc.root"));
  config.mutable_voc()->set_root("/no/such/folder");
  EXPECT_THAT(std::string(CreateDataset(config, {}).status().message()),
              HasSubstr("/no/such/folder"));

  // An image that is not what the annotation says is found when it is read.
  WriteImage("a.png", 40, 30);
  Write("Annotations/a.xml", Xml(Size(30, 40), {}));
  const auto dataset = Create();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  const auto sample = (*dataset)->Get(0);
  ASSERT_TRUE(sample.ok()) << sample.status();
  const absl::Status status = sample->image.Render().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("JPEGImages/a.png"));

  // No size in the annotation and no image that could tell.
  Write("JPEGImages/a.png", "");
  Write("Annotations/a.xml", Xml("", {}));
  EXPECT_THAT(ErrorOf(absl::StatusCode::kDataLoss), HasSubstr("JPEGImages/a.png"));
}

TEST_F(VocTest, RecordsProblemsAndGoesOn) {
  WritePair("good", {{"cat", 1, 1, 5, 5}});
  WritePair("boxes", {{"cat", 20, 10, 15, 12},  // inverted
                      {"cat", 50, 10, 55, 12},  // outside
                      {"cat", 30, 10, 45, 12},  // 5 pixels of it outside
                      {"cat", 0, 10, 5, 12},    // counted from 0
                      {"yak", 1, 1, 2, 2}});
  WriteImage("fields.png", 40, 30);
  Write("Annotations/fields.xml",
        absl::StrCat("<annotation>\n", Size(40, 30),
                     "\n<object><name>cat</name></object>\n<object/>\n"
                     "<object><name>cat</name><bndbox><xmin>nan</xmin><ymin>1</ymin>"
                     "<xmax>5</xmax><ymax>5</ymax></bndbox></object>\n</annotation>"));
  WriteImage("broken.png", 40, 30);
  Write("Annotations/broken.xml", "<annotation>\n<size>");
  Write("Annotations/lonely.xml", Xml(Size(40, 30), {}));
  Write("JPEGImages/empty.png", "");
  Write("Annotations/empty.xml", Xml("", {}));
  Write("ImageSets/Main/all.txt", "good\nboxes\nfields\nbroken\nlonely\nempty\nabsent\ngood\n");

  DatasetConfig config;
  config.mutable_voc()->set_root(root_);
  config.mutable_voc()->set_image_set("all");
  ProblemLog log;
  DatasetContext context;
  context.labels = {"cat"};
  context.problems = &log;
  const auto dataset = CreateDataset(config, context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 3);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->objects.size(), 1u);
  EXPECT_EQ((*dataset)->GetAnnotations(1)->objects.size(), 2u);
  EXPECT_EQ((*dataset)->GetAnnotations(2)->objects.size(), 0u);

  struct Expected {
    Severity severity;
    ProblemKind kind;
    std::string file;  // below the root
    int64_t line;
    std::string message;
  };
  const std::vector<Expected> expected = {
      {Severity::kError, ProblemKind::kDuplicateImageId, "ImageSets/Main/all.txt", 8, "'good'"},
      {Severity::kError, ProblemKind::kBoxInverted, "Annotations/boxes.xml", 3, "(19, 9) to (15"},
      {Severity::kWarning, ProblemKind::kBoxEmpty, "Annotations/boxes.xml", 6, "outside"},
      {Severity::kWarning, ProblemKind::kBoxOutside, "Annotations/boxes.xml", 9, "5 pixels"},
      {Severity::kNote, ProblemKind::kBoxOutside, "Annotations/boxes.xml", 12, "1 pixels"},
      {Severity::kError, ProblemKind::kUnreadableAnnotation, "Annotations/fields.xml", 3,
       "<bndbox>"},
      {Severity::kError, ProblemKind::kUnreadableAnnotation, "Annotations/fields.xml", 4, "<name>"},
      {Severity::kError, ProblemKind::kBoxNotFinite, "Annotations/fields.xml", 5, "'cat'"},
      {Severity::kError, ProblemKind::kUnreadableAnnotation, "Annotations/broken.xml", 2,
       "malformed XML"},
      {Severity::kError, ProblemKind::kMissingImage, "Annotations/lonely.xml", 0, "lonely.jpg"},
      {Severity::kError, ProblemKind::kUnreadableImage, "JPEGImages/empty.png", 0, ""},
      {Severity::kError, ProblemKind::kMissingAnnotation, "Annotations/absent.xml", 0,
       "cannot read"},
      {Severity::kError, ProblemKind::kUnknownLabel, "Annotations/boxes.xml", 15, "1 such objects"},
  };
  const std::vector<DataProblem> problems = log.Take();
  ASSERT_EQ(problems.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(problems[i].message);
    EXPECT_EQ(problems[i].severity, expected[i].severity);
    EXPECT_EQ(problems[i].kind, expected[i].kind);
    EXPECT_EQ(problems[i].file, absl::StrCat(root_, "/", expected[i].file));
    EXPECT_EQ(problems[i].line, expected[i].line);
    EXPECT_THAT(problems[i].message, HasSubstr(expected[i].message));
  }

  // Without any image there is no dataset.
  Write("ImageSets/Main/all.txt", "absent\n");
  EXPECT_THAT(std::string(CreateDataset(config, context).status().message()),
              HasSubstr("no image"));
}

TEST_F(VocTest, LeavesOutBadImagesWhereTheyAreCounted) {
  WritePair("good", {{"cat", 1, 1, 5, 5}});
  Write("JPEGImages/empty.png", "");
  Write("Annotations/empty.xml", Xml("", {{"cat", 1, 1, 5, 5}}));
  Write("Annotations/lonely.xml", Xml(Size(40, 30), {{"cat", 1, 1, 5, 5}}));
  Write("Annotations/nowhere.xml", Xml("", {{"cat", 1, 1, 5, 5}}));
  DatasetConfig config;
  config.mutable_voc()->set_root(root_);
  std::vector<int64_t> bad_images;
  DatasetContext context;
  context.bad_images = &bad_images;
  const auto dataset = CreateDataset(config, context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT(bad_images, ElementsAre(0, 3));
  ASSERT_EQ((*dataset)->size(), 2);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->file_name, "good.png");
  // The size is stated, so the loader counts it.
  EXPECT_EQ((*dataset)->GetAnnotations(1)->file_name, "lonely.jpg");
  EXPECT_EQ((*dataset)->GetAnnotations(1)->objects.size(), 1u);
  EXPECT_EQ((*dataset)->Get(1)->image.Render().status().code(), absl::StatusCode::kNotFound);
  ErrorOf(absl::StatusCode::kDataLoss);

  // A wrong folder is still told at once.
  Write("ImageSets/Main/gone.txt", "lonely\nnowhere\n");
  config.mutable_voc()->set_image_set("gone");
  const absl::Status gone = CreateDataset(config, context).status();
  EXPECT_EQ(gone.code(), absl::StatusCode::kNotFound) << gone;
  EXPECT_THAT(std::string(gone.message()), HasSubstr("lonely.jpg: no such image"));
  config.mutable_voc()->clear_image_set();

  // An image that cannot be looked for is not one that is missing.
  std::filesystem::create_symlink("ring.png", root_ + "/JPEGImages/ring.png");
  Write("Annotations/ring.xml", Xml(Size(40, 30), {}));
  bad_images.clear();
  const absl::Status ring = CreateDataset(config, context).status();
  EXPECT_EQ(ring.code(), absl::StatusCode::kInternal) << ring;
  EXPECT_THAT(std::string(ring.message()), HasSubstr("ring.png: cannot look for"));
  ProblemLog log;
  DatasetContext logging;
  logging.problems = &log;
  ASSERT_TRUE(CreateDataset(config, logging).ok());
  const std::vector<DataProblem> problems = log.Take();
  ASSERT_EQ(problems.size(), 4u);
  EXPECT_EQ(problems[3].kind, ProblemKind::kUnreadableImage);
  EXPECT_EQ(problems[3].file, root_ + "/JPEGImages/ring.png");
  std::filesystem::remove(root_ + "/Annotations/ring.xml");

  // A damaged annotation is no bad image.
  bad_images.clear();
  Write("Annotations/broken.xml", "<annotation>\n<size>");
  EXPECT_THAT(std::string(CreateDataset(config, context).status().message()),
              HasSubstr("broken.xml:2"));
}

// Enough files for several threads.
TEST_F(VocTest, KeepsTheOrderOfManyFiles) {
  constexpr int kImages = 900;
  for (int i = 0; i < kImages; ++i) {
    const std::string name = absl::StrCat("image", 1000 + i);
    // Not Write, which waits for the disk.
    std::ofstream(root_ + "/JPEGImages/" + name + ".jpg").put(' ');
    std::ofstream(root_ + "/Annotations/" + name + ".xml")
        << Xml(Size(1000, 30), {{"cat", 1, 1, 1 + i, 20}});
  }
  const auto dataset = Create();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), kImages);
  for (int i = 0; i < kImages; ++i) {
    const auto truth = (*dataset)->GetAnnotations(i);
    ASSERT_EQ(truth->file_name, absl::StrCat("image", 1000 + i, ".jpg"));
    ASSERT_EQ(truth->image_id, i + 1);
    ASSERT_EQ(truth->objects[0].box.x1, 1 + i);
    ASSERT_EQ(truth->objects[0].id, i + 1);
  }
  EXPECT_EQ((*dataset)->Fingerprint(), (*Create())->Fingerprint());
}

TEST(VocXmlTest, ChangedFilesAreNoHarm) {
  const std::string whole =
      Xml("<filename>a.png</filename>" + Size(40, 30),
          {{"dog", 1, 1, 40, 30, "<difficult>1</difficult>"}, {"cat", 11, 21, 30, 25}});
  const VocAnnotation annotation = ParseVocXml(whole);
  EXPECT_EQ(annotation.file_name, "a.png");
  EXPECT_EQ(annotation.objects.size(), 2u);
  EXPECT_TRUE(annotation.faults.empty());
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string xml = whole;
    for (uint32_t changes = 1 + random() % 4; changes > 0 && !xml.empty(); --changes) {
      const size_t at = random() % xml.size();
      if (random() % 2 == 0) {
        xml[at] = static_cast<char>(random());
      } else {
        xml.erase(at, 1 + random() % 9);
      }
    }
    const VocAnnotation changed = ParseVocXml(xml);
    EXPECT_TRUE(changed.is_readable || !changed.faults.empty()) << xml;
    EXPECT_LE(changed.objects.size(), 2u) << xml;
    for (const VocFault& fault : changed.faults) {
      EXPECT_GE(fault.line, 0);
      EXPECT_LE(fault.line, 1 + static_cast<int64_t>(std::count(xml.begin(), xml.end(), '\n')));
    }
  }
}

TEST_F(VocTest, FingerprintTellsDataApart) {
  const std::vector<Object> objects = {{"cat", 1, 2, 11, 12}};
  WritePair("a", objects);
  const auto fingerprint = [&] { return (*Create())->Fingerprint(); };
  const std::string before = fingerprint();
  EXPECT_EQ(before.size(), 16u);
  EXPECT_EQ(fingerprint(), before);
  WritePair("a", {{"cat", 1, 2, 11, 13}});
  EXPECT_NE(fingerprint(), before);
  WritePair("a", {{"dog", 1, 2, 11, 12}});
  EXPECT_NE(fingerprint(), before);
  WritePair("a", objects);
  EXPECT_EQ(fingerprint(), before);
  WritePair("b", {});
  EXPECT_NE(fingerprint(), before);
}

TEST_F(VocTest, ReadsInParallelAsInTurn) {
  constexpr int kImages = 12;
  for (int i = 0; i < kImages; ++i) {
    const std::string name = absl::StrCat("image", i + 10);
    WriteImage(name + ".jpg", 20 + i, 30, {20.0 * i, 255 - 20.0 * i, 90});
    Write("Annotations/" + name + ".xml", Xml(Size(20 + i, 30), {{"cat", 1, 1, 2 + i, 20}}));
  }
  const auto dataset = Create();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  const auto matches = [&](int i) {
    const auto sample = (*dataset)->Get(i);
    if (!sample.ok() || sample->truth.objects[0].box.x1 != 2 + i) return false;
    const auto pixels = sample->image.Render();
    return pixels.ok() && pixels->cols == 20 + i &&
           cv::norm(pixels->at<cv::Vec3b>(9, 9), cv::Vec3b(20 * i, 255 - 20 * i, 90),
                    cv::NORM_INF) <= 4;
  };
  std::vector<int> wrong(4, 0);  // by thread
  std::vector<std::thread> threads;
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5 * kImages; ++i) {
        if (!matches((i + 3 * static_cast<int>(t)) % kImages)) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0));
}

}  // namespace
}  // namespace ssd
