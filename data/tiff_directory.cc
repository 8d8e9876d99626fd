#include "data/tiff_directory.h"

#include "absl/strings/match.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

constexpr int kShort = 3, kLong = 4, kLong8 = 16;

// Bytes of one value; 0: not a whole number.
size_t SizeOfType(int type) {
  switch (type) {
    case kShort:
      return 2;
    case kLong:
      return 4;
    case kLong8:
      return 8;
    default:
      return 0;
  }
}

}  // namespace

std::optional<TiffDirectory> TiffDirectory::Open(absl::string_view tiff) {
  constexpr int kClassic = 42, kBig = 43;
  const bool little = absl::StartsWith(tiff, "II");
  if (!little && !absl::StartsWith(tiff, "MM")) return std::nullopt;
  const uint64_t version = TiffDirectory(tiff, little, false).Number(2, 2);
  if (version != kClassic && version != kBig) return std::nullopt;
  const bool big = version == kBig;
  TiffDirectory directory(tiff, little, big);
  const uint64_t at = directory.Number(big ? 8 : 4, directory.offset_size_);
  const size_t count_size = big ? 8 : 2;
  if (at == 0 || at >= tiff.size() || tiff.size() - at < count_size) return std::nullopt;
  directory.entries_ = directory.Number(at, count_size);
  directory.first_entry_ = at + count_size;
  return directory;
}

uint64_t TiffDirectory::Number(uint64_t at, size_t size) const {
  uint64_t value = 0;
  if (at > tiff_.size() || tiff_.size() - at < size) return value;
  for (size_t i = 0; i < size; ++i) {
    const size_t byte = little_ ? at + size - 1 - i : at + i;
    value = value << 8 | static_cast<uint8_t>(tiff_[byte]);
  }
  return value;
}

bool TiffDirectory::IsWhole() const {
  return entries_ <= (tiff_.size() - first_entry_) / entry_size();
}

std::optional<TiffDirectory::Entry> TiffDirectory::Find(int tag) const {
  uint64_t at = first_entry_;
  for (uint64_t i = 0; i < entries_ && at + entry_size() <= tiff_.size(); ++i, at += entry_size()) {
    if (Number(at, 2) != static_cast<uint64_t>(tag)) continue;
    Entry entry;
    entry.type = static_cast<int>(Number(at + 2, 2));
    entry.count = Number(at + 4, offset_size_);
    entry.value = static_cast<size_t>(at + 4 + offset_size_);
    return entry;
  }
  return std::nullopt;
}

std::optional<TiffDirectory::Place> TiffDirectory::Locate(int tag) const {
  const std::optional<Entry> entry = Find(tag);
  const size_t size = entry ? SizeOfType(entry->type) : 0;
  if (size == 0 || entry->count == 0 || entry->count > tiff_.size() / size) return std::nullopt;
  uint64_t at = entry->value;
  if (entry->count * size > offset_size_) at = Number(at, offset_size_);
  if (at > tiff_.size() || tiff_.size() - at < entry->count * size) return std::nullopt;
  return Place{static_cast<size_t>(at), size, static_cast<size_t>(entry->count)};
}

std::vector<uint64_t> TiffDirectory::Numbers(int tag) const {
  const std::optional<Place> place = Locate(tag);
  if (!place) return {};
  std::vector<uint64_t> numbers;
  numbers.reserve(place->count);
  for (size_t i = 0; i < place->count; ++i) {
    numbers.push_back(Number(place->at + i * place->size, place->size));
  }
  return numbers;
}

int TiffDirectory::Orientation() const {
  const std::optional<Entry> entry = Find(kOrientation);
  const uint64_t value = entry && entry->type == kShort ? Number(entry->value, 2) : 0;
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

void TiffDirectory::SetFirst(int tag, uint64_t value, std::string& copy) const {
  CHECK_EQ(copy.size(), tiff_.size());
  const std::optional<Place> place = Locate(tag);
  if (!place) return;
  for (size_t i = 0; i < place->size; ++i) {
    const size_t byte = little_ ? i : place->size - 1 - i;
    copy[place->at + byte] = static_cast<char>(value >> (8 * i) & 0xff);
  }
}

}  // namespace ssd
