#include "ssd/weights/torch_file.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <torch/script.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ssd/core/file.h"
#include "ssd/tensor_files/little_endian.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

constexpr char kFolder[] = "tests/golden/torch_files/";

WeightFile MustRead(const std::string& name) {
  absl::StatusOr<WeightFile> file = ReadTorchFile(kFolder + name);
  EXPECT_TRUE(file.ok()) << file.status();
  return file.ok() ? *std::move(file) : WeightFile();
}

std::string MustReadBytes(const std::string& name) {
  const absl::StatusOr<std::string> bytes = ReadFile(kFolder + name);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.value_or("");
}

std::string TorchName(const Tensor& tensor) {
  static const auto* const names = new std::map<at::ScalarType, std::string>{
      {at::kByte, "uint8"},       {at::kChar, "int8"},      {at::kShort, "int16"},
      {at::kInt, "int32"},        {at::kLong, "int64"},     {at::kHalf, "float16"},
      {at::kFloat, "float32"},    {at::kDouble, "float64"}, {at::kBool, "bool"},
      {at::kBFloat16, "bfloat16"}};
  return "torch." + names->at(tensor.scalar_type());
}

// The entry of expected.json that a file's name begins with.
const rapidjson::Value* ExpectationOf(const std::string& file) {
  const rapidjson::Document& document = golden::File("torch_files/expected.json");
  const rapidjson::Value* longest = nullptr;
  size_t length = 0;
  for (const auto& member : document.GetObject()) {
    const std::string name = member.name.GetString();
    if (!absl::StartsWith(file, name + "_") || name.size() < length) continue;
    // "checkpoint" is the beginning of "checkpoint_with_...", too.
    if (name == "checkpoint" && absl::StartsWith(file, "checkpoint_with")) continue;
    longest = &member.value;
    length = name.size();
  }
  // One module, saved whole and by TorchScript.
  if (absl::StartsWith(file, "whole_module") || absl::StartsWith(file, "scripted_")) {
    longest = &document["state_dict"];
  }
  return longest;
}

std::vector<std::string> FilesWithExpectation() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".pt" || name == "io_zip.pt") continue;
    if (ExpectationOf(name) != nullptr) files.push_back(name);
  }
  std::sort(files.begin(), files.end());
  return files;
}

class GoldenFileTest : public ::testing::TestWithParam<std::string> {};

// Names, shapes, types and sums as PyTorch had them when it wrote the file.
TEST_P(GoldenFileTest, HoldsWhatPyTorchWrote) {
  const WeightFile file = MustRead(GetParam());
  const rapidjson::Value& expected = *ExpectationOf(GetParam());
  ASSERT_EQ(file.tensors.size(), expected.MemberCount());
  for (const auto& member : expected.GetObject()) {
    std::string name = member.name.GetString();
    // Its writer made buffers of the tensors, whose names have no dots.
    if (GetParam() == "scripted_buffers.pt") name = absl::StrReplaceAll(name, {{".", "_"}});
    const Tensor* const tensor = file.Find(name);
    ASSERT_NE(tensor, nullptr) << name;
    std::vector<int64_t> shape;
    for (const auto& extent : member.value["shape"].GetArray()) shape.push_back(extent.GetInt64());
    EXPECT_EQ(tensor->sizes(), at::IntArrayRef(shape)) << name;
    EXPECT_EQ(TorchName(*tensor), member.value["dtype"].GetString()) << name;
    golden::ExpectNear(tensor->to(at::kDouble).sum(),
                       at::scalar_tensor(member.value["sum"].GetDouble(), at::kDouble),
                       absl::StrCat(GetParam(), " ", name));
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenFileTest, ::testing::ValuesIn(FilesWithExpectation()),
                         [](const auto& info) {
                           return info.param.substr(0, info.param.rfind('.'));
                         });

TEST(TorchFileTest, EveryWriterIsThere) {
  // 2 x (state dict, plain dict, ordered dict, 3 checkpoints, parameters, strided, types, module),
  // and 2 of TorchScript.
  EXPECT_EQ(FilesWithExpectation().size(), 22u);
}

TEST(TorchFileTest, TheNamesAreInTheFilesOrder) {
  std::vector<std::string> names;
  const WeightFile legacy = MustRead("state_dict_legacy.pt");
  for (const auto& [name, tensor] : legacy.tensors) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{
                       "conv.weight", "conv.bias", "bn.weight", "bn.bias", "bn.running_mean",
                       "bn.running_var", "bn.num_batches_tracked", "head.weight", "head.bias"}));
  for (const char* const module : {"whole_module_zip.pt", "scripted_module.pt"}) {
    std::vector<std::string> others;
    const WeightFile file = MustRead(module);
    for (const auto& [name, tensor] : file.tensors) others.push_back(name);
    EXPECT_EQ(others, names) << module;
  }
}

