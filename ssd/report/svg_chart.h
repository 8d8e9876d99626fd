#ifndef SSD_REPORT_SVG_CHART_H_
#define SSD_REPORT_SVG_CHART_H_

#include <optional>
#include <string>
#include <vector>

namespace ssd {

struct ChartSeries {
  std::string name;
  std::vector<double> x;  // ascending
  std::vector<double> y;  // as many; points that are not finite are left out
};

struct Chart {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<ChartSeries> series;
  // Limits of the vertical axis; else from the values, zero included, and such that an early peak
  // (the loss of the first steps) does not flatten the rest.
  std::optional<double> y_min, y_max;
  // Limits of the horizontal axis; else from the values.
  std::optional<double> x_min, x_max;
};

// A <figure> for HtmlPage: title, legend and lines with axes, ticks, and the values where the
// pointer rests. Long series are thinned to what can be seen, by means over equal stretches.
std::string SvgChart(const Chart& chart);

// "1,234", "0.0001", "12k", "1.5M": a short text for an axis or a table.
std::string ShortNumber(double value);

}  // namespace ssd

#endif  // SSD_REPORT_SVG_CHART_H_
