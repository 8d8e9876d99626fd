#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/eval/bootstrap.h"
#include "ssd/eval/detections_json.h"
#include "ssd/eval/evaluator.h"
#include "ssd/eval/evaluator_testing.h"
#include "ssd/eval/metrics_text.h"
#include "ssd/eval/text_table.h"

namespace ssd {
namespace {

using testing::HasSubstr;

EvaluatorConfig Coco() {
  EvaluatorConfig config;
  config.mutable_coco();
  return config;
}

EvaluatorConfig Voc(bool inclusive_pixels) {
  EvaluatorConfig config;
  config.mutable_voc()->set_inclusive_pixels(inclusive_pixels);
  return config;
}

std::optional<double> Value(const MetricList& list, const std::string& name) {
  for (const auto& [key, value] : list) {
    if (key == name) return value;
  }
  ADD_FAILURE() << "no metric " << name;
  return std::nullopt;
}

// tests/golden/coco_eval_N.json.
struct Golden {
  rapidjson::Document document;
  EvaluatorContext context;
  std::vector<ImageDetections> detections;
};

Golden ReadGolden(int number) {
  Golden golden;
  const std::string path = "tests/golden/coco_eval_" + std::to_string(number) + ".json";
  const auto text = ReadFile(path);
  CHECK(text.ok()) << text.status();
  golden.document.Parse<rapidjson::kParseFullPrecisionFlag>(text->c_str());
  CHECK(!golden.document.HasParseError());
  const rapidjson::Value& truth = golden.document["gt"];
  std::map<int64_t, int64_t> label_of;
  for (const auto& category : truth["categories"].GetArray()) {
    golden.context.labels.names.push_back(category["name"].GetString());
    golden.context.labels.source_ids.push_back(category["id"].GetInt64());
    label_of[category["id"].GetInt64()] = golden.context.labels.num_classes();
  }
  std::map<int64_t, size_t> image_of;
  for (const auto& image : truth["images"].GetArray()) {
    image_of[image["id"].GetInt64()] = golden.context.truths.size();
    Annotations& annotations = golden.context.truths.emplace_back();
    annotations.image_id = image["id"].GetInt64();
    annotations.size = {image["height"].GetInt64(), image["width"].GetInt64()};
    golden.detections.push_back({annotations.image_id, {}});
  }
  const auto box_of = [](const rapidjson::Value& box) {
    return PixelBox{box[0].GetDouble(), box[1].GetDouble(), box[0].GetDouble() + box[2].GetDouble(),
                    box[1].GetDouble() + box[3].GetDouble()};
  };
  for (const auto& item : truth["annotations"].GetArray()) {
    Annotation object;
    object.box = box_of(item["bbox"]);
    object.label = label_of.at(item["category_id"].GetInt64());
    object.crowd = item["iscrowd"].GetInt() != 0;
    object.difficult = item["difficult"].GetInt() != 0;
    object.area = item["area"].GetDouble();
    golden.context.truths[image_of.at(item["image_id"].GetInt64())].objects.push_back(object);
  }
  for (const auto& item : golden.document["results"].GetArray()) {
    golden.detections[image_of.at(item["image_id"].GetInt64())].detections.push_back(
        {box_of(item["bbox"]), item["score"].GetDouble(),
         label_of.at(item["category_id"].GetInt64())});
  }
  return golden;
}

// Of a number from a golden one, in all of GoldenTest.
double largest_deviation = 0;

void ExpectEqual(double value, double golden, const std::string& what) {
  EXPECT_NEAR(value, golden, 1e-6) << what;
  largest_deviation = std::max(largest_deviation, std::abs(value - golden));
}

void ExpectNumber(const std::optional<double>& value, double golden, const std::string& what) {
  if (golden == -1) {  // as pycocotools prints it
    EXPECT_FALSE(value.has_value()) << what;
  } else {
    ASSERT_TRUE(value.has_value()) << what;
    ExpectEqual(*value, golden, what);
  }
}

class GoldenTest : public testing::TestWithParam<int> {
 protected:
  static void TearDownTestSuite() {
    std::cout << "[  golden  ] coco_eval: largest deviation " << largest_deviation << std::endl;
  }
};

TEST_P(GoldenTest, CocoEqualsPycocotools) {
  Golden golden = ReadGolden(GetParam());
  for (Annotations& image : golden.context.truths) {
    for (Annotation& object : image.objects) object.difficult = false;  // it knows none
  }
  const Metrics metrics = Judge(Coco(), golden.context, golden.detections);
  const auto& expected = golden.document["coco"];
  ASSERT_EQ(metrics.values.size(), 12u);
  ASSERT_EQ(expected.MemberCount(), 12u);
  size_t i = 0;
  for (const auto& member : expected.GetObject()) {
    EXPECT_EQ(metrics.values[i].first, member.name.GetString());
    ExpectNumber(metrics.values[i].second, member.value.GetDouble(), member.name.GetString());
    ++i;
  }
  ASSERT_EQ(metrics.per_class.size(), golden.document["coco_per_category"].MemberCount());
  for (const ClassMetrics& of_class : metrics.per_class) {
    const std::string id = std::to_string(of_class.source_id);
    for (const auto& member : golden.document["coco_per_category"][id.c_str()].GetObject()) {
      const std::string name = member.name.GetString();
      if (name == "precision_iou50") {
        ASSERT_EQ(of_class.curve.precision.size(), member.value.Size());
        for (rapidjson::SizeType r = 0; r < member.value.Size(); ++r) {
          ExpectEqual(of_class.curve.precision[r], member.value[r].GetDouble(), id + " " + name);
          EXPECT_NEAR(of_class.curve.recall[r], r * 0.01, 1e-12);
        }
      } else {
        ExpectNumber(Value(of_class.values, name), member.value.GetDouble(), id + " " + name);
      }
    }
  }
}

void ExpectVoc(const Metrics& metrics, const rapidjson::Value& peer, const char* area_name) {
  double area = 0;
  for (const ClassMetrics& of_class : metrics.per_class) {
    const auto& expected = peer["ap"][std::to_string(of_class.source_id).c_str()];
    ExpectEqual(*Value(of_class.values, "AP_11point"), expected["11point"].GetDouble(), area_name);
    ExpectEqual(*Value(of_class.values, "AP"), expected[area_name].GetDouble(), area_name);
    area += expected[area_name].GetDouble() / metrics.per_class.size();
  }
  ExpectEqual(*Value(metrics.values, "mAP_11point"), peer["map_11point"].GetDouble(), area_name);
  ExpectEqual(*Value(metrics.values, "mAP"), area, area_name);
}

TEST_P(GoldenTest, VocEqualsItsPeers) {
  Golden golden = ReadGolden(GetParam());
  for (Annotations& image : golden.context.truths) {
    for (Annotation& object : image.objects) object.crowd = false;  // the peers know none
  }
  const auto& voc = golden.document["voc"];
  ExpectVoc(Judge(Voc(true), golden.context, golden.detections),
            voc["detectron2_pyfasterrcnn_plus1"], "area");
  const Metrics exclusive = Judge(Voc(false), golden.context, golden.detections);
  ExpectVoc(exclusive, voc["amdegroot_no_plus1"], "area");
  // Caffe computes in float32.
  ExpectVoc(exclusive, voc["caffe_normalized_skip_difficult"], "MaxIntegral");
  for (Annotations& image : golden.context.truths) {
    for (Annotation& object : image.objects) object.difficult = false;
  }
  ExpectVoc(Judge(Voc(false), golden.context, golden.detections),
            voc["caffe_normalized_with_difficult"], "MaxIntegral");
}

INSTANTIATE_TEST_SUITE_P(Goldens, GoldenTest, testing::Values(1, 2));

// lufficc's (ChainerCV's) order of equal scores is that of an unstable sort. In the first file it
// does not matter.
TEST(VocMetrics, EqualsLufficcs) {
  Golden golden = ReadGolden(1);
  for (Annotations& image : golden.context.truths) {
    for (Annotation& object : image.objects) object.crowd = false;  // the peer knows none
  }
  const Metrics metrics = Judge(Voc(true), golden.context, golden.detections);
  const std::pair<const char*, std::string> entries[] = {
      {"lufficc_chainercv_11point", "AP_11point"}, {"lufficc_chainercv_area", "AP"}};
  for (const auto& [entry, name] : entries) {
    const auto& expected = golden.document["voc"][entry];
    ExpectEqual(*Value(metrics.values, "m" + name), expected["map"].GetDouble(), entry);
    for (const ClassMetrics& of_class : metrics.per_class) {
      const auto& ap = expected["ap"][std::to_string(of_class.source_id).c_str()];
      ExpectEqual(*Value(of_class.values, name), ap.GetDouble(), entry);
    }
  }
}

EvaluatorContext OneTruth(double side, bool crowd) {
  EvaluatorContext context;
  context.labels = {{"a"}, {1}};
  Annotation object;
  object.box = {0, 0, side, side};
  object.area = side * side;
  object.label = 1;
  object.crowd = crowd;
  context.truths.resize(1);
  context.truths[0].objects = {object};
  return context;
}

TEST(CocoMetrics, AreaRangesIncludeBothEnds) {
  const Metrics metrics = Judge(Coco(), OneTruth(32, false), {{0, {{{0, 0, 32, 32}, 0.5, 1}}}});
  EXPECT_NEAR(*Value(metrics.values, "APs"), 1, 1e-12);
  EXPECT_NEAR(*Value(metrics.values, "APm"), 1, 1e-12);
  EXPECT_EQ(Value(metrics.values, "APl"), std::nullopt);
}

TEST(CocoMetrics, CrowdsTakeAnyNumberOfDetectionsByTheirOwnArea) {
  EvaluatorContext context = OneTruth(100, true);
  Annotation single;
  single.box = {200, 200, 240, 240};
  single.area = 1600;
  single.label = 1;
  context.truths[0].objects.push_back(single);
  // Three small ones inside the crowd score best; they are neither right nor wrong.
  const Metrics metrics = Judge(Coco(), context,
                                {{0,
                                  {{{0, 0, 10, 10}, 0.9, 1},
                                   {{20, 0, 30, 10}, 0.8, 1},
                                   {{40, 0, 50, 10}, 0.7, 1},
                                   {{200, 200, 240, 240}, 0.6, 1}}}});
  EXPECT_NEAR(*Value(metrics.values, "AP"), 1, 1e-12);
}

TEST(CocoMetrics, DifficultTruthsAreNeitherRightNorWrong) {
  EvaluatorContext context = OneTruth(50, false);
  context.truths[0].objects.push_back(context.truths[0].objects[0]);
  Annotation& difficult = context.truths[0].objects[1];
  difficult.box = {100, 100, 150, 150};
  difficult.difficult = true;
  const PixelDetection of_single = {{0, 0, 50, 50}, 0.7, 1};
  const PixelDetection of_difficult = {{100, 100, 150, 150}, 0.9, 1};
  const PixelDetection inside_difficult = {{100, 100, 110, 110}, 0.9, 1};
  const auto ap = [&context](const std::vector<PixelDetection>& detections) {
    return Value(Judge(Coco(), context, {{0, detections}}).values, "AP");
  };
  EXPECT_NEAR(*ap({of_single}), 1, 1e-12);
  EXPECT_NEAR(*ap({of_difficult, of_single}), 1, 1e-12);
  // It is found once, and unlike a crowd by the IoU.
  EXPECT_NEAR(*ap({of_difficult, of_difficult, of_single}), 0.5, 1e-12);
  EXPECT_NEAR(*ap({inside_difficult, of_single}), 0.5, 1e-12);
  // One that is not difficult is missed: precision 1 up to a recall of one half, 51 of 101 recalls.
  difficult.difficult = false;
  EXPECT_NEAR(*ap({of_single}), 51.0 / 101, 1e-12);
  // Where all are difficult there is nothing to find.
  for (Annotation& object : context.truths[0].objects) object.difficult = true;
  EXPECT_EQ(ap({of_single}), std::nullopt);
}

// As pycocotools ignores truths of areas outside the range, which the goldens have.
TEST(CocoMetrics, DifficultTruthsAreIgnoredAsThoseOfAnotherArea) {
  for (uint64_t seed = 11; seed < 16; ++seed) {
    Scenes scenes = RandomScenes(seed, 40, 3, /*ties=*/seed % 2 == 0);
    const Metrics difficult = Judge(Coco(), scenes.context, scenes.detections);
    for (Annotations& image : scenes.context.truths) {
      for (Annotation& object : image.objects) {
        if (object.difficult) object.area = -1;
        object.difficult = false;
      }
    }
    ExpectSame(Judge(Coco(), scenes.context, scenes.detections).values, difficult.values, 0);
  }
}

TEST(CocoMetrics, CountsOnlyAHundredDetectionsOfAClassInAnImage) {
  std::vector<PixelDetection> detections;
  for (int i = 0; i < 100; ++i) detections.push_back({{200, 200, 210, 210}, 0.9, 1});
  detections.push_back({{0, 0, 50, 50}, 0.1, 1});
  EXPECT_EQ(Value(Judge(Coco(), OneTruth(50, false), {{0, detections}}).values, "AP"), 0.0);
  detections.erase(detections.begin());
  EXPECT_GT(*Value(Judge(Coco(), OneTruth(50, false), {{0, detections}}).values, "AP"), 0);
}

TEST(VocMetrics, RefusesAnIouOutsideItsRange) {
  EvaluatorConfig config;
  for (const double iou : {0.0, -0.5, 1.5, std::nan("")}) {
    config.mutable_voc()->set_iou(iou);
    const auto status = EvaluatorRegistry::Get().Create(config, OneTruth(10, false)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("evaluator.voc.iou"));
  }
}

TEST(VocMetrics, CurvesAreAtItsIou) {
  EvaluatorConfig config;
  config.mutable_voc()->set_iou(0.7);
  // An IoU of 0.6: wrong.
  const Metrics metrics = Judge(config, OneTruth(50, false), {{0, {{{0, 0, 50, 30}, 0.5, 1}}}});
  EXPECT_EQ(metrics.per_class[0].curve.iou, 0.7);
  EXPECT_EQ(metrics.values[0].second, 0.0);
}

TEST(VocMetrics, DifficultTruthsAreNeitherRightNorWrong) {
  EvaluatorContext context = OneTruth(50, false);
  context.truths[0].objects.push_back(context.truths[0].objects[0]);
  Annotation& difficult = context.truths[0].objects[1];
  difficult.box = {100, 100, 150, 150};
  difficult.difficult = true;
  const std::vector<PixelDetection> detections = {
      {{100, 100, 150, 150}, 0.9, 1}, {{100, 100, 150, 150}, 0.8, 1}, {{0, 0, 50, 50}, 0.7, 1}};
  EXPECT_NEAR(*Judge(Voc(false), context, {{0, detections}}).values[0].second, 1, 1e-12);
  // The second detection of one truth is wrong.
  difficult.difficult = false;
  EXPECT_NEAR(*Judge(Voc(false), context, {{0, detections}}).values[0].second, (1 + 2.0 / 3) / 2,
              1e-12);
}

TEST(Bootstrap, IsSeededAndHoldsTheValue) {
  const Scenes scenes = RandomScenes(8, 60, 2, false);
  const auto evaluator = MakeEvaluator(Coco(), scenes.context);
  for (const auto& image : scenes.detections) evaluator->Add(image.image_id, image.detections);
  BootstrapOptions options;
  options.resamples = 300;
  const auto first = BootstrapIntervals(*evaluator, 60, options);
  const auto again = BootstrapIntervals(*evaluator, 60, options);
  options.seed = 2;
  const auto other = BootstrapIntervals(*evaluator, 60, options);
  const Metrics metrics = evaluator->Compute();
  ASSERT_EQ(first.size(), metrics.values.size());
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].metric, metrics.values[i].first);
    if (!metrics.values[i].second.has_value()) continue;
    EXPECT_EQ(first[i].low, again[i].low);
    EXPECT_EQ(first[i].high, again[i].high);
    EXPECT_LE(*first[i].low, *metrics.values[i].second);
    EXPECT_GE(*first[i].high, *metrics.values[i].second);
  }
  EXPECT_NE(first[0].low, other[0].low);
  options.confidence = 0.5;
  EXPECT_GT(*BootstrapIntervals(*evaluator, 60, options)[0].low, *other[0].low);
}

