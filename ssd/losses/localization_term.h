#ifndef SSD_LOSSES_LOCALIZATION_TERM_H_
#define SSD_LOSSES_LOCALIZATION_TERM_H_

#include "ssd/losses/loss.h"

// The localisation loss of positive anchors (LocalizationTerm), by tensor operations: any device,
// without a synchronisation with the host, differentiable.
namespace ssd {

// Whether the kind compares decoded boxes with the truths' and not their codes.
bool ComparesBoxes(LocalizationTerm::Kind kind);

// What each anchor's box costs, [B, A] of the codes' type; 0, with gradient 0, where
// targets.labels <= 0, whatever stands there. codes: [B, A, 4] f32 or f64. smooth_l1_beta: of
// SMOOTH_L1. `decode` is called for the kinds that compare boxes; dies if it is empty then.
Tensor LocalizationPerAnchor(const Tensor& codes, const Targets& targets, const BoxDecoder& decode,
                             LocalizationTerm::Kind kind, double smooth_l1_beta);

// 1 - IoU, GIoU, DIoU or CIoU of boxes [..., 4] and truths [..., 4], corners in [0, 1]: [...]. With
// intersection I, union U, C the box that encloses both, its diagonal c, and rho the distance of
// the centres:
//
//   IoU  = I / U
//   GIoU = IoU - (|C| - U) / |C|                     (Rezatofighi et al., arXiv:1902.09630)
//   DIoU = IoU - rho^2 / c^2                         (Zheng et al., arXiv:1911.08287, equation 7)
//   CIoU = DIoU - alpha v                            (the same, equations 8-11)
//   v = (4 / pi^2) (atan(w_t / h_t) - atan(w / h))^2,   alpha = v / (1 - IoU + v)
//
// alpha is a weight: it has no gradient, as in the authors' program and torchvision. Areas and
// squared lengths are taken for 1e-9 at least, sides in v for 1e-7, far below a pixel, and corners
// of `boxes` beyond 1e6 for 1e6, so that values and gradients are finite for boxes without area,
// inverted ones, and those of codes that have grown beyond all measure, which have gradient 0.
Tensor BoxDistance(const Tensor& boxes, const Tensor& truths, LocalizationTerm::Kind kind);

}  // namespace ssd

#endif  // SSD_LOSSES_LOCALIZATION_TERM_H_
