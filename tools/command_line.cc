#include "tools/command_line.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iostream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ssd/core/exception_status.h"
#include "ssd/core/logging.h"
#include "ssd/core/text_proto.h"

namespace ssd {
namespace {

constexpr size_t kHelpColumn = 28;
constexpr size_t kHelpWidth = 100;

// The exit status of a command that ends with `status`, once what it printed has left the program:
// a disk may be full, or whoever read it gone.
int WithOutputWritten(int status) {
  errno = 0;
  std::cout.flush();
  if (!std::cout.fail() && std::ferror(stdout) == 0) return status;
  std::cerr << "error: cannot write to stdout";
  if (errno != 0) std::cerr << ": " << std::strerror(errno);
  std::cerr << std::endl;
  return status == 0 ? 1 : status;
}

// `text` in lines of at most kHelpWidth, each but the first indented to kHelpColumn.
std::string Wrapped(const std::string& text) {
  std::string result;
  size_t column = kHelpColumn;
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (column + word.size() + 1 > kHelpWidth) {
      absl::StrAppend(&result, "\n", std::string(kHelpColumn, ' '));
      column = kHelpColumn;
    } else if (!result.empty()) {
      absl::StrAppend(&result, " ");
      ++column;
    }
    absl::StrAppend(&result, word);
    column += word.size();
  }
  return result;
}

}  // namespace

CommandLine::CommandLine(std::string name, std::string usage, std::string description)
    : name_(std::move(name)), usage_(std::move(usage)), description_(std::move(description)) {}

void CommandLine::Group(std::string title) { group_ = std::move(title); }

void CommandLine::Declare(Flag flag) {
  CHECK(Find(flag.name) == nullptr) << "flag --" << flag.name << " is declared twice";
  flag.group = group_;
  flags_.push_back(std::move(flag));
}

const CommandLine::Flag* CommandLine::Find(const std::string& name) const {
  for (const Flag& flag : flags_) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

void CommandLine::Add(std::string name, std::string* value, std::string placeholder,
                      std::string help) {
  Flag flag;
  flag.name = std::move(name);
  flag.placeholder = std::move(placeholder);
  flag.help = std::move(help);
  flag.shown_default = *value;
  flag.parse = [value](const std::string& text) {
    *value = text;
    return true;
  };
  Declare(std::move(flag));
}

void CommandLine::Add(std::string name, int64_t* value, std::string placeholder, std::string help) {
  Flag flag;
  flag.name = std::move(name);
  flag.placeholder = std::move(placeholder);
  flag.help = std::move(help);
  flag.shown_default = absl::StrCat(*value);
  flag.expected = "a whole number";
  flag.parse = [value](const std::string& text) { return absl::SimpleAtoi(text, value); };
  Declare(std::move(flag));
}

void CommandLine::Add(std::string name, double* value, std::string placeholder, std::string help) {
  Flag flag;
  flag.name = std::move(name);
  flag.placeholder = std::move(placeholder);
  flag.help = std::move(help);
  flag.shown_default = absl::StrCat(*value);
  flag.expected = "a number";
  flag.parse = [value](const std::string& text) { return absl::SimpleAtod(text, value); };
  Declare(std::move(flag));
}

void CommandLine::Add(std::string name, bool* value, std::string help) {
  Flag flag;
  flag.name = std::move(name);
  flag.help = std::move(help);
  flag.shown_default = *value ? "true" : "false";
  flag.is_boolean = true;
  flag.expected = "true or false";
  flag.parse = [value](const std::string& text) { return absl::SimpleAtob(text, value); };
  Declare(std::move(flag));
}

absl::Status CommandLine::Parse(int argc, const char* const* argv,
                                std::vector<std::string>* positional) {
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    if (argument == "--") {
      positional->insert(positional->end(), argv + i + 1, argv + argc);
      break;
    }
    if (argument.size() < 2 || argument[0] != '-') {
      positional->push_back(std::move(argument));
      continue;
    }
    const std::string body = argument.substr(argument[1] == '-' ? 2 : 1);
    const size_t equals = body.find('=');
    const std::string name = body.substr(0, equals);
    if (name == "help" || name == "h") {
      help_requested_ = true;
      continue;
    }
    const Flag* flag = Find(name);
    std::string value;
    if (flag == nullptr && equals == std::string::npos && name.compare(0, 2, "no") == 0 &&
        Find(name.substr(2)) != nullptr && Find(name.substr(2))->is_boolean) {
      flag = Find(name.substr(2));
      value = "false";
    } else if (flag == nullptr) {
      std::vector<std::string> names;
      for (const Flag& known : flags_) names.push_back(known.name);
      const std::string nearest = NearestName(name, names);
      return absl::InvalidArgumentError(
          absl::StrCat("unknown flag --", name, " of '", name_, "'; ",
                       nearest.empty() ? std::string("--help lists the flags")
                                       : absl::StrCat("did you mean --", nearest, "?")));
    } else if (equals != std::string::npos) {
      value = body.substr(equals + 1);
    } else if (flag->is_boolean) {
      value = "true";
    } else if (i + 1 < argc) {
      value = argv[++i];
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("flag --", name, " needs a value: --", name, "=", flag->placeholder));
    }
    if (!flag->parse(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("flag --", name, "='", value, "' is not ", flag->expected));
    }
    given_.insert(flag->name);
  }
  return absl::OkStatus();
}

