// What holds for every dataset that is linked. A new one needs a config below.

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "data/dataset.h"
#include "data/pack.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr int kImages = 12;

void Write(const std::string& path, const std::string& content) {
  ASSERT_TRUE(WriteFileAtomically(path, content).ok()) << path;
}

// A random picture, 40 pixels high and 50 + i wide.
void WriteImage(const std::string& path, int i) {
  cv::Mat image(40, 50 + i, CV_8UC3);
  cv::RNG(i + 1).fill(image, cv::RNG::UNIFORM, 0, 256);
  ASSERT_TRUE(cv::imwrite(path, image)) << path;
}

// The same images and objects as VOC and as COCO tell them: two classes, one object in every image,
// a second one in every other.
std::string MakeVoc() {
  const std::string root = testing::TempDir() + "/contract_voc";
  std::filesystem::create_directories(root + "/Annotations");
  std::filesystem::create_directories(root + "/JPEGImages");
  for (int i = 0; i < kImages; ++i) {
    const std::string name = absl::StrCat("image", i);
    WriteImage(absl::StrCat(root, "/JPEGImages/", name, ".jpg"), i);
    std::string objects;
    for (int k = 0; k <= i % 2; ++k) {
      absl::StrAppend(&objects, "<object><name>", k == 0 ? "cat" : "dog",
                      "</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>", 20 + i,
                      "</xmax><ymax>30</ymax></bndbox></object>");
    }
    Write(absl::StrCat(root, "/Annotations/", name, ".xml"),
          absl::StrCat("<annotation><filename>", name, ".jpg</filename><size><width>", 50 + i,
                       "</width><height>40</height></size>", objects, "</annotation>"));
  }
  return absl::StrCat("voc { root: '", root, "' }");
}

std::string MakeCoco() {
  const std::string root = testing::TempDir() + "/contract_coco";
  std::filesystem::create_directories(root);
  std::vector<std::string> images, annotations;
  for (int i = 0; i < kImages; ++i) {
    const std::string name = absl::StrCat("image", i, ".png");
    WriteImage(absl::StrCat(root, "/", name), i);
    images.push_back(absl::StrCat(R"({"id": )", 100 - i, R"(, "file_name": ")", name,
                                  R"(", "height": 40, "width": )", 50 + i, "}"));
    for (int k = 0; k <= i % 2; ++k) {
      annotations.push_back(absl::StrCat(R"({"id": )", annotations.size() + 7, R"(, "image_id": )",
                                         100 - i, R"(, "category_id": )", k == 0 ? 17 : 3,
                                         R"(, "iscrowd": 0, "bbox": [4, 5, )", 16 + i, ", 25]}"));
    }
  }
  const std::string file = root + "/instances.json";
  Write(file, absl::StrCat(R"({"images": [)", absl::StrJoin(images, ","), R"(], "annotations": [)",
                           absl::StrJoin(annotations, ","), R"(], "categories": [)",
                           R"({"id": 17, "name": "cat"}, {"id": 3, "name": "dog"}]})"));
  return absl::StrCat("coco { annotations: '", file, "' images: '", root, "' }");
}

// The same again, as a table and as YOLO's text files tell it.
std::string MakeTable() {
  const std::string root = testing::TempDir() + "/contract_table";
  std::filesystem::create_directories(root);
  std::string table = "image,x0,y0,x1,y1,label\n";
  for (int i = 0; i < kImages; ++i) {
    const std::string name = absl::StrCat("image", i, ".png");
    WriteImage(absl::StrCat(root, "/", name), i);
    for (int k = 0; k <= i % 2; ++k) {
      absl::StrAppend(&table, name, ",4,5,", 20 + i, ",30,", k == 0 ? "cat" : "dog", "\n");
    }
  }
  Write(root + "/boxes.csv", table);
  return absl::StrCat("table { file: '", root, "/boxes.csv' }");
}

std::string MakeYolo() {
  const std::string root = testing::TempDir() + "/contract_yolo";
  std::filesystem::create_directories(root + "/images");
  std::filesystem::create_directories(root + "/labels");
  for (int i = 0; i < kImages; ++i) {
    WriteImage(absl::StrCat(root, "/images/", i, ".png"), i);
    std::string lines;
    for (int k = 0; k <= i % 2; ++k) absl::StrAppend(&lines, k, " 0.5 0.5 0.25 0.5\n");
    Write(absl::StrCat(root, "/labels/", i, ".txt"), lines);
  }
  Write(root + "/names.txt", "cat\ndog\n");
  return absl::StrCat("yolo { images: '", root, "/images' labels: '", root, "/labels' names: '",
                      root, "/names.txt' }");
}

