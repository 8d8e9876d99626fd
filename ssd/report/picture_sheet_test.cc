#include "ssd/report/picture_sheet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "ssd/report/class_colors.h"
#include "ssd/report/drawing.h"
#include "ssd/report/judged_boxes.h"

namespace ssd {
namespace {

constexpr Rgb kColor = {0x33, 0xbb, 0xee};
const cv::Vec3b kDrawn(0xee, 0xbb, 0x33);  // blue first
const cv::Vec3b kGround(40, 40, 40);

// One box on a picture on which lines are two pixels wide.
cv::Mat Outlined(LineStyle style, bool thin = false) {
  cv::Mat image(400, 400, CV_8UC3, cv::Scalar(40, 40, 40));
  OutlinedBox box;
  box.box = {100, 100, 300, 300};
  box.color = kColor;
  box.style = style;
  box.thin = thin;
  DrawBoxes({box}, image);
  return image;
}

// "x" where the upper edge is drawn from `begin` on, "." where it is not.
std::string UpperEdge(const cv::Mat& image, int row, int begin, int count) {
  std::string pattern;
  for (int x = begin; x < begin + count; ++x) {
    pattern += image.at<cv::Vec3b>(row, x) == kDrawn ? 'x' : '.';
  }
  return pattern;
}

TEST(DrawBoxes, TellsStylesApartByTheirGaps) {
  // The edge at 100 covers pixels 99 and 100.
  const std::string dashed = std::string(16, 'x') + std::string(10, '.') + std::string(16, 'x');
  const std::string dotted = "xx....xx....xx....";
  const std::string dash_dotted = std::string(12, 'x') + "......xx......" + std::string(12, 'x');
  for (const int row : {99, 100}) {
    EXPECT_EQ(UpperEdge(Outlined(LineStyle::kDashed), row, 99, 42), dashed);
    EXPECT_EQ(UpperEdge(Outlined(LineStyle::kDotted), row, 99, 18), dotted);
    EXPECT_EQ(UpperEdge(Outlined(LineStyle::kDashDotted), row, 99, 38), dash_dotted);
  }
  EXPECT_EQ(UpperEdge(Outlined(LineStyle::kDashed, /*thin=*/true), 100, 100, 14), "xxxxxxxx.....x");

  const cv::Mat image = Outlined(LineStyle::kDashed);
  // All four sides, and nothing beside them.
  EXPECT_EQ(image.at<cv::Vec3b>(105, 99), kDrawn);
  EXPECT_EQ(image.at<cv::Vec3b>(120, 99), kGround);
  EXPECT_EQ(image.at<cv::Vec3b>(105, 300), kDrawn);
  EXPECT_EQ(image.at<cv::Vec3b>(300, 105), kDrawn);
  EXPECT_EQ(image.at<cv::Vec3b>(101, 105), kGround);
  EXPECT_EQ(image.at<cv::Vec3b>(98, 105), kGround);
  EXPECT_EQ(image.at<cv::Vec3b>(200, 200), kGround);
}

TEST(DrawBoxes, CopesWithAnyBox) {
  for (const LineStyle style :
       {LineStyle::kSolid, LineStyle::kDashed, LineStyle::kDotted, LineStyle::kDashDotted}) {
    for (const PixelBox& box : std::vector<PixelBox>{
             {-1e9, -50, 1e9, 500}, {30, 30, 30, 30}, {50, 60, 20, 10}, {500, 500, 600, 600}}) {
      cv::Mat image(60, 80, CV_8UC3, cv::Scalar::all(128));
      OutlinedBox outlined;
      outlined.box = box;
      outlined.style = style;
      outlined.text = "any";
      DrawBoxes({outlined}, image);
    }
  }
}

TEST(FitPicture, ReducesAndEnlargesByWholeSteps) {
  const cv::Mat large(400, 800, CV_8UC3, cv::Scalar(1, 2, 3));
  const FittedPicture reduced = FitPicture(large, 400);
  EXPECT_EQ(reduced.bgr.size(), cv::Size(400, 200));
  EXPECT_EQ(reduced.scale, 0.5);
  EXPECT_EQ(reduced.bgr.at<cv::Vec3b>(10, 10), cv::Vec3b(3, 2, 1)) << "blue first";
  const PixelBox box = reduced.Place({10, 20, 30, 40});
  EXPECT_EQ(box.x0, 5);
  EXPECT_EQ(box.y1, 20);

  const cv::Mat small(60, 120, CV_8UC3, cv::Scalar::all(9));
  EXPECT_EQ(FitPicture(small, 400).bgr.size(), cv::Size(360, 180));
  EXPECT_EQ(FitPicture(small, 400).scale, 3);
  EXPECT_EQ(FitPicture(small, 200).scale, 1);

  // However thin, something of it is left.
  for (const cv::Size size : {cv::Size(3000, 1), cv::Size(1, 3000), cv::Size(1, 1)}) {
    const FittedPicture fitted = FitPicture(cv::Mat(size, CV_8UC3, cv::Scalar::all(9)), 400);
    EXPECT_GE(std::min(fitted.bgr.rows, fitted.bgr.cols), 1);
    EXPECT_EQ(std::max(fitted.bgr.rows, fitted.bgr.cols), 400);
    EXPECT_EQ(fitted.bgr.at<cv::Vec3b>(0, 0), cv::Vec3b(9, 9, 9));
  }
}

TEST(DrawSheet, PutsTilesInRowsWithTheirCaptions) {
  PictureSheet sheet;
  sheet.columns = 2;
  for (const cv::Scalar& color :
       {cv::Scalar(200, 0, 0), cv::Scalar(0, 0, 200), cv::Scalar(0, 200, 0)}) {
    sheet.tiles.push_back({cv::Mat(80, 100, CV_8UC3, color),
                           {"a caption that is much longer than its tile is wide"}});
  }
  const cv::Mat page = DrawSheet(sheet);
  // Two margins of 12 above, two rows of 80 and 17 pixels with a margin below each.
  EXPECT_EQ(page.size(), cv::Size(360, 24 + 2 * (80 + 17 + 12)));
  EXPECT_EQ(page.at<cv::Vec3b>(34, 22), cv::Vec3b(200, 0, 0));
  EXPECT_EQ(page.at<cv::Vec3b>(34, 134), cv::Vec3b(0, 0, 200));
  EXPECT_EQ(page.at<cv::Vec3b>(34 + 109, 22), cv::Vec3b(0, 200, 0));
  EXPECT_EQ(page.at<cv::Vec3b>(34, 118), cv::Vec3b(255, 255, 255));
  const auto inked = [&page](const cv::Rect& rect) {
    return cv::norm(page(rect), cv::Mat(rect.size(), CV_8UC3, cv::Scalar::all(255)), cv::NORM_INF) >
           0;
  };
  EXPECT_TRUE(inked(cv::Rect(12, 104, 100, 17)));
  EXPECT_FALSE(inked(cv::Rect(114, 104, 10, 17))) << "the caption leaves its tile";
  EXPECT_FALSE(inked(cv::Rect(124, 133, 236, 109))) << "there is no fourth tile";

  EXPECT_FALSE(DrawSheet(PictureSheet()).empty());
}

TEST(DrawSheet, ShowsEveryKindOfTheLegend) {
  PictureSheet sheet;
  const std::string text(40, 'm');
  sheet.legend = {{kColor, LineStyle::kDashed, text}, {kColor, LineStyle::kDotted, text}};
  sheet.tiles = {{cv::Mat(50, 50, CV_8UC3, cv::Scalar::all(0)), {}}};
  const cv::Mat page = DrawSheet(sheet);
  // The second stands below the first: there is no room beside it.
  for (const int top : {12, 12 + 22}) {
    EXPECT_EQ(page.at<cv::Vec3b>(top + 2, 12 + 2), kDrawn);
    EXPECT_EQ(page.at<cv::Vec3b>(top + 8, 12 + 17), cv::Vec3b(110, 110, 110));
  }
  EXPECT_EQ(page.at<cv::Vec3b>(12 + 2, 12 + 5), kDrawn);
  EXPECT_EQ(page.at<cv::Vec3b>(12 + 22 + 2, 12 + 5), cv::Vec3b(110, 110, 110)) << "a gap";
}

TEST(WriteSheet, WritesWhatIsDrawn) {
  PictureSheet sheet;
  sheet.title = "Wörter";
  sheet.tiles = {{cv::Mat(30, 30, CV_8UC3, cv::Scalar(10, 20, 30)), {"one", "two"}}};
  const std::string path = testing::TempDir() + "/sheet.png";
  const absl::Status written = WriteSheet(path, sheet);
  ASSERT_TRUE(written.ok()) << written;
  const cv::Mat read = cv::imread(path);
  ASSERT_EQ(read.size(), DrawSheet(sheet).size());
  EXPECT_EQ(cv::norm(read, DrawSheet(sheet), cv::NORM_INF), 0);
  // What has no letter of its own takes one '?'.
  PictureSheet ascii = sheet;
  ascii.title = "W?rter";
  EXPECT_EQ(cv::norm(read, DrawSheet(ascii), cv::NORM_INF), 0);
}

TEST(JudgeDetections, TellsTrueFalseAndMissed) {
  std::vector<Annotation> truths(4);
  truths[0].box = {0, 0, 10, 10};
  truths[0].label = 1;
  truths[1].box = {20, 20, 30, 30};
  truths[1].label = 1;
  truths[1].difficult = true;
  truths[2].box = {0, 50, 100, 100};
  truths[2].label = 2;
  truths[2].crowd = true;
  truths[3].box = {50, 0, 60, 10};
  truths[3].label = 2;
  const std::vector<PixelDetection> detections = {
      {{50, 0, 60, 10}, 0.05, 2},  // would find the last truth, but scores too little
      {{0, 0, 10, 9}, 0.8, 1},     // finds what a better one has found
      {{0, 0, 10, 10}, 0.9, 1},   {{20, 20, 30, 30}, 0.7, 1},
      {{10, 60, 20, 70}, 0.6, 2}, {{0, 0, 10, 10}, 0.5, 2},  // of another class
  };
  const JudgedImage judged = JudgeDetections(detections, truths, /*min_score=*/0.1, 0.5);
  ASSERT_EQ(judged.detections.size(), 5u);
  const std::vector<DetectionVerdict> verdicts = {
      DetectionVerdict::kTrue, DetectionVerdict::kFalse, DetectionVerdict::kNotJudged,
      DetectionVerdict::kNotJudged, DetectionVerdict::kFalse};
  const std::vector<int64_t> found = {0, -1, 1, 2, -1};
  for (size_t i = 0; i < verdicts.size(); ++i) {
    EXPECT_EQ(judged.detections[i].verdict, verdicts[i]) << i;
    EXPECT_EQ(judged.detections[i].truth, found[i]) << i;
  }
  EXPECT_EQ(judged.detections[0].iou, 1);
  EXPECT_EQ(judged.detections[3].iou, 1) << "the share of it that lies in the crowd";
  EXPECT_EQ(judged.found, (std::vector<bool>{true, true, true, false}));
}

TEST(LeastTrueIou, IsTheEvaluators) {
  EvaluatorConfig config;
  config.mutable_coco();
  EXPECT_EQ(LeastTrueIou(config), 0.5);
  config.mutable_voc()->set_iou(0.7);
  EXPECT_EQ(LeastTrueIou(config), 0.7);
}

}  // namespace
}  // namespace ssd
