#include "experiments/run_sweep.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <rapidjson/document.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "experiments/folder_lock.h"
#include "experiments/load_experiment.h"
#include "experiments/resume_experiment.h"
#include "experiments/run_data.h"
#include "experiments/run_device.h"
#include "experiments/run_folder.h"
#include "experiments/run_record.h"
#include "ssd/core/annotations.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"
#include "ssd/eval/evaluator.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/train/auto_precision.h"
#include "ssd/train/compute_format.h"
#include "ssd/weights/load_weights.h"

extern char** environ;

namespace ssd {
namespace {

namespace fs = std::filesystem;

// The folder of the sweep that goes on.
absl::StatusOr<std::string> FolderToResume(const std::string& name, const SweepOptions& options) {
  const std::string folder =
      options.output.empty() ? LatestFolder(name, options.working_directory) : options.output;
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return absl::NotFoundError(absl::StrCat(folder, ": no such sweep to resume"));
  }
  return folder;
}

// Where a sweep keeps what a point is started with.
std::string PointConfig(const std::string& folder, const SweepPoint& point) {
  return absl::StrCat(folder, "/points/", point.name, ".textproto");
}

// Makes what runs are made of and lets go of it, so that what is missing or does not fit is found
// before the first point trains. Of what several points have in common one is enough.
class PartsCheck {
 public:
  absl::Status Check(const Experiment& experiment) {
    SSD_ASSIGN_OR_RETURN(const LabelMap labels, LabelsOf(experiment));
    const std::string built =
        absl::StrCat(PrintTextProto(experiment.model()), "\n", absl::StrJoin(labels.names, "\n"));
    if (!built_.insert(built).second) return absl::OkStatus();
    SSD_ASSIGN_OR_RETURN(const std::shared_ptr<SsdDetector> detector,
                         SsdDetector::Create(experiment.model(), labels.num_classes()));
    if (!experiment.model().has_weights()) return absl::OkStatus();
    return LoadWeights(experiment.model().weights(), labels, *detector).status();
  }

  // The classes, of data that can be opened.
  absl::StatusOr<LabelMap> LabelsOf(const Experiment& experiment) {
    Experiment used;
    *used.mutable_data() = experiment.data();
    *used.mutable_model()->mutable_input() = experiment.model().input();
    *used.mutable_evaluator() = experiment.evaluator();
    const std::string key = PrintTextProto(used);
    const auto found = opened_.find(key);
    if (found != opened_.end()) return found->second;

    SSD_ASSIGN_OR_RETURN(const RunData data, LoadRunData(experiment, /*pin_memory=*/false));
    return opened_[key] = data.train.dataset->labels();
  }

 private:
  std::map<std::string, LabelMap> opened_;
  std::set<std::string> built_;
};

absl::Status OfPoint(const SweepPoint& point, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("point ", point.name, ": ", status.message()));
}

bool IsSettled(const TrainerConfig& config) {
  return config.precision() != TrainerConfig::AUTO &&
         config.memory_format() != TrainerConfig::AUTO_FORMAT;
}

// Precision and layout that `point` was started with in `folder`; nullopt if it was not.
std::optional<ComputeFormat> FormatStartedWith(const std::string& folder, const SweepPoint& point) {
  std::error_code ignored;
  const std::string path = PointConfig(folder, point);
  if (folder.empty() || !fs::exists(path, ignored)) return std::nullopt;
  const absl::StatusOr<Experiment> started = LoadExperiment(path, std::vector<std::string>(), "/");
  if (!started.ok() || !IsSettled(started->trainer())) return std::nullopt;
  return FormatOf(started->trainer());
}

// Measures on the network of `experiment`.
absl::StatusOr<ComputeFormat> MeasuredOn(const Experiment& experiment, at::Device device,
                                         PartsCheck& parts) {
  SSD_ASSIGN_OR_RETURN(const LabelMap labels, parts.LabelsOf(experiment));
  ComputeFormat format;
  {
    SSD_ASSIGN_OR_RETURN(const std::shared_ptr<SsdDetector> detector,
                         SsdDetector::Create(experiment.model(), labels.num_classes()));
    const MeasuredFormat measured = MeasureFormat(*detector, experiment.trainer(),
                                                  experiment.data().loader().batch_size(), device);
    LOG(INFO) << "every point " << measured.Summary();
    format = measured.format;
  }
  // The points, which are other processes, need the memory.
  if (!device.is_cpu()) c10::getDeviceAllocator(device.type())->emptyCache();
  return format;
}

