// Tables of boxes as CSV, TSV and JSON lines, the text and what a dataset makes of it:
// data/table_text.h, data/table.cc.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/data.pb.h"
#include "data/dataset.h"
#include "data/table_text.h"
#include "tests/fuzz/image_folder.h"
#include "tests/fuzz/memory_file.h"

namespace {

void Read(absl::string_view text, const ssd::TableOptions& options) {
  const ssd::TableFault fault = [](int64_t line, const std::string& message) {
    if (line < 1 || message.empty()) __builtin_trap();
    return absl::OkStatus();
  };
  const absl::StatusOr<ssd::TableRows> table = ssd::ParseTable(text, "fuzz", options, fault);
  if (!table.ok()) return;
  for (const std::string& image : table->left_out) {
    if (image.empty()) __builtin_trap();
  }
  int64_t last_line = 0;
  for (const ssd::TableRow& row : table->rows) {
    if (row.line <= last_line || row.image.empty()) __builtin_trap();
    if (row.size.width < 0 || row.size.height < 0) __builtin_trap();
    for (const ssd::TableObject& object : row.objects) {
      if (object.class_name.empty()) __builtin_trap();
    }
    last_line = row.line;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ssd::ImageFolder folder;
  static auto* const file = new ssd::MemoryFile;
  file->Write(data, size);
  const auto look = [&](ssd::TableOptions::Format format, ssd::TableOptions::Corners corners,
                        bool normalized) {
    ssd::DatasetConfig config;
    ssd::TableOptions& options = *config.mutable_table();
    options.set_file(file->path());
    options.set_images(folder.images());
    options.set_format(format);
    options.set_corners(corners);
    options.set_normalized(normalized);
    Read(absl::string_view(reinterpret_cast<const char*>(data), size), options);
    ssd::LookAtDataset(config);
  };
  look(ssd::TableOptions::CSV, ssd::TableOptions::X0_Y0_X1_Y1, false);
  look(ssd::TableOptions::TSV, ssd::TableOptions::X0_Y0_W_H, false);
  look(ssd::TableOptions::JSON_LINES, ssd::TableOptions::CX_CY_W_H, true);
  return 0;
}
