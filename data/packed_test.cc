// Datasets in one file: data/pack.h, and what packed { } reads of it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "data/image_testing.h"
#include "data/lmdb_file.h"
#include "data/pack.h"
#include "data/packed_file.h"
#include "data/packed_record.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using ::testing::HasSubstr;

namespace fs = std::filesystem;

std::string NewPath(const std::string& name) {
  const std::string path = testing::TempDir() + "/" + name;
  fs::remove(path);
  return path;
}

void Write(const std::string& path, const std::string& bytes) {
  ASSERT_TRUE(WriteFileAtomically(path, bytes).ok()) << path;
}

std::unique_ptr<Dataset> Open(const DatasetConfig& config, const DatasetContext& context = {}) {
  auto dataset = CreateDataset(config, context);
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  return dataset.ok() ? *std::move(dataset) : nullptr;
}

DatasetConfig PackedConfig(const std::string& file) {
  DatasetConfig config;
  config.mutable_packed()->set_file(file);
  return config;
}

// Three images: a turned JPEG, a PNG and one without objects; ids with holes, a crowd, a mask's
// area, a class without objects.
DatasetConfig CocoConfig() {
  const std::string folder = testing::TempDir() + "/to_be_packed";
  fs::create_directories(folder);
  const cv::Mat image = Gradient(120, 80);
  Write(folder + "/turned.jpg", WithExif(Jpeg(image), Tiff(6, true)));
  Write(folder + "/plain.png", Encode(".png", Swapped(image)));
  Write(folder + "/none.jpg", Jpeg(Gradient(33, 44)));
  Write(folder + "/instances.json", R"({
    "images": [{"id": 70, "file_name": "turned.jpg", "height": 120, "width": 80},
               {"id": 7, "file_name": "plain.png", "height": 80, "width": 120},
               {"id": 9000000000, "file_name": "none.jpg", "height": 44, "width": 33}],
    "annotations": [
      {"id": 5, "image_id": 70, "category_id": 90, "iscrowd": 0, "area": 12.5,
       "bbox": [1.25, 2.5, 30.125, 40]},
      {"id": 6, "image_id": 70, "category_id": 3, "iscrowd": 1, "area": 900,
       "bbox": [0, 0, 80, 120]},
      {"id": 8, "image_id": 7, "category_id": 3, "iscrowd": 0, "bbox": [20, 10, 99.9, 69.9]}],
    "categories": [{"id": 3, "name": "cat"}, {"id": 17, "name": "dog"}, {"id": 90, "name": "owl"}]
  })");
  DatasetConfig config;
  config.mutable_coco()->set_annotations(folder + "/instances.json");
  config.mutable_coco()->set_images(folder);
  return config;
}

std::string PackOrDie(const Dataset& dataset, const std::string& name,
                      const PackOptions& options = {}) {
  const std::string path = NewPath(name);
  const auto summary = PackDataset(dataset, options, path);
  EXPECT_TRUE(summary.ok()) << summary.status();
  return path;
}

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

TEST(PackedTest, HoldsTheWholeDataset) {
  const auto coco = Open(CocoConfig());
  ASSERT_NE(coco, nullptr);
  const std::string path = NewPath("whole.packed");
  const auto summary = PackDataset(*coco, {}, path);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->images, 3);
  EXPECT_EQ(summary->objects, 3);
  EXPECT_EQ(summary->classes, 3);
  EXPECT_EQ(summary->copied, 3);
  EXPECT_EQ(summary->bytes, static_cast<int64_t>(fs::file_size(path)));

  const auto packed = Open(PackedConfig(path));
  ASSERT_NE(packed, nullptr);
  EXPECT_EQ(packed->labels().names, (std::vector<std::string>{"cat", "dog", "owl"}));
  EXPECT_EQ(packed->labels().source_ids, (std::vector<int64_t>{3, 17, 90}));
  EXPECT_EQ(packed->Fingerprint(), coco->Fingerprint());
  ASSERT_EQ(packed->size(), coco->size());
  for (int64_t i = 0; i < coco->size(); ++i) {
    SCOPED_TRACE(i);
    ExpectEqual(*packed->GetAnnotations(i), *coco->GetAnnotations(i));
    EXPECT_EQ(packed->ImageFile(i), "");
    EXPECT_EQ(packed->AnnotationFile(i), path);
    const auto a = packed->Get(i), b = coco->Get(i);
    ASSERT_TRUE(a.ok()) << a.status();
    ASSERT_TRUE(b.ok()) << b.status();
    EXPECT_EQ(*a->image.source()->ReadEncoded(), *ReadFile(coco->ImageFile(i)));
    const auto pixels = a->image.Render();
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    EXPECT_EQ(LargestDifference(*pixels, *b->image.Render()), 0);
  }
  // Packed once more, it is the same file of records.
  const auto again = PackDataset(*packed, {}, NewPath("again.packed"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->digest, summary->digest);
  const auto verified = VerifyPackedFile(path);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->digest, summary->digest);
  EXPECT_EQ(verified->objects, 3);
}

