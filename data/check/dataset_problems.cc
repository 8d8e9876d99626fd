#include "data/check/dataset_problems.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ssd/core/annotations.h"
#include "ssd/core/geometry.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// An earlier object with the same box.
struct Twin {
  int object = -1;  // its place in the image; -1: there is none
  double iou = 0;
};

// For each object of an image the first one before it with the same box, of its own class and of
// another one.
struct Twins {
  std::vector<Twin> same_class;
  std::vector<Twin> other_class;
};

Twins FindTwins(const std::vector<Annotation>& objects) {
  Twins twins{std::vector<Twin>(objects.size()), std::vector<Twin>(objects.size())};
  std::vector<int> by_left_edge;
  for (size_t i = 0; i < objects.size(); ++i) {
    if (!objects[i].crowd) by_left_edge.push_back(static_cast<int>(i));
  }
  std::stable_sort(by_left_edge.begin(), by_left_edge.end(),
                   [&](int a, int b) { return objects[a].box.x0 < objects[b].box.x0; });
  for (auto left = by_left_edge.begin(); left != by_left_edge.end(); ++left) {
    const PixelBox& box = objects[*left].box;
    // A box that starts further right overlaps less of this one's width than such an IoU needs.
    const double last_start = box.x0 + (1 - kSameBoxIou) * box.width();
    for (auto right = left + 1; right != by_left_edge.end(); ++right) {
      if (objects[*right].box.x0 > last_start) break;
      const double iou = BoxIou(box, objects[*right].box);
      if (iou <= kSameBoxIou) continue;
      const auto [earlier, later] = std::minmax({*left, *right});
      const bool same = objects[earlier].label == objects[later].label;
      Twin& twin = (same ? twins.same_class : twins.other_class)[later];
      if (twin.object < 0 || earlier < twin.object) twin = {earlier, iou};
    }
  }
  return twins;
}

// The file that tells the truth of an image; the image, where none does.
std::string FileOf(const Dataset& dataset, int64_t index, const Annotations& truth) {
  std::string file = dataset.AnnotationFile(index);
  return file.empty() ? truth.file_name : file;
}

// Looks at one image after the other.
class TruthInspector {
 public:
  TruthInspector(const Dataset& dataset, const NetworkView& view)
      : dataset_(dataset), view_(view) {}

  absl::Status Inspect(int64_t index) {
    SSD_ASSIGN_OR_RETURN(const Annotations truth, dataset_.GetAnnotations(index));
    file_ = FileOf(dataset_, index, truth);
    image_ = truth.file_name;
    const int64_t crowds = std::count_if(truth.objects.begin(), truth.objects.end(),
                                         [](const Annotation& object) { return object.crowd; });
    const int64_t objects = static_cast<int64_t>(truth.objects.size()) - crowds;
    counts_.push_back({file_, truth.line, image_, objects});
    if (objects == 0) {
      Add(Severity::kNote, ProblemKind::kNoObjects, truth.line,
          absl::StrCat(image_, crowds == 0 ? " has no objects" : " has only crowds"));
      return absl::OkStatus();
    }
    const Geometry geometry = view_(truth.size);
    const Twins twins = FindTwins(truth.objects);
    for (size_t i = 0; i < truth.objects.size(); ++i) {
      const Annotation& object = truth.objects[i];
      if (object.crowd) continue;
      InspectShape(object, truth.size, geometry);
      InspectTwin(truth, object, twins.same_class[i], ProblemKind::kDuplicateBox);
      InspectTwin(truth, object, twins.other_class[i], ProblemKind::kConflictingLabels);
    }
    return absl::OkStatus();
  }

  // Call once, after all images.
  std::vector<DataProblem> Finish() {
    std::vector<int64_t> with_objects;
    for (const ImageCount& image : counts_) {
      if (image.objects > 0) with_objects.push_back(image.objects);
    }
    if (with_objects.empty()) return std::move(problems_);
    const auto middle = with_objects.begin() + static_cast<int64_t>(with_objects.size() - 1) / 2;
    std::nth_element(with_objects.begin(), middle, with_objects.end());
    const int64_t median = *middle;
    for (const ImageCount& image : counts_) {
      if (image.objects <= kCrowdedObjects ||
          static_cast<double>(image.objects) <= kCrowdedTimesMedian * static_cast<double>(median)) {
        continue;
      }
      file_ = image.file;
      Add(Severity::kNote, ProblemKind::kCrowdedImage, image.line,
          absl::StrCat(image.name, " has ", image.objects, " objects, the median image ", median,
                       "; every batch is padded to the most"));
    }
    return std::move(problems_);
  }

