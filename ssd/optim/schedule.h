#ifndef SSD_OPTIM_SCHEDULE_H_
#define SSD_OPTIM_SCHEDULE_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "ssd/core/registry.h"
#include "ssd/optim/schedule.pb.h"

namespace ssd {

struct ScheduleContext {
  int64_t total_steps = 0;     // of the whole run; > 0
  double steps_per_epoch = 0;  // > 0
  // Length of the warm-up that is multiplied in; CreateSchedule sets it from the config. Curves
  // over the whole run (cosine, polynomial) start after it and are 1 before.
  int64_t warmup_steps = 0;
};

// A multiplier of the learning rate as a pure function of the step, so that resuming is exact.
// Does not apply the warm-up, which CreateSchedule multiplies in: a curve over the whole run starts
// at context.warmup_steps, one whose options count steps or epochs counts them from step 0.
class Schedule {
 public:
  virtual ~Schedule() = default;

  // In [0, 1]. step: >= 0, 0 for the first optimizer step; also asked beyond the run's last.
  virtual double Multiplier(int64_t step) const = 0;
};

using ScheduleRegistry = Registry<Schedule, ScheduleContext>;

// The schedule of `config` with its warm-up, if any, multiplied in.
// \error as the registry's, fields from the experiment's root:
// "schedule.cosine.final_multiplier: 2 must be in [0, 1]".
absl::StatusOr<std::unique_ptr<Schedule>> CreateSchedule(const ScheduleConfig& config,
                                                         const ScheduleContext& context);

}  // namespace ssd

#define SSD_REGISTER_SCHEDULE(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::Schedule, ::ssd::ScheduleContext, Options, Component)

#endif  // SSD_OPTIM_SCHEDULE_H_