TEST(PackedTest, KeepsDrawnImagesExactly) {
  DatasetConfig config;
  config.mutable_digits()->set_scenes(5);
  const auto digits = Open(config);
  ASSERT_NE(digits, nullptr);
  const auto packed = Open(PackedConfig(PackOrDie(*digits, "digits.packed")));
  ASSERT_NE(packed, nullptr);
  EXPECT_EQ(packed->Fingerprint(), digits->Fingerprint());
  for (int64_t i = 0; i < 5; ++i) {
    ExpectEqual(*packed->GetAnnotations(i), *digits->GetAnnotations(i));
    EXPECT_EQ(LargestDifference(*packed->Get(i)->image.Render(), *digits->Get(i)->image.Render()),
              0);
  }
}

TEST(PackedTest, ReducesToALongestSide) {
  const auto coco = Open(CocoConfig());
  ASSERT_NE(coco, nullptr);
  PackOptions options;
  options.longest_side = 60;
  const std::string path = NewPath("smaller.packed");
  const auto summary = PackDataset(*coco, options, path);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->copied, 1);  // 33x44
  const auto packed = Open(PackedConfig(path));
  ASSERT_NE(packed, nullptr);
  EXPECT_NE(packed->Fingerprint(), coco->Fingerprint());
  const Annotations turned = *packed->GetAnnotations(0);
  EXPECT_EQ(turned.size, (ImageSize{60, 40}));
  EXPECT_EQ(turned.objects[0].box.x0, 0.625);
  EXPECT_EQ(turned.objects[0].box.y1, 21.25);
  EXPECT_EQ(turned.objects[0].area, 12.5 / 4);
  EXPECT_EQ(turned.objects[1].box.x1, 40);
  EXPECT_TRUE(turned.objects[1].crowd);
  EXPECT_EQ(packed->GetAnnotations(1)->size, (ImageSize{40, 60}));
  EXPECT_EQ(packed->GetAnnotations(2)->size, (ImageSize{44, 33}));
  for (int64_t i = 0; i < 2; ++i) {
    const cv::Mat image = *packed->Get(i)->image.Render();
    cv::Mat expected;
    cv::resize(*coco->Get(i)->image.Render(), expected, image.size(), 0, 0, cv::INTER_AREA);
    EXPECT_LE(LargestDifference(image, expected), 16) << i;
  }
}

TEST(PackedTest, WarpsToASize) {
  const auto coco = Open(CocoConfig());
  ASSERT_NE(coco, nullptr);
  PackOptions options;
  options.size = {80, 120};
  options.quality = 100;
  const auto packed = Open(PackedConfig(PackOrDie(*coco, "warped.packed", options)));
  ASSERT_NE(packed, nullptr);
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(packed->GetAnnotations(i)->size, options.size);
    EXPECT_EQ(packed->Get(i)->image.Render()->size(), cv::Size(120, 80));
  }
  const PixelBox whole = packed->GetAnnotations(0)->objects[1].box;
  EXPECT_EQ(whole.x1, 120);
  EXPECT_EQ(whole.y1, 80);
  // The second had that size.
  EXPECT_EQ(*packed->Get(1)->image.source()->ReadEncoded(), *ReadFile(coco->ImageFile(1)));
}

