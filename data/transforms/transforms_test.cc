#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <opencv2/imgproc.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "data/dataset.h"
#include "data/transforms/color_change.h"
#include "data/transforms/iou_crop.h"
#include "data/transforms/sample_view.h"
#include "data/transforms/transform.h"
#include "ssd/core/file.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

class FixedSource : public ImageSource {
 public:
  explicit FixedSource(cv::Mat image) : image_(std::move(image)) {}
  ImageSize size() const override { return {image_.rows, image_.cols}; }
  absl::StatusOr<cv::Mat> Decode() const override { return image_; }

 private:
  const cv::Mat image_;
};

const rapidjson::Document& Golden() {
  static const rapidjson::Document* const golden = [] {
    auto* document = new rapidjson::Document;
    const auto text = ReadFile("tests/golden/transforms.json");
    CHECK(text.ok()) << text.status();
    CHECK(!document->Parse(text->c_str()).HasParseError());
    return document;
  }();
  return *golden;
}

cv::Mat ToMat(const rapidjson::Value& rows) {
  cv::Mat image(static_cast<int>(rows.Size()), static_cast<int>(rows[0].Size()), CV_8UC3);
  for (int y = 0; y < image.rows; ++y) {
    for (int x = 0; x < image.cols; ++x) {
      for (int c = 0; c < 3; ++c) {
        image.at<cv::Vec3b>(y, x)[c] = static_cast<uchar>(rows[y][x][c].GetInt());
      }
    }
  }
  return image;
}

cv::Mat ReverseChannels(const cv::Mat& image) {
  cv::Mat reversed;
  cv::cvtColor(image, reversed, cv::COLOR_BGR2RGB);
  return reversed;
}

PixelBox ToBox(const rapidjson::Value& corners, double unit) {
  return {corners[0].GetDouble() * unit, corners[1].GetDouble() * unit,
          corners[2].GetDouble() * unit, corners[3].GetDouble() * unit};
}

double MaxDifference(const cv::Mat& a, const cv::Mat& b) { return cv::norm(a, b, cv::NORM_INF); }

TransformConfig Config(const std::string& text) {
  TransformConfig config;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  return config;
}

absl::StatusOr<std::unique_ptr<Transform>> Create(const std::string& text,
                                                  ImageSize input = {60, 80}) {
  return TransformRegistry::Get().Create(Config(text), {input, {123, 117, 104}});
}

Sample MakeSample(const cv::Mat& image, const std::vector<PixelBox>& boxes) {
  Sample sample;
  sample.image = LazyImage(std::make_shared<FixedSource>(image));
  sample.geometry = Geometry::Identity(sample.image.size());
  sample.truth.size = sample.image.size();
  for (const PixelBox& box : boxes) {
    Annotation object;
    object.box = box;
    object.label = 1;
    object.id = static_cast<int64_t>(sample.truth.objects.size());
    object.area = box.area();
    sample.truth.objects.push_back(object);
  }
  return sample;
}

void ExpectNear(const PixelBox& a, const PixelBox& b, double tolerance) {
  EXPECT_NEAR(a.x0, b.x0, tolerance);
  EXPECT_NEAR(a.y0, b.y0, tolerance);
  EXPECT_NEAR(a.x1, b.x1, tolerance);
  EXPECT_NEAR(a.y1, b.y1, tolerance);
}

// --- values printed by Caffe and OpenCV ---

TEST(ColorChangeTest, EqualsCaffe) {
  const rapidjson::Value& golden = Golden()["color"];
  const cv::Mat original = ReverseChannels(ToMat(golden["bgr"]));
  for (const auto& op : golden["ops"].GetArray()) {
    const std::string name = op["op"].GetString();
    const double value = op["value"].GetDouble();
    ColorChange change;
    if (name == "brightness") change.brightness = value;
    if (name == "contrast") change.contrast = value;
    if (name == "saturation") change.saturation = value;
    if (name == "hue") change.hue = value;
    cv::Mat image = original.clone();
    change.Apply(image);
    EXPECT_EQ(MaxDifference(image, ReverseChannels(ToMat(op["out"]))), 0) << name << " " << value;
  }
}

