#include "ssd/report/picture_sheet.h"

#include <algorithm>
#include <cstdint>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr double kFontScale = 0.42;
constexpr double kTitleScale = 0.55;
constexpr int kMargin = 12;  // px, around tiles and texts
constexpr int kLine = 17;    // px, from one line of text to the next
constexpr int kTitleLine = 22;
constexpr int kSampleWidth = 34;  // px of a legend's sample
constexpr int kSampleHeight = 16;
constexpr int kLeastWidth = 360;  // px of a sheet: room for its texts
const cv::Scalar kInk(40, 40, 40);

int TextWidth(const std::string& text, double scale) {
  int baseline = 0;
  return cv::getTextSize(text, kFont, scale, 1, &baseline).width;
}

// One '?' for each letter that cannot be drawn, whatever its bytes.
std::string Letterable(absl::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isprint(byte)) {
      result.push_back(c);
    } else if (byte < 0x80 || byte >= 0xc0) {
      result.push_back('?');
    }
  }
  return result;
}

// `text` cut so that it takes at most `width` pixels.
std::string Cut(absl::string_view text, double scale, int width) {
  std::string whole = Letterable(text);
  if (TextWidth(whole, scale) <= width) return whole;
  std::string cut = whole;
  while (!cut.empty()) {
    cut.pop_back();
    const std::string shown = absl::StrCat(cut, "...");
    if (TextWidth(shown, scale) <= width) return shown;
  }
  return "";
}

// `top`: of the line.
void DrawText(const std::string& text, int left, int top, double scale, cv::Mat& page) {
  cv::putText(page, text, cv::Point(left, top + kLine - 5), kFont, scale, kInk, 1, cv::LINE_AA);
}

// A box of the legend's kind on grey, on which every color shows.
cv::Mat LegendSample(const SheetLegend& legend) {
  cv::Mat sample(kSampleHeight, kSampleWidth, CV_8UC3, cv::Scalar::all(110));
  std::vector<OutlinedBox> boxes(1);
  boxes[0].box = {3, 3, kSampleWidth - 3, kSampleHeight - 3};
  boxes[0].color = legend.color;
  boxes[0].style = legend.style;
  DrawBoxes(boxes, sample);
  return sample;
}

// Where an entry of the legend stands.
struct LegendPlace {
  int left = 0;
  int row = 0;
  std::string text;
};

// Entries side by side as far as `width` goes.
std::vector<LegendPlace> PlaceLegend(const std::vector<SheetLegend>& legend, int width) {
  std::vector<LegendPlace> places;
  int left = kMargin, row = 0;
  for (const SheetLegend& entry : legend) {
    const int room = width - 2 * kMargin - kSampleWidth - kMargin / 2;
    LegendPlace place;
    place.text = Cut(entry.text, kFontScale, room);
    const int taken = kSampleWidth + kMargin / 2 + TextWidth(place.text, kFontScale);
    if (left > kMargin && left + taken > width - kMargin) {
      left = kMargin;
      ++row;
    }
    place.left = left;
    place.row = row;
    left += taken + 2 * kMargin;
    places.push_back(place);
  }
  return places;
}

}  // namespace

PixelBox FittedPicture::Place(const PixelBox& box) const {
  return {box.x0 * scale, box.y0 * scale, box.x1 * scale, box.y1 * scale};
}

FittedPicture FitPicture(const cv::Mat& rgb, int side) {
  CHECK(!rgb.empty());
  FittedPicture fitted;
  const int longer = std::max(rgb.rows, rgb.cols);
  cv::Mat sized = rgb;
  if (longer > side) {
    fitted.scale = static_cast<double>(side) / longer;
    const auto at_least_one = [&](int length) {
      return std::max(1, static_cast<int>(length * fitted.scale + 0.5));
    };
    cv::resize(rgb, sized, cv::Size(at_least_one(rgb.cols), at_least_one(rgb.rows)), 0, 0,
               cv::INTER_AREA);
  } else if (const int times = side / longer; times > 1) {
    fitted.scale = times;
    cv::resize(rgb, sized, cv::Size(), times, times, cv::INTER_NEAREST);
  }
  cv::cvtColor(sized, fitted.bgr, cv::COLOR_RGB2BGR);
  return fitted;
}

cv::Mat DrawSheet(const PictureSheet& sheet) {
  CHECK_GE(sheet.columns, 1);
  const size_t columns =
      std::max<size_t>(1, std::min(static_cast<size_t>(sheet.columns), sheet.tiles.size()));
  const size_t rows = (sheet.tiles.size() + columns - 1) / columns;
  int tile_width = 0;
  std::vector<int> picture_height(rows, 0), row_height(rows, 0);
  for (size_t i = 0; i < sheet.tiles.size(); ++i) {
    const SheetTile& tile = sheet.tiles[i];
    CHECK(!tile.picture.empty() && tile.picture.type() == CV_8UC3);
    tile_width = std::max(tile_width, tile.picture.cols);
    picture_height[i / columns] = std::max(picture_height[i / columns], tile.picture.rows);
  }
  for (size_t i = 0; i < sheet.tiles.size(); ++i) {
    const int lines = static_cast<int>(sheet.tiles[i].caption.size());
    row_height[i / columns] =
        std::max(row_height[i / columns], picture_height[i / columns] + lines * kLine);
  }

  const int width =
      std::max(kLeastWidth, static_cast<int>(columns) * (tile_width + kMargin) + kMargin);
  const std::vector<LegendPlace> legend = PlaceLegend(sheet.legend, width);
  const int legend_rows = legend.empty() ? 0 : legend.back().row + 1;
  const int title_height = sheet.title.empty() ? 0 : kTitleLine;
  int height = kMargin + title_height + legend_rows * (kSampleHeight + kMargin / 2) + kMargin;
  for (const int row : row_height) height += row + kMargin;

  cv::Mat page(height, width, CV_8UC3, cv::Scalar::all(255));
  int top = kMargin;
  DrawText(Cut(sheet.title, kTitleScale, width - 2 * kMargin), kMargin, top, kTitleScale, page);
  top += title_height;
  for (size_t i = 0; i < legend.size(); ++i) {
    const int y = top + legend[i].row * (kSampleHeight + kMargin / 2);
    const cv::Mat sample = LegendSample(sheet.legend[i]);
    sample.copyTo(page(cv::Rect(legend[i].left, y, sample.cols, sample.rows)));
    DrawText(legend[i].text, legend[i].left + kSampleWidth + kMargin / 2, y, kFontScale, page);
  }
  top += legend_rows * (kSampleHeight + kMargin / 2) + kMargin;

  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) {
      const size_t i = row * columns + column;
      if (i >= sheet.tiles.size()) break;
      const SheetTile& tile = sheet.tiles[i];
      const int left = kMargin + static_cast<int>(column) * (tile_width + kMargin);
      tile.picture.copyTo(page(cv::Rect(left, top, tile.picture.cols, tile.picture.rows)));
      int line = top + picture_height[row];
      for (const std::string& text : tile.caption) {
        DrawText(Cut(text, kFontScale, tile_width), left, line, kFontScale, page);
        line += kLine;
      }
    }
    top += row_height[row] + kMargin;
  }
  return page;
}

absl::Status WriteSheet(const std::string& path, const PictureSheet& sheet) {
  std::vector<uint8_t> bytes;
  if (!cv::imencode(".png", DrawSheet(sheet), bytes)) {
    return absl::InternalError(absl::StrCat(path, ": OpenCV cannot encode a PNG"));
  }
  return WriteFileAtomically(
      path, absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

}  // namespace ssd
