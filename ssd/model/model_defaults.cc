#include "ssd/model/model_defaults.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <array>

namespace ssd {
namespace {

// Of ImageNet's training images, as torchvision's weights expect it.
constexpr std::array<float, 3> kImageNetMeanRgb = {123.675f, 116.28f, 103.53f};
constexpr std::array<float, 3> kImageNetStdRgb = {58.395f, 57.12f, 57.375f};

// True if neither a member of `oneof kind` nor an extension is set.
bool HasNoKind(const google::protobuf::Message& family) {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  family.GetReflection()->ListFields(family, &fields);
  return fields.empty();
}

void FillIfEmpty(google::protobuf::RepeatedField<float>& field, const std::array<float, 3>& rgb,
                 InputConfig::ChannelOrder order) {
  if (!field.empty()) return;
  field.Add(rgb.begin(), rgb.end());
  if (order == InputConfig::BGR) std::reverse(field.begin(), field.end());
}

}  // namespace

void ResolveModelDefaults(ModelConfig& config) {
  InputConfig& input = *config.mutable_input();
  FillIfEmpty(*input.mutable_mean(), kImageNetMeanRgb, input.channel_order());
  FillIfEmpty(*input.mutable_std(), kImageNetStdRgb, input.channel_order());
  config.mutable_head();
  const auto fill = [](auto& family, auto set_kind) {
    if (HasNoKind(family)) set_kind(family);
  };
  fill(*config.mutable_neck(), [](NeckConfig& family) { family.mutable_ssd_extras(); });
  fill(*config.mutable_anchor_generator(),
       [](AnchorGeneratorConfig& family) { family.mutable_ssd(); });
  fill(*config.mutable_matcher(), [](MatcherConfig& family) { family.mutable_ssd(); });
  fill(*config.mutable_box_coder(), [](BoxCoderConfig& family) { family.mutable_center_size(); });
  fill(*config.mutable_loss(), [](LossConfig& family) { family.mutable_multibox(); });
  fill(*config.mutable_post_processor(),
       [](PostProcessorConfig& family) { family.mutable_per_class_nms(); });
}

}  // namespace ssd