TEST(ColorChangeTest, ContrastBeforeOrAfterHueAndSaturation) {
  const cv::Mat original = ReverseChannels(ToMat(Golden()["color"]["bgr"]));
  ColorChange contrast;
  contrast.contrast = 1.4;
  ColorChange hue;
  hue.hue = 12;
  hue.saturation = 0.7;
  ColorChange both = hue;
  both.contrast = 1.4;

  cv::Mat expected = original.clone();
  contrast.Apply(expected);
  hue.Apply(expected);
  cv::Mat image = original.clone();
  both.Apply(image);
  EXPECT_EQ(MaxDifference(image, expected), 0);

  both.contrast_last = true;
  expected = original.clone();
  hue.Apply(expected);
  contrast.Apply(expected);
  image = original.clone();
  both.Apply(image);
  EXPECT_EQ(MaxDifference(image, expected), 0);
}

// Any part of any image: blocks, their remainders and rows with gaps between them.
TEST(ColorChangeTest, DependsOnThePixelAlone) {
  Random random(3, 3, 3);
  cv::Mat image(41, 67, CV_8UC3);
  for (size_t i = 0; i < image.total() * 3; ++i) {
    image.data[i] = static_cast<uchar>(random.Integer(0, 255));
  }
  ColorChange change;
  change.brightness = -20;
  change.contrast = 1.2;
  change.contrast_last = true;
  change.saturation = 1.4;
  change.hue = -9;
  cv::Mat whole = image.clone();
  change.Apply(whole);
  cv::Mat part = image(cv::Rect(3, 5, 50, 30));
  change.Apply(part);
  EXPECT_EQ(MaxDifference(part, whole(cv::Rect(3, 5, 50, 30))), 0);
  EXPECT_EQ(MaxDifference(image(cv::Rect(0, 0, 67, 5)), whole(cv::Rect(0, 0, 67, 5))) > 0, true);
  for (int i = 0; i < 40; ++i) {
    cv::Mat pixel = image(cv::Rect(i, 1, 1, 1)).clone();
    change.Apply(pixel);
    EXPECT_EQ(pixel.at<cv::Vec3b>(0), whole.at<cv::Vec3b>(1, i));
  }
}

// OpenCV's own way there and back differs where its vector code cuts instead of rounding.
TEST(ColorChangeTest, StaysCloseToOpenCvOnAllColours) {
  cv::Mat image(256, 256 * 16, CV_8UC3);
  for (int r = 0; r < 256; ++r) {
    for (int i = 0; i < image.cols; ++i) {
      image.at<cv::Vec3b>(r, i) = cv::Vec3b(r, i % 256, 17 * (i / 256));
    }
  }
  for (const double hue : {-180.0, -18.0, 0.0, 18.0, 180.0}) {
    cv::Mat hsv;
    cv::cvtColor(image, hsv, cv::COLOR_RGB2HSV);
    std::vector<cv::Mat> channels;
    cv::split(hsv, channels);
    channels[0].convertTo(channels[0], -1, 1, hue);
    channels[1].convertTo(channels[1], -1, 0.6);
    cv::merge(channels, hsv);
    cv::Mat expected;
    cv::cvtColor(hsv, expected, cv::COLOR_HSV2RGB);
    cv::Mat changed = image.clone();
    ColorChange change;
    change.hue = hue;
    change.saturation = 0.6;
    change.Apply(changed);
    EXPECT_LE(MaxDifference(changed, expected), 1) << hue;
  }
}

TEST(ResizeTest, EqualsOpenCv) {
  const rapidjson::Value& golden = Golden()["resize"];
  const cv::Mat original = ToMat(golden["src"]);
  const std::map<std::string, std::string> names = {
      {"LINEAR", "LINEAR"}, {"AREA", "AREA"},        {"NEAREST", "NEAREST"},
      {"CUBIC", "CUBIC"},   {"LANCZOS4", "LANCZOS"}, {"LINEAR_up_11x14", "LINEAR"}};
  for (const auto& out : golden["out"].GetObject()) {
    const cv::Mat expected = ToMat(out.value);
    const auto resize =
        Create(absl::StrCat("resize { interpolation: ", names.at(out.name.GetString()), " }"),
               {expected.rows, expected.cols});
    ASSERT_TRUE(resize.ok()) << resize.status();
    Sample sample = MakeSample(original, {});
    Random random(1, 1, 1);
    (*resize)->Apply(random, sample);
    EXPECT_LE(MaxDifference(*sample.image.Render(), expected), 1) << out.name.GetString();
  }
}

