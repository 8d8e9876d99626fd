#ifndef SSD_REPORT_PICTURE_SHEET_H_
#define SSD_REPORT_PICTURE_SHEET_H_

#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ssd/report/class_colors.h"
#include "ssd/report/drawing.h"

namespace ssd {

struct SheetTile {
  cv::Mat picture;  // 8 bits, three channels in OpenCV's order (blue, green, red); not empty
  std::vector<std::string> caption;  // lines below it
};

// What a kind of outline on the tiles means.
struct SheetLegend {
  Rgb color;
  LineStyle style = LineStyle::kSolid;
  std::string text;
};

// Pictures in rows on one page. Lines of text are cut where a tile (the title: the sheet) ends;
// letters that OpenCV does not have become '?'.
struct PictureSheet {
  std::string title;
  std::vector<SheetLegend> legend;
  std::vector<SheetTile> tiles;  // row by row
  int columns = 4;               // at least 1
};

// A picture of a tile's size and what became of its pixels.
struct FittedPicture {
  cv::Mat bgr;
  double scale = 1;  // of coordinates

  PixelBox Place(const PixelBox& box) const;
};

// `rgb` with its longer side at most `side` pixels; one that is smaller by half or more is enlarged
// by whole steps, so that it stays sharp.
FittedPicture FitPicture(const cv::Mat& rgb, int side);

// The page, as OpenCV has pictures. The same sheet gives the same bytes.
cv::Mat DrawSheet(const PictureSheet& sheet);

// Writes DrawSheet as PNG, whole or not at all. \error as WriteFileAtomically.
absl::Status WriteSheet(const std::string& path, const PictureSheet& sheet);

}  // namespace ssd

#endif  // SSD_REPORT_PICTURE_SHEET_H_
