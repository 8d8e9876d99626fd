#include "experiments/trace_truth.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "experiments/anchor_matches.h"
#include "experiments/candidate_fates.h"
#include "experiments/load_experiment.h"
#include "experiments/truth_life.h"
#include "ssd/core/file.h"
#include "ssd/matchers/matcher.h"
#include "ssd/model/model_file.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

// Four default boxes, the quarters of the view: one level, a 2x2 map, one box a cell.
class Quarters : public testing::Test {
 protected:
  Quarters() {
    MatcherConfig config;
    config.mutable_ssd();
    auto matcher = MatcherRegistry::Get().Create(config, {});
    EXPECT_TRUE(matcher.ok()) << matcher.status();
    matcher_ = *std::move(matcher);
    level_.resize(1);
    level_[0].height = 2;
    level_[0].width = 2;
    anchors_.boxes = at::tensor({0.25f, 0.25f, 0.5f, 0.5f, 0.75f, 0.25f, 0.5f, 0.5f,  //
                                 0.25f, 0.75f, 0.5f, 0.5f, 0.75f, 0.75f, 0.5f, 0.5f})
                         .view({4, 4});
    anchors_.per_level = {4};
  }

  AnchorSetting Setting() const { return {*matcher_, anchors_, level_, 0.5}; }

  static Annotation Object(const PixelBox& box, bool difficult = false) {
    Annotation truth;
    truth.box = box;
    truth.label = 1;
    truth.difficult = difficult;
    return truth;
  }

  std::unique_ptr<Matcher> matcher_;
  std::vector<FeatureSpec> level_;
  Anchors anchors_;
};

constexpr ImageSize kView = {100, 200};  // 200 wide

TEST_F(Quarters, AnswerByIouOrBecauseTheyAreForced) {
  const std::vector<Annotation> truths = {
      Object({0, 0, 100, 50}),     // the first quarter
      Object({120, 60, 160, 80}),  // 800 of the last quarter's 5000 square pixels
      Object({100, 0, 200, 50}, true),
      Object({0, 0, 100, 40}),  // overlaps nothing but what the first truth has
  };
  const std::vector<std::vector<AnchorMatch>> matches = MatchAnchors(Setting(), truths, kView);
  ASSERT_EQ(matches.size(), 4u);
  ASSERT_EQ(matches[0].size(), 1u);
  EXPECT_EQ(matches[0][0].anchor, 0);
  EXPECT_EQ(matches[0][0].iou, 1);
  EXPECT_FALSE(matches[0][0].forced);
  EXPECT_EQ(matches[0][0].box.x1, 100);
  EXPECT_EQ(matches[0][0].box.y1, 50);
  ASSERT_EQ(matches[1].size(), 1u);
  EXPECT_EQ(matches[1][0].anchor, 3);
  EXPECT_NEAR(matches[1][0].iou, 0.16, 1e-6);
  EXPECT_TRUE(matches[1][0].forced);
  EXPECT_EQ(matches[1][0].place.row, 1);
  EXPECT_EQ(matches[1][0].place.column, 1);
  EXPECT_TRUE(matches[2].empty()) << "difficult";
  EXPECT_TRUE(matches[3].empty()) << "its only default box is another's";

  const AnchorMatch nearest = NearestAnchor(Setting(), truths[3], kView);
  EXPECT_EQ(nearest.anchor, 0);
  EXPECT_NEAR(nearest.iou, 0.8, 1e-6);

  AnchorSetting unknown = Setting();
  unknown.positive_iou = std::nullopt;
  EXPECT_FALSE(MatchAnchors(unknown, truths, kView)[1][0].forced);
  EXPECT_TRUE(MatchAnchors(Setting(), {}, kView).empty());
}

