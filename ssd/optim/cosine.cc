#include <cmath>

#include "absl/strings/str_cat.h"
#include "ssd/optim/schedule.h"

namespace ssd {
namespace {

constexpr double kPi = 3.14159265358979323846;

// Half a cosine wave down to final_multiplier: `schedule { cosine {} }`.
//
//   f + (1 - f) * (1 + cos(pi * t)) / 2,   t = (step - start) / (total_steps - start) in [0, 1]
//
// with f = final_multiplier and start = warm-up + hold_steps (Loshchilov and Hutter,
// arXiv:1608.03983, equation 5, without restarts).
class CosineSchedule final : public Schedule {
 public:
  static absl::StatusOr<std::unique_ptr<Schedule>> Create(const CosineOptions& options,
                                                          const ScheduleContext& context) {
    if (!(options.final_multiplier() >= 0 && options.final_multiplier() <= 1)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "schedule.cosine.final_multiplier: ", options.final_multiplier(), " must be in [0, 1]"));
    }
    if (options.hold_steps() < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("schedule.cosine.hold_steps: ", options.hold_steps(), " must be >= 0"));
    }
    return std::make_unique<CosineSchedule>(context.warmup_steps + options.hold_steps(),
                                            context.total_steps, options.final_multiplier());
  }

  CosineSchedule(int64_t start, int64_t end, double final_multiplier)
      : start_(start), end_(end), final_multiplier_(final_multiplier) {}

  double Multiplier(int64_t step) const override {
    if (step <= start_) return 1;
    if (step >= end_) return final_multiplier_;
    const double progress = static_cast<double>(step - start_) / static_cast<double>(end_ - start_);
    return final_multiplier_ + (1 - final_multiplier_) * (1 + std::cos(kPi * progress)) / 2;
  }

 private:
  int64_t start_;  // up to which the multiplier is 1
  int64_t end_;
  double final_multiplier_;
};

SSD_REGISTER_SCHEDULE(CosineOptions, CosineSchedule);

}  // namespace
}  // namespace ssd
