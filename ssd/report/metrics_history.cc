#include "ssd/report/metrics_history.h"

#include <rapidjson/document.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

const ChartSeries* FindIn(const std::vector<ChartSeries>& series, const std::string& name) {
  for (const ChartSeries& one : series) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

// nullopt if there is none.
std::optional<double> MeanOf(const ChartSeries* series) {
  if (series == nullptr || series->y.empty()) return std::nullopt;
  return std::accumulate(series->y.begin(), series->y.end(), 0.0) /
         static_cast<double>(series->y.size());
}

// Series by name, as they come.
class SeriesCollector {
 public:
  explicit SeriesCollector(std::vector<ChartSeries>& series) : series_(series) {}

  void Add(const std::string& name, double x, double y) {
    const auto [found, added] = place_.emplace(name, series_.size());
    if (added) series_.push_back({name, {}, {}});
    ChartSeries& series = series_[found->second];
    series.x.push_back(x);
    series.y.push_back(y);
  }

 private:
  std::vector<ChartSeries>& series_;
  std::map<std::string, size_t> place_;
};

}  // namespace

const ChartSeries* MetricsHistory::Find(const std::string& name) const {
  return FindIn(series, name);
}

absl::StatusOr<MetricsHistory> ReadMetricsHistory(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  MetricsHistory history;
  SeriesCollector numbers(history.series), timing(history.timing);
  int64_t number = 0;
  for (size_t begin = 0; begin < content.size();) {
    ++number;
    const size_t newline = content.find('\n', begin);
    if (newline == std::string::npos) break;  // still being written
    rapidjson::Document line;
    line.Parse<rapidjson::kParseFullPrecisionFlag>(content.data() + begin, newline - begin);
    begin = newline + 1;
    if (line.HasParseError() || !line.IsObject() || !line.HasMember("step") ||
        !line["step"].IsNumber()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", number, ": not a JSON object with a \"step\""));
    }
    const double step = line["step"].GetDouble();
    const bool is_evaluation = line.HasMember("best");
    if (is_evaluation && line["best"].IsTrue()) history.best_step = std::llround(step);
    for (const auto& member : line.GetObject()) {
      const std::string name(member.name.GetString(), member.name.GetStringLength());
      if (name == "timing" && member.value.IsObject()) {
        for (const auto& clock : member.value.GetObject()) {
          if (!clock.value.IsNumber()) continue;
          timing.Add(absl::StrCat(is_evaluation ? "validation." : "train.", clock.name.GetString()),
                     step, clock.value.GetDouble());
        }
      }
      if (name == "step" || name == "epoch" || !member.value.IsNumber()) continue;
      numbers.Add(name, step, member.value.GetDouble());
    }
  }
  return history;
}

std::vector<Chart> TrainingCharts(const MetricsHistory& history,
                                  const ChartSeries& planned_learning_rate) {
  std::vector<Chart> charts;
  Chart loss{"Training loss", "step", "loss", {}, {}, {}, {}, {}};
  for (const auto& [name, shown] :
       {std::pair("train.loss", "total"), std::pair("train.classification_loss", "classification"),
        std::pair("train.localization_loss", "localization")}) {
    const ChartSeries* series = history.Find(name);
    if (series != nullptr) loss.series.push_back({shown, series->x, series->y});
  }
  if (!loss.series.empty()) charts.push_back(loss);

  Chart validation{"Validation", "step", "average precision", {}, {}, {}, {}, {}};
  validation.y_min = 0;
  for (const ChartSeries& series : history.series) {
    if (!absl::StartsWith(series.name, "validation.") || validation.series.size() == 3) continue;
    validation.series.push_back(
        {std::string(absl::StripPrefix(series.name, "validation.")), series.x, series.y});
    for (const double value : series.y) {
      if (value > 0.5) validation.y_max = 1;  // else the curves would lie flat
    }
  }
  if (!validation.series.empty()) charts.push_back(validation);

  Chart rate{"Learning rate", "step", "learning rate", {}, {}, {}, {}, {}};
  if (const ChartSeries* logged = history.Find("train.learning_rate"); logged != nullptr) {
    rate.series.push_back({"logged", logged->x, logged->y});
  }
  if (!planned_learning_rate.x.empty()) {
    rate.series.push_back({"planned", planned_learning_rate.x, planned_learning_rate.y});
    // All of it, however short the time at the highest rate.
    const std::vector<double>& y = planned_learning_rate.y;
    rate.y_max = 1.05 * *std::max_element(y.begin(), y.end());
  }
  if (!rate.series.empty()) charts.push_back(rate);
  return charts;
}

TimingSummary SummarizeTiming(const MetricsHistory& history) {
  TimingSummary summary;
  if (const ChartSeries* seconds = FindIn(history.timing, "validation.seconds");
      seconds != nullptr) {
    summary.evaluations = static_cast<int64_t>(seconds->y.size());
    summary.evaluation_seconds = std::accumulate(seconds->y.begin(), seconds->y.end(), 0.0);
  }
  summary.decode_seconds = MeanOf(FindIn(history.timing, "train.decode_seconds"));
  summary.transform_seconds = MeanOf(FindIn(history.timing, "train.transform_seconds"));
  summary.queue_depth = MeanOf(FindIn(history.timing, "train.queue_depth"));
  summary.cache_hit_rate = MeanOf(FindIn(history.timing, "train.cache_hit_rate"));
  const ChartSeries* rate = FindIn(history.timing, "train.images_per_second");
  const ChartSeries* wait = FindIn(history.timing, "train.data_wait_share");
  if (rate == nullptr) return summary;
  // Steps are of equally many images, so the time of a logging step goes with its steps by its
  // rate.
  double steps = 0, time = 0, waited = 0, before = 0;
  for (size_t i = 0; i < rate->x.size(); ++i) {
    const double of_this = rate->x[i] - before;
    before = rate->x[i];
    if (!(rate->y[i] > 0)) continue;
    steps += of_this;
    time += of_this / rate->y[i];
    if (wait != nullptr && i < wait->y.size()) waited += wait->y[i] * of_this / rate->y[i];
  }
  if (!(time > 0)) return summary;
  summary.images_per_second = steps / time;
  if (wait != nullptr) summary.data_wait_share = waited / time;
  return summary;
}

}  // namespace ssd
