#include "experiments/merge_experiment.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/merge_test.pb.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using google::protobuf::util::MessageDifferencer;
using merge_test::TinyAnchorsOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Writes files into a folder of its own and merges them from there.
class MergeExperimentTest : public ::testing::Test {
 protected:
  MergeExperimentTest()
      : folder_((std::filesystem::path(::testing::TempDir()) /
                 ::testing::UnitTest::GetInstance()->current_test_info()->name())
                    .string()) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ + "/sub");
  }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/" + name, text).ok());
  }

  absl::StatusOr<Experiment> Merge(const std::string& name,
                                   const std::vector<std::string>& assignments = {}) {
    std::vector<Override> overrides;
    for (const std::string& assignment : assignments) overrides.push_back({assignment, folder_});
    locations_.clear();
    return MergeExperiment(name, overrides, folder_, locations_);
  }

  // Of a merge that must succeed.
  Experiment Merged(const std::string& name, const std::vector<std::string>& assignments = {}) {
    const absl::StatusOr<Experiment> merged = Merge(name, assignments);
    EXPECT_TRUE(merged.ok()) << merged.status();
    return merged.value_or(Experiment());
  }

  std::string Error(const std::string& name, const std::vector<std::string>& assignments = {}) {
    const absl::Status status = Merge(name, assignments).status();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
    return std::string(status.message());
  }

  // The error of one override of a small experiment.
  std::string OverrideError(const std::string& assignment) {
    Write("small.textproto", R"pb(
      model {
        num_levels: 6
        backbone { resnet { depth: 18 } }
        anchor_generator {
          ssd {
            level { aspect_ratio: 2 }
            level { aspect_ratio: [ 2, 3 ] }
          }
        }
      }
      data { train { digits {} } }
      trainer { epochs: 1 })pb");
    return Error("small.textproto", {assignment});
  }

  const std::string folder_;
  FieldLocations locations_;
};

// The example of docs/configuration.md.
TEST_F(MergeExperimentTest, ABaseIsMergedFieldByField) {
  Write("base.textproto", R"pb(
    name: "base"
    model {
      num_levels: 4
      input { height: 120 width: 120 }
      backbone { resnet { depth: 18 width: 16 } }
      anchor_generator {
        ssd {
          min_scale: 0.15
          level { aspect_ratio: 2 }
          level { aspect_ratio: 2 }
        }
      }
    }
    data {
      train {
        digits { scenes: 100 }
        transform { horizontal_flip {} }
        transform { resize {} }
      }
    }
    trainer { epochs: 1 log_every: 20 })pb");
  Write("child.textproto", R"pb(
    base: "base.textproto"
    model {
      backbone { resnet { depth: 34 } }
      anchor_generator { ssd { level { aspect_ratio: 3 } } }
    }
    data { train { voc { root: "VOC2007" } } }
    trainer { steps: 10 })pb");
  const Experiment merged = Merged("child.textproto");
  EXPECT_FALSE(merged.has_base());
  EXPECT_EQ(merged.name(), "base");
  // Messages merge, scalars replace.
  EXPECT_EQ(merged.model().num_levels(), 4);
  EXPECT_EQ(merged.model().input().height(), 120);
  EXPECT_EQ(merged.model().backbone().resnet().depth(), 34);
  EXPECT_EQ(merged.model().backbone().resnet().width(), 16);
  // A list replaces the base's.
  ASSERT_EQ(merged.model().anchor_generator().ssd().level_size(), 1);
  EXPECT_THAT(merged.model().anchor_generator().ssd().level(0).aspect_ratio(), ElementsAre(3));
  EXPECT_EQ(merged.model().anchor_generator().ssd().min_scale(), 0.15);
  // Another member of a oneof replaces the whole; what stands beside the oneof stays.
  EXPECT_FALSE(merged.data().train().has_digits());
  EXPECT_EQ(merged.data().train().transform_size(), 2);
  EXPECT_EQ(merged.trainer().length_case(), TrainerConfig::kSteps);
  EXPECT_EQ(merged.trainer().log_every(), 20);
}

