#include "experiments/run_report.h"

#include <algorithm>
#include <map>
#include <opencv2/imgcodecs.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "experiments/anchor_matches.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"
#include "ssd/report/html_report.h"
#include "ssd/report/metrics_history.h"
#include "ssd/report/picture_sheet.h"

namespace ssd {
namespace {

constexpr int64_t kPictures = 12;
constexpr int kLargestSide = 640;  // px of a picture in the page
constexpr int64_t kPlannedPoints = 200;

// The picture as the page shows it: a large one reduced, a small one enlarged to no more than half.
absl::StatusOr<std::string> EncodeForPage(const cv::Mat& rgb) {
  const int side = std::clamp(std::max(rgb.rows, rgb.cols), kLargestSide / 2, kLargestSide);
  std::vector<uint8_t> bytes;
  if (!cv::imencode(".jpg", FitPicture(rgb, side).bgr, bytes, {cv::IMWRITE_JPEG_QUALITY, 88})) {
    return absl::InternalError("OpenCV cannot encode a JPEG");
  }
  return std::string(bytes.begin(), bytes.end());
}

// Which anchors answer for each truth of one image, in pixels of the original, best first. The
// network's view is the whole image, warped.
std::vector<MatchedTruth> MatchTruths(const AnchorSetting& setting, const Annotations& truth) {
  const std::vector<std::vector<AnchorMatch>> matches =
      MatchAnchors(setting, truth.objects, truth.size);
  std::vector<MatchedTruth> truths;
  for (size_t i = 0; i < matches.size(); ++i) {
    MatchedTruth& matched = truths.emplace_back();
    matched.truth = truth.objects[i];
    for (const AnchorMatch& match : matches[i]) matched.anchors.push_back({match.box, match.iou});
  }
  return truths;
}

absl::StatusOr<std::vector<ReportPicture>> Pictures(const RunReportInput& input) {
  std::map<int64_t, const ImageDetections*> found;
  for (const ImageDetections& image : input.detections) found[image.image_id] = &image;
  const AnchorSetting setting = AnchorSettingOf(input.detector);
  std::vector<ReportPicture> pictures;
  for (int64_t i = 0; i < std::min(kPictures, input.validation.size()); ++i) {
    const absl::StatusOr<Sample> read = input.validation.Get(i);
    const absl::StatusOr<cv::Mat> rendered =
        read.ok() ? read->image.Render() : absl::StatusOr<cv::Mat>(read.status());
    // What the loader skipped has no picture.
    if (!rendered.ok() && input.record.validation.skipped_images > 0) continue;
    SSD_ASSIGN_OR_RETURN(const cv::Mat rgb, rendered);
    const Sample& sample = *read;
    ReportPicture picture;
    picture.name = sample.truth.file_name;
    picture.size = sample.truth.size;
    SSD_ASSIGN_OR_RETURN(picture.jpeg, EncodeForPage(rgb));
    picture.truths = sample.truth.objects;
    if (const auto match = found.find(sample.truth.image_id); match != found.end()) {
      picture.detections = match->second->detections;
    }
    picture.matches = MatchTruths(setting, sample.truth);
    pictures.push_back(std::move(picture));
  }
  return pictures;
}

ReportContent::Facts RunFacts(const RunReportInput& input) {
  const RunRecord& record = input.record;
  ReportContent::Facts facts = {
      {"seed", absl::StrCat(record.seed)},
      {"training images", absl::StrCat(record.train.images)},
      {"validation images", absl::StrCat(record.validation.images)},
      {"parameters", absl::StrCat(record.parameters)},
      {"anchors", absl::StrCat(record.anchors)},
      {"steps", absl::StrCat(record.steps, " of ", record.total_steps)},
      {"device", record.device == "cpu"
                     ? absl::StrCat(record.processor, ", ", record.threads, " threads")
                     : record.device},
      {"precision", absl::StrCat(record.precision, ", ", record.memory_format)},
      {"LibTorch", record.torch_version},
      {"started", record.started},
  };
  const int64_t skipped = record.train.skipped_images + record.validation.skipped_images;
  if (skipped > 0) {
    facts.emplace_back("images that could not be read",
                       absl::StrCat(record.train.skipped_images, " for training, ",
                                    record.validation.skipped_images, " for validation"));
  }
  if (!record.commit.empty()) facts.emplace_back("commit", record.commit);
  return facts;
}

// What a researcher looks for first, beside the metrics: where the best weights come from, and
// where the time went.
void AddTiming(const RunRecord& record, const MetricsHistory& history, ReportContent& content) {
  const TimingSummary timing = SummarizeTiming(history);
  if (history.best_step.has_value()) {
    content.highlights.emplace_back(absl::StrCat("best step of ", record.total_steps),
                                    absl::StrCat(*history.best_step));
  }
  content.timing.emplace_back("whole run", absl::StrFormat("%.0f s", record.seconds));
  if (timing.images_per_second.has_value()) {
    const std::string speed = absl::StrFormat("%.1f", *timing.images_per_second);
    content.highlights.emplace_back("training images a second", speed);
    content.timing.emplace_back("training images a second", speed);
  }
  if (timing.data_wait_share.has_value()) {
    const std::string share = absl::StrFormat("%.1f %%", 100 * *timing.data_wait_share);
    content.highlights.emplace_back("of training spent waiting for data", share);
    content.timing.emplace_back("training spent waiting for data", share);
  }
  const auto add_seconds = [&content](const char* what, std::optional<double> seconds) {
    if (seconds.has_value()) {
      content.timing.emplace_back(what, absl::StrFormat("%.2f ms", 1000 * *seconds));
    }
  };
  add_seconds("reading and decoding an image, one thread", timing.decode_seconds);
  add_seconds("transforming an image, one thread", timing.transform_seconds);
  if (timing.queue_depth.has_value()) {
    content.timing.emplace_back("batches ready when one is asked for",
                                absl::StrFormat("%.1f", *timing.queue_depth));
  }
  if (timing.cache_hit_rate.has_value()) {
    content.timing.emplace_back("images found in memory",
                                absl::StrFormat("%.1f %%", 100 * *timing.cache_hit_rate));
  }
  if (timing.evaluations > 0) {
    const double each = timing.evaluation_seconds / static_cast<double>(timing.evaluations);
    content.highlights.emplace_back("an evaluation", absl::StrFormat("%.1f s", each));
    content.timing.emplace_back(
        "evaluations in training",
        absl::StrFormat("%d, %.1f s", timing.evaluations, timing.evaluation_seconds));
  }
}

}  // namespace

ChartSeries PlannedLearningRate(double base_learning_rate, const Schedule& schedule,
                                int64_t total_steps) {
  ChartSeries planned;
  const int64_t points = std::min(kPlannedPoints, total_steps);
  for (int64_t i = 0; i < points; ++i) {
    const int64_t step = points == 1 ? 0 : i * (total_steps - 1) / (points - 1);
    planned.x.push_back(static_cast<double>(step + 1));
    planned.y.push_back(base_learning_rate * schedule.Multiplier(step));
  }
  return planned;
}

absl::Status WriteRunReport(const RunReportInput& input) {
  ReportContent content;
  content.title = input.record.name;
  content.summary =
      absl::StrFormat("%d images trained on, %d judged, %d anchors, %.2f million parameters.",
                      input.record.train.images, input.record.validation.images,
                      input.record.anchors, static_cast<double>(input.record.parameters) / 1e6);
  SSD_ASSIGN_OR_RETURN(const MetricsHistory history, ReadMetricsHistory(input.folder.metrics()));
  content.charts = TrainingCharts(history, input.planned_learning_rate);
  content.labels = input.labels;
  content.metrics = input.metrics;
  SSD_ASSIGN_OR_RETURN(content.pictures, Pictures(input));
  content.run = RunFacts(input);
  AddTiming(input.record, history, content);
  content.config = PrintTextProto(input.experiment);
  return WriteFileAtomically(input.folder.report(), HtmlReport(content));
}

}  // namespace ssd
