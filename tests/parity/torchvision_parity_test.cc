// Whole networks beside torchvision's, with equal weights and images that one rule makes on both
// sides: README.md. torchvision_outputs.py describes the rule; names below follow it.

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "experiments/load_experiment.h"
#include "ssd/core/annotations.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/tensor_files/named_tensors.h"
#include "ssd/tensor_files/safetensors.h"
#include "ssd/weights/load_weights.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

constexpr int64_t kClasses = 90;
constexpr int64_t kLogits = kClasses + 1;

// What torchvision_outputs.py wrote; dies if it is not there.
const rapidjson::Document& Outputs() {
  static const auto* const outputs = [] {
    const auto text = ReadFile("tests/parity/torchvision_outputs.json");
    CHECK(text.ok()) << text.status();
    auto* const document = new rapidjson::Document;
    document->Parse<rapidjson::kParseFullPrecisionFlag>(text->c_str());
    CHECK(!document->HasParseError());
    return document;
  }();
  return *outputs;
}

// A name's own numbers.
class Draw {
 public:
  Draw(uint64_t seed, absl::string_view name) {
    for (const char c : name) {
      start_ = (start_ ^ static_cast<unsigned char>(c)) * uint64_t{0x100000001b3};
    }
    start_ ^= seed;
  }

  // The i-th, of 24 bits.
  int64_t Bits(int64_t i) const {
    uint64_t z = start_ + (static_cast<uint64_t>(i) + 1) * uint64_t{0x9e3779b97f4a7c15};
    z = (z ^ (z >> 30)) * uint64_t{0xbf58476d1ce4e5b9};
    z = (z ^ (z >> 27)) * uint64_t{0x94d049bb133111eb};
    return static_cast<int64_t>((z ^ (z >> 31)) >> 40);
  }

  // The same in [-1, 1).
  double Signed(int64_t i) const {
    constexpr int64_t kHalf = int64_t{1} << 23;
    return static_cast<double>(Bits(i) - kHalf) / kHalf;
  }

 private:
  uint64_t start_ = 0xcbf29ce484222325;
};

// How a network's weights and its image are made.
class Rule {
 public:
  explicit Rule(const rapidjson::Value& rule)
      : seed_(rule["seed"].GetUint64()),
        norm_variance_(rule["norm_variance"].GetDouble()),
        logit_gain_(rule["logit_gain"].GetDouble()),
        background_(rule["background"].GetDouble()) {}

  Draw DrawFor(absl::string_view name) const { return Draw(seed_, name); }

  // A parameter or buffer by torchvision's name; none of rank 0.
  Tensor Weight(const std::string& name, const std::vector<int64_t>& shape) const {
    const bool logits =
        absl::StartsWith(name, "head.classification_head.") && shape[0] % kLogits == 0;
    if (absl::EndsWith(name, "running_var")) {
      return Fill(name, shape, norm_variance_, norm_variance_ / 2);
    }
    if (absl::EndsWith(name, "running_mean")) return Fill(name, shape, 0, 0.25);
    if (name == "backbone.scale_weight") return Fill(name, shape, 48, 12);
    if (absl::EndsWith(name, "bias")) {
      Tensor bias = Fill(name, shape, 0, 0.25);
      if (logits) bias.view({-1, kLogits}).select(1, 0).fill_(background_);
      return bias;
    }
    if (shape.size() == 1) return Fill(name, shape, 1, 0.25);
    double fan_in = 1;
    for (size_t i = 1; i < shape.size(); ++i) fan_in *= static_cast<double>(shape[i]);
    if (name == "backbone.features.0.weight") fan_in *= 64 * 64;
    return Fill(name, shape, 0, std::sqrt(6 / fan_in) * (logits ? logit_gain_ : 1));
  }

  // [1, 3, H, W] u8.
  Tensor Image(ImageSize size) const {
    const Draw draws[] = {DrawFor("image.50"), DrawFor("image.10"), DrawFor("image.2")};
    Tensor image = at::empty({1, 3, size.height, size.width}, at::kByte);
    uint8_t* pixel = image.mutable_data_ptr<uint8_t>();
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t y = 0; y < size.height; ++y) {
        for (int64_t x = 0; x < size.width; ++x) {
          const auto shade = [&](const Draw& draw, int64_t side) {
            return draw.Bits((c * size.height + y / side) * size.width + x / side) >> 16;
          };
          *pixel++ = static_cast<uint8_t>(
              (2 * shade(draws[0], 50) + shade(draws[1], 10) + shade(draws[2], 2)) >> 2);
        }
      }
    }
    return image;
  }

 private:
  Tensor Fill(const std::string& name, const std::vector<int64_t>& shape, double center,
              double radius) const {
    const Draw draw = DrawFor(name);
    Tensor tensor = at::empty(shape);
    float* const values = tensor.mutable_data_ptr<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      values[i] = static_cast<float>(center + radius * draw.Signed(i));
    }
    return tensor;
  }

  uint64_t seed_;
  double norm_variance_;
  double logit_gain_;
  double background_;
};

