#include "ssd/coders/center_size.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ssd/core/boxes.h"
#include "ssd/core/text_proto.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

absl::StatusOr<std::unique_ptr<BoxCoder>> Create(const std::string& options) {
  BoxCoderConfig config;
  const absl::Status status = ParseTextProto("center_size {" + options + "}", "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return BoxCoderRegistry::Get().Create(config, {});
}

std::unique_ptr<BoxCoder> Coder(const std::string& options = "") { return *Create(options); }

TEST(CenterSize, EqualsPeers) {
  const auto& file = golden::File("boxcoder.json");
  // In float32 from corners, as the peers: the differences of nearby numbers in a code are then the
  // same.
  const at::Tensor anchors = CentersFromCorners(golden::Numbers(file["priors"]).to(at::kFloat));
  const at::Tensor truths = golden::Numbers(file["gt"]).to(at::kFloat);
  const at::Tensor codes = golden::Numbers(file["loc"]).to(at::kFloat);
  const at::Tensor encoded = Coder()->Encode(truths, anchors);
  for (const char* peer : {"caffe_center_size", "amdegroot", "torchvision_w10_10_5_5", "lufficc"}) {
    golden::ExpectNear(encoded, golden::Numbers(file["encode"][peer]),
                       std::string("encode/") + peer);
  }
  const at::Tensor decoded = Coder()->Decode(codes, anchors);
  for (const char* peer : {"caffe_center_size", "amdegroot"}) {
    golden::ExpectNear(decoded, golden::Numbers(file["decode"][peer]),
                       std::string("decode/") + peer);
  }
  // torchvision clamps the log sizes of rows 2 and 3.
  golden::ExpectNear(Coder("max_log_size: 4.135166556742356")->Decode(codes, anchors),
                     golden::Numbers(file["decode"]["torchvision_w10_10_5_5"]),
                     "decode/torchvision_w10_10_5_5");
  golden::ExpectNear(Coder("center_variance: 1 size_variance: 1")->Encode(truths, anchors),
                     golden::Numbers(file["encode_caffe_variance_in_target"]),
                     "encode/caffe_variance_in_target");
  golden::ExpectNear(decoded.clamp(0, 1), golden::Numbers(file["decode_caffe_clip"]),
                     "decode/caffe_clip");
}

TEST(CenterSize, VariancesScaleTheCodes) {
  at::manual_seed(1);
  const at::Tensor anchors = at::rand({9, 4}, at::kDouble) + 0.1;
  const at::Tensor boxes = CornersFromCenters(at::rand({9, 4}, at::kDouble) + 0.1);
  const at::Tensor plain = Coder("center_variance: 1 size_variance: 1")->Encode(boxes, anchors);
  const at::Tensor divided =
      Coder("center_variance: 0.5 size_variance: 0.25")->Encode(boxes, anchors);
  EXPECT_TRUE(at::allclose(divided, plain * at::tensor({2.0, 2.0, 4.0, 4.0}, at::kDouble)));
}

TEST(CenterSize, MaxLogSizeBoundsDecodedBoxes) {
  const at::Tensor anchors = at::tensor({0.5, 0.5, 0.2, 0.4}, at::kDouble).view({1, 4});
  const at::Tensor codes =
      at::tensor({0.0, 0.0, 1e9, 2.0, 0.0, 0.0, -3.0, 9.9}, at::kDouble).view({2, 1, 4});
  const at::Tensor unbounded = Coder()->Decode(codes, anchors);
  const auto bounded = Coder("max_log_size: 2");
  const at::Tensor boxes = bounded->Decode(codes, anchors);
  // Codes of 10 are log sizes of 2.
  EXPECT_NEAR(boxes[0][0][2].item<double>(), 0.5 + 0.1 * std::exp(2.0), 1e-12);
  EXPECT_TRUE(at::equal(boxes[1], unbounded[1]));
  EXPECT_GT(unbounded[0][0][2].item<double>(), 1e30);
  EXPECT_TRUE(at::isfinite(unbounded).all().item<bool>());
  // What is clamped has no gradient, and no NaN.
  const at::Tensor leaf = codes.clone().requires_grad_(true);
  bounded->Decode(leaf, anchors).sum().backward();
  EXPECT_TRUE(at::isfinite(leaf.grad()).all().item<bool>());
  EXPECT_EQ(leaf.grad()[0][0][2].item<double>(), 0);
  // Encoding is what it was.
  const at::Tensor truths = CornersFromCenters(at::rand({5, 1, 4}, at::kDouble) + 0.1);
  EXPECT_TRUE(at::equal(bounded->Encode(truths, anchors), Coder()->Encode(truths, anchors)));
}

// mmdetection's DeltaXYWHBBoxCoder cuts at both sides.
TEST(CenterSize, MinLogSizeBoundsDecodedBoxes) {
  const at::Tensor anchors = at::tensor({0.5, 0.5, 0.2, 0.4}, at::kDouble).view({1, 4});
  const at::Tensor codes =
      at::tensor({0.0, 0.0, -1e9, 50.0, 0.0, 0.0, -3.0, -9.9}, at::kDouble).view({2, 1, 4});
  const auto bounded = Coder("max_log_size: 4.135166556742356 min_log_size: -4.135166556742356");
  const at::Tensor boxes = bounded->Decode(codes, anchors);
  const at::Tensor size = boxes.narrow(2, 2, 2) - boxes.narrow(2, 0, 2);
  EXPECT_NEAR(size[0][0][0].item<double>(), 0.2 * 16 / 1000, 1e-12);
  EXPECT_NEAR(size[0][0][1].item<double>(), 0.4 * 1000 / 16, 1e-12);
  EXPECT_TRUE(at::equal(boxes[1], Coder()->Decode(codes, anchors)[1]));
}

TEST(CenterSize, DegenerateBoxesEncodeFinitely) {
  const at::Tensor anchors = at::tensor({0.5f, 0.5f, 0.2f, 0.2f}).view({1, 4});
  const at::Tensor boxes =
      at::tensor({0.3f, 0.3f, 0.3f, 0.3f, 0.6f, 0.6f, 0.2f, 0.2f}).view({2, 1, 4});
  EXPECT_TRUE(at::isfinite(Coder()->Encode(boxes, anchors)).all().item<bool>());
}

TEST(CenterSize, HalfTypesAreDecodedInFloat32) {
  const at::Tensor anchors = at::tensor({0.513f, 0.507f, 0.2f, 0.2f}).view({1, 4});
  const at::Tensor codes = at::zeros({3, 1, 4}, at::kBFloat16);
  const at::Tensor boxes = Coder()->Decode(codes, anchors);
  EXPECT_EQ(boxes.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::allclose(boxes[2], CornersFromCenters(anchors), 0, 1e-7));
}

TEST(CenterSize, BadOptionsNameTheField) {
  for (const char* options : {"center_variance: 0", "center_variance: nan", "size_variance: -1",
                              "size_variance: inf", "max_log_size: 0", "max_log_size: nan",
                              "min_log_size: 0", "min_log_size: 0.5", "min_log_size: -inf"}) {
    const absl::Status status = Create(options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << options;
    EXPECT_NE(status.message().find("box_coder.center_size."), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace ssd
