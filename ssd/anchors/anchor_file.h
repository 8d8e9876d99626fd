#ifndef SSD_ANCHORS_ANCHOR_FILE_H_
#define SSD_ANCHORS_ANCHOR_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ssd/core/types.h"

// Files of default boxes, in two formats that other programs read and write too; the name's ending
// says which: .npy (ssd/tensor_files/npy.h), or .safetensors with one tensor
// (ssd/tensor_files/safetensors.h).
namespace ssd {

// The boxes (cx, cy, w, h) of a file: [A, 4] f32 with A > 0, on the CPU. Reads float32 and float64.
// \error InvalidArgument naming the file and what is wrong with it: another ending, an ending that
// lies, a type, order or shape that is not read, a number that is not finite, a width or height
// that is not > 0. Otherwise as ReadNpy and ReadSafetensors.
absl::StatusOr<Tensor> ReadAnchorFile(const std::string& path);

// Writes boxes [A, 4] f32 so that ReadAnchorFile gives the same; whole or not at all.
// \error InvalidArgument for another ending; otherwise as WriteFileAtomically.
absl::Status WriteAnchorFile(const std::string& path, const Tensor& boxes);

}  // namespace ssd

#endif  // SSD_ANCHORS_ANCHOR_FILE_H_
