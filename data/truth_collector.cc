#include "data/truth_collector.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "data/image_header.h"
#include "data/label_index.h"
#include "ssd/core/geometry.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {

absl::StatusOr<TruthCollector> TruthCollector::Create(const DatasetContext& context,
                                                      std::string dataset) {
  SSD_RETURN_IF_ERROR(LabelIndex::Create(context.labels).status());
  SSD_ASSIGN_OR_RETURN(ClassRenaming renaming, ClassRenaming::Create(context.class_map));
  return TruthCollector(context, std::move(dataset), std::move(renaming));
}

TruthCollector::TruthCollector(const DatasetContext& context, std::string dataset,
                               ClassRenaming renaming)
    : problems_(context.problems),
      bad_images_(context.bad_images),
      dataset_(std::move(dataset)),
      renaming_(std::move(renaming)),
      labels_given_(!context.labels.empty()) {
  labels_.names = context.labels;
  for (const std::string& name : labels_.names) {
    number_of_class_.emplace(name, static_cast<int64_t>(number_of_class_.size()) + 1);
  }
}

absl::Status TruthCollector::Fault(Severity severity, ProblemKind kind, absl::string_view file,
                                   int64_t line, std::string message) {
  const std::string text =
      absl::StrCat(file, line > 0 ? absl::StrCat(":", line) : "", ": ", message);
  if (problems_ != nullptr) {
    if (severity == Severity::kError && first_error_.empty()) first_error_ = text;
    problems_->Add({severity, kind, std::string(file), line, std::move(message)});
    return absl::OkStatus();
  }
  if (severity == Severity::kNote) return absl::OkStatus();
  return absl::InvalidArgumentError(text);
}

bool TruthCollector::SkipBadImage(const absl::Status& error) {
  if (bad_images_ == nullptr || !IsBadImage(error)) return false;
  KeepPlace();
  if (problems_ != nullptr) return false;
  if (first_error_.empty()) first_error_ = std::string(error.message());
  LOG(WARNING) << error.message() << "; the image is left out";
  return true;
}

void TruthCollector::KeepPlace() {
  if (bad_images_ == nullptr) return;
  bad_images_->push_back(static_cast<int64_t>(images_.size() + bad_images_->size()));
}

