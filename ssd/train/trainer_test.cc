#include "ssd/train/trainer.h"

#include <ATen/ATen.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/random_state.h"
#include "ssd/model/tensor_archive.h"
#include "ssd/optim/parameter_groups.h"
#include "ssd/train/auto_precision.h"
#include "ssd/train/evaluation.h"
#include "ssd/train/test_time_views.h"
#include "ssd/train/toy_detector.h"

namespace ssd {
namespace {

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

// What a run reports, less what a clock says.
class Recorder final : public TrainingObserver {
 public:
  void OnStep(const StepRecord& record) override {
    lines.push_back(absl::StrCat("step ", record.step, "/", record.total_steps, " epoch ",
                                 record.epoch, "/", record.total_epochs));
    for (const double value : {record.loss, record.classification_loss, record.localization_loss,
                               record.gradient_norm, record.learning_rate}) {
      // All digits.
      char text[40];
      std::snprintf(text, sizeof(text), " %a", value);
      lines.back() += text;
    }
    last = record;
  }
  void OnEvaluation(const EvaluationRecord& record) override {
    lines.push_back(absl::StrCat("evaluation ", record.step, record.best ? " best" : ""));
  }
  void OnCheckpoint(int64_t step) override { checkpoints.push_back(step); }
  void OnEnd(const std::string& status) override { end = status; }

  std::vector<std::string> lines;
  std::vector<int64_t> checkpoints;
  std::string end;
  StepRecord last;
};

// A whole run in an empty folder, made anew from text.
struct ToyRun {
  explicit ToyRun(const std::string& name, const std::string& trainer,
                  const std::string& optimizer_text = "sgd { learning_rate: 0.05 }",
                  const ToyOptions& toy = ToyOptions(), int64_t batch_size = 4,
                  int64_t batches_per_epoch = 7)
      : batches(batches_per_epoch, batch_size), detector(MakeToyDetector(toy)) {
    parts.config = Parse<TrainerConfig>(absl::StrCat(
        trainer, trainer.find("precision") == std::string::npos ? " precision: FP32" : "",
        " memory_format: CHANNELS_LAST"));
    CHECK(ValidateTrainerConfig(parts.config).ok());
    PlaceModule(*detector, at::kCPU, parts.config.memory_format());
    const OptimizerConfig config =
        Parse<OptimizerConfig>(optimizer_text + " no_decay_for_biases_and_norms: true");
    optimizer = OptimizerRegistry::Get()
                    .Create(config, {NamedParameters(*detector, config).value(), 1})
                    .value();
    const RunLength length = LengthOfRun(parts.config, batches_per_epoch);
    schedule = CreateSchedule(Parse<ScheduleConfig>("cosine {} warmup { steps: 3 }"),
                              {length.total_steps, length.steps_per_epoch})
                   .value();
    folder = testing::TempDir() + "/" + name;
    mkdir(folder.c_str(), 0755);
    mkdir((folder + "/checkpoints").c_str(), 0755);
    parts.detector = detector.get();
    parts.batches = &batches;
    parts.optimizer = optimizer.get();
    parts.schedule = schedule.get();
    parts.observers = {&recorder};
    parts.run_folder = folder;
    parts.config_text = trainer;
    parts.data_digest = "digest";
    parts.stop = &stop;
  }

  absl::StatusOr<TrainingOutcome> Go(bool resume = false) {
    trainer = std::make_unique<Trainer>(parts);
    if (resume) {
      SSD_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ReadCheckpoint(last()));
      SSD_RETURN_IF_ERROR(trainer->Resume(checkpoint, last()));
    }
    return trainer->Run();
  }

  std::string last() const { return folder + "/checkpoints/last.pt"; }

  // Parameters and buffers.
  std::vector<Tensor> Weights() const {
    std::vector<Tensor> weights;
    for (const Tensor& tensor : detector->parameters()) weights.push_back(tensor.detach().clone());
    for (const Tensor& tensor : detector->buffers()) weights.push_back(tensor.clone());
    return weights;
  }

