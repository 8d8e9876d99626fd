#include "experiments/run_report.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ssd/core/logging.h"
#include "ssd/optim/schedule.h"

namespace ssd {
namespace {

std::unique_ptr<Schedule> MakeSchedule(const std::string& text, int64_t total_steps) {
  ScheduleConfig config;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  auto schedule = CreateSchedule(config, {total_steps, 10});
  CHECK(schedule.ok()) << schedule.status().message();
  return *std::move(schedule);
}

TEST(PlannedLearningRate, CoversTheRunFromItsFirstStepToItsLast) {
  for (const int64_t total : {1, 2, 7, 200, 201, 120000}) {
    const auto schedule = MakeSchedule("linear {}", total);
    const ChartSeries planned = PlannedLearningRate(0.5, *schedule, total);
    ASSERT_EQ(planned.x.size(), static_cast<size_t>(std::min<int64_t>(total, 200)));
    ASSERT_EQ(planned.y.size(), planned.x.size());
    EXPECT_EQ(planned.x.front(), 1);
    EXPECT_EQ(planned.x.back(), static_cast<double>(total));
    for (size_t i = 0; i < planned.x.size(); ++i) {
      if (i > 0) {
        EXPECT_GT(planned.x[i], planned.x[i - 1]);
      }
      // The first step has the whole rate, the step after the last would have none.
      const double left = 1 - (planned.x[i] - 1) / static_cast<double>(total);
      EXPECT_NEAR(planned.y[i], 0.5 * left, 1e-12);
    }
  }
}

TEST(PlannedLearningRate, HasEveryStepOfAShortRun) {
  const auto schedule = MakeSchedule("multi_step { milestone_step: [2, 3] }", 5);
  const ChartSeries planned = PlannedLearningRate(1, *schedule, 5);
  const std::vector<double> expected = {1, 1, 0.1, 0.01, 0.01};
  ASSERT_EQ(planned.y.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(planned.y[i], expected[i], 1e-12);
}

}  // namespace
}  // namespace ssd
