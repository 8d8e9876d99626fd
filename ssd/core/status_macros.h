#ifndef SSD_CORE_STATUS_MACROS_H_
#define SSD_CORE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the calling function when `expression`, an absl::Status, is an error.
#define SSD_RETURN_IF_ERROR(expression)        \
  do {                                         \
    absl::Status ssd_status_ = (expression);   \
    if (!ssd_status_.ok()) return ssd_status_; \
  } while (false)

// Declares or assigns `target` from an absl::StatusOr, or returns its error from the calling
// function. A target with a comma in its type needs parentheses of its own or `auto`.
#define SSD_ASSIGN_OR_RETURN(target, expression) \
  SSD_ASSIGN_OR_RETURN_IMPL_(SSD_STATUS_CONCAT_(ssd_statusor_, __LINE__), target, expression)

#define SSD_STATUS_CONCAT_INNER_(a, b) a##b
#define SSD_STATUS_CONCAT_(a, b) SSD_STATUS_CONCAT_INNER_(a, b)
#define SSD_ASSIGN_OR_RETURN_IMPL_(statusor, target, expression) \
  auto statusor = (expression);                                  \
  if (!statusor.ok()) return std::move(statusor).status();       \
  target = *std::move(statusor)

#endif  // SSD_CORE_STATUS_MACROS_H_
