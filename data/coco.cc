#include <rapidjson/error/en.h>
#include <rapidjson/filereadstream.h>
#include <rapidjson/reader.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "data/annotated_images.h"
#include "data/box_clipper.h"
#include "data/dataset.h"
#include "data/image_file.h"
#include "data/label_index.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

// What is kept of the JSON file's lists.
struct ImageEntry {
  int64_t id = 0;
  std::string file_name;
  ImageSize size;  // 0: not stated
};
struct AnnotationEntry {
  int64_t id = 0;
  int64_t image_id = 0;
  int64_t category_id = 0;
  PixelBox box;
  double area = 0;
  bool crowd = false;
};
struct Instances {
  std::vector<ImageEntry> images;
  std::vector<AnnotationEntry> annotations;
  std::map<int64_t, std::string> categories;  // id -> name
};

// Takes the events of RapidJSON's reader and keeps the fields above; everything else (segmentation,
// licences, captions) streams past. Returns false, with a message, for what is no instances file.
class InstancesHandler : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, InstancesHandler> {
 public:
  explicit InstancesHandler(Instances& instances) : instances_(instances) {}

  // What was wrong; empty for malformed JSON, which the reader itself finds.
  const std::string& error() const { return error_; }

  bool Null() { return Scalar({Value::kNull}); }
  bool Bool(bool value) { return Scalar({Value::kBool, value ? 1.0 : 0.0}); }
  // Numbers come as text: most of a file's are polygons' corners, which nobody reads.
  bool RawNumber(const char* text, rapidjson::SizeType length, bool) {
    Value value{Value::kNumber};
    const bool is_read = in_bbox_ || (depth_ == 3 && section_ != kElsewhere && IsRead(field_));
    if (!is_read) return Scalar(value);
    const absl::string_view number(text, length);
    if (int64_t integer; absl::SimpleAtoi(number, &integer)) {
      value.integer = integer;
      value.number = static_cast<double>(integer);
    } else if (absl::SimpleAtod(number, &value.number) && std::isfinite(value.number)) {
      // Some exporters write 12.0 where an integer is meant.
      constexpr double kExact = 9007199254740992.0;  // 2^53
      const bool is_integer = value.number == std::floor(value.number);
      if (is_integer && std::abs(value.number) <= kExact) {
        value.integer = static_cast<int64_t>(value.number);
      }
    } else {
      return Fail(absl::StrCat(ItemName(), ".", field_, ": number too big"));
    }
    return Scalar(value);
  }
  bool String(const char* text, rapidjson::SizeType length, bool) {
    Value value{Value::kString};
    value.text = absl::string_view(text, length);
    return Scalar(value);
  }
  bool Key(const char* text, rapidjson::SizeType length, bool) {
    if (depth_ == 1) {
      const absl::string_view key(text, length);
      section_ = key == "images"        ? kImages
                 : key == "annotations" ? kAnnotations
                 : key == "categories"  ? kCategories
                                        : kElsewhere;
      item_ = -1;
    } else if (depth_ == 3) {
      field_.assign(text, length);
    }
    return true;
  }
  bool StartObject() { return Start(/*is_object=*/true); }
  bool StartArray() { return Start(/*is_object=*/false); }
  bool EndObject(rapidjson::SizeType) { return End(); }
  bool EndArray(rapidjson::SizeType) { return End(); }

 private:
  enum Section { kElsewhere, kImages, kAnnotations, kCategories };

  struct Value {
    enum Kind { kNull, kBool, kNumber, kString } kind;
    double number = 0;
    std::optional<int64_t> integer = std::nullopt;
    absl::string_view text = {};
  };

  // The fields of the item being read.
  struct Item {
    std::optional<int64_t> id, image_id, category_id;
    std::optional<std::string> name;  // or file_name
    ImageSize size;
    std::vector<double> bbox;
    bool has_bbox = false;
    std::optional<double> area;
    bool crowd = false;
  };

  bool Fail(absl::string_view message) {
    error_.assign(message.data(), message.size());
    return false;
  }

  const char* SectionName() const {
    return section_ == kImages ? "images" : section_ == kAnnotations ? "annotations" : "categories";
  }
  std::string ItemName() const {
    return absl::StrCat(SectionName(), "[", item_, "]",
                        fields_.id ? absl::StrCat(" (id ", *fields_.id, ")") : "");
  }
  bool FailField(absl::string_view wanted) {
    return Fail(absl::StrCat(ItemName(), ".", field_, " is not ", wanted));
  }

