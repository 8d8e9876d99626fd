#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "data/coco_json.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "data/file_presence.h"
#include "data/image_file.h"
#include "data/truth_collector.h"
#include "ssd/core/annotations.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

// COCO's instances format (https://cocodataset.org/#format-data). Ids may have holes and any order;
// images keep the file's order and ids. Classes are the categories by ascending id, or, where the
// experiment lists its labels, found by name: a category without annotations need not be listed,
// and a listed class that the file lacks gets a source id above the file's. Boxes are cut to the
// image; those of which nothing is left are dropped with a warning. `area` is the file's (the
// mask's), else the box's. A width or height that is missing, null or 0 is read from the image. A
// file without annotations (image_info_test2017.json) is a set of images without truths.
//   coco { annotations: "instances_val2017.json" images: "val2017" }
class CocoDataset {
 public:
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(const CocoOptions& options,
                                                         const DatasetContext& context);
};

// Joins the lists of one file.
class CocoJoin {
 public:
  CocoJoin(std::string path, fs::path folder, const DatasetContext& context, TruthCollector& truths)
      : path_(std::move(path)), folder_(std::move(folder)), context_(context), truths_(truths) {}

  absl::Status AddCategories(std::vector<CocoCategory> categories) {
    std::stable_sort(categories.begin(), categories.end(),
                     [](const CocoCategory& a, const CocoCategory& b) { return a.id < b.id; });
    int64_t hole_line = 0;  // of the category after the first hole
    for (CocoCategory& category : categories) {
      const auto [known, is_new] = categories_.emplace(category.id, std::move(category.name));
      if (is_new) {
        // The first whose id is not its place among the ids.
        if (hole_line == 0 && category.id != static_cast<int64_t>(categories_.size())) {
          hole_line = category.line;
        }
        SSD_RETURN_IF_ERROR(truths_.AddClass(known->second, category.id, category.line));
      } else {
        SSD_RETURN_IF_ERROR(Fault(ProblemKind::kDuplicateCategory, category.line,
                                  absl::StrCat("category ", category.id,
                                               ": another category has the same id; ids must "
                                               "differ")));
      }
    }
    const std::string holes = Holes();
    if (holes.empty()) return absl::OkStatus();
    return truths_.Fault(
        Severity::kNote, ProblemKind::kCategoryHole, path_, hole_line,
        absl::StrCat("ids of the ", categories_.size(), " categories are not 1 to ",
                     categories_.size(), "; not used: ", holes));
  }

  absl::Status AddImages(std::vector<CocoImage> images) {
    std::unordered_set<std::string> names;
    index_of_image_.reserve(images.size());
    for (CocoImage& image : images) {
      const auto [known, is_new] = index_of_image_.emplace(image.id, kLeftOut);
      if (!is_new) {
        SSD_RETURN_IF_ERROR(
            Fault(ProblemKind::kDuplicateImageId, image.line,
                  absl::StrCat("image '", image.file_name, "': another image has the same id ",
                               image.id, "; ids must differ")));
        truths_.LeaveOut(std::move(image.file_name));
        continue;
      }
      if (context_.problems != nullptr) {
        // Costs a look at every file, which training leaves to the decoder.
        const std::string file = (folder_ / image.file_name).string();
        const absl::StatusOr<bool> is_file = IsFile(file);
        if (!is_file.ok()) {
          SSD_RETURN_IF_ERROR(Unreadable(std::move(image.file_name), file, is_file.status()));
          continue;
        }
        if (!*is_file) {
          truths_.KeepPlace();  // a run keeps the image, for its size is stated
          SSD_RETURN_IF_ERROR(Fault(ProblemKind::kMissingImage, image.line,
                                    absl::StrCat("image ", image.id, ": no file '", image.file_name,
                                                 "' in coco.images")));
          continue;
        }
        if (!names.insert(image.file_name).second) {
          SSD_RETURN_IF_ERROR(truths_.Fault(
              Severity::kWarning, ProblemKind::kDuplicateImageId, path_, image.line,
              absl::StrCat("image ", image.id, ": another image has the same file_name '",
                           image.file_name, "'")));
        }
      }
      if (image.size.width == 0 || image.size.height == 0) {
        const std::string file = (folder_ / image.file_name).string();
        const absl::StatusOr<ImageSize> size = ReadImageSize(file);
        if (!size.ok()) {
          SSD_RETURN_IF_ERROR(Unreadable(std::move(image.file_name), file, size.status()));
          continue;
        }
        image.size = *size;
      }
      SSD_ASSIGN_OR_RETURN(
          known->second,
          truths_.AddImage({image.id, std::move(image.file_name), image.size, {}, image.line},
                           path_));
    }
    return absl::OkStatus();
  }

