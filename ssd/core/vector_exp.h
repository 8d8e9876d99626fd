#ifndef SSD_CORE_VECTOR_EXP_H_
#define SSD_CORE_VECTOR_EXP_H_

#include <cstdint>
#include <cstring>

namespace ssd {

// exp(x) for -87 <= x <= 88, to a relative error of 2e-7; outside the result is meaningless. Has no
// branch and calls nothing, so that loops over it vectorise, which std::exp does not.
//
//   exp(x) = 2^n exp(r),  n = round(x / ln 2),  |r| <= ln 2 / 2
//
// with the polynomial of Cephes' expf (Moshier, netlib.org/cephes).
inline float VectorExp(float x) {
  // Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits.
  constexpr float kRound = 12582912.0f;
  const float shifted = x * 1.44269504088896341f + kRound;
  const float n = shifted - kRound;
  // ln 2 in two parts, the first exact in few bits.
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits + 127u) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof(power));
  return p * power;
}

}  // namespace ssd

#endif  // SSD_CORE_VECTOR_EXP_H_
