#ifndef SSD_WEIGHTS_SOURCES_SOURCE_H_
#define SSD_WEIGHTS_SOURCES_SOURCE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ssd/core/types.h"
#include "ssd/weights/name_rules.h"
#include "ssd/weights/weight_file.h"
#include "ssd/weights/weights.pb.h"

// Whose weights a file holds, and how they become the detector's.
namespace ssd {

// A weight of a file on its way into a detector.
struct TranslatedTensor {
  // The detector's; "" for one that is known and left out, nullopt for an unknown one.
  std::optional<std::string> name;
  std::string file_name;  // the file's
  Tensor tensor;
};

// What a published file was trained on.
struct PublishedInput {
  std::string file;
  TrainedInput input;
};

struct WeightSource {
  WeightsOptions::Source id = WeightsOptions::AUTO;
  std::string description;  // "torchvision's ssd300_vgg16"
  // Names (as NameRule.from) that only such a file has all of; those of sources that come before it
  // in WeightSources() apart.
  std::vector<std::string> signature;
  // Files with a name beside the rules' are other sources'.
  bool has_all_names = false;
  // From the file's names to the detector's, backbone.*, neck.* and head.*. Of sources that
  // convert_weights writes they name every layer, so that no other network passes for theirs.
  std::vector<NameRule> rules;
  // Without head.
  bool backbone_only = false;
  // Patterns of the detector's names: what such a file does not have, and what it has that not
  // every detector needs.
  std::vector<std::string> may_be_missing;
  std::vector<std::string> may_be_unused;
  std::optional<TrainedInput> input;
  // Of files that their names do not tell apart, in place of `input`.
  std::vector<PublishedInput> published_inputs;
  // Changes of layout, after the names are translated; null: none. Gives an error when the tensors
  // are not what the source's are.
  absl::Status (*change_layout)(std::vector<TranslatedTensor>& tensors) = nullptr;
};

// Whether a network that was trained on the one may be fed the other: of the same channel order,
// and equal within a hundredth of the range of pixel values.
bool AreAlike(const TrainedInput& trained, const TrainedInput& fed);

// As InputConfig's text has it, without height and width.
std::string InputText(const TrainedInput& input);

// That a file of the source does not tell its input, and what the published ones were trained on.
std::string UnknownInputText(const WeightSource& source);

// Every source, in the order in which they are tried.
const std::vector<WeightSource>& WeightSources();

// The first source of that id, or for AUTO the first whose signature the names have. `path` is for
// errors. \error InvalidArgument naming the file when none has.
absl::StatusOr<const WeightSource*> FindSource(WeightsOptions::Source id, const WeightFile& file,
                                               const std::string& path);

// The file's tensors in its order, with the detector's names and layouts.
// \error InvalidArgument naming the file when the tensors are not what the source's are.
absl::StatusOr<std::vector<TranslatedTensor>> Translate(const WeightSource& source,
                                                        const WeightFile& file,
                                                        const std::string& path);

// The published names of the classes of a network with that many class logits an anchor, by row:
// "" for the background and for rows without a class. VOC's 20 in their usual order for 21 rows,
// COCO's 80 for 81, and for 91 by their ids; empty for any other number.
std::vector<std::string> PublishedClasses(int64_t rows);

}  // namespace ssd

#endif  // SSD_WEIGHTS_SOURCES_SOURCE_H_