  ToyBatches batches;
  std::shared_ptr<SsdDetector> detector;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Schedule> schedule;
  Recorder recorder;
  std::atomic<int> stop{0};
  std::string folder;
  TrainerParts parts;
  std::unique_ptr<Trainer> trainer;
};

bool SameBits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!at::equal(a[i], b[i])) return false;
  }
  return true;
}

TEST(Trainer, LearnsAndReports) {
  ToyRun run("learns", "epochs: 10 log_every: 10", "sgd { learning_rate: 0.1 }");
  const auto outcome = run.Go();
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->status, "done");
  EXPECT_EQ(outcome->step, 70);
  EXPECT_EQ(run.recorder.end, "done");
  EXPECT_EQ(run.recorder.lines.size(), 7u);
  EXPECT_EQ(run.recorder.lines[0].substr(0, 32), "step 10/70 epoch 1.42857/10 0x1.");
  EXPECT_LT(run.recorder.last.loss, 1.2);  // log(6) = 1.79 at the start
  EXPECT_NEAR(run.recorder.last.loss,
              run.recorder.last.classification_loss + run.recorder.last.localization_loss, 1e-5);
  EXPECT_GT(run.recorder.last.images_per_second, 0);
  EXPECT_GE(run.recorder.last.data_wait_share, 0);
  EXPECT_LE(run.recorder.last.data_wait_share, 1);
  EXPECT_EQ(run.recorder.last.seconds_left, 0);
  EXPECT_EQ(run.recorder.checkpoints, std::vector<int64_t>{70});
}

// Batches of a source that counts: the n-th takes longer, and less often finds others ready.
class CountedBatches final : public BatchSource {
 public:
  explicit CountedBatches(BatchSource& source) : source_(source) {}

  int64_t batches_per_epoch() const override { return source_.batches_per_epoch(); }
  absl::Status Start(int64_t epoch, int64_t first_batch) override {
    return source_.Start(epoch, first_batch);
  }
  absl::StatusOr<std::optional<Batch>> Next() override {
    ++counts_.batches;
    counts_.samples += 4;
    counts_.decode_seconds += 4 * static_cast<double>(counts_.batches);
    counts_.transform_seconds += 2;
    counts_.ready_batches += 6 - counts_.batches;
    counts_.cache_hits += counts_.batches > 3 ? 3 : 0;
    counts_.cache_misses += 1;
    return source_.Next();
  }
  BatchSourceStatistics statistics() const override { return counts_; }

 private:
  BatchSource& source_;
  BatchSourceStatistics counts_;
};

TEST(Trainer, ReportsWhatTheSourceOfBatchesCounted) {
  ToyRun run("counted", "steps: 6 log_every: 3");
  CountedBatches batches(run.batches);
  run.parts.batches = &batches;
  ASSERT_TRUE(run.Go().ok());
  // Of steps 4 to 6.
  EXPECT_EQ(run.recorder.last.decode_seconds, 5);
  EXPECT_EQ(run.recorder.last.transform_seconds, 0.5);
  EXPECT_EQ(run.recorder.last.queue_depth, 1);
  EXPECT_EQ(run.recorder.last.cache_hit_rate, 0.75);

  ToyRun uncounted("uncounted", "steps: 2 log_every: 2");
  ASSERT_TRUE(uncounted.Go().ok());
  EXPECT_FALSE(uncounted.recorder.last.decode_seconds.has_value());
  EXPECT_FALSE(uncounted.recorder.last.queue_depth.has_value());
}

