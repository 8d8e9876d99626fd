#ifndef EXPERIMENTS_CHECK_CHECK_JSON_H_
#define EXPERIMENTS_CHECK_CHECK_JSON_H_

#include <string>

#include "experiments/check/check_report.h"

namespace ssd {

// One JSON document with everything:
//   {"train": {"images": 187, "boxes": 2500, "classes": 3,
//              "problems": [{"severity": "error", "kind": "box_empty", "file": "a.xml", "line": 7,
//                            "message": "..."}, ...],
//              "anchor_recall": {"0.3": {"all": 1, "small": 0.9, "medium": 1, "large": null}, ...},
//              "per_class": [{"name": "cat", "anchor_recall": {"0.3": 1, ...},
//                             "matched_recall": {"0.3": 1, ...}, ...}, ...],
//              "statistics": {...}, "anchors": {...}, "ceiling": {...},
//              "suggested_anchors": {...}},
//    "validation": {the same, without the last}, "overfit": {...} where it was asked for}
// anchor_recall: the share of truths, by their size in the original, that some anchor overlaps by
// that IoU; matched_recall: that one of the anchors it was given does. suggested_anchors.config is
// null where they are not worth a change; "verdict" says why. A number that does not exist is null.
// Boxes are those of crowds, too; all other numbers of boxes leave crowds out.
std::string CheckJson(const CheckReport& report);

}  // namespace ssd

#endif  // EXPERIMENTS_CHECK_CHECK_JSON_H_