TEST(PackedTest, FollowsTheExperimentsClasses) {
  const std::string path = PackOrDie(*Open(CocoConfig()), "classes.packed");
  DatasetContext context;
  context.labels = {"owl", "bird", "cat"};
  const auto listed = Open(PackedConfig(path), context);
  ASSERT_NE(listed, nullptr);
  EXPECT_EQ(listed->GetAnnotations(0)->objects[0].label, 1);
  EXPECT_EQ(listed->GetAnnotations(0)->objects[1].label, 3);
  EXPECT_NE(listed->Fingerprint(), Open(PackedConfig(path))->Fingerprint());

  DatasetConfig renamed = PackedConfig(path);
  ClassMap::Rename* const rename = renamed.mutable_class_map()->add_rename();
  rename->add_from("owl");
  rename->add_from("cat");
  rename->set_to("animal");
  const auto merged = Open(renamed);
  ASSERT_NE(merged, nullptr);
  EXPECT_THAT(merged->labels().names, ::testing::UnorderedElementsAre("animal", "dog"));
  EXPECT_EQ(merged->GetAnnotations(0)->objects[0].label,
            merged->GetAnnotations(0)->objects[1].label);
}

TEST(PackedTest, WritesTheWholeFileOrNone) {
  const auto coco = Open(CocoConfig());
  ASSERT_NE(coco, nullptr);
  const std::string folder = testing::TempDir() + "/packing";
  fs::remove_all(folder);
  fs::create_directories(folder);
  const std::string path = folder + "/a.packed";
  const auto error = [&](const PackOptions& options, const std::string& file) {
    const absl::Status status = PackDataset(*coco, options, file).status();
    EXPECT_TRUE(fs::is_empty(folder)) << status;
    return status;
  };

  PackOptions stopped;
  stopped.go_on = [](int64_t, int64_t) { return false; };
  EXPECT_EQ(error(stopped, path).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(error({}, folder + "/missing/a.packed").code(), absl::StatusCode::kNotFound);

  // As on a full disk: the system lets no file grow beyond two pages.
  rlimit usual;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &usual), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit small = {8192, usual.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status full = PackDataset(*coco, {}, path).status();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &usual), 0);
  signal(SIGXFSZ, handler);
  EXPECT_FALSE(full.ok());
  EXPECT_THAT(full.message(), HasSubstr(path));
  EXPECT_TRUE(fs::is_empty(folder));

  const auto bad_option = [&](int64_t longest_side, ImageSize size, int64_t quality) {
    PackOptions options;
    options.longest_side = longest_side;
    options.size = size;
    options.quality = quality;
    const absl::Status status = error(options, path);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return status.ToString();
  };
  EXPECT_THAT(bad_option(-1, {}, 95), HasSubstr("longest_side is -1"));
  EXPECT_THAT(bad_option(10, {20, 30}, 95), HasSubstr("both given"));
  EXPECT_THAT(bad_option(0, {0, 30}, 95), HasSubstr("size is 30x0"));
  EXPECT_THAT(bad_option(0, {}, 0), HasSubstr("quality is 0"));
  EXPECT_THAT(bad_option(0, {}, 101), HasSubstr("quality is 101"));

  ASSERT_TRUE(PackDataset(*coco, {}, path).ok());
  const std::string before = *ReadFile(path);
  const absl::Status exists = PackDataset(*coco, {}, path).status();
  EXPECT_EQ(exists.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*ReadFile(path), before);
}

TEST(PackedTest, PacksNoDamagedImage) {
  const auto coco = Open(CocoConfig());
  ASSERT_NE(coco, nullptr);
  const std::string image = coco->ImageFile(2);
  const std::string whole = *ReadFile(image);
  Write(image, whole.substr(0, whole.size() - 30));
  const absl::Status truncated = PackDataset(*coco, {}, NewPath("truncated.packed")).status();
  EXPECT_EQ(truncated.code(), absl::StatusCode::kDataLoss) << truncated;
  EXPECT_THAT(truncated.message(), HasSubstr(image));
  Write(image, Jpeg(Gradient(34, 44)));
  const absl::Status other = PackDataset(*coco, {}, NewPath("other.packed")).status();
  EXPECT_EQ(other.code(), absl::StatusCode::kDataLoss) << other;
  EXPECT_THAT(other.message(), HasSubstr("33x44"));
}

absl::Status ErrorOf(const DatasetConfig& config, const DatasetContext& context = {}) {
  return CreateDataset(config, context).status();
}