void WriteIdx(const std::string& path, const std::string& header, const std::string& values) {
  Write(path, std::string("\0\0\x08", 3) + header + values);
}

std::string MakeMnist() {
  const std::string folder = testing::TempDir() + "/contract_mnist";
  std::filesystem::create_directories(folder);
  std::string images, labels;
  for (int i = 0; i < 20; ++i) {
    cv::Mat image = cv::Mat::zeros(28, 28, CV_8UC1);
    image(cv::Rect(4 + i % 5, 4, 12, 20)) = 200;
    images.append(image.ptr<char>(), image.total());
    labels += static_cast<char>(i % 10);
  }
  WriteIdx(folder + "/train-images-idx3-ubyte", std::string("\3\0\0\0\x14\0\0\0\x1c\0\0\0\x1c", 13),
           images);
  WriteIdx(folder + "/train-labels-idx1-ubyte", std::string("\1\0\0\0\x14", 5), labels);
  return absl::StrCat("mnist { folder: '", folder, "' scenes: ", kImages, " canvas_size: 90 }");
}

// The COCO images and objects again, in one file.
std::string MakePacked() {
  DatasetConfig coco;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(MakeCoco(), &coco));
  const auto dataset = CreateDataset(coco, {});
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  const std::string file = testing::TempDir() + "/contract.packed";
  std::filesystem::remove(file);
  const auto packed = PackDataset(**dataset, {}, file);
  EXPECT_TRUE(packed.ok()) << packed.status();
  return absl::StrCat("packed { file: '", file, "' }");
}

// By the options' name.
std::string ConfigOf(const std::string& name) {
  if (name == "ssd.VocOptions") return MakeVoc();
  if (name == "ssd.CocoOptions") return MakeCoco();
  if (name == "ssd.MnistOptions") return MakeMnist();
  if (name == "ssd.DigitsOptions") {
    return absl::StrCat("digits { scenes: ", kImages, " canvas_size: 90 }");
  }
  if (name == "ssd.PackedOptions") return MakePacked();
  if (name == "ssd.TableOptions") return MakeTable();
  if (name == "ssd.YoloOptions") return MakeYolo();
  if (name == "ssd.ConcatOptions") {
    const std::string half = absl::StrCat("digits { scenes: ", kImages / 2, " canvas_size: 90");
    return absl::StrCat("concat { dataset { ", half, " } } dataset { ", half,
                        " scene_seed: 2 } } }");
  }
  return "";
}

class DatasetContractTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    config_text_ = ConfigOf(GetParam());
    ASSERT_FALSE(config_text_.empty()) << "no config for " << GetParam() << ": add one above";
  }

  absl::StatusOr<std::unique_ptr<Dataset>> Create(const std::string& more = "",
                                                  const std::vector<std::string>& labels = {}) {
    DatasetConfig config;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(config_text_ + " " + more, &config));
    return CreateDataset(config, {labels});
  }

  std::unique_ptr<Dataset> CreateOrDie(const std::string& more = "",
                                       const std::vector<std::string>& labels = {}) {
    auto dataset = Create(more, labels);
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    return *std::move(dataset);
  }

  std::string config_text_;
};

void ExpectEqual(const Annotations& a, const Annotations& b) {
  EXPECT_EQ(a.image_id, b.image_id);
  EXPECT_EQ(a.file_name, b.file_name);
  EXPECT_EQ(a.size, b.size);
  ASSERT_EQ(a.objects.size(), b.objects.size());
  for (size_t i = 0; i < a.objects.size(); ++i) {
    const Annotation &p = a.objects[i], &q = b.objects[i];
    EXPECT_EQ(p.box.x0, q.box.x0);
    EXPECT_EQ(p.box.y0, q.box.y0);
    EXPECT_EQ(p.box.x1, q.box.x1);
    EXPECT_EQ(p.box.y1, q.box.y1);
    EXPECT_EQ(p.label, q.label);
    EXPECT_EQ(p.crowd, q.crowd);
    EXPECT_EQ(p.difficult, q.difficult);
    EXPECT_EQ(p.area, q.area);
    EXPECT_EQ(p.id, q.id);
  }
}

