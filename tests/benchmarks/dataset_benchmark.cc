// How long annotation files take to read, and how much memory: a COCO file as large as
// instances_train2017.json (118,287 images, 860,001 objects with polygons, 450 MB), made by rule,
// and a VOC folder. Google Benchmark's flags, and --files=FOLDER: the files are made there where
// they are not there yet, and left for other programs (compare_parsers.py), rather than in TMPDIR.
//
//   bazel run //tests/benchmarks:dataset_benchmark

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "data/dataset.h"
#include "ssd/core/logging.h"
#include "ssd/core/random.h"
#include "tests/benchmarks/temporary_folder.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kImages = 118287;
constexpr int64_t kObjects = 860001;
constexpr int64_t kCategories = 80;

// Names of what is kept, which compare_parsers.py knows too. Whoever changes the content raises the
// number, so that no file of an earlier version is measured.
constexpr char kCocoName[] = "instances_1.json";
constexpr char kVocName[] = "voc_1";

// --files; empty: not given.
std::string& KeptFolder() {
  static std::string& folder = *new std::string;
  return folder;
}

fs::path Folder() {
  if (!KeptFolder().empty()) return KeptFolder();
  static const TemporaryFolder folder("ssd_dataset_benchmark");
  return folder.path();
}

// With holes.
int64_t ImageId(int64_t i) { return 9 + 5 * i; }
int64_t CategoryId(int64_t i) { return 1 + i * 9 / 8; }

std::string ImageName(int64_t id) {
  const std::string digits = absl::StrCat(id);
  return absl::StrCat(std::string(12 - digits.size(), '0'), digits, ".jpg");
}

// A number with two decimals, as COCO's are.
std::string Decimal(int64_t hundredths) {
  const int64_t rest = hundredths % 100;
  return absl::StrCat(hundredths / 100, rest < 10 ? ".0" : ".", rest);
}

// One line, the fields in COCO's order. Returns the path.
std::string WriteCoco() {
  const fs::path images = Folder() / "images";
  fs::create_directories(images);
  std::ofstream(images / ImageName(ImageId(0))).put(' ');
  const std::string path = (Folder() / kCocoName).string();
  if (fs::exists(path)) return path;
  const std::string unfinished = path + ".unfinished";
  std::ofstream file(unfinished, std::ios::binary);
  file << R"({"info": {"description": "made by rule", "year": 2017}, "licenses": [], "images": [)";
  for (int64_t i = 0; i < kImages; ++i) {
    const std::string name = ImageName(ImageId(i));
    file << absl::StrCat(
        i > 0 ? "," : "", R"({"license": 3,"file_name": ")", name,
        R"(","coco_url": "http://images.cocodataset.org/train2017/)", name,
        R"(","height": 480,"width": 640,"date_captured": "2013-11-14 11:18:45",)",
        R"("flickr_url": "http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg","id": )",
        ImageId(i), "}");
  }
  file << R"(],"annotations": [)";
  for (int64_t i = 0; i < kObjects; ++i) {
    Random random(1, 0, static_cast<uint64_t>(i));
    const int64_t x = random.Integer(0, 50000), y = random.Integer(0, 35000);
    const int64_t width = random.Integer(500, 13500), height = random.Integer(500, 12500);
    const int64_t corners = random.Integer(10, 51);
    const int64_t image = random.Integer(0, kImages - 1);
    const int64_t category = random.Integer(0, kCategories - 1);
    std::string polygon;
    for (int64_t k = 0; k < corners; ++k) {
      absl::StrAppend(&polygon, k > 0 ? "," : "", Decimal(x + k * width / corners), ",",
                      Decimal(y + (k * k * 37) % height));
    }
    file << absl::StrCat(i > 0 ? "," : "", R"({"segmentation": [[)", polygon, R"(]],"area": )",
                         Decimal(width * height / 150), R"(,"iscrowd": )", i % 100 == 0 ? 1 : 0,
                         R"(,"image_id": )", ImageId(image), R"(,"bbox": [)", Decimal(x), ",",
                         Decimal(y), ",", Decimal(width), ",", Decimal(height),
                         R"(],"category_id": )", CategoryId(category), R"(,"id": )", 1000 + 2 * i,
                         "}");
  }
  file << R"(],"categories": [)";
  for (int64_t i = 0; i < kCategories; ++i) {
    file << absl::StrCat(i > 0 ? "," : "", R"({"supercategory": "thing","id": )", CategoryId(i),
                         R"(,"name": "class )", i, R"("})");
  }
  file << "]}";
  CHECK(file.flush().good()) << "cannot write " << unfinished;
  fs::rename(unfinished, path);
  return path;
}

// Of the whole program so far, making the file included, which takes next to nothing.
double PeakMegabytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void ReadCoco(benchmark::State& state) {
  static const std::string& path = *new std::string(WriteCoco());
  DatasetConfig config;
  config.mutable_coco()->set_annotations(path);
  config.mutable_coco()->set_images((Folder() / "images").string());
  for (auto _ : state) {
    const auto dataset = CreateDataset(config, {});
    CHECK(dataset.ok()) << dataset.status();
    CHECK_EQ((*dataset)->size(), kImages);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(fs::file_size(path)));
  state.counters["peak_megabytes"] = PeakMegabytes();
}

// Files of seven objects each; items are images.
void ReadVoc(benchmark::State& state) {
  constexpr int64_t kFiles = 10000;
  const fs::path root = Folder() / kVocName;
  if (!fs::exists(root)) {
    const fs::path unfinished = Folder() / "voc.unfinished";
    fs::create_directories(unfinished / "Annotations");
    fs::create_directories(unfinished / "JPEGImages");
    for (int64_t i = 0; i < kFiles; ++i) {
      const std::string name = absl::StrCat("image_", i);
      std::ofstream(unfinished / "JPEGImages" / (name + ".jpg")).put(' ');
      std::ofstream file(unfinished / "Annotations" / (name + ".xml"));
      file << "<annotation>\n  <folder>images</folder>\n  <filename>" << name << ".jpg</filename>\n"
           << "  <size><width>500</width><height>375</height><depth>3</depth></size>\n";
      for (int64_t k = 1; k <= 7; ++k) {
        file << "  <object>\n    <name>class " << k << "</name>\n    <pose>Left</pose>\n"
             << "    <difficult>0</difficult>\n    <bndbox>\n      <xmin>" << k << "</xmin>\n"
             << "      <ymin>" << 2 * k << "</ymin>\n      <xmax>" << 100 + k << "</xmax>\n"
             << "      <ymax>" << 200 + k << "</ymax>\n    </bndbox>\n  </object>\n";
      }
      file << "</annotation>\n";
    }
    fs::rename(unfinished, root);
  }
  DatasetConfig config;
  config.mutable_voc()->set_root(root.string());
  for (auto _ : state) {
    const auto dataset = CreateDataset(config, {});
    CHECK(dataset.ok()) << dataset.status();
    CHECK_EQ((*dataset)->size(), kFiles);
  }
  state.SetItemsProcessed(state.iterations() * kFiles);
}

BENCHMARK(ReadCoco)->Name("BM_ReadCoco")->Unit(benchmark::kSecond)->UseRealTime();
BENCHMARK(ReadVoc)->Name("BM_ReadVoc")->Unit(benchmark::kSecond)->UseRealTime();

}  // namespace
}  // namespace ssd

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const std::string flag = "--files=";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    CHECK(argument.compare(0, flag.size(), flag) == 0) << "unknown argument " << argument;
    ssd::KeptFolder() = argument.substr(flag.size());
  }
  benchmark::RunSpecifiedBenchmarks();
}
