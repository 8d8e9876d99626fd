#include "ssd/tensor_files/safetensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ssd/core/file.h"
#include "ssd/tensor_files/little_endian.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

constexpr char kFolder[] = "tests/golden/torch_files/";

std::string TestPath(const std::string& name) { return ::testing::TempDir() + "/" + name; }

// A file of that header and as many bytes of data, 0, 1, 2, ...
std::string File(const std::string& header, size_t data_size) {
  std::string bytes;
  AppendLittleEndian(header.size(), 8, bytes);
  bytes += header;
  for (size_t i = 0; i < data_size; ++i) bytes.push_back(static_cast<char>(i));
  return bytes;
}

absl::Status Parse(const std::string& bytes) {
  const absl::Status status = ParseSafetensors(bytes, "hostile.safetensors").status();
  if (!status.ok()) {
    EXPECT_EQ(status.message().find("hostile.safetensors: "), 0u) << status;
  }
  return status;
}

TEST(SafetensorsTest, ReadsWhatTheFormatSays) {
  const std::map<std::string, std::string> files = {
      {"state_dict", "state_dict_handwritten.safetensors"},
      {"dtypes", "dtypes_handwritten.safetensors"}};
  for (const auto& [key, name] : files) {
    const absl::StatusOr<NamedTensors> file = ReadSafetensors(kFolder + name);
    ASSERT_TRUE(file.ok()) << file.status();
    const rapidjson::Value& expected = golden::File("torch_files/expected.json")[key.c_str()];
    ASSERT_EQ(file->tensors.size(), expected.MemberCount());
    size_t i = 0;
    for (const auto& member : expected.GetObject()) {
      const auto& [tensor_name, tensor] = file->tensors[i++];
      EXPECT_EQ(tensor_name, member.name.GetString());
      std::vector<int64_t> shape;
      for (const auto& extent : member.value["shape"].GetArray()) {
        shape.push_back(extent.GetInt64());
      }
      EXPECT_EQ(tensor.sizes(), at::IntArrayRef(shape)) << tensor_name;
      golden::ExpectNear(tensor.to(at::kDouble).sum(),
                         at::scalar_tensor(member.value["sum"].GetDouble(), at::kDouble),
                         absl::StrCat(name, " ", tensor_name));
    }
  }
  const absl::StatusOr<NamedTensors> types =
      ReadSafetensors(absl::StrCat(kFolder, files.at("dtypes")));
  const std::vector<at::ScalarType> expected_types = {
      at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kLong,
      at::kInt,   at::kShort,  at::kChar, at::kByte,     at::kBool};
  ASSERT_EQ(types->tensors.size(), expected_types.size());
  for (size_t i = 0; i < expected_types.size(); ++i) {
    EXPECT_EQ(types->tensors[i].second.scalar_type(), expected_types[i]);
  }
}

TEST(SafetensorsTest, ReadsMetadataAndBytes) {
  const absl::StatusOr<NamedTensors> file = ParseSafetensors(
      File(R"({"__metadata__":{"format":"pt","a":"\u00e9"},"x":{"dtype":"U8","shape":[2,2],)"
           R"("data_offsets":[2,6]},"b":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})",
           6),
      "x.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->metadata,
            (std::map<std::string, std::string>{{"format", "pt"}, {"a", "\xc3\xa9"}}));
  EXPECT_TRUE(file->Find("x")->equal(at::arange(2, 6, at::kByte).view({2, 2})));
  EXPECT_TRUE(file->Find("b")->equal(at::tensor({0, 1}).to(at::kBool)));
  EXPECT_EQ(file->tensors[0].first, "x") << "the header's order";
}

TEST(SafetensorsTest, GivesBackWhatWasWritten) {
  at::manual_seed(1);
  NamedTensors file;
  for (const at::ScalarType type : {at::kByte, at::kChar, at::kShort, at::kInt, at::kLong,
                                    at::kHalf, at::kFloat, at::kDouble, at::kBool, at::kBFloat16}) {
    file.tensors.emplace_back(c10::toString(type), at::randn({3, 5}).mul(10).to(type));
  }
  file.tensors.emplace_back("scalar", at::scalar_tensor(7, at::kLong));
  file.tensors.emplace_back("empty", at::empty({0, 4}));
  file.tensors.emplace_back("transposed \"\xc3\xa9\"", at::randn({4, 6}).t());
  file.tensors.emplace_back("parameter", at::randn({2}).requires_grad_());
  file.metadata["format"] = "pt";
  const std::string path = TestPath("written.safetensors");
  const absl::Status written = WriteSafetensors(path, file);
  ASSERT_TRUE(written.ok()) << written;
  const absl::StatusOr<NamedTensors> again = ReadSafetensors(path);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->metadata, file.metadata);
  ASSERT_EQ(again->tensors.size(), file.tensors.size());
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    EXPECT_EQ(again->tensors[i].first, file.tensors[i].first);
    EXPECT_EQ(again->tensors[i].second.scalar_type(), file.tensors[i].second.scalar_type());
    EXPECT_TRUE(again->tensors[i].second.equal(file.tensors[i].second)) << file.tensors[i].first;
  }
  // The data is aligned for its largest elements, and the same weights give the same bytes.
  const std::string bytes = *ReadFile(path);
  EXPECT_EQ(FromLittleEndian(bytes.substr(0, 8)) % 8, 0u);
  ASSERT_TRUE(WriteSafetensors(TestPath("again.safetensors"), file).ok());
  EXPECT_EQ(*ReadFile(TestPath("again.safetensors")), bytes);
}

