#include "experiments/run_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <pugixml.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/check/dataset_statistics.h"
#include "data/data_problem.h"
#include "experiments/check/anchor_report.h"
#include "experiments/check/anchor_suggestion.h"
#include "experiments/check/ceiling.h"
#include "experiments/check/check_json.h"
#include "experiments/check/check_page.h"
#include "experiments/check/check_report.h"
#include "experiments/check/check_text.h"
#include "experiments/check/overfit_probe.h"
#include "experiments/check/truth_matching.h"
#include "experiments/load_experiment.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A small network on `data`: protobuf text of a DataConfig's fields.
absl::StatusOr<Experiment> ExperimentOn(const std::string& name, const std::string& data) {
  const std::string path = absl::StrCat(testing::TempDir(), "/", name, ".textproto");
  const std::string text = absl::StrCat(
      "model {\n"
      "  num_levels: 2\n"
      "  input { height: 64 width: 64 }\n"
      "  backbone { tiny { width: 8 } }\n"
      "  anchor_generator { fixed_size {\n"
      "    level { min_size: 20 max_size: 28 aspect_ratio: 2 }\n"
      "    level { min_size: 40 }\n"
      "  } }\n"
      "}\n"
      "data {\n",
      data,
      "  loader { batch_size: 4 workers: 0 }\n"
      "}\n"
      "optimizer { adamw { learning_rate: 2e-3 } }\n"
      "trainer { steps: 10 precision: FP32 memory_format: NCHW }\n");
  const absl::Status written = WriteFileAtomically(path, text);
  if (!written.ok()) return written;
  return LoadExperiment(path, std::vector<std::string>(), testing::TempDir());
}

absl::StatusOr<Experiment> Digits() {
  return ExperimentOn("digits",
                      "train {\n"
                      "  digits { scenes: 12 canvas_size: 64 min_size: 24 max_size: 40 }\n"
                      "  transform { resize {} }\n"
                      "}\n"
                      "validation {\n"
                      "  digits { scenes: 5 scene_seed: 2 canvas_size: 64 max_size: 40 }\n"
                      "  transform { resize {} }\n"
                      "}\n");
}

rapidjson::Document Parsed(const std::string& json) {
  rapidjson::Document document;
  document.Parse(json.c_str());
  EXPECT_FALSE(document.HasParseError()) << json;
  return document;
}

TEST(RunCheckTest, TellsWhatIsPromised) {
  const auto experiment = Digits();
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  const auto report = RunCheck(*experiment, CheckOptions());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(CountErrors(*report), 0);

  const std::string json = CheckJson(*report);
  const rapidjson::Document document = Parsed(json);
  for (const char* name : {"train", "validation"}) {
    ASSERT_TRUE(document.HasMember(name));
    const rapidjson::Value& check = document[name];
    EXPECT_EQ(check["images"].GetInt64(), std::string(name) == "train" ? 12 : 5);
    EXPECT_GT(check["boxes"].GetInt64(), 0);
    EXPECT_EQ(check["classes"].GetInt64(), 10);
    EXPECT_EQ(check["per_class"].Size(), 10u);
    for (const auto& of_class : check["per_class"].GetArray()) {
      for (const char* key : {"anchor_recall", "matched_recall"}) {
        ASSERT_TRUE(of_class.HasMember(key)) << key;
        ASSERT_EQ(of_class[key].MemberCount(), 7u) << key;
      }
      const rapidjson::Value& recall = of_class["anchor_recall"];
      if (recall["0.3"].IsNull()) continue;  // no truth
      EXPECT_EQ(recall["0.5"].GetDouble(), of_class["anchor_recall_50"].GetDouble());
      EXPECT_GE(recall["0.3"].GetDouble(), recall["0.9"].GetDouble());
    }
    for (const auto& problem : check["problems"].GetArray()) {
      for (const char* key : {"severity", "kind", "file", "message"}) {
        EXPECT_TRUE(problem[key].IsString()) << key;
      }
      EXPECT_TRUE(problem["line"].IsInt64());
    }
    double before = 1;
    for (const char* iou : {"0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"}) {
      const rapidjson::Value& recall = check["anchor_recall"][iou];
      for (const char* size : {"all", "small", "medium", "large"}) {
        ASSERT_TRUE(recall.HasMember(size)) << size;
        EXPECT_TRUE(recall[size].IsNumber() || recall[size].IsNull()) << size;
      }
      EXPECT_TRUE(recall["large"].IsNull());  // nothing here is 96 pixels wide
      EXPECT_LE(recall["all"].GetDouble(), before);
      before = recall["all"].GetDouble();
    }
    EXPECT_EQ(check["anchors"]["total"].GetInt64(), 8 * 8 * 4 + 4 * 4);
    EXPECT_TRUE(check["ceiling"]["metrics"]["AP"].IsNumber());
    EXPECT_EQ(check["statistics"]["co_occurrence"].Size(), 10u);
  }
  const rapidjson::Value& suggested = document["train"]["suggested_anchors"];
  if (suggested["worth_it"].GetBool()) {
    EXPECT_THAT(suggested["config"].GetString(), HasSubstr("anchor_generator {\n  grid {"));
  } else {
    EXPECT_TRUE(suggested["config"].IsNull());
  }
  EXPECT_FALSE(document.HasMember("overfit"));

  const std::string text = CheckText(*report);
  EXPECT_THAT(text, HasSubstr("=== data.train: 12 images"));
  EXPECT_THAT(text, HasSubstr("=== data.validation: 5 images"));
  EXPECT_THAT(text, HasSubstr("Ceiling: "));
  EXPECT_THAT(text, HasSubstr("digits: 0 errors"));

  // What was found is a function of the experiment.
  const auto again = RunCheck(*experiment, CheckOptions());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(CheckJson(*again), json);
  EXPECT_EQ(CheckPage(*again), CheckPage(*report));
}