TEST(SampleViewTest, CropsKeepAndCutTruthsAsCaffe) {
  int inside = 0;
  for (const auto& golden : Golden()["crop"].GetArray()) {
    constexpr double kUnit = 100000;
    const PixelBox patch = ToBox(golden["crop"], kUnit);
    const PixelBox box = ToBox(golden["box"], kUnit);
    EXPECT_EQ(CenterIsInside(box, patch), golden["center_inside"].GetBool());
    if (!CenterIsInside(box, patch)) continue;
    ++inside;
    Sample sample = MakeSample(cv::Mat(1, 1, CV_8UC3), {});
    sample.truth.objects.push_back({box, 1});
    const cv::Point first(static_cast<int>(std::lround(patch.x0)),
                          static_cast<int>(std::lround(patch.y0)));
    const cv::Point last(static_cast<int>(std::lround(patch.x1)),
                         static_cast<int>(std::lround(patch.y1)));
    CropView(sample, cv::Rect(first, last), {});
    ASSERT_EQ(sample.truth.objects.size(), 1u);
    const PixelBox cut = sample.truth.objects[0].box;
    const double width = patch.width();
    const double height = patch.height();
    ExpectNear({cut.x0 / width, cut.y0 / height, cut.x1 / width, cut.y1 / height},
               ToBox(golden["projected_clipped"], 1), 1e-5);
  }
  EXPECT_GT(inside, 2);
}

const IouCrop& AsIouCrop(const std::unique_ptr<Transform>& transform) {
  return dynamic_cast<const IouCrop&>(*transform);
}

TEST(IouCropTest, PatchesAreDistributedAsCaffes) {
  const rapidjson::Value& golden = Golden()["sampler"]["sample_bbox"];
  const auto crop = Create("iou_crop {}");
  ASSERT_TRUE(crop.ok());
  constexpr int kSamples = 100000;
  constexpr int64_t kSide = 10000;
  std::vector<double> widths, areas, aspect_ratios;
  double x = 0, height = 0;
  Random random(5, 0, 0);
  for (int i = 0; i < kSamples; ++i) {
    const cv::Rect patch = AsIouCrop(*crop).SamplePatch(random, {kSide, kSide});
    ASSERT_EQ(patch & cv::Rect(0, 0, kSide, kSide), patch);
    widths.push_back(static_cast<double>(patch.width) / kSide);
    areas.push_back(widths.back() * patch.height / kSide);
    aspect_ratios.push_back(static_cast<double>(patch.width) / patch.height);
    x += static_cast<double>(patch.x) / kSide / kSamples;
    height += static_cast<double>(patch.height) / kSide / kSamples;
  }
  const auto mean = [](const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return sum / static_cast<double>(values.size());
  };
  const rapidjson::Value& means = golden["mean"];
  EXPECT_NEAR(mean(widths), means["w"].GetDouble(), 0.01);
  EXPECT_NEAR(height, means["h"].GetDouble(), 0.01);
  EXPECT_NEAR(mean(areas), means["area"].GetDouble(), 0.01);
  EXPECT_NEAR(mean(aspect_ratios), means["ar"].GetDouble(), 0.01);
  EXPECT_NEAR(x, means["x"].GetDouble(), 0.01);
  const rapidjson::Value& quantiles = golden["quantiles"];
  for (auto& [name, values] : std::map<std::string, std::vector<double>*>{
           {"w", &widths}, {"area", &areas}, {"ar", &aspect_ratios}}) {
    std::sort(values->begin(), values->end());
    for (rapidjson::SizeType i = 0; i < quantiles["q"].Size(); ++i) {
      const double q = quantiles["q"][i].GetDouble();
      EXPECT_NEAR((*values)[static_cast<size_t>(q * (kSamples - 1))],
                  quantiles[name.c_str()][i].GetDouble(), 0.02)
          << name << " at " << q;
    }
  }
}

