#include "experiments/run_visualization.h"

#include <ATen/Context.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "experiments/load_experiment.h"
#include "experiments/run_data.h"
#include "experiments/sample_pipeline.h"
#include "ssd/core/file.h"
#include "ssd/model/model_file.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/report/class_colors.h"

namespace ssd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const cv::Vec3b kFalse(0x33, 0x77, 0xee);  // blue first
const cv::Vec3b kMissed(0x77, 0x33, 0xee);
// A tile that makes a scene of 120 pixels seven times as large, and its lines three pixels wide.
constexpr int kTile = 840;

// Scenes of one digit each and a network that is made in no time.
Experiment SmallExperiment() {
  const std::string path = testing::TempDir() + "/visualization.textproto";
  const std::string base =
      std::filesystem::absolute("experiments/quickstart/digits.textproto").string();
  const absl::Status written =
      WriteFileAtomically(path, absl::StrCat(R"(# proto-file: experiments/experiment.proto
# proto-message: ssd.Experiment
base: ")",
                                             base, R"("
model {
  num_levels: 2
  input { height: 64 width: 64 }
  backbone { tiny {} }
}
data {
  train {
    digits { scenes: 6 max_digits: 1 }
    transform { photometric_distortion {} }
    transform { expand {} }
    transform { iou_crop {} }
    transform { resize {} }
    transform { horizontal_flip {} }
  }
  validation { digits { scenes: 4 max_digits: 1 } }
  loader { batch_size: 2 workers: 0 }
}
)"));
  EXPECT_TRUE(written.ok()) << written;
  const auto experiment = LoadExperiment(path, std::vector<std::string>(), ".");
  EXPECT_TRUE(experiment.ok()) << experiment.status();
  return *experiment;
}

// A model file of random weights.
std::string UntrainedModel(const Experiment& experiment) {
  at::manual_seed(3);
  const auto detector = SsdDetector::Create(experiment.model(), /*num_classes=*/10);
  EXPECT_TRUE(detector.ok()) << detector.status();
  LabelMap labels;
  for (int digit = 0; digit < 10; ++digit) {
    labels.names.push_back(absl::StrCat(digit));
    labels.source_ids.push_back(digit + 1);
  }
  const std::string path = testing::TempDir() + "/untrained.pt";
  const absl::Status saved = SaveModel(path, **detector, labels, "");
  EXPECT_TRUE(saved.ok()) << saved;
  return path;
}

VisualizationOptions Options(const std::string& folder) {
  VisualizationOptions options;
  options.output = testing::TempDir() + "/" + folder;
  options.device = "cpu";
  options.threads = 1;
  return options;
}

cv::Mat Read(const VisualizationOptions& options, const std::string& name) {
  const cv::Mat sheet = cv::imread(options.output + "/" + name);
  EXPECT_FALSE(sheet.empty()) << name;
  return sheet;
}

// The only tile of a sheet, of kTile pixels a side and two lines of caption.
cv::Mat OnlyTile(const cv::Mat& sheet) {
  return sheet(cv::Rect(12, sheet.rows - 12 - 34 - kTile, kTile, kTile));
}

// The place and object of a scene whose box has room on the left.
std::pair<int64_t, Annotation> SomeTruth(const DatasetConfig& config) {
  const auto dataset = OpenDataset(config, {}, "data");
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  for (int64_t index = 0; index < (*dataset)->size(); ++index) {
    const auto truth = (*dataset)->GetAnnotations(index);
    EXPECT_TRUE(truth.ok());
    if (truth->objects.size() == 1 && truth->objects[0].box.x0 >= 2) {
      return {index, truth->objects[0]};
    }
  }
  ADD_FAILURE() << "every scene's digit lies on the left edge";
  return {};
}

TEST(RunVisualization, DrawsEverySheetThatNeedsNoWeights) {
  VisualizationOptions options = Options("all");
  options.count = 3;
  options.columns = 2;
  options.tile = 128;
  const auto files = RunVisualization(SmallExperiment(), options);
  ASSERT_TRUE(files.ok()) << files.status();
  std::vector<std::string> expected;
  for (const char* name :
       {"truth", "anchors_level_1", "anchors_level_2", "positives", "augmented"}) {
    expected.push_back(absl::StrCat(options.output, "/", name, ".png"));
  }
  EXPECT_EQ(*files, expected);
  // A title; two rows of scenes, each with two lines of caption.
  EXPECT_EQ(Read(options, "truth.png").size(), cv::Size(360, 46 + 2 * (120 + 34 + 12)));
  // A row for each of three scenes, two epochs of each, at twice their size.
  EXPECT_EQ(Read(options, "augmented.png").size(), cv::Size(360, 46 + 3 * (128 + 34 + 12)));

  // The same call writes the same bytes.
  std::vector<std::string> bytes;
  for (const std::string& file : *files) bytes.push_back(*ReadFile(file));
  ASSERT_TRUE(RunVisualization(SmallExperiment(), options).ok());
  for (size_t i = 0; i < bytes.size(); ++i) EXPECT_EQ(*ReadFile((*files)[i]), bytes[i]) << i;
}

TEST(RunVisualization, DrawsATruthWhereItIs) {
  const Experiment experiment = SmallExperiment();
  const auto [index, truth] = SomeTruth(experiment.data().train());
  VisualizationOptions options = Options("truth");
  options.show = "truth";
  options.index = absl::StrCat(index);
  options.tile = kTile;
  ASSERT_TRUE(RunVisualization(experiment, options).ok());
  const cv::Mat tile = OnlyTile(Read(options, "truth.png"));
  const Rgb color = ClassColor(truth.label);
  const int middle = static_cast<int>(7 * (truth.box.y0 + truth.box.y1) / 2);
  EXPECT_EQ(tile.at<cv::Vec3b>(middle, static_cast<int>(7 * truth.box.x0)),
            cv::Vec3b(color.blue, color.green, color.red));
}

TEST(RunVisualization, DotsWhatIsMissedAndDashesWhatIsFalse) {
  const Experiment experiment = SmallExperiment();
  const auto [index, truth] = SomeTruth(experiment.data().validation());
  VisualizationOptions options = Options("detections");
  options.show = "detections";
  options.index = absl::StrCat(index);
  options.tile = kTile;
  options.weights = UntrainedModel(experiment);
  options.min_score = 1;  // which nothing scores
  const auto files = RunVisualization(experiment, options);
  ASSERT_TRUE(files.ok()) << files.status();
  const cv::Mat missed = OnlyTile(Read(options, "detections.png"));
  // The lower half of the left edge: three pixels of line, six of gap.
  const int left = static_cast<int>(std::lround(7 * truth.box.x0 - 1.5));
  const int top = static_cast<int>(std::lround(7 * truth.box.y0 - 1.5));
  const int bottom = static_cast<int>(std::lround(7 * truth.box.y1 - 1.5));
  for (int y = (top + bottom) / 2; y < bottom; ++y) {
    EXPECT_EQ(missed.at<cv::Vec3b>(y, left) == kMissed, (y - top) % 9 < 3) << y - top;
  }

  options.min_score = 0;
  ASSERT_TRUE(RunVisualization(experiment, options).ok());
  const cv::Mat found = OnlyTile(Read(options, "detections.png"));
  int of_false = 0;
  for (int y = 0; y < kTile; ++y) {
    for (int x = 0; x < kTile; ++x) of_false += found.at<cv::Vec3b>(y, x) == kFalse;
  }
  EXPECT_GT(of_false, 100) << "random weights find nothing false";
}

TEST(RunVisualization, ShowsAnchorsOfAModelFileToo) {
  const Experiment experiment = SmallExperiment();
  VisualizationOptions options = Options("weights");
  options.weights = UntrainedModel(experiment);
  options.split = "validation";
  options.count = 2;
  const auto files = RunVisualization(experiment, options);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(files->size(), 6u) << "detections, too";
}

TEST(RunVisualization, SaysWhichFlagIsWrong) {
  const Experiment experiment = SmallExperiment();
  const auto error = [&experiment](const std::function<void(VisualizationOptions&)>& change) {
    VisualizationOptions options = Options("wrong");
    change(options);
    return std::string(RunVisualization(experiment, options).status().message());
  };
  using O = VisualizationOptions;
  EXPECT_THAT(error([](O& o) { o.show = "truths"; }),
              HasSubstr("--show=truths: there is no sheet 'truths'; did you mean 'truth'?"));
  EXPECT_THAT(error([](O& o) { o.show = "truth,detections"; }),
              HasSubstr("give --run=DIR or --weights=W"));
  EXPECT_THAT(error([](O& o) { o.split = "test"; }),
              HasSubstr("--split=test: must be train or validation"));
  EXPECT_THAT(error([](O& o) { o.output = ""; }), HasSubstr("--output is not set"));
  EXPECT_THAT(error([](O& o) { o.count = 0; }), HasSubstr("--count=0: must be 1 to 1000"));
  EXPECT_THAT(error([](O& o) { o.columns = 0; }), HasSubstr("--columns=0: must be 1 to 100"));
  EXPECT_THAT(error([](O& o) { o.tile = 8; }), HasSubstr("--tile=8: must be 32 to 4096"));
  EXPECT_THAT(error([](O& o) { o.epoch = -1; }), HasSubstr("--epoch=-1: must be 0 to"));
  EXPECT_THAT(error([](O& o) { o.min_score = 1.5; }), HasSubstr("--min_score=1.5: must be 0 to 1"));
  EXPECT_THAT(error([](O& o) { o.index = "1,x"; }),
              AllOf(HasSubstr("--index=1,x: must be places"), HasSubstr("separated by commas")));
  EXPECT_THAT(error([](O& o) { o.index = "6"; }),
              HasSubstr("--index=6: data.train has 6 images, 0 to 5"));
  EXPECT_THAT(error([](O& o) {
                o.count = 1000;
                o.tile = 4096;
              }),
              HasSubstr("lower --tile, --count or --columns"));
  EXPECT_THAT(error([](O& o) { o.weights = testing::TempDir() + "/none.pt"; }),
              HasSubstr("/none.pt"));
  EXPECT_THAT(error([](O& o) { o.device = "tpu"; }), HasSubstr("--device='tpu'"));
}

TEST(SamplePipeline, MakesWhatTheLoaderMakes) {
  const Experiment experiment = SmallExperiment();
  const DatasetConfig& config = experiment.data().train();
  const auto data =
      LoadData(experiment, config, {}, DataUse::kTraining, /*pin_memory=*/false, "data.train");
  ASSERT_TRUE(data.ok()) << data.status();
  const auto pipeline = SamplePipeline::Create(experiment, config, "data.train");
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  const int64_t epoch = 3;
  ASSERT_TRUE(data->loader->Start(epoch, 0).ok());
  for (int batches = 0; batches < 3; ++batches) {
    const auto batch = data->loader->Next();
    ASSERT_TRUE(batch.ok()) << batch.status();
    ASSERT_TRUE(batch->has_value());
    for (size_t row = 0; row < (*batch)->image_ids.size(); ++row) {
      const int64_t index = (*batch)->image_ids[row] - 1;  // scene i has id i + 1
      const auto sample = pipeline->Make(*data->dataset, index, experiment.seed(), epoch);
      ASSERT_TRUE(sample.ok()) << sample.status();
      const auto rgb = pipeline->Render(*sample);
      ASSERT_TRUE(rgb.ok()) << rgb.status();
      const int64_t place = static_cast<int64_t>(row);
      EXPECT_TRUE(ImageTensor(*rgb)[0].equal((*batch)->images[place])) << index;
      const Truth& truth = (*batch)->truth;
      EXPECT_EQ(truth.labels[place].gt(0).sum().item<int64_t>(),
                static_cast<int64_t>(sample->truth.objects.size()));
      for (size_t i = 0; i < sample->truth.objects.size(); ++i) {
        const auto object = static_cast<int64_t>(i);
        EXPECT_EQ(sample->truth.objects[i].id, object);
        EXPECT_FLOAT_EQ(truth.boxes[place][object][0].item<float>(),
                        static_cast<float>(sample->truth.objects[i].box.x0 / 64));
      }
    }
  }
}

}  // namespace
}  // namespace ssd
