#ifndef EXPERIMENTS_DETECTOR_H_
#define EXPERIMENTS_DETECTOR_H_

#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ssd/core/annotations.h"
#include "ssd/core/geometry.h"

namespace ssd {

class SsdDetector;
class Transform;

// One object found in an image.
struct Detection {
  PixelBox box;            // pixels of the image as given, inside it
  int64_t label = 0;       // 1..C
  std::string class_name;  // labels().names[label - 1]
  double score = 0;        // [0, 1]
};

// A trained detector for programs of one's own:
//
//   absl::StatusOr<ssd::Detector> detector = ssd::Detector::Load("best.pt", at::kCPU);
//   if (!detector.ok()) { std::cerr << detector.status().message() << "\n"; return 1; }
//   for (const ssd::Detection& d : *detector->Detect(cv::imread("street.jpg"))) { ... }
//
// Finds what the evaluation after training finds in an image: shows it to the network through the
// transforms of data.validation in the experiment that the file holds, and warps (bilinear) what
// these leave at another size than model.input's, such as all of it where there are none. Where
// they draw at random, they draw the same for every image. In float32, of one view
// (evaluator.views), of images decoded whole. Does not read files beside the model's, draw or
// track. The program must link the components that the model and those transforms use
// (//experiments:components has all of this project). Movable; may be used by several threads at
// once.
class Detector {
 public:
  // \error as LoadModel, naming the file; also for its transforms: InvalidArgument or NotFound
  // where one cannot be made, DataLoss where its experiment cannot be read. FailedPrecondition when
  // this machine or this program does not have the device.
  static absl::StatusOr<Detector> Load(const std::string& path, at::Device device = at::kCPU);

  Detector(Detector&&) noexcept;
  Detector& operator=(Detector&&) noexcept;
  ~Detector();

  // image: 8 bits a channel, in OpenCV's order (BGR), grey, or BGR with alpha, which is ignored.
  // Best first. \error InvalidArgument for an empty image or another type.
  absl::StatusOr<std::vector<Detection>> Detect(const cv::Mat& image) const;

  // Several images, of any sizes, in one pass of the network; one list for each.
  // \error as Detect, naming the image by its place.
  absl::StatusOr<std::vector<std::vector<Detection>>> DetectBatch(
      absl::Span<const cv::Mat> images) const;

  const LabelMap& labels() const { return labels_; }
  // Of the network's input.
  ImageSize input_size() const;

 private:
  Detector(std::shared_ptr<SsdDetector> network, std::vector<std::unique_ptr<Transform>> view,
           LabelMap labels, at::Device device);

  std::shared_ptr<SsdDetector> network_;
  std::vector<std::unique_ptr<Transform>> view_;  // leave every image at input_size()
  LabelMap labels_;
  at::Device device_;
};

}  // namespace ssd

#endif  // EXPERIMENTS_DETECTOR_H_