  bool Start(bool is_object) {
    if (depth_ == 0 && !is_object) {
      return Fail(
          "the file is a list, as files of detections are; want an object with images, annotations "
          "and categories");
    }
    if (section_ != kElsewhere) {
      if (depth_ == 1 && is_object) return Fail(absl::StrCat(SectionName(), " is not a list"));
      if (depth_ == 2) {
        ++item_;
        fields_ = Item();
        if (!is_object) return Fail(absl::StrCat(ItemName(), " is not an object"));
      }
      if (depth_ == 3 && IsRead(field_)) {
        if (field_ != "bbox" || is_object) return FailField(Wanted(field_));
        in_bbox_ = fields_.has_bbox = true;
        fields_.bbox.clear();
      }
      if (depth_ == 4 && in_bbox_) return FailField(Wanted(field_));
    }
    constexpr int kDeepest = 100;
    if (++depth_ > kDeepest) {
      return Fail(absl::StrCat("malformed JSON: nested more than ", kDeepest, " deep"));
    }
    return true;
  }

  bool End() {
    --depth_;
    if (depth_ == 3) in_bbox_ = false;
    if (depth_ == 2 && section_ != kElsewhere) return EndItem();
    if (depth_ == 1) section_ = kElsewhere;
    return true;
  }

  bool Scalar(const Value& value) {
    if (depth_ == 0) return Fail("the file is no object; want images, annotations and categories");
    if (section_ == kElsewhere) return true;
    if (depth_ == 1) return Fail(absl::StrCat(SectionName(), " is not a list"));
    if (depth_ == 2) {
      ++item_;
      fields_ = Item();
      return Fail(absl::StrCat(ItemName(), " is not an object"));
    }
    if (depth_ == 4 && in_bbox_) {
      if (value.kind != Value::kNumber) return FailField(Wanted(field_));
      fields_.bbox.push_back(value.number);
      return true;
    }
    return depth_ != 3 || SetField(value);
  }

  bool IsRead(absl::string_view field) const {
    switch (section_) {
      case kImages:
        return field == "id" || field == "file_name" || field == "width" || field == "height";
      case kAnnotations:
        return field == "id" || field == "image_id" || field == "category_id" || field == "bbox" ||
               field == "area" || field == "iscrowd";
      case kCategories:
        return field == "id" || field == "name";
      case kElsewhere:
        break;
    }
    return false;
  }

  static const char* Wanted(absl::string_view field) {
    if (field == "bbox") return "a list of four numbers [x, y, width, height]";
    if (field == "file_name" || field == "name") return "a string";
    if (field == "area") return "a number";
    if (field == "iscrowd") return "0 or 1";
    return "an integer";
  }

  bool SetField(const Value& value) {
    if (!IsRead(field_)) return true;
    if (field_ == "file_name" || field_ == "name") {
      if (value.kind != Value::kString) return FailField(Wanted(field_));
      fields_.name.emplace(value.text.data(), value.text.size());
      return true;
    }
    // Sides and areas that are not known are often written as null.
    const bool may_be_null = field_ == "area" || field_ == "width" || field_ == "height";
    if (may_be_null && value.kind == Value::kNull) return true;
    if (field_ == "area") {
      if (value.kind != Value::kNumber) return FailField(Wanted(field_));
      fields_.area = value.number;
      return true;
    }
    if (field_ == "iscrowd") {
      const bool is_flag = value.kind == Value::kBool || value.integer.has_value();
      if (!is_flag || (value.number != 0 && value.number != 1)) return FailField(Wanted(field_));
      fields_.crowd = value.number != 0;
      return true;
    }
    if (!value.integer || field_ == "bbox") return FailField(Wanted(field_));
    if (field_ == "id") fields_.id = value.integer;
    if (field_ == "image_id") fields_.image_id = value.integer;
    if (field_ == "category_id") fields_.category_id = value.integer;
    if (field_ == "width") fields_.size.width = *value.integer;
    if (field_ == "height") fields_.size.height = *value.integer;
    return true;
  }

  bool Missing(absl::string_view field) {
    return Fail(absl::StrCat(ItemName(), " has no ", field, ", ", Wanted(field)));
  }

