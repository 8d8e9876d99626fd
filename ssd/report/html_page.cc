#include "ssd/report/html_page.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

constexpr absl::string_view kStyle = R"css(
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --line: #dfe3e8; --grid: #e9ecf0; --ink: #1b1f24; --soft: #59636e;
  --accent: #0062a3; --bar: #d5e6f5;
  --s0: #0062a3; --s1: #c2410c; --s2: #12805c; --s3: #a3237f; --s4: #8a6d00; --s5: #5b4bc4;
  --s6: #00788c; --s7: #6b7280;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101418; --card: #181d23; --line: #2d353e; --grid: #262d35; --ink: #e8ebef; --soft: #9aa5b1;
    --accent: #6cb6f5; --bar: #1e4263;
    --s0: #5cb0f5; --s1: #ff9a5c; --s2: #4fd1a5; --s3: #f084cc; --s4: #e3c34d; --s5: #a99cff;
    --s6: #4fc9dd; --s7: #a8b1bb;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0 auto; padding: 0 20px 48px; max-width: 1240px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif;
}
h1 { margin: 28px 0 4px; font-size: 28px; line-height: 1.2; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { margin: 40px 0 4px; font-size: 20px; line-height: 1.3; scroll-margin-top: 52px; }
h3 { margin: 0 0 8px; font-size: 15px; }
p { margin: 4px 0 12px; max-width: 76ch; }
.soft, figcaption, caption { color: var(--soft); }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
nav {
  position: sticky; top: 0; z-index: 2; margin: 0 -20px; padding: 8px 20px; background: var(--page);
  border-bottom: 1px solid var(--line); overflow-x: auto; white-space: nowrap; scrollbar-width: none;
}
nav a { margin-right: 18px; text-decoration: none; font-size: 14px; }
nav a:hover { text-decoration: underline; }
.tiles { display: grid; gap: 12px; margin: 16px 0 20px; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); }
.card { min-width: 0; padding: 14px; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile b { display: block; font-size: 26px; line-height: 1.2; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.charts { display: grid; gap: 16px; margin-top: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 350px), 1fr)); }
figure { margin: 0; }
figure h3 { margin-bottom: 2px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 0 0 6px; padding: 0; list-style: none; font-size: 13px; color: var(--soft); }
.legend li { display: flex; align-items: center; gap: 6px; min-width: 0; overflow-wrap: anywhere; }
.key { flex: none; display: inline-block; width: 16px; height: 0; border-top: 3px solid currentColor; border-radius: 2px; }
.swatch { flex: none; display: inline-block; vertical-align: -1px; width: 12px; height: 12px; border-radius: 3px; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: inherit; }
.chart text { fill: var(--soft); font-size: 12px; }
.chart .grid { stroke: var(--grid); }
.chart .axis { stroke: var(--line); }
.chart polyline { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.chart .dot { fill: currentColor; }
.chart .probe rect { fill: transparent; }
.chart .probe line { stroke: var(--soft); stroke-dasharray: 3 3; }
.chart .probe line, .chart .probe circle { opacity: 0; }
.chart .probe circle { fill: currentColor; stroke: var(--card); stroke-width: 1.5; }
.chart .probe:hover line, .chart .probe:hover circle { opacity: 1; }
.s0 { color: var(--s0); } .s1 { color: var(--s1); } .s2 { color: var(--s2); } .s3 { color: var(--s3); }
.s4 { color: var(--s4); } .s5 { color: var(--s5); } .s6 { color: var(--s6); } .s7 { color: var(--s7); }
.columns { display: grid; gap: 16px; margin-top: 12px; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); align-items: start; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
caption { padding-bottom: 6px; text-align: left; font-size: 13px; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
tr:last-child th, tr:last-child td { border-bottom: 0; }
thead th { color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--line); }
th:first-child, td.text, th.text { text-align: left; }
tbody th { font-weight: 500; white-space: normal; overflow-wrap: break-word; min-width: 6.5em; max-width: 24em; }
td.text { white-space: normal; overflow-wrap: anywhere; color: var(--soft); }
td.value { color: var(--ink); }
td.bar { background: linear-gradient(var(--bar), var(--bar)) no-repeat left 4px center / var(--v) 70%; }
td.best { font-weight: 700; }
tr.reference th, tr.reference td { color: var(--soft); }
.facts th { color: var(--soft); width: 38%; }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.sheet { display: grid; gap: 16px; margin-top: 12px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 520px), 1fr)); }
.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 230px), 1fr)); }
.pair { display: grid; gap: 10px; grid-template-columns: 1fr 1fr; align-items: start; }
.sheet .card { padding: 10px; }
.picture { border-radius: 6px; background: var(--grid); overflow: hidden; }
.panel-title { margin: 0 0 4px; font-size: 13px; color: var(--soft); }
figcaption { margin-top: 8px; font-size: 13px; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); font-weight: 600; }
.picture rect { fill: none; vector-effect: non-scaling-stroke; stroke-width: 2px; stroke-linejoin: round; pointer-events: all; }
.picture .shade { stroke: #000; stroke-width: 4px; }
.picture .dashed { stroke-dasharray: 6 5; }
.picture .thin { stroke-width: 1.5px; }
.picture .thin.shade { stroke-width: 2.5px; stroke-dasharray: none; }
.picture text { font-weight: 600; paint-order: stroke; stroke: #000; stroke-opacity: 0.8; stroke-linejoin: round; fill: #fff; }
details { margin-top: 12px; }
summary { cursor: pointer; font-weight: 600; }
pre { margin: 12px 0 0; overflow-x: auto; font: 13px/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; tab-size: 2; }
footer { margin-top: 40px; color: var(--soft); font-size: 13px; }
@media (max-width: 820px) {
  .columns { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 560px) {
  .chart text { font-size: 14px; }
  body { padding: 0 14px 40px; font-size: 15px; }
  nav { margin: 0 -14px; padding: 8px 14px; }
  nav a { display: inline-block; padding: 4px 0; }
  h1 { font-size: 24px; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(98px, 1fr)); gap: 8px; }
  .tile b { font-size: 22px; }
  .card { padding: 12px; }
  .pair { grid-template-columns: 1fr; }
  th, td { padding: 5px 8px; }
  .meaning { display: none; }
  .small { grid-template-columns: 1fr 1fr; gap: 10px; }
  .small .card { padding: 8px; }
  .scroll th:first-child { position: sticky; left: 0; background: var(--card); }
}
@media print {
  nav { display: none; }
  body { max-width: none; }
  .card, figure { break-inside: avoid; }
}
)css";

// Length of the well-formed UTF-8 sequence at the start of `text`; 0 if there is none.
size_t Utf8Length(absl::string_view text) {
  const auto byte = [&](size_t i) -> uint32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || length > text.size()) return 0;
  uint32_t code = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  // XML has no place for the two that end each plane 0.
  const bool nonsense = code > 0x10ffff || code == 0xfffe || code == 0xffff;
  return overlong || surrogate || nonsense ? 0 : length;
}

}  // namespace

std::string EscapeHtml(absl::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const char first = text[0];
    if (length == 0) {
      escaped += "\xef\xbf\xbd";
    } else if (length > 1) {
      escaped.append(text.data(), length);
    } else if (first == '&') {
      escaped += "&amp;";
    } else if (first == '<') {
      escaped += "&lt;";
    } else if (first == '>') {
      escaped += "&gt;";
    } else if (first == '"') {
      escaped += "&quot;";
    } else if (first == '\'') {
      escaped += "&#39;";
    } else if (first == '\n' || first == '\t' ||
               (static_cast<unsigned char>(first) >= 0x20 && first != 0x7f)) {
      escaped += first;
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return escaped;
}

std::string HtmlPage(absl::string_view title, absl::string_view body) {
  return absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "img-src data:; style-src 'unsafe-inline'\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>",
      EscapeHtml(title), "</title>\n<style>", kStyle, "</style>\n</head>\n<body>\n", body,
      "</body>\n</html>\n");
}

}  // namespace ssd
