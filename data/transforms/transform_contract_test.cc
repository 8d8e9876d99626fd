// What every transform keeps, alone and in chains: the image, the truth and the way back to the
// original agree, and all chance comes from the given numbers.

#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "data/data.pb.h"
#include "data/dataset.h"
#include "data/transforms/transform.h"
#include "data/transforms/transform_testing.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

// So large that no transform makes an object of the images below smaller than it was, and of
// another aspect ratio than theirs.
constexpr ImageSize kInput{330, 400};
constexpr ImageSize kOriginal{30, 40};

// Beside the defaults of every registered transform.
const char* const kVariants[] = {
    "horizontal_flip { probability: 1 }",
    "vertical_flip { probability: 1 }",
    "resize { interpolation: RANDOM }",
    "resize_and_pad { position: CENTER interpolation: AREA }",
    "resize_and_pad { position: RANDOM interpolation: NEAREST }",
    "random_scale { min_scale: 0.5 max_scale: 1.5 position: RANDOM interpolation: CUBIC }",
    "expand { probability: 1 min_ratio: 1.5 max_ratio: 2 }",
    "iou_crop { min_scale: 0.1 }",
    "min_iou_crop { overlap: ALL trials: 1 relative_aspect_ratio: true }",
    "min_iou_crop { overlap: ALL trials: 50 }",
    "photometric_distortion { probability: 1 wrap_hue: true channel_shuffle_probability: 1 }",
    "color_jitter { probability: 0.5 order: CONTRAST_SECOND_OR_LAST "
    "channel_shuffle_probability: 0.5 }",
};

std::vector<std::string> AllConfigs() {
  std::vector<std::string> configs(std::begin(kVariants), std::end(kVariants));
  const google::protobuf::Descriptor* const family = TransformConfig::descriptor();
  for (const std::string& name : TransformRegistry::Get().Names()) {
    bool is_listed = false;
    for (int i = 0; i < family->field_count(); ++i) {
      const google::protobuf::FieldDescriptor* const field = family->field(i);
      if (field->message_type() == nullptr || field->message_type()->full_name() != name) continue;
      is_listed = true;
      configs.push_back(field->name() + " {}");
    }
    EXPECT_TRUE(is_listed) << name << " has no place in TransformConfig";
  }
  return configs;
}

// A white rectangle on black, of an object, so that changes of colours leave it the brighter.
Sample WhiteSample(Random& random) {
  cv::Mat image(static_cast<int>(kOriginal.height), static_cast<int>(kOriginal.width), CV_8UC3,
                cv::Scalar::all(0));
  const cv::Rect rect(
      static_cast<int>(random.Integer(0, 24)), static_cast<int>(random.Integer(0, 14)),
      static_cast<int>(random.Integer(8, 16)), static_cast<int>(random.Integer(8, 16)));
  image(rect).setTo(cv::Scalar::all(255));
  Sample sample =
      MakeSample(image, {{static_cast<double>(rect.x), static_cast<double>(rect.y),
                          static_cast<double>(rect.br().x), static_cast<double>(rect.br().y)}});
  sample.truth.objects[0].crowd = random.Bernoulli(0.5);
  sample.truth.objects[0].difficult = random.Bernoulli(0.5);
  return sample;
}

// The box around the brighter pixels; the whole image if all are about as bright.
PixelBox BrightBox(const cv::Mat& image) {
  std::vector<uchar> bright;
  for (int y = 0; y < image.rows; ++y) {
    for (int x = 0; x < image.cols; ++x) bright.push_back(image.at<cv::Vec3b>(y, x)[1]);
  }
  const auto range = std::minmax_element(bright.begin(), bright.end());
  const int least = *range.first;
  const int most = *range.second;
  const int threshold = most - least < 40 ? 0 : (least + most) / 2;
  PixelBox box{1e9, 1e9, -1, -1};
  for (int y = 0; y < image.rows; ++y) {
    for (int x = 0; x < image.cols; ++x) {
      if (image.at<cv::Vec3b>(y, x)[1] < threshold) continue;
      box = {std::min<double>(box.x0, x), std::min<double>(box.y0, y),
             std::max<double>(box.x1, x + 1), std::max<double>(box.y1, y + 1)};
    }
  }
  return box;
}

