#include "data/pack.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "data/digest.h"
#include "data/image_file.h"
#include "data/lazy_image.h"
#include "data/lmdb_file.h"
#include "data/packed.pb.h"
#include "data/packed_file.h"
#include "data/packed_record.h"
#include "data/read_in_parallel.h"
#include "ssd/core/annotations.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

absl::Status CheckOptions(const PackOptions& options) {
  constexpr int64_t kLongestSide = 65500;  // libjpeg's
  const auto is_side = [](int64_t side) { return side >= 1 && side <= kLongestSide; };
  const bool has_size = options.size != ImageSize();
  if (has_size && (!is_side(options.size.width) || !is_side(options.size.height))) {
    return absl::InvalidArgumentError(absl::StrCat("size is ", options.size.width, "x",
                                                   options.size.height, "; want sides of 1 to ",
                                                   kLongestSide, " pixels"));
  }
  if (options.longest_side != 0 && !is_side(options.longest_side)) {
    return absl::InvalidArgumentError(absl::StrCat("longest_side is ", options.longest_side,
                                                   "; want 1 to ", kLongestSide, " pixels"));
  }
  if (has_size && options.longest_side != 0) {
    return absl::InvalidArgumentError("size and longest_side are both given; leave one out");
  }
  if (options.quality < 1 || options.quality > 100) {
    return absl::InvalidArgumentError(
        absl::StrCat("quality is ", options.quality, "; want 1 to 100"));
  }
  return absl::OkStatus();
}

ImageSize TargetSize(ImageSize size, const PackOptions& options) {
  if (options.size != ImageSize()) return options.size;
  const int64_t longest = std::max(size.height, size.width);
  if (options.longest_side == 0 || longest <= options.longest_side) return size;
  const double scale = static_cast<double>(options.longest_side) / static_cast<double>(longest);
  const auto scaled = [scale](int64_t side) {
    return std::max<int64_t>(1, std::llround(scale * static_cast<double>(side)));
  };
  return {scaled(size.height), scaled(size.width)};
}

// The truth of the image warped to `size`.
Annotations Resized(Annotations truth, ImageSize size) {
  const double width = static_cast<double>(size.width), height = static_cast<double>(size.height);
  const double scale_x = width / static_cast<double>(truth.size.width);
  const double scale_y = height / static_cast<double>(truth.size.height);
  truth.size = size;
  for (Annotation& object : truth.objects) {
    PixelBox& box = object.box;
    box = {box.x0 * scale_x, box.y0 * scale_y, std::min(box.x1 * scale_x, width),
           std::min(box.y1 * scale_y, height)};
    object.area *= scale_x * scale_y;
  }
  return truth;
}

// `rgb` in the format of `extension`.
absl::StatusOr<std::string> EncodeImage(const char* extension, const cv::Mat& rgb,
                                        const std::vector<int>& parameters,
                                        absl::string_view name) {
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  std::vector<uchar> bytes;
  bool is_encoded = false;
  std::string reason;
  try {
    is_encoded = cv::imencode(extension, bgr, bytes, parameters);
  } catch (const cv::Exception& error) {
    reason = absl::StrCat(" (", error.err, ")");
  }
  if (!is_encoded) {
    return absl::InternalError(absl::StrCat(name, ": ", rgb.cols, "x", rgb.rows,
                                            " pixels that OpenCV cannot encode as ", extension,
                                            reason));
  }
  return std::string(bytes.begin(), bytes.end());
}

// An image as it is packed.
struct PackedImage {
  std::string bytes;
  Annotations truth;
  bool is_copied = false;
};

// Decodes every image, so that none is found to be damaged after hours of training.
absl::StatusOr<PackedImage> PackImage(const Dataset& dataset, int64_t index,
                                      const PackOptions& options) {
  SSD_ASSIGN_OR_RETURN(Sample sample, dataset.Get(index));
  const ImageSource& source = *sample.image.source();
  std::string name = dataset.ImageFile(index);
  if (name.empty()) name = sample.truth.file_name;
  const ImageSize old_size = sample.truth.size;
  const ImageSize size = TargetSize(old_size, options);
  PackedImage packed;
  if (size != old_size) {
    SSD_ASSIGN_OR_RETURN(const cv::Mat image, source.Decode());
    const bool shrinks = size.width <= old_size.width && size.height <= old_size.height;
    cv::Mat resized;
    cv::resize(image, resized,
               cv::Size(static_cast<int>(size.width), static_cast<int>(size.height)), 0, 0,
               shrinks ? cv::INTER_AREA : cv::INTER_LINEAR);
    SSD_ASSIGN_OR_RETURN(
        packed.bytes,
        EncodeImage(".jpg", resized, {cv::IMWRITE_JPEG_QUALITY, static_cast<int>(options.quality)},
                    name));
    packed.truth = Resized(std::move(sample.truth), size);
    return packed;
  }
  SSD_ASSIGN_OR_RETURN(packed.bytes, source.ReadEncoded());
  if (packed.bytes.empty()) {
    SSD_ASSIGN_OR_RETURN(const cv::Mat image, source.Decode());
    SSD_ASSIGN_OR_RETURN(packed.bytes, EncodeImage(".png", image, {}, name));
  } else {
    SSD_RETURN_IF_ERROR(EncodedImageOfSize(packed.bytes, name, size)->Decode().status());
  }
  packed.is_copied = true;
  packed.truth = std::move(sample.truth);
  return packed;
}

