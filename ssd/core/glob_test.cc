#include "ssd/core/glob.h"

#include <gtest/gtest.h>

#include <string>

namespace ssd {
namespace {

TEST(MatchesGlob, StarsStandForAnyText) {
  EXPECT_TRUE(MatchesGlob("head.*", "head.box_codes.0.bias"));
  EXPECT_TRUE(MatchesGlob("*.bias", "head.box_codes.0.bias"));
  EXPECT_TRUE(MatchesGlob("*", ""));
  EXPECT_TRUE(MatchesGlob("**", "x"));
  EXPECT_TRUE(MatchesGlob("", ""));
  EXPECT_TRUE(MatchesGlob("a*b*c", "a-b-b-c"));
  EXPECT_TRUE(MatchesGlob("*aab", "aaaab"));
  EXPECT_FALSE(MatchesGlob("head", "head.bias"));
  EXPECT_FALSE(MatchesGlob("head.*", "xhead.bias"));
  EXPECT_FALSE(MatchesGlob("a*b*c", "a-b-c-d"));
  EXPECT_FALSE(MatchesGlob("", "x"));
  EXPECT_FALSE(MatchesGlob("head*", "hea"));
}

TEST(MatchesGlob, NothingElseIsSpecial) {
  EXPECT_FALSE(MatchesGlob("head.?", "head.x"));
  EXPECT_TRUE(MatchesGlob("a.[0]#", "a.[0]#"));
  EXPECT_TRUE(MatchesGlob("*", "*"));
}

// A naive one would try every way to split.
TEST(MatchesGlob, IsQuick) {
  EXPECT_FALSE(MatchesGlob("*a*a*a*a*a*a*a*a*a*b", std::string(5000, 'a')));
}

}  // namespace
}  // namespace ssd
