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
#include <vector>

#include "absl/strings/str_cat.h"
#include "data/check/dataset_statistics.h"
#include "data/data_problem.h"
#include "experiments/check/check_json.h"
#include "experiments/check/check_page.h"
#include "experiments/check/check_report.h"
#include "experiments/check/check_text.h"
#include "experiments/check/overfit_probe.h"
#include "experiments/load_experiment.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

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
  EXPECT_THAT(document["train"]["suggested_anchors"]["config"].GetString(),
              HasSubstr("anchor_generator {\n  grid {"));
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
