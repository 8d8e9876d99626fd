#ifndef SSD_LAYERS_NORM_H_
#define SSD_LAYERS_NORM_H_

#include <torch/nn/module.h>

#include <cstdint>

#include "ssd/core/types.h"

namespace ssd {

enum class NormKind {
  // By the mean and variance of each channel over the batch in training, by their running averages
  // otherwise (Ioffe and Szegedy, arXiv:1502.03167).
  kBatch,
  // By constants that training never changes; nothing here gets a gradient (torchvision's
  // FrozenBatchNorm2d).
  kFrozenBatch,
  // By the mean and variance of groups of channels of one image (Wu and He, arXiv:1803.08494): 32
  // groups, or one per channel where there are fewer channels.
  kGroup,
};

struct NormConstants {
  // Added to the variance.
  double epsilon = 1e-5;
  // Share of the new batch in the running averages of kBatch.
  double momentum = 0.1;
};

// Normalises [B, C, H, W] maps per kind, then scales and shifts each channel. Parameters and
// buffers are named as torch's: weight, bias and, but for kGroup, running_mean, running_var (kBatch
// also num_batches_tracked).
class Norm : public torch::nn::Module {
 public:
  // Precondition: Fits(kind, channels).
  Norm(NormKind kind, int64_t channels, NormConstants constants = {});

  // Whether a norm of this kind can take that many channels: for kGroup below 32, or a multiple.
  static bool Fits(NormKind kind, int64_t channels);

  // Whether a map of one cell becomes a constant, whatever it is: for kGroup where each channel is
  // a group of its own (32 channels or fewer), which is then normalised by itself.
  static bool BlanksOneCell(NormKind kind, int64_t channels);

  // Keeps the maps' type and layout; bfloat16 maps are normalised with float32 statistics. A batch
  // with one value a channel (one image, a map of one cell) is normalised by the running averages,
  // in training too, where torch refuses it.
  Tensor Forward(const Tensor& maps);

  // From now on normalises by the running averages in training too, and leaves them alone.
  void FreezeStatistics() { frozen_ = true; }

  // Starts at zero instead of one, so that the branch this norm ends begins by adding nothing.
  void ZeroInitWeight();

 private:
  NormKind kind_;
  NormConstants constants_;
  int64_t groups_ = 0;
  bool frozen_ = false;
  Tensor weight_;
  Tensor bias_;
  Tensor running_mean_;
  Tensor running_var_;
  Tensor num_batches_tracked_;
};

}  // namespace ssd

#endif  // SSD_LAYERS_NORM_H_
