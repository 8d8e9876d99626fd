#include "ssd/core/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ssd/core/core_test.pb.h"

namespace ssd {
namespace {

using core_test::Circle;
using core_test::Shape;
using core_test::Spiral;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Unit {
  double length = 1;
};

class Drawable {
 public:
  virtual ~Drawable() = default;
  virtual double Extent() const = 0;
};

class CircleDrawable final : public Drawable {
 public:
  static absl::StatusOr<std::unique_ptr<Drawable>> Create(const Circle& options, const Unit& unit) {
    if (!(options.radius() > 0)) return absl::InvalidArgumentError("radius must be > 0");
    return std::make_unique<CircleDrawable>(2 * options.radius() * unit.length);
  }
  explicit CircleDrawable(double extent) : extent_(extent) {}
  double Extent() const override { return extent_; }

 private:
  double extent_;
};
SSD_REGISTER_COMPONENT_(Drawable, Unit, Circle, CircleDrawable);

class SpiralDrawable final : public Drawable {
 public:
  static absl::StatusOr<std::unique_ptr<Drawable>> Create(const Spiral& options, const Unit&) {
    return std::make_unique<SpiralDrawable>(options.turns());
  }
  explicit SpiralDrawable(double extent) : extent_(extent) {}
  double Extent() const override { return extent_; }

 private:
  double extent_;
};
SSD_REGISTER_COMPONENT_(Drawable, Unit, Spiral, SpiralDrawable);

using ShapeRegistry = Registry<Drawable, Unit>;

TEST(Registry, CreatesTheComponentThatIsSet) {
  Shape shape;
  shape.mutable_circle()->set_radius(3);
  const auto circle = ShapeRegistry::Get().Create(shape, Unit{10});
  ASSERT_TRUE(circle.ok()) << circle.status();
  EXPECT_EQ((*circle)->Extent(), 60);

  shape.Clear();
  shape.MutableExtension(Spiral::ext)->set_turns(7);
  const auto spiral = ShapeRegistry::Get().Create(shape, Unit{});
  ASSERT_TRUE(spiral.ok()) << spiral.status();
  EXPECT_EQ((*spiral)->Extent(), 7);

  EXPECT_THAT(ShapeRegistry::Get().Names(),
              ElementsAre("ssd.core_test.Circle", "ssd.core_test.Spiral"));
}

TEST(Registry, PassesTheComponentsErrorOn) {
  Shape shape;
  shape.mutable_circle()->set_radius(-1);
  EXPECT_EQ(ShapeRegistry::Get().Create(shape, Unit{}).status(),
            absl::InvalidArgumentError("radius must be > 0"));
}

TEST(Registry, AnUnlinkedComponentIsNotFoundAndTheLinkedOnesAreListed) {
  Shape shape;
  shape.mutable_polygon();
  const absl::Status status = ShapeRegistry::Get().Create(shape, Unit{}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr("no component for ssd.core_test.Polygon is linked into this program; linked "
                "are ssd.core_test.Circle, ssd.core_test.Spiral"));
}

TEST(Registry, ExactlyOneKindMustBeSet) {
  Shape shape;
  shape.set_name("not a kind");
  absl::Status status = ShapeRegistry::Get().Create(shape, Unit{}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()),
            "ssd.core_test.Shape: no kind is set; set exactly one of circle, polygon or an "
            "extension");
  shape.mutable_circle();
  EXPECT_EQ((*SetKind(shape))->GetDescriptor(), Circle::descriptor());
  shape.MutableExtension(Spiral::ext);
  status = ShapeRegistry::Get().Create(shape, Unit{}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("circle and [ssd.core_test.Spiral.ext] are both set"));
}

TEST(RegistryDeathTest, TwoComponentsForOneOptionsTypeDie) {
  EXPECT_DEATH(ShapeRegistry::Get().Register(Circle::descriptor(), nullptr),
               "two components are registered for ssd.core_test.Circle");
}

}  // namespace
}  // namespace ssd
