// The parts of training that need no detector: averages, gradients, lengths, checkpoints, formats.
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>

#include <cmath>
#include <limits>

#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/random_state.h"
#include "ssd/train/checkpoint.h"
#include "ssd/train/compute_format.h"
#include "ssd/train/ema.h"
#include "ssd/train/gradients.h"
#include "ssd/train/run_length.h"

namespace ssd {
namespace {

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

torch::nn::Sequential SmallModule() {
  return torch::nn::Sequential(torch::nn::Conv2d(3, 4, 3), torch::nn::BatchNorm2d(4));
}

TEST(Ema, FollowsItsFormula) {
  for (const bool ramp_up : {true, false}) {
    torch::nn::Sequential module = SmallModule();
    ExponentialMovingAverage average(
        *module, Parse<TrainerConfig::Ema>(ramp_up ? "decay: 0.3" : "decay: 0.3 ramp_up: false"));
    Tensor weight = module->parameters()[0];
    Tensor expected = weight.detach().to(at::kDouble);
    for (int64_t step = 0; step < 6; ++step) {
      {
        at::NoGradGuard no_grad;
        weight.add_(0.1 * static_cast<double>(step + 1));
      }
      average.Update(step, at::zeros({}));
      const double decay = ramp_up ? std::min(0.3, (1.0 + step) / (10.0 + step)) : 0.3;
      expected = decay * expected + (1 - decay) * weight.detach().to(at::kDouble);
      EXPECT_TRUE(at::allclose(average.State()[0].second.to(at::kDouble), expected, 1e-6, 1e-6));
    }
  }
}

TEST(Ema, NonfiniteStepChangesNothing) {
  torch::nn::Sequential module = SmallModule();
  ExponentialMovingAverage average(*module, TrainerConfig::Ema());
  const Tensor before = average.State()[0].second.clone();
  {
    at::NoGradGuard no_grad;
    module->parameters()[0].add_(1);
  }
  average.Update(0, at::ones({}));
  EXPECT_TRUE(at::equal(average.State()[0].second, before));
}

TEST(Ema, SwapsWithoutCopies) {
  torch::nn::Sequential module = SmallModule();
  ExponentialMovingAverage average(*module, TrainerConfig::Ema());
  const Tensor weight = module->parameters()[0];
  const Tensor buffer = module->buffers()[0];
  const void* const trained = weight.const_data_ptr();
  const void* const averaged = average.State()[0].second.const_data_ptr();
  const void* const statistics = buffer.const_data_ptr();
  {
    const AveragedWeightsScope scope(&average);
    EXPECT_EQ(weight.const_data_ptr(), averaged);
    EXPECT_EQ(buffer.const_data_ptr(), statistics);
    EXPECT_TRUE(weight.requires_grad());
  }
  EXPECT_EQ(weight.const_data_ptr(), trained);
  EXPECT_EQ(average.State()[0].second.const_data_ptr(), averaged);
}

TEST(Gradients, NormAndClipping) {
  at::manual_seed(1);
  std::vector<Tensor> gradients = {
      at::randn({50, 3, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast), at::randn({7}),
      at::randn({})};
  double square = 0;
  for (const Tensor& gradient : gradients) {
    square += gradient.to(at::kDouble).square().sum().item<double>();
  }
  const Tensor norm = GradientNorm(gradients);
  EXPECT_NEAR(norm.item<float>(), std::sqrt(square), 1e-5 * std::sqrt(square));

  std::vector<Tensor> clipped;
  for (const Tensor& gradient : gradients) clipped.push_back(gradient.clone());
  ClipGradients(clipped, norm, 1000);
  for (size_t i = 0; i < clipped.size(); ++i) EXPECT_TRUE(at::equal(clipped[i], gradients[i]));
  ClipGradients(clipped, norm, 0.5);
  EXPECT_NEAR(GradientNorm(clipped).item<float>(), 0.5, 1e-5);
  EXPECT_TRUE(at::allclose(clipped[0], gradients[0] * (0.5 / std::sqrt(square)), 1e-4, 1e-7));

  gradients[1][3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(std::isfinite(GradientNorm(gradients).item<float>()));
  gradients[1][3] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(std::isfinite(GradientNorm(gradients).item<float>()));
}

TEST(RunLength, CountsOptimizerSteps) {
  RunLength length = LengthOfRun(Parse<TrainerConfig>("epochs: 3"), 7);
  EXPECT_EQ(length.total_steps, 21);
  EXPECT_DOUBLE_EQ(length.steps_per_epoch, 7);
  length = LengthOfRun(Parse<TrainerConfig>("epochs: 3 accumulate_steps: 2"), 7);
  EXPECT_EQ(length.total_steps, 11);
  EXPECT_DOUBLE_EQ(length.steps_per_epoch, 3.5);
  EXPECT_EQ(LengthOfRun(Parse<TrainerConfig>("epochs: 0.01"), 7).total_steps, 1);
  EXPECT_EQ(LengthOfRun(Parse<TrainerConfig>("epochs: 0.3 accumulate_steps: 3"), 100).total_steps,
            10);
  EXPECT_EQ(LengthOfRun(Parse<TrainerConfig>("steps: 5 accumulate_steps: 3"), 7).total_steps, 5);
}

TEST(TrainerConfig, RefusesBadValues) {
  EXPECT_TRUE(ValidateTrainerConfig(Parse<TrainerConfig>("epochs: 1")).ok());
  for (const char* text :
       {"", "epochs: 0", "epochs: nan", "steps: -1", "steps: 1 gradient_clip_norm: -1",
        "steps: 1 gradient_clip_norm: inf", "steps: 1 accumulate_steps: 0",
        "steps: 1 ema { decay: 1 }", "steps: 1 log_every: 0", "steps: 1 checkpoint_every: -1",
        "steps: 1 evaluate_every: -2", "steps: 1 time_limit: nan",
        "steps: 1 checkpoint_seconds: -1", "steps: 1 checkpoint_seconds: inf"}) {
    EXPECT_EQ(ValidateTrainerConfig(Parse<TrainerConfig>(text)).code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
  EXPECT_EQ(ValidateTrainerConfig(Parse<TrainerConfig>("steps: 1 log_every: 0")).message(),
            "trainer.log_every: 0 must be >= 1");
}

Checkpoint SomeCheckpoint() {
  Checkpoint checkpoint;
  checkpoint.state = Parse<CheckpointState>(
      "step: 12 data_digest: 'd1' best { metric: 0.30000000000000004 step: 10 } window { steps: 2 "
      "loss: 1.1000000000000001 }");
  checkpoint.config_text = "name: \"a\"\nseed: 1\n";
  checkpoint.model = {{"w", at::rand({2, 3})}, {"count", at::full({}, 7, at::kLong)}};
  checkpoint.average = {{"w", at::rand({2, 3})}};
  checkpoint.optimizer = {{"w.momentum", at::rand({2, 3})}};
  checkpoint.cpu_random_state = RandomState(at::kCPU);
  return checkpoint;
}

TEST(Checkpoint, ComesBackAsItWas) {
  const std::string path = testing::TempDir() + "/round.pt";
  const Checkpoint checkpoint = SomeCheckpoint();
  ASSERT_TRUE(WriteCheckpoint(path, checkpoint).ok());
  const auto read = ReadCheckpoint(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->state.SerializeAsString(), checkpoint.state.SerializeAsString());
  EXPECT_EQ(read->config_text, checkpoint.config_text);
  EXPECT_FALSE(read->device_random_state.defined());
  EXPECT_TRUE(at::equal(read->cpu_random_state, checkpoint.cpu_random_state));
  const auto expect_equal = [](const StateTensors& a, const StateTensors& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].first, b[i].first);
      EXPECT_TRUE(at::equal(a[i].second, b[i].second));
    }
  };
  expect_equal(read->model, checkpoint.model);
  expect_equal(read->average, checkpoint.average);
  expect_equal(read->optimizer, checkpoint.optimizer);
}

TEST(Checkpoint, RefusesAnotherRun) {
  const Checkpoint checkpoint = SomeCheckpoint();
  const char* const text = "name: \"a\"\nseed: 1\n";
  EXPECT_TRUE(CheckSameRun(checkpoint, "last.pt", text, "d1", at::kCPU).ok());
  const absl::Status config =
      CheckSameRun(checkpoint, "last.pt", "name: \"a\"\nseed: 2\n", "d1", at::kCPU);
  EXPECT_EQ(config.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(config.message(),
            "last.pt belongs to a run with another config: line 2 was 'seed: 1' and is 'seed: 2'; "
            "resume with the config it was started with, or start anew");
  const absl::Status data = CheckSameRun(checkpoint, "last.pt", text, "d2", at::kCPU);
  EXPECT_EQ(data.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(data.message().find("other data"), absl::string_view::npos);
  // The state of CUDA's random generator tells where the run was.
  EXPECT_EQ(CheckSameRun(checkpoint, "last.pt", text, "d1", at::kCUDA),
            absl::FailedPreconditionError(
                "last.pt was written by a run on the CPU; resume it with --device=cpu"));
  Checkpoint on_cuda = checkpoint;
  on_cuda.device_random_state = at::zeros({16}, at::kByte);
  EXPECT_TRUE(CheckSameRun(on_cuda, "last.pt", text, "d1", at::kCUDA).ok());
  EXPECT_EQ(CheckSameRun(on_cuda, "last.pt", text, "d1", at::kCPU),
            absl::FailedPreconditionError(
                "last.pt was written by a run on CUDA; resume it with --device=cuda"));
}

TEST(Checkpoint, RefusesOtherFiles) {
  EXPECT_EQ(ReadCheckpoint(testing::TempDir() + "/absent.pt").status().code(),
            absl::StatusCode::kNotFound);
  const std::string path = testing::TempDir() + "/garbage.pt";
  ASSERT_TRUE(WriteFileAtomically(path, "no archive").ok());
  const absl::Status status = ReadCheckpoint(path).status();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find(path), absl::string_view::npos);
}

TEST(ComputeFormat, PlacesModulesAndImages) {
  torch::nn::Sequential module = SmallModule();
  const Tensor weight = module->parameters()[0];
  const Tensor before = weight.detach().clone();
  PlaceModule(*module, at::kCPU, TrainerConfig::CHANNELS_LAST);
  EXPECT_TRUE(weight.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(at::equal(weight, before));
  EXPECT_TRUE(weight.is_leaf() && weight.requires_grad());
  PlaceModule(*module, at::kCPU, TrainerConfig::NCHW);
  EXPECT_TRUE(weight.is_contiguous());

  const Tensor images =
      at::zeros({2, 3, 8, 8}, at::kByte).contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(PlaceImages(images, at::kCPU, TrainerConfig::CHANNELS_LAST).is_same(images));
  EXPECT_TRUE(PlaceImages(images, at::kCPU, TrainerConfig::NCHW).is_contiguous());
}

TEST(ComputeFormat, AutocastEndsWithItsScope) {
  torch::nn::Conv2d convolution(3, 4, 3);
  const Tensor images = at::zeros({1, 3, 8, 8});
  {
    const AutocastScope autocast(at::kCPU, TrainerConfig::BF16);
    EXPECT_EQ(convolution->forward(images).scalar_type(), at::kBFloat16);
  }
  EXPECT_EQ(convolution->forward(images).scalar_type(), at::kFloat);
  {
    const AutocastScope autocast(at::kCPU, TrainerConfig::FP32);
    EXPECT_EQ(convolution->forward(images).scalar_type(), at::kFloat);
  }
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
}

}  // namespace
}  // namespace ssd
