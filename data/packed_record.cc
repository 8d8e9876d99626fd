#include "data/packed_record.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/image_header.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

absl::Status DamagedError(absl::string_view where, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(where, ": ", what, "; make or copy the file again"));
}

std::string KeyOf(int64_t index, char kind) {
  std::string key;
  for (int shift = 56; shift >= 0; shift -= 8) {
    key.push_back(static_cast<char>(static_cast<uint64_t>(index) >> shift & 0xff));
  }
  key.push_back(kind);
  return key;
}

}  // namespace

std::string PackedImageKey(int64_t index) { return KeyOf(index, '\0'); }

std::string PackedTruthKey(int64_t index) { return KeyOf(index, '\1'); }

std::string PackedImageDigest(absl::string_view image) { return Digest().AddBytes(image).Hex(); }

std::string SerializePackedRecord(const PackedRecord& record) {
  const Annotations& truth = record.truth;
  PackedTruth message;
  message.set_image_id(truth.image_id);
  message.set_file_name(truth.file_name);
  message.set_height(truth.size.height);
  message.set_width(truth.size.width);
  for (const Annotation& object : truth.objects) {
    PackedTruth::Object* const packed = message.add_object();
    packed->set_x0(object.box.x0);
    packed->set_y0(object.box.y0);
    packed->set_x1(object.box.x1);
    packed->set_y1(object.box.y1);
    packed->set_label(object.label);
    packed->set_crowd(object.crowd);
    packed->set_difficult(object.difficult);
    packed->set_area(object.area);
    packed->set_id(object.id);
  }
  message.set_image_bytes(record.image_bytes);
  message.set_image_digest(record.image_digest);
  return message.SerializeAsString();
}

absl::StatusOr<PackedRecord> ParsePackedRecord(absl::string_view bytes, int64_t num_classes,
                                               absl::string_view where) {
  PackedTruth message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return DamagedError(where, "damaged record");
  }
  PackedRecord record;
  Annotations& truth = record.truth;
  truth.image_id = message.image_id();
  truth.file_name = message.file_name();
  truth.size = {message.height(), message.width()};
  SSD_RETURN_IF_ERROR(CheckPixels(where, truth.size));
  truth.objects.reserve(static_cast<size_t>(message.object_size()));
  for (const PackedTruth::Object& packed : message.object()) {
    if (packed.label() < 1 || packed.label() > num_classes) {
      return DamagedError(where, absl::StrCat("damaged record, of an object of label ",
                                              packed.label(), " out of ", num_classes));
    }
    Annotation object;
    object.box = {packed.x0(), packed.y0(), packed.x1(), packed.y1()};
    const PixelBox& box = object.box;
    // As every dataset gives them; NaN is in no image either.
    if (!(0 <= box.x0 && box.x0 < box.x1 && box.x1 <= static_cast<double>(truth.size.width) &&
          0 <= box.y0 && box.y0 < box.y1 && box.y1 <= static_cast<double>(truth.size.height))) {
      return DamagedError(where, "damaged record, of an object outside its image");
    }
    object.label = packed.label();
    object.crowd = packed.crowd();
    object.difficult = packed.difficult();
    object.area = packed.area();
    object.id = packed.id();
    truth.objects.push_back(object);
  }
  record.image_bytes = message.image_bytes();
  record.image_digest = message.image_digest();
  return record;
}

absl::StatusOr<PackedHeader> ParsePackedHeader(absl::string_view bytes, absl::string_view where) {
  PackedHeader header;
  if (!header.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return DamagedError(where, "damaged header");
  }
  if (header.version() != kPackedVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": packed in version ", header.version(), " of the format; this ",
                     "program reads version ", kPackedVersion, ": pack the dataset again"));
  }
  if (header.label_size() != header.source_id_size() || header.images() < 1 ||
      header.fingerprint().empty()) {
    return DamagedError(where, "damaged header");
  }
  return header;
}

PackedDigest::PackedDigest(const PackedHeader& header) {
  digest_.AddInteger(header.version());
  for (const std::string& label : header.label()) digest_.AddBytes(label);
  for (const int64_t id : header.source_id()) digest_.AddInteger(id);
  digest_.AddInteger(header.images()).AddInteger(header.objects()).AddBytes(header.fingerprint());
}

void PackedDigest::Add(const PackedRecord& record) {
  digest_.AddAnnotations(record.truth);
  digest_.AddInteger(record.image_bytes).AddBytes(record.image_digest);
}

}  // namespace ssd