TEST(RunCheckTest, ThePageIsWholeAndNeedsNoNetwork) {
  const auto experiment = Digits();
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  CheckOptions options;
  options.read_images = false;
  const auto report = RunCheck(*experiment, options);
  ASSERT_TRUE(report.ok()) << report.status();
  const std::string html = CheckPage(*report);
  pugi::xml_document page;
  const pugi::xml_parse_result parsed =
      page.load_buffer(html.data(), html.size(), pugi::parse_default, pugi::encoding_utf8);
  ASSERT_TRUE(parsed) << parsed.description() << " at byte " << parsed.offset;
  for (const char* foreign : {"<script", "http:", "https:", "url(", "@import"}) {
    EXPECT_THAT(html, Not(HasSubstr(foreign)));
  }
  EXPECT_THAT(html, HasSubstr("Images were not looked at."));
  const auto links = page.select_nodes("//nav/a/@href");
  EXPECT_EQ(links.size(), 8u);
  for (const auto& link : links) {
    const std::string target = std::string(link.attribute().value()).substr(1);
    EXPECT_EQ(page.select_nodes(absl::StrCat("//*[@id='", target, "']").c_str()).size(), 1u)
        << target;
  }
}

// Two images of 64 x 64 pixels, one of which is missing, in COCO's format.
std::string FaultyCoco() {
  const std::string folder = testing::TempDir() + "/check_coco";
  std::filesystem::create_directories(folder);
  cv::Mat picture(64, 64, CV_8UC3);
  cv::RNG(1).fill(picture, cv::RNG::UNIFORM, 0, 256);
  EXPECT_TRUE(cv::imwrite(folder + "/a.png", picture));
  const std::string json =
      "{\"images\": [\n"
      " {\"id\": 1, \"file_name\": \"a.png\", \"width\": 64, \"height\": 64},\n"
      " {\"id\": 2, \"file_name\": \"<b>.png\", \"width\": 64, \"height\": 64}],\n"
      "\"categories\": [{\"id\": 1, \"name\": \"cat\"}],\n"
      "\"annotations\": [\n"
      " {\"id\": 1, \"image_id\": 1, \"category_id\": 1, \"bbox\": [4, 4, 20, 20], \"area\": 400, "
      "\"iscrowd\": 0},\n"
      " {\"id\": 2, \"image_id\": 1, \"category_id\": 1, \"bbox\": [4, 4, 20, 20], \"area\": 400, "
      "\"iscrowd\": 0},\n"
      " {\"id\": 3, \"image_id\": 1, \"category_id\": 1, \"bbox\": [30, 30, 60, 20], "
      "\"area\": 1200, \"iscrowd\": 0}]}\n";
  EXPECT_TRUE(WriteFileAtomically(folder + "/truths.json", json).ok());
  return absl::StrCat("coco { annotations: \"", folder, "/truths.json\" images: \"", folder,
                      "\" } transform { resize {} }");
}

