#ifndef EXPERIMENTS_CHECK_OVERFIT_PROBE_H_
#define EXPERIMENTS_CHECK_OVERFIT_PROBE_H_

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/check/network_view.h"
#include "data/dataset.h"
#include "experiments/check/truth_matching.h"
#include "experiments/experiment.pb.h"
#include "ssd/report/svg_chart.h"

namespace ssd {

// More are refused: their batches are all held in memory.
inline constexpr int64_t kMostOverfitImages = 1000;

struct OverfitOptions {
  int64_t images = 8;
  int64_t steps = 500;  // at most
  at::Device device = at::kCPU;
};

// A truth that was not found at IoU 0.5.
struct MissedTruth {
  TruthPlace place;
  int64_t positives = 0;  // anchors that learn it
  // Of the detections of its class, the one that overlaps it most; 0: none does.
  double found_iou = 0;
  double found_score = 0;
};

struct OverfitOutcome {
  int64_t images = 0;      // fewer than were asked for where no more have something to learn
  int64_t batch_size = 0;  // of the largest batch
  int64_t truths = 0;      // to learn
  int64_t steps = 0;       // that were trained
  bool has_passed = false;
  std::optional<double> ap50;          // of the last evaluation
  std::optional<double> ceiling_ap50;  // of these images (ceiling.h)
  std::string verdict;                 // a sentence or two: what came of it, and the reason
  ChartSeries loss;                    // by step
  ChartSeries ap50_by_step;
  std::vector<MissedTruth> missed;
};

// What AP50 the probe must exceed.
inline constexpr double kOverfitAp50 = 0.95;

// How many images each batch has, so that every image is in one: as few batches as can be where
// none has more than `most`, their sizes at most one apart, the larger first. Both at least 1.
std::vector<int64_t> OverfitBatchSizes(int64_t images, int64_t most);

// Why a probe was not passed, and what to try: by `trained`, how training ended, or, where it came
// to its end, by the ceiling, the losses (of one step at least) and the missed truths in `outcome`.
// `learning_rate` is the optimizer's.
std::string OverfitReason(const OverfitOutcome& outcome, const absl::Status& trained,
                          double learning_rate);

// Trains the experiment's network from its initial weights (model.weights, if any) with its
// optimizer at a constant learning rate on the first few training images that have something to
// learn, as data.validation's transforms show them, until it finds their truths: if it cannot learn
// eight images by heart, it will learn nothing. Crowds and difficult objects do not count.
// \error of a config that cannot be trained. Whatever goes wrong in training is in the outcome.
absl::StatusOr<OverfitOutcome> ProbeOverfitting(const Experiment& experiment, const Dataset& train,
                                                const NetworkView& view,
                                                const OverfitOptions& options);

}  // namespace ssd

#endif  // EXPERIMENTS_CHECK_OVERFIT_PROBE_H_
