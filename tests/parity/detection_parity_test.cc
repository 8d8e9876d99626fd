// Whole chains of components beside Caffe's, torchvision's and others' numbers: anchors and
// matching; matching, codes and loss; decoding and post-processing.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/anchors/anchor_generator.h"
#include "ssd/coders/box_coder.h"
#include "ssd/core/boxes.h"
#include "ssd/core/text_proto.h"
#include "ssd/losses/loss.h"
#include "ssd/matchers/matcher.h"
#include "ssd/postprocess/post_processor.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

template <typename Families, typename Config, typename Context>
auto Create(const std::string& text, const Context& context) {
  Config config;
  const absl::Status status = ParseTextProto(text, "test", config);
  EXPECT_TRUE(status.ok()) << status;
  auto component = Families::Get().Create(config, context);
  EXPECT_TRUE(component.ok()) << component.status();
  return *std::move(component);
}

auto CreateMatcher(const std::string& text) {
  return Create<MatcherRegistry, MatcherConfig>(text, MatcherContext{});
}
auto CreateCoder() {
  return Create<BoxCoderRegistry, BoxCoderConfig>("center_size {}", BoxCoderContext{});
}

// SSD300's for VOC.
Anchors Ssd300Anchors() {
  const auto generator = Create<AnchorGeneratorRegistry, AnchorGeneratorConfig>(
      R"pb(
        ssd {
          first_scale: 0.1
          min_scale: 0.2
          max_scale: 0.88
          beyond_last: CONTINUE_STEP
          level { aspect_ratio: 2 step: 8 }
          level {
            aspect_ratio: [ 2, 3 ]
            step: 16
          }
          level {
            aspect_ratio: [ 2, 3 ]
            step: 32
          }
          level {
            aspect_ratio: [ 2, 3 ]
            step: 64
          }
          level { aspect_ratio: 2 step: 100 }
          level { aspect_ratio: 2 step: 300 }
        }
      )pb",
      AnchorGeneratorContext{6});
  std::vector<FeatureSpec> levels;
  for (const int64_t size : {38, 19, 10, 5, 3, 1}) {
    FeatureSpec spec;
    spec.height = spec.width = size;
    levels.push_back(spec);
  }
  return *generator->Generate(levels, {300, 300});
}

// One image's truth, without padding; skips the difficult on request.
Truth GoldenTruth(const rapidjson::Value& boxes, const rapidjson::Value& labels,
                  const rapidjson::Value* difficult) {
  Truth truth;
  truth.boxes = golden::Numbers(boxes, {4}).to(at::kFloat).unsqueeze(0);
  truth.labels = golden::Numbers(labels).to(at::kLong).unsqueeze(0);
  truth.ignore = difficult ? golden::Numbers(*difficult).to(at::kBool).unsqueeze(0)
                           : at::zeros_like(truth.labels, at::kBool);
  return truth;
}

std::map<int64_t, int64_t> Matched(const Tensor& matches) {
  std::map<int64_t, int64_t> matched;
  for (int64_t a = 0; a < matches.size(0); ++a) {
    const int64_t row = matches[a].item<int64_t>();
    if (row >= 0) matched[a] = row;
  }
  return matched;
}

std::map<int64_t, int64_t> Map(const rapidjson::Value& object) {
  std::map<int64_t, int64_t> map;
  for (const auto& pair : object.GetObject()) {
    map[std::stoll(pair.name.GetString())] = pair.value.GetInt64();
  }
  return map;
}

// An image of matching.json and the pairs that float32 rounding may take for one another.
class MatchingCase {
 public:
  explicit MatchingCase(const rapidjson::Value& golden_case)
      : golden_case_(golden_case), anchors_(Ssd300Anchors()) {
    if (golden_case["priors"].IsArray()) {
      anchors_.boxes = CentersFromCorners(golden::Numbers(golden_case["priors"]).to(at::kFloat));
      anchors_.per_level = {anchors_.boxes.size(0)};
    }
    truth_ = GoldenTruth(golden_case["gt"], golden_case["labels"], nullptr);
  }

