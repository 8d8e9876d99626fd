#include "ssd/weights/caffe_model.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ssd/weights/caffe.pb.h"

namespace ssd {
namespace {

// Protobuf's wire format by hand, with the field numbers of Caffe's caffe.proto, so that nothing
// here depends on our own.
std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}
std::string Number(int field, uint64_t value) {
  return Varint(static_cast<uint64_t>(field) << 3) + Varint(value);
}
std::string Bytes(int field, const std::string& bytes) {
  return Varint(static_cast<uint64_t>(field) << 3 | 2) + Varint(bytes.size()) + bytes;
}
template <typename T>
std::string Packed(int field, const std::vector<T>& values) {
  return Bytes(
      field, std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)));
}

constexpr int kNetName = 1, kLayers = 2, kInputDim = 4, kLayer = 100;          // NetParameter
constexpr int kLayerName = 1, kLayerType = 2, kLayerTop = 4, kLayerBlobs = 7;  // LayerParameter
constexpr int kV1Name = 4, kV1Type = 5, kV1Blobs = 6;                          // V1LayerParameter
constexpr int kNum = 1, kChannels = 2, kHeight = 3, kWidth = 4, kData = 5, kDiff = 6, kShape = 7,
              kDoubleData = 8;  // BlobProto
constexpr int kDim = 1;         // BlobShape
constexpr int kV1Convolution = 4;

std::string Shape(const std::vector<uint64_t>& dims) {
  std::string packed;
  for (const uint64_t dim : dims) packed += Varint(dim);
  return Bytes(kShape, Bytes(kDim, packed));
}

std::vector<float> Floats(int count) {
  std::vector<float> values;
  for (int i = 0; i < count; ++i) values.push_back(static_cast<float>(i) / 4);
  return values;
}

std::string NewFormat() {
  return Bytes(kNetName, "VGG") + Number(kInputDim, 300) +
         Bytes(kLayer, Bytes(kLayerName, "data") + Bytes(kLayerType, "Input")) +
         Bytes(kLayer, Bytes(kLayerName, "conv1_1") + Bytes(kLayerType, "Convolution") +
                           Bytes(kLayerTop, "conv1_1") +
                           Bytes(kLayerBlobs, Packed(kData, Floats(24)) + Shape({2, 3, 2, 2}) +
                                                  Packed(kDiff, Floats(24))) +
                           Bytes(kLayerBlobs, Packed(kData, Floats(2)) + Shape({2}))) +
         Bytes(kLayer, Bytes(kLayerName, "norm") +
                           Bytes(kLayerBlobs,
                                 Packed(kDoubleData, std::vector<double>{20.0, 0.1}) + Shape({2})));
}

std::string OldFormat() {
  const auto blob = [](int num, int channels, int height, int width) {
    return Number(kNum, num) + Number(kChannels, channels) + Number(kHeight, height) +
           Number(kWidth, width) + Packed(kData, Floats(num * channels * height * width));
  };
  return Bytes(kLayers, Bytes(kV1Name, "fc6") + Number(kV1Type, kV1Convolution) +
                            Bytes(kV1Blobs, blob(4, 2, 3, 3)) + Bytes(kV1Blobs, blob(1, 1, 1, 4)));
}

Tensor Expected(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return (at::arange(count, at::kFloat) / 4).view(shape);
}

TEST(CaffeModelTest, ReadsLayers) {
  const absl::StatusOr<WeightFile> file = ParseCaffeModel(NewFormat(), "vgg.caffemodel");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->metadata.at("net"), "VGG");
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file->tensors) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"conv1_1/0", "conv1_1/1", "norm/0"}));
  EXPECT_TRUE(file->Find("conv1_1/0")->equal(Expected({2, 3, 2, 2})));
  EXPECT_TRUE(file->Find("conv1_1/1")->equal(Expected({2})));
  EXPECT_TRUE(file->Find("norm/0")->equal(at::tensor({20.0, 0.1}, at::kDouble)));
}

TEST(CaffeModelTest, ReadsLayersOfOldFiles) {
  const absl::StatusOr<WeightFile> file = ParseCaffeModel(OldFormat(), "old.caffemodel");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->Find("fc6/0")->equal(Expected({4, 2, 3, 3})));
  EXPECT_TRUE(file->Find("fc6/1")->equal(Expected({1, 1, 1, 4})));
}

TEST(CaffeModelTest, IsToldByItsContent) {
  const std::string state = Bytes(6, Number(1, 1)) + Number(5, 0) + Number(7, 0);
  for (const std::string& bytes :
       {NewFormat(), OldFormat(), NewFormat() + OldFormat(), state + NewFormat()}) {
    EXPECT_TRUE(LooksLikeCaffeModel(bytes));
    EXPECT_FALSE(LooksLikeCaffeModel(bytes.substr(0, bytes.size() - 1))) << "cut off";
    EXPECT_FALSE(LooksLikeCaffeModel(bytes + '\0'));
    EXPECT_FALSE(LooksLikeCaffeModel(bytes + "text"));
    EXPECT_FALSE(LooksLikeCaffeModel(bytes + Number(1, 1))) << "a name that is no text";
    EXPECT_FALSE(LooksLikeCaffeModel(bytes + Bytes(9, ""))) << "not Caffe's field";
  }
  EXPECT_FALSE(LooksLikeCaffeModel(""));
  EXPECT_FALSE(LooksLikeCaffeModel(Bytes(kNetName, "VGG"))) << "no layers";
  // Other formats' first bytes: pickles, zip and tar files, ONNX, GraphDef, HDF5, text.
  const std::string zeros(64, '\0');
  for (const std::string& start :
       {std::string("\x80\x02}q"), std::string("PK\x03\x04"), std::string("resnet18/"),
        Number(1, 7) + Bytes(2, "pytorch"), Bytes(1, "node") + Bytes(4, Number(1, 22)),
        std::string("\x89HDF\r\n"), std::string("# proto-file: x\n"),
        std::string("\n\nmodel {\n")}) {
    EXPECT_FALSE(LooksLikeCaffeModel(start)) << start;
    EXPECT_FALSE(LooksLikeCaffeModel(start + zeros)) << start;
  }
}

