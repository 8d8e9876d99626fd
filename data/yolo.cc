#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "data/image_file.h"
#include "data/read_in_parallel.h"
#include "data/truth_collector.h"
#include "data/yolo_text.h"
#include "ssd/core/annotations.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

// YOLO's text files (https://docs.ultralytics.com/datasets/detect): images in a folder and its
// subfolders, sorted by path, or those of a list, in its order; for each one a text file with a
// line "class cx cy w h" for each object, as shares of the image. An image without its file, or
// with an empty one, is an image without objects. Ids of images are their places, from 1; those of
// classes are the files', from 0; classes keep the order of `names`. Boxes are cut to the image;
// those of which nothing is left are dropped with a warning.
//   yolo { images: "images/train" names: "data.yaml" }
//   yolo { images: "photos" labels: "texts" names: "classes.txt" }
class YoloDataset {
 public:
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(const YoloOptions& options,
                                                         const DatasetContext& context);
};

// An image and what is read of it.
struct YoloImage {
  std::string name;  // below the folder of the dataset
  int64_t line = 0;  // in the list of images, if there is one
  std::string label_file;
  absl::StatusOr<ImageSize> size;
  absl::StatusOr<YoloLabels> labels;
};

struct YoloImages {
  fs::path folder;
  bool are_listed = false;
  std::vector<YoloImage> images;
};

absl::StatusOr<YoloImages> SearchFolder(const fs::path& folder) {
  YoloImages found;
  found.folder = folder;
  std::vector<std::string> names;
  std::error_code error;
  for (fs::recursive_directory_iterator
           entry(folder, fs::directory_options::follow_directory_symlink, error),
       end;
       !error && entry != end; entry.increment(error)) {
    if (!IsImageName(entry->path().filename().string())) continue;
    if (std::error_code ignored; !fs::is_regular_file(entry->path(), ignored)) continue;
    names.push_back(entry->path().lexically_relative(folder).string());
  }
  if (error) return FileError(error.value(), "cannot list", folder.string());
  std::sort(names.begin(), names.end());
  for (std::string& name : names) {
    found.images.emplace_back();
    found.images.back().name = std::move(name);
  }
  return found;
}

absl::StatusOr<YoloImages> ReadList(const fs::path& path, TruthCollector& truths) {
  SSD_ASSIGN_OR_RETURN(const std::string content, ReadFile(path.string()));
  YoloImages found;
  found.folder = path.parent_path();
  found.are_listed = true;
  std::set<std::string> seen;
  int64_t number = 0;
  for (const absl::string_view line : absl::StrSplit(content, '\n')) {
    ++number;
    const std::string stripped(absl::StripAsciiWhitespace(line));
    if (stripped.empty()) continue;
    std::string name = fs::path(stripped).lexically_normal().string();
    if (!seen.insert(name).second) {
      SSD_RETURN_IF_ERROR(
          truths.Fault(Severity::kError, ProblemKind::kDuplicateImageId, path.string(), number,
                       absl::StrCat("image '", name, "' is listed twice; delete one line")));
      continue;
    }
    found.images.emplace_back();
    found.images.back().name = std::move(name);
    found.images.back().line = number;
  }
  return found;
}

// `image` with its last folder `images` named `labels`, and .txt; nullopt if there is none.
std::optional<fs::path> LabelFileBeside(const fs::path& image) {
  std::vector<fs::path> parts(image.begin(), image.end());
  for (size_t i = parts.size(); i > 1; --i) {
    fs::path& part = parts[i - 2];
    if (part != "images") continue;
    part = "labels";
    fs::path label_file;
    for (const fs::path& each : parts) label_file /= each;
    return label_file.replace_extension(".txt");
  }
  return std::nullopt;
}

