#ifndef SSD_TRAIN_OBSERVERS_METRICS_LOG_H_
#define SSD_TRAIN_OBSERVERS_METRICS_LOG_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/train/observer.h"

namespace ssd {

// Writes metrics.jsonl, one JSON object a line:
//   {"step":20,"epoch":0.5,"train.loss":5.25,"train.classification_loss":...,
//    "train.localization_loss":...,"train.gradient_norm":...,"train.learning_rate":...,
//    "timing":{"seconds":...,"images_per_second":...,"data_wait_share":...,
//              "decode_seconds":...,"transform_seconds":...,"queue_depth":...,
//              "cache_hit_rate":...}}
//   {"step":40,"epoch":1,"validation.AP":0.25,...,"best":true,"timing":{"seconds":...}}
// Numbers are the shortest text that reads back the same, null where they do not exist or are not
// finite. What a clock says stands under "timing" and nowhere else: without it the files of two
// equal runs are equal, whether or not one of them was stopped and resumed. decode_seconds and
// transform_seconds are an image's, in one of the loader's threads.
//
// A file that cannot be written any more is reported once on the log and given up; it does not stop
// the run.
class MetricsLog final : public TrainingObserver {
 public:
  // Appends to `path`; makes it if it does not exist. \error as FileError.
  static absl::StatusOr<std::unique_ptr<MetricsLog>> Open(const std::string& path);
  ~MetricsLog() override;

  // Drops the lines after step `step`, and a last line that was not written whole: what a run that
  // goes on from a checkpoint of `step` will write again. The file need not exist.
  // \error as ReadFile and WriteFileAtomically.
  static absl::Status CutBack(const std::string& path, int64_t step);

  void OnStep(const StepRecord& record) override;
  void OnEvaluation(const EvaluationRecord& record) override;
  void OnCheckpoint(int64_t step) override;
  void OnEnd(const std::string& status) override;

 private:
  MetricsLog(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}

  void Write(absl::string_view line);
  void Sync();

  std::string path_;
  std::FILE* file_;
  bool failed_ = false;
};

}  // namespace ssd

#endif  // SSD_TRAIN_OBSERVERS_METRICS_LOG_H_