// A run that is stopped and taken up by new objects ends in the same bits as one that is not.
TEST(Trainer, ResumesExactly) {
  struct Case {
    const char* name;
    const char* trainer;
    const char* optimizer;
  };
  // The stops fall inside an epoch and inside a logging window; batches that make up a step reach
  // across the end of an epoch.
  const Case kCases[] = {
      {"sgd", "steps: 10 log_every: 4 ema { decay: 0.9 } evaluate_every: 3 gradient_clip_norm: 0.5",
       "sgd { learning_rate: 0.05 nesterov: true }"},
      {"adamw", "steps: 10 log_every: 4 accumulate_steps: 3 checkpoint_every: 2",
       "adamw { learning_rate: 0.01 }"},
      {"bf16", "steps: 10 precision: BF16 checkpoint_every: 3", "sgd { learning_rate: 0.05 }"}};
  for (const Case& each : kCases) {
    // Metrics that depend on the weights, so that best.pt's place in the run has to survive too.
    const auto evaluate = [](SsdDetector& detector) -> absl::StatusOr<Metrics> {
      return Metrics{{{"AP", detector.parameters()[0].mean().item<double>()}}, {}};
    };
    ToyOptions toy;
    toy.dropout = 0.3;
    ToyRun whole(absl::StrCat(each.name, "_whole"), each.trainer, each.optimizer, toy);
    whole.parts.evaluate = evaluate;
    const auto whole_outcome = whole.Go();
    ASSERT_TRUE(whole_outcome.ok()) << whole_outcome.status();

    std::vector<std::string> lines;
    for (const int64_t stop_after : {5, 7, 10}) {
      // A resumed run takes nothing from its own initial weights and generator.
      toy.seed = stop_after == 5 ? 1 : 99;
      ToyRun part(absl::StrCat(each.name, "_parts"), each.trainer, each.optimizer, toy);
      part.parts.evaluate = evaluate;
      part.batches.before_batch = [&part, stop_after](int64_t index) {
        const int64_t step = index / part.parts.config.accumulate_steps();
        if (stop_after < 10 && step == stop_after - 1) part.stop = 15;
        return absl::OkStatus();
      };
      const auto outcome = part.Go(/*resume=*/stop_after != 5);
      ASSERT_TRUE(outcome.ok()) << outcome.status();
      EXPECT_EQ(outcome->status, stop_after < 10 ? "interrupted" : "done");
      EXPECT_EQ(outcome->step, stop_after);
      lines.insert(lines.end(), part.recorder.lines.begin(), part.recorder.lines.end());
      if (stop_after < 10) continue;
      EXPECT_EQ(lines, whole.recorder.lines) << each.name;
      EXPECT_EQ(outcome->best_step, whole_outcome->best_step);
      EXPECT_EQ(outcome->best_metric, whole_outcome->best_metric);
      EXPECT_TRUE(SameBits(part.Weights(), whole.Weights())) << each.name;
      // Weights, averages, optimizer, generator, position and all.
      EXPECT_TRUE(ReadFile(part.last()).value() == ReadFile(whole.last()).value()) << each.name;
    }
  }
}

TEST(Trainer, WritesCheckpointsByTheClockAndKeepsItsBits) {
  EXPECT_EQ(TrainerConfig().checkpoint_seconds(), 600);
  ToyOptions toy;
  toy.dropout = 0.3;
  const std::string text = "steps: 6 log_every: 4 ema {} checkpoint_seconds: ";
  const char* const sgd = "sgd { learning_rate: 0.05 }";
  ToyRun never("saves_never", text + "0", sgd, toy);
  never.parts.config_text = "equal";
  ASSERT_TRUE(never.Go().ok());
  ToyRun always("saves_always", text + "1e-9", sgd, toy);  // every step takes longer
  always.parts.config_text = "equal";
  ASSERT_TRUE(always.Go().ok());
  EXPECT_EQ(never.recorder.checkpoints, std::vector<int64_t>{6});
  EXPECT_EQ(always.recorder.checkpoints, (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(always.recorder.lines, never.recorder.lines);
  EXPECT_TRUE(SameBits(always.Weights(), never.Weights()));
  EXPECT_TRUE(ReadFile(always.last()).value() == ReadFile(never.last()).value());
}

TEST(Trainer, ResumedAtTheEndIsDone) {
  const char* const text = "steps: 3";
  {
    ToyRun run("at_the_end", text);
    ASSERT_TRUE(run.Go().ok());
  }
  ToyRun run("at_the_end", text);
  const auto outcome = run.Go(/*resume=*/true);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->status, "done");
  EXPECT_EQ(outcome->step, 3);
  EXPECT_TRUE(run.recorder.lines.empty());
}

TEST(Trainer, RefusesToResumeAnotherRun) {
  ToyRun first("refuses", "steps: 2");
  ASSERT_TRUE(first.Go().ok());
  ToyRun config("refuses", "steps: 3");
  EXPECT_EQ(config.Go(/*resume=*/true).status().code(), absl::StatusCode::kFailedPrecondition);
  ToyRun data("refuses", "steps: 2");
  data.parts.data_digest = "other";
  EXPECT_EQ(data.Go(/*resume=*/true).status().code(), absl::StatusCode::kFailedPrecondition);
  ToyOptions without_norm;
  without_norm.batch_norm = false;
  ToyRun model("refuses", "steps: 2", "sgd {}", without_norm);
  const absl::Status status = model.Go(/*resume=*/true).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("norm"), absl::string_view::npos) << status;
}

