#include "ssd/report/html_report.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ssd/core/plural.h"
#include "ssd/eval/metrics_text.h"
#include "ssd/report/class_colors.h"
#include "ssd/report/html_page.h"
#include "ssd/report/judged_boxes.h"

namespace ssd {
namespace {

// With more boxes names would cover the picture; they are shown where the pointer rests.
constexpr size_t kMaxNamedBoxes = 8;
constexpr size_t kMaxCurves = 7;  // of classes in one chart

const char* Meaning(const std::string& metric) {
  static constexpr std::pair<const char*, const char*> kMeanings[] = {
      {"AP", "mean over IoU 0.50 to 0.95"},
      {"AP50", "at IoU 0.50"},
      {"AP75", "at IoU 0.75"},
      {"APs", "small objects, up to 32² px"},
      {"APm", "medium objects, 32² to 96² px"},
      {"APl", "large objects, from 96² px"},
      {"AR1", "recall, 1 detection an image"},
      {"AR10", "recall, 10 detections an image"},
      {"AR100", "recall, 100 detections an image"},
      {"ARs", "recall, small objects"},
      {"ARm", "recall, medium objects"},
      {"ARl", "recall, large objects"},
      {"mAP", "area below the curve, mean over classes"},
      {"mAP_11point", "precision at 11 recalls, mean over classes"},
  };
  for (const auto& [name, meaning] : kMeanings) {
    if (metric == name) return meaning;
  }
  return "";
}

std::string Name(const LabelMap& labels, int64_t label) {
  return label >= 1 && label <= labels.num_classes() ? labels.names[label - 1]
                                                     : absl::StrCat("#", label);
}

// Collects the page.
class Report {
 public:
  explicit Report(const ReportContent& content) : content_(content) {
    const std::vector<ClassMetrics>& classes = content.metrics.per_class;
    if (!classes.empty()) least_iou_ = classes[0].curve.iou;
  }

  std::string Page() {
    absl::StrAppend(&body_, "<header>\n<h1>", EscapeHtml(content_.title), "</h1>\n");
    if (!content_.summary.empty()) {
      absl::StrAppend(&body_, "<p class=\"soft\">", EscapeHtml(content_.summary), "</p>\n");
    }
    Tiles();
    absl::StrAppend(&body_, "</header>\n");
    const std::string head = std::move(body_);
    body_.clear();
    absl::StrAppend(&body_, "<main>\n");
    Curves();
    Numbers();
    Detections();
    Anchors();
    Run();
    Config();
    absl::StrAppend(&body_, "</main>\n");
    std::string nav = "<nav aria-label=\"Sections\">";
    for (const auto& [id, name] : sections_) {
      absl::StrAppend(&nav, "<a href=\"#", id, "\">", name, "</a>");
    }
    return HtmlPage(content_.title, absl::StrCat(head, nav, "</nav>\n", body_));
  }

 private:
  // Opens a section; Close() ends it.
  void Open(const std::string& id, const std::string& link, const std::string& name,
            const std::string& words) {
    sections_.emplace_back(id, link);
    absl::StrAppend(&body_, "<section aria-labelledby=\"", id, "\">\n<h2 id=\"", id, "\">", name,
                    "</h2>\n");
    if (!words.empty()) absl::StrAppend(&body_, "<p class=\"soft\">", EscapeHtml(words), "</p>\n");
  }
  void Close() { absl::StrAppend(&body_, "</section>\n"); }

  void Tiles() {
    ReportContent::Facts tiles;
    for (size_t i = 0; i < std::min<size_t>(3, content_.metrics.values.size()); ++i) {
      const auto& [name, value] = content_.metrics.values[i];
      tiles.emplace_back(name, MetricText(value));
    }
    tiles.insert(tiles.end(), content_.highlights.begin(), content_.highlights.end());
    if (tiles.empty()) return;
    absl::StrAppend(&body_, "<div class=\"tiles\">\n");
    for (const auto& [label, value] : tiles) {
      absl::StrAppend(&body_, "<div class=\"card tile\"><b>", EscapeHtml(value), "</b><span>",
                      EscapeHtml(label), "</span></div>\n");
    }
    absl::StrAppend(&body_, "</div>\n");
  }

  void Curves() {
    if (content_.charts.empty()) return;
    Open("curves", "Training", "Training", "");
    absl::StrAppend(&body_, "<div class=\"charts\">\n");
    for (const Chart& chart : content_.charts) absl::StrAppend(&body_, SvgChart(chart));
    absl::StrAppend(&body_, "</div>\n");
    Close();
  }

