#include "ssd/train/observers/progress_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace ssd {
namespace {

// "0:07", "12:34", "1:02:03", "4d 03:10:00".
std::string Duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  const int64_t total = std::llround(std::min(seconds, 1e12));
  const int64_t days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
  if (days > 0) return absl::StrFormat("%dd %02d:%02d:%02d", days, hours, minutes, total % 60);
  if (hours > 0) return absl::StrFormat("%d:%02d:%02d", hours, minutes, total % 60);
  return absl::StrFormat("%d:%02d", minutes, total % 60);
}

// What is shown of a step, most important first where space is short: see Shortened.
std::vector<std::string> Parts(const StepRecord& record) {
  return {
      absl::StrFormat("epoch %.4g/%d", std::floor(record.epoch * 100) / 100, record.total_epochs),
      absl::StrFormat("step %d/%d", record.step, record.total_steps),
      absl::StrFormat("loss %.4g (class %.4g, box %.4g)", record.loss, record.classification_loss,
                      record.localization_loss),
      absl::StrFormat("lr %.3g", record.learning_rate),
      absl::StrFormat("%.*f img/s", record.images_per_second < 10 ? 1 : 0,
                      record.images_per_second),
      absl::StrFormat("data %.0f%%", 100 * record.data_wait_share),
      absl::StrCat(Duration(record.seconds_left), " left"),
  };
}

// At most `columns` wide: drops what matters least first.
std::string Shortened(std::vector<std::string> parts, const StepRecord& record, size_t columns) {
  const auto joined = [&] {
    std::vector<std::string> kept;
    for (const std::string& part : parts) {
      if (!part.empty()) kept.push_back(part);
    }
    return absl::StrJoin(kept, "  ");
  };
  std::string line = joined();
  for (const int part : {5, 3, 1, 4}) {
    if (line.size() <= columns) return line;
    parts[part].clear();
    line = joined();
  }
  if (line.size() > columns) {
    parts[2] = absl::StrFormat("loss %.4g", record.loss);
    line = joined();
  }
  return line.substr(0, columns);
}

}  // namespace

// Learns of every message that glog has put on stderr.
class ProgressLine::LogListener final : public google::LogSink {
 public:
  LogListener() { google::AddLogSink(this); }
  ~LogListener() override { google::RemoveLogSink(this); }

  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&,
            const char*, size_t) override {
    heard_ = true;
  }

  // Whether something was logged since the last call.
  bool Heard() { return heard_.exchange(false); }

 private:
  std::atomic<bool> heard_{false};
};

ProgressLine::ProgressLine(std::ostream& out, Options options)
    : out_(out), options_(std::move(options)), listener_(std::make_unique<LogListener>()) {}

ProgressLine::~ProgressLine() = default;

std::unique_ptr<ProgressLine> ProgressLine::OnStderr() {
  Options options;
  options.terminal = isatty(STDERR_FILENO) != 0;
  options.columns = [] {
    winsize size = {};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  };
  return std::make_unique<ProgressLine>(std::cerr, std::move(options));
}

void ProgressLine::OnStep(const StepRecord& record) {
  const std::vector<std::string> parts = Parts(record);
  if (!options_.terminal) {
    out_ << absl::StrCat(absl::StrJoin(parts, "  "), "\n") << std::flush;
    return;
  }
  const bool interrupted = listener_->Heard();
  // Up to the step's line and clear it. The last column stays free: some terminals wrap there.
  const char* const start = rewritable_ && !interrupted ? "\x1b[1A\r\x1b[2K" : "";
  const size_t columns = static_cast<size_t>(std::max(options_.columns() - 1, 10));
  out_ << absl::StrCat(start, Shortened(parts, record, columns), "\n") << std::flush;
  rewritable_ = true;
}

void ProgressLine::OnEvaluation(const EvaluationRecord& record) {
  std::string line = absl::StrFormat("evaluated step %d:", record.step);
  size_t shown = 0;
  for (const auto& [name, value] : record.metrics->values) {
    if (++shown > 3) break;  // AP, AP50, AP75; the rest is in metrics.jsonl
    absl::StrAppend(&line, "  ", name, " ",
                    value.has_value() ? absl::StrFormat("%.4f", *value) : "n/a");
  }
  absl::StrAppend(&line, record.best ? "  (best so far)" : "",
                  absl::StrFormat("  in %.1f s\n", record.seconds));
  out_ << line << std::flush;
  rewritable_ = false;
}

void ProgressLine::OnEnd(const std::string& status) {
  out_ << absl::StrCat("training: ", status, "\n") << std::flush;
  rewritable_ = false;
}

}  // namespace ssd
