#include "ssd/anchors/anchor_file.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

std::string Path(const std::string& name) { return absl::StrCat(::testing::TempDir(), "/", name); }

template <typename Value>
std::string Bytes(const std::vector<Value>& values) {
  std::string bytes(values.size() * sizeof(Value), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// What numpy.save writes for an array with this header and these values: 128 bytes, of which 118
// (0x76) follow the length, then the values.
std::string Npy(const std::string& dictionary, const std::string& values) {
  std::string header = dictionary;
  header.resize(117, ' ');
  return absl::StrCat(absl::string_view("\x93NUMPY\x01\x00\x76\x00", 10), header, "\n", values);
}

std::string NpyOfTwo(const std::string& values) {
  return Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }", values);
}

std::string Safetensors(const std::string& header, const std::string& values) {
  return absl::StrCat(std::string(1, static_cast<char>(header.size())), std::string(7, '\0'),
                      header, values);
}

std::string SafetensorsOfTwo(const std::string& values) {
  return Safetensors(R"({"a":{"dtype":"F32","shape":[2,4],"data_offsets":[0,32]}})", values);
}

const std::vector<float> kTwo = {0.5f, 0.25f, 0.125f, 1.5f, -0.1f, 1.2f, 0.3f, 0.7f};

absl::StatusOr<Tensor> ReadContent(const std::string& name, const std::string& content) {
  const absl::Status written = WriteFileAtomically(Path(name), content);
  EXPECT_TRUE(written.ok()) << written;
  return ReadAnchorFile(Path(name));
}

TEST(AnchorFile, ReadsWhatNumPyAndSafetensorsWrite) {
  const Tensor expected = at::tensor(kTwo).view({2, 4});
  const std::vector<double> doubles(kTwo.begin(), kTwo.end());
  const std::string version_2 = absl::StrCat(
      absl::string_view("\x93NUMPY\x02\x00\x3a\x00\x00\x00", 12),
      "{\"shape\":(2,4),\"fortran_order\":False,\"descr\":\"<f8\"}       ", Bytes(doubles));
  const struct {
    const char* name;
    std::string content;
  } files[] = {
      {"f4.npy", NpyOfTwo(Bytes(kTwo))},
      {"f8.npy",
       Npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 4), }", Bytes(doubles))},
      {"v2.npy", version_2},
      {"f32.safetensors", SafetensorsOfTwo(Bytes(kTwo))},
      {"f64.safetensors",
       Safetensors(R"({"__metadata__":{"by":"me"},"x":{"dtype":"F64","shape":[2,4],)"
                   R"("data_offsets":[0,64]}}  )",
                   Bytes(doubles))},
  };
  for (const auto& file : files) {
    const absl::StatusOr<Tensor> boxes = ReadContent(file.name, file.content);
    ASSERT_TRUE(boxes.ok()) << file.name << ": " << boxes.status();
    EXPECT_EQ(boxes->scalar_type(), at::kFloat) << file.name;
    EXPECT_TRUE(at::equal(*boxes, expected)) << file.name;
  }
}

TEST(AnchorFile, WritesWhatItReads) {
  at::manual_seed(1);
  for (const int64_t count : {1, 2, 8732}) {
    const Tensor boxes = at::rand({count, 4}) + 0.01;
    for (const char* name : {"written.npy", "written.safetensors"}) {
      ASSERT_TRUE(WriteAnchorFile(Path(name), boxes).ok());
      const absl::StatusOr<Tensor> read = ReadAnchorFile(Path(name));
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_TRUE(at::equal(*read, boxes));
    }
  }
  // Byte for byte what NumPy writes.
  ASSERT_TRUE(WriteAnchorFile(Path("written.npy"), at::tensor(kTwo).view({2, 4})).ok());
  EXPECT_EQ(*ReadFile(Path("written.npy")), NpyOfTwo(Bytes(kTwo)));
  // Values begin at a multiple of 8 bytes.
  ASSERT_TRUE(WriteAnchorFile(Path("written.safetensors"), at::tensor(kTwo).view({2, 4})).ok());
  EXPECT_EQ(ReadFile(Path("written.safetensors"))->size() % 8, 0u);
}

TEST(AnchorFile, BadFilesAreNamed) {
  std::vector<float> infinite = kTwo;
  infinite[1] = std::numeric_limits<float>::infinity();
  std::vector<float> empty = kTwo;
  empty[6] = 0;
  const std::string npy = NpyOfTwo(Bytes(kTwo));
  const std::string safetensors = SafetensorsOfTwo(Bytes(kTwo));
  const auto npy_with = [&](const char* from, const char* to) {
    return absl::StrReplaceAll(npy, {{from, to}});
  };
  const auto safetensors_with = [&](const char* from, const char* to) {
    return absl::StrReplaceAll(safetensors, {{from, to}});
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kLoss = absl::StatusCode::kDataLoss;
  const struct {
    const char* name;
    std::string content;
    absl::StatusCode code;
    const char* message;
  } files[] = {
      {"bad.npz", npy, kInvalid, "must end in .npy or .safetensors"},
      {"bad.npy", safetensors, kInvalid, "no NumPy array file"},
      {"bad.npy", npy.substr(0, npy.size() - 4), kLoss, "cut off"},
      {"bad.npy", npy_with("(2, 4)", "(8,)  "), kInvalid, "its shape is [8]"},
      {"bad.npy", npy_with("(2, 4)", "(4, 2)"), kInvalid, "its shape is [4, 2]"},
      {"bad.npy", Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4), }", ""), kInvalid,
       "its shape is [0, 4]"},
      {"bad.npy", NpyOfTwo(Bytes(infinite)), kInvalid, "box 0 (from 0) has inf for its centre"},
      {"bad.npy", NpyOfTwo(Bytes(empty)), kInvalid, "box 1 (from 0) has 0 for its width"},
      {"bad.safetensors", npy, kInvalid, "no safetensors file"},
      {"bad.safetensors", safetensors.substr(0, safetensors.size() - 1), kLoss, "ends at byte 32"},
      {"bad.safetensors", safetensors_with("F32", "I32"), kInvalid, "its numbers are Int"},
      {"bad.safetensors", safetensors_with("[2,4]", "[4,2]"), kInvalid, "its shape is [4, 2]"},
      {"bad.safetensors", Safetensors(R"({"__metadata__":{}})", ""), kInvalid, "0 tensors"},
      {"bad.safetensors",
       Safetensors(R"({"a":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]},)"
                   R"("b":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]}})",
                   ""),
       kInvalid, "2 tensors"},
  };
  for (const auto& file : files) {
    const absl::Status status = ReadContent(file.name, file.content).status();
    EXPECT_EQ(status.code(), file.code) << file.message << ": " << status;
    EXPECT_NE(status.message().find(file.message), absl::string_view::npos)
        << file.message << ": " << status;
    EXPECT_NE(status.message().find(file.name), absl::string_view::npos) << status;
  }
  EXPECT_EQ(ReadAnchorFile(Path("none.npy")).status().code(), absl::StatusCode::kNotFound);
  const absl::Status ending = WriteAnchorFile(Path("boxes.txt"), at::ones({1, 4}));
  EXPECT_EQ(ending.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ssd
