#include "ssd/tensor_files/safetensors.h"

#include <ATen/ops/empty.h>
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"
#include "ssd/tensor_files/element_count.h"
#include "ssd/tensor_files/element_type.h"
#include "ssd/tensor_files/little_endian.h"
#include "ssd/tensor_files/mapped_file.h"

namespace ssd {
namespace {

constexpr char kMetadata[] = "__metadata__";
constexpr size_t kSizeBytes = 8;
// Far above any model's; parsed, a header takes many times its size.
constexpr uint64_t kLongestHeader = 16'000'000;
constexpr size_t kMaxDimensions = 16;

// What the header says about one tensor.
struct Entry {
  std::string name;
  const ElementType* type = nullptr;
  std::vector<int64_t> shape;
  // Bytes of the data.
  uint64_t begin = 0;
  uint64_t end = 0;
};

// The elements of an array of numbers that are not negative.
bool ReadNumbers(const rapidjson::Value& array, std::vector<int64_t>& numbers) {
  if (!array.IsArray()) return false;
  for (const rapidjson::Value& number : array.GetArray()) {
    if (!number.IsInt64() || number.GetInt64() < 0) return false;
    numbers.push_back(number.GetInt64());
  }
  return true;
}

absl::string_view Text(const rapidjson::Value& value) {
  return {value.GetString(), value.GetStringLength()};
}

class Parser {
 public:
  Parser(absl::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  absl::StatusOr<NamedTensors> Run() {
    SSD_ASSIGN_OR_RETURN(const absl::string_view header, Header());
    rapidjson::Document document;
    // Iterative: a header of brackets alone must not use up the stack.
    document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(
        header.data(), header.size());
    if (document.HasParseError()) {
      return Corrupt(kSizeBytes + document.GetErrorOffset(),
                     absl::StrCat("the header is no JSON: ",
                                  rapidjson::GetParseError_En(document.GetParseError())));
    }
    if (!document.IsObject()) return Corrupt(kSizeBytes, "the header is no object");
    NamedTensors file;
    std::set<std::string> names;
    std::vector<Entry> entries;
    for (const auto& member : document.GetObject()) {
      std::string name(Text(member.name));
      if (!names.insert(name).second) {
        return Corrupt(kSizeBytes, absl::StrCat("two entries are called '", name, "'"));
      }
      if (name == kMetadata) {
        SSD_RETURN_IF_ERROR(ReadMetadata(member.value, file));
        continue;
      }
      SSD_ASSIGN_OR_RETURN(Entry entry, ReadEntry(std::move(name), member.value));
      entries.push_back(std::move(entry));
    }
    SSD_RETURN_IF_ERROR(CheckPlaces(entries));
    for (const Entry& entry : entries) {
      file.tensors.emplace_back(entry.name, ReadTensor(entry));
    }
    return file;
  }

 private:
  absl::Status Corrupt(uint64_t byte, absl::string_view what) const {
    return absl::DataLossError(absl::StrCat(path_, ": byte ", byte, ": ", what));
  }

  absl::StatusOr<absl::string_view> Header() {
    if (!LooksLikeSafetensors(bytes_)) {
      return absl::InvalidArgumentError(absl::StrCat(path_, ": is no safetensors file"));
    }
    const uint64_t size = FromLittleEndian(bytes_.substr(0, kSizeBytes));
    if (size > kLongestHeader || size > bytes_.size() - kSizeBytes) {
      return Corrupt(0, absl::StrCat("a header of ", size, " bytes in a file of ", bytes_.size()));
    }
    data_ = bytes_.substr(kSizeBytes + size);
    return bytes_.substr(kSizeBytes, size);
  }

  absl::Status ReadMetadata(const rapidjson::Value& value, NamedTensors& file) const {
    if (!value.IsObject()) return Corrupt(kSizeBytes, "the metadata is no object");
    for (const auto& member : value.GetObject()) {
      if (!member.value.IsString()) {
        return Corrupt(kSizeBytes, absl::StrCat("metadata '", Text(member.name), "' is no string"));
      }
      file.metadata[std::string(Text(member.name))] = std::string(Text(member.value));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Entry> ReadEntry(std::string name, const rapidjson::Value& value) const {
    Entry entry;
    const auto corrupt = [&](absl::string_view what) {
      return Corrupt(kSizeBytes, absl::StrCat("tensor '", name, "' ", what));
    };
    if (!value.IsObject()) return corrupt("is no object");
    const auto type = value.FindMember("dtype");
    const auto shape = value.FindMember("shape");
    const auto offsets = value.FindMember("data_offsets");
    const auto none = value.MemberEnd();
    if (type == none || shape == none || offsets == none || !type->value.IsString()) {
      return corrupt("lacks its dtype, shape or data_offsets");
    }
    for (const ElementType& candidate : kElementTypes) {
      if (Text(type->value) == candidate.safetensors) entry.type = &candidate;
    }
    if (entry.type == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(path_, ": tensor '", name, "' is of type ",
                                                     Text(type->value), ", which is not read"));
    }
    std::vector<int64_t> places;
    if (!ReadNumbers(shape->value, entry.shape) || entry.shape.size() > kMaxDimensions) {
      return corrupt("has no shape");
    }
    if (!ReadNumbers(offsets->value, places) || places.size() != 2 || places[0] > places[1]) {
      return corrupt("has no place");
    }
    entry.begin = static_cast<uint64_t>(places[0]);
    entry.end = static_cast<uint64_t>(places[1]);
    const std::optional<int64_t> elements = ElementCount(entry.shape);
    if (!elements) return corrupt("is larger than any memory");
    const uint64_t size =
        static_cast<uint64_t>(*elements) * static_cast<uint64_t>(entry.type->size);
    if (entry.end - entry.begin != size) {
      return corrupt(
          absl::StrCat("has ", entry.end - entry.begin, " bytes, its shape needs ", size));
    }
    if (entry.end > data_.size()) {
      return corrupt(absl::StrCat("ends at byte ", entry.end, " of ", data_.size()));
    }
    entry.name = std::move(name);
    return entry;
  }

  // One after another, they must be all of the data.
  absl::Status CheckPlaces(const std::vector<Entry>& entries) const {
    std::vector<const Entry*> in_order;
    for (const Entry& entry : entries) in_order.push_back(&entry);
    std::sort(in_order.begin(), in_order.end(), [](const Entry* a, const Entry* b) {
      return std::make_pair(a->begin, a->end) < std::make_pair(b->begin, b->end);
    });
    const size_t data_begin = bytes_.size() - data_.size();
    uint64_t end = 0;
    for (const Entry* const entry : in_order) {
      if (entry->begin != end) {
        return Corrupt(data_begin + std::min(end, entry->begin),
                       absl::StrCat("tensor '", entry->name, "' begins at byte ", entry->begin,
                                    " of the data, the one before ends at ", end));
      }
      end = entry->end;
    }
    if (end == data_.size()) return absl::OkStatus();
    return Corrupt(data_begin + end,
                   absl::StrCat(data_.size() - end, " bytes belong to no tensor"));
  }

  // Of an entry whose place has been checked.
  Tensor ReadTensor(const Entry& entry) const {
    Tensor tensor = at::empty(entry.shape, entry.type->scalar_type);
    const absl::string_view bytes = data_.substr(entry.begin, entry.end - entry.begin);
    if (bytes.empty()) return tensor;
    if (entry.type->scalar_type == at::kBool) {
      // Other values than 0 and 1 would be no bool.
      std::transform(bytes.begin(), bytes.end(), tensor.mutable_data_ptr<bool>(),
                     [](char byte) { return byte != 0; });
    } else {
      std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
    }
    return tensor;
  }

  absl::string_view bytes_;
  const std::string& path_;
  absl::string_view data_;  // what follows the header
};

// Refuses names that are no UTF-8, which JSON cannot hold.
using JsonWriter =
    rapidjson::Writer<rapidjson::StringBuffer, rapidjson::UTF8<>, rapidjson::UTF8<>,
                      rapidjson::CrtAllocator, rapidjson::kWriteValidateEncodingFlag>;

bool WriteText(JsonWriter& json, absl::string_view text) {
  return json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

}  // namespace

bool LooksLikeSafetensors(absl::string_view bytes) {
  return bytes.size() > kSizeBytes && bytes[kSizeBytes] == '{';
}

absl::StatusOr<NamedTensors> ParseSafetensors(absl::string_view bytes, const std::string& path) {
  return Parser(bytes, path).Run();
}

absl::StatusOr<NamedTensors> ReadSafetensors(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return ParseSafetensors(file.bytes(), path);
}

absl::Status WriteSafetensors(const std::string& path, const NamedTensors& weights) {
  const auto error = [&path](absl::string_view name, absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": cannot write: tensor '", name, "' ", what));
  };
  std::set<absl::string_view> names;
  std::vector<size_t> order;
  std::vector<const ElementType*> types;
  for (const auto& [name, tensor] : weights.tensors) {
    types.push_back(FindElementType(tensor.scalar_type()));
    if (types.back() == nullptr) {
      return error(name, absl::StrCat("is of type ", c10::toString(tensor.scalar_type()),
                                      ", which is not written"));
    }
    if (name == kMetadata || !names.insert(name).second) return error(name, "has a name in use");
    order.push_back(order.size());
  }
  std::stable_sort(order.begin(), order.end(),
                   [&types](size_t a, size_t b) { return types[a]->size > types[b]->size; });
  std::vector<int64_t> begins(order.size());
  std::vector<int64_t> ends(order.size());
  int64_t end = 0;
  for (const size_t i : order) {
    begins[i] = end;
    end += weights.tensors[i].second.numel() * types[i]->size;
    ends[i] = end;
  }

