#include "experiments/run_training.h"

#include <ATen/Context.h>

#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "data/dataset.h"
#include "experiments/folder_lock.h"
#include "experiments/load_experiment.h"
#include "experiments/picture_log.h"
#include "experiments/resume_experiment.h"
#include "experiments/run_data.h"
#include "experiments/run_device.h"
#include "experiments/run_report.h"
#include "ssd/core/exception_status.h"
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
#include "ssd/train/compute_format.h"
#include "ssd/train/evaluation.h"
#include "ssd/train/observers/event_log.h"
#include "ssd/train/observers/metrics_log.h"
#include "ssd/train/observers/progress_line.h"
#include "ssd/train/run_length.h"
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

// `work`, whose exceptions are errors.
template <typename Work>
absl::Status Caught(const Work& work) {
  try {
    return work();
  } catch (const std::exception& error) {
    return ExceptionStatus(error);
  }
}

// One run from its data to its report: the steps of RunTraining, in their order.
class TrainingRun {
 public:
  TrainingRun(const Experiment& experiment, const TrainingOptions& options)
      : experiment_(experiment), options_(options) {}

  // Checks what was asked for and opens all that the run reads. Writes nothing, so that what is
  // refused leaves no folder behind, and one that is there as it was.
  absl::Status Open() {
    SSD_ASSIGN_OR_RETURN(const int64_t threads, SetThreads(options_.threads));
    SSD_ASSIGN_OR_RETURN(device_, SelectDevice(options_.device));
    if (options_.resume) {
      SSD_RETURN_IF_ERROR(OpenFolder());
    } else if (!options_.output.empty()) {
      SSD_RETURN_IF_ERROR(RunFolder::CheckNew(options_.output));
    }
    DescribeStart(threads);
    SSD_RETURN_IF_ERROR(OpenData());
    SSD_RETURN_IF_ERROR(BuildDetector());
    SettleFormat();
    SSD_RETURN_IF_ERROR(PlanOptimization());
    config_text_ = IdentityText();
    if (!checkpoint_.has_value()) return absl::OkStatus();
    return CheckSameRun(*checkpoint_, folder_->last_checkpoint(), config_text_, DataDigest(),
                        device_);
  }

  // Makes the run's folder, or takes the one that is there to go on in.
  absl::Status EnterFolder() {
    const std::string config = ExperimentFile(experiment_);
    if (options_.resume) {
      folder_->RemoveAllLeftovers();
      SSD_RETURN_IF_ERROR(WriteFileAtomically(folder_->config(), config));
      return WriteRecord();
    }
    SSD_ASSIGN_OR_RETURN(
        folder_, RunFolder::Create(options_.output, experiment_.name(), options_.working_directory,
                                   config, ToJson(record_)));
    return Lock();
  }

  absl::Status Train() {
    if (!weights_text_.empty()) {
      SSD_RETURN_IF_ERROR(WriteFileAtomically(folder_->loaded_weights(), weights_text_));
    }
    std::vector<std::unique_ptr<TrainingObserver>> observers;
    SSD_RETURN_IF_ERROR(OpenLogs(&observers));
    TrainerParts parts = Parts();
    for (const auto& observer : observers) parts.observers.push_back(observer.get());
    Trainer trainer(std::move(parts));
    if (checkpoint_.has_value()) {
      SSD_RETURN_IF_ERROR(trainer.Resume(*checkpoint_, folder_->last_checkpoint()));
      checkpoint_.reset();  // as large as the network and its optimizer
    }
    SSD_ASSIGN_OR_RETURN(const TrainingOutcome outcome, trainer.Run());
    record_.steps = outcome.step;
    record_.train.skipped_images = data_.train.loader->statistics().skipped_images;
    record_.best = outcome.best_metric;
    ended_ = outcome.status;
    return absl::OkStatus();
  }

  // Evaluates best.pt and writes what a finished run leaves; nothing for one that was stopped.
  absl::Status Judge() {
    if (ended_ != "done") return absl::OkStatus();
    WeightsOptions best;
    best.set_path(folder_->best_model());
    best.set_source(WeightsOptions::OWN);
    SSD_RETURN_IF_ERROR(LoadWeights(best, labels_, *detector_).status());
    SSD_ASSIGN_OR_RETURN(EvaluationOutcome outcome, Evaluate(*detector_));
    metrics_ = std::move(outcome.metrics);
    // An evaluator from outside may have none.
    if (!metrics_.values.empty()) record_.metric = metrics_.values.front().first;
    const Dataset& validation = *data_.validation.data.dataset;
    SSD_RETURN_IF_ERROR(WriteDetectionsJson(folder_->detections(), outcome.detections, labels_));
    SSD_RETURN_IF_ERROR(
        WriteFileAtomically(folder_->final_metrics(),
                            MetricsJson(metrics_, FactsOf(validation.size(), outcome.detections))));
    SSD_RETURN_IF_ERROR(WriteRecord());
    return WriteRunReport({*folder_, experiment_, record_, labels_, metrics_, outcome.detections,
                           validation, *detector_, planned_learning_rate_});
  }

