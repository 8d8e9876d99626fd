#include "ssd/core/option_check.h"

#include <gtest/gtest.h>

#include <limits>

#include "ssd/core/core_test.pb.h"

namespace ssd {
namespace {

using core_test::Circle;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(CheckOption, NamesFieldValueAndRule) {
  EXPECT_TRUE(CheckOption(true, "loss.focal.gamma", 2, ">= 0").ok());
  const absl::Status status = CheckOption(false, "loss.focal.gamma", -0.5, ">= 0");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "loss.focal.gamma: -0.5 must be >= 0");
  // No option may be infinite, though it is above 0.
  EXPECT_EQ(CheckOption(true, "a.b", kInfinity, "> 0").message(),
            "a.b: inf must be > 0 and finite");
}

TEST(CheckRange, LimitsBelongToTheRange) {
  EXPECT_TRUE(CheckRange("a", 0, 0, 1).ok());
  EXPECT_TRUE(CheckRange("a", 1, 0, 1).ok());
  EXPECT_TRUE(CheckRange("a", 1e9, 1, kInfinity).ok());
  EXPECT_EQ(CheckRange("a", 1.5, 0, 1).message(), "a: 1.5 must be in [0, 1]");
  EXPECT_FALSE(CheckRange("a", kNan, 0, 1).ok());
  EXPECT_FALSE(CheckRange("a", kInfinity, 1, kInfinity).ok());
}

TEST(CheckUnused, RefusesWhatIsSetToNoEffect) {
  Circle options;
  EXPECT_TRUE(CheckUnused(options, "radius", "shape.circle.", "fill: SOLID").ok());
  EXPECT_TRUE(CheckUnused(options, "segments", "shape.circle.", "fill: SOLID").ok());
  // Resolved experiments write defaults out.
  options.set_radius(1);
  EXPECT_TRUE(CheckUnused(options, "radius", "shape.circle.", "fill: SOLID").ok());
  options.set_radius(2.5);
  const absl::Status status = CheckUnused(options, "radius", "shape.circle.", "fill: SOLID");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "shape.circle.radius: 2.5 has no effect without shape.circle.fill: SOLID; set that, or "
            "leave this out");
  // Those without a default mean something by being set.
  options.set_segments(0);
  EXPECT_FALSE(CheckUnused(options, "segments", "shape.circle.", "fill: SOLID").ok());
  options.set_fill(Circle::HATCHED);
  EXPECT_EQ(CheckUnused(options, "fill", "shape.circle.", "closed: true").message(),
            "shape.circle.fill: HATCHED has no effect without shape.circle.closed: true; set that, "
            "or leave this out");
}

}  // namespace
}  // namespace ssd