// Interpolation blurs an edge by up to about a source pixel, which may have been magnified.
double EdgeTolerance(const Geometry& geometry) {
  const double pixel = std::max(1 / std::abs(geometry.scale_x), 1 / std::abs(geometry.scale_y));
  return std::max(1.5, 1.2 * pixel);
}

void ExpectInside(const PixelBox& box, ImageSize size) {
  EXPECT_TRUE(0 <= box.x0 && box.x0 <= box.x1 && box.x1 <= static_cast<double>(size.width));
  EXPECT_TRUE(0 <= box.y0 && box.y0 <= box.y1 && box.y1 <= static_cast<double>(size.height));
}

void ExpectOneView(const Sample& sample, ImageSize original) {
  EXPECT_EQ(sample.geometry.view, sample.image.size());
  EXPECT_EQ(sample.truth.size, sample.image.size());
  EXPECT_EQ(sample.geometry.original, original);
}

TEST(TransformContractTest, ImageTruthAndGeometryAgree) {
  for (const std::string& config : AllConfigs()) {
    const auto transform = CreateTransform(config, {kInput, {}});
    ASSERT_TRUE(transform.ok()) << transform.status();
    int kept = 0;
    for (uint64_t run = 0; run < 40; ++run) {
      SCOPED_TRACE(absl::StrCat(config, ", run ", run));
      Random random(2, 2, run);
      Sample sample = WhiteSample(random);
      const Annotation original = sample.truth.objects[0];
      (*transform)->Apply(random, sample);
      ExpectOneView(sample, kOriginal);
      const ImageSize size = sample.image.size();
      const PixelBox in_view = sample.geometry.ToView(original.box);

      ASSERT_LE(sample.truth.objects.size(), 1u);
      if (sample.truth.objects.empty()) {
        // Dropped, so its centre is not in the view.
        const double x = (in_view.x0 + in_view.x1) / 2;
        const double y = (in_view.y0 + in_view.y1) / 2;
        EXPECT_FALSE(x > 1e-6 && x < static_cast<double>(size.width) - 1e-6 && y > 1e-6 &&
                     y < static_cast<double>(size.height) - 1e-6);
        continue;
      }
      ++kept;
      const Annotation& object = sample.truth.objects[0];
      ExpectInside(object.box, size);
      ExpectNear(object.box, Clip(in_view, size), 1e-6);
      ExpectNear(sample.geometry.ToView(sample.geometry.ToOriginal(object.box)), object.box, 1e-6);
      ExpectNear(BrightBox(*sample.image.Render()), object.box, EdgeTolerance(sample.geometry));
      EXPECT_EQ(object.label, original.label);
      EXPECT_EQ(object.id, original.id);
      EXPECT_EQ(object.area, original.area);
      EXPECT_EQ(object.crowd, original.crowd);
      EXPECT_EQ(object.difficult, original.difficult);
    }
    EXPECT_GT(kept, 10) << config;
  }
}

TEST(TransformContractTest, SameNumbersGiveTheSameSample) {
  for (const std::string& config : AllConfigs()) {
    const auto transform = CreateTransform(config, {kInput, {1, 2, 3}});
    ASSERT_TRUE(transform.ok()) << transform.status();
    for (uint64_t run = 0; run < 20; ++run) {
      SCOPED_TRACE(absl::StrCat(config, ", run ", run));
      Sample samples[2];
      uint32_t next[2] = {};
      for (int i = 0; i < 2; ++i) {
        samples[i] = MakeSample(NoiseImage({30, 40}, run), {{3, 4, 15, 20}, {10.5, 2, 39, 29.5}});
        if (run % 10 == 0) samples[i].truth.objects.clear();
        Random random(2, 2, run);
        (*transform)->Apply(random, samples[i]);
        next[i] = random();
      }
      EXPECT_EQ(next[0], next[1]);
      ASSERT_EQ(samples[0].image.size(), samples[1].image.size());
      EXPECT_EQ(MaxDifference(*samples[0].image.Render(), *samples[1].image.Render()), 0);
      ASSERT_EQ(samples[0].truth.objects.size(), samples[1].truth.objects.size());
      for (size_t k = 0; k < samples[0].truth.objects.size(); ++k) {
        ExpectNear(samples[0].truth.objects[k].box, samples[1].truth.objects[k].box, 0);
        EXPECT_EQ(samples[0].truth.objects[k].id, samples[1].truth.objects[k].id);
      }
    }
  }
}

