#ifndef SSD_ANCHORS_ANCHOR_FILE_H_
#define SSD_ANCHORS_ANCHOR_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ssd/core/types.h"

// Files of default boxes, in two formats that other programs read and write too; the name's ending
// says which:
//
//   .npy          NumPy's array format, versions 1 to 3 (numpy.lib.format)
//   .safetensors  a file with one tensor (github.com/huggingface/safetensors, "Format")
namespace ssd {

// The boxes (cx, cy, w, h) of a file: [A, 4] f32 with A > 0, on the CPU. Reads float32 and float64,
// little-endian, in C order.
// \error InvalidArgument naming the file and what is wrong with it: another ending, an ending that
// lies, a type, order or shape that is not read, a number that is not finite, a width or height
// that is not > 0. DataLoss if it is cut off. NotFound, PermissionDenied, Internal as ReadFile.
absl::StatusOr<Tensor> ReadAnchorFile(const std::string& path);

// Writes boxes [A, 4] f32 so that ReadAnchorFile gives the same; whole or not at all.
// \error InvalidArgument for another ending; otherwise as WriteFileAtomically.
absl::Status WriteAnchorFile(const std::string& path, const Tensor& boxes);

}  // namespace ssd

#endif  // SSD_ANCHORS_ANCHOR_FILE_H_
