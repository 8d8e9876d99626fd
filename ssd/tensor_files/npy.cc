#include "ssd/tensor_files/npy.h"

#include <ATen/ops/empty.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"
#include "ssd/tensor_files/element_count.h"
#include "ssd/tensor_files/little_endian.h"
#include "ssd/tensor_files/mapped_file.h"

// Elements are copied as they stand in memory.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a big-endian processor");

namespace ssd {
namespace {

constexpr absl::string_view kMagic("\x93NUMPY", 6);
constexpr char kFloat32[] = "<f4";
constexpr char kFloat64[] = "<f8";
constexpr size_t kMaxDimensions = 16;

struct Header {
  std::string type;
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Reads a header: a Python dictionary with the keys descr, fortran_order and shape, each once.
class HeaderReader {
 public:
  explicit HeaderReader(absl::string_view text) : rest_(text) {}

  // False if the text is not such a dictionary.
  bool Read(Header& header) {
    std::set<std::string> keys;
    if (!Take('{')) return false;
    while (!Take('}')) {
      std::string key;
      if (!ReadString(key) || !Take(':') || !ReadValue(key, header)) return false;
      if (!keys.insert(key).second) return false;
      if (!Take(',') && !Peek('}')) return false;
    }
    SkipSpace();
    return keys.size() == 3 && rest_.empty();
  }

 private:
  bool ReadValue(absl::string_view key, Header& header) {
    if (key == "descr") return ReadString(header.type);
    if (key == "fortran_order") return ReadBool(header.fortran_order);
    return key == "shape" && ReadShape(header.shape);
  }

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
      if (shape.size() == kMaxDimensions || !absl::SimpleAtoi(digits, &size)) return false;
      shape.push_back(size);
      rest_.remove_prefix(digits.size());
      if (!Take(',') && !Peek(')')) return false;
    }
    return true;
  }

  absl::string_view rest_;
};

}  // namespace

absl::StatusOr<Tensor> ParseNpy(absl::string_view bytes, const std::string& path) {
  const auto wrong = [&path](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
  };
  const absl::Status cut_off =
      absl::DataLossError(absl::StrCat(path, ": the file is cut off, or longer than it says"));
  if (!absl::StartsWith(bytes, kMagic)) return wrong("this is no NumPy array file");
  bytes.remove_prefix(kMagic.size());
  if (bytes.size() < 2) return cut_off;
  const int version = static_cast<uint8_t>(bytes[0]);
  if (version < 1 || version > 3) {
    return wrong(absl::StrCat("version ", version, " of NumPy's format is unknown"));
  }
  bytes.remove_prefix(2);
  const size_t width = version == 1 ? 2 : 4;
  if (bytes.size() < width) return cut_off;
  const uint64_t length = FromLittleEndian(bytes.substr(0, width));
  bytes.remove_prefix(width);
  if (bytes.size() < length) return cut_off;
  Header header;
  if (!HeaderReader(bytes.substr(0, length)).Read(header)) {
    return wrong("its header is not that of one array of numbers");
  }
  if (header.type != kFloat32 && header.type != kFloat64) {
    return wrong(absl::StrCat("its numbers are '", header.type.substr(0, 20),
                              "'; save them as '<f4' (numpy.float32) or '<f8'"));
  }
  if (header.fortran_order) {
    return wrong("it is in Fortran order; save numpy.ascontiguousarray of it");
  }
  const absl::string_view data = bytes.substr(length);
  const bool is_double = header.type == kFloat64;
  const size_t element_size = is_double ? sizeof(double) : sizeof(float);
  const std::optional<int64_t> elements = ElementCount(header.shape);
  if (!elements || static_cast<size_t>(*elements) * element_size != data.size()) return cut_off;
  Tensor array = at::empty(header.shape, is_double ? at::kDouble : at::kFloat);
  if (!data.empty()) std::memcpy(array.mutable_data_ptr(), data.data(), data.size());
  return array;
}

absl::StatusOr<Tensor> ReadNpy(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return ParseNpy(file.bytes(), path);
}

absl::Status WriteNpy(const std::string& path, const Tensor& array) {
  const bool is_double = array.scalar_type() == at::kDouble;
  CHECK(is_double || array.scalar_type() == at::kFloat) << c10::toString(array.scalar_type());
  const Tensor rows = array.detach().cpu().contiguous();
  std::string header =
      absl::StrCat("{'descr': '", is_double ? kFloat64 : kFloat32,
                   "', 'fortran_order': False, 'shape': (", absl::StrJoin(rows.sizes(), ", "),
                   // Python's tuple of one element.
                   rows.dim() == 1 ? ",), }" : "), }");
  // The elements begin at a multiple of 64 bytes, behind magic number, version, size and a line's
  // end.
  constexpr size_t kBefore = 10;
  while ((kBefore + header.size() + 1) % 64 != 0) header.push_back(' ');
  header.push_back('\n');
  std::string content = absl::StrCat(kMagic, absl::string_view("\1\0", 2));
  AppendLittleEndian(header.size(), 2, content);
  absl::StrAppend(&content, header);
  if (rows.numel() > 0) {
    content.append(static_cast<const char*>(rows.const_data_ptr()), rows.nbytes());
  }
  return WriteFileAtomically(path, content);
}

}  // namespace ssd
