#ifndef SSD_WEIGHTS_CONVERT_WEIGHTS_H_
#define SSD_WEIGHTS_CONVERT_WEIGHTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ssd {

struct ConversionOptions {
  std::string input;   // any file that ReadWeights reads
  std::string output;  // .safetensors, .pt or .pth
  // "torchvision": ssd300_vgg16's, ssdlite320_mobilenet_v3_large's, or a backbone's; "own": the
  // detector's, which model.weights loads back (part: BACKBONE where there is no head).
  std::string names = "torchvision";
};

// What was written.
struct Conversion {
  struct Row {
    std::string name;       // in the output
    std::string file_name;  // in the input
    std::vector<int64_t> shape;
    std::string type;  // "float32"
  };
  std::string source;  // "amdegroot's ssd300"
  std::string target;  // likewise
  std::vector<Row> rows;
  std::vector<std::string> left_out;  // names in the input
  // What to know beside: a first convolution that was turned, an input that is not what the
  // target's networks are fed, and what the output cannot keep.
  std::vector<std::string> notes;
  int64_t elements = 0;
};

// Translates names and layouts of a file of weights (sources/source.h) and writes them. The first
// convolution's input channels are turned where the target's order of them is another than the
// weights were trained on. A .safetensors file keeps the names of the classes and the input that
// the weights were trained on, where they are known (weight_metadata.h).
// \error naming the file: InvalidArgument when the input's source is not known, options.names or
// the output's ending is none of the above, or torchvision has no name for a weight (the extra
// layers of a ResNet's detector, or fc6 and fc7 of a VGG-16 without a head); or as ReadWeights,
// WriteSafetensors and WriteTorchFile.
absl::StatusOr<Conversion> ConvertWeights(const ConversionOptions& options);

}  // namespace ssd

#endif  // SSD_WEIGHTS_CONVERT_WEIGHTS_H_