TEST_F(Quarters, HaveTheirPlaceAmongLevels) {
  std::vector<FeatureSpec> levels(2);
  levels[0].height = 2;
  levels[0].width = 3;
  levels[1].height = levels[1].width = 1;
  AnchorSetting setting = Setting();
  setting.levels = levels;
  setting.anchors.per_level = {12, 3};
  const AnchorPlace last_cell = PlaceOfAnchor(11, setting);
  EXPECT_EQ(last_cell.level, 0);
  EXPECT_EQ(last_cell.row, 1);
  EXPECT_EQ(last_cell.column, 2);
  EXPECT_EQ(last_cell.shape, 1);
  const AnchorPlace second_level = PlaceOfAnchor(14, setting);
  EXPECT_EQ(second_level.level, 1);
  EXPECT_EQ(second_level.row, 0);
  EXPECT_EQ(second_level.shape, 2);
}

// Seven boxes and what a post-processor that keeps two made of them, for class 1 of 2.
struct Fates {
  Tensor boxes = at::tensor({0.0f,  0.0f, 0.5f, 0.5f,   // 0: the first detection
                             0.0f,  0.0f, 0.5f, 0.4f,   // 1: four fifths of it
                             0.5f,  0.5f, 1.0f, 1.0f,   // 2: the second
                             0.0f,  0.0f, 0.1f, 0.1f,   // 3: scores little
                             0.6f,  0.0f, 0.9f, 0.3f,   // 4: overlaps none
                             0.5f,  0.5f, 1.0f, 0.75f,  // 5: half of the second
                             -0.1f, 0.0f, 0.5f, 0.5f})  // 6: clipped, the first
                     .view({7, 4});
  Tensor scores = at::tensor({0.9f, 0.0f, 0.8f, 0.3f, 0.7f, 0.0f, 0.05f, 0.0f,  //
                              0.6f, 0.0f, 0.65f, 0.0f, 0.55f, 0.0f})
                      .view({7, 2});
  Detections detections;
  SelectionRules rules;

  Fates() {
    detections.boxes = at::zeros({1, 2, 4});
    detections.boxes[0][0].copy_(boxes[0]);
    detections.boxes[0][1].copy_(boxes[2]);
    detections.scores = at::tensor({0.9f, 0.7f}).view({1, 2});
    detections.labels = at::zeros({1, 2}, at::kLong).fill_(1);
    detections.counts = at::zeros({1}, at::kLong).fill_(2);
    rules.score_threshold = 0.1;
    rules.iou_threshold = 0.5;
    rules.max_candidates = 100;
    rules.max_detections = 100;
  }

  CandidateFate Of(int64_t anchor, int64_t label = 1) const {
    return FateOf(anchor, label, boxes, scores, detections, rules);
  }
};

TEST(FateOf, NamesWhatCutABox) {
  Fates fates;
  EXPECT_EQ(fates.Of(0).fate, Fate::kDetected);
  EXPECT_EQ(fates.Of(0).detection, 0);
  EXPECT_EQ(fates.Of(2).fate, Fate::kDetected);
  EXPECT_EQ(fates.Of(2).detection, 1);
  EXPECT_EQ(fates.Of(6).fate, Fate::kDetected) << "once it is clipped";

  const CandidateFate suppressed = fates.Of(1);
  EXPECT_EQ(suppressed.fate, Fate::kSuppressed);
  EXPECT_EQ(suppressed.detection, 0);
  EXPECT_NEAR(suppressed.iou, 0.8, 1e-6);
  EXPECT_EQ(suppressed.limit, 0.5);

  EXPECT_EQ(fates.Of(3).fate, Fate::kBelowScore);
  EXPECT_EQ(fates.Of(4).fate, Fate::kNotKept) << "nothing in the rules keeps it from being found";
  fates.rules.max_detections = 2;
  EXPECT_EQ(fates.Of(4).fate, Fate::kBeyondDetections);
  EXPECT_EQ(fates.Of(4).detection, -1);
  fates.rules.max_candidates = 4;  // 0.9, 0.8, 0.7, 0.65
  EXPECT_EQ(fates.Of(4).fate, Fate::kBeyondCandidates);
  EXPECT_EQ(fates.Of(5).fate, Fate::kBeyondDetections);
}