TEST(IouCropTest, SamplersSucceedAsOftenAsCaffes) {
  const auto crop = Create("iou_crop {}");
  ASSERT_TRUE(crop.ok());
  uint64_t golden_case = 0;
  for (const auto& golden : Golden()["sampler"]["batch_sampler"].GetArray()) {
    ++golden_case;
    constexpr double kSide = 10000;
    Annotations truth;
    truth.size = {static_cast<int64_t>(kSide), static_cast<int64_t>(kSide)};
    for (const auto& box : golden["objects"].GetArray()) {
      truth.objects.push_back({ToBox(box, kSide), 1});
    }
    constexpr int kRuns = 4000;
    double successes = 0, area = 0;
    for (uint64_t run = 0; run < kRuns; ++run) {
      Random random(11, golden_case, run);
      const auto patches = AsIouCrop(*crop).FindPatches(random, truth);
      successes += static_cast<double>(patches.size());
      for (const cv::Rect& patch : patches) area += patch.width / kSide * patch.height / kSide;
    }
    // Caffe's figures come from 2000 runs.
    EXPECT_NEAR(successes / kRuns, golden["mean_number_of_successful_samplers"].GetDouble(), 0.05);
    EXPECT_NEAR(area / successes, golden["mean_area_of_pooled_samples"].GetDouble(), 0.01);
  }
}

// --- properties ---

TEST(HorizontalFlipTest, TwiceIsIdentity) {
  const cv::Mat image = ToMat(Golden()["resize"]["src"]);
  Sample sample = MakeSample(image, {{1, 2, 4.5, 6}});
  const auto flip = Create("horizontal_flip { probability: 1 }");
  ASSERT_TRUE(flip.ok());
  Random random(1, 1, 1);
  (*flip)->Apply(random, sample);
  ExpectNear(sample.truth.objects[0].box, {4.5, 2, 8, 6}, 1e-12);
  EXPECT_EQ(sample.image.Render()->at<cv::Vec3b>(0, 0), image.at<cv::Vec3b>(0, 8));
  (*flip)->Apply(random, sample);
  ExpectNear(sample.truth.objects[0].box, {1, 2, 4.5, 6}, 1e-12);
  EXPECT_EQ(MaxDifference(*sample.image.Render(), image), 0);
}

TEST(VerticalFlipTest, TwiceIsIdentity) {
  const cv::Mat image = ToMat(Golden()["resize"]["src"]);
  const double height = image.rows;
  Sample sample = MakeSample(image, {{1, 2, 4.5, 6}});
  const auto flip = Create("vertical_flip { probability: 1 }");
  ASSERT_TRUE(flip.ok());
  Random random(1, 1, 1);
  (*flip)->Apply(random, sample);
  ExpectNear(sample.truth.objects[0].box, {1, height - 6, 4.5, height - 2}, 1e-12);
  EXPECT_EQ(sample.image.Render()->at<cv::Vec3b>(0, 0), image.at<cv::Vec3b>(image.rows - 1, 0));
  (*flip)->Apply(random, sample);
  ExpectNear(sample.truth.objects[0].box, {1, 2, 4.5, 6}, 1e-12);
  EXPECT_EQ(MaxDifference(*sample.image.Render(), image), 0);
}

// Draws probabilities and amounts as documented: counts what happened to a grey image.
TEST(PhotometricDistortionTest, EachOperationHappensHalfOfTheTime) {
  const auto distort = Create(
      "photometric_distortion { min_contrast: 0.5 max_contrast: 0.5 hue: 0 "
      "min_saturation: 1 max_saturation: 1 brightness: 20 }");
  ASSERT_TRUE(distort.ok());
  int dark = 0, unchanged = 0;
  constexpr int kRuns = 2000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(cv::Mat(1, 1, CV_8UC3, cv::Scalar::all(100)), {});
    Random random(1, 1, run);
    (*distort)->Apply(random, sample);
    const int value = sample.image.Render()->at<cv::Vec3b>(0)[0];
    ASSERT_TRUE((value >= 40 && value <= 60) || (value >= 80 && value <= 120)) << value;
    dark += value <= 60;
    unchanged += value == 100;
  }
  EXPECT_NEAR(dark, kRuns / 2, 100);
  // A quarter has neither; brightness rounds to 0 now and then.
  EXPECT_NEAR(unchanged, kRuns * (0.25 + 0.25 / 40), 90);
}

