#include "data/dataset.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/digest.h"
#include "data/subset_indices.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Some images of another dataset, with its labels and ids.
class SubsetOfDataset : public Dataset {
 public:
  SubsetOfDataset(std::unique_ptr<Dataset> whole, std::vector<int64_t> indices)
      : whole_(std::move(whole)), indices_(std::move(indices)) {}

  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  const LabelMap& labels() const override { return whole_->labels(); }

  absl::StatusOr<Annotations> GetAnnotations(int64_t index) const override {
    return whole_->GetAnnotations(InWhole(index));
  }
  std::string AnnotationFile(int64_t index) const override {
    return whole_->AnnotationFile(InWhole(index));
  }
  FilePlace ClassPlace(int64_t label) const override { return whole_->ClassPlace(label); }
  std::string ImageFile(int64_t index) const override { return whole_->ImageFile(InWhole(index)); }
  std::vector<std::string> NamedImageFiles() const override { return whole_->NamedImageFiles(); }
  absl::StatusOr<Sample> Get(int64_t index) const override { return whole_->Get(InWhole(index)); }

  std::string Fingerprint() const override {
    Digest digest;
    digest.AddBytes(whole_->Fingerprint());
    for (const int64_t index : indices_) digest.AddInteger(index);
    return digest.Hex();
  }

 private:
  int64_t InWhole(int64_t index) const {
    CHECK(index >= 0 && index < size()) << "image " << index << " of " << size();
    return indices_[index];
  }

  const std::unique_ptr<Dataset> whole_;
  const std::vector<int64_t> indices_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> CreateDataset(const DatasetConfig& config,
                                                       const DatasetContext& context) {
  DatasetContext own = context;
  own.class_map = config.class_map();
  if (!config.has_subset()) return DatasetRegistry::Get().Create(config, own);
  std::vector<int64_t> bad_images;
  if (context.bad_images != nullptr) own.bad_images = &bad_images;
  SSD_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> whole, DatasetRegistry::Get().Create(config, own));
  const int64_t size = whole->size() + static_cast<int64_t>(bad_images.size());
  SSD_ASSIGN_OR_RETURN(const std::vector<int64_t> places,
                       SubsetIndices(size, config.subset(), "subset", "images"));
  std::vector<int64_t> indices;
  indices.reserve(places.size());
  for (size_t i = 0; i < places.size(); ++i) {
    const auto bad = std::lower_bound(bad_images.begin(), bad_images.end(), places[i]);
    if (bad != bad_images.end() && *bad == places[i]) {
      context.bad_images->push_back(static_cast<int64_t>(i));
    } else {
      indices.push_back(places[i] - (bad - bad_images.begin()));
    }
  }
  if (indices.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("subset { from: ", config.subset().from(), " to: ", config.subset().to(),
                     " }: none of its ", places.size(), " images could be read"));
  }
  return std::make_unique<SubsetOfDataset>(std::move(whole), std::move(indices));
}

}  // namespace ssd
