#ifndef DATA_CHECK_MEMORY_DATASET_H_
#define DATA_CHECK_MEMORY_DATASET_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "ssd/core/annotations.h"

namespace ssd {

// Truths that a test puts together, without pixels; images may be in files.
class MemoryDataset : public Dataset {
 public:
  explicit MemoryDataset(std::vector<std::string> class_names) {
    for (std::string& name : class_names) {
      labels_.names.push_back(std::move(name));
      labels_.source_ids.push_back(labels_.num_classes());
    }
  }

  void Add(Annotations truth, std::string annotation_file = "", std::string image_file = "") {
    truths_.push_back(std::move(truth));
    annotation_files_.push_back(std::move(annotation_file));
    image_files_.push_back(std::move(image_file));
  }

  // An image that the annotations name and the dataset leaves out.
  void LeaveOut(std::string image_file) { left_out_.push_back(std::move(image_file)); }

  int64_t size() const override { return static_cast<int64_t>(truths_.size()); }
  const LabelMap& labels() const override { return labels_; }
  absl::StatusOr<Annotations> GetAnnotations(int64_t index) const override {
    return truths_[index];
  }
  std::string AnnotationFile(int64_t index) const override { return annotation_files_[index]; }
  std::string ImageFile(int64_t index) const override { return image_files_[index]; }
  std::vector<std::string> NamedImageFiles() const override {
    std::vector<std::string> files = Dataset::NamedImageFiles();
    files.insert(files.end(), left_out_.begin(), left_out_.end());
    return files;
  }
  absl::StatusOr<Sample> Get(int64_t index) const override {
    return absl::UnimplementedError("no pixels");
  }
  std::string Fingerprint() const override { return ""; }

 private:
  LabelMap labels_;
  std::vector<Annotations> truths_;
  std::vector<std::string> annotation_files_;
  std::vector<std::string> image_files_;
  std::vector<std::string> left_out_;
};

}  // namespace ssd

#endif  // DATA_CHECK_MEMORY_DATASET_H_
