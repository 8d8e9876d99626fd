#include "experiments/check/check_page.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "ssd/eval/metrics_text.h"
#include "ssd/report/html_page.h"
#include "ssd/report/svg_chart.h"

namespace ssd {
namespace {

constexpr size_t kShownProblems = 100;  // of a kind
constexpr size_t kShownClasses = 24;    // with a map of positions, and in the co-occurrence table
constexpr size_t kShownHard = 20;       // of the truths below an IoU of 0.5
constexpr size_t kShownLosses = 10;     // of a reason

std::string TextCell(absl::string_view text) {
  return absl::StrCat("<td class=\"text value\">", EscapeHtml(text), "</td>");
}

std::string Cell(absl::string_view text) { return absl::StrCat("<td>", EscapeHtml(text), "</td>"); }

std::string Cell(int64_t number) { return absl::StrCat("<td>", number, "</td>"); }

// A share of `whole` with a bar; "n/a" of nothing.
std::string BarCell(double part, int64_t whole) {
  if (whole == 0) return "<td>n/a</td>";
  const double percent = 100 * std::clamp(part / static_cast<double>(whole), 0.0, 1.0);
  return absl::StrFormat("<td class=\"bar\" style=\"--v: %.1f%%\">%.1f %%</td>", percent, percent);
}

std::string RowHead(absl::string_view text) {
  return absl::StrCat("<tr><th scope=\"row\">", EscapeHtml(text), "</th>");
}

// The start of a table in a card of its own; `text_heads` from the left are of columns of text.
std::string TableHead(const std::vector<std::string>& heads, size_t text_heads = 1) {
  std::string html = "<div class=\"card scroll\">\n<table>\n<thead><tr>";
  for (size_t i = 0; i < heads.size(); ++i) {
    absl::StrAppend(&html, "<th scope=\"col\"", i < text_heads ? " class=\"text\"" : "", ">",
                    EscapeHtml(heads[i]), "</th>");
  }
  return absl::StrCat(html, "</tr></thead>\n<tbody>\n");
}

constexpr char kTableEnd[] = "</tbody>\n</table>\n</div>\n";

std::string FileAndLine(absl::string_view file, int64_t line) {
  return line > 0 ? absl::StrCat(file, ":", line) : std::string(file);
}

// The classes with the most boxes, in the order of their labels.
std::vector<size_t> MostFrequent(const std::vector<ObjectStatistics>& classes) {
  std::vector<size_t> order(classes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&classes](size_t a, size_t b) {
    return classes[a].objects > classes[b].objects;
  });
  order.resize(std::min(order.size(), kShownClasses));
  std::sort(order.begin(), order.end());
  return order;
}

// Where boxes have their centres: the denser, the stronger the colour.
std::string PositionMap(const ObjectStatistics& objects, absl::string_view name) {
  const int64_t most = *std::max_element(objects.positions.begin(), objects.positions.end());
  std::string html = absl::StrFormat(
      "<figure class=\"card\">\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n"
      "<rect width=\"%d\" height=\"%d\" style=\"fill: var(--grid)\"/>\n"
      "<g style=\"fill: var(--accent)\">",
      kPositionCells, kPositionCells, EscapeHtml(absl::StrCat("Positions of boxes: ", name)),
      kPositionCells, kPositionCells);
  for (int row = 0; row < kPositionCells; ++row) {
    for (int column = 0; column < kPositionCells; ++column) {
      const int64_t count = objects.positions[row * kPositionCells + column];
      if (count == 0) continue;
      const double share = static_cast<double>(count) / static_cast<double>(most);
      absl::StrAppendFormat(&html,
                            "<rect x=\"%d\" y=\"%d\" width=\"1\" height=\"1\" "
                            "fill-opacity=\"%.2f\"><title>%d</title></rect>",
                            column, row, 0.08 + 0.92 * share, count);
    }
  }
  absl::StrAppend(&html, "</g>\n</svg>\n<figcaption><b>", EscapeHtml(name), "</b> · ",
                  objects.objects, objects.objects == 1 ? " box" : " boxes", ", at most ", most,
                  " in a cell</figcaption>\n</figure>\n");
  return html;
}

Chart AspectRatioChart(const DatasetStatistics& statistics) {
  Chart chart{"Aspect ratios of boxes", "log2(width / height)", "% of boxes", {}, 0, {}, {}, {}};
  const std::pair<const char*, const BoxStatistics*> groups[] = {
      {"in the image", &statistics.all.original}, {"in the network's view", &statistics.all.view}};
  for (const auto& [name, boxes] : groups) {
    ChartSeries& series = chart.series.emplace_back();
    series.name = name;
    const double all = std::max<double>(1, static_cast<double>(statistics.all.objects));
    for (int bin = 0; bin < kAspectRatioBins; ++bin) {
      series.x.push_back(AspectRatioMiddle(bin));
      series.y.push_back(100 * static_cast<double>(boxes->aspect_ratios[bin]) / all);
    }
  }
  return chart;
}

Chart ObjectsPerImageChart(const DatasetStatistics& statistics) {
  Chart chart{"Boxes an image", "boxes", "images", {}, 0, {}, 0, {}};
  ChartSeries& series = chart.series.emplace_back();
  series.name = "images";
  for (size_t i = 0; i < statistics.images_by_objects.size(); ++i) {
    series.x.push_back(static_cast<double>(i));
    series.y.push_back(static_cast<double>(statistics.images_by_objects[i]));
  }
  return chart;
}

Chart RecallChart(const AnchorReport& anchors) {
  Chart chart{"Truths that an anchor reaches, by IoU", "IoU", "% of truths", {}, 0, 100, {}, {}};
  const auto add = [&chart](const std::string& name, const AnchorRecall& recall, bool matched) {
    if (recall.truths == 0) return;
    ChartSeries& series = chart.series.emplace_back();
    series.name = name;
    for (int i = 0; i < kRecallIous; ++i) {
      series.x.push_back(RecallIou(i));
      series.y.push_back(100 * (matched ? recall.matched_recall(i) : recall.recall(i)));
    }
  };
  add("all", anchors.all, false);
  add("given by the matcher", anchors.all, true);
  for (const AnchorRecall& size : anchors.sizes) add(size.name, size, false);
  return chart;
}

Chart IouChart(const AnchorReport& anchors) {
  Chart chart{"IoU of each truth's best anchor", "IoU", "truths", {}, 0, {}, 0, 1};
  const std::pair<const char*, const std::array<int64_t, kIouBins>*> groups[] = {
      {"of all anchors", &anchors.best_ious}, {"of those it was given", &anchors.matched_ious}};
  for (const auto& [name, counts] : groups) {
    ChartSeries& series = chart.series.emplace_back();
    series.name = name;
    for (int bin = 0; bin < kIouBins; ++bin) {
      series.x.push_back(IouBinMiddle(bin));
      series.y.push_back(static_cast<double>((*counts)[bin]));
    }
  }
  return chart;
}

Chart PositivesChart(const AnchorReport& anchors) {
  Chart chart{"Anchors that learn a truth", "anchors", "truths", {}, 0, {}, 0, {}};
  ChartSeries& series = chart.series.emplace_back();
  series.name = "truths";
  for (size_t i = 0; i < anchors.truths_by_positives.size(); ++i) {
    series.x.push_back(static_cast<double>(i));
    series.y.push_back(static_cast<double>(anchors.truths_by_positives[i]));
  }
  return chart;
}

// Collects the page.
class PageWriter {
 public:
  explicit PageWriter(const CheckReport& report) : report_(report) {}

