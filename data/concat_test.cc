#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAreArray;

// Tables of images, a box a line, in a folder of their own.
class ConcatTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    root_ = (std::filesystem::path(testing::TempDir()) / ("concat_" + name))
                .lexically_normal()
                .string();
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    Write("first.csv",
          "image,x0,y0,x1,y1,label\na.png,1,1,5,5,cat\na.png,2,2,8,8,dog\n"
          "b.png,1,1,9,9,dog\n");
    Write("second.csv",
          "image,x0,y0,x1,y1,label\nc.png,1,1,5,5,ant\na.png,,,,,\n"
          "b.png,3,3,9,9,cat\n");
    int blue = 0;
    for (const char* image : {"a.png", "b.png", "c.png"}) {
      const cv::Mat pixels(30, 40, CV_8UC3, cv::Scalar(blue += 50, 0, 0));
      ASSERT_TRUE(cv::imwrite(root_ + "/" + image, pixels));
    }
  }

  void Write(const std::string& name, const std::string& content) const {
    const absl::Status status = WriteFileAtomically(root_ + "/" + name, content);
    ASSERT_TRUE(status.ok()) << status;
  }

  std::string Table(const std::string& name, const std::string& more = "") const {
    return absl::StrCat("dataset { table { file: '", root_, "/", name, "' } ", more, " } ");
  }
  absl::StatusOr<std::unique_ptr<Dataset>> Create(const std::string& datasets,
                                                  const std::string& more = "",
                                                  const DatasetContext& context = {}) const {
    DatasetConfig config;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrCat("concat { ", datasets, " } ", more), &config))
        << datasets;
    return CreateDataset(config, context);
  }
  std::string Error(const std::string& datasets, const DatasetContext& context = {}) const {
    return std::string(Create(datasets, "", context).status().message());
  }

  std::string root_;
};

// "a.png: cat dog" for each image.
std::vector<std::string> Shown(const Dataset& dataset) {
  std::vector<std::string> shown;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const Annotations truth = *dataset.GetAnnotations(i);
    shown.push_back(truth.file_name + ":");
    for (const Annotation& object : truth.objects) {
      absl::StrAppend(&shown.back(), " ", dataset.labels().names[object.label - 1]);
    }
  }
  return shown;
}

