// How long `check --no_images` takes: a COCO file of 100,000 images with 700,000 boxes, made by
// rule, against SSD300 on VGG-16. Google Benchmark's flags; items are training images; the folder
// for temporary files is TMPDIR's.
//
//   bazel run //tests/benchmarks:check_benchmark

#include <benchmark/benchmark.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "experiments/check/check_json.h"
#include "experiments/check/check_page.h"
#include "experiments/check/check_report.h"
#include "experiments/check/check_text.h"
#include "experiments/experiment.pb.h"
#include "experiments/run_check.h"
#include "ssd/core/logging.h"
#include "ssd/core/random.h"
#include "ssd/core/text_proto.h"
#include "tests/benchmarks/temporary_folder.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kImages = 100000;
constexpr int64_t kObjectsPerImage = 7;
constexpr int64_t kCategories = 80;

// Writes `name`.json and empty image files into `folder`; returns `coco { ... }`.
std::string WriteCoco(const fs::path& folder, const std::string& name, int64_t images) {
  const fs::path image_folder = folder / name;
  fs::create_directories(image_folder);
  const std::string path = (folder / (name + ".json")).string();
  std::ofstream file(path, std::ios::binary);
  file << "{\"images\": [";
  for (int64_t i = 1; i <= images; ++i) {
    const std::string image = absl::StrCat(i, ".jpg");
    std::ofstream(image_folder / image).put(' ');
    file << absl::StrCat(i > 1 ? ",\n" : "\n", R"({"id": )", i, R"(, "file_name": ")", image,
                         R"(", "height": 480, "width": 640})");
  }
  file << "],\n\"annotations\": [";
  for (int64_t i = 0; i < images * kObjectsPerImage; ++i) {
    Random random(1, 0, static_cast<uint64_t>(i));
    const int64_t x = random.Integer(0, 500), y = random.Integer(0, 350);
    const int64_t width = random.Integer(5, 135), height = random.Integer(5, 125);
    file << absl::StrCat(i > 0 ? ",\n" : "\n", R"({"id": )", i + 1, R"(, "image_id": )",
                         i / kObjectsPerImage + 1, R"(, "category_id": )",
                         random.Integer(1, kCategories), R"(, "bbox": [)", x, ", ", y, ", ", width,
                         ", ", height, R"(], "area": )", width * height, R"(, "iscrowd": 0})");
  }
  file << "],\n\"categories\": [";
  for (int64_t i = 1; i <= kCategories; ++i) {
    file << absl::StrCat(i > 1 ? "," : "", R"({"id": )", i, R"(, "name": "class )", i, R"("})");
  }
  file << "]}\n";
  CHECK(file.flush().good()) << "cannot write " << path;
  return absl::StrCat("coco { annotations: \"", path, "\" images: \"", image_folder.string(),
                      "\" }");
}

Experiment MakeExperiment() {
  static const TemporaryFolder folder("ssd_check_benchmark");
  Experiment experiment;
  const absl::Status parsed =
      ParseTextProto(absl::StrCat("model {\n"
                                  "  num_levels: 6\n"
                                  "  input { height: 300 width: 300 }\n"
                                  "  backbone { vgg16 {} }\n"
                                  "  neck { ssd_extras {} }\n"
                                  "  anchor_generator { ssd {\n"
                                  "    min_scale: 0.15 max_scale: 0.9 first_scale: 0.07\n"
                                  "    level { aspect_ratio: 2 }\n"
                                  "    level { aspect_ratio: [2, 3] }\n"
                                  "    level { aspect_ratio: [2, 3] }\n"
                                  "    level { aspect_ratio: [2, 3] }\n"
                                  "    level { aspect_ratio: 2 }\n"
                                  "    level { aspect_ratio: 2 }\n"
                                  "  } }\n"
                                  "}\n"
                                  "data {\n"
                                  "  train { ",
                                  WriteCoco(folder.path(), "train", kImages),
                                  " transform { resize {} } }\n"
                                  "  validation { ",
                                  WriteCoco(folder.path(), "validation", kImages / 100),
                                  " transform { resize {} } }\n"
                                  "}\n"
                                  "evaluator { coco {} }\n"),
                     "benchmark", experiment);
  CHECK(parsed.ok()) << parsed;
  return experiment;
}

void Check(benchmark::State& state) {
  static const Experiment& experiment = *new Experiment(MakeExperiment());
  CheckOptions options;
  options.read_images = false;
  options.device = "cpu";
  for (auto _ : state) {
    const absl::StatusOr<CheckReport> report = RunCheck(experiment, options);
    CHECK(report.ok()) << report.status();
    CHECK_EQ(report->train.statistics.images, kImages);
    benchmark::DoNotOptimize(CheckText(*report).size() + CheckJson(*report).size() +
                             CheckPage(*report).size());
  }
  state.SetItemsProcessed(state.iterations() * kImages);
}

BENCHMARK(Check)->Name("BM_Check")->Unit(benchmark::kSecond)->UseRealTime();

}  // namespace
}  // namespace ssd

BENCHMARK_MAIN();
