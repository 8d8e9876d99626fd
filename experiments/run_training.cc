#include "experiments/run_training.h"

#include <ATen/Context.h>
#include <google/protobuf/util/message_differencer.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "experiments/folder_lock.h"
#include "experiments/load_experiment.h"
#include "experiments/picture_log.h"
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

constexpr char kHeader[] =
    "# proto-file: experiments/experiment.proto\n"
    "# proto-message: ssd.Experiment\n";

// The folder that --resume without --output means: the runs/<name> of the highest number.
std::string LatestFolder(const TrainingOptions& options, const std::string& name) {
  const std::string stem = absl::StrCat(options.working_directory, "/runs/", name);
  std::string latest = stem;
  for (int number = 2; std::filesystem::exists(absl::StrCat(stem, "-", number)); ++number) {
    latest = absl::StrCat(stem, "-", number);
  }
  return latest;
}

// What the run whose config was `saved` goes on with when it is asked for as `asked`: only a time
// limit may have changed, and what the first start measured or collected stays.
absl::StatusOr<Experiment> ResumedExperiment(const Experiment& saved, Experiment asked,
                                             const std::string& path) {
  if (asked.data().label().empty()) *asked.mutable_data()->mutable_label() = saved.data().label();
  TrainerConfig& trainer = *asked.mutable_trainer();
  if (trainer.precision() == TrainerConfig::AUTO) {
    trainer.set_precision(saved.trainer().precision());
  }
  if (trainer.memory_format() == TrainerConfig::AUTO_FORMAT) {
    trainer.set_memory_format(saved.trainer().memory_format());
  }
  asked.set_name(saved.name());
  Experiment expected = saved;
  expected.mutable_trainer()->set_time_limit(trainer.time_limit());
  google::protobuf::util::MessageDifferencer differencer;
  std::string difference;
  differencer.ReportDifferencesToString(&difference);
  if (!differencer.Compare(expected, asked)) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " was started with another config: ", absl::StripAsciiWhitespace(difference),
        "; resume it without --config, or start a new run"));
  }
  return asked;
}

