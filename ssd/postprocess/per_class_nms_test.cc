#include "ssd/postprocess/per_class_nms.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/core/boxes.h"
#include "ssd/core/text_proto.h"
#include "ssd/postprocess/candidates.h"
#include "ssd/postprocess/tensor_nms.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

std::vector<int64_t> List(const Tensor& tensor) {
  const Tensor flat = tensor.contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

std::vector<int64_t> List(const rapidjson::Value& array) {
  std::vector<int64_t> list;
  for (const auto& value : array.GetArray()) list.push_back(value.GetInt64());
  return list;
}

Tensor RandomCorners(int64_t n) {
  const Tensor low = at::rand({n, 2});
  return at::cat({low, low + at::rand({n, 2}) * 0.4 + 0.01}, 1);
}

TEST(Nms, EqualsPeers) {
  for (const auto& golden_case : golden::File("nms.json")["cases"].GetArray()) {
    const std::string name = golden_case["name"].GetString();
    const Tensor boxes = golden::Numbers(golden_case["boxes"]).to(at::kFloat);
    const Tensor scores = golden::Numbers(golden_case["scores"]).to(at::kFloat);
    const double threshold = golden_case["threshold"].GetDouble();
    const std::vector<int64_t> kept = List(Nms(boxes, scores, threshold));
    EXPECT_EQ(kept, List(golden_case["torchvision_nms"])) << name;
    EXPECT_EQ(kept, List(golden_case["caffe_nms_fast"])) << name;
    // amdegroot takes the higher index of equal scores, and drops equal boxes without area.
    if (name != "score_ties" && name != "identical_boxes" && name != "degenerate") {
      EXPECT_EQ(kept, List(golden_case["amdegroot_nms"])) << name;
    }
    // Caffe's filter by score and count, done before.
    const Tensor order = at::argsort(scores, /*stable=*/true, 0, /*descending=*/true);
    const Tensor above = order.masked_select(scores.index_select(0, order) > 0.3);
    const Tensor best = above.narrow(0, 0, std::min<int64_t>(20, above.size(0)));
    EXPECT_EQ(List(best.index_select(
                  0, Nms(boxes.index_select(0, best), scores.index_select(0, best), threshold))),
              List(golden_case["caffe_nms_fast_score0.3_topk20"]))
        << name;
    // From 0.7 down by 0.9 with each box kept, as far as 0.5.
    EXPECT_EQ(List(Nms(boxes, scores, 0.7, /*suppress_equal=*/false, /*eta=*/0.9)),
              List(golden_case["caffe_nms_fast_eta0.9_thr0.7"]))
        << name;
    // NVIDIA suppresses what is exactly at the threshold; elsewhere no IoU is.
    const std::vector<int64_t> below = List(Nms(boxes, scores, threshold, /*suppress_equal=*/true));
    if (name == "exact_threshold") {
      EXPECT_EQ(below, (std::vector<int64_t>{0, 3}));
    } else if (name == "exact_threshold_0.25") {
      EXPECT_EQ(below, (std::vector<int64_t>{0, 2}));
    } else if (threshold > 0) {
      EXPECT_EQ(below, kept) << name;
    }
    if (golden_case.HasMember("labels")) {
      const Tensor labels = golden::Numbers(golden_case["labels"]).to(at::kLong);
      const std::vector<int64_t> batched = List(BatchedNms(boxes, scores, labels, threshold));
      EXPECT_EQ(batched, List(golden_case["batched_nms_vanilla"])) << name;
      EXPECT_EQ(batched, List(golden_case["batched_nms_coordinate_trick"])) << name;
    }
  }
}

TEST(Nms, EqualsPublishedTests) {
  const auto& tests = golden::File("nms.json")["published_tf_tests"];
  const auto& first = tests["np_box_list_ops_NMS"];
  const Tensor boxes = golden::Numbers(first["boxes"]).to(at::kFloat);
  const Tensor kept = Nms(boxes, golden::Numbers(first["scores"]), 0.5);
  EXPECT_TRUE(at::equal(boxes.index_select(0, kept),
                        golden::Numbers(first["expected_boxes"]).to(at::kFloat)));
  const auto& second = tests["different_iou_threshold"];
  for (const auto& expected : second["expected"].GetObject()) {
    EXPECT_EQ(List(Nms(golden::Numbers(second["boxes"]), golden::Numbers(second["scores"]),
                       std::stod(expected.name.GetString()))),
              List(expected.value));
  }
  const auto& third = tests["multiclass_shared_boxes"];
  const Tensor scores = golden::Numbers(third["scores"]);
  const Tensor pairs = (scores > third["score_thresh"].GetDouble()).nonzero();  // (box, class)
  const Tensor box = golden::Numbers(third["boxes"]).index_select(0, pairs.select(1, 0));
  const Tensor score = scores.index({pairs.select(1, 0), pairs.select(1, 1)});
  const Tensor survivors =
      BatchedNms(box, score, pairs.select(1, 1), third["iou_thresh"].GetDouble());
  EXPECT_TRUE(at::equal(box.index_select(0, survivors), golden::Numbers(third["expected_boxes"])));
  EXPECT_TRUE(
      at::equal(score.index_select(0, survivors), golden::Numbers(third["expected_scores"])));
  EXPECT_EQ(List(pairs.select(1, 1).index_select(0, survivors)), List(third["expected_classes"]));
}

TEST(Nms, IsIdempotentAndLeavesNoOverlap) {
  at::manual_seed(1);
  const Tensor boxes = RandomCorners(500);
  const Tensor scores = at::rand({500});
  for (const double threshold : {0.1, 0.45, 0.9}) {
    const Tensor kept = Nms(boxes, scores, threshold);
    const Tensor kept_boxes = boxes.index_select(0, kept);
    const Tensor again = Nms(kept_boxes, scores.index_select(0, kept), threshold);
    EXPECT_TRUE(at::equal(again, at::arange(kept.size(0))));
    const Tensor iou = PairwiseIou(kept_boxes, kept_boxes);
    EXPECT_LE((iou - at::eye(kept.size(0))).max().item<double>(), threshold + 1e-6);
  }
  EXPECT_EQ(Nms(at::zeros({0, 4}), at::zeros({0}), 0.5).size(0), 0);
}

absl::StatusOr<std::unique_ptr<PostProcessor>> Create(const std::string& options,
                                                      int64_t num_classes, bool sigmoid = false) {
  PostProcessorConfig config;
  const absl::Status status = ParseTextProto("per_class_nms {" + options + "}", "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return PostProcessorRegistry::Get().Create(config, {num_classes, sigmoid});
}

struct Options {
  float score_threshold = 0.01f;
  double iou_threshold = 0.45;
  int64_t max_candidates = 400;
  int64_t max_detections = 200;
  bool clip = true;
  bool suppress_equal = false;
  double eta = 1;
  bool sigmoid = false;
  std::string Text() const {
    return absl::StrCat("score_threshold: ", score_threshold, " iou_threshold: ", iou_threshold,
                        " max_candidates_per_class: ", max_candidates,
                        " max_detections: ", max_detections, clip ? "" : " clip: NEVER",
                        suppress_equal ? " suppress_equal: true" : "", " nms_eta: ", eta);
  }
};

// The rules as they are written: per class a sort, a cut and NMS, then a sort of all. Column 0 of
// `logits` is background, which sigmoids do without.
Detections Reference(const Tensor& boxes, const Tensor& logits, const Options& options) {
  const int64_t batch = boxes.size(0);
  const int64_t rows = options.max_detections;
  Detections detections{at::zeros({batch, rows, 4}), at::zeros({batch, rows}),
                        at::zeros({batch, rows}, at::kLong), at::zeros({batch}, at::kLong)};
  const Tensor clipped = options.clip ? boxes.clamp(0, 1) : boxes;
  const Tensor scores = options.sigmoid ? logits.sigmoid() : logits.softmax(-1);
  for (int64_t b = 0; b < batch; ++b) {
    std::vector<Tensor> kept_boxes, kept_scores, kept_labels;
    for (int64_t c = 1; c < logits.size(2); ++c) {
      const Tensor score = scores[b].select(1, c);
      const Tensor order = at::argsort(score, /*stable=*/true, 0, /*descending=*/true);
      const Tensor sorted = score.index_select(0, order);
      const int64_t count = std::min<int64_t>(
          options.max_candidates, (sorted > options.score_threshold).sum().item<int64_t>());
      const Tensor candidates = order.narrow(0, 0, count);
      const Tensor kept = candidates.index_select(
          0, Nms(clipped[b].index_select(0, candidates), score.index_select(0, candidates),
                 options.iou_threshold, options.suppress_equal, options.eta));
      kept_boxes.push_back(clipped[b].index_select(0, kept));
      kept_scores.push_back(score.index_select(0, kept));
      kept_labels.push_back(at::full({kept.size(0)}, c, at::kLong));
    }
    const Tensor score = at::cat(kept_scores);
    const Tensor order = at::argsort(score, /*stable=*/true, 0, /*descending=*/true)
                             .narrow(0, 0, std::min(rows, score.size(0)));
    const int64_t n = order.size(0);
    detections.boxes[b].narrow(0, 0, n).copy_(at::cat(kept_boxes).index_select(0, order));
    detections.scores[b].narrow(0, 0, n).copy_(score.index_select(0, order));
    detections.labels[b].narrow(0, 0, n).copy_(at::cat(kept_labels).index_select(0, order));
    detections.counts[b] = n;
  }
  return detections;
}

TEST(PerClassNms, EqualsTheRulesAsWritten) {
  at::manual_seed(2);
  struct Case {
    int64_t anchors, classes;
    double spread;  // of the logits
    double background;
    Options options;
  };
  const Options loose{0.0f, 0.9, 5, 1000, false};
  for (const Case& c :
       {Case{3000, 21, 1, 4, {}}, Case{400, 91, 0.3, 0, {0.001f, 0.45, 400, 50, true}},
        Case{1500, 2, 2, 0, {}}, Case{300, 4, 3, 2, loose},
        Case{700, 6, 2, 0, {0.3f, 0.2, 20, 2000, true}},
        Case{700, 6, 2, 0, {0.05f, 0.8, 200, 40, false, true, 0.9}},
        Case{700, 6, 2, 0, {0.3f, 0.45, 400, 40, true, false, 1, true}},
        Case{400, 21, 1, 0, {0.0f, 0.45, 3, 40, true, false, 1, true}}}) {
    const Tensor boxes = RandomCorners(2 * c.anchors).view({2, c.anchors, 4}) * 1.4 - 0.2;
    const Tensor logits = at::randn({2, c.anchors, c.classes}) * c.spread;
    logits.select(2, 0).add_(c.background);
    const auto processor = Create(c.options.Text(), c.classes - 1, c.options.sigmoid);
    ASSERT_TRUE(processor.ok()) << processor.status();
    const Detections actual =
        (*processor)
            ->Process(boxes, c.options.sigmoid ? logits.narrow(2, 1, c.classes - 1) : logits);
    const Detections expected = Reference(boxes, logits, c.options);
    EXPECT_TRUE(at::equal(actual.counts, expected.counts))
        << actual.counts << expected.counts << c.options.Text();
    EXPECT_TRUE(at::allclose(actual.scores, expected.scores, 1e-6, 1e-7));
    EXPECT_TRUE(at::equal(actual.labels, expected.labels));
    EXPECT_TRUE(at::equal(actual.boxes, expected.boxes));
  }
}

TEST(PerClassNms, SuppressEqualAndEtaAreRead) {
  // Boxes 1 and 2 are the halves of box 0: IoU 1/2 with it. Box 3 has 5/8 with box 1.
  const Tensor boxes = at::tensor({0.0f, 0.0f, 0.5f, 0.5f, 0.0f, 0.0f, 0.5f, 0.25f, 0.0f, 0.25f,
                                   0.5f, 0.5f, 0.0f, 0.0f, 0.3125f, 0.25f})
                           .view({1, 4, 4});
  const Tensor logits = at::tensor({4.f, 3.f, 2.f, 1.f}).view({1, 4, 1});
  const auto scores = [&](const std::string& options) {
    const Detections found =
        (*Create("score_threshold: 0 " + options, 1, /*sigmoid=*/true))->Process(boxes, logits);
    return List(found.scores[0]
                    .narrow(0, 0, found.counts[0].item<int64_t>())
                    .logit()
                    .round()
                    .to(at::kLong));
  };
  EXPECT_EQ(scores("iou_threshold: 0.5"), (std::vector<int64_t>{4, 3, 2}));
  EXPECT_EQ(scores("iou_threshold: 0.5 suppress_equal: true"), (std::vector<int64_t>{4, 1}));
  EXPECT_EQ(scores("iou_threshold: 0.7"), (std::vector<int64_t>{4, 3, 2, 1}));
  // 0.7, 0.63, 0.567, and 0.51 for the last.
  EXPECT_EQ(scores("iou_threshold: 0.7 nms_eta: 0.9"), (std::vector<int64_t>{4, 3, 2}));
}

TEST(PerClassNms, SigmoidsOfAnySizeAreScores) {
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor low = at::arange(6, at::kFloat).unsqueeze(1) / 8;
  const Tensor boxes = at::cat({low, low, low + 0.1, low + 0.1}, 1).unsqueeze(0);
  const Tensor logits = at::tensor({500.f, 0.f, -1.f, -500.f, inf, NAN}).view({1, 6, 1});
  const Detections found = (*Create("score_threshold: 0", 1, true))->Process(boxes, logits);
  ASSERT_EQ(found.counts[0].item<int64_t>(), 4);
  EXPECT_FLOAT_EQ(found.scores[0][0].item<float>(), 1);
  EXPECT_FLOAT_EQ(found.scores[0][1].item<float>(), 0.5f);
  EXPECT_NEAR(found.scores[0][2].item<float>(), 1 / (1 + std::exp(1.0)), 2e-7);
  EXPECT_LT(found.scores[0][3].item<float>(), 1e-30f);
}

TEST(PerClassNms, EqualScoresAreOrderedByClassThenAnchor) {
  // An untrained head: every score is 1/4, and no box overlaps another.
  Tensor low = at::arange(1200, at::kFloat).unsqueeze(1) / 1200;
  const Tensor boxes = at::cat({low, low, low + 1e-4, low + 1e-4}, 1).unsqueeze(0);
  auto processor = Create("max_candidates_per_class: 1000 max_detections: 1500", 3);
  ASSERT_TRUE(processor.ok());
  const Detections detections = (*processor)->Process(boxes, at::zeros({1, 1200, 4}));
  EXPECT_EQ(detections.counts[0].item<int64_t>(), 1500);
  EXPECT_TRUE(at::equal(detections.labels[0].narrow(0, 0, 1000), at::ones({1000}, at::kLong)));
  EXPECT_TRUE(at::equal(detections.labels[0].narrow(0, 1000, 500), at::full({500}, 2, at::kLong)));
  EXPECT_TRUE(at::equal(detections.boxes[0].narrow(0, 0, 1000), boxes[0].narrow(0, 0, 1000)));
  EXPECT_TRUE(at::equal(detections.scores[0], at::full({1500}, 0.25)));
}

TEST(PerClassNms, WhatIsNotFiniteDetectsNothing) {
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor boxes = at::tensor({0.1f, 0.1f, 0.2f, 0.2f, NAN, 0.1f, 0.2f, 0.2f, -inf, 0.3f, inf,
                                   0.5f, 0.6f, 0.6f, 0.8f, 0.8f})
                           .view({1, 4, 4});
  const Tensor logits = at::tensor({0.f, 3.f, 0.f, 2.f, 0.f, 1.f, NAN, NAN}).view({1, 4, 2});
  const Detections clipped = (*Create("", 1))->Process(boxes, logits);
  EXPECT_EQ(clipped.counts[0].item<int64_t>(), 2);
  EXPECT_TRUE(at::equal(clipped.boxes[0][1], at::tensor({0.0f, 0.3f, 1.0f, 0.5f})));
  EXPECT_EQ((*Create("clip: NEVER", 1))->Process(boxes, logits).counts[0].item<int64_t>(), 1);
}

TEST(PerClassNms, LargeLogitsDoNotOverflow) {
  const Tensor boxes = at::tensor({0.1f, 0.1f, 0.2f, 0.2f}).view({1, 1, 4});
  const Detections detections =
      (*Create("", 2))->Process(boxes, at::tensor({-500.f, 900.f, 900.f}).view({1, 1, 3}));
  EXPECT_EQ(detections.counts[0].item<int64_t>(), 2);
  EXPECT_FLOAT_EQ(detections.scores[0][0].item<float>(), 0.5f);
}

// Higher scores first, then lower indices, of more than 32 bits.
TEST(Candidates, KeysOrderScoresThenIndices) {
  const int64_t indices[] = {0, 1, 0xffffffff, int64_t{1} << 33, (int64_t{1} << 34) - 1};
  for (const float score : {1e-38f, 0.01f, 0.5f, 1.0f}) {
    uint64_t previous = ~uint64_t{0};
    for (const int64_t index : indices) {
      const uint64_t key = CandidateKey(score, index);
      EXPECT_EQ(IndexOf(key), index);
      EXPECT_EQ(ScoreOf(key), score);
      EXPECT_LT(key, previous);
      previous = key;
    }
    EXPECT_GT(CandidateKey(std::nextafter(score, 2.0f), indices[4]), CandidateKey(score, 0));
  }
}

TEST(PerClassNms, BadOptionsNameTheField) {
  for (const char* options :
       {"score_threshold: 1", "score_threshold: -0.1", "score_threshold: nan", "iou_threshold: 0",
        "iou_threshold: 1.5", "iou_threshold: nan", "max_candidates_per_class: 0",
        "max_detections: -1", "nms_eta: 0", "nms_eta: 1.1", "nms_eta: nan", "nms_eta: 0.9",
        "nms_eta: 0.9 iou_threshold: 0.5"}) {
    const absl::Status status = Create(options, 3).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << options;
    const std::string field(options, std::string(options).find(':'));
    EXPECT_NE(status.message().find("post_processor.per_class_nms." + field), std::string::npos)
        << status;
  }
}

}  // namespace
}  // namespace ssd