TEST(RunCheckTest, CollectsProblemsOfEverySource) {
  const std::string coco = FaultyCoco();
  const auto experiment =
      ExperimentOn("faulty", absl::StrCat("train { ", coco, " }\nvalidation { ", coco, " }\n"));
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  const auto report = RunCheck(*experiment, CheckOptions());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GT(CountErrors(*report), 0);

  const rapidjson::Document document = Parsed(CheckJson(*report));
  const auto has = [&](const char* dataset, const std::string& kind, const std::string& file) {
    for (const auto& problem : document[dataset]["problems"].GetArray()) {
      if (problem["kind"].GetString() == kind &&
          std::string(problem["file"].GetString()).find(file) != std::string::npos) {
        return true;
      }
    }
    return false;
  };
  EXPECT_TRUE(has("train", "box_outside", "truths.json"));    // the reader
  EXPECT_TRUE(has("train", "duplicate_box", "truths.json"));  // the truths
  EXPECT_TRUE(has("train", "rare_label", "truths.json"));     // the statistics
  EXPECT_TRUE(has("train", "missing_image", "truths.json"));  // the reader again
  EXPECT_TRUE(has("validation", "leak", "a.png"));
  // Errors come first.
  const auto& problems = document["train"]["problems"];
  EXPECT_STREQ(problems[0u]["severity"].GetString(), "error");
  // Of the two equal boxes one is lost.
  EXPECT_EQ(document["train"]["ceiling"]["reasons"]["suppressed"].GetInt64(), 1);
  EXPECT_EQ(document["train"]["ceiling"]["lost"].GetInt64(), 1);
  const rapidjson::Value& lost = document["train"]["ceiling"]["lost_truths"];
  ASSERT_EQ(lost.Size(), 1u);
  EXPECT_STREQ(lost[0]["reason"].GetString(), "suppressed");
  EXPECT_EQ(lost[0]["line"].GetInt64(), 7);
  EXPECT_STREQ(lost[0]["class"].GetString(), "cat");
  EXPECT_EQ(lost[0]["other"]["line"].GetInt64(), 6);
  EXPECT_DOUBLE_EQ(lost[0]["other"]["iou"].GetDouble(), 1);

  const std::string html = CheckPage(*report);
  EXPECT_THAT(html, HasSubstr("&lt;b&gt;.png"));
  EXPECT_THAT(html, Not(HasSubstr("<b>.png")));
  EXPECT_THAT(CheckText(*report), HasSubstr("error missing_image: 1"));

  CheckOptions annotations_only;
  annotations_only.read_images = false;
  const auto without = RunCheck(*experiment, annotations_only);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_LT(CountErrors(*without), CountErrors(*report));
}

std::vector<int64_t> Integers(const rapidjson::Value& list) {
  std::vector<int64_t> integers;
  for (const auto& value : list.GetArray()) integers.push_back(value.GetInt64());
  return integers;
}

