#include "data/chunked_json.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace ssd {
namespace {

// Unread writes up to so many bytes in front of the chunk.
constexpr size_t kHeadroom = 3;

constexpr std::array<bool, 256> SetOf(std::initializer_list<char> bytes) {
  std::array<bool, 256> set{};
  for (const char byte : bytes) set[static_cast<unsigned char>(byte)] = true;
  return set;
}

}  // namespace

ChunkedJson::ChunkedJson(Source source, size_t chunk_bytes)
    : source_(std::move(source)), buffer_(kHeadroom + std::max<size_t>(chunk_bytes, 1) + 1) {
  start_ = cursor_ = end_ = buffer_.data() + kHeadroom;
  counted_ = start_;
  Refill();
}

ChunkedJson::Source ChunkedJson::InMemory(absl::string_view json) {
  return [json](char* buffer, size_t size) mutable {
    const size_t copied = json.copy(buffer, size);
    json.remove_prefix(copied);
    return copied;
  };
}

bool ChunkedJson::SkipValue() {
  SkipSpace();
  if (Peek() != ':') return true;  // the reader says so
  Take();
  SkipSpace();
  const char first = Peek();
  if (first != '"' && first != '[' && first != '{') {
    Unread(":");
    return true;
  }
  if (first == '"') Take();
  if (!(first == '"' ? SkipString() : SkipNested())) return false;
  Unread(":\"\"");
  return true;
}

void ChunkedJson::Refill() {
  CountLines(end_);
  offset_ += end_ - start_;
  const size_t size = source_(start_, buffer_.size() - kHeadroom - 1);
  cursor_ = start_;
  counted_ = start_;
  end_ = start_ + size;
  *end_ = '\0';
}

void ChunkedJson::CountLines(const char* to) {
  if (to <= counted_) return;
  const absl::string_view bytes(counted_, static_cast<size_t>(to - counted_));
  const int64_t lines = std::count(bytes.begin(), bytes.end(), '\n');
  if (lines > 0) {
    lines_ += lines;
    line_start_ = offset_ + (counted_ - start_) + static_cast<int64_t>(bytes.rfind('\n')) + 1;
  }
  counted_ = to;
}

void ChunkedJson::Unread(absl::string_view text) {
  CountLines(cursor_);
  cursor_ -= text.size();
  std::copy(text.begin(), text.end(), cursor_);
}

void ChunkedJson::SkipSpace() {
  while (Peek() == ' ' || Peek() == '\n' || Peek() == '\r' || Peek() == '\t') Take();
}

bool ChunkedJson::FindOneOf(const std::array<bool, 256>& set) {
  for (;;) {
    while (!set[static_cast<unsigned char>(*cursor_)]) ++cursor_;
    if (cursor_ != end_) return true;
    Refill();
    if (cursor_ == end_) return false;
  }
}

bool ChunkedJson::SkipString() {
  static constexpr std::array<bool, 256> kStops = SetOf({'"', '\\', '\0'});
  while (FindOneOf(kStops)) {
    const char byte = Take();
    if (byte == '"') return true;
    if (byte == '\0') return false;
    Take();  // what the backslash escapes
  }
  return false;
}

bool ChunkedJson::SkipNested() {
  static constexpr std::array<bool, 256> kStops = SetOf({'"', '[', ']', '{', '}', '\0'});
  std::array<char, kDeepest> closing = {};
  size_t depth = 0;
  do {
    if (!FindOneOf(kStops)) return false;
    const char byte = Take();
    switch (byte) {
      case '[':
      case '{':
        if (depth == closing.size()) return false;
        closing[depth++] = byte == '[' ? ']' : '}';
        break;
      case ']':
      case '}':
        if (closing[--depth] != byte) return false;
        break;
      case '"':
        if (!SkipString()) return false;
        break;
      default:
        return false;
    }
  } while (depth > 0);
  return true;
}

}  // namespace ssd
