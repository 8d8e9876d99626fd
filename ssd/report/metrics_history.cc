#include "ssd/report/metrics_history.h"

#include <rapidjson/document.h>

#include <cmath>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {

const ChartSeries* MetricsHistory::Find(const std::string& name) const {
  for (const ChartSeries& one : series) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

absl::StatusOr<MetricsHistory> ReadMetricsHistory(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  MetricsHistory history;
  std::map<std::string, size_t> place;
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
    for (const auto& member : line.GetObject()) {
      const std::string name(member.name.GetString(), member.name.GetStringLength());
      if (name == "step" || name == "epoch" || !member.value.IsNumber()) continue;
      const auto [found, added] = place.emplace(name, history.series.size());
      if (added) history.series.push_back({name, {}, {}});
      ChartSeries& series = history.series[found->second];
      series.x.push_back(line["step"].GetDouble());
      series.y.push_back(member.value.GetDouble());
    }
  }
  return history;
}

std::vector<Chart> TrainingCharts(const MetricsHistory& history) {
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

  if (const ChartSeries* rate = history.Find("train.learning_rate"); rate != nullptr) {
    charts.push_back({"Learning rate",
                      "step",
                      "learning rate",
                      {{"learning rate", rate->x, rate->y}},
                      {},
                      {},
                      {},
                      {}});
  }
  return charts;
}

}  // namespace ssd