  std::string Page() {
    absl::StrAppend(&body_, "<main>\n");
    for (const DatasetCheck* check : {&report_.train, &report_.validation}) {
      const std::string title = check->name == "train" ? "Training" : "Validation";
      Problems(*check, title);
      Statistics(*check, title);
      Anchors(*check, title);
      CeilingSection(*check, title);
    }
    Overfit();
    absl::StrAppend(&body_, "</main>\n");
    const std::string sections = std::move(body_);
    body_.clear();
    Header();
    absl::StrAppend(&body_, "<nav aria-label=\"Sections\">");
    for (const auto& [id, name] : sections_) {
      absl::StrAppend(&body_, "<a href=\"#", id, "\">", name, "</a>");
    }
    return HtmlPage(absl::StrCat("check ", report_.title),
                    absl::StrCat(body_, "</nav>\n", sections));
  }

 private:
  void Header() {
    absl::StrAppend(&body_, "<header>\n<h1>", EscapeHtml(absl::StrCat("check ", report_.title)),
                    "</h1>\n<p class=\"soft\">What is wrong with the data, and whether the "
                    "anchors and the matcher can learn it. ",
                    report_.has_read_images ? absl::StrCat(report_.images_read, " images read.")
                                            : "Images were not looked at.",
                    "</p>\n<div class=\"tiles\">\n");
    const auto tile = [this](absl::string_view value, absl::string_view label) {
      absl::StrAppend(&body_, "<div class=\"card tile\"><b>", EscapeHtml(value), "</b><span>",
                      EscapeHtml(label), "</span></div>\n");
    };
    const auto count = [this](Severity severity) {
      return absl::StrCat(CountOf(report_.train.problems, severity) +
                          CountOf(report_.validation.problems, severity));
    };
    tile(count(Severity::kError), "errors");
    tile(count(Severity::kWarning), "warnings");
    tile(absl::StrCat(report_.train.statistics.images), "training images");
    tile(absl::StrCat(report_.train.statistics.all.objects), "training boxes");
    tile(absl::StrCat(report_.validation.statistics.images), "validation images");
    const AnchorRecall& recall = report_.train.anchors.all;
    tile(recall.truths == 0 ? "n/a" : absl::StrFormat("%.1f %%", 100 * recall.recall(kHalf)),
         "of truths reached at IoU 0.5");
    const MetricList& metrics = report_.validation.ceiling.metrics.values;
    if (!metrics.empty()) {
      tile(MetricText(metrics[0].second), absl::StrCat("ceiling of validation ", metrics[0].first));
    }
    absl::StrAppend(&body_, "</div>\n</header>\n");
  }