  void Numbers() {
    const Metrics& metrics = content_.metrics;
    if (metrics.values.empty()) return;
    Open("metrics", "Metrics", "Metrics", "");
    absl::StrAppend(&body_, "<div class=\"columns\">\n<div class=\"card scroll\">\n<table>\n");
    absl::StrAppend(&body_, "<thead><tr><th scope=\"col\">metric</th><th scope=\"col\">value</th>",
                    "<th scope=\"col\" class=\"text meaning\">of</th></tr></thead>\n<tbody>\n");
    for (const auto& [name, value] : metrics.values) {
      absl::StrAppend(&body_, "<tr><th scope=\"row\">", EscapeHtml(name), "</th>", BarCell(value),
                      "<td class=\"text meaning\">", Meaning(name), "</td></tr>\n");
    }
    absl::StrAppend(&body_, "</tbody>\n</table>\n</div>\n");
    PrecisionRecall();
    absl::StrAppend(&body_, "</div>\n");
    PerClass();
    Close();
  }

  std::string BarCell(const std::optional<double>& value) {
    if (!value.has_value()) return "<td>n/a</td>";
    return absl::StrFormat("<td class=\"bar\" style=\"--v: %.1f%%\">%.3f</td>",
                           100 * std::clamp(*value, 0.0, 1.0), *value);
  }

  void PrecisionRecall() {
    std::vector<const ClassMetrics*> classes;
    for (const ClassMetrics& of_class : content_.metrics.per_class) {
      if (!of_class.curve.recall.empty()) classes.push_back(&of_class);
    }
    if (classes.empty()) return;
    Chart chart{"", "recall", "precision", {}, 0, 1, 0, 1};
    chart.title = absl::StrCat("Precision by recall, IoU ", least_iou_);
    if (classes.size() > 1) chart.series.push_back(MeanCurve(classes));
    if (classes.size() > kMaxCurves) {
      std::stable_sort(classes.begin(), classes.end(), [](const auto* a, const auto* b) {
        return Area(a->curve) > Area(b->curve);
      });
      chart.title =
          absl::StrCat(chart.title, ": the 3 best and 3 worst of ", classes.size(), " classes");
      classes.erase(classes.begin() + 3, classes.end() - 3);
    }
    for (const ClassMetrics* of_class : classes) {
      ChartSeries& series = chart.series.emplace_back();
      series.name = of_class->name;
      for (size_t i = 0; i < of_class->curve.recall.size(); ++i) {
        series.x.push_back(of_class->curve.recall[i]);
        series.y.push_back(of_class->curve.precision[i]);
      }
    }
    absl::StrAppend(&body_, SvgChart(chart));
  }

  static double Area(const PrecisionRecallCurve& curve) {
    return std::accumulate(curve.precision.begin(), curve.precision.end(), 0.0);
  }

  // Evaluators sample every class's curve at the same recalls; others are left out.
  static ChartSeries MeanCurve(const std::vector<const ClassMetrics*>& classes) {
    ChartSeries mean{absl::StrCat("mean of ", classes.size()), classes[0]->curve.recall, {}};
    mean.y.assign(mean.x.size(), 0);
    int64_t counted = 0;
    for (const ClassMetrics* of_class : classes) {
      if (of_class->curve.recall != mean.x) continue;
      ++counted;
      for (size_t i = 0; i < mean.y.size(); ++i) mean.y[i] += of_class->curve.precision[i];
    }
    for (double& y : mean.y) y /= static_cast<double>(counted);
    return mean;
  }

  void PerClass() {
    const std::vector<ClassMetrics>& classes = content_.metrics.per_class;
    if (classes.empty()) return;
    absl::StrAppend(&body_,
                    "<div class=\"card scroll\" style=\"margin-top: 16px\">\n<table>\n<thead><tr>"
                    "<th scope=\"col\">class</th>");
    for (const auto& [name, value] : classes[0].values) {
      absl::StrAppend(&body_, "<th scope=\"col\">", EscapeHtml(name), "</th>");
    }
    absl::StrAppend(&body_, "</tr></thead>\n<tbody>\n");
    for (size_t c = 0; c < classes.size(); ++c) {
      absl::StrAppend(&body_, "<tr><th scope=\"row\">", Swatch(static_cast<int64_t>(c) + 1), " ",
                      EscapeHtml(classes[c].name), "</th>");
      for (size_t i = 0; i < classes[c].values.size(); ++i) {
        const std::optional<double>& value = classes[c].values[i].second;
        absl::StrAppend(&body_,
                        i == 0 ? BarCell(value) : absl::StrCat("<td>", MetricText(value), "</td>"));
      }
      absl::StrAppend(&body_, "</tr>\n");
    }
    absl::StrAppend(&body_, "</tbody>\n</table>\n</div>\n");
  }