absl::Status CommandLine::RefuseGiven(const std::vector<std::string>& flags,
                                      const std::string& when) const {
  for (const std::string& flag : flags) {
    if (given_.count(flag) == 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, " has no effect ", when, "; leave it out"));
  }
  return absl::OkStatus();
}

std::string CommandLine::Help() const {
  std::string text =
      absl::StrCat(description_, "\n\nUsage: ", name_, usage_.empty() ? "" : " ", usage_, "\n");
  std::string group;
  for (const Flag& flag : flags_) {
    if (flag.group != group) {
      group = flag.group;
      absl::StrAppend(&text, "\n", group, ":\n");
    }
    std::string left = absl::StrCat("  --", flag.name);
    if (!flag.is_boolean) absl::StrAppend(&left, "=", flag.placeholder);
    left.resize(std::max(left.size() + 1, kHelpColumn), ' ');
    if (left.size() > kHelpColumn) absl::StrAppend(&left, "\n", std::string(kHelpColumn, ' '));
    std::string help = flag.help;
    if (!flag.shown_default.empty() && flag.shown_default != "false") {
      absl::StrAppend(&help, " Default: ", flag.shown_default, ".");
    }
    absl::StrAppend(&text, left, Wrapped(help), "\n");
  }
  return text;
}

int ExitStatus(const absl::Status& status) {
  if (status.ok()) return 0;
  std::cerr << "error: " << status.message() << std::endl;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnimplemented:
      return 2;
    default:
      return 1;
  }
}

int RunCommand(CommandLine& command_line, int argc, char** argv,
               const std::function<int(const std::vector<std::string>& positional)>& run) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  std::vector<std::string> positional;
  if (absl::Status status = command_line.Parse(argc, argv, &positional); !status.ok()) {
    return ExitStatus(status);
  }
  if (command_line.help_requested()) {
    std::cout << command_line.Help();
    return WithOutputWritten(0);
  }
  try {
    return WithOutputWritten(run(positional));
  } catch (const std::exception& error) {
    return ExitStatus(ExceptionStatus(error));
  }
}

std::string WorkingDirectory() {
  const char* bazel = std::getenv("BUILD_WORKING_DIRECTORY");
  return bazel != nullptr ? std::string(bazel) : std::filesystem::current_path().string();
}

std::string UserPath(const std::string& path) {
  if (path.empty()) return path;
  return (std::filesystem::path(WorkingDirectory()) / path).lexically_normal().string();
}

}  // namespace ssd
