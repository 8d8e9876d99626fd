#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/optim/adamw.h>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"
#include "ssd/optim/optimizer.h"
#include "ssd/optim/parameter_groups.h"
#include "ssd/optim/schedule.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

const rapidjson::Value& Golden() { return golden::File("optim.json"); }

std::vector<double> Numbers(const rapidjson::Value& array) {
  std::vector<double> numbers;
  for (const auto& value : array.GetArray()) numbers.push_back(value.GetDouble());
  return numbers;
}

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

absl::StatusOr<std::unique_ptr<Optimizer>> MakeOptimizer(
    const std::string& config, const std::vector<NamedParameter>& parameters, int64_t images = 1) {
  return OptimizerRegistry::Get().Create(Parse<OptimizerConfig>(config), {parameters, images});
}

Tensor Parameter(const Tensor& value) { return value.clone().requires_grad_(true); }

Tensor Rate(double rate) { return at::full({}, rate, at::kFloat); }

// "kind {}" for each component of a family that is registered: its defaults.
template <typename Config>
std::vector<std::string> Defaults(const std::vector<std::string>& registered) {
  std::vector<std::string> configs;
  const auto* const family = Config::descriptor();
  for (const std::string& name : registered) {
    for (int i = 0; i < family->field_count(); ++i) {
      const auto* const options = family->field(i)->message_type();
      if (options == nullptr || options->full_name() != name) continue;
      configs.push_back(family->field(i)->name() + " {}");
    }
  }
  EXPECT_EQ(configs.size(), registered.size());
  return configs;
}

// Variants of everything, and the defaults of every registered component.
std::vector<std::string> OptimizerConfigs() {
  std::vector<std::string> configs = Defaults<OptimizerConfig>(OptimizerRegistry::Get().Names());
  for (const char* config :
       {"sgd { learning_rate: 0.1 nesterov: true weight_decay: 0.01 }",
        "sgd { learning_rate: 0.1 momentum: 0 }",
        "sgd { learning_rate: 0.1 learning_rate_in_momentum: true }",
        "rmsprop { learning_rate: 0.1 momentum: 0.9 centered: true weight_decay: 0.01 }",
        "rmsprop { form: TENSORFLOW momentum: 0.9 centered: true epsilon: 0.1 weight_decay: 0.01 "
        "}"}) {
    configs.push_back(config);
  }
  return configs;
}

TEST(Sgd, EqualsPyTorch) {
  const Tensor p = Parameter(at::tensor({1.0f, -2.0f, 0.5f}));
  auto optimizer =
      MakeOptimizer("sgd { learning_rate: 0.1 momentum: 0.9 weight_decay: 5e-4 }", {{"p", p}});
  ASSERT_TRUE(optimizer.ok()) << optimizer.status();
  EXPECT_DOUBLE_EQ((*optimizer)->base_learning_rate(), 0.1);
  std::vector<Tensor> actual, expected;
  for (const auto& step : Golden()["sgd"]["torch"].GetArray()) {
    p.mutable_grad() = golden::Numbers(step["grad"]).to(at::kFloat);
    (*optimizer)->Step(Rate(step["lr"].GetDouble()), at::zeros({}));
    actual.push_back(p.detach().clone());
    expected.push_back(golden::Numbers(step["p"]));
  }
  golden::ExpectNear(at::stack(actual), at::stack(expected), "optim/sgd/torch");
}

TEST(Sgd, EqualsCaffe) {
  const Tensor p = Parameter(at::tensor({1.0f, -2.0f, 0.5f}));
  auto optimizer = MakeOptimizer(
      "sgd { momentum: 0.9 weight_decay: 5e-4 learning_rate_in_momentum: true }", {{"p", p}});
  ASSERT_TRUE(optimizer.ok()) << optimizer.status();
  std::vector<Tensor> actual;
  for (const auto& step : Golden()["sgd"]["torch"].GetArray()) {
    p.mutable_grad() = golden::Numbers(step["grad"]).to(at::kFloat);
    (*optimizer)->Step(Rate(step["lr"].GetDouble()), at::zeros({}));
    actual.push_back(p.detach().clone());
  }
  golden::ExpectNear(at::stack(actual), golden::Numbers(Golden()["sgd"]["caffe_rule"]),
                     "optim/sgd/caffe_rule");
}