  absl::Status AddAnnotations(const std::vector<CocoAnnotation>& annotations) {
    std::unordered_set<int64_t> ids;
    ids.reserve(annotations.size());
    int64_t largest_id = 0;
    for (const CocoAnnotation& annotation : annotations) {
      largest_id = std::max(largest_id, annotation.id);
    }
    const bool can_count_on = largest_id < std::numeric_limits<int64_t>::max();
    const int64_t unused_id = can_count_on ? largest_id + 1 : -1;
    for (const CocoAnnotation& annotation : annotations) {
      if (!ids.insert(annotation.id).second) {
        SSD_RETURN_IF_ERROR(Fault(ProblemKind::kDuplicateAnnotationId, annotation.line,
                                  absl::StrCat("annotation ", annotation.id,
                                               ": another annotation has the same id; ids must "
                                               "differ")));
        continue;
      }
      const auto image = index_of_image_.find(annotation.image_id);
      if (image == index_of_image_.end()) {
        SSD_RETURN_IF_ERROR(
            Fault(ProblemKind::kUnknownImage, annotation.line,
                  absl::StrCat("annotation ", annotation.id, ": image_id ", annotation.image_id,
                               " is not in images; add the image or delete the "
                               "annotation")));
        continue;
      }
      if (image->second == kLeftOut) continue;
      const auto category = categories_.find(annotation.category_id);
      if (category == categories_.end()) {
        SSD_RETURN_IF_ERROR(
            Fault(ProblemKind::kUnknownCategory, annotation.line,
                  absl::StrCat("annotation ", annotation.id, ": category_id ",
                               annotation.category_id, " is not in categories (ids ", CategoryIds(),
                               "); add the category or correct the annotation")));
        continue;
      }
      Annotation object;
      object.box = annotation.box;
      object.crowd = annotation.crowd;
      object.area = annotation.area;
      // 0 means none here, and in COCO's own evaluation: not matched.
      object.id = annotation.id != 0 ? annotation.id : unused_id;
      object.line = annotation.line;
      SSD_RETURN_IF_ERROR(truths_.AddObject(image->second, object, category->second));
    }
    return absl::OkStatus();
  }

 private:
  static constexpr int64_t kLeftOut = TruthCollector::kLeftOut;
  static constexpr size_t kMostListed = 20;

  absl::Status Fault(ProblemKind kind, int64_t line, std::string message) {
    return truths_.Fault(Severity::kError, kind, path_, line, std::move(message));
  }

  // Leaves out the image in `file`, for `status`, which names the file.
  absl::Status Unreadable(std::string name, const std::string& file, const absl::Status& status) {
    truths_.LeaveOut(std::move(name));
    if (truths_.SkipBadImage(status)) return absl::OkStatus();
    if (context_.problems == nullptr) return status;
    return truths_.Fault(Severity::kError, ProblemKind::kUnreadableImage, file, 0,
                         MessageWithoutFile(status, file));
  }

  std::string CategoryIds() const {
    std::vector<std::string> ids;
    for (const auto& category : categories_) {
      if (ids.size() == kMostListed) {
        ids.push_back("...");
        break;
      }
      ids.push_back(absl::StrCat(category.first));
    }
    return absl::StrJoin(ids, ", ");
  }