TEST(ResizeTest, RandomInterpolationIsUniform) {
  const cv::Mat image = ToMat(Golden()["resize"]["src"]);
  const auto resize = Create("resize { interpolation: RANDOM }", {5, 6});
  ASSERT_TRUE(resize.ok());
  std::map<std::vector<uchar>, int> seen;
  constexpr int kRuns = 2000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    Sample sample = MakeSample(image, {});
    Random random(1, 1, run);
    (*resize)->Apply(random, sample);
    const cv::Mat rendered = *sample.image.Render();
    ++seen[std::vector<uchar>(rendered.datastart, rendered.dataend)];
  }
  EXPECT_EQ(seen.size(), 5u);
  for (const auto& entry : seen) EXPECT_NEAR(entry.second, kRuns / 5, 80);
}

TEST(ExpandTest, PlacesTheImageOnTheMeanColour) {
  const auto expand = Create("expand { probability: 1 max_ratio: 3 }");
  ASSERT_TRUE(expand.ok());
  for (uint64_t run = 0; run < 50; ++run) {
    Sample sample = MakeSample(cv::Mat(10, 20, CV_8UC3, cv::Scalar(1, 2, 3)), {{0, 0, 20, 10}});
    Random random(1, 1, run);
    (*expand)->Apply(random, sample);
    const cv::Mat image = *sample.image.Render();
    EXPECT_TRUE(image.rows >= 10 && image.rows <= 30 && image.cols >= 20 && image.cols <= 60);
    const PixelBox& box = sample.truth.objects[0].box;
    const cv::Rect where(static_cast<int>(box.x0), static_cast<int>(box.y0), 20, 10);
    cv::Mat expected(image.size(), CV_8UC3, cv::Scalar(123, 117, 104));
    expected(where).setTo(cv::Scalar(1, 2, 3));
    EXPECT_EQ(MaxDifference(image, expected), 0);
  }
}

// Every registered transform, alone and in chains: paint a rectangle of a colour of its own for
// each truth and look where it ends up.
constexpr int kObjects = 3;
const cv::Scalar kColors[kObjects] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}};

Sample PaintedSample(Random& random, std::vector<PixelBox>* boxes) {
  cv::Mat image(90, 120, CV_8UC3, cv::Scalar(90, 90, 90));
  for (int i = 0; i < kObjects; ++i) {
    // In columns of their own, so that none hides another.
    const cv::Rect rect(
        i * 40 + static_cast<int>(random.Integer(0, 15)), static_cast<int>(random.Integer(0, 60)),
        static_cast<int>(random.Integer(12, 24)), static_cast<int>(random.Integer(12, 30)));
    image(rect).setTo(kColors[i]);
    boxes->push_back({static_cast<double>(rect.x), static_cast<double>(rect.y),
                      static_cast<double>(rect.br().x), static_cast<double>(rect.br().y)});
  }
  Sample sample = MakeSample(image, *boxes);
  sample.truth.objects[1].crowd = true;
  sample.truth.objects[2].difficult = true;
  return sample;
}

// The box around the pixels whose channel `color` stands out by more than half of what is possible
// after interpolation.
PixelBox BoxOfColor(const cv::Mat& image, int color) {
  PixelBox box{1e9, 1e9, -1, -1};
  for (int y = 0; y < image.rows; ++y) {
    for (int x = 0; x < image.cols; ++x) {
      const cv::Vec3b& pixel = image.at<cv::Vec3b>(y, x);
      const int others = std::max(pixel[(color + 1) % 3], pixel[(color + 2) % 3]);
      if (pixel[color] < others + 85) continue;
      box = {std::min<double>(box.x0, x), std::min<double>(box.y0, y),
             std::max<double>(box.x1, x + 1), std::max<double>(box.y1, y + 1)};
    }
  }
  return box;
}