TEST(FateOf, KnowsTheLimitsOfSuppression) {
  Fates fates;
  // An IoU of exactly the threshold.
  EXPECT_EQ(fates.Of(5).fate, Fate::kNotKept);
  EXPECT_EQ(fates.Of(5).detection, 1) << "what overlaps it most";
  EXPECT_EQ(fates.Of(5).iou, 0.5);
  fates.rules.suppress_equal = true;
  EXPECT_EQ(fates.Of(5).fate, Fate::kSuppressed);

  // One box was kept before, which halves the threshold.
  fates.rules.iou_threshold = 0.9;
  EXPECT_EQ(fates.Of(1).fate, Fate::kNotKept);
  fates.rules.nms_eta = 0.5;
  EXPECT_EQ(fates.Of(1).fate, Fate::kSuppressed);
  EXPECT_NEAR(fates.Of(1).limit, 0.45, 1e-6);
}

TEST(FateOf, KnowsClasses) {
  Fates fates;
  // The detections are of class 1.
  EXPECT_EQ(fates.Of(1, /*label=*/2).fate, Fate::kNotKept);
  EXPECT_EQ(fates.Of(1, /*label=*/2).detection, -1);
  fates.rules.across_classes = true;
  EXPECT_EQ(fates.Of(1, /*label=*/2).fate, Fate::kOtherClass);
  EXPECT_EQ(fates.Of(1, /*label=*/1).fate, Fate::kSuppressed);
  // Soft suppression, and rules that are not known.
  fates.rules.across_classes = false;
  fates.rules.soft = true;
  EXPECT_EQ(fates.Of(1).fate, Fate::kNotKept);
  const CandidateFate unknown =
      FateOf(1, 1, fates.boxes, fates.scores, fates.detections, std::nullopt);
  EXPECT_EQ(unknown.fate, Fate::kNotKept);
  EXPECT_EQ(unknown.detection, 0);
  EXPECT_NEAR(unknown.iou, 0.8, 1e-6);
}

TEST(SelectionRulesOf, ReadsEveryKind) {
  PostProcessorConfig config;
  EXPECT_FALSE(SelectionRulesOf(config).has_value());
  config.mutable_per_class_nms()->set_clip(PerClassNmsOptions::NEVER);
  SelectionRules rules = *SelectionRulesOf(config);
  EXPECT_EQ(rules.iou_threshold, 0.45);
  EXPECT_EQ(rules.max_candidates, 400);
  EXPECT_EQ(rules.max_detections, 200);
  EXPECT_FALSE(rules.clip);
  config.mutable_class_agnostic_nms();
  rules = *SelectionRulesOf(config);
  EXPECT_TRUE(rules.across_classes);
  EXPECT_EQ(rules.max_candidates, 1000);
  config.mutable_soft_nms();
  rules = *SelectionRulesOf(config);
  EXPECT_TRUE(rules.soft);
  EXPECT_TRUE(rules.clip);
}

