#ifndef EXPERIMENTS_CHECK_CHECK_PAGE_H_
#define EXPERIMENTS_CHECK_CHECK_PAGE_H_

#include <string>

#include "experiments/check/check_report.h"

namespace ssd {

// check.html: the report as one page (HtmlPage). Of each kind of problem it shows the first
// hundred. The same report gives the same bytes.
std::string CheckPage(const CheckReport& report);

}  // namespace ssd

#endif  // EXPERIMENTS_CHECK_CHECK_PAGE_H_
