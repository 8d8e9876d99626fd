#include "data/packed_record.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "data/digest.h"
#include "data/packed.pb.h"
#include "ssd/core/annotations.h"

namespace ssd {
namespace {

PackedRecord TwoObjects() {
  PackedRecord record;
  record.truth.image_id = int64_t{1} << 40;
  record.truth.file_name = "folder/\xff.jpg";  // no UTF-8
  record.truth.size = {480, 640};
  Annotation object;
  object.box = {0, 0.125, 640, 480};
  object.label = 3;
  object.crowd = true;
  object.area = 0.1;
  object.id = -7;
  record.truth.objects.push_back(object);
  object.crowd = false;
  object.difficult = true;
  object.box = {1e-9, 1, 2, 3};
  record.truth.objects.push_back(object);
  record.image_bytes = 12345;
  record.image_digest = PackedImageDigest("bytes");
  return record;
}

TEST(PackedRecordTest, KeepsEveryBit) {
  const PackedRecord record = TwoObjects();
  const auto read = ParsePackedRecord(SerializePackedRecord(record), 3, "a.packed");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->image_bytes, record.image_bytes);
  EXPECT_EQ(read->image_digest, record.image_digest);
  // Digests tell every field apart (digest_test.cc).
  EXPECT_EQ(Digest().AddAnnotations(read->truth).Hex(),
            Digest().AddAnnotations(record.truth).Hex());
}

TEST(PackedRecordTest, KeysAscendByImage) {
  std::string last;
  for (const int64_t index : {0, 1, 127, 128, 255, 256, 65535, 65536, 1 << 30}) {
    const std::string image = PackedImageKey(index);
    const std::string truth = PackedTruthKey(index);
    EXPECT_EQ(image.size(), 9u);
    EXPECT_LT(last, image) << index;
    EXPECT_LT(image, truth) << index;
    last = truth;
  }
  EXPECT_LT(last, std::string(kPackedHeaderKey));
}

TEST(PackedRecordTest, RefusesWhatNoDatasetGives) {
  const std::vector<std::function<void(PackedRecord&)>> faults = {
      [](PackedRecord& record) {
        record.truth.size = {0, 640};
      },
      [](PackedRecord& record) { record.truth.objects[0].label = 0; },
      [](PackedRecord& record) { record.truth.objects[1].label = 4; },
      [](PackedRecord& record) { record.truth.objects[0].box.x0 = -1e-9; },
      [](PackedRecord& record) { record.truth.objects[0].box.y0 = std::nan(""); },
      [](PackedRecord& record) { record.truth.objects[0].box.x1 = 640.5; },
      [](PackedRecord& record) { record.truth.objects[1].box.y1 = 1; },
  };
  for (size_t i = 0; i < faults.size(); ++i) {
    PackedRecord record = TwoObjects();
    faults[i](record);
    const absl::Status status =
        ParsePackedRecord(SerializePackedRecord(record), 3, "a.packed: image 7").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << i << ": " << status;
    EXPECT_TRUE(absl::StartsWith(status.message(), "a.packed: image 7: ")) << i << ": " << status;
  }
}

TEST(PackedRecordTest, RefusesHeadersOfOtherVersions) {
  PackedHeader header;
  header.set_version(kPackedVersion);
  header.add_label("cat");
  header.add_source_id(17);
  header.set_images(1);
  header.set_fingerprint("0123456789abcdef");
  const auto parse = [&header] {
    return ParsePackedHeader(header.SerializeAsString(), "a.packed").status();
  };
  EXPECT_TRUE(parse().ok()) << parse();
  header.set_version(kPackedVersion + 1);
  EXPECT_EQ(parse().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(parse().message(), "a.packed: packed in version 2")) << parse();
  header.set_version(kPackedVersion);
  header.add_label("dog");
  EXPECT_EQ(parse().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ssd
