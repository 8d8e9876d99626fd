#include "experiments/check/overfit_probe.h"

#include <ATen/Context.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "data/batch_loader.h"
#include "data/transforms/transform.h"
#include "experiments/check/anchor_index.h"
#include "experiments/check/ceiling.h"
#include "experiments/run_data.h"
#include "ssd/core/annotations.h"
#include "ssd/core/batch_source.h"
#include "ssd/core/geometry.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/types.h"
#include "ssd/eval/evaluator.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/optim/optimizer.h"
#include "ssd/optim/parameter_groups.h"
#include "ssd/optim/schedule.h"
#include "ssd/report/judged_boxes.h"
#include "ssd/train/compute_format.h"
#include "ssd/train/evaluation.h"
#include "ssd/train/observer.h"
#include "ssd/train/trainer.h"
#include "ssd/weights/load_weights.h"

namespace ssd {
namespace {

constexpr int64_t kEvaluateEvery = 50;
constexpr int64_t kLogEvery = 10;
constexpr int64_t kWarmupSteps = 20;

// Some images of a dataset, numbered anew; what is difficult counts as a crowd: neither right nor
// wrong to find.
class ChosenImages : public Dataset {
 public:
  ChosenImages(const Dataset& whole, std::vector<int64_t> indices)
      : whole_(whole), indices_(std::move(indices)) {}

  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  const LabelMap& labels() const override { return whole_.labels(); }
  absl::StatusOr<Annotations> GetAnnotations(int64_t index) const override {
    SSD_ASSIGN_OR_RETURN(Annotations truth, whole_.GetAnnotations(indices_[index]));
    Adapt(index, truth);
    return truth;
  }
  std::string AnnotationFile(int64_t index) const override {
    return whole_.AnnotationFile(indices_[index]);
  }
  std::string ImageFile(int64_t index) const override { return whole_.ImageFile(indices_[index]); }
  absl::StatusOr<Sample> Get(int64_t index) const override {
    SSD_ASSIGN_OR_RETURN(Sample sample, whole_.Get(indices_[index]));
    Adapt(index, sample.truth);
    return sample;
  }
  std::string Fingerprint() const override { return whole_.Fingerprint(); }

 private:
  static void Adapt(int64_t index, Annotations& truth) {
    truth.image_id = index;
    for (Annotation& object : truth.objects) {
      object.crowd = object.crowd || object.difficult;
      object.difficult = false;
    }
  }

  const Dataset& whole_;
  const std::vector<int64_t> indices_;
};

// The same batches every epoch.
class HeldBatches : public BatchSource {
 public:
  explicit HeldBatches(const std::vector<Batch>& batches) : batches_(batches) {}

  int64_t batches_per_epoch() const override { return static_cast<int64_t>(batches_.size()); }
  absl::Status Start(int64_t /*epoch*/, int64_t first_batch) override {
    next_ = static_cast<size_t>(first_batch);
    return absl::OkStatus();
  }
  absl::StatusOr<std::optional<Batch>> Next() override {
    if (next_ == batches_.size()) return std::optional<Batch>();
    return std::optional<Batch>(batches_[next_++]);
  }

 private:
  const std::vector<Batch>& batches_;
  size_t next_ = 0;
};

std::optional<double> Ap50(const Metrics& metrics) {
  for (const auto& [name, value] : metrics.values) {
    if (name == "AP50") return value;
  }
  return std::nullopt;
}

class CurveLog : public TrainingObserver {
 public:
  explicit CurveLog(OverfitOutcome& outcome) : outcome_(outcome) {
    outcome_.loss.name = "loss";
    outcome_.ap50_by_step.name = "AP50";
  }
  void OnStep(const StepRecord& record) override {
    outcome_.steps = record.step;
    outcome_.loss.x.push_back(static_cast<double>(record.step));
    outcome_.loss.y.push_back(record.loss);
  }
  void OnEvaluation(const EvaluationRecord& record) override {
    outcome_.ap50 = Ap50(*record.metrics);
    if (!outcome_.ap50.has_value()) return;
    outcome_.ap50_by_step.x.push_back(static_cast<double>(record.step));
    outcome_.ap50_by_step.y.push_back(*outcome_.ap50);
  }

