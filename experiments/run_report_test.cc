#include "experiments/run_report.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "data/lazy_image.h"
#include "experiments/load_experiment.h"
#include "experiments/run_folder.h"
#include "experiments/run_record.h"
#include "ssd/core/annotations.h"
#include "ssd/core/file.h"
#include "ssd/core/geometry.h"
#include "ssd/core/logging.h"
#include "ssd/eval/evaluator.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/optim/schedule.h"

namespace ssd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::unique_ptr<Schedule> MakeSchedule(const std::string& text, int64_t total_steps) {
  ScheduleConfig config;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  auto schedule = CreateSchedule(config, {total_steps, 10});
  CHECK(schedule.ok()) << schedule.status().message();
  return *std::move(schedule);
}

TEST(PlannedLearningRate, CoversTheRunFromItsFirstStepToItsLast) {
  for (const int64_t total : {1, 2, 7, 200, 201, 120000}) {
    const auto schedule = MakeSchedule("polynomial {}", total);
    const ChartSeries planned = PlannedLearningRate(0.5, *schedule, total);
    ASSERT_EQ(planned.x.size(), static_cast<size_t>(std::min<int64_t>(total, 200)));
    ASSERT_EQ(planned.y.size(), planned.x.size());
    EXPECT_EQ(planned.x.front(), 1);
    EXPECT_EQ(planned.x.back(), static_cast<double>(total));
    for (size_t i = 0; i < planned.x.size(); ++i) {
      if (i > 0) {
        EXPECT_GT(planned.x[i], planned.x[i - 1]);
      }
      // The first step has the whole rate, the step after the last would have none.
      const double left = 1 - (planned.x[i] - 1) / static_cast<double>(total);
      EXPECT_NEAR(planned.y[i], 0.5 * left, 1e-12);
    }
  }
}

TEST(PlannedLearningRate, HasEveryStepOfAShortRun) {
  const auto schedule = MakeSchedule("multi_step { milestone_step: [2, 3] }", 5);
  const ChartSeries planned = PlannedLearningRate(1, *schedule, 5);
  const std::vector<double> expected = {1, 1, 0.1, 0.01, 0.01};
  ASSERT_EQ(planned.y.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(planned.y[i], expected[i], 1e-12);
}

// One row or column of pixels, as a line camera gives it.
class LineSource final : public ImageSource {
 public:
  explicit LineSource(ImageSize size) : size_(size) {}

  ImageSize size() const override { return size_; }

  absl::StatusOr<cv::Mat> Decode() const override {
    return cv::Mat(static_cast<int>(size_.height), static_cast<int>(size_.width), CV_8UC3,
                   cv::Scalar::all(128));
  }

 private:
  const ImageSize size_;
};

class LineDataset final : public Dataset {
 public:
  int64_t size() const override { return static_cast<int64_t>(sizes_.size()); }
  const LabelMap& labels() const override { return labels_; }

  absl::StatusOr<Annotations> GetAnnotations(int64_t index) const override {
    Annotations truth;
    truth.image_id = index;
    truth.size = sizes_[static_cast<size_t>(index)];
    Annotation object;
    object.box = {0, 0, static_cast<double>(truth.size.width),
                  static_cast<double>(truth.size.height)};
    object.label = 1;
    truth.objects.push_back(object);
    return truth;
  }

  absl::StatusOr<Sample> Get(int64_t index) const override {
    Sample sample;
    sample.image = LazyImage(std::make_shared<LineSource>(sizes_[static_cast<size_t>(index)]));
    sample.geometry = Geometry::Identity(sample.image.size());
    sample.truth = *GetAnnotations(index);
    return sample;
  }

  std::string Fingerprint() const override { return "0123456789abcdef"; }

 private:
  const std::vector<ImageSize> sizes_ = {{1, 3000}, {3000, 1}, {1, 1}};
  const LabelMap labels_ = {{"line"}, {1}};
};

// The report of a run of these facts that logged these lines.
std::string ReportOf(const RunRecord& record, const std::string& metrics_log) {
  const absl::StatusOr<Experiment> experiment =
      LoadExperiment(std::filesystem::absolute("experiments/quickstart/digits.textproto").string(),
                     std::vector<std::string>(), ".");
  CHECK(experiment.ok()) << experiment.status();
  const auto detector = SsdDetector::Create(experiment->model(), /*num_classes=*/1);
  CHECK(detector.ok()) << detector.status();
  const std::string path = testing::TempDir() + "/lines";
  std::filesystem::remove_all(path);
  const absl::StatusOr<RunFolder> folder = RunFolder::Create(path, "lines", "", "", "{}");
  CHECK(folder.ok()) << folder.status();
  CHECK(WriteFileAtomically(folder->metrics(), metrics_log).ok());

  const LineDataset dataset;
  const Metrics metrics;
  const std::vector<ImageDetections> detections;
  const ChartSeries planned_learning_rate;
  const absl::Status written =
      WriteRunReport({*folder, *experiment, record, dataset.labels(), metrics, detections, dataset,
                      **detector, planned_learning_rate});
  CHECK(written.ok()) << written;
  return *ReadFile(folder->report());
}

TEST(WriteRunReport, TellsWhatTheLoaderDid) {
  RunRecord record;
  const std::string log =
      "{\"step\":10,\"train.loss\":3,\"timing\":{\"images_per_second\":40,"
      "\"data_wait_share\":0.125,\"decode_seconds\":0.0025,\"transform_seconds\":0.0075,"
      "\"queue_depth\":3.5,\"cache_hit_rate\":0.75}}\n";
  const auto row = [](const std::string& fact, const std::string& value) {
    return "<th scope=\"row\">" + fact + "</th><td>" + value + "</td>";
  };
  const std::string whole = ReportOf(record, log);
  EXPECT_THAT(whole, HasSubstr(row("training spent waiting for data", "12.5 %")));
  EXPECT_THAT(whole, HasSubstr(row("reading and decoding an image, one thread", "2.50 ms")));
  EXPECT_THAT(whole, HasSubstr(row("transforming an image, one thread", "7.50 ms")));
  EXPECT_THAT(whole, HasSubstr(row("batches ready when one is asked for", "3.5")));
  EXPECT_THAT(whole, HasSubstr(row("images found in memory", "75.0 %")));
  EXPECT_THAT(whole, Not(HasSubstr("images that could not be read")));

  record.train.skipped_images = 2;
  record.validation.skipped_images = 1;
  EXPECT_THAT(ReportOf(record, ""),
              HasSubstr(row("images that could not be read", "2 for training, 1 for validation")));
}

TEST(WriteRunReport, ShowsPicturesOfOneLine) {
  const std::string page = ReportOf(RunRecord(), "");
  size_t pictures = 0;
  for (size_t at = page.find("data:image/jpeg"); at != std::string::npos;
       at = page.find("data:image/jpeg", at + 1)) {
    ++pictures;
  }
  EXPECT_EQ(pictures, 3u);
}

}  // namespace
}  // namespace ssd
