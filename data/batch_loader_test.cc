#include "data/batch_loader.h"

#include <ATen/ATen.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <opencv2/core.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "data/image_testing.h"

namespace ssd {
namespace {

constexpr ImageSize kInput{24, 32};

// An image that says which one it is; counts how often it is decoded. Its file is a PNG.
class NumberedSource : public ImageSource {
 public:
  NumberedSource(int64_t index, std::atomic<int>* decoded, bool is_broken = false)
      : index_(index), decoded_(decoded), is_broken_(is_broken) {}

  ImageSize size() const override { return {40 + index_ % 7, 50 + index_ % 5}; }

  absl::StatusOr<cv::Mat> Decode() const override {
    ++*decoded_;
    return Draw();
  }

  absl::StatusOr<std::string> ReadEncoded() const override {
    const absl::StatusOr<cv::Mat> image = Draw();
    if (!image.ok()) return image.status();
    return Encode(".png", Swapped(*image));
  }

 private:
  absl::StatusOr<cv::Mat> Draw() const {
    if (is_broken_) return absl::DataLossError(absl::StrCat("image", index_, ".jpg: truncated"));
    cv::Mat image(static_cast<int>(size().height), static_cast<int>(size().width), CV_8UC3);
    Random random(99, 0, static_cast<uint64_t>(index_));
    for (size_t i = 0; i < image.total() * 3; ++i) image.data[i] = static_cast<uchar>(random());
    return image;
  }

  const int64_t index_;
  std::atomic<int>* const decoded_;
  const bool is_broken_;
};

class NumberedDataset : public Dataset {
 public:
  explicit NumberedDataset(int64_t size) : size_(size), labels_{{"a", "b", "c"}, {1, 2, 3}} {}

  int64_t size() const override { return size_; }
  const LabelMap& labels() const override { return labels_; }

  absl::StatusOr<Annotations> GetAnnotations(int64_t index) const override {
    Annotations annotations;
    annotations.image_id = 1000 + index;
    annotations.file_name = absl::StrCat("image", index, ".jpg");
    annotations.size = NumberedSource(index, &decoded).size();
    // Image 0 and every sixth after it has none.
    for (int64_t i = 0; i < index % 6; ++i) {
      const double x = static_cast<double>(5 * i);
      Annotation object;
      object.box = {x, x, x + 12, x + 9};
      object.label = 1 + i % 3;
      object.crowd = i == 3;
      object.difficult = i == 4;
      object.id = i;
      annotations.objects.push_back(object);
    }
    return annotations;
  }

  absl::StatusOr<Sample> Get(int64_t index) const override {
    if (missing.count(index) != 0) {
      return absl::NotFoundError(absl::StrCat("image", index, ".jpg: no such file"));
    }
    if (locked.count(index) != 0) {
      return absl::PermissionDeniedError(
          absl::StrCat("image", index, ".jpg: cannot read: Permission denied"));
    }
    Sample sample;
    sample.image =
        LazyImage(std::make_shared<NumberedSource>(index, &decoded, broken.count(index) != 0));
    sample.geometry = Geometry::Identity(sample.image.size());
    sample.truth = *GetAnnotations(index);
    return sample;
  }

  std::string Fingerprint() const override { return "0123456789abcdef"; }

  std::set<int64_t> missing, broken, locked;
  mutable std::atomic<int> decoded{0};

 private:
  const int64_t size_;
  const LabelMap labels_;
};

std::vector<std::unique_ptr<Transform>> Transforms(const std::string& text) {
  DatasetConfig config;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &config));
  auto transforms = CreateTransforms(config.transform(), {kInput, {123, 117, 104}});
  CHECK(transforms.ok()) << transforms.status();
  return *std::move(transforms);
}

constexpr char kTraining[] = R"pb(
  transform { photometric_distortion {} }
  transform { expand {} }
  transform { iou_crop {} }
  transform { resize {} }
  transform { horizontal_flip {} }
)pb";
constexpr char kEvaluation[] = "transform { resize {} }";

BatchLoaderOptions Training(int workers) {
  BatchLoaderOptions options;
  options.input = kInput;
  options.batch_size = 4;
  options.seed = 17;
  options.shuffle = true;
  options.drop_last = true;
  options.workers = workers;
  options.prefetch_batches = 2;
  return options;
}

