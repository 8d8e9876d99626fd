#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <pugixml.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/report/class_colors.h"
#include "ssd/report/drawing.h"
#include "ssd/report/html_page.h"
#include "ssd/report/html_report.h"
#include "ssd/report/metrics_history.h"
#include "ssd/report/svg_chart.h"
#include "ssd/report/sweep_table.h"

namespace ssd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// The page as XML; fails the test if it is not well-formed.
struct Page {
  explicit Page(const std::string& html) {
    const pugi::xml_parse_result result =
        document.load_buffer(html.data(), html.size(), pugi::parse_default, pugi::encoding_utf8);
    EXPECT_TRUE(result) << result.description() << " at byte " << result.offset << ": "
                        << html.substr(std::max<ptrdiff_t>(result.offset - 40, 0), 80);
  }
  size_t Count(const char* xpath) const { return document.select_nodes(xpath).size(); }
  std::string Text(const char* xpath) const {
    std::string text;
    for (const auto& node : document.select_nodes(xpath)) {
      text += node.node().text().get();
      text += "|";
    }
    return text;
  }
  pugi::xml_document document;
};

TEST(ClassColors, AreFewForFewAndDifferent) {
  std::set<std::string> colors;
  for (int64_t label = 1; label <= 90; ++label) colors.insert(CssColor(ClassColor(label)));
  EXPECT_GE(colors.size(), 88u);
  EXPECT_EQ(CssColor({0, 0x77, 0xbb}), "#0077bb");
  EXPECT_EQ(CssColor(TextColorOn({255, 255, 0})), "#000000");
  EXPECT_EQ(CssColor(TextColorOn({0, 0, 160})), "#ffffff");
}

const LabelMap& Labels() {
  static const LabelMap* const labels =
      new LabelMap{{"cat", "赤血球", "<script>alert('x')</script>"}, {1, 2, 3}};
  return *labels;
}

Annotation TruthAt(PixelBox box, int64_t label) {
  Annotation truth;
  truth.box = box;
  truth.label = label;
  truth.area = box.area();
  return truth;
}

TEST(Drawing, PutsBoxesWhereTheyAre) {
  cv::Mat image(200, 300, CV_8UC3, cv::Scalar(40, 40, 40));
  DrawAnchors({{50, 60, 151, 121}}, 1, image);
  const Rgb color = ClassColor(1);
  // Edges in the middle of the sides, corner coordinates being between pixels.
  const cv::Vec3b left = image.at<cv::Vec3b>(90, 50), inside = image.at<cv::Vec3b>(90, 100);
  const cv::Vec3b before = image.at<cv::Vec3b>(90, 48), after = image.at<cv::Vec3b>(90, 53);
  EXPECT_GT(left[2] + left[1] + left[0], 200);
  EXPECT_EQ(inside, cv::Vec3b(40, 40, 40));
  EXPECT_EQ(before, cv::Vec3b(40, 40, 40));
  EXPECT_EQ(after, cv::Vec3b(40, 40, 40));
  // Thick ones have the color itself.
  cv::Mat truth(800, 800, CV_8UC3, cv::Scalar(40, 40, 40));
  DrawTruths({TruthAt({100, 100, 500, 500}, 1)}, Labels(), truth);
  EXPECT_EQ(truth.at<cv::Vec3b>(300, 100), cv::Vec3b(color.blue, color.green, color.red));
}

TEST(Drawing, IsDeterministicAndCopesWithAnyBoxAndName) {
  const std::vector<PixelDetection> detections = {{{10, 10, 60, 60}, 0.9, 1},
                                                  {{-1e9, -50, 1e9, 500}, 0.8, 2},
                                                  {{90, 90, 90, 90}, 0.7, 3},
                                                  {{20, 20, 40, 40}, 0.1, 1}};
  cv::Mat first(100, 120, CV_8UC3, cv::Scalar::all(128)), second = first.clone();
  const cv::Mat blank = first.clone();
  DrawDetections(detections, Labels(), 0.5, first);
  DrawDetections(detections, Labels(), 0.5, second);
  EXPECT_EQ(cv::norm(first, second, cv::NORM_INF), 0);
  EXPECT_GT(cv::norm(first, blank, cv::NORM_INF), 0);
  // What scores less is not drawn.
  cv::Mat none = blank.clone();
  DrawDetections(detections, Labels(), 0.95, none);
  EXPECT_EQ(cv::norm(none, blank, cv::NORM_INF), 0);
  cv::Mat tiny(1, 1, CV_8UC3, cv::Scalar::all(0));
  DrawDetections(detections, Labels(), 0.5, tiny);
  // A name with letters OpenCV does not have is its number: the picture of class 2 named "#2".
  LabelMap ascii = Labels();
  ascii.names[1] = "#2";
  cv::Mat numbered = blank.clone(), named = blank.clone();
  DrawDetections({{{30, 40, 90, 90}, 0.8, 2}}, Labels(), 0.5, numbered);
  DrawDetections({{{30, 40, 90, 90}, 0.8, 2}}, ascii, 0.5, named);
  EXPECT_EQ(cv::norm(numbered, named, cv::NORM_INF), 0);
}