  // Opens a section; Close() ends it. `words` is text.
  void Open(const std::string& id, const std::string& name, const std::string& words) {
    sections_.emplace_back(id, name);
    absl::StrAppend(&body_, "<section aria-labelledby=\"", id, "\">\n<h2 id=\"", id, "\">", name,
                    "</h2>\n");
    if (!words.empty()) Words(words);
  }
  void Words(const std::string& words) {
    absl::StrAppend(&body_, "<p class=\"soft\">", EscapeHtml(words), "</p>\n");
  }
  void Close() { absl::StrAppend(&body_, "</section>\n"); }

  void Problems(const DatasetCheck& check, const std::string& title) {
    const std::vector<DataProblem>& problems = check.problems;
    Open(check.name + "-problems", title + ": problems",
         problems.empty() ? "None found."
                          : "An error makes training fail or learn something wrong; a warning is "
                            "usually a mistake; a note is worth knowing.");
    for (size_t begin = 0; begin < problems.size();) {
      const DataProblem& first = problems[begin];
      size_t end = begin;
      while (end < problems.size() && problems[end].kind == first.kind &&
             problems[end].severity == first.severity) {
        ++end;
      }
      ProblemCard(problems, begin, end);
      begin = end;
    }
    Close();
  }

  // Problems [begin, end), all of one kind.
  void ProblemCard(const std::vector<DataProblem>& problems, size_t begin, size_t end) {
    const Severity severity = problems[begin].severity;
    const char* const color = severity == Severity::kError     ? "var(--s1)"
                              : severity == Severity::kWarning ? "var(--s4)"
                                                               : "var(--soft)";
    absl::StrAppend(&body_, "<details class=\"card\"",
                    severity == Severity::kError ? " open=\"open\"" : "",
                    ">\n<summary><span style=\"color: ", color, "\">", SeverityName(severity),
                    "</span> ", ProblemKindName(problems[begin].kind), ": ", end - begin,
                    "</summary>\n<div class=\"scroll\">\n<table>\n<tbody>\n");
    for (size_t i = begin; i < std::min(end, begin + kShownProblems); ++i) {
      absl::StrAppend(&body_, RowHead(FileAndLine(problems[i].file, problems[i].line)),
                      TextCell(problems[i].message), "</tr>\n");
    }
    absl::StrAppend(&body_, "</tbody>\n</table>\n</div>\n");
    if (end - begin > kShownProblems) {
      Words(absl::StrCat("and ", end - begin - kShownProblems,
                         " more: `check --json` lists them all"));
    }
    absl::StrAppend(&body_, "</details>\n");
  }

