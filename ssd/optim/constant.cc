#include "ssd/optim/schedule.h"

namespace ssd {
namespace {

// The optimizer's learning rate throughout: `schedule { constant {} }`.
class ConstantSchedule final : public Schedule {
 public:
  static absl::StatusOr<std::unique_ptr<Schedule>> Create(const ConstantOptions& options,
                                                          const ScheduleContext& context) {
    return std::make_unique<ConstantSchedule>();
  }

  double Multiplier(int64_t step) const override { return 1; }
};

SSD_REGISTER_SCHEDULE(ConstantOptions, ConstantSchedule);

}  // namespace
}  // namespace ssd
