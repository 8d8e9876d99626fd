#include "experiments/run_record.h"

#include <google/protobuf/stubs/common.h>
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>
#include <torch/headeronly/version.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <opencv2/core/version.hpp>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace ssd {
namespace {

using rapidjson::Value;

// Calls visit(key, field) for each field, in the order of run.json: writing and reading cannot
// disagree.
template <typename Record, typename Visitor>
void VisitFields(Record& record, Visitor&& visit) {
  visit("name", record.name);
  visit("status", record.status);
  visit("error", record.error);
  visit("seed", record.seed);
  visit("command_line", record.command_line);
  visit("working_directory", record.working_directory);
  visit("started", record.started);
  visit("ended", record.ended);
  visit("seconds", record.seconds);
  visit("resumed", record.resumed);
  visit("commit", record.commit);
  visit("torch_version", record.torch_version);
  visit("protobuf_version", record.protobuf_version);
  visit("opencv_version", record.opencv_version);
  visit("compiler", record.compiler);
  visit("processor", record.processor);
  visit("device", record.device);
  visit("cores", record.cores);
  visit("threads", record.threads);
  visit("precision", record.precision);
  visit("memory_format", record.memory_format);
  visit("train_images", record.train.images);
  visit("train_digest", record.train.digest);
  visit("train_skipped_images", record.train.skipped_images);
  visit("validation_images", record.validation.images);
  visit("validation_digest", record.validation.digest);
  visit("validation_skipped_images", record.validation.skipped_images);
  visit("parameters", record.parameters);
  visit("anchors", record.anchors);
  visit("steps", record.steps);
  visit("total_steps", record.total_steps);
  visit("metric", record.metric);
  visit("best", record.best);
}

class Writer {
 public:
  explicit Writer(rapidjson::PrettyWriter<rapidjson::StringBuffer>& json) : json_(json) {}

  template <typename T>
  void operator()(const char* key, const T& value) {
    json_.Key(key);
    Write(value);
  }

 private:
  void Write(const std::string& value) { json_.String(value.c_str(), value.size()); }
  void Write(uint64_t value) { json_.Uint64(value); }
  void Write(int64_t value) { json_.Int64(value); }
  void Write(double value) { json_.Double(value); }
  void Write(const std::optional<double>& value) {
    value.has_value() ? json_.Double(*value) : json_.Null();
  }
  void Write(const std::vector<std::string>& values) {
    json_.StartArray();
    for (const std::string& value : values) Write(value);
    json_.EndArray();
  }

  rapidjson::PrettyWriter<rapidjson::StringBuffer>& json_;
};

// Takes what is there and of the right type; a run.json of another version misses some fields.
class Reader {
 public:
  explicit Reader(const Value& object) : object_(object) {}

  template <typename T>
  void operator()(const char* key, T& value) {
    const auto found = object_.FindMember(key);
    if (found != object_.MemberEnd()) Read(found->value, value);
  }

 private:
  static void Read(const Value& json, std::string& value) {
    if (json.IsString()) value.assign(json.GetString(), json.GetStringLength());
  }
  static void Read(const Value& json, uint64_t& value) {
    if (json.IsUint64()) value = json.GetUint64();
  }
  static void Read(const Value& json, int64_t& value) {
    if (json.IsInt64()) value = json.GetInt64();
  }
  static void Read(const Value& json, double& value) {
    if (json.IsNumber()) value = json.GetDouble();
  }
  static void Read(const Value& json, std::optional<double>& value) {
    if (json.IsNumber()) value = json.GetDouble();
  }
  static void Read(const Value& json, std::vector<std::string>& values) {
    if (!json.IsArray()) return;
    for (const Value& element : json.GetArray()) Read(element, values.emplace_back());
  }

  const Value& object_;
};

std::string ProcessorName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (absl::StripAsciiWhitespace(parts.first) == "model name") {
      return std::string(absl::StripAsciiWhitespace(parts.second));
    }
  }
  return "unknown";
}

// `bazel run` says where the checkout is; elsewhere the commit is unknown.
std::string CheckoutCommit() {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  if (workspace == nullptr) return "";
  const std::string command =
      absl::StrCat("git -C '", workspace, "' describe --always --dirty --abbrev=40 2>/dev/null");
  FILE* git = popen(command.c_str(), "r");
  if (git == nullptr) return "";
  char line[128] = "";
  const bool read = std::fgets(line, sizeof(line), git) != nullptr;
  pclose(git);
  return read ? std::string(absl::StripAsciiWhitespace(line)) : "";
}

}  // namespace

void DescribeEnvironment(RunRecord& record) {
  record.commit = CheckoutCommit();
  record.torch_version = TORCH_VERSION;
  record.protobuf_version = google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION);
  record.opencv_version = CV_VERSION;
  record.compiler = absl::StrCat("g++ ", __VERSION__);
  record.processor = ProcessorName();
  record.cores = std::thread::hardware_concurrency();
}

std::string UtcNow() {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
}

std::string ToJson(const RunRecord& record) {
  rapidjson::StringBuffer buffer;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> json(buffer);
  json.SetIndent(' ', 2);
  json.StartObject();
  VisitFields(record, Writer(json));
  json.EndObject();
  return absl::StrCat(absl::string_view(buffer.GetString(), buffer.GetSize()), "\n");
}

absl::StatusOr<RunRecord> RunRecordFromJson(const std::string& json, const std::string& source) {
  rapidjson::Document document;
  document.Parse(json.c_str(), json.size());
  if (document.HasParseError()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": no JSON at byte ", document.GetErrorOffset(), ": ",
                     rapidjson::GetParseError_En(document.GetParseError())));
  }
  if (!document.IsObject() || !document.HasMember("status")) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": no run.json: 'status' is missing"));
  }
  RunRecord record;
  VisitFields(record, Reader(document));
  return record;
}

}  // namespace ssd
