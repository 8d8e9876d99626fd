#include "experiments/run_detection.h"

#include <glob.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/image_file.h"
#include "data/image_header.h"
#include "experiments/detector.h"
#include "experiments/run_data.h"
#include "experiments/run_device.h"
#include "experiments/trained_model.h"
#include "ssd/core/batch_source.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"
#include "ssd/eval/detections_json.h"
#include "ssd/report/drawing.h"
#include "ssd/train/evaluation.h"
#include "ssd/train/test_time_views.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

std::string JsonLine(const std::string& file, const cv::Mat& image,
                     const std::vector<Detection>& detections) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> json(buffer);
  json.SetMaxDecimalPlaces(6);
  json.StartObject();
  json.Key("image");
  json.String(file.c_str());
  json.Key("width");
  json.Int(image.cols);
  json.Key("height");
  json.Int(image.rows);
  json.Key("detections");
  json.StartArray();
  for (const Detection& detection : detections) {
    json.StartObject();
    json.Key("class");
    json.String(detection.class_name.c_str());
    json.Key("label");
    json.Int64(detection.label);
    json.Key("score");
    json.Double(detection.score);
    json.Key("bbox");
    json.StartArray();
    for (double value :
         {detection.box.x0, detection.box.y0, detection.box.width(), detection.box.height()}) {
      json.Double(value);
    }
    json.EndArray();
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  return buffer.GetString();
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

absl::Status OutputExists(const std::string& output) {
  return absl::AlreadyExistsError(
      absl::StrCat(output, ": --output exists already; name another folder"));
}

absl::Status CheckNotStopped(const DetectionOptions& options) {
  const bool is_stopped = options.stop != nullptr && *options.stop != 0;
  return is_stopped ? absl::CancelledError("stopped") : absl::OkStatus();
}

// A folder for results. If it is empty in the end, it goes again, with those above that were made
// for it.
class NewFolder {
 public:
  NewFolder() = default;
  ~NewFolder() {
    // Leaves folders with something in them, and what is no folder.
    for (const fs::path& folder : made_) rmdir(folder.c_str());
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  // \error AlreadyExists; or why it cannot be made.
  absl::Status Make(const std::string& path) {
    std::vector<fs::path> missing;
    std::error_code error;
    for (fs::path folder = path; !folder.empty() && !fs::exists(folder, error);
         folder = folder.parent_path()) {
      missing.push_back(folder);
    }
    if (!fs::create_directories(path, error)) {
      if (error) return FileError(error.value(), "cannot make the folder", path);
      return OutputExists(path);
    }
    made_ = std::move(missing);
    return absl::OkStatus();
  }

 private:
  std::vector<fs::path> made_;  // the folder first, then those above
};

// Batches until the user stops the work.
class StoppableBatches : public BatchSource {
 public:
  StoppableBatches(BatchSource& batches, const DetectionOptions& options)
      : batches_(batches), options_(options) {}

  int64_t batches_per_epoch() const override { return batches_.batches_per_epoch(); }
  absl::Status Start(int64_t epoch, int64_t first_batch) override {
    return batches_.Start(epoch, first_batch);
  }
  absl::StatusOr<std::optional<Batch>> Next() override {
    SSD_RETURN_IF_ERROR(CheckNotStopped(options_));
    return batches_.Next();
  }

 private:
  BatchSource& batches_;
  const DetectionOptions& options_;
};

// Whether the other images may fare better: the file is no sound image, or may not be read.
bool IsPassedOver(const absl::Status& error) {
  return IsBadImage(error) || absl::IsPermissionDenied(error);
}

absl::StatusOr<cv::Mat> ReadPicture(const std::string& file) {
  SSD_ASSIGN_OR_RETURN(const std::shared_ptr<const ImageSource> source, OpenImageFile(file));
  SSD_ASSIGN_OR_RETURN(const cv::Mat rgb, source->Decode());
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  return bgr;
}

absl::Status WritePicture(const std::string& path, cv::Mat bgr,
                          const std::vector<Detection>& detections, const LabelMap& labels) {
  std::vector<PixelDetection> drawn;
  for (const Detection& detection : detections) {
    drawn.push_back({detection.box, detection.score, detection.label});
  }
  DrawDetections(drawn, labels, /*minimum_score=*/0, bgr);
  std::vector<uint8_t> bytes;
  if (!cv::imencode(".jpg", bgr, bytes)) {
    return absl::InternalError(absl::StrCat(path, ": OpenCV cannot encode a JPEG"));
  }
  return WriteFileAtomically(
      path, absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ImageFiles(const std::vector<std::string>& inputs) {
  std::vector<std::string> files;
  std::error_code error;
  for (const std::string& input : inputs) {
    std::vector<std::string> found;
    if (fs::is_directory(input, error)) {
      for (const fs::directory_entry& entry : fs::directory_iterator(input, error)) {
        if (entry.is_regular_file(error) && IsImageName(entry.path().filename().string())) {
          found.push_back(entry.path().string());
        }
      }
      std::sort(found.begin(), found.end());
    } else if (fs::exists(input, error)) {
      found.push_back(input);
    } else {
      glob_t matches = {};
      if (glob(input.c_str(), 0, nullptr, &matches) == 0) {
        found.assign(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
      }
      globfree(&matches);
    }
    if (found.empty()) {
      return absl::NotFoundError(
          absl::StrCat(input, ": no image there; name image files, folders of them, or globs"));
    }
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

absl::StatusOr<DetectionSummary> RunDetection(const std::vector<std::string>& files,
                                              const DetectionOptions& options,
                                              std::ostream& lines) {
  if (!(options.min_score >= 0 && options.min_score <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--min_score=", options.min_score, ": must be 0 to 1"));
  }
  SSD_RETURN_IF_ERROR(SetThreads(options.threads).status());
  SSD_ASSIGN_OR_RETURN(const at::Device device, SelectDevice(options.device));
  SSD_ASSIGN_OR_RETURN(const Detector detector, Detector::Load(options.weights, device));
  NewFolder folder;
  if (!options.output.empty()) SSD_RETURN_IF_ERROR(folder.Make(options.output));
  DetectionSummary summary;
  summary.output = options.output;
  std::set<std::string> names;
  for (const std::string& file : files) {
    SSD_RETURN_IF_ERROR(CheckNotStopped(options));
    const absl::StatusOr<cv::Mat> picture = ReadPicture(file);
    if (!picture.ok()) {
      if (files.size() == 1 || !IsPassedOver(picture.status())) return picture.status();
      LOG(WARNING) << picture.status().message();
      ++summary.unreadable_images;
      continue;
    }
    const cv::Mat& bgr = *picture;
    const auto start = std::chrono::steady_clock::now();
    SSD_ASSIGN_OR_RETURN(std::vector<Detection> detections, detector.Detect(bgr));
    summary.seconds += SecondsSince(start);
    detections.erase(std::remove_if(detections.begin(), detections.end(),
                                    [&options](const Detection& detection) {
                                      return detection.score < options.min_score;
                                    }),
                     detections.end());
    ++summary.images;
    summary.detections += static_cast<int64_t>(detections.size());
    lines << JsonLine(file, bgr, detections) << "\n";
    if (options.output.empty()) continue;
    // Inputs of one name from several folders get a number.
    const std::string stem = fs::path(file).stem().string();
    std::string name = stem;
    for (int number = 2; !names.insert(name).second; ++number) {
      name = absl::StrCat(stem, "-", number);
    }
    SSD_RETURN_IF_ERROR(WritePicture(absl::StrCat(options.output, "/", name, ".jpg"), bgr,
                                     detections, detector.labels()));
  }
  return summary;
}

absl::StatusOr<DetectionSummary> RunDatasetDetection(const Experiment& experiment,
                                                     const DetectionOptions& options) {
  if (options.output.empty()) {
    return absl::InvalidArgumentError("--data needs --output=DIR, a folder for detections.json");
  }
  std::error_code error;
  if (fs::exists(options.output, error)) return OutputExists(options.output);
  SSD_RETURN_IF_ERROR(SetThreads(options.threads).status());
  SSD_ASSIGN_OR_RETURN(const at::Device device, SelectDevice(options.device));
  SSD_ASSIGN_OR_RETURN(const TrainedModel model,
                       LoadTrainedModel(experiment, options.weights, device));
  SSD_ASSIGN_OR_RETURN(const LoadedData data,
                       LoadData(experiment, experiment.data().validation(), model.labels.names,
                                DataUse::kEvaluation, device.is_cuda(), "--data"));
  SSD_ASSIGN_OR_RETURN(const TestTimeViews views,
                       TestTimeViews::Create(experiment.evaluator().views(), *model.detector));
  // Before the work, which may take hours: a folder that cannot be written to is refused first.
  NewFolder folder;
  SSD_RETURN_IF_ERROR(folder.Make(options.output));
  const std::string results = absl::StrCat(options.output, "/detections.json");
  SSD_RETURN_IF_ERROR(AtomicFile(results).status());
  const auto start = std::chrono::steady_clock::now();
  StoppableBatches batches(*data.loader, options);
  SSD_ASSIGN_OR_RETURN(std::vector<ImageDetections> images,
                       DetectInBatches(*model.detector, batches, device, model.format, views));
  DetectionSummary summary;
  summary.seconds = SecondsSince(start);
  summary.output = options.output;
  summary.images = static_cast<int64_t>(images.size());
  for (const ImageDetections& image : images) {
    summary.detections += static_cast<int64_t>(image.detections.size());
  }
  SSD_RETURN_IF_ERROR(WriteDetectionsJson(results, std::move(images), data.dataset->labels()));
  return summary;
}

}  // namespace ssd