// Settles AUTO and AUTO_FORMAT once for all points, which could not be compared otherwise: as they
// were in the sweep that goes on in `folder` (empty: a new one), or by measuring on the first point
// that leaves them open.
absl::Status SettleFormat(at::Device device, const std::string& folder, PartsCheck& parts,
                          std::vector<SweepPoint>& points) {
  TrainerConfig settled;  // AUTO and AUTO_FORMAT, the schema's defaults, until something is known
  for (const bool measure : {false, true}) {
    for (SweepPoint& point : points) {
      TrainerConfig& trainer = *point.experiment.mutable_trainer();
      const bool takes_precision = trainer.precision() == TrainerConfig::AUTO;
      const bool takes_layout = trainer.memory_format() == TrainerConfig::AUTO_FORMAT;
      if (takes_precision) trainer.set_precision(settled.precision());
      if (takes_layout) trainer.set_memory_format(settled.memory_format());
      if (IsSettled(trainer)) continue;
      std::optional<ComputeFormat> format = FormatStartedWith(folder, point);
      if (!format.has_value() && !measure) continue;
      if (!format.has_value()) {
        const absl::StatusOr<ComputeFormat> measured = MeasuredOn(point.experiment, device, parts);
        SSD_RETURN_IF_ERROR(OfPoint(point, measured.status()));
        format = *measured;
      }
      if (trainer.precision() == TrainerConfig::AUTO) {
        settled.set_precision(format->precision);
        trainer.set_precision(format->precision);
      }
      if (trainer.memory_format() == TrainerConfig::AUTO_FORMAT) {
        settled.set_memory_format(format->memory_format);
        trainer.set_memory_format(format->memory_format);
      }
    }
  }
  return absl::OkStatus();
}

// The state of a point's run folder; nullopt if it has none yet.
std::optional<RunRecord> RecordOf(const std::string& folder) {
  const absl::StatusOr<std::string> json = ReadFile(folder + "/run.json");
  if (!json.ok()) return std::nullopt;
  absl::StatusOr<RunRecord> record = RunRecordFromJson(*json, folder + "/run.json");
  return record.ok() ? std::optional<RunRecord>(*std::move(record)) : std::nullopt;
}

// The "metrics" of a metrics.json.
absl::StatusOr<MetricList> ReadMetrics(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  rapidjson::Document document;
  document.Parse(json.c_str(), json.size());
  if (document.HasParseError() || !document.IsObject() || !document.HasMember("metrics") ||
      !document["metrics"].IsObject()) {
    return absl::DataLossError(absl::StrCat(path, ": no metrics; delete the run to repeat it"));
  }
  MetricList metrics;
  for (const auto& entry : document["metrics"].GetObject()) {
    metrics.emplace_back(
        entry.name.GetString(),
        entry.value.IsNumber() ? std::optional<double>(entry.value.GetDouble()) : std::nullopt);
  }
  return metrics;
}

// Trains points in processes of their own.
class Points {
 public:
  Points(const LoadedSweep& sweep, const SweepOptions& options, std::string folder,
         int64_t threads_per_point)
      : sweep_(sweep),
        options_(options),
        folder_(std::move(folder)),
        threads_per_point_(threads_per_point) {}

  std::string FolderOf(const SweepPoint& point) const {
    return absl::StrCat(folder_, "/", point.name);
  }

  // Whether what there is of each point already was started with what the sweep says now.
  absl::Status CheckStarted() const {
    for (const SweepPoint& point : sweep_.points) {
      if (!HasFolder(point)) continue;
      const absl::StatusOr<RunFolder> folder = RunFolder::Open(FolderOf(point));
      SSD_RETURN_IF_ERROR(OfPoint(point, folder.status()));
      SSD_RETURN_IF_ERROR(OfPoint(
          point, ResumeExperiment(*folder, point.experiment, options_.working_directory).status()));
    }
    return absl::OkStatus();
  }