// Two pictures of 128 x 64 pixels, which the network sees half as wide: two boxes are anchors
// there, the third lies within some of 20 x 20 pixels.
TEST(RunCheckTest, TheJsonDescribesBoxesInTheOriginalAndInTheView) {
  const std::string folder = testing::TempDir() + "/check_boxes";
  std::filesystem::create_directories(folder);
  for (const char* name : {"a.png", "b.png"}) {
    ASSERT_TRUE(cv::imwrite(absl::StrCat(folder, "/", name),
                            cv::Mat(64, 128, CV_8UC3, cv::Scalar::all(0))));
  }
  ASSERT_TRUE(WriteFileAtomically(folder + "/boxes.csv",
                                  "image,x0,y0,x1,y1,label\n"
                                  "a.png,4,2,44,22,cat\n"     // in the view (2, 2) to (22, 22)
                                  "a.png,40,4,120,44,dog\n"   // (20, 4) to (60, 44)
                                  "b.png,40,40,44,44,cat\n")  // (20, 40) to (22, 44)
                  .ok());
  const std::string data =
      absl::StrCat("{ table { file: \"", folder, "/boxes.csv\" } transform { resize {} } }\n");
  const auto experiment = ExperimentOn("boxes", absl::StrCat("train ", data, "validation ", data));
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  CheckOptions options;
  options.read_images = false;
  const auto report = RunCheck(*experiment, options);
  ASSERT_TRUE(report.ok()) << report.status();
  const rapidjson::Document document = Parsed(CheckJson(*report));
  const rapidjson::Value& train = document["train"];
  const rapidjson::Value& statistics = train["statistics"];

  // Centres at (24, 12), (80, 24) and (42, 42), in cells of 8 x 4 pixels.
  std::vector<int64_t> positions(256);
  positions[3 * 16 + 3] = positions[6 * 16 + 10] = positions[10 * 16 + 5] = 1;
  const rapidjson::Value& all = statistics["all"];
  EXPECT_EQ(Integers(all["positions"]), positions);
  // Half octaves from 2^-3 on: bin 5 holds 1/2, 7 holds 1, 9 holds 2.
  const rapidjson::Value& original = all["original"];
  const rapidjson::Value& view = all["view"];
  EXPECT_THAT(Integers(original["aspect_ratios"]),
              ElementsAre(0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0));
  EXPECT_THAT(Integers(view["aspect_ratios"]),
              ElementsAre(0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(original["width"]["minimum"].GetDouble(), 4);
  EXPECT_EQ(original["width"]["median"].GetDouble(), 40);
  EXPECT_EQ(original["width"]["maximum"].GetDouble(), 80);
  EXPECT_EQ(original["height"]["median"].GetDouble(), 20);
  EXPECT_EQ(original["area"]["maximum"].GetDouble(), 3200);
  EXPECT_EQ(view["width"]["minimum"].GetDouble(), 2);
  EXPECT_EQ(view["width"]["median"].GetDouble(), 20);
  EXPECT_EQ(view["width"]["maximum"].GetDouble(), 40);
  EXPECT_EQ(view["height"]["median"].GetDouble(), 20);
  EXPECT_EQ(view["area"]["maximum"].GetDouble(), 1600);
  for (const rapidjson::Value* boxes : {&original, &view}) {
    EXPECT_EQ((*boxes)["small"].GetInt64(), 2);  // below 32 x 32
    EXPECT_EQ((*boxes)["medium"].GetInt64(), 1);
    EXPECT_EQ((*boxes)["large"].GetInt64(), 0);
  }
  const rapidjson::Value& sizes = statistics["sizes"];
  ASSERT_EQ(sizes.Size(), 3u);
  EXPECT_STREQ(sizes[0]["name"].GetString(), "small");
  EXPECT_EQ(sizes[0]["boxes"].GetInt64(), 2);
  EXPECT_EQ(sizes[1]["boxes"].GetInt64(), 1);
  EXPECT_EQ(sizes[2]["boxes"].GetInt64(), 0);
  ASSERT_EQ(statistics["co_occurrence"].Size(), 2u);
  EXPECT_THAT(Integers(statistics["co_occurrence"][0]), ElementsAre(2, 1));
  EXPECT_THAT(Integers(statistics["co_occurrence"][1]), ElementsAre(1, 1));
  EXPECT_THAT(Integers(statistics["images_by_objects"]), ElementsAre(0, 1, 1));
  const rapidjson::Value& cat = train["per_class"][0];
  EXPECT_STREQ(cat["name"].GetString(), "cat");
  EXPECT_EQ(cat["boxes"].GetInt64(), 2);
  EXPECT_EQ(cat["positions"][10 * 16 + 5].GetInt64(), 1);
  EXPECT_EQ(cat["positions"][6 * 16 + 10].GetInt64(), 0);

  // 8 of 400 square pixels; an anchor is forced upon it.
  const rapidjson::Value& hard = train["anchors"]["truths_below_half"];
  ASSERT_EQ(hard.Size(), 1u);
  EXPECT_THAT(hard[0]["file"].GetString(), HasSubstr("/check_boxes/boxes.csv"));
  EXPECT_EQ(hard[0]["line"].GetInt64(), 4);
  EXPECT_NEAR(hard[0]["best_iou"].GetDouble(), 0.02, 1e-6);
  EXPECT_NEAR(hard[0]["matched_iou"].GetDouble(), 0.02, 1e-6);
  EXPECT_EQ(hard[0]["width"].GetDouble(), 2);
  EXPECT_EQ(hard[0]["height"].GetDouble(), 4);
}

// A folder of pictures of 64 x 64 pixels with a white square each, and a table of them; the first
// `damaged` files are cut off.
std::string Squares(const std::string& name, int count, int damaged) {
  const std::string folder = absl::StrCat(testing::TempDir(), "/", name);
  std::filesystem::create_directories(folder);
  std::string table = "image,x0,y0,x1,y1,label\n";
  for (int i = 0; i < count; ++i) {
    const int x = 8 + 8 * (i % 4), y = 8 + 16 * (i / 4 % 2);
    const std::string file = absl::StrCat(folder, "/", i, ".png");
    cv::Mat picture(64, 64, CV_8UC3, cv::Scalar::all(0));
    picture(cv::Rect(x, y, 24, 24)).setTo(cv::Scalar::all(255));
    EXPECT_TRUE(cv::imwrite(file, picture));
    if (i < damaged) std::filesystem::resize_file(file, 10);
    absl::StrAppend(&table, i, ".png,", x, ",", y, ",", x + 24, ",", y + 24, ",square\n");
  }
  EXPECT_TRUE(WriteFileAtomically(folder + "/squares.csv", table).ok());
  return absl::StrCat("table { file: \"", folder, "/squares.csv\" } ");
}

TEST(RunCheckTest, SeesTheImagesThatARunSees) {
  const std::string table = Squares("damaged_squares", 8, 2);
  const auto experiment = ExperimentOn(
      "damaged_squares",
      absl::StrCat("train { ", table, "subset { to: 0.5 } transform { resize {} } }\n",
                   "validation { ", table, "subset { from: 0.5 } transform { resize {} } }\n"));
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  CheckOptions options;
  options.read_images = false;
  const auto report = RunCheck(*experiment, options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->train.statistics.images, 2);  // of four, of which two are damaged
  EXPECT_EQ(report->validation.statistics.images, 4);
  // One file is told of once, though both datasets are of it.
  EXPECT_EQ(CountErrors(*report), 2);
  EXPECT_EQ(CountOf(report->train.problems, Severity::kError), 2);
}

TEST(RunCheckTest, ProbesWhetherAFewImagesCanBeLearnt) {
  const auto experiment = Digits();
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  CheckOptions options;
  options.read_images = false;
  options.overfit = 2;
  options.device = "cpu";
  const auto report = RunCheck(*experiment, options);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_TRUE(report->overfit.has_value());
  const OverfitOutcome& overfit = *report->overfit;
  EXPECT_EQ(overfit.images, 2);
  EXPECT_EQ(HasFailed(*report), !overfit.has_passed);
  EXPECT_THAT(overfit.verdict, Not(HasSubstr("asked for")));
  EXPECT_GT(overfit.truths, 0);
  EXPECT_GE(overfit.steps, 50);
  EXPECT_LE(overfit.steps, 500);
  EXPECT_EQ(overfit.has_passed, overfit.ap50.value_or(0) > kOverfitAp50);
  ASSERT_GE(overfit.loss.y.size(), 2u);
  EXPECT_LT(overfit.loss.y.back(), overfit.loss.y.front());
  EXPECT_FALSE(overfit.verdict.empty());
  const rapidjson::Document document = Parsed(CheckJson(*report));
  EXPECT_EQ(document["overfit"]["images"].GetInt64(), 2);
  EXPECT_EQ(document["overfit"]["passed"].GetBool(), overfit.has_passed);
  EXPECT_THAT(CheckText(*report), HasSubstr("Overfit probe: "));
  EXPECT_THAT(CheckPage(*report), HasSubstr("id=\"overfit\""));
}

TEST(RunCheckTest, EightImagesAreLearnt) {
  const std::string table = Squares("squares", 8, 0);
  const std::string data = absl::StrCat("{ ", table, "transform { resize {} } }\n");
  const auto experiment =
      ExperimentOn("squares", absl::StrCat("train ", data, "validation ", data));
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  CheckOptions options;
  options.read_images = false;
  options.overfit = 8;
  options.device = "cpu";
  options.threads = 1;
  const auto report = RunCheck(*experiment, options);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_TRUE(report->overfit.has_value());
  const OverfitOutcome& overfit = *report->overfit;
  EXPECT_EQ(overfit.images, 8);
  EXPECT_EQ(overfit.truths, 8);
  EXPECT_TRUE(overfit.has_passed) << overfit.verdict;
  EXPECT_GT(overfit.ap50.value_or(0), kOverfitAp50);
  EXPECT_NEAR(overfit.ceiling_ap50.value_or(0), 1, 1e-9);
  EXPECT_THAT(overfit.verdict, HasSubstr("on 8 images in batches of 4 after"));
  EXPECT_THAT(overfit.verdict, HasSubstr("the network can learn from this data."));
  EXPECT_FALSE(HasFailed(*report));
}

TEST(OverfitReasonTest, SaysWhatWentWrong) {
  const auto reason = [](std::vector<double> loss, std::vector<int64_t> positives_of_missed = {}) {
    OverfitOutcome outcome;
    outcome.ceiling_ap50 = 1;
    outcome.truths = 5;
    outcome.loss.y = std::move(loss);
    for (const int64_t positives : positives_of_missed) {
      outcome.missed.emplace_back().positives = positives;
    }
    return OverfitReason(outcome, absl::OkStatus(), /*learning_rate=*/0.002);
  };
  OverfitOutcome outcome;
  outcome.ceiling_ap50 = 1;
  EXPECT_EQ(OverfitReason(outcome, absl::InternalError("the loss is nan"), 0.002),
            "the loss is nan.");
  outcome.ceiling_ap50 = 0.5;
  EXPECT_THAT(OverfitReason(outcome, absl::OkStatus(), 0.002),
              HasSubstr("no network can reach more than 0.500 here"));
  outcome.ceiling_ap50.reset();
  EXPECT_THAT(OverfitReason(outcome, absl::OkStatus(), 0.002),
              HasSubstr("no network can reach more than 0.000 here"));
  // The last fifth is compared with the first value and with the fifth before it.
  EXPECT_THAT(reason({10}), HasSubstr("the loss went from 10 to 10 only"));
  EXPECT_THAT(
      reason({10, 9, 9, 9, 9, 9, 9, 9, 5, 6}),
      AllOf(HasSubstr("the loss went from 10 to 5.5 only"), HasSubstr("(it is 0.002 here)")));
  EXPECT_THAT(reason({10, 9, 9, 9, 9, 9, 4, 4, 3, 3}),
              AllOf(HasSubstr("the loss still falls (from 4 to 3 at the end)"),
                    HasSubstr("(it is 0.002 here)")));
  EXPECT_EQ(reason({10, 9, 9, 9, 9, 9, 1, 1, 1, 1}, {2, 3}),
            "the loss stays at 1. 2 of 5 truths are missed, 1 of them with two anchors or fewer to "
            "learn them: fit the anchors to the data.");
  EXPECT_EQ(reason({10, 9, 9, 9, 9, 9, 1, 1, 1, 1}, {3}),
            "the loss stays at 1. 1 of 5 truths are missed, 0 of them with two anchors or fewer to "
            "learn them.");
}

TEST(FindUnusedTest, CountsLevelsAndTheShapesOfOthers) {
  const auto report_of = [](const std::vector<std::vector<int64_t>>& positives_of_shapes) {
    AnchorReport report;
    report.all.truths = 1;
    for (const std::vector<int64_t>& shapes : positives_of_shapes) {
      AnchorLevelUse& level = report.levels.emplace_back();
      for (const int64_t positives : shapes) {
        AnchorShapeUse& shape = report.shapes.emplace_back();
        shape.level = static_cast<int64_t>(report.levels.size()) - 1;
        shape.positives = positives;
        level.positives += positives;
      }
    }
    return report;
  };
  EXPECT_EQ(UnusedText(report_of({{5, 1}, {2}})), "");
  EXPECT_EQ(UnusedText(report_of({{5, 0}, {2}})), "1 shape answers for no truth.");
  EXPECT_EQ(UnusedText(report_of({{5, 0}, {0, 0}})),
            "Level 2 answers for no truth. 1 shape of other levels answers for no truth.");
  AnchorReport report = report_of({{0, 0}, {5, 0, 0}, {0}});
  const UnusedAnchors unused = FindUnused(report);
  EXPECT_THAT(unused.levels, ElementsAre(1, 3));
  EXPECT_EQ(unused.shapes, 2);
  EXPECT_EQ(UnusedText(report),
            "Levels 1, 3 answer for no truth. 2 shapes of other levels answer for no truth.");
  report.all.truths = 0;  // nothing says that they are of no use
  EXPECT_EQ(UnusedText(report), "");
}

AnchorRecall Reached(const std::string& name, int64_t truths, int64_t reached, double mean_iou) {
  AnchorRecall recall;
  recall.name = name;
  recall.truths = truths;
  recall.reached[kHalf] = reached;
  recall.iou_sum = mean_iou * static_cast<double>(truths);
  return recall;
}

// Of 50 small, 40 medium and 10 large truths, 80 are reached, with a mean IoU of 0.6.
CheckReport Suggesting(int64_t small, int64_t medium, int64_t large, double mean_iou) {
  CheckReport report;
  for (DatasetCheck* check : {&report.train, &report.validation}) {
    check->name = check == &report.train ? "train" : "validation";
    check->statistics.images_by_objects = {0, 1};
    AnchorReport& anchors = check->anchors;
    anchors.all = Reached("", 100, 80, 0.6);
    anchors.sizes = {Reached("small", 50, 30, 0.6), Reached("medium", 40, 40, 0.6),
                     Reached("large", 10, 10, 0.6)};
    anchors.truths_by_positives = {0, 100};
    anchors.levels.emplace_back().reached = {70, 65, 60, 50, 40, 30, 20};
  }
  AnchorSuggestion& suggestion = report.suggestion.emplace();
  suggestion.config = "anchor_generator { grid {} }\n";
  suggestion.all = Reached("", 100, small + medium + large, mean_iou);
  suggestion.sizes = {Reached("small", 50, small, 0.6), Reached("medium", 40, medium, 0.6),
                      Reached("large", 10, large, 0.6)};
  return report;
}

TEST(SuggestionVerdictTest, AThousandthMayBeLost) {
  AnchorReport present;
  present.all = Reached("", 1000, 800, 0.6);
  AnchorSuggestion suggestion;
  suggestion.all = Reached("", 1000, 799, 0.7);
  EXPECT_TRUE(IsWorthIt(suggestion, present));
  EXPECT_EQ(SuggestionVerdict(suggestion, present),
            "Fewer truths reach 0.5: 799 of 1000, now 800.");
  suggestion.all = Reached("", 1000, 798, 0.7);
  EXPECT_FALSE(IsWorthIt(suggestion, present));
}

TEST(SuggestionVerdictTest, SaysWhatIsLostAndWithholdsWhatIsWorse) {
  struct Case {
    CheckReport report;
    bool is_worth_it;
    std::string verdict;
  };
  const std::vector<Case> cases = {
      {Suggesting(33, 40, 10, 0.6), true, ""},
      {Suggesting(31, 40, 10, 0.63), true, ""},
      {Suggesting(45, 40, 5, 0.7), true, "Fewer large truths reach 0.5: 5 of 10, now 10."},
      {Suggesting(31, 40, 10, 0.61), false,
       "They gain too little to change yours and are not shown."},
      {Suggesting(34, 40, 5, 0.7), false,
       "Fewer truths reach 0.5: 79 of 100, now 80. Fewer large truths reach 0.5: 5 of 10, now 10. "
       "They reach fewer truths and are not shown."}};
  for (const Case& each : cases) {
    const AnchorSuggestion& suggestion = *each.report.suggestion;
    EXPECT_EQ(IsWorthIt(suggestion, each.report.train.anchors), each.is_worth_it) << each.verdict;
    EXPECT_EQ(SuggestionVerdict(suggestion, each.report.train.anchors), each.verdict);
    const rapidjson::Document document = Parsed(CheckJson(each.report));
    const rapidjson::Value& suggested = document["train"]["suggested_anchors"];
    EXPECT_EQ(suggested["worth_it"].GetBool(), each.is_worth_it);
    EXPECT_EQ(suggested["verdict"].GetString(), each.verdict);
    EXPECT_EQ(suggested["config"].IsString(), each.is_worth_it);
    for (const std::string& told : {CheckText(each.report), CheckPage(each.report)}) {
      EXPECT_THAT(told, HasSubstr(each.verdict));
      EXPECT_EQ(told.find("anchor_generator { grid {} }") != std::string::npos, each.is_worth_it);
    }
  }
}

TEST(RunCheckTest, TheJsonHasWhatLevelsReachAndWhatTheSuggestionGains) {
  const rapidjson::Document document = Parsed(CheckJson(Suggesting(45, 40, 5, 0.7)));
  const rapidjson::Value& train = document["train"];
  const rapidjson::Value& recall = train["anchors"]["levels"][0]["recall"];
  EXPECT_DOUBLE_EQ(recall["0.3"].GetDouble(), 0.7);
  EXPECT_DOUBLE_EQ(recall["0.5"].GetDouble(), 0.6);
  EXPECT_DOUBLE_EQ(recall["0.9"].GetDouble(), 0.2);
  EXPECT_DOUBLE_EQ(train["anchor_recall"]["0.5"]["small"].GetDouble(), 0.6);
  const rapidjson::Value& suggested = train["suggested_anchors"];
  EXPECT_DOUBLE_EQ(suggested["mean_best_iou"].GetDouble(), 0.7);
  EXPECT_DOUBLE_EQ(suggested["present_mean_best_iou"].GetDouble(), 0.6);
  EXPECT_DOUBLE_EQ(suggested["recall_50"]["all"].GetDouble(), 0.9);
  EXPECT_DOUBLE_EQ(suggested["recall_50"]["small"].GetDouble(), 0.9);
  EXPECT_DOUBLE_EQ(suggested["recall_50"]["large"].GetDouble(), 0.5);
  EXPECT_DOUBLE_EQ(suggested["present_recall_50"]["all"].GetDouble(), 0.8);
  EXPECT_DOUBLE_EQ(suggested["present_recall_50"]["large"].GetDouble(), 1);
}

TruthPlace PlaceInLine(int64_t line) {
  TruthPlace place;
  place.file = "truths.json";
  place.line = line;
  place.image = "a.png";
  place.class_name = "cat";
  return place;
}

// Of 25 truths below an IoU of 0.5 and 12 and 1 that are lost, text and page show the first.
TEST(RunCheckTest, TheJsonListsEveryTruthThatIsHardOrLost) {
  CheckReport report = Suggesting(45, 40, 5, 0.7);
  for (int i = 0; i < 25; ++i) {
    HardTruth& truth = report.train.anchors.below_half.emplace_back();
    truth.place = PlaceInLine(100 + i);
    truth.iou = i / 64.0;
    truth.matched_iou = i % 2 == 0 ? i / 64.0 : 0;
  }
  for (int i = 0; i < 13; ++i) {
    NamedLoss& loss = report.train.losses.emplace_back();
    loss.place = PlaceInLine(200 + i);
    loss.reason = i < 12 ? LossReason::kSharedAnchors : LossReason::kSuppressed;
    ++report.train.ceiling.reasons[static_cast<size_t>(loss.reason)];
  }
  report.train.ceiling.lost.resize(13);
  report.train.losses.back().other = PlaceInLine(300);
  report.train.losses.back().iou = 0.75;

  const rapidjson::Document document = Parsed(CheckJson(report));
  const rapidjson::Value& hard = document["train"]["anchors"]["truths_below_half"];
  ASSERT_EQ(hard.Size(), 25u);
  EXPECT_EQ(hard[24]["line"].GetInt64(), 124);
  EXPECT_DOUBLE_EQ(hard[23]["best_iou"].GetDouble(), 23.0 / 64);
  EXPECT_EQ(hard[23]["matched_iou"].GetDouble(), 0);
  EXPECT_DOUBLE_EQ(hard[24]["matched_iou"].GetDouble(), 24.0 / 64);
  const rapidjson::Value& lost = document["train"]["ceiling"]["lost_truths"];
  ASSERT_EQ(lost.Size(), 13u);
  EXPECT_EQ(lost[11]["line"].GetInt64(), 211);
  EXPECT_STREQ(lost[11]["reason"].GetString(), "shared_anchors");
  EXPECT_FALSE(lost[11].HasMember("other"));
  EXPECT_STREQ(lost[12]["reason"].GetString(), "suppressed");
  EXPECT_EQ(lost[12]["other"]["line"].GetInt64(), 300);
  EXPECT_EQ(lost[12]["other"]["iou"].GetDouble(), 0.75);

  const std::string text = CheckText(report);
  for (const int line : {104, 201, 212}) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat("truths.json:", line)));
  }
  for (const int line : {105, 202}) {
    EXPECT_THAT(text, Not(HasSubstr(absl::StrCat("truths.json:", line))));
  }
  const std::string html = CheckPage(report);
  for (const int line : {119, 209, 212}) {
    EXPECT_THAT(html, HasSubstr(absl::StrCat("truths.json:", line)));
  }
  for (const int line : {120, 210, 211}) {
    EXPECT_THAT(html, Not(HasSubstr(absl::StrCat("truths.json:", line))));
  }
  EXPECT_THAT(html, HasSubstr("and 5 more: --json"));
  EXPECT_THAT(html, HasSubstr("and 2 more: --json"));
}

