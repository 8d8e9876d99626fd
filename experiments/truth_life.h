#ifndef EXPERIMENTS_TRUTH_LIFE_H_
#define EXPERIMENTS_TRUTH_LIFE_H_

#include <cstddef>
#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "data/lazy_image.h"
#include "experiments/anchor_matches.h"
#include "experiments/candidate_fates.h"
#include "experiments/experiment.pb.h"
#include "experiments/trace_options.h"
#include "ssd/core/annotations.h"
#include "ssd/core/geometry.h"
#include "ssd/eval/evaluator.h"
#include "ssd/report/judged_boxes.h"

namespace ssd {

// The truth after one transform, or where it would be once one has dropped it.
struct TransformedTruth {
  std::string transform;  // as the config has it
  PixelBox box;           // pixels of the view
  ImageSize view;
  bool is_dropped = false;
};

// An image as a network sees it, and the truth in it.
struct TruthView {
  Sample sample;
  cv::Mat rgb;
  std::optional<size_t> object;  // its place among those that are left; nullopt: it is not
  std::vector<AnchorMatch> matches;

  ImageSize size() const { return sample.geometry.view; }
  // Precondition: it is left.
  const Annotation& truth() const { return sample.truth.objects[*object]; }
};

// What the default boxes that answer for a truth cost a network, before normalisation.
struct MatchLosses {
  std::vector<double> classification;  // by TruthView::matches
  std::vector<double> localization;
  double total = 0;  // of the image as a batch of one, normalised
};

// A box of the network's that might have found the truth, and what became of it for its class.
struct TruthCandidate {
  AnchorPlace place;
  bool answers = false;  // its anchor was given the truth
  double iou = 0;        // with the truth
  CandidateFate fate;    // detections are places in TruthDetection::detections
  int64_t best_label = 0;
  double best_score = 0;
};

struct NearDetection {
  size_t detection = 0;  // its place in TruthDetection::detections
  double iou = 0;        // with the truth
};

// How a network, shown the image as data.validation's transforms make it, finds the truth.
struct TruthDetection {
  TruthView view;
  // What follows is empty where the truth is not in the view.
  std::vector<PixelDetection> detections;  // of the image, best first, in pixels of the view
  std::vector<NearDetection> near;         // those that overlap the truth by kLeastOverlap
  std::optional<JudgedDetection> finder;   // as evaluation has it, in pixels of the original
  // Boxes that answer for the truth or overlap it as much as evaluation asks, best score first.
  std::vector<TruthCandidate> candidates;
  // Of the box that overlaps it most, whatever becomes of that.
  double nearest_iou = 0;
  double nearest_score = 0;  // for its class
};

// Detections that overlap a truth less than this are not on it.
inline constexpr double kLeastOverlap = 0.1;

// One truth's way from its annotation to what a network makes of it.
struct TruthLife {
  std::string field;  // of the dataset: "data.train"
  int64_t index = 0;  // of the image
  int64_t place = 0;  // among the image's objects
  Annotations image;
  LazyImage original;
  std::string annotation_file;  // empty: there is none
  LabelMap labels;
  uint64_t seed = 0;
  int64_t epoch = 0;
  std::vector<TransformedTruth> transforms;  // until it is dropped
  TruthView training;
  std::optional<AnchorMatch> nearest;  // where no default box answers for it, but it is in the view
  bool has_iou_rule = false;           // the matcher's rule by IoU alone is known
  std::optional<SelectionRules> rules;
  double min_iou = 0.5;                     // of a detection that finds it
  std::optional<MatchLosses> losses;        // with weights, of training.matches, if any
  std::optional<TruthDetection> detection;  // with weights

  const Annotation& annotated() const { return image.objects[static_cast<size_t>(place)]; }
  const std::string& ClassName(int64_t label) const {
    return labels.names[static_cast<size_t>(label - 1)];
  }
};

// Follows one truth: its box transform by transform, at (experiment.seed, epoch, index); the
// default boxes that answer for it; and with weights what these cost, and what the network finds.
// The network runs in evaluation mode, also for the loss, and sees the image once (evaluator.views
// is not used). Tells and draws nothing, so options.tile and options.output have no effect.
// \error naming flag, field or file, value and remedy.
absl::StatusOr<TruthLife> FollowTruth(const Experiment& experiment, const TraceOptions& options);

}  // namespace ssd

#endif  // EXPERIMENTS_TRUTH_LIFE_H_
