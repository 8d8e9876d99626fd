#include "experiments/check/truth_matching.h"

#include <ATen/Parallel.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "data/check/dataset_statistics.h"
#include "ssd/core/annotations.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Of a batch, so that its matches stay in the cache and tensors of [images, truths, anchors], which
// a matcher may build, in the memory.
constexpr int64_t kBatchImages = 64;
constexpr int64_t kBatchTruths = 1024;  // with padding

// Box of an object in shares of its view.
Corners BoxInView(const PixelBox& box, const Geometry& geometry) {
  const PixelBox pixels = Clip(geometry.ToView(box), geometry.view);
  const auto width = static_cast<double>(geometry.view.width);
  const auto height = static_cast<double>(geometry.view.height);
  return {static_cast<float>(pixels.x0 / width), static_cast<float>(pixels.y0 / height),
          static_cast<float>(pixels.x1 / width), static_cast<float>(pixels.y1 / height)};
}

// Gathers images to batches and matches them.
class BatchMatcher {
 public:
  BatchMatcher(const Anchors& anchors, const AnchorIndex& index, const Matcher& matcher)
      : anchors_(anchors), index_(index), matcher_(matcher) {
    result_.levels = index.num_levels();
  }

  void AddImage(int64_t image, const Annotations& truth, const Geometry& geometry) {
    const auto begin = static_cast<int64_t>(result_.truths.size());
    result_.image_begin.push_back(begin);
    for (size_t i = 0; i < truth.objects.size(); ++i) {
      const Annotation& object = truth.objects[i];
      if (object.crowd) continue;
      ViewTruth& added = result_.truths.emplace_back();
      added.image = static_cast<int32_t>(image);
      added.object = static_cast<int32_t>(i);
      added.label = static_cast<int32_t>(object.label);
      added.size_class = SizeClassOf(object.area);
      added.difficult = object.difficult;
      added.box = BoxInView(object.box, geometry);
    }
    const int64_t count = static_cast<int64_t>(result_.truths.size()) - begin;
    if (count == 0) return;
    const auto images = static_cast<int64_t>(batch_.size()) + 1;
    const int64_t most = std::max(most_truths_, count);
    if (images > kBatchImages || (images > 1 && images * most > kBatchTruths)) MatchBatch();
    batch_.push_back({begin, count});
    most_truths_ = std::max(most_truths_, count);
  }

  // Call once, after all images.
  MatchedTruths Finish() {
    MatchBatch();
    result_.image_begin.push_back(static_cast<int64_t>(result_.truths.size()));
    return std::move(result_);
  }

 private:
  // The truths of an image.
  struct Row {
    int64_t begin = 0;
    int64_t count = 0;
  };

