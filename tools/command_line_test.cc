#include "tools/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iostream>
#include <streambuf>

namespace ssd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CommandLineTest : public testing::Test {
 protected:
  CommandLineTest() {
    command_line_.Group("Experiment");
    command_line_.Add("config", &config_, "F", "Experiment file.");
    command_line_.Group("Machine");
    command_line_.Add("threads", &threads_, "N", "Threads; 0: all cores.");
    command_line_.Add("rate", &rate_, "R", "A rate.");
    command_line_.Add("json", &json_, "Print JSON.");
  }

  absl::Status Parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "train");
    return command_line_.Parse(static_cast<int>(arguments.size()), arguments.data(), &positional_);
  }

  std::string config_;
  int64_t threads_ = 0;
  double rate_ = 0.5;
  bool json_ = false;
  std::vector<std::string> positional_;
  CommandLine command_line_{"train", "--config=F", "Trains."};
};

TEST_F(CommandLineTest, ParsesEveryForm) {
  ASSERT_TRUE(Parse({"--config=a b", "x.y=1", "--threads", "-3", "--json", "--", "--z"}).ok());
  EXPECT_EQ(config_, "a b");
  EXPECT_EQ(threads_, -3);
  EXPECT_TRUE(json_);
  EXPECT_THAT(positional_, ElementsAre("x.y=1", "--z"));
  ASSERT_TRUE(Parse({"--nojson", "--rate=1e-3"}).ok());
  EXPECT_FALSE(json_);
  EXPECT_EQ(rate_, 1e-3);
}

TEST_F(CommandLineTest, NamesTheFlagThatWasMeant) {
  EXPECT_THAT(std::string(Parse({"--confg=x"}).message()), HasSubstr("did you mean --config?"));
  EXPECT_THAT(std::string(Parse({"--whatever"}).message()), HasSubstr("--help"));
}

TEST_F(CommandLineTest, RefusesValuesOfAnotherType) {
  EXPECT_THAT(std::string(Parse({"--threads=two"}).message()),
              HasSubstr("--threads='two' is not a whole number"));
  EXPECT_THAT(std::string(Parse({"--json=maybe"}).message()), HasSubstr("true or false"));
  EXPECT_THAT(std::string(Parse({"--threads"}).message()), HasSubstr("--threads=N"));
}

TEST_F(CommandLineTest, RefusesWhatHasNoEffect) {
  ASSERT_TRUE(Parse({"--threads=0", "--nojson"}).ok());
  EXPECT_TRUE(command_line_.RefuseGiven({"rate", "config"}, "with --x").ok());
  // Given with its default is given.
  EXPECT_EQ(std::string(command_line_.RefuseGiven({"rate", "threads"}, "with --x").message()),
            "--threads has no effect with --x; leave it out");
  EXPECT_EQ(command_line_.RefuseGiven({"json"}, "with --x").code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(CommandLineTest, HelpIsGroupedAndShowsDefaults) {
  ASSERT_TRUE(Parse({"--help"}).ok());
  EXPECT_TRUE(command_line_.help_requested());
  EXPECT_THAT(command_line_.Help(), HasSubstr("Experiment:\n  --config=F"));
  EXPECT_THAT(command_line_.Help(), HasSubstr("Default: 0.5."));
}

TEST(ExitStatus, TellsWrongInputFromFailedWork) {
  EXPECT_EQ(ExitStatus(absl::OkStatus()), 0);
  EXPECT_EQ(ExitStatus(absl::InvalidArgumentError("x")), 2);
  EXPECT_EQ(ExitStatus(absl::DataLossError("x")), 2);
  EXPECT_EQ(ExitStatus(absl::InternalError("x")), 1);
  EXPECT_EQ(ExitStatus(absl::ResourceExhaustedError("x")), 1);
}

// stdout of a full disk.
TEST(RunCommand, ResultsThatCannotBeWrittenAreAnError) {
  testing::internal::CaptureStderr();
  std::ofstream full("/dev/full");
  ASSERT_TRUE(full.is_open());
  std::streambuf* const before = std::cout.rdbuf(full.rdbuf());
  CommandLine command_line("say", "", "Says.");
  static char name[] = "say";  // glog keeps it
  char* arguments[] = {name, nullptr};
  const int status = RunCommand(command_line, 1, arguments, [](const std::vector<std::string>&) {
    std::cout << "the result";
    return 0;
  });
  std::cout.rdbuf(before);  // and forgets the failure
  EXPECT_EQ(status, 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "error: cannot write to stdout: No space left on device\n");
}

}  // namespace
}  // namespace ssd
