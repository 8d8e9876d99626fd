// How many images a second the loader makes on one core, in all and by part: SSD300's training
// chain on 640x480 JPEG images held in memory. Google Benchmark's flags, and
//   --images=FOLDER   the *.jpg files there instead of drawn ones
//
//   bazel run //tests/benchmarks:loader_benchmark -- --benchmark_min_time=2
//
// compare_loader.sh sets it beside another program.

#include <benchmark/benchmark.h>
#include <google/protobuf/text_format.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <utility>
#include <vector>

#include "data/batch_loader.h"
#include "data/dataset.h"
#include "data/image_file.h"
#include "data/lazy_image.h"
#include "data/transforms/transform.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

constexpr ImageSize kSize{480, 640};

using Source = std::shared_ptr<const ImageSource>;

enum class Decoding {
  kWhole,   // all of an image before it is cropped
  kRegion,  // the part of it that is shown
  kReduced  // that, at half its size or less where that is enough
};

// Hides that parts of an image can be decoded.
class WholeImage : public ImageSource {
 public:
  explicit WholeImage(Source source) : source_(std::move(source)) {}

  ImageSize size() const override { return source_->size(); }
  absl::StatusOr<cv::Mat> Decode() const override { return source_->Decode(); }

 private:
  const Source source_;
};

// Eight objects an image, as a crowded photograph has.
class JpegDataset : public Dataset {
 public:
  explicit JpegDataset(std::vector<Source> images)
      : images_(std::move(images)), labels_{{"object"}, {1}} {}

  // The same without decoding parts.
  JpegDataset Whole() const {
    std::vector<Source> whole;
    for (const Source& image : images_) whole.push_back(std::make_shared<WholeImage>(image));
    return JpegDataset(std::move(whole));
  }

  int64_t size() const override { return static_cast<int64_t>(images_.size()); }
  const LabelMap& labels() const override { return labels_; }
  absl::StatusOr<Annotations> GetAnnotations(int64_t index) const override {
    Annotations annotations;
    annotations.image_id = index;
    annotations.size = kSize;
    Random random(1, 0, static_cast<uint64_t>(index));
    for (int i = 0; i < 8; ++i) {
      const double x = random.Uniform(0, 400);
      const double y = random.Uniform(0, 300);
      Annotation object;
      object.box = {x, y, x + random.Uniform(20, 170), y + random.Uniform(20, 170)};
      object.label = 1;
      annotations.objects.push_back(object);
    }
    return annotations;
  }
  absl::StatusOr<Sample> Get(int64_t index) const override {
    Sample sample;
    sample.image = LazyImage(images_[index]);
    sample.geometry = Geometry::Identity(sample.image.size());
    sample.truth = *GetAnnotations(index);
    return sample;
  }
  std::string Fingerprint() const override { return "0000000000000000"; }

 private:
  const std::vector<Source> images_;
  const LabelMap labels_;
};

// Blurred noise with edges: compresses like a photograph (about 60 kB).
std::string DrawnJpeg(uint64_t seed) {
  cv::RNG random(seed + 1);
  cv::Mat image(480, 640, CV_8UC3);
  random.fill(image, cv::RNG::UNIFORM, 0, 256);
  cv::GaussianBlur(image, image, {0, 0}, 2);
  for (int i = 0; i < 30; ++i) {
    const cv::Point center(random.uniform(0, 640), random.uniform(0, 480));
    cv::circle(image, center, random.uniform(5, 80),
               cv::Scalar(random.uniform(0, 256), random.uniform(0, 256), random.uniform(0, 256)),
               cv::FILLED);
  }
  std::vector<uchar> jpeg;
  CHECK(cv::imencode(".jpg", image, jpeg, {cv::IMWRITE_JPEG_QUALITY, 90}));
  return std::string(jpeg.begin(), jpeg.end());
}

std::string& ImagesFolder() {
  static std::string& folder = *new std::string;
  return folder;
}

const JpegDataset& Images() {
  static const JpegDataset& dataset = []() -> const JpegDataset& {
    std::vector<Source> images;
    if (ImagesFolder().empty()) {
      for (uint64_t i = 0; i < 64; ++i) {
        const auto image = OpenEncodedImage(DrawnJpeg(i), "drawn.jpg");
        CHECK(image.ok()) << image.status();
        images.push_back(*image);
      }
    } else {
      std::vector<cv::String> files;
      cv::glob(ImagesFolder() + "/*.jpg", files);
      for (const cv::String& file : files) {
        if (images.size() == 64) break;
        std::ifstream in(file, std::ios::binary);
        std::string jpeg((std::istreambuf_iterator<char>(in)), {});
        const auto image = OpenEncodedImage(std::move(jpeg), file);
        if (image.ok() && (*image)->size() == kSize) images.push_back(*image);
      }
      CHECK_GE(images.size(), 32u) << "too few 640x480 images in " << ImagesFolder();
    }
    return *new JpegDataset(std::move(images));
  }();
  return dataset;
}

