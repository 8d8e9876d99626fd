// An anchor generator from outside the framework, as a repository of your own would hold it.
#include <ATen/ops/from_blob.h>

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/anchors/anchor_generator.h"
#include "tests/plugin/tiny_anchors.pb.h"

namespace mylab {
namespace {

// Config: `anchor_generator { [mylab.TinyAnchorsOptions.ext] { size: 0.2 } }`.
class TinyAnchorGenerator final : public ssd::AnchorGenerator {
 public:
  static absl::StatusOr<std::unique_ptr<ssd::AnchorGenerator>> Create(
      const TinyAnchorsOptions& options, const ssd::AnchorGeneratorContext& context) {
    if (!(options.size() > 0 && options.size() <= 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("anchor_generator.[mylab.TinyAnchorsOptions.ext].size: ", options.size(),
                       " must be in (0, 1]"));
    }
    return std::make_unique<TinyAnchorGenerator>(options.size(), context.num_levels);
  }

  TinyAnchorGenerator(double size, int64_t num_levels)
      : size_(static_cast<float>(size)), num_levels_(num_levels) {}

  std::vector<int64_t> AnchorsPerCell() const override {
    return std::vector<int64_t>(static_cast<size_t>(num_levels_), 1);
  }

  absl::StatusOr<ssd::Anchors> Generate(absl::Span<const ssd::FeatureSpec> levels,
                                        ssd::ImageSize) const override {
    ssd::Anchors anchors;
    std::vector<float> boxes;
    for (const ssd::FeatureSpec& level : levels) {
      for (int64_t row = 0; row < level.height; ++row) {
        for (int64_t column = 0; column < level.width; ++column) {
          const float x = (static_cast<float>(column) + 0.5f) / static_cast<float>(level.width);
          const float y = (static_cast<float>(row) + 0.5f) / static_cast<float>(level.height);
          boxes.insert(boxes.end(), {x, y, size_, size_});
        }
      }
      anchors.per_level.push_back(level.height * level.width);
    }
    anchors.boxes =
        at::from_blob(boxes.data(), {static_cast<int64_t>(boxes.size() / 4), 4}).clone();
    return anchors;
  }

 private:
  float size_;
  int64_t num_levels_;
};

SSD_REGISTER_ANCHOR_GENERATOR(TinyAnchorsOptions, TinyAnchorGenerator);

}  // namespace
}  // namespace mylab
