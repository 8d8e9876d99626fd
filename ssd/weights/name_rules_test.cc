#include "ssd/weights/name_rules.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace ssd {
namespace {

TEST(NameRulesTest, RenamesByTheFirstRuleThatFits) {
  const std::vector<NameRule> rules = {
      {"extra.0.*", "fc.*"},
      {"extra.#.0.*", "neck.#.conv1.*"},
      {"layer#.*", "backbone.layer#.*"},
      {"scale", "norm.weight"},
      {"fc.*", ""},
  };
  EXPECT_EQ(Rename(rules, "extra.0.0.weight"), "fc.0.weight");
  EXPECT_EQ(Rename(rules, "extra.12.0.weight"), "neck.12.conv1.weight");
  EXPECT_EQ(Rename(rules, "layer3.0.conv1.weight"), "backbone.layer3.0.conv1.weight");
  EXPECT_EQ(Rename(rules, "scale"), "norm.weight");
  EXPECT_EQ(Rename(rules, "fc.weight"), "");
  for (const char* const name : {"", "scale.weight", "scal", "extra..0.weight", "extra.x.0.weight",
                                 "extra.1", "layer.0", "fc", "module.scale"}) {
    EXPECT_EQ(Rename(rules, name), std::nullopt) << name;
  }
  EXPECT_EQ(RenameBack(rules, "fc.0.weight"), "extra.0.0.weight");
  EXPECT_EQ(RenameBack(rules, "neck.12.conv1.weight"), "extra.12.0.weight");
  EXPECT_EQ(RenameBack(rules, "norm.weight"), "scale");
  EXPECT_EQ(RenameBack(rules, ""), std::nullopt) << "what is left out has no way back";
}

}  // namespace
}  // namespace ssd
