// What every registered evaluator keeps, with its default options and in its variants.

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ssd/core/random.h"
#include "ssd/eval/evaluator.h"
#include "ssd/eval/evaluator_testing.h"

namespace ssd {
namespace {

std::vector<std::string> AllConfigs() {
  std::vector<std::string> configs = {"voc { inclusive_pixels: true }", "voc { iou: 0.75 }"};
  const google::protobuf::Descriptor* const family = EvaluatorConfig::descriptor();
  for (const std::string& name : EvaluatorRegistry::Get().Names()) {
    for (int i = 0; i < family->field_count(); ++i) {
      const google::protobuf::FieldDescriptor* const field = family->field(i);
      if (field->message_type() == nullptr || field->message_type()->full_name() != name) continue;
      configs.push_back(field->name() + " {}");
    }
  }
  return configs;
}

std::string TestName(const testing::TestParamInfo<std::string>& info) {
  std::string name;
  for (const char c : info.param) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) name += c;
  }
  return name;
}

class EvaluatorContract : public testing::TestWithParam<std::string> {
 protected:
  static EvaluatorConfig Config() {
    EvaluatorConfig config;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(GetParam(), &config));
    return config;
  }
};

// Objects in cells of their own, no two of which any detection overlaps; the cells of the last row
// stay empty.
constexpr int kCells = 5;  // on each side
constexpr double kCell = 60;

PixelBox BoxInCell(Random& random, int row, int column) {
  const double x = column * kCell + random.Uniform(6, 15);
  const double y = row * kCell + random.Uniform(6, 15);
  return {x, y, x + random.Uniform(15, 35), y + random.Uniform(15, 35)};
}

Scenes SparseScenes(uint64_t seed, int64_t images) {
  Random random(seed, 0, 0);
  Scenes scenes;
  scenes.context.labels = {{"a", "b", "c"}, {1, 2, 3}};
  for (int64_t i = 0; i < images; ++i) {
    Annotations& image = scenes.context.truths.emplace_back();
    image.image_id = i;
    image.size = {static_cast<int64_t>(kCells * kCell), static_cast<int64_t>(kCells * kCell)};
    ImageDetections& found = scenes.detections.emplace_back();
    found.image_id = i;
    for (int cell = 0; cell < kCells * (kCells - 1); ++cell) {
      if (!random.Bernoulli(0.3)) continue;
      Annotation object;
      object.box = BoxInCell(random, cell / kCells, cell % kCells);
      object.area = object.box.area();
      object.label = random.Integer(1, 3);
      object.crowd = random.Bernoulli(0.1);
      object.difficult = random.Bernoulli(0.1);
      image.objects.push_back(object);
      for (int64_t copy = random.Integer(0, 2); copy > 0; --copy) {
        PixelDetection detection;
        detection.box = {
            object.box.x0 + random.Uniform(-5, 5), object.box.y0 + random.Uniform(-5, 5),
            object.box.x1 + random.Uniform(-5, 5), object.box.y1 + random.Uniform(-5, 5)};
        detection.label = random.Bernoulli(0.8) ? object.label : random.Integer(1, 3);
        detection.score = random.Uniform();
        found.detections.push_back(detection);
      }
    }
  }
  return scenes;
}

TEST_P(EvaluatorContract, PerfectDetectionsGiveOneAndNoneGiveZero) {
  const Scenes scenes = RandomScenes(1, 30, 3, false);
  std::vector<ImageDetections> perfect;
  for (const Annotations& image : scenes.context.truths) {
    perfect.push_back({image.image_id, {}});
    for (const Annotation& object : image.objects) {
      perfect.back().detections.push_back({object.box, 0.9, object.label});
    }
  }
  for (const auto& [name, value] : Judge(Config(), scenes.context, perfect).values) {
    // With one or ten detections an image not everything can be found.
    if (name == "AR1" || name == "AR10") continue;
    ASSERT_TRUE(value.has_value()) << name;
    EXPECT_NEAR(*value, 1, 1e-12) << name;
  }
  for (const auto& [name, value] : Judge(Config(), scenes.context, {}).values) {
    EXPECT_EQ(value, 0.0) << name;
  }
}