TEST_F(ConcatTest, JoinsImagesAndClasses) {
  const auto dataset = Create(Table("first.csv") + Table("second.csv"));
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT(Shown(**dataset),
              ElementsAre("a.png: cat dog", "b.png: dog", "c.png: ant", "a.png:", "b.png: cat"));
  // The first dataset's, then what the second adds.
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("cat", "dog", "ant"));
  EXPECT_THAT((*dataset)->labels().source_ids, ElementsAre(1, 2, 3));
  // Both count from 1, so the whole counts anew.
  std::vector<int64_t> images, objects;
  for (int64_t i = 0; i < (*dataset)->size(); ++i) {
    const auto sample = (*dataset)->Get(i);
    ASSERT_TRUE(sample.ok()) << sample.status();
    const auto truth = (*dataset)->GetAnnotations(i);
    images.push_back(truth->image_id);
    EXPECT_EQ(sample->truth.image_id, truth->image_id);
    ASSERT_EQ(sample->truth.objects.size(), truth->objects.size());
    for (size_t k = 0; k < truth->objects.size(); ++k) {
      objects.push_back(truth->objects[k].id);
      EXPECT_EQ(sample->truth.objects[k].id, truth->objects[k].id);
      EXPECT_EQ(sample->truth.objects[k].label, truth->objects[k].label);
    }
    EXPECT_TRUE(sample->image.Render().ok());
    EXPECT_EQ((*dataset)->ImageFile(i), root_ + "/" + truth->file_name);
    EXPECT_EQ((*dataset)->AnnotationFile(i), root_ + (i < 2 ? "/first.csv" : "/second.csv"));
  }
  EXPECT_EQ((*dataset)->NamedImageFiles().size(), 5u);
  EXPECT_THAT(images, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(objects, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ((*dataset)->GetAnnotations(4)->objects[0].line, 4);

  EXPECT_NE((*dataset)->Fingerprint(),
            (*Create(Table("second.csv") + Table("first.csv")))->Fingerprint());
}

TEST_F(ConcatTest, KeepsIdsThatDiffer) {
  const auto coco = [this](const std::string& name, int first_image, int first_object) {
    Write(name, absl::StrCat(R"({"images": [{"id": )", first_image,
                             R"(, "file_name": "a.png", "width": 40, "height": 30}, {"id": )",
                             first_image + 7,
                             R"(, "file_name": "b.png", "width": 40, "height": 30}],
        "annotations": [{"id": )",
                             first_object, R"(, "image_id": )", first_image + 7,
                             R"(, "category_id": 17, "bbox": [1, 2, 3, 4], "iscrowd": 0}],
        "categories": [{"id": 17, "name": "cat"}, {"id": 90, "name": "dog"}]})"));
    return absl::StrCat("dataset { coco { annotations: '", root_, "/", name, "' images: '", root_,
                        "' } } ");
  };
  const auto ids = [](const Dataset& dataset) {
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < dataset.size(); ++i) {
      ids.push_back(dataset.GetAnnotations(i)->image_id);
    }
    ids.push_back(dataset.GetAnnotations(1)->objects[0].id);
    ids.push_back(dataset.GetAnnotations(3)->objects[0].id);
    return ids;
  };
  const auto apart = Create(coco("a.json", 100, 5) + coco("b.json", 200, 6));
  ASSERT_TRUE(apart.ok()) << apart.status();
  EXPECT_THAT(ids(**apart), ElementsAre(100, 107, 200, 207, 5, 6));
  EXPECT_THAT((*apart)->labels().source_ids, ElementsAre(17, 90));
  // One equal pair, and all are counted; those of objects for themselves.
  const auto equal = Create(coco("a.json", 100, 5) + coco("b.json", 107, 6));
  ASSERT_TRUE(equal.ok()) << equal.status();
  EXPECT_THAT(ids(**equal), ElementsAre(1, 2, 3, 4, 5, 6));

  // What the first lacks gets the lowest id that is free.
  const auto with_table = Create(coco("a.json", 100, 5) + Table("second.csv"));
  ASSERT_TRUE(with_table.ok()) << with_table.status();
  EXPECT_THAT((*with_table)->labels().names, ElementsAre("cat", "dog", "ant"));
  EXPECT_THAT((*with_table)->labels().source_ids, ElementsAre(17, 90, 1));
  EXPECT_EQ((*with_table)->ClassPlace(2).file, root_ + "/a.json");
  EXPECT_EQ((*with_table)->ClassPlace(2).line, 3);
  EXPECT_EQ((*with_table)->ClassPlace(3).file, "");  // a table declares no classes
}

// VOC2007 and VOC2012 name and number images alike.
TEST_F(ConcatTest, KeepsImagesOfOneNameInTwoVocRootsApart) {
  const auto voc = [this](const std::string& year, const std::string& label, int xmin, int grey) {
    const std::string root = absl::StrCat(root_, "/", year);
    for (const char* folder : {"Annotations", "JPEGImages", "ImageSets/Main"}) {
      std::filesystem::create_directories(absl::StrCat(root, "/", folder));
    }
    for (const char* name : {"000001", "000002"}) {
      Write(absl::StrCat(year, "/Annotations/", name, ".xml"),
            absl::StrCat("<annotation>\n<filename>", name, ".png</filename><size><width>40</width>",
                         "<height>30</height><depth>3</depth></size>\n<object><name>", label,
                         "</name><bndbox><xmin>", xmin, "</xmin><ymin>2</ymin><xmax>35</xmax>",
                         "<ymax>25</ymax></bndbox></object>\n</annotation>\n"));
      EXPECT_TRUE(cv::imwrite(absl::StrCat(root, "/JPEGImages/", name, ".png"),
                              cv::Mat(30, 40, CV_8UC3, cv::Scalar::all(grey++))));
    }
    Write(year + "/ImageSets/Main/trainval.txt", "000002\n000001\n");
    return absl::StrCat("dataset { voc { root: '", root, "' image_set: 'trainval' } } ");
  };
  const std::string roots = voc("VOC2007", "cat", 11, 50) + voc("VOC2012", "dog", 21, 100);
  const auto dataset = Create(roots);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("cat", "dog"));
  EXPECT_THAT(Shown(**dataset), ElementsAre("000002.png: cat", "000001.png: cat",  //
                                            "000002.png: dog", "000001.png: dog"));
  const std::vector<int> greys = {51, 50, 101, 100};
  std::vector<std::string> files;
  for (int64_t i = 0; i < (*dataset)->size(); ++i) {
    const auto sample = (*dataset)->Get(i);
    ASSERT_TRUE(sample.ok()) << sample.status();
    EXPECT_EQ(sample->truth.image_id, i + 1);
    ASSERT_EQ(sample->truth.objects.size(), 1u);
    EXPECT_EQ(sample->truth.objects[0].id, i + 1);
    EXPECT_EQ(sample->truth.objects[0].box.x0, i < 2 ? 10 : 20);
    const auto pixels = sample->image.Render();
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    EXPECT_EQ(pixels->at<cv::Vec3b>(7, 7), cv::Vec3b::all(static_cast<uchar>(greys[i])));
    const std::string root = root_ + (i < 2 ? "/VOC2007" : "/VOC2012");
    const std::string name = i % 2 == 0 ? "000002" : "000001";
    EXPECT_EQ((*dataset)->AnnotationFile(i), absl::StrCat(root, "/Annotations/", name, ".xml"));
    files.push_back(absl::StrCat(root, "/JPEGImages/", name, ".png"));
    EXPECT_EQ((*dataset)->ImageFile(i), files.back());
  }
  EXPECT_THAT((*dataset)->NamedImageFiles(), UnorderedElementsAreArray(files));
}