TEST(OverfitBatchSizesTest, AreNearlyEqual) {
  EXPECT_THAT(OverfitBatchSizes(8, 32), ElementsAre(8));
  EXPECT_THAT(OverfitBatchSizes(8, 8), ElementsAre(8));
  EXPECT_THAT(OverfitBatchSizes(8, 5), ElementsAre(4, 4));
  EXPECT_THAT(OverfitBatchSizes(7, 5), ElementsAre(4, 3));
  EXPECT_THAT(OverfitBatchSizes(13, 4), ElementsAre(4, 3, 3, 3));
  EXPECT_THAT(OverfitBatchSizes(3, 1), ElementsAre(1, 1, 1));
  for (int64_t images = 1; images < 60; ++images) {
    for (int64_t most = 1; most < 40; ++most) {
      const std::vector<int64_t> sizes = OverfitBatchSizes(images, most);
      EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}), images);
      EXPECT_EQ(static_cast<int64_t>(sizes.size()), (images + most - 1) / most);
      EXPECT_LE(sizes.front(), most);
      EXPECT_LE(sizes.front() - sizes.back(), 1);
      EXPECT_TRUE(std::is_sorted(sizes.rbegin(), sizes.rend()));
    }
  }
}

TEST(RunCheckTest, TheProbeTakesAllImagesAndTellsThatThereAreFewer) {
  auto experiment = Digits();
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  experiment->mutable_data()->mutable_train()->mutable_digits()->set_scenes(7);
  CheckOptions options;
  options.read_images = false;
  options.overfit = 8;
  options.device = "cpu";
  options.threads = 1;
  const auto report = RunCheck(*experiment, options);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_TRUE(report->overfit.has_value());
  EXPECT_EQ(report->overfit->images, 7);
  EXPECT_EQ(report->overfit->batch_size, 4);
  EXPECT_THAT(report->overfit->verdict, HasSubstr("on 7 images in batches of 4 and 3 after"));
  EXPECT_THAT(report->overfit->verdict, HasSubstr("8 images were asked for"));
}