TEST_P(EvaluatorContract, NumbersAndCurvesAreShares) {
  const Scenes scenes = RandomScenes(9, 40, 3, true);
  const Metrics metrics = Judge(Config(), scenes.context, scenes.detections);
  std::vector<MetricList> lists = {metrics.values};
  ASSERT_EQ(metrics.per_class.size(), 3u);
  for (const ClassMetrics& of_class : metrics.per_class) {
    lists.push_back(of_class.values);
    const PrecisionRecallCurve& curve = of_class.curve;
    EXPECT_TRUE(std::is_sorted(curve.recall.begin(), curve.recall.end()));
    ASSERT_EQ(curve.recall.size(), curve.precision.size());
    for (size_t r = 0; r < curve.recall.size(); ++r) {
      EXPECT_TRUE(curve.recall[r] >= 0 && curve.recall[r] <= 1);
      EXPECT_TRUE(curve.precision[r] >= 0 && curve.precision[r] <= 1);
    }
  }
  for (const MetricList& list : lists) {
    ASSERT_FALSE(list.empty());
    for (const auto& [name, value] : list) {
      if (!value.has_value()) continue;
      EXPECT_TRUE(*value >= 0 && *value <= 1) << name << " " << *value;
    }
  }
}

TEST_P(EvaluatorContract, WithoutTruthNumbersDoNotExist) {
  EvaluatorContext context;
  context.labels = {{"a", "b"}, {1, 2}};
  context.truths.resize(1);
  const Metrics nothing = Judge(Config(), context, {});
  const Metrics wrong = Judge(Config(), context, {{0, {{{0, 0, 50, 50}, 0.5, 1}}}});
  for (const auto& [name, value] : nothing.values) EXPECT_EQ(value, std::nullopt) << name;
  for (const auto& [name, value] : wrong.values) EXPECT_EQ(value, std::nullopt) << name;

  // A class without truths leaves the mean over classes alone.
  Annotation object;
  object.box = {0, 0, 50, 50};
  object.area = 2500;
  object.label = 2;
  context.truths[0].objects = {object};
  const Metrics half =
      Judge(Config(), context, {{0, {{{0, 0, 50, 50}, 0.5, 1}, {{0, 0, 50, 50}, 0.4, 2}}}});
  EXPECT_NEAR(*half.values[0].second, 1, 1e-12);
  EXPECT_EQ(half.per_class[0].values[0].second, std::nullopt);
  EXPECT_EQ(half.per_class[0].name, "a");
  EXPECT_EQ(half.per_class[1].source_id, 2);
}

TEST_P(EvaluatorContract, OrderOfImagesIsIrrelevant) {
  for (const bool ties : {false, true}) {
    Scenes scenes = RandomScenes(2, 40, 3, ties);
    const Metrics forward = Judge(Config(), scenes.context, scenes.detections);
    std::reverse(scenes.detections.begin(), scenes.detections.end());
    ExpectSame(Judge(Config(), scenes.context, scenes.detections).values, forward.values, 0);
    std::rotate(scenes.context.truths.begin(), scenes.context.truths.begin() + 7,
                scenes.context.truths.end());
    ExpectSame(Judge(Config(), scenes.context, scenes.detections).values, forward.values, 0);
  }
}

TEST_P(EvaluatorContract, OrderOfDetectionsIsIrrelevant) {
  Scenes scenes = RandomScenes(10, 40, 3, false);
  const Metrics before = Judge(Config(), scenes.context, scenes.detections);
  Random random(11, 0, 0);
  for (ImageDetections& image : scenes.detections) {
    for (size_t i = image.detections.size(); i > 1; --i) {
      const auto drawn = static_cast<size_t>(random.Integer(0, static_cast<int64_t>(i) - 1));
      std::swap(image.detections[i - 1], image.detections[drawn]);
    }
  }
  ExpectSame(Judge(Config(), scenes.context, scenes.detections).values, before.values, 0);
}

TEST_P(EvaluatorContract, OnlyTheRankOfScoresMatters) {
  Scenes scenes = RandomScenes(3, 40, 3, false);
  const Metrics before = Judge(Config(), scenes.context, scenes.detections);
  for (ImageDetections& image : scenes.detections) {
    for (PixelDetection& detection : image.detections) detection.score = std::exp(detection.score);
  }
  ExpectSame(Judge(Config(), scenes.context, scenes.detections).values, before.values, 0);
}

