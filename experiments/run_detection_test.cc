#include "experiments/run_detection.h"

#include <ATen/Context.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/dataset.h"
#include "experiments/detector.h"
#include "experiments/run_data.h"
#include "experiments/run_evaluation.h"
#include "ssd/core/file.h"
#include "ssd/core/text_proto.h"
#include "ssd/model/model_file.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Two images with ids 7 and 42 and no truths; digit d is category 2 d + 3.
std::string WriteTestSet(const std::string& folder) {
  std::filesystem::create_directories(folder);
  std::string categories;
  for (int digit = 0; digit < 10; ++digit) {
    absl::StrAppend(&categories, digit == 0 ? "" : ",", "{\"id\":", 2 * digit + 3, ",\"name\":\"",
                    digit, "\"}");
  }
  const absl::Status written = WriteFileAtomically(
      folder + "/image_info.json",
      absl::StrCat("{\"images\":[{\"id\":42,\"file_name\":\"b.png\",\"width\":80,\"height\":60},"
                   "{\"id\":7,\"file_name\":\"a.png\",\"width\":80,\"height\":60}],"
                   "\"categories\":[",
                   categories, "]}"));
  EXPECT_TRUE(written.ok()) << written;
  for (const char* name : {"/a.png", "/b.png"}) {
    cv::imwrite(folder + name, cv::Mat(60, 80, CV_8UC3, cv::Scalar(30, 120, 200)));
  }
  return absl::StrCat("coco { annotations: \"", folder, "/image_info.json\" images: \"", folder,
                      "\" }");
}

// A small network for wide images, judged on `data`.
Experiment SmallExperiment(const std::string& data) {
  const std::vector<std::string> overrides = {
      "model.num_levels=2", "model.input={ height: 64 width: 96 }", "model.backbone={ tiny {} }",
      "data.loader={ batch_size: 2 workers: 0 }"};
  const auto experiment =
      LoadExperimentToEvaluate("experiments/quickstart/digits.textproto", overrides, data,
                               std::filesystem::current_path().string());
  EXPECT_TRUE(experiment.ok()) << experiment.status();
  return experiment.ok() ? *experiment : Experiment();
}

// Of ten digits.
LabelMap DigitLabels() {
  LabelMap labels;
  for (int digit = 0; digit < 10; ++digit) {
    labels.names.push_back(absl::StrCat(digit));
    labels.source_ids.push_back(digit + 1);  // of the data it was trained on
  }
  return labels;
}

// How to detect on the CPU with the model file `path`, which is written: random weights, always the
// same, and `text` as the experiment they come from.
DetectionOptions WithModel(const std::string& path, const Experiment& experiment,
                           const std::string& text) {
  at::manual_seed(3);
  const auto detector = SsdDetector::Create(experiment.model(), /*num_classes=*/10);
  EXPECT_TRUE(detector.ok()) << detector.status();
  if (detector.ok()) {
    const absl::Status saved = SaveModel(path, **detector, DigitLabels(), text);
    EXPECT_TRUE(saved.ok()) << saved;
  }
  DetectionOptions options;
  options.weights = path;
  options.device = "cpu";
  options.threads = 1;
  return options;
}

TEST(RunDatasetDetection, WritesResultsWithTheDatasetsIds) {
  const std::string folder = testing::TempDir() + "/test_set";
  const Experiment experiment = SmallExperiment(WriteTestSet(folder));
  DetectionOptions options = WithModel(folder + "/model.pt", experiment, "");

  EXPECT_THAT(std::string(RunDatasetDetection(experiment, options).status().message()),
              HasSubstr("--data needs --output=DIR"));
  options.output = folder + "/results";
  std::filesystem::remove_all(options.output);
  const auto summary = RunDatasetDetection(experiment, options);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->images, 2);
  EXPECT_GT(summary->detections, 0);

  rapidjson::Document results;
  results.Parse(ReadFile(options.output + "/detections.json")->c_str());
  ASSERT_TRUE(results.IsArray());
  EXPECT_EQ(static_cast<int64_t>(results.Size()), summary->detections);
  std::set<int64_t> images;
  for (const auto& entry : results.GetArray()) {
    images.insert(entry["image_id"].GetInt64());
    const int64_t category = entry["category_id"].GetInt64();
    EXPECT_TRUE(category >= 3 && category <= 21 && category % 2 == 1) << category;
    EXPECT_EQ(entry["bbox"].Size(), 4u);
    EXPECT_GT(entry["score"].GetDouble(), 0);
  }
  EXPECT_EQ(images, (std::set<int64_t>{7, 42}));

  EXPECT_THAT(std::string(RunDatasetDetection(experiment, options).status().message()),
              HasSubstr("results: --output exists already"));
  Experiment nowhere = experiment;
  nowhere.mutable_data()->mutable_validation()->mutable_coco()->set_annotations("nowhere.json");
  options.output = folder + "/unmade";
  EXPECT_THAT(std::string(RunDatasetDetection(nowhere, options).status().message()),
              AllOf(StartsWith("--data: "), HasSubstr("nowhere.json")));

  // An image that cannot be read leaves no folder, nor one above it.
  ASSERT_TRUE(WriteFileAtomically(folder + "/b.png", "no image").ok());
  options.output = folder + "/above/results";
  EXPECT_THAT(std::string(RunDatasetDetection(experiment, options).status().message()),
              HasSubstr("b.png"));
  EXPECT_FALSE(std::filesystem::exists(folder + "/above"));
  // A folder that cannot be made is told before any image is read.
  options.output = folder + "/a.png/results";
  EXPECT_THAT(std::string(RunDatasetDetection(experiment, options).status().message()),
              HasSubstr("cannot make the folder"));
  EXPECT_TRUE(std::filesystem::is_regular_file(folder + "/a.png"));
  // What is in its place stays.
  options.output = folder + "/link";
  std::filesystem::remove(options.output);
  std::filesystem::create_symlink("nowhere", options.output);
  EXPECT_FALSE(RunDatasetDetection(experiment, options).ok());
  EXPECT_TRUE(std::filesystem::is_symlink(options.output));
}

