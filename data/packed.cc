#include <cstdint>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "data/dataset.h"
#include "data/digest.h"
#include "data/image_file.h"
#include "data/lazy_image.h"
#include "data/packed_file.h"
#include "data/truth_collector.h"
#include "ssd/core/annotations.h"
#include "ssd/core/geometry.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// An image in a packed file, read when it is asked for.
class PackedImage : public ImageSource {
 public:
  PackedImage(std::shared_ptr<const PackedFile> file, int64_t index, std::string name,
              ImageSize size)
      : file_(std::move(file)), index_(index), name_(std::move(name)), size_(size) {}

  ImageSize size() const override { return size_; }

  absl::StatusOr<cv::Mat> Decode() const override {
    SSD_ASSIGN_OR_RETURN(std::string bytes, ReadEncoded());
    return EncodedImageOfSize(std::move(bytes), name_, size_)->Decode();
  }
  absl::StatusOr<DecodedRegion> DecodeRegion(const cv::Rect& region,
                                             int max_reduction) const override {
    SSD_ASSIGN_OR_RETURN(std::string bytes, ReadEncoded());
    return EncodedImageOfSize(std::move(bytes), name_, size_)->DecodeRegion(region, max_reduction);
  }
  absl::StatusOr<std::string> ReadEncoded() const override { return file_->ReadImage(index_); }

 private:
  const std::shared_ptr<const PackedFile> file_;
  const int64_t index_;
  const std::string name_;
  const ImageSize size_;
};

// A dataset in one file, made by `pack` (data/pack.h): images as files hold them, or smaller ones,
// and their truths. Classes keep the ids of the dataset that was packed, and, unless the experiment
// lists labels, their order. Truths are in memory, images are read from the file when they are
// needed. What is wrong with an image is found when it is decoded; `pack --verify` compares all
// bytes with what was packed.
//   packed { file: "train2017.packed" }
class PackedDataset : public Dataset {
 public:
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(const PackedOptions& options,
                                                         const DatasetContext& context) {
    const std::string& path = options.file();
    if (path.empty()) {
      return absl::InvalidArgumentError("packed.file is not set; give a file made by `pack`");
    }
    SSD_ASSIGN_OR_RETURN(std::shared_ptr<const PackedFile> file, PackedFile::Open(path));
    SSD_ASSIGN_OR_RETURN(const std::vector<Annotations> stored, file->ReadTruths());

    SSD_ASSIGN_OR_RETURN(TruthCollector collector, TruthCollector::Create(context, path));
    const LabelMap& labels = file->labels();
    Digest as_packed;
    as_packed.AddLabels(labels);
    for (size_t i = 0; i < labels.names.size(); ++i) {
      SSD_RETURN_IF_ERROR(collector.AddClass(labels.names[i], labels.source_ids[i]));
    }
    for (const Annotations& image : stored) {
      as_packed.AddAnnotations(image);
      SSD_ASSIGN_OR_RETURN(
          const int64_t index,
          collector.AddImage({image.image_id, image.file_name, image.size, {}}, path));
      for (const Annotation& object : image.objects) {
        SSD_RETURN_IF_ERROR(collector.AddObject(index, object, labels.names[object.label - 1]));
      }
    }
    SSD_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> truths, std::move(collector).Finish(""));
    // Other labels and class maps make another dataset.
    std::string fingerprint = truths->Fingerprint();
    if (fingerprint == as_packed.Hex()) fingerprint = file->fingerprint();
    return std::unique_ptr<Dataset>(
        new PackedDataset(std::move(file), std::move(truths), std::move(fingerprint)));
  }

  int64_t size() const override { return truths_->size(); }
  const LabelMap& labels() const override { return truths_->labels(); }
  absl::StatusOr<Annotations> GetAnnotations(int64_t index) const override {
    return truths_->GetAnnotations(index);
  }
  std::string AnnotationFile(int64_t index) const override {
    return truths_->AnnotationFile(index);
  }

  absl::StatusOr<Sample> Get(int64_t index) const override {
    SSD_ASSIGN_OR_RETURN(Annotations truth, truths_->GetAnnotations(index));
    std::string name = absl::StrCat(file_->path(), ": image ", index, " '", truth.file_name, "'");
    LazyImage image(std::make_shared<PackedImage>(file_, index, std::move(name), truth.size));
    const Geometry geometry = Geometry::Identity(truth.size);
    return Sample{std::move(image), geometry, std::move(truth)};
  }

  std::string Fingerprint() const override { return fingerprint_; }

 private:
  PackedDataset(std::shared_ptr<const PackedFile> file, std::unique_ptr<Dataset> truths,
                std::string fingerprint)
      : file_(std::move(file)), truths_(std::move(truths)), fingerprint_(std::move(fingerprint)) {}

  const std::shared_ptr<const PackedFile> file_;
  const std::unique_ptr<Dataset> truths_;  // whose images are in no folder
  const std::string fingerprint_;
};

SSD_REGISTER_DATASET(PackedOptions, PackedDataset);

}  // namespace
}  // namespace ssd