  void Statistics(const DatasetCheck& check, const std::string& title) {
    const DatasetStatistics& statistics = check.statistics;
    Open(check.name + "-data", title + ": data",
         absl::StrFormat("%d images, %d of them without boxes; %d boxes, %d of them difficult, and "
                         "%d crowds. Small, medium and large are COCO's: below 32² pixels of the "
                         "image, below 96², and the rest. Widths and heights are medians in pixels "
                         "of the image, with their 5th and 95th percentiles.",
                         statistics.images, statistics.images_without_objects,
                         statistics.all.objects, statistics.all.difficult, statistics.all.crowds));
    ClassTable(check);
    absl::StrAppend(&body_, "<div class=\"charts\">\n", SvgChart(AspectRatioChart(statistics)),
                    SvgChart(ObjectsPerImageChart(statistics)), "</div>\n");
    PositionMaps(statistics);
    CoOccurrence(statistics);
    Close();
  }

  void ClassTable(const DatasetCheck& check) {
    absl::StrAppend(&body_, TableHead({"class", "images", "boxes", "difficult", "small", "medium",
                                       "large", "width", "height", "anchors at 0.5",
                                       "mean best IoU", "without anchor"}));
    const auto range = [](const Distribution& distribution) {
      return Cell(absl::StrFormat("%.0f (%.0f – %.0f)", distribution.median,
                                  distribution.percentile_5, distribution.percentile_95));
    };
    const auto row = [&](const std::string& name, const ObjectStatistics& objects,
                         const AnchorRecall& recall) {
      absl::StrAppend(&body_, RowHead(name), Cell(objects.images), Cell(objects.objects),
                      Cell(objects.difficult));
      for (const int64_t count : objects.original.sizes) absl::StrAppend(&body_, Cell(count));
      absl::StrAppend(&body_, range(objects.original.width), range(objects.original.height),
                      BarCell(static_cast<double>(recall.reached[kHalf]), recall.truths),
                      Cell(recall.truths == 0 ? "n/a" : absl::StrFormat("%.3f", recall.mean_iou())),
                      Cell(recall.without_anchor), "</tr>\n");
    };
    const DatasetStatistics& statistics = check.statistics;
    row("all", statistics.all, check.anchors.all);
    for (int i = 0; i < kSizeClasses; ++i) {
      row(statistics.sizes[i].name, statistics.sizes[i], check.anchors.sizes[i]);
    }
    for (size_t c = 0; c < statistics.classes.size(); ++c) {
      row(statistics.classes[c].name, statistics.classes[c], check.anchors.classes[c]);
    }
    absl::StrAppend(&body_, kTableEnd);
  }

