#ifndef DATA_TIFF_DIRECTORY_H_
#define DATA_TIFF_DIRECTORY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ssd {

// The first image file directory of a TIFF structure (TIFF 6.0, section 2; EXIF 2.32, section
// 4.6.2; BigTIFF): whole numbers by tag. Refers to the bytes. Reads no pixels.
class TiffDirectory {
 public:
  static constexpr int kImageWidth = 256;
  static constexpr int kImageLength = 257;
  static constexpr int kBitsPerSample = 258;
  static constexpr int kPhotometricInterpretation = 262;
  static constexpr int kStripOffsets = 273;
  static constexpr int kOrientation = 274;
  static constexpr int kSamplesPerPixel = 277;
  static constexpr int kStripByteCounts = 279;
  static constexpr int kColorMap = 320;
  static constexpr int kTileOffsets = 324;
  static constexpr int kTileByteCounts = 325;
  static constexpr int kExtraSamples = 338;
  static constexpr int kSampleFormat = 339;

  // nullopt: no TIFF structure, or one that ends before its directory.
  static std::optional<TiffDirectory> Open(absl::string_view tiff);

  // Whether all entries are there.
  bool IsWhole() const;

  bool Has(int tag) const { return Find(tag).has_value(); }

  // The values of a tag of type SHORT, LONG or LONG8. Empty: it is not there, of another type, or
  // cut off.
  std::vector<uint64_t> Numbers(int tag) const;

  // 1..8; 1 where there is none, or none that makes sense.
  int Orientation() const;

  // Sets the first of the tag's numbers, if there is one, in `copy`, a copy of the structure.
  // Preconditions: `copy` is as long as the structure; `value` fits the tag's type (SHORT: 16 bits,
  // LONG: 32, LONG8: 64).
  void SetFirst(int tag, uint64_t value, std::string& copy) const;

 private:
  struct Entry {
    int type = 0;
    uint64_t count = 0;
    size_t value = 0;  // its place, or that of its offset
  };
  // Of the numbers of a tag, one after another.
  struct Place {
    size_t at = 0;
    size_t size = 0;  // of a number
    size_t count = 0;
  };

  TiffDirectory(absl::string_view tiff, bool little, bool big) : tiff_(tiff), little_(little) {
    if (big) offset_size_ = 8;
  }

  size_t entry_size() const { return 4 + 2 * offset_size_; }  // tag, type, count, value
  // An unsigned number of `size` bytes; past the end reads as 0.
  uint64_t Number(uint64_t at, size_t size) const;
  std::optional<Entry> Find(int tag) const;
  // nullopt: the tag has no numbers.
  std::optional<Place> Locate(int tag) const;

  absl::string_view tiff_;
  bool little_ = false;
  size_t offset_size_ = 4;  // bytes; BigTIFF: 8
  uint64_t entries_ = 0;
  uint64_t first_entry_ = 0;
};

}  // namespace ssd

#endif  // DATA_TIFF_DIRECTORY_H_
