// What the parts around the network cost on the CPU: anchors, matching, codes, loss and
// post-processing at SSD300's 8732 anchors. Google Benchmark's flags; OMP_NUM_THREADS sets the
// threads.
//
//   OMP_NUM_THREADS=1 bazel run //tests/benchmarks:detection_benchmark -- --benchmark_filter=Match

#include <ATen/ATen.h>
#include <benchmark/benchmark.h>

#include <vector>

#include "ssd/anchors/anchor_generator.h"
#include "ssd/coders/box_coder.h"
#include "ssd/core/boxes.h"
#include "ssd/losses/multibox_terms.h"
#include "ssd/matchers/ssd_matcher.h"
#include "ssd/postprocess/post_processor.h"
#include "ssd/postprocess/tensor_nms.h"

namespace ssd {
namespace {

constexpr int64_t kAnchors = 8732;

std::unique_ptr<AnchorGenerator> Generator() {
  AnchorGeneratorConfig config;
  config.mutable_ssd();
  return *AnchorGeneratorRegistry::Get().Create(config, {6});
}

std::vector<FeatureSpec> Levels() {
  std::vector<FeatureSpec> levels;
  for (const int64_t size : {38, 19, 10, 5, 3, 1}) {
    FeatureSpec spec;
    spec.height = spec.width = size;
    levels.push_back(spec);
  }
  return levels;
}

Anchors Ssd300Anchors() { return *Generator()->Generate(Levels(), {300, 300}); }

Truth RandomTruth(int64_t batch, int64_t truths) {
  at::manual_seed(1);
  const Tensor low = at::rand({batch, truths, 2}) * 0.7;
  Truth truth;
  truth.boxes = at::cat({low, low + at::rand({batch, truths, 2}) * 0.5 + 0.03}, -1);
  truth.labels = at::randint(1, 20, {batch, truths}, at::kLong);
  truth.ignore = at::zeros({batch, truths}, at::kBool);
  return truth;
}

void BM_Anchors(benchmark::State& state) {
  const auto generator = Generator();
  const std::vector<FeatureSpec> levels = Levels();
  for (auto _ : state) {
    benchmark::DoNotOptimize(generator->Generate(levels, {300, 300}));
  }
}
BENCHMARK(BM_Anchors)->Unit(benchmark::kMillisecond);

// Batch of 32; truths an image.
void BM_Match(benchmark::State& state) {
  const Truth truth = RandomTruth(32, state.range(0));
  const Tensor corners = CornersFromCenters(Ssd300Anchors().boxes);
  for (auto _ : state) benchmark::DoNotOptimize(BipartiteMatchOnCpu(truth, corners, {}));
}
BENCHMARK(BM_Match)->Arg(1)->Arg(8)->Arg(64)->Arg(300)->Unit(benchmark::kMillisecond);

void BM_MatchByTensorOps(benchmark::State& state) {
  const Truth truth = RandomTruth(32, state.range(0));
  const Tensor corners = CornersFromCenters(Ssd300Anchors().boxes);
  for (auto _ : state) {
    benchmark::DoNotOptimize(BipartiteMatchByTensorOps(truth, corners, {}));
  }
}
BENCHMARK(BM_MatchByTensorOps)->Arg(8)->Unit(benchmark::kMillisecond);

void BM_Encode(benchmark::State& state) {
  BoxCoderConfig config;
  config.mutable_center_size();
  const auto coder = *BoxCoderRegistry::Get().Create(config, {});
  const Tensor anchors = Ssd300Anchors().boxes;
  const Tensor boxes = RandomTruth(32, kAnchors).boxes;
  for (auto _ : state) benchmark::DoNotOptimize(coder->Encode(boxes, anchors));
}
BENCHMARK(BM_Encode)->Unit(benchmark::kMillisecond);

using Terms = MultiboxTerms (*)(const Predictions&, const Targets&);

// Forward and backward of a batch of 32 with about 30 positives an image; classes with background.
void Loss(benchmark::State& state, Terms terms) {
  at::manual_seed(2);
  const int64_t classes = state.range(0);
  const Tensor logits = at::randn({32, kAnchors, classes}).requires_grad_(true);
  const Tensor codes = at::randn({32, kAnchors, 4}).requires_grad_(true);
  Targets targets;
  targets.labels = (at::rand({32, kAnchors}) < 0.0035).to(at::kLong);
  targets.box_codes = at::randn({32, kAnchors, 4});
  for (auto _ : state) {
    logits.mutable_grad() = Tensor();
    codes.mutable_grad() = Tensor();
    const MultiboxTerms result = terms({codes, logits}, targets);
    (result.classification + result.localization).backward();
  }
}
void BM_MultiboxLoss(benchmark::State& state) {
  Loss(state, [](const Predictions& predictions, const Targets& targets) {
    return MultiboxTermsOnCpu(predictions, targets, MultiboxLossOptions(), nullptr, nullptr);
  });
}
void BM_MultiboxLossByTensorOps(benchmark::State& state) {
  Loss(state, [](const Predictions& predictions, const Targets& targets) {
    return MultiboxTermsByTensorOps(predictions, targets, MultiboxLossOptions(),
                                    /*sigmoid=*/false, nullptr, nullptr);
  });
}
BENCHMARK(BM_MultiboxLoss)->Arg(21)->Arg(81)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_MultiboxLossByTensorOps)->Arg(21)->Arg(81)->Unit(benchmark::kMillisecond);

void PostProcess(benchmark::State& state, const Tensor& boxes, const Tensor& logits) {
  PostProcessorConfig config;
  config.mutable_per_class_nms();
  const auto processor = *PostProcessorRegistry::Get().Create(config, {logits.size(2) - 1});
  int64_t found = 0;
  for (auto _ : state) found = processor->Process(boxes, logits).counts.sum().item<int64_t>();
  state.counters["detections"] = static_cast<double>(found);
}

// An untrained head: almost every anchor and class is a candidate.
void BM_PostProcessUntrained(benchmark::State& state) {
  at::manual_seed(3);
  const Tensor boxes =
      CornersFromCenters(Ssd300Anchors().boxes).unsqueeze(0) + at::randn({1, kAnchors, 1}) * 0.01;
  PostProcess(state, boxes, at::randn({1, kAnchors, 91}) * 0.3);
}
BENCHMARK(BM_PostProcessUntrained)->Unit(benchmark::kMillisecond);

// Nothing learned and nothing random: every score the same, above the threshold.
void BM_PostProcessUniform(benchmark::State& state) {
  PostProcess(state, CornersFromCenters(Ssd300Anchors().boxes).unsqueeze(0),
              at::zeros({1, kAnchors, 91}));
}
BENCHMARK(BM_PostProcessUniform)->Unit(benchmark::kMillisecond);

// A trained head: background almost everywhere, and some hundred anchors that see an object.
void BM_PostProcessTrained(benchmark::State& state) {
  at::manual_seed(4);
  const Tensor boxes =
      CornersFromCenters(Ssd300Anchors().boxes).unsqueeze(0) + at::randn({1, kAnchors, 1}) * 0.01;
  const Tensor logits = at::randn({1, kAnchors, 91});
  logits.select(2, 0) += 9;
  const Tensor objects = at::randint(0, kAnchors, {400}, at::kLong);
  const Tensor classes = at::randint(1, 91, {400}, at::kLong);
  logits[0].index_put_({objects, classes}, at::rand({400}) * 8 + 5);
  PostProcess(state, boxes, logits);
}
BENCHMARK(BM_PostProcessTrained)->Unit(benchmark::kMillisecond);

void BM_Nms(benchmark::State& state) {
  at::manual_seed(5);
  const Tensor boxes = RandomTruth(1, state.range(0)).boxes[0];
  const Tensor scores = at::rand({state.range(0)});
  for (auto _ : state) benchmark::DoNotOptimize(Nms(boxes, scores, 0.45));
}
BENCHMARK(BM_Nms)->Arg(400)->Arg(8732)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace ssd

BENCHMARK_MAIN();
