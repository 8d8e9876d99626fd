#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/dataset.h"
#include "data/digest.h"
#include "ssd/core/annotations.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Several datasets, one after another. Classes are joined by name: without the experiment's labels
// the first dataset's, then those that the others add, in their order; a class has the id of the
// first dataset, or the lowest that none has. Images keep their ids if no two of all datasets are
// equal (the parts of COCO), else an id is the place in the whole, from 1; so do objects. Each
// dataset may have a subset and a class map; those without a class map have that of the whole.
//   concat {
//     dataset { voc { root: "VOC2007" image_set: "trainval" } }
//     dataset { voc { root: "VOC2012" image_set: "trainval" } }
//   }
class ConcatDataset : public Dataset {
 public:
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(const ConcatOptions& options,
                                                         const DatasetContext& context);

  int64_t size() const override { return size_; }
  const LabelMap& labels() const override { return labels_; }

  absl::StatusOr<Annotations> GetAnnotations(int64_t index) const override {
    const Part& part = PartOf(index);
    SSD_ASSIGN_OR_RETURN(Annotations truth, part.dataset->GetAnnotations(index - part.start));
    Join(part, index, truth);
    return truth;
  }
  std::string AnnotationFile(int64_t index) const override {
    const Part& part = PartOf(index);
    return part.dataset->AnnotationFile(index - part.start);
  }
  // In the first dataset that says.
  FilePlace ClassPlace(int64_t label) const override {
    for (const Part& part : parts_) {
      const auto own = std::find(part.label_of.begin(), part.label_of.end(), label);
      if (own == part.label_of.end()) continue;
      FilePlace place = part.dataset->ClassPlace(own - part.label_of.begin());
      if (!place.file.empty()) return place;
    }
    return {};
  }
  std::string ImageFile(int64_t index) const override {
    const Part& part = PartOf(index);
    return part.dataset->ImageFile(index - part.start);
  }
  std::vector<std::string> NamedImageFiles() const override {
    std::vector<std::string> files;
    for (const Part& part : parts_) {
      std::vector<std::string> more = part.dataset->NamedImageFiles();
      files.insert(files.end(), std::make_move_iterator(more.begin()),
                   std::make_move_iterator(more.end()));
    }
    return files;
  }
  absl::StatusOr<Sample> Get(int64_t index) const override {
    const Part& part = PartOf(index);
    SSD_ASSIGN_OR_RETURN(Sample sample, part.dataset->Get(index - part.start));
    Join(part, index, sample.truth);
    return sample;
  }

  std::string Fingerprint() const override {
    Digest digest;
    digest.AddLabels(labels_);
    for (const Part& part : parts_) digest.AddBytes(part.dataset->Fingerprint());
    return digest.Hex();
  }

 private:
  struct Part {
    std::unique_ptr<Dataset> dataset;
    int64_t start = 0;              // its first image's index here
    std::vector<int64_t> label_of;  // labels here by the dataset's own, from 1
  };

  ConcatDataset() = default;

  const Part& PartOf(int64_t index) const {
    CHECK(index >= 0 && index < size()) << "image " << index << " of " << size();
    // The last part that does not start behind the index.
    const auto next =
        std::upper_bound(parts_.begin(), parts_.end(), index,
                         [](int64_t place, const Part& part) { return place < part.start; });
    return *std::prev(next);
  }

  // Makes the whole's of a part's labels and ids.
  void Join(const Part& part, int64_t index, Annotations& truth) const {
    for (Annotation& object : truth.objects) object.label = part.label_of[object.label];
    if (!keeps_image_ids_) truth.image_id = index + 1;
    if (objects_before_.empty()) return;
    int64_t id = objects_before_[index];
    for (Annotation& object : truth.objects) object.id = ++id;
  }

  void Add(std::unique_ptr<Dataset> dataset);
  absl::Status CompareIds();

  std::vector<Part> parts_;
  int64_t size_ = 0;
  LabelMap labels_;
  bool keeps_image_ids_ = true;
  std::vector<int64_t> objects_before_;  // by image; empty: objects keep their ids
};

void ConcatDataset::Add(std::unique_ptr<Dataset> dataset) {
  Part part;
  part.start = size_;
  part.label_of = {0};
  size_ += dataset->size();
  std::set<int64_t> taken(labels_.source_ids.begin(), labels_.source_ids.end());
  const LabelMap& own = dataset->labels();
  for (size_t i = 0; i < own.names.size(); ++i) {
    const auto found = std::find(labels_.names.begin(), labels_.names.end(), own.names[i]);
    part.label_of.push_back(found - labels_.names.begin() + 1);
    if (found != labels_.names.end()) continue;
    labels_.names.push_back(own.names[i]);
    int64_t id = own.source_ids[i];
    if (!parts_.empty()) {
      id = 1;
      while (taken.count(id) > 0) ++id;
    }
    taken.insert(id);
    labels_.source_ids.push_back(id);
  }
  part.dataset = std::move(dataset);
  parts_.push_back(std::move(part));
}

absl::Status ConcatDataset::CompareIds() {
  std::unordered_set<int64_t> image_ids, object_ids;
  bool keeps_object_ids = true;
  int64_t objects = 0;
  std::vector<int64_t> objects_before;
  objects_before.reserve(static_cast<size_t>(size_));
  for (const Part& part : parts_) {
    for (int64_t i = 0; i < part.dataset->size(); ++i) {
      SSD_ASSIGN_OR_RETURN(const Annotations truth, part.dataset->GetAnnotations(i));
      keeps_image_ids_ &= image_ids.insert(truth.image_id).second;
      objects_before.push_back(objects);
      objects += static_cast<int64_t>(truth.objects.size());
      for (const Annotation& object : truth.objects) {
        keeps_object_ids &= object_ids.insert(object.id).second;
      }
    }
  }
  if (!keeps_object_ids) objects_before_ = std::move(objects_before);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Dataset>> ConcatDataset::Create(const ConcatOptions& options,
                                                               const DatasetContext& context) {
  if (options.dataset().empty()) {
    return absl::InvalidArgumentError(
        "concat.dataset is empty; give dataset { ... } for each dataset to join");
  }
  auto whole = std::unique_ptr<ConcatDataset>(new ConcatDataset);
  std::vector<int64_t> bad_images;  // of a part
  DatasetContext own = context;
  if (context.bad_images != nullptr) own.bad_images = &bad_images;
  for (int i = 0; i < options.dataset_size(); ++i) {
    const std::string field = absl::StrCat("concat.dataset[", i, "]");
    DatasetConfig config = options.dataset(i);
    if (!config.transform().empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          field, ".transform: transforms belong to the whole; write them beside concat { ... }"));
    }
    if (!config.has_class_map()) *config.mutable_class_map() = context.class_map;
    absl::StatusOr<std::unique_ptr<Dataset>> dataset = CreateDataset(config, own);
    if (!dataset.ok()) {
      return absl::Status(dataset.status().code(),
                          absl::StrCat(field, ": ", dataset.status().message()));
    }
    if (context.bad_images != nullptr) {
      const int64_t before = whole->size() + static_cast<int64_t>(context.bad_images->size());
      for (const int64_t place : bad_images) context.bad_images->push_back(before + place);
      bad_images.clear();
    }
    whole->Add(*std::move(dataset));
  }
  SSD_RETURN_IF_ERROR(whole->CompareIds());
  return std::unique_ptr<Dataset>(std::move(whole));
}

SSD_REGISTER_DATASET(ConcatOptions, ConcatDataset);

}  // namespace
}  // namespace ssd
