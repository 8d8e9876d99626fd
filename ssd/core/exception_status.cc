#include "ssd/core/exception_status.h"

#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"

namespace ssd {

absl::Status ExceptionStatus(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    return absl::ResourceExhaustedError("out of memory");
  }
  const auto* const torch_error = dynamic_cast<const c10::Error*>(&error);
  std::string line = absl::StrReplaceAll(
      torch_error != nullptr ? torch_error->what_without_backtrace() : error.what(),
      {{"\n", " "}, {"\r", " "}});
  absl::RemoveExtraAsciiWhitespace(&line);
  return absl::InternalError(line);
}

}  // namespace ssd
