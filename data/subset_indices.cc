#include "data/subset_indices.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/random.h"

namespace ssd {

absl::StatusOr<std::vector<int64_t>> SubsetIndices(int64_t size, const Subset& subset,
                                                   absl::string_view field,
                                                   absl::string_view item) {
  // NaN fails the comparison too.
  if (!(0 <= subset.from() && subset.from() < subset.to() && subset.to() <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " { from: ", subset.from(), " to: ", subset.to(),
                     " }: a part needs 0 <= from < to <= 1, e.g. { from: 0 to: 0.8 }"));
  }
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  if (subset.has_shuffle_seed()) {
    constexpr uint64_t kStream = 0x736875666664;  // no epoch's number: transforms draw from those
    Random random(subset.shuffle_seed(), kStream, 0);
    for (int64_t last = size - 1; last > 0; --last) {  // Fisher and Yates
      std::swap(order[last], order[random.Integer(0, last)]);
    }
  }
  const auto begin = std::llround(subset.from() * static_cast<double>(size));
  const auto end = std::llround(subset.to() * static_cast<double>(size));
  if (begin == end) {
    return absl::InvalidArgumentError(absl::StrCat(field, " { from: ", subset.from(),
                                                   " to: ", subset.to(), " } of ", size, " ", item,
                                                   " holds none; take a larger part"));
  }
  return std::vector<int64_t>(order.begin() + begin, order.begin() + end);
}

}  // namespace ssd