TEST(RmsProp, EqualsTensorFlow) {
  for (const auto& entry : Golden()["rmsprop"]["tensorflow_published"].GetArray()) {
    const Tensor p = Parameter(golden::Numbers(entry["p0"]).to(at::kFloat));
    const std::string config = absl::StrCat(
        "rmsprop { form: TENSORFLOW alpha: 0.9 momentum: ", entry["momentum"].GetDouble(),
        " epsilon: ", entry["epsilon"].GetDouble(), " }");
    auto optimizer = MakeOptimizer(config, {{"p", p}});
    ASSERT_TRUE(optimizer.ok()) << optimizer.status();
    std::vector<Tensor> values, mean_squares;
    for (int step = 0; step < 2; ++step) {
      p.mutable_grad() = at::full({2}, entry["grad"].GetDouble(), at::kFloat);
      (*optimizer)->Step(Rate(2), at::zeros({}));
      const auto state = (*optimizer)->State();
      EXPECT_EQ(state[0].first, "p.mean_square");
      values.push_back(p.detach().clone());
      mean_squares.push_back(state[0].second.clone());
    }
    golden::ExpectNear(at::stack(values), golden::Numbers(entry["p"]), "optim/" + config);
    // One number for both elements.
    golden::ExpectNear(at::stack(mean_squares),
                       golden::Numbers(entry["mean_square"]).view({2, 1}).expand({2, 2}),
                       "optim/" + config + "/mean_square");
  }
}

// As the class states it, in double precision.
TEST(RmsProp, EqualsItsFormula) {
  for (const bool tensorflow : {false, true}) {
    for (const bool centered : {false, true}) {
      for (const double momentum : {0.0, 0.8}) {
        const std::string config = absl::StrCat(
            "rmsprop { alpha: 0.9 epsilon: 1e-3 weight_decay: 0.1 momentum: ", momentum,
            centered ? " centered: true" : "", tensorflow ? " form: TENSORFLOW }" : " }");
        const Tensor p = Parameter(at::tensor({1.5f}));
        auto optimizer = MakeOptimizer(config, {{"p", p}});
        ASSERT_TRUE(optimizer.ok()) << optimizer.status();
        double x = 1.5, s = tensorflow ? 1 : 0, m = 0, v = 0;
        for (int t = 1; t <= 20; ++t) {
          const double gradient = std::sin(t) * 0.3;
          const double rate = t < 10 ? 0.05 : 0.005;
          p.mutable_grad() = at::full({1}, gradient, at::kFloat);
          (*optimizer)->Step(Rate(rate), Tensor());
          const double g = gradient + 0.1 * x;
          s = 0.9 * s + 0.1 * g * g;
          m = centered ? 0.9 * m + 0.1 * g : 0;
          if (tensorflow) {
            v = momentum * v + rate * g / std::sqrt(s - m * m + 1e-3);
            x -= v;
          } else {
            v = momentum * v + g / (std::sqrt(s - m * m) + 1e-3);
            x -= rate * v;
          }
          EXPECT_NEAR(p.item<float>(), x, 1e-5) << config << " " << t;
        }
      }
    }
  }
}

// A constant gradient has no variance; what rounding leaves of it must not become a root of a
// negative number.
TEST(RmsProp, CenteredSurvivesAConstantGradient) {
  const Tensor p = Parameter(at::full({64}, 1.0, at::kFloat));
  auto optimizer = MakeOptimizer("rmsprop { centered: true alpha: 0.5 }", {{"p", p}});
  ASSERT_TRUE(optimizer.ok()) << optimizer.status();
  const Tensor gradient = at::randn({64});
  for (int t = 0; t < 60; ++t) {
    p.mutable_grad() = gradient.clone();
    (*optimizer)->Step(Rate(1e-9), Tensor());
  }
  EXPECT_TRUE(at::isfinite(p.detach()).all().item<bool>());
}