  std::string name() const { return golden_case_["name"].GetString(); }
  const Truth& truth() const { return truth_; }
  const Anchors& anchors() const { return anchors_; }

  std::map<int64_t, int64_t> Match(const std::string& matcher) const {
    return Matched(CreateMatcher(matcher)->Match(truth_, anchors_)[0]);
  }

  // Caffe's matches, changed by what the file says of `peer`: anchor -> [Caffe's row, the peer's].
  std::map<int64_t, int64_t> Expected(const std::string& peer) const {
    std::map<int64_t, int64_t> expected = Map(golden_case_["caffe_per_prediction"]);
    for (const auto& change : golden_case_[(peer + "_minus_caffe").c_str()].GetObject()) {
      const int64_t anchor = std::stoll(change.name.GetString());
      const int64_t row = change.value[1].GetInt64();
      if (row < 0) {
        expected.erase(anchor);
      } else {
        expected[anchor] = row;
      }
    }
    return expected;
  }

  // The file lists the anchors within 1e-6 of a truth's highest IoU.
  bool MayBe(int64_t anchor, int64_t row) const {
    const auto& sensitive =
        golden_case_["rounding_sensitive"]["priors_within_1e_6_of_a_gts_best_iou"];
    const std::string key = std::to_string(row);
    if (!sensitive.HasMember(key.c_str())) return false;
    for (const auto& a : sensitive[key.c_str()].GetArray()) {
      if (a.GetInt64() == anchor) return true;
    }
    return false;
  }

  // Several truths with one best anchor, of which rounding may make several.
  bool truths_may_part() const {
    const auto& sensitive =
        golden_case_["rounding_sensitive"]["priors_within_1e_6_of_a_gts_best_iou"];
    return sensitive.MemberCount() > 1;
  }

 private:
  const rapidjson::Value& golden_case_;
  Anchors anchors_;
  Truth truth_;
};

// Expects equal matches but for pairs that `may_be`; prints how many of these there were.
template <typename MayBe>
void ExpectMatches(const std::map<int64_t, int64_t>& actual,
                   const std::map<int64_t, int64_t>& expected, const MayBe& may_be,
                   const std::string& what) {
  int moved = 0;
  for (const auto& [a, row] : actual) {
    const auto found = expected.find(a);
    if (found != expected.end() && found->second == row) continue;
    EXPECT_TRUE(may_be(a, row)) << what << ": anchor " << a;
    ++moved;
  }
  for (const auto& [a, row] : expected) {
    const auto found = actual.find(a);
    if (found != actual.end() && found->second == row) continue;
    EXPECT_TRUE(may_be(a, row)) << what << ": anchor " << a;
  }
  std::printf("[  golden  ] matching/%s: %zu matches, %d of them at an equal IoU elsewhere\n",
              what.c_str(), actual.size(), moved);
}

TEST(Parity, MatchingEqualsCaffe) {
  for (const auto& value : golden::File("matching.json")["cases"].GetArray()) {
    const MatchingCase golden_case(value);
    const auto may_be = [&](int64_t a, int64_t row) { return golden_case.MayBe(a, row); };
    const struct {
      const char* options;
      const char* golden;
    } modes[] = {{"ssd { positive_iou: 0.5 }", "caffe_per_prediction"},
                 {"ssd { positive_iou: 1 }", "caffe_bipartite_only"}};
    for (const auto& mode : modes) {
      const auto actual = golden_case.Match(mode.options);
      const auto expected = Map(value[mode.golden]);
      EXPECT_EQ(actual.size(), expected.size()) << golden_case.name() << " " << mode.golden;
      ExpectMatches(actual, expected, may_be, golden_case.name() + "/" + mode.golden);
    }
    EXPECT_EQ(golden_case.Expected("pierluigi"), Map(value["caffe_per_prediction"]));
  }
}