absl::Status TruthCollector::AddClass(absl::string_view name, int64_t source_id, int64_t line) {
  if (absl::StripAsciiWhitespace(name).empty()) {
    number_of_name_.emplace(std::string(name), kDropped);
    return Fault(Severity::kError, ProblemKind::kUnreadableAnnotation, dataset_, line,
                 absl::StrCat("category ", source_id, " has an empty or blank name; give it one"));
  }
  const auto [declared, is_new] = declared_.emplace(std::string(name), source_id);
  if (!is_new) {
    return Fault(Severity::kError, ProblemKind::kDuplicateCategory, dataset_, line,
                 absl::StrCat("categories ", declared->second, " and ", source_id,
                              " are both named '", name, "'; rename one"));
  }
  const std::optional<std::string> renamed = renaming_.Apply(name);
  if (!renamed) return absl::OkStatus();
  // Of classes that are merged, the first one's id stays.
  classes_.emplace(*renamed, DeclaredClass{source_id, line});
  if (labels_given_) return absl::OkStatus();
  if (number_of_class_.emplace(*renamed, labels_.num_classes() + 1).second) {
    labels_.names.push_back(*renamed);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> TruthCollector::AddImage(Annotations image, std::string annotation_file) {
  const absl::Status size = CheckPixels(absl::StrCat("image '", image.file_name, "'"), image.size);
  if (!size.ok()) {
    SSD_RETURN_IF_ERROR(Fault(Severity::kError, ProblemKind::kUnreadableImage,
                              annotation_file.empty() ? dataset_ : annotation_file, image.line,
                              std::string(size.message())));
    LeaveOut(std::move(image.file_name));
    return kLeftOut;
  }
  // Images of one file come together.
  if (files_.paths.empty() || files_.paths.back() != annotation_file) {
    files_.paths.push_back(std::move(annotation_file));
  }
  files_.of_image.push_back(static_cast<int64_t>(files_.paths.size()) - 1);
  images_.push_back(std::move(image));
  return static_cast<int64_t>(images_.size()) - 1;
}

absl::Status TruthCollector::AddObject(int64_t index, Annotation object,
                                       absl::string_view class_name) {
  if (index == kLeftOut) return absl::OkStatus();
  const int64_t number = NumberOfClass(class_name);
  if (number == kDropped) return absl::OkStatus();
  if (number == kUnknown) return AddUnknown(index, object, class_name);
  SSD_ASSIGN_OR_RETURN(const bool is_left, CutBox(index, object, class_name));
  if (!is_left) return absl::OkStatus();
  ++objects_;
  object.label = number;
  if (object.area == 0) object.area = object.box.area();
  if (object.id == 0) object.id = objects_;
  images_[index].objects.push_back(object);
  return absl::OkStatus();
}

int64_t TruthCollector::NumberOfClass(absl::string_view name) {
  const auto known = number_of_name_.find(name);
  if (known != number_of_name_.end()) return known->second;
  int64_t number = kDropped;
  if (const std::optional<std::string> renamed = renaming_.Apply(name)) {
    const auto found = number_of_class_.find(*renamed);
    if (found != number_of_class_.end()) {
      number = found->second;
    } else if (labels_given_ || !declared_.empty()) {
      number = kUnknown;
    } else {
      labels_.names.push_back(*renamed);
      number = labels_.num_classes();
      number_of_class_.emplace(*renamed, number);
    }
  }
  number_of_name_.emplace(std::string(name), number);
  return number;
}

std::string TruthCollector::Describe(int64_t index, const Annotation& object,
                                     absl::string_view class_name) const {
  return absl::StrCat("object ", object.id != 0 ? absl::StrCat(object.id, " ") : "", "'",
                      class_name, "' of image '", images_[index].file_name, "'");
}

absl::Status TruthCollector::AddUnknown(int64_t index, const Annotation& object,
                                        absl::string_view class_name) {
  UnknownClass& unknown = unknown_[std::string(class_name)];
  if (++unknown.objects > 1) return absl::OkStatus();
  unknown.file = FileOf(index);
  unknown.line = object.line;
  SSD_ASSIGN_OR_RETURN(const LabelIndex known, LabelIndex::Create(labels_.names));
  const std::string name = renaming_.Apply(class_name).value_or(std::string(class_name));
  unknown.message =
      std::string(known.Find(name, Describe(index, object, class_name)).status().message());
  if (problems_ != nullptr) return absl::OkStatus();  // told at the end, with the count
  return Fault(Severity::kError, ProblemKind::kUnknownLabel, unknown.file, unknown.line,
               unknown.message);
}

absl::StatusOr<bool> TruthCollector::CutBox(int64_t index, Annotation& object,
                                            absl::string_view class_name) {
  const ImageSize size = images_[index].size;
  const PixelBox box = object.box;
  const auto message = [&](absl::string_view fault) {
    return absl::StrCat(Describe(index, object, class_name), ": box (", box.x0, ", ", box.y0,
                        ") to (", box.x1, ", ", box.y1, ") ", fault, "; the image is ", size.width,
                        "x", size.height);
  };
  const auto report = [&](Severity severity, ProblemKind kind, absl::string_view fault) {
    return Fault(severity, kind, FileOf(index), object.line, message(fault));
  };

  ++boxes_;
  if (!std::isfinite(box.x0) || !std::isfinite(box.y0) || !std::isfinite(box.x1) ||
      !std::isfinite(box.y1)) {
    SSD_RETURN_IF_ERROR(report(Severity::kError, ProblemKind::kBoxNotFinite, "is not finite"));
    return false;
  }
  object.box = Clip(box, size);
  const double width = static_cast<double>(size.width);
  const double height = static_cast<double>(size.height);
  if (object.box.width() > 0 && object.box.height() > 0) {
    if (problems_ == nullptr) return true;
    // Coordinates are written with two decimals, and some count pixels from 0 where the format says
    // 1: neither deserves a warning.
    constexpr double kRounding = 0.02;
    constexpr double kPixel = 1;
    const double outside = std::max({-box.x0, -box.y0, box.x1 - width, box.y1 - height});
    if (outside > kRounding) {
      SSD_RETURN_IF_ERROR(report(outside > kPixel ? Severity::kWarning : Severity::kNote,
                                 ProblemKind::kBoxOutside,
                                 absl::StrCat("reaches ", outside, " pixels out of the image")));
    }
    return true;
  }

  ++dropped_;
  const bool is_inverted = box.x1 < box.x0 || box.y1 < box.y0;
  const bool is_outside = box.x0 >= width || box.y0 >= height || box.x1 <= 0 || box.y1 <= 0;
  const char* const fault = is_inverted  ? "is inverted"
                            : is_outside ? "is outside the image"
                                         : "has no area";
  if (problems_ != nullptr) {
    SSD_RETURN_IF_ERROR(report(is_inverted ? Severity::kError : Severity::kWarning,
                               is_inverted ? ProblemKind::kBoxInverted : ProblemKind::kBoxEmpty,
                               fault));
  } else if (first_dropped_.empty()) {
    first_dropped_ = absl::StrCat(FileOf(index), ":", object.line, ": ", message(fault));
  }
  return false;
}

void TruthCollector::SortClasses() {
  std::vector<bool> is_used(labels_.names.size() + 1, false);  // by number
  for (const Annotations& image : images_) {
    for (const Annotation& object : image.objects) is_used[object.label] = true;
  }
  std::vector<int64_t> label_of(is_used.size(), 0);
  labels_.names.clear();
  for (const auto& [name, number] : number_of_class_) {
    if (!is_used[number]) continue;
    labels_.names.push_back(name);
    label_of[number] = labels_.num_classes();
  }
  for (Annotations& image : images_) {
    for (Annotation& object : image.objects) object.label = label_of[object.label];
  }
}

void TruthCollector::SetDeclared() {
  std::set<int64_t> taken;
  for (const auto& declared : declared_) taken.insert(declared.second);
  // Classes that the files lack get ids above theirs.
  int64_t last = taken.empty() ? 0 : std::max<int64_t>(*taken.rbegin(), 0);
  if (last > std::numeric_limits<int64_t>::max() / 2) last = 0;
  for (const std::string& name : labels_.names) {
    FilePlace& place = files_.of_class.emplace_back();
    const auto found = classes_.find(name);
    if (found != classes_.end()) {
      labels_.source_ids.push_back(found->second.source_id);
      if (found->second.line > 0) place = {dataset_, found->second.line};
      continue;
    }
    do {
      ++last;
    } while (!taken.insert(last).second);
    labels_.source_ids.push_back(last);
  }
}

void TruthCollector::DropImagesWithoutObjects() {
  size_t kept = 0;
  std::vector<size_t> dropped;
  for (size_t i = 0; i < images_.size(); ++i) {
    const std::vector<Annotation>& objects = images_[i].objects;
    if (std::all_of(objects.begin(), objects.end(),
                    [](const Annotation& object) { return object.crowd; })) {
      LeaveOut(std::move(images_[i].file_name));
      dropped.push_back(i);
      continue;
    }
    if (kept != i) {
      images_[kept] = std::move(images_[i]);
      files_.of_image[kept] = files_.of_image[i];
    }
    ++kept;
  }
  images_.resize(kept);
  files_.of_image.resize(kept);
  if (bad_images_ == nullptr) return;
  for (size_t i = 0; i < bad_images_->size(); ++i) {
    int64_t& place = (*bad_images_)[i];
    const size_t images_before = static_cast<size_t>(place) - i;
    place -= std::lower_bound(dropped.begin(), dropped.end(), images_before) - dropped.begin();
  }
}

absl::StatusOr<std::unique_ptr<Dataset>> TruthCollector::Finish(
    std::string image_folder, bool drop_images_without_objects) && {
  for (const auto& entry : unknown_) {
    const UnknownClass& unknown = entry.second;
    SSD_RETURN_IF_ERROR(
        Fault(Severity::kError, ProblemKind::kUnknownLabel, unknown.file, unknown.line,
              absl::StrCat(unknown.message, " (", unknown.objects, " such objects are left out)")));
  }
  if (images_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        dataset_, ": no image that could be read; ",
        first_error_.empty() ? "add some" : absl::StrCat("the first problem: ", first_error_)));
  }
  if (problems_ == nullptr && dropped_ > 0) {
    LOG(WARNING) << absl::StrCat(
        dataset_, ": dropped ", dropped_, " of ", boxes_,
        " boxes that are empty or outside their image; the first: ", first_dropped_);
  }
  if (!labels_given_ && declared_.empty()) SortClasses();
  SetDeclared();
  if (drop_images_without_objects) DropImagesWithoutObjects();
  return std::make_unique<AnnotatedImages>(std::move(image_folder), std::move(images_),
                                           std::move(labels_), std::move(files_));
}

}  // namespace ssd