TEST(Bootstrap, OfEqualImagesHasNoWidth) {
  EvaluatorContext context = OneTruth(50, false);
  std::vector<ImageDetections> detections = {{0, {{{0, 0, 50, 40}, 0.5, 1}}}};
  for (int i = 1; i < 10; ++i) {
    context.truths.push_back(context.truths[0]);
    context.truths.back().image_id = i;
    detections.push_back({i, detections[0].detections});
  }
  const auto evaluator = MakeEvaluator(Coco(), context);
  for (const auto& image : detections) evaluator->Add(image.image_id, image.detections);
  const auto intervals = BootstrapIntervals(*evaluator, 10, {});
  const double ap = *evaluator->Compute().values[0].second;
  EXPECT_NEAR(*intervals[0].low, ap, 1e-12);
  EXPECT_NEAR(*intervals[0].high, ap, 1e-12);
  EXPECT_EQ(intervals[5].metric, "APl");
  EXPECT_EQ(intervals[5].low, std::nullopt);
}

TEST(DetectionsJson, HasTheDatasetsIdsAndFixedBytes) {
  const LabelMap labels = {{"cat", "dog"}, {17, 18}};
  const std::vector<ImageDetections> images = {{9, {{{1.23456, -0.0001, 11.2345, 20}, 0.1f, 2}}},
                                               {4, {{{0, 0, 5, 5}, 1, 1}, {{0, 0, 1, 1}, 1e-7, 1}}},
                                               {5, {}}};
  const std::string expected =
      "[\n"
      "{\"image_id\":4,\"category_id\":17,\"bbox\":[0.000,0.000,5.000,5.000],\"score\":1},\n"
      "{\"image_id\":4,\"category_id\":17,\"bbox\":[0.000,0.000,1.000,1.000],\"score\":1e-07},\n"
      "{\"image_id\":9,\"category_id\":18,\"bbox\":[1.235,0.000,10.000,20.000],"
      "\"score\":0.100000001}\n"
      "]\n";
  EXPECT_EQ(DetectionsJson(images, labels), expected);
  EXPECT_EQ(DetectionsJson({}, labels), "[]\n");
}