std::unique_ptr<BatchLoader> Make(const Dataset& dataset, const BatchLoaderOptions& options,
                                  const std::string& transforms = kTraining) {
  auto loader = BatchLoader::Create(dataset, Transforms(transforms), options);
  CHECK(loader.ok()) << loader.status();
  return *std::move(loader);
}

std::vector<Batch> Rest(BatchLoader& loader) {
  std::vector<Batch> batches;
  while (true) {
    auto batch = loader.Next();
    CHECK(batch.ok()) << batch.status();
    if (!batch->has_value()) return batches;
    batches.push_back(**std::move(batch));
  }
}

std::vector<Batch> Epoch(BatchLoader& loader, int64_t epoch, int64_t first = 0) {
  CHECK(loader.Start(epoch, first).ok());
  return Rest(loader);
}

std::vector<int64_t> IdsOf(const std::vector<Batch>& batches) {
  std::vector<int64_t> ids;
  for (const Batch& batch : batches) {
    ids.insert(ids.end(), batch.image_ids.begin(), batch.image_ids.end());
  }
  return ids;
}

constexpr const char* kSamplings[] = {"", "repeat_factor { threshold: 0.8 }",
                                      R"pb(weighted {
                                             class_weight { label: "c" weight: 4 }
                                             weight_without_objects: 2
                                           })pb"};

SamplingConfig Sampling(const std::string& text) {
  SamplingConfig sampling;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &sampling)) << text;
  return sampling;
}

void ExpectEqual(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].image_ids, b[i].image_ids);
    EXPECT_TRUE(at::equal(a[i].images, b[i].images)) << "batch " << i;
    EXPECT_TRUE(at::equal(a[i].truth.boxes, b[i].truth.boxes));
    EXPECT_TRUE(at::equal(a[i].truth.labels, b[i].truth.labels));
    EXPECT_TRUE(at::equal(a[i].truth.ignore, b[i].truth.ignore));
    for (size_t j = 0; j < a[i].geometry.size(); ++j) {
      EXPECT_EQ(a[i].geometry[j].scale_x, b[i].geometry[j].scale_x);
      EXPECT_EQ(a[i].geometry[j].offset_x, b[i].geometry[j].offset_x);
    }
  }
}

TEST(BatchLoaderTest, TheStreamIsTheSameForAnyNumberOfWorkers) {
  NumberedDataset dataset(31);
  EXPECT_EQ(Make(dataset, Training(0))->batches_per_epoch(), 7);
  for (const char* const sampling : kSamplings) {
    for (const bool has_bad_images : {false, true}) {
      BatchLoaderOptions options = Training(0);
      options.sampling = Sampling(sampling);
      options.bad_images = BadImages::kReplace;
      dataset.broken = has_bad_images ? std::set<int64_t>{3, 4, 30} : std::set<int64_t>{};
      dataset.missing = has_bad_images ? std::set<int64_t>{5, 12} : std::set<int64_t>{};
      const auto alone = Make(dataset, options);
      const std::vector<Batch> epochs[] = {Epoch(*alone, 0), Epoch(*alone, 1), Epoch(*alone, 5)};
      for (int workers = 1; workers <= 16; ++workers) {
        SCOPED_TRACE(absl::StrCat(workers, " workers ", sampling, has_bad_images ? ", bad" : ""));
        options.workers = workers;
        options.cache_megabytes = workers % 3 != 0;
        options.cache_content =
            workers % 3 == 1 ? LoaderConfig::Cache::DECODED : LoaderConfig::Cache::ENCODED;
        options.prefetch_batches = 1 + workers % 4;
        const auto loader = Make(dataset, options);
        ExpectEqual(Epoch(*loader, 0), epochs[0]);
        ExpectEqual(Epoch(*loader, 1), epochs[1]);
        ExpectEqual(Epoch(*loader, 5), epochs[2]);
        ExpectEqual(Epoch(*loader, 0), epochs[0]);
      }
    }
  }
}