// Beside LibTorch's own class, which has double precision here.
TEST(AdamW, EqualsPyTorch) {
  at::manual_seed(4);
  const Tensor start = at::randn({200});
  const Tensor ours = Parameter(start);
  const Tensor theirs = Parameter(start.to(at::kDouble));
  auto optimizer = MakeOptimizer(
      "adamw { beta1: 0.85 beta2: 0.97 epsilon: 1e-6 weight_decay: 0.05 }", {{"p", ours}});
  ASSERT_TRUE(optimizer.ok()) << optimizer.status();
  torch::optim::AdamWOptions options(0.01);
  options.betas(std::make_tuple(0.85, 0.97)).eps(1e-6).weight_decay(0.05);
  torch::optim::AdamW expected(std::vector<Tensor>{theirs}, options);
  std::vector<Tensor> ours_by_step, theirs_by_step;
  for (int step = 1; step <= 10; ++step) {
    const double rate = step <= 5 ? 0.01 : 0.002;
    const Tensor gradient = at::randn({200});
    ours.mutable_grad() = gradient.clone();
    theirs.mutable_grad() = gradient.to(at::kDouble);
    (*optimizer)->Step(Rate(rate), Tensor());
    expected.param_groups()[0].options().set_lr(rate);
    expected.step();
    ours_by_step.push_back(ours.detach().clone());
    theirs_by_step.push_back(theirs.detach().clone());
  }
  golden::ExpectNear(at::stack(ours_by_step), at::stack(theirs_by_step), "optim/adamw/libtorch");
}

// The update rules in double precision, element by element.
TEST(Optimizers, EqualTheirFormulas) {
  for (const bool decay : {true, false}) {
    for (const bool nesterov : {false, true}) {
      const Tensor p = Parameter(at::tensor({1.5f}));
      auto optimizer =
          MakeOptimizer(nesterov ? "sgd { momentum: 0.8 weight_decay: 0.1 nesterov: true }"
                                 : "sgd { momentum: 0.8 weight_decay: 0.1 }",
                        {{"p", p, decay ? 1.0 : 0.0}});
      ASSERT_TRUE(optimizer.ok());
      double x = 1.5, v = 0;
      for (int t = 1; t <= 20; ++t) {
        const double gradient = std::sin(t) * 0.3;
        p.mutable_grad() = at::full({1}, gradient, at::kFloat);
        (*optimizer)->Step(Rate(0.05), Tensor());
        const double g = gradient + (decay ? 0.1 : 0) * x;
        v = 0.8 * v + g;
        x -= 0.05 * (nesterov ? g + 0.8 * v : v);
        EXPECT_NEAR(p.item<float>(), x, 2e-6) << t;
      }
    }
    const Tensor p = Parameter(at::tensor({1.5f}));
    auto optimizer =
        MakeOptimizer("adamw { beta1: 0.8 beta2: 0.95 weight_decay: 0.1 epsilon: 1e-6 }",
                      {{"p", p, decay ? 1.0 : 0.0}});
    ASSERT_TRUE(optimizer.ok());
    double x = 1.5, m = 0, v = 0;
    for (int t = 1; t <= 20; ++t) {
      const double gradient = std::sin(t) * 0.3;
      p.mutable_grad() = at::full({1}, gradient, at::kFloat);
      (*optimizer)->Step(Rate(0.05), Tensor());
      x -= 0.05 * (decay ? 0.1 : 0) * x;
      m = 0.8 * m + 0.2 * gradient;
      v = 0.95 * v + 0.05 * gradient * gradient;
      x -= 0.05 * (m / (1 - std::pow(0.8, t))) / (std::sqrt(v / (1 - std::pow(0.95, t))) + 1e-6);
      EXPECT_NEAR(p.item<float>(), x, 2e-6) << t;
    }
  }
}