 private:
  struct ImageCount {
    std::string file;
    int64_t line = 0;
    std::string name;
    int64_t objects = 0;
  };

  void Add(Severity severity, ProblemKind kind, int64_t line, std::string message) {
    problems_.push_back({severity, kind, file_, line, std::move(message)});
  }

  // "'cat' in a.jpg".
  std::string Named(const Annotation& object) const {
    return absl::StrCat("'", dataset_.labels().names[object.label - 1], "' in ", image_);
  }

  void InspectShape(const Annotation& object, ImageSize size, const Geometry& geometry) {
    const PixelBox& box = object.box;
    const PixelBox in_view = geometry.ToView(box);
    const double width = in_view.width(), height = in_view.height();
    if (std::min(width, height) < kTinySide) {
      Add(Severity::kWarning, ProblemKind::kBoxTiny, object.line,
          absl::StrFormat("%s is %.1fx%.1f pixels in the network's view, %.1fx%.1f in the image",
                          Named(object), width, height, box.width(), box.height()));
      return;
    }
    const double ratio = std::max(width, height) / std::min(width, height);
    if (ratio > kExtremeAspectRatio) {
      Add(Severity::kWarning, ProblemKind::kBoxExtremeShape, object.line,
          absl::StrFormat("%s is %.1f times as %s in the network's view", Named(object), ratio,
                          width > height ? "wide as high" : "high as wide"));
    }
    if (box.width() >= kHugeShare * static_cast<double>(size.width) &&
        box.height() >= kHugeShare * static_cast<double>(size.height)) {
      Add(Severity::kNote, ProblemKind::kBoxHuge, object.line,
          absl::StrFormat("%s is as large as the image: %.1fx%.1f of %dx%d pixels", Named(object),
                          box.width(), box.height(), size.width, size.height));
    }
  }

  void InspectTwin(const Annotations& truth, const Annotation& object, const Twin& twin,
                   ProblemKind kind) {
    if (twin.object < 0) return;
    const Annotation& other = truth.objects[twin.object];
    // Files without line breaks have one line for all.
    const bool has_line = other.line > 0 && other.line != object.line;
    Add(Severity::kWarning, kind, object.line,
        absl::StrFormat(
            "%s has the same box as '%s' %s (IoU %.2f)", Named(object),
            dataset_.labels().names[other.label - 1],
            has_line ? absl::StrCat("in line ", other.line) : absl::StrCat("with id ", other.id),
            twin.iou));
  }

  const Dataset& dataset_;
  const NetworkView& view_;
  std::string file_;   // of the image at hand
  std::string image_;  // its name
  std::vector<ImageCount> counts_;
  std::vector<DataProblem> problems_;
};

// The first objects of classes: those of `labels`, as far as they have one.
std::map<int64_t, FilePlace> FirstObjects(const Dataset& dataset, std::set<int64_t> labels) {
  std::map<int64_t, FilePlace> places;
  for (int64_t index = 0; index < dataset.size() && !labels.empty(); ++index) {
    const absl::StatusOr<Annotations> truth = dataset.GetAnnotations(index);
    if (!truth.ok()) continue;  // the statistics would not be there
    for (const Annotation& object : truth->objects) {
      if (object.crowd || labels.erase(object.label) == 0) continue;
      places[object.label] = {FileOf(dataset, index, *truth), object.line};
    }
  }
  return places;
}

}  // namespace

std::string AnnotationRoot(const Dataset& dataset) {
  std::string root;
  bool is_first = true;
  for (int64_t index = 0; index < dataset.size(); ++index) {
    const std::string file = dataset.AnnotationFile(index);
    if (file.empty() || file == root) continue;
    if (is_first) {
      root = file;
      is_first = false;
      continue;
    }
    const size_t common = static_cast<size_t>(
        std::mismatch(root.begin(), root.end(), file.begin(), file.end()).first - root.begin());
    const bool is_above = common == root.size() && (root == "/" || file[common] == '/');
    if (is_above) continue;
    const size_t slash = root.rfind('/', common);
    if (slash == std::string::npos) return "";
    root.resize(std::max<size_t>(slash, 1));
  }
  return root;
}