  void PositionMaps(const DatasetStatistics& statistics) {
    if (statistics.all.objects == 0) return;
    absl::StrAppend(&body_,
                    "<details>\n<summary>Where boxes have their centres, in the image"
                    "</summary>\n<div class=\"sheet small\">\n",
                    PositionMap(statistics.all, "all"));
    for (const ObjectStatistics& size : statistics.sizes) {
      if (size.objects > 0) absl::StrAppend(&body_, PositionMap(size, size.name));
    }
    int64_t more =
        std::count_if(statistics.classes.begin(), statistics.classes.end(),
                      [](const ObjectStatistics& objects) { return objects.objects > 0; });
    for (const size_t c : MostFrequent(statistics.classes)) {
      const ObjectStatistics& objects = statistics.classes[c];
      if (objects.objects == 0) continue;
      absl::StrAppend(&body_, PositionMap(objects, objects.name));
      --more;
    }
    absl::StrAppend(&body_, "</div>\n");
    More(more);
    absl::StrAppend(&body_, "</details>\n");
  }

  void CoOccurrence(const DatasetStatistics& statistics) {
    const size_t classes = statistics.classes.size();
    if (classes < 2) return;
    const std::vector<size_t> shown = MostFrequent(statistics.classes);
    std::vector<std::string> heads = {"images with"};
    for (const size_t c : shown) heads.push_back(statistics.classes[c].name);
    absl::StrAppend(&body_, "<details>\n<summary>Classes that are in one image</summary>\n",
                    TableHead(heads));
    for (const size_t row : shown) {
      absl::StrAppend(&body_, RowHead(statistics.classes[row].name));
      for (const size_t column : shown) {
        absl::StrAppend(&body_, Cell(statistics.co_occurrence[row * classes + column]));
      }
      absl::StrAppend(&body_, "</tr>\n");
    }
    absl::StrAppend(&body_, kTableEnd);
    More(static_cast<int64_t>(classes - shown.size()));
    absl::StrAppend(&body_, "</details>\n");
  }

  // Of what is left out.
  void More(int64_t count) {
    if (count > 0) Words(absl::StrCat("and ", count, " more: --json"));
  }

  void Anchors(const DatasetCheck& check, const std::string& title) {
    const AnchorReport& anchors = check.anchors;
    std::string words = absl::StrFormat("%d anchors an image. ", anchors.anchors);
    if (anchors.all.truths > 0) {
      absl::StrAppendFormat(
          &words,
          "A truth has %.1f of them to learn it, the median one %d; %d of %d truths have none. ",
          static_cast<double>(anchors.all.positives) / static_cast<double>(anchors.all.truths),
          anchors.MedianPositives(), anchors.all.without_anchor, anchors.all.truths);
    }
    absl::StrAppend(&words, UnusedText(anchors));
    Open(check.name + "-anchors", title + ": anchors", words);
    if (anchors.all.truths > 0) {
      absl::StrAppend(&body_, "<div class=\"charts\">\n", SvgChart(RecallChart(anchors)),
                      SvgChart(IouChart(anchors)), SvgChart(PositivesChart(anchors)), "</div>\n");
    }
    Levels(anchors);
    Shapes(anchors);
    HardTruths(anchors);
    if (&check == &report_.train) Suggestion();
    Close();
  }

  void Levels(const AnchorReport& anchors) {
    Words("What each level would reach alone, and how often it is used:");
    std::vector<std::string> heads = {"level", "map", "stride, px", "anchors"};
    for (int i = 0; i < kRecallIous; i += 2) {
      heads.push_back(absl::StrFormat("IoU %.1f", RecallIou(i)));
    }
    heads.push_back("best for");
    heads.push_back("positives");
    absl::StrAppend(&body_, TableHead(heads));
    for (size_t k = 0; k < anchors.levels.size(); ++k) {
      const AnchorLevelUse& level = anchors.levels[k];
      absl::StrAppend(&body_, RowHead(absl::StrCat(k + 1)),
                      Cell(absl::StrCat(level.map.height, "x", level.map.width)),
                      Cell(absl::StrCat(level.map.stride_y)), Cell(level.anchors));
      for (int i = 0; i < kRecallIous; i += 2) {
        absl::StrAppend(&body_, BarCell(static_cast<double>(level.reached[i]), anchors.all.truths));
      }
      absl::StrAppend(&body_, BarCell(static_cast<double>(level.best_truths), anchors.all.truths),
                      BarCell(static_cast<double>(level.positives), anchors.all.positives),
                      "</tr>\n");
    }
    absl::StrAppend(&body_, kTableEnd);
  }