// Images [first, end), made by all cores.
std::vector<absl::StatusOr<PackedImage>> PackImages(const Dataset& dataset, int64_t first,
                                                    int64_t end, const PackOptions& options) {
  std::vector<absl::StatusOr<PackedImage>> packed(static_cast<size_t>(end - first));
  ReadInParallel(packed.size(), /*threads=*/0, [&](size_t i) {
    packed[i] = PackImage(dataset, first + static_cast<int64_t>(i), options);
  });
  return packed;
}

// Writes a packed file from its records.
class PackedWriter {
 public:
  PackedWriter(std::unique_ptr<LmdbWriter> file, const Dataset& dataset)
      : file_(std::move(file)), dataset_(dataset) {
    resized_.AddLabels(dataset.labels());
  }

  absl::Status Append(PackedImage image) {
    PackedRecord record{std::move(image.truth), static_cast<int64_t>(image.bytes.size()),
                        PackedImageDigest(image.bytes)};
    summary_.objects += static_cast<int64_t>(record.truth.objects.size());
    summary_.copied += image.is_copied;
    resized_.AddAnnotations(record.truth).AddBytes(record.image_digest);
    const int64_t index = summary_.images++;
    SSD_RETURN_IF_ERROR(file_->Append(PackedImageKey(index), image.bytes));
    SSD_RETURN_IF_ERROR(file_->Append(PackedTruthKey(index), SerializePackedRecord(record)));
    records_.push_back(std::move(record));
    return absl::OkStatus();
  }

  absl::StatusOr<PackSummary> Finish() {
    const LabelMap& labels = dataset_.labels();
    const bool is_as_it_was = summary_.copied == summary_.images;
    PackedHeader header;
    header.set_version(kPackedVersion);
    for (const std::string& name : labels.names) header.add_label(name);
    for (const int64_t id : labels.source_ids) header.add_source_id(id);
    header.set_images(summary_.images);
    header.set_objects(summary_.objects);
    header.set_fingerprint(is_as_it_was ? dataset_.Fingerprint() : resized_.Hex());
    PackedDigest digest(header);
    for (const PackedRecord& record : records_) digest.Add(record);
    header.set_digest(digest.Hex());
    SSD_RETURN_IF_ERROR(file_->Append(kPackedHeaderKey, header.SerializeAsString()));
    SSD_RETURN_IF_ERROR(file_->Finish());
    summary_.classes = labels.num_classes();
    summary_.digest = header.digest();
    return summary_;
  }

 private:
  const std::unique_ptr<LmdbWriter> file_;
  const Dataset& dataset_;
  Digest resized_;  // of images and truths as they are packed
  PackSummary summary_;
  std::vector<PackedRecord> records_;
};

absl::StatusOr<PackSummary> WritePacked(const Dataset& dataset, const PackOptions& options,
                                        const std::string& path) {
  SSD_ASSIGN_OR_RETURN(std::unique_ptr<LmdbWriter> file, LmdbWriter::Create(path));
  PackedWriter writer(std::move(file), dataset);
  constexpr int64_t kAtOnce = 64;  // images in memory
  for (int64_t first = 0; first < dataset.size(); first += kAtOnce) {
    const int64_t end = std::min(first + kAtOnce, dataset.size());
    for (absl::StatusOr<PackedImage>& image : PackImages(dataset, first, end, options)) {
      if (!image.ok()) return image.status();
      SSD_RETURN_IF_ERROR(writer.Append(*std::move(image)));
    }
    if (options.go_on && !options.go_on(end, dataset.size())) {
      return absl::CancelledError("stopped; nothing is written");
    }
  }
  return writer.Finish();
}

}  // namespace

absl::StatusOr<PackSummary> PackDataset(const Dataset& dataset, const PackOptions& options,
                                        const std::string& path) {
  SSD_RETURN_IF_ERROR(CheckOptions(options));
  if (std::error_code ignored; fs::exists(path, ignored)) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, ": exists; delete it or choose another file"));
  }
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  // LMDB would go on with a file that is there; and this tells a folder that is not.
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return FileError(errno, "cannot write", path);
  close(file);
  auto remove_temporary = absl::MakeCleanup([&temporary] { unlink(temporary.c_str()); });
  absl::StatusOr<PackSummary> summary = WritePacked(dataset, options, temporary);
  if (!summary.ok()) return summary.status();
  std::error_code error;
  summary->bytes = static_cast<int64_t>(fs::file_size(temporary, error));
  if (error) return FileError(error.value(), "cannot write", path);
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    return FileError(errno, "cannot write", path);
  }
  std::move(remove_temporary).Cancel();
  return summary;
}

absl::StatusOr<PackSummary> VerifyPackedFile(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const std::shared_ptr<const PackedFile> file, PackedFile::Open(path));
  SSD_RETURN_IF_ERROR(file->Verify());
  PackSummary summary;
  summary.images = file->size();
  summary.objects = file->num_objects();
  summary.classes = file->labels().num_classes();
  summary.digest = file->digest();
  std::error_code ignored;
  summary.bytes = static_cast<int64_t>(fs::file_size(path, ignored));
  return summary;
}

}  // namespace ssd