  absl::Status WriteConfigs() const {
    for (const SweepPoint& point : sweep_.points) {
      SSD_RETURN_IF_ERROR(
          WriteFileAtomically(PointConfig(folder_, point), ExperimentFile(point.experiment)));
    }
    return absl::OkStatus();
  }

  // Until all have ended or a stop came. Those that ended and are not done, "name: reason".
  absl::StatusOr<std::vector<std::string>> Train(bool* stopped) {
    std::vector<std::string> unfinished;
    size_t next = 0;
    bool told = false;
    while (next < sweep_.points.size() || !running_.empty()) {
      const int signal_number = options_.stop == nullptr ? 0 : options_.stop->load();
      if (signal_number != 0) {
        *stopped = true;
        next = sweep_.points.size();
        if (!std::exchange(told, true)) {
          for (const auto& child : running_) kill(child.first, signal_number);
        }
      }
      while (next < sweep_.points.size() && static_cast<int64_t>(running_.size()) < options_.jobs) {
        const SweepPoint& point = sweep_.points[next++];
        const std::optional<RunRecord> record = RecordOf(FolderOf(point));
        if (record.has_value() && record->status == "done") continue;
        SSD_RETURN_IF_ERROR(Start(point, next, record));
      }
      if (!running_.empty()) Await(&unfinished);
    }
    return unfinished;
  }

 private:
  struct Child {
    std::string point;
    std::optional<int64_t> resumed;  // RunRecord::resumed before it was started, if it had a record
  };

  bool HasFolder(const SweepPoint& point) const {
    std::error_code ignored;
    return fs::exists(FolderOf(point), ignored);
  }

  // `record`: what its run folder, if there is one, says so far.
  absl::Status Start(const SweepPoint& point, size_t number,
                     const std::optional<RunRecord>& record) {
    const bool resume = HasFolder(point);
    std::vector<std::string> arguments = options_.command;
    arguments.insert(arguments.end(), {absl::StrCat("--config=", PointConfig(folder_, point)),
                                       absl::StrCat("--output=", FolderOf(point)),
                                       absl::StrCat("--device=", options_.device),
                                       absl::StrCat("--threads=", threads_per_point_)});
    if (resume) arguments.push_back("--resume");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    LOG(INFO) << "point " << number << " of " << sweep_.points.size() << ": " << point.name
              << (resume ? " (resumed)" : "");
    // A group of its own: Ctrl-C reaches the sweep alone, which passes it on once.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    pid_t child = 0;
    const int error = posix_spawn(&child, argv.front(), nullptr, &attributes, argv.data(), environ);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) return FileError(error, "cannot start", argv.front());
    Child& started = running_[child];
    started.point = point.name;
    if (record.has_value()) started.resumed = record->resumed;
    return absl::OkStatus();
  }

  // Takes note of a child that has ended, or waits a moment, so that a signal is seen soon.
  void Await(std::vector<std::string>* unfinished) {
    int status = 0;
    const pid_t child = waitpid(-1, &status, WNOHANG);
    if (child <= 0) {
      absl::SleepFor(absl::Milliseconds(50));
      return;
    }
    const auto found = running_.find(child);
    if (found == running_.end()) return;
    const int exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    const bool stopping = options_.stop != nullptr && options_.stop->load() != 0;
    const std::string& point = found->second.point;
    const std::optional<RunRecord> record = RecordOf(absl::StrCat(folder_, "/", point));
    std::string reason;
    if (exit_status != 0 && !stopping) {
      // What it was refused for is on stderr alone; its folder stays as it was.
      const bool has_begun = record.has_value() && record->resumed != found->second.resumed;
      reason = has_begun && !record->error.empty() ? record->error
                                                   : absl::StrCat("exit status ", exit_status);
    } else if (exit_status == 0 && record.has_value() && record->status == "time limit") {
      reason = "stopped at its time limit; --resume goes on with it";
    }
    if (!reason.empty()) unfinished->push_back(absl::StrCat(point, ": ", reason));
    running_.erase(found);
  }

  const LoadedSweep& sweep_;
  const SweepOptions& options_;
  const std::string folder_;
  const int64_t threads_per_point_;
  std::map<pid_t, Child> running_;
};

