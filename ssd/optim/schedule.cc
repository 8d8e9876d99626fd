#include "ssd/optim/schedule.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

class WarmedUpSchedule final : public Schedule {
 public:
  WarmedUpSchedule(std::unique_ptr<Schedule> schedule, int64_t warmup_steps,
                   const WarmupConfig& config)
      : schedule_(std::move(schedule)),
        warmup_steps_(warmup_steps),
        shape_(config.shape()),
        initial_multiplier_(config.initial_multiplier()) {}

  double Multiplier(int64_t step) const override {
    const double multiplier = schedule_->Multiplier(step);
    if (step >= warmup_steps_) return multiplier;
    const double progress = static_cast<double>(step) / static_cast<double>(warmup_steps_);
    if (shape_ == WarmupConfig::EXPONENTIAL) {
      return multiplier * std::pow(initial_multiplier_, 1 - progress);
    }
    return multiplier * (initial_multiplier_ + (1 - initial_multiplier_) * progress);
  }

 private:
  std::unique_ptr<Schedule> schedule_;
  int64_t warmup_steps_;
  WarmupConfig::Shape shape_;
  double initial_multiplier_;
};

absl::StatusOr<int64_t> WarmupSteps(const WarmupConfig& config, double steps_per_epoch) {
  switch (config.length_case()) {
    case WarmupConfig::kSteps:
      if (config.steps() >= 0) return config.steps();
      return absl::InvalidArgumentError(
          absl::StrCat("schedule.warmup.steps: ", config.steps(), " must be >= 0"));
    case WarmupConfig::kEpochs:
      if (config.epochs() >= 0 && std::isfinite(config.epochs())) {
        return std::llround(config.epochs() * steps_per_epoch);
      }
      return absl::InvalidArgumentError(
          absl::StrCat("schedule.warmup.epochs: ", config.epochs(), " must be >= 0 and finite"));
    case WarmupConfig::LENGTH_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("schedule.warmup: set steps or epochs");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Schedule>> CreateSchedule(const ScheduleConfig& config,
                                                         const ScheduleContext& context) {
  CHECK_GT(context.total_steps, 0);
  CHECK_GT(context.steps_per_epoch, 0);
  if (!config.has_warmup()) return ScheduleRegistry::Get().Create(config, context);

  const WarmupConfig& warmup = config.warmup();
  if (!(warmup.initial_multiplier() >= 0 && warmup.initial_multiplier() <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "schedule.warmup.initial_multiplier: ", warmup.initial_multiplier(), " must be in [0, 1]"));
  }
  if (warmup.shape() == WarmupConfig::EXPONENTIAL && warmup.initial_multiplier() == 0) {
    return absl::InvalidArgumentError(
        "schedule.warmup.initial_multiplier: 0 must be > 0 with shape: EXPONENTIAL");
  }
  ScheduleContext with_warmup = context;
  SSD_ASSIGN_OR_RETURN(with_warmup.warmup_steps, WarmupSteps(warmup, context.steps_per_epoch));
  SSD_ASSIGN_OR_RETURN(std::unique_ptr<Schedule> schedule,
                       ScheduleRegistry::Get().Create(config, with_warmup));
  return std::make_unique<WarmedUpSchedule>(std::move(schedule), with_warmup.warmup_steps, warmup);
}

}  // namespace ssd