TEST(EscapeHtml, LetsTextThroughAndMarkupNot) {
  EXPECT_EQ(EscapeHtml("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
  EXPECT_EQ(EscapeHtml("犬 собака كلب 🐕"), "犬 собака كلب 🐕");
  EXPECT_EQ(EscapeHtml(std::string("a\0b\x01\x7f\r\n", 7)), "ab\n");
  // A lone continuation byte, an overlong slash, a surrogate, a cut-off sequence.
  EXPECT_EQ(EscapeHtml("\x80"), "\xef\xbf\xbd");
  EXPECT_EQ(EscapeHtml("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(EscapeHtml("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(EscapeHtml("x\xe7\x8a"), "x\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(ShortNumber, IsShort) {
  EXPECT_EQ(ShortNumber(0), "0");
  EXPECT_EQ(ShortNumber(0.1 + 0.2 - 0.3), "0");
  EXPECT_EQ(ShortNumber(0.30000000000000004), "0.3");
  EXPECT_EQ(ShortNumber(1500), "1500");
  EXPECT_EQ(ShortNumber(20000), "20k");
  EXPECT_EQ(ShortNumber(-2500000), "-2.5M");
  EXPECT_EQ(ShortNumber(1e-5), "1e-05");
}

TEST(SvgChart, ShowsEverySeriesWithItsValues) {
  Chart chart{"Loss <1>", "step", "loss", {}, {}, {}, {}, {}};
  chart.series = {{"total", {10, 20, 30}, {3, 2, 1}},
                  {"part", {10, 20, 30}, {1, std::nan(""), 0.5}},
                  {"point", {20}, {0.25}},
                  {"none", {}, {}}};
  const Page page(SvgChart(chart));
  EXPECT_EQ(page.Text("//h3"), "Loss <1>|");
  EXPECT_EQ(page.Count("//li"), 4u);
  EXPECT_EQ(page.Count("//polyline[contains(@class, 's0')]"), 1u);
  EXPECT_EQ(page.Count("//circle[contains(@class, 'dot')]"), 1u);
  EXPECT_EQ(page.Text("//g/title"),
            "step 10\ntotal 3\npart 1|step 20\ntotal 2\npoint 0.25|"
            "step 30\ntotal 1\npart 0.5|");
}

TEST(SvgChart, CopesWithAnyData) {
  const double infinite = std::numeric_limits<double>::infinity();
  for (const std::vector<double>& y : std::vector<std::vector<double>>{
           {}, {0, 0, 0}, {5, 5, 5}, {-1, -2, -3}, {infinite, 1, -infinite}, {1e-300, 1e300, 1}}) {
    Chart chart{"c", "x", "y", {}, {}, {}, {}, {}};
    std::vector<double> x;
    for (size_t i = 0; i < y.size(); ++i) x.push_back(static_cast<double>(i));
    chart.series = {{"s", x, y}};
    const std::string svg = SvgChart(chart);
    const Page page(svg);
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
}

TEST(SvgChart, ThinsLongSeriesAndKeepsAnEarlyPeakFromFlatteningTheRest) {
  Chart chart{"c", "x", "y", {}, {}, {}, {}, {}};
  ChartSeries& series = chart.series.emplace_back();
  for (int i = 0; i < 100000; ++i) {
    series.x.push_back(i);
    series.y.push_back(i < 1000 ? 1000 : 2);
  }
  const std::string svg = SvgChart(chart);
  EXPECT_LT(svg.size(), 40000u);
  const Page page(svg);
  // The highest tick is of the usual values' size.
  double highest = 0;
  for (const auto& node : page.document.select_nodes("//text[@text-anchor='end']")) {
    if (node.node().attribute("x").as_double() < 60) {
      highest = std::max(highest, node.node().text().as_double());
    }
  }
  EXPECT_LE(highest, 4);
}

TEST(MetricsHistory, ReadsWhatWasLogged) {
  const std::string path = testing::TempDir() + "/history.jsonl";
  const std::string lines =
      "{\"step\":10,\"epoch\":0.5,\"train.loss\":3.5,\"train.learning_rate\":0.1,"
      "\"timing\":{\"seconds\":1,\"images_per_second\":40,\"data_wait_share\":0.5,"
      "\"decode_seconds\":0.25,\"queue_depth\":3}}\n"
      "{\"step\":20,\"epoch\":1,\"train.loss\":null,\"train.learning_rate\":0.2,"
      "\"timing\":{\"seconds\":2,\"images_per_second\":10,\"data_wait_share\":0,"
      "\"decode_seconds\":0.75,\"queue_depth\":4}}\n"
      "{\"step\":20,\"epoch\":1,\"validation.AP\":0.25,\"validation.AP50\":0.5,"
      "\"validation.AP75\":null,\"validation.APs\":0.1,\"best\":true,\"timing\":{\"seconds\":3}}\n"
      "{\"step\":20,\"epoch\":1,\"validation.AP\":0.2,\"best\":false,"
      "\"timing\":{\"seconds\":1.5}}\n";
  ASSERT_TRUE(WriteFileAtomically(path, lines + "{\"step\":3").ok());
  const auto history = ReadMetricsHistory(path);
  ASSERT_TRUE(history.ok()) << history.status();
  ASSERT_NE(history->Find("train.loss"), nullptr);
  EXPECT_THAT(history->Find("train.loss")->y, ElementsAre(3.5));
  EXPECT_THAT(history->Find("train.learning_rate")->x, ElementsAre(10, 20));
  EXPECT_EQ(history->Find("validation.AP75"), nullptr);
  EXPECT_EQ(history->Find("timing"), nullptr);
  EXPECT_EQ(history->Find("epoch"), nullptr);
  const std::vector<Chart> charts = TrainingCharts(*history);
  ASSERT_EQ(charts.size(), 3u);
  EXPECT_EQ(charts[0].series[0].name, "total");
  EXPECT_EQ(charts[1].series[1].name, "AP50");
  EXPECT_EQ(charts[2].title, "Learning rate");
  EXPECT_TRUE(TrainingCharts({}).empty());
  EXPECT_EQ(history->best_step, 20);

  // 10 steps at 40 and 10 at 10 images a second: one second in five at the one, waiting for half.
  const TimingSummary timing = SummarizeTiming(*history);
  EXPECT_NEAR(timing.images_per_second.value(), 16, 1e-9);
  EXPECT_NEAR(timing.data_wait_share.value(), 0.1, 1e-9);
  EXPECT_EQ(timing.decode_seconds, 0.5);
  EXPECT_EQ(timing.queue_depth, 3.5);
  EXPECT_FALSE(timing.cache_hit_rate.has_value());
  EXPECT_EQ(timing.evaluations, 2);
  EXPECT_DOUBLE_EQ(timing.evaluation_seconds, 4.5);
  EXPECT_FALSE(SummarizeTiming({}).images_per_second.has_value());
  EXPECT_EQ(SummarizeTiming({}).evaluations, 0);

  ASSERT_TRUE(WriteFileAtomically(path, lines + "{}\n").ok());
  EXPECT_THAT(std::string(ReadMetricsHistory(path).status().message()), HasSubstr(path + ":5"));
}

TEST(MetricsHistory, ThePlannedLearningRateIsShownWhole) {
  MetricsHistory history;
  history.series = {{"train.learning_rate", {10, 20}, {1, 0.1}}};
  ChartSeries planned{"", {}, {}};
  for (int step = 1; step <= 100; ++step) {
    planned.x.push_back(step);
    planned.y.push_back(step < 3 ? 1 : 0.1);  // else taken for an early peak, and cut
  }
  const std::vector<Chart> charts = TrainingCharts(history, planned);
  ASSERT_EQ(charts.size(), 1u);
  ASSERT_EQ(charts[0].series.size(), 2u);
  EXPECT_EQ(charts[0].series[0].name, "logged");
  EXPECT_EQ(charts[0].series[1].name, "planned");
  EXPECT_THAT(charts[0].series[1].x, testing::SizeIs(100));
  EXPECT_GE(charts[0].y_max.value(), 1);
  const Page page(SvgChart(charts[0]));
  EXPECT_EQ(page.Count("//polyline"), 2u);
  EXPECT_EQ(TrainingCharts({}, planned).size(), 1u);
}

ReportContent WholeReport() {
  ReportContent content;
  content.title = "Quick <start> & \"more\"";
  content.summary = "Best weights from step 20.";
  content.highlights = {{"training", "3 min"}};
  content.charts = {{"Training loss", "step", "loss", {{"total", {1, 2}, {3, 2}}}, {}, {}, {}, {}}};
  content.labels = Labels();
  content.metrics.values = {{"AP", 0.5}, {"AP50", 0.75}, {"APl", std::nullopt}};
  for (size_t c = 0; c < Labels().names.size(); ++c) {
    ClassMetrics& of_class = content.metrics.per_class.emplace_back();
    of_class.name = Labels().names[c];
    of_class.values = content.metrics.values;
    of_class.curve = {{0, 0.5, 1}, {1, 0.8, 0}};
  }
  ReportPicture picture;
  picture.name = "<img src=x onerror=alert(1)>.jpg";
  picture.size = {100, 200};
  picture.jpeg = "jpeg bytes";
  picture.truths = {TruthAt({10, 10, 50, 50}, 1), TruthAt({100, 10, 150, 50}, 2),
                    TruthAt({10, 60, 50, 90}, 3)};
  picture.truths[2].difficult = true;
  // Right; of the wrong class; on a difficult truth; too weak to be shown.
  picture.detections = {{{11, 10, 50, 50}, 0.9, 1},
                        {{100, 10, 150, 50}, 0.8, 3},
                        {{10, 60, 50, 90}, 0.7, 3},
                        {{10, 60, 50, 90}, 0.1, 3}};
  picture.matches = {{picture.truths[0], {{{12, 8, 52, 48}, 0.83}, {{5, 5, 50, 55}, 0.6}}},
                     {picture.truths[1], {}}};
  content.pictures = {picture};
  content.run = {{"seed", "1"}};
  content.timing = {{"training", "3 min"}};
  content.config = "name: \"a<b\"\n";
  return content;
}

TEST(HtmlReport, IsWellFormedAndComplete) {
  const std::string html = HtmlReport(WholeReport());
  const Page page(html);
  EXPECT_EQ(page.Text("//h1"), "Quick <start> & \"more\"|");
  EXPECT_EQ(page.Count("//section"), 6u);
  EXPECT_EQ(page.Count("//nav/a"), 6u);
  // Every link of the page leads somewhere.
  for (const auto& node : page.document.select_nodes("//a/@href | //*[local-name()='use']/@href")) {
    const std::string target = node.attribute().value();
    ASSERT_EQ(target[0], '#');
    EXPECT_EQ(page.Count(absl::StrCat("//*[@id='", target.substr(1), "']").c_str()), 1u) << target;
  }
  // The picture is embedded once and shown four times.
  EXPECT_EQ(page.Count("//image"), 1u);
  EXPECT_EQ(page.Count("//use"), 3u);
  EXPECT_THAT(html, HasSubstr(absl::Base64Escape("jpeg bytes")));
  EXPECT_THAT(html, HasSubstr("1 missed, 1 wrong"));
  EXPECT_THAT(html, HasSubstr("Found: 3 detections"));
  EXPECT_EQ(page.Count("//rect[contains(@class, 'box dashed')]"), 2u);
  EXPECT_THAT(html, HasSubstr("2 boxes, IoU 0.60 – 0.83"));
  EXPECT_THAT(html, HasSubstr("no default box"));
  EXPECT_THAT(html, HasSubstr("赤血球"));
  EXPECT_EQ(page.Text("//pre"), "name: \"a<b\"\n|");
}

TEST(HtmlReport, RunsNoScriptsAndNeedsNoNetwork) {
  const std::string html = HtmlReport(WholeReport());
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("<img")));
  EXPECT_THAT(html, Not(HasSubstr("http:")));
  EXPECT_THAT(html, Not(HasSubstr("https:")));
  EXPECT_THAT(html, Not(HasSubstr("url(")));
  EXPECT_THAT(html, Not(HasSubstr("@import")));
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  const Page page(html);
  for (const auto& node : page.document.select_nodes("//@*")) {
    EXPECT_FALSE(absl::StartsWith(node.attribute().name(), "on")) << node.attribute().name();
  }
}

TEST(HtmlReport, IsDeterministicAndLeavesOutWhatIsEmpty) {
  EXPECT_EQ(HtmlReport(WholeReport()), HtmlReport(WholeReport()));
  ReportContent content;
  content.title = "Nothing";
  const Page page(HtmlReport(content));
  EXPECT_EQ(page.Count("//section"), 0u);
  EXPECT_EQ(page.Text("//title"), "Nothing|");
}

TEST(HtmlReport, NamesTheEvaluatorsIou) {
  ReportContent content = WholeReport();
  EXPECT_THAT(HtmlReport(content), HasSubstr("Precision by recall, IoU 0.5<"));
  EXPECT_THAT(HtmlReport(content), HasSubstr("no truth of its class at IoU 0.5."));
  // The one right detection overlaps its truth by 39 / 40.
  for (ClassMetrics& of_class : content.metrics.per_class) of_class.curve.iou = 0.98;
  EXPECT_THAT(HtmlReport(content), HasSubstr("Precision by recall, IoU 0.98<"));
  EXPECT_THAT(HtmlReport(content), HasSubstr("no truth of its class at IoU 0.98."));
  EXPECT_THAT(HtmlReport(content), HasSubstr("2 missed, 2 wrong"));
}

TEST(HtmlReport, ManyClassesShareOneChart) {
  ReportContent content = WholeReport();
  content.metrics.per_class.resize(80, content.metrics.per_class[0]);
  const Page page(HtmlReport(content));
  EXPECT_EQ(page.Count("//section[.//h2[@id='metrics']]//figure//li"), 7u);
  EXPECT_THAT(page.Text("//section[.//h2[@id='metrics']]//figure/h3"),
              HasSubstr("3 best and 3 worst of 80 classes"));
}

SweepResults SmallSweep() {
  SweepResults results;
  results.name = "levels <m>";
  results.axes = {"m", "backbone"};
  results.seeds = 3;
  results.points = {
      {{"6", "r18"},
       13210940,
       {{{"AP", 0.3}, {"AP50", 0.5}}, {{"AP", 0.4}, {"AP50", 0.5}}, {{"AP", 0.5}, {"AP50", 0.8}}}},
      {{"4", "r18|x"}, 950, {{{"AP", 0.2}, {"AP50", std::nullopt}}}},
      {{"2", "r18"}, std::nullopt, {}}};
  results.references = {{"SSD300", {{"AP", 0.251}}, "Liu et al., 2016"}};
  return results;
}

TEST(SweepTable, SummarizesOverSeeds) {
  const MeanAndDeviation three = Summarize({1.0, 2.0, 6.0, std::nullopt});
  EXPECT_EQ(three.count, 3);
  EXPECT_DOUBLE_EQ(*three.mean, 3);
  EXPECT_DOUBLE_EQ(*three.deviation, std::sqrt(7.0));  // (4 + 1 + 9) / 2
  EXPECT_EQ(Summarize({2.0}).deviation, std::nullopt);
  EXPECT_EQ(Summarize({std::nullopt}).mean, std::nullopt);
}

TEST(SweepTable, IsPlainText) {
  EXPECT_EQ(SweepTableText(SmallSweep()),
            "m       backbone    runs             AP           AP50  parameters  source\n"
            "------------------------------------------------------------------------------------\n"
            "6       r18            3  0.400 ± 0.100  0.600 ± 0.173     13.21 M\n"
            "4       r18|x     1 of 3          0.200            n/a       0.9 k\n"
            "2       r18       0 of 3            n/a            n/a\n"
            "------------------------------------------------------------------------------------\n"
            "SSD300                            0.251                             "
            "Liu et al., 2016\n");
}

TEST(SweepTable, IsMarkdownAndHtml) {
  const std::string markdown = SweepTableMarkdown(SmallSweep());
  EXPECT_THAT(markdown, HasSubstr("| m | backbone | runs | AP | AP50 | parameters | source |\n"
                                  "|---|---|---:|---:|---:|---:|---|\n"));
  EXPECT_THAT(markdown, HasSubstr("r18\\|x"));
  const Page page(SweepTableHtml(SmallSweep()));
  EXPECT_EQ(page.Text("//h1"), "levels <m>|");
  EXPECT_EQ(page.Count("//tbody/tr"), 4u);
  EXPECT_EQ(page.Text("//td[@class='best']"), "0.400 ± 0.100|0.600 ± 0.173|");
}

TEST(SweepTable, FallsBackToTheMetricsThereAre) {
  SweepResults results;
  results.name = "voc";
  results.points = {{{}, 1000000, {{{"mAP", 0.7}, {"mAP_11point", 0.68}}}}};
  EXPECT_EQ(SweepTableText(results),
            "point  runs    mAP  mAP_11point  parameters\n"
            "-------------------------------------------\n"
            "base      1  0.700        0.680      1.00 M\n");
}

}  // namespace
}  // namespace ssd