// One row for each combination of labels, in the order in which they first come.
absl::StatusOr<SweepResults> Tabulate(const LoadedSweep& sweep, const Points& points) {
  SweepResults results;
  results.name = sweep.name;
  for (const Sweep::Axis& axis : sweep.sweep.axis()) results.axes.push_back(axis.name());
  results.seeds = std::max(1, sweep.sweep.seed_size());
  for (const SweepPoint& point : sweep.points) {
    if (results.points.empty() || results.points.back().labels != point.labels) {
      results.points.emplace_back().labels = point.labels;
    }
    const std::string folder = points.FolderOf(point);
    const std::optional<RunRecord> record = RecordOf(folder);
    if (!record.has_value() || record->status != "done") continue;
    SSD_ASSIGN_OR_RETURN(MetricList metrics, ReadMetrics(folder + "/metrics.json"));
    results.points.back().parameters = record->parameters;
    results.points.back().runs.push_back(std::move(metrics));
  }
  for (const Sweep::Reference& reference : sweep.sweep.reference()) {
    SweepReference row{reference.label(), {}, reference.source()};
    if (reference.has_ap()) row.values.emplace_back("AP", reference.ap());
    if (reference.has_ap50()) row.values.emplace_back("AP50", reference.ap50());
    if (reference.has_ap75()) row.values.emplace_back("AP75", reference.ap75());
    results.references.push_back(std::move(row));
  }
  return results;
}

}  // namespace

absl::StatusOr<SweepOutcome> RunSweep(const LoadedSweep& asked, const SweepOptions& options) {
  if (options.jobs < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--jobs=", options.jobs, ": must be at least 1"));
  }
  SSD_ASSIGN_OR_RETURN(const int64_t threads, SetThreads(options.threads));
  SSD_ASSIGN_OR_RETURN(const at::Device device, SelectDevice(options.device));
  SweepOutcome outcome;
  if (options.resume) {
    SSD_ASSIGN_OR_RETURN(outcome.folder, FolderToResume(asked.name, options));
  } else if (!options.output.empty()) {
    SSD_RETURN_IF_ERROR(RunFolder::CheckNew(options.output));
  }
  PartsCheck parts;
  for (const SweepPoint& point : asked.points) {
    SSD_RETURN_IF_ERROR(OfPoint(point, parts.Check(point.experiment)));
  }
  // What is measured is measured as a point trains.
  SSD_ASSIGN_OR_RETURN(const int64_t threads_per_point,
                       SetThreads(std::max<int64_t>(1, threads / options.jobs)));
  LoadedSweep sweep = asked;
  SSD_RETURN_IF_ERROR(SettleFormat(device, outcome.folder, parts, sweep.points));

  if (!options.resume) {
    outcome.folder =
        options.output.empty() ? NextFolder(sweep.name, options.working_directory) : options.output;
  }
  std::error_code error;
  fs::create_directories(outcome.folder + "/points", error);
  if (error) return FileError(error.value(), "cannot make the folder", outcome.folder);
  SSD_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(outcome.folder));
  RemoveLeftovers(outcome.folder);
  RemoveLeftovers(outcome.folder + "/points");
  Points points(sweep, options, outcome.folder, threads_per_point);
  SSD_RETURN_IF_ERROR(points.CheckStarted());
  SSD_RETURN_IF_ERROR(points.WriteConfigs());
  SSD_ASSIGN_OR_RETURN(outcome.unfinished, points.Train(&outcome.stopped));
  SSD_ASSIGN_OR_RETURN(outcome.results, Tabulate(sweep, points));
  SSD_RETURN_IF_ERROR(
      WriteFileAtomically(outcome.folder + "/table.txt", SweepTableText(outcome.results)));
  SSD_RETURN_IF_ERROR(
      WriteFileAtomically(outcome.folder + "/table.md", SweepTableMarkdown(outcome.results)));
  SSD_RETURN_IF_ERROR(
      WriteFileAtomically(outcome.folder + "/table.html", SweepTableHtml(outcome.results)));
  return outcome;
}

}  // namespace ssd
