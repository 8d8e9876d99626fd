#include "experiments/run_report.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <map>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ssd/core/boxes.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"
#include "ssd/report/html_report.h"
#include "ssd/report/metrics_history.h"

namespace ssd {
namespace {

constexpr int64_t kPictures = 12;
constexpr int kLargestSide = 640;  // px of a picture in the page
constexpr int64_t kPlannedPoints = 200;

// The picture as the page shows it; a small one is enlarged by whole steps, so that it stays sharp.
absl::StatusOr<std::string> EncodeForPage(cv::Mat rgb) {
  const int side = std::max(rgb.rows, rgb.cols);
  cv::Mat shown = rgb;
  if (side > kLargestSide) {
    const double scale = static_cast<double>(kLargestSide) / side;
    cv::resize(rgb, shown, cv::Size(), scale, scale, cv::INTER_AREA);
  } else if (const int times = kLargestSide / 2 / std::max(side, 1); times > 1) {
    cv::resize(rgb, shown, cv::Size(), times, times, cv::INTER_NEAREST);
  }
  cv::Mat bgr;
  cv::cvtColor(shown, bgr, cv::COLOR_RGB2BGR);
  std::vector<uint8_t> bytes;
  if (!cv::imencode(".jpg", bgr, bytes, {cv::IMWRITE_JPEG_QUALITY, 88})) {
    return absl::InternalError("OpenCV cannot encode a JPEG");
  }
  return std::string(bytes.begin(), bytes.end());
}

// Which anchors the detector's matcher gives each truth of one image, in pixels of the original,
// best first. The network's view is the whole image, warped.
std::vector<MatchedTruth> MatchTruths(const SsdDetector& detector, const Annotations& truth) {
  const auto count = static_cast<int64_t>(truth.objects.size());
  if (count == 0) return {};
  const auto width = static_cast<double>(truth.size.width);
  const auto height = static_cast<double>(truth.size.height);
  Truth batch;
  batch.boxes = at::zeros({1, count, 4}, at::kFloat);
  batch.labels = at::zeros({1, count}, at::kLong);
  batch.ignore = at::zeros({1, count}, at::kBool);
  float* boxes = batch.boxes.data_ptr<float>();
  for (int64_t row = 0; row < count; ++row) {
    const Annotation& object = truth.objects[static_cast<size_t>(row)];
    boxes[4 * row + 0] = static_cast<float>(object.box.x0 / width);
    boxes[4 * row + 1] = static_cast<float>(object.box.y0 / height);
    boxes[4 * row + 2] = static_cast<float>(object.box.x1 / width);
    boxes[4 * row + 3] = static_cast<float>(object.box.y1 / height);
    batch.labels.data_ptr<int64_t>()[row] = object.label;
    batch.ignore.data_ptr<bool>()[row] = object.crowd || object.difficult;
  }
  Anchors anchors = detector.anchors();
  anchors.boxes = anchors.boxes.cpu();
  const Tensor rows = detector.matcher().Match(batch, anchors)[0].contiguous();
  const Tensor corners = CornersFromCenters(anchors.boxes);
  const Tensor iou = PairwiseIou(batch.boxes[0], corners).contiguous();
  const float* corner = corners.contiguous().data_ptr<float>();

  std::vector<MatchedTruth> matches;
  for (const Annotation& object : truth.objects) matches.push_back({object, {}});
  const int64_t total = rows.numel();
  for (int64_t anchor = 0; anchor < total; ++anchor) {
    const int64_t row = rows.data_ptr<int64_t>()[anchor];
    if (row < 0) continue;
    matches[static_cast<size_t>(row)].anchors.push_back(
        {{corner[4 * anchor] * width, corner[4 * anchor + 1] * height,
          corner[4 * anchor + 2] * width, corner[4 * anchor + 3] * height},
         iou.data_ptr<float>()[row * total + anchor]});
  }
  for (MatchedTruth& match : matches) {
    std::stable_sort(match.anchors.begin(), match.anchors.end(),
                     [](const MatchedAnchor& a, const MatchedAnchor& b) { return a.iou > b.iou; });
  }
  return matches;
}

absl::StatusOr<std::vector<ReportPicture>> Pictures(const RunReportInput& input) {
  std::map<int64_t, const ImageDetections*> found;
  for (const ImageDetections& image : input.detections) found[image.image_id] = &image;
  std::vector<ReportPicture> pictures;
  for (int64_t i = 0; i < std::min(kPictures, input.validation.size()); ++i) {
    SSD_ASSIGN_OR_RETURN(const Sample sample, input.validation.Get(i));
    SSD_ASSIGN_OR_RETURN(const cv::Mat rgb, sample.image.Render());
    ReportPicture picture;
    picture.name = sample.truth.file_name;
    picture.size = sample.truth.size;
    SSD_ASSIGN_OR_RETURN(picture.jpeg, EncodeForPage(rgb));
    picture.truths = sample.truth.objects;
    if (const auto match = found.find(sample.truth.image_id); match != found.end()) {
      picture.detections = match->second->detections;
    }
    picture.matches = MatchTruths(input.detector, sample.truth);
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