TEST(TransformContractTest, TakeTheSmallestImage) {
  for (const std::string& config : AllConfigs()) {
    const auto transform = CreateTransform(config, {kInput, {}});
    ASSERT_TRUE(transform.ok()) << transform.status();
    for (uint64_t run = 0; run < 20; ++run) {
      SCOPED_TRACE(absl::StrCat(config, ", run ", run));
      Sample pixel = MakeSample(cv::Mat(1, 1, CV_8UC3, cv::Scalar::all(9)), {{0, 0, 1, 1}});
      Random random(3, 3, run);
      (*transform)->Apply(random, pixel);
      ExpectOneView(pixel, {1, 1});
      EXPECT_TRUE(pixel.image.Render().ok());
    }
  }
}

// Three objects, each of a colour of its own, through chains of transforms that leave colours as
// they are; look where they end up.
constexpr int kObjects = 3;
const cv::Scalar kColors[kObjects] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}};

Sample ColoredSample(Random& random, std::vector<PixelBox>* boxes) {
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
  const std::vector<std::string> kResizing = {
      "resize { interpolation: LINEAR }", "resize { interpolation: NEAREST }",
      "resize { interpolation: AREA }", "resize_and_pad { position: CENTER }",
      "random_scale { min_scale: 1 max_scale: 2 position: RANDOM }"};
  const std::vector<std::string> kCropping = {
      "iou_crop {}", "min_iou_crop {}",
      "min_iou_crop { overlap: ALL trials: 1 relative_aspect_ratio: true }"};
  const std::vector<std::string> kOther = {"horizontal_flip { probability: 1 }",
                                           "vertical_flip { probability: 1 }",
                                           "expand { probability: 1 max_ratio: 2 }"};
  int seen = 0;
  for (uint64_t chain = 0; chain < 400; ++chain) {
    Random random(7, 7, chain);
    std::vector<PixelBox> originals;
    Sample sample = ColoredSample(random, &originals);
    std::string names;
    const int64_t length = random.Integer(1, 4);
    // One that resizes, first or second, and one that crops at most: thin remainders stay visible.
    const int64_t resizing = random.Integer(-1, 1);
    bool may_crop = true;
    for (int64_t i = 0; i < length; ++i) {
      const bool crops = i != resizing && may_crop && random.Bernoulli(0.5);
      if (crops) may_crop = false;
      const std::vector<std::string>& choices =
          i == resizing ? kResizing : (crops ? kCropping : kOther);
      const std::string& name =
          choices[static_cast<size_t>(random.Integer(0, static_cast<int64_t>(choices.size()) - 1))];
      const auto transform =
          MakeTransform(name, {random.Integer(120, 160), random.Integer(160, 200)});
      transform->Apply(random, sample);
      names += name + " ";
    }
    SCOPED_TRACE(absl::StrCat("chain ", chain, ": ", names));
    ExpectOneView(sample, {90, 120});
    const ImageSize size = sample.image.size();
    const cv::Mat image = *sample.image.Render();
    for (const Annotation& object : sample.truth.objects) {
      const PixelBox& box = object.box;
      ExpectInside(box, size);
      EXPECT_EQ(object.crowd, object.id == 1);
      EXPECT_EQ(object.difficult, object.id == 2);
      ExpectNear(BoxOfColor(image, static_cast<int>(object.id)), box,
                 EdgeTolerance(sample.geometry));
      const PixelBox back = sample.geometry.ToOriginal(box);
      const PixelBox& original = originals[static_cast<size_t>(object.id)];
      if (back.area() < original.area() - 1e-6) {
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

TEST(TransformContractTest, ErrorsNameThePositionInTheList) {
  DatasetConfig config;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "transform { resize {} } transform { expand { max_ratio: 0 } }", &config));
  const auto transforms = CreateTransforms(config.transform(), {{60, 80}, {}});
  ASSERT_FALSE(transforms.ok());
  EXPECT_TRUE(absl::StartsWith(transforms.status().message(), "transform[1].expand.max_ratio: 0"))
      << transforms.status();
}

}  // namespace
}  // namespace ssd
