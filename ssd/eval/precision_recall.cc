#include "ssd/eval/precision_recall.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>

#include "ssd/core/logging.h"

namespace ssd {
namespace {

// numpy.linspace(0, 1, count)[i], as pycocotools and VOC's peers compute it.
double RecallAt(int i, int count) { return i + 1 == count ? 1.0 : i * (1.0 / (count - 1)); }

}  // namespace

DetectionsByClass::DetectionsByClass(const EvaluatorContext& context)
    : position_(context.truths.size()),
      truths_(context.labels.num_classes()),
      detections_(context.labels.num_classes()),
      added_(context.truths.size(), false) {
  std::iota(position_.begin(), position_.end(), 0);
  std::sort(position_.begin(), position_.end(), [&](int64_t a, int64_t b) {
    return context.truths[a].image_id < context.truths[b].image_id;
  });
  for (int32_t image = 0; image < num_images(); ++image) {
    const Annotations& annotations = context.truths[position_[image]];
    CHECK(image_of_.emplace(annotations.image_id, image).second)
        << "two images have the id " << annotations.image_id;
    for (const Annotation& object : annotations.objects) {
      CHECK(object.label >= 1 && object.label <= num_classes()) << "label " << object.label;
      truths_[object.label - 1].push_back({image, object});
    }
  }
}

void DetectionsByClass::Add(int64_t image_id, const std::vector<PixelDetection>& detections) {
  const auto found = image_of_.find(image_id);
  CHECK(found != image_of_.end()) << "image " << image_id << " has no entry among the truths";
  const int32_t image = found->second;
  CHECK(!added_[image]) << "image " << image_id << " was added twice";
  added_[image] = true;
  for (const PixelDetection& detection : detections) {
    CHECK(detection.label >= 1 && detection.label <= num_classes()) << "label " << detection.label;
    CHECK(!std::isnan(detection.score)) << "image " << image_id;
    detections_[detection.label - 1].push_back({image, detection.box, detection.score});
  }
}

void DetectionsByClass::Reset() {
  for (std::vector<Detection>& detections : detections_) detections.clear();
  added_.assign(added_.size(), false);
}

std::vector<DetectionsByClass::Detection> DetectionsByClass::DetectionsOf(int64_t label) const {
  std::vector<Detection> detections = detections_[label - 1];
  std::stable_sort(detections.begin(), detections.end(), [](const auto& a, const auto& b) {
    return a.image != b.image ? a.image < b.image : a.score > b.score;
  });
  return detections;
}

std::vector<int32_t> Gathered(absl::Span<const int32_t> values,
                              const std::vector<int64_t>& positions) {
  CHECK_EQ(values.size(), positions.size());
  std::vector<int32_t> gathered;
  gathered.reserve(positions.size());
  for (const int64_t position : positions) gathered.push_back(values[position]);
  return gathered;
}

std::vector<int32_t> RankByScore(const std::vector<DetectionsByClass::Detection>& detections) {
  std::vector<int32_t> ranked(detections.size());
  std::iota(ranked.begin(), ranked.end(), 0);
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](int32_t a, int32_t b) { return detections[a].score > detections[b].score; });
  return ranked;
}

void PrecisionRecallSweep::Clear() {
  points_.clear();
  true_ = false_ = truths_ = 0;
}

void PrecisionRecallSweep::Finish(int64_t truths) {
  CHECK_GT(truths, 0);
  truths_ = truths;
  double best = 0;
  for (auto point = points_.rbegin(); point != points_.rend(); ++point) {
    best = std::max(best, point->precision);
    point->precision = best;
  }
}

double PrecisionRecallSweep::FinalRecall() const {
  return static_cast<double>(true_) / static_cast<double>(truths_);
}

std::vector<double> PrecisionRecallSweep::PrecisionAtRecalls(int count) const {
  std::vector<double> precision(count, 0);
  size_t next = 0;
  for (int i = 0; i < count; ++i) {
    const double recall = RecallAt(i, count);
    while (next < points_.size() &&
           static_cast<double>(points_[next].found) / static_cast<double>(truths_) < recall) {
      ++next;
    }
    if (next == points_.size()) break;
    precision[i] = points_[next].precision;
  }
  return precision;
}

double PrecisionRecallSweep::MeanPrecisionAtRecalls(int count) const {
  const std::vector<double> precision = PrecisionAtRecalls(count);
  return std::accumulate(precision.begin(), precision.end(), 0.0) / count;
}

double PrecisionRecallSweep::Area() const {
  double area = 0;
  int64_t found = 0;
  for (const Point& point : points_) {
    area += static_cast<double>(point.found - found) * point.precision;
    found = point.found;
  }
  return area / static_cast<double>(truths_);
}

void ForEachInParallel(int64_t count, const std::function<void(int64_t)>& body) {
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(at::get_num_threads(), count), 1, [&](int64_t, int64_t) {
    for (int64_t i = next++; i < count; i = next++) body(i);
  });
}

std::optional<double> MeanOfExisting(absl::Span<const std::optional<double>> values) {
  double sum = 0;
  int64_t count = 0;
  for (const std::optional<double>& value : values) {
    if (!value.has_value()) continue;
    sum += *value;
    ++count;
  }
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

}  // namespace ssd
