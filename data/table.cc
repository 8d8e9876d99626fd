#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "data/file_presence.h"
#include "data/image_file.h"
#include "data/read_in_parallel.h"
#include "data/table_text.h"
#include "data/truth_collector.h"
#include "ssd/core/annotations.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

// Boxes from one table: CSV, TSV or JSON lines (table_text.h). Images come in the order in which
// the table first names them, their ids from 1; an image's rows need not be neighbours. Sizes that
// the table does not state are read from the images. Classes are sorted by name. Boxes are cut to
// the image; those of which nothing is left are dropped with a warning.
//   table { file: "boxes.csv" images: "photos" }
//   table { file: "boxes.csv" images: "photos" image_column: "filename" label_column: "class"
//           box_column: ["xmin", "ymin", "xmax", "ymax"] }
class TableDataset {
 public:
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(const TableOptions& options,
                                                         const DatasetContext& context);
};

struct TableImage {
  std::string name;
  ImageSize size;
  int64_t line = 0;  // that first names it
};

constexpr int64_t kLeftOut = TruthCollector::kLeftOut;

PixelBox Scaled(const PixelBox& box, ImageSize size) {
  const double width = static_cast<double>(size.width);
  const double height = static_cast<double>(size.height);
  return {box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height};
}

// Joins the rows of one table.
class TableJoin {
 public:
  TableJoin(std::string path, fs::path folder, const DatasetContext& context,
            TruthCollector& truths)
      : path_(std::move(path)), folder_(std::move(folder)), context_(context), truths_(truths) {}

  absl::Status Add(const std::vector<TableRow>& rows, bool normalized) {
    SSD_RETURN_IF_ERROR(FindImages(rows));
    SSD_RETURN_IF_ERROR(LookForImages());
    SSD_RETURN_IF_ERROR(AddImages());
    for (size_t i = 0; i < rows.size(); ++i) {
      const int64_t index = index_of_image_[image_of_row_[i]];
      if (index == kLeftOut) continue;
      for (const TableObject& given : rows[i].objects) {
        Annotation object;
        object.box = normalized ? Scaled(given.box, images_[image_of_row_[i]].size) : given.box;
        object.difficult = given.difficult;
        object.crowd = given.crowd;
        object.line = rows[i].line;
        SSD_RETURN_IF_ERROR(truths_.AddObject(index, object, given.class_name));
      }
    }
    return absl::OkStatus();
  }

 private:
  std::string FileOf(const TableImage& image) const { return (folder_ / image.name).string(); }

  absl::Status FindImages(const std::vector<TableRow>& rows) {
    std::unordered_map<std::string, size_t> place_of;
    image_of_row_.reserve(rows.size());
    for (const TableRow& row : rows) {
      // "./a.png" is "a.png".
      const auto [place, is_new] =
          place_of.emplace(fs::path(row.image).lexically_normal().string(), images_.size());
      image_of_row_.push_back(place->second);
      if (is_new) {
        images_.push_back({row.image, row.size, row.line});
        continue;
      }
      TableImage& image = images_[place->second];
      SSD_RETURN_IF_ERROR(JoinSide(row, "wide", row.size.width, image.size.width));
      SSD_RETURN_IF_ERROR(JoinSide(row, "high", row.size.height, image.size.height));
    }
    return absl::OkStatus();
  }

  absl::Status JoinSide(const TableRow& row, const char* side, int64_t stated, int64_t& known) {
    if (known == 0) known = stated;
    if (stated == 0 || stated == known) return absl::OkStatus();
    return truths_.Fault(Severity::kError, ProblemKind::kSizeMismatch, path_, row.line,
                         absl::StrCat("image '", row.image, "' is ", stated, " pixels ", side,
                                      " here and ", known, " before; correct one"));
  }

  // One look finds most wrong folders; looking for every image would take minutes on a file server.
  // Where bad images are left out, the first may be one of them.
  absl::Status LookForImages() const {
    if (context_.problems != nullptr || images_.empty()) return absl::OkStatus();
    for (const TableImage& image : images_) {
      SSD_ASSIGN_OR_RETURN(const bool is_file, IsFile(FileOf(image)));
      if (is_file) return absl::OkStatus();
      if (context_.bad_images == nullptr) break;
    }
    return MissingImage(images_.front());
  }