TEST(TransformContractTest, BoxesStayOnTheirPixelsThroughAnyChain) {
  const std::vector<std::string> kGeometric = {
      "resize { interpolation: LINEAR }",      "resize { interpolation: NEAREST }",
      "resize { interpolation: AREA }",        "horizontal_flip { probability: 1 }",
      "vertical_flip { probability: 1 }",      "iou_crop {}",
      "expand { probability: 1 max_ratio: 2 }"};
  int seen = 0;
  for (uint64_t chain = 0; chain < 300; ++chain) {
    Random random(7, 7, chain);
    std::vector<PixelBox> originals;
    Sample sample = PaintedSample(random, &originals);
    std::string names;
    int64_t first = 0;
    for (int64_t i = random.Integer(1, 4); i > 0; --i) {
      const int64_t drawn = random.Integer(first, static_cast<int64_t>(kGeometric.size()) - 1);
      if (drawn < 3) first = 3;
      const std::string& name = kGeometric[drawn];
      // Never smaller than the image, so that thin remainders stay visible.
      const auto transform = Create(name, {random.Integer(120, 160), random.Integer(160, 200)});
      ASSERT_TRUE(transform.ok()) << transform.status();
      (*transform)->Apply(random, sample);
      names += name + " ";
    }
    SCOPED_TRACE(absl::StrCat("chain ", chain, ": ", names));
    const ImageSize size = sample.image.size();
    ASSERT_EQ(sample.truth.size, size);
    ASSERT_EQ(sample.geometry.view, size);
    const cv::Mat image = *sample.image.Render();
    for (const Annotation& object : sample.truth.objects) {
      const PixelBox& box = object.box;
      EXPECT_TRUE(0 <= box.x0 && box.x0 <= box.x1 && box.x1 <= static_cast<double>(size.width));
      EXPECT_TRUE(0 <= box.y0 && box.y0 <= box.y1 && box.y1 <= static_cast<double>(size.height));
      EXPECT_EQ(object.crowd, object.id == 1);
      EXPECT_EQ(object.difficult, object.id == 2);
      // Interpolation blurs an edge by up to about a source pixel, which may have been magnified.
      const double pixel =
          std::max(1 / std::abs(sample.geometry.scale_x), 1 / std::abs(sample.geometry.scale_y));
      ExpectNear(BoxOfColor(image, static_cast<int>(object.id)), box, std::max(1.5, 1.2 * pixel));
      const PixelBox back = sample.geometry.ToOriginal(box);
      const PixelBox& original = originals[object.id];
      const bool is_cut = box.x0 <= 1e-6 || box.y0 <= 1e-6 ||
                          box.x1 >= static_cast<double>(size.width) - 1e-6 ||
                          box.y1 >= static_cast<double>(size.height) - 1e-6;
      if (is_cut || back.area() < original.area() - 1e-6) {
        // Cut at an edge, perhaps of an earlier view: part of the original.
        EXPECT_TRUE(back.x0 >= original.x0 - 1e-6 && back.x1 <= original.x1 + 1e-6 &&
                    back.y0 >= original.y0 - 1e-6 && back.y1 <= original.y1 + 1e-6);
      } else {
        ExpectNear(back, original, 1e-6);
        ++seen;
      }
    }
  }
  EXPECT_GT(seen, 100);
}

