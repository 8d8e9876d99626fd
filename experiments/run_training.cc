#include "experiments/run_training.h"

#include <ATen/Context.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "experiments/folder_lock.h"
#include "experiments/load_experiment.h"
#include "experiments/picture_log.h"
#include "experiments/resume_experiment.h"
#include "experiments/run_data.h"
#include "experiments/run_device.h"
#include "experiments/run_report.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"
#include "ssd/eval/detections_json.h"
#include "ssd/eval/metrics_text.h"
#include "ssd/model/model_file.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/optim/optimizer.h"
#include "ssd/optim/parameter_groups.h"
#include "ssd/optim/schedule.h"
#include "ssd/report/svg_chart.h"
#include "ssd/train/auto_precision.h"
#include "ssd/train/checkpoint.h"
#include "ssd/train/evaluation.h"
#include "ssd/train/observers/event_log.h"
#include "ssd/train/observers/metrics_log.h"
#include "ssd/train/observers/progress_line.h"
#include "ssd/train/test_time_views.h"
#include "ssd/train/trainer.h"
#include "ssd/weights/load_weights.h"

namespace ssd {
namespace {

// weights.txt: what became of every weight, one a line.
std::string WeightsText(const std::string& path, const LoadReport& report) {
  std::string text = absl::StrCat(path, ", read as ", report.source, "\n");
  const auto add = [&text](absl::string_view title, const std::vector<std::string>& lines) {
    absl::StrAppend(&text, "\n", title, ": ", lines.size(), "\n");
    for (const std::string& line : lines) absl::StrAppend(&text, "  ", line, "\n");
  };
  add("loaded", report.loaded);
  add("left over in the file", report.unused);
  add("missing in the file", report.missing);
  add("of another shape", report.mismatched);
  add("notes", report.notes);
  return text;
}

// The digest of all data a run reads.
std::string DigestOf(const LoadedData& train, const LoadedData& validation) {
  return absl::StrCat(train.dataset->Fingerprint(), "-", validation.dataset->Fingerprint());
}

// One run from its data to its report.
class TrainingRun {
 public:
  TrainingRun(Experiment experiment, const TrainingOptions& options, RunFolder folder,
              RunRecord record)
      : experiment_(std::move(experiment)),
        options_(options),
        folder_(std::move(folder)),
        record_(std::move(record)),
        seconds_before_(record_.seconds) {}

  // Everything but writing the end to run.json, which record() then holds.
  absl::Status Run(bool resumed) {
    SSD_ASSIGN_OR_RETURN(record_.threads, SetThreads(options_.threads));
    SSD_ASSIGN_OR_RETURN(device_, SelectDevice(options_.device));
    SSD_RETURN_IF_ERROR(OpenData());
    SSD_RETURN_IF_ERROR(BuildDetector(resumed));
    // Now with the classes of the data and what this machine is best at.
    SSD_RETURN_IF_ERROR(WriteFileAtomically(folder_.config(), ExperimentFile(experiment_)));
    SSD_RETURN_IF_ERROR(WriteRecord());
    SSD_ASSIGN_OR_RETURN(const std::string ended, Train(resumed));
    // A run is done when all that it promises is on the disk.
    if (ended == "done") SSD_RETURN_IF_ERROR(Judge());
    record_.status = ended;
    return absl::OkStatus();
  }

  absl::Status WriteRecord() {
    record_.seconds = seconds_before_ + absl::ToDoubleSeconds(absl::Now() - start_);
    return WriteFileAtomically(folder_.record(), ToJson(record_));
  }

  RunRecord& record() { return record_; }
  TrainingResult Result() && {
    return {std::move(folder_), std::move(record_), std::move(metrics_)};
  }

