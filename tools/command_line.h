#ifndef TOOLS_COMMAND_LINE_H_
#define TOOLS_COMMAND_LINE_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace ssd {

// The flags of one command: parses them, prints grouped help, and refuses typos by naming the flag
// that was meant. Flags are --name=value or --name value, booleans --name, --name=false or
// --noname;
// "--" ends them. (Abseil's flags exit with status 1 and cannot group their help.)
class CommandLine {
 public:
  // usage: what follows the program's name, e.g. "--config=F [path.to.field=value ...]".
  CommandLine(std::string name, std::string usage, std::string description);

  // Starts a group of flags in the help.
  void Group(std::string title);

  // Declare flags. *value holds the default and receives the parsed value; placeholder names the
  // value and its unit in the help ("F", "N cores").
  void Add(std::string name, std::string* value, std::string placeholder, std::string help);
  void Add(std::string name, int64_t* value, std::string placeholder, std::string help);
  void Add(std::string name, double* value, std::string placeholder, std::string help);
  void Add(std::string name, bool* value, std::string help);

  // Fills the flags' values and returns the positional arguments.
  // \error InvalidArgument naming the flag, its value and what would be right.
  absl::Status Parse(int argc, const char* const* argv, std::vector<std::string>* positional);

  // \error InvalidArgument naming the first of `flags` that was given. `when` tells why it has no
  // effect: "with --trace".
  absl::Status RefuseGiven(const std::vector<std::string>& flags, const std::string& when) const;

  // --help was given.
  bool help_requested() const { return help_requested_; }
  std::string Help() const;

 private:
  struct Flag {
    std::string name, placeholder, help, shown_default, group;
    bool is_boolean = false;
    std::function<bool(const std::string& text)> parse;
    std::string expected;  // "a whole number"
  };
  void Declare(Flag flag);
  const Flag* Find(const std::string& name) const;

  std::string name_, usage_, description_, group_ = "Flags";
  std::vector<Flag> flags_;
  std::set<std::string> given_;
  bool help_requested_ = false;
};

// The exit status commands.md promises: 0 done, 1 the work failed, 2 the command, the config or an
// input file is wrong. Prints the error's one line to stderr.
int ExitStatus(const absl::Status& status);

// Runs a command: parses, prints help on --help, and calls `run` with the positional arguments.
// Exceptions that LibTorch and others throw become exit status 1 with one line, and so does a
// result that cannot be written to stdout.
int RunCommand(CommandLine& command_line, int argc, char** argv,
               const std::function<int(const std::vector<std::string>& positional)>& run);

// Where the user stands: the folder Bazel was called from under `bazel run`, else the current one.
std::string WorkingDirectory();

// `path` against WorkingDirectory(); empty stays empty.
std::string UserPath(const std::string& path);

}  // namespace ssd

#endif  // TOOLS_COMMAND_LINE_H_