// The step that meets a poisoned batch leaves everything as it was, and says what it met.
TEST(Trainer, StopsAtNonfiniteLoss) {
  struct Case {
    int64_t poison;
    const char* expected;
  };
  const Case kCases[] = {{kPoisonsClassification, "the classification loss is nan"},
                         {kPoisonsLocalization, "the localization loss is inf"},
                         {kPoisonsGradient, "the gradient norm is nan"}};
  for (const Case& each : kCases) {
    for (const char* optimizer : {"sgd { learning_rate: 0.05 }", "adamw {}"}) {
      // Optimizer step 6 takes batches 10 and 11 of 7 an epoch.
      const char* const text =
          "steps: 20 log_every: 2 accumulate_steps: 2 ema {} checkpoint_every: 5";
      ToyOptions toy;
      toy.dropout = 0.3;
      ToyRun run(absl::StrCat("nonfinite_", each.poison), text, optimizer, toy);
      run.batches.poison[11] = each.poison;
      std::vector<Tensor> before;
      std::vector<std::pair<std::string, Tensor>> optimizer_before;
      Tensor random_before;
      run.batches.before_batch = [&](int64_t index) {
        if (index != 10) return absl::OkStatus();
        before = run.Weights();
        random_before = RandomState(at::kCPU);
        for (const auto& [name, value] : run.optimizer->State()) {
          optimizer_before.emplace_back(name, value.clone());
        }
        return absl::OkStatus();
      };
      const absl::Status status = run.Go().status();
      EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
      const std::string message(status.message());
      EXPECT_NE(message.find("step 6 (epoch 2, batch "), std::string::npos) << message;
      EXPECT_NE(message.find(each.expected), std::string::npos) << message;
      // A loss belongs to the second batch; a gradient to both.
      EXPECT_NE(
          message.find(each.poison == kPoisonsGradient ? "images 40, 41, 42, 43, 44, 45, 46, 47;"
                                                       : "images 44, 45, 46, 47;"),
          std::string::npos)
          << message;
      EXPECT_EQ(run.recorder.end, "failed");
      EXPECT_EQ(run.trainer->step(), 5);
      EXPECT_TRUE(SameBits(run.Weights(), before));
      const auto optimizer_after = run.optimizer->State();
      ASSERT_EQ(optimizer_after.size(), optimizer_before.size());
      for (size_t i = 0; i < optimizer_after.size(); ++i) {
        EXPECT_TRUE(at::equal(optimizer_after[i].second, optimizer_before[i].second));
      }

      const std::string dump = run.folder + "/nonfinite_step_6.pt";
      EXPECT_NE(message.find(dump), std::string::npos) << message;
      const auto archive = TensorArchiveReader::Open(dump);
      ASSERT_TRUE(archive.ok()) << archive.status();
      EXPECT_TRUE(at::equal(archive->ReadTensor("batch1/image_ids").value(),
                            at::tensor({44, 45, 46, 47}, at::kLong)));
      EXPECT_EQ(archive->ReadTensor("batch1/images").value().sizes(),
                at::IntArrayRef({4, 3, 64, 64}));
      EXPECT_EQ(archive->ReadTensor("batch1/labels").value()[0][0].item<int64_t>(), each.poison);
      EXPECT_EQ(archive->ReadTensor("batch1/losses").value().numel(), 3);

      // The file is a checkpoint, too: from it the same data lead to the same end.
      ToyRun again(absl::StrCat("nonfinite_", each.poison), text, optimizer, toy);
      again.batches.poison = run.batches.poison;
      again.trainer = std::make_unique<Trainer>(again.parts);
      ASSERT_TRUE(again.trainer->Resume(ReadCheckpoint(dump).value(), dump).ok());
      EXPECT_EQ(again.trainer->step(), 5);
      EXPECT_TRUE(SameBits(again.Weights(), before));
      EXPECT_TRUE(at::equal(RandomState(at::kCPU), random_before));
      EXPECT_EQ(again.trainer->Run().status(), status);

      // The checkpoint from before is whole; without the poison the run goes on from there.
      ToyRun cured(absl::StrCat("nonfinite_", each.poison), text, optimizer, toy);
      const auto outcome = cured.Go(/*resume=*/true);
      ASSERT_TRUE(outcome.ok()) << outcome.status();
      EXPECT_EQ(outcome->step, 20);
    }
  }
}

