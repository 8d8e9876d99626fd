#ifndef DATA_DATASET_H_
#define DATA_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "data/data.pb.h"
#include "data/data_problem.h"
#include "data/lazy_image.h"
#include "ssd/core/annotations.h"
#include "ssd/core/geometry.h"
#include "ssd/core/registry.h"

namespace ssd {

// One image with its truth on the way to the network. Transforms change all four together: boxes of
// `truth` are in pixels of the current view, `geometry` maps that view to the original, and `image`
// records what to do to the pixels, which are made once, at the end.
struct Sample {
  LazyImage image;
  Geometry geometry;
  Annotations truth;
};

// A line of a file, from 1; 0: the whole file.
struct FilePlace {
  std::string file;
  int64_t line = 0;
};

struct DatasetContext {
  // The experiment's class names, label 1 first. Empty: the dataset collects its own.
  std::vector<std::string> labels;
  // What class names in the files become (class_renaming.h), for the dataset to apply;
  // CreateDataset sets it to the config's.
  ClassMap class_map = {};
  // Null: a fault of an image or an object is an error. Else it is recorded there, and what is at
  // fault is left out; only what leaves no dataset at all is still an error. Outlives the call.
  ProblemLog* problems = nullptr;
  // Null: an image that cannot be read where a dataset looks at it, for its size, is an error.
  // Else it is left out and its place among all images, those left out too, is added here, in
  // ascending order. Without `problems` it is named on the log, and what is not the image's fault
  // (IsBadImage, image_header.h) is still an error; with them it is a fault as any other, and a
  // subset holds the images that it holds without them. Empty before the call, which it outlives.
  std::vector<int64_t>* bad_images = nullptr;
};

// Images and their truths by index. Thread-safe: every method may be called from many threads at
// once. Does not transform, shuffle or batch.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual int64_t size() const = 0;

  virtual const LabelMap& labels() const = 0;

  // The truth of image `index` in [0, size()), boxes in pixels of the original; reads no pixels.
  virtual absl::StatusOr<Annotations> GetAnnotations(int64_t index) const = 0;

  // The file that tells the truth of image `index`; Annotations::line and Annotation::line count in
  // it. Empty: none does.
  virtual std::string AnnotationFile(int64_t index) const { return ""; }

  // Where the annotations declare class `label`, 1..C. Without a file: nowhere that has a line.
  virtual FilePlace ClassPlace(int64_t label) const { return {}; }

  // The path of image `index`. Empty: it is in no file of its own.
  virtual std::string ImageFile(int64_t index) const { return ""; }

  // The paths of all image files that the annotations name: of the images here, and of those that
  // are left out (of a subset, without objects, damaged). In no order.
  virtual std::vector<std::string> NamedImageFiles() const {
    std::vector<std::string> files;
    for (int64_t index = 0; index < size(); ++index) {
      std::string file = ImageFile(index);
      if (!file.empty()) files.push_back(std::move(file));
    }
    return files;
  }

  // The untransformed sample. \error names the file.
  virtual absl::StatusOr<Sample> Get(int64_t index) const = 0;

  // A digest of what the dataset would yield (annotations and image names and sizes, or the
  // generator's options): equal for equal data. 16 hex digits.
  virtual std::string Fingerprint() const = 0;
};

using DatasetRegistry = Registry<Dataset, DatasetContext>;

// The dataset of `config` cut to its subset, without its transforms. Bad images that are left out
// keep their places when the subset is taken: it holds the same others with and without them.
// \error InvalidArgument, NotFound naming file, field, value and remedy; a label in the data that
// context.labels lacks is an error.
absl::StatusOr<std::unique_ptr<Dataset>> CreateDataset(const DatasetConfig& config,
                                                       const DatasetContext& context);

}  // namespace ssd

#define SSD_REGISTER_DATASET(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::Dataset, ::ssd::DatasetContext, Options, Component)

#endif  // DATA_DATASET_H_
