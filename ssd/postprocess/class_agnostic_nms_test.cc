#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/core/text_proto.h"
#include "ssd/postprocess/post_processor.h"
#include "ssd/postprocess/tensor_nms.h"

namespace ssd {
namespace {

// Some reach beyond the image, none lies outside.
Tensor RandomCorners(int64_t n) {
  const Tensor low = at::rand({n, 2}) * 0.8;
  return at::cat({low, low + at::rand({n, 2}) * 0.4 + 0.01}, 1);
}

absl::StatusOr<std::unique_ptr<PostProcessor>> Create(const std::string& options,
                                                      int64_t num_classes, bool sigmoid = false) {
  PostProcessorConfig config;
  const absl::Status status =
      ParseTextProto("class_agnostic_nms {" + options + "}", "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return PostProcessorRegistry::Get().Create(config, {num_classes, sigmoid});
}

// All pairs of an anchor and a class, suppressed together: the rule without the thought that an
// anchor's best class is enough.
TEST(ClassAgnosticNms, EqualsSuppressionOfAllClassesOfAllAnchors) {
  at::manual_seed(1);
  constexpr int64_t kAnchors = 400;
  constexpr int64_t kClasses = 5;
  const Tensor boxes = RandomCorners(2 * kAnchors).view({2, kAnchors, 4});
  const Tensor logits = at::randn({2, kAnchors, kClasses + 1}) * 2;
  for (const bool sigmoid : {false, true}) {
    const Tensor scores = sigmoid ? logits.narrow(2, 1, kClasses).sigmoid()
                                  : logits.softmax(2).narrow(2, 1, kClasses);
    for (const bool clip : {true, false}) {
      const auto processor =
          Create(absl::StrCat("score_threshold: 0.1 iou_threshold: 0.3 max_candidates: 100000 ",
                              "max_detections: 60", clip ? "" : " clip: NEVER"),
                 kClasses, sigmoid);
      ASSERT_TRUE(processor.ok()) << processor.status();
      const Detections found =
          (*processor)->Process(boxes, sigmoid ? logits.narrow(2, 1, kClasses) : logits);
      for (int64_t b = 0; b < 2; ++b) {
        // Class by class, so that ties go to the lower class.
        const Tensor pairs = (scores[b].t() > 0.1).nonzero();  // (class, anchor)
        const Tensor score = scores[b].t().index({pairs.select(1, 0), pairs.select(1, 1)});
        const Tensor corners =
            (clip ? boxes[b].clamp(0, 1) : boxes[b]).index_select(0, pairs.select(1, 1));
        const Tensor kept = Nms(corners, score, 0.3);
        const int64_t count = std::min<int64_t>(60, kept.size(0));
        ASSERT_EQ(found.counts[b].item<int64_t>(), count);
        const Tensor best = kept.narrow(0, 0, count);
        EXPECT_TRUE(at::equal(found.boxes[b].narrow(0, 0, count), corners.index_select(0, best)));
        EXPECT_TRUE(at::allclose(found.scores[b].narrow(0, 0, count), score.index_select(0, best),
                                 1e-6, 1e-7));
        EXPECT_TRUE(at::equal(found.labels[b].narrow(0, 0, count),
                              pairs.select(1, 0).index_select(0, best) + 1));
      }
    }
  }
}

// torchvision.ops.nms (0.26) of these boxes with the scores of their better class, at four
// thresholds: no IoU is one of them.
TEST(ClassAgnosticNms, KeepsWhatTorchvisionKeeps) {
  const Tensor boxes =
      at::tensor({0.0f,  0.0f,    0.5f,  0.5f,    0.0625f, 0.0f,    0.5625f, 0.5f,  0.25f, 0.25f,
                  0.75f, 0.75f,   0.0f,  0.0f,    0.5f,    0.25f,   0.5f,    0.5f,  1.0f,  1.0f,
                  0.5f,  0.5625f, 1.0f,  1.0f,    0.25f,   0.3125f, 0.75f,   0.75f, 0.75f, 0.0f,
                  1.0f,  0.25f,   0.75f, 0.0625f, 1.0f,    0.3125f, 0.0f,    0.0f,  0.5f,  0.4375f})
          .view({1, 10, 4});
  const Tensor logits =
      at::tensor({0.0f, 3.0f,  1.0f,  0.0f, 1.0f, 2.75f, 0.0f,   2.5f,  0.0f, 0.0f,
                  0.0f, 2.25f, 0.0f,  2.0f, 0.0f, 0.0f,  0.0f,   1.75f, 0.0f, 0.0f,
                  1.5f, 0.0f,  1.25f, 0.0f, 0.0f, 0.0f,  1.125f, 0.0f,  3.5f, 0.0f})
          .view({1, 10, 3});
  const Tensor scores = at::tensor({0.84379470f, 0.80794907f, 0.8589811f, 0.82590127f, 0.786986f,
                                    0.74208868f, 0.69143844f, 0.63572407f, 0.60631603f, 0.943045f});
  const Tensor labels = at::tensor({1, 2, 1, 2, 1, 2, 2, 1, 2, 1}, at::kLong);
  const struct {
    const char* iou_threshold;
    std::vector<int64_t> kept;
  } cases[] = {
      {"0.3", {9, 2, 4, 7}},
      {"0.45", {9, 2, 4, 7}},
      {"0.65", {9, 2, 3, 4, 7, 8}},
      {"0.8", {9, 2, 3, 1, 4, 7, 8}},
  };
  for (const auto& c : cases) {
    const auto processor = Create(absl::StrCat("iou_threshold: ", c.iou_threshold), 2);
    ASSERT_TRUE(processor.ok()) << processor.status();
    const Detections found = (*processor)->Process(boxes, logits);
    const int64_t count = static_cast<int64_t>(c.kept.size());
    ASSERT_EQ(found.counts[0].item<int64_t>(), count) << c.iou_threshold;
    const Tensor kept = at::tensor(c.kept, at::kLong);
    EXPECT_TRUE(at::equal(found.boxes[0].narrow(0, 0, count), boxes[0].index_select(0, kept)))
        << c.iou_threshold;
    EXPECT_TRUE(
        at::allclose(found.scores[0].narrow(0, 0, count), scores.index_select(0, kept), 1e-6, 1e-7))
        << c.iou_threshold;
    EXPECT_TRUE(at::equal(found.labels[0].narrow(0, 0, count), labels.index_select(0, kept)))
        << c.iou_threshold;
  }
}

TEST(ClassAgnosticNms, OneOfTwoClassesStays) {
  // The lower half of box 0, of another class: IoU 1/2.
  const Tensor boxes =
      at::tensor({0.0f, 0.0f, 0.5f, 0.5f, 0.0f, 0.0f, 0.5f, 0.25f}).view({1, 2, 4});
  const Tensor logits = at::tensor({0.f, 3.f, 0.f, 0.f, 0.f, 2.f}).view({1, 2, 3});
  const auto count = [&](const std::string& options) {
    return (*Create(options, 2))->Process(boxes, logits).counts[0].item<int64_t>();
  };
  EXPECT_EQ(count(""), 1);
  EXPECT_EQ(count("iou_threshold: 0.5"), 2);
  EXPECT_EQ(count("iou_threshold: 0.5 suppress_equal: true"), 1);
  EXPECT_EQ(count("iou_threshold: 0.9"), 2);
  EXPECT_EQ(count("iou_threshold: 0.9 max_candidates: 1"), 1);
  EXPECT_EQ(count("iou_threshold: 0.9 max_detections: 1"), 1);
  EXPECT_EQ(count("iou_threshold: 0.9 score_threshold: 0.8"), 1);
}

TEST(ClassAgnosticNms, WhatIsNotFiniteDetectsNothing) {
  const Tensor boxes = at::tensor({0.1f, 0.1f, 0.2f, 0.2f, NAN, 0.1f, 0.2f, 0.2f}).view({1, 2, 4});
  const Tensor logits = at::tensor({0.f, NAN, NAN, 0.f, 1.f, 3.f}).view({1, 2, 3});
  EXPECT_EQ((*Create("", 2))->Process(boxes, logits).counts[0].item<int64_t>(), 0);
}

TEST(ClassAgnosticNms, BadOptionsNameTheField) {
  for (const char* options : {"score_threshold: 1", "score_threshold: nan", "iou_threshold: 0",
                              "iou_threshold: 1.5", "max_candidates: 0", "max_detections: -1"}) {
    const absl::Status status = Create(options, 3).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << options;
    const std::string field(options, std::string(options).find(':'));
    EXPECT_NE(status.message().find("post_processor.class_agnostic_nms." + field),
              std::string::npos)
        << status;
  }
}

}  // namespace
}  // namespace ssd