TEST(BatchLoaderTest, ProcessesShareEveryBatch) {
  NumberedDataset dataset(31);
  dataset.broken = {7, 8};
  for (const char* const sampling : kSamplings) {
    for (const bool drop_last : {true, false}) {
      BatchLoaderOptions options = Training(0);
      options.batch_size = 12;
      options.sampling = Sampling(sampling);
      options.drop_last = drop_last;
      options.bad_images = BadImages::kReplace;
      const std::vector<Batch> whole = Epoch(*Make(dataset, options), 2);
      for (const int64_t world : {1, 2, 3, 4, 12}) {
        options.world = world;
        options.workers = static_cast<int>(world % 3);
        // By batch, and by place in it.
        std::vector<std::vector<int64_t>> ids(whole.size());
        for (size_t i = 0; i < ids.size(); ++i) ids[i].resize(whole[i].image_ids.size());
        for (int64_t rank = 0; rank < world; ++rank) {
          SCOPED_TRACE(absl::StrCat(sampling, " process ", rank, " of ", world));
          options.rank = rank;
          const auto loader = Make(dataset, options);
          const std::vector<Batch> part = Epoch(*loader, 2);
          EXPECT_EQ(static_cast<int64_t>(part.size()), loader->batches_per_epoch());
          ASSERT_LE(part.size(), whole.size());
          for (size_t i = 0; i < part.size(); ++i) {
            for (size_t row = 0; row < part[i].image_ids.size(); ++row) {
              const size_t place = row * world + rank;
              ASSERT_LT(place, ids[i].size());
              EXPECT_EQ(ids[i][place], 0) << "made twice";
              ids[i][place] = part[i].image_ids[row];
              EXPECT_TRUE(at::equal(part[i].images[row], whole[i].images[place]));
              EXPECT_TRUE(at::equal(part[i].truth.boxes[row], whole[i].truth.boxes[place]));
            }
          }
        }
        // Nothing is left out.
        for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(ids[i], whole[i].image_ids);
      }
    }
  }
}

TEST(BatchLoaderTest, RepeatedImagesDiffer) {
  const NumberedDataset dataset(12);
  BatchLoaderOptions options = Training(0);
  options.sampling = Sampling("repeat_factor { threshold: 1 }");
  options.drop_last = false;
  const std::vector<Batch> epoch = Epoch(*Make(dataset, options), 0);
  int64_t repeated = 0;
  std::map<int64_t, Tensor> shown;
  for (const Batch& batch : epoch) {
    for (size_t row = 0; row < batch.image_ids.size(); ++row) {
      const auto [before, is_new] = shown.emplace(batch.image_ids[row], batch.images[row]);
      if (is_new) continue;
      ++repeated;
      EXPECT_FALSE(at::equal(before->second, batch.images[row]));
    }
  }
  EXPECT_GT(repeated, 0);
}

TEST(BatchLoaderTest, AShortLastBatchCanBeTrainedOn) {
  const NumberedDataset dataset(31);
  BatchLoaderOptions options = Training(3);
  options.drop_last = false;
  const auto loader = Make(dataset, options);
  EXPECT_EQ(loader->batches_per_epoch(), 8);
  for (const int64_t epoch : {0, 1}) {
    const std::vector<Batch> batches = Epoch(*loader, epoch);
    ASSERT_EQ(batches.size(), 8u);
    EXPECT_EQ(batches[7].image_ids.size(), 3u);
    const std::vector<int64_t> ids = IdsOf(batches);
    EXPECT_EQ(std::set<int64_t>(ids.begin(), ids.end()).size(), 31u);
  }
}

TEST(BatchLoaderTest, StartsAnywhereUnderEverySamplingRule) {
  const NumberedDataset dataset(31);
  for (const char* const sampling : kSamplings) {
    SCOPED_TRACE(sampling);
    BatchLoaderOptions options = Training(0);
    options.sampling = Sampling(sampling);
    const std::vector<Batch> whole = Epoch(*Make(dataset, options), 3);
    options.workers = 3;
    for (const int64_t first : {1, 6}) {
      ExpectEqual(Epoch(*Make(dataset, options), 3, first), {whole.begin() + first, whole.end()});
    }
  }
}

TEST(BatchLoaderTest, StartsAnywhere) {
  const NumberedDataset dataset(31);
  const std::vector<Batch> whole = Epoch(*Make(dataset, Training(0)), 3);
  for (const int workers : {0, 3}) {
    SCOPED_TRACE(workers);
    const auto loader = Make(dataset, Training(workers));
    for (const int64_t first : {5, 2, 7, 0, 6, 1}) {
      ExpectEqual(Epoch(*loader, 3, first), {whole.begin() + first, whole.end()});
    }
    // In the middle of another epoch, with batches in the making.
    ASSERT_TRUE(loader->Start(2, 1).ok());
    ASSERT_TRUE(loader->Next().ok());
    ExpectEqual(Epoch(*loader, 3, 4), {whole.begin() + 4, whole.end()});
    // The end stays the end.
    EXPECT_FALSE(loader->Next()->has_value());
    EXPECT_FALSE(loader->Next()->has_value());
  }
}

