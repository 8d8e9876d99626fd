// What judging costs: metrics of as many images and detections as COCO's val2017 gives. Google
// Benchmark's flags; OMP_NUM_THREADS sets the threads.
//
//   bazel run //tests/benchmarks:evaluation_benchmark

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "ssd/core/annotations.h"
#include "ssd/core/geometry.h"
#include "ssd/core/logging.h"
#include "ssd/eval/evaluator.h"

namespace ssd {
namespace {

constexpr int64_t kImages = 5000;
constexpr int64_t kClasses = 80;
constexpr int64_t kTruths = 36781;  // val2017's
constexpr int64_t kDetectionsOfImage = 100;

struct Scenes {
  EvaluatorContext context;
  std::vector<std::vector<PixelDetection>> detections;  // one list an image
};

// Sizes are log-normal. Each truth has a good detection and, half the time, one more; the rest of
// an image's hundred are noise with low scores.
Scenes MakeScenes() {
  std::mt19937_64 random(1);
  std::normal_distribution<double> log_size(4, 1), shift(0, 0.08), zoom(0, 0.1);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::uniform_int_distribution<int64_t> any_image(0, kImages - 1), any_label(1, kClasses);
  const auto any_box = [&] {
    const double w = std::clamp(std::exp(log_size(random)), 4.0, 639.0);
    const double h = std::clamp(std::exp(log_size(random)), 4.0, 479.0);
    const double x = uniform(random) * (640 - w), y = uniform(random) * (480 - h);
    return PixelBox{x, y, x + w, y + h};
  };
  Scenes scenes;
  for (int64_t label = 1; label <= kClasses; ++label) {
    scenes.context.labels.names.push_back("class " + std::to_string(label));
    scenes.context.labels.source_ids.push_back(label);
  }
  scenes.context.truths.resize(kImages);
  scenes.detections.resize(kImages);
  for (size_t i = 0; i < kImages; ++i) {
    scenes.context.truths[i].image_id = static_cast<int64_t>(i);
    scenes.context.truths[i].size = {480, 640};
  }
  for (int64_t id = 1; id <= kTruths; ++id) {
    const auto image = static_cast<size_t>(any_image(random));
    Annotation truth;
    truth.id = id;
    truth.box = any_box();
    truth.label = any_label(random);
    truth.crowd = uniform(random) < 0.01;
    const double w = truth.box.x1 - truth.box.x0, h = truth.box.y1 - truth.box.y0;
    truth.area = 0.6 * w * h;
    scenes.context.truths[image].objects.push_back(truth);
    for (int copy = uniform(random) < 0.5 ? 1 : 0; copy < 2; ++copy) {
      if (scenes.detections[image].size() == kDetectionsOfImage) break;
      const double x = truth.box.x0 + shift(random) * w, y = truth.box.y0 + shift(random) * h;
      scenes.detections[image].push_back(
          {{x, y, x + w * std::exp(zoom(random)), y + h * std::exp(zoom(random))},
           0.2 + 0.8 * uniform(random),
           truth.label});
    }
  }
  for (std::vector<PixelDetection>& detections : scenes.detections) {
    while (detections.size() < kDetectionsOfImage) {
      detections.push_back({any_box(), 0.5 * uniform(random), any_label(random)});
    }
  }
  return scenes;
}

void Judge(benchmark::State& state, const EvaluatorConfig& config) {
  static const Scenes* const scenes = new Scenes(MakeScenes());
  const auto evaluator = EvaluatorRegistry::Get().Create(config, scenes->context);
  CHECK(evaluator.ok()) << evaluator.status();
  for (auto _ : state) {
    for (size_t i = 0; i < scenes->detections.size(); ++i) {
      (*evaluator)->Add(static_cast<int64_t>(i), scenes->detections[i]);
    }
    benchmark::DoNotOptimize((*evaluator)->Compute());
    (*evaluator)->Reset();
  }
}

void BM_CocoMetrics(benchmark::State& state) {
  EvaluatorConfig config;
  config.mutable_coco();
  Judge(state, config);
}
BENCHMARK(BM_CocoMetrics)->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_VocMetrics(benchmark::State& state) {
  EvaluatorConfig config;
  config.mutable_voc();
  Judge(state, config);
}
BENCHMARK(BM_VocMetrics)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace ssd

BENCHMARK_MAIN();
