#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <opencv2/core.hpp>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "data/transforms/sample_view.h"
#include "data/transforms/transform.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// The whole image is one of the choices, so that of seven choices none ends it with a chance of
// (6/7)^1000, which is 1e-67; the image then stays whole.
constexpr int kMaxDraws = 1000;

bool CenterIsStrictlyInside(const PixelBox& box, const PixelBox& patch) {
  const double x = (box.x0 + box.x1) / 2;
  const double y = (box.y0 + box.y1) / 2;
  return patch.x0 < x && x < patch.x1 && patch.y0 < y && y < patch.y1;
}

// SSD's crop as most programs after Caffe have it: one choice is drawn first, the whole image or a
// least IoU, then patches are tried for it, and if none will do, the choice is drawn again. So the
// whole image has a chance of one in seven at least, and a least IoU that is hard to reach comes up
// less. Width and height are drawn apart from each other. A patch must have the centre of some
// truth strictly inside, and those truths stay, cut at its edge.
// torchvision's RandomIoUCrop (references/detection/transforms.py):
//   transform { min_iou_crop {} }
// NVIDIA's SSDCropping (DeepLearningExamples, PyTorch/Detection/SSD), but that its patches are
// whole pixels here:
//   transform { min_iou_crop { overlap: ALL trials: 1 relative_aspect_ratio: true } }
// mmdetection's MinIoURandomCrop:
//   transform { min_iou_crop { overlap: ALL trials: 50 } }
class MinIouCrop : public Transform {
 public:
  static absl::StatusOr<std::unique_ptr<Transform>> Create(const MinIouCropOptions& options,
                                                           const TransformContext& context) {
    constexpr double kTiny = std::numeric_limits<double>::min();
    for (int i = 0; i < options.min_iou_size(); ++i) {
      SSD_RETURN_IF_ERROR(
          CheckRange(absl::StrCat("min_iou_crop.min_iou[", i, "]"), options.min_iou(i), 0, 1));
    }
    SSD_RETURN_IF_ERROR(CheckRange("min_iou_crop.max_scale", options.max_scale(), kTiny, 1));
    SSD_RETURN_IF_ERROR(
        CheckRange("min_iou_crop.min_scale", options.min_scale(), kTiny, options.max_scale()));
    SSD_RETURN_IF_ERROR(CheckRange("min_iou_crop.max_aspect_ratio", options.max_aspect_ratio(),
                                   kTiny, std::numeric_limits<double>::max()));
    SSD_RETURN_IF_ERROR(CheckRange("min_iou_crop.min_aspect_ratio", options.min_aspect_ratio(),
                                   kTiny, options.max_aspect_ratio()));
    SSD_RETURN_IF_ERROR(CheckRange("min_iou_crop.trials", options.trials(), 1, 10000));
    return std::unique_ptr<Transform>(new MinIouCrop(options));
  }

  void Apply(Random& random, Sample& sample) const override {
    // No patch has a truth inside.
    if (sample.truth.objects.empty()) return;
    for (int draw = 0; draw < kMaxDraws; ++draw) {
      const size_t choice =
          static_cast<size_t>(random.Integer(0, static_cast<int64_t>(min_iou_.size())));
      if (choice == min_iou_.size()) return;
      for (int trial = 0; trial < options_.trials(); ++trial) {
        const std::optional<cv::Rect> patch = SamplePatch(random, sample.image.size());
        if (!patch.has_value() || !IsAccepted(*patch, min_iou_[choice], sample.truth)) continue;
        Show(*patch, sample);
        return;
      }
    }
  }

 private:
  explicit MinIouCrop(const MinIouCropOptions& options)
      : options_(options), min_iou_(options.min_iou().begin(), options.min_iou().end()) {
    if (min_iou_.empty()) min_iou_ = {0, 0.1, 0.3, 0.5, 0.7, 0.9};
  }

  // None if its aspect ratio is out of range.
  std::optional<cv::Rect> SamplePatch(Random& random, ImageSize size) const {
    const double width_share = random.Uniform(options_.min_scale(), options_.max_scale());
    const double height_share = random.Uniform(options_.min_scale(), options_.max_scale());
    const auto part = [](double share, int64_t whole) {
      return static_cast<int>(share * static_cast<double>(whole));
    };
    const int width = std::max(part(width_share, size.width), 1);
    const int height = std::max(part(height_share, size.height), 1);
    const double aspect_ratio = options_.relative_aspect_ratio()
                                    ? width_share / height_share
                                    : static_cast<double>(width) / static_cast<double>(height);
    if (aspect_ratio < options_.min_aspect_ratio() || aspect_ratio > options_.max_aspect_ratio()) {
      return std::nullopt;
    }
    const int left = part(random.Uniform(), size.width - width);
    const int top = part(random.Uniform(), size.height - height);
    return cv::Rect(left, top, width, height);
  }

  bool IsAccepted(const cv::Rect& rect, double min_iou, const Annotations& truth) const {
    const PixelBox patch = BoxOf(rect);
    bool some_stay = false;
    bool some_of_those_reach = false;
    bool all_reach = true;
    for (const Annotation& object : truth.objects) {
      const bool stays = CenterIsStrictlyInside(object.box, patch);
      const bool reaches = HasIou(object.box, patch, min_iou);
      some_stay |= stays;
      some_of_those_reach |= stays && reaches;
      all_reach &= reaches;
    }
    return options_.overlap() == MinIouCropOptions::ALL ? some_stay && all_reach
                                                        : some_of_those_reach;
  }

  static void Show(const cv::Rect& rect, Sample& sample) {
    const PixelBox patch = BoxOf(rect);
    std::vector<Annotation>& objects = sample.truth.objects;
    objects.erase(std::remove_if(objects.begin(), objects.end(),
                                 [&](const Annotation& object) {
                                   return !CenterIsStrictlyInside(object.box, patch);
                                 }),
                  objects.end());
    CropView(sample, rect, cv::Scalar());
  }

  const MinIouCropOptions options_;
  std::vector<double> min_iou_;
};

SSD_REGISTER_TRANSFORM(MinIouCropOptions, MinIouCrop);

}  // namespace
}  // namespace ssd
