#include "ssd/model/tensor_archive.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <zlib.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ssd/core/file.h"
#include "ssd/model/tensor_archive.pb.h"

namespace ssd {
namespace {

std::string TestPath(const std::string& name) { return ::testing::TempDir() + "/" + name; }

std::vector<std::pair<std::string, Tensor>> TensorsOfEveryType() {
  at::manual_seed(1);
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const at::ScalarType type : {at::kByte, at::kChar, at::kShort, at::kInt, at::kLong,
                                    at::kHalf, at::kFloat, at::kDouble, at::kBool, at::kBFloat16}) {
    tensors.emplace_back(c10::toString(type), at::randn({3, 5}).mul(10).to(type));
  }
  tensors.emplace_back("scalar", at::scalar_tensor(7, at::kLong));
  tensors.emplace_back("empty", at::empty({0, 4}));
  tensors.emplace_back("transposed", at::randn({4, 6}).t());
  tensors.emplace_back("channels_last",
                       at::randn({2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast));
  tensors.emplace_back("with/slash.and.dot", at::randn({2}).requires_grad_());
  return tensors;
}

absl::Status WriteExample(const std::string& path) {
  TensorArchiveWriter writer;
  for (const auto& [name, tensor] : TensorsOfEveryType()) writer.AddTensor(name, tensor);
  writer.AddText("config", "model { num_levels: 6 }\n");
  writer.AddText("empty", "");
  return writer.Write(path);
}

TEST(TensorArchiveTest, GivesBackWhatWasWritten) {
  const std::string path = TestPath("roundtrip.pt");
  ASSERT_TRUE(WriteExample(path).ok());
  absl::StatusOr<TensorArchiveReader> reader = TensorArchiveReader::Open(path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto tensors = TensorsOfEveryType();
  ASSERT_EQ(reader->tensor_names().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, expected] = tensors[i];
    EXPECT_EQ(reader->tensor_names()[i], name);
    EXPECT_TRUE(reader->HasTensor(name));
    EXPECT_EQ(reader->TensorShape(name), expected.sizes().vec());
    const absl::StatusOr<Tensor> tensor = reader->ReadTensor(name);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_EQ(tensor->scalar_type(), expected.scalar_type()) << name;
    EXPECT_TRUE(tensor->equal(expected)) << name;
    EXPECT_TRUE(tensor->is_contiguous());
    EXPECT_FALSE(tensor->requires_grad());
  }
  EXPECT_EQ(*reader->ReadText("config"), "model { num_levels: 6 }\n");
  EXPECT_EQ(*reader->ReadText("empty"), "");
  EXPECT_FALSE(reader->HasText("other"));
  EXPECT_EQ(reader->ReadText("other").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(reader->ReadTensor("other").status().code(), absl::StatusCode::kNotFound);
}

TEST(TensorArchiveTest, EqualContentGivesEqualBytes) {
  ASSERT_TRUE(WriteExample(TestPath("first.pt")).ok());
  ASSERT_TRUE(WriteExample(TestPath("second.pt")).ok());
  EXPECT_EQ(*ReadFile(TestPath("first.pt")), *ReadFile(TestPath("second.pt")));
}

TEST(TensorArchiveTest, ForeignFilesAreRefusedByName) {
  const auto code_of = [](const std::string& path) {
    const absl::Status status = TensorArchiveReader::Open(path).status();
    EXPECT_NE(status.message().find(path), absl::string_view::npos) << status;
    return status.code();
  };
  EXPECT_EQ(code_of(TestPath("nowhere.pt")), absl::StatusCode::kNotFound);
  EXPECT_EQ(code_of(::testing::TempDir()), absl::StatusCode::kInvalidArgument);
  const std::string path = TestPath("foreign.pt");
  ASSERT_TRUE(WriteFileAtomically(path, "").ok());
  EXPECT_EQ(code_of(path), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(WriteFileAtomically(path, "{\"metrics\": {}}").ok());
  EXPECT_EQ(code_of(path), absl::StatusCode::kInvalidArgument);
}

TEST(TensorArchiveTest, EveryCutAndEveryFlippedByteIsNoticedOrHarmless) {
  const std::string path = TestPath("whole.pt");
  ASSERT_TRUE(WriteExample(path).ok());
  const std::string whole = *ReadFile(path);
  const std::string damaged_path = TestPath("damaged.pt");
  const auto tensors = TensorsOfEveryType();

  // What is read from the damaged file is an error or the truth.
  const auto check = [&](const std::string& damaged) {
    ASSERT_TRUE(WriteFileAtomically(damaged_path, damaged).ok());
    absl::StatusOr<TensorArchiveReader> reader = TensorArchiveReader::Open(damaged_path);
    if (!reader.ok()) {
      EXPECT_NE(reader.status().message().find(damaged_path), absl::string_view::npos);
      return;
    }
    for (const auto& [name, expected] : tensors) {
      if (!reader->HasTensor(name)) continue;
      const absl::StatusOr<Tensor> tensor = reader->ReadTensor(name);
      EXPECT_TRUE(!tensor.ok() || tensor->equal(expected)) << name;
    }
    const absl::StatusOr<std::string> text = reader->ReadText("config");
    EXPECT_TRUE(!text.ok() || *text == "model { num_levels: 6 }\n");
  };
  for (size_t size = 4; size < whole.size(); size += 97) {
    check(whole.substr(0, size));
    EXPECT_EQ(TensorArchiveReader::Open(damaged_path).status().code(), absl::StatusCode::kDataLoss);
  }
  for (size_t i = 0; i < whole.size(); i += 7) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    check(damaged);
  }
}

// Opens an archive of three records of 4,000 bytes, and of a tensor for each of `records`.
absl::Status OpenWithRecords(const std::vector<std::string>& records) {
  const std::string path = TestPath("shared.pt");
  TensorArchiveIndex index;
  index.set_version(1);
  for (const std::string& record : records) {
    TensorArchiveIndex::Entry& entry = *index.add_tensor();
    entry.set_name("of " + record + std::to_string(index.tensor_size()));
    entry.set_data_type(TensorArchiveIndex::UINT8);
    entry.add_shape(4000);
    entry.set_record(record);
  }
  std::string serialized = index.SerializeAsString();
  const auto checksum = static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(serialized.data()), serialized.size()));
  for (int shift = 0; shift < 32; shift += 8) {
    serialized.push_back(static_cast<char>(checksum >> shift & 0xff));
  }
  std::string content;
  {
    caffe2::serialize::PyTorchStreamWriter zip([&content](const void* data, size_t size) {
      content.append(static_cast<const char*>(data), size);
      return size;
    });
    const std::string values(4000, 'v');
    for (const char* const name : {"data/0", "data/1", "data/2"}) {
      zip.writeRecord(name, values.data(), values.size());
    }
    zip.writeRecord("index", serialized.data(), serialized.size());
    zip.writeEndOfFile();
  }
  const absl::Status written = WriteFileAtomically(path, content);
  EXPECT_TRUE(written.ok()) << written;
  return TensorArchiveReader::Open(path).status();
}

TEST(TensorArchiveTest, TensorsDoNotShareTheirBytes) {
  EXPECT_TRUE(OpenWithRecords({"data/0", "data/1", "data/2"}).ok());
  EXPECT_EQ(OpenWithRecords({"data/0", "data/1", "data/0"}).code(), absl::StatusCode::kDataLoss);
  // More bytes than the file has.
  EXPECT_EQ(OpenWithRecords({"data/0", "data/1", "data/2", "data/3", "data/4"}).code(),
            absl::StatusCode::kDataLoss);
}

TEST(TensorArchiveTest, AFailedWriteLeavesTheOldFileAndNothingElse) {
  const std::string folder = TestPath("full");
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  const std::string path = folder + "/best.pt";
  ASSERT_TRUE(WriteExample(path).ok());
  const std::string before = *ReadFile(path);

  // A limit on the size of files stands in for a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const rlimit limit = {100000, old_limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  TensorArchiveWriter writer;
  writer.AddTensor("large", at::zeros({100000}));
  writer.AddTensor("small", at::zeros({1}));
  const absl::Status status = writer.Write(path);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old_limit), 0);

  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find(path), absl::string_view::npos) << status;
  EXPECT_EQ(*ReadFile(path), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  EXPECT_EQ(writer.Write(folder + "/missing/best.pt").code(), absl::StatusCode::kNotFound);
}

TEST(TensorArchiveDeathTest, NamesAreUnique) {
  TensorArchiveWriter writer;
  writer.AddTensor("a", at::zeros({1}));
  EXPECT_DEATH(writer.AddTensor("a", at::zeros({1})), "two tensors are called a");
}

}  // namespace
}  // namespace ssd