TEST(Trainer, AccumulatedBatchesEqualOneLargeBatch) {
  ToyOptions toy;
  toy.batch_norm = false;
  const auto sgd = "sgd { learning_rate: 0.1 }";
  ToyRun large("large", "steps: 6", sgd, toy, /*batch_size=*/12);
  ToyRun small("small", "steps: 6 accumulate_steps: 3", sgd, toy, /*batch_size=*/4);
  ASSERT_TRUE(large.Go().ok() && small.Go().ok());
  const std::vector<Tensor> a = large.Weights(), b = small.Weights();
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::allclose(a[i], b[i], 1e-4, 1e-6));
  EXPECT_NEAR(large.recorder.last.loss, small.recorder.last.loss, 1e-5);
  EXPECT_NEAR(large.recorder.last.gradient_norm, small.recorder.last.gradient_norm, 1e-4);
}

TEST(Trainer, ClipsTheWholeGradient) {
  ToyRun run("clips", "steps: 1 gradient_clip_norm: 0.01",
             "sgd { learning_rate: 1 momentum: 0 weight_decay: 0 }");
  // Without the warm-up, one step moves the weights by the clipped gradient.
  run.schedule = CreateSchedule(Parse<ScheduleConfig>("constant {}"), {1, 1}).value();
  run.parts.schedule = run.schedule.get();
  std::vector<Tensor> before;
  for (const Tensor& parameter : run.detector->parameters())
    before.push_back(parameter.detach().clone());
  ASSERT_TRUE(run.Go().ok());
  EXPECT_GT(run.recorder.last.gradient_norm, 0.01);
  double square = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    square += (run.detector->parameters()[i].detach() - before[i]).square().sum().item<double>();
  }
  EXPECT_NEAR(std::sqrt(square), 0.01, 1e-5);
}

TEST(Trainer, EvaluatesAveragesAndKeepsTheBest) {
  ToyRun run("evaluates", "steps: 8 evaluate_every: 2 checkpoint_every: 3 ema { decay: 0.5 }");
  const std::vector<std::optional<double>> metrics = {std::nullopt, 0.5, 0.5, 0.4};
  size_t evaluations = 0;
  std::vector<std::string> saved;
  std::vector<Tensor> evaluated;
  run.parts.evaluate = [&](SsdDetector& detector) -> absl::StatusOr<Metrics> {
    detector.eval();
    evaluated.clear();
    for (const Tensor& parameter : detector.parameters())
      evaluated.push_back(parameter.detach().clone());
    return Metrics{{{"AP", metrics.at(evaluations++)}}, {}};
  };
  run.parts.save_best = [&](SsdDetector& detector, const std::string& path) {
    saved.push_back(path);
    // Judged and saved weights are the same.
    for (size_t i = 0; i < evaluated.size(); ++i) {
      EXPECT_TRUE(at::equal(detector.parameters()[i], evaluated[i]));
    }
    return absl::OkStatus();
  };
  const auto outcome = run.Go();
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->best_step, 4);
  EXPECT_EQ(outcome->best_metric, 0.5);
  EXPECT_EQ(saved, std::vector<std::string>(2, run.folder + "/checkpoints/best.pt"));
  EXPECT_EQ(run.recorder.lines[0], "evaluation 2 best");
  EXPECT_EQ(run.recorder.lines[1], "evaluation 4 best");
  EXPECT_EQ(run.recorder.lines[2], "evaluation 6");
  EXPECT_EQ(run.recorder.checkpoints, (std::vector<int64_t>{2, 3, 4, 6, 8}));
  EXPECT_TRUE(run.detector->is_training());
  // The last evaluation saw averages, and training went on with the weights themselves.
  const auto checkpoint = ReadCheckpoint(run.last());
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_TRUE(at::equal(checkpoint->average[0].second, evaluated[0]));
  EXPECT_TRUE(at::equal(checkpoint->model[0].second, run.detector->parameters()[0]));
  EXPECT_FALSE(at::equal(checkpoint->model[0].second, evaluated[0]));
}