TEST(Parity, MatchingEqualsCaffesIgnoringAcrossTheBorder) {
  for (const auto& value : golden::File("matching.json")["cases"].GetArray()) {
    const MatchingCase golden_case(value);
    const std::string what = golden_case.name() + "/ignore_cross_border";
    const Tensor matches = CreateMatcher("ssd { ignore_cross_border: true }")
                               ->Match(golden_case.truth(), golden_case.anchors())[0];
    const Tensor ignored = matches == Matcher::kIgnored;
    EXPECT_EQ(ignored.sum().item<int64_t>(), value["caffe_ignored_cross_boundary"].GetInt64());
    // The file does not list equal IoUs among the anchors that are left.
    const Tensor iou =
        PairwiseIou(golden_case.truth().boxes[0], CornersFromCenters(golden_case.anchors().boxes))
            .masked_fill(ignored, -1);
    const Tensor near_best = iou >= iou.amax({1}, true) - 1e-6;
    const auto may_be = [&](int64_t a, int64_t row) { return near_best[row][a].item<bool>(); };
    const auto expected = Map(value["caffe_per_prediction_ignore_cross_boundary"]);
    const auto actual = Matched(matches);
    EXPECT_EQ(actual.size(), expected.size()) << what;
    ExpectMatches(actual, expected, may_be, what);
  }
}

TEST(Parity, MatchingEqualsThoseByArgmax) {
  for (const auto& value : golden::File("matching.json")["cases"].GetArray()) {
    const MatchingCase golden_case(value);
    const auto may_be = [&](int64_t a, int64_t row) { return golden_case.MayBe(a, row); };
    const auto actual = golden_case.Match("argmax {}");
    for (const char* peer : {"torchvision", "amdegroot", "lufficc"}) {
      const auto expected = golden_case.Expected(peer);
      const std::string what = golden_case.name() + "/" + peer;
      if (!golden_case.truths_may_part()) {
        EXPECT_EQ(actual.size(), expected.size()) << what;
      }
      ExpectMatches(actual, expected, may_be, what);
    }
    // NVIDIA: more than 0.5. The file says which anchors are then positive here or there only.
    std::map<int64_t, int64_t> nvidia = Map(value["caffe_per_prediction"]);
    for (const auto& anchor : value["nvidia_label_positive_minus_caffe_positive"].GetArray()) {
      EXPECT_EQ(nvidia.erase(anchor.GetInt64()), 1u) << golden_case.name();
    }
    std::set<int64_t> expected_positive;
    for (const auto& [a, row] : nvidia) expected_positive.insert(a);
    std::set<int64_t> positive;
    for (const auto& [a, row] : golden_case.Match("argmax { positive_iou: 0.50000006 }")) {
      const bool elsewhere = expected_positive.count(a) == 0;
      if (elsewhere) {
        EXPECT_TRUE(may_be(a, row)) << golden_case.name() << "/nvidia: anchor " << a;
      }
      positive.insert(a);
    }
    if (!golden_case.truths_may_part()) {
      EXPECT_EQ(positive.size(), expected_positive.size()) << golden_case.name() << "/nvidia";
    }
  }
}

// Caffe can match the truths of one class alone; here those of the others are taken for padding.
TEST(Parity, MatchingOfOneClassEqualsCaffes) {
  const auto& restricted = golden::File("matching.json")["label_restricted"];
  Anchors anchors;
  anchors.boxes = CentersFromCorners(golden::Numbers(restricted["priors"]).to(at::kFloat));
  anchors.per_level = {anchors.boxes.size(0)};
  Truth truth = GoldenTruth(restricted["gt"], restricted["labels"], nullptr);
  truth.labels.masked_fill_(truth.labels != restricted["label"].GetInt64(), 0);
  EXPECT_EQ(Matched(CreateMatcher("ssd {}")->Match(truth, anchors)[0]), Map(restricted["result"]));
}

