#include "experiments/detector.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/dataset.h"
#include "data/lazy_image.h"
#include "data/transforms/transform.h"
#include "experiments/run_data.h"
#include "experiments/saved_view.pb.h"
#include "ssd/core/random.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/types.h"
#include "ssd/eval/evaluator.h"
#include "ssd/model/detections_in_pixels.h"
#include "ssd/model/model_file.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {
namespace {

absl::Status CheckDevice(at::Device device) {
  if (device.is_cpu()) return absl::OkStatus();
  const int64_t count =
      at::globalContext().hasCUDA() && device.is_cuda()
          ? static_cast<int64_t>(c10::impl::getDeviceGuardImpl(device.type())->deviceCount())
          : 0;
  if (count > std::max<int64_t>(device.index(), 0)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("device ", device.str(), ": not there; this program sees ", count,
                   " CUDA devices; use cpu, or a program built with --config=cuda"));
}

// Takes what protobuf's parser else writes to its log.
class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text.empty()) text = absl::StrCat(message, " at ", line + 1, ":", column + 1);
  }

  std::string text;
};

// How the model's evaluation shows an image to the network.
absl::StatusOr<std::vector<std::unique_ptr<Transform>>> ViewOf(const SavedModel& model) {
  // A program that detects need not link what only training needs, and an old file may have fields
  // and values that are gone: all but the transforms is passed over.
  google::protobuf::TextFormat::Parser parser;
  FirstError error;
  parser.AllowUnknownField(true);
  parser.AllowUnknownExtension(true);
  parser.RecordErrorsTo(&error);
  SavedView saved;
  if (!parser.ParseFromString(model.experiment, &saved)) {
    return absl::DataLossError(absl::StrCat("its experiment cannot be read: ", error.text));
  }
  auto& configs = *saved.mutable_data()->mutable_validation()->mutable_transform();
  for (int i = 0; i < configs.size(); ++i) {
    if (configs[i].ByteSizeLong() > 0) continue;
    return absl::NotFoundError(
        absl::StrCat("data.validation.transform[", i,
                     "]: this program does not know it; link the component that the model was "
                     "trained with"));
  }
  configs.Add()->mutable_resize();
  auto view = CreateTransforms(configs, ContextOf(model.detector->config()));
  if (view.ok()) return view;
  return absl::Status(view.status().code(),
                      absl::StrCat("data.validation.", view.status().message()));
}

class ImageInMemory : public ImageSource {
 public:
  explicit ImageInMemory(cv::Mat rgb) : rgb_(std::move(rgb)) {}

  ImageSize size() const override { return {rgb_.rows, rgb_.cols}; }
  absl::StatusOr<cv::Mat> Decode() const override { return rgb_; }

 private:
  const cv::Mat rgb_;
};

// `image` as a dataset without truths has it.
absl::StatusOr<Sample> SampleOf(const cv::Mat& image) {
  if (image.empty()) {
    return absl::InvalidArgumentError("the image is empty (was the file read?)");
  }
  cv::Mat rgb;
  switch (image.type()) {
    case CV_8UC3:
      cv::cvtColor(image, rgb, cv::COLOR_BGR2RGB);
      break;
    case CV_8UC1:
      cv::cvtColor(image, rgb, cv::COLOR_GRAY2RGB);
      break;
    case CV_8UC4:
      cv::cvtColor(image, rgb, cv::COLOR_BGRA2RGB);
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("the image is of OpenCV type ", cv::typeToString(image.type()),
                       "; it must be CV_8UC3 (BGR), CV_8UC1 or CV_8UC4"));
  }
  Sample sample;
  sample.image = LazyImage(std::make_shared<ImageInMemory>(std::move(rgb)));
  sample.truth.size = sample.image.size();
  sample.geometry = Geometry::Identity(sample.truth.size);
  return sample;
}

}  // namespace

Detector::Detector(std::shared_ptr<SsdDetector> network,
                   std::vector<std::unique_ptr<Transform>> view, LabelMap labels, at::Device device)
    : network_(std::move(network)),
      view_(std::move(view)),
      labels_(std::move(labels)),
      device_(device) {}

Detector::Detector(Detector&&) noexcept = default;
Detector& Detector::operator=(Detector&&) noexcept = default;
Detector::~Detector() = default;

absl::StatusOr<Detector> Detector::Load(const std::string& path, at::Device device) {
  SSD_RETURN_IF_ERROR(CheckDevice(device));
  SSD_ASSIGN_OR_RETURN(SavedModel model, LoadModel(path));
  auto view = ViewOf(model);
  if (!view.ok()) {
    return absl::Status(view.status().code(), absl::StrCat(path, ": ", view.status().message()));
  }
  model.detector->to(device);
  // As the images are: else every convolution would lay out its weights anew at every call.
  for (Tensor& parameter : model.detector->parameters()) {
    parameter.set_requires_grad(false);
    if (parameter.dim() != 4) continue;
    parameter.set_data(parameter.variable_data().contiguous(at::MemoryFormat::ChannelsLast));
  }
  return Detector(std::move(model.detector), *std::move(view), std::move(model.labels), device);
}

ImageSize Detector::input_size() const { return network_->input_size(); }

absl::StatusOr<std::vector<Detection>> Detector::Detect(const cv::Mat& image) const {
  auto batch = DetectBatch(absl::MakeConstSpan(&image, 1));
  if (!batch.ok()) return batch.status();
  return std::move(batch->front());
}

absl::StatusOr<std::vector<std::vector<Detection>>> Detector::DetectBatch(
    absl::Span<const cv::Mat> images) const {
  std::vector<std::vector<Detection>> results(images.size());
  if (images.empty()) return results;
  at::NoGradGuard no_grad;
  const ImageSize input = input_size();
  const int64_t batch_size = static_cast<int64_t>(images.size());
  const Tensor batch =
      at::empty({batch_size, 3, input.height, input.width},
                at::TensorOptions(at::kByte).memory_format(at::MemoryFormat::ChannelsLast));
  uint8_t* const pixels = batch.mutable_data_ptr<uint8_t>();
  std::vector<int64_t> places;
  std::vector<Geometry> geometry;
  for (int64_t i = 0; i < batch_size; ++i) {
    absl::StatusOr<Sample> sample = SampleOf(images[i]);
    if (!sample.ok()) {
      return absl::Status(sample.status().code(),
                          absl::StrCat(batch_size > 1 ? absl::StrCat("image ", i, ": ") : "",
                                       sample.status().message()));
    }
    Random random(/*seed=*/0, /*stream=*/0, /*index=*/0);
    for (const std::unique_ptr<Transform>& transform : view_) transform->Apply(random, *sample);
    cv::Mat shown(static_cast<int>(input.height), static_cast<int>(input.width), CV_8UC3,
                  pixels + i * input.height * input.width * 3);
    SSD_RETURN_IF_ERROR(sample->image.RenderTo(shown));
    places.push_back(i);
    geometry.push_back(sample->geometry);
  }

  const Detections found = network_->Detect(network_->Forward(batch.to(device_)));
  for (const ImageDetections& image : DetectionsInPixels(found, places, geometry)) {
    for (const PixelDetection& detection : image.detections) {
      const std::string& name = labels_.names[static_cast<size_t>(detection.label - 1)];
      results[static_cast<size_t>(image.image_id)].push_back(
          {detection.box, detection.label, name, detection.score});
    }
  }
  return results;
}

}  // namespace ssd
