#include "experiments/trained_model.h"

#include <c10/core/DeviceType.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/load_experiment.h"
#include "ssd/core/annotations.h"
#include "ssd/core/logging.h"
#include "ssd/model/model_file.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/train/compute_format.h"

namespace ssd {
namespace {

class TrainedModelTest : public ::testing::Test {
 protected:
  static Experiment Load(const std::vector<std::string>& overrides) {
    std::vector<std::string> all = {"model.num_levels=2", "model.input={ height: 64 width: 64 }",
                                    "model.backbone={ tiny {} }"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    const absl::StatusOr<Experiment> experiment = LoadExperiment(
        "experiments/quickstart/digits.textproto", all, std::filesystem::current_path().string());
    CHECK(experiment.ok()) << experiment.status();
    return *experiment;
  }

  // That in which a model whose file holds the text `saved` is judged when `overrides` are asked.
  static std::string FormatOf(const std::string& saved, const std::vector<std::string>& overrides) {
    const Experiment experiment = Load(overrides);
    const auto detector = SsdDetector::Create(experiment.model(), /*num_classes=*/1);
    CHECK(detector.ok()) << detector.status();
    const std::string path = ::testing::TempDir() + "/model.pt";
    const LabelMap labels = {{"digit"}, {1}};
    CHECK(SaveModel(path, **detector, labels, saved).ok());
    const absl::StatusOr<TrainedModel> model = LoadTrainedModel(experiment, path, c10::kCPU);
    CHECK(model.ok()) << model.status();
    return FormatText(model->format);
  }
};

TEST_F(TrainedModelTest, IsJudgedAsItWasTrainedWhereTheConfigLeavesItOpen) {
  const std::vector<std::string> open = {"trainer.precision=AUTO",
                                         "trainer.memory_format=AUTO_FORMAT"};
  const std::string trained = "trainer { precision: BF16 memory_format: CHANNELS_LAST }";
  EXPECT_EQ(FormatOf(trained, open), "BF16, CHANNELS_LAST");
  EXPECT_EQ(FormatOf(trained, {"trainer.precision=FP32", open[1]}), "FP32, CHANNELS_LAST");
  EXPECT_EQ(FormatOf(trained, {open[0], "trainer.memory_format=NCHW"}), "BF16, NCHW");
  // What is not known, or cannot be read by this program.
  EXPECT_EQ(FormatOf("", open), "FP32, NCHW");
  EXPECT_EQ(FormatOf("model { backbone { [mylab.Swin.ext] {} } }", open), "FP32, NCHW");
}

}  // namespace
}  // namespace ssd
