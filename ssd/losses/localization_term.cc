#include "ssd/losses/localization_term.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/atan2.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/smooth_l1_loss.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include "ssd/core/boxes.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

constexpr double kLeastArea = 1e-9;
constexpr double kLeastSide = 1e-7;
// A side of twice this has a square far from overflow.
constexpr double kFarthest = 1e6;
constexpr double kPi = 3.14159265358979323846;

// atan(w / h) of sides [..., 2].
Tensor Angle(const Tensor& sides) {
  const Tensor positive = sides.clamp_min(kLeastSide);
  return at::atan2(positive.select(-1, 0), positive.select(-1, 1));
}

}  // namespace

bool ComparesBoxes(LocalizationTerm::Kind kind) { return kind >= LocalizationTerm::IOU; }

Tensor LocalizationPerAnchor(const Tensor& codes, const Targets& targets, const BoxDecoder& decode,
                             LocalizationTerm::Kind kind, double smooth_l1_beta) {
  const Tensor positive = targets.labels > 0;
  const Tensor mask = positive.unsqueeze(-1);
  if (ComparesBoxes(kind)) {
    CHECK(decode) << "a loss on boxes needs a decoder";
    // Codes of 0 where nothing matched decode to a finite box, so that its gradient times 0 is 0.
    const Tensor boxes = decode(at::where(mask, codes, 0.0));
    const Tensor truths = at::where(mask, targets.boxes.to(boxes.scalar_type()), 0.0);
    return at::where(positive, BoxDistance(boxes, truths, kind), 0.0).to(codes.scalar_type());
  }
  const Tensor distance = at::where(mask, codes - targets.box_codes.to(codes.scalar_type()), 0.0);
  if (kind == LocalizationTerm::L1) return distance.abs().sum(-1);
  if (kind == LocalizationTerm::L2) return distance.square().sum(-1) * 0.5;
  return at::smooth_l1_loss(distance, at::zeros_like(distance), at::Reduction::None, smooth_l1_beta)
      .sum(-1);
}

Tensor BoxDistance(const Tensor& boxes, const Tensor& truths, LocalizationTerm::Kind kind) {
  const Tensor near = boxes.clamp(-kFarthest, kFarthest);
  const Tensor low = near.narrow(-1, 0, 2);
  const Tensor high = near.narrow(-1, 2, 2);
  const Tensor truth_low = truths.narrow(-1, 0, 2);
  const Tensor truth_high = truths.narrow(-1, 2, 2);
  const BoxOverlap overlap = AlignedOverlap(near, truths);
  const Tensor& union_area = overlap.union_area;
  const Tensor distance = 1 - overlap.intersection / union_area.clamp_min(kLeastArea);
  if (kind == LocalizationTerm::IOU) return distance;

  const Tensor enclosing = at::maximum(high, truth_high) - at::minimum(low, truth_low);
  if (kind == LocalizationTerm::GIOU) {
    const Tensor area = enclosing.select(-1, 0) * enclosing.select(-1, 1);
    return distance + (area - union_area) / area.clamp_min(kLeastArea);
  }

  const Tensor offset = (low + high - truth_low - truth_high) * 0.5;  // of the centres
  const Tensor apart = offset.square().sum(-1) / enclosing.square().sum(-1).clamp_min(kLeastArea);
  if (kind == LocalizationTerm::DIOU) return distance + apart;

  const Tensor shape =
      (Angle(truth_high - truth_low) - Angle(high - low)).square() * (4 / (kPi * kPi));
  const Tensor weight = (shape / (distance + shape).clamp_min(kLeastArea)).detach();
  return distance + apart + weight * shape;
}

}  // namespace ssd
