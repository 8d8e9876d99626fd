// COCO's instances, the file and what a dataset makes of it: data/coco.cc.

#include <cstddef>
#include <cstdint>

#include "data/dataset.h"
#include "tests/fuzz/image_folder.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ssd::ImageFolder folder;
  static auto* const file = new ssd::MemoryFile;
  file->Write(data, size);
  ssd::DatasetConfig config;
  config.mutable_coco()->set_annotations(file->path());
  config.mutable_coco()->set_images(folder.images());
  ssd::LookAtDataset(config);
  return 0;
}