TEST(TorchFileTest, AllFormatsHaveTheSameNumbers) {
  const WeightFile expected = MustRead("state_dict_zip.pt");
  for (const char* const name :
       {"state_dict_legacy.pt", "checkpoint_zip.pt", "checkpoint_legacy.pt", "whole_module_zip.pt",
        "whole_module_legacy.pt", "scripted_module.pt", "checkpoint_with_optimizer_legacy.pt"}) {
    const WeightFile file = MustRead(name);
    for (const auto& [tensor_name, tensor] : expected.tensors) {
      ASSERT_NE(file.Find(tensor_name), nullptr) << name << " " << tensor_name;
      EXPECT_TRUE(file.Find(tensor_name)->equal(tensor)) << name << " " << tensor_name;
    }
  }
}

// The module's output for an input, both of which PyTorch wrote.
TEST(TorchFileTest, EveryElementIsTheFiles) {
  const auto& io = golden::File("torch_files/expected.json")["io"];
  const WeightFile file = MustRead("io_zip.pt");
  golden::ExpectNear(file.Find("x")->flatten(), golden::Numbers(io["x"]), "io x", 0, 0);
  golden::ExpectNear(file.Find("y")->flatten(), golden::Numbers(io["y"]), "io y", 0, 0);
}

// LibTorch reads the scripted module and runs it.
TEST(TorchFileTest, TheWeightsComputeWhatTheirModuleComputes) {
  torch::jit::Module module = torch::jit::load("tests/golden/torch_files/scripted_module.pt");
  module.eval();
  at::NoGradGuard no_grad;
  const Tensor x = *MustRead("io_zip.pt").Find("x");
  const Tensor expected = module.forward({x}).toTensor();
  const WeightFile weights = MustRead("scripted_module.pt");
  const auto get = [&weights](const char* name) { return *weights.Find(name); };
  Tensor map = at::conv2d(x, get("conv.weight"), get("conv.bias"), 1, 1);
  map = at::batch_norm(map, get("bn.weight"), get("bn.bias"), get("bn.running_mean"),
                       get("bn.running_var"), false, 0.1, 1e-5, false);
  const Tensor y = at::conv2d(map.relu(), get("head.weight"), get("head.bias"));
  // A sum of 27 products and one of 4, perhaps in another order.
  golden::ExpectNear(y, expected, "output", 1e-5, 1e-5);
}

TEST(TorchFileTest, ViewsShareTheirStorage) {
  for (const char* const name : {"strided_shared_zip.pt", "strided_shared_legacy.pt"}) {
    const WeightFile file = MustRead(name);
    const Tensor base = *file.Find("base");
    EXPECT_TRUE(base.equal(at::arange(24, at::kFloat)));
    // Offset 1, shape 3x4, strides 1 and 6; elements 5 to 10.
    EXPECT_TRUE(file.Find("view")->equal(base.as_strided({3, 4}, {1, 6}, 1)));
    EXPECT_TRUE(file.Find("slice")->equal(base.slice(0, 5, 11)));
    EXPECT_TRUE(file.Find("view")->is_alias_of(base)) << "the storage is in memory once";
    EXPECT_EQ(file.Find("scalar")->item<float>(), 3.5f);
    EXPECT_EQ(file.Find("empty")->sizes(), at::IntArrayRef({0, 4}));
  }
}

