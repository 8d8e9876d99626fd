#include "ssd/train/test_time_views.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ssd {
namespace {

// Of the input's sides. Larger ones are typing errors, and would fill the memory.
constexpr double kMaxScale = 8;

absl::Status ScaleError(double scale, absl::string_view rule) {
  return absl::InvalidArgumentError(absl::StrCat("evaluator.views.scale: ", scale, rule));
}

// [B, 3, H, W], left and right exchanged.
Tensor MirroredImages(const Tensor& images) {
  return images.flip({3}).contiguous(images.suggest_memory_format());
}

// Corners [B, A, 4] of boxes in a mirror image, in the image itself.
Tensor MirroredBoxes(const Tensor& boxes) {
  return at::stack(
      {1 - boxes.select(2, 2), boxes.select(2, 1), 1 - boxes.select(2, 0), boxes.select(2, 3)}, 2);
}

// Enlarged without a change of detail, or shrunk without aliases; floating point.
Tensor Resized(const Tensor& images, ImageSize size) {
  return at::_upsample_bilinear2d_aa(images.to(at::kFloat), {size.height, size.width},
                                     /*align_corners=*/false)
      .contiguous(images.suggest_memory_format());
}

}  // namespace

absl::StatusOr<TestTimeViews> TestTimeViews::Create(const TestTimeViewsConfig& config,
                                                    const SsdDetector& detector) {
  TestTimeViews views;
  views.horizontal_flip_ = config.horizontal_flip();
  const ImageSize input = detector.input_size();
  for (const double scale : config.scale()) {
    if (!(scale > 0 && scale <= kMaxScale)) {
      return ScaleError(scale, absl::StrCat(" must be in (0, ", kMaxScale, "]"));
    }
    const ImageSize size = {
        std::max<int64_t>(std::llround(scale * static_cast<double>(input.height)), 1),
        std::max<int64_t>(std::llround(scale * static_cast<double>(input.width)), 1)};
    if (size == input) {
      return ScaleError(scale, " is the input's own size, which is always shown; leave it out");
    }
    for (const OtherSize& other : views.other_sizes_) {
      if (other.size != size) continue;
      return ScaleError(scale, absl::StrCat(" gives the size of another, ", size.height, "x",
                                            size.width, "; leave one out"));
    }
    absl::StatusOr<Anchors> anchors = detector.AnchorsAt(size);
    if (!anchors.ok()) return ScaleError(scale, absl::StrCat(": ", anchors.status().message()));
    views.other_sizes_.push_back({size, *std::move(anchors)});
  }
  return views;
}

Detections TestTimeViews::Detect(SsdDetector& detector, const Tensor& images,
                                 const ComputeFormat& format) const {
  at::NoGradGuard no_grad;
  std::vector<Tensor> boxes, logits;
  const auto predict = [&](const Tensor& view, const Anchors& anchors) {
    Predictions predictions;
    {
      const AutocastScope autocast(images.device(), format.precision);
      predictions = detector.ForwardAnySize(view);
    }
    logits.push_back(predictions.class_logits.to(at::kFloat));
    boxes.push_back(
        detector.box_coder().Decode(predictions.box_codes.to(at::kFloat), anchors.boxes));
  };
  const auto predict_both = [&](const Tensor& view, const Anchors& anchors) {
    predict(view, anchors);
    if (!horizontal_flip_) return;
    predict(MirroredImages(view), anchors);
    boxes.back() = MirroredBoxes(boxes.back());
  };
  predict_both(images, detector.anchors());
  for (const OtherSize& other : other_sizes_) {
    predict_both(Resized(images, other.size), other.anchors);
  }
  if (boxes.size() == 1) return detector.post_processor().Process(boxes[0], logits[0]);
  return detector.post_processor().Process(at::cat(boxes, 1), at::cat(logits, 1));
}

}  // namespace ssd
