#include "data/tiff_directory.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

constexpr int kAscii = 2, kShort = 3, kLong = 4, kLong8 = 16;

struct Field {
  int tag;
  int type;
  std::vector<uint64_t> values;
};

// A structure of these fields as TIFF 6.0, section 2, or BigTIFF says: header, directory, the
// values that do not fit into their entries.
class Writer {
 public:
  Writer(bool little, bool big) : little_(little), big_(big) {}

  std::string Write(const std::vector<Field>& fields) const {
    const size_t offset_size = big_ ? 8 : 4;
    const size_t directory = big_ ? 16 : 8;
    const size_t entry_size = 4 + 2 * offset_size;
    // The offset of the next directory, which there is none of, ends the directory.
    const size_t end = directory + (big_ ? 8 : 2) + fields.size() * entry_size + offset_size;
    std::string head = little_ ? "II" : "MM";
    head += big_ ? Number(43, 2) + Number(8, 2) + Number(0, 2) : Number(42, 2);
    head += Number(directory, offset_size) + Number(fields.size(), big_ ? 8 : 2);
    std::string rest;
    for (const Field& field : fields) {
      std::string values;
      for (const uint64_t value : field.values) values += Number(value, SizeOf(field.type));
      head += Number(static_cast<uint64_t>(field.tag), 2) +
              Number(static_cast<uint64_t>(field.type), 2) +
              Number(field.values.size(), offset_size);
      if (values.size() <= offset_size) {
        head += values + std::string(offset_size - values.size(), '\0');
      } else {
        head += Number(end + rest.size(), offset_size);
        rest += values;
      }
    }
    return head + Number(0, offset_size) + rest;
  }

 private:
  static size_t SizeOf(int type) {
    return type == kAscii ? 1 : type == kShort ? 2 : type == kLong ? 4 : 8;
  }

  std::string Number(uint64_t value, size_t size) const {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) {
      const size_t shift = 8 * (little_ ? i : size - 1 - i);
      bytes.push_back(static_cast<char>(value >> shift & 0xff));
    }
    return bytes;
  }

  const bool little_;
  const bool big_;
};

const std::vector<Field>& Fields() {
  static const auto* const fields = new std::vector<Field>{
      {TiffDirectory::kImageWidth, kLong, {70000}},
      {TiffDirectory::kImageLength, kShort, {480}},
      {TiffDirectory::kBitsPerSample, kShort, {8, 9, 10, 11, 12}},
      {TiffDirectory::kStripOffsets, kLong, {1, 4000000000, 3}},
      {TiffDirectory::kOrientation, kShort, {6}},
      {TiffDirectory::kColorMap, kAscii, {'a', 'b'}},
      {TiffDirectory::kTileOffsets, kLong8, {uint64_t{1} << 40}},
  };
  return *fields;
}

TEST(TiffDirectoryTest, ReadsNumbersInEveryForm) {
  for (const bool big : {false, true}) {
    for (const bool little : {false, true}) {
      SCOPED_TRACE(absl::StrCat(big ? "BigTIFF" : "TIFF", little ? " II" : " MM"));
      const std::string tiff = Writer(little, big).Write(Fields());
      const auto directory = TiffDirectory::Open(tiff);
      ASSERT_TRUE(directory.has_value());
      EXPECT_TRUE(directory->IsWhole());
      for (const Field& field : Fields()) {
        EXPECT_TRUE(directory->Has(field.tag)) << field.tag;
        const std::vector<uint64_t> expected =
            field.type == kAscii ? std::vector<uint64_t>() : field.values;
        EXPECT_EQ(directory->Numbers(field.tag), expected) << field.tag;
      }
      EXPECT_FALSE(directory->Has(TiffDirectory::kTileByteCounts));
      EXPECT_TRUE(directory->Numbers(TiffDirectory::kTileByteCounts).empty());

      EXPECT_EQ(directory->Orientation(), 6);
    }
  }
}

