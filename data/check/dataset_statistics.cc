#include "data/check/dataset_statistics.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ssd/core/annotations.h"
#include "ssd/core/geometry.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Reorders `values`.
Distribution Summarize(std::vector<float>& values) {
  Distribution result;
  result.count = static_cast<int64_t>(values.size());
  if (values.empty()) return result;
  double sum = 0;
  for (const float value : values) sum += value;
  result.mean = sum / static_cast<double>(values.size());
  // Ranks are asked for in ascending order: what was left of one stays there.
  auto sorted_to = values.begin();
  const auto quantile = [&](int64_t percent) -> double {
    const int64_t rank = std::max<int64_t>((percent * result.count + 99) / 100, 1) - 1;
    const auto at = values.begin() + rank;
    std::nth_element(sorted_to, at, values.end());
    sorted_to = at;
    return *at;
  };
  result.minimum = quantile(0);
  result.percentile_5 = quantile(5);
  result.percentile_25 = quantile(25);
  result.median = quantile(50);
  result.percentile_75 = quantile(75);
  result.percentile_95 = quantile(95);
  result.maximum = quantile(100);
  return result;
}

// log2(width / height) where bin 1 begins.
constexpr double kFirstEdge = -3;
constexpr double kBinsAnOctave = 2;

int AspectRatioBin(double width, double height) {
  if (!(width > 0) || !(height > 0)) return width > 0 ? kAspectRatioBins - 1 : 0;
  const double bin = std::floor(kBinsAnOctave * (std::log2(width / height) - kFirstEdge)) + 1;
  return static_cast<int>(std::clamp(bin, 0.0, kAspectRatioBins - 1.0));
}

int PositionCell(double center, int64_t side) {
  if (side <= 0) return 0;
  const double cell = std::floor(center / static_cast<double>(side) * kPositionCells);
  return static_cast<int>(std::clamp(cell, 0.0, kPositionCells - 1.0));
}

// What is counted of a box, worked out once for all the groups it belongs to.
struct BoxFacts {
  float width = 0;
  float height = 0;
  float area = 0;
  int aspect_ratio_bin = 0;
  int size_class = 0;

  // `area`: by which the object's size class is told.
  static BoxFacts Of(const PixelBox& box, double area) {
    return {static_cast<float>(box.width()), static_cast<float>(box.height()),
            static_cast<float>(box.area()), AspectRatioBin(box.width(), box.height()),
            SizeClassOf(area)};
  }
};

class BoxCollector {
 public:
  void Add(const BoxFacts& box) {
    widths_.push_back(box.width);
    heights_.push_back(box.height);
    areas_.push_back(box.area);
    ++statistics_.aspect_ratios[box.aspect_ratio_bin];
    ++statistics_.sizes[box.size_class];
  }

  BoxStatistics Finish() {
    statistics_.width = Summarize(widths_);
    statistics_.height = Summarize(heights_);
    statistics_.area = Summarize(areas_);
    return statistics_;
  }

 private:
  std::vector<float> widths_;
  std::vector<float> heights_;
  std::vector<float> areas_;
  BoxStatistics statistics_;
};

struct ObjectFacts {
  int64_t image = 0;
  bool difficult = false;
  int position = 0;
  BoxFacts original;
  BoxFacts view;
};

class ObjectCollector {
 public:
  void AddCrowd() { ++statistics_.crowds; }

  void Add(const ObjectFacts& object) {
    if (object.image != last_image_) ++statistics_.images;
    last_image_ = object.image;
    ++statistics_.objects;
    statistics_.difficult += object.difficult ? 1 : 0;
    ++statistics_.positions[object.position];
    original_.Add(object.original);
    view_.Add(object.view);
  }

  ObjectStatistics Finish(std::string name) {
    statistics_.name = std::move(name);
    statistics_.original = original_.Finish();
    statistics_.view = view_.Finish();
    return statistics_;
  }