TEST(RunCheckTest, AProbeThatIsNotPassedFails) {
  CheckReport report;
  EXPECT_FALSE(HasFailed(report));
  report.overfit.emplace();
  EXPECT_TRUE(HasFailed(report));
  report.overfit->has_passed = true;
  EXPECT_FALSE(HasFailed(report));
  report.validation.problems.emplace_back();
  EXPECT_FALSE(HasFailed(report));  // a warning
  report.validation.problems[0].severity = Severity::kError;
  EXPECT_TRUE(HasFailed(report));
}

// Of 30 classes, class cNN with NN + 1 boxes.
TEST(RunCheckTest, ThePageShowsTheMostFrequentClasses) {
  constexpr int kClasses = 30;
  CheckReport report;
  report.train.name = "train";
  DatasetStatistics& statistics = report.train.statistics;
  statistics.images_by_objects = {0, 1};
  for (int c = 0; c < kClasses; ++c) {
    ObjectStatistics& objects = statistics.classes.emplace_back();
    objects.name = absl::StrCat("c", c < 10 ? "0" : "", c);
    objects.objects = c + 1;
    objects.positions[0] = c + 1;
    statistics.all.objects += c + 1;
  }
  statistics.co_occurrence.resize(kClasses * kClasses);
  report.train.anchors.classes.resize(kClasses);
  report.validation = report.train;
  report.validation.name = "validation";
  const std::string html = CheckPage(report);
  for (const char* shown : {"c06", "c29"}) {
    EXPECT_THAT(html, HasSubstr(absl::StrCat("<th scope=\"col\">", shown, "</th>")));
    EXPECT_THAT(html, HasSubstr(absl::StrCat("Positions of boxes: ", shown)));
  }
  EXPECT_THAT(html, Not(HasSubstr("<th scope=\"col\">c05</th>")));
  EXPECT_THAT(html, Not(HasSubstr("Positions of boxes: c05")));
  EXPECT_THAT(html, HasSubstr("and 6 more: --json"));
}

TEST(RunCheckTest, NamesWhatIsWrongWithTheRequest) {
  const auto experiment = Digits();
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  CheckOptions options;
  options.overfit = -1;
  EXPECT_THAT(std::string(RunCheck(*experiment, options).status().message()),
              HasSubstr("--overfit=-1"));
  options.overfit = 1001;
  EXPECT_THAT(std::string(RunCheck(*experiment, options).status().message()),
              HasSubstr("--overfit=1001: must be 0 to 1000 images"));
  options = CheckOptions();
  options.device = "tpu";
  EXPECT_THAT(std::string(RunCheck(*experiment, options).status().message()),
              HasSubstr("--device='tpu'"));

  const auto absent = ExperimentOn("absent",
                                   "train { coco { annotations: \"nowhere.json\" images: "
                                   "\"nowhere\" } transform { resize {} } }\n"
                                   "validation { digits {} transform { resize {} } }\n");
  ASSERT_TRUE(absent.ok()) << absent.status();
  const auto report = RunCheck(*absent, CheckOptions());
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("data.train: "));
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("nowhere"));
}

}  // namespace
}  // namespace ssd