// One image of 100x50 with two dogs, and 8x8 cells with a default box of 16 pixels each.
class TraceTruthTest : public testing::Test {
 protected:
  TraceTruthTest() : folder_(testing::TempDir() + "trace") {
    std::filesystem::create_directories(folder_);
    cv::imwrite(folder_ + "/a.png", cv::Mat(50, 100, CV_8UC3, cv::Scalar(30, 120, 200)));
    Write("truths.json", R"({"images":[{"id":7,"file_name":"a.png","width":100,"height":50}],
"categories":[{"id":1,"name":"dog"},{"id":2,"name":"cat"}],
"annotations":[
{"id":1,"image_id":7,"category_id":1,"bbox":[10,5,20,20],"area":400,"iscrowd":0},
{"id":2,"image_id":7,"category_id":1,"bbox":[60,10,30,30],"area":900,"iscrowd":0}]}
)");
  }

  void Write(const std::string& name, const std::string& content) {
    const absl::Status written = WriteFileAtomically(folder_ + "/" + name, content);
    EXPECT_TRUE(written.ok()) << written;
  }

  // `transforms`: those of data.train.
  Experiment Load(const std::string& transforms) {
    const std::string data = absl::StrCat("coco { annotations: \"", folder_,
                                          "/truths.json\" images: \"", folder_, "\" }");
    return LoadOn(absl::StrCat(data, " ", transforms), data, "");
  }

  // The same network on other data.
  Experiment LoadOn(const std::string& train, const std::string& validation,
                    const std::string& loader) {
    const std::string base =
        std::filesystem::absolute("experiments/quickstart/digits.textproto").string();
    Write("trace.textproto", absl::StrCat("# proto-file: experiments/experiment.proto\n"
                                          "# proto-message: ssd.Experiment\n"
                                          "base: \"",
                                          base, R"("
model {
  num_levels: 1
  input { height: 64 width: 64 }
  backbone { tiny {} }
  anchor_generator { fixed_size { level { min_size: 16 } } }
}
data {
  train { )",
                                          train, R"( }
  validation { )",
                                          validation, R"( transform { resize {} } }
  loader { batch_size: 1 workers: 0 )",
                                          loader, R"( }
}
)"));
    const auto experiment =
        LoadExperiment(folder_ + "/trace.textproto", std::vector<std::string>(), ".");
    EXPECT_TRUE(experiment.ok()) << experiment.status();
    return *experiment;
  }

  Experiment Flipped() {
    return Load("transform { resize {} } transform { horizontal_flip { probability: 1 } }");
  }

  static TraceOptions Options(const std::string& truth) {
    TraceOptions options;
    options.truth = truth;
    options.device = "cpu";
    options.threads = 1;
    return options;
  }

  std::string folder_;
};

TEST_F(TraceTruthTest, FollowsABoxThroughTransformsToItsDefaultBox) {
  const Experiment experiment = Flipped();
  const auto trace = TraceTruth(experiment, Options("a.png:0"));
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_THAT(trace->text, HasSubstr("Truth 0 of a.png (id 7, image 0 of data.train)"));
  EXPECT_THAT(trace->text, HasSubstr(folder_ + "/truths.json:4\n"));
  EXPECT_THAT(trace->text, HasSubstr("dog (label 1)"));
  EXPECT_THAT(trace->text, HasSubstr("Transforms of data.train, seed 1, epoch 0"));
  EXPECT_THAT(
      trace->text,
      ContainsRegex("\\(annotated\\) +10\\.0 5\\.0 30\\.0 25\\.0 +20\\.0 x 20\\.0 +100 x 50"));
  // 64 / 100 across and 64 / 50 down, then mirrored.
  EXPECT_THAT(trace->text,
              ContainsRegex("resize +6\\.4 6\\.4 19\\.2 32\\.0 +12\\.8 x 25\\.6 +64 x 64"));
  EXPECT_THAT(
      trace->text,
      ContainsRegex("horizontal_flip +44\\.8 6\\.4 57\\.6 32\\.0 +12\\.8 x 25\\.6 +64 x 64"));
  // The box (44, 12, 60, 28) about (52, 20): 204.8 of 378.88 square pixels are common.
  EXPECT_THAT(trace->text, ContainsRegex("\n +1 +2 +6 +0 +16\\.0 x 16\\.0 +0\\.541 +by IoU\n"));
  EXPECT_THAT(trace->text, Not(HasSubstr("loss")));
  EXPECT_THAT(trace->text, Not(HasSubstr("Detection")));
  EXPECT_EQ(trace->picture, "");

  const auto by_id = TraceTruth(experiment, Options("7:0"));
  ASSERT_TRUE(by_id.ok()) << by_id.status();
  EXPECT_EQ(by_id->text, trace->text);
}