TEST(Parity, MatchingCodesAndLossEqualCaffe) {
  const auto& file = golden::File("multibox_loss.json");
  Anchors anchors;
  anchors.boxes = CentersFromCorners(golden::Numbers(file["priors"]).to(at::kFloat));
  anchors.per_level = {anchors.boxes.size(0)};
  const auto matcher = CreateMatcher("ssd {}");
  const auto coder = CreateCoder();
  const auto loss = Create<LossRegistry, LossConfig>("multibox {}", LossContext{4});
  for (const auto& golden_case : file["cases"].GetArray()) {
    const std::string name = golden_case["name"].GetString();
    // The others have options of their own, which multibox_loss_test sets.
    if (name != "two_images" && name != "only_empty" && name != "all_logits_zero" &&
        name != "skip_difficult") {
      continue;
    }
    std::vector<Tensor> labels;
    std::vector<Tensor> codes;
    for (const auto& image : golden_case["gts"].GetArray()) {
      const Truth truth = GoldenTruth(image["boxes"], image["labels"],
                                      name == "skip_difficult" ? &image["difficult"] : nullptr);
      const Tensor matches = matcher->Match(truth, anchors)[0];
      if (truth.labels.size(1) == 0) {
        labels.push_back(at::zeros_like(matches));
        codes.push_back(at::zeros({matches.size(0), 4}));
        continue;
      }
      const Tensor row = matches.clamp_min(0);
      labels.push_back(at::where(matches >= 0, truth.labels[0].index_select(0, row), 0));
      codes.push_back(coder->Encode(truth.boxes[0].index_select(0, row), anchors.boxes));
    }
    const Losses losses = loss->Compute({golden::Numbers(golden_case["loc"]).to(at::kFloat),
                                         golden::Numbers(golden_case["conf"]).to(at::kFloat)},
                                        {at::stack(labels), at::stack(codes), Tensor()}, nullptr);
    const auto& caffe = golden_case["caffe"];
    golden::ExpectNear(at::stack({losses.classification, losses.localization, losses.total}),
                       at::tensor({caffe["conf"].GetDouble(), caffe["loc"].GetDouble(),
                                   caffe["total"].GetDouble()},
                                  at::kDouble),
                       "chain/" + name);
  }
}

class PostProcessing {
 public:
  // Keeps as many detections of an image as the case says, unless told.
  explicit PostProcessing(const rapidjson::Value& golden_case, int64_t max_detections = 0) {
    const auto coder = CreateCoder();
    const Tensor anchors =
        CentersFromCorners(golden::Numbers(golden_case["priors_norm"]).to(at::kFloat));
    boxes_ = coder->Decode(golden::Numbers(golden_case["loc"]).to(at::kFloat), anchors);
    logits_ = golden::Numbers(golden_case["cls_logits"]).to(at::kFloat);
    const int64_t kept =
        max_detections > 0 ? max_detections : golden_case["detections_per_img"].GetInt64();
    options_ = absl::StrCat("score_threshold: ", golden_case["score_thresh"].GetDouble(),
                            " iou_threshold: ", golden_case["nms_thresh"].GetDouble(),
                            " max_detections: ", kept, " ");
  }

  Detections Run(const std::string& more) const {
    return Create<PostProcessorRegistry, PostProcessorConfig>(
               "per_class_nms {" + options_ + more + "}", PostProcessorContext{logits_.size(2) - 1})
        ->Process(boxes_, logits_);
  }

 private:
  Tensor boxes_;
  Tensor logits_;
  std::string options_;
};

TEST(Parity, PostProcessingEqualsTorchvision) {
  for (const auto& golden_case : golden::File("postprocess.json")["cases"].GetArray()) {
    const std::string name = absl::StrCat("postprocess/", golden_case["name"].GetString());
    const double size = golden_case["img"].GetDouble();
    const Detections detections =
        PostProcessing(golden_case)
            .Run(absl::StrCat("max_candidates_per_class: ", golden_case["topk"].GetInt()));
    for (unsigned b = 0; b < golden_case["torchvision"].Size(); ++b) {
      const auto& expected = golden_case["torchvision"][b];
      const int64_t count = expected["scores"].Size();
      ASSERT_EQ(detections.counts[b].item<int64_t>(), count) << name;
      if (count == 0) continue;
      golden::ExpectNear(detections.scores[b].narrow(0, 0, count),
                         golden::Numbers(expected["scores"]), name + "/torchvision scores");
      // Of boxes in pixels: 1e-7 of the image.
      golden::ExpectNear(detections.boxes[b].narrow(0, 0, count) * size,
                         golden::Numbers(expected["boxes"]), name + "/torchvision boxes", 1e-6,
                         1e-7 * size);
      EXPECT_TRUE(at::equal(detections.labels[b].narrow(0, 0, count),
                            golden::Numbers(expected["labels"]).to(at::kLong)));
    }
  }
}