TEST(BatchLoaderTest, EveryImageOnceAnEpochInANewOrder) {
  const NumberedDataset dataset(28);
  const auto loader = Make(dataset, Training(2));
  std::vector<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    orders.emplace_back();
    for (const Batch& batch : Epoch(*loader, epoch)) {
      orders.back().insert(orders.back().end(), batch.image_ids.begin(), batch.image_ids.end());
    }
    EXPECT_EQ(std::set<int64_t>(orders.back().begin(), orders.back().end()).size(), 28u);
  }
  EXPECT_NE(orders[0], orders[1]);
  EXPECT_NE(orders[1], orders[2]);
  EXPECT_FALSE(std::is_sorted(orders[0].begin(), orders[0].end()));
}

TEST(BatchLoaderTest, EvaluationKeepsTheOrderAndTheShortLastBatch) {
  const NumberedDataset dataset(10);
  BatchLoaderOptions options = Training(2);
  options.shuffle = false;
  options.drop_last = false;
  options.prefetch_next_epoch = false;
  const auto loader = Make(dataset, options, kEvaluation);
  EXPECT_EQ(loader->max_truths(), 8);
  EXPECT_EQ(loader->batches_per_epoch(), 3);
  for (int repeat = 0; repeat < 2; ++repeat) {
    const std::vector<Batch> batches = Epoch(*loader, 0);
    ASSERT_EQ(batches.size(), 3u);
    EXPECT_EQ(batches[1].image_ids, (std::vector<int64_t>{1004, 1005, 1006, 1007}));
    EXPECT_EQ(batches[2].image_ids, (std::vector<int64_t>{1008, 1009}));
    EXPECT_EQ(batches[2].images.sizes(), (at::IntArrayRef{2, 3, 24, 32}));
    EXPECT_EQ(batches[2].truth.labels.sizes(), (at::IntArrayRef{2, 8}));
  }
  // Nothing was made beyond what was asked for.
  EXPECT_EQ(loader->statistics().samples, 20);
}

TEST(BatchLoaderTest, ABatchHoldsWhatTheSamplesHold) {
  const NumberedDataset dataset(12);
  BatchLoaderOptions options = Training(0);
  options.shuffle = false;
  options.batch_size = 12;
  const auto loader = Make(dataset, options, kEvaluation);
  const Batch batch = Epoch(*loader, 0)[0];
  EXPECT_EQ(batch.images.scalar_type(), at::kByte);
  EXPECT_TRUE(batch.images.is_contiguous(at::MemoryFormat::ChannelsLast));
  for (int64_t index = 0; index < 12; ++index) {
    SCOPED_TRACE(index);
    Sample sample = *dataset.Get(index);
    Random random(0, 0, 0);
    for (const auto& transform : Transforms(kEvaluation)) transform->Apply(random, sample);
    const cv::Mat image = *sample.image.Render();
    const Tensor expected = at::from_blob(image.data, {24, 32, 3}, at::kByte).permute({2, 0, 1});
    EXPECT_TRUE(at::equal(batch.images[index], expected));
    const Annotations original = *dataset.GetAnnotations(index);
    const int64_t objects = static_cast<int64_t>(original.objects.size());
    for (int64_t i = 0; i < 8; ++i) {
      const int64_t label = batch.truth.labels[index][i].item<int64_t>();
      const Tensor box = batch.truth.boxes[index][i];
      if (i >= objects) {
        EXPECT_EQ(label, 0);
        EXPECT_EQ(box.abs().sum().item<float>(), 0);
        EXPECT_FALSE(batch.truth.ignore[index][i].item<bool>());
        continue;
      }
      const Annotation& object = original.objects[i];
      EXPECT_EQ(label, object.label);
      EXPECT_EQ(batch.truth.ignore[index][i].item<bool>(), i >= 3);
      const double width = static_cast<double>(original.size.width);
      const double height = static_cast<double>(original.size.height);
      EXPECT_NEAR(box[0].item<float>(), object.box.x0 / width, 1e-6);
      EXPECT_NEAR(box[3].item<float>(), object.box.y1 / height, 1e-6);
      // And back to the original's pixels.
      const PixelBox in_view{box[0].item<float>() * 32.0, box[1].item<float>() * 24.0,
                             box[2].item<float>() * 32.0, box[3].item<float>() * 24.0};
      EXPECT_NEAR(batch.geometry[index].ToOriginal(in_view).x1, object.box.x1, 1e-4);
    }
  }
}

