// The whole detector, with the components of this project: wiring, files, summary, and the face it
// shows to people's own programs.

#include "experiments/detector.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <filesystem>
#include <map>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <vector>

#include "ssd/anchors/anchor_file.h"
#include "ssd/core/boxes.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/text_proto.h"
#include "ssd/model/model_file.h"
#include "ssd/model/model_summary.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {
namespace {

constexpr char kSmall[] = "backbone { resnet { depth: 18 width: 4 } }";
// Few cells, few channels: quick.
constexpr char kTiny[] =
    "num_levels: 3 input { height: 96 width: 128 } backbone { resnet { depth: 18 width: 4 } }";

ModelConfig ParseConfig(const std::string& text) {
  ModelConfig config;
  const absl::Status status = ParseTextProto(text, "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return config;
}

std::shared_ptr<SsdDetector> MakeDetector(const std::string& text, int64_t num_classes = 3) {
  at::manual_seed(31);
  auto detector = SsdDetector::Create(ParseConfig(text), num_classes);
  EXPECT_TRUE(detector.ok()) << detector.status();
  return *std::move(detector);
}

Tensor RandomImages(const SsdDetector& detector, int64_t batch_size) {
  const ImageSize size = detector.input_size();
  return at::randint(256, {batch_size, 3, size.height, size.width}, at::kByte)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

// Two objects in the first image, none in the second; three rows of padding.
Truth TwoTruths() {
  Truth truth;
  truth.boxes = at::zeros({2, 5, 4});
  truth.labels = at::zeros({2, 5}, at::kLong);
  truth.ignore = at::zeros({2, 5}, at::kBool);
  truth.boxes[0][0].copy_(at::tensor({0.1f, 0.2f, 0.5f, 0.6f}));
  truth.boxes[0][1].copy_(at::tensor({0.55f, 0.5f, 0.95f, 0.9f}));
  truth.labels[0][0] = 3;
  truth.labels[0][1] = 1;
  return truth;
}

std::string CreateError(const std::string& text) {
  return std::string(SsdDetector::Create(ParseConfig(text), 3).status().message());
}

TEST(SsdDetectorTest, IsSsd300ByDefault) {
  at::NoGradGuard no_grad;
  const auto detector = MakeDetector(kSmall);
  detector->eval();
  std::vector<int64_t> heights;
  for (const FeatureSpec& level : detector->levels()) heights.push_back(level.height);
  EXPECT_EQ(heights, (std::vector<int64_t>{38, 19, 10, 5, 3, 1}));
  EXPECT_EQ(detector->anchors_per_cell(), (std::vector<int64_t>{4, 6, 6, 6, 4, 4}));
  EXPECT_EQ(detector->anchors().boxes.size(0), 8732);
  const Predictions predictions = detector->Forward(RandomImages(*detector, 2));
  EXPECT_EQ(predictions.box_codes.sizes(), at::IntArrayRef({2, 8732, 4}));
  EXPECT_EQ(predictions.class_logits.sizes(), at::IntArrayRef({2, 8732, 4}));
  for (const auto& parameter : detector->named_parameters()) {
    const std::string family = parameter.key().substr(0, parameter.key().find('.'));
    EXPECT_TRUE(family == "backbone" || family == "neck" || family == "head") << parameter.key();
  }
  // What is derived from the config is not part of the state.
  EXPECT_FALSE(detector->named_buffers().contains("anchors"));
}

// The same layers on a larger image: more cells, boxes of as many pixels.
TEST(SsdDetectorTest, AnchorsOfAnotherSizeKeepTheirPixels) {
  at::NoGradGuard no_grad;
  const auto detector = MakeDetector(kTiny);
  detector->eval();
  const auto own = detector->AnchorsAt({96, 128});
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_TRUE(own->boxes.equal(detector->anchors().boxes));
  EXPECT_EQ(own->per_level, detector->anchors().per_level);

  const auto larger = detector->AnchorsAt({192, 192});
  ASSERT_TRUE(larger.ok()) << larger.status();
  const Tensor pixels = at::tensor({128.0f, 96.0f}), larger_pixels = at::tensor({192.0f, 192.0f});
  int64_t first = 0, larger_first = 0;
  for (size_t k = 0; k < own->per_level.size(); ++k) {
    EXPECT_GT(larger->per_level[k], own->per_level[k]);
    // Of each level's first cell, every shape.
    const int64_t shapes = detector->anchors_per_cell()[k];
    EXPECT_TRUE(
        at::allclose(larger->boxes.narrow(0, larger_first, shapes).narrow(1, 2, 2) * larger_pixels,
                     own->boxes.narrow(0, first, shapes).narrow(1, 2, 2) * pixels, 1e-6));
    first += own->per_level[k];
    larger_first += larger->per_level[k];
  }
  // Boxes that are clipped are cut at the border of the larger image: true sizes come first.
  const auto clipped = MakeDetector(std::string(kTiny) +
                                    " anchor_generator { ssd { clip: CORNERS min_scale: 0.5 } }")
                           ->AnchorsAt({192, 192});
  const auto whole =
      MakeDetector(std::string(kTiny) + " anchor_generator { ssd { min_scale: 0.5 } }")
          ->AnchorsAt({192, 192});
  ASSERT_TRUE(clipped.ok() && whole.ok()) << clipped.status() << whole.status();
  EXPECT_TRUE(at::allclose(CornersFromCenters(clipped->boxes),
                           CornersFromCenters(whole->boxes).clamp(0, 1), 0, 1e-6));

  const Predictions predictions =
      detector->ForwardAnySize(at::randint(256, {2, 3, 192, 192}, at::kByte));
  EXPECT_EQ(predictions.box_codes.sizes(), at::IntArrayRef({2, larger->boxes.size(0), 4}));

  // More than components can count.
  const absl::Status many = detector->AnchorsAt({40000, 40000}).status();
  EXPECT_EQ(many.code(), absl::StatusCode::kInvalidArgument) << many;
  EXPECT_NE(many.message().find("an image of 40000x40000 are too many"), absl::string_view::npos)
      << many;

  // Its last level would be smaller than a cell.
  const absl::Status status =
      MakeDetector("num_levels: 6 input { height: 300 width: 300 } " + std::string(kSmall))
          ->AnchorsAt({100, 300})
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
}

TEST(SsdDetectorTest, PredictionsAreInTheAnchorsOrder) {
  at::NoGradGuard no_grad;
  const std::vector<FeatureSpec> levels = {{2, 3, 4}, {2, 2, 2}};
  const std::vector<int64_t> anchors_per_cell = {2, 3};
  HeadConfig config;
  config.set_kernel(1);
  MultiboxHead head(levels, anchors_per_cell, /*num_classes=*/4, config);
  // Every output is 100 * cell, plus its own channel.
  for (const auto& parameter : head.named_parameters()) {
    Tensor value = parameter.value();
    if (value.dim() == 1) {
      value.copy_(at::arange(value.size(0)));
    } else {
      value.fill_(50);
    }
  }
  std::vector<Tensor> maps;
  int64_t first_cell = 0;
  for (const FeatureSpec& level : levels) {
    const int64_t cells = level.height * level.width;
    maps.push_back(at::arange(first_cell, first_cell + cells, at::kFloat)
                       .view({1, 1, level.height, level.width})
                       .expand({2, 2, -1, -1}));
    first_cell += cells;
  }
  for (const at::MemoryFormat format :
       {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    for (Tensor& map : maps) map = map.contiguous(format);
    const Predictions predictions = head.Forward(maps);
    int64_t anchor = 0;
    for (int64_t cell = 0; cell < first_cell; ++cell) {
      const int64_t shapes = anchors_per_cell[cell < 12 ? 0 : 1];
      for (int64_t shape = 0; shape < shapes; ++shape, ++anchor) {
        const Tensor codes = at::arange(shape * 4, shape * 4 + 4) + 100 * cell;
        const Tensor logits = at::arange(shape * 5, shape * 5 + 5) + 100 * cell;
        EXPECT_TRUE(predictions.box_codes[1][anchor].equal(codes.to(at::kFloat)));
        EXPECT_TRUE(predictions.class_logits[0][anchor].equal(logits.to(at::kFloat)));
      }
    }
    EXPECT_EQ(anchor, predictions.box_codes.size(1));
  }
}

TEST(SsdDetectorTest, NormalisesInTheNetworksChannelOrder) {
  at::NoGradGuard no_grad;
  const auto rgb = MakeDetector(
      "num_levels: 2 input { height: 64 width: 64 mean: [10, 20, 30] std: [1, 2, 4] }"
      "backbone { resnet { depth: 18 width: 4 } }");
  const auto bgr = MakeDetector(
      "num_levels: 2 input { height: 64 width: 64 mean: [30, 20, 10] std: [4, 2, 1]"
      "  channel_order: BGR } backbone { resnet { depth: 18 width: 4 } }");
  rgb->eval();
  bgr->eval();
  Tensor weight = bgr->named_parameters()["backbone.conv1.weight"];
  weight.copy_(weight.flip({1}).clone());
  const Tensor images = RandomImages(*rgb, 2);
  const Tensor before = images.clone();
  const Tensor expected = rgb->Forward(images).class_logits;
  const Tensor error = (bgr->Forward(images).class_logits - expected).norm() / expected.norm();
  EXPECT_LT(error.item<double>(), 1e-5);
  EXPECT_TRUE(images.equal(before));
  // A constant image of the mean is an image of zeros, on which a ResNet without biases is silent.
  const Tensor mean =
      at::tensor({10, 20, 30}).to(at::kByte).view({1, 3, 1, 1}).expand({1, 3, 64, 64});
  EXPECT_EQ(rgb->Forward(mean.contiguous()).class_logits.abs().max().item<double>(), 0);
  EXPECT_EQ(bgr->Forward(mean.contiguous()).class_logits.abs().max().item<double>(), 0);
}

TEST(SsdDetectorTest, LayoutAndBatchChangeNoValue) {
  at::NoGradGuard no_grad;
  const auto detector = MakeDetector(kTiny);
  detector->eval();
  const Tensor images = RandomImages(*detector, 3);
  const Predictions expected = detector->Forward(images);
  const Predictions contiguous = detector->Forward(images.contiguous());
  const Predictions one = detector->Forward(images.slice(0, 1, 2));
  EXPECT_TRUE(contiguous.class_logits.allclose(expected.class_logits, 1e-3, 1e-4));
  EXPECT_TRUE(contiguous.box_codes.allclose(expected.box_codes, 1e-3, 1e-4));
  EXPECT_TRUE(one.class_logits.allclose(expected.class_logits.slice(0, 1, 2), 1e-3, 1e-4));
}

TEST(SsdDetectorTest, TargetsAreTheMatchedTruths) {
  const auto detector = MakeDetector(kTiny);
  const Truth truth = TwoTruths();
  const Targets targets = detector->AssignTargets(truth);
  const int64_t anchors = detector->anchors().boxes.size(0);
  EXPECT_EQ(targets.labels.sizes(), at::IntArrayRef({2, anchors}));
  EXPECT_TRUE(targets.labels[1].eq(0).all().item<bool>());
  const Tensor found = std::get<0>(at::_unique(targets.labels[0]));
  EXPECT_TRUE(found.equal(at::tensor({0, 1, 3}, at::kLong)));
  const Tensor decoded = detector->box_coder().Decode(targets.box_codes, detector->anchors().boxes);
  for (const int64_t row : {0, 1}) {
    const Tensor mine = targets.labels[0].eq(truth.labels[0][row]);
    const Tensor boxes = targets.boxes[0].index({mine});
    EXPECT_TRUE(boxes.equal(truth.boxes[0][row].expand_as(boxes)));
    EXPECT_TRUE(decoded[0].index({mine}).allclose(boxes, 1e-4, 1e-5));
  }
  EXPECT_TRUE(targets.box_codes.isfinite().all().item<bool>());

  Truth none;
  none.boxes = at::zeros({2, 0, 4});
  none.labels = at::zeros({2, 0}, at::kLong);
  none.ignore = at::zeros({2, 0}, at::kBool);
  EXPECT_TRUE(detector->AssignTargets(none).labels.eq(0).all().item<bool>());
}

TEST(SsdDetectorTest, EveryParameterLearnsAlsoUnderAutocast) {
  const auto detector = MakeDetector(kTiny);
  detector->train();
  const Tensor images = RandomImages(*detector, 2);
  for (const bool bfloat16 : {false, true}) {
    detector->zero_grad();
    at::autocast::set_autocast_enabled(at::kCPU, bfloat16);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    const Predictions predictions = detector->Forward(images);
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
    EXPECT_EQ(predictions.class_logits.scalar_type(), bfloat16 ? at::kBFloat16 : at::kFloat);
    LossDetail detail;
    const Losses losses = detector->ComputeLosses(predictions, TwoTruths(), &detail);
    EXPECT_EQ(losses.total.scalar_type(), at::kFloat);
    EXPECT_EQ(losses.total.dim(), 0);
    EXPECT_TRUE(losses.total.isfinite().item<bool>());
    EXPECT_GT(losses.localization.item<double>(), 0);
    EXPECT_EQ(detail.chosen.sizes(), predictions.class_logits.sizes().slice(0, 2));
    losses.total.backward();
    for (const auto& parameter : detector->named_parameters()) {
      ASSERT_TRUE(parameter.value().grad().defined()) << parameter.key();
      EXPECT_TRUE(parameter.value().grad().isfinite().all().item<bool>()) << parameter.key();
    }
  }
}

// The loss and the post-processor must take the logits for what the head makes of them.
TEST(SsdDetectorTest, HeadsOfEveryKindTrainAndDetect) {
  for (const std::string head : {"separable: true", "activation: SIGMOID prior_probability: 0.01",
                                 "separable: true activation: SIGMOID", "kernel: 1"}) {
    for (const std::string loss : {"multibox {}", "focal {}"}) {
      const auto detector =
          MakeDetector(std::string(kTiny) + " head { " + head + " } loss { " + loss + " }");
      detector->train();
      const Tensor images = RandomImages(*detector, 2);
      const Predictions predictions = detector->Forward(images);
      const bool sigmoid = head.find("SIGMOID") != std::string::npos;
      EXPECT_EQ(predictions.class_logits.size(2), sigmoid ? 3 : 4) << head;
      const Losses losses = detector->ComputeLosses(predictions, TwoTruths());
      losses.total.backward();
      for (const auto& parameter : detector->named_parameters()) {
        ASSERT_TRUE(parameter.value().grad().defined()) << head << parameter.key();
        EXPECT_TRUE(parameter.value().grad().isfinite().all().item<bool>()) << parameter.key();
      }
      detector->eval();
      at::NoGradGuard no_grad;
      const Detections detections = detector->Detect(detector->Forward(images));
      EXPECT_LE(detections.labels.max().item<int64_t>(), 3);
      EXPECT_TRUE(detections.scores.ge(0).logical_and(detections.scores.le(1)).all().item<bool>());
    }
  }
}

TEST(SsdDetectorTest, ErrorsNameTheField) {
  EXPECT_EQ(CreateError("backbone { resnet { depth: 20 } }"),
            "model.backbone.resnet.depth: 20 must be 18, 34, 50 or 101");
  EXPECT_EQ(CreateError(std::string(kSmall) + " num_levels: 7"),
            "model.num_levels: 7 is too large for this input: level 6 is 1x1 cells already; use at "
            "most 6, or a larger input");
  EXPECT_EQ(CreateError(std::string(kSmall) + " num_levels: 0"),
            "model.num_levels: 0 must be at least 1 and at most 64");
  EXPECT_EQ(CreateError(std::string(kSmall) + " input { width: -1 }"),
            "model.input.width: -1 must be in [1, 16384] pixels");
  EXPECT_EQ(CreateError(std::string(kSmall) + " input { std: [1, 0, 1] }"),
            "model.input.std: 0 must be > 0");
  EXPECT_EQ(CreateError(std::string(kSmall) + " input { mean: [1, 2] }"),
            "model.input.mean: has 2 values; give one for each of 3 channels");
  EXPECT_EQ(CreateError(std::string(kSmall) + " input { mean: [1, nan, 2] }"),
            "model.input.mean: nan must be finite");
  EXPECT_EQ(CreateError(std::string(kSmall) + " head { kernel: 2 }"),
            "model.head.kernel: 2 must be odd and in [1, 31]");
  EXPECT_EQ(CreateError(std::string(kSmall) + " head { prior_probability: 0.01 }"),
            "model.head.prior_probability: 0.01 is of head.activation: SIGMOID only; set that or "
            "leave this out");
  EXPECT_EQ(CreateError(std::string(kSmall) + " head { activation: SIGMOID prior_probability: 1 }"),
            "model.head.prior_probability: 1 must be in (0, 1)");
  EXPECT_EQ(CreateError(std::string(kSmall) + " head { norm_epsilon: 0 }"),
            "model.head.norm_epsilon: 0 must be > 0");
  EXPECT_EQ(CreateError(std::string(kSmall) + " head { norm_momentum: 2 }"),
            "model.head.norm_momentum: 2 must be in (0, 1]");
  EXPECT_EQ(CreateError(std::string(kSmall) + " head { kernel: 4097 }"),
            "model.head.kernel: 4097 must be odd and in [1, 31]");
  EXPECT_EQ(CreateError(std::string(kSmall) + " head { norm_epsilon: 0.5 }"),
            "model.head.norm_epsilon: 0.5 has no effect without model.head.separable: true; set "
            "that, or leave this out");
  EXPECT_EQ(CreateError(std::string(kSmall) + " head { norm_epsilon: 1e-3 norm_momentum: 0.03 }"),
            "")
      << "resolved experiments write defaults out";
  EXPECT_EQ(CreateError(std::string(kSmall) + " head { initial_standard_deviation: 0 }"),
            "model.head.initial_standard_deviation: 0 must be > 0");
  EXPECT_EQ(CreateError(std::string(kSmall) + " head { truncate_initial_weights: true }"),
            "model.head.truncate_initial_weights: true has no effect without "
            "model.head.initial_standard_deviation; set that, or leave this out");
  const std::string one_cell =
      "num_levels: 2 input { height: 32 width: 32 } backbone { resnet { depth: 18 norm: "
      "GROUP_NORM ";
  EXPECT_EQ(CreateError(one_cell + "width: 4 } }"),
            "model.backbone.resnet.norm: GROUP_NORM leaves nothing of a map of one cell whose 32 "
            "channels are a group each, and an input of 32x32 makes one; use a larger input, a "
            "larger backbone.resnet.width, or norm: BATCH_NORM");
  EXPECT_EQ(CreateError(one_cell + "width: 8 } }"), "");
  EXPECT_EQ(CreateError("backbone { resnet { depth: 50 width: 4096 } }"),
            "model.backbone.resnet.width: 4096 must be in [1, 512]");
  EXPECT_EQ(CreateError("num_levels: 1 input { height: 16384 width: 16384 } backbone { tiny { "
                        "width: 1 } } anchor_generator { fixed_size { level { min_size: [8, 9, 10, "
                        "11] } } }"),
            "model.anchor_generator: 16777216 boxes of 4 class logits each for an image of "
            "16384x16384 are too many; at most 16777215 boxes and 4294967296 logits can be told "
            "apart: use a smaller image, or fewer boxes a cell");
  EXPECT_EQ(CreateError(std::string(kSmall) + " head { shared: true separable: true }"),
            "model.head.shared: true does not go with head.separable: true, whose norms differ by "
            "level; set one of them to false");
  EXPECT_EQ(CreateError(std::string(kSmall) + " head { shared: true }"),
            "model.head.shared: true needs levels alike, but level 1 has 8 channels and 4 anchors "
            "a cell, level 2 has 16 and 6; choose another neck or anchor_generator, or shared: "
            "false");
  EXPECT_EQ(CreateError("").rfind("model.backbone: ssd.BackboneConfig: no kind is set", 0), 0)
      << CreateError("");
  EXPECT_EQ(CreateError(std::string(kSmall) + " anchor_generator { ssd { min_scale: -1 } }")
                .rfind("model.anchor_generator", 0),
            0);
}

// Collects the warnings of this program.
class WarningCollector : public google::LogSink {
 public:
  WarningCollector() { google::AddLogSink(this); }
  ~WarningCollector() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity severity, const char* /*path*/, const char* /*file*/, int /*line*/,
            const google::LogMessageTime& /*time*/, const char* message, size_t size) override {
    if (severity == google::GLOG_WARNING) text_.append(message, size);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

TEST(SsdDetectorTest, WarnsOfFrozenLayersWithoutWeights) {
  const std::string frozen =
      "num_levels: 3 input { height: 96 width: 128 } "
      "backbone { resnet { depth: 18 width: 4 frozen_stages: 1 } } ";
  const auto warning = [](const std::string& text) {
    WarningCollector collector;
    MakeDetector(text);
    return collector.text();
  };
  EXPECT_NE(warning(frozen).find("frozen_stages: 1"), std::string::npos);
  EXPECT_NE(warning(frozen).find("model.weights"), std::string::npos);
  EXPECT_EQ(warning(frozen + "weights { path: \"resnet18.pth\" }"), "");
  EXPECT_EQ(warning(kTiny), "");
}

std::string TestPath(const std::string& name) { return ::testing::TempDir() + "/" + name; }

const LabelMap& ThreeLabels() {
  static const LabelMap* const labels = new LabelMap{{"red cell", "Thrombozyt", "白"}, {2, 5, 9}};
  return *labels;
}

// The path of a model file of kTiny with weights that detect something.
std::string SavedTiny(const std::string& name) {
  const auto detector = MakeDetector(kTiny);
  const absl::Status saved = SaveModel(TestPath(name), *detector, ThreeLabels(), "name: 'x'\n");
  EXPECT_TRUE(saved.ok()) << saved;
  return TestPath(name);
}

TEST(ModelFileTest, GivesBackTheModel) {
  at::NoGradGuard no_grad;
  const auto detector = MakeDetector(kTiny);
  detector->train();
  detector->Forward(RandomImages(*detector, 4));  // moves the running statistics
  detector->eval();
  const std::string path = TestPath("model.pt");
  ASSERT_TRUE(SaveModel(path, *detector, ThreeLabels(), "").ok());

  at::manual_seed(77);
  const Tensor expected_random = at::rand({8});
  at::manual_seed(77);
  const absl::StatusOr<SavedModel> loaded = LoadModel(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(at::rand({8}).equal(expected_random)) << "loading uses up random numbers";
  EXPECT_EQ(loaded->labels.names, ThreeLabels().names);
  EXPECT_EQ(loaded->labels.source_ids, ThreeLabels().source_ids);
  EXPECT_FALSE(loaded->detector->is_training());
  const Tensor images = RandomImages(*detector, 1);
  EXPECT_TRUE(
      loaded->detector->Forward(images).class_logits.equal(detector->Forward(images).class_logits));
  // Writing it once more changes no byte.
  ASSERT_TRUE(SaveModel(TestPath("again.pt"), *loaded->detector, loaded->labels, "").ok());
  EXPECT_EQ(*ReadFile(path), *ReadFile(TestPath("again.pt")));
}

TEST(ModelFileTest, KeepsTheBoxesOfAFile) {
  const Tensor boxes = MakeDetector(kTiny)->anchors().boxes;
  const std::string file = TestPath("boxes.npy"), path = TestPath("boxes.pt");
  ASSERT_TRUE(WriteAnchorFile(file, boxes).ok());
  const std::string config = std::string(kTiny) + " anchor_generator { from_file { path: '" + file +
                             "' per_cell: [4, 6, 6] } }";
  ASSERT_TRUE(SaveModel(path, *MakeDetector(config), ThreeLabels(), "").ok());
  std::filesystem::remove(file);
  EXPECT_NE(CreateError(config).find("boxes.npy: cannot read"), std::string::npos);
  const absl::StatusOr<SavedModel> loaded = LoadModel(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(loaded->detector->anchors().boxes.equal(boxes));
  EXPECT_TRUE(Detector::Load(path).ok());
  // Written once more, it still has them.
  ASSERT_TRUE(SaveModel(TestPath("boxes_again.pt"), *loaded->detector, loaded->labels, "").ok());
  EXPECT_EQ(*ReadFile(path), *ReadFile(TestPath("boxes_again.pt")));

  TensorArchiveWriter writer;
  writer.AddText("model", config);
  writer.AddText("labels", "classes { name: 'a' source_id: 1 }");
  writer.AddTensor("anchors", at::zeros({4}));
  ASSERT_TRUE(writer.Write(path).ok());
  EXPECT_EQ(LoadModel(path).status().code(), absl::StatusCode::kDataLoss);
}

TEST(ModelFileTest, WeightsThatDoNotFitAreNamedAndLeaveTheModelAlone) {
  const std::string path = SavedTiny("fit.pt");
  const auto wider = MakeDetector(
      "num_levels: 3 input { height: 96 width: 128 } backbone { resnet { depth: 18 width: 8 } }");
  const Tensor before = wider->parameters()[0].clone();
  const absl::StatusOr<TensorArchiveReader> reader = TensorArchiveReader::Open(path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const absl::Status status = LoadState(*reader, "model", *wider);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find(path), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("'model.backbone.conv1.weight' has shape [4, 3, 7, 7], the "
                                  "model's has [8, 3, 7, 7]"),
            absl::string_view::npos)
      << status;
  EXPECT_TRUE(wider->parameters()[0].equal(before));
  const auto same = MakeDetector(kTiny);
  EXPECT_TRUE(LoadState(*reader, "model", *same).ok());
}

TEST(ModelFileTest, FilesThatHoldNoModelAreRefusedByName) {
  TensorArchiveWriter writer;
  writer.AddTensor("model.backbone.conv1.weight", at::zeros({4, 3, 7, 7}));
  const std::string path = TestPath("no_model.pt");
  ASSERT_TRUE(writer.Write(path).ok());
  EXPECT_EQ(LoadModel(path).status().code(), absl::StatusCode::kInvalidArgument);

  writer.AddText("model", "backbone { resnet { depht: 18 } }");
  writer.AddText("labels", "classes { name: 'a' source_id: 1 }");
  ASSERT_TRUE(writer.Write(path).ok());
  const absl::Status typo = LoadModel(path).status();
  EXPECT_NE(typo.message().find(path), absl::string_view::npos) << typo;
  EXPECT_NE(typo.message().find("did you mean 'depth'"), absl::string_view::npos) << typo;

  const std::string whole = *ReadFile(SavedTiny("whole.pt"));
  ASSERT_TRUE(WriteFileAtomically(path, whole.substr(0, whole.size() / 2)).ok());
  EXPECT_EQ(LoadModel(path).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(LoadModel(TestPath("nowhere.pt")).status().code(), absl::StatusCode::kNotFound);
}

const rapidjson::Document& Golden() {
  static const rapidjson::Document* const document = [] {
    auto* const parsed = new rapidjson::Document;
    parsed->Parse(ReadFile("tests/golden/arch.json")->c_str());
    return parsed;
  }();
  return *document;
}

TEST(ModelSummaryTest, CountsAsTorchvisionPublishes) {
  for (const auto& [depth, features] : {std::make_pair("18", 512), std::make_pair("50", 2048)}) {
    const auto detector =
        MakeDetector(std::string("num_levels: 3 input { height: 224 width: 224 } backbone { resnet "
                                 "{ depth: ") +
                     depth + " } }");
    const ModelSummary summary = SummarizeModel(*detector);
    int64_t multiply_adds = 0;
    int64_t parameters = 0;
    int64_t all_parameters = 0;
    for (const LayerSummary& layer : summary.layers) {
      all_parameters += layer.parameters;
      if (layer.name.rfind("backbone.", 0) != 0) continue;
      multiply_adds += layer.multiply_adds;
      parameters += layer.parameters;
    }
    const auto& golden = Golden()["resnet"][depth];
    const int64_t classifier = features * 1000;
    EXPECT_EQ(parameters + classifier + 1000, golden["published_parameters"].GetInt64());
    EXPECT_NEAR(static_cast<double>(multiply_adds + classifier) * 1e-9,
                golden["published_giga_multiply_adds"].GetDouble(), 6e-4);
    EXPECT_EQ(all_parameters, summary.parameters);
    EXPECT_GT(summary.multiply_adds, multiply_adds);
    EXPECT_TRUE(detector->is_training());
  }
}

TEST(ModelSummaryTest, ListsLayersWithShapesAndReceptiveFields) {
  const auto detector = MakeDetector("backbone { resnet { depth: 50 width: 8 } }");
  const ModelSummary summary = SummarizeModel(*detector);
  const auto layer = [&](const std::string& name) {
    for (const LayerSummary& candidate : summary.layers) {
      if (candidate.name == name) return candidate;
    }
    ADD_FAILURE() << name;
    return LayerSummary();
  };
  const LayerSummary stem = layer("backbone.conv1");
  EXPECT_EQ(stem.type, "conv2d 7x7/2");
  EXPECT_EQ(stem.output_shape, (std::vector<int64_t>{8, 150, 150}));
  EXPECT_EQ(stem.parameters, 8 * 3 * 49);
  EXPECT_EQ(stem.multiply_adds, int64_t{8 * 3 * 49} * 150 * 150);
  EXPECT_EQ(stem.receptive_field, 7);
  EXPECT_EQ(layer("backbone.bn1").type, "batch_norm");
  EXPECT_EQ(layer("backbone.bn1").parameters, 16);
  EXPECT_EQ(layer("(pooling)").type, "max_pool2d 3x3/2");
  EXPECT_EQ(layer("(pooling)").receptive_field, 11);
  // Two roads to the same numbers: watched here, added up by OutputSpecs there.
  const char* const last[] = {"backbone.layer2.3.bn3", "backbone.layer3.5.bn3",
                              "backbone.layer4.2.bn3", "neck.0.conv2",
                              "neck.1.conv2",          "neck.2.conv2"};
  for (size_t i = 0; i < 6; ++i) {
    const FeatureSpec& level = detector->levels()[i];
    const LayerSummary output = layer(last[i]);
    EXPECT_EQ(output.output_shape,
              (std::vector<int64_t>{level.channels, level.height, level.width}));
    EXPECT_EQ(output.receptive_field, level.receptive_field) << last[i];
  }
}

// As above, for all backbones; an L2 norm's factors are counted, and end no receptive field.
TEST(ModelSummaryTest, SeesWhatEveryBackboneYields) {
  struct Case {
    std::string text;
    std::vector<std::string> levels;  // the layers that make them
  };
  const Case cases[] = {
      {"backbone { vgg16 { width: 4 } }",
       {"backbone.conv4_3_norm", "backbone.features.33", "neck.0.conv2", "neck.1.conv2"}},
      {"backbone { mobilenet_v2 { width_multiplier: 0.35 } } neck { ssdlite_extras {} }",
       {"backbone.features.14.conv.0.1", "backbone.features.18.1", "neck.0.2.1", "neck.1.2.1"}},
      {"backbone { mobilenet_v3_large { width_multiplier: 0.35 } } neck { ssdlite_extras {} }",
       {"backbone.features.13.block.0.1", "backbone.features.16.1", "neck.0.2.1", "neck.1.2.1"}},
      {"backbone { tiny {} }",
       {"backbone.conv3", "backbone.conv4", "neck.0.conv2", "neck.1.conv2"}},
  };
  for (const Case& c : cases) {
    const auto detector = MakeDetector("num_levels: 4 " + c.text);
    const ModelSummary summary = SummarizeModel(*detector);
    int64_t parameters = 0;
    std::map<std::string, LayerSummary> by_name;
    for (const LayerSummary& layer : summary.layers) {
      parameters += layer.parameters;
      by_name[layer.name] = layer;
    }
    EXPECT_EQ(parameters, summary.parameters) << c.text;
    for (size_t i = 0; i < c.levels.size(); ++i) {
      ASSERT_EQ(by_name.count(c.levels[i]), 1u) << c.levels[i];
      const FeatureSpec& level = detector->levels()[i];
      const LayerSummary& output = by_name[c.levels[i]];
      EXPECT_EQ(output.output_shape,
                (std::vector<int64_t>{level.channels, level.height, level.width}))
          << c.levels[i];
      EXPECT_EQ(output.receptive_field, level.receptive_field) << c.levels[i];
    }
  }
}

TEST(ModelSummaryTest, NvidiasSsd300HasItsParameters) {
  const auto detector = MakeDetector(
      "backbone { resnet { depth: 50 form: CONV4_STRIDE_1 } }"
      "neck { ssd_extras { channels: [512, 512, 256] mid_channels: [256, 256, 128]"
      "  norm: BATCH_NORM } }",
      80);
  EXPECT_EQ(SummarizeModel(*detector).parameters,
            Golden()["nvidia_ssd300_resnet50_81"]["params"].GetInt64());
  EXPECT_EQ(detector->anchors().boxes.size(0), 8732);
}

cv::Mat RandomPicture(int height, int width) {
  cv::Mat image(height, width, CV_8UC3);
  cv::RNG random(7);
  random.fill(image, cv::RNG::UNIFORM, 0, 256);
  cv::GaussianBlur(image, image, cv::Size(9, 9), 3);
  return image;
}

TEST(DetectorTest, FindsWhatTheNetworkFindsInTheWarpedImage) {
  at::NoGradGuard no_grad;
  const std::string path = SavedTiny("detector.pt");
  const absl::StatusOr<Detector> detector = Detector::Load(path);
  ASSERT_TRUE(detector.ok()) << detector.status();
  EXPECT_EQ(detector->labels().names, ThreeLabels().names);
  EXPECT_EQ(detector->input_size(), (ImageSize{96, 128}));
  const cv::Mat image = RandomPicture(150, 333);
  const absl::StatusOr<std::vector<Detection>> found = detector->Detect(image);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_GT(found->size(), 10);

  cv::Mat rgb;
  cv::cvtColor(image, rgb, cv::COLOR_BGR2RGB);
  cv::resize(rgb, rgb, cv::Size(128, 96), 0, 0, cv::INTER_LINEAR);
  const Tensor pixels = at::from_blob(rgb.data, {1, 96, 128, 3}, at::kByte).permute({0, 3, 1, 2});
  const absl::StatusOr<SavedModel> model = LoadModel(path);
  ASSERT_TRUE(model.ok()) << model.status();
  const Detections expected = model->detector->Detect(model->detector->Forward(pixels));
  ASSERT_EQ(static_cast<int64_t>(found->size()), expected.counts[0].item<int64_t>());
  for (size_t i = 0; i < found->size(); ++i) {
    const Detection& detection = (*found)[i];
    const int64_t k = static_cast<int64_t>(i);
    EXPECT_NEAR(detection.score, expected.scores[0][k].item<double>(), 1e-5);
    EXPECT_LE(detection.score, (*found)[i > 0 ? i - 1 : 0].score);
    EXPECT_EQ(detection.class_name, ThreeLabels().names[detection.label - 1]);
    EXPECT_GE(detection.box.x0, 0);
    EXPECT_GE(detection.box.y0, 0);
    EXPECT_LE(detection.box.x1, 333);
    EXPECT_LE(detection.box.y1, 150);
  }
  const Tensor box = expected.boxes[0][0];
  EXPECT_NEAR(found->front().box.x0, std::max(0.0, box[0].item<double>()) * 333, 0.05);
  EXPECT_NEAR(found->front().box.y1, std::min(1.0, box[3].item<double>()) * 150, 0.05);
}

TEST(DetectorTest, ABatchIsItsImages) {
  const absl::StatusOr<Detector> detector = Detector::Load(SavedTiny("batch.pt"));
  ASSERT_TRUE(detector.ok()) << detector.status();
  cv::Mat grey;
  cv::cvtColor(RandomPicture(80, 90), grey, cv::COLOR_BGR2GRAY);
  cv::Mat with_alpha;
  cv::cvtColor(RandomPicture(80, 90), with_alpha, cv::COLOR_BGR2BGRA);
  // The last one is a part of a larger image: its rows are not adjacent in memory.
  const std::vector<cv::Mat> images = {RandomPicture(200, 100), grey, with_alpha,
                                       RandomPicture(300, 400)(cv::Rect(30, 40, 128, 96))};
  const auto together = detector->DetectBatch(images);
  ASSERT_TRUE(together.ok()) << together.status();
  ASSERT_EQ(together->size(), images.size());
  for (size_t i = 0; i < images.size(); ++i) {
    const auto alone = detector->Detect(images[i]);
    ASSERT_TRUE(alone.ok()) << alone.status();
    ASSERT_FALSE(alone->empty());
    EXPECT_NEAR((*together)[i].front().score, alone->front().score, 1e-5);
  }
  EXPECT_TRUE(detector->DetectBatch({})->empty());
}

TEST(DetectorTest, WrongInputIsAnErrorNotACrash) {
  const absl::StatusOr<Detector> detector = Detector::Load(SavedTiny("errors.pt"));
  ASSERT_TRUE(detector.ok()) << detector.status();
  EXPECT_EQ(detector->Detect(cv::Mat()).status().code(), absl::StatusCode::kInvalidArgument);
  const absl::Status type = detector->Detect(cv::Mat::zeros(9, 9, CV_32FC3)).status();
  EXPECT_EQ(type.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(type.message().find("CV_32FC3"), absl::string_view::npos) << type;
  const std::vector<cv::Mat> images = {RandomPicture(9, 9), cv::Mat()};
  EXPECT_NE(detector->DetectBatch(images).status().message().find("image 1: "),
            absl::string_view::npos);
  EXPECT_EQ(Detector::Load(TestPath("nowhere.pt")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Detector::Load(TestPath("errors.pt"), at::Device("cuda:99")).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace ssd
