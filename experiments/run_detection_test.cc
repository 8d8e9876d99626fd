#include "experiments/run_detection.h"

#include <ATen/Context.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <filesystem>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "experiments/run_evaluation.h"
#include "ssd/core/file.h"
#include "ssd/model/model_file.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {
namespace {

using ::testing::HasSubstr;

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

TEST(RunDatasetDetection, WritesResultsWithTheDatasetsIds) {
  const std::string folder = testing::TempDir() + "/test_set";
  const std::string data = WriteTestSet(folder);
  const std::vector<std::string> overrides = {
      "model.num_levels=2", "model.input={ height: 64 width: 64 }", "model.backbone={ tiny {} }",
      "data.loader={ batch_size: 2 workers: 0 }"};
  const auto experiment =
      LoadExperimentToEvaluate("experiments/quickstart/digits.textproto", overrides, data,
                               std::filesystem::current_path().string());
  ASSERT_TRUE(experiment.ok()) << experiment.status();

  at::manual_seed(3);
  const auto detector = SsdDetector::Create(experiment->model(), /*num_classes=*/10);
  ASSERT_TRUE(detector.ok()) << detector.status();
  LabelMap labels;
  for (int digit = 0; digit < 10; ++digit) {
    labels.names.push_back(absl::StrCat(digit));
    labels.source_ids.push_back(digit + 1);  // of the data it was trained on
  }
  DetectionOptions options;
  options.weights = folder + "/model.pt";
  options.device = "cpu";
  options.threads = 1;
  ASSERT_TRUE(SaveModel(options.weights, **detector, labels, "").ok());

  EXPECT_THAT(std::string(RunDatasetDetection(*experiment, options).status().message()),
              HasSubstr("--data needs --output=DIR"));
  options.output = folder + "/results";
  std::filesystem::remove_all(options.output);
  const auto summary = RunDatasetDetection(*experiment, options);
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

  EXPECT_THAT(std::string(RunDatasetDetection(*experiment, options).status().message()),
              HasSubstr("results: --output exists already"));

  // An image that cannot be read leaves no folder, nor one above it.
  ASSERT_TRUE(WriteFileAtomically(folder + "/b.png", "no image").ok());
  options.output = folder + "/above/results";
  EXPECT_THAT(std::string(RunDatasetDetection(*experiment, options).status().message()),
              HasSubstr("b.png"));
  EXPECT_FALSE(std::filesystem::exists(folder + "/above"));
  // A folder that cannot be made is told before any image is read.
  options.output = folder + "/a.png/results";
  EXPECT_THAT(std::string(RunDatasetDetection(*experiment, options).status().message()),
              HasSubstr("cannot make the folder"));
  EXPECT_TRUE(std::filesystem::is_regular_file(folder + "/a.png"));
}

}  // namespace
}  // namespace ssd
