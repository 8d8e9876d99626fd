// Pascal VOC's annotations of an image, the file and what a dataset makes of it: data/voc_xml.h,
// data/voc.cc.

#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "absl/strings/string_view.h"
#include "data/dataset.h"
#include "data/voc_xml.h"
#include "tests/fuzz/image_folder.h"
#include "tests/fuzz/memory_file.h"

namespace {

void Read(absl::string_view xml) {
  const ssd::VocAnnotation annotation = ssd::ParseVocXml(xml);
  if (annotation.size.width < 0 || annotation.size.height < 0) __builtin_trap();
  if (!annotation.is_readable && (annotation.faults.empty() || !annotation.objects.empty())) {
    __builtin_trap();
  }
  for (const ssd::VocObject& object : annotation.objects) {
    if (object.class_name.empty() || object.line < 0) __builtin_trap();
  }
  for (const ssd::VocFault& fault : annotation.faults) {
    if (fault.message.empty() || fault.line < 0) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Read(absl::string_view(reinterpret_cast<const char*>(data), size));

  static const ssd::ImageFolder folder;
  static auto* const file = new ssd::MemoryFile;
  static const bool linked = [] {
    std::filesystem::create_directories(folder.root() / "Annotations");
    std::filesystem::create_symlink(file->path(), folder.root() / "Annotations" / "a.xml");
    return true;
  }();
  (void)linked;
  file->Write(data, size);
  ssd::DatasetConfig config;
  config.mutable_voc()->set_root(folder.root().string());
  ssd::LookAtDataset(config);
  return 0;
}
