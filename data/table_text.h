#ifndef DATA_TABLE_TEXT_H_
#define DATA_TABLE_TEXT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/data.pb.h"
#include "ssd/core/geometry.h"

namespace ssd {

struct TableObject {
  PixelBox box;  // corners, in pixels or shares of the image as the table has them; any numbers
  std::string class_name;
  bool difficult = false;
  bool crowd = false;
};

// A record of CSV or TSV, with one object at most, or a line of JSON.
struct TableRow {
  std::string image;
  ImageSize size;                    // a side that is not stated: 0
  std::vector<TableObject> objects;  // those without fault
  int64_t line = 0;                  // of its beginning, from 1
};

struct TableRows {
  std::vector<TableRow> rows;
  // The images of rows that are left out, of those that name one.
  std::vector<std::string> left_out;
};

// Hears of a row or an object that lacks something or has it in the wrong form, and is left out. An
// error ends the reading with that error.
using TableFault = std::function<absl::Status(int64_t line, const std::string& message)>;

// Reads the text of a table whose path is `name`, which tells the format unless `options` do; looks
// at no file.
//
// CSV and TSV (RFC 4180; lines may also end in LF or CR): the first record names the columns, in
// any order, more than are needed. Spaces around a field are none of it. A row whose label and box
// are empty is an image without objects. Optional columns: `width` and `height` of the image
// (unless they are columns of the box), `difficult` and `crowd` (0 or 1).
//
// JSON lines have one object of the same keys a line, for one box; or `objects`, a list of such
// objects with label and box, for an image; or neither, for an image without objects. A box is
// either four keys or a list of four numbers, `box`.
//
// \error InvalidArgument for a format that is not known, a column that is missing.
absl::StatusOr<TableRows> ParseTable(absl::string_view text, const std::string& name,
                                     const TableOptions& options, const TableFault& fault);

}  // namespace ssd

#endif  // DATA_TABLE_TEXT_H_