TEST(TorchFileTest, TensorsWithoutADict) {
  for (const char* const suffix : {"zip", "legacy"}) {
    const WeightFile list = MustRead(absl::StrCat("list_of_tensors_", suffix, ".pt"));
    ASSERT_EQ(list.tensors.size(), 2u);
    EXPECT_TRUE(list.Find("0")->equal(at::ones({2})));
    EXPECT_TRUE(list.Find("1")->equal(at::zeros({1})));
    const WeightFile single = MustRead(absl::StrCat("single_tensor_", suffix, ".pt"));
    ASSERT_EQ(single.tensors.size(), 1u);
    EXPECT_TRUE(single.Find("")->equal(at::arange(4, at::kFloat)));
  }
}

// By torch::pickle_save and torch::save of LibTorch: TorchScript's lists, dicts and modules.
TEST(TorchFileTest, FilesWrittenInCpp) {
  for (const char* const name : {"written_by_cpp_nested.pt", "written_by_cpp_pickle_save.pt"}) {
    const WeightFile file = MustRead(name);
    ASSERT_EQ(file.tensors.size(), 3u) << name;
    EXPECT_TRUE(file.Find("conv.weight")->equal(at::arange(24, at::kFloat).view({2, 3, 4})));
    EXPECT_TRUE(file.Find("bn.n")->equal(at::full({1}, 7, at::kLong)));
    EXPECT_TRUE(file.Find("half")->equal(at::ones({3}, at::kHalf)));
  }
  EXPECT_EQ(MustRead("written_by_cpp_nested.pt").metadata.at("epoch"), "3");
  const WeightFile list = MustRead("written_by_cpp_torch_save_vec.pt");
  EXPECT_TRUE(list.Find("0")->equal(at::ones({2})));
  EXPECT_TRUE(list.Find("1")->equal(at::zeros({3})));
  const WeightFile module = MustRead("written_by_cpp_torch_save_module.pt");
  ASSERT_EQ(module.tensors.size(), 2u);
  EXPECT_EQ(module.Find("0.weight")->sizes(), at::IntArrayRef({4, 3, 3, 3}));
  EXPECT_NEAR(module.Find("0.weight")->sum().item<double>(), 1.2605373435653746, 1e-6);
  golden::ExpectNear(*module.Find("0.bias"),
                     at::tensor({0.17255036532878876, 0.14489375054836273, 0.1751742959022522,
                                 -0.016187692061066628}),
                     "0.bias");
}

TEST(TorchFileTest, ACheckpointsNumbersAndTextsAreMetadata) {
  const WeightFile file = MustRead("checkpoint_zip.pt");
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{
                               {"epoch", "12"}, {"lr", "0.001"}, {"name", "ssd"}}));
}

// --- hostile files ---

// A file's bytes, read; its error names the file.
absl::Status Parse(const std::string& bytes) {
  const absl::Status status = ParseTorchFile(bytes, "hostile.pt").status();
  if (!status.ok()) {
    EXPECT_EQ(status.message().find("hostile.pt: "), 0u) << status;
  }
  return status;
}

TEST(HostileTorchFileTest, EveryCutIsAnError) {
  for (const char* const name :
       {"parameters_legacy.pt", "parameters_zip.pt", "strided_shared_legacy.pt",
        "list_of_tensors_zip.pt", "written_by_cpp_torch_save_vec.pt"}) {
    const std::string bytes = MustReadBytes(name);
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(Parse(bytes.substr(0, size)).ok()) << name << " cut at " << size;
    }
    EXPECT_TRUE(Parse(bytes).ok()) << name;
  }
}

TEST(HostileTorchFileTest, NoByteThatChangesCrashes) {
  for (const char* const name : {"strided_shared_legacy.pt", "strided_shared_zip.pt"}) {
    const std::string bytes = MustReadBytes(name);
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (const int value : {0, 1, 0x28, 0x2e, 0x51, 0x52, 0x7f, 0x80, 0xff}) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(value);
        Parse(damaged).IgnoreError();
      }
    }
  }
}

