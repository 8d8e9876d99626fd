#ifndef SSD_MATCHERS_MATCHER_H_
#define SSD_MATCHERS_MATCHER_H_

#include <cstdint>

#include "ssd/core/registry.h"
#include "ssd/core/types.h"
#include "ssd/matchers/matcher.pb.h"

namespace ssd {

struct MatcherContext {};

// Decides which truth each anchor answers for. Does not encode boxes and does not choose negatives.
class Matcher {
 public:
  static constexpr int64_t kUnmatched = -1;
  static constexpr int64_t kIgnored = -2;

  virtual ~Matcher() = default;

  // Returns [B, A] i64 on the truth's device: a row of the truth (0..G-1), kUnmatched (background)
  // or kIgnored (takes no part in the loss). Padding (label 0) and truths with `ignore` are never
  // matched. Independent between images; never synchronises with the host.
  virtual Tensor Match(const Truth& truth, const Anchors& anchors) const = 0;
};

using MatcherRegistry = Registry<Matcher, MatcherContext>;

}  // namespace ssd

#define SSD_REGISTER_MATCHER(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::Matcher, ::ssd::MatcherContext, Options, Component)

#endif  // SSD_MATCHERS_MATCHER_H_