 private:
  int64_t last_image_ = -1;
  BoxCollector original_;
  BoxCollector view_;
  ObjectStatistics statistics_;
};

ObjectFacts FactsOf(const Annotation& object, int64_t image, const Geometry& geometry) {
  const PixelBox& box = object.box;
  const PixelBox in_view = Clip(geometry.ToView(box), geometry.view);
  const int row = PositionCell((box.y0 + box.y1) / 2, geometry.original.height);
  const int column = PositionCell((box.x0 + box.x1) / 2, geometry.original.width);
  ObjectFacts facts;
  facts.image = image;
  facts.difficult = object.difficult;
  facts.position = row * kPositionCells + column;
  facts.original = BoxFacts::Of(box, object.area);
  facts.view = BoxFacts::Of(in_view, object.area / std::abs(geometry.scale_x * geometry.scale_y));
  return facts;
}

}  // namespace

int SizeClassOf(double area) { return area < 32.0 * 32.0 ? 0 : area < 96.0 * 96.0 ? 1 : 2; }

double AspectRatioEdge(int edge) { return std::exp2(edge / kBinsAnOctave + kFirstEdge); }

double AspectRatioMiddle(int bin) { return (bin - 0.5) / kBinsAnOctave + kFirstEdge; }

absl::StatusOr<DatasetStatistics> ComputeDatasetStatistics(const Dataset& dataset,
                                                           const NetworkView& view) {
  const int64_t num_classes = dataset.labels().num_classes();
  DatasetStatistics statistics;
  statistics.images = dataset.size();
  statistics.co_occurrence.assign(num_classes * num_classes, 0);

  ObjectCollector all;
  std::array<ObjectCollector, kSizeClasses> sizes;
  std::vector<ObjectCollector> classes(num_classes);
  std::vector<float> image_widths, image_heights, object_counts;
  std::vector<int64_t> labels;  // of the image at hand
  for (int64_t index = 0; index < dataset.size(); ++index) {
    SSD_ASSIGN_OR_RETURN(const Annotations truth, dataset.GetAnnotations(index));
    image_widths.push_back(static_cast<float>(truth.size.width));
    image_heights.push_back(static_cast<float>(truth.size.height));
    const Geometry geometry = view(truth.size);
    labels.clear();
    int64_t objects = 0;
    for (const Annotation& object : truth.objects) {
      CHECK(object.label >= 1 && object.label <= num_classes) << object.label;
      ObjectCollector& same_class = classes[object.label - 1];
      ObjectCollector& same_size = sizes[SizeClassOf(object.area)];
      if (object.crowd) {
        for (ObjectCollector* group : {&all, &same_class, &same_size}) group->AddCrowd();
        continue;
      }
      ++objects;
      labels.push_back(object.label);
      const ObjectFacts facts = FactsOf(object, index, geometry);
      for (ObjectCollector* group : {&all, &same_class, &same_size}) group->Add(facts);
    }

    if (objects == 0) ++statistics.images_without_objects;
    object_counts.push_back(static_cast<float>(objects));
    std::vector<int64_t>& by_objects = statistics.images_by_objects;
    by_objects.resize(std::max(by_objects.size(), static_cast<size_t>(objects) + 1));
    ++by_objects[objects];

    std::sort(labels.begin(), labels.end());
    labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
    for (const int64_t a : labels) {
      for (const int64_t b : labels) ++statistics.co_occurrence[(a - 1) * num_classes + b - 1];
    }
  }

  statistics.image_width = Summarize(image_widths);
  statistics.image_height = Summarize(image_heights);
  statistics.objects_per_image = Summarize(object_counts);
  statistics.all = all.Finish("");
  for (int i = 0; i < kSizeClasses; ++i) statistics.sizes[i] = sizes[i].Finish(kSizeClassNames[i]);
  for (int64_t i = 0; i < num_classes; ++i) {
    statistics.classes.push_back(classes[i].Finish(dataset.labels().names[i]));
  }
  return statistics;
}

}  // namespace ssd
