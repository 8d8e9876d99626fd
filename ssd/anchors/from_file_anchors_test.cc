#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/anchors/anchor_file.h"
#include "ssd/anchors/anchor_generator.h"
#include "ssd/core/text_proto.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<AnchorGenerator>> Create(const std::string& text,
                                                        int64_t num_levels) {
  AnchorGeneratorConfig config;
  const absl::Status status = ParseTextProto(text, "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return AnchorGeneratorRegistry::Get().Create(config, {num_levels});
}

std::vector<FeatureSpec> SquareMaps(const std::vector<int64_t>& sides) {
  std::vector<FeatureSpec> levels;
  for (const int64_t side : sides) {
    FeatureSpec level;
    level.height = level.width = side;
    levels.push_back(level);
  }
  return levels;
}

// SSD300's 8732 boxes, written and read again, are the same anchors.
TEST(FromFileAnchors, GivesWhatTheFileHolds) {
  const std::vector<FeatureSpec> levels = SquareMaps({38, 19, 10, 5, 3, 1});
  const auto scales = Create("ssd {}", 6);
  ASSERT_TRUE(scales.ok()) << scales.status();
  const absl::StatusOr<Anchors> expected = (*scales)->Generate(levels, {300, 300});
  ASSERT_TRUE(expected.ok()) << expected.status();
  for (const char* ending : {".npy", ".safetensors"}) {
    const std::string path = absl::StrCat(::testing::TempDir(), "/ssd300", ending);
    ASSERT_TRUE(WriteAnchorFile(path, expected->boxes).ok());
    const auto generator = Create(
        absl::StrCat("from_file { path: \"", path, "\" per_cell: [4, 6, 6, 6, 4, 4, 9] }"), 6);
    ASSERT_TRUE(generator.ok()) << generator.status();
    EXPECT_THAT((*generator)->AnchorsPerCell(), ElementsAre(4, 6, 6, 6, 4, 4));
    const absl::StatusOr<Anchors> anchors = (*generator)->Generate(levels, {300, 300});
    ASSERT_TRUE(anchors.ok()) << anchors.status();
    EXPECT_TRUE(at::equal(anchors->boxes, expected->boxes));
    EXPECT_EQ(anchors->per_level, expected->per_level);
  }
}

TEST(FromFileAnchors, AFileOfOtherMapsIsAnError) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/fourteen.npy");
  ASSERT_TRUE(WriteAnchorFile(path, at::ones({14, 4})).ok());
  const auto generator =
      Create(absl::StrCat("from_file { path: \"", path, "\" per_cell: [3, 2] }"), 2);
  ASSERT_TRUE(generator.ok()) << generator.status();
  EXPECT_TRUE((*generator)->Generate(SquareMaps({2, 1}), {64, 64}).ok());
  const absl::Status status = (*generator)->Generate(SquareMaps({3, 1}), {64, 64}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("fourteen.npy has 14 boxes, but the maps have 3x3x3 + 1x1x2"));
}

TEST(FromFileAnchors, BadOptionsNameTheField) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/one.npy");
  ASSERT_TRUE(WriteAnchorFile(path, at::ones({1, 4})).ok());
  const std::string file = absl::StrCat("path: \"", path, "\"");
  const struct {
    std::string options;
    absl::StatusCode code;
    const char* message;
  } cases[] = {
      {"per_cell: 1", absl::StatusCode::kInvalidArgument,
       "anchor_generator.from_file.path: not set"},
      {file, absl::StatusCode::kInvalidArgument,
       "anchor_generator.from_file.per_cell: 0 given, but model.num_levels is 1"},
      {file + " per_cell: 0", absl::StatusCode::kInvalidArgument,
       "anchor_generator.from_file.per_cell: 0 must be in [1, 4096]"},
      {"path: \"anchors.txt\" per_cell: 1", absl::StatusCode::kInvalidArgument,
       "anchor_generator.from_file.path: anchors.txt: the name must end in"},
      {"path: \"/no/such.npy\" per_cell: 1", absl::StatusCode::kNotFound,
       "anchor_generator.from_file.path: /no/such.npy: cannot read"},
  };
  for (const auto& c : cases) {
    const absl::Status status = Create(absl::StrCat("from_file {", c.options, "}"), 1).status();
    EXPECT_EQ(status.code(), c.code) << c.options;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace ssd
