#include "experiments/check/ceiling.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "data/check/memory_dataset.h"
#include "data/check/network_view.h"
#include "experiments/check/anchor_index.h"
#include "experiments/check/truth_matching.h"
#include "ssd/core/annotations.h"
#include "ssd/core/geometry.h"
#include "ssd/core/logging.h"
#include "ssd/core/random.h"
#include "ssd/core/text_proto.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {
namespace {

constexpr ImageSize kInput{64, 64};

Annotation Object(int64_t label, const PixelBox& box) {
  Annotation object;
  object.label = label;
  object.box = box;
  object.area = box.area();
  return object;
}

MemoryDataset DatasetOf(std::vector<Annotation> objects) {
  MemoryDataset dataset({"cat", "dog"});
  Annotations truth;
  truth.file_name = "a.png";
  truth.size = kInput;
  truth.objects = std::move(objects);
  dataset.Add(std::move(truth));
  return dataset;
}

// Square anchors of 16 and 18 pixels around (4 + 8 i, 4 + 8 j) and of 32 around (8 + 16 i,
// 8 + 16 j). `parts`: other components than the defaults.
std::shared_ptr<SsdDetector> MakeDetector(const std::string& parts) {
  ModelConfig config;
  const absl::Status parsed = ParseTextProto(
      absl::StrCat("num_levels: 2 input { height: 64 width: 64 } backbone { tiny { width: 4 } } "
                   "anchor_generator { fixed_size { level { min_size: [16, 18] } "
                   "level { min_size: 32 } } } ",
                   parts),
      "test", config);
  CHECK(parsed.ok()) << parsed.message();
  auto detector = SsdDetector::Create(config, 2);
  CHECK(detector.ok()) << detector.status().message();
  return *std::move(detector);
}

Ceiling CeilingOf(const MemoryDataset& dataset, const std::string& parts = "",
                  const NetworkView& view = WarpedTo(kInput)) {
  const auto detector = MakeDetector(parts);
  const AnchorIndex index(detector->anchors(), detector->levels(), detector->anchors_per_cell());
  const auto matched = MatchTruths(dataset, view, detector->anchors(), index, detector->matcher());
  CHECK(matched.ok()) << matched.status().message();
  EvaluatorConfig evaluator;
  evaluator.mutable_coco();
  auto ceiling = ComputeCeiling(dataset, view, *matched, *detector, evaluator);
  CHECK(ceiling.ok()) << ceiling.status().message();
  return *std::move(ceiling);
}

double Ap(const Ceiling& ceiling) { return ceiling.metrics.values[0].second.value_or(-1); }

// Why the only lost truth, `truth`, was lost.
LostTruth OnlyLoss(const Ceiling& ceiling, int64_t truth) {
  EXPECT_EQ(ceiling.lost.size(), 1u);
  if (ceiling.lost.size() != 1) return {};
  EXPECT_EQ(ceiling.lost[0].truth, truth);
  EXPECT_EQ(ceiling.reasons[static_cast<size_t>(ceiling.lost[0].reason)], 1);
  return ceiling.lost[0];
}

TEST(CeilingTest, IsOneWhereTruthsAreApart) {
  const MemoryDataset dataset = DatasetOf(
      {Object(1, {3, 5, 24, 21}), Object(2, {31, 33, 60, 61}), Object(1, {40, 2, 47, 9})});
  for (const char* parts :
       {"", "head { activation: SIGMOID }", "matcher { argmax {} }",
        "post_processor { soft_nms {} }", "post_processor { class_agnostic_nms {} }",
        "post_processor { per_class_nms { clip: NEVER score_threshold: 0 } }"}) {
    const Ceiling ceiling = CeilingOf(dataset, parts);
    EXPECT_TRUE(ceiling.lost.empty()) << parts;
    EXPECT_EQ(ceiling.lost_to_learn(), 0) << parts;
    EXPECT_NEAR(Ap(ceiling), 1, 1e-9) << parts;
  }
}

TEST(CeilingTest, TwoTruthsWithOneBoxAreOneDetection) {
  const MemoryDataset dataset = DatasetOf({Object(1, {4, 4, 20, 20}), Object(1, {4, 4, 20, 20})});
  const Ceiling ceiling = CeilingOf(dataset);
  const LostTruth lost = OnlyLoss(ceiling, 1);
  EXPECT_EQ(lost.reason, LossReason::kSuppressed);
  EXPECT_EQ(lost.other, 0);
  EXPECT_NEAR(lost.iou, 1, 1e-6);
  // Precision 1 up to a recall of one half: 51 of 101 recalls.
  EXPECT_NEAR(Ap(ceiling), 51.0 / 101, 1e-9);
}

TEST(CeilingTest, ClassesSuppressEachOtherOnlyWhereTheyAreTold) {
  const MemoryDataset dataset = DatasetOf({Object(1, {4, 4, 20, 20}), Object(2, {4, 4, 20, 20})});
  EXPECT_TRUE(CeilingOf(dataset).lost.empty());
  const Ceiling agnostic = CeilingOf(dataset, "post_processor { class_agnostic_nms {} }");
  EXPECT_EQ(OnlyLoss(agnostic, 1).reason, LossReason::kSuppressed);
}

TEST(CeilingTest, DifficultObjectsAreNotLearnt) {
  Annotation difficult = Object(1, {4, 4, 20, 20});
  difficult.difficult = true;
  const Ceiling ceiling = CeilingOf(DatasetOf({difficult, Object(1, {36, 36, 52, 52})}));
  EXPECT_EQ(OnlyLoss(ceiling, 0).reason, LossReason::kDifficult);
  EXPECT_EQ(ceiling.lost_to_learn(), 0);
}

TEST(CeilingTest, TheMatcherMayGiveNoAnchor) {
  const Ceiling ceiling =
      CeilingOf(DatasetOf({Object(1, {10, 10, 12, 12}), Object(1, {36, 36, 52, 52})}),
                "matcher { argmax { force_best: NONE } }");
  const LostTruth lost = OnlyLoss(ceiling, 0);
  EXPECT_EQ(lost.reason, LossReason::kNoAnchor);
  EXPECT_EQ(lost.other, -1);
}

TEST(CeilingTest, TheMatcherMayGiveTheAnchorToAnother) {
  // The first anchor of 16 pixels, (-4, -4, 12, 12), holds both; of equal ones the lowest is best.
  const Ceiling ceiling = CeilingOf(DatasetOf({Object(1, {2, 2, 3, 3}), Object(1, {0, 0, 1, 1})}),
                                    "matcher { argmax {} }");
  const LostTruth lost = OnlyLoss(ceiling, 0);
  EXPECT_EQ(lost.reason, LossReason::kSharedAnchors);
  EXPECT_EQ(lost.other, 1);
}

TEST(CeilingTest, TheBoxCoderMayBeUnableToSayTheBox) {
  // 20 pixels are more than exp(0.01) of 18.
  const Ceiling ceiling = CeilingOf(DatasetOf({Object(1, {2, 2, 22, 22})}),
                                    "box_coder { center_size { max_log_size: 0.01 } }");
  EXPECT_EQ(OnlyLoss(ceiling, 0).reason, LossReason::kNotCoded);
}

TEST(CeilingTest, ThePostProcessorHasLimits) {
  // Each of the two truths is learnt by an anchor of 16 and one of 18 pixels.
  const MemoryDataset dataset = DatasetOf({Object(1, {4, 4, 20, 20}), Object(1, {36, 36, 52, 52})});
  EXPECT_TRUE(CeilingOf(dataset).lost.empty());
  EXPECT_EQ(
      OnlyLoss(CeilingOf(dataset, "post_processor { per_class_nms { max_detections: 1 } }"), 1)
          .reason,
      LossReason::kDetectionLimit);
  EXPECT_EQ(
      OnlyLoss(
          CeilingOf(dataset, "post_processor { per_class_nms { max_candidates_per_class: 2 } }"), 1)
          .reason,
      LossReason::kCandidateLimit);
}

TEST(CeilingTest, TheViewMayNotShowATruth) {
  const NetworkView upper_left = [](ImageSize original) {
    return Geometry::Identity(original).Cropped({0, 0, 32, 32}).Resized(kInput);
  };
  const Ceiling ceiling = CeilingOf(
      DatasetOf({Object(1, {4, 4, 20, 20}), Object(1, {36, 36, 52, 52})}), "", upper_left);
  EXPECT_EQ(OnlyLoss(ceiling, 1).reason, LossReason::kOutOfView);
}

TEST(CeilingTest, IsOneExactlyWhereNothingIsLost) {
  Random random(1, 2, 3);
  int whole = 0;
  for (int round = 0; round < 40; ++round) {
    std::vector<Annotation> objects;
    for (int64_t k = random.Integer(1, 8); k > 0; --k) {
      const double width = random.Uniform(14, 26), height = random.Uniform(14, 26);
      const double x = random.Uniform(0, 24), y = random.Uniform(0, 24);
      objects.push_back(Object(random.Integer(1, 2), {x, y, x + width, y + height}));
    }
    const Ceiling ceiling = CeilingOf(DatasetOf(std::move(objects)));
    if (ceiling.lost.empty()) {
      ++whole;
      EXPECT_NEAR(Ap(ceiling), 1, 1e-9) << "round " << round;
    } else {
      EXPECT_LT(Ap(ceiling), 1 - 1e-3) << "round " << round;
    }
  }
  EXPECT_GT(whole, 5);
  EXPECT_LT(whole, 40);
}

}  // namespace
}  // namespace ssd