TEST_P(DatasetContractTest, TruthsAreInTheirImages) {
  const auto dataset = CreateOrDie();
  ASSERT_EQ(dataset->size(), kImages);
  const LabelMap& labels = dataset->labels();
  ASSERT_GT(labels.num_classes(), 0);
  ASSERT_EQ(labels.source_ids.size(), labels.names.size());
  EXPECT_EQ(std::set<std::string>(labels.names.begin(), labels.names.end()).size(),
            labels.names.size());
  EXPECT_EQ(std::set<int64_t>(labels.source_ids.begin(), labels.source_ids.end()).size(),
            labels.names.size());
  std::set<int64_t> image_ids, object_ids;
  size_t objects = 0;
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const auto truth = dataset->GetAnnotations(i);
    ASSERT_TRUE(truth.ok()) << truth.status();
    EXPECT_FALSE(truth->file_name.empty());
    image_ids.insert(truth->image_id);
    for (const Annotation& object : truth->objects) {
      ++objects;
      object_ids.insert(object.id);
      EXPECT_GE(object.label, 1);
      EXPECT_LE(object.label, labels.num_classes());
      EXPECT_GE(object.box.x0, 0);
      EXPECT_GE(object.box.y0, 0);
      EXPECT_LT(object.box.x0, object.box.x1);
      EXPECT_LT(object.box.y0, object.box.y1);
      EXPECT_LE(object.box.x1, static_cast<double>(truth->size.width));
      EXPECT_LE(object.box.y1, static_cast<double>(truth->size.height));
      EXPECT_GT(object.area, 0);
    }
  }
  EXPECT_EQ(image_ids.size(), static_cast<size_t>(kImages));
  EXPECT_GT(objects, 0u);
  EXPECT_EQ(object_ids.size(), objects);
}

TEST_P(DatasetContractTest, SamplesAgreeWithAnnotations) {
  const auto dataset = CreateOrDie();
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const auto sample = dataset->Get(i);
    ASSERT_TRUE(sample.ok()) << sample.status();
    ExpectEqual(sample->truth, *dataset->GetAnnotations(i));
    EXPECT_EQ(sample->image.size(), sample->truth.size);
    EXPECT_EQ(sample->geometry.original, sample->truth.size);
    EXPECT_EQ(sample->geometry.view, sample->truth.size);
    EXPECT_EQ(sample->geometry.scale_x, 1);
    EXPECT_EQ(sample->geometry.offset_y, 0);
    const auto pixels = sample->image.Render();
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    EXPECT_EQ(pixels->type(), CV_8UC3);
    EXPECT_EQ(pixels->rows, sample->truth.size.height);
    EXPECT_EQ(pixels->cols, sample->truth.size.width);
  }
}

TEST_P(DatasetContractTest, ManyThreadsGetWhatOneGets) {
  const auto dataset = CreateOrDie();
  std::vector<cv::Mat> serial;
  for (int64_t i = 0; i < kImages; ++i) serial.push_back(*dataset->Get(i)->image.Render());
  constexpr int kThreads = 8;
  std::vector<std::vector<cv::Mat>> parallel(kThreads, std::vector<cv::Mat>(kImages));
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int k = 0; k < kImages; ++k) {
        const int i = (k + t) % kImages;
        parallel[t][i] = *dataset->Get(i)->image.Render();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < kThreads; ++t) {
    for (int i = 0; i < kImages; ++i) {
      EXPECT_EQ(cv::norm(parallel[t][i], serial[i], cv::NORM_INF), 0);
    }
  }
}

TEST_P(DatasetContractTest, FingerprintsTellDataApart) {
  const std::string fingerprint = CreateOrDie()->Fingerprint();
  EXPECT_THAT(fingerprint, MatchesRegex("[0-9a-f]{16}"));
  EXPECT_EQ(fingerprint, CreateOrDie()->Fingerprint());
  std::set<std::string> parts = {fingerprint};
  for (const char* part : {"subset { to: 0.5 }", "subset { from: 0.5 }",
                           "subset { shuffle_seed: 1 }", "subset { shuffle_seed: 2 }"}) {
    EXPECT_TRUE(parts.insert(CreateOrDie(part)->Fingerprint()).second) << part;
  }
}

TEST_P(DatasetContractTest, ASubsetNamesTheImageFilesOfTheWhole) {
  const auto whole = CreateOrDie();
  std::set<std::string> files;
  for (int64_t i = 0; i < whole->size(); ++i) {
    if (!whole->ImageFile(i).empty()) files.insert(whole->ImageFile(i));
  }
  for (const char* part : {"", "subset { to: 0.5 }"}) {
    const std::vector<std::string> named = CreateOrDie(part)->NamedImageFiles();
    EXPECT_EQ(std::set<std::string>(named.begin(), named.end()), files) << part;
  }
}