  bool EndItem() {
    if (!fields_.id) return Missing("id");
    switch (section_) {
      case kImages:
        if (!fields_.name) return Missing("file_name");
        if (fields_.size.width < 0 || fields_.size.height < 0) {
          return Fail(absl::StrCat(ItemName(), ": ", fields_.size.width, "x", fields_.size.height,
                                   " pixels; want the image's width and height"));
        }
        instances_.images.push_back({*fields_.id, std::move(*fields_.name), fields_.size});
        return true;
      case kAnnotations: {
        if (!fields_.image_id) return Missing("image_id");
        if (!fields_.category_id) return Missing("category_id");
        if (!fields_.has_bbox) return Missing("bbox");
        const std::vector<double>& bbox = fields_.bbox;
        field_ = "bbox";
        if (bbox.size() != 4) return FailField(Wanted(field_));
        const PixelBox box{bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]};
        instances_.annotations.push_back({*fields_.id, *fields_.image_id, *fields_.category_id, box,
                                          fields_.area.value_or(bbox[2] * bbox[3]), fields_.crowd});
        return true;
      }
      case kCategories:
        if (!fields_.name) return Missing("name");
        if (!instances_.categories.emplace(*fields_.id, std::move(*fields_.name)).second) {
          return Fail(absl::StrCat(ItemName(), ": another category has the same id"));
        }
        return true;
      case kElsewhere:
        break;
    }
    return true;
  }

  Instances& instances_;
  std::string error_;
  int depth_ = 0;                 // 1 in the file's object, 2 in a list, 3 in an item, 4 in a field
  Section section_ = kElsewhere;  // the list at depth 1
  int64_t item_ = -1;             // place in the list
  std::string field_;
  bool in_bbox_ = false;
  Item fields_;
};

// "line:column" of a byte of a file, both from 1.
std::string LineAndColumn(std::FILE* file, size_t offset) {
  std::rewind(file);
  size_t line = 1, column = 1;
  for (size_t i = 0; i < offset; ++i) {
    const int byte = std::getc(file);
    if (byte == EOF) break;
    ++column;
    if (byte == '\n') {
      ++line;
      column = 1;
    }
  }
  return absl::StrCat(line, ":", column);
}

absl::StatusOr<Instances> ReadInstances(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return FileError(errno, "cannot read", path);
  const absl::Cleanup close_file = [file] { std::fclose(file); };
  if (std::error_code ignored; fs::is_directory(path, ignored)) {
    return FileError(EISDIR, "cannot read", path);
  }

  // RapidJSON's reader knows no byte order mark.
  constexpr absl::string_view kMark = "\xef\xbb\xbf";
  char start[3] = {};
  const size_t read = std::fread(start, 1, sizeof(start), file);
  const bool has_mark = absl::string_view(start, read) == kMark;
  const size_t skipped = has_mark ? kMark.size() : 0;
  std::fseek(file, static_cast<long>(skipped), SEEK_SET);  // NOLINT(google-runtime-int): C's type

  Instances instances;
  InstancesHandler handler(instances);
  std::vector<char> buffer(size_t{1} << 16);
  rapidjson::FileReadStream stream(file, buffer.data(), buffer.size());
  rapidjson::Reader reader;
  // The reader recurses, twice as fast as iterating; the handler bounds how deep.
  constexpr unsigned kFlags =
      rapidjson::kParseNumbersAsStringsFlag | rapidjson::kParseValidateEncodingFlag;
  const rapidjson::ParseResult result = reader.Parse<kFlags>(stream, handler);
  if (std::ferror(file) != 0) return FileError(EIO, "cannot read", path);
  if (result) return instances;
  const std::string where =
      absl::StrCat(path, ":", LineAndColumn(file, skipped + result.Offset()), ": ");
  if (!handler.error().empty()) return absl::InvalidArgumentError(where + handler.error());
  return absl::InvalidArgumentError(
      absl::StrCat(where, "malformed JSON: ", rapidjson::GetParseError_En(result.Code()),
                   " Is the file complete (byte ", skipped + result.Offset(), ")?"));
}

// COCO's instances format (https://cocodataset.org/#format-data). Ids may have holes and any order;
// images keep the file's order and ids. Classes are the categories by ascending id, or, where the
// experiment lists its labels, found by name: a category without annotations need not be listed,
// and a listed class that the file lacks gets a source id above the file's. Boxes are cut to the
// image; those of which nothing is left are dropped with a warning. `area` is the file's (the
// mask's), else the box's. A width or height that is missing, null or 0 is read from the image.
//   coco { annotations: "instances_val2017.json" images: "val2017" }
class CocoDataset : public AnnotatedImages {
 public:
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(const CocoOptions& options,
                                                         const DatasetContext& context);

 private:
  using AnnotatedImages::AnnotatedImages;
};