// A legacy file whose values are the given pickle; `storages` are the keys, of one character, and
// numbers of elements of storages of class torch.FloatStorage.
std::string LegacyFile(const std::string& values,
                       const std::map<std::string, uint64_t>& storages = {{"k", 4}}) {
  std::string bytes("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
  bytes += "\x80\x02M\xe9\x03.";
  bytes += "\x80\x02}U\x0dlittle_endian\x88s.";
  bytes += "\x80\x02" + values + ".";
  bytes += "\x80\x02]";
  for (const auto& [key, elements] : storages) absl::StrAppend(&bytes, "U\x01", key, "a");
  bytes += ".";
  for (const auto& [key, elements] : storages) {
    AppendLittleEndian(elements, 8, bytes);
    bytes += std::string(4 * elements, '\0');
  }
  return bytes;
}

// The beginning and the end of a tensor; between them stand its offset, shape and strides.
constexpr char kTensor[] =
    "ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x01kU\x03"
    "cpuK\x04tQ";
constexpr char kEnd[] = "\x89}tR";

// {"w": a tensor of that storage}; `view` is the pickle of offset, shape and strides.
std::string FileWithView(const std::string& view) {
  return LegacyFile(absl::StrCat("}U\x01w", kTensor, view, kEnd, "s"));
}

TEST(HostileTorchFileTest, ViewsStayInTheirStorage) {
  EXPECT_TRUE(Parse(FileWithView("K\x01K\x03\x85K\x01\x85")).ok());
  EXPECT_TRUE(Parse(FileWithView(std::string("K\x00K\x02K\x02\x86K\x02K\x01\x86", 12))).ok());
  const auto expect = [](const std::string& view, const std::string& what) {
    const absl::Status status = Parse(FileWithView(view));
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_NE(status.message().find(what), absl::string_view::npos) << status;
  };
  const std::string zero("K\x00", 2);
  expect("K\x01K\x04\x85K\x01\x85", "reaches beyond its storage");    // offset 1, 4 elements
  expect(zero + "K\x03\x85K\x02\x85", "reaches beyond its storage");  // stride 2
  expect("J\xff\xff\xff\xffK\x02\x85K\x01\x85", "reaches beyond");    // offset -1
  expect(zero + "K\x05\x85" + zero + "\x85", "repeats them");         // stride 0
  expect(zero + "K\x03\x85)", "without strides");
  expect(zero + "J\xff\xff\xff\xff\x85K\x01\x85", "shape is no numbers");  // shape -1
  expect(zero + "N\x85K\x01\x85", "shape is no numbers");
  expect(zero + "NN", "without a shape");
  // 2^62 elements, and products and sums beyond 64 bits.
  const std::string huge("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40", 10);
  expect(zero + huge + "\x85K\x01\x85", "reaches beyond its storage");
  expect(zero + huge + huge + "\x86K\x01K\x01\x86", "larger than any memory");
  expect(zero + "K\x02\x85" + huge + "\x85", "reaches beyond its storage");
  expect(zero + huge + "K\x03\x86K\x01" + huge + "\x86", "larger than any memory");
  // No elements, so no reach; but no shape beyond all numbers either.
  expect(zero + huge + huge + zero + "\x87K\x01K\x01K\x01\x87", "larger than any memory");
}

TEST(HostileTorchFileTest, StoragesAreNoLargerThanInTheFile) {
  const std::string good = FileWithView("K\x01K\x03\x85K\x01\x85");
  ASSERT_TRUE(Parse(good).ok());
  // The storage says 200 elements in the pickle, or in its own header.
  const std::string elements = "cpuK\x04tQ";
  EXPECT_FALSE(Parse(absl::StrReplaceAll(good, {{elements, "cpuK\xc8tQ"}})).ok());
  std::string longer = good;
  longer[longer.size() - 24] = '\xc8';
  EXPECT_FALSE(Parse(longer).ok());
  // Both say 2^62.
  std::string both = absl::StrReplaceAll(
      good, {{elements, absl::string_view("cpu\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40tQ", 15)}});
  both[both.size() - 24] = 0;
  both[both.size() - 17] = 0x40;
  EXPECT_FALSE(Parse(both).ok());
  // -1 elements.
  EXPECT_FALSE(Parse(absl::StrReplaceAll(good, {{elements, "cpuJ\xff\xff\xff\xfftQ"}})).ok());
}

TEST(HostileTorchFileTest, WhatIsNoDenseTensorIsRefusedByName) {
  const auto expect = [](const std::string& bytes, const std::string& what) {
    const absl::Status status = Parse(bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_NE(status.message().find(what), absl::string_view::npos) << status;
  };
  const std::string good = FileWithView("K\x01K\x03\x85K\x01\x85");
  for (const char* const function :
       {"_rebuild_sparse_tensor", "_rebuild_qtensor", "_rebuild_meta_tensor_no_storage"}) {
    expect(absl::StrReplaceAll(good, {{"_rebuild_tensor_v2", function}}), function);
  }
  expect(absl::StrReplaceAll(good, {{"FloatStorage", "QInt8Storage"}}), "torch.QInt8Storage");
  expect(absl::StrReplaceAll(good, {{"FloatStorage", "ComplexFloatStorage"}}),
         "torch.ComplexFloatStorage");
  expect(absl::StrReplaceAll(good, {{"little_endian\x88", "little_endian\x89"}}), "little-endian");
  expect("\x80\x02K\x01.", "magic number");
  expect("GIF89a", "is no file of PyTorch's");
  expect(std::string(257, 'x') + "ustar", "tar file");
  expect(std::string(257, 'x') + "ustar", "torch.save(torch.load(old, weights_only=False), new)");
}

TEST(HostileTorchFileTest, NestingAndSharingAreBounded) {
  // A dict in itself: {"d": <itself>}.
  EXPECT_EQ(Parse(LegacyFile(std::string("}q\x00U\x01"
                                         "dh\x00s",
                                         9),
                             /*storages=*/{}))
                .code(),
            absl::StatusCode::kInvalidArgument);
  // 150 dicts in each other, with a tensor in the last.
  std::string deep;
  for (int i = 0; i < 150; ++i) deep += "}U\x01x";
  deep += absl::StrCat(kTensor, "K\x01K\x03\x85K\x01\x85", kEnd) + std::string(150, 's');
  EXPECT_EQ(Parse(LegacyFile(deep)).code(), absl::StatusCode::kInvalidArgument);
  // 60 lists, each with the one before twice: 2^60 values on the way down.
  std::string laughs = std::string("]q\x00", 3);
  for (char i = 0; i < 60; ++i) {
    laughs += "0](h";
    laughs += i;
    laughs += 'h';
    laughs += i;
    laughs += "eq";
    laughs += static_cast<char>(i + 1);
  }
  EXPECT_EQ(Parse(LegacyFile(laughs, /*storages=*/{})).code(), absl::StatusCode::kInvalidArgument);
  // A list with one dict or module many times, whose items have no names.
  const std::string nameless(2000, 'N');
  std::string often;
  for (int i = 0; i < 3000; ++i) often += std::string("h\x00", 2);
  for (const std::string& shared :
       {absl::StrCat("}(", nameless, "u"),
        absl::StrCat("cmylab\nModel\n)\x81}(U\x08_modules}U\x1b_non_persistent_buffers_set](",
                     nameless, "eub")}) {
    const absl::Status status =
        Parse(LegacyFile(absl::StrCat(shared, absl::string_view("q\x00", 2), "0](", often, "e"),
                         /*storages=*/{}));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_NE(status.message().find("more values"), absl::string_view::npos) << status;
  }
  // One tensor 5,000 times, under names of more than 4,000 characters.
  std::string names = "}X";
  AppendLittleEndian(4000, 4, names);
  names += std::string(4000, 'k') +
           absl::StrCat("](", kTensor, "K\x01K\x03\x85K\x01\x85", kEnd, "q\x01");
  for (int i = 1; i < 5000; ++i) names += "h\x01";
  const absl::Status status = Parse(LegacyFile(names + "es"));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_NE(status.message().find("longer names"), absl::string_view::npos) << status;
  // A key of 5,000 characters.
  std::string key = "}X";
  AppendLittleEndian(5000, 4, key);
  key += std::string(5000, 'k') + absl::StrCat(kTensor, "K\x01K\x03\x85K\x01\x85", kEnd, "s");
  EXPECT_TRUE(ParseTorchFile(LegacyFile(key), "hostile.pt")->tensors.empty())
      << "a key that is no name is passed over";
}

TEST(HostileTorchFileTest, MetadataIsBounded) {
  // {"x": text, "y": the same text, "net": {"w": tensor}}
  std::string values = "}U\x01xX";
  AppendLittleEndian(600'000, 4, values);
  values += std::string(600'000, 't');
  values += std::string("q\x00sU\x01yh\x00s", 9);
  values += absl::StrCat("U\x03net}U\x01w", kTensor, "K\x01K\x03\x85K\x01\x85", kEnd, "ss");
  const absl::StatusOr<WeightFile> file = ParseTorchFile(LegacyFile(values), "hostile.pt");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors.size(), 1u);
  ASSERT_EQ(file->metadata.size(), 1u);
  EXPECT_EQ(file->metadata.begin()->first, "x");
}

TEST(TorchFileTest, NoTensorOfAnOldFormIsLost) {
  const std::string tensor = absl::StrCat(kTensor, "K\x01K\x03\x85K\x01\x85", kEnd);
  // {"w": Parameter(tensor)}
  const absl::StatusOr<WeightFile> parameter = ParseTorchFile(
      LegacyFile(absl::StrCat("}U\x01wctorch.nn.parameter\nParameter\n", tensor, "\x85\x81s")),
      "old.pt");
  ASSERT_TRUE(parameter.ok()) << parameter.status();
  ASSERT_NE(parameter->Find("w"), nullptr);
  EXPECT_EQ(parameter->Find("w")->sizes(), at::IntArrayRef({3}));
  // {"w": Parameter(tensor) with a state}: of PyTorch 0.1 to 0.3; and a Variable.
  for (const char* const type :
       {"ctorch.nn.parameter\nParameter\n", "ctorch.autograd.variable\nVariable\n"}) {
    const absl::StatusOr<WeightFile> called = ParseTorchFile(
        LegacyFile(absl::StrCat("}U\x01w", type, tensor, "\x85R\x88\x89N\x87", "bs")), "old.pt");
    ASSERT_TRUE(called.ok()) << called.status();
    ASSERT_NE(called->Find("w"), nullptr);
  }
  // {"w": FloatTensor() with the state (storage, 1, (3,), (1,))}
  const std::string storage = std::string(kTensor).substr(std::string(kTensor).find("(U"));
  const auto instance = [&storage](const std::string& type, const std::string& view) {
    return absl::StrCat("}U\x01wc", type, "\n)\x81(", storage, view, "tbs");
  };
  for (const char* const type : {"torch\nFloatTensor", "torch.cuda\nFloatTensor"}) {
    const absl::StatusOr<WeightFile> object =
        ParseTorchFile(LegacyFile(instance(type, "K\x01K\x03\x85K\x01\x85")), "old.pt");
    ASSERT_TRUE(object.ok()) << object.status();
    ASSERT_NE(object->Find("w"), nullptr);
    EXPECT_TRUE(object->Find("w")->equal(at::zeros({3})));
  }
  const auto error = [](const std::string& values) { return Parse(LegacyFile(values)); };
  const absl::Status beyond = error(instance("torch\nFloatTensor", "K\x01K\x04\x85K\x01\x85"));
  EXPECT_EQ(beyond.code(), absl::StatusCode::kDataLoss) << beyond;
  EXPECT_NE(beyond.message().find("reaches beyond its storage"), absl::string_view::npos) << beyond;
  for (const char* const without : {"", "}b", ")b"}) {
    const absl::Status status = Parse(LegacyFile(
        absl::StrCat("}U\x01wctorch\nFloatTensor\n)\x81", without, "s"), /*storages=*/{}));
    EXPECT_NE(status.message().find("an object of torch.FloatTensor without a storage"),
              absl::string_view::npos)
        << status;
  }
  // Of another class the storage would be lost, and so would what an unknown call is given.
  const absl::Status lost = error(instance("mylab\nTensor", "K\x01K\x03\x85K\x01\x85"));
  EXPECT_EQ(lost.code(), absl::StatusCode::kInvalidArgument) << lost;
  EXPECT_NE(lost.message().find("a storage outside a tensor"), absl::string_view::npos) << lost;
  for (const char* const given : {"\x85\x81s", "\x85Rs", "\x85\x85Rs"}) {
    const absl::Status status = error(absl::StrCat("}U\x01wcmylab\nBox\n", tensor, given));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_NE(status.message().find("an object of mylab.Box is made of a tensor"),
              absl::string_view::npos)
        << status;
  }
}

// What Python 3.11's pickle module made, with a persistent id for each storage, of
//   {"epoch": 3, "args": argparse.Namespace(lr=0.5, output=PurePosixPath("runs/x"),
//    mode=Mode.TRAIN), "losses": deque([1.5, 1.25], 10), "started": datetime(2020, 1, 2, 3, 4, 5),
//    "mode": Mode.TRAIN, "meter": Meter(), "history": History([5, 6]),
//    "model": OrderedDict([("conv.weight", ...), ("conv.bias", ...)]),
//    "optimizer": {"state": {0: {"exp_avg": ...}}, "param_groups": [{"lr": 0.5}]}}
// with mylab's Mode an enum.Enum, Meter a class with an attribute, History a list.
TEST(TorchFileTest, ACheckpointMayHoldObjectsOfAnyClass) {
  const std::string pickled = absl::HexStringToBytes(
      "80027d710028580500000065706f636871014b0358040000006172677371026361726770617273650a4e61"
      "6d6573706163650a7103298171047d71052858020000006c727106473fe000000000000058060000006f75"
      "74707574710763706174686c69620a50757265506f736978506174680a7108580400000072756e73710958"
      "0100000078710a86710b52710c58040000006d6f6465710d636d796c61620a4d6f64650a710e4b0185710f"
      "527110756258060000006c6f73736573711163636f6c6c656374696f6e730a64657175650a7112294b0a86"
      "711352711428473ff8000000000000473ff400000000000065580700000073746172746564711563646174"
      "6574696d650a6461746574696d650a7116635f636f646563730a656e636f64650a7117580b00000007c3a4"
      "0102030405000000711858060000006c6174696e31711986711a52711b85711c52711d680d681058050000"
      "006d65746572711e636d796c61620a4d657465720a711f298171207d71215805000000746f74616c712247"
      "400400000000000073625807000000686973746f72797123636d796c61620a486973746f72790a71242981"
      "7125284b054b066558050000006d6f64656c712663636f6c6c656374696f6e730a4f726465726564446963"
      "740a71272952712828580b000000636f6e762e776569676874712963746f7263682e5f7574696c730a5f72"
      "656275696c645f74656e736f725f76320a712a2828580700000073746f72616765712b63746f7263680a46"
      "6c6f617453746f726167650a712c580100000030712d5803000000637075712e4b0474712f514b004b024b"
      "028671304b024b01867131896827295271327471335271345809000000636f6e762e626961737135682a28"
      "28682b682c5801000000317136682e4b02747137514b004b028571384b018571398968272952713a74713b"
      "52713c7558090000006f7074696d697a6572713d7d713e2858050000007374617465713f7d71404b007d71"
      "4158070000006578705f6176677142682a2828682b682c5801000000327143682e4b04747144514b006830"
      "6831896827295271457471465271477373580c000000706172616d5f67726f75707371485d71497d714a68"
      "06473fe0000000000000736175752e");
  // Its protocol and its end are the file's own.
  const std::string bytes =
      LegacyFile(pickled.substr(2, pickled.size() - 3), {{"0", 4}, {"1", 2}, {"2", 4}});
  const absl::StatusOr<WeightFile> file = ParseTorchFile(bytes, "checkpoint.pt");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_TRUE(file->Find("conv.weight")->equal(at::zeros({2, 2})));
  EXPECT_TRUE(file->Find("conv.bias")->equal(at::zeros({2})));
  EXPECT_EQ(file->metadata, (std::map<std::string, std::string>{{"epoch", "3"}}));
}

// NumPy's scalars and arrays (numpy 1 writes numpy.core, numpy 2 numpy._core), a call that would do
// harm, and a value in itself: beside the weights, and among them where no tensor is needed.
TEST(TorchFileTest, UnknownValuesAreOpaque) {
  const std::string tensor = absl::StrCat(kTensor, "K\x01K\x03\x85K\x01\x85", kEnd);
  const std::string dtype =
      absl::StrCat("cnumpy\ndtype\nU\x02", "f8\x89\x88\x87R(K\x03U\x01<NNN",
                   "J\xff\xff\xff\xffJ\xff\xff\xff\xffK", absl::string_view("\0", 1), "tb");
  const std::vector<std::string> values = {
      absl::StrCat("cnumpy.core.multiarray\nscalar\n", dtype, "U\x08", "12345678", "\x86R"),
      absl::StrCat("cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x01\x85U\x01",
                   "b\x87R(K\x01K\x01\x85", dtype, "\x89U\x08", "12345678", "tb"),
      "cos\nsystem\nU\x02ls\x85R",
      absl::StrCat("cmylab\nNode\n)\x81q\x07}U\x04selfh\x07s", "b"),
  };
  for (const std::string& value : values) {
    const std::string best = absl::StrCat("}U\x04", "best", value);
    const absl::StatusOr<WeightFile> beside =
        ParseTorchFile(LegacyFile(absl::StrCat(best, "sU\x03net}U\x01w", tensor, "ss")), "x.pt");
    ASSERT_TRUE(beside.ok()) << beside.status();
    EXPECT_NE(beside->Find("w"), nullptr);
    const absl::StatusOr<WeightFile> among =
        ParseTorchFile(LegacyFile(absl::StrCat(best, "sU\x01w", tensor, "s")), "x.pt");
    ASSERT_TRUE(among.ok()) << among.status();
    ASSERT_EQ(among->tensors.size(), 1u);
    EXPECT_EQ(among->tensors[0].first, "w");
    // In the place of an offset, a shape or a dtype it is an error.
    EXPECT_EQ(Parse(FileWithView(absl::StrCat(value, "K\x03\x85K\x01\x85"))).code(),
              absl::StatusCode::kDataLoss);
    EXPECT_EQ(Parse(FileWithView(absl::StrCat("K\x01", value, "K\x01\x85"))).code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST(TorchFileTest, WrappersAreDropped) {
  const std::string tensor = absl::StrCat(kTensor, "K\x01K\x03\x85K\x01\x85", kEnd);
  const auto names = [](const std::string& values) {
    const absl::StatusOr<WeightFile> file = ParseTorchFile(LegacyFile(values), "wrapped.pt");
    EXPECT_TRUE(file.ok()) << file.status();
    std::vector<std::string> result;
    for (const auto& [name, value] : file->tensors) result.push_back(name);
    return result;
  };
  // {"state_dict": {"module.a": t, "module.b": t}}
  const std::string wrapped = absl::StrCat("}U\x08module.a", tensor, "sU\x08module.b", tensor, "s");
  EXPECT_EQ(names(absl::StrCat("}U\x0astate_dict", wrapped, "s")),
            (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(names(absl::StrCat("}U\x05model", "}U\x05model", wrapped, "ss")),
            (std::vector<std::string>{"a", "b"}));
  // Only some have it.
  EXPECT_EQ(names(absl::StrCat("}U\x08module.a", tensor,
                               "sU\x01"
                               "b",
                               tensor, "s")),
            (std::vector<std::string>{"module.a", "b"}));
  // {"_orig_mod.module.a": t}
  EXPECT_EQ(names(absl::StrCat("}U\x12_orig_mod.module.a", tensor, "s")),
            (std::vector<std::string>{"a"}));
  // Of a network inside another module.
  EXPECT_EQ(names(absl::StrCat("}U\x0amodule.1.a", tensor, "sU\x0amodule.1.b", tensor, "s")),
            (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(names(absl::StrCat("}U\x07model.a", tensor, "sU\x07model.b", tensor, "s")),
            (std::vector<std::string>{"a", "b"}));
  // An optimizer beside the weights is left aside.
  EXPECT_EQ(
      names(absl::StrCat("}U\x09optimizer}U\x01m", tensor, "ssU\x03net}U\x01w", tensor, "ss")),
      (std::vector<std::string>{"w"}));
}

}  // namespace
}  // namespace ssd