  // Writes how the run ended, which `status` says where it failed. The first error is the one to
  // tell.
  absl::Status Record(absl::Status status) {
    record_.status = status.ok() ? ended_ : "failed";
    record_.error = std::string(status.message());
    record_.ended = UtcNow();
    status.Update(WriteRecord());
    return status;
  }

  TrainingResult Result() && {
    return {*std::move(folder_), std::move(record_), std::move(metrics_)};
  }

 private:
  // The folder to resume, its experiment and, where it has one, its last checkpoint.
  absl::Status OpenFolder() {
    SSD_ASSIGN_OR_RETURN(
        folder_, RunFolder::Open(options_.output.empty()
                                     ? LatestFolder(experiment_.name(), options_.working_directory)
                                     : options_.output));
    SSD_RETURN_IF_ERROR(Lock());
    SSD_ASSIGN_OR_RETURN(const std::string json, ReadFile(folder_->record()));
    SSD_ASSIGN_OR_RETURN(record_, RunRecordFromJson(json, folder_->record()));
    if (record_.status == "done") {
      return absl::FailedPreconditionError(
          absl::StrCat(folder_->path(), ": the run is done; there is nothing to resume"));
    }
    SSD_ASSIGN_OR_RETURN(experiment_,
                         ResumeExperiment(*folder_, experiment_, options_.working_directory));
    std::error_code ignored;
    if (std::filesystem::exists(folder_->last_checkpoint(), ignored)) {
      SSD_ASSIGN_OR_RETURN(checkpoint_, ReadCheckpoint(folder_->last_checkpoint()));
    }
    return absl::OkStatus();
  }

  absl::Status Lock() {
    SSD_ASSIGN_OR_RETURN(FolderLock lock, FolderLock::Acquire(folder_->path()));
    lock_.emplace(std::move(lock));
    return absl::OkStatus();
  }

  // What is known of a run before it does anything.
  void DescribeStart(int64_t threads) {
    if (options_.resume) {
      ++record_.resumed;
    } else {
      record_.started = UtcNow();
    }
    seconds_before_ = record_.seconds;
    record_.name = experiment_.name();
    record_.status = "running";
    record_.error.clear();
    record_.ended.clear();
    record_.seed = experiment_.seed();
    record_.command_line = options_.command_line;
    record_.working_directory = options_.working_directory;
    record_.threads = threads;
    record_.device = device_.str();
    DescribeEnvironment(record_);
  }

  absl::Status OpenData() {
    SSD_ASSIGN_OR_RETURN(data_, LoadRunData(experiment_, device_.is_cuda()));
    const Dataset& train = *data_.train.dataset;
    const Dataset& validation = *data_.validation.data.dataset;
    labels_ = train.labels();
    experiment_.mutable_data()->clear_label();
    for (const std::string& name : labels_.names) experiment_.mutable_data()->add_label(name);
    record_.train = {train.size(), train.Fingerprint()};
    record_.validation = {validation.size(), validation.Fingerprint()};
    return absl::OkStatus();
  }

  absl::Status BuildDetector() {
    at::manual_seed(experiment_.seed());
    SSD_ASSIGN_OR_RETURN(detector_,
                         SsdDetector::Create(experiment_.model(), labels_.num_classes()));
    record_.anchors = detector_->anchors().boxes.size(0);
    record_.parameters = 0;
    for (const Tensor& parameter : detector_->parameters()) record_.parameters += parameter.numel();
    // A resumed run has its checkpoint's weights.
    if (!experiment_.model().has_weights() || checkpoint_.has_value()) return absl::OkStatus();
    SSD_ASSIGN_OR_RETURN(const LoadReport report,
                         LoadWeights(experiment_.model().weights(), labels_, *detector_));
    const std::string& path = experiment_.model().weights().path();
    LOG(INFO) << path << ": " << report.Summary();
    for (const std::string& note : report.notes) LOG(WARNING) << note;
    weights_text_ = WeightsText(path, report);
    return absl::OkStatus();
  }

  // AUTO and AUTO_FORMAT become what this machine is best at; the detector is placed accordingly.
  void SettleFormat() {
    TrainerConfig& trainer = *experiment_.mutable_trainer();
    const MeasuredFormat measured =
        MeasureFormat(*detector_, trainer, experiment_.data().loader().batch_size(), device_);
    if (!measured.timings.empty()) LOG(INFO) << measured.Summary();
    trainer.set_precision(measured.format.precision);
    trainer.set_memory_format(measured.format.memory_format);
    record_.precision = TrainerConfig::Precision_Name(trainer.precision());
    record_.memory_format = TrainerConfig::MemoryFormat_Name(trainer.memory_format());
  }

  absl::Status PlanOptimization() {
    const TrainerConfig& config = experiment_.trainer();
    const RunLength length = LengthOfRun(config, data_.train.loader->batches_per_epoch());
    record_.total_steps = length.total_steps;
    OptimizerContext context;
    SSD_ASSIGN_OR_RETURN(context.parameters, NamedParameters(*detector_, experiment_.optimizer()));
    context.images_per_step =
        int64_t{experiment_.data().loader().batch_size()} * config.accumulate_steps();
    SSD_ASSIGN_OR_RETURN(optimizer_,
                         OptimizerRegistry::Get().Create(experiment_.optimizer(), context));
    SSD_ASSIGN_OR_RETURN(schedule_, CreateSchedule(experiment_.schedule(),
                                                   {length.total_steps, length.steps_per_epoch}));
    planned_learning_rate_ =
        PlannedLearningRate(optimizer_->base_learning_rate(), *schedule_, length.total_steps);
    return absl::OkStatus();
  }

