// YOLO's label files, and files of class names; what a dataset makes of the former:
// data/yolo_text.h, data/yolo.cc.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/dataset.h"
#include "data/yolo_text.h"
#include "tests/fuzz/image_folder.h"
#include "tests/fuzz/memory_file.h"

namespace {

void ReadLabels(absl::string_view text) {
  const ssd::YoloLabels labels = ssd::ParseYoloLabels(text);
  int64_t last_line = 0;
  for (const ssd::YoloObject& object : labels.objects) {
    if (object.class_index < 0 || object.line <= last_line) __builtin_trap();
    last_line = object.line;
  }
  last_line = 0;
  for (const ssd::YoloFault& fault : labels.faults) {
    if (fault.message.empty() || fault.line <= last_line) __builtin_trap();
    last_line = fault.line;
  }
}

void ReadNames(absl::string_view text, const std::string& file) {
  const absl::StatusOr<std::vector<std::string>> names = ssd::ParseYoloNames(text, file);
  if (!names.ok()) return;
  if (names->empty()) __builtin_trap();
  for (const std::string& name : *names) {
    if (name.empty()) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  ReadLabels(text);
  ReadNames(text, "fuzz.txt");
  ReadNames(text, "fuzz.yaml");

  static const ssd::ImageFolder folder;
  static auto* const file = new ssd::MemoryFile;
  static const bool linked = [] {
    std::filesystem::create_directories(folder.root() / "labels");
    std::filesystem::create_symlink(file->path(), folder.root() / "labels" / "a.txt");
    return true;
  }();
  (void)linked;
  file->Write(data, size);
  ssd::DatasetConfig config;
  config.mutable_yolo()->set_images(folder.images());
  config.mutable_yolo()->set_labels((folder.root() / "labels").string());
  ssd::LookAtDataset(config, {"cat", "dog", "owl"});
  return 0;
}
