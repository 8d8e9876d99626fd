#include "experiments/picture_log.h"

#include <algorithm>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"
#include "ssd/report/drawing.h"

namespace ssd {
namespace {

constexpr int64_t kPictures = 4;
constexpr double kShownScore = 0.5;

absl::Status Add(const std::string& tag, int64_t step, const cv::Mat& bgr, EventLog& events) {
  std::vector<uchar> jpeg;
  if (!cv::imencode(".jpg", bgr, jpeg, {cv::IMWRITE_JPEG_QUALITY, 88})) {
    return absl::InternalError("OpenCV cannot encode a JPEG");
  }
  events.AddImage(tag, step, bgr.rows, bgr.cols,
                  absl::string_view(reinterpret_cast<const char*>(jpeg.data()), jpeg.size()));
  return absl::OkStatus();
}

}  // namespace

PictureLog::PictureLog(const Dataset& validation, const std::vector<ImageDetections>& detections,
                       EventLog& events)
    : validation_(validation), detections_(detections), events_(events) {}

void PictureLog::OnEvaluation(const EvaluationRecord& record) {
  for (int64_t index = 0; index < std::min(kPictures, validation_.size()); ++index) {
    const absl::Status status = AddPictures(index, record.step);
    if (!status.ok()) LOG(WARNING) << "no picture for TensorBoard: " << status.message();
  }
}

absl::Status PictureLog::AddPictures(int64_t index, int64_t step) {
  SSD_ASSIGN_OR_RETURN(const Sample sample, validation_.Get(index));
  SSD_ASSIGN_OR_RETURN(const cv::Mat rgb, sample.image.Render());
  cv::Mat picture;
  cv::cvtColor(rgb, picture, cv::COLOR_RGB2BGR);
  DrawTruths(sample.truth.objects, validation_.labels(), picture);
  SSD_RETURN_IF_ERROR(Add(absl::StrCat("truth/", index), step, picture, events_));

  const auto found = std::find_if(
      detections_.begin(), detections_.end(),
      [&sample](const ImageDetections& image) { return image.image_id == sample.truth.image_id; });
  cv::cvtColor(rgb, picture, cv::COLOR_RGB2BGR);
  if (found != detections_.end()) {
    DrawDetections(found->detections, validation_.labels(), kShownScore, picture);
  }
  return Add(absl::StrCat("detections/", index), step, picture, events_);
}

}  // namespace ssd