// Odd sizes, a channels-last weight and a 1x1 weight whose gradient has other strides in dimensions
// of size 1.
std::vector<NamedParameter> AwkwardParameters() {
  at::manual_seed(3);
  std::vector<NamedParameter> parameters;
  parameters.push_back({"odd", Parameter(at::randn({100003}))});
  parameters.push_back(
      {"conv", Parameter(at::randn({9, 5, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast)), 1.0,
       2.0});
  parameters.push_back({"pointwise", Parameter(at::randn({16, 8, 1, 1})), 0.0});
  for (const NamedParameter& parameter : parameters) {
    parameter.value.mutable_grad() = at::randn_like(parameter.value);
  }
  parameters[2].value.mutable_grad() = at::randn({16, 8}).as_strided({16, 8, 1, 1}, {8, 1, 8, 8});
  return parameters;
}

TEST(Optimizers, BitsDoNotDependOnThreads) {
  const int threads = at::get_num_threads();
  for (const std::string& config : OptimizerConfigs()) {
    std::vector<std::vector<NamedParameter>> results;
    for (const int count : {1, 2, 3}) {
      at::set_num_threads(count);
      const auto parameters = AwkwardParameters();
      auto optimizer = MakeOptimizer(config, parameters);
      ASSERT_TRUE(optimizer.ok()) << optimizer.status();
      for (int step = 0; step < 3; ++step) (*optimizer)->Step(Rate(0.1), at::zeros({}));
      results.push_back(parameters);
    }
    for (size_t i = 0; i < results[0].size(); ++i) {
      EXPECT_TRUE(at::equal(results[0][i].value, results[1][i].value)) << config;
      EXPECT_TRUE(at::equal(results[0][i].value, results[2][i].value)) << config;
    }
  }
  at::set_num_threads(threads);
}

TEST(Optimizers, LayoutDoesNotMatter) {
  for (const std::string& config : OptimizerConfigs()) {
    const auto parameters = AwkwardParameters();
    std::vector<NamedParameter> plain;
    for (const NamedParameter& parameter : AwkwardParameters()) {
      plain.push_back(parameter);
      plain.back().value = Parameter(parameter.value.detach().contiguous());
      plain.back().value.mutable_grad() =
          parameter.value.grad().clone(at::MemoryFormat::Contiguous);
    }
    auto optimizer = MakeOptimizer(config, parameters);
    auto plain_optimizer = MakeOptimizer(config, plain);
    ASSERT_TRUE(optimizer.ok() && plain_optimizer.ok());
    (*optimizer)->Step(Rate(0.1), Tensor());
    (*plain_optimizer)->Step(Rate(0.1), Tensor());
    for (size_t i = 0; i < plain.size(); ++i) {
      EXPECT_TRUE(at::allclose(parameters[i].value, plain[i].value, 1e-6, 1e-7)) << config;
    }
  }
}

TEST(Optimizers, NonfiniteGradientChangesNothing) {
  for (const std::string& config : OptimizerConfigs()) {
    const auto parameters = AwkwardParameters();
    auto optimizer = MakeOptimizer(config, parameters);
    ASSERT_TRUE(optimizer.ok());
    (*optimizer)->Step(Rate(0.1), at::zeros({}));
    std::vector<Tensor> before;
    for (const auto& parameter : parameters) before.push_back(parameter.value.detach().clone());
    for (const auto& [name, value] : (*optimizer)->State()) before.push_back(value.clone());
    parameters[0].value.grad().fill_(std::numeric_limits<float>::quiet_NaN());
    (*optimizer)->Step(Rate(0.1), at::ones({}));
    size_t i = 0;
    for (const auto& parameter : parameters) {
      EXPECT_TRUE(at::equal(parameter.value, before[i++])) << config;
    }
    for (const auto& [name, value] : (*optimizer)->State()) {
      EXPECT_TRUE(at::equal(value, before[i++])) << config << " " << name;
    }
  }
}

TEST(Optimizers, StateMovesToANewOptimizer) {
  for (const std::string& config : OptimizerConfigs()) {
    const auto a = AwkwardParameters();
    auto first = MakeOptimizer(config, a);
    ASSERT_TRUE(first.ok());
    (*first)->Step(Rate(0.1), Tensor());
    auto b = AwkwardParameters();
    for (size_t i = 0; i < b.size(); ++i) {
      at::NoGradGuard no_grad;
      b[i].value.copy_(a[i].value);
    }
    auto second = MakeOptimizer(config, b);
    ASSERT_TRUE(second.ok());
    ASSERT_TRUE((*second)->LoadState((*first)->State()).ok());
    (*first)->Step(Rate(0.1), Tensor());
    (*second)->Step(Rate(0.1), Tensor());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::equal(a[i].value, b[i].value)) << config;

    auto state = (*first)->State();
    state.emplace_back("stranger", at::zeros({1}));
    EXPECT_EQ((*second)->LoadState(state).message(), "'stranger' belongs to nothing here");
    if (state.size() > 1) {
      state.erase(state.begin());
      EXPECT_NE((*second)->LoadState(state).message().find("is missing"), std::string::npos);
    }
  }
}