  void Shapes(const AnchorReport& anchors) {
    absl::StrAppend(&body_, "<details>\n<summary>Every box of a cell</summary>\n",
                    TableHead({"level", "width, px", "height, px", "best for", "positives"}));
    for (const AnchorShapeUse& shape : anchors.shapes) {
      absl::StrAppend(
          &body_, RowHead(absl::StrCat(shape.level + 1)),
          Cell(absl::StrFormat("%.1f", shape.width)), Cell(absl::StrFormat("%.1f", shape.height)),
          BarCell(static_cast<double>(shape.best_truths), anchors.all.truths),
          BarCell(static_cast<double>(shape.positives), anchors.all.positives), "</tr>\n");
    }
    absl::StrAppend(&body_, kTableEnd, "</details>\n");
  }

  void HardTruths(const AnchorReport& anchors) {
    const std::vector<HardTruth>& truths = anchors.below_half;
    if (truths.empty()) return;
    absl::StrAppend(&body_, "<details>\n<summary>Truths that are hardest to reach</summary>\n",
                    TableHead({"truth", "IoU of any anchor", "of one it was given"}));
    const size_t shown = std::min(truths.size(), kShownHard);
    for (size_t i = 0; i < shown; ++i) {
      absl::StrAppend(&body_, RowHead(PlaceText(truths[i].place)),
                      Cell(absl::StrFormat("%.3f", truths[i].iou)),
                      Cell(absl::StrFormat("%.3f", truths[i].matched_iou)), "</tr>\n");
    }
    absl::StrAppend(&body_, kTableEnd);
    More(static_cast<int64_t>(truths.size() - shown));
    absl::StrAppend(&body_, "</details>\n");
  }

  void Suggestion() {
    if (!report_.suggestion.has_value()) return;
    const AnchorSuggestion& suggestion = *report_.suggestion;
    const AnchorReport& present = report_.train.anchors;
    absl::StrAppend(&body_,
                    "<h3 style=\"margin-top: 20px\">Anchors fitted to the training data</h3>\n",
                    TableHead({"anchors", "an image", "mean best IoU", "truths reached at 0.5",
                               "small", "medium", "large"}));
    const auto row = [this](const std::string& name, int64_t anchors, const AnchorRecall& all,
                            const auto& sizes) {
      absl::StrAppend(&body_, RowHead(name), Cell(anchors),
                      Cell(absl::StrFormat("%.3f", all.mean_iou())),
                      BarCell(static_cast<double>(all.reached[kHalf]), all.truths));
      for (const AnchorRecall& size : sizes) {
        absl::StrAppend(&body_, BarCell(static_cast<double>(size.reached[kHalf]), size.truths));
      }
      absl::StrAppend(&body_, "</tr>\n");
    };
    row("now", present.anchors, present.all, present.sizes);
    row("fitted", suggestion.anchors, suggestion.all, suggestion.sizes);
    absl::StrAppend(&body_, kTableEnd);
    const std::string verdict = SuggestionVerdict(suggestion, present);
    if (!verdict.empty()) Words(verdict);
    if (!IsWorthIt(suggestion, present)) return;
    absl::StrAppend(&body_,
                    "<details class=\"card\" open=\"open\">\n<summary>To try them, put this into "
                    "<code>model</code></summary>\n<pre tabindex=\"0\">",
                    EscapeHtml(suggestion.config), "</pre>\n</details>\n");
  }

