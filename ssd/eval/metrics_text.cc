#include "ssd/eval/metrics_text.h"

#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <cmath>

#include "absl/strings/str_format.h"
#include "ssd/eval/text_table.h"

namespace ssd {
namespace {

using Writer = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

void WriteNumber(const std::optional<double>& value, Writer& writer) {
  if (value.has_value() && std::isfinite(*value)) {
    writer.Double(*value);
  } else {
    writer.Null();
  }
}

void WriteList(const MetricList& list, Writer& writer) {
  for (const auto& [name, value] : list) {
    writer.Key(name.c_str());
    WriteNumber(value, writer);
  }
}

}  // namespace

MetricsFacts FactsOf(int64_t images, const std::vector<ImageDetections>& detections) {
  MetricsFacts facts;
  facts.images = images;
  int64_t found = 0;
  for (const ImageDetections& image : detections) {
    found += static_cast<int64_t>(image.detections.size());
  }
  facts.detections = found;
  return facts;
}

std::string MetricsJson(const Metrics& metrics, const MetricsFacts& facts) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  writer.SetIndent(' ', 2);
  writer.StartObject();
  writer.Key("metrics");
  writer.StartObject();
  WriteList(metrics.values, writer);
  writer.EndObject();
  if (!facts.intervals.empty()) {
    writer.Key("intervals");
    writer.StartObject();
    for (const ConfidenceInterval& interval : facts.intervals) {
      writer.Key(interval.metric.c_str());
      writer.StartArray();
      WriteNumber(interval.low, writer);
      WriteNumber(interval.high, writer);
      writer.EndArray();
    }
    writer.EndObject();
  }
  writer.Key("per_class");
  writer.StartArray();
  for (const ClassMetrics& of_class : metrics.per_class) {
    writer.StartObject();
    writer.Key("id");
    writer.Int64(of_class.source_id);
    writer.Key("name");
    writer.String(of_class.name.c_str());
    WriteList(of_class.values, writer);
    writer.EndObject();
  }
  writer.EndArray();
  if (facts.images.has_value()) {
    writer.Key("images");
    writer.Int64(*facts.images);
  }
  if (facts.detections.has_value()) {
    writer.Key("detections");
    writer.Int64(*facts.detections);
  }
  if (facts.seconds.has_value()) {
    writer.Key("seconds");
    WriteNumber(facts.seconds, writer);
  }
  writer.EndObject();
  return std::string(buffer.GetString()) + "\n";
}

std::string MetricText(const std::optional<double>& value, int digits) {
  if (!value.has_value()) return "n/a";
  return absl::StrFormat("%.*f", digits, *value);
}

std::string MetricsTable(const Metrics& metrics, const MetricsFacts& facts) {
  constexpr TextTable::Align kLeft = TextTable::Align::kLeft, kRight = TextTable::Align::kRight;
  const bool intervals = !facts.intervals.empty();
  TextTable whole(intervals ? std::vector<TextTable::Align>{kLeft, kRight, kLeft}
                            : std::vector<TextTable::Align>{kLeft, kRight});
  whole.AddRow(intervals
                   ? std::vector<std::string>{"metric", "value",
                                              absl::StrFormat("%g%% interval",
                                                              100 * facts.intervals[0].confidence)}
                   : std::vector<std::string>{"metric", "value"});
  for (size_t i = 0; i < metrics.values.size(); ++i) {
    std::vector<std::string> row = {metrics.values[i].first,
                                    MetricText(metrics.values[i].second, 4)};
    if (intervals) {
      const bool known = i < facts.intervals.size() && facts.intervals[i].low.has_value();
      row.push_back(
          known ? absl::StrFormat("%.4f - %.4f", *facts.intervals[i].low, *facts.intervals[i].high)
                : "n/a");
    }
    whole.AddRow(std::move(row));
  }
  std::string text = whole.Render();

  if (!metrics.per_class.empty()) {
    std::vector<TextTable::Align> columns = {kLeft};
    std::vector<std::string> heads = {"class"};
    for (const auto& [name, value] : metrics.per_class[0].values) {
      columns.push_back(kRight);
      heads.push_back(name);
    }
    TextTable classes(columns);
    classes.AddRow(heads);
    for (const ClassMetrics& of_class : metrics.per_class) {
      std::vector<std::string> row = {of_class.name};
      for (const auto& [name, value] : of_class.values) row.push_back(MetricText(value));
      classes.AddRow(std::move(row));
    }
    text += "\n" + classes.Render();
  }

  std::string facts_line;
  if (facts.images.has_value()) absl::StrAppendFormat(&facts_line, "%d images", *facts.images);
  if (facts.detections.has_value()) {
    absl::StrAppendFormat(&facts_line, "%s%d detections", facts_line.empty() ? "" : ", ",
                          *facts.detections);
  }
  if (facts.seconds.has_value()) {
    absl::StrAppendFormat(&facts_line, "%s%.1f s", facts_line.empty() ? "" : ", ", *facts.seconds);
  }
  if (!facts_line.empty()) text += "\n" + facts_line + "\n";
  return text;
}

}  // namespace ssd