TEST(TiffDirectoryTest, SetsTheFirstNumberOfATag) {
  for (const bool big : {false, true}) {
    for (const bool little : {false, true}) {
      SCOPED_TRACE(absl::StrCat(big ? "BigTIFF" : "TIFF", little ? " II" : " MM"));
      const std::string tiff = Writer(little, big).Write(Fields());
      const auto directory = TiffDirectory::Open(tiff);
      ASSERT_TRUE(directory.has_value());
      for (const Field& changed : Fields()) {
        std::string copy = tiff;
        directory->SetFirst(changed.tag, 1, copy);
        const auto of_copy = TiffDirectory::Open(copy);
        ASSERT_TRUE(of_copy.has_value());
        for (const Field& field : Fields()) {
          std::vector<uint64_t> expected = directory->Numbers(field.tag);
          if (field.tag == changed.tag && !expected.empty()) expected.front() = 1;
          EXPECT_EQ(of_copy->Numbers(field.tag), expected) << field.tag;
        }
        EXPECT_EQ(of_copy->Orientation(), changed.tag == TiffDirectory::kOrientation ? 1 : 6);
      }
      std::string copy = tiff;
      directory->SetFirst(TiffDirectory::kTileByteCounts, 1, copy);  // there is none
      EXPECT_EQ(copy, tiff);
    }
  }
}

TEST(TiffDirectoryTest, OrientationIsUprightWhereItMakesNoSense) {
  for (const Field& field : {Field{TiffDirectory::kOrientation, kShort, {0}},
                             Field{TiffDirectory::kOrientation, kShort, {9}},
                             Field{TiffDirectory::kOrientation, kLong, {6}},
                             Field{TiffDirectory::kImageWidth, kShort, {6}}}) {
    const std::string tiff = Writer(true, false).Write({field});
    const auto directory = TiffDirectory::Open(tiff);
    ASSERT_TRUE(directory.has_value());
    EXPECT_EQ(directory->Orientation(), 1);
  }
}

TEST(TiffDirectoryTest, TakesNothingFromBeyondTheEnd) {
  for (const bool big : {false, true}) {
    const std::string whole = Writer(true, big).Write(Fields());
    for (size_t size = 0; size < whole.size(); ++size) {
      SCOPED_TRACE(absl::StrCat(big ? "BigTIFF" : "TIFF", " cut to ", size));
      const std::string cut = whole.substr(0, size);
      const auto directory = TiffDirectory::Open(cut);
      if (!directory.has_value()) continue;
      for (const Field& field : Fields()) {
        const std::vector<uint64_t> numbers = directory->Numbers(field.tag);
        EXPECT_TRUE(numbers.empty() || numbers == field.values) << field.tag;
      }
      // An entry that is there in part is none.
      EXPECT_EQ(directory->IsWhole(), directory->Has(TiffDirectory::kTileOffsets));
    }
  }
}

TEST(TiffDirectoryTest, CountsOfAnySizeAreNoHarm) {
  for (const bool big : {false, true}) {
    const std::string tiff =
        Writer(true, big).Write({{TiffDirectory::kStripOffsets, kLong, {1, 2, 3}}});
    const size_t entry = big ? 24 : 10;
    const size_t offset_size = big ? 8 : 4;
    // The number of values, then that of entries.
    std::string many_values = tiff;
    many_values.replace(entry + 4, offset_size, offset_size, '\xff');
    EXPECT_TRUE(TiffDirectory::Open(many_values)->Numbers(TiffDirectory::kStripOffsets).empty());
    std::string many_entries = tiff;
    const size_t count_size = big ? 8 : 2;
    many_entries.replace(entry - count_size, count_size, count_size, '\xff');
    const auto directory = TiffDirectory::Open(many_entries);
    ASSERT_TRUE(directory.has_value());
    EXPECT_FALSE(directory->IsWhole());
    EXPECT_FALSE(directory->Has(TiffDirectory::kTileOffsets));
  }
}

TEST(TiffDirectoryTest, OpensNothingElse) {
  const std::string tiff = Writer(true, false).Write(Fields());
  for (const std::string& other :
       {std::string(), std::string("II"), "XX" + tiff.substr(2), "MM" + tiff.substr(2),
        tiff.substr(0, 2) + "\x2c" + tiff.substr(3), tiff.substr(0, 4) + std::string(4, '\0'),
        tiff.substr(0, 4) + std::string(4, '\x7f')}) {
    EXPECT_FALSE(TiffDirectory::Open(other).has_value());
  }
}

}  // namespace
}  // namespace ssd
