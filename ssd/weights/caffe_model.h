#ifndef SSD_WEIGHTS_CAFFE_MODEL_H_
#define SSD_WEIGHTS_CAFFE_MODEL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/weights/weight_file.h"

namespace ssd {

// The weights in the bytes of a .caffemodel (caffe.proto), without Caffe; `path` names them in
// errors. Blob i of a layer is called "LAYER/i": a
// convolution's weights are "conv1_1/0" [out, in, height, width], its biases "conv1_1/1". Blobs of
// files before 2014 keep their four dimensions: biases are [1, 1, 1, n]. Doubles stay doubles.
// metadata["net"] is the net's name. Layers without blobs are left out.
//
// \error naming the file and the blob: InvalidArgument for a file that has no layers, more than
// 100,000 layers and blobs, or 2 GiB and more; DataLoss when it is cut off or corrupt, a blob's
// shape is not that of its data, or two layers of one name have blobs.
absl::StatusOr<WeightFile> ParseCaffeModel(absl::string_view bytes, const std::string& path);

// Whether the bytes are, from the first to the last, fields of Caffe's NetParameter, and layers
// among them. Nothing else in the format marks such a file.
bool LooksLikeCaffeModel(absl::string_view bytes);

}  // namespace ssd

#endif  // SSD_WEIGHTS_CAFFE_MODEL_H_