TEST(Parity, PostProcessingEqualsCaffe) {
  for (const auto& golden_case : golden::File("postprocess.json")["cases"].GetArray()) {
    const std::string name = absl::StrCat("postprocess/", golden_case["name"].GetString());
    const Detections detections = PostProcessing(golden_case)
                                      .Run(absl::StrCat("clip: NEVER max_candidates_per_class: ",
                                                        golden_case["topk"].GetInt()));
    const Tensor rows = golden::Numbers(golden_case["caffe_detection_output"]["rows"]);
    for (int64_t b = 0; b < detections.counts.size(0); ++b) {
      // Caffe orders by class and has a row of -1 for an image without detections.
      const Tensor mine = rows.select(1, 0).eq(b).logical_and(rows.select(1, 1) > 0).nonzero();
      const Tensor expected = rows.index_select(0, mine.flatten());
      const int64_t count = detections.counts[b].item<int64_t>();
      ASSERT_EQ(count, expected.size(0)) << name;
      if (count == 0) continue;
      const Tensor by_class =
          at::argsort(detections.labels[b].narrow(0, 0, count), /*stable=*/true, 0, false);
      golden::ExpectNear(detections.labels[b].index_select(0, by_class), expected.select(1, 1),
                         name + "/caffe labels");
      golden::ExpectNear(detections.scores[b].index_select(0, by_class), expected.select(1, 2),
                         name + "/caffe scores");
      golden::ExpectNear(detections.boxes[b].index_select(0, by_class), expected.narrow(1, 3, 4),
                         name + "/caffe boxes");
    }
  }
}

TEST(Parity, PostProcessingWithoutACutPerClassEqualsLufficc) {
  for (const auto& golden_case : golden::File("postprocess.json")["cases"].GetArray()) {
    const Detections detections =
        PostProcessing(golden_case).Run("clip: NEVER max_candidates_per_class: 1000000");
    for (unsigned b = 0; b < golden_case["lufficc_no_topk_per_class"].Size(); ++b) {
      const auto& expected = golden_case["lufficc_no_topk_per_class"][b];
      EXPECT_EQ(detections.counts[b].item<int64_t>(), expected["n"].GetInt64());
      const Tensor scores = golden::Numbers(expected["scores_first10"]);
      if (scores.size(0) == 0) continue;
      golden::ExpectNear(
          detections.scores[b].narrow(0, 0, scores.size(0)), scores,
          absl::StrCat("postprocess/", golden_case["name"].GetString(), "/lufficc scores"));
      EXPECT_TRUE(at::equal(detections.labels[b].narrow(0, 0, scores.size(0)),
                            golden::Numbers(expected["labels_first10"]).to(at::kLong)));
    }
  }
}

TEST(Parity, PostProcessingWithoutACutOverClassesEqualsAmdegroot) {
  for (const auto& golden_case : golden::File("postprocess.json")["cases"].GetArray()) {
    const int64_t classes = golden_case["num_classes"].GetInt64();
    const int64_t candidates = golden_case["topk"].GetInt64();
    const Detections detections =
        PostProcessing(golden_case, classes * candidates)
            .Run(absl::StrCat("clip: NEVER max_candidates_per_class: ", candidates));
    for (unsigned b = 0; b < golden_case["amdegroot_counts_per_class"].Size(); ++b) {
      const auto& expected = golden_case["amdegroot_counts_per_class"][b];
      for (unsigned c = 1; c < expected.Size(); ++c) {
        EXPECT_EQ((detections.labels[b] == static_cast<int64_t>(c)).sum().item<int64_t>(),
                  expected[c].GetInt64())
            << golden_case["name"].GetString() << ", image " << b << ", class " << c;
      }
    }
  }
}

}  // namespace
}  // namespace ssd