TEST_F(ConcatTest, TakesTheExperimentsLabels) {
  DatasetContext context;
  context.labels = {"dog", "yak", "ant", "cat"};
  const auto dataset = Create(Table("first.csv") + Table("second.csv"), "", context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->labels().names, context.labels);
  EXPECT_THAT(Shown(**dataset),
              ElementsAre("a.png: cat dog", "b.png: dog", "c.png: ant", "a.png:", "b.png: cat"));
  context.labels = {"dog", "cat"};
  EXPECT_THAT(Error(Table("first.csv") + Table("second.csv"), context),
              AllOf(HasSubstr("concat.dataset[1]: "), HasSubstr("second.csv:2: object 'ant'")));
}

TEST_F(ConcatTest, PartsHaveSubsetsAndClassMaps) {
  const auto dataset = Create(Table("first.csv", "subset { from: 0.5 } class_map { drop: 'cat' }") +
                                  Table("second.csv") + Table("second.csv", "subset { to: 0.3 }"),
                              "subset { to: 0.8 } class_map { rename { from: 'ant' to: 'dog' } }");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  // The whole's map is that of the parts that have none; its subset is taken of all.
  EXPECT_THAT(Shown(**dataset), ElementsAre("b.png: dog", "c.png: dog", "a.png:", "b.png: cat"));
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("dog", "cat"));
}

TEST_F(ConcatTest, BadImagesKeepTheirPlaces) {
  Write("none.png", "no image");
  Write("third.csv", "image,x0,y0,x1,y1,label\nc.png,1,1,5,5,ant\nnone.png,,,,,\na.png,,,,,\n");
  std::vector<int64_t> bad_images;
  DatasetContext context;
  context.bad_images = &bad_images;
  const std::string parts =
      Table("third.csv") + Table("first.csv") + Table("third.csv", "subset { from: 0.3 }");
  const auto whole = Create(parts, "", context);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ((*whole)->size(), 5);
  EXPECT_THAT(bad_images, ElementsAre(1, 5));

  bad_images.clear();
  const auto half = Create(parts, "subset { from: 0.5 }", context);  // of seven, the last three
  ASSERT_TRUE(half.ok()) << half.status();
  EXPECT_THAT(Shown(**half), ElementsAre("b.png: dog", "a.png:"));
  EXPECT_THAT(bad_images, ElementsAre(1));
}

TEST_F(ConcatTest, PassesProblemsOn) {
  Write("bad.csv", "image,x0,y0,x1,y1,label\nc.png,1,1,x,5,ant\nc.png,1,1,5,5,ant\n");
  ProblemLog log;
  DatasetContext context;
  context.problems = &log;
  const auto dataset = Create(Table("first.csv") + Table("bad.csv"), "", context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 3);
  const std::vector<DataProblem> problems = log.Take();
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].kind, ProblemKind::kUnreadableAnnotation);
  EXPECT_EQ(problems[0].file, root_ + "/bad.csv");
  EXPECT_EQ(problems[0].line, 2);
}

TEST_F(ConcatTest, NamesWhatIsWrong) {
  EXPECT_THAT(Error(""), HasSubstr("concat.dataset is empty"));
  EXPECT_THAT(Error(Table("first.csv") + Table("second.csv", "transform { resize {} }")),
              HasSubstr("concat.dataset[1].transform: transforms belong to the whole"));
  EXPECT_THAT(Error(Table("first.csv") + Table("none.csv")),
              AllOf(HasSubstr("concat.dataset[1]: "), HasSubstr("none.csv")));
  EXPECT_THAT(Error("dataset {}"), HasSubstr("concat.dataset[0]: "));
  EXPECT_THAT(Error(Table("first.csv", "subset { from: 2 }")),
              HasSubstr("concat.dataset[0]: subset"));
}

}  // namespace
}  // namespace ssd
