#include "data/transforms/iou_crop.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/transforms/sample_view.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Of the samplers after the whole image; 0 accepts any patch of an image with truths (Caffe's
// max_jaccard_overlap: 1).
constexpr double kMinIou[] = {0.1, 0.3, 0.5, 0.7, 0.9, 0};

bool OverlapsSomeTruth(const cv::Rect& rect, const Annotations& truth, double min_iou) {
  const PixelBox patch = BoxOf(rect);
  return std::any_of(truth.objects.begin(), truth.objects.end(),
                     [&](const Annotation& object) { return HasIou(object.box, patch, min_iou); });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Transform>> IouCrop::Create(const IouCropOptions& options,
                                                           const TransformContext& context) {
  constexpr double kTiny = std::numeric_limits<double>::min();
  SSD_RETURN_IF_ERROR(CheckRange("iou_crop.max_scale", options.max_scale(), kTiny, 1));
  SSD_RETURN_IF_ERROR(
      CheckRange("iou_crop.min_scale", options.min_scale(), kTiny, options.max_scale()));
  SSD_RETURN_IF_ERROR(CheckRange("iou_crop.max_aspect_ratio", options.max_aspect_ratio(), kTiny,
                                 std::numeric_limits<double>::max()));
  SSD_RETURN_IF_ERROR(CheckRange("iou_crop.min_aspect_ratio", options.min_aspect_ratio(), kTiny,
                                 options.max_aspect_ratio()));
  SSD_RETURN_IF_ERROR(CheckRange("iou_crop.max_trials", options.max_trials(), 1, 10000));
  return std::unique_ptr<Transform>(new IouCrop(options));
}

void IouCrop::Apply(Random& random, Sample& sample) const {
  const std::vector<cv::Rect> patches = FindPatches(random, sample.truth);
  const int64_t drawn = random.Integer(0, static_cast<int64_t>(patches.size()) - 1);
  // The first is the whole image.
  if (drawn > 0) CropView(sample, patches[drawn], cv::Scalar());
}

cv::Rect IouCrop::SamplePatch(Random& random, ImageSize size) const {
  const double scale = random.Uniform(options_.min_scale(), options_.max_scale());
  double aspect_ratio = random.Uniform(options_.min_aspect_ratio(), options_.max_aspect_ratio());
  aspect_ratio = std::clamp(aspect_ratio, scale * scale, 1 / (scale * scale));
  // Whole pixels from here on: the patch that is tested is the patch that is shown.
  const auto side = [](double share, int64_t whole) {
    return static_cast<int>(
        std::clamp<int64_t>(std::llround(share * static_cast<double>(whole)), 1, whole));
  };
  const int width = side(scale * std::sqrt(aspect_ratio), size.width);
  const int height = side(scale / std::sqrt(aspect_ratio), size.height);
  const int x = static_cast<int>(random.Integer(0, size.width - width));
  const int y = static_cast<int>(random.Integer(0, size.height - height));
  return cv::Rect(x, y, width, height);
}

std::vector<cv::Rect> IouCrop::FindPatches(Random& random, const Annotations& truth) const {
  std::vector<cv::Rect> patches = {
      cv::Rect(0, 0, static_cast<int>(truth.size.width), static_cast<int>(truth.size.height))};
  if (truth.objects.empty()) return patches;
  for (const double min_iou : kMinIou) {
    for (int trial = 0; trial < options_.max_trials(); ++trial) {
      const cv::Rect patch = SamplePatch(random, truth.size);
      if (!OverlapsSomeTruth(patch, truth, min_iou)) continue;
      patches.push_back(patch);
      break;
    }
  }
  return patches;
}

SSD_REGISTER_TRANSFORM(IouCropOptions, IouCrop);

}  // namespace ssd
