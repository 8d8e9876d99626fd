#include "ssd/core/random_state.h"

#include <ATen/Context.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <gtest/gtest.h>

namespace ssd {
namespace {

TEST(RandomState, GoesBack) {
  at::manual_seed(5);
  const Tensor state = RandomState(at::kCPU);
  const Tensor first = at::rand({10});
  SetRandomState(at::kCPU, state);
  EXPECT_TRUE(at::equal(at::rand({10}), first));
}

TEST(RandomStateScope, LeavesNoTrace) {
  at::manual_seed(5);
  const Tensor first = at::rand({10});
  at::manual_seed(5);
  {
    const RandomStateScope scope;
    at::rand({3});
  }
  EXPECT_TRUE(at::equal(at::rand({10}), first));
}

}  // namespace
}  // namespace ssd
