#include "experiments/sample_pipeline.h"

#include <ATen/ops/empty.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <opencv2/core.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "experiments/run_data.h"
#include "ssd/core/random.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"

namespace ssd {
namespace {

// Of the one kind or extension that is set.
std::string KindName(const TransformConfig& config) {
  std::vector<const google::protobuf::FieldDescriptor*> set;
  config.GetReflection()->ListFields(config, &set);
  return set.empty() ? "" : FieldName(*set.front());
}

}  // namespace

absl::StatusOr<SamplePipeline> SamplePipeline::Create(const Experiment& experiment,
                                                      const DatasetConfig& config,
                                                      const std::string& field) {
  const TransformContext context = ContextOf(experiment.model());
  absl::StatusOr<std::vector<std::unique_ptr<Transform>>> transforms =
      CreateTransforms(config.transform(), context);
  if (!transforms.ok()) {
    return absl::Status(transforms.status().code(),
                        absl::StrCat(field, ": ", transforms.status().message()));
  }
  SamplePipeline pipeline;
  pipeline.field_ = field;
  pipeline.input_ = context.input;
  pipeline.max_decode_reduction_ = experiment.data().loader().max_decode_reduction();
  pipeline.transforms_ = *std::move(transforms);
  for (const TransformConfig& transform : config.transform()) {
    pipeline.names_.push_back(KindName(transform));
  }
  return pipeline;
}

absl::StatusOr<Sample> SamplePipeline::Make(const Dataset& dataset, int64_t index, uint64_t seed,
                                            int64_t epoch, const Observer& observer) const {
  SSD_ASSIGN_OR_RETURN(Sample sample, dataset.Get(index));
  for (size_t i = 0; i < sample.truth.objects.size(); ++i) {
    sample.truth.objects[i].id = static_cast<int64_t>(i);
  }
  Random random(seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(index));
  for (size_t i = 0; i < transforms_.size(); ++i) {
    transforms_[i]->Apply(random, sample);
    if (observer) observer(names_[i], sample);
  }
  const ImageSize size = sample.image.size();
  if (size != input_) {
    return absl::InvalidArgumentError(
        absl::StrCat(field_, ": ", sample.truth.file_name, ": the transforms leave the image at ",
                     size.width, "x", size.height, " pixels, model.input is ", input_.width, "x",
                     input_.height, "; end the dataset's transforms with `resize {}`"));
  }
  return sample;
}

absl::StatusOr<cv::Mat> SamplePipeline::Render(const Sample& sample) const {
  const ImageSize size = sample.image.size();
  cv::Mat rgb(static_cast<int>(size.height), static_cast<int>(size.width), CV_8UC3);
  SSD_RETURN_IF_ERROR(sample.image.RenderTo(rgb, max_decode_reduction_));
  return rgb;
}

Tensor ImageTensor(const cv::Mat& rgb) {
  const Tensor pixels = at::empty({1, rgb.rows, rgb.cols, 3}, at::kByte);
  cv::Mat destination(rgb.rows, rgb.cols, CV_8UC3, pixels.mutable_data_ptr<uint8_t>());
  rgb.copyTo(destination);
  return pixels.permute({0, 3, 1, 2});
}

}  // namespace ssd