TEST_P(DatasetContractTest, ComplementarySubsetsAreDisjointAndComplete) {
  const auto ids = [this](const std::string& part) {
    const auto dataset = CreateOrDie(part);
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < dataset->size(); ++i) {
      ids.push_back(dataset->GetAnnotations(i)->image_id);
      EXPECT_EQ(dataset->Get(i)->truth.image_id, ids.back());
    }
    return ids;
  };
  const std::vector<int64_t> whole = ids("");
  EXPECT_EQ(ids("subset {}"), whole);
  for (const std::string seed : {"", "shuffle_seed: 7"}) {
    for (const double cut : {0.1, 1 / 3.0, 0.8}) {
      const std::vector<int64_t> first = ids(absl::StrCat("subset { to: ", cut, " ", seed, " }"));
      const std::vector<int64_t> second =
          ids(absl::StrCat("subset { from: ", cut, " ", seed, " }"));
      std::vector<int64_t> both = first;
      both.insert(both.end(), second.begin(), second.end());
      if (seed.empty()) {
        EXPECT_EQ(both, whole);
      } else {
        EXPECT_NE(both, whole);
        EXPECT_THAT(both, ::testing::UnorderedElementsAreArray(whole));
      }
    }
  }
  EXPECT_THAT(Create("subset { from: 0.9 to: 0.2 }").status().ToString(),
              HasSubstr("subset { from: 0.9 to: 0.2 }"));
  EXPECT_THAT(Create("subset { from: 0.5 to: 0.51 }").status().ToString(), HasSubstr("holds none"));
}

TEST_P(DatasetContractTest, LabelsFollowTheExperiment) {
  const auto own = CreateOrDie();
  std::vector<std::string> names = own->labels().names;
  std::reverse(names.begin(), names.end());
  names.insert(names.begin(), "seen nowhere");
  const auto dataset = CreateOrDie("", names);
  EXPECT_EQ(dataset->labels().names, names);
  const std::vector<int64_t>& ids = dataset->labels().source_ids;
  EXPECT_EQ(std::set<int64_t>(ids.begin(), ids.end()).size(), names.size());
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const Annotations a = *own->GetAnnotations(i), b = *dataset->GetAnnotations(i);
    ASSERT_EQ(a.objects.size(), b.objects.size());
    for (size_t k = 0; k < a.objects.size(); ++k) {
      EXPECT_EQ(own->labels().names[a.objects[k].label - 1], names[b.objects[k].label - 1]);
    }
  }
}

TEST_P(DatasetContractTest, ClassesAreRenamedAndDropped) {
  const auto own = CreateOrDie();
  const std::vector<std::string>& names = own->labels().names;
  ASSERT_GE(names.size(), 2u);
  const std::string map = absl::StrCat("class_map { rename { from: '", names[0],
                                       "' to: 'another' } drop: '", names[1], "' }");
  const auto mapped = CreateOrDie(map);
  EXPECT_THAT(mapped->labels().names, ::testing::Contains("another"));
  EXPECT_NE(mapped->Fingerprint(), own->Fingerprint());
  ASSERT_EQ(mapped->size(), own->size());
  for (int64_t i = 0; i < own->size(); ++i) {
    const Annotations before = *own->GetAnnotations(i), after = *mapped->GetAnnotations(i);
    std::vector<std::string> expected, actual;
    for (const Annotation& object : before.objects) {
      if (object.label == 2) continue;
      expected.push_back(object.label == 1 ? "another" : names[object.label - 1]);
    }
    for (const Annotation& object : after.objects) {
      actual.push_back(mapped->labels().names[object.label - 1]);
    }
    EXPECT_EQ(actual, expected);
  }
  // The experiment's labels are names after the map.
  EXPECT_TRUE(Create(map, mapped->labels().names).ok());
  EXPECT_EQ(Create(map, names).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Create("class_map { drop: ['a', 'a'] }").status().ToString(),
              HasSubstr("class_map.drop"));
}

TEST_P(DatasetContractTest, AClassOutsideTheExperimentsIsAnError) {
  const absl::Status status = Create("", {"another"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.ToString(), HasSubstr("is not among the experiment's 1 labels (another)"));
  EXPECT_EQ(Create("", {"a", "a"}).status().code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Linked, DatasetContractTest,
                         ::testing::ValuesIn(DatasetRegistry::Get().Names()), [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

TEST(CreateDatasetTest, NeedsExactlyOneKind) {
  const auto dataset = CreateDataset(DatasetConfig(), {});
  EXPECT_EQ(dataset.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(dataset.status().ToString(), HasSubstr("coco, voc, mnist, digits"));
}

}  // namespace
}  // namespace ssd