  // The truths of an image that is to begin the next batch may be in result_.truths already.
  void MatchBatch() {
    if (batch_.empty()) return;
    const auto rows = static_cast<int64_t>(batch_.size());
    Truth truth;
    truth.boxes = at::zeros({rows, most_truths_, 4}, at::kFloat);
    truth.labels = at::zeros({rows, most_truths_}, at::kLong);
    truth.ignore = at::zeros({rows, most_truths_}, at::kBool);
    float* const boxes = truth.boxes.mutable_data_ptr<float>();
    int64_t* const labels = truth.labels.mutable_data_ptr<int64_t>();
    bool* const ignore = truth.ignore.mutable_data_ptr<bool>();
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t i = 0; i < batch_[row].count; ++i) {
        const ViewTruth& from = result_.truths[batch_[row].begin + i];
        const int64_t at = row * most_truths_ + i;
        boxes[4 * at + 0] = from.box.x0;
        boxes[4 * at + 1] = from.box.y0;
        boxes[4 * at + 2] = from.box.x1;
        boxes[4 * at + 3] = from.box.y1;
        labels[at] = from.is_seen() ? from.label : 0;
        ignore[at] = from.difficult;
      }
    }
    const Tensor matches = matcher_.Match(truth, anchors_).contiguous();
    const int64_t num_anchors = index_.num_anchors();
    CHECK(matches.sizes() == at::IntArrayRef({rows, num_anchors}));
    const int64_t* const match = matches.const_data_ptr<int64_t>();

    result_.level_iou.resize(result_.truths.size() * result_.levels);
    std::vector<std::vector<int32_t>> positives(rows);
    at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        positives[row] = ReadMatches(batch_[row], match + row * num_anchors);
        for (int64_t i = 0; i < batch_[row].count; ++i) FindBest(batch_[row].begin + i);
      }
    });
    for (int64_t row = 0; row < rows; ++row) {
      // So far they are counted from the image's own first one.
      const auto offset = static_cast<int64_t>(result_.positives.size());
      for (int64_t i = 0; i < batch_[row].count; ++i) {
        result_.truths[batch_[row].begin + i].first_positive += offset;
      }
      result_.positives.insert(result_.positives.end(), positives[row].begin(),
                               positives[row].end());
    }
    batch_.clear();
    most_truths_ = 0;
  }

  // The anchors that the image's truths got, truth by truth; says there how many and how good.
  std::vector<int32_t> ReadMatches(const Row& row, const int64_t* match) {
    ViewTruth* const truths = result_.truths.data() + row.begin;
    std::vector<int32_t> matched;
    for (int64_t anchor = 0; anchor < index_.num_anchors(); ++anchor) {
      if (match[anchor] >= 0) matched.push_back(static_cast<int32_t>(anchor));
    }
    for (const int32_t anchor : matched) {
      CHECK_LT(match[anchor], row.count);
      ViewTruth& truth = truths[match[anchor]];
      ++truth.num_positives;
      truth.matched_iou = std::max(truth.matched_iou, Iou(truth.box, index_.corners(anchor)));
    }
    std::vector<int64_t> next(row.count);
    int64_t sum = 0;
    for (int64_t i = 0; i < row.count; ++i) {
      next[i] = truths[i].first_positive = sum;
      sum += truths[i].num_positives;
    }
    std::vector<int32_t> sorted(matched.size());
    for (const int32_t anchor : matched) sorted[next[match[anchor]]++] = anchor;
    return sorted;
  }

  void FindBest(int64_t index) {
    ViewTruth& truth = result_.truths[index];
    const AnchorIndex::Best best =
        index_.Find(truth.box, result_.level_iou.data() + index * result_.levels);
    truth.best_iou = best.iou;
    truth.best_anchor = best.anchor;
  }

  const Anchors& anchors_;
  const AnchorIndex& index_;
  const Matcher& matcher_;
  std::vector<Row> batch_;
  int64_t most_truths_ = 0;  // of an image of the batch
  MatchedTruths result_;
};

}  // namespace

absl::StatusOr<MatchedTruths> MatchTruths(const Dataset& dataset, const NetworkView& view,
                                          const Anchors& anchors, const AnchorIndex& index,
                                          const Matcher& matcher) {
  BatchMatcher batches(anchors, index, matcher);
  for (int64_t image = 0; image < dataset.size(); ++image) {
    SSD_ASSIGN_OR_RETURN(const Annotations truth, dataset.GetAnnotations(image));
    batches.AddImage(image, truth, view(truth.size));
  }
  return batches.Finish();
}

absl::StatusOr<TruthPlace> TruthPlaces::Of(const ViewTruth& truth) {
  if (truth.image != index_) {
    index_ = -1;
    SSD_ASSIGN_OR_RETURN(image_, dataset_.GetAnnotations(truth.image));
    index_ = truth.image;
  }
  TruthPlace place;
  place.file = dataset_.AnnotationFile(truth.image);
  if (place.file.empty()) place.file = image_.file_name;
  place.line = image_.objects[truth.object].line;
  place.image = image_.file_name;
  place.class_name = dataset_.labels().names[truth.label - 1];
  place.width =
      static_cast<double>(truth.box.x1 - truth.box.x0) * static_cast<double>(input_.width);
  place.height =
      static_cast<double>(truth.box.y1 - truth.box.y0) * static_cast<double>(input_.height);
  return place;
}

std::string PlaceText(const TruthPlace& place) {
  std::string where;
  if (place.file != place.image || place.line > 0) {
    where = absl::StrCat("; ", place.file, place.line > 0 ? absl::StrCat(":", place.line) : "");
  }
  return absl::StrFormat("'%s' in %s (%.1fx%.1f px of the view%s)", place.class_name, place.image,
                         place.width, place.height, where);
}

}  // namespace ssd
