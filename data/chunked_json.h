#ifndef DATA_CHUNKED_JSON_H_
#define DATA_CHUNKED_JSON_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/strings/string_view.h"

namespace ssd {

// RapidJSON's input stream, over a buffer that is filled again and again, which can skip a value
// without the reader's looking at its bytes: nine tenths of a COCO file are polygons. Checks of
// what it skips no more than brackets and quotes.
class ChunkedJson {
 public:
  using Ch = char;
  // Puts up to `size` bytes into `buffer` and returns how many; 0 at the end, ever again.
  using Source = std::function<size_t(char* buffer, size_t size)>;

  // What is skipped nests no deeper; readers, which recurse, should go no deeper either.
  static constexpr int kDeepest = 100;

  ChunkedJson(Source source, size_t chunk_bytes);
  ChunkedJson(const ChunkedJson&) = delete;
  ChunkedJson& operator=(const ChunkedJson&) = delete;

  // A source whose bytes must outlive it.
  static Source InMemory(absl::string_view json);

  // The next byte; NUL at the end, where the byte behind the chunk is one.
  char Peek() const { return *cursor_; }
  char Take() {
    const char byte = *cursor_;
    if (cursor_ != end_ && ++cursor_ == end_) Refill();
    return byte;
  }
  size_t Tell() const { return static_cast<size_t>(offset_ + (cursor_ - start_)); }

  // What the reader writes to when it works in place, which it does not here.
  char* PutBegin() { return nullptr; }
  void Put(char) {}
  void Flush() {}
  size_t PutEnd(char*) { return 0; }

  // The place of the next byte, from 1.
  int64_t Line() {
    CountLines(cursor_);
    return lines_ + 1;
  }
  int64_t Column() {
    CountLines(cursor_);
    return static_cast<int64_t>(Tell()) - line_start_ + 1;
  }

  // Behind a key: goes over the colon and a value that is a string, a list or an object, and leaves
  // the reader `:""` to read in its place; other values are left to the reader. False if the value
  // has no end, brackets that do not match, or nests deeper than kDeepest.
  bool SkipValue();

 private:
  void Refill();
  // Line ends up to `to` that are not counted yet.
  void CountLines(const char* to);
  // Puts `text` in front of the next byte, over bytes that were read.
  void Unread(absl::string_view text);
  void SkipSpace();
  // Goes to the next byte of `set`, which holds NUL; false at the end of the file.
  bool FindOneOf(const std::array<bool, 256>& set);
  // The rest of a string, its quote included.
  bool SkipString();
  // A list or an object.
  bool SkipNested();

  const Source source_;
  std::vector<char> buffer_;  // headroom, a chunk, NUL
  char* start_;               // of the chunk
  char* cursor_;              // the next byte; in the headroom after Unread
  char* end_;                 // of the chunk; the cursor is there at the end of the file only
  int64_t offset_ = 0;        // of start_ in the file
  const char* counted_;       // line ends before it are in lines_
  int64_t lines_ = 0;
  int64_t line_start_ = 0;  // in the file
};

}  // namespace ssd

#endif  // DATA_CHUNKED_JSON_H_
