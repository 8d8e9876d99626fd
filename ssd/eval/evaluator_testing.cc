#include "ssd/eval/evaluator_testing.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <utility>

#include "ssd/core/logging.h"
#include "ssd/core/random.h"

namespace ssd {

Scenes RandomScenes(uint64_t seed, int64_t images, int64_t classes, bool ties) {
  Random random(seed, 0, 0);
  Scenes scenes;
  for (int64_t c = 1; c <= classes; ++c) {
    scenes.context.labels.names.push_back("class " + std::to_string(c));
    scenes.context.labels.source_ids.push_back(10 * c);
  }
  for (int64_t i = 0; i < images; ++i) {
    Annotations& image = scenes.context.truths.emplace_back();
    image.image_id = 7 * i + 3;
    image.size = {300, 300};
    ImageDetections& found = scenes.detections.emplace_back();
    found.image_id = image.image_id;
    const int64_t objects = random.Integer(0, 6);
    for (int64_t k = 0; k < objects; ++k) {
      Annotation object;
      const double x = random.Uniform(0, 200), y = random.Uniform(0, 200);
      object.box = {x, y, x + random.Uniform(8, 180), y + random.Uniform(8, 180)};
      object.area = object.box.area();
      object.label = random.Integer(1, classes);
      object.crowd = random.Bernoulli(0.1);
      object.difficult = random.Bernoulli(0.1);
      image.objects.push_back(object);
      for (int64_t copy = random.Integer(0, 3); copy > 0; --copy) {
        PixelDetection detection;
        detection.box = {
            object.box.x0 + random.Uniform(-5, 5), object.box.y0 + random.Uniform(-5, 5),
            object.box.x1 + random.Uniform(-5, 5), object.box.y1 + random.Uniform(-5, 5)};
        detection.label = random.Bernoulli(0.8) ? object.label : random.Integer(1, classes);
        detection.score = ties ? random.Integer(1, 5) / 5.0 : random.Uniform();
        found.detections.push_back(detection);
      }
    }
  }
  return scenes;
}

std::unique_ptr<Evaluator> MakeEvaluator(const EvaluatorConfig& config,
                                         const EvaluatorContext& context) {
  auto evaluator = EvaluatorRegistry::Get().Create(config, context);
  CHECK(evaluator.ok()) << evaluator.status();
  return *std::move(evaluator);
}

Metrics Judge(const EvaluatorConfig& config, const EvaluatorContext& context,
              const std::vector<ImageDetections>& detections) {
  const std::unique_ptr<Evaluator> evaluator = MakeEvaluator(config, context);
  for (const ImageDetections& image : detections) evaluator->Add(image.image_id, image.detections);
  return evaluator->Compute();
}

void ExpectSame(const MetricList& a, const MetricList& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].first, b[i].first);
    ASSERT_EQ(a[i].second.has_value(), b[i].second.has_value()) << a[i].first;
    if (!a[i].second.has_value()) continue;
    EXPECT_NEAR(*a[i].second, *b[i].second, tolerance) << a[i].first;
  }
}

}  // namespace ssd
