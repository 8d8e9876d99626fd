#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "data/transforms/transform_testing.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

double Iou(const PixelBox& a, const PixelBox& b) {
  const double width = std::max(std::min(a.x1, b.x1) - std::max(a.x0, b.x0), 0.0);
  const double height = std::max(std::min(a.y1, b.y1) - std::max(a.y0, b.y0), 0.0);
  return width * height / (a.area() + b.area() - width * height);
}

bool HasCenterInside(const PixelBox& box, const PixelBox& patch) {
  const double x = (box.x0 + box.x1) / 2;
  const double y = (box.y0 + box.y1) / 2;
  return patch.x0 < x && x < patch.x1 && patch.y0 < y && y < patch.y1;
}

// What the sample shows of the original image.
PixelBox Patch(const Sample& sample) {
  const ImageSize size = sample.image.size();
  return sample.geometry.ToOriginal(
      {0, 0, static_cast<double>(size.width), static_cast<double>(size.height)});
}

// The chance that one patch is accepted for a least IoU of `min_iou` with a truth that is the whole
// image, by summing over widths and heights: IoU is w h, the aspect ratio must be in [0.5, 2], and
// the centre of a w wide patch's place is free in (0.5 - w, 0.5) of [0, 1 - w].
double ChanceOfPatch(double min_iou) {
  constexpr int kSteps = 700;
  double chance = 0;
  for (int i = 0; i < kSteps; ++i) {
    const double w = 0.3 + 0.7 * (i + 0.5) / kSteps;
    for (int j = 0; j < kSteps; ++j) {
      const double h = 0.3 + 0.7 * (j + 0.5) / kSteps;
      if (w * h < min_iou || w / h < 0.5 || w / h > 2) continue;
      chance += std::min(w / (1 - w), 1.0) * std::min(h / (1 - h), 1.0);
    }
  }
  return chance / kSteps / kSteps;
}

// How often the image is left as it is: choices that find no patch are drawn again.
double ChanceOfWholeImage(int trials) {
  double ends = 1;  // over 7: of a draw, by the whole image or a patch
  for (const double min_iou : {0.0, 0.1, 0.3, 0.5, 0.7, 0.9}) {
    ends += 1 - std::pow(1 - ChanceOfPatch(min_iou), trials);
  }
  return 1 / ends;
}

TEST(MinIouCropTest, LeavesTheImageWholeAsOftenAsTheOddsSay) {
  const cv::Mat image(1000, 1000, CV_8UC3);
  for (const int trials : {40, 1}) {
    const auto crop = MakeTransform("min_iou_crop { trials: " + std::to_string(trials) + " }");
    int whole = 0;
    constexpr int kRuns = 8000;
    for (uint64_t run = 0; run < kRuns; ++run) {
      Sample sample = MakeSample(image, {{0, 0, 1000, 1000}});
      Random random(3, 1, run);
      crop->Apply(random, sample);
      ASSERT_EQ(sample.truth.objects.size(), 1u);
      whole += sample.image.size() == ImageSize{1000, 1000};
    }
    const double chance = ChanceOfWholeImage(trials);
    // Four standard deviations and the rounding of patches to pixels.
    const double tolerance = 4 * std::sqrt(chance * (1 - chance) / kRuns) + 2e-3;
    EXPECT_NEAR(static_cast<double>(whole) / kRuns, chance, tolerance) << trials;
  }
}

// torchvision: among the truths that stay; mmdetection and NVIDIA: all truths of the image.
TEST(MinIouCropTest, AcceptsPatchesByTheDrawnIou) {
  const cv::Mat image(400, 600, CV_8UC3);
  const std::vector<PixelBox> boxes = {{50, 40, 350, 330}, {200, 100, 560, 390}, {5, 5, 25, 30}};
  int cropped[2] = {};
  int alike[2] = {};
  for (const bool all : {false, true}) {
    const auto crop =
        MakeTransform(std::string("min_iou_crop { min_iou: 0.3 trials: 200 overlap: ") +
                      (all ? "ALL }" : "SOME }"));
    for (uint64_t run = 0; run < 300; ++run) {
      // The small truth leaves no patch for ALL.
      Sample sample =
          MakeSample(image, all ? std::vector<PixelBox>(boxes.begin(), boxes.end() - 1) : boxes);
      const size_t before = sample.truth.objects.size();
      Random random(4, all ? 1 : 0, run);
      crop->Apply(random, sample);
      const PixelBox patch = Patch(sample);
      if (sample.image.size() == ImageSize{400, 600}) {
        EXPECT_EQ(sample.truth.objects.size(), before);
        continue;
      }
      ++cropped[all];
      const double aspect_ratio = patch.width() / patch.height();
      EXPECT_TRUE(aspect_ratio >= 0.5 && aspect_ratio <= 2) << aspect_ratio;
      double best = 0, worst = 1;
      size_t inside = 0;
      for (size_t i = 0; i < before; ++i) {
        const double iou = Iou(boxes[i], patch);
        worst = std::min(worst, iou);
        if (!HasCenterInside(boxes[i], patch)) continue;
        ++inside;
        best = std::max(best, iou);
      }
      EXPECT_EQ(sample.truth.objects.size(), inside);
      EXPECT_GE(best, 0.3);
      if (all) {
        EXPECT_GE(worst, 0.3);
      }
      alike[all] += worst >= 0.3;
    }
  }
  EXPECT_GT(cropped[0], 100);
  EXPECT_GT(cropped[1], 100);
  EXPECT_LT(alike[0], cropped[0]);
}

