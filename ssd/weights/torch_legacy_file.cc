#include "ssd/weights/torch_legacy_file.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/status_macros.h"
#include "ssd/tensor_files/little_endian.h"
#include "ssd/weights/pickle.h"
#include "ssd/weights/torch_tensors.h"
#include "ssd/weights/torch_weights.h"

namespace ssd {
namespace {

using Value = PickleValue;

// The numbers that old files begin with: torch/serialization.py's MAGIC_NUMBER, lowest byte first,
// and PROTOCOL_VERSION.
constexpr absl::string_view kMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr int64_t kProtocolVersion = 1001;

class LegacyStorages : public TorchStorages {
 public:
  explicit LegacyStorages(const std::string& path) : path_(path) {}

  absl::StatusOr<absl::string_view> Find(const std::string& key) const override {
    const auto found = storages_.find(key);
    if (found != storages_.end()) return found->second;
    return absl::DataLossError(absl::StrCat(path_, ": has no storage '", key, "'"));
  }

  // False when there is one of that key already.
  bool Add(const std::string& key, absl::string_view bytes) {
    return storages_.emplace(key, bytes).second;
  }

 private:
  const std::string& path_;
  std::map<std::string, absl::string_view> storages_;
};

// The storages that the pickle's tensors are made of, by their keys.
absl::StatusOr<std::map<std::string, TorchStorageId>> StorageIds(const Pickle& pickle,
                                                                 const std::string& path) {
  std::map<std::string, TorchStorageId> ids;
  for (const Value* const value : pickle.persistent()) {
    const Value& id = *value->arguments;
    // The others are classes of modules with their source code.
    if (id.kind == Value::kTuple && !id.items.empty() && id.items[0]->kind == Value::kString &&
        id.items[0]->text == "module") {
      continue;
    }
    SSD_ASSIGN_OR_RETURN(TorchStorageId storage, ParseTorchStorageId(*value, path));
    std::string key = storage.key;
    ids.emplace(std::move(key), std::move(storage));
  }
  return ids;
}

}  // namespace

// Magic number, version, facts about the machine, the values, the keys of the storages: a pickle
// each. Then the storages in the order of the keys: a number of elements (8 bytes) and they.
absl::StatusOr<WeightFile> ParseTorchLegacy(absl::string_view bytes, const std::string& path) {
  const auto corrupt = [&path](size_t byte, absl::string_view what) {
    return absl::DataLossError(absl::StrCat(path, ": byte ", byte, ": ", what));
  };
  SSD_ASSIGN_OR_RETURN(const Pickle magic, Pickle::Parse(bytes, path));
  if (magic.root().kind != Value::kLongInteger || magic.root().text != kMagic) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": is a pickle, but no file of PyTorch's (its magic number is missing)"));
  }
  SSD_ASSIGN_OR_RETURN(const Pickle version, Pickle::Parse(bytes, path, magic.end()));
  if (version.root().kind != Value::kInteger || version.root().integer != kProtocolVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is of another version than ", kProtocolVersion));
  }
  SSD_ASSIGN_OR_RETURN(const Pickle machine, Pickle::Parse(bytes, path, version.end()));
  const Value* const little_endian = FindItem(machine.root(), "little_endian");
  if (little_endian == nullptr || little_endian->kind != Value::kBool ||
      little_endian->integer == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": was not written on a little-endian machine; only such files are read"));
  }
  SSD_ASSIGN_OR_RETURN(const Pickle values, Pickle::Parse(bytes, path, machine.end()));
  SSD_ASSIGN_OR_RETURN(const Pickle keys, Pickle::Parse(bytes, path, values.end()));
  if (keys.root().kind != Value::kList) return corrupt(values.end(), "no list of storages");

  SSD_ASSIGN_OR_RETURN(const auto ids, StorageIds(values, path));
  LegacyStorages storages(path);
  size_t position = keys.end();
  for (const Value* const key : keys.root().items) {
    const auto id = key->kind == Value::kString ? ids.find(std::string(key->text)) : ids.end();
    if (id == ids.end()) return corrupt(key->position, "a storage that no tensor is made of");
    const TorchStorageId& storage = id->second;
    if (bytes.size() - position < 8) return corrupt(position, "the file is cut off");
    const uint64_t elements = FromLittleEndian(bytes.substr(position, 8));
    position += 8;
    const std::optional<int64_t> size = storage.bytes();
    if (elements != static_cast<uint64_t>(storage.elements) || !size ||
        static_cast<uint64_t>(*size) > bytes.size() - position) {
      return corrupt(position, absl::StrCat("storage '", storage.key, "' of ", storage.elements,
                                            " elements is cut off or corrupt"));
    }
    if (!storages.Add(storage.key, bytes.substr(position, static_cast<size_t>(*size)))) {
      return corrupt(key->position, absl::StrCat("two storages are called '", storage.key, "'"));
    }
    position += static_cast<size_t>(*size);
  }
  return CollectTorchWeights(values, storages, path);
}

}  // namespace ssd