 private:
  OverfitOutcome& outcome_;
};

// The first images that have something to learn.
absl::StatusOr<std::vector<int64_t>> ImagesToLearn(const Dataset& dataset, const NetworkView& view,
                                                   int64_t count) {
  std::vector<int64_t> indices;
  for (int64_t image = 0; image < dataset.size(); ++image) {
    if (static_cast<int64_t>(indices.size()) == count) break;
    SSD_ASSIGN_OR_RETURN(const Annotations truth, dataset.GetAnnotations(image));
    const Geometry geometry = view(truth.size);
    const bool has_object =
        std::any_of(truth.objects.begin(), truth.objects.end(), [&](const Annotation& object) {
          const PixelBox box = Clip(geometry.ToView(object.box), geometry.view);
          return !object.crowd && !object.difficult && box.width() > 0 && box.height() > 0;
        });
    if (has_object) indices.push_back(image);
  }
  return indices;
}

double Mean(std::vector<double>::const_iterator begin, std::vector<double>::const_iterator end) {
  return std::accumulate(begin, end, 0.0) / static_cast<double>(std::max<int64_t>(end - begin, 1));
}

// Images [begin, begin + count) of a batch, in its memory.
Batch Part(const Batch& whole, int64_t begin, int64_t count) {
  Batch part;
  part.images = whole.images.narrow(0, begin, count);
  part.truth.boxes = whole.truth.boxes.narrow(0, begin, count);
  part.truth.labels = whole.truth.labels.narrow(0, begin, count);
  part.truth.ignore = whole.truth.ignore.narrow(0, begin, count);
  const int64_t end = begin + count;
  part.image_ids.assign(whole.image_ids.begin() + begin, whole.image_ids.begin() + end);
  part.geometry.assign(whole.geometry.begin() + begin, whole.geometry.begin() + end);
  return part;
}

// One probe, from its images to its verdict.
class Probe {
 public:
  Probe(const Experiment& experiment, const Dataset& images, const NetworkView& view,
        const OverfitOptions& options)
      : experiment_(experiment),
        images_(images),
        view_(view),
        options_(options),
        batch_sizes_(OverfitBatchSizes(images.size(), experiment.data().loader().batch_size())) {}

  absl::StatusOr<OverfitOutcome> Run() {
    outcome_.images = images_.size();
    outcome_.batch_size = batch_sizes_.front();
    SSD_RETURN_IF_ERROR(BuildDetector());
    SSD_RETURN_IF_ERROR(FindCeiling());
    absl::Status trained = MakeBatches();
    if (trained.ok()) {
      SSD_RETURN_IF_ERROR(Train(trained));
    }
    SSD_RETURN_IF_ERROR(FindMissed());
    Judge(trained);
    return std::move(outcome_);
  }

 private:
  // On the CPU, where the ceiling is found.
  absl::Status BuildDetector() {
    at::manual_seed(experiment_.seed());
    SSD_ASSIGN_OR_RETURN(detector_,
                         SsdDetector::Create(experiment_.model(), images_.labels().num_classes()));
    if (!experiment_.model().has_weights()) return absl::OkStatus();
    SSD_ASSIGN_OR_RETURN(const LoadReport report,
                         LoadWeights(experiment_.model().weights(), images_.labels(), *detector_));
    LOG(INFO) << experiment_.model().weights().path() << ": " << report.Summary();
    return absl::OkStatus();
  }

  absl::Status FindCeiling() {
    evaluator_config_.mutable_coco();
    EvaluatorContext context;
    context.labels = images_.labels();
    SSD_ASSIGN_OR_RETURN(context.truths, AllAnnotations(images_));
    SSD_ASSIGN_OR_RETURN(evaluator_, EvaluatorRegistry::Get().Create(evaluator_config_, context));
    const AnchorIndex index(detector_->anchors(), detector_->levels(),
                            detector_->anchors_per_cell());
    SSD_ASSIGN_OR_RETURN(
        matched_, MatchTruths(images_, view_, detector_->anchors(), index, detector_->matcher()));
    for (const ViewTruth& truth : matched_.truths) outcome_.truths += truth.is_learnt() ? 1 : 0;
    SSD_ASSIGN_OR_RETURN(const Ceiling ceiling,
                         ComputeCeiling(images_, view_, matched_, *detector_, evaluator_config_));
    outcome_.ceiling_ap50 = Ap50(ceiling.metrics);
    return absl::OkStatus();
  }

  // \error of an image that cannot be read.
  absl::Status MakeBatches() {
    const TransformContext context = ContextOf(experiment_.model());
    SSD_ASSIGN_OR_RETURN(std::vector<std::unique_ptr<Transform>> transforms,
                         CreateTransforms(experiment_.data().validation().transform(), context));
    BatchLoaderOptions options;
    options.input = context.input;
    options.batch_size = images_.size();  // a loader's batches are all of one size
    options.seed = experiment_.seed();
    options.prefetch_next_epoch = false;
    options.workers = 0;
    SSD_ASSIGN_OR_RETURN(const std::unique_ptr<BatchLoader> loader,
                         BatchLoader::Create(images_, std::move(transforms), options));
    SSD_RETURN_IF_ERROR(loader->Start(/*epoch=*/0, /*first_batch=*/0));
    SSD_ASSIGN_OR_RETURN(const std::optional<Batch> whole, loader->Next());
    CHECK(whole.has_value());
    int64_t begin = 0;
    for (const int64_t size : batch_sizes_) {
      batches_.push_back(Part(*whole, begin, size));
      begin += size;
    }
    return absl::OkStatus();
  }

