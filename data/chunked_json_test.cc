#include "data/chunked_json.h"

#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ssd {
namespace {

// Chunk sizes at whose ends every byte of `text` lies once, and one that holds it whole.
std::vector<size_t> ChunkSizes(absl::string_view text) {
  std::vector<size_t> sizes;
  for (size_t size = 1; size <= text.size() + 1; ++size) sizes.push_back(size);
  return sizes;
}

std::string Rest(ChunkedJson& stream) {
  std::string rest;
  while (stream.Peek() != '\0') rest.push_back(stream.Take());
  return rest;
}

TEST(ChunkedJsonTest, GivesTheReaderWhatIsInTheFile) {
  const std::string text =
      "{\"images\": [{\"id\": 12, \"name\": \"\\u00e9 \\\"a\\\"\"}, []],\n\t\"x\": -1.5e3, \"y\": "
      "null}";
  rapidjson::Document whole;
  whole.Parse(text.data(), text.size());
  ASSERT_FALSE(whole.HasParseError());
  for (const size_t chunk : ChunkSizes(text)) {
    ChunkedJson stream(ChunkedJson::InMemory(text), chunk);
    rapidjson::Document streamed;
    streamed.ParseStream(stream);
    EXPECT_FALSE(streamed.HasParseError()) << chunk;
    EXPECT_TRUE(streamed == whole) << chunk;
    EXPECT_EQ(stream.Tell(), text.size()) << chunk;
    EXPECT_EQ(stream.Take(), '\0') << chunk;  // there it stays
    EXPECT_EQ(stream.Tell(), text.size()) << chunk;
  }
}

TEST(ChunkedJsonTest, TellsTheNextBytesPlace) {
  const std::string text = "{\n  \"a\": [1,\r\n\n 2],\n\"b\": 3}\n";
  for (const size_t chunk : ChunkSizes(text)) {
    ChunkedJson stream(ChunkedJson::InMemory(text), chunk);
    for (size_t taken = 0; taken <= text.size(); ++taken) {
      const std::string before = text.substr(0, taken);
      const size_t line_end = before.rfind('\n');
      const size_t line_start = line_end == std::string::npos ? 0 : line_end + 1;
      EXPECT_EQ(stream.Line(), 1 + std::count(before.begin(), before.end(), '\n')) << chunk;
      EXPECT_EQ(stream.Column(), static_cast<int64_t>(taken - line_start + 1)) << chunk;
      EXPECT_EQ(stream.Tell(), taken) << chunk;
      stream.Take();
    }
  }
}

TEST(ChunkedJsonTest, SkipsStringsListsAndObjectsAndLeavesTheRest) {
  struct Case {
    std::string text, rest;
  };
  const std::vector<Case> cases = {
      {": [[1, 2.5], [], [{}]], 7", ":\"\", 7"},
      {" :\n{\"a\": [\"}]\", \"\\\"]\"], \"b\": {\"c\": null}}}", ":\"\"}"},
      {":\"a, \\\"b\\\" \\\\\", 7", ":\"\", 7"},
      {":\"\"}", ":\"\"}"},
      {": -1.5e3, 7", ":-1.5e3, 7"},
      {": null}", ":null}"},
      {", 7", ", 7"},  // no value: the reader says so
  };
  for (const Case& c : cases) {
    for (const size_t chunk : ChunkSizes(c.text)) {
      ChunkedJson stream(ChunkedJson::InMemory(c.text), chunk);
      EXPECT_TRUE(stream.SkipValue()) << c.text << " by " << chunk;
      EXPECT_EQ(Rest(stream), c.rest) << c.text << " by " << chunk;
    }
  }
}

TEST(ChunkedJsonTest, RefusesValuesWithoutEndOrTooDeep) {
  constexpr size_t kDeepest = ChunkedJson::kDeepest;
  const std::string deepest = ":" + std::string(kDeepest, '[') + std::string(kDeepest, ']');
  EXPECT_TRUE(ChunkedJson(ChunkedJson::InMemory(deepest), 64).SkipValue());
  const std::vector<std::string> bad = {
      ": [1, 2",
      ": [1}",
      ": {\"a\": [}]",
      ": {\"a\": \"b",
      ": \"never",
      ": \"never\\",
      ": \"never\\\"",
      std::string(": [1\0]", 6),
      std::string(": \"a\0\"", 6),
      ":" + std::string(kDeepest + 1, '[') + std::string(kDeepest + 1, ']'),
  };
  for (const std::string& text : bad) {
    for (const size_t chunk : ChunkSizes(text)) {
      ChunkedJson stream(ChunkedJson::InMemory(text), chunk);
      EXPECT_FALSE(stream.SkipValue()) << text << " by " << chunk;
    }
  }
}

TEST(ChunkedJsonTest, CountsTheLinesThatItSkips) {
  const std::string text = ":[\n\n1]\n,2";
  for (const size_t chunk : ChunkSizes(text)) {
    ChunkedJson stream(ChunkedJson::InMemory(text), chunk);
    ASSERT_TRUE(stream.SkipValue());
    EXPECT_EQ(stream.Line(), 3) << chunk;
    for (const char byte : {':', '"', '"'}) EXPECT_EQ(stream.Take(), byte) << chunk;
    EXPECT_EQ(stream.Line(), 3) << chunk;
    EXPECT_EQ(stream.Column(), 3) << chunk;
    EXPECT_EQ(stream.Take(), '\n') << chunk;
    EXPECT_EQ(stream.Line(), 4) << chunk;
    EXPECT_EQ(stream.Column(), 1) << chunk;
  }
}

}  // namespace
}  // namespace ssd
