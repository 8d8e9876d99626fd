#include "data/digest.h"

#include <cstring>

#include "absl/strings/str_format.h"

namespace ssd {

void Digest::AddByte(uint8_t byte) { hash_ = (hash_ ^ byte) * 0x100000001b3u; }

Digest& Digest::AddBytes(absl::string_view bytes) {
  AddInteger(static_cast<int64_t>(bytes.size()));
  for (const char byte : bytes) AddByte(static_cast<uint8_t>(byte));
  return *this;
}

Digest& Digest::AddInteger(int64_t value) {
  const uint64_t bits = static_cast<uint64_t>(value);
  for (int shift = 0; shift < 64; shift += 8) AddByte(static_cast<uint8_t>(bits >> shift));
  return *this;
}

Digest& Digest::AddNumber(double value) {
  int64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return AddInteger(bits);
}

Digest& Digest::AddLabels(const LabelMap& labels) {
  AddInteger(labels.num_classes());
  for (const std::string& name : labels.names) AddBytes(name);
  for (const int64_t id : labels.source_ids) AddInteger(id);
  return *this;
}

Digest& Digest::AddAnnotations(const Annotations& annotations) {
  AddInteger(annotations.image_id).AddBytes(annotations.file_name);
  AddInteger(annotations.size.height).AddInteger(annotations.size.width);
  AddInteger(static_cast<int64_t>(annotations.objects.size()));
  for (const Annotation& object : annotations.objects) {
    const PixelBox& box = object.box;
    AddNumber(box.x0).AddNumber(box.y0).AddNumber(box.x1).AddNumber(box.y1);
    AddInteger(object.label).AddInteger(object.crowd).AddInteger(object.difficult);
    AddNumber(object.area).AddInteger(object.id);
  }
  return *this;
}

std::string Digest::Hex() const { return absl::StrFormat("%016x", hash_); }

}  // namespace ssd