  static std::string Swatch(int64_t label) {
    return absl::StrCat("<span class=\"swatch\" style=\"background: ", CssColor(ClassColor(label)),
                        "\"></span>");
  }

  // The classes that appear in any of `boxes`' pictures.
  void ClassLegend(const std::vector<int64_t>& labels) {
    absl::StrAppend(&body_, "<ul class=\"legend\">");
    for (const int64_t label : labels) {
      absl::StrAppend(&body_, "<li>", Swatch(label), EscapeHtml(Name(content_.labels, label)),
                      "</li>");
    }
    absl::StrAppend(&body_, "</ul>\n");
  }

  std::vector<int64_t> LabelsShown() const {
    std::vector<int64_t> labels;
    for (const ReportPicture& picture : content_.pictures) {
      for (const Annotation& truth : picture.truths) labels.push_back(truth.label);
      for (const PixelDetection& detection : picture.detections) {
        if (detection.score >= content_.shown_score) labels.push_back(detection.label);
      }
    }
    std::sort(labels.begin(), labels.end());
    labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
    return labels;
  }

  // The picture itself: embedded where it first stands, referred to from then on.
  std::string Image(size_t index) {
    const ReportPicture& picture = content_.pictures[index];
    embedded_.resize(content_.pictures.size(), false);
    if (embedded_[index]) return absl::StrCat("<use href=\"#picture", index, "\"/>");
    embedded_[index] = true;
    return absl::StrCat("<image id=\"picture", index, "\" width=\"", picture.size.width,
                        "\" height=\"", picture.size.height,
                        "\" preserveAspectRatio=\"none\" href=\"data:image/jpeg;base64,",
                        absl::Base64Escape(picture.jpeg), "\"/>");
  }

  static std::string Rect(const PixelBox& box, const std::string& attributes,
                          const std::string& title) {
    return absl::StrFormat(
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" %s>%s</rect>", box.x0, box.y0,
        std::max(box.width(), 0.0), std::max(box.height(), 0.0), attributes,
        title.empty() ? "" : absl::StrCat("<title>", EscapeHtml(title), "</title>"));
  }

  // A line that stands out from bright and dark ground: dark below, colored above.
  static std::string Outline(const PixelBox& box, const std::string& color, const char* kind,
                             double opacity, const std::string& title) {
    return absl::StrCat(
        Rect(box, absl::StrFormat("class=\"shade%s\" stroke-opacity=\"%.2g\"", kind, 0.5 * opacity),
             ""),
        Rect(box,
             absl::StrFormat("class=\"box%s\" stroke=\"%s\" stroke-opacity=\"%.2g\"", kind, color,
                             opacity),
             title),
        "\n");
  }

  static std::string Label(const PixelBox& box, const std::string& text, const ImageSize& size) {
    const double font = std::max<double>(size.width, 0.75 * size.height) / 24;
    // Above the box; inside where there is no room. From its left edge; to its right one where the
    // text might leave the picture.
    const double y = box.y0 > 1.2 * font ? box.y0 - 0.3 * font : box.y0 + 1.05 * font;
    const bool at_end = box.x0 > 0.65 * static_cast<double>(size.width);
    const double x = at_end ? std::min<double>(box.x1, size.width - 2) : std::max(box.x0, 2.0);
    return absl::StrFormat(
        "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" stroke-width=\"%.1f\"%s>%s</text>\n", x, y,
        font, font / 4.5, at_end ? " text-anchor=\"end\"" : "", EscapeHtml(text));
  }

  struct DrawnBox {
    PixelBox box;
    int64_t label;
    std::string text;
    bool dashed;
  };