  // `trained` is how training itself ended.
  absl::Status Train(absl::Status& trained) {
    TrainerConfig config = experiment_.trainer();
    config.set_steps(options_.steps);
    if (config.precision() == TrainerConfig::AUTO) config.set_precision(TrainerConfig::FP32);
    if (config.memory_format() == TrainerConfig::AUTO_FORMAT) {
      config.set_memory_format(TrainerConfig::NCHW);
    }
    config.set_accumulate_steps(1);
    config.clear_ema();
    config.set_log_every(kLogEvery);
    config.set_checkpoint_every(0);
    config.set_checkpoint_seconds(0);
    config.set_evaluate_every(kEvaluateEvery);
    config.set_time_limit(0);
    const ComputeFormat format = FormatOf(config);
    PlaceModule(*detector_, options_.device, format.memory_format);

    OptimizerContext optimizer_context;
    SSD_ASSIGN_OR_RETURN(optimizer_context.parameters,
                         NamedParameters(*detector_, experiment_.optimizer()));
    optimizer_context.images_per_step = outcome_.batch_size;
    SSD_ASSIGN_OR_RETURN(
        const std::unique_ptr<Optimizer> optimizer,
        OptimizerRegistry::Get().Create(experiment_.optimizer(), optimizer_context));
    learning_rate_ = optimizer->base_learning_rate();
    // The experiment's own schedule is made for a run of another length.
    ScheduleConfig schedule_config;
    schedule_config.mutable_constant();
    schedule_config.mutable_warmup()->set_steps(kWarmupSteps);
    const auto batches = static_cast<double>(batches_.size());
    SSD_ASSIGN_OR_RETURN(const std::unique_ptr<Schedule> schedule,
                         CreateSchedule(schedule_config, {options_.steps, batches}));

    HeldBatches to_train(batches_), to_judge(batches_);
    CurveLog curves(outcome_);
    std::atomic<int> stop{0};
    TrainerParts parts;
    parts.detector = detector_.get();
    parts.batches = &to_train;
    parts.optimizer = optimizer.get();
    parts.schedule = schedule.get();
    parts.config = config;
    parts.device = options_.device;
    parts.observers = {&curves};
    parts.stop = &stop;
    parts.evaluate = [&](SsdDetector& detector) -> absl::StatusOr<Metrics> {
      SSD_ASSIGN_OR_RETURN(
          EvaluationOutcome judged,
          EvaluateDetector(detector, to_judge, *evaluator_, options_.device, format));
      if (Ap50(judged.metrics).value_or(0) > kOverfitAp50) stop = 1;
      detections_ = std::move(judged.detections);
      return std::move(judged.metrics);
    };
    Trainer trainer(std::move(parts));
    const absl::StatusOr<TrainingOutcome> ended = trainer.Run();
    trained = ended.status();
    if (ended.ok()) outcome_.steps = ended->step;
    return absl::OkStatus();
  }

  // By the last evaluation.
  absl::Status FindMissed() {
    std::vector<std::vector<PixelDetection>> of_image(images_.size());
    for (const ImageDetections& image : detections_) {
      of_image[image.image_id] = image.detections;
    }
    TruthPlaces places(images_, detector_->input_size());
    for (int64_t image = 0; image < images_.size(); ++image) {
      SSD_ASSIGN_OR_RETURN(const Annotations truth, images_.GetAnnotations(image));
      const JudgedImage judged = JudgeDetections(of_image[image], truth.objects, /*min_score=*/0,
                                                 LeastTrueIou(evaluator_config_));
      for (int64_t t = matched_.image_begin[image]; t < matched_.image_begin[image + 1]; ++t) {
        const ViewTruth& wanted = matched_.truths[t];
        if (!wanted.is_learnt() || judged.found[wanted.object]) continue;
        MissedTruth& missed = outcome_.missed.emplace_back();
        SSD_ASSIGN_OR_RETURN(missed.place, places.Of(wanted));
        missed.positives = wanted.num_positives;
        for (const JudgedDetection& each : judged.detections) {
          const PixelDetection& detection = each.detection;
          if (detection.label != wanted.label) continue;
          const double iou = BoxIou(detection.box, truth.objects[wanted.object].box);
          if (iou <= missed.found_iou) continue;
          missed.found_iou = iou;
          missed.found_score = detection.score;
        }
      }
    }
    return absl::OkStatus();
  }

