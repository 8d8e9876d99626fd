#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/core/boxes.h"
#include "ssd/core/text_proto.h"
#include "ssd/postprocess/post_processor.h"
#include "ssd/postprocess/tensor_nms.h"

namespace ssd {
namespace {

Tensor RandomCorners(int64_t n) {
  const Tensor low = at::rand({n, 2}) * 0.5;
  return at::cat({low, low + at::rand({n, 2}) * 0.4 + 0.05}, 1);
}

absl::StatusOr<std::unique_ptr<PostProcessor>> Create(const std::string& options,
                                                      int64_t num_classes, bool sigmoid = false) {
  PostProcessorConfig config;
  const absl::Status status = ParseTextProto("soft_nms {" + options + "}", "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return PostProcessorRegistry::Get().Create(config, {num_classes, sigmoid});
}

Detections Suppress(const std::string& options, const Tensor& boxes, const Tensor& scores) {
  const auto processor = Create(options, scores.size(1), /*sigmoid=*/true);
  EXPECT_TRUE(processor.ok()) << processor.status();
  return (*processor)->Process(boxes.unsqueeze(0), scores.logit().unsqueeze(0));
}

struct Kept {
  double score;
  int64_t label;
  int64_t anchor;
};

// Figure 2 of the paper in float64, class by class, then the best of all.
std::vector<Kept> Reference(const Tensor& boxes, const Tensor& scores, bool gaussian,
                            double threshold, double sigma, double min_score,
                            int64_t max_candidates) {
  const Tensor iou = PairwiseIou(boxes, boxes);
  std::vector<Kept> kept;
  for (int64_t c = 0; c < scores.size(1); ++c) {
    std::vector<Kept> left;
    for (int64_t a = 0; a < scores.size(0); ++a) {
      left.push_back({scores[a][c].item<double>(), c + 1, a});
    }
    const auto better = [](const Kept& a, const Kept& b) { return a.score > b.score; };
    std::stable_sort(left.begin(), left.end(), better);
    left.resize(std::min<size_t>(left.size(), static_cast<size_t>(max_candidates)));
    while (!left.empty()) {
      // max_element takes the first of the best by "less".
      const auto best = std::max_element(
          left.begin(), left.end(), [](const Kept& a, const Kept& b) { return a.score < b.score; });
      const Kept m = *best;
      left.erase(best);
      if (!(m.score > min_score)) break;
      kept.push_back(m);
      for (Kept& other : left) {
        const double overlap = iou[m.anchor][other.anchor].item<double>();
        if (gaussian) {
          other.score *= std::exp(-overlap * overlap / sigma);
        } else if (overlap >= threshold) {
          other.score *= 1 - overlap;
        }
      }
    }
  }
  std::stable_sort(kept.begin(), kept.end(),
                   [](const Kept& a, const Kept& b) { return a.score > b.score; });
  return kept;
}

TEST(SoftNms, EqualsThePapersFigure2) {
  at::manual_seed(1);
  const Tensor boxes = RandomCorners(60);
  const Tensor scores = at::rand({60, 3}) * 0.9 + 0.05;
  struct Rule {
    const char* options;
    bool gaussian;
    double threshold, sigma, min_score;
    int64_t max_candidates;
  };
  for (const Rule& rule :
       {Rule{"", false, 0.3, 0, 0.001, 400},
        Rule{"iou_threshold: 0.6 min_score: 0.2", false, 0.6, 0, 0.2, 400},
        Rule{"decay: GAUSSIAN", true, 0, 0.5, 0.001, 400},
        Rule{"decay: GAUSSIAN sigma: 0.1 min_score: 0.05", true, 0, 0.1, 0.05, 400},
        Rule{"decay: GAUSSIAN max_candidates_per_class: 10", true, 0, 0.5, 0.001, 10}}) {
    const std::vector<Kept> expected = Reference(boxes, scores, rule.gaussian, rule.threshold,
                                                 rule.sigma, rule.min_score, rule.max_candidates);
    for (const int64_t rows : {1000, 7}) {
      const Detections found =
          Suppress(absl::StrCat("max_detections: ", rows, " ", rule.options), boxes, scores);
      const int64_t count = std::min<int64_t>(rows, static_cast<int64_t>(expected.size()));
      ASSERT_EQ(found.counts[0].item<int64_t>(), count) << rule.options;
      for (int64_t i = 0; i < count; ++i) {
        EXPECT_NEAR(found.scores[0][i].item<double>(), expected[i].score, 1e-6) << rule.options;
        EXPECT_EQ(found.labels[0][i].item<int64_t>(), expected[i].label) << rule.options;
        EXPECT_TRUE(at::equal(found.boxes[0][i], boxes[expected[i].anchor])) << rule.options;
      }
    }
  }
}

TEST(SoftNms, EqualsTheClosedForm) {
  // The second is half the first: IoU 1/2.
  const Tensor boxes = at::tensor({0.0f, 0.0f, 0.5f, 0.5f, 0.0f, 0.0f, 0.5f, 0.25f}).view({2, 4});
  const Tensor scores = at::tensor({0.9f, 0.8f}).view({2, 1});
  const auto second = [&](const std::string& options) {
    const Detections found = Suppress(options, boxes, scores);
    EXPECT_FLOAT_EQ(found.scores[0][0].item<float>(), 0.9f);
    return found.scores[0][1].item<double>();
  };
  EXPECT_NEAR(second(""), 0.8 * 0.5, 1e-6);
  EXPECT_NEAR(second("iou_threshold: 0.5"), 0.8 * 0.5, 1e-6);  // at the threshold
  EXPECT_NEAR(second("iou_threshold: 0.51"), 0.8, 1e-6);
  EXPECT_NEAR(second("decay: GAUSSIAN"), 0.8 * std::exp(-0.5), 1e-6);
  EXPECT_NEAR(second("decay: GAUSSIAN sigma: 0.25"), 0.8 * std::exp(-1.0), 1e-6);
  EXPECT_EQ(second("min_score: 0.5"), 0);  // not kept
  EXPECT_EQ(second("score_threshold: 0.85"), 0);
}

// Where decay leaves nothing of what overlaps, or where nothing overlaps, it is hard suppression.
TEST(SoftNms, LimitsAreHardSuppression) {
  at::manual_seed(2);
  const Tensor some = RandomCorners(150);
  // Each twice: of two equal boxes LINEAR leaves 0 of the worse one's score.
  const Tensor boxes = at::cat({some, some});
  const Tensor scores = at::rand({300, 1}) * 0.9 + 0.05;
  const struct {
    const char* options;
    double iou_threshold;
    bool suppress_equal;
  } limits[] = {{"decay: LINEAR iou_threshold: 1 ", 1, true},
                {"decay: GAUSSIAN sigma: 1e-12 ", 1e-5, false}};
  for (const auto& limit : limits) {
    const Detections found =
        Suppress(absl::StrCat(limit.options, "max_detections: 300"), boxes, scores);
    const Tensor kept = Nms(boxes, scores.select(1, 0), limit.iou_threshold, limit.suppress_equal);
    const int64_t count = kept.size(0);
    ASSERT_EQ(found.counts[0].item<int64_t>(), count) << limit.options;
    EXPECT_TRUE(at::equal(found.boxes[0].narrow(0, 0, count), boxes.index_select(0, kept)));
    EXPECT_TRUE(at::allclose(found.scores[0].narrow(0, 0, count),
                             scores.select(1, 0).index_select(0, kept), 1e-6, 1e-7));
  }
}

TEST(SoftNms, EqualScoresAreOrderedByClassThenAnchor) {
  const Tensor low = at::arange(5, at::kFloat).unsqueeze(1) / 8;
  const Tensor boxes = at::cat({low, low, low + 0.1, low + 0.1}, 1);
  const Detections found = Suppress("max_detections: 8", boxes, at::full({5, 2}, 0.5));
  EXPECT_TRUE(at::equal(found.labels[0], at::tensor({1, 1, 1, 1, 1, 2, 2, 2}, at::kLong)));
  EXPECT_TRUE(at::equal(found.boxes[0], at::cat({boxes, boxes.narrow(0, 0, 3)})));
}

TEST(SoftNms, WhatIsNotFiniteDetectsNothing) {
  const Tensor boxes = at::tensor({0.1f, 0.1f, 0.2f, 0.2f, NAN, 0.1f, 0.2f, 0.2f}).view({1, 2, 4});
  const Tensor logits = at::tensor({0.f, NAN, NAN, 0.f, 1.f, 3.f}).view({1, 2, 3});
  EXPECT_EQ((*Create("", 2))->Process(boxes, logits).counts[0].item<int64_t>(), 0);
}

TEST(SoftNms, BadOptionsNameTheField) {
  for (const char* options :
       {"score_threshold: 1", "score_threshold: nan", "iou_threshold: 0", "iou_threshold: 1.5",
        "sigma: 0", "sigma: nan", "min_score: 1", "min_score: -0.1", "max_candidates_per_class: 0",
        "max_detections: -1", "sigma: 0.4", "iou_threshold: 0.4 decay: GAUSSIAN"}) {
    const absl::Status status = Create(options, 3).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << options;
    const std::string field(options, std::string(options).find(':'));
    EXPECT_NE(status.message().find("post_processor.soft_nms." + field), std::string::npos)
        << status;
  }
}

}  // namespace
}  // namespace ssd