  std::string Panel(size_t index, const std::string& title, const std::string& description,
                    const std::vector<DrawnBox>& boxes) {
    const ReportPicture& picture = content_.pictures[index];
    std::string html = absl::StrFormat(
        "<div><p class=\"panel-title\">%s</p>\n<svg class=\"picture\" viewBox=\"0 0 %d %d\" "
        "role=\"img\" aria-label=\"%s\">\n%s\n",
        EscapeHtml(title), picture.size.width, picture.size.height, EscapeHtml(description),
        Image(index));
    for (const DrawnBox& drawn : boxes) {
      absl::StrAppend(&html, Outline(drawn.box, CssColor(ClassColor(drawn.label)),
                                     drawn.dashed ? " dashed" : "", 1, drawn.text));
    }
    if (boxes.size() <= kMaxNamedBoxes) {
      for (const DrawnBox& drawn : boxes) {
        absl::StrAppend(&html, Label(drawn.box, drawn.text, picture.size));
      }
    }
    absl::StrAppend(&html, "</svg></div>\n");
    return html;
  }

  void Detections() {
    bool any = false;
    for (const ReportPicture& picture : content_.pictures) {
      any = any || !picture.truths.empty() || !picture.detections.empty();
    }
    if (!any) return;
    Open(
        "detections", "Pictures", "Truth and detections",
        absl::StrFormat(
            "Detections that score at least %g. Dashed: a truth that was not found, or a detection "
            "that matches no truth of its class at IoU %g.",
            content_.shown_score, least_iou_));
    ClassLegend(LabelsShown());
    absl::StrAppend(&body_, "<div class=\"sheet\">\n");
    for (size_t i = 0; i < content_.pictures.size(); ++i) DetectionCard(i);
    absl::StrAppend(&body_, "</div>\n");
    Close();
  }

  void DetectionCard(size_t index) {
    const ReportPicture& picture = content_.pictures[index];
    const JudgedImage judged =
        JudgeDetections(picture.detections, picture.truths, content_.shown_score, least_iou_);
    std::vector<DrawnBox> boxes;
    size_t wrong = 0;
    for (const JudgedDetection& found : judged.detections) {
      const PixelDetection& detection = found.detection;
      const bool is_wrong = found.verdict == DetectionVerdict::kFalse;
      if (is_wrong) ++wrong;
      boxes.push_back(
          {detection.box, detection.label,
           absl::StrFormat("%s %.2f", Name(content_.labels, detection.label), detection.score),
           is_wrong});
    }
    std::reverse(boxes.begin(), boxes.end());  // the best on top

    std::vector<DrawnBox> truths;
    size_t missed = 0;
    for (size_t g = 0; g < picture.truths.size(); ++g) {
      const Annotation& truth = picture.truths[g];
      const bool counts = !truth.difficult && !truth.crowd;
      if (counts && !judged.found[g]) ++missed;
      truths.push_back(
          {truth.box, truth.label,
           absl::StrCat(Name(content_.labels, truth.label), truth.difficult ? " (difficult)" : "",
                        truth.crowd ? " (crowd)" : ""),
           counts && !judged.found[g]});
    }
    absl::StrAppend(&body_, "<figure class=\"card\">\n<div class=\"pair\">\n",
                    Panel(index, absl::StrCat("Truth: ", Plural(truths.size(), "object")),
                          absl::StrCat("Truth in ", picture.name), truths),
                    Panel(index, absl::StrCat("Found: ", Plural(boxes.size(), "detection")),
                          absl::StrCat("Detections in ", picture.name), boxes),
                    "</div>\n<figcaption><b>", EscapeHtml(picture.name), "</b> · ",
                    missed == 0 ? "all found" : absl::StrCat(missed, " missed"), ", ",
                    wrong == 0 ? "none wrong" : absl::StrCat(wrong, " wrong"),
                    "</figcaption>\n</figure>\n");
  }

  void Anchors() {
    bool any = false;
    for (const ReportPicture& picture : content_.pictures) any = any || !picture.matches.empty();
    if (!any) return;
    Open(
        "anchors", "Default boxes", "Default boxes matched to each truth",
        "Solid: the truth. Dashed: the default boxes that learn to find it; the fainter, the lower "
        "their IoU with it.");
    absl::StrAppend(&body_, "<div class=\"sheet small\">\n");
    for (size_t i = 0; i < content_.pictures.size(); ++i) {
      for (const MatchedTruth& match : content_.pictures[i].matches) AnchorCard(i, match);
    }
    absl::StrAppend(&body_, "</div>\n");
    Close();
  }