TEST(Optimizers, SkipParametersWithoutGradient) {
  for (const std::string& config : OptimizerConfigs()) {
    const auto parameters = AwkwardParameters();
    parameters[1].value.mutable_grad().reset();
    const Tensor before = parameters[1].value.detach().clone();
    auto optimizer = MakeOptimizer(config, parameters);
    ASSERT_TRUE(optimizer.ok());
    (*optimizer)->Step(Rate(0.1), Tensor());
    EXPECT_TRUE(at::equal(parameters[1].value, before));
  }
}

// A parameter with multipliers moves as one alone would under an optimizer of those settings.
TEST(Optimizers, MultipliersActOnTheirParametersAlone) {
  for (const std::string& config : OptimizerConfigs()) {
    at::manual_seed(5);
    const Tensor start = at::randn({1000}), gradient = at::randn({1000});
    std::vector<Tensor> values;  // in the order of what follows
    const auto run = [&](const std::vector<NamedParameter>& parameters, double rate) {
      auto optimizer = MakeOptimizer(config, parameters);
      ASSERT_TRUE(optimizer.ok()) << optimizer.status();
      for (int step = 0; step < 3; ++step) {
        for (const NamedParameter& parameter : parameters) {
          parameter.value.mutable_grad() = gradient.clone();
        }
        (*optimizer)->Step(Rate(rate), at::zeros({}));
      }
      for (const NamedParameter& parameter : parameters) values.push_back(parameter.value.detach());
    };
    run({{"alone", Parameter(start), 0.0}}, 0.2);
    run({{"grouped", Parameter(start), 0.0, 2.0}, {"plain", Parameter(start)}}, 0.1);
    run({{"plain alone", Parameter(start)}}, 0.1);
    ASSERT_EQ(values.size(), 4u);
    EXPECT_TRUE(at::equal(values[0], values[1])) << config;
    EXPECT_TRUE(at::equal(values[2], values[3])) << config;
    EXPECT_FALSE(at::equal(values[1], values[2])) << config;
  }
}

TEST(Optimizers, LearningRateScalesWithTheBatch) {
  const std::vector<NamedParameter> p = {{"p", Parameter(at::ones({1}))}};
  EXPECT_DOUBLE_EQ(
      (*MakeOptimizer("sgd { learning_rate: 0.02 per_batch: 32 }", p, 8))->base_learning_rate(),
      0.005);
  EXPECT_DOUBLE_EQ((*MakeOptimizer("adamw { learning_rate: 0.02 }", p, 8))->base_learning_rate(),
                   0.02);
}

TEST(Optimizers, RefuseBadOptions) {
  const std::vector<NamedParameter> p = {{"p", Parameter(at::ones({1}))}};
  for (const char* config :
       {"sgd { learning_rate: -1 }", "sgd { learning_rate: nan }", "sgd { momentum: 1 }",
        "sgd { weight_decay: -1e-4 }", "sgd { per_batch: 0 }", "sgd { momentum: 0 nesterov: true }",
        "sgd { momentum: 0 learning_rate_in_momentum: true }", "adamw { beta1: 1 }",
        "adamw { beta2: -0.1 }", "adamw { epsilon: 0 }", "adamw { learning_rate: inf }",
        "rmsprop { learning_rate: 0 }", "rmsprop { per_batch: -1 }", "rmsprop { alpha: 1 }",
        "rmsprop { epsilon: 0 }", "rmsprop { momentum: 1 }", "rmsprop { weight_decay: nan }", ""}) {
    EXPECT_EQ(MakeOptimizer(config, p).status().code(), absl::StatusCode::kInvalidArgument)
        << config;
  }
  EXPECT_EQ(MakeOptimizer("sgd { momentum: 1.5 }", p).status().message(),
            "optimizer.sgd.momentum: 1.5 must be in [0, 1)");
}