TEST_F(TraceTruthTest, NamesTheTransformThatDropsATruth) {
  const Experiment experiment = Load("transform { iou_crop {} } transform { resize {} }");
  TraceOptions options = Options("a.png:0");
  for (options.epoch = 0; options.epoch < 200; ++options.epoch) {
    const auto trace = TraceTruth(experiment, options);
    ASSERT_TRUE(trace.ok()) << trace.status();
    if (!absl::StrContains(trace->text, "dropped")) continue;
    EXPECT_THAT(trace->text, ContainsRegex("\niou_crop +dropped: would be "));
    EXPECT_THAT(trace->text, Not(HasSubstr("\nresize"))) << "it goes on without the truth";
    EXPECT_THAT(trace->text,
                ContainsRegex("none: the network is not shown it: iou_crop of epoch [0-9]+ removed "
                              "box 0 \\(its centre, -?[0-9.]+ -?[0-9.]+, lies outside its [0-9]+ "
                              "x [0-9]+ view\\)\n"));
    return;
  }
  FAIL() << "no crop leaves the truth out";
}

TEST_F(TraceTruthTest, TellsLossScoreAndFateWithWeights) {
  const Experiment experiment = Flipped();
  at::manual_seed(3);
  const auto detector = SsdDetector::Create(experiment.model(), /*num_classes=*/2);
  ASSERT_TRUE(detector.ok()) << detector.status();
  TraceOptions options = Options("a.png:1");
  options.weights = folder_ + "/model.pt";
  ASSERT_TRUE(SaveModel(options.weights, **detector, {{"dog", "cat"}, {1, 2}}, "").ok());
  options.output = folder_ + "/pictures";
  const auto trace = TraceTruth(experiment, options);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_THAT(trace->text, AllOf(HasSubstr("class. loss"), HasSubstr("loc. loss"),
                                 HasSubstr("Losses before normalisation")));
  EXPECT_THAT(trace->text,
              HasSubstr("Detection, as data.validation's transforms show the image\n"));
  EXPECT_THAT(trace->text, ContainsRegex("\n(found at IoU|missed: no detection)"));
  EXPECT_THAT(trace->text, HasSubstr("Boxes that answer for it or have IoU 0.5 or more with it\n"));
  EXPECT_THAT(trace->text, ContainsRegex("yes +[01]\\.[0-9]+ +[01]\\.[0-9]+ +(dog|cat) "));

  EXPECT_EQ(trace->picture, options.output + "/trace.png");
  const cv::Mat picture = cv::imread(trace->picture);
  ASSERT_FALSE(picture.empty());
  // Dots of the truth, on all three tiles.
  const cv::Vec3b truth(0x77, 0x33, 0xee);
  int dots = 0;
  for (int y = picture.rows / 4; y < picture.rows; ++y) {
    for (int x = 0; x < picture.cols; ++x) dots += picture.at<cv::Vec3b>(y, x) == truth;
  }
  EXPECT_GT(dots, 100);
}

double SmoothL1(double x) { return std::abs(x) < 1 ? x * x / 2 : std::abs(x) - 0.5; }

