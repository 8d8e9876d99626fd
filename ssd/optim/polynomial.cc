#include <cmath>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"
#include "ssd/optim/schedule.h"

namespace ssd {
namespace {

// A power of the share of the run that is left: `schedule { polynomial {} }`.
//
//   f + (1 - f) * (1 - t)^power,   t = (step - start) / (total_steps - start) in [0, 1]
//
// with f = final_multiplier and start = the warm-up's end (f = 0: Caffe's poly in sgd_solver.cpp;
// f > 0: mmcv's PolyLrUpdaterHook with min_lr).
class PolynomialSchedule final : public Schedule {
 public:
  static absl::StatusOr<std::unique_ptr<Schedule>> Create(const PolynomialOptions& options,
                                                          const ScheduleContext& context) {
    SSD_RETURN_IF_ERROR(
        CheckOption(options.power() > 0, "schedule.polynomial.power", options.power(), "> 0"));
    SSD_RETURN_IF_ERROR(
        CheckRange("schedule.polynomial.final_multiplier", options.final_multiplier(), 0, 1));
    return std::make_unique<PolynomialSchedule>(context.warmup_steps, context.total_steps,
                                                options.power(), options.final_multiplier());
  }

  PolynomialSchedule(int64_t start, int64_t end, double power, double final_multiplier)
      : start_(start), end_(end), power_(power), final_multiplier_(final_multiplier) {}

  double Multiplier(int64_t step) const override {
    if (step <= start_) return 1;
    if (step >= end_) return final_multiplier_;
    const double left = static_cast<double>(end_ - step) / static_cast<double>(end_ - start_);
    return final_multiplier_ + (1 - final_multiplier_) * std::pow(left, power_);
  }

 private:
  int64_t start_;  // up to which the multiplier is 1
  int64_t end_;
  double power_;
  double final_multiplier_;
};

SSD_REGISTER_SCHEDULE(PolynomialOptions, PolynomialSchedule);

}  // namespace
}  // namespace ssd