// The digest of all data a run reads.
std::string DigestOf(const LoadedData& train, const std::optional<LoadedData>& validation) {
  return absl::StrCat(train.dataset->Fingerprint(), "-",
                      validation.has_value() ? validation->dataset->Fingerprint() : "none");
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

  // Everything but the last word in run.json.
  absl::Status Run(bool resumed) {
    SSD_ASSIGN_OR_RETURN(record_.threads, SetThreads(options_.threads));
    SSD_ASSIGN_OR_RETURN(device_, SelectDevice(options_.device));
    SSD_RETURN_IF_ERROR(OpenData());
    SSD_RETURN_IF_ERROR(BuildDetector(resumed));
    SSD_RETURN_IF_ERROR(
        WriteFileAtomically(folder_.config(), absl::StrCat(kHeader, PrintTextProto(experiment_))));
    SSD_RETURN_IF_ERROR(WriteRecord());
    SSD_RETURN_IF_ERROR(Train(resumed));
    if (record_.status != "done") return absl::OkStatus();
    return Judge();
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
    if (data.has_validation()) {
      SSD_ASSIGN_OR_RETURN(validation_, LoadData(experiment_, data.validation(), labels_.names,
                                                 DataUse::kEvaluation, pin, "data.validation"));
      record_.validation = {validation_->dataset->size(), validation_->dataset->Fingerprint()};
      EvaluatorContext context;
      context.labels = validation_->dataset->labels();
      SSD_ASSIGN_OR_RETURN(context.truths, AllAnnotations(*validation_->dataset));
      SSD_ASSIGN_OR_RETURN(evaluator_,
                           EvaluatorRegistry::Get().Create(experiment_.evaluator(), context));
    }
    return absl::OkStatus();
  }

  absl::Status BuildDetector(bool resumed) {
    at::manual_seed(experiment_.seed());
    SSD_ASSIGN_OR_RETURN(detector_,
                         SsdDetector::Create(experiment_.model(), labels_.num_classes()));
    // A resumed run has its checkpoint's weights.
    if (experiment_.model().has_weights() && !resumed) {
      SSD_ASSIGN_OR_RETURN(const LoadReport report,
                           LoadForeignWeights(experiment_.model().weights(), labels_, *detector_));
      LOG(INFO) << experiment_.model().weights().path() << ": " << report.Summary();
      for (const std::string& note : report.notes) LOG(WARNING) << note;
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

  absl::Status Train(bool resumed) {
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
    if (evaluator_ != nullptr) {
      parts.evaluate = [this](SsdDetector& detector) -> absl::StatusOr<Metrics> {
        SSD_ASSIGN_OR_RETURN(EvaluationOutcome outcome, Evaluate(detector));
        latest_detections_ = std::move(outcome.detections);
        return std::move(outcome.metrics);
      };
    }
    parts.save_best = [this](SsdDetector& detector, const std::string& path) {
      return SaveModel(path, detector, labels_, PrintTextProto(experiment_));
    };
    std::vector<std::unique_ptr<TrainingObserver>> observers;
    SSD_RETURN_IF_ERROR(OpenLogs(resumed, &observers));
    for (const auto& observer : observers) parts.observers.push_back(observer.get());

    Trainer trainer(std::move(parts));
    if (resumed) SSD_RETURN_IF_ERROR(trainer.Resume(folder_.last_checkpoint()));
    SSD_ASSIGN_OR_RETURN(const TrainingOutcome outcome, trainer.Run());
    record_.status = outcome.status;
    record_.steps = outcome.step;
    record_.best = outcome.best_metric;
    return absl::OkStatus();
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
    if (validation_.has_value()) {
      observers->push_back(
          std::make_unique<PictureLog>(*validation_->dataset, latest_detections_, pictures));
    }
    if (options_.show_progress) observers->push_back(ProgressLine::OnStderr());
    return absl::OkStatus();
  }

  absl::StatusOr<EvaluationOutcome> Evaluate(SsdDetector& detector) {
    SSD_ASSIGN_OR_RETURN(const TestTimeViews views,
                         TestTimeViews::Create(experiment_.evaluator().views(), detector));
    return EvaluateDetector(detector, *validation_->loader, *evaluator_, device_,
                            FormatOf(experiment_.trainer()), views);
  }

  // Evaluates best.pt and writes what a finished run leaves.
  absl::Status Judge() {
    if (evaluator_ == nullptr) return absl::OkStatus();
    SSD_RETURN_IF_ERROR(LoadWeights(folder_.best_model(), *detector_));
    SSD_ASSIGN_OR_RETURN(EvaluationOutcome outcome, Evaluate(*detector_));
    metrics_ = std::move(outcome.metrics);
    record_.metric = metrics_.values.front().first;
    SSD_RETURN_IF_ERROR(WriteDetectionsJson(folder_.detections(), outcome.detections, labels_));
    SSD_RETURN_IF_ERROR(WriteFileAtomically(folder_.final_metrics(), MetricsJson(metrics_)));
    SSD_RETURN_IF_ERROR(WriteRecord());
    return WriteRunReport({folder_, experiment_, record_, labels_, metrics_, outcome.detections,
                           *validation_->dataset, *detector_, planned_learning_rate_});
  }

  Experiment experiment_;
  const TrainingOptions& options_;
  RunFolder folder_;
  RunRecord record_;
  const absl::Time start_ = absl::Now();
  const double seconds_before_;  // of the processes this one goes on from
  at::Device device_ = at::kCPU;
  LoadedData train_;
  std::optional<LoadedData> validation_;
  LabelMap labels_;
  std::unique_ptr<Evaluator> evaluator_;
  std::vector<ImageDetections> latest_detections_;  // of the last evaluation
  std::shared_ptr<SsdDetector> detector_;
  ChartSeries planned_learning_rate_;
  Metrics metrics_;
};

// The folder to resume and the config that its run was started with, or an error.
struct ResumedFolder {
  RunFolder folder;
  FolderLock lock;
  RunRecord record;
  Experiment experiment;
  bool has_checkpoint = false;
};

absl::StatusOr<ResumedFolder> OpenToResume(const Experiment& asked,
                                           const TrainingOptions& options) {
  SSD_ASSIGN_OR_RETURN(RunFolder folder,
                       RunFolder::Open(options.output.empty() ? LatestFolder(options, asked.name())
                                                              : options.output));
  SSD_ASSIGN_OR_RETURN(FolderLock lock, FolderLock::Acquire(folder.path()));
  SSD_ASSIGN_OR_RETURN(const std::string json, ReadFile(folder.record()));
  SSD_ASSIGN_OR_RETURN(RunRecord record, RunRecordFromJson(json, folder.record()));
  if (record.status == "done") {
    return absl::FailedPreconditionError(
        absl::StrCat(folder.path(), ": the run is done; there is nothing to resume"));
  }
  SSD_ASSIGN_OR_RETURN(
      const Experiment saved,
      LoadExperiment(folder.config(), absl::Span<const std::string>(), options.working_directory));
  SSD_ASSIGN_OR_RETURN(Experiment experiment, ResumedExperiment(saved, asked, folder.path()));
  ResumedFolder resumed{std::move(folder), std::move(lock), std::move(record),
                        std::move(experiment), false};
  resumed.has_checkpoint = std::filesystem::exists(resumed.folder.last_checkpoint());
  return resumed;
}

}  // namespace

absl::StatusOr<TrainingResult> RunTraining(const Experiment& experiment,
                                           const TrainingOptions& options) {
  std::optional<FolderLock> lock;  // until run.json is written for the last time
  std::unique_ptr<TrainingRun> run;
  bool has_checkpoint = false;
  if (options.resume) {
    SSD_ASSIGN_OR_RETURN(ResumedFolder resumed, OpenToResume(experiment, options));
    lock.emplace(std::move(resumed.lock));
    has_checkpoint = resumed.has_checkpoint;
    ++resumed.record.resumed;
    resumed.record.error.clear();
    run = std::make_unique<TrainingRun>(std::move(resumed.experiment), options,
                                        std::move(resumed.folder), std::move(resumed.record));
  } else {
    SSD_ASSIGN_OR_RETURN(RunFolder folder, RunFolder::Create(options.output, experiment.name(),
                                                             options.working_directory));
    SSD_ASSIGN_OR_RETURN(FolderLock taken, FolderLock::Acquire(folder.path()));
    lock.emplace(std::move(taken));
    RunRecord record;
    record.started = UtcNow();
    run = std::make_unique<TrainingRun>(experiment, options, std::move(folder), std::move(record));
  }
  RunRecord& record = run->record();
  record.name = experiment.name();
  record.status = "running";
  record.seed = experiment.seed();
  record.command_line = options.command_line;
  record.working_directory = options.working_directory;
  DescribeEnvironment(record);

  absl::Status status = run->Run(has_checkpoint);
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
