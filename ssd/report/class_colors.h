#ifndef SSD_REPORT_CLASS_COLORS_H_
#define SSD_REPORT_CLASS_COLORS_H_

#include <cstdint>
#include <string>

namespace ssd {

struct Rgb {
  uint8_t red, green, blue;
};

// The color of class `label` >= 1, the same in every picture. The first ten can be told apart with
// any color vision (after P. Tol, "Colour schemes", SRON/EPS/TN/09-002) and stand out from
// photographs; later ones step around the color circle.
Rgb ClassColor(int64_t label);

// Black or white, whichever is easier to read on `background` (WCAG 2 contrast).
Rgb TextColorOn(Rgb background);

// "#0077bb".
std::string CssColor(Rgb color);

}  // namespace ssd

#endif  // SSD_REPORT_CLASS_COLORS_H_
