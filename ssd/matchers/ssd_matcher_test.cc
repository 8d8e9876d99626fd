#include "ssd/matchers/ssd_matcher.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "ssd/core/boxes.h"
#include "ssd/core/text_proto.h"
#include "ssd/matchers/reference_matching.h"

namespace ssd {
namespace {

// The best pairs one by one, slowly.
Tensor ReferenceMatch(const Truth& truth, const Tensor& corners, const MatchRules& rules) {
  const int64_t batch = truth.boxes.size(0);
  const Tensor result = at::full({batch, corners.size(0)}, Matcher::kUnmatched, at::kLong);
  for (int64_t b = 0; b < batch; ++b) {
    const ReferenceImage image(truth, b, corners);
    std::vector<bool> truth_taken(image.num_truths());
    std::vector<bool> anchor_taken(image.num_anchors());
    std::vector<int64_t> matches = image.MatchByRules(rules);
    for (;;) {
      float best = 1e-6f;
      int64_t best_truth = -1;
      int64_t best_anchor = -1;
      for (int64_t a = 0; a < image.num_anchors(); ++a) {
        if (anchor_taken[a]) continue;
        for (int64_t g = 0; g < image.num_truths(); ++g) {
          if (image.usable(g) && !truth_taken[g] && image.iou(g, a) > best) {
            best = image.iou(g, a);
            best_truth = g;
            best_anchor = a;
          }
        }
      }
      if (best_truth < 0) break;
      matches[best_anchor] = best_truth;
      anchor_taken[best_anchor] = true;
      truth_taken[best_truth] = true;
    }
    result[b].copy_(at::tensor(matches));
  }
  return result;
}

MatchRules PositiveAt(float iou) {
  MatchRules rules;
  rules.positive_iou = rules.negative_iou = iou;
  return rules;
}

TEST(SsdMatcher, BothWaysFollowTheRules) {
  at::manual_seed(1);
  for (const auto& [num_anchors, padded] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 3}, {40, 8}, {513, 16}, {1100, 5}, {6, 9}}) {
    for (const MatchRules& rules : SomeRules()) {
      const Tensor corners = CornersFromCenters(RandomCenters(num_anchors));
      Truth truth = RandomTruth(4, padded);
      truth.labels[1].zero_();   // an image without truth
      truth.ignore[2].fill_(1);  // one with ignored truths alone
      const Tensor expected = ReferenceMatch(truth, corners, rules);
      EXPECT_TRUE(at::equal(BipartiteMatchOnCpu(truth, corners, rules), expected));
      EXPECT_TRUE(at::equal(BipartiteMatchByTensorOps(truth, corners, rules), expected));
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
  const Tensor matches = BipartiteMatchOnCpu(truth, corners, PositiveAt(0.9f));
  EXPECT_TRUE(at::equal(matches, ReferenceMatch(truth, corners, PositiveAt(0.9f))));
  EXPECT_TRUE(at::equal(matches, BipartiteMatchByTensorOps(truth, corners, PositiveAt(0.9f))));
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
  const Tensor matches = BipartiteMatchOnCpu(truth, corners, {});
  for (int64_t b = 0; b < 2; ++b) {
    const Tensor counts = at::bincount(matches[b].masked_select(matches[b] >= 0), {}, 300);
    EXPECT_GE(counts.min().item<int64_t>(), 1);
  }
}

// Keys share their bits between anchors and truths as these need them.
TEST(SsdMatcher, MoreTruthsThanAnchors) {
  at::manual_seed(4);
  constexpr int64_t kTruths = 8300;
  const Tensor corners = CornersFromCenters(RandomCenters(3));
  Truth truth;
  truth.boxes = CornersFromCenters(RandomCenters(kTruths)).unsqueeze(0);
  truth.labels = at::ones({1, kTruths}, at::kLong);
  truth.ignore = at::zeros({1, kTruths}, at::kBool);
  EXPECT_TRUE(at::equal(BipartiteMatchByTensorOps(truth, corners, {}),
                        BipartiteMatchOnCpu(truth, corners, {})));
}

TEST(SsdMatcher, AtTheThresholdMatches) {
  // IoU exactly 1/2 with both anchors; the second is no truth's best.
  const Tensor corners =
      at::tensor({0.0f, 0.0f, 0.5f, 0.25f, 0.0f, 0.25f, 0.5f, 0.5f}).view({2, 4});
  Truth truth;
  truth.boxes = at::tensor({0.0f, 0.0f, 0.5f, 0.5f}).view({1, 1, 4});
  truth.labels = at::ones({1, 1}, at::kLong);
  truth.ignore = at::zeros({1, 1}, at::kBool);
  EXPECT_TRUE(at::equal(BipartiteMatchOnCpu(truth, corners, {}), at::zeros({1, 2}, at::kLong)));
  EXPECT_TRUE(at::equal(BipartiteMatchOnCpu(truth, corners, PositiveAt(0.51f)),
                        at::tensor({0, -1}).view({1, 2}).to(at::kLong)));
}

TEST(SsdMatcher, NoRowsAtAll) {
  const Tensor corners = CornersFromCenters(RandomCenters(7));
  const Truth truth = RandomTruth(2, 0);
  const Tensor expected = at::full({2, 7}, Matcher::kUnmatched, at::kLong);
  EXPECT_TRUE(at::equal(BipartiteMatchOnCpu(truth, corners, {}), expected));
  EXPECT_TRUE(at::equal(BipartiteMatchByTensorOps(truth, corners, {}), expected));
}

// Anchors of IoU 1/4, 1/2 and 1 with a truth, one that an ignored truth is, one over nothing.
TEST(SsdMatcher, BandsAndIgnoredTruthsTakeAnchorsOut) {
  Anchors anchors;
  anchors.boxes = CentersFromCorners(
      at::tensor({0.0f, 0.0f, 0.25f, 0.25f, 0.0f, 0.0f, 0.25f, 0.5f, 0.0f, 0.0f,
                  0.5f, 0.5f, 0.5f,  0.5f,  1.0f, 1.0f, 0.5f,  0.0f, 1.0f, 0.25f})
          .view({5, 4}));
  anchors.per_level = {5};
  Truth truth;
  truth.boxes =
      at::tensor({0.0f, 0.0f, 0.5f, 0.5f, 0.5f, 0.5f, 1.0f, 1.0f}).view({1, 2, 4}).contiguous();
  truth.labels = at::ones({1, 2}, at::kLong);
  truth.ignore = at::tensor({0, 1}).view({1, 2}).to(at::kBool);
  const auto match = [&](const std::string& options) {
    MatcherConfig config;
    EXPECT_TRUE(ParseTextProto("ssd {" + options + "}", "test", config).ok());
    const auto matcher = MatcherRegistry::Get().Create(config, {});
    EXPECT_TRUE(matcher.ok()) << matcher.status();
    const Tensor matches = (*matcher)->Match(truth, anchors)[0];
    return std::vector<int64_t>(matches.const_data_ptr<int64_t>(),
                                matches.const_data_ptr<int64_t>() + 5);
  };
  using Matches = std::vector<int64_t>;
  EXPECT_EQ(match(""), (Matches{-1, 0, 0, -1, -1}));
  EXPECT_EQ(match("positive_iou: 0.75"), (Matches{-1, -1, 0, -1, -1}));
  EXPECT_EQ(match("positive_iou: 0.75 negative_iou: 0.5"), (Matches{-1, -2, 0, -1, -1}));
  EXPECT_EQ(match("positive_iou: 0.75 negative_iou: 0.25"), (Matches{-2, -2, 0, -1, -1}));
  EXPECT_EQ(match("ignore_overlap: 1"), (Matches{-1, 0, 0, -2, -1}));
  // An ignored truth over a matched anchor does not take it.
  truth.boxes[0][1].copy_(at::tensor({0.0f, 0.0f, 0.5f, 0.5f}));
  EXPECT_EQ(match("ignore_overlap: 0.25"), (Matches{-2, 0, 0, -1, -1}));
  // A crowd over the whole image contains every anchor, whatever its IoU with them.
  truth.boxes[0][1].copy_(at::tensor({0.0f, 0.0f, 1.0f, 1.0f}));
  EXPECT_EQ(match("ignore_overlap: 1"), (Matches{-2, 0, 0, -2, -2}));
  // Half of the fourth anchor lies in one over the upper three quarters, and all of the fifth.
  truth.boxes[0][1].copy_(at::tensor({0.5f, 0.0f, 1.0f, 0.75f}));
  EXPECT_EQ(match("ignore_overlap: 0.5"), (Matches{-1, 0, 0, -2, -2}));
  EXPECT_EQ(match("ignore_overlap: 0.51"), (Matches{-1, 0, 0, -1, -2}));
}

TEST(SsdMatcher, AnchorsAcrossTheBorderTakeNoPart) {
  Anchors anchors;
  anchors.boxes = CentersFromCorners(at::tensor({-0.1f, 0.0f, 0.5f, 0.5f,    // across
                                                 0.0f, 0.0f, 0.5f, 0.5f,     // at it
                                                 0.6f, 0.75f, 0.9f, 1.01f})  // across
                                         .view({3, 4}));
  anchors.per_level = {3};
  Truth truth;
  truth.boxes =
      at::tensor({-0.1f, 0.0f, 0.5f, 0.5f, 0.6f, 0.75f, 0.9f, 1.01f}).view({1, 2, 4}).contiguous();
  truth.labels = at::ones({1, 2}, at::kLong);
  truth.ignore = at::zeros({1, 2}, at::kBool);
  MatcherConfig config;
  ASSERT_TRUE(ParseTextProto("ssd { ignore_cross_border: true }", "test", config).ok());
  const auto matcher = *MatcherRegistry::Get().Create(config, {});
  EXPECT_TRUE(at::equal(matcher->Match(truth, anchors)[0], at::tensor({-2, 0, -2}).to(at::kLong)));
}

TEST(SsdMatcher, BadOptionsNameTheField) {
  for (const char* option : {"positive_iou: 0", "positive_iou: 1.1", "positive_iou: nan",
                             "negative_iou: 0", "negative_iou: 0.6", "negative_iou: nan",
                             "ignore_overlap: 0", "ignore_overlap: 2", "ignore_overlap: nan"}) {
    MatcherConfig config;
    ASSERT_TRUE(ParseTextProto(std::string("ssd {") + option + "}", "test", config).ok());
    const absl::Status status = MatcherRegistry::Get().Create(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << option;
    EXPECT_NE(status.message().find(std::string("matcher.ssd.") + option), std::string::npos)
        << status;
  }
}

}  // namespace
}  // namespace ssd
