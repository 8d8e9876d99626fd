#include "data/annotated_images.h"

#include <filesystem>
#include <utility>

#include "data/digest.h"
#include "data/image_file.h"
#include "ssd/core/logging.h"

namespace ssd {

AnnotatedImages::AnnotatedImages(std::string folder, std::vector<Annotations> images,
                                 LabelMap labels, AnnotationFiles files)
    : folder_(std::move(folder)),
      images_(std::move(images)),
      labels_(std::move(labels)),
      files_(std::move(files)) {}

absl::StatusOr<Annotations> AnnotatedImages::GetAnnotations(int64_t index) const {
  CHECK(index >= 0 && index < size()) << "image " << index << " of " << size();
  return images_[index];
}

std::string AnnotatedImages::AnnotationFile(int64_t index) const {
  CHECK(index >= 0 && index < size()) << "image " << index << " of " << size();
  return files_.paths[files_.of_image[index]];
}

FilePlace AnnotatedImages::ClassPlace(int64_t label) const {
  CHECK(label >= 1 && label <= static_cast<int64_t>(files_.of_class.size())) << "label " << label;
  return files_.of_class[label - 1];
}

std::string AnnotatedImages::ImageFile(int64_t index) const {
  CHECK(index >= 0 && index < size()) << "image " << index << " of " << size();
  return (std::filesystem::path(folder_) / images_[index].file_name).string();
}

std::vector<std::string> AnnotatedImages::NamedImageFiles() const {
  std::vector<std::string> files = Dataset::NamedImageFiles();
  for (const std::string& name : files_.left_out) {
    files.push_back((std::filesystem::path(folder_) / name).string());
  }
  return files;
}

absl::StatusOr<Sample> AnnotatedImages::Get(int64_t index) const {
  CHECK(index >= 0 && index < size()) << "image " << index << " of " << size();
  const Annotations& truth = images_[index];
  return Sample{LazyImage(ImageFileOfSize(ImageFile(index), truth.size)),
                Geometry::Identity(truth.size), truth};
}

std::string AnnotatedImages::Fingerprint() const {
  Digest digest;
  digest.AddLabels(labels_);
  for (const Annotations& image : images_) digest.AddAnnotations(image);
  return digest.Hex();
}

}  // namespace ssd