TEST(Trainer, SavesTheLastWeightsWhereNothingIsEvaluated) {
  ToyRun run("unevaluated", "steps: 3");
  int saved = 0;
  run.parts.save_best = [&](SsdDetector&, const std::string&) {
    ++saved;
    return absl::OkStatus();
  };
  const auto outcome = run.Go();
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(saved, 1);
  EXPECT_EQ(outcome->best_step, 3);
  EXPECT_FALSE(outcome->best_metric.has_value());
}

// Stopped before anything was judged, a run still leaves weights to use: those of last.pt, averaged
// where there is an average.
TEST(Trainer, SavesTheLastWeightsOfAStoppedRun) {
  for (const char* trainer : {"steps: 6", "steps: 6 evaluate_every: 5 ema { decay: 0.5 }"}) {
    ToyRun run("stopped", trainer);
    run.parts.evaluate = [](SsdDetector&) -> absl::StatusOr<Metrics> {
      return Metrics{{{"AP", 0.5}}, {}};
    };
    std::vector<Tensor> saved;
    run.parts.save_best = [&saved, &run](SsdDetector& detector, const std::string& path) {
      EXPECT_EQ(path, run.folder + "/checkpoints/best.pt");
      saved.clear();
      for (const Tensor& parameter : detector.parameters()) {
        saved.push_back(parameter.detach().clone());
      }
      return absl::OkStatus();
    };
    run.batches.before_batch = [&run](int64_t index) {
      if (index == 2) run.stop = 15;
      return absl::OkStatus();
    };
    const auto outcome = run.Go();
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(outcome->status, "interrupted");
    EXPECT_EQ(outcome->best_step, 3);
    EXPECT_FALSE(outcome->best_metric.has_value());
    const auto checkpoint = ReadCheckpoint(run.last());
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_FALSE(checkpoint->state.has_best());  // nothing to beat
    const StateTensors& expected =
        run.parts.config.has_ema() ? checkpoint->average : checkpoint->model;
    ASSERT_FALSE(saved.empty());
    for (size_t i = 0; i < saved.size(); ++i) EXPECT_TRUE(at::equal(saved[i], expected[i].second));

    // Taken up again, the run is one that was never stopped.
    saved.clear();
    run.batches.before_batch = nullptr;
    run.stop = 0;
    const auto resumed = run.Go(/*resume=*/true);
    ASSERT_TRUE(resumed.ok()) << resumed.status();
    EXPECT_EQ(resumed->best_metric, 0.5);
    EXPECT_FALSE(saved.empty());

    // A stop after an evaluation leaves what that chose.
    ToyRun judged("stopped_later", "steps: 6 evaluate_every: 2");
    judged.parts.evaluate = run.parts.evaluate;
    int count = 0;
    judged.parts.save_best = [&count](SsdDetector&, const std::string&) {
      ++count;
      return absl::OkStatus();
    };
    judged.batches.before_batch = [&judged](int64_t index) {
      if (index == 2) judged.stop = 15;
      return absl::OkStatus();
    };
    const auto stopped = judged.Go();
    ASSERT_TRUE(stopped.ok()) << stopped.status();
    EXPECT_EQ(stopped->best_step, 2);
    EXPECT_EQ(count, 1);
  }
}

