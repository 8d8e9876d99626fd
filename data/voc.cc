#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <pugixml.hpp>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
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

// An object before its class has a label.
struct NamedObject {
  Annotation annotation;
  std::string class_name;
  std::string where;  // file:line
};

struct ParsedImage {
  Annotations annotations;  // without objects
  std::vector<NamedObject> objects;
};

// One annotation file and where its elements are in it.
class XmlFile {
 public:
  XmlFile(std::string path, std::string content)
      : path_(std::move(path)), content_(std::move(content)) {}

  const std::string& path() const { return path_; }

  absl::Status Parse() {
    const pugi::xml_parse_result result = document_.load_buffer(content_.data(), content_.size());
    if (!result) {
      return absl::InvalidArgumentError(
          absl::StrCat(WhereIs(result.offset), ": malformed XML: ", result.description()));
    }
    annotation_ = document_.child("annotation");
    if (annotation_) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        path_, ": no <annotation> element; a VOC annotation file has one as its root"));
  }

  pugi::xml_node annotation() const { return annotation_; }

  // "path:line".
  std::string Where(pugi::xml_node node) const { return WhereIs(node.offset_debug()); }

  // The text of the child `name`. \error InvalidArgument if it is missing or empty.
  absl::StatusOr<std::string> Text(pugi::xml_node parent, const char* name) const {
    const std::string text(absl::StripAsciiWhitespace(parent.child(name).text().get()));
    if (!text.empty()) return text;
    return absl::InvalidArgumentError(
        absl::StrCat(Where(parent), ": <", parent.name(), "> has no <", name, ">; it needs one"));
  }

  // The child's text as a finite number.
  absl::StatusOr<double> Number(pugi::xml_node parent, const char* name) const {
    SSD_ASSIGN_OR_RETURN(const std::string text, Text(parent, name));
    double value = 0;
    if (absl::SimpleAtod(text, &value) && std::isfinite(value)) return value;
    return absl::InvalidArgumentError(
        absl::StrCat(Where(parent.child(name)), ": <", name, "> is '", text, "'; want a number"));
  }

 private:
  std::string WhereIs(ptrdiff_t offset) const {
    if (offset < 0 || static_cast<size_t>(offset) > content_.size()) return path_;
    return absl::StrCat(path_, ":",
                        1 + std::count(content_.begin(), content_.begin() + offset, '\n'));
  }

  const std::string path_;
  const std::string content_;
  pugi::xml_document document_;
  pugi::xml_node annotation_;
};

// Pascal VOC's folder layout
// (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html):
//   root/Annotations/NAME.xml, root/JPEGImages/NAME.jpg, root/ImageSets/Main/SET.txt
// A set lists one NAME a line; what follows it (the +1 and -1 of lists for one class) is not read.
// Without a set, every annotation is taken, sorted by name.
//   voc { root: "VOC2007" image_set: "trainval" }
//
// VOC counts pixels from 1 and its corners lie in the box, so in continuous coordinates x0 = xmin -
// 1 and x1 = xmax: a box around the first pixel alone (xmin = xmax = 1) is 0 to 1. Boxes are cut to
// the image; those of which nothing is left are dropped with a warning. An image's id is its place
// in the set, from 1. A <size> that is missing or zero is read from the image. The image is NAME
// with the extension of <filename>, or another that exists, or <filename> itself.
class VocDataset : public AnnotatedImages {
 public:
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(const VocOptions& options,
                                                         const DatasetContext& context);

 private:
  using AnnotatedImages::AnnotatedImages;
};

absl::Status CheckFolder(const fs::path& folder, absl::string_view field) {
  std::error_code error;
  if (fs::is_directory(folder, error)) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(folder.string(), ": no such folder; correct ", field));
}

