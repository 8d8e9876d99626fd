#include "experiments/run_sweep.h"

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
#include "ssd/weights/load_weights.h"

extern char** environ;

namespace ssd {
namespace {

namespace fs = std::filesystem;

// The folder of the sweep: made, or found when resuming.
absl::StatusOr<std::string> SweepFolder(const std::string& name, const SweepOptions& options) {
  std::string folder = options.output;
  std::error_code error;
  if (folder.empty()) {
    folder = options.resume ? LatestFolder(name, options.working_directory)
                            : NextFolder(name, options.working_directory);
  } else if (!options.resume && fs::exists(folder, error)) {
    return absl::AlreadyExistsError(absl::StrCat(
        folder, ": --output exists already; add --resume to go on with it, or name another"));
  }
  if (options.resume && !fs::is_directory(folder, error)) {
    return absl::NotFoundError(absl::StrCat(folder, ": no such sweep to resume"));
  }
  fs::create_directories(folder + "/points", error);
  if (error) return FileError(error.value(), "cannot make the folder", folder);
  return folder;
}

// Makes what runs are made of and lets go of it, so that what is missing or does not fit is found
// before the first point trains. Of what several points have in common one is enough.
class PartsCheck {
 public:
  absl::Status Check(const Experiment& experiment) {
    SSD_ASSIGN_OR_RETURN(const LabelMap labels, OpenData(experiment));
    const std::string built =
        absl::StrCat(PrintTextProto(experiment.model()), "\n", absl::StrJoin(labels.names, "\n"));
    if (!built_.insert(built).second) return absl::OkStatus();
    SSD_ASSIGN_OR_RETURN(const std::shared_ptr<SsdDetector> detector,
                         SsdDetector::Create(experiment.model(), labels.num_classes()));
    if (!experiment.model().has_weights()) return absl::OkStatus();
    return LoadWeights(experiment.model().weights(), labels, *detector).status();
  }

 private:
  // Datasets, loaders and evaluator; the classes.
  absl::StatusOr<LabelMap> OpenData(const Experiment& experiment) {
    Experiment used;
    *used.mutable_data() = experiment.data();
    *used.mutable_model()->mutable_input() = experiment.model().input();
    *used.mutable_evaluator() = experiment.evaluator();
    const std::string key = PrintTextProto(used);
    const auto found = opened_.find(key);
    if (found != opened_.end()) return found->second;

    const DataConfig& data = experiment.data();
    SSD_ASSIGN_OR_RETURN(const LoadedData train,
                         LoadData(experiment, data.train(), LabelNames(experiment),
                                  DataUse::kTraining, /*pin_memory=*/false, "data.train"));
    const LabelMap labels = train.dataset->labels();
    SSD_ASSIGN_OR_RETURN(const LoadedData validation,
                         LoadData(experiment, data.validation(), labels.names, DataUse::kEvaluation,
                                  /*pin_memory=*/false, "data.validation"));
    EvaluatorContext context;
    context.labels = validation.dataset->labels();
    SSD_ASSIGN_OR_RETURN(context.truths, AllAnnotations(*validation.dataset));
    SSD_RETURN_IF_ERROR(EvaluatorRegistry::Get().Create(experiment.evaluator(), context).status());
    opened_[key] = labels;
    return labels;
  }

  std::map<std::string, LabelMap> opened_;
  std::set<std::string> built_;
};

absl::Status OfPoint(const SweepPoint& point, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("point ", point.name, ": ", status.message()));
}

absl::Status CheckParts(const LoadedSweep& sweep) {
  PartsCheck parts;
  for (const SweepPoint& point : sweep.points) {
    SSD_RETURN_IF_ERROR(OfPoint(point, parts.Check(point.experiment)));
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
        SSD_RETURN_IF_ERROR(Start(point, next));
      }
      if (!running_.empty()) Await(&unfinished);
    }
    return unfinished;
  }

 private:
  bool HasFolder(const SweepPoint& point) const {
    std::error_code ignored;
    return fs::exists(FolderOf(point), ignored);
  }

  absl::Status Start(const SweepPoint& point, size_t number) {
    const std::string output = FolderOf(point);
    const bool resume = HasFolder(point);
    const std::string config = absl::StrCat(folder_, "/points/", point.name, ".textproto");
    SSD_RETURN_IF_ERROR(WriteFileAtomically(config, ExperimentFile(point.experiment)));
    std::vector<std::string> arguments = options_.command;
    arguments.insert(arguments.end(),
                     {absl::StrCat("--config=", config), absl::StrCat("--output=", output),
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
    running_[child] = point.name;
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
    const std::optional<RunRecord> record = RecordOf(absl::StrCat(folder_, "/", found->second));
    std::string reason;
    if (exit_status != 0 && !stopping) {
      reason = record.has_value() && !record->error.empty()
                   ? record->error
                   : absl::StrCat("exit status ", exit_status);
    } else if (exit_status == 0 && record.has_value() && record->status == "time limit") {
      reason = "stopped at its time limit; --resume goes on with it";
    }
    if (!reason.empty()) unfinished->push_back(absl::StrCat(found->second, ": ", reason));
    running_.erase(found);
  }

  const LoadedSweep& sweep_;
  const SweepOptions& options_;
  const std::string folder_;
  const int64_t threads_per_point_;
  std::map<pid_t, std::string> running_;
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

absl::StatusOr<SweepOutcome> RunSweep(const LoadedSweep& sweep, const SweepOptions& options) {
  if (options.jobs < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--jobs=", options.jobs, ": must be at least 1"));
  }
  SSD_ASSIGN_OR_RETURN(const int64_t threads, SetThreads(options.threads));
  SSD_RETURN_IF_ERROR(CheckParts(sweep));
  SweepOutcome outcome;
  SSD_ASSIGN_OR_RETURN(outcome.folder, SweepFolder(sweep.name, options));
  SSD_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(outcome.folder));
  RemoveLeftovers(outcome.folder);
  RemoveLeftovers(outcome.folder + "/points");
  Points points(sweep, options, outcome.folder, std::max<int64_t>(1, threads / options.jobs));
  SSD_RETURN_IF_ERROR(points.CheckStarted());
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