TEST(Trainer, StopsAtTheTimeLimitAndGoesOn) {
  {
    ToyRun run("limit", "steps: 4 time_limit: 1e-9");
    const auto outcome = run.Go();
    ASSERT_TRUE(outcome.ok());
    EXPECT_EQ(outcome->status, "time limit");
    EXPECT_EQ(outcome->step, 0);
    EXPECT_EQ(run.recorder.end, "time limit");
    EXPECT_EQ(run.recorder.checkpoints, std::vector<int64_t>{0});
  }
  ToyRun run("limit", "steps: 4 time_limit: 1e-9");
  run.parts.config.clear_time_limit();
  const auto outcome = run.Go(/*resume=*/true);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->status, "done");
  EXPECT_EQ(outcome->step, 4);
}

TEST(Trainer, PassesErrorsOn) {
  ToyRun data("data_error", "steps: 4");
  data.batches.before_batch = [](int64_t index) {
    return index == 2 ? absl::DataLossError("img.jpg: is cut off") : absl::OkStatus();
  };
  EXPECT_EQ(data.Go().status(), absl::DataLossError("img.jpg: is cut off"));
  EXPECT_EQ(data.recorder.end, "failed");

  ToyRun torch_error("torch_error", "steps: 4 evaluate_every: 2");
  torch_error.parts.evaluate = [](SsdDetector&) -> absl::StatusOr<Metrics> {
    at::ones({2}) + at::ones({3});
    return Metrics();
  };
  const absl::Status status = torch_error.Go().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(torch_error.recorder.end, "failed");

  // What is thrown elsewhere, by oneDNN for one, is no c10::Error.
  ToyOptions toy;
  toy.refuse_channels_last = true;
  ToyRun thrown("thrown", "steps: 4", "sgd {}", toy);
  EXPECT_EQ(thrown.Go().status(),
            absl::InternalError("training failed in step 1: could not create a primitive"));
  EXPECT_EQ(thrown.recorder.end, "failed");

  ToyRun folder("no_folder", "steps: 1");
  folder.parts.run_folder += "/absent";
  EXPECT_FALSE(folder.Go().ok());
}

TEST(MeasureFormat, LeavesNoTraceButTheLayout) {
  ToyRun run("measure", "steps: 1", "sgd {}");
  TrainerConfig config = Parse<TrainerConfig>("steps: 1");
  const std::vector<Tensor> before = run.Weights();
  const Tensor random_state = RandomState(at::kCPU);
  const MeasuredFormat measured = MeasureFormat(*run.detector, config, 2, at::kCPU);
  EXPECT_GE(measured.timings.size(), 2u);
  EXPECT_TRUE(SameBits(run.Weights(), before));
  EXPECT_TRUE(at::equal(RandomState(at::kCPU), random_state));
  for (const Tensor& parameter : run.detector->parameters())
    EXPECT_FALSE(parameter.grad().defined());
  EXPECT_EQ(run.detector->parameters()[0].is_contiguous(at::MemoryFormat::ChannelsLast),
            measured.format.memory_format == TrainerConfig::CHANNELS_LAST);
  EXPECT_NE(measured.Summary().find("img/s"), std::string::npos);

  config = Parse<TrainerConfig>("precision: BF16 memory_format: NCHW");
  const MeasuredFormat stated = MeasureFormat(*run.detector, config, 2, at::kCPU);
  EXPECT_TRUE(stated.timings.empty());
  EXPECT_EQ(stated.Summary(), "trains in BF16, NCHW");
}