  // The part of the picture that shows the boxes with some ground around, not less than a third of
  // the picture, and of its shape so that cards line up.
  static PixelBox ViewOf(const MatchedTruth& match, const ImageSize& size) {
    PixelBox view = match.truth.box;
    for (const MatchedAnchor& anchor : match.anchors) {
      view.x0 = std::min(view.x0, anchor.box.x0);
      view.y0 = std::min(view.y0, anchor.box.y0);
      view.x1 = std::max(view.x1, anchor.box.x1);
      view.y1 = std::max(view.y1, anchor.box.y1);
    }
    const double width = static_cast<double>(size.width), height = static_cast<double>(size.height);
    const double scale =
        std::clamp(1.25 * std::max(view.width() / width, view.height() / height), 1.0 / 3, 1.0);
    const auto start = [scale](double low, double high, double whole) {
      return std::clamp((low + high) / 2 - scale * whole / 2, 0.0, whole * (1 - scale));
    };
    const double x = start(view.x0, view.x1, width), y = start(view.y0, view.y1, height);
    return {x, y, x + scale * width, y + scale * height};
  }

  void AnchorCard(size_t index, const MatchedTruth& match) {
    const ReportPicture& picture = content_.pictures[index];
    const std::string color = CssColor(ClassColor(match.truth.label));
    const std::string name = Name(content_.labels, match.truth.label);
    const PixelBox view = ViewOf(match, picture.size);
    absl::StrAppendFormat(
        &body_,
        "<figure class=\"card\">\n<svg class=\"picture\" viewBox=\"%.1f %.1f %.1f %.1f\" "
        "role=\"img\" aria-label=\"%s\">\n%s\n",
        view.x0, view.y0, view.width(), view.height(),
        EscapeHtml(absl::StrCat("Default boxes of a truth, ", name, ", in ", picture.name)),
        Image(index));
    std::vector<MatchedAnchor> anchors = match.anchors;
    std::stable_sort(anchors.begin(), anchors.end(),
                     [](const auto& a, const auto& b) { return a.iou < b.iou; });
    absl::StrAppend(&body_, Outline(match.truth.box, color, "", 1, absl::StrCat("truth: ", name)));
    for (const MatchedAnchor& anchor : anchors) {
      absl::StrAppend(&body_, Outline(anchor.box, "#ffffff", " thin dashed",
                                      std::clamp(0.3 + anchor.iou * 0.8, 0.3, 1.0),
                                      absl::StrFormat("IoU %.2f", anchor.iou)));
    }
    absl::StrAppend(&body_, "</svg>\n<figcaption><b>", Swatch(match.truth.label), " ",
                    EscapeHtml(name), "</b> · ");
    if (anchors.empty()) {
      absl::StrAppend(&body_, "<b>no default box</b>");
    } else {
      absl::StrAppend(&body_, Plural(static_cast<int64_t>(anchors.size()), "box"), ", IoU ");
      absl::StrAppendFormat(&body_, "%.2f", anchors.front().iou);
      if (anchors.size() > 1) absl::StrAppendFormat(&body_, " – %.2f", anchors.back().iou);
    }
    absl::StrAppend(&body_, "<br/>", EscapeHtml(picture.name), "</figcaption>\n</figure>\n");
  }

  void FactsTable(const std::string& title, const ReportContent::Facts& facts) {
    if (facts.empty()) return;
    absl::StrAppend(&body_, "<div class=\"card\">\n<h3>", title,
                    "</h3>\n<table class=\"facts\">\n");
    for (const auto& [label, value] : facts) {
      absl::StrAppend(&body_, "<tr><th scope=\"row\">", EscapeHtml(label), "</th><td>",
                      EscapeHtml(value), "</td></tr>\n");
    }
    absl::StrAppend(&body_, "</table>\n</div>\n");
  }

  void Run() {
    if (content_.run.empty() && content_.timing.empty()) return;
    Open("run", "Run", "Run", "");
    absl::StrAppend(&body_, "<div class=\"columns\">\n");
    FactsTable("What was run", content_.run);
    FactsTable("Time", content_.timing);
    absl::StrAppend(&body_, "</div>\n");
    Close();
  }

  void Config() {
    if (content_.config.empty()) return;
    Open("config", "Config", "Config", "");
    absl::StrAppend(&body_,
                    "<details class=\"card\">\n<summary>The resolved config: <code>train --config"
                    "</code> on it reproduces the run</summary>\n<pre tabindex=\"0\">",
                    EscapeHtml(content_.config), "</pre>\n</details>\n");
    Close();
  }

  const ReportContent& content_;
  double least_iou_ = 0.5;  // of a detection with the truth it finds
  std::string body_;
  std::vector<std::pair<std::string, std::string>> sections_;  // id, link
  std::vector<bool> embedded_;                                 // by picture
};

}  // namespace

std::string HtmlReport(const ReportContent& content) { return Report(content).Page(); }

}  // namespace ssd
