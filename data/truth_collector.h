#ifndef DATA_TRUTH_COLLECTOR_H_
#define DATA_TRUTH_COLLECTOR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/annotated_images.h"
#include "data/class_renaming.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "ssd/core/annotations.h"

namespace ssd {

// Gathers what a reader of annotation files finds and makes a dataset of it: maps class names, cuts
// boxes to their images, drops those of which nothing is left, finds labels. Where the context has
// a problem log, faults go there and what is at fault is left out; otherwise a fault is an error,
// except boxes that are cut or dropped, which one warning counts. Reads no files; not thread-safe.
class TruthCollector {
 public:
  // `dataset` starts the messages: the path of the set. \error InvalidArgument for a class_map or
  // labels that contradict themselves.
  static absl::StatusOr<TruthCollector> Create(const DatasetContext& context, std::string dataset);

  // Records a fault, or returns it as an InvalidArgument "file:line: message"; where there is no
  // log, a note is no fault.
  absl::Status Fault(Severity severity, ProblemKind kind, absl::string_view file, int64_t line,
                     std::string message);

  // Whether an image is left out for `error`, met in reading it (DatasetContext::bad_images), and
  // that is no fault; if so, it has been named. With a problem log it is one, for the caller to
  // record. Keeps its place either way.
  bool SkipBadImage(const absl::Status& error);

  // The next image is left out, but has its place among all (DatasetContext::bad_images).
  void KeepPlace();

  // Declares a class, whether or not an object is of it, with its id in the files (COCO) and its
  // line in the file that the set is, if it is one; in the order that labels get when the
  // experiment lists none. Before the first object; who declares one class declares all. Without a
  // name it is a fault, and its objects are left out.
  absl::Status AddClass(absl::string_view name, int64_t source_id, int64_t line = 0);

  // The index of an image that is left out; AddObject leaves its objects out, too.
  static constexpr int64_t kLeftOut = -1;

  // An image, its `objects` empty and its `line` set; `annotation_file` is what
  // Dataset::AnnotationFile answers. Returns its index. A size larger than any that is decoded
  // (CheckPixels) is a fault, of who states it.
  absl::StatusOr<int64_t> AddImage(Annotations image, std::string annotation_file);

  // An image that the files name, but of which so little is known that it is not added.
  void LeaveOut(std::string file_name) { files_.left_out.push_back(std::move(file_name)); }

  // An object of image `index`; `object.box` as the file says, in pixels, `object.line` set. An
  // `area` of 0 becomes that of the cut box; an `id` of 0, the number of the object from 1.
  absl::Status AddObject(int64_t index, Annotation object, absl::string_view class_name);

  // The dataset of images below `image_folder`. Without declared classes and labels, classes are
  // the objects' names, sorted. With `drop_images_without_objects`, images that have nothing but
  // crowds are left out, and the dataset may be empty; a bad image counts as one with objects.
  // \error InvalidArgument without an image.
  absl::StatusOr<std::unique_ptr<Dataset>> Finish(std::string image_folder,
                                                  bool drop_images_without_objects = false) &&;

 private:
  // Objects of a class that nobody knows.
  struct UnknownClass {
    int64_t objects = 0;
    std::string file;  // of the first
    int64_t line = 0;
    std::string message;
  };

  TruthCollector(const DatasetContext& context, std::string dataset, ClassRenaming renaming);

  // As the files have it.
  struct DeclaredClass {
    int64_t source_id = 0;
    int64_t line = 0;
  };

  // Numbers of classes that have none.
  static constexpr int64_t kDropped = 0;  // by the class map
  static constexpr int64_t kUnknown = -1;

  // The number of a class by its name in the files, from 1: its place in labels_.
  int64_t NumberOfClass(absl::string_view name);
  // An object of a class of number kUnknown.
  absl::Status AddUnknown(int64_t index, const Annotation& object, absl::string_view class_name);
  // "object 7 'cat' of image 'a.png'".
  std::string Describe(int64_t index, const Annotation& object, absl::string_view class_name) const;
  // Cuts the box of an object of class `class_name`; false if nothing is left of it.
  absl::StatusOr<bool> CutBox(int64_t index, Annotation& object, absl::string_view class_name);
  const std::string& FileOf(int64_t index) const { return files_.paths[files_.of_image[index]]; }
  // Renumbers classes that were collected from objects: by name, without those that have none.
  void SortClasses();
  // What the files declare of the classes: their ids and lines.
  void SetDeclared();
  void DropImagesWithoutObjects();

  ProblemLog* problems_;
  std::vector<int64_t>* bad_images_;
  std::string dataset_;
  ClassRenaming renaming_;
  bool labels_given_;
  LabelMap labels_;                                              // names by number
  std::map<std::string, int64_t, std::less<>> number_of_class_;  // of labels_
  std::map<std::string, int64_t, std::less<>> number_of_name_;   // by names in files
  std::map<std::string, int64_t, std::less<>> declared_;         // ids by names in files
  std::map<std::string, DeclaredClass, std::less<>> classes_;    // declared ones by names here
  std::map<std::string, UnknownClass, std::less<>> unknown_;     // by names in files
  std::vector<Annotations> images_;  // Annotation::label is a class's number
  AnnotationFiles files_;
  int64_t objects_ = 0;  // kept
  int64_t boxes_ = 0;    // given
  int64_t dropped_ = 0;  // for their boxes
  std::string first_dropped_;
  std::string first_error_;  // of those that Fault() or SkipBadImage() did not return
};

}  // namespace ssd

#endif  // DATA_TRUTH_COLLECTOR_H_
