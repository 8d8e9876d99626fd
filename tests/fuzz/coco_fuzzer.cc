// COCO's instances, the file and what a dataset makes of it: data/coco_json.h, data/coco.cc.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "data/coco_json.h"
#include "data/dataset.h"
#include "tests/fuzz/image_folder.h"
#include "tests/fuzz/memory_file.h"

namespace {

// What is read of `json`, with faults and error.
std::string Read(absl::string_view json, size_t chunk_bytes) {
  std::string read;
  const ssd::CocoFault fault = [&read](int64_t line, const std::string& message) {
    if (line < 1) __builtin_trap();
    absl::StrAppend(&read, line, ": ", message, "\n");
    return absl::OkStatus();
  };
  const absl::StatusOr<ssd::CocoInstances> instances =
      ssd::ParseCocoJson(json, "fuzz.json", fault, chunk_bytes);
  if (!instances.ok()) return absl::StrCat(read, instances.status().message());
  for (const ssd::CocoImage& image : instances->images) {
    if (image.size.width < 0 || image.size.height < 0 || image.line < 1) __builtin_trap();
    absl::StrAppend(&read, image.line, ": ", image.id, " ", image.file_name, " ");
    absl::StrAppend(&read, image.size.width, "x", image.size.height, "\n");
  }
  for (const ssd::CocoAnnotation& object : instances->annotations) {
    if (object.line < 1) __builtin_trap();
    absl::StrAppend(&read, object.line, ": ", object.id, " ", object.image_id, " ");
    absl::StrAppend(&read, object.category_id, " ", object.box.x0, " ", object.box.y0, " ");
    absl::StrAppend(&read, object.box.x1, " ", object.box.y1, " ", object.area);
    absl::StrAppend(&read, object.crowd ? " crowd\n" : "\n");
  }
  for (const ssd::CocoCategory& category : instances->categories) {
    if (category.line < 1) __builtin_trap();
    absl::StrAppend(&read, category.line, ": ", category.id, " ", category.name, "\n");
  }
  return read;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view json(reinterpret_cast<const char*>(data), size);
  // Where chunks end makes no difference.
  constexpr size_t kWhole = size_t{1} << 18;
  const std::string read = Read(json, kWhole);
  for (const size_t chunk_bytes : {size_t{1}, size_t{7}}) {
    if (Read(json, chunk_bytes) != read) __builtin_trap();
  }

  static const ssd::ImageFolder folder;
  static auto* const file = new ssd::MemoryFile;
  file->Write(data, size);
  ssd::DatasetConfig config;
  config.mutable_coco()->set_annotations(file->path());
  config.mutable_coco()->set_images(folder.images());
  ssd::LookAtDataset(config);
  return 0;
}