TEST(ParameterGroups, SpareBiasesAndNorms) {
  torch::nn::Sequential module(torch::nn::Conv2d(3, 4, 3), torch::nn::BatchNorm2d(4));
  module->ptr(1)->parameters()[1].set_requires_grad(false);
  const auto spared =
      NamedParameters(*module, Parse<OptimizerConfig>("no_decay_for_biases_and_norms: true"));
  ASSERT_TRUE(spared.ok()) << spared.status();
  std::vector<std::string> decayed, all;
  for (const NamedParameter& parameter : *spared) {
    all.push_back(parameter.name);
    if (parameter.weight_decay_multiplier == 1) decayed.push_back(parameter.name);
  }
  EXPECT_EQ(all, (std::vector<std::string>{"0.weight", "0.bias", "1.weight"}));
  EXPECT_EQ(decayed, (std::vector<std::string>{"0.weight"}));
  const auto plain = NamedParameters(*module, OptimizerConfig());
  ASSERT_TRUE(plain.ok()) << plain.status();
  for (const NamedParameter& parameter : *plain) {
    EXPECT_EQ(parameter.weight_decay_multiplier, 1);
    EXPECT_EQ(parameter.learning_rate_multiplier, 1);
  }
}

// "name: weight decay x learning rate" of every parameter of two layers, the second's bias being
// frozen; or the error.
std::vector<std::string> Multipliers(const char* config) {
  torch::nn::Sequential module(torch::nn::Conv2d(3, 4, 3), torch::nn::BatchNorm2d(4));
  module->ptr(1)->parameters()[1].set_requires_grad(false);
  const auto parameters = NamedParameters(*module, Parse<OptimizerConfig>(config));
  if (!parameters.ok()) return {std::string(parameters.status().message())};
  std::vector<std::string> texts;
  for (const NamedParameter& parameter : *parameters) {
    texts.push_back(absl::StrCat(parameter.name, ": ", parameter.weight_decay_multiplier, " x ",
                                 parameter.learning_rate_multiplier));
  }
  return texts;
}

TEST(ParameterGroups, TheFirstThatMatchesHolds) {
  using Texts = std::vector<std::string>;
  // Caffe's biases.
  EXPECT_EQ(Multipliers("group { pattern: '*.bias' learning_rate_multiplier: 2 "
                        "weight_decay_multiplier: 0 }"),
            (Texts{"0.weight: 1 x 1", "0.bias: 0 x 2", "1.weight: 1 x 1"}));
  EXPECT_EQ(Multipliers("group { pattern: '0.*' learning_rate_multiplier: 0.5 } "
                        "group { pattern: '*' weight_decay_multiplier: 3 }"),
            (Texts{"0.weight: 1 x 0.5", "0.bias: 1 x 0.5", "1.weight: 3 x 1"}));
  EXPECT_EQ(Multipliers("group { pattern: '*w*i*t' weight_decay_multiplier: 2 } "
                        "no_decay_for_biases_and_norms: true"),
            (Texts{"0.weight: 2 x 1", "0.bias: 0 x 1", "1.weight: 0 x 1"}));
  // Stars take dots, and nothing.
  EXPECT_EQ(Multipliers("group { pattern: '**0*.weight*' learning_rate_multiplier: 3 }"),
            (Texts{"0.weight: 1 x 3", "0.bias: 1 x 1", "1.weight: 1 x 1"}));
  // That of the frozen bias is no error.
  EXPECT_EQ(Multipliers("group { pattern: '1.bias' learning_rate_multiplier: 3 }"),
            (Texts{"0.weight: 1 x 1", "0.bias: 1 x 1", "1.weight: 1 x 1"}));
}

TEST(ParameterGroups, RefuseBadGroups) {
  const auto error = [](const char* config) { return Multipliers(config).front(); };
  EXPECT_EQ(error("group { pattern: '0.*' } group { pattern: 'head.*' }"),
            "optimizer.group[1].pattern: 'head.*' matches no parameter; the model's first is "
            "'0.weight'");
  // A pattern is of the whole name.
  EXPECT_EQ(error("group { pattern: 'weight' }").substr(0, 36),
            "optimizer.group[0].pattern: 'weight'");
  EXPECT_EQ(
      error("group { pattern: '0.*' } group { pattern: '0.bias' }"),
      "optimizer.group[1].pattern: '0.bias' matches only parameters that earlier groups have; "
      "put it before them");
  EXPECT_EQ(error("group { learning_rate_multiplier: 2 }").substr(0, 37),
            "optimizer.group[0].pattern: is empty;");
  EXPECT_EQ(error("group { pattern: '*' learning_rate_multiplier: -1 }"),
            "optimizer.group[0].learning_rate_multiplier: -1 must be >= 0");
  EXPECT_EQ(error("group { pattern: '*' weight_decay_multiplier: nan }"),
            "optimizer.group[0].weight_decay_multiplier: nan must be >= 0");
}

