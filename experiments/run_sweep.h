#ifndef EXPERIMENTS_RUN_SWEEP_H_
#define EXPERIMENTS_RUN_SWEEP_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "experiments/load_sweep.h"
#include "ssd/report/sweep_table.h"

namespace ssd {

struct SweepOptions {
  // Gets one run folder a point, table.txt, table.md and table.html; empty: <working_directory>/
  // runs/<name of the sweep>, or the next number.
  std::string output;
  // Goes on: points that are done stay, the others are resumed or started. Time limits may change.
  bool resume = false;
  // Points that train at the same time, each with its share of the threads.
  int64_t jobs = 1;
  std::string device = "auto";
  int64_t threads = 0;  // of all jobs together; 0: all cores
  std::string working_directory;
  // The command that trains one point, to which --config=F --output=DIR --device=D --threads=N and
  // perhaps --resume are added: each point has a process to itself, so that it gives the bits it
  // would give alone, and one that dies does not end the others' work.
  std::vector<std::string> command;
  // Not null: a value other than 0 (a signal's number) is passed on to the points in training, and
  // nothing more is started.
  const std::atomic<int>* stop = nullptr;
};

struct SweepOutcome {
  std::string folder;
  SweepResults results;  // of the points that are done
  // "NAME: reason" of each point that ended and is not done: it failed, or its time limit came.
  std::vector<std::string> unfinished;
  bool stopped = false;
};

// Trains every point of `sweep` that is not done yet and tabulates what is. First opens every
// dataset and makes every loader, evaluator and network, weights loaded; nothing is written before.
// AUTO and AUTO_FORMAT are measured once, on the first point that leaves them open, and hold for
// all points. \error AlreadyExists if the output exists and resume is false; FailedPrecondition
// naming point and field if a point was started with another config; what opening the points' parts
// says, naming the point; as FileError; InvalidArgument for jobs < 1. A point that fails is no
// error of the sweep: the others go on.
absl::StatusOr<SweepOutcome> RunSweep(const LoadedSweep& sweep, const SweepOptions& options);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_SWEEP_H_
