#ifndef SSD_REPORT_HTML_PAGE_H_
#define SSD_REPORT_HTML_PAGE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace ssd {

// `text` for the content of an element or a quoted attribute of HTML and XML: markup is escaped,
// bytes that are no UTF-8 become U+FFFD, control characters are dropped. Any script passes.
std::string EscapeHtml(absl::string_view text);

// A whole document around `body` (well-formed XML): one file that needs no network, and whose
// content security policy lets it use none; scripts cannot run either. Reads on narrow screens, in
// light and dark mode and on paper.
std::string HtmlPage(absl::string_view title, absl::string_view body);

}  // namespace ssd

#endif  // SSD_REPORT_HTML_PAGE_H_