TEST(MeasureFormat, LeavesOutWhatThrows) {
  ToyOptions toy;
  toy.refuse_channels_last = true;
  const std::shared_ptr<SsdDetector> detector = MakeToyDetector(toy);
  const MeasuredFormat measured = MeasureFormat(
      *detector, Parse<TrainerConfig>("precision: FP32 memory_format: AUTO_FORMAT"), 2, at::kCPU);
  EXPECT_EQ(measured.timings.size(), 2u);
  EXPECT_EQ(measured.format.memory_format, TrainerConfig::NCHW);
  EXPECT_TRUE(detector->parameters()[0].is_contiguous());
}

// Counts what it is given.
class CountingEvaluator final : public Evaluator {
 public:
  void Add(int64_t image_id, std::vector<PixelDetection> detections) override {
    EXPECT_TRUE(ids.insert(image_id).second);
    count += detections.size();
  }
  Metrics Compute() const override { return {{{"count", static_cast<double>(count)}}, {}}; }
  void Reset() override {
    ids.clear();
    count = 0;
  }
  std::set<int64_t> ids;
  size_t count = 0;
};

TEST(Evaluation, RunsOverOneEpochAndChangesNothing) {
  ToyRun run("evaluation", "steps: 3");
  ASSERT_TRUE(run.Go().ok());
  const std::vector<Tensor> before = run.Weights();
  CountingEvaluator evaluator;
  const auto first = EvaluateDetector(*run.detector, run.batches, evaluator, at::kCPU,
                                      {TrainerConfig::FP32, TrainerConfig::CHANNELS_LAST});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(evaluator.ids.size(), 28u);
  ASSERT_EQ(first->detections.size(), 28u);
  EXPECT_EQ(first->metrics.values[0].second, static_cast<double>(evaluator.count));
  for (const ImageDetections& image : first->detections) {
    for (const PixelDetection& detection : image.detections) {
      EXPECT_GE(detection.box.x0, 0);
      EXPECT_LE(detection.box.x1, 128);
      EXPECT_LE(detection.box.y1, 96);
      EXPECT_GE(detection.label, 1);
      EXPECT_LE(detection.label, kToyClasses);
    }
  }
  EXPECT_TRUE(run.detector->is_training());
  EXPECT_TRUE(SameBits(run.Weights(), before));
  const auto second = EvaluateDetector(*run.detector, run.batches, evaluator, at::kCPU,
                                       {TrainerConfig::FP32, TrainerConfig::CHANNELS_LAST});
  ASSERT_TRUE(second.ok());
  for (size_t i = 0; i < 28; ++i) {
    ASSERT_EQ(second->detections[i].detections.size(), first->detections[i].detections.size());
    for (size_t k = 0; k < first->detections[i].detections.size(); ++k) {
      EXPECT_EQ(second->detections[i].detections[k].score,
                first->detections[i].detections[k].score);
    }
  }
  // Training goes on afterwards: evaluation leaves no inference tensors behind.
  run.batches.before_batch = [](int64_t) { return absl::DataLossError("img.jpg"); };
  EXPECT_FALSE(EvaluateDetector(*run.detector, run.batches, evaluator, at::kCPU, {}).ok());
  run.batches.before_batch = nullptr;
  EXPECT_TRUE(run.Go().ok());
}

TEST(Evaluation, ShowsTheViewsItIsGiven) {
  ToyOptions toy;
  toy.keep_all = true;
  ToyRun run("views", "steps: 1", "sgd {}", toy);
  CountingEvaluator evaluator;
  const ComputeFormat format = {TrainerConfig::FP32, TrainerConfig::CHANNELS_LAST};
  std::vector<size_t> counts;
  for (const char* config : {"", "horizontal_flip: true", "horizontal_flip: true scale: 0.5"}) {
    const auto views = TestTimeViews::Create(Parse<TestTimeViewsConfig>(config), *run.detector);
    ASSERT_TRUE(views.ok()) << views.status();
    const auto outcome =
        EvaluateDetector(*run.detector, run.batches, evaluator, at::kCPU, format, *views);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    ASSERT_EQ(outcome->detections.size(), 28u);
    counts.push_back(evaluator.count);
  }
  EXPECT_LT(counts[0], counts[1]);
  EXPECT_LT(counts[1], counts[2]);
}

}  // namespace
}  // namespace ssd