 private:
  absl::Status OpenData() {
    const DataConfig& data = experiment_.data();
    const bool pin = device_.is_cuda();
    SSD_ASSIGN_OR_RETURN(train_, LoadData(experiment_, data.train(), LabelNames(experiment_),
                                          DataUse::kTraining, pin, "data.train"));
    labels_ = train_.dataset->labels();
    experiment_.mutable_data()->clear_label();
    for (const std::string& name : labels_.names) experiment_.mutable_data()->add_label(name);
    record_.train = {train_.dataset->size(), train_.dataset->Fingerprint()};
    SSD_ASSIGN_OR_RETURN(validation_, LoadData(experiment_, data.validation(), labels_.names,
                                               DataUse::kEvaluation, pin, "data.validation"));
    record_.validation = {validation_.dataset->size(), validation_.dataset->Fingerprint()};
    EvaluatorContext context;
    context.labels = validation_.dataset->labels();
    SSD_ASSIGN_OR_RETURN(context.truths, AllAnnotations(*validation_.dataset));
    SSD_ASSIGN_OR_RETURN(evaluator_,
                         EvaluatorRegistry::Get().Create(experiment_.evaluator(), context));
    return absl::OkStatus();
  }

  absl::Status BuildDetector(bool resumed) {
    at::manual_seed(experiment_.seed());
    SSD_ASSIGN_OR_RETURN(detector_,
                         SsdDetector::Create(experiment_.model(), labels_.num_classes()));
    // A resumed run has its checkpoint's weights.
    if (experiment_.model().has_weights() && !resumed) {
      SSD_ASSIGN_OR_RETURN(const LoadReport report,
                           LoadWeights(experiment_.model().weights(), labels_, *detector_));
      const std::string& path = experiment_.model().weights().path();
      LOG(INFO) << path << ": " << report.Summary();
      for (const std::string& note : report.notes) LOG(WARNING) << note;
      SSD_RETURN_IF_ERROR(WriteFileAtomically(folder_.loaded_weights(), WeightsText(path, report)));
    }
    TrainerConfig& trainer = *experiment_.mutable_trainer();
    const MeasuredFormat measured =
        MeasureFormat(*detector_, trainer, experiment_.data().loader().batch_size(), device_);
    if (!measured.timings.empty()) LOG(INFO) << measured.Summary();
    trainer.set_precision(measured.format.precision);
    trainer.set_memory_format(measured.format.memory_format);
    record_.device = device_.str();
    record_.precision = TrainerConfig::Precision_Name(trainer.precision());
    record_.memory_format = TrainerConfig::MemoryFormat_Name(trainer.memory_format());
    record_.anchors = detector_->anchors().boxes.size(0);
    record_.parameters = 0;
    for (const Tensor& parameter : detector_->parameters()) record_.parameters += parameter.numel();
    return absl::OkStatus();
  }

  // How it ended, as run.json has it.
  absl::StatusOr<std::string> Train(bool resumed) {
    const TrainerConfig& config = experiment_.trainer();
    const RunLength length = LengthOfRun(config, train_.loader->batches_per_epoch());
    record_.total_steps = length.total_steps;

    OptimizerContext optimizer_context;
    SSD_ASSIGN_OR_RETURN(optimizer_context.parameters,
                         NamedParameters(*detector_, experiment_.optimizer()));
    optimizer_context.images_per_step =
        int64_t{experiment_.data().loader().batch_size()} * config.accumulate_steps();
    SSD_ASSIGN_OR_RETURN(
        std::unique_ptr<Optimizer> optimizer,
        OptimizerRegistry::Get().Create(experiment_.optimizer(), optimizer_context));
    SSD_ASSIGN_OR_RETURN(
        std::unique_ptr<Schedule> schedule,
        CreateSchedule(experiment_.schedule(), {length.total_steps, length.steps_per_epoch}));
    planned_learning_rate_ =
        PlannedLearningRate(optimizer->base_learning_rate(), *schedule, length.total_steps);

    TrainerParts parts;
    parts.detector = detector_.get();
    parts.batches = train_.loader.get();
    parts.optimizer = optimizer.get();
    parts.schedule = schedule.get();
    parts.config = config;
    parts.device = device_;
    parts.run_folder = folder_.path();
    // A time limit only stops a run, so it may differ when the run goes on.
    Experiment identity = experiment_;
    identity.mutable_trainer()->clear_time_limit();
    parts.config_text = PrintTextProto(identity);
    parts.data_digest = DigestOf(train_, validation_);
    parts.stop = options_.stop;
    parts.evaluate = [this](SsdDetector& detector) -> absl::StatusOr<Metrics> {
      SSD_ASSIGN_OR_RETURN(EvaluationOutcome outcome, Evaluate(detector));
      latest_detections_ = std::move(outcome.detections);
      return std::move(outcome.metrics);
    };
    parts.save_best = [this](SsdDetector& detector, const std::string& path) {
      return SaveModel(path, detector, labels_, PrintTextProto(experiment_));
    };
    std::vector<std::unique_ptr<TrainingObserver>> observers;
    SSD_RETURN_IF_ERROR(OpenLogs(resumed, &observers));
    for (const auto& observer : observers) parts.observers.push_back(observer.get());

    Trainer trainer(std::move(parts));
    if (resumed) SSD_RETURN_IF_ERROR(trainer.Resume(folder_.last_checkpoint()));
    SSD_ASSIGN_OR_RETURN(const TrainingOutcome outcome, trainer.Run());
    record_.steps = outcome.step;
    record_.best = outcome.best_metric;
    return outcome.status;
  }