TEST_F(TraceTruthTest, TellsTheLossTermsOfAKnownNetwork) {
  const Experiment experiment = Flipped();
  const auto detector = SsdDetector::Create(experiment.model(), /*num_classes=*/2);
  ASSERT_TRUE(detector.ok()) << detector.status();
  {
    // Codes of 0 and logits of (0, 3, 0), whatever it sees.
    const at::NoGradGuard no_grad;
    for (const Tensor& parameter : (*detector)->parameters()) parameter.zero_();
    const std::string bias = "head.class_logits.0.bias";
    (*detector)->named_parameters()[bias].copy_(at::tensor({0.0f, 3.0f, 0.0f}));
  }
  TraceOptions options = Options("a.png:0");
  options.weights = folder_ + "/known.pt";
  ASSERT_TRUE(SaveModel(options.weights, **detector, {{"dog", "cat"}, {1, 2}}, "").ok());
  const auto life = FollowTruth(experiment, options);
  ASSERT_TRUE(life.ok()) << life.status();
  ASSERT_TRUE(life->losses.has_value());
  ASSERT_EQ(life->losses->classification.size(), 1u);
  ASSERT_EQ(life->losses->localization.size(), 1u);
  const double of_background = std::log(std::exp(3.0) + 2);
  const double of_dog = of_background - 3;
  EXPECT_NEAR(life->losses->classification[0], of_dog, 1e-5);
  // The truth (44.8, 6.4, 57.6, 32) in codes of the box (44, 12, 60, 28), arXiv:1512.02325,
  // equation 2, over the variances 0.1 and 0.2.
  const double first = SmoothL1((51.2 - 52) / 16 / 0.1) + SmoothL1((19.2 - 20) / 16 / 0.1) +
                       SmoothL1(std::log(12.8 / 16) / 0.2) + SmoothL1(std::log(25.6 / 16) / 0.2);
  EXPECT_NEAR(life->losses->localization[0], first, 1e-5);
  // The other truth (6.4, 12.8, 25.6, 51.2) is forced upon one of the four boxes that lie a quarter
  // of their side from its centre on each axis. Of the negatives three times as many count.
  const double second = 2 * SmoothL1(0.25 / 0.1) + SmoothL1(std::log(19.2 / 16) / 0.2) +
                        SmoothL1(std::log(38.4 / 16) / 0.2);
  EXPECT_NEAR(life->losses->total, (2 * of_dog + 6 * of_background + first + second) / 2, 1e-5);
  ASSERT_TRUE(life->detection.has_value());
  ASSERT_EQ(life->detection->candidates.size(), 1u);
  const TruthCandidate& candidate = life->detection->candidates[0];
  const double score = std::exp(3.0) / (std::exp(3.0) + 2);
  EXPECT_NEAR(candidate.fate.score, score, 1e-6);
  EXPECT_EQ(candidate.best_label, 1);
  EXPECT_NEAR(candidate.best_score, score, 1e-6);
  EXPECT_NEAR(life->detection->nearest_score, score, 1e-6);

  options.truth = "a.png:1";
  const auto other = FollowTruth(experiment, options);
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_EQ(other->losses->localization.size(), 1u);
  EXPECT_NEAR(other->losses->localization[0], second, 1e-5);
}

TEST_F(TraceTruthTest, TellsWhichDetectionSuppressedABox) {
  // Each cell has a second box, of 20 x 20 pixels, which is not so sure of a dog.
  Experiment experiment = Flipped();
  experiment.mutable_model()
      ->mutable_anchor_generator()
      ->mutable_fixed_size()
      ->mutable_level(0)
      ->add_max_size(25);
  const auto detector = SsdDetector::Create(experiment.model(), /*num_classes=*/2);
  ASSERT_TRUE(detector.ok()) << detector.status();
  {
    const at::NoGradGuard no_grad;
    for (const Tensor& parameter : (*detector)->parameters()) parameter.zero_();
    const std::string bias = "head.class_logits.0.bias";
    (*detector)->named_parameters()[bias].copy_(at::tensor({0.0f, 3.0f, 0.0f, 0.0f, 2.0f, 0.0f}));
  }
  TraceOptions options = Options("a.png:0");
  options.weights = folder_ + "/two_boxes.pt";
  ASSERT_TRUE(SaveModel(options.weights, **detector, {{"dog", "cat"}, {1, 2}}, "").ok());
  const auto trace = TraceTruth(experiment, options);
  ASSERT_TRUE(trace.ok()) << trace.status();
  // The truth (6.4, 6.4, 19.2, 32) has 204.8 of 378.88 square pixels in common with (4, 12, 20, 28)
  // and 256 of 471.68 with (2, 10, 22, 30). Scores are e^3 / (e^3 + 2) and e^2 / (e^2 + 2). Of the
  // two boxes 256 of 400 square pixels are common, of either and another cell's less than 0.45.
  EXPECT_THAT(trace->text,
              ContainsRegex("\n +1 +2 +1 +0 +yes +0\\.541 +0\\.9094 +dog 0\\.909 +detection "
                            "[0-9]+ \\(dog 0\\.909\\)"));
  EXPECT_THAT(trace->text,
              ContainsRegex("\n +1 +2 +1 +1 +yes +0\\.543 +0\\.7870 +dog 0\\.787 +suppressed by "
                            "detection [0-9]+ \\(dog 0\\.909\\), IoU 0\\.640, limit 0\\.45"));
}

