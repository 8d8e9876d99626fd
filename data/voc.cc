#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
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
#include "data/file_presence.h"
#include "data/image_file.h"
#include "data/read_in_parallel.h"
#include "data/truth_collector.h"
#include "data/voc_xml.h"
#include "ssd/core/annotations.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

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
class VocDataset {
 public:
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(const VocOptions& options,
                                                         const DatasetContext& context);
};

// What one annotation file and a look at its image say.
struct ParsedImage {
  std::string annotation_file;
  VocAnnotation annotation;
  std::string image;  // below the folder of images; of one that is missing, a name it might have
  // An error of the whole image, with its kind and the file that it is of.
  absl::Status status;
  ProblemKind kind = ProblemKind::kUnreadableAnnotation;
  std::string file;
};

absl::Status CheckFolder(const fs::path& folder, absl::string_view field) {
  std::error_code error;
  if (fs::is_directory(folder, error)) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(folder.string(), ": no such folder; correct ", field));
}

// Names in ImageSets/Main/<set>.txt.
absl::StatusOr<std::vector<std::string>> ReadImageSet(const std::string& path,
                                                      TruthCollector& truths) {
  SSD_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  std::vector<std::string> names;
  std::set<std::string> seen;
  int64_t line_number = 0;
  for (const absl::string_view line : absl::StrSplit(content, '\n')) {
    ++line_number;
    const absl::string_view stripped = absl::StripAsciiWhitespace(line);
    if (stripped.empty()) continue;
    const std::string name(stripped.substr(0, stripped.find_first_of(" \t")));
    if (!seen.insert(name).second) {
      SSD_RETURN_IF_ERROR(
          truths.Fault(Severity::kError, ProblemKind::kDuplicateImageId, path, line_number,
                       absl::StrCat("image '", name, "' is listed twice; delete one line")));
      continue;
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
    const std::string name = path.filename().string();
    // File managers leave hidden ones ("._a.xml").
    if (path.extension() == ".xml" && name.front() != '.') names.push_back(path.stem().string());
  }
  if (error) return FileError(error.value(), "cannot list", folder.string());
  std::sort(names.begin(), names.end());
  if (!names.empty()) return names;
  return absl::NotFoundError(
      absl::StrCat(folder.string(), ": no .xml file; correct voc.annotations_dir"));
}

// Sets the image, or the error that there is none.
void FindImage(const fs::path& folder, const std::string& name, ParsedImage& parsed) {
  const std::string& stated = parsed.annotation.file_name;
  std::vector<std::string> candidates;
  const std::string extension = fs::path(stated).extension().string();
  if (!extension.empty()) candidates.push_back(name + extension);
  for (const char* usual : {".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp"}) {
    candidates.push_back(name + usual);
  }
  if (!stated.empty()) candidates.push_back(stated);
  for (const std::string& candidate : candidates) {
    const std::string path = (folder / candidate).string();
    const absl::StatusOr<bool> is_file = IsFile(path);
    if (!is_file.ok()) {
      parsed.status = is_file.status();
      parsed.kind = ProblemKind::kUnreadableImage;
      parsed.file = path;
    }
    if (!is_file.ok() || *is_file) {
      parsed.image = candidate;
      return;
    }
  }
  parsed.image = candidates.front();
  parsed.status = absl::NotFoundError(
      absl::StrCat((folder / parsed.image).string(), ": no such image, though ",
                   parsed.annotation_file, " annotates it; add it or correct voc.images_dir"));
  parsed.kind = ProblemKind::kMissingImage;
}

bool IsKnown(ImageSize size) { return size.width > 0 && size.height > 0; }

ParsedImage ParseImage(const fs::path& annotations, const fs::path& images,
                       const std::string& name) {
  ParsedImage parsed;
  parsed.annotation_file = parsed.file = (annotations / (name + ".xml")).string();
  const absl::StatusOr<std::string> xml = ReadFile(parsed.annotation_file);
  if (!xml.ok()) {
    parsed.status = xml.status();
    if (absl::IsNotFound(parsed.status)) parsed.kind = ProblemKind::kMissingAnnotation;
    return parsed;
  }
  parsed.annotation = ParseVocXml(*xml);
  if (!parsed.annotation.is_readable) return parsed;
  FindImage(images, name, parsed);
  ImageSize& size = parsed.annotation.size;
  if (!parsed.status.ok() || IsKnown(size)) return parsed;
  const std::string path = (images / parsed.image).string();
  const absl::StatusOr<ImageSize> read = ReadImageSize(path);
  if (read.ok()) {
    size = *read;
  } else {
    parsed.status = read.status();
    parsed.kind = ProblemKind::kUnreadableImage;
    parsed.file = path;
  }
  return parsed;
}

absl::Status AddImage(ParsedImage parsed, int64_t id, const DatasetContext& context,
                      TruthCollector& truths) {
  for (VocFault& fault : parsed.annotation.faults) {
    SSD_RETURN_IF_ERROR(truths.Fault(Severity::kError, ProblemKind::kUnreadableAnnotation,
                                     parsed.annotation_file, fault.line, std::move(fault.message)));
  }
  if (!parsed.annotation.is_readable) return absl::OkStatus();
  // Where the size is stated, an image that is missing is the loader's to skip, and evaluation's to
  // count as one without detections.
  const bool is_for_loader = parsed.kind == ProblemKind::kMissingImage &&
                             context.bad_images != nullptr && context.problems == nullptr &&
                             IsKnown(parsed.annotation.size);
  if (!parsed.status.ok() && !is_for_loader) {
    if (!parsed.image.empty()) truths.LeaveOut(std::move(parsed.image));
    const bool is_of_image =
        parsed.kind == ProblemKind::kMissingImage || parsed.kind == ProblemKind::kUnreadableImage;
    if (is_of_image && truths.SkipBadImage(parsed.status)) return absl::OkStatus();
    if (context.problems == nullptr) return parsed.status;
    return truths.Fault(Severity::kError, parsed.kind, parsed.file, 0,
                        MessageWithoutFile(parsed.status, parsed.file));
  }
  Annotations image;
  image.image_id = id;
  image.file_name = std::move(parsed.image);
  image.size = parsed.annotation.size;
  image.line = parsed.annotation.size_line;
  SSD_ASSIGN_OR_RETURN(const int64_t index,
                       truths.AddImage(std::move(image), std::move(parsed.annotation_file)));
  for (const VocObject& given : parsed.annotation.objects) {
    Annotation object;
    object.box = given.box;
    object.difficult = given.difficult;
    object.line = given.line;
    SSD_RETURN_IF_ERROR(truths.AddObject(index, object, given.class_name));
  }
  return absl::OkStatus();
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

  SSD_ASSIGN_OR_RETURN(TruthCollector truths, TruthCollector::Create(context, root.string()));
  std::vector<std::string> names;
  if (options.has_image_set()) {
    const fs::path list = root / "ImageSets" / "Main" / (options.image_set() + ".txt");
    SSD_ASSIGN_OR_RETURN(names, ReadImageSet(list.string(), truths));
  } else {
    SSD_ASSIGN_OR_RETURN(names, FindAnnotations(annotations));
  }
  std::vector<ParsedImage> parsed(names.size());
  ReadInParallel(names.size(),
                 [&](size_t i) { parsed[i] = ParseImage(annotations, images, names[i]); });
  // Where bad images are left out, a wrong folder is still told at once.
  const auto is_missing = [](const ParsedImage& image) {
    return image.kind == ProblemKind::kMissingImage;
  };
  if (context.problems == nullptr && context.bad_images != nullptr &&
      std::all_of(parsed.begin(), parsed.end(), is_missing)) {
    return parsed.front().status;
  }
  for (size_t i = 0; i < parsed.size(); ++i) {
    SSD_RETURN_IF_ERROR(
        AddImage(std::move(parsed[i]), static_cast<int64_t>(i) + 1, context, truths));
  }
  return std::move(truths).Finish(images.string());
}

SSD_REGISTER_DATASET(VocOptions, VocDataset);

}  // namespace
}  // namespace ssd
