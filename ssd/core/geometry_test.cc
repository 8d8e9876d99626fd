#include "ssd/core/geometry.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "ssd/core/random.h"

namespace ssd {
namespace {

void ExpectNear(const PixelBox& a, const PixelBox& b, double tolerance = 1e-9) {
  EXPECT_NEAR(a.x0, b.x0, tolerance);
  EXPECT_NEAR(a.y0, b.y0, tolerance);
  EXPECT_NEAR(a.x1, b.x1, tolerance);
  EXPECT_NEAR(a.y1, b.y1, tolerance);
}

void ExpectNear(const Geometry& a, const Geometry& b) {
  EXPECT_EQ(a.original, b.original);
  EXPECT_EQ(a.view, b.view);
  EXPECT_NEAR(a.scale_x, b.scale_x, 1e-12);
  EXPECT_NEAR(a.scale_y, b.scale_y, 1e-12);
  EXPECT_NEAR(a.offset_x, b.offset_x, 1e-9);
  EXPECT_NEAR(a.offset_y, b.offset_y, 1e-9);
}

PixelBox RandomBox(Random& random, ImageSize size) {
  const double x = random.Uniform(-50, static_cast<double>(size.width));
  const double y = random.Uniform(-50, static_cast<double>(size.height));
  return {x, y, x + random.Uniform(1, 200), y + random.Uniform(1, 200)};
}

TEST(Geometry, IdentityLeavesBoxesAlone) {
  const Geometry geometry = Geometry::Identity({480, 640});
  ExpectNear(geometry.ToOriginal({1, 2, 3, 4}), {1, 2, 3, 4});
  ExpectNear(geometry.ToView({1, 2, 3, 4}), {1, 2, 3, 4});
}

TEST(Geometry, OneStepEachByHand) {
  const Geometry image = Geometry::Identity({100, 200});
  // Crop: the view's origin is the crop's corner.
  const Geometry crop = image.Cropped({20, 10, 120, 60});
  EXPECT_EQ(crop.view, (ImageSize{50, 100}));
  ExpectNear(crop.ToOriginal({0, 0, 10, 10}), {20, 10, 30, 20});
  // Resize: the whole view is still the whole image.
  const Geometry resized = image.Resized({300, 300});
  ExpectNear(resized.ToOriginal({0, 0, 300, 300}), {0, 0, 200, 100});
  ExpectNear(resized.ToView({100, 50, 200, 100}), {150, 150, 300, 300});
  // Flip: left becomes right, and corners stay ordered.
  const Geometry flipped = image.FlippedHorizontally();
  ExpectNear(flipped.ToOriginal({0, 0, 10, 20}), {190, 0, 200, 20});
  ExpectNear(flipped.ToView({190, 0, 200, 20}), {0, 0, 10, 20});
  const Geometry upside_down = image.FlippedVertically();
  ExpectNear(upside_down.ToOriginal({0, 0, 10, 20}), {0, 80, 10, 100});
  ExpectNear(upside_down.ToView({0, 80, 10, 100}), {0, 0, 10, 20});
  // Expansion: a crop that reaches outside.
  const Geometry expanded = image.Cropped({-100, -50, 300, 150});
  EXPECT_EQ(expanded.view, (ImageSize{200, 400}));
  ExpectNear(expanded.ToView({0, 0, 200, 100}), {100, 50, 300, 150});
}

TEST(Geometry, TwoFlipsAreTheIdentity) {
  Random random(1, 0, 0);
  for (int i = 0; i < 100; ++i) {
    const ImageSize size{random.Integer(1, 500), random.Integer(1, 500)};
    const Geometry geometry = Geometry::Identity(size).Cropped({3, 4, 13, 24}).Resized({30, 50});
    ExpectNear(geometry.FlippedHorizontally().FlippedHorizontally(), geometry);
    ExpectNear(geometry.FlippedVertically().FlippedVertically(), geometry);
  }
}

// Whatever is composed: the way back undoes the way there, a box in the view means the same pixels
// as the box carried through the steps one by one.
TEST(Geometry, CompositionEqualsItsStepsOneByOne) {
  Random random(2, 0, 0);
  for (int trial = 0; trial < 200; ++trial) {
    const ImageSize size{random.Integer(20, 800), random.Integer(20, 800)};
    Geometry composed = Geometry::Identity(size);
    std::vector<Geometry> steps;  // each alone, on the view it was given
    for (int i = 0; i < 6; ++i) {
      const Geometry alone = Geometry::Identity(composed.view);
      switch (random.Integer(0, 3)) {
        case 0: {
          // Whole pixels, as crops of images are.
          const double x = static_cast<double>(random.Integer(-20, 10));
          const double y = static_cast<double>(random.Integer(-20, 10));
          const PixelBox crop{x, y, x + static_cast<double>(random.Integer(1, 300)),
                              y + static_cast<double>(random.Integer(1, 300))};
          steps.push_back(alone.Cropped(crop));
          composed = composed.Cropped(crop);
          break;
        }
        case 1: {
          const ImageSize target{random.Integer(1, 500), random.Integer(1, 500)};
          steps.push_back(alone.Resized(target));
          composed = composed.Resized(target);
          break;
        }
        case 2:
          steps.push_back(alone.FlippedHorizontally());
          composed = composed.FlippedHorizontally();
          break;
        default:
          steps.push_back(alone.FlippedVertically());
          composed = composed.FlippedVertically();
      }
      EXPECT_EQ(composed.view, steps.back().view);
      EXPECT_EQ(composed.original, size);
    }
    const PixelBox box = RandomBox(random, size);
    PixelBox in_view = box;
    for (const Geometry& step : steps) in_view = step.ToView(in_view);
    const double scale = 1 + std::abs(in_view.x0) + std::abs(in_view.x1) + std::abs(in_view.y0) +
                         std::abs(in_view.y1);
    ExpectNear(composed.ToView(box), in_view, 1e-9 * scale);
    ExpectNear(composed.ToOriginal(composed.ToView(box)), box, 1e-6);
    EXPECT_LT(in_view.x0, in_view.x1);
    EXPECT_LT(in_view.y0, in_view.y1);
  }
}

TEST(Clip, CutsAtTheImage) {
  ExpectNear(Clip({-5, -6, 700, 20}, {480, 640}), {0, 0, 640, 20});
  const PixelBox outside = Clip({650, 0, 700, 20}, {480, 640});
  EXPECT_EQ(outside.area(), 0);
}

TEST(BoxIou, IsIntersectionOverUnion) {
  EXPECT_EQ(IntersectionArea({0, 0, 2, 2}, {1, 1, 3, 3}), 1);
  EXPECT_DOUBLE_EQ(BoxIou({0, 0, 2, 2}, {1, 1, 3, 3}), 1.0 / 7);
  EXPECT_EQ(BoxIou({0, 0, 2, 2}, {2, 0, 4, 2}), 0);
  EXPECT_EQ(BoxIou({0, 0, 1, 1}, {3, 3, 4, 4}), 0);
  EXPECT_EQ(BoxIou({1, 1, 1, 1}, {1, 1, 1, 1}), 0);
}

}  // namespace
}  // namespace ssd