TEST(LoadExperimentToEvaluate, NamesTheFlagThatTheDataComeFrom) {
  const auto error = [](const std::string& data) {
    const auto experiment =
        LoadExperimentToEvaluate("experiments/quickstart/digits.textproto", {}, data,
                                 std::filesystem::current_path().string());
    return std::string(experiment.status().message());
  };
  for (const char* data : {"coco { annotation: 'a.json' }",
                           "digits {} transform { expand { "
                           "max_ratio: 0.5 } }"}) {
    EXPECT_THAT(error(data), StartsWith("--data: "));
  }
  EXPECT_THAT(error("coco { annotation: 'a.json' }"), HasSubstr("did you mean 'annotations'?"));
  EXPECT_THAT(error("digits {} transform { expand { max_ratio: 0.5 } }"),
              HasSubstr("data.validation.transform[0].expand.max_ratio: 0.5"));
}

TEST(RunDatasetDetection, LeavesNoFolderWhenItIsStopped) {
  const std::string folder = testing::TempDir() + "/stopped_set";
  const Experiment experiment = SmallExperiment(WriteTestSet(folder));
  DetectionOptions options = WithModel(folder + "/model.pt", experiment, "");
  const std::atomic<int> stop{2};
  options.stop = &stop;
  options.output = folder + "/above/results";
  EXPECT_TRUE(absl::IsCancelled(RunDatasetDetection(experiment, options).status()));
  EXPECT_FALSE(std::filesystem::exists(folder + "/above"));
  std::ostringstream lines;
  EXPECT_TRUE(absl::IsCancelled(RunDetection({folder + "/a.png"}, options, lines).status()));
  EXPECT_FALSE(std::filesystem::exists(folder + "/above"));
  EXPECT_EQ(lines.str(), "");
}

TEST(RunDetection, PassesOverImagesThatCannotBeRead) {
  const std::string folder = testing::TempDir() + "/pictures";
  const Experiment experiment = SmallExperiment(WriteTestSet(folder));
  DetectionOptions options = WithModel(folder + "/model.pt", experiment, "");
  ASSERT_TRUE(WriteFileAtomically(folder + "/aa.png", "no image").ok());
  options.output = folder + "/drawn";
  std::filesystem::remove_all(options.output);
  const auto files = ImageFiles({folder});
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 3u);
  std::ostringstream lines;
  const auto summary = RunDetection(*files, options, lines);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->images, 2);
  EXPECT_EQ(summary->unreadable_images, 1);
  const std::string text = lines.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_THAT(text, HasSubstr("/a.png"));
  EXPECT_THAT(text, HasSubstr("/b.png"));
  EXPECT_TRUE(std::filesystem::exists(options.output + "/b.jpg"));

  // The only one is an error, and leaves no folder.
  options.output = folder + "/undrawn";
  EXPECT_THAT(std::string(RunDetection({folder + "/aa.png"}, options, lines).status().message()),
              HasSubstr("aa.png"));
  EXPECT_FALSE(std::filesystem::exists(options.output));
}