const JpegDataset& WholeImages() {
  static const JpegDataset& dataset = *new JpegDataset(Images().Whole());
  return dataset;
}

void RunLoader(benchmark::State& state, const char* transforms_text, Decoding decoding,
               int64_t cache_megabytes) {
  DatasetConfig config;
  CHECK(google::protobuf::TextFormat::ParseFromString(transforms_text, &config));
  auto transforms = CreateTransforms(config.transform(), {{300, 300}, {123, 117, 104}});
  CHECK(transforms.ok()) << transforms.status();
  BatchLoaderOptions options;
  options.input = {300, 300};
  options.batch_size = 32;
  options.shuffle = true;
  options.drop_last = true;
  options.workers = 0;
  options.cache_megabytes = cache_megabytes;
  options.max_decode_reduction = decoding == Decoding::kReduced ? 8 : 1;
  auto loader = BatchLoader::Create(decoding == Decoding::kWhole ? WholeImages() : Images(),
                                    *std::move(transforms), options);
  CHECK(loader.ok()) << loader.status();
  int64_t epoch = 0;
  CHECK((*loader)->Start(epoch, 0).ok());
  for (auto _ : state) {
    auto batch = (*loader)->Next();
    CHECK(batch.ok()) << batch.status();
    if (batch->has_value()) continue;
    CHECK((*loader)->Start(++epoch, 0).ok());
    CHECK((*loader)->Next().ok());
  }
  state.SetItemsProcessed(state.iterations() * options.batch_size);
  const BatchSourceStatistics statistics = (*loader)->statistics();
  const double samples = static_cast<double>(statistics.samples) / 1e3;
  state.counters["decode_ms"] = statistics.decode_seconds / samples;
  state.counters["transform_ms"] = statistics.transform_seconds / samples;
}

constexpr char kTraining[] =
    "transform { photometric_distortion {} } transform { expand {} } transform { iou_crop {} } "
    "transform { resize {} } transform { horizontal_flip {} }";
constexpr char kCaffe[] =
    "transform { photometric_distortion {} } transform { expand {} } transform { iou_crop {} } "
    "transform { resize { interpolation: RANDOM } } transform { horizontal_flip {} }";
// torchvision's references/detection for SSD.
constexpr char kTorchvision[] =
    "transform { color_jitter { probability: 0.5 order: CONTRAST_SECOND_OR_LAST "
    "channel_shuffle_probability: 0.5 } } transform { expand {} } transform { min_iou_crop {} } "
    "transform { horizontal_flip {} } transform { resize {} }";
constexpr char kDistort[] = "transform { photometric_distortion {} } transform { resize {} }";
constexpr char kExpand[] = "transform { expand { probability: 1 } } transform { resize {} }";
constexpr char kCrop[] = "transform { iou_crop {} } transform { resize {} }";
constexpr char kResize[] = "transform { resize {} }";

#define SSD_LOADER_BENCHMARK(name, transforms, decoding, cache_megabytes)             \
  BENCHMARK_CAPTURE(RunLoader, name, transforms, Decoding::decoding, cache_megabytes) \
      ->Unit(benchmark::kMillisecond)

SSD_LOADER_BENCHMARK(ssd300_whole, kTraining, kWhole, 0);
SSD_LOADER_BENCHMARK(ssd300, kTraining, kRegion, 0);
SSD_LOADER_BENCHMARK(ssd300_reduced, kTraining, kReduced, 0);
SSD_LOADER_BENCHMARK(ssd300_cached, kTraining, kRegion, 100);
SSD_LOADER_BENCHMARK(torchvision_whole, kTorchvision, kWhole, 0);
SSD_LOADER_BENCHMARK(torchvision, kTorchvision, kRegion, 0);
SSD_LOADER_BENCHMARK(caffe_interpolations, kCaffe, kRegion, 0);
SSD_LOADER_BENCHMARK(distort_cached, kDistort, kRegion, 100);
SSD_LOADER_BENCHMARK(expand_cached, kExpand, kRegion, 100);
SSD_LOADER_BENCHMARK(crop_cached, kCrop, kRegion, 100);
SSD_LOADER_BENCHMARK(resize, kResize, kRegion, 0);

}  // namespace
}  // namespace ssd

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const std::string flag = "--images=";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    CHECK(argument.compare(0, flag.size(), flag) == 0) << "unknown argument " << argument;
    ssd::ImagesFolder() = argument.substr(flag.size());
  }
  benchmark::RunSpecifiedBenchmarks();
}