TEST(BatchLoaderTest, AnErrorNamesTheFileAndCanBePassed) {
  NumberedDataset dataset(16);
  dataset.broken = {6};
  for (const int workers : {0, 3}) {
    BatchLoaderOptions options = Training(workers);
    options.shuffle = false;
    const auto loader = Make(dataset, options);
    ASSERT_TRUE(loader->Start(0, 0).ok());
    ASSERT_TRUE(loader->Next().ok());
    for (int repeat = 0; repeat < 2; ++repeat) {
      const auto batch = loader->Next();
      EXPECT_EQ(batch.status().code(), absl::StatusCode::kDataLoss);
      EXPECT_EQ(batch.status().message(), "image6.jpg: truncated");
    }
    EXPECT_EQ(Epoch(*loader, 0, 2).size(), 2u);
  }
}

TEST(BatchLoaderTest, TheNextImageTakesTheBadOnesPlace) {
  NumberedDataset dataset(16);
  dataset.broken = {6, 15};
  dataset.missing = {7};
  BatchLoaderOptions options = Training(2);
  options.shuffle = false;
  options.bad_images = BadImages::kReplace;
  const auto loader = Make(dataset, options);
  for (int repeat = 0; repeat < 2; ++repeat) {
    const std::vector<Batch> batches = Epoch(*loader, 0);
    ASSERT_EQ(batches.size(), 4u);
    EXPECT_EQ(batches[1].image_ids, (std::vector<int64_t>{1004, 1005, 1008, 1008}));
    EXPECT_EQ(batches[2].image_ids, (std::vector<int64_t>{1008, 1009, 1010, 1011}));
    EXPECT_EQ(batches[3].image_ids, (std::vector<int64_t>{1012, 1013, 1014, 1000}));
    // With the random numbers of the place.
    EXPECT_FALSE(at::equal(batches[1].images[2], batches[1].images[3]));
    EXPECT_FALSE(at::equal(batches[1].images[2], batches[2].images[0]));
    EXPECT_FALSE(at::equal(batches[1].images[3], batches[2].images[0]));
  }
  EXPECT_EQ(loader->statistics().skipped_images, 3);
}

