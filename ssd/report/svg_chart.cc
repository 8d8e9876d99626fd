#include "ssd/report/svg_chart.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ssd/core/logging.h"
#include "ssd/report/html_page.h"

namespace ssd {
namespace {

// Of the drawing, in its own units; text is 12 high.
constexpr double kWidth = 440, kHeight = 250;
constexpr double kLeft = 56, kRight = 14, kTop = 10, kBottom = 40;
constexpr int kColors = 8;
constexpr size_t kMaxPoints = 240;  // of a line
constexpr size_t kMaxProbes = 60;   // places that show values

struct Axis {
  double low, high;  // of the data
  double from, to;   // of the drawing

  double At(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

// 1, 2 or 5 times a power of ten, such that about `count` steps fit.
double NiceStep(double range, int count) {
  const double raw = range / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power * (1 + 1e-9)) return factor * power;
  }
  return 10 * power;
}

ChartSeries Thinned(const ChartSeries& series) {
  CHECK_EQ(series.x.size(), series.y.size());
  ChartSeries finite{series.name, {}, {}};
  for (size_t i = 0; i < series.x.size(); ++i) {
    if (!std::isfinite(series.x[i]) || !std::isfinite(series.y[i])) continue;
    finite.x.push_back(series.x[i]);
    finite.y.push_back(series.y[i]);
  }
  if (finite.x.size() <= kMaxPoints) return finite;
  ChartSeries thinned{series.name, {}, {}};
  for (size_t bucket = 0; bucket < kMaxPoints; ++bucket) {
    const size_t begin = bucket * finite.x.size() / kMaxPoints;
    const size_t end = (bucket + 1) * finite.x.size() / kMaxPoints;
    double x = 0, y = 0;
    for (size_t i = begin; i < end; ++i) {
      x += finite.x[i];
      y += finite.y[i];
    }
    thinned.x.push_back(x / static_cast<double>(end - begin));
    thinned.y.push_back(y / static_cast<double>(end - begin));
  }
  return thinned;
}

Axis HorizontalAxis(const Chart& chart, const std::vector<ChartSeries>& lines) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const ChartSeries& line : lines) {
    if (line.x.empty()) continue;
    low = std::min(low, line.x.front());
    high = std::max(high, line.x.back());
  }
  low = chart.x_min.value_or(std::isfinite(low) ? low : 0);
  high = chart.x_max.value_or(std::isfinite(high) ? high : 1);
  if (high <= low) {
    // One point: in the middle.
    low -= 1;
    high = low + 2;
  }
  return {low, high, kLeft, kWidth - kRight};
}

Axis VerticalAxis(const Chart& chart, const std::vector<ChartSeries>& lines) {
  std::vector<double> values;
  for (const ChartSeries& line : lines) {
    values.insert(values.end(), line.y.begin(), line.y.end());
  }
  double low = 0, high = 0;
  if (!values.empty()) {
    std::sort(values.begin(), values.end());
    low = std::min(0.0, values.front());
    high = std::max(0.0, values.back());
    const double usual = 1.6 * values[(values.size() - 1) * 95 / 100];
    if (usual > 0 && high > 1.5 * usual) high = usual;
  }
  low = chart.y_min.value_or(low);
  high = chart.y_max.value_or(high);
  if (high <= low) high = low + 1;
  if (!chart.y_max.has_value()) {
    const double step = NiceStep(high - low, 5);
    high = std::ceil(high / step - 1e-9) * step;
  }
  return {low, high, kHeight - kBottom, kTop};
}

// Ticks of an axis within its limits.
std::vector<double> Ticks(const Axis& axis, int count) {
  const double step = NiceStep(axis.high - axis.low, count);
  std::vector<double> ticks;
  for (double i = std::ceil(axis.low / step - 1e-9); i * step <= axis.high + step * 1e-9; ++i) {
    ticks.push_back(i * step + 0.0);
  }
  return ticks;
}

}  // namespace

std::string ShortNumber(double value) {
  const double size = std::abs(value);
  const auto with = [](double scaled, const char* unit) {
    return absl::StrFormat("%.4g%s", scaled, unit);
  };
  if (size >= 1e9 && size < 1e13) return with(value / 1e9, "G");
  if (size >= 1e6 && size < 1e9) return with(value / 1e6, "M");
  if (size >= 1e4 && size < 1e6) return with(value / 1e3, "k");
  // Steps of floating-point sums: 0.30000000000000004.
  if (size < 1e-12) return "0";
  return absl::StrFormat("%.4g", value);
}