  void CeilingSection(const DatasetCheck& check, const std::string& title) {
    const Ceiling& ceiling = check.ceiling;
    Open(check.name + "-ceiling", title + ": ceiling",
         "What a perfect network would score: the truths, matched to anchors, encoded, decoded and "
         "post-processed as detections. Less than 1 is lost before training begins.");
    absl::StrAppend(&body_, "<div class=\"columns\">\n", TableHead({"metric", "ceiling"}));
    for (const auto& [name, value] : ceiling.metrics.values) {
      absl::StrAppend(&body_, RowHead(name), Cell(MetricText(value, 4)), "</tr>\n");
    }
    absl::StrAppend(&body_, kTableEnd, TableHead({"truths lost", "because"}));
    if (ceiling.lost.empty()) absl::StrAppend(&body_, RowHead("none"), TextCell(""), "</tr>\n");
    for (int i = 0; i < kLossReasons; ++i) {
      if (ceiling.reasons[i] == 0) continue;
      absl::StrAppend(&body_, RowHead(absl::StrCat(ceiling.reasons[i])),
                      TextCell(LossReasonText(static_cast<LossReason>(i))), "</tr>\n");
    }
    absl::StrAppend(&body_, kTableEnd, "</div>\n");
    if (!check.losses.empty()) {
      absl::StrAppend(&body_, "<details>\n<summary>The first of them</summary>\n",
                      TableHead({"truth", "because", "of", "IoU"}, 3));
      std::array<size_t, kLossReasons> shown = {};
      int64_t more = 0;
      for (const NamedLoss& loss : check.losses) {
        if (++shown[static_cast<size_t>(loss.reason)] > kShownLosses) {
          ++more;
          continue;
        }
        absl::StrAppend(
            &body_, RowHead(PlaceText(loss.place)), TextCell(LossReasonText(loss.reason)),
            TextCell(loss.other.has_value() ? PlaceText(*loss.other) : ""),
            Cell(loss.other.has_value() ? absl::StrFormat("%.3f", loss.iou) : ""), "</tr>\n");
      }
      absl::StrAppend(&body_, kTableEnd);
      More(more);
      absl::StrAppend(&body_, "</details>\n");
    }
    Close();
  }

  void Overfit() {
    if (!report_.overfit.has_value()) return;
    const OverfitOutcome& overfit = *report_.overfit;
    Open("overfit", "Overfit probe",
         absl::StrCat(overfit.has_passed ? "Passed. " : "Failed. ", overfit.verdict));
    Chart loss{"Loss", "step", "loss", {overfit.loss}, 0, {}, {}, {}};
    Chart ap50{"AP50 on the same images", "step", "AP50", {overfit.ap50_by_step}, 0, 1, {}, {}};
    absl::StrAppend(&body_, "<div class=\"charts\">\n", SvgChart(loss), SvgChart(ap50), "</div>\n");
    if (!overfit.missed.empty()) {
      absl::StrAppend(&body_, TableHead({"missed truth", "anchors that learn it",
                                         "IoU of the nearest detection", "its score"}));
      for (const MissedTruth& missed : overfit.missed) {
        absl::StrAppend(&body_, RowHead(PlaceText(missed.place)), Cell(missed.positives),
                        Cell(absl::StrFormat("%.2f", missed.found_iou)),
                        Cell(absl::StrFormat("%.2f", missed.found_score)), "</tr>\n");
      }
      absl::StrAppend(&body_, kTableEnd);
    }
    Close();
  }

  const CheckReport& report_;
  std::string body_;
  std::vector<std::pair<std::string, std::string>> sections_;  // id, name
};

}  // namespace

std::string CheckPage(const CheckReport& report) { return PageWriter(report).Page(); }

}  // namespace ssd