  // Ids from 1 to the largest that no category has; "0" and below if those are used.
  std::string Holes() const {
    std::vector<std::string> holes;
    int64_t last = 0;
    for (const auto& category : categories_) {
      const int64_t id = category.first;
      if (id > last + 1) {
        holes.push_back(id == last + 2 ? absl::StrCat(last + 1)
                                       : absl::StrCat(last + 1, "-", id - 1));
      }
      last = std::max(last, id);
    }
    if (holes.size() > kMostListed) {
      holes.resize(kMostListed);
      holes.push_back("...");
    }
    if (holes.empty() && static_cast<size_t>(last) != categories_.size()) {
      return absl::StrCat(categories_.size());  // they begin at 0 or below
    }
    return absl::StrJoin(holes, ", ");
  }

  const std::string path_;
  const fs::path folder_;
  const DatasetContext& context_;
  TruthCollector& truths_;
  std::map<int64_t, std::string> categories_;            // names by id
  std::unordered_map<int64_t, int64_t> index_of_image_;  // by id
};

// One look finds most wrong folders; looking for every image would take minutes on a file server.
// Where bad images are left out, the first may be one of them.
absl::Status LookForImages(const std::vector<CocoImage>& images, const fs::path& folder,
                           const std::string& path, const DatasetContext& context) {
  if (context.problems != nullptr) return absl::OkStatus();  // every image is looked for
  for (const CocoImage& image : images) {
    SSD_ASSIGN_OR_RETURN(const bool is_file, IsFile((folder / image.file_name).string()));
    if (is_file) return absl::OkStatus();
    if (context.bad_images == nullptr) break;
  }
  return absl::NotFoundError(absl::StrCat((folder / images.front().file_name).string(),
                                          ": no such image, though ", path,
                                          " lists it; correct coco.images"));
}

absl::StatusOr<std::unique_ptr<Dataset>> CocoDataset::Create(const CocoOptions& options,
                                                             const DatasetContext& context) {
  const std::string& path = options.annotations();
  if (path.empty()) {
    return absl::InvalidArgumentError(
        "coco.annotations is not set; give the JSON file of the instances");
  }
  if (options.images().empty()) {
    return absl::InvalidArgumentError("coco.images is not set; give the folder of the images");
  }
  const fs::path folder(options.images());
  if (std::error_code ignored; !fs::is_directory(folder, ignored)) {
    return absl::NotFoundError(
        absl::StrCat(folder.string(), ": no such folder; correct coco.images"));
  }

  SSD_ASSIGN_OR_RETURN(TruthCollector truths, TruthCollector::Create(context, path));
  const CocoFault fault = [&](int64_t line, const std::string& message) {
    return truths.Fault(Severity::kError, ProblemKind::kUnreadableAnnotation, path, line, message);
  };
  SSD_ASSIGN_OR_RETURN(CocoInstances instances, ReadCocoJson(path, fault));
  if (instances.images.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": no images; want COCO's instances format"));
  }
  if (instances.categories.empty() && context.labels.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": no categories; want COCO's instances format, or classes in data.label"));
  }
  SSD_RETURN_IF_ERROR(LookForImages(instances.images, folder, path, context));

  for (std::string& name : instances.left_out) truths.LeaveOut(std::move(name));
  CocoJoin join(path, folder, context, truths);
  SSD_RETURN_IF_ERROR(join.AddCategories(std::move(instances.categories)));
  SSD_RETURN_IF_ERROR(join.AddImages(std::move(instances.images)));
  SSD_RETURN_IF_ERROR(join.AddAnnotations(instances.annotations));
  SSD_ASSIGN_OR_RETURN(
      std::unique_ptr<Dataset> dataset,
      std::move(truths).Finish(folder.string(), options.drop_images_without_objects()));
  if (dataset->size() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": no image has an object; unset coco.drop_images_without_objects"));
  }
  return dataset;
}

SSD_REGISTER_DATASET(CocoOptions, CocoDataset);

}  // namespace
}  // namespace ssd
