// A component that the framework has never heard of is named in an experiment, built into a network
// and judged like any other: linking its target is all it takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/load_experiment.h"
#include "ssd/model/ssd_detector.h"
#include "tests/plugin/tiny_anchors.pb.h"

namespace {

using ::testing::Each;
using ::testing::HasSubstr;

absl::StatusOr<ssd::Experiment> Load(const std::vector<std::string>& overrides) {
  return ssd::LoadExperiment("tests/plugin/tiny_anchors.textproto", overrides,
                             std::filesystem::current_path().string());
}

TEST(Plugin, IsWiredByText) {
  const absl::StatusOr<ssd::Experiment> experiment = Load({});
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  EXPECT_FALSE(experiment->model().anchor_generator().has_ssd()) << "the base's anchors";

  const auto detector = ssd::SsdDetector::Create(experiment->model(), /*num_classes=*/10);
  ASSERT_TRUE(detector.ok()) << detector.status();
  EXPECT_THAT((*detector)->anchors_per_cell(), Each(1));
  int64_t cells = 0;
  for (const ssd::FeatureSpec& level : (*detector)->levels()) cells += level.height * level.width;
  const ssd::Tensor boxes = (*detector)->anchors().boxes;
  EXPECT_EQ(boxes.sizes(), (at::IntArrayRef{cells, 4}));
  EXPECT_FLOAT_EQ(boxes[cells - 1][2].item<float>(), 0.2f);
}

TEST(Plugin, TakesOverridesAndDefaults) {
  const absl::StatusOr<ssd::Experiment> experiment =
      Load({"model.anchor_generator.[mylab.TinyAnchorsOptions.ext].size=0.5"});
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  const auto& options = experiment->model().anchor_generator();
  EXPECT_EQ(options.GetExtension(mylab::TinyAnchorsOptions::ext).size(), 0.5);

  const absl::StatusOr<ssd::Experiment> plain =
      Load({"model.anchor_generator={ [mylab.TinyAnchorsOptions.ext] {} }"});
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_TRUE(
      plain->model().anchor_generator().GetExtension(mylab::TinyAnchorsOptions::ext).has_size())
      << "defaults are written out";
}

TEST(Plugin, ItsErrorsNameTheField) {
  const absl::Status status =
      Load({"model.anchor_generator.[mylab.TinyAnchorsOptions.ext].size=-1"}).status();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("model.anchor_generator.[mylab.TinyAnchorsOptions.ext].size: -1 must be"));
}

}  // namespace
