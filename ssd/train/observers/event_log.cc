#include "ssd/train/observers/event_log.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/train/observers/event.pb.h"
#include "ssd/train/observers/event_records.h"

namespace ssd {
namespace {

constexpr absl::string_view kPrefix = "events.out.tfevents.";

double SecondsSince1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// The latest time that the name of an event file in `folder` begins with; nullopt: there is none.
std::optional<int64_t> TimeOfNewestFile(const std::string& folder) {
  std::optional<int64_t> newest;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    int64_t time = 0;
    if (absl::StartsWith(name, kPrefix) &&
        absl::SimpleAtoi(
            name.substr(kPrefix.size(), name.find('.', kPrefix.size()) - kPrefix.size()), &time)) {
      newest = std::max(newest.value_or(time), time);
    }
  }
  return newest;
}

TensorBoardEvent EventAt(int64_t step) {
  TensorBoardEvent event;
  event.set_wall_time(SecondsSince1970());
  event.set_step(step);
  return event;
}

void AddScalar(const std::string& tag, std::optional<double> value, TensorBoardEvent& event) {
  if (!value.has_value()) return;
  TensorBoardEvent::Value* scalar = event.mutable_summary()->add_value();
  scalar->set_tag(tag);
  scalar->set_simple_value(static_cast<float>(*value));
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLog>> EventLog::Create(const std::string& folder,
                                                           int64_t step) {
  char host[256] = "localhost";
  gethostname(host, sizeof(host) - 1);
  // TensorBoard reads files in the order of their names: after the newest, even if the clock has
  // not moved on since or has been set back.
  const std::optional<int64_t> newest = TimeOfNewestFile(folder);
  int64_t time = static_cast<int64_t>(SecondsSince1970());
  if (newest.has_value()) time = std::max(time, *newest + 1);
  const std::string path =
      absl::StrFormat("%s/%s%010d.%s.%d", folder, kPrefix, time, host, getpid());
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return FileError(errno, "cannot write", path);
  std::unique_ptr<EventLog> log(new EventLog(path, file));

  TensorBoardEvent version = EventAt(step);
  version.set_file_version("brain.Event:2");
  log->Write(version.SerializeAsString());
  if (newest.has_value()) {
    TensorBoardEvent start = EventAt(step + 1);
    start.mutable_session_log()->set_status(TensorBoardEvent::SessionLog::START);
    log->Write(start.SerializeAsString());
  }
  log->Flush(/*to_disk=*/false);
  return log;
}

EventLog::~EventLog() { std::fclose(file_); }

void EventLog::OnStep(const StepRecord& record) {
  TensorBoardEvent event = EventAt(record.step);
  AddScalar("train/loss", record.loss, event);
  AddScalar("train/classification_loss", record.classification_loss, event);
  AddScalar("train/localization_loss", record.localization_loss, event);
  AddScalar("train/gradient_norm", record.gradient_norm, event);
  AddScalar("train/learning_rate", record.learning_rate, event);
  AddScalar("train/epoch", record.epoch, event);
  AddScalar("timing/images_per_second", record.images_per_second, event);
  AddScalar("timing/data_wait_share", record.data_wait_share, event);
  AddScalar("timing/decode_seconds", record.decode_seconds, event);
  AddScalar("timing/transform_seconds", record.transform_seconds, event);
  AddScalar("timing/queue_depth", record.queue_depth, event);
  AddScalar("timing/cache_hit_rate", record.cache_hit_rate, event);
  Write(event.SerializeAsString());
  Flush(/*to_disk=*/false);
}

void EventLog::OnEvaluation(const EvaluationRecord& record) {
  TensorBoardEvent event = EventAt(record.step);
  for (const auto& [name, value] : record.metrics->values) {
    AddScalar(absl::StrCat("validation/", name), value, event);
  }
  for (const ClassMetrics& of_class : record.metrics->per_class) {
    // The first: AP. All of them would bury the rest.
    if (of_class.values.empty()) continue;
    AddScalar(absl::StrCat("validation_class/", of_class.name, "/", of_class.values[0].first),
              of_class.values[0].second, event);
  }
  AddScalar("timing/evaluation_seconds", record.seconds, event);
  Write(event.SerializeAsString());
  Flush(/*to_disk=*/false);
}

void EventLog::OnCheckpoint(int64_t) { Flush(/*to_disk=*/true); }

void EventLog::OnEnd(const std::string&) { Flush(/*to_disk=*/true); }

void EventLog::AddImage(absl::string_view tag, int64_t step, int32_t height, int32_t width,
                        absl::string_view file) {
  TensorBoardEvent event = EventAt(step);
  TensorBoardEvent::Value* value = event.mutable_summary()->add_value();
  value->set_tag(tag.data(), tag.size());
  TensorBoardEvent::Image* image = value->mutable_image();
  image->set_height(height);
  image->set_width(width);
  image->set_colorspace(3);
  image->set_encoded_image_string(file.data(), file.size());
  Write(event.SerializeAsString());
  Flush(/*to_disk=*/false);
}

void EventLog::Write(absl::string_view serialized_event) {
  const std::string record = FramedRecord(serialized_event);
  if (failed_ || std::fwrite(record.data(), 1, record.size(), file_) == record.size()) return;
  failed_ = true;
  LOG(ERROR) << FileError(errno, "cannot write", path_) << "; TensorBoard will miss the rest";
}

void EventLog::Flush(bool to_disk) {
  if (failed_ || (std::fflush(file_) == 0 && (!to_disk || fsync(fileno(file_)) == 0))) return;
  failed_ = true;
  LOG(ERROR) << FileError(errno, "cannot write", path_) << "; TensorBoard will miss the rest";
}

}  // namespace ssd
