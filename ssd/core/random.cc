#include "ssd/core/random.h"

#include <cmath>

#include "ssd/core/logging.h"

namespace ssd {
namespace {

struct Product {
  uint32_t high, low;
};

Product Multiply(uint32_t a, uint32_t b) {
  const uint64_t product = uint64_t{a} * b;
  return {static_cast<uint32_t>(product >> 32), static_cast<uint32_t>(product)};
}

// A bijection of 64 bits that spreads every input bit (the finalizer of SplitMix64).
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const Product p = Multiply(0xd2511f53u, counter[0]);
    const Product q = Multiply(0xcd9e8d57u, counter[2]);
    counter = {q.high ^ counter[1] ^ key[0], q.low, p.high ^ counter[3] ^ key[1], p.low};
    key[0] += 0x9e3779b9u;
    key[1] += 0xbb67ae85u;
  }
  return counter;
}

// Philox has 64 bits of key and 128 of counter: the seed and the stream make the key, the index is
// the counter's upper half, and its lower half counts the blocks of this stream.
Random::Random(uint64_t seed, uint64_t stream, uint64_t index) {
  const uint64_t key = Mix(Mix(seed) + 0x9e3779b97f4a7c15u * (stream + 1));
  key_ = {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)};
  counter_ = {0, 0, static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32)};
  block_ = {};
}

uint32_t Random::operator()() {
  if (next_in_block_ == 4) {
    block_ = Philox4x32(counter_, key_);
    if (++counter_[0] == 0) ++counter_[1];
    next_in_block_ = 0;
  }
  return block_[next_in_block_++];
}

double Random::Uniform() {
  const uint64_t high = (*this)();
  const uint64_t low = (*this)();
  return static_cast<double>(((high << 32) | low) >> 11) * 0x1p-53;
}

int64_t Random::Integer(int64_t low, int64_t high) {
  CHECK_LE(low, high);
  const uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);  // count - 1
  const auto bits = [this] {
    const uint64_t upper = (*this)();
    return (upper << 32) | (*this)();
  };
  uint64_t drawn = bits();
  if (span != UINT64_MAX) {
    // Draws below 2^64 mod count would favour the first values: they are drawn again.
    const uint64_t count = span + 1;
    const uint64_t rejected = (0 - count) % count;
    while (drawn < rejected) drawn = bits();
    drawn %= count;
  }
  return static_cast<int64_t>(static_cast<uint64_t>(low) + drawn);
}

double Random::Normal() {
  // 1 - u lies in (0, 1], where the logarithm is finite.
  const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
  return radius * std::cos(2 * M_PI * Uniform());
}

}  // namespace ssd