  // Logs go on where the checkpoint stands: what was written after it will be written again.
  absl::Status OpenLogs(bool resumed, std::vector<std::unique_ptr<TrainingObserver>>* observers) {
    int64_t step = 0;
    if (resumed) {
      SSD_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ReadCheckpoint(folder_.last_checkpoint()));
      step = checkpoint.state.step();
    }
    SSD_RETURN_IF_ERROR(MetricsLog::CutBack(folder_.metrics(), step));
    SSD_ASSIGN_OR_RETURN(observers->emplace_back(), MetricsLog::Open(folder_.metrics()));
    SSD_ASSIGN_OR_RETURN(std::unique_ptr<EventLog> events, EventLog::Create(folder_.path(), step));
    EventLog& pictures = *events;
    observers->push_back(std::move(events));
    observers->push_back(
        std::make_unique<PictureLog>(*validation_.dataset, latest_detections_, pictures));
    if (options_.show_progress) observers->push_back(ProgressLine::OnStderr());
    return absl::OkStatus();
  }

  absl::StatusOr<EvaluationOutcome> Evaluate(SsdDetector& detector) {
    SSD_ASSIGN_OR_RETURN(const TestTimeViews views,
                         TestTimeViews::Create(experiment_.evaluator().views(), detector));
    return EvaluateDetector(detector, *validation_.loader, *evaluator_, device_,
                            FormatOf(experiment_.trainer()), views);
  }

  // Evaluates best.pt and writes what a finished run leaves.
  absl::Status Judge() {
    WeightsOptions best;
    best.set_path(folder_.best_model());
    best.set_source(WeightsOptions::OWN);
    SSD_RETURN_IF_ERROR(LoadWeights(best, labels_, *detector_).status());
    SSD_ASSIGN_OR_RETURN(EvaluationOutcome outcome, Evaluate(*detector_));
    metrics_ = std::move(outcome.metrics);
    // An evaluator from outside may have none.
    if (!metrics_.values.empty()) record_.metric = metrics_.values.front().first;
    SSD_RETURN_IF_ERROR(WriteDetectionsJson(folder_.detections(), outcome.detections, labels_));
    SSD_RETURN_IF_ERROR(WriteFileAtomically(folder_.final_metrics(), MetricsJson(metrics_)));
    SSD_RETURN_IF_ERROR(WriteRecord());
    return WriteRunReport({folder_, experiment_, record_, labels_, metrics_, outcome.detections,
                           *validation_.dataset, *detector_, planned_learning_rate_});
  }

