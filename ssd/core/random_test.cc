#include "ssd/core/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <vector>

namespace ssd {
namespace {

using Block = std::array<uint32_t, 4>;

// Random123's published vectors (tests/kat_vectors, "philox4x32 10").
TEST(Philox4x32, KnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

std::vector<uint32_t> First(Random random, int count) {
  std::vector<uint32_t> values;
  for (int i = 0; i < count; ++i) values.push_back(random());
  return values;
}

TEST(Random, IsAFunctionOfItsThreeWords) {
  EXPECT_EQ(First(Random(1, 2, 3), 100), First(Random(1, 2, 3), 100));
  std::set<std::vector<uint32_t>> streams;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    for (uint64_t stream = 0; stream < 8; ++stream) {
      for (uint64_t index = 0; index < 8; ++index) {
        streams.insert(First(Random(seed, stream, index), 4));
      }
    }
  }
  EXPECT_EQ(streams.size(), 512u);
  // The upper halves of the words count.
  EXPECT_NE(First(Random(uint64_t{1} << 40, 0, 0), 4), First(Random(0, 0, 0), 4));
  EXPECT_NE(First(Random(0, uint64_t{1} << 40, 0), 4), First(Random(0, 0, 0), 4));
  EXPECT_NE(First(Random(0, 0, uint64_t{1} << 40), 4), First(Random(0, 0, 0), 4));
}

TEST(Random, UniformAndNormalHaveTheirMoments) {
  constexpr int kCount = 100000;
  Random random(1, 2, 3);
  double sum = 0, squares = 0, normal_sum = 0, normal_squares = 0, normal_fourth = 0;
  for (int i = 0; i < kCount; ++i) {
    const double u = random.Uniform();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    squares += u * u;
    const double z = random.Normal();
    ASSERT_TRUE(std::isfinite(z));
    normal_sum += z;
    normal_squares += z * z;
    normal_fourth += z * z * z * z;
  }
  // Five standard errors.
  EXPECT_NEAR(sum / kCount, 0.5, 5 * std::sqrt(1.0 / 12 / kCount));
  EXPECT_NEAR(squares / kCount, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kCount));
  EXPECT_NEAR(normal_sum / kCount, 0, 5 * std::sqrt(1.0 / kCount));
  EXPECT_NEAR(normal_squares / kCount, 1, 5 * std::sqrt(2.0 / kCount));
  EXPECT_NEAR(normal_fourth / kCount, 3, 5 * std::sqrt(96.0 / kCount));
}

TEST(Random, IntegersCoverTheirRangeEvenly) {
  constexpr int kCount = 70000;
  Random random(5, 0, 0);
  std::vector<int> counts(7);
  for (int i = 0; i < kCount; ++i) {
    const int64_t value = random.Integer(-3, 3);
    ASSERT_GE(value, -3);
    ASSERT_LE(value, 3);
    ++counts[static_cast<size_t>(value + 3)];
  }
  double chi_squared = 0;
  for (const int count : counts) chi_squared += std::pow(count - kCount / 7.0, 2) / (kCount / 7.0);
  EXPECT_LT(chi_squared, 22.5);  // 6 degrees of freedom, p = 0.001

  EXPECT_EQ(random.Integer(9, 9), 9);
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  bool negative = false, positive = false;
  for (int i = 0; i < 64; ++i) {
    const int64_t value = random.Integer(kMin, kMax);
    negative |= value < 0;
    positive |= value > 0;
  }
  EXPECT_TRUE(negative && positive);
  EXPECT_LE(random.Integer(kMin, kMin + 1), kMin + 1);
}

TEST(Random, BernoulliConsumesTheSameWhateverItsOdds) {
  Random a(1, 1, 1), b(1, 1, 1);
  EXPECT_FALSE(a.Bernoulli(0));
  EXPECT_TRUE(b.Bernoulli(1));
  EXPECT_EQ(a(), b());
}

}  // namespace
}  // namespace ssd
