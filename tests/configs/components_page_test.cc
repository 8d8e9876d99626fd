// Every component has a row in docs/components.md, a dataset in docs/datasets.md. Every config of
// docs/components.md holds as it stands there, in an experiment that says nothing else but a
// backbone and its data.

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "data/data.pb.h"
#include "experiments/experiment.pb.h"
#include "experiments/load_experiment.h"
#include "ssd/anchors/anchor_file.h"
#include "ssd/core/file.h"
#include "ssd/core/registry.h"
#include "ssd/core/text_proto.h"
#include "ssd/model/model.pb.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {
namespace {

constexpr char kBase[] =
    "model { backbone { tiny {} } } data { train { digits {} } validation { digits {} } } "
    "trainer { steps: 1 }";

// What stands between backticks and has a brace.
std::vector<std::string> Configs() {
  const absl::StatusOr<std::string> page = ReadFile("docs/components.md");
  EXPECT_TRUE(page.ok()) << page.status();
  const std::vector<std::string> parts = absl::StrSplit(page.value_or(""), '`');
  std::vector<std::string> configs;
  for (size_t i = 1; i < parts.size(); i += 2) {
    if (parts[i].find('{') != std::string::npos) configs.push_back(parts[i]);
  }
  return configs;
}

// "num_levels: N " for a model whose boxes are written out for N levels, else "".
std::string StatedLevels(const std::string& config) {
  ModelConfig model;
  if (!ParseTextProto(config, "page", model).ok() || model.has_num_levels()) return "";
  const auto boxes = SetKind(model.anchor_generator());
  if (!boxes.ok()) return "";
  const auto* const level = (*boxes)->GetDescriptor()->FindFieldByName("level");
  if (level == nullptr) return "";
  const int count = (*boxes)->GetReflection()->FieldSize(**boxes, level);
  return count == 0 ? "" : absl::StrCat("num_levels: ", count, " ");
}

// The config inside the messages around its first field; "" if there is no such field.
std::string InExperiment(const std::string& config) {
  const std::string field = config.substr(0, config.find_first_of(" :{"));
  const auto is_of = [&field](const google::protobuf::Descriptor* message) {
    return message->FindFieldByName(field) != nullptr;
  };
  if (is_of(Experiment::descriptor())) return config;
  if (is_of(ModelConfig::descriptor())) {
    return absl::StrCat("model { ", StatedLevels(config), config, " }");
  }
  if (is_of(DataConfig::descriptor())) return absl::StrCat("data { ", config, " }");
  if (is_of(DatasetConfig::descriptor())) return absl::StrCat("data { train { ", config, " } }");
  return "";
}

absl::StatusOr<Experiment> Load(const std::string& text) {
  const std::string folder = ::testing::TempDir();
  const std::string file = folder + "/page.textproto";
  const absl::Status written = WriteFileAtomically(file, text);
  if (!written.ok()) return written;
  return LoadExperiment(file, std::vector<std::string>{}, folder);
}

class ComponentsPage : public ::testing::TestWithParam<std::string> {
 protected:
  // The base, and the boxes that the page reads from a file: those of the base.
  static void SetUpTestSuite() {
    const std::string folder = ::testing::TempDir();
    ASSERT_TRUE(WriteFileAtomically(folder + "/base.textproto", kBase).ok());
    const absl::StatusOr<Experiment> base = Load(kBase);
    ASSERT_TRUE(base.ok()) << base.status();
    const auto detector = SsdDetector::Create(base->model(), /*num_classes=*/1);
    ASSERT_TRUE(detector.ok()) << detector.status();
    const absl::Status written =
        WriteAnchorFile(folder + "/anchors.npy", (*detector)->anchors().boxes);
    ASSERT_TRUE(written.ok()) << written;
  }
};

TEST_P(ComponentsPage, ConfigIsValid) {
  const std::string text = InExperiment(GetParam());
  ASSERT_NE(text, "") << GetParam() << " begins with no field of an experiment, its model or data";
  const absl::StatusOr<Experiment> loaded = Load("base: 'base.textproto' " + text);
  EXPECT_TRUE(loaded.ok()) << text << ": " << loaded.status();
}

INSTANTIATE_TEST_SUITE_P(All, ComponentsPage, ::testing::ValuesIn(Configs()));

// Appends the families below `message`: the oneofs whose members are options messages.
void AppendFamilies(const google::protobuf::Descriptor* message,
                    std::set<const google::protobuf::Descriptor*>& seen,
                    std::vector<const google::protobuf::OneofDescriptor*>& families) {
  if (!seen.insert(message).second) return;
  for (int i = 0; i < message->oneof_decl_count(); ++i) {
    const google::protobuf::OneofDescriptor* const members = message->oneof_decl(i);
    if (members->field(0)->message_type() != nullptr) families.push_back(members);
  }
  for (int i = 0; i < message->field_count(); ++i) {
    const google::protobuf::Descriptor* const part = message->field(i)->message_type();
    if (part != nullptr) AppendFamilies(part, seen, families);
  }
}

// What stands in the first column of the page's tables under headings that name `proto`; of all its
// tables if `proto` is empty.
std::string FirstColumn(const std::string& path, const std::string& proto) {
  const absl::StatusOr<std::string> page = ReadFile(path);
  EXPECT_TRUE(page.ok()) << page.status();
  const std::vector<std::string> lines = absl::StrSplit(page.value_or(""), '\n');
  std::string column;
  bool is_wanted = proto.empty();
  for (const std::string& line : lines) {
    if (absl::StartsWith(line, "## ")) is_wanted = absl::StrContains(line, proto);
    if (!is_wanted || !absl::StartsWith(line, "| ")) continue;
    absl::StrAppend(&column, line.substr(0, line.find('|', 1)), "\n");
  }
  return column;
}

TEST(EveryComponent, HasARow) {
  std::set<const google::protobuf::Descriptor*> seen;
  std::vector<const google::protobuf::OneofDescriptor*> families;
  AppendFamilies(Experiment::descriptor(), seen, families);
  EXPECT_GE(families.size(), 12u);  // as many as CONTRIBUTING.md has
  for (const google::protobuf::OneofDescriptor* const family : families) {
    const google::protobuf::Descriptor* const config = family->containing_type();
    const bool is_dataset = config == DatasetConfig::descriptor();
    const std::string page = is_dataset ? "docs/datasets.md" : "docs/components.md";
    const std::string column = FirstColumn(page, is_dataset ? "" : config->file()->name());
    for (int i = 0; i < family->field_count(); ++i) {
      const std::string name = absl::StrCat("`", family->field(i)->name(), "`");
      EXPECT_TRUE(absl::StrContains(column, name))
          << page << " has no row for " << name << " of " << config->file()->name();
    }
  }
}

}  // namespace
}  // namespace ssd
