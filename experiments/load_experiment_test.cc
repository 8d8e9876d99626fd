#include "experiments/load_experiment.h"

#include <ATen/Context.h>
#include <ATen/ops/rand.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "experiments/field_path.h"
#include "experiments/load_sweep.h"
#include "experiments/resolve_experiment.h"
#include "ssd/core/file.h"
#include "ssd/core/text_proto.h"

namespace ssd {
namespace {

using google::protobuf::util::MessageDifferencer;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// As little as an experiment can say, one setting a line.
constexpr char kSmall[] = R"(# proto-file: experiments/experiment.proto
# proto-message: ssd.Experiment
model {
  num_levels: 3
  input { height: 64 width: 96 }
  backbone { resnet { depth: 18 width: 8 } }
  neck { ssd_extras {} }
  anchor_generator {
    ssd {
      min_scale: 0.2
      max_scale: 0.9
      level { aspect_ratio: 2 }
      level { aspect_ratio: [2, 3] }
      level { aspect_ratio: 2 }
    }
  }
}
data {
  train {
    digits { scenes: 8 }
    transform { iou_crop {} }
    transform { resize {} }
  }
  validation {
    digits { scenes: 4 scene_seed: 2 }
    transform { resize {} }
  }
  loader { batch_size: 2 }
}
schedule {
  multi_step { milestone_epoch: [1, 2] }
}
trainer { epochs: 3 }
)";

class LoadTest : public ::testing::Test {
 protected:
  LoadTest()
      : folder_((std::filesystem::path(::testing::TempDir()) /
                 ::testing::UnitTest::GetInstance()->current_test_info()->name())
                    .string()) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    Write("small.textproto", kSmall);
  }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/" + name, text).ok());
  }

  absl::StatusOr<Experiment> Load(const std::string& name,
                                  const std::vector<std::string>& overrides = {}) {
    return LoadExperiment(name, overrides, folder_);
  }

  // The error that a change of the small experiment gives; of one line.
  std::string Error(absl::string_view from, absl::string_view to) {
    const std::string text = absl::StrReplaceAll(kSmall, {{from, to}});
    EXPECT_NE(text, kSmall) << from;
    Write("bad.textproto", text);
    const absl::Status status = Load("bad.textproto").status();
    EXPECT_TRUE(absl::IsInvalidArgument(status) || absl::IsNotFound(status)) << to << status;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
    return std::string(status.message());
  }

  const std::string folder_;
};

TEST_F(LoadTest, DefaultsAreWrittenOut) {
  const absl::StatusOr<Experiment> loaded = Load("small.textproto");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->name(), "small");
  EXPECT_TRUE(loaded->has_seed());

  const ModelConfig& model = loaded->model();
  EXPECT_THAT(model.input().mean(), ElementsAre(123.675f, 116.28f, 103.53f));
  EXPECT_THAT(model.input().std(), ElementsAre(58.395f, 57.12f, 57.375f));
  EXPECT_EQ(model.head().kernel(), 3);
  EXPECT_TRUE(model.head().has_activation());
  EXPECT_TRUE(model.backbone().resnet().has_norm());
  EXPECT_EQ(model.backbone().resnet().width(), 8) << "what is set stays";
  EXPECT_THAT(model.neck().ssd_extras().channels(), ElementsAre(512, 256));
  EXPECT_THAT(model.neck().ssd_extras().mid_channels(), ElementsAre(256, 128));
  EXPECT_TRUE(model.anchor_generator().ssd().has_sqrt_scale());
  // Families that name none get the original SSD's component.
  EXPECT_TRUE(model.matcher().ssd().has_positive_iou());
  EXPECT_TRUE(model.box_coder().center_size().has_center_variance());
  EXPECT_TRUE(model.loss().multibox().has_negatives_per_positive());
  EXPECT_TRUE(model.post_processor().per_class_nms().has_iou_threshold());
  EXPECT_TRUE(loaded->optimizer().sgd().has_momentum());
  EXPECT_TRUE(loaded->evaluator().has_coco());
  EXPECT_TRUE(loaded->data().loader().has_workers());
  EXPECT_TRUE(loaded->data().loader().cache().has_max_megabytes());
  EXPECT_TRUE(loaded->data().train().transform(0).iou_crop().has_max_trials());
  EXPECT_TRUE(loaded->trainer().has_precision());

  // Absence that means something stays.
  EXPECT_FALSE(model.anchor_generator().ssd().has_first_scale());
  EXPECT_FALSE(model.anchor_generator().ssd().level(0).has_step());
  EXPECT_FALSE(loaded->trainer().has_ema());
  EXPECT_FALSE(loaded->schedule().has_warmup());
  EXPECT_FALSE(loaded->optimizer().sgd().has_per_batch());
  EXPECT_FALSE(loaded->data().train().has_subset());

  Experiment again = *loaded;
  Resolve(again);
  EXPECT_TRUE(MessageDifferencer::Equals(again, *loaded));
}