std::string SvgChart(const Chart& chart) {
  std::vector<ChartSeries> lines;
  for (const ChartSeries& series : chart.series) lines.push_back(Thinned(series));
  const Axis horizontal = HorizontalAxis(chart, lines);
  const Axis vertical = VerticalAxis(chart, lines);
  const auto inside = [&](double y) {
    return std::clamp(vertical.At(y), kTop - 4, kHeight - kBottom);
  };

  std::string html = absl::StrCat("<figure class=\"card\">\n<h3>", EscapeHtml(chart.title),
                                  "</h3>\n<ul class=\"legend\">");
  for (size_t s = 0; s < lines.size(); ++s) {
    absl::StrAppend(&html, "<li><span class=\"key s", s % kColors, "\"></span>",
                    EscapeHtml(lines[s].name), "</li>");
  }
  absl::StrAppendFormat(
      &html, "</ul>\n<svg class=\"chart\" viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"%s\">\n",
      kWidth, kHeight,
      EscapeHtml(absl::StrCat(chart.title, ": ", chart.y_label, " by ", chart.x_label)));
  for (const double tick : Ticks(vertical, 5)) {
    absl::StrAppendFormat(&html,
                          "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>"
                          "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                          kLeft, kWidth - kRight, vertical.At(tick), vertical.At(tick), kLeft - 7,
                          vertical.At(tick) + 4, ShortNumber(tick));
  }
  for (const double tick : Ticks(horizontal, 6)) {
    const double x = horizontal.At(tick);
    absl::StrAppendFormat(&html,
                          "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>"
                          "<text x=\"%.1f\" y=\"%g\" text-anchor=\"%s\">%s</text>\n",
                          x, x, kHeight - kBottom, kHeight - kBottom + 4, x, kHeight - kBottom + 17,
                          x > kWidth - kRight - 8 ? "end" : "middle", ShortNumber(tick));
  }
  absl::StrAppendFormat(&html,
                        "<line class=\"axis\" x1=\"%g\" x2=\"%g\" y1=\"%g\" y2=\"%g\"/>"
                        "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">%s</text>\n",
                        kLeft, kWidth - kRight, kHeight - kBottom, kHeight - kBottom,
                        (kLeft + kWidth - kRight) / 2, kHeight - 5, EscapeHtml(chart.x_label));

  // Later series below earlier ones: the first is the most important.
  for (size_t s = lines.size(); s-- > 0;) {
    const ChartSeries& line = lines[s];
    if (line.x.size() == 1) {
      absl::StrAppendFormat(&html, "<circle class=\"dot s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n",
                            static_cast<int>(s % kColors), horizontal.At(line.x[0]),
                            inside(line.y[0]));
      continue;
    }
    absl::StrAppend(&html, "<polyline class=\"s", s % kColors, "\" points=\"");
    for (size_t i = 0; i < line.x.size(); ++i) {
      absl::StrAppendFormat(&html, "%s%.1f,%.1f", i == 0 ? "" : " ", horizontal.At(line.x[i]),
                            inside(line.y[i]));
    }
    absl::StrAppend(&html, "\"/>\n");
  }

  // Columns under the pointer, each with the point of every series that is nearest to its middle.
  std::map<double, bool> places;
  for (const ChartSeries& line : lines) {
    for (const double x : line.x) places.emplace(x, true);
  }
  std::vector<double> middles;
  {
    const size_t count = std::min(places.size(), kMaxProbes);
    size_t i = 0, taken = 0;
    for (const auto& [x, unused] : places) {
      // The last of each stretch, so that the last point of all is one.
      if (++i * count / places.size() > taken) {
        middles.push_back(x);
        ++taken;
      }
    }
  }
  for (size_t p = 0; p < middles.size(); ++p) {
    const double x = horizontal.At(middles[p]);
    const double left = p == 0 ? kLeft : (x + horizontal.At(middles[p - 1])) / 2;
    const double right =
        p + 1 == middles.size() ? kWidth - kRight : (x + horizontal.At(middles[p + 1])) / 2;
    std::string title = absl::StrCat(chart.x_label, " ", ShortNumber(middles[p]));
    std::string dots;
    for (size_t s = 0; s < lines.size(); ++s) {
      const ChartSeries& line = lines[s];
      if (line.x.empty()) continue;
      size_t nearest = std::lower_bound(line.x.begin(), line.x.end(), middles[p]) - line.x.begin();
      if (nearest == line.x.size() ||
          (nearest > 0 && middles[p] - line.x[nearest - 1] < line.x[nearest] - middles[p])) {
        --nearest;
      }
      const double place = horizontal.At(line.x[nearest]);
      if (place < left - 1 || place > right + 1) continue;
      absl::StrAppend(&title, "\n", line.name, " ", ShortNumber(line.y[nearest]));
      absl::StrAppendFormat(&dots, "<circle class=\"s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>",
                            static_cast<int>(s % kColors), place, inside(line.y[nearest]));
    }
    absl::StrAppendFormat(
        &html,
        "<g class=\"probe\"><title>%s</title><rect x=\"%.1f\" y=\"%g\" width=\"%.1f\" "
        "height=\"%g\"/><line x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>%s</g>\n",
        EscapeHtml(title), left, kTop, std::max(right - left, 0.0), kHeight - kBottom - kTop, x, x,
        kTop, kHeight - kBottom, dots);
  }
  absl::StrAppend(&html, "</svg>\n</figure>\n");
  return html;
}

}  // namespace ssd
