#ifndef EXPERIMENTS_CHECK_CHECK_TEXT_H_
#define EXPERIMENTS_CHECK_CHECK_TEXT_H_

#include <string>

#include "experiments/check/check_report.h"

namespace ssd {

// The report for a terminal: of each kind of problem the first few; the rest is in the others.
std::string CheckText(const CheckReport& report);

}  // namespace ssd

#endif  // EXPERIMENTS_CHECK_CHECK_TEXT_H_
