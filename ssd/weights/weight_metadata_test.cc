#include "ssd/weights/weight_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(WeightMetadataTest, ComesBackAsItWas) {
  const TrainedInput input = {true, {104, 117, 123.675f}, {1, 57.375f, 58.395f}};
  WeightFile file;
  AddMetadata({"a cat", "härter 数字", "\"{"}, input, file.metadata);
  EXPECT_EQ(file.metadata.size(), 2u);
  const absl::Status status = ReadMetadata("w.safetensors", file);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(file.labels, ElementsAre("a cat", "härter 数字", "\"{"));
  ASSERT_TRUE(file.input.has_value());
  EXPECT_TRUE(file.input->bgr);
  EXPECT_EQ(file.input->mean, input.mean);
  EXPECT_EQ(file.input->deviation, input.deviation);
}

TEST(WeightMetadataTest, WhatIsUnknownStaysUnknown) {
  WeightFile file;
  AddMetadata({}, std::nullopt, file.metadata);
  EXPECT_THAT(file.metadata, IsEmpty());
  file.metadata["format"] = "pt";
  ASSERT_TRUE(ReadMetadata("w.safetensors", file).ok());
  EXPECT_THAT(file.labels, IsEmpty());
  EXPECT_FALSE(file.input.has_value());
  // An input without a value for every channel, or with a deviation of 0, is none.
  for (const char* const text : {"mean: [1, 2, 3]", "mean: [1, 2, 3] std: [1, 0, 1]"}) {
    file.metadata["ssd.input"] = text;
    ASSERT_TRUE(ReadMetadata("w.safetensors", file).ok());
    EXPECT_FALSE(file.input.has_value()) << text;
  }
}

TEST(WeightMetadataTest, OtherTextsAreErrors) {
  for (const char* const key : {"ssd.labels", "ssd.input"}) {
    WeightFile file;
    file.metadata[key] = "nonsense {";
    const absl::Status status = ReadMetadata("w.safetensors", file);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_THAT(std::string(status.message()), HasSubstr("w.safetensors"));
    EXPECT_TRUE(absl::StrContains(status.message(), key)) << status;
  }
}

}  // namespace
}  // namespace ssd