  void Judge(const absl::Status& trained) {
    const double ap50 = outcome_.ap50.value_or(0);
    outcome_.has_passed = trained.ok() && ap50 > kOverfitAp50;
    const int64_t largest = batch_sizes_.front(), smallest = batch_sizes_.back();
    const std::string sizes =
        largest == smallest ? absl::StrCat(largest) : absl::StrCat(largest, " and ", smallest);
    outcome_.verdict = absl::StrFormat("AP50 %.3f on %d images in batches of %s after %d steps",
                                       ap50, outcome_.images, sizes, outcome_.steps);
    if (outcome_.images < options_.images) {
      absl::StrAppend(&outcome_.verdict, " (", options_.images,
                      " images were asked for; no more have an object to learn)");
    }
    if (outcome_.has_passed) {
      absl::StrAppend(&outcome_.verdict, ": the network can learn from this data.");
      return;
    }
    absl::StrAppend(&outcome_.verdict, ", not above ", kOverfitAp50, ": ",
                    OverfitReason(outcome_, trained, learning_rate_));
  }

  const Experiment& experiment_;
  const Dataset& images_;
  const NetworkView& view_;
  const OverfitOptions& options_;
  const std::vector<int64_t> batch_sizes_;
  OverfitOutcome outcome_;
  std::shared_ptr<SsdDetector> detector_;
  EvaluatorConfig evaluator_config_;
  std::unique_ptr<Evaluator> evaluator_;
  MatchedTruths matched_;
  std::vector<Batch> batches_;
  std::vector<ImageDetections> detections_;  // of the last evaluation
  double learning_rate_ = 0;
};

}  // namespace

std::vector<int64_t> OverfitBatchSizes(int64_t images, int64_t most) {
  const int64_t batches = (images + most - 1) / most;
  std::vector<int64_t> sizes;
  for (int64_t left = batches; left > 0; --left) {
    sizes.push_back((images + left - 1) / left);
    images -= sizes.back();
  }
  return sizes;
}

std::string OverfitReason(const OverfitOutcome& outcome, const absl::Status& trained,
                          double learning_rate) {
  if (!trained.ok()) return absl::StrCat(trained.message(), ".");
  if (outcome.ceiling_ap50.value_or(0) <= kOverfitAp50) {
    return absl::StrFormat(
        "no network can reach more than %.3f here, which is what the truths score when they are "
        "matched, decoded and post-processed themselves.",
        outcome.ceiling_ap50.value_or(0));
  }
  const std::vector<double>& loss = outcome.loss.y;
  const auto fifth = std::max<int64_t>(static_cast<int64_t>(loss.size()) / 5, 1);
  const double last = Mean(loss.end() - fifth, loss.end());
  const double before =
      Mean(loss.end() - std::min<int64_t>(2 * fifth, static_cast<int64_t>(loss.size())),
           loss.end() - fifth);
  if (last > 0.5 * loss.front()) {
    return absl::StrFormat(
        "the loss went from %.3g to %.3g only. Try another optimizer learning rate (it is %g "
        "here), a norm in the network, or model.weights to start from.",
        loss.front(), last, learning_rate);
  }
  if (last < 0.85 * before) {
    return absl::StrFormat(
        "the loss still falls (from %.3g to %.3g at the end): it learns, but slowly. Try a higher "
        "optimizer learning rate (it is %g here), or model.weights to start from.",
        before, last, learning_rate);
  }
  const int64_t few =
      std::count_if(outcome.missed.begin(), outcome.missed.end(),
                    [](const MissedTruth& missed) { return missed.positives <= 2; });
  return absl::StrFormat(
      "the loss stays at %.3g. %d of %d truths are missed, %d of them with two anchors or fewer "
      "to learn them%s",
      last, outcome.missed.size(), outcome.truths, few,
      few > 0 ? ": fit the anchors to the data." : ".");
}

absl::StatusOr<OverfitOutcome> ProbeOverfitting(const Experiment& experiment, const Dataset& train,
                                                const NetworkView& view,
                                                const OverfitOptions& options) {
  SSD_ASSIGN_OR_RETURN(std::vector<int64_t> indices, ImagesToLearn(train, view, options.images));
  if (indices.empty()) {
    OverfitOutcome outcome;
    outcome.verdict = "no training image has an object to learn.";
    return outcome;
  }
  const ChosenImages images(train, std::move(indices));
  return Probe(experiment, images, view, options).Run();
}

}  // namespace ssd
