#include "ssd/weights/torch_file_writer.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"
#include "ssd/tensor_files/zip_archive.h"
#include "ssd/weights/torch_file.h"

namespace ssd {
namespace {

constexpr char kFolder[] = "tests/golden/torch_files/";

WeightFile MustRead(const std::string& name) {
  absl::StatusOr<WeightFile> file = ReadTorchFile(kFolder + name);
  EXPECT_TRUE(file.ok()) << file.status();
  return file.ok() ? *std::move(file) : WeightFile();
}

std::string TestPath(const std::string& name) { return ::testing::TempDir() + "/" + name; }

TEST(TorchFileWriterTest, WritesThePickleThatPyTorchWrites) {
  const WeightFile file = MustRead("ordered_dict_no_metadata_zip.pt");
  const std::string path = TestPath("written.pt");
  ASSERT_TRUE(WriteTorchFile(path, file).ok());
  const std::string ours = *ReadFile(path);
  const std::string theirs = *ReadFile(absl::StrCat(kFolder, "ordered_dict_no_metadata_zip.pt"));
  const absl::StatusOr<ZipArchive> our_archive = ZipArchive::Open(ours, path);
  const absl::StatusOr<ZipArchive> their_archive = ZipArchive::Open(theirs, "theirs");
  ASSERT_TRUE(our_archive.ok()) << our_archive.status();
  ASSERT_TRUE(their_archive.ok()) << their_archive.status();
  for (const char* const name : {"data.pkl", "data/0", "data/1", "data/2", "data/3", "data/4",
                                 "data/5", "data/6", "data/7", "data/8"}) {
    EXPECT_EQ(*our_archive->Read(absl::StrCat("archive/", name)),
              *their_archive->Read(absl::StrCat("ordered_dict_no_metadata_zip/", name)))
        << name;
  }
}

// By the reader that torch.load has.
TEST(TorchFileWriterTest, PyTorchsReaderFindsItsRecords) {
  const WeightFile file = MustRead("ordered_dict_no_metadata_zip.pt");
  const std::string path = TestPath("records.pt");
  ASSERT_TRUE(WriteTorchFile(path, file).ok());
  caffe2::serialize::PyTorchStreamReader reader(path);
  caffe2::serialize::PyTorchStreamReader theirs(
      absl::StrCat(kFolder, "ordered_dict_no_metadata_zip.pt"));
  const auto record = [](caffe2::serialize::PyTorchStreamReader& archive, const std::string& name) {
    const auto [data, size] = archive.getRecord(name);
    return std::string(static_cast<const char*>(data.get()), size);
  };
  EXPECT_EQ(record(reader, "data.pkl"), record(theirs, "data.pkl"));
  EXPECT_EQ(record(reader, "byteorder"), "little");
  EXPECT_EQ(reader.version(), theirs.version());
  EXPECT_EQ(record(reader, "version"), record(theirs, "version"));
  ASSERT_FALSE(file.tensors.empty());
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    const auto& [name, tensor] = file.tensors[i];
    const std::string key = absl::StrCat("data/", i);
    ASSERT_TRUE(reader.hasRecord(key)) << name;
    const Tensor row = tensor.contiguous();
    EXPECT_EQ(record(reader, key),
              row.numel() == 0
                  ? std::string()
                  : std::string(static_cast<const char*>(row.const_data_ptr()), row.nbytes()))
        << name;
    // PyTorch maps storages into memory at multiples of 64 bytes.
    EXPECT_EQ(reader.getRecordOffset(key) % 64, 0u) << name;
  }
  EXPECT_FALSE(reader.hasRecord(absl::StrCat("data/", file.tensors.size())));
}

TEST(TorchFileWriterTest, GivesBackWhatWasWritten) {
  at::manual_seed(1);
  WeightFile file = MustRead("dtypes_zip.pt");
  const WeightFile strided = MustRead("strided_shared_zip.pt");
  for (const auto& [name, tensor] : strided.tensors) {
    file.tensors.emplace_back(name, tensor);
  }
  file.tensors.emplace_back("\xc3\xa9 with a space", at::randn({2, 3}).requires_grad_());
  file.tensors.emplace_back("large", at::randn({70000}));
  file.tensors.emplace_back("channels_last",
                            at::randn({2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast));
  // More than the pickle's short indices, and more than one group of items.
  for (int i = 0; i < 1100; ++i) {
    file.tensors.emplace_back(absl::StrCat("many.", i), at::full({i % 3}, i, at::kShort));
  }
  const std::string path = TestPath("roundtrip.pt");
  const absl::Status written = WriteTorchFile(path, file);
  ASSERT_TRUE(written.ok()) << written;
  const absl::StatusOr<WeightFile> again = ReadTorchFile(path);
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_EQ(again->tensors.size(), file.tensors.size());
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    const auto& [name, tensor] = file.tensors[i];
    EXPECT_EQ(again->tensors[i].first, name);
    EXPECT_EQ(again->tensors[i].second.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(again->tensors[i].second.equal(tensor)) << name;
  }
  NamedTensors complex;
  complex.tensors.emplace_back("c", at::zeros({2}, at::kComplexFloat));
  EXPECT_EQ(WriteTorchFile(path, complex).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ssd