absl::StatusOr<std::vector<DataProblem>> FindTruthProblems(const Dataset& dataset,
                                                           const NetworkView& view) {
  TruthInspector inspector(dataset, view);
  for (int64_t index = 0; index < dataset.size(); ++index) {
    SSD_RETURN_IF_ERROR(inspector.Inspect(index));
  }
  return inspector.Finish();
}

std::vector<DataProblem> FindClassProblems(const Dataset& dataset,
                                           const DatasetStatistics& statistics) {
  const auto is_rare = [](const ObjectStatistics& entry) {
    return entry.objects > 0 && entry.objects < kRareObjects;
  };
  std::set<int64_t> rare;
  for (size_t i = 0; i < statistics.classes.size(); ++i) {
    if (is_rare(statistics.classes[i])) rare.insert(static_cast<int64_t>(i) + 1);
  }
  std::map<int64_t, FilePlace> first = FirstObjects(dataset, std::move(rare));
  const std::string root = AnnotationRoot(dataset);
  std::vector<DataProblem> problems;
  for (size_t i = 0; i < statistics.classes.size(); ++i) {
    const ObjectStatistics& entry = statistics.classes[i];
    const int64_t label = static_cast<int64_t>(i) + 1;
    if (entry.objects == 0) {
      FilePlace place = dataset.ClassPlace(label);
      if (place.file.empty()) place.file = root;
      problems.push_back({Severity::kWarning, ProblemKind::kUnusedLabel, std::move(place.file),
                          place.line,
                          absl::StrCat("class '", entry.name,
                                       "' has no object; it costs a score at every anchor")});
    } else if (is_rare(entry)) {
      FilePlace& place = first[label];
      problems.push_back(
          {Severity::kWarning, ProblemKind::kRareLabel, std::move(place.file), place.line,
           absl::StrCat("class '", entry.name, "' has only ", entry.objects,
                        entry.objects == 1 ? " object" : " objects; this is the first")});
    }
  }
  return problems;
}

std::vector<DataProblem> FindSizeProblems(const Dataset& dataset,
                                          const DatasetStatistics& statistics) {
  const int64_t objects = statistics.all.objects;
  const int64_t small = statistics.all.view.sizes[0];
  if (static_cast<double>(small) <= kMostSmall * static_cast<double>(objects)) return {};
  return {{Severity::kNote, ProblemKind::kSmallObjects, AnnotationRoot(dataset), 0,
           absl::StrFormat("%d of %d objects are smaller than 32x32 pixels in the network's view; "
                           "a larger model.input shows more of them",
                           small, objects)}};
}

std::vector<DataProblem> CompareSplits(const DatasetStatistics& train,
                                       const DatasetStatistics& validation,
                                       const Dataset& validation_dataset) {
  const std::string root = AnnotationRoot(validation_dataset);
  std::vector<DataProblem> problems;
  const auto add = [&](Severity severity, const std::string& name, const std::string& message) {
    problems.push_back({severity, ProblemKind::kMismatchedSplits, root, 0,
                        absl::StrCat("class '", name, "' ", message)});
  };
  std::map<std::string, int64_t> trained;  // name -> objects
  for (const ObjectStatistics& entry : train.classes) trained[entry.name] = entry.objects;
  std::map<std::string, int64_t> validated;
  for (const ObjectStatistics& entry : validation.classes) validated[entry.name] = entry.objects;

  for (const auto& [name, objects] : trained) {
    const auto other = validated.find(name);
    if (other == validated.end()) {
      add(Severity::kWarning, name, "is one of the training data only");
    } else if (objects > 0 && other->second == 0) {
      add(Severity::kNote, name, "has no object to validate with: its AP does not exist");
    }
  }
  for (const auto& [name, objects] : validated) {
    const auto other = trained.find(name);
    if (other == trained.end()) {
      add(Severity::kWarning, name, "is one of the validation data only");
    } else if (objects > 0 && other->second == 0) {
      add(Severity::kWarning, name,
          absl::StrCat("has ", objects, " objects to validate with and none to learn from"));
    }
  }
  return problems;
}

}  // namespace ssd