  rapidjson::StringBuffer buffer;
  JsonWriter json(buffer);
  json.StartObject();
  if (!weights.metadata.empty()) {
    WriteText(json, kMetadata);
    json.StartObject();
    for (const auto& [key, text] : weights.metadata) {
      if (!WriteText(json, key) || !WriteText(json, text)) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": cannot write: metadata that is no UTF-8"));
      }
    }
    json.EndObject();
  }
  for (size_t i = 0; i < weights.tensors.size(); ++i) {
    const auto& [name, tensor] = weights.tensors[i];
    if (!WriteText(json, name)) return error(name, "has a name that is no UTF-8");
    json.StartObject();
    json.Key("dtype");
    json.String(types[i]->safetensors);
    json.Key("shape");
    json.StartArray();
    for (const int64_t extent : tensor.sizes()) json.Int64(extent);
    json.EndArray();
    json.Key("data_offsets");
    json.StartArray();
    json.Int64(begins[i]);
    json.Int64(ends[i]);
    json.EndArray();
    json.EndObject();
  }
  json.EndObject();

  // Padded so that the data begins at a multiple of 8.
  const size_t header_size = (buffer.GetSize() + 7) / 8 * 8;
  std::string content;
  content.reserve(kSizeBytes + header_size + static_cast<size_t>(end));
  AppendLittleEndian(header_size, kSizeBytes, content);
  content.append(buffer.GetString(), buffer.GetSize());
  content.resize(kSizeBytes + header_size, ' ');
  for (const size_t i : order) {
    const Tensor rows = weights.tensors[i].second.detach().cpu().contiguous();
    if (rows.numel() == 0) continue;
    content.append(static_cast<const char*>(rows.const_data_ptr()), rows.nbytes());
  }
  return WriteFileAtomically(path, content);
}

}  // namespace ssd