struct Network {
  const char* name;  // entry of torchvision_outputs.json
  const char* experiment;
  const char* source;                       // as the importer recognises it
  const char* arch;                         // entry of arch.json; a ResNet's depth
  bool detector;                            // or a backbone
  std::vector<std::string> overrides = {};  // of the experiment
};

void PrintTo(const Network& network, std::ostream* out) { *out << network.name; }

std::shared_ptr<SsdDetector> MakeDetector(const Network& network) {
  const auto experiment = LoadExperiment(network.experiment, network.overrides, ".");
  CHECK(experiment.ok()) << experiment.status();
  auto detector = SsdDetector::Create(experiment->model(), kClasses);
  CHECK(detector.ok()) << detector.status();
  (*detector)->eval();
  return *std::move(detector);
}

// By way of a file such as torchvision's weights come in.
void LoadWeights(const Network& network, const Rule& rule, SsdDetector& detector) {
  const rapidjson::Document& arch = golden::File("arch.json");
  const rapidjson::Value& peer =
      arch.HasMember(network.arch) ? arch[network.arch] : arch["resnet"][network.arch];
  NamedTensors file;
  for (const auto& entry : peer["state_dict"].GetArray()) {
    const std::string name = entry[0].GetString();
    if (absl::EndsWith(name, "num_batches_tracked")) continue;
    std::vector<int64_t> shape;
    for (const auto& extent : entry[1].GetArray()) shape.push_back(extent.GetInt64());
    file.tensors.emplace_back(name, rule.Weight(name, shape));
  }
  const std::string path = absl::StrCat(::testing::TempDir(), "/", network.name, ".safetensors");
  const absl::Status written = WriteSafetensors(path, file);
  ASSERT_TRUE(written.ok()) << written;

  WeightsOptions options;
  options.set_path(path);
  if (!network.detector) options.set_part(WeightsOptions::BACKBONE);
  LabelMap labels;
  for (int64_t label = 1; label <= kClasses; ++label) {
    labels.names.push_back(absl::StrCat("class ", label));
    labels.source_ids.push_back(label);
  }
  const absl::StatusOr<LoadReport> report = LoadWeights(options, labels, detector);
  std::filesystem::remove(path);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->source, network.source);
  EXPECT_EQ(report->loaded.size(), file.tensors.size());
  for (const std::string& name : report->missing) {
    EXPECT_TRUE(absl::EndsWith(name, "num_batches_tracked")) << name;
  }
}

// Of `actual` from an output of the file, as a share of the largest number of that output.
double Deviation(const Rule& rule, const rapidjson::Value& expected, const Tensor& actual) {
  std::vector<int64_t> shape;
  for (const auto& extent : expected["shape"].GetArray()) shape.push_back(extent.GetInt64());
  EXPECT_EQ(actual.sizes().vec(), shape);
  const Tensor flat = actual.to(at::kDouble).contiguous().flatten();
  const double* const values = flat.const_data_ptr<double>();
  const double largest = expected["largest"].GetDouble();
  // First, as std::max keeps a NaN that it has.
  double deviation = std::abs(flat.abs().max().item<double>() - largest);
  const double sum_deviation = std::abs(flat.sum().item<double>() - expected["sum"].GetDouble());
  deviation = std::max(deviation, sum_deviation / static_cast<double>(flat.numel()));
  const Draw positions = rule.DrawFor(expected["name"].GetString());
  int64_t i = 0;
  for (const auto& value : expected["values"].GetArray()) {
    const int64_t position = positions.Bits(i++) % flat.numel();
    deviation = std::max(deviation, std::abs(values[position] - value.GetDouble()));
  }
  return deviation / largest;
}

// By the file's names: every level's part of the predictions.
std::map<std::string, Tensor> ByLevel(const Predictions& predictions, const Anchors& anchors) {
  std::map<std::string, Tensor> outputs;
  int64_t begin = 0;
  for (size_t level = 0; level < anchors.per_level.size(); ++level) {
    const int64_t count = anchors.per_level[level];
    outputs[absl::StrCat("box_codes.", level)] = predictions.box_codes.narrow(1, begin, count);
    outputs[absl::StrCat("class_logits.", level)] =
        predictions.class_logits.narrow(1, begin, count);
    begin += count;
  }
  return outputs;
}