TEST_F(TraceTruthTest, SaysWhyItLacksAnImage) {
  // b.png is no image at all; of c.jpg the header is sound and the body cut.
  Write("b.png", "no image");
  cv::Mat noise(50, 100, CV_8UC3);
  cv::randu(noise, cv::Scalar::all(0), cv::Scalar::all(255));
  cv::imwrite(folder_ + "/c.jpg", noise);
  const std::string jpeg = *ReadFile(folder_ + "/c.jpg");
  Write("c.jpg", jpeg.substr(0, 2 * jpeg.size() / 3));
  Write("boxes.csv",
        "image,x0,y0,x1,y1,label\na.png,10,5,30,25,dog\nb.png,0,0,9,9,dog\nc.jpg,0,0,9,9,dog\n");
  const std::string table = absl::StrCat("table { file: \"", folder_, "/boxes.csv\" }");
  const auto error = [](const Experiment& experiment, const std::string& truth) {
    return std::string(TraceTruth(experiment, Options(truth)).status().message());
  };

  const std::string resize = " transform { resize {} }";
  const Experiment whole = LoadOn(table + resize, table, "on_bad_image: SKIP");
  EXPECT_EQ(error(whole, "a.png:0"), "");
  EXPECT_THAT(error(whole, "b.png:0"), AllOf(HasSubstr("data.train has no image 'b.png': "
                                                       "data.loader.on_bad_image: SKIP leaves out "
                                                       "what cannot be read: "),
                                             HasSubstr("/b.png: ")));
  EXPECT_THAT(error(whole, "c.jpg:0"),
              AllOf(HasSubstr("--trace: c.jpg cannot be decoded; "),
                    HasSubstr("(data.loader.on_bad_image: SKIP): "), HasSubstr("/c.jpg: ")));
  EXPECT_THAT(error(whole, "d.png:0"),
              HasSubstr("data.train has no image 'd.png', nor has data.validation; give"));

  const Experiment parts = LoadOn(table + " subset { to: 0.34 }" + resize,
                                  table + " subset { from: 0.34 }", "on_bad_image: SKIP");
  EXPECT_THAT(error(parts, "c.jpg:0"),
              HasSubstr("data.train has no image 'c.jpg'; data.validation has it: give "
                        "--split=validation"));
  const Experiment first = LoadOn(table + " subset { to: 0.34 }" + resize,
                                  table + " subset { to: 0.34 }", "on_bad_image: SKIP");
  EXPECT_THAT(error(first, "c.jpg:0"), HasSubstr("its files name it, but subset"));
}

TEST_F(TraceTruthTest, SaysWhatIsWrong) {
  const Experiment experiment = Flipped();
  const auto error = [&experiment](const TraceOptions& options) {
    return std::string(TraceTruth(experiment, options).status().message());
  };
  for (const char* truth : {"a.png", ":0", "a.png:x", "a.png:-1"}) {
    EXPECT_THAT(error(Options(truth)), HasSubstr("must be IMAGE:BOX")) << truth;
  }
  EXPECT_THAT(error(Options("b.png:0")), HasSubstr("data.train has no image 'b.png'"));
  EXPECT_THAT(error(Options("a.png:2")), HasSubstr("a.png has 2 objects, 0 to 1"));
  TraceOptions options = Options("a.png:0");
  options.split = "test";
  EXPECT_THAT(error(options), HasSubstr("--split=test"));
  options = Options("a.png:0");
  options.epoch = -1;
  EXPECT_THAT(error(options), HasSubstr("--epoch=-1"));
  options = Options("a.png:0");
  options.weights = folder_ + "/none.pt";
  EXPECT_THAT(error(options), HasSubstr("none.pt"));
}

}  // namespace
}  // namespace ssd