TEST(RunDetection, PassesOverImagesThatMayNotBeRead) {
  const std::string folder = testing::TempDir() + "/locked_pictures";
  const Experiment experiment = SmallExperiment(WriteTestSet(folder));
  const DetectionOptions options = WithModel(folder + "/model.pt", experiment, "");
  std::filesystem::permissions(folder + "/a.png", std::filesystem::perms::none);
  if (access((folder + "/a.png").c_str(), R_OK) == 0) GTEST_SKIP() << "this user may read all";
  std::ostringstream lines;
  const auto summary = RunDetection({folder + "/a.png", folder + "/b.png"}, options, lines);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->images, 1);
  EXPECT_EQ(summary->unreadable_images, 1);
  EXPECT_TRUE(absl::IsPermissionDenied(RunDetection({folder + "/a.png"}, options, lines).status()));
}

constexpr size_t kBest = 20;

// How many of the kBest first of `expected` are among `found`.
size_t CountFound(const std::vector<PixelDetection>& expected,
                  const std::vector<Detection>& found) {
  size_t count = 0;
  for (size_t k = 0; k < std::min(kBest, expected.size()); ++k) {
    const PixelDetection& wanted = expected[k];
    const bool is_found = std::any_of(found.begin(), found.end(), [&](const Detection& detection) {
      const auto near = [](double a, double b) { return std::abs(a - b) < 0.01; };
      return detection.label == wanted.label && std::abs(detection.score - wanted.score) < 1e-5 &&
             near(detection.box.x0, wanted.box.x0) && near(detection.box.y0, wanted.box.y0) &&
             near(detection.box.x1, wanted.box.x1) && near(detection.box.y1, wanted.box.y1);
    });
    if (is_found) ++count;
  }
  return count;
}

TEST(DetectorTest, FindsWhatEvaluationFindsInPaddedImages) {
  const Experiment experiment = SmallExperiment(
      "digits { scenes: 3 scene_seed: 2 } "
      "transform { resize_and_pad { position: CENTER fill: [10, 200, 30] } }");
  const std::string path = testing::TempDir() + "/padded.pt", warped_path = path + ".warped.pt";
  EvaluationOptions options;
  options.weights = WithModel(path, experiment, PrintTextProto(experiment)).weights;
  options.device = "cpu";
  options.threads = 1;
  const auto judged = RunEvaluation(experiment, options);
  ASSERT_TRUE(judged.ok()) << judged.status();
  ASSERT_EQ(judged->detections.size(), 3u);
  const auto dataset =
      OpenDataset(experiment.data().validation(), DigitLabels().names, "data.validation");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  const auto detector = Detector::Load(path);
  ASSERT_TRUE(detector.ok()) << detector.status();
  // The same weights in a file that tells nothing of the images they were made for.
  const auto warping = Detector::Load(WithModel(warped_path, experiment, "").weights);
  ASSERT_TRUE(warping.ok()) << warping.status();

  for (int64_t i = 0; i < 3; ++i) {
    const auto sample = (*dataset)->Get(i);
    ASSERT_TRUE(sample.ok()) << sample.status();
    const auto rgb = sample->image.Render();
    ASSERT_TRUE(rgb.ok()) << rgb.status();
    cv::Mat bgr;
    cv::cvtColor(*rgb, bgr, cv::COLOR_RGB2BGR);
    const std::vector<PixelDetection>& expected =
        judged->detections[static_cast<size_t>(i)].detections;
    ASSERT_GE(expected.size(), kBest);
    const auto found = detector->Detect(bgr);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(CountFound(expected, *found), kBest);
    const auto found_warped = warping->Detect(bgr);
    ASSERT_TRUE(found_warped.ok()) << found_warped.status();
    EXPECT_LT(CountFound(expected, *found_warped), kBest);
  }
}

TEST(DetectorTest, NeedsOfAnExperimentOnlyItsTransforms) {
  const Experiment experiment = SmallExperiment("digits { scenes: 2 }");
  const std::string path = testing::TempDir() + "/foreign.pt";
  const auto load = [&](const std::string& text) {
    return Detector::Load(WithModel(path, experiment, text).weights).status();
  };
  const absl::Status known = load(
      "optimizer { gone: 3 } trainer { precision: GONE } "
      "data { loader { on_bad_image: GONE } validation { [mylab.SetOptions.ext] { folder: 'x' } "
      "transform { resize_and_pad {} } } }");
  EXPECT_TRUE(known.ok()) << known;
  const absl::Status transform =
      load("data { validation { transform { [mylab.ViewOptions.ext] {} } } }");
  EXPECT_EQ(transform.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(transform.message()),
              HasSubstr(path + ": data.validation.transform[0]: this program does not know it"));
  const absl::Status option =
      load("data { validation { transform { resize_and_pad { fill: 300 } } } }");
  EXPECT_EQ(option.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(option.message()),
              HasSubstr("data.validation.transform[0].resize_and_pad.fill"));
  EXPECT_EQ(load("data {").code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ssd
