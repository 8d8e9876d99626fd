#include "ssd/core/plural.h"

#include <gtest/gtest.h>

namespace ssd {
namespace {

TEST(Plural, FollowsTheCountAndTheNoun) {
  EXPECT_EQ(Plural(1, "object"), "1 object");
  EXPECT_EQ(Plural(0, "object"), "0 objects");
  EXPECT_EQ(Plural(2, "box"), "2 boxes");
}

}  // namespace
}  // namespace ssd