// Labels of the file's categories.
class Categories {
 public:
  static absl::StatusOr<Categories> Create(const std::string& path,
                                           std::map<int64_t, std::string> names,
                                           const DatasetContext& context) {
    Categories categories;
    categories.names_ = std::move(names);
    std::map<std::string, int64_t> ids;
    for (const auto& [id, name] : categories.names_) {
      const auto [other, is_new] = ids.emplace(name, id);
      if (!is_new) {
        return absl::InvalidArgumentError(absl::StrCat(path, ": categories ", other->second,
                                                       " and ", id, " are both named '", name,
                                                       "'; rename one"));
      }
    }
    LabelMap& labels = categories.labels_;
    if (context.labels.empty()) {
      for (const auto& [id, name] : categories.names_) labels.names.push_back(name);
    } else {
      labels.names = context.labels;
    }
    int64_t unused = categories.names_.empty() ? 0 : categories.names_.rbegin()->first;
    for (const std::string& name : labels.names) {
      const auto found = ids.find(name);
      labels.source_ids.push_back(found != ids.end() ? found->second : ++unused);
    }
    SSD_ASSIGN_OR_RETURN(categories.index_, LabelIndex::Create(labels.names));
    return categories;
  }

  const LabelMap& labels() const { return labels_; }

  absl::StatusOr<int64_t> LabelOf(int64_t category_id, absl::string_view where) const {
    const auto found = names_.find(category_id);
    if (found != names_.end()) return index_.Find(found->second, where);
    std::vector<int64_t> known;
    for (const auto& entry : names_) known.push_back(entry.first);
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": category_id ", category_id, " is not in categories (ids ",
                     absl::StrJoin(known, ", "), "); add the category or correct the annotation"));
  }

 private:
  std::map<int64_t, std::string> names_;
  LabelMap labels_;
  LabelIndex index_;
};

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

  SSD_ASSIGN_OR_RETURN(Instances instances, ReadInstances(path));
  if (instances.images.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": no images; want COCO's instances format"));
  }
  if (instances.categories.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": no categories; want COCO's instances format"));
  }
  // One look finds most wrong folders; looking for every image would take minutes on a file server.
  const fs::path first_image = folder / instances.images.front().file_name;
  if (std::error_code ignored; !fs::exists(first_image, ignored)) {
    return absl::NotFoundError(absl::StrCat(first_image.string(), ": no such image, though ", path,
                                            " lists it; correct coco.images"));
  }

  std::vector<Annotations> images;
  images.reserve(instances.images.size());
  std::unordered_map<int64_t, size_t> index_of_id;
  for (ImageEntry& entry : instances.images) {
    if (!index_of_id.emplace(entry.id, images.size()).second) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": images[", images.size(),
                                                     "]: another image has the same id ", entry.id,
                                                     "; ids must differ"));
    }
    if (entry.size.width == 0 || entry.size.height == 0) {
      SSD_ASSIGN_OR_RETURN(entry.size, ReadImageSize((folder / entry.file_name).string()));
    }
    images.push_back({entry.id, std::move(entry.file_name), entry.size, {}});
  }

  SSD_ASSIGN_OR_RETURN(const Categories categories,
                       Categories::Create(path, std::move(instances.categories), context));
  BoxClipper clipper;
  std::unordered_set<int64_t> annotation_ids;
  for (size_t i = 0; i < instances.annotations.size(); ++i) {
    AnnotationEntry& entry = instances.annotations[i];
    const auto where = [&] {
      return absl::StrCat(path, ": annotations[", i, "] (id ", entry.id, ")");
    };
    if (!annotation_ids.insert(entry.id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(where(), ": another annotation has the same id; ids must differ"));
    }
    const auto image = index_of_id.find(entry.image_id);
    if (image == index_of_id.end()) {
      return absl::InvalidArgumentError(absl::StrCat(where(), ": image_id ", entry.image_id,
                                                     " is not in images; add the image or delete "
                                                     "the annotation"));
    }
    Annotations& truth = images[image->second];
    SSD_ASSIGN_OR_RETURN(const int64_t label, categories.LabelOf(entry.category_id, where()));
    if (!clipper.Clip(truth.size, where(), entry.box)) continue;
    Annotation object;
    object.box = entry.box;
    object.label = label;
    object.crowd = entry.crowd;
    object.area = entry.area;
    object.id = entry.id;
    truth.objects.push_back(object);
  }
  clipper.LogDropped(path);

  if (options.drop_images_without_objects()) {
    const auto has_no_object = [](const Annotations& image) {
      return std::all_of(image.objects.begin(), image.objects.end(),
                         [](const Annotation& object) { return object.crowd; });
    };
    images.erase(std::remove_if(images.begin(), images.end(), has_no_object), images.end());
    if (images.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": no image has an object; unset coco.drop_images_without_objects"));
    }
  }
  return std::unique_ptr<Dataset>(
      new CocoDataset(folder.string(), std::move(images), categories.labels()));
}

SSD_REGISTER_DATASET(CocoOptions, CocoDataset);

}  // namespace
}  // namespace ssd
