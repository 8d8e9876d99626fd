#include "data/transforms/transform.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace ssd {

absl::StatusOr<std::vector<std::unique_ptr<Transform>>> CreateTransforms(
    const google::protobuf::RepeatedPtrField<TransformConfig>& configs,
    const TransformContext& context) {
  std::vector<std::unique_ptr<Transform>> transforms;
  for (int i = 0; i < configs.size(); ++i) {
    auto transform = TransformRegistry::Get().Create(configs[i], context);
    if (!transform.ok()) {
      return absl::Status(transform.status().code(),
                          absl::StrCat("transform[", i, "].", transform.status().message()));
    }
    transforms.push_back(*std::move(transform));
  }
  return transforms;
}

}  // namespace ssd
