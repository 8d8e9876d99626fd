// The examples of docs/configuration.md, as they stand there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "experiments/load_experiment.h"
#include "experiments/load_sweep.h"
#include "ssd/core/file.h"
#include "tests/plugin/tiny_anchors.pb.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;

// The texts between ``` and ```.
std::vector<std::string> Blocks() {
  const absl::StatusOr<std::string> page = ReadFile("docs/configuration.md");
  EXPECT_TRUE(page.ok()) << page.status();
  std::vector<std::string> parts = absl::StrSplit(page.value_or(""), "```\n");
  std::vector<std::string> blocks;
  for (size_t i = 1; i < parts.size(); i += 2) blocks.push_back(parts[i]);
  EXPECT_EQ(blocks.size(), 4u) << "experiment, overrides, errors, sweep";
  blocks.resize(4);
  return blocks;
}

// Writes an example where its base lies as the example has it.
std::string Write(const std::string& name, const std::string& text) {
  const std::string folder = ::testing::TempDir() + "/sweeps";
  constexpr auto kCopy =
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::skip_existing;
  std::filesystem::copy("experiments/quickstart", ::testing::TempDir() + "/quickstart", kCopy);
  std::filesystem::copy("experiments/sweeps", folder, kCopy);
  EXPECT_TRUE(WriteFileAtomically(folder + "/" + name, text).ok());
  return folder + "/" + name;
}

TEST(ConfigurationPage, TheExperimentDoesWhatItsCommentsSay) {
  const absl::StatusOr<Experiment> loaded =
      LoadExperiment(Write("page_example.textproto", Blocks()[0]), std::vector<std::string>{}, "/");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->model().num_levels(), 2);
  EXPECT_EQ(loaded->model().backbone().resnet().depth(), 34);
  EXPECT_EQ(loaded->model().backbone().resnet().width(), 16);
  EXPECT_EQ(loaded->model().anchor_generator().ssd().level_size(), 2);
  EXPECT_FALSE(loaded->data().train().has_digits());
  EXPECT_EQ(loaded->data().train().transform_size(), 1);
}

TEST(ConfigurationPage, TheOverridesApplyInOrder) {
  const std::string block = Blocks()[1];
  std::vector<std::string> overrides;
  for (absl::string_view line : absl::StrSplit(block, '\n', absl::SkipEmpty())) {
    overrides.emplace_back(line.substr(0, line.find("  ")));
  }
  ASSERT_EQ(overrides.size(), 7u);
  const absl::StatusOr<Experiment> loaded =
      LoadExperiment("experiments/quickstart/digits.textproto", overrides,
                     std::filesystem::current_path().string());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->name(), "my run");
  EXPECT_THAT(loaded->data().label(), ElementsAre("cat", "dog"));
  EXPECT_EQ(loaded->model().backbone().resnet().depth(), 50);
  EXPECT_EQ(loaded->model().backbone().resnet().width(), 64) << "a message is exchanged whole";
  EXPECT_EQ(loaded->model().anchor_generator().GetExtension(mylab::TinyAnchorsOptions::ext).size(),
            0.2);
}

TEST(ConfigurationPage, TheErrorsReadAsShown) {
  const std::vector<std::string> shown = absl::StrSplit(Blocks()[2], '\n', absl::SkipEmpty());
  ASSERT_EQ(shown.size(), 3u);
  // Line 14, column 5 of a file of that name, with one thing wrong.
  const auto error = [](const std::string& setting, const std::vector<std::string>& overrides) {
    const std::string file = Write("ssd300.textproto",
                                   "base: '../quickstart/digits.textproto'\n"
                                   "model { anchor_generator { ssd {\n\n\n\n\n\n\n\n\n\n\n\n    " +
                                       setting + " max_scale: 0.9\n} } }");
    const std::filesystem::path path = file;
    return std::string(LoadExperiment(path.filename().string(), overrides,
                                      path.parent_path().lexically_normal().string())
                           .status()
                           .message());
  };
  EXPECT_EQ(error("min_scle: 0.1", {}), shown[0]);
  EXPECT_EQ(error("min_scale: 0.95", {}), shown[1]);
  EXPECT_EQ(error("min_scale: 0.1", {"data.loader.batch_size=-1"}), shown[2]);
}

TEST(ConfigurationPage, TheSweepIsValid) {
  const absl::StatusOr<LoadedSweep> loaded =
      LoadSweep(Write("page_sweep.textproto", Blocks()[3]), {}, "/");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->points.size(), 6u);
}

}  // namespace
}  // namespace ssd