// Names in ImageSets/Main/<set>.txt.
absl::StatusOr<std::vector<std::string>> ReadImageSet(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  std::vector<std::string> names;
  std::set<std::string> seen;
  int line_number = 0;
  for (const absl::string_view line : absl::StrSplit(content, '\n')) {
    ++line_number;
    const absl::string_view stripped = absl::StripAsciiWhitespace(line);
    if (stripped.empty()) continue;
    const std::string name(stripped.substr(0, stripped.find_first_of(" \t")));
    if (!seen.insert(name).second) {
      return absl::InvalidArgumentError(absl::StrCat(path, ":", line_number, ": image '", name,
                                                     "' is listed twice; delete one line"));
    }
    names.push_back(name);
  }
  if (!names.empty()) return names;
  return absl::InvalidArgumentError(absl::StrCat(path, ": lists no image; want a name a line"));
}

absl::StatusOr<std::vector<std::string>> FindAnnotations(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const fs::path& path = entry->path();
    if (path.extension() == ".xml") names.push_back(path.stem().string());
  }
  if (error) return FileError(error.value(), "cannot list", folder.string());
  std::sort(names.begin(), names.end());
  if (!names.empty()) return names;
  return absl::NotFoundError(
      absl::StrCat(folder.string(), ": no .xml file; correct voc.annotations_dir"));
}

// The image's name below `folder`.
absl::StatusOr<std::string> FindImage(const fs::path& folder, const std::string& name,
                                      const XmlFile& xml) {
  const std::string stated(
      absl::StripAsciiWhitespace(xml.annotation().child("filename").text().get()));
  std::vector<std::string> candidates;
  const std::string extension = fs::path(stated).extension().string();
  if (!extension.empty()) candidates.push_back(name + extension);
  for (const char* usual : {".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp"}) {
    candidates.push_back(name + usual);
  }
  if (!stated.empty()) candidates.push_back(stated);
  for (const std::string& candidate : candidates) {
    std::error_code error;
    if (fs::is_regular_file(folder / candidate, error)) return candidate;
  }
  return absl::NotFoundError(absl::StrCat((folder / candidates.front()).string(),
                                          ": no such image, though ", xml.path(),
                                          " annotates it; add it or correct voc.images_dir"));
}

absl::StatusOr<ImageSize> SizeOfImage(const XmlFile& xml, const fs::path& image) {
  const pugi::xml_node size = xml.annotation().child("size");
  ImageSize stated;
  if (size && size.child("width") && size.child("height")) {
    constexpr double kLongest = 1e6;
    for (const char* side : {"width", "height"}) {
      SSD_ASSIGN_OR_RETURN(const double value, xml.Number(size, side));
      if (value < 0 || value > kLongest || value != std::floor(value)) {
        return absl::InvalidArgumentError(absl::StrCat(xml.Where(size.child(side)), ": <", side,
                                                       "> is ", value,
                                                       "; want the image's pixels, or 0"));
      }
      (side[0] == 'w' ? stated.width : stated.height) = static_cast<int64_t>(value);
    }
  }
  if (stated.width > 0 && stated.height > 0) return stated;
  return ReadImageSize(image.string());
}

absl::StatusOr<NamedObject> ParseObject(const XmlFile& xml, pugi::xml_node element) {
  NamedObject object;
  object.where = xml.Where(element);
  SSD_ASSIGN_OR_RETURN(object.class_name, xml.Text(element, "name"));
  if (element.child("difficult")) {
    SSD_ASSIGN_OR_RETURN(const double difficult, xml.Number(element, "difficult"));
    object.annotation.difficult = difficult != 0;
  }
  const pugi::xml_node corners = element.child("bndbox");
  if (!corners) {
    return absl::InvalidArgumentError(
        absl::StrCat(object.where, ": <object> has no <bndbox>; it needs one"));
  }
  SSD_ASSIGN_OR_RETURN(const double xmin, xml.Number(corners, "xmin"));
  SSD_ASSIGN_OR_RETURN(const double ymin, xml.Number(corners, "ymin"));
  SSD_ASSIGN_OR_RETURN(const double xmax, xml.Number(corners, "xmax"));
  SSD_ASSIGN_OR_RETURN(const double ymax, xml.Number(corners, "ymax"));
  object.annotation.box = {xmin - 1, ymin - 1, xmax, ymax};
  return object;
}