// The last is C5.
std::map<std::string, Tensor> BackboneOutputs(SsdDetector& detector, const Tensor& image) {
  const auto per_channel = [](const auto& values) {
    return at::tensor(at::ArrayRef<float>(values.data(), 3)).view({1, 3, 1, 1});
  };
  const InputConfig& input = detector.config().input();
  const Tensor normalized =
      image.to(at::kFloat).sub(per_channel(input.mean())).div(per_channel(input.std()));
  std::map<std::string, Tensor> outputs;
  const std::vector<Tensor> maps = detector.backbone().Forward(normalized);
  size_t level = 6 - maps.size();
  for (const Tensor& map : maps) {
    outputs[absl::StrCat("C", level++)] = map;
  }
  return outputs;
}

class TorchvisionParityTest : public ::testing::TestWithParam<Network> {
 protected:
  void ExpectOutputs(const std::map<std::string, Tensor>& actual) {
    const auto& expected = Expected()["outputs"].GetArray();
    ASSERT_EQ(actual.size(), expected.Size());
    double largest = 0;
    for (const auto& output : expected) {
      const std::string name = output["name"].GetString();
      ASSERT_EQ(actual.count(name), 1u) << name;
      const double deviation = Deviation(rule_, output, actual.at(name));
      EXPECT_LE(deviation, 1e-4) << name;
      largest = std::max(largest, deviation);
    }
    std::printf("[  parity  ] %s: outputs deviate by at most %.1e of the largest\n",
                GetParam().name, largest);
  }

  void ExpectDetections(const Detections& actual, ImageSize size) {
    const rapidjson::Value& expected = Expected()["detections"];
    const int64_t count = actual.counts[0].item<int64_t>();
    const Tensor labels = golden::Numbers(expected["labels"]);
    ASSERT_EQ(count, labels.size(0));
    EXPECT_TRUE(actual.labels[0].slice(0, 0, count).to(at::kDouble).equal(labels));
    const double height = static_cast<double>(size.height);
    const double width = static_cast<double>(size.width);
    const Tensor pixels = at::tensor({width, height, width, height}, at::kDouble);
    const auto deviation = [&](const Tensor& of_image, const char* key) {
      const Tensor numbers = of_image.slice(0, 0, count).to(at::kDouble);
      return (numbers - golden::Numbers(expected[key])).abs().max().item<double>();
    };
    const double scores = deviation(actual.scores[0], "scores");
    const double boxes = deviation(actual.boxes[0] * pixels, "boxes");
    EXPECT_LE(scores, 1e-3);
    EXPECT_LE(boxes, 0.1);
    std::printf("[  parity  ] %s: %d detections deviate by at most %.1e in score, %.1e px\n",
                GetParam().name, static_cast<int>(count), scores, boxes);
  }

  const rapidjson::Value& Expected() const { return Outputs()[GetParam().name]; }

  Rule rule_{Outputs()[GetParam().name]["rule"]};
};

TEST_P(TorchvisionParityTest, ComputesWhatTorchvisionComputes) {
  at::NoGradGuard no_grad;
  const auto detector = MakeDetector(GetParam());
  ASSERT_NO_FATAL_FAILURE(LoadWeights(GetParam(), rule_, *detector));
  const Tensor image = rule_.Image(detector->input_size());
  if (!GetParam().detector) {
    ExpectOutputs(BackboneOutputs(*detector, image));
    return;
  }
  const Predictions predictions = detector->Forward(image);
  ExpectOutputs(ByLevel(predictions, detector->anchors()));
  ExpectDetections(detector->Detect(predictions), detector->input_size());
}

INSTANTIATE_TEST_SUITE_P(
    All, TorchvisionParityTest,
    ::testing::Values(Network{"ssd300_vgg16", "experiments/coco/ssd300_vgg16_torchvision.textproto",
                              "torchvision's ssd300_vgg16", "torchvision_ssd300_vgg16_91", true},
                      Network{"ssdlite320_mobilenet_v3_large",
                              "experiments/coco/ssdlite320_mobilenet_v3.textproto",
                              "torchvision's ssdlite320_mobilenet_v3_large",
                              "torchvision_ssdlite320_91_reduced_tail", true},
                      Network{"resnet18", "experiments/coco/ssd300_resnet18.textproto",
                              "torchvision's ResNets", "18", false},
                      Network{"resnet50", "experiments/coco/ssd300_resnet50.textproto",
                              "torchvision's ResNets", "50", false},
                      // As the experiment says for torchvision's weights.
                      Network{"mobilenet_v2",
                              "experiments/coco/ssd300_mobilenet_v2.textproto",
                              "torchvision's mobilenet_v2",
                              "mobilenet_v2",
                              false,
                              {"model.backbone.mobilenet_v2.norm_epsilon=1e-5",
                               "model.input.mean=[123.675,116.28,103.53]",
                               "model.input.std=[58.395,57.12,57.375]"}}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace ssd