TEST(TransformContractTest, EveryRegisteredTransformHolds) {
  const std::vector<std::string> names = TransformRegistry::Get().Names();
  EXPECT_GE(names.size(), 5u);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    // The oneof member of this options type, with its defaults.
    TransformConfig config;
    const google::protobuf::FieldDescriptor* member = nullptr;
    for (int i = 0; i < TransformConfig::descriptor()->field_count(); ++i) {
      const auto* field = TransformConfig::descriptor()->field(i);
      if (field->message_type() != nullptr && field->message_type()->full_name() == name) {
        member = field;
      }
    }
    ASSERT_NE(member, nullptr);
    config.GetReflection()->MutableMessage(&config, member);
    const auto transform = TransformRegistry::Get().Create(config, {{60, 80}, {1, 2, 3}});
    ASSERT_TRUE(transform.ok()) << transform.status();
    for (uint64_t run = 0; run < 100; ++run) {
      // The same draws give the same sample.
      Sample samples[2];
      for (Sample& sample : samples) {
        Random paint(1, 1, run);
        std::vector<PixelBox> boxes;
        sample = PaintedSample(paint, &boxes);
        if (run % 10 == 0) sample.truth.objects.clear();
        const size_t before = sample.truth.objects.size();
        Random random(2, 2, run);
        (*transform)->Apply(random, sample);
        EXPECT_LE(sample.truth.objects.size(), before);
        EXPECT_EQ(sample.geometry.view, sample.image.size());
        EXPECT_EQ(sample.truth.size, sample.image.size());
        EXPECT_EQ(sample.geometry.original, (ImageSize{90, 120}));
      }
      EXPECT_EQ(MaxDifference(*samples[0].image.Render(), *samples[1].image.Render()), 0);
      ASSERT_EQ(samples[0].truth.objects.size(), samples[1].truth.objects.size());
    }
    // The smallest image.
    Sample pixel = MakeSample(cv::Mat(1, 1, CV_8UC3, cv::Scalar::all(9)), {{0, 0, 1, 1}});
    Random random(3, 3, 3);
    (*transform)->Apply(random, pixel);
    EXPECT_TRUE(pixel.image.Render().ok());
  }
}

TEST(TransformContractTest, WrongOptionsNameFieldValueAndRange) {
  const std::vector<std::pair<std::string, std::string>> kWrong = {
      {"horizontal_flip { probability: 1.5 }", "horizontal_flip.probability: 1.5"},
      {"horizontal_flip { probability: nan }", "horizontal_flip.probability: nan"},
      {"expand { probability: -1 }", "expand.probability: -1"},
      {"expand { max_ratio: 0.5 }", "expand.max_ratio: 0.5"},
      {"expand { max_ratio: inf }", "expand.max_ratio: inf"},
      {"iou_crop { min_scale: 0 }", "iou_crop.min_scale: 0"},
      {"iou_crop { max_scale: 1.1 }", "iou_crop.max_scale: 1.1"},
      {"iou_crop { min_scale: 0.9 max_scale: 0.8 }", "iou_crop.min_scale: 0.9"},
      {"iou_crop { min_aspect_ratio: 3 }", "iou_crop.min_aspect_ratio: 3"},
      {"iou_crop { max_aspect_ratio: nan }", "iou_crop.max_aspect_ratio: nan"},
      {"iou_crop { max_trials: 0 }", "iou_crop.max_trials: 0"},
      {"photometric_distortion { brightness: -1 }", "photometric_distortion.brightness: -1"},
      {"photometric_distortion { min_contrast: 2 }", "photometric_distortion.min_contrast: 2"},
      {"photometric_distortion { max_saturation: -1 }",
       "photometric_distortion.max_saturation: -1"},
      {"photometric_distortion { hue: 200 }", "photometric_distortion.hue: 200"},
      {"photometric_distortion { probability: 2 }", "photometric_distortion.probability: 2"},
  };
  for (const auto& [text, message] : kWrong) {
    const auto transform = Create(text);
    ASSERT_FALSE(transform.ok()) << text;
    EXPECT_EQ(transform.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StartsWith(transform.status().message(), message)) << transform.status();
  }
  EXPECT_FALSE(Create("resize {}", {0, 10}).ok());

  DatasetConfig config;
  CHECK(google::protobuf::TextFormat::ParseFromString(
      "transform { resize {} } transform { expand { max_ratio: 0 } }", &config));
  const auto transforms = CreateTransforms(config.transform(), {{60, 80}, {}});
  ASSERT_FALSE(transforms.ok());
  EXPECT_TRUE(absl::StartsWith(transforms.status().message(), "transform[1].expand.max_ratio: 0"))
      << transforms.status();
}

}  // namespace
}  // namespace ssd
