#ifndef TESTS_FUZZ_IMAGE_FOLDER_H_
#define TESTS_FUZZ_IMAGE_FOLDER_H_

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "data/dataset.h"

namespace ssd {

// A folder of this process with a file a.jpg, which is no image; gone when the process ends.
class ImageFolder {
 public:
  ImageFolder()
      : path_(std::filesystem::temp_directory_path() / ("ssd_fuzz_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_ / "JPEGImages");
    std::ofstream(path_ / "JPEGImages" / "a.jpg") << "no image";
  }
  ~ImageFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ImageFolder(const ImageFolder&) = delete;
  ImageFolder& operator=(const ImageFolder&) = delete;

  const std::filesystem::path& root() const { return path_; }
  std::string images() const { return (path_ / "JPEGImages").string(); }

 private:
  const std::filesystem::path path_;
};

// Makes the dataset, and looks at all of its truths when there is one.
inline void LookAtDataset(const DatasetConfig& config) {
  const auto dataset = CreateDataset(config, DatasetContext());
  if (!dataset.ok()) return;
  for (int64_t i = 0; i < (*dataset)->size(); ++i) {
    const absl::StatusOr<Annotations> truth = (*dataset)->GetAnnotations(i);
    if (!truth.ok()) __builtin_trap();
    for (const Annotation& object : truth->objects) {
      // What a reader keeps lies in the image, and has a label of the dataset's.
      const PixelBox& box = object.box;
      const bool inside = 0 <= box.x0 && box.x0 < box.x1 && 0 <= box.y0 && box.y0 < box.y1 &&
                          box.x1 <= static_cast<double>(truth->size.width) &&
                          box.y1 <= static_cast<double>(truth->size.height);
      if (!inside) __builtin_trap();
      if (object.label < 1 || object.label > (*dataset)->labels().num_classes()) __builtin_trap();
    }
  }
  if ((*dataset)->Fingerprint().empty()) __builtin_trap();
}

}  // namespace ssd

#endif  // TESTS_FUZZ_IMAGE_FOLDER_H_
