#include "absl/strings/str_cat.h"
#include "ssd/optim/schedule.h"

namespace ssd {
namespace {

// A straight line from 1 to final_multiplier: `schedule { linear {} }`.
class LinearSchedule final : public Schedule {
 public:
  static absl::StatusOr<std::unique_ptr<Schedule>> Create(const LinearOptions& options,
                                                          const ScheduleContext& context) {
    if (!(options.final_multiplier() >= 0 && options.final_multiplier() <= 1)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "schedule.linear.final_multiplier: ", options.final_multiplier(), " must be in [0, 1]"));
    }
    return std::make_unique<LinearSchedule>(context.warmup_steps, context.total_steps,
                                            options.final_multiplier());
  }

  LinearSchedule(int64_t start, int64_t end, double final_multiplier)
      : start_(start), end_(end), final_multiplier_(final_multiplier) {}

  double Multiplier(int64_t step) const override {
    if (step <= start_) return 1;
    if (step >= end_) return final_multiplier_;
    const double progress = static_cast<double>(step - start_) / static_cast<double>(end_ - start_);
    return 1 + (final_multiplier_ - 1) * progress;
  }

 private:
  int64_t start_;  // up to which the multiplier is 1
  int64_t end_;
  double final_multiplier_;
};

SSD_REGISTER_SCHEDULE(LinearOptions, LinearSchedule);

}  // namespace
}  // namespace ssd