TEST_F(MergeExperimentTest, ExtensionsExcludeKindsAndOneAnother) {
  Write("ssd.textproto", R"pb(
    model { anchor_generator { ssd { min_scale: 0.3 } } })pb");
  Write("tiny.textproto", R"pb(
    base: "ssd.textproto"
    model {
      anchor_generator {
        [ssd.merge_test.TinyAnchorsOptions.ext] { scale: 0.4 }
      }
    })pb");
  Write("back.textproto", R"pb(
    base: "tiny.textproto"
    model { anchor_generator { ssd { max_scale: 0.8 } } })pb");
  const Experiment tiny = Merged("tiny.textproto");
  EXPECT_FALSE(tiny.model().anchor_generator().has_ssd());
  EXPECT_EQ(tiny.model().anchor_generator().GetExtension(TinyAnchorsOptions::ext).scale(), 0.4);
  const Experiment back = Merged("back.textproto");
  EXPECT_FALSE(back.model().anchor_generator().HasExtension(TinyAnchorsOptions::ext));
  EXPECT_EQ(back.model().anchor_generator().ssd().max_scale(), 0.8);
  EXPECT_FALSE(back.model().anchor_generator().ssd().has_min_scale());
}

TEST_F(MergeExperimentTest, ClearEmptiesFieldsOfTheBase) {
  Write("base.textproto", R"pb(
    data {
      train {
        transform { resize {} }
        transform { horizontal_flip {} }
      }
    }
    trainer { ema { decay: 0.9 } })pb");
  Write("child.textproto", R"pb(
    base: "base.textproto"
    clear: "data.train.transform"
    clear: "trainer.ema"
    clear: "schedule.warmup"
    data { train { transform { iou_crop {} } } })pb");
  const Experiment merged = Merged("child.textproto");
  ASSERT_EQ(merged.data().train().transform_size(), 1);
  EXPECT_TRUE(merged.data().train().transform(0).has_iou_crop());
  EXPECT_FALSE(merged.trainer().has_ema());
  EXPECT_FALSE(merged.has_schedule());
  EXPECT_EQ(merged.clear_size(), 0);

  Write("typo.textproto", "base: 'base.textproto'\nclear: 'data.train.transfrom'");
  EXPECT_EQ(Error("typo.textproto"),
            "typo.textproto:2:1: clear: 'data.train.transfrom': unknown field 'transfrom'; did you "
            "mean 'transform'?");
  Write("baseless.textproto", "clear: 'model'");
  EXPECT_THAT(Error("baseless.textproto"), HasSubstr("baseless.textproto:1:1: clear: \"model\""));
}

TEST_F(MergeExperimentTest, BasesChain) {
  Write("a.textproto", "seed: 1 model { num_levels: 1 }");
  Write("sub/b.textproto", "base: '../a.textproto' seed: 2 trainer { epochs: 2 }");
  Write("c.textproto", "base: 'sub/b.textproto' seed: 3");
  const Experiment merged = Merged("c.textproto");
  EXPECT_EQ(merged.seed(), 3u);
  EXPECT_EQ(merged.trainer().epochs(), 2);
  EXPECT_EQ(merged.model().num_levels(), 1);
  EXPECT_EQ(merged.name(), "c");
  EXPECT_EQ(locations_["seed"], "c.textproto:1:25");
  EXPECT_EQ(locations_["trainer.epochs"], "sub/b.textproto:1:42");
  EXPECT_EQ(locations_["model.num_levels"], "a.textproto:1:17");
}

TEST_F(MergeExperimentTest, CyclesAndMissingFilesNameTheChain) {
  Write("a.textproto", "base: 'sub/b.textproto'");
  Write("sub/b.textproto", "base: '../a.textproto'");
  Write("self.textproto", "base: 'self.textproto'");
  Write("lost.textproto", "base: 'sub/nowhere.textproto'");
  EXPECT_EQ(Error("a.textproto"),
            "bases in a circle: a.textproto -> sub/b.textproto -> a.textproto; remove one `base`");
  EXPECT_THAT(Error("self.textproto"), HasSubstr("self.textproto -> self.textproto"));
  EXPECT_EQ(Merge("lost.textproto").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Error("lost.textproto"),
              AllOf(HasSubstr("sub/nowhere.textproto: cannot read"),
                    HasSubstr("(lost.textproto -> sub/nowhere.textproto)")));
  EXPECT_EQ(Merge("none.textproto").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Error(""), HasSubstr("--config=FILE"));
}

TEST_F(MergeExperimentTest, ErrorsOfABaseNameTheBase) {
  Write("sub/b.textproto", "model {\n  num_levles: 3\n}");
  Write("a.textproto", "base: 'sub/b.textproto'");
  EXPECT_EQ(Error("a.textproto"),
            "unknown field 'num_levles' at sub/b.textproto:2:3; did you mean 'num_levels'?");
}