TEST(BatchLoaderTest, EvaluationLeavesBadImagesOut) {
  NumberedDataset dataset(18);
  // One row, a whole batch, and the last batch.
  dataset.broken = {6, 8, 9, 11, 16};
  dataset.missing = {10, 17};
  BatchLoaderOptions options = Training(2);
  options.shuffle = false;
  options.drop_last = false;
  options.prefetch_next_epoch = false;
  options.bad_images = BadImages::kLeaveOut;
  const auto loader = Make(dataset, options, kEvaluation);
  NumberedDataset good(18);
  options.bad_images = BadImages::kFail;
  const std::vector<Batch> whole = Epoch(*Make(good, options, kEvaluation), 0);
  for (int repeat = 0; repeat < 2; ++repeat) {
    const std::vector<Batch> batches = Epoch(*loader, 0);
    ASSERT_EQ(batches.size(), 3u);
    ExpectEqual({batches[0]}, {whole[0]});
    ExpectEqual({batches[2]}, {whole[3]});
    EXPECT_EQ(batches[1].image_ids, (std::vector<int64_t>{1004, 1005, 1007}));
    EXPECT_EQ(batches[1].images.sizes(), (at::IntArrayRef{3, 3, 24, 32}));
    EXPECT_TRUE(batches[1].images.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_EQ(batches[1].geometry.size(), 3u);
    const int64_t rows[] = {0, 1, 3};
    for (int64_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(at::equal(batches[1].images[i], whole[1].images[rows[i]]));
      EXPECT_TRUE(at::equal(batches[1].truth.boxes[i], whole[1].truth.boxes[rows[i]]));
      EXPECT_TRUE(at::equal(batches[1].truth.labels[i], whole[1].truth.labels[rows[i]]));
      EXPECT_TRUE(at::equal(batches[1].truth.ignore[i], whole[1].truth.ignore[rows[i]]));
    }
  }
  EXPECT_EQ(loader->statistics().skipped_images, 7);
}

TEST(BatchLoaderTest, WithoutAnyGoodImageSkippingIsAnError) {
  NumberedDataset dataset(8);
  for (int64_t i = 0; i < 8; ++i) dataset.broken.insert(i);
  BatchLoaderOptions options = Training(2);
  options.shuffle = false;
  options.bad_images = BadImages::kReplace;
  auto loader = Make(dataset, options);
  ASSERT_TRUE(loader->Start(0, 0).ok());
  const absl::Status replaced = loader->Next().status();
  EXPECT_EQ(replaced.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(replaced.message(),
            "no image of the dataset can be read, the first tried being image0.jpg: truncated");

  options.bad_images = BadImages::kLeaveOut;
  options.drop_last = options.prefetch_next_epoch = false;
  loader = Make(dataset, options, kEvaluation);
  ASSERT_TRUE(loader->Start(0, 0).ok());
  EXPECT_EQ(loader->Next().status().code(), absl::StatusCode::kDataLoss);
}

// What is wrong with the config is no image's fault.
TEST(BatchLoaderTest, OnlyBadImagesAreSkipped) {
  const NumberedDataset dataset(8);
  BatchLoaderOptions options = Training(1);
  options.shuffle = false;
  options.bad_images = BadImages::kReplace;
  options.max_truths = 2;
  const auto loader = Make(dataset, options, kEvaluation);
  ASSERT_TRUE(loader->Start(0, 0).ok());
  EXPECT_TRUE(absl::StartsWith(loader->Next().status().message(), "image3.jpg: 3 objects"));
  EXPECT_EQ(loader->statistics().skipped_images, 0);
}

TEST(BatchLoaderTest, AFailingMachineIsNoBadImage) {
  NumberedDataset dataset(16);
  dataset.missing = {1};
  dataset.locked = {6};
  for (const BadImages bad_images : {BadImages::kFail, BadImages::kReplace, BadImages::kLeaveOut}) {
    BatchLoaderOptions options = Training(2);
    options.shuffle = false;
    options.bad_images = bad_images;
    const auto loader = Make(dataset, options);
    ASSERT_TRUE(loader->Start(0, 1).ok());
    const absl::Status status = loader->Next().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(status.message(), "image6.jpg: cannot read: Permission denied");
  }
}

TEST(BatchLoaderTest, CountsImagesThatTheDatasetLeftOut) {
  NumberedDataset dataset(16);
  dataset.broken = {6};
  BatchLoaderOptions options = Training(2);
  options.bad_images = BadImages::kReplace;
  options.images_left_out = 3;
  const auto loader = Make(dataset, options);
  EXPECT_EQ(loader->statistics().skipped_images, 3);
  EXPECT_EQ(Epoch(*loader, 0).size(), 4u);
  EXPECT_EQ(loader->statistics().skipped_images, 4);
}

TEST(BatchLoaderTest, ATransformsExceptionBecomesAnError) {
  class Throwing : public Transform {
    void Apply(Random& random, Sample& sample) const override {
      if (sample.truth.image_id == 1003) throw std::runtime_error("no such thing");
    }
  };
  const NumberedDataset dataset(8);
  std::vector<std::unique_ptr<Transform>> transforms = Transforms(kEvaluation);
  transforms.push_back(std::make_unique<Throwing>());
  BatchLoaderOptions options = Training(2);
  options.shuffle = false;
  auto loader = BatchLoader::Create(dataset, std::move(transforms), options);
  ASSERT_TRUE((*loader)->Start(0, 0).ok());
  EXPECT_EQ((*loader)->Next().status().message(), "image3.jpg: no such thing");
}

TEST(BatchLoaderTest, TooManyTruthsAndAWrongSizeAreErrors) {
  const NumberedDataset dataset(8);
  BatchLoaderOptions options = Training(1);
  options.shuffle = false;
  options.max_truths = 2;
  auto loader = Make(dataset, options, kEvaluation);
  ASSERT_TRUE(loader->Start(0, 0).ok());
  EXPECT_EQ(loader->Next().status().message(),
            "image3.jpg: 3 objects, but batches are padded to max_truths = 2; raise max_truths");

  loader = Make(dataset, Training(1), "transform { horizontal_flip {} }");
  ASSERT_TRUE(loader->Start(0, 0).ok());
  EXPECT_TRUE(absl::StrContains(loader->Next().status().message(), "end the dataset's transforms"));
}

TEST(BatchLoaderTest, WrongOptionsAreErrors) {
  const NumberedDataset dataset(3);
  const auto error = [&](auto change) {
    BatchLoaderOptions options = Training(0);
    options.drop_last = false;
    change(options);
    return std::string(BatchLoader::Create(dataset, {}, options).status().message());
  };
  EXPECT_TRUE(absl::StartsWith(error([](auto& o) { o.batch_size = 0; }), "loader.batch_size: 0"));
  EXPECT_TRUE(absl::StartsWith(error([](auto& o) { o.workers = -2; }), "loader.workers: -2"));
  EXPECT_EQ(error([](auto& o) { o.workers = 1025; }),
            "loader.workers: 1025 is too large; set at most 1024");
  EXPECT_TRUE(absl::StartsWith(error([](auto& o) { o.prefetch_batches = 0; }),
                               "loader.prefetch_batches: 0"));
  EXPECT_EQ(error([](auto& o) { o.prefetch_batches = 1025; }),
            "loader.prefetch_batches: 1025 is too large; set at most 1024");
  EXPECT_TRUE(absl::StartsWith(error([](auto& o) { o.cache_megabytes = -1; }),
                               "loader.cache.max_megabytes: -1"));
  EXPECT_EQ(error([](auto& o) { o.world = 3; }),
            "loader.batch_size: 4 cannot be shared by 3 processes; set a multiple of 3");
  EXPECT_EQ(error([](auto& o) { o.max_decode_reduction = 3; }),
            "loader.max_decode_reduction: 3; set 1, 2, 4 or 8");
  const auto reduced = [](auto& o) {
    o.max_decode_reduction = 2;
    o.cache_megabytes = 1;
  };
  EXPECT_TRUE(absl::StartsWith(error(reduced), "loader.max_decode_reduction: 2"));
  EXPECT_TRUE(absl::StartsWith(
      error([](auto& o) { o.sampling = Sampling("repeat_factor { threshold: 2 }"); }),
      "data.loader.sampling.repeat_factor.threshold: 2"));
  EXPECT_EQ(error([](auto& o) { o.drop_last = true; }),
            "loader.batch_size: 4 is more than the 3 images of the dataset; set at most 3");
  EXPECT_FALSE(BatchLoader::Create(NumberedDataset(0), {}, Training(0)).ok());
}

TEST(BatchLoaderTest, CountsWhatItDoes) {
  const NumberedDataset dataset(16);
  BatchLoaderOptions options = Training(2);
  options.cache_megabytes = 1;
  options.prefetch_next_epoch = false;
  const auto loader = Make(dataset, options);
  for (int64_t epoch = 0; epoch < 3; ++epoch) Epoch(*loader, epoch);
  const BatchSourceStatistics statistics = loader->statistics();
  EXPECT_EQ(dataset.decoded, 16);
  EXPECT_EQ(statistics.samples, 48);
  EXPECT_EQ(statistics.batches, 12);
  EXPECT_EQ(statistics.cache_misses, 16);
  EXPECT_EQ(statistics.cache_hits, 32);
  EXPECT_GT(statistics.cache_bytes, 16 * 40 * 50 * 3);
  EXPECT_LE(statistics.cache_bytes, 1 << 20);
  EXPECT_GT(statistics.decode_seconds, 0);
  EXPECT_GT(statistics.transform_seconds, 0);
  EXPECT_EQ(statistics.skipped_images, 0);
  // Of at most prefetch_batches a time.
  EXPECT_GE(statistics.ready_batches, 0);
  EXPECT_LE(statistics.ready_batches, 24);
}

TEST(BatchLoaderTest, KeepsFilesInMemory) {
  const NumberedDataset dataset(16);
  BatchLoaderOptions options = Training(2);
  options.cache_megabytes = 1;
  options.cache_content = LoaderConfig::Cache::ENCODED;
  options.prefetch_next_epoch = false;
  const auto loader = Make(dataset, options);
  for (int64_t epoch = 0; epoch < 3; ++epoch) Epoch(*loader, epoch);
  EXPECT_EQ(dataset.decoded, 0);  // by the source
  EXPECT_EQ(loader->statistics().cache_misses, 16);
  EXPECT_EQ(loader->statistics().cache_hits, 32);
}

// Counts how many of it there are.
class LiveSource : public ImageSource {
 public:
  LiveSource(std::shared_ptr<const ImageSource> source, std::atomic<int>* live)
      : source_(std::move(source)), live_(live) {}
  ~LiveSource() override { --*live_; }

  ImageSize size() const override { return source_->size(); }
  absl::StatusOr<cv::Mat> Decode() const override { return source_->Decode(); }

 private:
  const std::shared_ptr<const ImageSource> source_;
  std::atomic<int>* const live_;
};

// Knows how far a loader goes ahead of what it was asked for, and how many images it has at a time.
class WatchedDataset : public NumberedDataset {
 public:
  using NumberedDataset::NumberedDataset;

  absl::StatusOr<Sample> Get(int64_t index) const override {
    absl::StatusOr<Sample> sample = NumberedDataset::Get(index);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      most_ahead_ = std::max(most_ahead_, ++begun_ - asked_);
      most_live_ = std::max(most_live_, ++live_);
    }
    changed_.notify_all();
    sample->image.ReplaceSource(std::make_shared<LiveSource>(sample->image.source(), &live_));
    return sample;
  }

  // Before so many samples are asked for.
  void Ask(int64_t samples) {
    const std::lock_guard<std::mutex> lock(mutex_);
    asked_ += samples;
  }
  // Until so many samples have been begun that nobody has asked for.
  void WaitUntilAhead(int64_t samples) const {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return begun_ - asked_ >= samples; });
  }
  // Once no loader is at work.
  int64_t most_ahead() const { return most_ahead_; }
  int most_live() const { return most_live_; }
  int live() const { return live_; }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable int64_t begun_ = 0, most_ahead_ = 0;
  int64_t asked_ = 0;
  mutable std::atomic<int> live_{0};
  mutable int most_live_ = 0;
};