  // What a checkpoint and the run that goes on from it have in common. A time limit only stops a
  // run, so it may differ.
  std::string IdentityText() const {
    Experiment identity = experiment_;
    identity.mutable_trainer()->clear_time_limit();
    return PrintTextProto(identity);
  }

  // Of all data the run reads.
  std::string DataDigest() const {
    return absl::StrCat(record_.train.digest, "-", record_.validation.digest);
  }

  absl::Status WriteRecord() {
    record_.seconds = seconds_before_ + absl::ToDoubleSeconds(absl::Now() - start_);
    return WriteFileAtomically(folder_->record(), ToJson(record_));
  }

  // Logs go on where the checkpoint stands: what was written after it will be written again.
  absl::Status OpenLogs(std::vector<std::unique_ptr<TrainingObserver>>* observers) {
    const int64_t step = checkpoint_.has_value() ? checkpoint_->state.step() : 0;
    SSD_RETURN_IF_ERROR(MetricsLog::CutBack(folder_->metrics(), step));
    SSD_ASSIGN_OR_RETURN(observers->emplace_back(), MetricsLog::Open(folder_->metrics()));
    SSD_ASSIGN_OR_RETURN(std::unique_ptr<EventLog> events, EventLog::Create(folder_->path(), step));
    EventLog& pictures = *events;
    observers->push_back(std::move(events));
    observers->push_back(
        std::make_unique<PictureLog>(*data_.validation.data.dataset, latest_detections_, pictures));
    if (options_.show_progress) observers->push_back(ProgressLine::OnStderr());
    return absl::OkStatus();
  }

  // But for the observers.
  TrainerParts Parts() {
    TrainerParts parts;
    parts.detector = detector_.get();
    parts.batches = data_.train.loader.get();
    parts.optimizer = optimizer_.get();
    parts.schedule = schedule_.get();
    parts.config = experiment_.trainer();
    parts.device = device_;
    parts.run_folder = folder_->path();
    parts.config_text = config_text_;
    parts.data_digest = DataDigest();
    parts.stop = options_.stop;
    parts.evaluate = [this](SsdDetector& detector) -> absl::StatusOr<Metrics> {
      SSD_ASSIGN_OR_RETURN(EvaluationOutcome outcome, Evaluate(detector));
      latest_detections_ = std::move(outcome.detections);
      return std::move(outcome.metrics);
    };
    parts.save_best = [this](SsdDetector& detector, const std::string& path) {
      return SaveModel(path, detector, labels_, PrintTextProto(experiment_));
    };
    return parts;
  }

  absl::StatusOr<EvaluationOutcome> Evaluate(SsdDetector& detector) {
    SSD_ASSIGN_OR_RETURN(const TestTimeViews views,
                         TestTimeViews::Create(experiment_.evaluator().views(), detector));
    SSD_ASSIGN_OR_RETURN(
        EvaluationOutcome outcome,
        EvaluateDetector(detector, *data_.validation.data.loader, *data_.validation.evaluator,
                         device_, FormatOf(experiment_.trainer()), views));
    record_.validation.skipped_images = outcome.skipped_images;
    return outcome;
  }

  Experiment experiment_;
  const TrainingOptions& options_;
  const absl::Time start_ = absl::Now();
  double seconds_before_ = 0;        // of the processes this one goes on from
  std::optional<RunFolder> folder_;  // once it is there
  std::optional<FolderLock> lock_;   // until run.json is written for the last time
  RunRecord record_;
  at::Device device_ = at::kCPU;
  RunData data_;
  LabelMap labels_;
  std::shared_ptr<SsdDetector> detector_;
  std::string weights_text_;  // of weights.txt; empty: none were loaded
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Schedule> schedule_;
  ChartSeries planned_learning_rate_;
  std::string config_text_;
  std::optional<Checkpoint> checkpoint_;            // what the run goes on from
  std::vector<ImageDetections> latest_detections_;  // of the last evaluation
  std::string ended_;                               // as run.json has it
  Metrics metrics_;
};

}  // namespace

absl::StatusOr<TrainingResult> RunTraining(const Experiment& experiment,
                                           const TrainingOptions& options) {
  TrainingRun run(experiment, options);
  SSD_RETURN_IF_ERROR(Caught([&run] { return run.Open(); }));
  SSD_RETURN_IF_ERROR(run.EnterFolder());
  absl::Status status = Caught([&run] { return run.Train(); });
  // A run is done when all that it promises is on the disk.
  if (status.ok()) status = Caught([&run] { return run.Judge(); });
  SSD_RETURN_IF_ERROR(run.Record(std::move(status)));
  return std::move(run).Result();
}

}  // namespace ssd
