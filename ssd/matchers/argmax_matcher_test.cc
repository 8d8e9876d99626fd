#include "ssd/matchers/argmax_matcher.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "ssd/core/boxes.h"
#include "ssd/core/text_proto.h"
#include "ssd/matchers/reference_matching.h"

// Beside detection_parity_test, which compares with torchvision's, amdegroot's and others'.
namespace ssd {
namespace {

Tensor ReferenceMatch(const Truth& truth, const Tensor& corners, const MatchRules& rules,
                      bool force) {
  const int64_t batch = truth.boxes.size(0);
  const Tensor result = at::full({batch, corners.size(0)}, Matcher::kUnmatched, at::kLong);
  for (int64_t b = 0; b < batch; ++b) {
    const ReferenceImage image(truth, b, corners);
    std::vector<int64_t> matches = image.MatchByRules(rules);
    for (int64_t g = 0; g < image.num_truths() && force; ++g) {
      int64_t best = 0;
      for (int64_t a = 1; a < image.num_anchors(); ++a) {
        if (image.iou(g, a) > image.iou(g, best)) best = a;
      }
      if (image.usable(g) && image.iou(g, best) > 1e-6f) matches[best] = g;
    }
    result[b].copy_(at::tensor(matches));
  }
  return result;
}

TEST(ArgmaxMatcher, BothWaysFollowTheRules) {
  at::manual_seed(1);
  for (const auto& [num_anchors, padded] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 3}, {40, 8}, {513, 16}, {1100, 5}, {6, 9}}) {
    for (const MatchRules& rules : SomeRules()) {
      for (const auto force : {ArgmaxMatcherOptions::NONE, ArgmaxMatcherOptions::TRUTH_ORDER}) {
        const Tensor corners = CornersFromCenters(RandomCenters(num_anchors));
        Truth truth = RandomTruth(4, padded);
        truth.labels[1].zero_();   // an image without truth
        truth.ignore[2].fill_(1);  // one with ignored truths alone
        const Tensor expected =
            ReferenceMatch(truth, corners, rules, force == ArgmaxMatcherOptions::TRUTH_ORDER);
        EXPECT_TRUE(at::equal(ArgmaxMatchOnCpu(truth, corners, rules, force), expected));
        EXPECT_TRUE(at::equal(ArgmaxMatchByTensorOps(truth, corners, rules, force), expected));
      }
    }
  }
}

Tensor Match(const std::string& options, const Truth& truth, const Tensor& corners) {
  MatcherConfig config;
  EXPECT_TRUE(ParseTextProto("argmax {" + options + "}", "test", config).ok()) << options;
  const auto matcher = MatcherRegistry::Get().Create(config, {});
  EXPECT_TRUE(matcher.ok()) << matcher.status();
  Anchors anchors;
  anchors.boxes = CentersFromCorners(corners);
  anchors.per_level = {corners.size(0)};
  return (*matcher)->Match(truth, anchors)[0];
}

// Two truths with one best anchor: the last takes it, the first has none.
TEST(ArgmaxMatcher, TheLastTruthWins) {
  const Tensor corners = at::tensor({0.0f, 0.0f, 0.5f, 0.5f, 0.5f, 0.5f, 1.0f, 1.0f}).view({2, 4});
  Truth truth;
  truth.boxes = at::tensor({0.0f, 0.0f, 0.25f, 0.25f, 0.25f, 0.25f, 0.5f, 0.5f}).view({1, 2, 4});
  truth.labels = at::ones({1, 2}, at::kLong);
  truth.ignore = at::zeros({1, 2}, at::kBool);
  EXPECT_TRUE(at::equal(Match("", truth, corners), at::tensor({1, -1}).to(at::kLong)));
  EXPECT_TRUE(
      at::equal(Match("force_best: NONE", truth, corners), at::tensor({-1, -1}).to(at::kLong)));
  EXPECT_TRUE(at::equal(Match("force_best: NONE positive_iou: 0.25", truth, corners),
                        at::tensor({0, -1}).to(at::kLong)));
}

// NVIDIA's rule: more than a half, which is the next float32.
TEST(ArgmaxMatcher, AboveAHalfIsTheNextFloat) {
  const Tensor corners = at::tensor({0.0f, 0.0f, 0.5f, 0.25f, 0.0f, 0.0f, 0.5f, 0.5f}).view({2, 4});
  Truth truth;
  truth.boxes = at::tensor({0.0f, 0.0f, 0.5f, 0.5f}).view({1, 1, 4});
  truth.labels = at::ones({1, 1}, at::kLong);
  truth.ignore = at::zeros({1, 1}, at::kBool);
  EXPECT_TRUE(at::equal(Match("", truth, corners), at::tensor({0, 0}).to(at::kLong)));
  EXPECT_TRUE(at::equal(Match("positive_iou: 0.50000006", truth, corners),
                        at::tensor({-1, 0}).to(at::kLong)));
}

TEST(ArgmaxMatcher, NoRowsAtAll) {
  const Tensor corners = CornersFromCenters(RandomCenters(7));
  const Truth truth = RandomTruth(2, 0);
  const Tensor expected = at::full({2, 7}, Matcher::kUnmatched, at::kLong);
  const auto force = ArgmaxMatcherOptions::TRUTH_ORDER;
  EXPECT_TRUE(at::equal(ArgmaxMatchOnCpu(truth, corners, {}, force), expected));
  EXPECT_TRUE(at::equal(ArgmaxMatchByTensorOps(truth, corners, {}, force), expected));
}

TEST(ArgmaxMatcher, BadOptionsNameTheField) {
  for (const char* option : {"positive_iou: 0", "positive_iou: nan", "negative_iou: 0.6",
                             "negative_iou: -0.1", "ignore_overlap: 1.5"}) {
    MatcherConfig config;
    ASSERT_TRUE(ParseTextProto(std::string("argmax {") + option + "}", "test", config).ok());
    const absl::Status status = MatcherRegistry::Get().Create(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << option;
    EXPECT_NE(status.message().find(std::string("matcher.argmax.") + option), std::string::npos)
        << status;
  }
}

}  // namespace
}  // namespace ssd