// However late batches are fetched, prefetch_batches of them wait, and each worker has one image.
TEST(BatchLoaderTest, MemoryIsBounded) {
  for (int workers = 1; workers <= 4; ++workers) {
    for (int prefetch = 1; prefetch <= 3; ++prefetch) {
      SCOPED_TRACE(absl::StrCat(workers, " workers, ", prefetch, " batches ahead"));
      WatchedDataset dataset(31);
      BatchLoaderOptions options = Training(workers);
      options.prefetch_batches = prefetch;
      const int64_t ahead = prefetch * options.batch_size;
      {
        const auto loader = Make(dataset, options);
        for (int64_t epoch = 0; epoch < 3; ++epoch) {
          ASSERT_TRUE(loader->Start(epoch, 0).ok());
          for (int64_t batch = 0; batch < loader->batches_per_epoch(); ++batch) {
            dataset.WaitUntilAhead(ahead);
            dataset.Ask(options.batch_size);
            ASSERT_TRUE(loader->Next().ok());
          }
        }
      }
      EXPECT_EQ(dataset.most_ahead(), ahead);
      EXPECT_LE(dataset.most_live(), workers);
      EXPECT_EQ(dataset.live(), 0);
    }
  }
}

TEST(BatchLoaderTest, CanBeDestroyedAndRestartedWhileBusy) {
  const NumberedDataset dataset(64);
  for (int64_t run = 0; run < 20; ++run) {
    const auto loader = Make(dataset, Training(1 + static_cast<int>(run % 7)));
    if (run % 3 == 0) continue;  // never started
    for (int64_t start = 0; start <= run % 4; ++start) {
      ASSERT_TRUE(loader->Start(run, (start * 5) % 16).ok());
    }
    if (run % 2 == 0) {
      ASSERT_TRUE(loader->Next().ok());
    }
  }
}

TEST(PaddedTruthCountTest, IsTheLargestCountRoundedUp) {
  EXPECT_EQ(*PaddedTruthCount(NumberedDataset(1)), 8);
  EXPECT_EQ(*PaddedTruthCount(NumberedDataset(12)), 8);
}

}  // namespace
}  // namespace ssd
