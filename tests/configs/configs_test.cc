// Every experiment and sweep that is shipped loads, builds and takes a training step; presets are
// what docs/presets.md says.

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "experiments/load_experiment.h"
#include "experiments/load_sweep.h"
#include "experiments/run_description.h"
#include "ssd/core/file.h"
#include "ssd/model/model_summary.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/optim/optimizer.h"
#include "ssd/optim/parameter_groups.h"
#include "tests/configs/narrow.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

constexpr int64_t kClasses = 3;
constexpr int64_t kImages = 2;

std::vector<std::string> Configs(const std::string& message) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("experiments")) {
    if (entry.path().extension() != ".textproto") continue;
    const std::string text = *ReadFile(entry.path().string());
    if (text.find("# proto-message: ssd." + message + "\n") != std::string::npos) {
      paths.push_back(entry.path().string());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string TestName(const testing::TestParamInfo<std::string>& info) {
  std::string name;
  for (char c : info.param) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

// What is published of a shipped experiment's network.
struct Published {
  int64_t num_classes;
  int64_t anchors;
  const char* golden;              // the entry of arch.json that has its parameters, or null
  const char* giga_multiply_adds;  // with torchvision's weights, or null
};

const std::map<std::string, Published>& PublishedNetworks() {
  static const auto* const networks = new std::map<std::string, Published>{
      {"experiments/coco/ssd300_vgg16.textproto",
       {90, 8732, "torchvision_ssd300_vgg16_91", nullptr}},
      {"experiments/coco/ssd300_vgg16_torchvision.textproto",
       {90, 8732, "torchvision_ssd300_vgg16_91", "34.858"}},
      {"experiments/voc/ssd300_vgg16.textproto", {20, 8732, "amdegroot_ssd300_21", nullptr}},
      {"experiments/coco/ssd512_vgg16.textproto", {80, 24564, nullptr, nullptr}},
      {"experiments/voc/ssd512_vgg16.textproto", {20, 24564, nullptr, nullptr}},
      {"experiments/coco/ssd300_resnet50_nvidia.textproto",
       {80, 8732, "nvidia_ssd300_resnet50_81", nullptr}},
      {"experiments/coco/ssd300_mobilenet_v2.textproto", {90, 1917, nullptr, nullptr}},
      {"experiments/coco/ssdlite320_mobilenet_v3.textproto",
       {90, 3234, "torchvision_ssdlite320_91_reduced_tail", "0.583"}},
  };
  return *networks;
}

std::string Giga(int64_t count) {
  return absl::StrFormat("%.3f", static_cast<double>(count) / 1e9);
}

// What is counted of a network.
struct Counts {
  int64_t classes = 0;
  int64_t anchors = 0;
  int64_t parameters = 0;
  int64_t multiply_adds = 0;
};

// What `describe --json` says. There are no data here.
absl::StatusOr<Counts> Describe(const Experiment& experiment) {
  const absl::StatusOr<Description> description = DescribeExperiment(experiment);
  if (!description.ok()) return description.status();
  rapidjson::Document json;
  json.Parse(description->json.c_str());
  return Counts{json["num_classes"].GetInt64(), json["num_anchors"].GetInt64(),
                json["parameters"].GetInt64(), json["flops"].GetInt64()};
}

// `described` is counted with the classes of data.label; another number needs another network.
void ExpectPublished(const ModelConfig& model, const Counts& described,
                     const Published& published) {
  Counts counts = described;
  if (published.num_classes != described.classes) {
    const auto detector = SsdDetector::Create(model, published.num_classes);
    ASSERT_TRUE(detector.ok()) << detector.status();
    counts.anchors = (*detector)->anchors().boxes.size(0);
    counts.parameters = 0;
    for (const Tensor& parameter : (*detector)->parameters()) {
      counts.parameters += parameter.numel();
    }
    if (published.giga_multiply_adds != nullptr) {
      counts.multiply_adds = SummarizeModel(**detector).multiply_adds;
    }
  }
  EXPECT_EQ(counts.anchors, published.anchors);
  if (published.golden != nullptr) {
    EXPECT_EQ(counts.parameters, golden::File("arch.json")[published.golden]["params"].GetInt64());
  }
  if (published.giga_multiply_adds != nullptr) {
    EXPECT_EQ(Giga(counts.multiply_adds), published.giga_multiply_adds);
  }
}

// The last four columns of docs/presets.md, "classes | anchors | parameters | GFLOPs", by file.
const std::map<std::string, std::string>& PresetsPage() {
  static const auto* const rows = [] {
    auto* const result = new std::map<std::string, std::string>;
    const std::string page = *ReadFile("docs/presets.md");
    for (absl::string_view line : absl::StrSplit(page, '\n')) {
      if (!absl::ConsumePrefix(&line, "| `") || !absl::ConsumeSuffix(&line, " |")) continue;
      const std::vector<std::string> cells = absl::StrSplit(line, " | ");
      if (cells.size() != 8) {
        ADD_FAILURE() << "want 8 cells: " << line;
        continue;
      }
      const absl::string_view name = absl::StripSuffix(cells.front(), "`");
      (*result)[absl::StrCat("experiments/", name, ".textproto")] =
          absl::StrJoin(cells.begin() + 4, cells.end(), " | ");
    }
    return result;
  }();
  return *rows;
}

// In the page's form.
std::string Cells(const Counts& counts) {
  return absl::StrCat(counts.classes, " | ", counts.anchors, " | ", counts.parameters, " | ",
                      Giga(counts.multiply_adds));
}

class ShippedExperiment : public testing::TestWithParam<std::string> {};

TEST_P(ShippedExperiment, LoadsBuildsAndTakesAStep) {
  const absl::StatusOr<Experiment> experiment =
      LoadExperiment(GetParam(), std::vector<std::string>(), ".");
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  const auto published = PublishedNetworks().find(GetParam());
  const auto row = PresetsPage().find(GetParam());
  const bool is_published = published != PublishedNetworks().end();
  const bool has_row = row != PresetsPage().end();
  if (is_published || has_row) {
    const absl::StatusOr<Counts> counts = Describe(*experiment);
    ASSERT_TRUE(counts.ok()) << counts.status();
    if (has_row) {
      EXPECT_EQ(Cells(*counts), row->second) << "docs/presets.md";
    }
    if (is_published) ExpectPublished(experiment->model(), *counts, published->second);
  }
  at::manual_seed(1);
  const auto detector = SsdDetector::Create(Narrow(experiment->model()), kClasses);
  ASSERT_TRUE(detector.ok()) << detector.status();
  SsdDetector& network = **detector;
  const ImageSize size = network.input_size();

  // Zero learning rate would pass too; the weights must move.
  OptimizerContext context;
  auto parameters = NamedParameters(network, experiment->optimizer());
  ASSERT_TRUE(parameters.ok()) << parameters.status();
  context.parameters = *std::move(parameters);
  const auto optimizer = OptimizerRegistry::Get().Create(experiment->optimizer(), context);
  ASSERT_TRUE(optimizer.ok()) << optimizer.status();
  EXPECT_GT((*optimizer)->base_learning_rate(), 0);

  network.train();
  const Tensor images = at::randint(0, 256, {kImages, 3, size.height, size.width}, at::kByte);
  Truth truth;
  truth.boxes = at::tensor({0.1f, 0.2f, 0.6f, 0.7f}).expand({kImages, 8, 4}).contiguous();
  truth.labels = at::zeros({kImages, 8}, at::kLong);
  truth.labels.select(1, 0).fill_(2);
  truth.ignore = at::zeros({kImages, 8}, at::kBool);
  const Losses losses = network.ComputeLosses(network.Forward(images), truth);
  losses.total.backward();
  EXPECT_TRUE(std::isfinite(losses.total.item<float>()));
  const Tensor before = context.parameters.front().value.detach().clone();
  (*optimizer)->Step(at::full({}, 1e-3f), Tensor());
  EXPECT_FALSE(before.equal(context.parameters.front().value));

  network.eval();
  const at::NoGradGuard no_gradient;
  const Detections detections = network.Detect(network.Forward(images));
  EXPECT_EQ(detections.boxes.size(0), kImages);
}

INSTANTIATE_TEST_SUITE_P(All, ShippedExperiment, testing::ValuesIn(Configs("Experiment")),
                         TestName);

class ShippedSweep : public testing::TestWithParam<std::string> {};

TEST_P(ShippedSweep, Loads) {
  const absl::StatusOr<LoadedSweep> sweep = LoadSweep(GetParam(), std::vector<std::string>(), ".");
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_GT(sweep->points.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(All, ShippedSweep, testing::ValuesIn(Configs("Sweep")), TestName);

TEST(ShippedConfigs, TheMnistGridHasTenAnchorsACell) {
  const absl::StatusOr<Experiment> experiment = LoadExperiment(
      "experiments/mnist/multi_resnet50_300.textproto", std::vector<std::string>(), ".");
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  const auto detector = SsdDetector::Create(Narrow(experiment->model()), kClasses);
  ASSERT_TRUE(detector.ok()) << detector.status();
  EXPECT_EQ((*detector)->anchors().per_level,
            (std::vector<int64_t>{38 * 38 * 10, 19 * 19 * 10, 10 * 10 * 10}));
}

// A config without a header would be tested by nobody.
TEST(ShippedConfigs, SayWhatTheyAre) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("experiments")) {
    files += entry.path().extension() == ".textproto" ? 1 : 0;
  }
  EXPECT_GT(files, 0u);
  EXPECT_EQ(Configs("Experiment").size() + Configs("Sweep").size(), files);
}

TEST(ShippedConfigs, IncludeWhatIsPublished) {
  for (const auto& entry : PublishedNetworks()) {
    EXPECT_TRUE(std::filesystem::exists(entry.first)) << entry.first;
  }
  for (const auto& entry : PresetsPage()) {
    EXPECT_TRUE(std::filesystem::exists(entry.first)) << entry.first << ", of docs/presets.md";
  }
  for (const std::string& path : Configs("Experiment")) {
    const bool is_preset =
        absl::StartsWith(path, "experiments/coco/") || absl::StartsWith(path, "experiments/voc/");
    EXPECT_TRUE(!is_preset || PresetsPage().count(path) == 1)
        << path << " has no row in docs/presets.md";
  }
}

}  // namespace
}  // namespace ssd