// Where truths overlap, a copy may well find the second.
TEST_P(EvaluatorContract, CopiesOfDetectionsRaiseNothing) {
  for (uint64_t seed = 20; seed < 25; ++seed) {
    Scenes scenes = SparseScenes(seed, 30);
    const Metrics before = Judge(Config(), scenes.context, scenes.detections);
    for (ImageDetections& image : scenes.detections) {
      const size_t count = image.detections.size();
      for (size_t i = 0; i < count; ++i) {
        PixelDetection copy = image.detections[i];
        copy.score /= 2;
        image.detections.push_back(copy);
      }
    }
    const Metrics after = Judge(Config(), scenes.context, scenes.detections);
    ASSERT_EQ(after.values.size(), before.values.size());
    for (size_t i = 0; i < before.values.size(); ++i) {
      const auto& [name, value] = before.values[i];
      ASSERT_EQ(after.values[i].second.has_value(), value.has_value()) << name;
      if (!value.has_value()) continue;
      EXPECT_LE(*after.values[i].second, *value + 1e-12) << name;
    }
    EXPECT_LT(*after.values[0].second, *before.values[0].second);
  }
}

TEST_P(EvaluatorContract, CrowdsAndDifficultTruthsAreNeverMissed) {
  for (uint64_t seed = 30; seed < 35; ++seed) {
    Scenes scenes = SparseScenes(seed, 30);
    const Metrics before = Judge(Config(), scenes.context, scenes.detections);
    const EvaluatorContext without = scenes.context;
    Random random(seed, 1, 0);
    const auto add = [&](bool crowd, bool difficult) {
      scenes.context = without;
      for (Annotations& image : scenes.context.truths) {
        for (int column = 0; column < kCells; ++column) {
          Annotation object;
          object.box = BoxInCell(random, kCells - 1, column);
          object.area = object.box.area();
          object.label = random.Integer(1, 3);
          object.crowd = crowd;
          object.difficult = difficult;
          image.objects.push_back(object);
        }
      }
      return Judge(Config(), scenes.context, scenes.detections);
    };
    ExpectSame(add(true, false).values, before.values, 0);
    ExpectSame(add(false, true).values, before.values, 0);
    // The same objects are missed where they are neither.
    EXPECT_LT(*add(false, false).values[0].second, *before.values[0].second);
  }
}

TEST_P(EvaluatorContract, IsFreshAfterReset) {
  const Scenes scenes = RandomScenes(4, 20, 2, false);
  const auto evaluator = MakeEvaluator(Config(), scenes.context);
  for (int round = 0; round < 2; ++round) {
    for (const auto& image : scenes.detections) evaluator->Add(image.image_id, image.detections);
    ExpectSame(evaluator->Compute().values,
               Judge(Config(), scenes.context, scenes.detections).values, 0);
    evaluator->Reset();
  }
  EXPECT_EQ(evaluator->Compute().values[0].second, 0.0);
}

TEST_P(EvaluatorContract, ResamplingEqualsCopiedImages) {
  const Scenes scenes = RandomScenes(5, 25, 3, false);
  const auto evaluator = MakeEvaluator(Config(), scenes.context);
  for (const auto& image : scenes.detections) evaluator->Add(image.image_id, image.detections);
  const auto resampled = evaluator->Resampled();
  if (resampled == nullptr) GTEST_SKIP() << "not offered";
  ExpectSame(resampled->Compute(std::vector<int32_t>(25, 1)), evaluator->Compute().values, 0);
  Random random(6, 0, 0);
  for (int round = 0; round < 5; ++round) {
    std::vector<int32_t> weights(25, 0);
    Scenes copied;
    copied.context.labels = scenes.context.labels;
    for (int i = 0; i < 25; ++i) {
      const int64_t drawn = random.Integer(0, 24);
      ++weights[drawn];
      copied.context.truths.push_back(scenes.context.truths[drawn]);
      copied.context.truths.back().image_id = i;
      copied.detections.push_back({i, scenes.detections[drawn].detections});
    }
    ExpectSame(resampled->Compute(weights),
               Judge(Config(), copied.context, copied.detections).values, 1e-12);
  }
}

TEST_P(EvaluatorContract, DiesOnMisuse) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";  // LibTorch's threads are running
  const Scenes scenes = RandomScenes(7, 2, 2, false);
  const auto evaluator = MakeEvaluator(Config(), scenes.context);
  evaluator->Add(3, {});
  EXPECT_DEATH(evaluator->Add(3, {}), "added twice");
  EXPECT_DEATH(evaluator->Add(4, {}), "no entry");
  EXPECT_DEATH(evaluator->Add(10, {{{0, 0, 1, 1}, 0.5, 3}}), "label 3");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_DEATH(evaluator->Add(10, {{{0, 0, 1, 1}, nan, 1}}), "isnan");
}

INSTANTIATE_TEST_SUITE_P(Registered, EvaluatorContract, testing::ValuesIn(AllConfigs()), TestName);

}  // namespace
}  // namespace ssd
