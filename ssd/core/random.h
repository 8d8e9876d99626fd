#ifndef SSD_CORE_RANDOM_H_
#define SSD_CORE_RANDOM_H_

#include <array>
#include <cstdint>

namespace ssd {

// One block of Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
// 2011).
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A counter-based generator (Philox4x32-10; Salmon et al., SC 2011): its stream is a pure function
// of its key, so what is random for sample (seed, epoch, index) is the same for any number of
// threads. Satisfies UniformRandomBitGenerator, but use the methods: std distributions differ
// between standard libraries. Not for cryptography.
class Random {
 public:
  using result_type = uint32_t;

  // Three words of key: for samples (seed, epoch, index).
  Random(uint64_t seed, uint64_t stream, uint64_t index);

  // The next 32 uniform bits.
  uint32_t operator()();
  static constexpr uint32_t min() { return 0; }
  static constexpr uint32_t max() { return 0xffffffffu; }

  // Uniform in [0, 1), 53 bits.
  double Uniform();
  // Uniform in [low, high).
  double Uniform(double low, double high) { return low + (high - low) * Uniform(); }
  // Uniform integer in [low, high], without modulo bias. Precondition: low <= high.
  int64_t Integer(int64_t low, int64_t high);
  // True with the given probability; always consumes the same amount of the stream.
  bool Bernoulli(double probability) { return Uniform() < probability; }
  // Standard normal (Box-Muller).
  double Normal();

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_;
  int next_in_block_ = 4;
};

}  // namespace ssd

#endif  // SSD_CORE_RANDOM_H_
