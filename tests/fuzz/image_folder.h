#ifndef TESTS_FUZZ_IMAGE_FOLDER_H_
#define TESTS_FUZZ_IMAGE_FOLDER_H_

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/string_view.h"
#include "data/data_problem.h"
#include "data/dataset.h"

namespace ssd {

// A folder of this process with an image a.jpg of 40x30 pixels; gone when the process ends.
class ImageFolder {
 public:
  ImageFolder()
      : path_(std::filesystem::temp_directory_path() / ("ssd_fuzz_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_ / "JPEGImages");
    // In fact PBM: formats are told by content.
    std::ofstream(path_ / "JPEGImages" / "a.jpg") << "P1 40 30\n" << std::string(40 * 30, '0');
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

// Ends the program where a dataset breaks a promise.
[[noreturn]] inline void Refuted(const char* what, absl::string_view value) {
  std::fprintf(stderr, "%s: %.*s\n", what, static_cast<int>(value.size()), value.data());
  std::abort();
}

// Makes the dataset, with and without a log of problems, and looks at all of its truths.
inline void LookAtDataset(const DatasetConfig& config,
                          const std::vector<std::string>& labels = {}) {
  ProblemLog problems;
  for (const bool has_log : {false, true}) {
    DatasetContext context;
    context.labels = labels;
    context.problems = has_log ? &problems : nullptr;
    const auto dataset = CreateDataset(config, context);
    if (!dataset.ok()) continue;
    for (int64_t i = 0; i < (*dataset)->size(); ++i) {
      const absl::StatusOr<Annotations> truth = (*dataset)->GetAnnotations(i);
      if (!truth.ok()) Refuted("an image has no truth", truth.status().message());
      for (const Annotation& object : truth->objects) {
        // What a reader keeps lies in the image, and has a label of the dataset's.
        const PixelBox& box = object.box;
        const bool inside = 0 <= box.x0 && box.x0 < box.x1 && 0 <= box.y0 && box.y0 < box.y1 &&
                            box.x1 <= static_cast<double>(truth->size.width) &&
                            box.y1 <= static_cast<double>(truth->size.height);
        if (!inside) Refuted("a box lies outside its image", truth->file_name);
        if (object.label < 1 || object.label > (*dataset)->labels().num_classes()) {
          Refuted("a label is no class", truth->file_name);
        }
      }
    }
    if ((*dataset)->Fingerprint().empty()) Refuted("no fingerprint", "");
  }
}

}  // namespace ssd

#endif  // TESTS_FUZZ_IMAGE_FOLDER_H_