// With a truth that no patch can have in common enough, every choice but the whole image fails.
TEST(MinIouCropTest, EndsForTruthsThatNoPatchSuits) {
  const auto crop = MakeTransform("min_iou_crop { min_iou: 0.9 overlap: ALL trials: 1 }");
  const cv::Mat image(100, 100, CV_8UC3);
  for (uint64_t run = 0; run < 50; ++run) {
    Sample sample = MakeSample(image, {{0, 0, 2, 2}});
    Random random(6, 1, run);
    crop->Apply(random, sample);
    EXPECT_EQ(sample.image.size(), (ImageSize{100, 100}));
    Sample empty = MakeSample(image, {});
    crop->Apply(random, empty);
    EXPECT_EQ(empty.image.size(), (ImageSize{100, 100}));
  }
}

TEST(MinIouCropTest, AspectRatioInPixelsOrRelativeToTheImages) {
  const cv::Mat image(100, 400, CV_8UC3);
  for (const bool relative : {false, true}) {
    const auto crop = MakeTransform(std::string("min_iou_crop { min_iou: 0 ") +
                                    (relative ? "relative_aspect_ratio: true }" : "}"));
    int wide = 0, cropped = 0;
    for (uint64_t run = 0; run < 200; ++run) {
      Sample sample = MakeSample(image, {{0, 0, 400, 100}});
      Random random(8, 1, run);
      crop->Apply(random, sample);
      const ImageSize size = sample.image.size();
      if (size == ImageSize{100, 400}) continue;
      ++cropped;
      const double aspect_ratio =
          static_cast<double>(size.width) / static_cast<double>(size.height);
      wide += aspect_ratio > 2;
      // Sides in pixels are cut to whole ones.
      EXPECT_GE(aspect_ratio, relative ? 1.9 : 0.5);
      EXPECT_LE(aspect_ratio, relative ? 8.3 : 2);
    }
    EXPECT_GT(cropped, 50);
    EXPECT_EQ(wide > 0, relative);
  }
}

// A centre on the patch's edge is outside (torchvision, mmdetection, NVIDIA), unlike for iou_crop.
TEST(MinIouCropTest, CentresOnTheEdgeAreOutside) {
  const auto crop = MakeTransform("min_iou_crop { min_iou: 0 }");
  // Whole and half pixels, so that edges meet centres often.
  const cv::Mat image(8, 8, CV_8UC3);
  for (uint64_t run = 0; run < 300; ++run) {
    std::vector<PixelBox> boxes;
    for (int x = 0; x < 7; ++x) {
      boxes.push_back({x + 0.5, x + 0.5, x + 1.5, x + 1.5});
    }
    Sample sample = MakeSample(image, boxes);
    Random random(9, 1, run);
    crop->Apply(random, sample);
    const PixelBox patch = Patch(sample);
    const auto inside = std::count_if(boxes.begin(), boxes.end(), [&](const PixelBox& box) {
      return HasCenterInside(box, patch);
    });
    EXPECT_EQ(static_cast<int>(sample.truth.objects.size()), static_cast<int>(inside));
    EXPECT_GT(inside, 0);
  }
}

TEST(MinIouCropTest, WrongOptionsNameFieldValueAndRange) {
  ExpectRefused("min_iou_crop { min_iou: [0.5, 1.5] }", "min_iou_crop.min_iou[1]: 1.5");
  ExpectRefused("min_iou_crop { min_scale: 0 }", "min_iou_crop.min_scale: 0");
  ExpectRefused("min_iou_crop { max_scale: 1.1 }", "min_iou_crop.max_scale: 1.1");
  ExpectRefused("min_iou_crop { min_scale: 0.9 max_scale: 0.8 }", "min_iou_crop.min_scale: 0.9");
  ExpectRefused("min_iou_crop { min_aspect_ratio: 3 }", "min_iou_crop.min_aspect_ratio: 3");
  ExpectRefused("min_iou_crop { max_aspect_ratio: nan }", "min_iou_crop.max_aspect_ratio: nan");
  ExpectRefused("min_iou_crop { trials: 0 }", "min_iou_crop.trials: 0");
}

}  // namespace
}  // namespace ssd
