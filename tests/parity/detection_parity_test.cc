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
  return generator->Generate(levels, {300, 300});
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

TEST(Parity, MatchingEqualsCaffe) {
  for (const auto& golden_case : golden::File("matching.json")["cases"].GetArray()) {
    const std::string name = golden_case["name"].GetString();
    Anchors anchors = Ssd300Anchors();
    if (golden_case["priors"].IsArray()) {
      anchors.boxes = CentersFromCorners(golden::Numbers(golden_case["priors"]).to(at::kFloat));
      anchors.per_level = {anchors.boxes.size(0)};
    }
    const Truth truth = GoldenTruth(golden_case["gt"], golden_case["labels"], nullptr);
    // Anchors that float32 rounding may take for one another: those within 1e-6 of a truth's best.
    const auto& sensitive =
        golden_case["rounding_sensitive"]["priors_within_1e_6_of_a_gts_best_iou"];
    const auto may_be = [&](int64_t anchor, int64_t row) {
      const std::string key = std::to_string(row);
      if (!sensitive.HasMember(key.c_str())) return false;
      for (const auto& a : sensitive[key.c_str()].GetArray()) {
        if (a.GetInt64() == anchor) return true;
      }
      return false;
    };
    const struct {
      const char* options;
      const char* golden;
    } modes[] = {{"ssd { positive_iou: 0.5 }", "caffe_per_prediction"},
                 {"ssd { positive_iou: 1 }", "caffe_bipartite_only"}};
    for (const auto& mode : modes) {
      const auto actual = Matched(CreateMatcher(mode.options)->Match(truth, anchors)[0]);
      const auto expected = Map(golden_case[mode.golden]);
      int64_t moved = 0;
      for (const auto& [a, row] : actual) {
        const auto found = expected.find(a);
        if (found != expected.end() && found->second == row) continue;
        EXPECT_TRUE(may_be(a, row)) << name << " " << mode.golden << ": anchor " << a;
        ++moved;
      }
      EXPECT_EQ(actual.size(), expected.size()) << name << " " << mode.golden;
      for (const auto& [a, row] : expected) {
        if (actual.count(a) && actual.at(a) == row) continue;
        EXPECT_TRUE(may_be(a, row)) << name << " " << mode.golden << ": anchor " << a;
      }
      std::printf(
          "[  golden  ] matching/%s/%s: %zu matches, %d of them at an equal IoU elsewhere\n",
          name.c_str(), mode.golden, actual.size(), static_cast<int>(moved));
    }
    EXPECT_EQ(golden_case["pierluigi_minus_caffe"].MemberCount(), 0u) << name;
  }
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
  explicit PostProcessing(const rapidjson::Value& golden_case) {
    const auto coder = CreateCoder();
    const Tensor anchors =
        CentersFromCorners(golden::Numbers(golden_case["priors_norm"]).to(at::kFloat));
    boxes_ = coder->Decode(golden::Numbers(golden_case["loc"]).to(at::kFloat), anchors);
    logits_ = golden::Numbers(golden_case["cls_logits"]).to(at::kFloat);
    options_ = absl::StrCat("score_threshold: ", golden_case["score_thresh"].GetDouble(),
                            " iou_threshold: ", golden_case["nms_thresh"].GetDouble(),
                            " max_detections: ", golden_case["detections_per_img"].GetInt(), " ");
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

}  // namespace
}  // namespace ssd