TEST_F(MergeExperimentTest, PathsStartFromTheFileThatSetsThem) {
  Write("sub/b.textproto", R"pb(
    data {
      train { voc { root: "data/VOC" image_set: "train" } }
      validation { coco { annotations: "/abs/val.json" images: "../images" } }
    }
    model {
      anchor_generator {
        [ssd.merge_test.TinyAnchorsOptions.ext] { table: "t" }
      }
    })pb");
  Write("a.textproto", "base: 'sub/b.textproto'");
  Experiment merged = Merged("a.textproto");
  EXPECT_EQ(merged.data().train().voc().root(), folder_ + "/sub/data/VOC");
  EXPECT_EQ(merged.data().train().voc().image_set(), "train") << "no path";
  EXPECT_EQ(merged.data().validation().coco().annotations(), "/abs/val.json");
  EXPECT_EQ(merged.data().validation().coco().images(), folder_ + "/images");
  EXPECT_EQ(merged.model().anchor_generator().GetExtension(TinyAnchorsOptions::ext).table(),
            folder_ + "/sub/t");

  // So do those in lists of messages.
  Write("sub/c.textproto", R"pb(
    data {
      train {
        concat {
          dataset { voc { root: "data/VOC2007" } }
          dataset { concat { dataset { table { file: "boxes.csv" } } } }
        }
      }
    })pb");
  Write("d.textproto", "base: 'sub/c.textproto'");
  merged = Merged("d.textproto", {"data.train.concat.dataset[0].voc.annotations_dir=xml"});
  EXPECT_EQ(merged.data().train().concat().dataset(0).voc().root(), folder_ + "/sub/data/VOC2007");
  EXPECT_EQ(merged.data().train().concat().dataset(0).voc().annotations_dir(), "xml");
  EXPECT_EQ(merged.data().train().concat().dataset(1).concat().dataset(0).table().file(),
            folder_ + "/sub/boxes.csv");
  merged = Merged("d.textproto", {"data.train.concat.dataset[0].voc.root=VOC2012"});
  EXPECT_EQ(merged.data().train().concat().dataset(0).voc().root(), folder_ + "/VOC2012");

  // An override's paths start from where the user stands.
  merged = Merged("a.textproto", {"data.train.voc.root=../other"});
  EXPECT_EQ(merged.data().train().voc().root(),
            std::filesystem::path(folder_).parent_path().string() + "/other");
}

TEST_F(MergeExperimentTest, OverridesReachEveryField) {
  Write("a.textproto", R"pb(
    model {
      anchor_generator {
        ssd {
          level { aspect_ratio: 2 }
          level { aspect_ratio: 2 }
          level { aspect_ratio: 2 step: 64 }
        }
      }
      neck { ssd_extras { channels: [ 512, 256 ] } }
    }
    data { train { digits {} } }
    trainer { epochs: 1 })pb");
  const Experiment merged = Merged(
      "a.textproto",
      {"model.anchor_generator.ssd.min_scale=0.15",
       "model.anchor_generator.ssd.level[2].aspect_ratio=[2,3]",
       "model.anchor_generator.ssd.level[0]={ step: 8 }", "model.neck.ssd_extras.channels[1]=128",
       "model.neck.ssd_extras.norm=BATCH_NORM", "name=a run, with spaces = and more",
       "data.label=[cat, dog]", "model.backbone={ resnet { depth: 34 } }", "trainer.steps=5",
       "trainer.ema.decay=0.99", "data.train.subset={ to: 0.5 }"});
  const auto& anchors = merged.model().anchor_generator().ssd();
  EXPECT_EQ(anchors.min_scale(), 0.15);
  EXPECT_THAT(anchors.level(2).aspect_ratio(), ElementsAre(2, 3));
  EXPECT_EQ(anchors.level(2).step(), 64);
  EXPECT_EQ(anchors.level(0).aspect_ratio_size(), 0) << "a message value replaces";
  EXPECT_EQ(anchors.level(0).step(), 8);
  EXPECT_THAT(merged.model().neck().ssd_extras().channels(), ElementsAre(512, 128));
  EXPECT_EQ(merged.model().neck().ssd_extras().norm(), SsdExtrasOptions::BATCH_NORM);
  EXPECT_EQ(merged.name(), "a run, with spaces = and more");
  EXPECT_THAT(merged.data().label(), ElementsAre("cat", "dog"));
  EXPECT_EQ(merged.model().backbone().resnet().depth(), 34);
  EXPECT_EQ(merged.trainer().length_case(), TrainerConfig::kSteps);
  EXPECT_EQ(merged.trainer().ema().decay(), 0.99);
  EXPECT_EQ(merged.data().train().subset().to(), 0.5);
  EXPECT_EQ(locations_["model.neck.ssd_extras.norm"],
            "override 'model.neck.ssd_extras.norm=BATCH_NORM'");

  // Later ones win; lists can be emptied.
  const Experiment emptied =
      Merged("a.textproto", {"seed=1", "seed=2", "model.anchor_generator.ssd.level=[]"});
  EXPECT_EQ(emptied.seed(), 2u);
  EXPECT_EQ(emptied.model().anchor_generator().ssd().level_size(), 0);
}