absl::Status NameLabelFiles(const YoloOptions& options, YoloImages& found) {
  const fs::path folder(options.labels());
  if (std::error_code ignored; options.has_labels() && !fs::is_directory(folder, ignored)) {
    return absl::NotFoundError(
        absl::StrCat(folder.string(), ": no such folder; correct yolo.labels"));
  }
  for (YoloImage& image : found.images) {
    const fs::path name(image.name);
    if (options.has_labels()) {
      fs::path label_file = folder / (found.are_listed ? name.filename() : name);
      image.label_file = label_file.replace_extension(".txt").string();
      continue;
    }
    const std::optional<fs::path> label_file = LabelFileBeside(found.folder / name);
    if (!label_file) {
      return absl::InvalidArgumentError(
          absl::StrCat((found.folder / name).string(),
                       ": in no folder called images, beside which one called labels might be; set "
                       "yolo.labels"));
    }
    image.label_file = label_file->string();
  }
  return absl::OkStatus();
}

void ReadImage(const fs::path& folder, YoloImage& image) {
  image.size = ReadImageSize((folder / image.name).string());
  const absl::StatusOr<std::string> text = ReadFile(image.label_file);
  if (text.ok()) {
    image.labels = ParseYoloLabels(*text);
  } else {
    image.labels = text.status();
  }
}

// Joins images, labels and class names.
class YoloJoin {
 public:
  YoloJoin(const YoloOptions& options, std::vector<std::string> names, TruthCollector& truths)
      : options_(options), names_(std::move(names)), truths_(truths) {}

  absl::Status Add(const YoloImages& found) {
    int64_t id = 0;
    for (const YoloImage& image : found.images) {
      SSD_RETURN_IF_ERROR(AddImage(found, image, ++id));
    }
    return absl::OkStatus();
  }

