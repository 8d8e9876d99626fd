#include "ssd/report/sweep_table.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "ssd/core/logging.h"
#include "ssd/eval/metrics_text.h"
#include "ssd/eval/text_table.h"
#include "ssd/report/html_page.h"

namespace ssd {
namespace {

std::optional<double> Find(const MetricList& list, const std::string& name) {
  for (const auto& [key, value] : list) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::string Parameters(const std::optional<int64_t>& parameters) {
  if (!parameters.has_value()) return "";
  const double count = static_cast<double>(*parameters);
  if (count >= 1e6) return absl::StrFormat("%.2f M", count / 1e6);
  return absl::StrFormat("%.1f k", count / 1e3);
}

std::string Shown(const MeanAndDeviation& summary) {
  if (!summary.mean.has_value()) return "n/a";
  if (!summary.deviation.has_value()) return MetricText(summary.mean);
  return absl::StrFormat("%.3f ± %.3f", *summary.mean, *summary.deviation);
}

// The table before it has a form.
struct Cells {
  std::vector<std::string> heads;
  size_t text_columns;  // left-aligned ones, from the left
  bool sources;         // the last column is text
  std::vector<std::vector<std::string>> rows;
  std::vector<std::vector<bool>> best;  // as rows
  size_t points;                        // rows below are references
};

std::vector<std::string> MetricColumns(const SweepResults& results) {
  const auto exists = [&](const std::string& name) {
    return std::any_of(results.points.begin(), results.points.end(), [&](const auto& point) {
      return std::any_of(point.runs.begin(), point.runs.end(), [&](const MetricList& run) {
        return std::any_of(run.begin(), run.end(), [&](const auto& m) { return m.first == name; });
      });
    });
  };
  std::vector<std::string> columns;
  bool any_run = false;
  for (const std::string& name : results.metrics) {
    if (exists(name)) columns.push_back(name);
  }
  if (!columns.empty()) return columns;
  for (const SweepPointResult& point : results.points) {
    if (point.runs.empty() || any_run) continue;
    any_run = true;
    for (size_t i = 0; i < std::min<size_t>(3, point.runs[0].size()); ++i) {
      columns.push_back(point.runs[0][i].first);
    }
  }
  return any_run ? columns : results.metrics;
}

Cells MakeCells(const SweepResults& results) {
  const std::vector<std::string> metrics = MetricColumns(results);
  Cells cells;
  cells.heads = results.axes;
  if (cells.heads.empty()) cells.heads = {"point"};
  cells.text_columns = cells.heads.size();
  cells.heads.push_back("runs");
  cells.heads.insert(cells.heads.end(), metrics.begin(), metrics.end());
  cells.heads.push_back("parameters");
  cells.sources = !results.references.empty();
  if (cells.sources) cells.heads.push_back("source");
  cells.points = results.points.size();

  std::vector<std::vector<MeanAndDeviation>> summaries;
  for (const SweepPointResult& point : results.points) {
    CHECK_EQ(point.labels.size(), results.axes.size());
    std::vector<std::string> row = point.labels;
    if (row.empty()) row = {"base"};
    const int64_t done = static_cast<int64_t>(point.runs.size());
    row.push_back(done == results.seeds ? absl::StrCat(done)
                                        : absl::StrCat(done, " of ", results.seeds));
    std::vector<MeanAndDeviation>& of_point = summaries.emplace_back();
    for (const std::string& metric : metrics) {
      std::vector<std::optional<double>> values;
      for (const MetricList& run : point.runs) values.push_back(Find(run, metric));
      of_point.push_back(Summarize(values));
      row.push_back(Shown(of_point.back()));
    }
    row.push_back(Parameters(point.parameters));
    if (cells.sources) row.emplace_back();
    cells.rows.push_back(std::move(row));
  }
  for (const SweepReference& reference : results.references) {
    std::vector<std::string> row(cells.heads.size());
    row[0] = reference.label;
    for (size_t m = 0; m < metrics.size(); ++m) {
      const std::optional<double> value = Find(reference.values, metrics[m]);
      if (value.has_value()) row[cells.text_columns + 1 + m] = MetricText(value);
    }
    row.back() = reference.source;
    cells.rows.push_back(std::move(row));
  }

  for (const std::vector<std::string>& row : cells.rows) cells.best.emplace_back(row.size(), false);
  for (size_t m = 0; m < metrics.size() && summaries.size() > 1; ++m) {
    std::optional<double> best;
    for (const auto& of_point : summaries) best = std::max(best, of_point[m].mean);
    for (size_t p = 0; p < summaries.size() && best.has_value(); ++p) {
      cells.best[p][cells.text_columns + 1 + m] = summaries[p][m].mean == best;
    }
  }
  return cells;
}

bool IsText(const Cells& cells, size_t column) {
  return column < cells.text_columns || (cells.sources && column + 1 == cells.heads.size());
}

}  // namespace

MeanAndDeviation Summarize(const std::vector<std::optional<double>>& values) {
  MeanAndDeviation summary;
  double sum = 0;
  for (const std::optional<double>& value : values) {
    if (!value.has_value()) continue;
    sum += *value;
    ++summary.count;
  }
  if (summary.count == 0) return summary;
  summary.mean = sum / static_cast<double>(summary.count);
  if (summary.count == 1) return summary;
  double squares = 0;
  for (const std::optional<double>& value : values) {
    if (value.has_value()) squares += (*value - *summary.mean) * (*value - *summary.mean);
  }
  summary.deviation = std::sqrt(squares / static_cast<double>(summary.count - 1));
  return summary;
}

std::string SweepTableText(const SweepResults& results) {
  const Cells cells = MakeCells(results);
  std::vector<TextTable::Align> align;
  for (size_t c = 0; c < cells.heads.size(); ++c) {
    align.push_back(IsText(cells, c) ? TextTable::Align::kLeft : TextTable::Align::kRight);
  }
  TextTable table(align);
  table.AddRow(cells.heads);
  for (size_t r = 0; r < cells.rows.size(); ++r) {
    if (r == cells.points) table.AddRule();
    table.AddRow(cells.rows[r]);
  }
  return table.Render();
}

std::string SweepTableMarkdown(const SweepResults& results) {
  const Cells cells = MakeCells(results);
  const auto line = [](const std::vector<std::string>& row) {
    return absl::StrCat(
        "| ",
        absl::StrJoin(
            row, " | ",
            [](std::string* out, const std::string& cell) {
              absl::StrAppend(out, absl::StrReplaceAll(cell, {{"|", "\\|"}, {"\n", " "}}));
            }),
        " |\n");
  };
  std::string markdown = line(cells.heads) + "|";
  for (size_t c = 0; c < cells.heads.size(); ++c) {
    absl::StrAppend(&markdown, IsText(cells, c) ? "---|" : "---:|");
  }
  markdown += "\n";
  for (const std::vector<std::string>& row : cells.rows) markdown += line(row);
  return markdown;
}

std::string SweepTableHtml(const SweepResults& results) {
  const Cells cells = MakeCells(results);
  std::string body = absl::StrCat(
      "<header>\n<h1>", EscapeHtml(results.name),
      "</h1>\n<p class=\"soft\">Mean and standard deviation over seeds; the best mean of a column "
      "is bold.</p>\n</header>\n<main>\n<div class=\"card scroll\">\n<table>\n<thead><tr>");
  for (size_t c = 0; c < cells.heads.size(); ++c) {
    absl::StrAppend(&body, "<th scope=\"col\"", IsText(cells, c) ? " class=\"text\"" : "", ">",
                    EscapeHtml(cells.heads[c]), "</th>");
  }
  absl::StrAppend(&body, "</tr></thead>\n<tbody>\n");
  for (size_t r = 0; r < cells.rows.size(); ++r) {
    absl::StrAppend(&body, r < cells.points ? "<tr>" : "<tr class=\"reference\">");
    for (size_t c = 0; c < cells.rows[r].size(); ++c) {
      const std::string text = EscapeHtml(cells.rows[r][c]);
      if (c == 0) {
        absl::StrAppend(&body, "<th scope=\"row\">", text, "</th>");
      } else if (IsText(cells, c)) {
        absl::StrAppend(&body, "<td class=\"text", c < cells.text_columns ? " value" : "", "\">",
                        text, "</td>");
      } else {
        absl::StrAppend(&body, cells.best[r][c] ? "<td class=\"best\">" : "<td>", text, "</td>");
      }
    }
    absl::StrAppend(&body, "</tr>\n");
  }
  absl::StrAppend(&body, "</tbody>\n</table>\n</div>\n</main>\n");
  return HtmlPage(results.name, body);
}

}  // namespace ssd