// Of reading the bytes: OK, or an error that begins with the file's name.
absl::Status ErrorOf(const std::string& bytes) {
  const absl::Status status = ParseCaffeModel(bytes, "hostile.caffemodel").status();
  if (!status.ok()) {
    EXPECT_EQ(status.message().find("hostile.caffemodel: "), 0u) << status;
  }
  return status;
}

TEST(HostileCaffeModelTest, NoCutCrashes) {
  for (const std::string& bytes : {NewFormat(), OldFormat()}) {
    for (size_t size = 0; size < bytes.size(); ++size) {
      // Between two layers a shorter file is a whole one.
      ErrorOf(bytes.substr(0, size)).IgnoreError();
    }
    EXPECT_EQ(ErrorOf(bytes.substr(0, bytes.size() - 1)).code(), absl::StatusCode::kDataLoss);
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (int value = 0; value < 256; value += 5) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(value);
        ErrorOf(damaged).IgnoreError();  // or none
        LooksLikeCaffeModel(damaged);
      }
    }
  }
}

TEST(HostileCaffeModelTest, BlobsWithoutTheirDataAreErrors) {
  const auto expect = [](const std::string& blobs, const std::string& what) {
    const std::string bytes = Bytes(kLayer, Bytes(kLayerName, "conv") + blobs);
    const absl::Status status = ErrorOf(bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_NE(status.message().find(what), absl::string_view::npos) << status;
  };
  const std::string data = Packed(kData, Floats(4));
  expect(Bytes(kLayerBlobs, data + Shape({5})), "blob 'conv/0' of shape [5] has 4 floats");
  expect(Bytes(kLayerBlobs, data), "of shape [0, 0, 0, 0] has 4 floats");
  expect(Bytes(kLayerBlobs, data + Shape({~uint64_t{0}, 4})), "of shape [-1, 4]");
  const uint64_t huge = uint64_t{1} << 62;
  expect(Bytes(kLayerBlobs, data + Shape({huge, huge})), "has 4 floats");
  // No elements, but strides beyond all numbers.
  expect(Bytes(kLayerBlobs, Shape({huge, huge, 0})), "has 0 floats");
  expect(Bytes(kLayerBlobs, data + Shape({huge})), "has 4 floats");
  expect(Bytes(kLayerBlobs, Shape(std::vector<uint64_t>(17, 1)) + Packed(kData, Floats(1))),
         "has 1 floats");
  expect(Bytes(kLayerBlobs, data + Packed(kDoubleData, std::vector<double>(4)) + Shape({4})),
         "4 floats and 4 doubles");
}

TEST(HostileCaffeModelTest, OtherFilesAreErrors) {
  EXPECT_EQ(ErrorOf("").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorOf("\xff\xff\xff").code(), absl::StatusCode::kDataLoss);
  const std::string layer =
      Bytes(kLayer,
            Bytes(kLayerName, "conv") + Bytes(kLayerBlobs, Packed(kData, Floats(1)) + Shape({1})));
  const absl::Status twice = ErrorOf(layer + layer);
  EXPECT_NE(twice.message().find("two layers with blobs are called 'conv'"),
            absl::string_view::npos)
      << twice;
}

// An empty message has two bytes in the file, and some hundreds in memory.
TEST(HostileCaffeModelTest, SmallFilesDoNotBecomeLarge) {
  std::string blobs;
  for (int i = 0; i < 100'000; ++i) blobs += Bytes(kLayerBlobs, "");
  std::string layers;
  for (int i = 0; i < 100'001; ++i) layers += Bytes(kLayer, "");
  std::string old_layers;
  for (int i = 0; i < 100'001; ++i) old_layers += Bytes(kLayers, "");
  for (const std::string& bytes : {Bytes(kLayer, blobs), layers, old_layers}) {
    const absl::Status status = ErrorOf(bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_NE(status.message().find("has 100001 layers and blobs"), absl::string_view::npos)
        << status;
  }
  // Groups, which nothing of Caffe's has, are not looked into: start and end of group 9.
  const absl::Status group = ErrorOf("\x4b\x4c");
  EXPECT_EQ(group.code(), absl::StatusCode::kDataLoss) << group;
}

// The hand-written bytes are what our own messages are on the wire, too.
TEST(CaffeModelTest, OurMessagesHaveCaffesNumbers) {
  CaffeNet net;
  ASSERT_TRUE(net.ParseFromString(NewFormat() + OldFormat()));
  EXPECT_EQ(net.layer_size(), 3);
  EXPECT_EQ(net.layer(1).type(), "Convolution");
  EXPECT_EQ(net.layers(0).type(), kV1Convolution);
}

}  // namespace
}  // namespace ssd