  // Label files in the folders of those that belong to images, for which there is no image.
  absl::Status FindLonelyLabels(const YoloImages& found) {
    std::set<std::string> expected = {fs::path(options_.names()).lexically_normal().string()};
    std::set<std::string> folders;
    for (const YoloImage& image : found.images) {
      const fs::path file = fs::path(image.label_file).lexically_normal();
      expected.insert(file.string());
      folders.insert(file.parent_path().string());
    }
    for (const std::string& folder : folders) {
      std::vector<std::string> lonely;
      std::error_code error;
      for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
           entry.increment(error)) {
        const fs::path& file = entry->path();
        // Some programs for annotation leave classes.txt, the names, beside the labels.
        if (file.extension() != ".txt" || file.filename() == "classes.txt") continue;
        if (expected.count(file.string()) == 0) lonely.push_back(file.string());
      }
      std::sort(lonely.begin(), lonely.end());
      for (const std::string& file : lonely) {
        SSD_RETURN_IF_ERROR(truths_.Fault(Severity::kWarning, ProblemKind::kMissingImage, file, 0,
                                          "labels of no image; add the image or delete the file"));
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status AddImage(const YoloImages& found, const YoloImage& image, int64_t id) {
    if (!image.size.ok()) return ImageFault(found, image);
    const bool has_labels = image.labels.ok();
    if (!has_labels && !absl::IsNotFound(image.labels.status())) {
      truths_.LeaveOut(image.name);
      return truths_.Fault(Severity::kError, ProblemKind::kUnreadableAnnotation, image.label_file,
                           0, MessageWithoutFile(image.labels.status(), image.label_file));
    }
    const bool has_objects = has_labels && !image.labels->objects.empty();
    const int64_t line = has_objects ? image.labels->objects.front().line : 0;
    SSD_ASSIGN_OR_RETURN(const int64_t index,
                         truths_.AddImage({id, image.name, *image.size, {}, line},
                                          has_labels ? image.label_file : ""));
    if (!has_labels) {
      return truths_.Fault(
          Severity::kNote, ProblemKind::kMissingAnnotation, image.label_file, 0,
          absl::StrCat("no such file; image '", image.name, "' counts as one without objects"));
    }
    for (const YoloFault& fault : image.labels->faults) {
      SSD_RETURN_IF_ERROR(truths_.Fault(Severity::kError, ProblemKind::kUnreadableAnnotation,
                                        image.label_file, fault.line, fault.message));
    }
    const double width = static_cast<double>(image.size->width);
    const double height = static_cast<double>(image.size->height);
    for (const YoloObject& given : image.labels->objects) {
      if (given.class_index >= static_cast<int64_t>(names_.size())) {
        SSD_RETURN_IF_ERROR(truths_.Fault(
            Severity::kError, ProblemKind::kUnknownLabel, image.label_file, given.line,
            absl::StrCat("class ", given.class_index, " is none of the ", names_.size(),
                         " that have names, from 0; name it in ",
                         options_.has_names() ? options_.names() : "data.label",
                         " or correct the line")));
        continue;
      }
      Annotation object;
      object.box = {given.box.x0 * width, given.box.y0 * height, given.box.x1 * width,
                    given.box.y1 * height};
      object.line = given.line;
      SSD_RETURN_IF_ERROR(
          truths_.AddObject(index, object, names_[static_cast<size_t>(given.class_index)]));
    }
    return absl::OkStatus();
  }

  absl::Status ImageFault(const YoloImages& found, const YoloImage& image) {
    truths_.LeaveOut(image.name);
    if (truths_.SkipBadImage(image.size.status())) return absl::OkStatus();
    const std::string file = (found.folder / image.name).string();
    if (absl::IsNotFound(image.size.status()) && found.are_listed) {
      return truths_.Fault(Severity::kError, ProblemKind::kMissingImage, options_.images(),
                           image.line,
                           absl::StrCat("no file ", file, "; add it or delete the line"));
    }
    return truths_.Fault(Severity::kError, ProblemKind::kUnreadableImage, file, 0,
                         MessageWithoutFile(image.size.status(), file));
  }

  const YoloOptions& options_;
  const std::vector<std::string> names_;
  TruthCollector& truths_;
};

absl::StatusOr<std::vector<std::string>> ClassNames(const YoloOptions& options,
                                                    const DatasetContext& context) {
  if (options.has_names()) {
    SSD_ASSIGN_OR_RETURN(const std::string text, ReadFile(options.names()));
    return ParseYoloNames(text, options.names());
  }
  if (!context.labels.empty()) return context.labels;
  return absl::InvalidArgumentError(
      "yolo.names is not set and data.label is empty, so the classes have no names; give a text "
      "file with one a line, or the data.yaml");
}

absl::StatusOr<std::unique_ptr<Dataset>> YoloDataset::Create(const YoloOptions& options,
                                                             const DatasetContext& context) {
  const fs::path path(options.images());
  if (path.empty()) {
    return absl::InvalidArgumentError(
        "yolo.images is not set; give the folder of the images, or a text file that lists them");
  }
  std::error_code ignored;
  const bool is_folder = fs::is_directory(path, ignored);
  if (!is_folder && !fs::is_regular_file(path, ignored)) {
    return absl::NotFoundError(
        absl::StrCat(path.string(), ": neither a folder nor a list; correct yolo.images"));
  }
  SSD_ASSIGN_OR_RETURN(std::vector<std::string> names, ClassNames(options, context));
  SSD_ASSIGN_OR_RETURN(TruthCollector truths, TruthCollector::Create(context, path.string()));
  for (size_t i = 0; i < names.size(); ++i) {
    SSD_RETURN_IF_ERROR(truths.AddClass(names[i], static_cast<int64_t>(i)));
  }
  SSD_ASSIGN_OR_RETURN(YoloImages found, is_folder ? SearchFolder(path) : ReadList(path, truths));
  if (found.images.empty()) {
    return absl::NotFoundError(absl::StrCat(path.string(), ": no image; correct yolo.images"));
  }
  SSD_RETURN_IF_ERROR(NameLabelFiles(options, found));
  ReadInParallel(found.images.size(),
                 [&found](size_t i) { ReadImage(found.folder, found.images[i]); });
  if (std::none_of(found.images.begin(), found.images.end(),
                   [](const YoloImage& image) { return image.labels.ok(); })) {
    return absl::NotFoundError(absl::StrCat(
        found.images.front().label_file, ": no such file, and none of the ", found.images.size(),
        " images of ", path.string(), " has its labels; correct yolo.labels"));
  }
  YoloJoin join(options, std::move(names), truths);
  SSD_RETURN_IF_ERROR(join.Add(found));
  // A list may be of some images of a folder whose others have labels too.
  if (context.problems != nullptr && !found.are_listed) {
    SSD_RETURN_IF_ERROR(join.FindLonelyLabels(found));
  }
  return std::move(truths).Finish(found.folder.string());
}

SSD_REGISTER_DATASET(YoloOptions, YoloDataset);

}  // namespace
}  // namespace ssd