TEST(PackedTest, NamesWhatIsWrong) {
  EXPECT_THAT(ErrorOf(PackedConfig("")).message(), HasSubstr("packed.file is not set"));
  const std::string missing = NewPath("missing.packed");
  EXPECT_EQ(ErrorOf(PackedConfig(missing)).code(), absl::StatusCode::kNotFound);
  const std::string foreign = NewPath("foreign.packed");
  Write(foreign, std::string(20000, 'x'));
  const absl::Status status = ErrorOf(PackedConfig(foreign));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr(absl::StrCat(foreign, ": no packed dataset")));

  const std::string path = PackOrDie(*Open(CocoConfig()), "named.packed");
  DatasetContext context;
  context.labels = {"another"};
  EXPECT_THAT(ErrorOf(PackedConfig(path), context).message(), HasSubstr("'owl' is not among"));
  // Every truth tells the file, also where faults are collected.
  ProblemLog problems;
  context.problems = &problems;
  EXPECT_TRUE(ErrorOf(PackedConfig(path), context).ok());
  const std::vector<DataProblem> found = problems.Take();
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0].kind, ProblemKind::kUnknownLabel);
  EXPECT_EQ(found[0].file, path);
}

// A cache of images may have it already.
TEST(PackedTest, ReadsAnImageWhenItIsAskedForItsPixels) {
  const std::string whole = PackOrDie(*Open(CocoConfig()), "whole.packed");
  const std::string path = NewPath("incomplete.packed");
  const auto from = LmdbFile::Open(whole);
  ASSERT_TRUE(from.ok()) << from.status();
  auto to = LmdbWriter::Create(path);
  ASSERT_TRUE(to.ok()) << to.status();
  for (const std::string& key :
       {PackedImageKey(0), PackedTruthKey(0), PackedTruthKey(1), PackedImageKey(2),
        PackedTruthKey(2), std::string(kPackedHeaderKey)}) {
    ASSERT_TRUE((*to)->Append(key, *(*from)->Read(key)).ok());
  }
  ASSERT_TRUE((*to)->Finish().ok());
  to->reset();

  const auto packed = Open(PackedConfig(path));
  ASSERT_NE(packed, nullptr);
  for (int64_t i = 0; i < 3; ++i) {
    const auto sample = packed->Get(i);
    ASSERT_TRUE(sample.ok()) << sample.status();
    EXPECT_EQ(sample->image.size(), packed->GetAnnotations(i)->size);
    EXPECT_EQ(sample->image.Render().ok(), i != 1) << i;
  }
  const absl::Status missing = packed->Get(1)->image.source()->ReadEncoded().status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kDataLoss) << missing;
  EXPECT_THAT(missing.message(), HasSubstr(absl::StrCat(path, ": image 1")));
}

TEST(PackedTest, FindsDamage) {
  const std::string path = PackOrDie(*Open(CocoConfig()), "damaged.packed");
  const std::string whole = *ReadFile(path);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string bytes = whole;
    for (size_t at = bytes.find(from); at != std::string::npos; at = bytes.find(from, at + 1)) {
      bytes.replace(at, from.size(), to);
    }
    EXPECT_NE(bytes, whole);
    Write(path, bytes);
  };

  // In a truth: found when the file is opened.
  with("turned.jpg", "turnip.jpg");
  absl::Status status = ErrorOf(PackedConfig(path));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr(absl::StrCat(path, ": its truths are not those")));

  // In an image's bytes: found when all are looked at, or when it is decoded.
  const std::string exif("Exif\0\0", 6);
  with(exif, std::string("Exit\0\0", 6));
  EXPECT_TRUE(ErrorOf(PackedConfig(path)).ok());
  status = VerifyPackedFile(path).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr(absl::StrCat(path, ": image 0 'turned.jpg'")));
  const auto packed = Open(PackedConfig(path));
  ASSERT_NE(packed, nullptr);
  status = packed->Get(0)->image.Render().status();  // no orientation, so another size
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr(absl::StrCat(path, ": image 0 'turned.jpg'")));

  Write(path, whole.substr(0, whole.size() / 2));
  EXPECT_EQ(ErrorOf(PackedConfig(path)).code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ssd