  absl::Status AddImages() {
    std::vector<size_t> unsized;
    for (size_t i = 0; i < images_.size(); ++i) {
      if (images_[i].size.width == 0 || images_[i].size.height == 0) unsized.push_back(i);
    }
    std::vector<absl::StatusOr<ImageSize>> sizes(unsized.size());
    ReadInParallel(unsized.size(),
                   [&](size_t i) { sizes[i] = ReadImageSize(FileOf(images_[unsized[i]])); });
    size_t next_unsized = 0;
    for (size_t i = 0; i < images_.size(); ++i) {
      TableImage& image = images_[i];
      index_of_image_.push_back(kLeftOut);
      if (next_unsized < unsized.size() && unsized[next_unsized] == i) {
        const absl::StatusOr<ImageSize>& size = sizes[next_unsized++];
        if (!size.ok()) {
          SSD_RETURN_IF_ERROR(ImageFault(image, size.status()));
          continue;
        }
        image.size = *size;
      } else if (context_.problems != nullptr) {
        // Costs a look at every file, which training leaves to the decoder.
        const absl::StatusOr<bool> is_file = IsFile(FileOf(image));
        if (!is_file.ok() || !*is_file) {
          SSD_RETURN_IF_ERROR(
              ImageFault(image, is_file.ok() ? absl::NotFoundError("") : is_file.status()));
          continue;
        }
      }
      const int64_t id = static_cast<int64_t>(i) + 1;
      SSD_ASSIGN_OR_RETURN(index_of_image_.back(),
                           truths_.AddImage({id, image.name, image.size, {}, image.line}, path_));
    }
    return absl::OkStatus();
  }

  absl::Status ImageFault(const TableImage& image, const absl::Status& status) {
    truths_.LeaveOut(image.name);
    if (truths_.SkipBadImage(status)) return absl::OkStatus();
    if (absl::IsNotFound(status)) return MissingImage(image);
    const std::string file = FileOf(image);
    return truths_.Fault(Severity::kError, ProblemKind::kUnreadableImage, file, 0,
                         MessageWithoutFile(status, file));
  }

  absl::Status MissingImage(const TableImage& image) const {
    return truths_.Fault(Severity::kError, ProblemKind::kMissingImage, path_, image.line,
                         absl::StrCat("image '", image.name, "': no file ", FileOf(image),
                                      "; add it or correct table.images"));
  }

  const std::string path_;
  const fs::path folder_;
  const DatasetContext& context_;
  TruthCollector& truths_;
  std::vector<TableImage> images_;
  std::vector<size_t> image_of_row_;
  std::vector<int64_t> index_of_image_;  // in the collector
};

absl::StatusOr<std::unique_ptr<Dataset>> TableDataset::Create(const TableOptions& options,
                                                              const DatasetContext& context) {
  const std::string& path = options.file();
  if (path.empty()) {
    return absl::InvalidArgumentError("table.file is not set; give the table of boxes");
  }
  const fs::path folder =
      options.has_images() ? fs::path(options.images()) : fs::path(path).parent_path();
  if (std::error_code ignored; !folder.empty() && !fs::is_directory(folder, ignored)) {
    return absl::NotFoundError(
        absl::StrCat(folder.string(), ": no such folder; correct table.images"));
  }
  SSD_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  SSD_ASSIGN_OR_RETURN(TruthCollector truths, TruthCollector::Create(context, path));
  const TableFault fault = [&](int64_t line, const std::string& message) {
    return truths.Fault(Severity::kError, ProblemKind::kUnreadableAnnotation, path, line, message);
  };
  SSD_ASSIGN_OR_RETURN(TableRows table, ParseTable(text, path, options, fault));
  for (std::string& image : table.left_out) truths.LeaveOut(std::move(image));
  SSD_RETURN_IF_ERROR(
      TableJoin(path, folder, context, truths).Add(table.rows, options.normalized()));
  return std::move(truths).Finish(folder.string());
}

SSD_REGISTER_DATASET(TableOptions, TableDataset);

}  // namespace
}  // namespace ssd
