#include "experiments/run_visualization.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "experiments/anchor_matches.h"
#include "experiments/level_matches.h"
#include "experiments/load_experiment.h"
#include "experiments/run_data.h"
#include "experiments/sample_pipeline.h"
#include "ssd/core/annotations.h"
#include "ssd/core/file.h"
#include "ssd/model/model_file.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/report/class_colors.h"
#include "ssd/report/drawing.h"

namespace ssd {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const cv::Vec3b kTrue(0xee, 0xbb, 0x33);  // blue first
const cv::Vec3b kFalse(0x33, 0x77, 0xee);
const cv::Vec3b kMissed(0x77, 0x33, 0xee);
// A tile that makes a scene of 120 pixels seven times as large, and its lines three pixels wide.
constexpr int kTile = 840;

// Scenes of one digit each and a network that is made in no time.
Experiment SmallExperiment() {
  const std::string path = testing::TempDir() + "/visualization.textproto";
  const std::string base =
      std::filesystem::absolute("experiments/quickstart/digits.textproto").string();
  const absl::Status written =
      WriteFileAtomically(path, absl::StrCat(R"(# proto-file: experiments/experiment.proto
# proto-message: ssd.Experiment
base: ")",
                                             base, R"("
model {
  num_levels: 2
  input { height: 64 width: 64 }
  backbone { tiny {} }
}
data {
  train {
    digits { scenes: 6 max_digits: 1 }
    transform { photometric_distortion {} }
    transform { expand {} }
    transform { iou_crop {} }
    transform { resize {} }
    transform { horizontal_flip {} }
  }
  validation { digits { scenes: 4 max_digits: 1 } }
  loader { batch_size: 2 workers: 0 }
}
)"));
  EXPECT_TRUE(written.ok()) << written;
  const auto experiment = LoadExperiment(path, std::vector<std::string>(), ".");
  EXPECT_TRUE(experiment.ok()) << experiment.status();
  return *experiment;
}

// A model file of random weights.
std::string UntrainedModel(const Experiment& experiment) {
  at::manual_seed(3);
  const auto detector = SsdDetector::Create(experiment.model(), /*num_classes=*/10);
  EXPECT_TRUE(detector.ok()) << detector.status();
  LabelMap labels;
  for (int digit = 0; digit < 10; ++digit) {
    labels.names.push_back(absl::StrCat(digit));
    labels.source_ids.push_back(digit + 1);
  }
  const std::string path = testing::TempDir() + "/untrained.pt";
  const absl::Status saved = SaveModel(path, **detector, labels, "");
  EXPECT_TRUE(saved.ok()) << saved;
  return path;
}

VisualizationOptions Options(const std::string& folder) {
  VisualizationOptions options;
  options.output = testing::TempDir() + "/" + folder;
  options.device = "cpu";
  options.threads = 1;
  return options;
}

cv::Mat Read(const VisualizationOptions& options, const std::string& name) {
  const cv::Mat sheet = cv::imread(options.output + "/" + name);
  EXPECT_FALSE(sheet.empty()) << name;
  return sheet;
}

// The only tile of a sheet, of `side` pixels a side and two lines of caption.
cv::Mat OnlyTile(const cv::Mat& sheet, int side = kTile) {
  return sheet(cv::Rect(12, sheet.rows - 12 - 34 - side, side, side));
}

// The place and object of a scene whose box has room on the left.
std::pair<int64_t, Annotation> SomeTruth(const DatasetConfig& config) {
  const auto dataset = OpenDataset(config, {}, "data");
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  for (int64_t index = 0; index < (*dataset)->size(); ++index) {
    const auto truth = (*dataset)->GetAnnotations(index);
    EXPECT_TRUE(truth.ok());
    if (truth->objects.size() == 1 && truth->objects[0].box.x0 >= 2) {
      return {index, truth->objects[0]};
    }
  }
  ADD_FAILURE() << "every scene's digit lies on the left edge";
  return {};
}

TEST(RunVisualization, DrawsEverySheetThatNeedsNoWeights) {
  VisualizationOptions options = Options("all");
  options.count = 3;
  options.columns = 2;
  options.tile = 128;
  const auto files = RunVisualization(SmallExperiment(), options);
  ASSERT_TRUE(files.ok()) << files.status();
  std::vector<std::string> expected;
  for (const char* name :
       {"truth", "anchors_level_1", "anchors_level_2", "positives", "augmented"}) {
    expected.push_back(absl::StrCat(options.output, "/", name, ".png"));
  }
  EXPECT_EQ(*files, expected);
  // A title; two rows of scenes, each with two lines of caption.
  EXPECT_EQ(Read(options, "truth.png").size(), cv::Size(360, 46 + 2 * (120 + 34 + 12)));
  // A row for each of three scenes, two epochs of each, at twice their size.
  EXPECT_EQ(Read(options, "augmented.png").size(), cv::Size(360, 46 + 3 * (128 + 34 + 12)));

  // The same call writes the same bytes.
  std::vector<std::string> bytes;
  for (const std::string& file : *files) bytes.push_back(*ReadFile(file));
  ASSERT_TRUE(RunVisualization(SmallExperiment(), options).ok());
  for (size_t i = 0; i < bytes.size(); ++i) EXPECT_EQ(*ReadFile((*files)[i]), bytes[i]) << i;
}

TEST(RunVisualization, DrawsATruthWhereItIs) {
  const Experiment experiment = SmallExperiment();
  const auto [index, truth] = SomeTruth(experiment.data().train());
  VisualizationOptions options = Options("truth");
  options.show = "truth";
  options.index = absl::StrCat(index);
  options.tile = kTile;
  ASSERT_TRUE(RunVisualization(experiment, options).ok());
  const cv::Mat tile = OnlyTile(Read(options, "truth.png"));
  const Rgb color = ClassColor(truth.label);
  const int middle = static_cast<int>(7 * (truth.box.y0 + truth.box.y1) / 2);
  EXPECT_EQ(tile.at<cv::Vec3b>(middle, static_cast<int>(7 * truth.box.x0)),
            cv::Vec3b(color.blue, color.green, color.red));
}

TEST(RunVisualization, DotsWhatIsMissedAndDashesWhatIsFalse) {
  const Experiment experiment = SmallExperiment();
  const auto [index, truth] = SomeTruth(experiment.data().validation());
  VisualizationOptions options = Options("detections");
  options.show = "detections";
  options.index = absl::StrCat(index);
  options.tile = kTile;
  options.weights = UntrainedModel(experiment);
  options.min_score = 1;  // which nothing scores
  const auto files = RunVisualization(experiment, options);
  ASSERT_TRUE(files.ok()) << files.status();
  const cv::Mat missed = OnlyTile(Read(options, "detections.png"));
  // The lower half of the left edge: three pixels of line, six of gap.
  const int left = static_cast<int>(std::lround(7 * truth.box.x0 - 1.5));
  const int top = static_cast<int>(std::lround(7 * truth.box.y0 - 1.5));
  const int bottom = static_cast<int>(std::lround(7 * truth.box.y1 - 1.5));
  for (int y = (top + bottom) / 2; y < bottom; ++y) {
    EXPECT_EQ(missed.at<cv::Vec3b>(y, left) == kMissed, (y - top) % 9 < 3) << y - top;
  }

  options.min_score = 0;
  ASSERT_TRUE(RunVisualization(experiment, options).ok());
  const cv::Mat found = OnlyTile(Read(options, "detections.png"));
  int of_false = 0;
  for (int y = 0; y < kTile; ++y) {
    for (int x = 0; x < kTile; ++x) of_false += found.at<cv::Vec3b>(y, x) == kFalse;
  }
  EXPECT_GT(of_false, 100) << "random weights find nothing false";
}

// Photographs, grey all over, of 104 pixels a side, whose network has four default boxes, one in
// the middle of each quarter and half as wide and high: (13, 13, 39, 39) is the first.
class GreyPhotos : public testing::Test {
 protected:
  // A tile that makes the photographs ten times as large, what the network sees 65 times, and lines
  // four pixels wide.
  static constexpr int kSide = 1040;

  GreyPhotos() : folder_(testing::TempDir() + "/grey_photos") {
    std::filesystem::create_directories(folder_);
  }

  // `images` photographs, 0.png and so on, with these annotations of dogs (1) and cats (2).
  Experiment Load(int images, const std::string& annotations, const std::string& loader) {
    std::string list;
    for (int i = 0; i < images; ++i) {
      cv::imwrite(absl::StrCat(folder_, "/", i, ".png"), Photo());
      absl::StrAppend(&list, i == 0 ? "" : ",", "{\"id\":", i + 1, ",\"file_name\":\"", i,
                      ".png\",\"width\":104,\"height\":104}");
    }
    Write("truths.json",
          absl::StrCat("{\"images\":[", list,
                       "],\"categories\":[{\"id\":1,\"name\":\"dog\"},{\"id\":2,\"name\":\"cat\"}],"
                       "\"annotations\":[",
                       annotations, "]}"));
    const std::string base =
        std::filesystem::absolute("experiments/quickstart/digits.textproto").string();
    const std::string data =
        absl::StrCat("coco { annotations: \"", folder_, "/truths.json\" images: \"", folder_,
                     "\" } transform { resize {} }");
    Write("experiment.textproto",
          absl::StrCat("# proto-file: experiments/experiment.proto\n"
                       "# proto-message: ssd.Experiment\n"
                       "base: \"",
                       base, R"("
model {
  num_levels: 1
  input { height: 16 width: 16 }
  backbone { tiny {} }
  anchor_generator { fixed_size { level { min_size: 4 } } }
}
data {
  train { )",
                       data, " }\n  validation { ", data,
                       " }\n  loader { batch_size: 1 workers: 0 ", loader, " }\n}\n"));
    const auto experiment =
        LoadExperiment(folder_ + "/experiment.textproto", std::vector<std::string>(), ".");
    EXPECT_TRUE(experiment.ok()) << experiment.status();
    return *experiment;
  }

  // A dog on the first default box; a cat whose best is the last, at an IoU of 1/7.
  Experiment DogAndCat() {
    return Load(1,
                "{\"id\":1,\"image_id\":1,\"category_id\":1,\"bbox\":[13,13,26,26],\"area\":676,"
                "\"iscrowd\":0},"
                "{\"id\":2,\"image_id\":1,\"category_id\":2,\"bbox\":[52,52,26,26],\"area\":676,"
                "\"iscrowd\":0}",
                "");
  }

  void Write(const std::string& name, const std::string& content) {
    const absl::Status written = WriteFileAtomically(folder_ + "/" + name, content);
    EXPECT_TRUE(written.ok()) << written;
  }

  static cv::Vec3b Bgr(Rgb color) { return cv::Vec3b(color.blue, color.green, color.red); }

  // Whether every pixel of `rect` is the photograph's.
  static bool IsBare(const cv::Mat& tile, const cv::Rect& rect) {
    for (int y = rect.y; y < rect.br().y; ++y) {
      for (int x = rect.x; x < rect.br().x; ++x) {
        if (tile.at<cv::Vec3b>(y, x) != cv::Vec3b(90, 90, 90)) return false;
      }
    }
    return true;
  }

  static cv::Mat Photo() { return cv::Mat(104, 104, CV_8UC3, cv::Scalar::all(90)); }

  std::string folder_;
};

TEST_F(GreyPhotos, ShowWhichAnchorsAnswer) {
  const Experiment experiment = DogAndCat();
  VisualizationOptions options = Options("answers");
  options.show = "anchors,positives";
  options.tile = kSide;
  const auto files = RunVisualization(experiment, options);
  ASSERT_TRUE(files.ok()) << files.status();

  // The colors of classes; thick lines.
  const cv::Mat anchors = OnlyTile(Read(options, "anchors_level_1.png"), kSide);
  const cv::Vec3b dog = Bgr(ClassColor(1)), cat = Bgr(ClassColor(2));
  for (int y = 260; y < 380; ++y) EXPECT_EQ(anchors.at<cv::Vec3b>(y, 130), dog) << y;
  // Forced: eight widths of line, five of gap.
  for (int y = 790; y < 905; ++y) {
    EXPECT_EQ(anchors.at<cv::Vec3b>(y, 648) == cat, (y - 648) % 52 < 32) << y;
  }
  // The left edges of the others.
  const cv::Rect second(640, 140, 20, 240), third(120, 660, 20, 240);
  EXPECT_TRUE(IsBare(anchors, second));
  EXPECT_TRUE(IsBare(anchors, third));

  // The colors of truths, which are thick; default boxes are thin.
  const cv::Mat positives = OnlyTile(Read(options, "positives.png"), kSide);
  for (int y = 260; y < 380; ++y) EXPECT_EQ(positives.at<cv::Vec3b>(y, 130), dog) << y;
  for (int y = 790; y < 905; ++y) {
    EXPECT_EQ(positives.at<cv::Vec3b>(y, 650) == cat, (y - 650) % 13 < 8) << y;
  }
  EXPECT_TRUE(IsBare(positives, second));
  EXPECT_TRUE(IsBare(positives, third));
}

TEST_F(GreyPhotos, SayTheIouOfAnchorsThatAnswer) {
  const Experiment experiment = DogAndCat();
  const auto detector = SsdDetector::Create(experiment.model(), /*num_classes=*/2);
  ASSERT_TRUE(detector.ok()) << detector.status();
  std::vector<Annotation> truths(2);  // as the network sees them
  truths[0].label = 1;
  truths[0].box = {2, 2, 6, 6};
  truths[1].label = 2;
  truths[1].box = {8, 8, 12, 12};
  const std::vector<OutlinedBox> boxes =
      OutlineLevelMatches(truths, MatchAnchors(AnchorSettingOf(**detector), truths, {16, 16}), 0);
  ASSERT_EQ(boxes.size(), 4u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(boxes[i].style, LineStyle::kDotted);
    EXPECT_EQ(boxes[i].text, "");
  }
  EXPECT_EQ(boxes[2].style, LineStyle::kSolid);
  EXPECT_EQ(boxes[2].text, "1.00");
  EXPECT_EQ(boxes[3].style, LineStyle::kDashed);
  EXPECT_EQ(boxes[3].text, "0.14");  // 4 of 28 square pixels
  EXPECT_NEAR(boxes[3].box.x0, 10, 1e-5);
}

TEST(OutlineLevelMatches, NamesTheBestOfEachTruthWhereThereAreMany) {
  // The texts of `more` boxes for one truth and three for another, and one of another level.
  const auto texts = [](int more) {
    std::vector<std::vector<AnchorMatch>> matches(2);
    for (int i = 0; i < more; ++i) matches[0].emplace_back().iou = 0.9 - 0.1 * i;
    for (int i = 0; i < 3; ++i) matches[1].emplace_back().iou = 0.8 - 0.1 * i;
    matches[1].emplace_back().place.level = 1;
    std::vector<Annotation> truths(2);
    for (Annotation& truth : truths) truth.label = 1;
    std::vector<std::string> texts;
    for (const OutlinedBox& box : OutlineLevelMatches(truths, matches, 0)) {
      texts.push_back(box.text);
    }
    return texts;
  };
  EXPECT_THAT(texts(5),
              ElementsAre("", "", "0.90", "0.80", "0.70", "0.60", "0.50", "0.80", "0.70", "0.60"));
  EXPECT_THAT(texts(6), ElementsAre("", "", "0.90", "", "", "", "", "", "0.80", "", ""));
}

TEST_F(GreyPhotos, TellTrueFromFalseAndMissed) {
  const Experiment experiment = DogAndCat();
  // Finds a dog in each default box, at a score of e^3 / (e^3 + 2), whatever it sees.
  const auto detector = SsdDetector::Create(experiment.model(), /*num_classes=*/2);
  ASSERT_TRUE(detector.ok()) << detector.status();
  {
    const at::NoGradGuard no_grad;
    for (const Tensor& parameter : (*detector)->parameters()) parameter.zero_();
    const std::string bias = "head.class_logits.0.bias";
    (*detector)->named_parameters()[bias].copy_(at::tensor({0.0f, 3.0f, 0.0f}));
  }
  VisualizationOptions options = Options("verdicts");
  options.weights = folder_ + "/dogs.pt";
  ASSERT_TRUE(SaveModel(options.weights, **detector, {{"dog", "cat"}, {1, 2}}, "").ok());
  options.show = "detections";
  options.tile = kSide;
  const auto files = RunVisualization(experiment, options);
  ASSERT_TRUE(files.ok()) << files.status();
  const cv::Mat tile = OnlyTile(Read(options, "detections.png"), kSide);
  for (int y = 260; y < 380; ++y) EXPECT_EQ(tile.at<cv::Vec3b>(y, 130), kTrue) << y;
  for (int y = 260; y < 380; ++y) {
    EXPECT_EQ(tile.at<cv::Vec3b>(y, 648) == kFalse, (y - 128) % 52 < 32) << y;
  }
  // The cat: one width of line, two of gap.
  for (int y = 660; y < 775; ++y) {
    EXPECT_EQ(tile.at<cv::Vec3b>(y, 518) == kMissed, (y - 518) % 12 < 4) << y;
  }
}

TEST_F(GreyPhotos, GoOnWithTheNextImageWhereBadOnesAreSkipped) {
  const std::string dog =
      "{\"id\":1,\"image_id\":2,\"category_id\":1,\"bbox\":[13,13,26,26],\"area\":676,\"iscrowd\":"
      "0}";
  const Experiment skips = Load(4, dog, "on_bad_image: SKIP");
  Experiment fails = skips;
  fails.mutable_data()->mutable_loader()->set_on_bad_image(LoaderConfig::FAIL);
  VisualizationOptions options = Options("next");
  options.show = "truth,augmented";
  options.columns = 2;
  options.tile = 208;
  options.index = "1,2";
  ASSERT_TRUE(RunVisualization(fails, options).ok());
  const std::string expected = *ReadFile(options.output + "/truth.png");

  Write("0.png", "no image");
  options.index = "";
  options.count = 2;
  EXPECT_THAT(std::string(RunVisualization(fails, options).status().message()),
              HasSubstr("/0.png: "));
  testing::internal::CaptureStderr();
  const auto files = RunVisualization(skips, options);
  const std::string log = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(*ReadFile(options.output + "/truth.png"), expected);
  EXPECT_THAT(log, HasSubstr("; it is not shown"));
  EXPECT_EQ(log.find("/0.png"), log.rfind("/0.png")) << "named more than once: " << log;

  // Nothing stands in for an image that was asked for.
  options.index = "0";
  EXPECT_THAT(std::string(RunVisualization(skips, options).status().message()),
              HasSubstr("/0.png: "));
  options.index = "0,1,2";
  ASSERT_TRUE(RunVisualization(skips, options).ok());
  EXPECT_EQ(*ReadFile(options.output + "/truth.png"), expected);
}

TEST(RunVisualization, ShowsAnchorsOfAModelFileToo) {
  const Experiment experiment = SmallExperiment();
  VisualizationOptions options = Options("weights");
  options.weights = UntrainedModel(experiment);
  options.split = "validation";
  options.count = 2;
  const auto files = RunVisualization(experiment, options);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(files->size(), 6u) << "detections, too";
}

TEST(RunVisualization, SaysWhichFlagIsWrong) {
  const Experiment experiment = SmallExperiment();
  const auto error = [&experiment](const std::function<void(VisualizationOptions&)>& change) {
    VisualizationOptions options = Options("wrong");
    change(options);
    return std::string(RunVisualization(experiment, options).status().message());
  };
  using O = VisualizationOptions;
  EXPECT_THAT(error([](O& o) { o.show = "truths"; }),
              HasSubstr("--show=truths: there is no sheet 'truths'; did you mean 'truth'?"));
  EXPECT_THAT(error([](O& o) { o.show = "truth,detections"; }),
              HasSubstr("give --run=DIR or --weights=W"));
  EXPECT_THAT(error([](O& o) { o.split = "test"; }),
              HasSubstr("--split=test: must be train or validation"));
  EXPECT_THAT(error([](O& o) { o.output = ""; }), HasSubstr("--output is not set"));
  EXPECT_THAT(error([](O& o) { o.count = 0; }), HasSubstr("--count=0: must be 1 to 1000"));
  EXPECT_THAT(error([](O& o) { o.columns = 0; }), HasSubstr("--columns=0: must be 1 to 100"));
  EXPECT_THAT(error([](O& o) { o.tile = 8; }), HasSubstr("--tile=8: must be 32 to 4096"));
  EXPECT_THAT(error([](O& o) { o.epoch = -1; }), HasSubstr("--epoch=-1: must be 0 to"));
  EXPECT_THAT(error([](O& o) { o.min_score = 1.5; }), HasSubstr("--min_score=1.5: must be 0 to 1"));
  EXPECT_THAT(error([](O& o) { o.index = "1,x"; }),
              AllOf(HasSubstr("--index=1,x: must be places"), HasSubstr("separated by commas")));
  EXPECT_THAT(error([](O& o) { o.index = "6"; }),
              HasSubstr("--index=6: data.train has 6 images, 0 to 5"));
  EXPECT_THAT(error([](O& o) {
                o.count = 1000;
                o.tile = 4096;
              }),
              HasSubstr("lower --tile, --count or --columns"));
  EXPECT_THAT(error([](O& o) { o.weights = testing::TempDir() + "/none.pt"; }),
              HasSubstr("/none.pt"));
  EXPECT_THAT(error([](O& o) { o.device = "tpu"; }), HasSubstr("--device='tpu'"));
}

TEST(SamplePipeline, MakesWhatTheLoaderMakes) {
  const Experiment experiment = SmallExperiment();
  const DatasetConfig& config = experiment.data().train();
  const auto data =
      LoadData(experiment, config, {}, DataUse::kTraining, /*pin_memory=*/false, "data.train");
  ASSERT_TRUE(data.ok()) << data.status();
  const auto pipeline = SamplePipeline::Create(experiment, config, "data.train");
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  const int64_t epoch = 3;
  ASSERT_TRUE(data->loader->Start(epoch, 0).ok());
  for (int batches = 0; batches < 3; ++batches) {
    const auto batch = data->loader->Next();
    ASSERT_TRUE(batch.ok()) << batch.status();
    ASSERT_TRUE(batch->has_value());
    for (size_t row = 0; row < (*batch)->image_ids.size(); ++row) {
      const int64_t index = (*batch)->image_ids[row] - 1;  // scene i has id i + 1
      const auto sample = pipeline->Make(*data->dataset, index, experiment.seed(), epoch);
      ASSERT_TRUE(sample.ok()) << sample.status();
      const auto rgb = pipeline->Render(*sample);
      ASSERT_TRUE(rgb.ok()) << rgb.status();
      const int64_t place = static_cast<int64_t>(row);
      EXPECT_TRUE(ImageTensor(*rgb)[0].equal((*batch)->images[place])) << index;
      const Truth& truth = (*batch)->truth;
      EXPECT_EQ(truth.labels[place].gt(0).sum().item<int64_t>(),
                static_cast<int64_t>(sample->truth.objects.size()));
      for (size_t i = 0; i < sample->truth.objects.size(); ++i) {
        const auto object = static_cast<int64_t>(i);
        EXPECT_EQ(sample->truth.objects[i].id, object);
        EXPECT_FLOAT_EQ(truth.boxes[place][object][0].item<float>(),
                        static_cast<float>(sample->truth.objects[i].box.x0 / 64));
      }
    }
  }
}

}  // namespace
}  // namespace ssd
