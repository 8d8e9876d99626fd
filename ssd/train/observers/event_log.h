#ifndef SSD_TRAIN_OBSERVERS_EVENT_LOG_H_
#define SSD_TRAIN_OBSERVERS_EVENT_LOG_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/train/observer.h"

namespace ssd {

// Writes what happens in a run for TensorBoard: events.out.tfevents.* in the run's folder, scalars
// under the names of metrics.jsonl (train/loss, validation/AP50, validation_class/dog/AP,
// timing/images_per_second) and pictures.
//
// A file that cannot be written any more is reported once on the log and given up; it does not stop
// the run.
class EventLog final : public TrainingObserver {
 public:
  // Starts a new file in `folder`, after all that are there. `step` is the last step that stands
  // when a run goes on from a checkpoint, 0 when it begins, also anew after it was killed before
  // its first checkpoint: TensorBoard forgets what older files say of later steps. \error as
  // FileError.
  static absl::StatusOr<std::unique_ptr<EventLog>> Create(const std::string& folder, int64_t step);
  ~EventLog() override;

  void OnStep(const StepRecord& record) override;
  void OnEvaluation(const EvaluationRecord& record) override;
  void OnCheckpoint(int64_t step) override;
  void OnEnd(const std::string& status) override;

  // A picture: `file` is the whole PNG or JPEG file of an RGB image.
  void AddImage(absl::string_view tag, int64_t step, int32_t height, int32_t width,
                absl::string_view file);

 private:
  EventLog(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}

  void Write(absl::string_view serialized_event);
  void Flush(bool to_disk);

  std::string path_;
  std::FILE* file_;
  bool failed_ = false;
};

}  // namespace ssd

#endif  // SSD_TRAIN_OBSERVERS_EVENT_LOG_H_
