#ifndef EXPERIMENTS_CHECK_TRUTH_MATCHING_H_
#define EXPERIMENTS_CHECK_TRUTH_MATCHING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "data/check/network_view.h"
#include "data/dataset.h"
#include "experiments/check/anchor_index.h"
#include "ssd/core/boxes.h"
#include "ssd/core/types.h"
#include "ssd/matchers/matcher.h"

namespace ssd {

// One object, no crowd, as the network is shown it.
struct ViewTruth {
  int32_t image = 0;       // index in the dataset
  int32_t object = 0;      // place among the image's objects
  int32_t label = 0;       // 1..C
  int32_t size_class = 0;  // in the original (SizeClassOf)
  bool difficult = false;  // never matched
  Corners box = {};        // in [0, 1] of the view, cut to it
  float best_iou = 0;      // with any anchor
  int64_t best_anchor = -1;
  float matched_iou = 0;       // the highest of the anchors that the matcher gives it
  int64_t first_positive = 0;  // of those, in MatchedTruths::positives
  int64_t num_positives = 0;

  // Something of it is in the view.
  bool is_seen() const { return BoxArea(box) > 0; }
  // What a network learns to find.
  bool is_learnt() const { return is_seen() && !difficult; }
};

// All truths of a dataset and the anchors that answer for each.
struct MatchedTruths {
  std::vector<ViewTruth> truths;     // image by image, in the order of the objects
  std::vector<int64_t> image_begin;  // [images + 1]: where each image's truths are
  std::vector<int32_t> positives;    // anchors, truth by truth, ascending
  std::vector<float> level_iou;      // [truths * levels], as AnchorIndex::Find
  int64_t levels = 0;

  absl::Span<const int32_t> PositivesOf(const ViewTruth& truth) const {
    return absl::MakeConstSpan(positives).subspan(truth.first_positive, truth.num_positives);
  }
};

// Matches the truths of every image as a training step does where data.validation's transforms
// take the place of data.train's. Reads no pixels. `anchors` are on the CPU and what `index` was
// made of. \error from the dataset.
absl::StatusOr<MatchedTruths> MatchTruths(const Dataset& dataset, const NetworkView& view,
                                          const Anchors& anchors, const AnchorIndex& index,
                                          const Matcher& matcher);

// Where to look a truth up.
struct TruthPlace {
  std::string file;  // of its annotation, else the image's name
  int64_t line = 0;  // 0: unknown
  std::string image;
  std::string class_name;
  double width = 0;  // pixels of the view
  double height = 0;
};

// Says where truths stand; quick when asked image by image. Not thread-safe.
class TruthPlaces {
 public:
  // `dataset` outlives this.
  TruthPlaces(const Dataset& dataset, ImageSize input) : dataset_(dataset), input_(input) {}

  // \error from the dataset.
  absl::StatusOr<TruthPlace> Of(const ViewTruth& truth);

 private:
  const Dataset& dataset_;
  const ImageSize input_;
  int64_t index_ = -1;  // of image_
  Annotations image_;   // the last that was asked for
};

// "'cat' in a.jpg (12x30 px of the view; a.xml:7)".
std::string PlaceText(const TruthPlace& place);

}  // namespace ssd

#endif  // EXPERIMENTS_CHECK_TRUTH_MATCHING_H_
