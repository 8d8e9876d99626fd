// Pascal VOC's annotations of an image, the file and what a dataset makes of it: data/voc.cc.

#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "data/dataset.h"
#include "tests/fuzz/image_folder.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
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
