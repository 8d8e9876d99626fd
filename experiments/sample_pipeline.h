#ifndef EXPERIMENTS_SAMPLE_PIPELINE_H_
#define EXPERIMENTS_SAMPLE_PIPELINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/data.pb.h"
#include "data/dataset.h"
#include "data/transforms/transform.h"
#include "experiments/experiment.pb.h"
#include "ssd/core/geometry.h"
#include "ssd/core/types.h"

namespace ssd {

// One image at a time through the transforms of a dataset, as the batch loader takes it, and step
// by step for those who want to look.
class SamplePipeline {
 public:
  // Called after every transform with its name as the config has it ("iou_crop").
  using Observer = std::function<void(const std::string& transform, const Sample& sample)>;

  // The transforms of `config`, a dataset of `experiment`; `field` starts error messages:
  // "data.train". \error naming the transform at fault.
  static absl::StatusOr<SamplePipeline> Create(const Experiment& experiment,
                                               const DatasetConfig& config,
                                               const std::string& field);

  // What the loader makes of image `index` in `epoch`: a function of (seed, epoch, index) alone,
  // but that the ids of its objects become their places among the image's, from 0.
  // \error naming the image: the dataset's, or a view of another size than model.input.
  absl::StatusOr<Sample> Make(const Dataset& dataset, int64_t index, uint64_t seed, int64_t epoch,
                              const Observer& observer = nullptr) const;

  // The sample's pixels as the loader makes them: CV_8UC3, RGB. \error from the image's source.
  absl::StatusOr<cv::Mat> Render(const Sample& sample) const;

 private:
  std::string field_;
  ImageSize input_;
  int max_decode_reduction_ = 1;
  std::vector<std::unique_ptr<Transform>> transforms_;
  std::vector<std::string> names_;
};

// RGB pixels as the network takes them: a copy, [1, 3, H, W] u8, channels innermost.
Tensor ImageTensor(const cv::Mat& rgb);

}  // namespace ssd

#endif  // EXPERIMENTS_SAMPLE_PIPELINE_H_
