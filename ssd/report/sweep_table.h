#ifndef SSD_REPORT_SWEEP_TABLE_H_
#define SSD_REPORT_SWEEP_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ssd/eval/evaluator.h"

namespace ssd {

// One combination of the axes' points.
struct SweepPointResult {
  std::vector<std::string> labels;    // one an axis
  std::optional<int64_t> parameters;  // of the model
  std::vector<MetricList> runs;       // of the seeds that are done
};

// A published figure, shown beside the points; metrics not given are blank.
struct SweepReference {
  std::string label;
  MetricList values;
  std::string source;
};

struct SweepResults {
  std::string name;
  std::vector<std::string> axes;
  int64_t seeds = 1;  // runs a point has when the sweep is done
  std::vector<SweepPointResult> points;
  std::vector<SweepReference> references;
  // Columns; those that no run has are left out. If that is all of them, the runs' own first three.
  std::vector<std::string> metrics = {"AP", "AP50", "AP75"};
};

struct MeanAndDeviation {
  std::optional<double> mean;       // nullopt: of nothing
  std::optional<double> deviation;  // of the sample (n - 1); nullopt below two values
  int64_t count = 0;
};

// Over the values that exist.
MeanAndDeviation Summarize(const std::vector<std::optional<double>>& values);

// The results as a table: a row a point (axes, number of runs, mean and standard deviation over the
// seeds, parameters), then the references. The same results give the same bytes, whatever
// interruptions the sweep had.
std::string SweepTableText(const SweepResults& results);
std::string SweepTableMarkdown(const SweepResults& results);
// A whole page; the best mean of each column is bold.
std::string SweepTableHtml(const SweepResults& results);

}  // namespace ssd

#endif  // SSD_REPORT_SWEEP_TABLE_H_
