#ifndef DATA_ANNOTATED_IMAGES_H_
#define DATA_ANNOTATED_IMAGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/dataset.h"

namespace ssd {

// Which file told the truth of which image, and where classes are declared.
struct AnnotationFiles {
  std::vector<std::string> paths;
  std::vector<int64_t> of_image;  // places in `paths`
  // Images that they name and the dataset leaves out; as Annotations::file_name.
  std::vector<std::string> left_out;
  std::vector<FilePlace> of_class;  // as Dataset::ClassPlace; label 1 first
};

// A dataset with its annotations in memory and its images in files below a folder, as most
// published sets are once their annotation files are read. Does not read annotation files.
class AnnotatedImages : public Dataset {
 public:
  // images[i].file_name is below `folder`; images[i].size is the file's after EXIF orientation.
  AnnotatedImages(std::string folder, std::vector<Annotations> images, LabelMap labels,
                  AnnotationFiles files);

  int64_t size() const override { return static_cast<int64_t>(images_.size()); }
  const LabelMap& labels() const override { return labels_; }
  absl::StatusOr<Annotations> GetAnnotations(int64_t index) const override;
  std::string AnnotationFile(int64_t index) const override;
  FilePlace ClassPlace(int64_t label) const override;
  std::string ImageFile(int64_t index) const override;
  std::vector<std::string> NamedImageFiles() const override;
  // Touches no file: errors of the image are those of decoding it.
  absl::StatusOr<Sample> Get(int64_t index) const override;
  std::string Fingerprint() const override;

 private:
  const std::string folder_;
  const std::vector<Annotations> images_;
  const LabelMap labels_;
  const AnnotationFiles files_;
};

}  // namespace ssd

#endif  // DATA_ANNOTATED_IMAGES_H_
