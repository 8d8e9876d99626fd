#include "ssd/tensor_files/npy.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

std::string TestPath(const std::string& name) { return ::testing::TempDir() + "/" + name; }

template <typename Value>
std::string Bytes(const std::vector<Value>& values) {
  std::string bytes(values.size() * sizeof(Value), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// What numpy.save writes for an array with this header and these values: 128 bytes, of which 118
// (0x76) follow the size, then the values.
std::string Npy(const std::string& dictionary, const std::string& values) {
  std::string header = dictionary;
  header.resize(117, ' ');
  return absl::StrCat(absl::string_view("\x93NUMPY\x01\x00\x76\x00", 10), header, "\n", values);
}

const std::vector<float> kEight = {0.5f, 0.25f, 0.125f, 1.5f, -0.1f, 1.2f, 0.3f, 0.7f};

std::string NpyOfEight() {
  return Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }", Bytes(kEight));
}

TEST(NpyTest, ReadsWhatNumPyWrites) {
  const std::vector<double> doubles(kEight.begin(), kEight.end());
  const absl::StatusOr<Tensor> floats = ParseNpy(NpyOfEight(), "f4.npy");
  ASSERT_TRUE(floats.ok()) << floats.status();
  EXPECT_TRUE(floats->equal(at::tensor(kEight).view({2, 4})));
  const absl::StatusOr<Tensor> eights = ParseNpy(
      Npy("{'descr': '<f8', 'fortran_order': False, 'shape': (8,), }", Bytes(doubles)), "f8.npy");
  ASSERT_TRUE(eights.ok()) << eights.status();
  EXPECT_TRUE(eights->equal(at::tensor(doubles, at::kDouble)));
  // Version 2, whose size has four bytes; the keys in another order, in other quotes.
  const absl::StatusOr<Tensor> version_2 =
      ParseNpy(absl::StrCat(absl::string_view("\x93NUMPY\x02\x00\x3a\x00\x00\x00", 12),
                            "{\"shape\":(2,4),\"fortran_order\":False,\"descr\":\"<f8\"}       ",
                            Bytes(doubles)),
               "v2.npy");
  ASSERT_TRUE(version_2.ok()) << version_2.status();
  EXPECT_TRUE(version_2->equal(eights->view({2, 4})));
}

TEST(NpyTest, GivesBackWhatWasWritten) {
  at::manual_seed(1);
  const std::string path = TestPath("written.npy");
  for (const Tensor& array :
       {at::rand({3, 4}), at::rand({5}, at::kDouble), at::scalar_tensor(0.5, at::kFloat),
        at::empty({0, 4}), at::rand({4, 6}).t(), at::rand({2, 3, 4, 5})}) {
    ASSERT_TRUE(WriteNpy(path, array).ok());
    const absl::StatusOr<Tensor> read = ReadNpy(path);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->scalar_type(), array.scalar_type());
    EXPECT_TRUE(read->equal(array));
  }
  // Byte for byte what NumPy writes.
  ASSERT_TRUE(WriteNpy(path, at::tensor(kEight).view({2, 4})).ok());
  EXPECT_EQ(*ReadFile(path), NpyOfEight());
  ASSERT_TRUE(WriteNpy(path, at::tensor(kEight)).ok());
  EXPECT_EQ(*ReadFile(path),
            Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (8,), }", Bytes(kEight)));
}

TEST(HostileNpyTest, BadFilesAreNamed) {
  const std::string npy = NpyOfEight();
  const auto with = [&npy](const std::string& from, const std::string& to) {
    return absl::StrReplaceAll(npy, {{from, to}});
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kLoss = absl::StatusCode::kDataLoss;
  std::string ones = "1";
  for (int i = 0; i < 16; ++i) ones += ",1";
  const struct {
    std::string content;
    absl::StatusCode code;
    const char* message;
  } files[] = {
      {"", kInvalid, "no NumPy array file"},
      {npy.substr(1), kInvalid, "no NumPy array file"},
      {npy + "rest", kLoss, "longer than it says"},
      {with("\x93NUMPY\x01", "\x93NUMPY\x09"), kInvalid, "version 9"},
      {with("<f4", ">f4"), kInvalid, "its numbers are '>f4'"},
      {with("<f4", "<i8"), kInvalid, "its numbers are '<i8'"},
      {with("False", "True "), kInvalid, "Fortran order"},
      {with("(2, 4)", "(3, 4)"), kLoss, "cut off"},
      {with("(2, 4)", "(0, 4)"), kLoss, "longer than it says"},
      {with("'descr'", "'other'"), kInvalid, "its header"},
      {with("'shape': (2, 4), ", "                 "), kInvalid, "its header"},
      {with("'fortran_order': False,", "'shape': (2, 4),       "), kInvalid, "its header"},
      {with("(2, 4)", "(-2,4)"), kInvalid, "its header"},
      {with("'<f4'", "[('x"), kInvalid, "its header"},
      {Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 4)}", ""),
       kLoss, "cut off"},
      {Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 4, 0)}", ""),
       kLoss, "cut off"},
      {Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", ""),
       kInvalid, "its header"},
      {Npy(absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", ones, ")}"), "1234"),
       kInvalid, "its header"},
  };
  for (const auto& file : files) {
    const absl::Status status = ParseNpy(file.content, "bad.npy").status();
    EXPECT_EQ(status.code(), file.code) << file.message << ": " << status;
    EXPECT_NE(status.message().find(file.message), absl::string_view::npos)
        << file.message << ": " << status;
    EXPECT_EQ(status.message().find("bad.npy: "), 0u) << status;
  }
  for (size_t size = 0; size < npy.size(); ++size) {
    const absl::Status cut = ParseNpy(npy.substr(0, size), "cut.npy").status();
    EXPECT_EQ(cut.message().find("cut.npy: "), 0u) << size << ": " << cut;
  }
  const absl::Status none = ReadNpy(TestPath("none.npy")).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(none.message().find("none.npy"), absl::string_view::npos) << none;
}

}  // namespace
}  // namespace ssd