TEST(SafetensorsTest, WhatCannotBeWrittenIsAnError) {
  const std::string path = TestPath("refused.safetensors");
  const auto code = [&path](const std::string& name, const Tensor& tensor) {
    NamedTensors file;
    file.tensors.emplace_back("a", at::zeros({1}));
    file.tensors.emplace_back(name, tensor);
    return WriteSafetensors(path, file).code();
  };
  EXPECT_EQ(code("b", at::zeros({1})), absl::StatusCode::kOk);
  EXPECT_EQ(code("a", at::zeros({1})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("__metadata__", at::zeros({1})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("\xff", at::zeros({1})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("c", at::zeros({1}, at::kComplexFloat)), absl::StatusCode::kInvalidArgument);
}

TEST(HostileSafetensorsTest, EveryCutIsAnError) {
  const std::string bytes = *ReadFile(absl::StrCat(kFolder, "dtypes_handwritten.safetensors"));
  ASSERT_TRUE(Parse(bytes).ok());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(Parse(bytes.substr(0, size)).ok()) << "cut at " << size;
  }
  EXPECT_FALSE(Parse(bytes + "x").ok()) << "a byte that belongs to no tensor";
}

TEST(HostileSafetensorsTest, NoByteThatChangesCrashes) {
  const std::string bytes = *ReadFile(absl::StrCat(kFolder, "dtypes_handwritten.safetensors"));
  for (size_t i = 0; i < 8 + 600; ++i) {
    for (int value = 0; value < 256; value += 3) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(value);
      Parse(damaged).IgnoreError();
    }
  }
}

TEST(HostileSafetensorsTest, LiesAreErrors) {
  const std::string good = R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                           R"("y":{"dtype":"U8","shape":[4],"data_offsets":[8,12]}})";
  ASSERT_TRUE(Parse(File(good, 12)).ok());
  const auto expect = [&](const std::string& from, const std::string& to, const std::string& what) {
    const std::string header = absl::StrReplaceAll(good, {{from, to}});
    ASSERT_NE(header, good);
    const absl::Status status = Parse(File(header, 12));
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_NE(status.message().find(what), absl::string_view::npos) << status;
  };
  expect("[0,8]", "[0,9]", "its shape needs 8");
  expect("[0,8]", "[8,0]", "has no place");
  expect("[0,8]", "[-8,0]", "has no place");
  expect("[0,8]", "[0]", "has no place");
  expect("[0,8]", "[0.5,8]", "has no place");
  expect("[8,12]", "[4,8]", "begins at byte 4 of the data, the one before ends at 8");
  expect("[8,12]", "[9,13]", "ends at byte 13 of 12");
  expect("[4],\"data_offsets\":[8,12]", "[3],\"data_offsets\":[9,12]", "begins at byte 9");
  expect("[4],\"data_offsets\":[8,12]", "[3],\"data_offsets\":[8,11]", "belong to no tensor");
  expect("[2]", "[-2]", "has no shape");
  expect("[2]", "[2,4611686018427387904]", "larger than any memory");
  expect("[2]", "[4611686018427387904,4611686018427387904,0]", "larger than any memory");
  expect("[2]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]", "has no shape");
  expect("\"y\"", "\"x\"", "two entries are called 'x'");
  expect("\"shape\":[2],", "", "lacks its dtype, shape or data_offsets");
  expect("}}", "}", "the header is no JSON");
  expect("\"F32\"", "32", "lacks its dtype");

  const absl::Status type = Parse(File(absl::StrReplaceAll(good, {{"F32", "F8_E5M2"}}), 12));
  EXPECT_EQ(type.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(type.message().find("F8_E5M2"), absl::string_view::npos) << type;
  EXPECT_EQ(Parse("").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Parse("something else altogether").code(), absl::StatusCode::kInvalidArgument);
  // A header that is longer than the file, or than any header.
  std::string longer = File(good, 12);
  longer[7] = 0x7f;
  EXPECT_EQ(Parse(longer).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Parse(File(good + std::string(1000, ' '), 12)).ok());
  EXPECT_EQ(Parse(File(good + std::string(16'000'000, ' '), 12)).code(),
            absl::StatusCode::kDataLoss);
  // A million brackets: no recursion.
  EXPECT_FALSE(Parse(File("{\"x\":" + std::string(1'000'000, '['), 0)).ok());
}

}  // namespace
}  // namespace ssd
