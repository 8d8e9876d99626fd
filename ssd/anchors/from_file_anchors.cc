#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "ssd/anchors/anchor_file.h"
#include "ssd/anchors/anchor_generator.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

constexpr char kField[] = "anchor_generator.from_file.";
constexpr double kMaxPerCell = 4096;

// The boxes that a file holds, unchanged: those of another program, or of a clustering of the
// truths. A convolution predicts per_cell boxes at each cell of a level, so the file has
// sum over levels of (height width per_cell) rows. A model file keeps the boxes, so that it can be
// loaded without the file.
//
//   anchor_generator { from_file { path: "anchors.npy" per_cell: [4, 6, 6, 6, 4, 4] } }
class FromFileAnchorGenerator final : public AnchorGenerator {
 public:
  // \error InvalidArgument naming field and file: no path, fewer entries in per_cell than
  // num_levels or one outside [1, 4096], a file that ReadAnchorFile refuses. NotFound,
  // PermissionDenied: the file cannot be read.
  static absl::StatusOr<std::unique_ptr<AnchorGenerator>> Create(
      const FromFileAnchorsOptions& options, const AnchorGeneratorContext& context) {
    CHECK_GT(context.num_levels, 0);
    if (options.path().empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(kField, "path: not set; name a .npy or .safetensors file"));
    }
    if (options.per_cell_size() < context.num_levels) {
      return absl::InvalidArgumentError(absl::StrCat(
          kField, "per_cell: ", options.per_cell_size(), " given, but model.num_levels is ",
          context.num_levels, "; give the boxes a cell of each level"));
    }
    const std::vector<int64_t> per_cell(options.per_cell().begin(),
                                        options.per_cell().begin() + context.num_levels);
    for (const int64_t count : per_cell) {
      // More would be a typing error; the limit keeps products in range.
      SSD_RETURN_IF_ERROR(
          CheckRange(absl::StrCat(kField, "per_cell"), static_cast<double>(count), 1, kMaxPerCell));
    }
    absl::StatusOr<Tensor> boxes = context.file_boxes.defined()
                                       ? absl::StatusOr<Tensor>(context.file_boxes)
                                       : ReadAnchorFile(options.path());
    if (!boxes.ok()) {
      return absl::Status(boxes.status().code(),
                          absl::StrCat(kField, "path: ", boxes.status().message()));
    }
    return std::unique_ptr<AnchorGenerator>(
        new FromFileAnchorGenerator(options.path(), per_cell, *std::move(boxes)));
  }

  std::vector<int64_t> AnchorsPerCell() const override { return per_cell_; }

  // \error InvalidArgument if the file has more or fewer rows than the maps have boxes.
  absl::StatusOr<Anchors> Generate(absl::Span<const FeatureSpec> levels,
                                   ImageSize input) const override {
    CHECK_EQ(levels.size(), per_cell_.size());
    Anchors anchors;
    int64_t total = 0;
    for (size_t k = 0; k < levels.size(); ++k) {
      anchors.per_level.push_back(levels[k].height * levels[k].width * per_cell_[k]);
      total += anchors.per_level.back();
    }
    if (boxes_.size(0) != total) {
      std::string maps;
      for (size_t k = 0; k < levels.size(); ++k) {
        absl::StrAppend(&maps, k == 0 ? "" : " + ", levels[k].height, "x", levels[k].width, "x",
                        per_cell_[k]);
      }
      return absl::InvalidArgumentError(
          absl::StrCat(kField, "path: ", path_, " has ", boxes_.size(0),
                       " boxes, but the maps have ", maps, " (height x width x per_cell) = ", total,
                       "; correct per_cell, num_levels or the input's size"));
    }
    anchors.boxes = boxes_.clone();
    return anchors;
  }

 private:
  FromFileAnchorGenerator(std::string path, std::vector<int64_t> per_cell, Tensor boxes)
      : path_(std::move(path)), per_cell_(std::move(per_cell)), boxes_(std::move(boxes)) {}

  std::string path_;
  std::vector<int64_t> per_cell_;
  Tensor boxes_;  // [A, 4] f32
};

SSD_REGISTER_ANCHOR_GENERATOR(FromFileAnchorsOptions, FromFileAnchorGenerator);

}  // namespace
}  // namespace ssd
