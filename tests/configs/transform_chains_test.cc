// What shipped experiments do to a training image is what the programs they follow do, number by
// number: each field stands here, so that a default that changes is seen.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/data.pb.h"
#include "experiments/experiment.pb.h"
#include "experiments/load_experiment.h"
#include "ssd/core/text_proto.h"

namespace ssd {
namespace {

// With what the network's input has to say: the mean fills the canvas of `expand`.
std::string TrainingChain(const std::string& path) {
  const absl::StatusOr<Experiment> loaded = LoadExperiment(path, std::vector<std::string>(), ".");
  if (!loaded.ok()) return loaded.status().ToString();
  Experiment chain;
  *chain.mutable_model()->mutable_input() = loaded->model().input();
  *chain.mutable_data()->mutable_train()->mutable_transform() = loaded->data().train().transform();
  return PrintTextProto(chain);
}

std::string Chain(const std::string& input, const std::string& transforms) {
  Experiment chain;
  const absl::Status parsed = ParseTextProto("model { input { height: 300 width: 300 " + input +
                                                 " } } data { train { " + transforms + " } }",
                                             "this test", chain);
  return parsed.ok() ? PrintTextProto(chain) : parsed.ToString();
}

// weiliu89/caffe, branch ssd: train_transform_param and batch_sampler of
// examples/ssd/ssd_pascal.py.
TEST(TransformChainsTest, Ssd300IsCaffes) {
  EXPECT_EQ(TrainingChain("experiments/voc/ssd300_vgg16.textproto"),
            Chain("channel_order: BGR mean: [104, 117, 123] std: [1, 1, 1]", R"(
              transform {
                photometric_distortion {
                  brightness: 32
                  min_contrast: 0.5
                  max_contrast: 1.5
                  min_saturation: 0.5
                  max_saturation: 1.5
                  hue: 18
                  probability: 0.5
                  wrap_hue: false
                  channel_shuffle_probability: 0
                }
              }
              transform { expand { probability: 0.5 max_ratio: 4 min_ratio: 1 } }
              transform {
                iou_crop {
                  min_scale: 0.3
                  max_scale: 1
                  min_aspect_ratio: 0.5
                  max_aspect_ratio: 2
                  max_trials: 50
                }
              }
              transform { resize { interpolation: RANDOM } }
              transform { horizontal_flip { probability: 0.5 } })"));
}

// pytorch/vision, references/detection: "ssd" of presets.py, its defaults from transforms.py;
// models/detection/transform.py resizes. Least IoUs are the component's own, none of them stated.
TEST(TransformChainsTest, TorchvisionsSsd300IsTorchvisions) {
  EXPECT_EQ(TrainingChain("experiments/coco/ssd300_vgg16_torchvision.textproto"),
            Chain("channel_order: RGB mean: [122.99925, 116.9991, 103.9992] std: [1, 1, 1]", R"(
              transform {
                color_jitter {
                  brightness: 0.125
                  contrast: 0.5
                  saturation: 0.5
                  hue: 0.05
                  probability: 0.5
                  order: CONTRAST_SECOND_OR_LAST
                  channel_shuffle_probability: 0.5
                }
              }
              transform { expand { probability: 0.5 max_ratio: 4 min_ratio: 1 } }
              transform {
                min_iou_crop {
                  overlap: SOME
                  min_scale: 0.3
                  max_scale: 1
                  min_aspect_ratio: 0.5
                  max_aspect_ratio: 2
                  relative_aspect_ratio: false
                  trials: 40
                }
              }
              transform { resize { interpolation: LINEAR } }
              transform { horizontal_flip { probability: 0.5 } })"));
}

// NVIDIA/DeepLearningExamples, PyTorch/Detection/SSD: SSDCropping and SSDTransformer of
// ssd/utils.py.
TEST(TransformChainsTest, NvidiasSsd300IsNvidias) {
  EXPECT_EQ(TrainingChain("experiments/coco/ssd300_resnet50_nvidia.textproto"),
            Chain("channel_order: RGB mean: [123.675, 116.28, 103.53] std: [58.395, 57.12, 57.375]",
                  R"(
              transform {
                min_iou_crop {
                  overlap: ALL
                  min_scale: 0.3
                  max_scale: 1
                  min_aspect_ratio: 0.5
                  max_aspect_ratio: 2
                  relative_aspect_ratio: true
                  trials: 1
                }
              }
              transform { resize { interpolation: LINEAR } }
              transform {
                color_jitter {
                  brightness: 0.125
                  contrast: 0.5
                  saturation: 0.5
                  hue: 0.05
                  probability: 1
                  order: ANY
                  channel_shuffle_probability: 0
                }
              }
              transform { horizontal_flip { probability: 0.5 } })"));
}

}  // namespace
}  // namespace ssd
