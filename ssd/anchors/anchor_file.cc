#include "ssd/anchors/anchor_file.h"

#include <ATen/ops/empty.h>
#include <rapidjson/document.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

// Values are copied as they stand in memory; both formats have them little-endian.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a big-endian processor");

namespace ssd {
namespace {

constexpr char kNpyEnding[] = ".npy";
constexpr char kSafetensorsEnding[] = ".safetensors";
constexpr absl::string_view kNpyMagic("\x93NUMPY", 6);
constexpr char kTensorName[] = "anchors";

absl::Status Wrong(const std::string& path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

absl::Status CutOff(const std::string& path) {
  return absl::DataLossError(absl::StrCat(path, ": the file is cut off, or longer than it says"));
}

absl::Status WrongEnding(const std::string& path) {
  return Wrong(path, absl::StrCat("the name must end in ", kNpyEnding, " or ", kSafetensorsEnding));
}

// What a file's header says.
struct Header {
  std::string type;  // as the format names it
  std::vector<int64_t> shape;
};

uint64_t LittleEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

std::string LittleEndianBytes(uint64_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return bytes;
}

template <typename Value>
void CopyAsFloat(absl::string_view data, float* out) {
  for (size_t i = 0; i < data.size() / sizeof(Value); ++i) {
    Value value;
    std::memcpy(&value, data.data() + i * sizeof(Value), sizeof(Value));
    out[i] = static_cast<float>(value);
  }
}

// The values that follow the header, as boxes. `is_double`: float64 rather than float32.
absl::StatusOr<Tensor> Boxes(const std::string& path, const std::vector<int64_t>& shape,
                             bool is_double, absl::string_view data) {
  if (shape.size() != 2 || shape[0] <= 0 || shape[1] != 4) {
    return Wrong(path, absl::StrCat("its shape is [", absl::StrJoin(shape, ", "),
                                    "]; boxes are [A, 4] (cx, cy, w, h)"));
  }
  const uint64_t row_size = 4 * (is_double ? sizeof(double) : sizeof(float));
  if (data.size() % row_size != 0 || data.size() / row_size != static_cast<uint64_t>(shape[0])) {
    return CutOff(path);
  }
  const Tensor boxes = at::empty({shape[0], 4}, at::kFloat);
  float* const values = boxes.mutable_data_ptr<float>();
  is_double ? CopyAsFloat<double>(data, values) : CopyAsFloat<float>(data, values);
  for (int64_t i = 0; i < 4 * shape[0]; ++i) {
    const bool is_size = i % 4 >= 2;
    if (!std::isfinite(values[i]) || (is_size && values[i] <= 0)) {
      return Wrong(path, absl::StrCat("box ", i / 4, " (from 0) has ", values[i], " for its ",
                                      is_size ? "width or height, which must be > 0"
                                              : "centre, which must be finite"));
    }
  }
  return boxes;
}

// Reads the header of a .npy file: a Python dictionary with the keys descr, fortran_order and
// shape.
class NpyHeaderReader {
 public:
  explicit NpyHeaderReader(absl::string_view text) : rest_(text) {}

  // False if the text is not such a dictionary.
  bool Read(Header& header, bool& fortran_order) {
    int keys = 0;
    if (!Take('{')) return false;
    while (!Take('}')) {
      std::string key;
      if (!ReadString(key) || !Take(':')) return false;
      if (key == "descr"           ? !ReadString(header.type)
          : key == "fortran_order" ? !ReadBool(fortran_order)
                                   : key != "shape" || !ReadShape(header.shape)) {
        return false;
      }
      ++keys;
      if (!Take(',') && !Peek('}')) return false;
    }
    SkipSpace();
    return keys == 3 && rest_.empty();
  }

 private:
  void SkipSpace() {
    const size_t first = rest_.find_first_not_of(" \n\t");
    rest_.remove_prefix(first == absl::string_view::npos ? rest_.size() : first);
  }
  bool Peek(char wanted) {
    SkipSpace();
    return !rest_.empty() && rest_[0] == wanted;
  }
  bool Take(char wanted) {
    if (!Peek(wanted)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool ReadString(std::string& value) {
    if (!Peek('\'') && !Peek('"')) return false;
    const size_t end = rest_.find(rest_[0], 1);
    if (end == absl::string_view::npos) return false;
    value = std::string(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return true;
  }
  bool ReadBool(bool& value) {
    SkipSpace();
    for (const absl::string_view word : {"True", "False"}) {
      if (!absl::StartsWith(rest_, word)) continue;
      value = word == "True";
      rest_.remove_prefix(word.size());
      return true;
    }
    return false;
  }
  bool ReadShape(std::vector<int64_t>& shape) {
    if (!Take('(')) return false;
    while (!Take(')')) {
      SkipSpace();
      const absl::string_view digits = rest_.substr(0, rest_.find_first_not_of("0123456789"));
      int64_t size = 0;
      if (!absl::SimpleAtoi(digits, &size)) return false;
      shape.push_back(size);
      rest_.remove_prefix(digits.size());
      if (!Take(',') && !Peek(')')) return false;
    }
    return true;
  }

  absl::string_view rest_;
};

absl::StatusOr<Tensor> ReadNpy(const std::string& path, absl::string_view content) {
  if (!absl::StartsWith(content, kNpyMagic)) return Wrong(path, "this is no NumPy array file");
  content.remove_prefix(kNpyMagic.size());
  if (content.size() < 2) return CutOff(path);
  const int version = static_cast<uint8_t>(content[0]);
  if (version < 1 || version > 3) {
    return Wrong(path, absl::StrCat("version ", version, " of NumPy's format is unknown"));
  }
  content.remove_prefix(2);
  const size_t length_size = version == 1 ? 2 : 4;
  if (content.size() < length_size) return CutOff(path);
  const uint64_t length = LittleEndian(content.substr(0, length_size));
  content.remove_prefix(length_size);
  if (content.size() < length) return CutOff(path);
  Header header;
  bool fortran_order = false;
  if (!NpyHeaderReader(content.substr(0, length)).Read(header, fortran_order)) {
    return Wrong(path, "its header is not that of one array of numbers");
  }
  if (header.type != "<f4" && header.type != "<f8") {
    return Wrong(path, absl::StrCat("its numbers are '", header.type,
                                    "'; save boxes as '<f4' (numpy.float32) or '<f8'"));
  }
  if (fortran_order) {
    return Wrong(path, "it is in Fortran order; save numpy.ascontiguousarray(boxes)");
  }
  return Boxes(path, header.shape, header.type == "<f8", content.substr(length));
}

absl::StatusOr<Tensor> ReadSafetensors(const std::string& path, absl::string_view content) {
  constexpr size_t kLengthSize = 8;
  constexpr uint64_t kLongestHeader = 16'000'000;  // as of files of weights
  const absl::Status no_header = Wrong(path, "this is no safetensors file");
  if (content.size() < kLengthSize) return no_header;
  const uint64_t length = LittleEndian(content.substr(0, kLengthSize));
  content.remove_prefix(kLengthSize);
  if (length > content.size()) return no_header;
  if (length > kLongestHeader) {
    return Wrong(path, absl::StrCat("its header has ", length, " bytes, more than any file's"));
  }
  rapidjson::Document json;
  // Iterative: a header of brackets alone must not use up the stack.
  json.Parse<rapidjson::kParseIterativeFlag>(content.data(), length);
  if (json.HasParseError() || !json.IsObject()) return no_header;
  const rapidjson::Value* tensor = nullptr;
  int count = 0;
  for (const auto& member : json.GetObject()) {
    if (absl::string_view(member.name.GetString()) == "__metadata__") continue;
    tensor = &member.value;
    ++count;
  }
  if (count != 1) {
    return Wrong(path, absl::StrCat("it has ", count, " tensors; boxes are one [A, 4] tensor"));
  }
  const auto is_list = [&](const char* key) {
    if (!tensor->HasMember(key) || !(*tensor)[key].IsArray()) return false;
    for (const auto& number : (*tensor)[key].GetArray()) {
      if (!number.IsInt64()) return false;
    }
    return true;
  };
  if (!tensor->IsObject() || !tensor->HasMember("dtype") || !(*tensor)["dtype"].IsString() ||
      !is_list("shape") || !is_list("data_offsets") || (*tensor)["data_offsets"].Size() != 2) {
    return no_header;
  }
  Header header;
  header.type = (*tensor)["dtype"].GetString();
  for (const auto& size : (*tensor)["shape"].GetArray()) header.shape.push_back(size.GetInt64());
  if (header.type != "F32" && header.type != "F64") {
    return Wrong(path, absl::StrCat("its numbers are ", header.type, "; save boxes as F32 or F64"));
  }
  const absl::string_view data = content.substr(length);
  const auto& offsets = (*tensor)["data_offsets"];
  if (offsets[0].GetInt64() != 0 || offsets[1].GetInt64() != static_cast<int64_t>(data.size())) {
    return CutOff(path);
  }
  return Boxes(path, header.shape, header.type == "F64", data);
}

// A header's text with spaces behind it, so that what comes after `before` + header begins at a
// multiple of `alignment` bytes; `last` is the header's last character.
std::string Padded(std::string text, size_t before, size_t alignment, char last) {
  while ((before + text.size() + 1) % alignment != 0) text.push_back(' ');
  text.push_back(last);
  return text;
}

}  // namespace

absl::StatusOr<Tensor> ReadAnchorFile(const std::string& path) {
  const bool is_npy = absl::EndsWith(path, kNpyEnding);
  if (!is_npy && !absl::EndsWith(path, kSafetensorsEnding)) return WrongEnding(path);
  SSD_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  return is_npy ? ReadNpy(path, content) : ReadSafetensors(path, content);
}

absl::Status WriteAnchorFile(const std::string& path, const Tensor& boxes) {
  CHECK(boxes.dim() == 2 && boxes.size(1) == 4 && boxes.scalar_type() == at::kFloat);
  const Tensor rows = boxes.cpu().contiguous();
  std::string content;
  if (absl::EndsWith(path, kNpyEnding)) {
    constexpr size_t kBefore = 10;  // magic, version, length
    const std::string header =
        Padded(absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows.size(0),
                            ", 4), }"),
               kBefore, 64, '\n');
    content = absl::StrCat(kNpyMagic, absl::string_view("\1\0", 2),
                           LittleEndianBytes(header.size(), 2), header);
  } else if (absl::EndsWith(path, kSafetensorsEnding)) {
    const std::string header =
        Padded(absl::StrCat("{\"", kTensorName, "\":{\"dtype\":\"F32\",\"shape\":[", rows.size(0),
                            ",4],\"data_offsets\":[0,", rows.nbytes(), "]}}"),
               0, 8, ' ');
    content = absl::StrCat(LittleEndianBytes(header.size(), 8), header);
  } else {
    return WrongEnding(path);
  }
  content.append(static_cast<const char*>(rows.const_data_ptr()), rows.nbytes());
  return WriteFileAtomically(path, content);
}

}  // namespace ssd