absl::StatusOr<std::unique_ptr<Schedule>> MakeSchedule(const std::string& config,
                                                       int64_t total_steps,
                                                       double steps_per_epoch = 10) {
  return CreateSchedule(Parse<ScheduleConfig>(config), {total_steps, steps_per_epoch});
}

void ExpectMultipliers(const char* config, int64_t total_steps, double base,
                       const std::vector<double>& expected, std::vector<double> steps = {}) {
  auto schedule = MakeSchedule(config, total_steps);
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  if (steps.empty()) {
    for (size_t i = 0; i < expected.size(); ++i) steps.push_back(i);
  }
  std::vector<double> actual;
  for (const double step : steps) actual.push_back(base * (*schedule)->Multiplier(step));
  golden::ExpectNear(at::tensor(actual), at::tensor(expected), config);
}

TEST(Schedules, EqualPyTorch) {
  const auto& file = Golden()["lr_schedules"];
  ExpectMultipliers("cosine {}", 20, 0.15, Numbers(file["torch_cosine_lr0_15_T20"]));
  ExpectMultipliers("constant {} warmup { steps: 10 initial_multiplier: 0.001 }", 20, 0.02,
                    Numbers(file["torch_linear_warmup_lr0_02_start0_001_iters10"]));
}

// mmcv's formula, ratio^(1 - step / steps), with values that need no rounding.
TEST(Schedules, WarmUpByAConstantFactor) {
  ExpectMultipliers("constant {} warmup { steps: 3 initial_multiplier: 0.001 shape: EXPONENTIAL }",
                    10, 1, {0.001, 0.01, 0.1, 1, 1});
  ExpectMultipliers("polynomial {} warmup { steps: 2 initial_multiplier: 0.25 shape: EXPONENTIAL }",
                    4, 2, {0.5, 1, 2, 1, 0});
}

TEST(Schedules, EqualTensorFlow) {
  const auto& file = Golden()["lr_schedules"]["tf_od_published"];
  // Its rates rise by one at each boundary; ours fall by a factor.
  const std::vector<double> rates = Numbers(file["manual_stepping"]["expected"]);
  std::vector<double> halved;
  for (const double rate : rates) halved.push_back(std::pow(0.5, rate - 1));
  ExpectMultipliers("multi_step { milestone_step: [2, 3, 7] gamma: 0.5 }", 10, 1, halved);
  ExpectMultipliers(
      "multi_step { milestone_step: [6, 8] } warmup { steps: 4 initial_multiplier: 0.2 }", 10, 0.1,
      Numbers(file["manual_stepping_warmup"]["expected"]));
  for (const char* name : {"cosine_with_warmup", "cosine_hold"}) {
    const auto& entry = file[name];
    const bool hold = entry.HasMember("hold");
    ExpectMultipliers(hold ? "cosine { hold_steps: 20 } warmup { steps: 9 initial_multiplier: 0.1 }"
                           : "cosine {} warmup { steps: 9 initial_multiplier: 0.1 }",
                      entry["total"].GetInt(), entry["base"].GetDouble(),
                      Numbers(entry["expected"]), Numbers(entry["steps"]));
  }
}

