#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/optim/schedule.h"

namespace ssd {
namespace {

// Falls by a factor at each milestone: `schedule { multi_step { milestone_epoch: [80, 110] } }`.
//
// The multiplier is gamma to the power of the milestones reached; step s has reached a milestone m
// when s >= m, as torch.optim.lr_scheduler.MultiStepLR and TensorFlow's manual stepping have it.
class MultiStepSchedule final : public Schedule {
 public:
  static absl::StatusOr<std::unique_ptr<Schedule>> Create(const MultiStepOptions& options,
                                                          const ScheduleContext& context) {
    if (options.milestone_epoch().empty() == options.milestone_step().empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("schedule.multi_step: set either milestone_epoch or milestone_step",
                       options.milestone_epoch().empty() ? "; neither is set" : "; both are set"));
    }
    if (!(options.gamma() > 0 && options.gamma() <= 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("schedule.multi_step.gamma: ", options.gamma(), " must be in (0, 1]"));
    }
    // As written: one of the two is empty.
    std::vector<double> milestones(options.milestone_epoch().begin(),
                                   options.milestone_epoch().end());
    milestones.insert(milestones.end(), options.milestone_step().begin(),
                      options.milestone_step().end());
    double previous = 0;
    for (const double milestone : milestones) {
      if (!(milestone > previous) || !std::isfinite(milestone)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "schedule.multi_step.",
            options.milestone_epoch().empty() ? "milestone_step" : "milestone_epoch", ": ",
            milestone, " after ", previous, "; milestones must be > 0 and strictly increasing"));
      }
      previous = milestone;
    }
    if (options.milestone_step().empty()) {
      for (double& milestone : milestones) milestone *= context.steps_per_epoch;
    }
    return std::make_unique<MultiStepSchedule>(std::move(milestones), options.gamma());
  }

  MultiStepSchedule(std::vector<double> milestones, double gamma)
      : milestones_(std::move(milestones)), gamma_(gamma) {}

  double Multiplier(int64_t step) const override {
    double multiplier = 1;
    for (const double milestone : milestones_) {
      // A whole number of epochs is a whole number of steps, up to rounding.
      if (static_cast<double>(step) >= milestone - 1e-6) multiplier *= gamma_;
    }
    return multiplier;
  }

 private:
  std::vector<double> milestones_;  // steps, increasing
  double gamma_;
};

SSD_REGISTER_SCHEDULE(MultiStepOptions, MultiStepSchedule);

}  // namespace
}  // namespace ssd
