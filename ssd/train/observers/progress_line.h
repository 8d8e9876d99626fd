#ifndef SSD_TRAIN_OBSERVERS_PROGRESS_LINE_H_
#define SSD_TRAIN_OBSERVERS_PROGRESS_LINE_H_

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "ssd/train/observer.h"

namespace ssd {

// Shows how far a run is:
//   epoch 2.5/20  step 500/4000  loss 3.211 (class 2.104, box 1.107)  lr 0.001  218 img/s  data 3%
//   1:02:03 left
// on one line. On a terminal the line is rewritten in place, shortened to its width; elsewhere
// every logging step gets a line. Evaluations always get a line of their own.
//
// Log messages that come between do no harm: the line ends with a newline, and is only written over
// while nothing was logged after it.
class ProgressLine final : public TrainingObserver {
 public:
  struct Options {
    bool terminal = false;
    // Columns of the terminal, asked for each time: it may be resized.
    std::function<int()> columns = [] { return 80; };
  };

  // `out` must outlive it.
  ProgressLine(std::ostream& out, Options options);
  ~ProgressLine() override;

  // Onto stderr, as it is.
  static std::unique_ptr<ProgressLine> OnStderr();

  void OnStep(const StepRecord& record) override;
  void OnEvaluation(const EvaluationRecord& record) override;
  void OnEnd(const std::string& status) override;

 private:
  class LogListener;

  std::ostream& out_;
  Options options_;
  std::unique_ptr<LogListener> listener_;
  bool rewritable_ = false;  // the last line of `out_` is a step's
};

}  // namespace ssd

#endif  // SSD_TRAIN_OBSERVERS_PROGRESS_LINE_H_