TEST_F(LoadTest, EmptyListsGetTheirDocumentedDefaults) {
  const absl::StatusOr<Experiment> loaded = Load(
      "small.textproto", {"model.anchor_generator.ssd.level=[]", "model.input.channel_order=BGR",
                          "schedule={ cosine {} warmup { steps: 5 } }"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto& levels = loaded->model().anchor_generator().ssd().level();
  ASSERT_EQ(levels.size(), 6);
  EXPECT_THAT(levels[0].aspect_ratio(), ElementsAre(2));
  EXPECT_THAT(levels[3].aspect_ratio(), ElementsAre(2, 3));
  EXPECT_THAT(levels[5].aspect_ratio(), ElementsAre(2));
  EXPECT_THAT(loaded->model().input().mean(), ElementsAre(103.53f, 116.28f, 123.675f));
  EXPECT_TRUE(loaded->schedule().warmup().has_initial_multiplier());

  // Half of one channel is one.
  const absl::StatusOr<Experiment> narrow =
      Load("small.textproto", {"model.neck={ ssd_extras { channels: [1, 9] } }"});
  ASSERT_TRUE(narrow.ok()) << narrow.status();
  EXPECT_THAT(narrow->model().neck().ssd_extras().mid_channels(), ElementsAre(1, 4));
}

TEST_F(LoadTest, ValidationTakesTheFolderOfTraining) {
  const absl::StatusOr<Experiment> loaded =
      Load("small.textproto", {"data.train.voc={ root: \"VOC\" image_set: \"train\" }",
                               "data.validation.voc={ image_set: \"val\" }"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->data().validation().voc().root(), folder_ + "/VOC");
  EXPECT_EQ(loaded->data().validation().voc().image_set(), "val");
}

TEST_F(LoadTest, ASavedConfigLoadsBackEqual) {
  Write("child.textproto", R"pb(
    base: "small.textproto"
    clear: "data.train.transform"
    name: "härter 数字"
    seed: 18446744073709551615
    data {
      train {
        mnist {
          folder: "digits"
          digits { from: 0.1 }
        }
        transform { resize { interpolation: RANDOM } }
      }
    }
    optimizer { adamw { learning_rate: 3e-4 epsilon: 1e-8 } }
    trainer { ema { decay: 0.99 } })pb");
  const absl::StatusOr<Experiment> loaded =
      Load("child.textproto", {"model.anchor_generator.ssd.min_scale=0.1"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  std::filesystem::create_directories(folder_ + "/runs/x");
  Write("runs/x/config.textproto", absl::StrCat("# proto-file: experiments/experiment.proto\n"
                                                "# proto-message: ssd.Experiment\n",
                                                PrintTextProto(*loaded)));
  const absl::StatusOr<Experiment> again =
      LoadExperiment(folder_ + "/runs/x/config.textproto", std::vector<std::string>{}, "/");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(MessageDifferencer::Equals(*loaded, *again)) << PrintTextProto(*again);
}

TEST_F(LoadTest, ToEvaluateAModelFileItsNetworkIsNotBuilt) {
  const std::vector<std::string> overrides = {
      "model.anchor_generator={ from_file { path: \"gone.npy\" per_cell: [4, 4, 4] } }"};
  EXPECT_THAT(std::string(Load("small.textproto", overrides).status().message()),
              HasSubstr("gone.npy"));
  EXPECT_TRUE(LoadExperiment("small.textproto", overrides, folder_, NetworkFrom::kModelFile).ok());
  EXPECT_THAT(std::string(LoadExperiment("small.textproto",
                                         std::vector<std::string>{"data.loader.batch_size=-1"},
                                         folder_, NetworkFrom::kModelFile)
                              .status()
                              .message()),
              HasSubstr("data.loader.batch_size: -1"));
}

TEST_F(LoadTest, ADifferenceIsOneLineWithTheFirstField) {
  const Experiment before = *Load("small.textproto");
  const auto difference = [&](const std::vector<std::string>& overrides) {
    const absl::StatusOr<Experiment> after = Load("small.textproto", overrides);
    EXPECT_TRUE(after.ok()) << after.status();
    return ShownDifference(before, after.value_or(Experiment()));
  };
  EXPECT_EQ(difference({}), "");
  EXPECT_EQ(difference({"trainer.epochs=4"}), "trainer.epochs was 3 and is 4");
  EXPECT_EQ(difference({"trainer.epochs=4", "seed=7", "model.anchor_generator.ssd.min_scale=0.25"}),
            "seed was 1 and is 7 (2 more fields differ)");
  EXPECT_EQ(difference({"trainer.precision=BF16", "trainer.epochs=4"}),
            "trainer.epochs was 3 and is 4 (1 more field differs)");
  EXPECT_EQ(difference({"model.anchor_generator.ssd.level[1].aspect_ratio=[2, 3.5]"}),
            "model.anchor_generator.ssd.level[1].aspect_ratio was [2, 3] and is [2, 3.5]");
  EXPECT_EQ(difference({"data.label=['a b', 'ä']"}), "data.label was [] and is [\"a b\", \"ä\"]");
  EXPECT_EQ(difference({"trainer.ema={ decay: 0.5 }"}),
            "trainer.ema was not set and is { decay: 0.5 ramp_up: true }");
  // The members of a oneof differ as two fields.
  EXPECT_THAT(difference({"trainer.steps=5"}),
              AllOf(StartsWith("trainer.epochs was 3 and is not set"), Not(HasSubstr("\n"))));
}

TEST_F(LoadTest, LoadingDrawsNoRandomNumbers) {
  at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
  generator.set_current_seed(7);
  const at::Tensor expected = at::rand({4});
  generator.set_current_seed(7);
  ASSERT_TRUE(Load("small.textproto").ok());
  EXPECT_TRUE(at::rand({4}).equal(expected));
}

TEST_F(LoadTest, ValuesOutOfRangeAreNamedWithTheirPlace) {
  EXPECT_THAT(Error("min_scale: 0.2", "min_scale: 0.95"),
              AllOf(StartsWith("bad.textproto:10:7: model.anchor_generator.ssd.min_scale: 0.95"),
                    HasSubstr("max_scale"), HasSubstr("0.9")));
  EXPECT_THAT(Error("min_scale: 0.2", "min_scale: -0.2"),
              StartsWith("bad.textproto:10:7: model.anchor_generator.ssd.min_scale: -0.2"));
  EXPECT_THAT(Error("min_scale: 0.2", "min_scale: nan"),
              StartsWith("bad.textproto:10:7: model.anchor_generator.ssd.min_scale: nan must be a "
                         "finite number"));
  EXPECT_THAT(
      Error("[2, 3]", "[2, inf]"),
      StartsWith("bad.textproto:13:15: model.anchor_generator.ssd.level[1].aspect_ratio[1]"));
  EXPECT_THAT(Error("height: 64", "height: -64"),
              StartsWith("bad.textproto:5:11: model.input.height: -64 must be"));
  EXPECT_THAT(Error("num_levels: 3", "num_levels: 0"),
              StartsWith("bad.textproto:4:3: model.num_levels: 0 must be at least 1"));
  EXPECT_THAT(Error("depth: 18", "depth: 19"),
              StartsWith("bad.textproto:6:23: model.backbone.resnet.depth: 19 must be"));
  EXPECT_THAT(Error("width: 96 }", "width: 96 mean: [1, 2] }"),
              StartsWith("bad.textproto:5:32: model.input.mean: has 2 values"));
  EXPECT_THAT(Error("width: 96 }", "width: 96 std: [1, 2, 0] }"),
              StartsWith("bad.textproto:5:32: model.input.std: 0 must be > 0"));
  EXPECT_THAT(Error("neck {", "head { kernel: 2 }\n neck {"),
              StartsWith("bad.textproto:7:10: model.head.kernel: 2 must be odd"));
  EXPECT_THAT(Error("batch_size: 2", "batch_size: 0"),
              StartsWith("bad.textproto:28:12: data.loader.batch_size: 0 must be at least 1"));
  EXPECT_THAT(Error("batch_size: 2", "workers: -2"), HasSubstr("data.loader.workers: -2 must be"));
  EXPECT_THAT(Error("batch_size: 2", "workers: 1025"),
              StartsWith("bad.textproto:28:12: data.loader.workers: 1025 must be 0 to 1024"));
  EXPECT_THAT(Error("batch_size: 2", "prefetch_batches: 0"), HasSubstr("prefetch_batches: 0"));
  EXPECT_THAT(Error("batch_size: 2", "prefetch_batches: 1025"),
              HasSubstr("data.loader.prefetch_batches: 1025 must be 1 to 1024"));
  EXPECT_THAT(Error("batch_size: 2", "cache { max_megabytes: -1 }"),
              HasSubstr("max_megabytes: -1"));
  EXPECT_THAT(Error("batch_size: 2", "sampling { repeat_factor { threshold: 2 } }"),
              StartsWith("bad.textproto:28:39: data.loader.sampling.repeat_factor.threshold: 2 "
                         "must be in (0, 1]"));
  EXPECT_THAT(Error("batch_size: 2", "sampling { weighted { class_weight { weight: 1 } } }"),
              HasSubstr("data.loader.sampling.weighted.class_weight[0].label: not set"));
  EXPECT_THAT(Error("batch_size: 2", "max_decode_reduction: 3"),
              StartsWith("bad.textproto:28:12: data.loader.max_decode_reduction: 3 must be 1, 2"));
  EXPECT_THAT(Error("batch_size: 2", "max_decode_reduction: 2 cache { max_megabytes: 9 }"),
              HasSubstr("DECODED"));
  EXPECT_THAT(Error("iou_crop {}", "iou_crop { min_scale: 2 }"),
              StartsWith("bad.textproto:21:28: data.train.transform[0].iou_crop.min_scale: 2"));
  EXPECT_THAT(Error("digits { scenes: 8 }", "digits {} subset { from: 0.8 to: 0.2 }"),
              StartsWith("bad.textproto:20:24: data.train.subset.from: 0.8 must be below"));
  EXPECT_THAT(Error("digits { scenes: 8 }", "digits {} subset { from: -1 }"),
              HasSubstr("data.train.subset.from: -1 must be in [0, 1]"));
  EXPECT_THAT(Error("[1, 2] }", "[1, 2] milestone_step: 10 }"),
              AllOf(StartsWith("bad.textproto:31:3: schedule.multi_step"), HasSubstr("both")));
  EXPECT_THAT(Error("milestone_epoch: [1, 2]", "milestone_epoch: [2, 1]"),
              StartsWith("bad.textproto:31:16: schedule.multi_step.milestone_epoch: 1 after 2; "));
  EXPECT_THAT(Error("schedule {", "schedule {\nwarmup { epochs: -1 }"),
              HasSubstr("schedule.warmup.epochs: -1"));
  EXPECT_THAT(Error("epochs: 3", "epochs: 0"),
              StartsWith("bad.textproto:33:11: trainer.epochs: 0 must be > 0"));
  EXPECT_THAT(Error("epochs: 3", ""), HasSubstr("trainer: set epochs or steps"));
  EXPECT_THAT(Error("epochs: 3", "epochs: 3 ema { decay: 1 }"), HasSubstr("trainer.ema.decay: 1"));
  EXPECT_THAT(Error("trainer {", "optimizer { sgd { momentum: 1 } }\ntrainer {"),
              StartsWith("bad.textproto:33:19: optimizer.sgd.momentum: 1 must be in [0, 1)"));
  // What names the model's parameters, or is measured by its input, is checked against it.
  EXPECT_THAT(Error("trainer {",
                    "optimizer { group { pattern: 'backbone*' } group { pattern: 'nek*' } }\n"
                    "trainer {"),
              AllOf(StartsWith("bad.textproto:33:"),
                    HasSubstr("optimizer.group[1].pattern: 'nek*' matches no parameter")));
  EXPECT_THAT(Error("trainer {", "evaluator { views { scale: 0 } }\ntrainer {"),
              AllOf(StartsWith("bad.textproto:33:"),
                    HasSubstr("evaluator.views.scale: 0 must be in (0, 8]")));
  // The data say how many classes there are, unless data.label does.
  EXPECT_TRUE(Load("small.textproto", {"model.loss.multibox.class_weight=[1, 2]"}).ok());
  EXPECT_THAT(
      Load("small.textproto", {"model.loss.multibox.class_weight=[1, 2]", "data.label=['a']"})
          .status()
          .ToString(),
      HasSubstr("class_weight: has 2 values"));
  EXPECT_TRUE(Load("small.textproto", {"evaluator.views.horizontal_flip=true",
                                       "optimizer={ group { pattern: '*.bias' } }"})
                  .ok());
}

TEST_F(LoadTest, ANameIsThatOfOneFolder) {
  for (const char* name : {"", "a/", "../../../escaped", "..", "."}) {
    const absl::Status status =
        Load("small.textproto", {absl::StrCat("name='", name, "'")}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << name << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat(": name: '", name, "' must be the name of one folder")));
  }
  EXPECT_FALSE(Load("small.textproto", {"name="}).ok());
  EXPECT_TRUE(Load("small.textproto", {"name=my run"}).ok());
}

TEST_F(LoadTest, ListsShorterThanNumLevels) {
  EXPECT_THAT(Error("num_levels: 3", "num_levels: 4"),
              AllOf(StartsWith("bad.textproto:12:7: model.anchor_generator.ssd.level: 3 given"),
                    HasSubstr("model.num_levels is 4")));
  // Longer ones are cut.
  EXPECT_TRUE(Load("small.textproto", {"model.num_levels=2"}).ok());
}

TEST_F(LoadTest, MissingUnknownAndUnlinkedComponents) {
  EXPECT_THAT(Error("backbone { resnet { depth: 18 width: 8 } }", ""),
              AllOf(StartsWith("bad.textproto:3:1: model.backbone: "), HasSubstr("no kind is set"),
                    HasSubstr("resnet")));
  EXPECT_THAT(Error("digits { scenes: 8 }", ""),
              AllOf(StartsWith("bad.textproto:19:3: data.train: "), HasSubstr("no kind is set")));
  EXPECT_THAT(Error("transform { iou_crop {} }", "transform {}"),
              StartsWith("bad.textproto:21:5: data.train.transform[0]: "));
  EXPECT_EQ(Error("resnet {", "resnext {"),
            "unknown field 'resnext' at bad.textproto:6:14; did you mean 'resnet'?");
  EXPECT_THAT(Error("resnet {", "[mylab.Swin.ext] {"),
              HasSubstr("no extension [mylab.Swin.ext] is linked into this program at "
                        "bad.textproto:6:14"));
}

TEST_F(LoadTest, ErrorsOfOverridesNameThem) {
  const absl::Status status =
      Load("small.textproto", {"model.anchor_generator.ssd.max_scale=0.1"}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("model.anchor_generator.ssd.m"));
  EXPECT_EQ(Load("small.textproto", {"data.loader.batch_size=-1"}).status().message(),
            "override 'data.loader.batch_size=-1': data.loader.batch_size: -1 must be at least 1");
}

TEST_F(LoadTest, OneTypoInTwoHundredLines) {
  std::string text = kSmall;
  while (std::count(text.begin(), text.end(), '\n') < 200) text += "# more\n";
  text = absl::StrReplaceAll(text, {{"max_scale", "max_scael"}});
  Write("long.textproto", text);
  EXPECT_EQ(Load("long.textproto").status().message(),
            "unknown field 'max_scael' at long.textproto:11:7; did you mean 'max_scale'?");
}

// --- sweeps ---

constexpr char kSweep[] = R"(# proto-file: experiments/sweep.proto
# proto-message: ssd.Sweep
base: "small.textproto"
set: "trainer.log_every=7"
axis {
  name: "m"
  point { label: "3" }
  point { label: "2" set: "model.num_levels=2" }
}
axis {
  name: "data set"
  point { label: "digits" }
  point { label: "VOC, small" set: "data.train={ voc { root: \"voc\" } transform { resize {} } }" }
}
seed: [1, 5]
)";

TEST_F(LoadTest, ASweepIsEveryCombination) {
  Write("sweep.textproto", kSweep);
  const absl::StatusOr<LoadedSweep> loaded = LoadSweep(
      folder_ + "/sweep.textproto", {"trainer.checkpoint_every=3", "model.num_levels=1"}, "/");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->name, "sweep");
  std::vector<std::string> names;
  for (const SweepPoint& point : loaded->points) {
    names.push_back(point.name);
    EXPECT_EQ(point.experiment.name(), point.name);
    EXPECT_EQ(point.experiment.seed(), point.seed);
    EXPECT_EQ(point.experiment.trainer().log_every(), 7);
    EXPECT_EQ(point.experiment.trainer().checkpoint_every(), 3);
    // The point's own setting comes after the command line's.
    EXPECT_EQ(point.experiment.model().num_levels(), point.labels[0] == "2" ? 2 : 1);
  }
  EXPECT_THAT(names, ElementsAre("m=3,data_set=digits,seed=1", "m=3,data_set=digits,seed=5",
                                 "m=3,data_set=VOC_small,seed=1", "m=3,data_set=VOC_small,seed=5",
                                 "m=2,data_set=digits,seed=1", "m=2,data_set=digits,seed=5",
                                 "m=2,data_set=VOC_small,seed=1", "m=2,data_set=VOC_small,seed=5"));
  EXPECT_THAT(loaded->points[2].labels, ElementsAre("3", "VOC, small"));
  // Paths in a sweep's overrides start from the sweep's folder.
  EXPECT_EQ(loaded->points[2].experiment.data().train().voc().root(), folder_ + "/voc");
}

TEST_F(LoadTest, ASweepWithoutSeedsTakesTheBasesOwn) {
  Write("sweep.textproto", absl::StrReplaceAll(kSweep, {{"seed: [1, 5]", "set: 'seed=9'"}}));
  const absl::StatusOr<LoadedSweep> loaded = LoadSweep("sweep.textproto", {}, folder_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->points.size(), 4u);
  EXPECT_EQ(loaded->points[0].name, "m=3,data_set=digits,seed=9");
}

TEST_F(LoadTest, WrongSweepsAreRefusedBeforeAnythingRuns) {
  const auto error = [&](absl::string_view from, absl::string_view to) {
    const std::string text = absl::StrReplaceAll(kSweep, {{from, to}});
    EXPECT_NE(text, kSweep) << from;
    Write("bad.textproto", text);
    const absl::Status status = LoadSweep("bad.textproto", {}, folder_).status();
    EXPECT_FALSE(status.ok()) << to;
    return std::string(status.message());
  };
  EXPECT_THAT(error("num_levels=2", "num_levels=0"),
              AllOf(StartsWith("bad.textproto: point m=2,data_set=digits: override "
                               "'model.num_levels=0': model.num_levels: 0"),
                    HasSubstr("at least 1")));
  EXPECT_THAT(error("num_levels=2", "num_level=2"), HasSubstr("did you mean 'num_levels'?"));
  EXPECT_THAT(error("label: \"2\"", "label: \"3\""),
              HasSubstr("axis[0].point[1].label '3' names two points of axis 'm'"));
  EXPECT_THAT(error("\"data set\"", "\"m\""), HasSubstr("axis[1].name 'm' names two axes"));
  EXPECT_THAT(error("\"data set\"", "\"seed\""), HasSubstr("list seeds in `seed`"));
  EXPECT_THAT(error("label: \"2\" ", ""), HasSubstr("axis[0].point[1].label is missing"));
  EXPECT_THAT(error("[1, 5]", "[1, 1]"), HasSubstr("seed 1 is listed twice"));
  EXPECT_THAT(
      error("label: \"2\"", absl::StrCat("label: \"", std::string(200, '2'), "\"")),
      AllOf(StartsWith("bad.textproto: the point's name: 'm=222"), HasSubstr("of 1 to 200 bytes")));
  EXPECT_THAT(error("base: \"small.textproto\"", ""), HasSubstr("base is missing"));
  EXPECT_THAT(error("small.textproto", "none.textproto"), HasSubstr("none.textproto: cannot read"));
  EXPECT_THAT(error("axis {\n  name: \"m\"", "axes {\n  name: \"m\""),
              HasSubstr("did you mean 'axis'?"));
  // The wrong kind of file, both ways.
  EXPECT_THAT(std::string(LoadSweep("small.textproto", {}, folder_).status().message()),
              HasSubstr("'ssd.Experiment' is declared at small.textproto:2:18"));
  Write("sweep.textproto", kSweep);
  EXPECT_THAT(std::string(Load("sweep.textproto").status().message()),
              HasSubstr("'ssd.Sweep' is declared"));
}

TEST_F(LoadTest, TheShippedSweepsAreValid) {
  const std::string folder = "experiments/sweeps/";
  for (const auto& [file, runs] : {std::pair("levels", 12u), std::pair("scales", 18u),
                                   std::pair("aspect_ratios", 18u), std::pair("backbones", 12u)}) {
    const absl::StatusOr<LoadedSweep> loaded =
        LoadSweep(folder + file + ".textproto", {}, std::filesystem::current_path().string());
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(loaded->points.size(), runs) << file;
  }
}

}  // namespace
}  // namespace ssd
