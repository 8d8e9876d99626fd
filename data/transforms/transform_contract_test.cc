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
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "data/data.pb.h"
#include "data/dataset.h"
#include "data/image_file.h"
#include "data/image_testing.h"
#include "data/transforms/sample_view.h"
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

// The box around the brighter pixels of a grey image; the whole image if all are about as bright:
// neither a change of colours nor what cubic filters overshoot by comes to a quarter.
PixelBox BrightBox(const cv::Mat& image) {
  cv::Mat level;
  cv::extractChannel(image, level, 1);
  double least = 0;
  double most = 0;
  cv::minMaxLoc(level, &least, &most);
  if (most - least <= most / 4) return BoxOf(cv::Rect(cv::Point(), image.size()));
  // Above the middle, for what was black may be lighter than a canvas of black around it.
  const cv::Mat bright = level >= least + 2 * (most - least) / 3;
  return BoxOf(cv::boundingRect(bright));
}

// Interpolation blurs an edge by up to about a source pixel, which may have been magnified.
double EdgeTolerance(const Geometry& geometry) {
  const double pixel = std::max(1 / std::abs(geometry.scale_x), 1 / std::abs(geometry.scale_y));
  return std::max(1.5, 1.2 * pixel);
}

// Up to rounding: a width times (new width / width) may be off the new width in the last bit.
void ExpectInside(const PixelBox& box, ImageSize size) {
  constexpr double kRounding = 1e-9;
  EXPECT_TRUE(-kRounding <= box.x0 && box.x0 <= box.x1 &&
              box.x1 <= static_cast<double>(size.width) + kRounding);
  EXPECT_TRUE(-kRounding <= box.y0 && box.y0 <= box.y1 &&
              box.y1 <= static_cast<double>(size.height) + kRounding);
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

// A picture of three objects. One at a time is painted, white on black, so that changes of colours
// leave it the brighter; all are led through the same chain.
struct Painting {
  cv::Size size;
  std::vector<cv::Rect> objects;
  int orientation = 0;    // EXIF's, of a JPEG; 0: pixels in memory
  int max_reduction = 1;  // LoaderConfig::max_decode_reduction
};

Painting DrawPainting(Random& random) {
  Painting painting;
  const auto draw = [&random](int low, int high) {
    return static_cast<int>(random.Integer(low, high));
  };
  painting.size.width = draw(160, 320);
  painting.size.height = draw(160, 320);
  for (int i = 0; i < 3; ++i) {
    const int width = draw(painting.size.width / 6, painting.size.width / 2);
    const int height = draw(painting.size.height / 6, painting.size.height / 2);
    const int x = draw(0, painting.size.width - width);
    const int y = draw(0, painting.size.height - height);
    painting.objects.emplace_back(x, y, width, height);
  }
  if (random.Bernoulli(0.5)) painting.orientation = draw(1, 8);
  painting.max_reduction = 1 << draw(0, 3);
  return painting;
}

// The pixels that are shown as `shown` when they are turned as `orientation` says (EXIF 2.32,
// section 4.6.5).
cv::Mat Stored(const cv::Mat& shown, int orientation) {
  cv::Mat stored;
  switch (orientation) {
    case 2:
      cv::flip(shown, stored, 1);
      return stored;
    case 3:
      cv::rotate(shown, stored, cv::ROTATE_180);
      return stored;
    case 4:
      cv::flip(shown, stored, 0);
      return stored;
    case 5:
      cv::transpose(shown, stored);
      return stored;
    case 6:
      cv::rotate(shown, stored, cv::ROTATE_90_COUNTERCLOCKWISE);
      return stored;
    case 7: {
      cv::Mat transposed;
      cv::transpose(shown, transposed);
      cv::rotate(transposed, stored, cv::ROTATE_180);
      return stored;
    }
    case 8:
      cv::rotate(shown, stored, cv::ROTATE_90_CLOCKWISE);
      return stored;
    default:
      return shown;
  }
}

// The truths of all objects; the second is a crowd, the third difficult.
Sample PaintedSample(const Painting& painting, size_t painted) {
  cv::Mat image(painting.size, CV_8UC3, cv::Scalar::all(0));
  image(painting.objects[painted]).setTo(cv::Scalar::all(255));
  std::vector<PixelBox> boxes;
  for (const cv::Rect& object : painting.objects) boxes.push_back(BoxOf(object));
  Sample sample = MakeSample(image, boxes);
  sample.truth.objects[1].crowd = true;
  sample.truth.objects[2].difficult = true;
  if (painting.orientation > 0) {
    JpegForm form;
    form.across = form.down = 2;
    const auto source = OpenEncodedImage(WithExif(Jpeg(Stored(image, painting.orientation), form),
                                                  Tiff(painting.orientation, /*little=*/true)),
                                         "painting.jpg");
    EXPECT_TRUE(source.ok()) << source.status();
    sample.image.ReplaceSource(*source);
  }
  return sample;
}

// How far from its place an edge may seem to be after a resize by `zoom` on its axis, if it seemed
// to be `error` pixels away before. Between the centres of two pixels a filter may put it anywhere:
// half a pixel to either side, which is zoom / 2 of the new ones. Whole pixels show it to half a
// pixel; where several become one, to a pixel.
double ErrorAfter(double error, double zoom) {
  return zoom == 1 ? error : error * zoom + (std::max(zoom, 1.0) + 1) / 2;
}

struct Trip {
  Sample sample;
  std::vector<std::string> steps;
  // How far the painted object's edges may seem to be from the truth's, in pixels of the view.
  double error_x = 0;
  double error_y = 0;
  bool is_reduced = false;  // the image may have been decoded at less than its size
  bool is_thin = false;     // too little was left of the object at some time for it to be seen
};

// Leads the painting through up to six random transforms. Two kinds of steps are not taken: a
// second one that leaves the view as it is, for it may be of colours, and after two of those white
// and black can be too alike to be told apart; and one to a view of more than kMaxSide pixels.
Trip Travel(const std::vector<std::string>& configs, const Painting& painting, size_t painted,
            Random random) {
  constexpr int64_t kMaxSide = 1000;
  Trip trip;
  trip.sample = PaintedSample(painting, painted);
  const int64_t input_height = random.Integer(90, 160);
  const ImageSize input{input_height, random.Integer(90, 160)};
  bool has_stood_still = false;
  bool has_resized = false;
  for (int64_t step = random.Integer(1, 6); step > 0; --step) {
    const std::string& config =
        configs[static_cast<size_t>(random.Integer(0, static_cast<int64_t>(configs.size()) - 1))];
    const auto transform = CreateTransform(config, {input, {}});
    EXPECT_TRUE(transform.ok()) << transform.status();
    const Sample before = trip.sample;
    (*transform)->Apply(random, trip.sample);
    const Geometry& from = before.geometry;
    const Geometry& to = trip.sample.geometry;
    const bool stands_still = from.view == to.view && from.scale_x == to.scale_x &&
                              from.offset_x == to.offset_x && from.scale_y == to.scale_y &&
                              from.offset_y == to.offset_y;
    if ((stands_still && has_stood_still) || std::max(to.view.width, to.view.height) > kMaxSide) {
      trip.sample = before;
      continue;
    }
    has_stood_still |= stands_still;
    trip.steps.push_back(config);

    const double zoom_x = std::abs(from.scale_x / to.scale_x);
    const double zoom_y = std::abs(from.scale_y / to.scale_y);
    trip.error_x = ErrorAfter(trip.error_x, zoom_x);
    trip.error_y = ErrorAfter(trip.error_y, zoom_y);
    if (!has_resized && (zoom_x != 1 || zoom_y != 1)) {
      has_resized = true;
      // A pixel that is decoded as the mean of several adds what a resize does, and no pixel of the
      // view is smaller than that one.
      if (painting.orientation > 0 && painting.max_reduction > 1 && zoom_x <= 0.5 &&
          zoom_y <= 0.5) {
        trip.is_reduced = true;
        trip.error_x += 1;
        trip.error_y += 1;
      }
    }
    for (const Annotation& object : trip.sample.truth.objects) {
      // Eight pixels of full brightness, which the longest filter (Lanczos) spans.
      if (object.id == static_cast<int64_t>(painted) &&
          (object.box.width() < 8 + 2 * trip.error_x ||
           object.box.height() < 8 + 2 * trip.error_y)) {
        trip.is_thin = true;
      }
    }
  }
  return trip;
}

TEST(TransformContractTest, BoxesStayOnTheirPixelsThroughAnyChain) {
  const std::vector<std::string> configs = AllConfigs();
  std::set<std::string> checked_configs;
  int checked = 0, sharp = 0, reduced = 0;
  for (uint64_t chain = 0; chain < 300; ++chain) {
    Random random(7, 7, chain);
    const Painting painting = DrawPainting(random);
    for (size_t painted = 0; painted < painting.objects.size(); ++painted) {
      const Trip trip = Travel(configs, painting, painted, random);
      SCOPED_TRACE(absl::StrCat("chain ", chain, ", object ", painted, ", orientation ",
                                painting.orientation, ", reduction ", painting.max_reduction, ": ",
                                absl::StrJoin(trip.steps, ", ")));
      const ImageSize size = trip.sample.image.size();
      ExpectOneView(trip.sample, {painting.size.height, painting.size.width});
      for (const Annotation& object : trip.sample.truth.objects) {
        const PixelBox& box = object.box;
        ExpectInside(box, size);
        EXPECT_EQ(object.crowd, object.id == 1);
        EXPECT_EQ(object.difficult, object.id == 2);
        if (object.id != static_cast<int64_t>(painted)) continue;
        // The object or, where a view has cut it, a part of it.
        const PixelBox back = trip.sample.geometry.ToOriginal(box);
        const PixelBox original = BoxOf(painting.objects[painted]);
        EXPECT_TRUE(back.x0 >= original.x0 - 1e-6 && back.x1 <= original.x1 + 1e-6 &&
                    back.y0 >= original.y0 - 1e-6 && back.y1 <= original.y1 + 1e-6);
        if (trip.is_thin) continue;

        cv::Mat image(static_cast<int>(size.height), static_cast<int>(size.width), CV_8UC3);
        const absl::Status rendered = trip.sample.image.RenderTo(image, painting.max_reduction);
        ASSERT_TRUE(rendered.ok()) << rendered;
        const PixelBox seen = BrightBox(image);
        // Less than a pixel, so that without a resize an edge is in its place or not.
        constexpr double kRounding = 0.25;
        EXPECT_NEAR(seen.x0, box.x0, trip.error_x + kRounding);
        EXPECT_NEAR(seen.x1, box.x1, trip.error_x + kRounding);
        EXPECT_NEAR(seen.y0, box.y0, trip.error_y + kRounding);
        EXPECT_NEAR(seen.y1, box.y1, trip.error_y + kRounding);
        ++checked;
        if (trip.error_x <= 2 && trip.error_y <= 2 && box.width() >= 20 && box.height() >= 20) {
          ++sharp;
        }
        if (trip.is_reduced) ++reduced;
        checked_configs.insert(trip.steps.begin(), trip.steps.end());
      }
    }
  }
  EXPECT_GT(checked, 400);
  // Where a box beside its object would be seen, and where pixels were decoded as means.
  EXPECT_GT(sharp, 250);
  EXPECT_GT(reduced, 30);
  for (const std::string& config : configs) EXPECT_EQ(checked_configs.count(config), 1u) << config;
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
