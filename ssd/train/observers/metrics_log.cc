#include "ssd/train/observers/metrics_log.h"

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// A JSON object being written; flat but for "timing".
class Line {
 public:
  Line(int64_t step, double epoch) {
    writer_.StartObject();
    writer_.Key("step");
    writer_.Int64(step);
    Number("epoch", epoch);
  }

  void Number(const std::string& key, std::optional<double> value) {
    writer_.Key(key.c_str());
    if (!value.has_value() || !std::isfinite(*value)) {
      writer_.Null();
      return;
    }
    char text[32];
    const auto end = std::to_chars(text, text + sizeof(text), *value);
    writer_.RawValue(text, end.ptr - text, rapidjson::kNumberType);
  }

  void Flag(const std::string& key, bool value) {
    writer_.Key(key.c_str());
    writer_.Bool(value);
  }

  void StartTiming() {
    writer_.Key("timing");
    writer_.StartObject();
  }

  // Ends "timing" and the line.
  std::string End() {
    writer_.EndObject();
    writer_.EndObject();
    return absl::StrCat(buffer_.GetString(), "\n");
  }

 private:
  rapidjson::StringBuffer buffer_;
  rapidjson::Writer<rapidjson::StringBuffer> writer_{buffer_};
};

// The step a line is of; nullopt if it is no whole line.
std::optional<int64_t> StepOf(absl::string_view line) {
  rapidjson::Document document;
  document.Parse(line.data(), line.size());
  if (document.HasParseError() || !document.IsObject()) return std::nullopt;
  const auto step = document.FindMember("step");
  if (step == document.MemberEnd() || !step->value.IsInt64()) return std::nullopt;
  return step->value.GetInt64();
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsLog>> MetricsLog::Open(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "ab");
  if (file == nullptr) return FileError(errno, "cannot write", path);
  return std::unique_ptr<MetricsLog>(new MetricsLog(path, file));
}

MetricsLog::~MetricsLog() { std::fclose(file_); }

absl::Status MetricsLog::CutBack(const std::string& path, int64_t step) {
  const absl::StatusOr<std::string> content = ReadFile(path);
  if (absl::IsNotFound(content.status())) return absl::OkStatus();
  SSD_RETURN_IF_ERROR(content.status());
  std::string kept;
  for (size_t begin = 0, end; begin < content->size(); begin = end) {
    const size_t newline = content->find('\n', begin);
    if (newline == std::string::npos) break;
    end = newline + 1;
    const absl::string_view line = absl::string_view(*content).substr(begin, end - begin);
    const std::optional<int64_t> of_line = StepOf(line);
    if (of_line.has_value() && *of_line <= step) absl::StrAppend(&kept, line);
  }
  if (kept == *content) return absl::OkStatus();
  return WriteFileAtomically(path, kept);
}

void MetricsLog::OnStep(const StepRecord& record) {
  Line line(record.step, record.epoch);
  line.Number("train.loss", record.loss);
  line.Number("train.classification_loss", record.classification_loss);
  line.Number("train.localization_loss", record.localization_loss);
  line.Number("train.gradient_norm", record.gradient_norm);
  line.Number("train.learning_rate", record.learning_rate);
  line.StartTiming();
  line.Number("seconds", record.seconds);
  line.Number("images_per_second", record.images_per_second);
  line.Number("data_wait_share", record.data_wait_share);
  for (const auto& [name, value] : {std::pair("decode_seconds", record.decode_seconds),
                                    std::pair("transform_seconds", record.transform_seconds),
                                    std::pair("queue_depth", record.queue_depth),
                                    std::pair("cache_hit_rate", record.cache_hit_rate)}) {
    if (value.has_value()) line.Number(name, value);
  }
  Write(line.End());
}

void MetricsLog::OnEvaluation(const EvaluationRecord& record) {
  Line line(record.step, record.epoch);
  for (const auto& [name, value] : record.metrics->values) {
    line.Number(absl::StrCat("validation.", name), value);
  }
  line.Flag("best", record.best);
  line.StartTiming();
  line.Number("seconds", record.seconds);
  Write(line.End());
}

void MetricsLog::OnCheckpoint(int64_t) { Sync(); }

void MetricsLog::OnEnd(const std::string&) { Sync(); }

void MetricsLog::Write(absl::string_view line) {
  // Flushed line by line, so that others can follow the file.
  if (failed_ ||
      (std::fwrite(line.data(), 1, line.size(), file_) == line.size() && std::fflush(file_) == 0)) {
    return;
  }
  failed_ = true;
  LOG(ERROR) << FileError(errno, "cannot write", path_) << "; it will miss the rest";
}

void MetricsLog::Sync() {
  if (failed_ || fsync(fileno(file_)) == 0) return;
  failed_ = true;
  LOG(ERROR) << FileError(errno, "cannot write", path_) << "; it will miss the rest";
}

}  // namespace ssd