absl::StatusOr<ParsedImage> ParseImage(const fs::path& xml_path, const fs::path& images,
                                       const std::string& name, BoxClipper& clipper) {
  SSD_ASSIGN_OR_RETURN(std::string content, ReadFile(xml_path.string()));
  XmlFile xml(xml_path.string(), std::move(content));
  SSD_RETURN_IF_ERROR(xml.Parse());
  ParsedImage image;
  SSD_ASSIGN_OR_RETURN(image.annotations.file_name, FindImage(images, name, xml));
  SSD_ASSIGN_OR_RETURN(image.annotations.size,
                       SizeOfImage(xml, images / image.annotations.file_name));
  for (const pugi::xml_node element : xml.annotation().children("object")) {
    SSD_ASSIGN_OR_RETURN(NamedObject object, ParseObject(xml, element));
    Annotation& annotation = object.annotation;
    if (!clipper.Clip(image.annotations.size, object.where, annotation.box)) continue;
    annotation.area = annotation.box.area();
    image.objects.push_back(std::move(object));
  }
  return image;
}

absl::StatusOr<std::unique_ptr<Dataset>> VocDataset::Create(const VocOptions& options,
                                                            const DatasetContext& context) {
  if (options.root().empty()) {
    return absl::InvalidArgumentError(
        "voc.root is not set; give the folder that holds Annotations and JPEGImages");
  }
  const fs::path root(options.root());
  const fs::path annotations = root / options.annotations_dir();
  const fs::path images = root / options.images_dir();
  SSD_RETURN_IF_ERROR(CheckFolder(root, "voc.root"));
  SSD_RETURN_IF_ERROR(CheckFolder(annotations, "voc.annotations_dir"));
  SSD_RETURN_IF_ERROR(CheckFolder(images, "voc.images_dir"));

  std::vector<std::string> image_names;
  if (options.has_image_set()) {
    const fs::path list = root / "ImageSets" / "Main" / (options.image_set() + ".txt");
    SSD_ASSIGN_OR_RETURN(image_names, ReadImageSet(list.string()));
  } else {
    SSD_ASSIGN_OR_RETURN(image_names, FindAnnotations(annotations));
  }

  std::vector<ParsedImage> parsed;
  parsed.reserve(image_names.size());
  std::set<std::string> class_names;
  BoxClipper clipper;
  for (const std::string& name : image_names) {
    SSD_ASSIGN_OR_RETURN(ParsedImage image,
                         ParseImage(annotations / (name + ".xml"), images, name, clipper));
    for (const NamedObject& object : image.objects) class_names.insert(object.class_name);
    parsed.push_back(std::move(image));
  }
  clipper.LogDropped(root.string());

  LabelMap labels;
  labels.names = context.labels;
  if (labels.names.empty()) labels.names.assign(class_names.begin(), class_names.end());
  for (int64_t label = 1; label <= labels.num_classes(); ++label) {
    labels.source_ids.push_back(label);
  }
  SSD_ASSIGN_OR_RETURN(const LabelIndex index, LabelIndex::Create(labels.names));

  std::vector<Annotations> result;
  result.reserve(parsed.size());
  int64_t objects = 0;
  for (ParsedImage& image : parsed) {
    for (NamedObject& object : image.objects) {
      SSD_ASSIGN_OR_RETURN(object.annotation.label, index.Find(object.class_name, object.where));
      object.annotation.id = ++objects;
      image.annotations.objects.push_back(object.annotation);
    }
    image.annotations.image_id = static_cast<int64_t>(result.size()) + 1;
    result.push_back(std::move(image.annotations));
  }
  return std::unique_ptr<Dataset>(
      new VocDataset(images.string(), std::move(result), std::move(labels)));
}

SSD_REGISTER_DATASET(VocOptions, VocDataset);

}  // namespace
}  // namespace ssd
