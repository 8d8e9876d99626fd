#ifndef DATA_PACK_H_
#define DATA_PACK_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "ssd/core/geometry.h"

namespace ssd {

// What becomes of images. Those whose size stays are copied as their files are, also where a size
// is given; images in no file of their own become PNG.
struct PackOptions {
  // Images are warped to it. 0x0: they keep their size.
  ImageSize size;
  // Images whose longer side is longer are reduced to it, their aspect ratio kept. 0: none is.
  int64_t longest_side = 0;
  // Of resized images, which become JPEG: 1 to 100.
  int64_t quality = 95;
  // Called now and then; where it is false, nothing is written. May be empty.
  std::function<bool(int64_t done, int64_t all)> go_on;
};

struct PackSummary {
  int64_t images = 0;
  int64_t objects = 0;
  int64_t classes = 0;
  int64_t copied = 0;  // images that are as they were
  int64_t bytes = 0;   // of the file
  std::string digest;
};

// Writes `dataset` to the new file `path`, which `packed` reads: whole or not at all. Boxes and
// areas of a resized image are those of the resized picture.
// \error InvalidArgument for options; AlreadyExists; ResourceExhausted when the disk is full;
// Cancelled where go_on stopped it; from the dataset; DataLoss naming an image that cannot be read
// or is of another size than annotated.
absl::StatusOr<PackSummary> PackDataset(const Dataset& dataset, const PackOptions& options,
                                        const std::string& path);

// Compares every byte of a packed file with the digests in it. \error as PackedFile::Verify.
absl::StatusOr<PackSummary> VerifyPackedFile(const std::string& path);

}  // namespace ssd

#endif  // DATA_PACK_H_
