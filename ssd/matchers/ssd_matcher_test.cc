#include "ssd/matchers/ssd_matcher.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "ssd/core/boxes.h"
#include "ssd/core/text_proto.h"

namespace ssd {
namespace {

// n boxes (cx, cy, w, h) of all sizes, some of them equal but for their place in the list.
Tensor RandomCenters(int64_t n) {
  const Tensor boxes = at::cat({at::rand({n, 2}), at::rand({n, 2}) * 0.5 + 0.02}, 1);
  if (n > 3) boxes[n - 1].copy_(boxes[1]);
  return boxes;
}

Truth RandomTruth(int64_t batch, int64_t padded) {
  Truth truth;
  truth.boxes = CornersFromCenters(RandomCenters(batch * padded)).view({batch, padded, 4});
  truth.labels = at::randint(0, 4, {batch, padded}, at::kLong);
  truth.ignore = at::rand({batch, padded}) < 0.1;
  return truth;
}

// The rules as they are written, slowly.
Tensor ReferenceMatch(const Truth& truth, const Tensor& corners, float positive_iou) {
  const int64_t batch = truth.boxes.size(0);
  const int64_t num_truths = truth.boxes.size(1);
  const int64_t num_anchors = corners.size(0);
  const Tensor result = at::full({batch, num_anchors}, Matcher::kUnmatched, at::kLong);
  for (int64_t b = 0; b < batch; ++b) {
    const Tensor iou = PairwiseIou(truth.boxes[b], corners);
    const float* const value = iou.const_data_ptr<float>();
    std::vector<bool> usable;
    for (int64_t g = 0; g < num_truths; ++g) {
      usable.push_back(truth.labels[b][g].item<int64_t>() > 0 && !truth.ignore[b][g].item<bool>());
    }
    std::vector<bool> truth_free = usable;
    std::vector<int64_t> match(num_anchors, Matcher::kUnmatched);
    for (;;) {
      float best = 1e-6f;
      int64_t best_truth = -1;
      int64_t best_anchor = -1;
      for (int64_t a = 0; a < num_anchors; ++a) {
        if (match[a] >= 0) continue;
        for (int64_t g = 0; g < num_truths; ++g) {
          if (truth_free[g] && value[g * num_anchors + a] > best) {
            best = value[g * num_anchors + a];
            best_truth = g;
            best_anchor = a;
          }
        }
      }
      if (best_truth < 0) break;
      match[best_anchor] = best_truth;
      truth_free[best_truth] = false;
    }
    for (int64_t a = 0; a < num_anchors; ++a) {
      float best = 0;
      int64_t best_truth = match[a];
      for (int64_t g = 0; g < num_truths && match[a] < 0; ++g) {
        const float v = value[g * num_anchors + a];
        if (usable[g] && v >= positive_iou && v > best) {
          best = v;
          best_truth = g;
        }
      }
      result[b][a] = best_truth;
    }
  }
  return result;
}

TEST(SsdMatcher, BothWaysFollowTheRules) {
  at::manual_seed(1);
  for (const auto& [num_anchors, padded] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 3}, {40, 8}, {513, 16}, {1100, 5}, {6, 9}}) {
    for (const float positive_iou : {0.5f, 0.05f, 1.0f}) {
      const Tensor corners = CornersFromCenters(RandomCenters(num_anchors));
      Truth truth = RandomTruth(3, padded);
      truth.labels[1].zero_();  // an image without truth
      const Tensor expected = ReferenceMatch(truth, corners, positive_iou);
      EXPECT_TRUE(at::equal(MatchOnCpu(truth, corners, positive_iou), expected));
      EXPECT_TRUE(at::equal(MatchByTensorOps(truth, corners, positive_iou), expected));
    }
  }
}

// Truths that all want the same anchors.
TEST(SsdMatcher, CrowdedTruthsEachGetAnAnchor) {
  at::manual_seed(2);
  const Tensor corners = CornersFromCenters(RandomCenters(2000));
  Truth truth;
  const Tensor one = at::tensor({0.4f, 0.4f, 0.6f, 0.62f});
  truth.boxes = (one + at::rand({1, 60, 1}) * 0.001).contiguous();
  truth.boxes.narrow(1, 0, 20).copy_(one.expand({1, 20, 4}));  // and equal ones
  truth.labels = at::ones({1, 60}, at::kLong);
  truth.ignore = at::zeros({1, 60}, at::kBool);
  const Tensor matches = MatchOnCpu(truth, corners, 0.9f);
  EXPECT_TRUE(at::equal(matches, ReferenceMatch(truth, corners, 0.9f)));
  EXPECT_TRUE(at::equal(matches, MatchByTensorOps(truth, corners, 0.9f)));
  std::set<int64_t> matched;
  for (int64_t a = 0; a < 2000; ++a) matched.insert(matches[0][a].item<int64_t>());
  for (int64_t g = 0; g < 60; ++g) EXPECT_TRUE(matched.count(g)) << g;
}

TEST(SsdMatcher, ThreeHundredTruths) {
  at::manual_seed(3);
  const Tensor corners = CornersFromCenters(RandomCenters(8732));
  Truth truth;
  truth.boxes = CornersFromCenters(RandomCenters(600)).view({2, 300, 4});
  truth.labels = at::ones({2, 300}, at::kLong);
  truth.ignore = at::zeros({2, 300}, at::kBool);
  const Tensor matches = MatchOnCpu(truth, corners, 0.5f);
  for (int64_t b = 0; b < 2; ++b) {
    const Tensor counts = at::bincount(matches[b].masked_select(matches[b] >= 0), {}, 300);
    EXPECT_GE(counts.min().item<int64_t>(), 1);
  }
}

TEST(SsdMatcher, AtTheThresholdMatches) {
  // IoU exactly 1/2 with both anchors; the second is no truth's best.
  const Tensor corners =
      at::tensor({0.0f, 0.0f, 0.5f, 0.25f, 0.0f, 0.25f, 0.5f, 0.5f}).view({2, 4});
  Truth truth;
  truth.boxes = at::tensor({0.0f, 0.0f, 0.5f, 0.5f}).view({1, 1, 4});
  truth.labels = at::ones({1, 1}, at::kLong);
  truth.ignore = at::zeros({1, 1}, at::kBool);
  EXPECT_TRUE(at::equal(MatchOnCpu(truth, corners, 0.5f), at::zeros({1, 2}, at::kLong)));
  EXPECT_TRUE(
      at::equal(MatchOnCpu(truth, corners, 0.51f), at::tensor({0, -1}).view({1, 2}).to(at::kLong)));
}

TEST(SsdMatcher, NoRowsAtAll) {
  const Tensor corners = CornersFromCenters(RandomCenters(7));
  const Truth truth = RandomTruth(2, 0);
  const Tensor expected = at::full({2, 7}, Matcher::kUnmatched, at::kLong);
  EXPECT_TRUE(at::equal(MatchOnCpu(truth, corners, 0.5f), expected));
  EXPECT_TRUE(at::equal(MatchByTensorOps(truth, corners, 0.5f), expected));
}

TEST(SsdMatcher, BadOptionsNameTheField) {
  for (const char* options : {"positive_iou: 0", "positive_iou: 1.1", "positive_iou: nan"}) {
    MatcherConfig config;
    ASSERT_TRUE(ParseTextProto(std::string("ssd {") + options + "}", "test", config).ok());
    const absl::Status status = MatcherRegistry::Get().Create(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << options;
    EXPECT_NE(status.message().find("matcher.ssd.positive_iou"), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace ssd
