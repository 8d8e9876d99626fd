#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ssd/core/text_proto.h"
#include "ssd/optim/schedule.h"

namespace ssd {
namespace {

absl::StatusOr<std::unique_ptr<Schedule>> Create(const std::string& text, int64_t total_steps) {
  ScheduleConfig config;
  const absl::Status status = ParseTextProto(text, "test", config);
  EXPECT_TRUE(status.ok()) << status;
  ScheduleContext context;
  context.total_steps = total_steps;
  context.steps_per_epoch = 10;
  return CreateSchedule(config, context);
}

// Expects base * multiplier at step 0, 1, ...
void ExpectRates(const std::string& text, int64_t total_steps, double base,
                 const std::vector<double>& expected, double tolerance = 1e-12) {
  const auto schedule = Create(text, total_steps);
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  for (size_t step = 0; step < expected.size(); ++step) {
    EXPECT_NEAR(base * (*schedule)->Multiplier(static_cast<int64_t>(step)), expected[step],
                tolerance)
        << text << " at " << step;
  }
}

// The example in the documentation of torch.optim.lr_scheduler.PolynomialLR (2.0).
TEST(Polynomial, EqualsPyTorch) {
  ExpectRates("polynomial { power: 1 }", 4, 0.001, {0.001, 0.00075, 0.0005, 0.00025, 0, 0});
}

// tests/optimization/test_optimization.py: a power of 2 to 1e-7 after two steps of warm-up, printed
// with three decimals.
TEST(Polynomial, EqualsHuggingFaceTransformers) {
  ExpectRates(
      "polynomial { power: 2 final_multiplier: 1e-8 } warmup { steps: 2 initial_multiplier: 0 }",
      10, 10, {0, 5, 10, 7.656, 5.625, 3.906, 2.5, 1.406, 0.625, 0.156}, 5.1e-4);
}

// Caffe's base_lr * (1 - iter / max_iter)^power, for powers whose values need no rounding.
TEST(Polynomial, EqualsCaffe) {
  ExpectRates("polynomial { power: 2 }", 4, 1, {1, 0.5625, 0.25, 0.0625, 0, 0});
  ExpectRates("polynomial { power: 3 }", 2, 8, {8, 1, 0});
  // Roots of 1 - step / 100: 0.9 at step 19, 0.6 at 64, 0.1 at 99.
  const auto root = Create("polynomial { power: 0.5 }", 100);
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_DOUBLE_EQ((*root)->Multiplier(19), 0.9);
  EXPECT_DOUBLE_EQ((*root)->Multiplier(64), 0.6);
  EXPECT_DOUBLE_EQ((*root)->Multiplier(99), 0.1);
  // 2^-0.9 at half of the run.
  const auto usual = Create("polynomial { power: 0.9 }", 100);
  ASSERT_TRUE(usual.ok()) << usual.status();
  EXPECT_NEAR((*usual)->Multiplier(50), 0.5358867312681466, 1e-15);
}

// mmcv's (1 - min) * (1 - progress)^power + min.
TEST(Polynomial, EndsAtTheFinalMultiplier) {
  ExpectRates("polynomial { power: 2 final_multiplier: 0.5 }", 2, 1, {1, 0.625, 0.5, 0.5});
  // A run that ends within its warm-up.
  ExpectRates("polynomial {} warmup { steps: 10 initial_multiplier: 0 }", 3, 1, {0, 0.1, 0.2});
}

TEST(Polynomial, FallsAndPowersAdd) {
  // (1 - t)^(a + b) = (1 - t)^a (1 - t)^b.
  const auto a = Create("polynomial { power: 0.3 }", 77),
             b = Create("polynomial { power: 1.4 }", 77),
             sum = Create("polynomial { power: 1.7 }", 77);
  ASSERT_TRUE(a.ok() && b.ok() && sum.ok());
  double last = 1;
  for (int64_t step = 0; step < 80; ++step) {
    const double multiplier = (*sum)->Multiplier(step);
    EXPECT_NEAR(multiplier, (*a)->Multiplier(step) * (*b)->Multiplier(step), 1e-15) << step;
    EXPECT_LE(multiplier, last) << step;
    last = multiplier;
  }
}

TEST(Polynomial, RefusesBadOptions) {
  const auto error = [](const char* options) {
    return std::string(
        Create(std::string("polynomial { ") + options + " }", 10).status().message());
  };
  EXPECT_EQ(error("power: 0"), "schedule.polynomial.power: 0 must be > 0");
  EXPECT_EQ(error("power: -1"), "schedule.polynomial.power: -1 must be > 0");
  EXPECT_EQ(error("power: nan"), "schedule.polynomial.power: nan must be > 0");
  EXPECT_EQ(error("power: inf"), "schedule.polynomial.power: inf must be > 0 and finite");
  EXPECT_EQ(error("final_multiplier: -1"),
            "schedule.polynomial.final_multiplier: -1 must be in [0, 1]");
  EXPECT_EQ(error("final_multiplier: 2"),
            "schedule.polynomial.final_multiplier: 2 must be in [0, 1]");
  EXPECT_EQ(error("final_multiplier: nan"),
            "schedule.polynomial.final_multiplier: nan must be in [0, 1]");
}

}  // namespace
}  // namespace ssd