Metrics SmallMetrics() {
  Metrics metrics;
  metrics.values = {{"AP", 0.25}, {"AP50", std::nullopt}};
  ClassMetrics of_class;
  of_class.source_id = 18;
  of_class.name = "\"犬\" <dog>";
  of_class.values = {{"AP", 1.0 / 3}, {"AP50", std::nullopt}};
  metrics.per_class = {of_class};
  return metrics;
}

TEST(MetricsText, JsonIsOneDocumentWithNulls) {
  MetricsFacts facts;
  facts.images = 50;
  facts.detections = 1234;
  facts.seconds = 2.5;
  facts.intervals = {{"AP", 0.2, 0.3}, {"AP50", std::nullopt, std::nullopt}};
  rapidjson::Document json;
  json.Parse<rapidjson::kParseFullPrecisionFlag>(MetricsJson(SmallMetrics(), facts).c_str());
  ASSERT_FALSE(json.HasParseError());
  EXPECT_EQ(json["metrics"]["AP"].GetDouble(), 0.25);
  EXPECT_TRUE(json["metrics"]["AP50"].IsNull());
  EXPECT_EQ(json["per_class"][0]["id"].GetInt(), 18);
  EXPECT_STREQ(json["per_class"][0]["name"].GetString(), "\"犬\" <dog>");
  EXPECT_EQ(json["per_class"][0]["AP"].GetDouble(), 1.0 / 3);
  EXPECT_EQ(json["images"].GetInt(), 50);
  EXPECT_EQ(json["detections"].GetInt(), 1234);
  EXPECT_EQ(json["seconds"].GetDouble(), 2.5);
  EXPECT_EQ(json["intervals"]["AP"][1].GetDouble(), 0.3);
  json.Parse(MetricsJson(SmallMetrics()).c_str());
  EXPECT_FALSE(json.HasMember("images"));
  EXPECT_FALSE(json.HasMember("intervals"));
}

TEST(MetricsText, TablesShowWhatDoesNotExist) {
  MetricsFacts facts;
  facts.images = 50;
  facts.intervals = {{"AP", 0.2, 0.3}, {"AP50", std::nullopt, std::nullopt}};
  EXPECT_EQ(MetricsTable(SmallMetrics(), facts),
            "metric   value  95% interval\n"
            "-------------------------------\n"
            "AP      0.2500  0.2000 - 0.3000\n"
            "AP50       n/a  n/a\n"
            "\n"
            "class          AP  AP50\n"
            "-----------------------\n"
            "\"犬\" <dog>  0.333   n/a\n"
            "\n"
            "50 images\n");
}

TEST(TextTable, KnowsWideLettersAndMarks) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("犬猫"), 4);
  EXPECT_EQ(DisplayWidth("кот"), 3);
  EXPECT_EQ(DisplayWidth("e\xcc\x81"), 1);  // e and a combining acute accent
  EXPECT_EQ(DisplayWidth("\xf0\x9f\x90\x95"), 2);
  EXPECT_EQ(DisplayWidth("\xe7"), 1);  // cut off
}

}  // namespace
}  // namespace ssd