TEST_F(MergeExperimentTest, AnOverrideMayBeCalledByItsFlag) {
  Write("a.textproto", "model { num_levels: 4 }");
  const auto merged = MergeExperiment(folder_ + "/a.textproto",
                                      std::vector<Override>{{"model.num_levels=5", folder_, "--m"}},
                                      folder_, locations_);
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(locations_["model.num_levels"], "--m");
  const auto wrong = MergeExperiment(
      folder_ + "/a.textproto", std::vector<Override>{{"model.num_levels=six", folder_, "--m"}},
      folder_, locations_);
  EXPECT_THAT(std::string(wrong.status().message()), StartsWith("--m: 'model.num_levels': "));
}

TEST_F(MergeExperimentTest, OverridesReachExtensions) {
  Write("a.textproto", "model {}");
  const std::string ext = "model.anchor_generator.[ssd.merge_test.TinyAnchorsOptions.ext]";
  Experiment merged = Merged("a.textproto", {ext + ".scale=0.25"});
  EXPECT_EQ(merged.model().anchor_generator().GetExtension(TinyAnchorsOptions::ext).scale(), 0.25);
  Write("b.textproto", "model { anchor_generator { ssd {} } }");
  EXPECT_THAT(Error("b.textproto", {ext + ".scale=0.25"}), HasSubstr("would switch"));
  merged = Merged("b.textproto", {ext + "={ scale: 0.25 }"});
  EXPECT_FALSE(merged.model().anchor_generator().has_ssd());
  EXPECT_THAT(Error("b.textproto", {"model.anchor_generator.[ssd.merge_test.TinyAnchors.ext]={}"}),
              HasSubstr("did you mean '[ssd.merge_test.TinyAnchorsOptions.ext]'?"));
}

TEST_F(MergeExperimentTest, AnOverrideDoesNotSwitchAOneofUnasked) {
  EXPECT_EQ(OverrideError("data.train.voc.root=VOC2007"),
            "'data.train.voc.root': would switch 'data.train' from digits to voc; to do so, set it "
            "whole: 'data.train={ voc { ... } }'");
  // Whole, it does.
  Experiment merged = Merged("small.textproto", {"data.train={ voc { root: \"VOC2007\" } }"});
  EXPECT_TRUE(merged.data().train().has_voc());
  merged = Merged("small.textproto", {"data.train.voc={ root: \"VOC2007\" }"});
  EXPECT_EQ(merged.data().train().voc().root(), folder_ + "/VOC2007");
  EXPECT_FALSE(merged.data().train().has_digits());
}

TEST_F(MergeExperimentTest, WrongOverridesSayWhatWouldBeRight) {
  EXPECT_EQ(OverrideError("model.anchor_generator.ssd.min_scle=0.15"),
            "'model.anchor_generator.ssd.min_scle': unknown field 'min_scle'; did you mean "
            "'min_scale'?");
  EXPECT_EQ(OverrideError("model.num_levels=six"),
            "'model.num_levels': field 'num_levels' is 'six'; it takes a whole number");
  EXPECT_THAT(OverrideError("model.anchor_generator.ssd.level[2].step=8"),
              HasSubstr("'model.anchor_generator.ssd.level[2]' does not exist: the list has 2 "
                        "entries"));
  EXPECT_THAT(OverrideError("model.anchor_generator.ssd.level.step=8"),
              HasSubstr("is a list; say which entry: 'model.anchor_generator.ssd.level[0].step'"));
  EXPECT_THAT(OverrideError("model.num_levels[0]=4"), HasSubstr("is no list"));
  EXPECT_THAT(OverrideError("model.anchor_generator.ssd.level[-1].step=8"), HasSubstr("no index"));
  EXPECT_THAT(OverrideError("model.num_levels.x=4"), HasSubstr("is no message"));
  EXPECT_THAT(OverrideError("model.backbone=resnet"),
              HasSubstr("it takes a message in braces, '{ ... }'"));
  EXPECT_THAT(OverrideError("model.backbone={ resnet { depht: 3 } }"),
              HasSubstr("did you mean 'depth'?"));
  EXPECT_THAT(OverrideError("model.num_levels"), HasSubstr("write path.to.field=value"));
  EXPECT_THAT(OverrideError("=4"), HasSubstr("write path.to.field=value"));
  EXPECT_THAT(OverrideError("model.=4"), HasSubstr("a field's name is missing"));
  EXPECT_THAT(OverrideError("base=b.textproto"), HasSubstr("only works in a file"));
}

}  // namespace
}  // namespace ssd