TEST(Schedules, CountEpochs) {
  // 2.5 steps an epoch: epoch 2 begins with step 5, epoch 3 in the middle of step 7.
  auto schedule = MakeSchedule("multi_step { milestone_epoch: [2, 3] }", 20, 2.5);
  ASSERT_TRUE(schedule.ok());
  EXPECT_DOUBLE_EQ((*schedule)->Multiplier(4), 1);
  EXPECT_DOUBLE_EQ((*schedule)->Multiplier(5), 0.1);
  EXPECT_DOUBLE_EQ((*schedule)->Multiplier(7), 0.1);
  EXPECT_DOUBLE_EQ((*schedule)->Multiplier(8), 0.1 * 0.1);
  // A third of an epoch a step: three steps are an epoch whatever the rounding.
  schedule = MakeSchedule("multi_step { milestone_epoch: 33 }", 120, 1.0 / 3);
  EXPECT_DOUBLE_EQ((*schedule)->Multiplier(10), 1);
  EXPECT_DOUBLE_EQ((*schedule)->Multiplier(11), 0.1);
  schedule = MakeSchedule("constant {} warmup { epochs: 2 initial_multiplier: 0.5 }", 120, 10);
  EXPECT_DOUBLE_EQ((*schedule)->Multiplier(10), 0.75);
  EXPECT_DOUBLE_EQ((*schedule)->Multiplier(20), 1);
}

TEST(Schedules, LinearAndFinalMultipliers) {
  ExpectMultipliers("polynomial { final_multiplier: 0.2 }", 4, 1, {1, 0.8, 0.6, 0.4, 0.2, 0.2});
  ExpectMultipliers("polynomial {} warmup { steps: 2 initial_multiplier: 0 }", 4, 1,
                    {0, 0.5, 1, 0.5, 0});
  ExpectMultipliers("cosine { final_multiplier: 0.5 }", 2, 1, {1, 0.75, 0.5, 0.5});
  // A run that ends within its warm-up.
  ExpectMultipliers("cosine {} warmup { steps: 10 initial_multiplier: 0 }", 3, 1, {0, 0.1, 0.2});
}

// What training relies on, and resuming: of every registered schedule.
TEST(Schedules, ArePureFiniteAndInRange) {
  constexpr int64_t kSteps = 60;
  for (std::string config : Defaults<ScheduleConfig>(ScheduleRegistry::Get().Names())) {
    // The only one without defaults.
    if (config == "multi_step {}") config = "multi_step { milestone_step: [7, 30] }";
    for (const char* warmup :
         {"", " warmup { steps: 10 }", " warmup { steps: 100 shape: EXPONENTIAL }"}) {
      const auto schedule = MakeSchedule(config + warmup, kSteps);
      const auto resumed = MakeSchedule(config + warmup, kSteps);
      ASSERT_TRUE(schedule.ok() && resumed.ok()) << schedule.status();
      // Also beyond the run's end.
      std::vector<double> multipliers;
      for (int64_t step = 0; step < 2 * kSteps; ++step) {
        multipliers.push_back((*schedule)->Multiplier(step));
        EXPECT_TRUE(std::isfinite(multipliers.back())) << config << warmup << " at " << step;
        EXPECT_GE(multipliers.back(), 0) << config << warmup << " at " << step;
        EXPECT_LE(multipliers.back(), 1) << config << warmup << " at " << step;
      }
      // Backwards, by another: nothing hangs on what was asked before.
      for (int64_t step = 2 * kSteps; step-- > 0;) {
        EXPECT_EQ((*resumed)->Multiplier(step), multipliers[static_cast<size_t>(step)])
            << config << warmup << " at " << step;
      }
    }
  }
}

TEST(Schedules, RefuseBadOptions) {
  for (const char* config :
       {"", "multi_step {}", "multi_step { milestone_step: 1 milestone_epoch: 2 }",
        "multi_step { milestone_step: [3, 2] }", "multi_step { milestone_epoch: nan }",
        "multi_step { milestone_step: 0 }", "multi_step { milestone_step: 1 gamma: 0 }",
        "cosine { final_multiplier: 2 }", "cosine { hold_steps: -1 }",
        "polynomial { final_multiplier: nan }", "constant {} warmup {}",
        "constant {} warmup { steps: -1 }", "constant {} warmup { epochs: inf }",
        "constant {} warmup { steps: 3 initial_multiplier: -1 }",
        "constant {} warmup { steps: 3 initial_multiplier: 0 shape: EXPONENTIAL }"}) {
    EXPECT_EQ(MakeSchedule(config, 10).status().code(), absl::StatusCode::kInvalidArgument)
        << config;
  }
}

}  // namespace
}  // namespace ssd
