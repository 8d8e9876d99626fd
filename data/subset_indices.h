#ifndef DATA_SUBSET_INDICES_H_
#define DATA_SUBSET_INDICES_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/data.pb.h"

namespace ssd {

// Which of `size` items `subset` takes, in its order: positions round(from * size) to
// round(to * size) - 1 of the file's order or of the seed's shuffle. Parts that meet at the same
// number ({to: 0.8} and {from: 0.8}) and have the same seed share nothing and leave nothing out.
// `field` and `item` ("images") stand in messages.
// \error InvalidArgument unless 0 <= from < to <= 1, or if the part holds no item.
absl::StatusOr<std::vector<int64_t>> SubsetIndices(int64_t size, const Subset& subset,
                                                   absl::string_view field, absl::string_view item);

}  // namespace ssd

#endif  // DATA_SUBSET_INDICES_H_