  Experiment experiment_;
  const TrainingOptions& options_;
  RunFolder folder_;
  RunRecord record_;
  const absl::Time start_ = absl::Now();
  const double seconds_before_;  // of the processes this one goes on from
  at::Device device_ = at::kCPU;
  LoadedData train_, validation_;
  LabelMap labels_;
  std::unique_ptr<Evaluator> evaluator_;
  std::vector<ImageDetections> latest_detections_;  // of the last evaluation
  std::shared_ptr<SsdDetector> detector_;
  ChartSeries planned_learning_rate_;
  Metrics metrics_;
};

// The folder to resume and what its run goes on with.
struct ResumedRun {
  RunFolder folder;
  FolderLock lock;
  RunRecord record;
  Experiment experiment;
  bool has_checkpoint = false;
};

absl::StatusOr<ResumedRun> OpenToResume(const Experiment& asked, const TrainingOptions& options) {
  SSD_ASSIGN_OR_RETURN(
      RunFolder folder,
      RunFolder::Open(options.output.empty() ? LatestFolder(asked.name(), options.working_directory)
                                             : options.output));
  SSD_ASSIGN_OR_RETURN(FolderLock lock, FolderLock::Acquire(folder.path()));
  SSD_ASSIGN_OR_RETURN(const std::string json, ReadFile(folder.record()));
  SSD_ASSIGN_OR_RETURN(RunRecord record, RunRecordFromJson(json, folder.record()));
  if (record.status == "done") {
    return absl::FailedPreconditionError(
        absl::StrCat(folder.path(), ": the run is done; there is nothing to resume"));
  }
  SSD_ASSIGN_OR_RETURN(Experiment experiment,
                       ResumeExperiment(folder, asked, options.working_directory));
  folder.RemoveAllLeftovers();
  ResumedRun resumed{std::move(folder), std::move(lock), std::move(record), std::move(experiment),
                     false};
  std::error_code ignored;
  resumed.has_checkpoint = std::filesystem::exists(resumed.folder.last_checkpoint(), ignored);
  return resumed;
}

// What is known of a run before it does anything.
void DescribeStart(const Experiment& experiment, const TrainingOptions& options,
                   RunRecord& record) {
  record.name = experiment.name();
  record.status = "running";
  record.error.clear();
  record.seed = experiment.seed();
  record.command_line = options.command_line;
  record.working_directory = options.working_directory;
  DescribeEnvironment(record);
}

}  // namespace

absl::StatusOr<TrainingResult> RunTraining(const Experiment& experiment,
                                           const TrainingOptions& options) {
  std::optional<FolderLock> lock;  // until run.json is written for the last time
  std::unique_ptr<TrainingRun> run;
  bool has_checkpoint = false;
  if (options.resume) {
    SSD_ASSIGN_OR_RETURN(ResumedRun resumed, OpenToResume(experiment, options));
    lock.emplace(std::move(resumed.lock));
    has_checkpoint = resumed.has_checkpoint;
    ++resumed.record.resumed;
    DescribeStart(resumed.experiment, options, resumed.record);
    run = std::make_unique<TrainingRun>(std::move(resumed.experiment), options,
                                        std::move(resumed.folder), std::move(resumed.record));
  } else {
    RunRecord record;
    record.started = UtcNow();
    DescribeStart(experiment, options, record);
    SSD_ASSIGN_OR_RETURN(
        RunFolder folder,
        RunFolder::Create(options.output, experiment.name(), options.working_directory,
                          ExperimentFile(experiment), ToJson(record)));
    SSD_ASSIGN_OR_RETURN(FolderLock taken, FolderLock::Acquire(folder.path()));
    lock.emplace(std::move(taken));
    run = std::make_unique<TrainingRun>(experiment, options, std::move(folder), std::move(record));
  }

  absl::Status status = run->Run(has_checkpoint);
  RunRecord& record = run->record();
  record.ended = UtcNow();
  if (!status.ok()) {
    record.status = "failed";
    record.error = std::string(status.message());
  }
  // The first error is the one to tell.
  status.Update(run->WriteRecord());
  if (!status.ok()) return status;
  return std::move(*run).Result();
}

}  // namespace ssd
