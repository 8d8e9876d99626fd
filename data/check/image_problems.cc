#include "data/check/image_problems.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "data/image_file.h"
#include "data/image_header.h"
#include "data/lazy_image.h"
#include "data/read_in_parallel.h"
#include "ssd/core/annotations.h"
#include "ssd/core/file.h"
#include "ssd/core/geometry.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

using Thumbnail = std::array<uint8_t, kThumbnailSide * kThumbnailSide>;  // grey levels

// What was seen of one image. Hashes tell images of one process apart.
struct Look {
  std::string name;  // the file, or what the dataset calls an image in none
  bool was_read = false;
  std::vector<DataProblem> problems;
  std::optional<size_t> file_hash;
  std::optional<size_t> pixel_hash;
  std::optional<Thumbnail> thumbnail;  // of images that can be compared by it
};

std::string SizeText(ImageSize size) { return absl::StrCat(size.width, "x", size.height); }

// The size of an image as stored, before EXIF orientation; 0 where it cannot be told.
ImageSize StoredSize(const ImageSource& source, const std::string& name) {
  const absl::StatusOr<std::string> bytes = source.ReadEncoded();
  if (!bytes.ok()) return {};
  const absl::StatusOr<ImageHeader> header = ReadEncodedHeader(*bytes, name);
  return header.ok() ? header->stored : ImageSize();
}

// Whether every pixel is the first one.
bool IsUniform(const cv::Mat& rgb) {
  const size_t bytes = rgb.total() * 3;
  return bytes > 3 && std::memcmp(rgb.data, rgb.data + 3, bytes - 3) == 0;
}

Thumbnail ThumbnailOf(const cv::Mat& rgb) {
  cv::Mat small, grey;
  cv::resize(rgb, small, cv::Size(kThumbnailSide, kThumbnailSide), 0, 0, cv::INTER_AREA);
  cv::cvtColor(small, grey, cv::COLOR_RGB2GRAY);
  Thumbnail thumbnail;
  std::memcpy(thumbnail.data(), grey.data, thumbnail.size());
  return thumbnail;
}

// Looks at single images; thread-safe.
class ImageInspector {
 public:
  ImageInspector(const Dataset& dataset, bool decode) : dataset_(dataset), decode_(decode) {}

  Look Inspect(int64_t index) const {
    Look look;
    look.name = dataset_.ImageFile(index);
    const bool is_file = !look.name.empty();
    if (!is_file) look.name = absl::StrCat("image ", index);
    look.was_read = is_file || decode_;
    if (!look.was_read) return look;
    const absl::StatusOr<Annotations> truth = dataset_.GetAnnotations(index);
    if (!truth.ok()) {
      Add(look, ProblemKind::kUnreadableImage, MessageWithoutFile(truth.status(), look.name));
      return look;
    }
    if (!is_file && !truth->file_name.empty()) look.name = truth->file_name;
    const std::shared_ptr<const ImageSource> source =
        is_file ? OpenFile(*truth, dataset_.AnnotationFile(index), look) : OpenOther(index, look);
    if (source != nullptr && decode_) Decode(*source, look);
    return look;
  }

 private:
  static void Add(Look& look, ProblemKind kind, std::string message) {
    const Severity severity =
        kind == ProblemKind::kUniformImage ? Severity::kWarning : Severity::kError;
    look.problems.push_back({severity, kind, look.name, 0, std::move(message)});
  }

  // An error of who says the image's size: in the annotation file, if there is one.
  static void AddOfAnnotation(Look& look, ProblemKind kind, const Annotations& truth,
                              const std::string& annotation_file, const std::string& message) {
    const bool has_file = !annotation_file.empty();
    look.problems.push_back({Severity::kError, kind, has_file ? annotation_file : look.name,
                             has_file ? truth.line : 0,
                             absl::StrCat("image ", look.name, " is ", message)});
  }

  // The image file look.name; null if it cannot be decoded.
  static std::shared_ptr<const ImageSource> OpenFile(const Annotations& truth,
                                                     const std::string& annotation_file,
                                                     Look& look) {
    absl::StatusOr<std::string> bytes = ImageFileOfSize(look.name, truth.size)->ReadEncoded();
    if (!bytes.ok()) {
      const bool is_missing = absl::IsNotFound(bytes.status());
      Add(look, is_missing ? ProblemKind::kMissingImage : ProblemKind::kUnreadableImage,
          is_missing ? absl::StrCat("no such file, though ",
                                    annotation_file.empty() ? "an annotation" : annotation_file,
                                    " names it")
                     : MessageWithoutFile(bytes.status(), look.name));
      return nullptr;
    }
    const size_t file_hash = absl::Hash<absl::string_view>()(*bytes);
    const absl::StatusOr<std::shared_ptr<const ImageSource>> source =
        OpenEncodedImage(*std::move(bytes), look.name);
    if (!source.ok()) {
      Add(look, ProblemKind::kUnreadableImage, MessageWithoutFile(source.status(), look.name));
      return nullptr;
    }
    look.file_hash = file_hash;
    const ImageSize size = (*source)->size();
    if (size == truth.size) return *source;
    const bool is_turned = size == ImageSize{truth.size.width, truth.size.height};
    if (is_turned && StoredSize(**source, look.name) == truth.size) {
      AddOfAnnotation(
          look, ProblemKind::kRotatedByExif, truth, annotation_file,
          absl::StrCat("annotated as ", SizeText(truth.size), " pixels, which its EXIF orientation",
                       " turns to ", SizeText(size), ": its boxes may be turned as well"));
    } else {
      AddOfAnnotation(
          look, ProblemKind::kSizeMismatch, truth, annotation_file,
          absl::StrCat(SizeText(size), " pixels, but annotated as ", SizeText(truth.size)));
    }
    return *source;
  }

  // An image that is in no file of its own.
  std::shared_ptr<const ImageSource> OpenOther(int64_t index, Look& look) const {
    const absl::StatusOr<Sample> sample = dataset_.Get(index);
    if (sample.ok()) return sample->image.source();
    Add(look, ProblemKind::kUnreadableImage, MessageWithoutFile(sample.status(), look.name));
    return nullptr;
  }

  static void Decode(const ImageSource& source, Look& look) {
    const absl::StatusOr<cv::Mat> decoded = source.Decode();
    if (!decoded.ok()) {
      look.file_hash.reset();  // damaged files are reported once
      Add(look, ProblemKind::kUnreadableImage, MessageWithoutFile(decoded.status(), look.name));
      return;
    }
    const cv::Mat pixels = decoded->isContinuous() ? *decoded : decoded->clone();
    const absl::string_view bytes(reinterpret_cast<const char*>(pixels.data), pixels.total() * 3);
    look.pixel_hash = absl::HashOf(pixels.rows, pixels.cols, bytes);
    if (IsUniform(pixels)) {
      const cv::Vec3b color = pixels.at<cv::Vec3b>(0, 0);
      Add(look, ProblemKind::kUniformImage,
          absl::StrCat("every pixel is (", int{color[0]}, ", ", int{color[1]}, ", ", int{color[2]},
                       ")"));
      return;
    }
    const Thumbnail thumbnail = ThumbnailOf(pixels);
    const auto [darkest, brightest] = std::minmax_element(thumbnail.begin(), thumbnail.end());
    if (*brightest - *darkest >= kNearContrast) look.thumbnail = thumbnail;
  }

  const Dataset& dataset_;
  const bool decode_;
};

// Everything about the images of `dataset`, by index.
std::vector<Look> InspectAll(const Dataset& dataset, const ImageCheckOptions& options) {
  const ImageInspector inspector(dataset, options.decode);
  std::vector<Look> looks(dataset.size());
  ReadInParallel(looks.size(), static_cast<size_t>(options.threads), [&](size_t index) {
    looks[index] = inspector.Inspect(static_cast<int64_t>(index));
  });
  return looks;
}

// How two images are alike.
enum class Likeness { kSameBytes, kSamePixels, kNear };

// Finds the first image like another one.
class ImageIndex {
 public:
  struct Match {
    int64_t image = 0;
    Likeness likeness = Likeness::kNear;
  };

  std::optional<Match> Find(const Look& look) const {
    if (const auto image = FindIn(by_file_, look.file_hash)) {
      return Match{*image, Likeness::kSameBytes};
    }
    if (const auto image = FindIn(by_pixels_, look.pixel_hash)) {
      return Match{*image, Likeness::kSamePixels};
    }
    if (!look.thumbnail) return std::nullopt;
    std::optional<int64_t> first;
    for (const uint32_t key : KeysAround(*look.thumbnail)) {
      const auto bucket = by_thumbnail_.find(key);
      if (bucket == by_thumbnail_.end()) continue;
      for (const Entry& entry : bucket->second) {  // by ascending index
        if (first && entry.image >= *first) break;
        if (AreNear(entry.thumbnail, *look.thumbnail)) first = entry.image;
      }
    }
    if (!first) return std::nullopt;
    return Match{*first, Likeness::kNear};
  }

  // Images are added by ascending index. `is_new`: no image here is like it; near duplicates are
  // compared with those alone.
  void Add(int64_t image, const Look& look, bool is_new) {
    if (look.file_hash) by_file_.emplace(*look.file_hash, image);
    if (look.pixel_hash) by_pixels_.emplace(*look.pixel_hash, image);
    if (!look.thumbnail || !is_new) return;
    uint32_t key = 0;
    for (const double mean : QuadrantMeans(*look.thumbnail)) {
      key = key * kSteps + static_cast<uint32_t>(mean / kStep);
    }
    by_thumbnail_[key].push_back({image, *look.thumbnail});
  }

 private:
  struct Entry {
    int64_t image = 0;
    Thumbnail thumbnail = {};
  };

  // Thumbnails are kept by the mean grey level of their four quadrants, in steps so wide that those
  // of near duplicates are at most one step apart, and only two steps of each can be meant.
  static constexpr int kStep = 2 * kNearLevels + 1;
  static constexpr uint32_t kSteps = 255 / kStep + 1;

  static std::optional<int64_t> FindIn(const std::unordered_map<size_t, int64_t>& images,
                                       const std::optional<size_t>& hash) {
    if (!hash) return std::nullopt;
    const auto found = images.find(*hash);
    if (found == images.end()) return std::nullopt;
    return found->second;
  }

  static std::array<double, 4> QuadrantMeans(const Thumbnail& thumbnail) {
    constexpr int kHalf = kThumbnailSide / 2;
    std::array<double, 4> means = {};
    for (int y = 0; y < kThumbnailSide; ++y) {
      for (int x = 0; x < kThumbnailSide; ++x) {
        means[y / kHalf * 2 + x / kHalf] += thumbnail[y * kThumbnailSide + x];
      }
    }
    for (double& mean : means) mean /= kHalf * kHalf;
    return means;
  }

  // Where near duplicates may be: 1 to 16 keys, each once.
  static std::vector<uint32_t> KeysAround(const Thumbnail& thumbnail) {
    std::vector<uint32_t> keys = {0};
    for (const double mean : QuadrantMeans(thumbnail)) {
      const auto low = static_cast<uint32_t>(std::max(mean - kNearLevels, 0.0) / kStep);
      const auto high = static_cast<uint32_t>(std::min(mean + kNearLevels, 255.0) / kStep);
      std::vector<uint32_t> longer;
      for (const uint32_t key : keys) {
        for (uint32_t step = low; step <= high; ++step) longer.push_back(key * kSteps + step);
      }
      keys = std::move(longer);
    }
    return keys;
  }

  static bool AreNear(const Thumbnail& a, const Thumbnail& b) {
    int most = 0;  // without an early exit the loop is vectorised
    for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
    return most <= kNearLevels;
  }

  std::unordered_map<size_t, int64_t> by_file_;
  std::unordered_map<size_t, int64_t> by_pixels_;
  std::unordered_map<uint32_t, std::vector<Entry>> by_thumbnail_;
};

std::string LikenessText(const Look& look, const Look& other, Likeness likeness) {
  if (look.name == other.name) return absl::StrCat("the same as ", other.name);
  switch (likeness) {
    case Likeness::kSameBytes:
      return absl::StrCat("the same file as ", other.name);
    case Likeness::kSamePixels:
      return absl::StrCat("the same pixels as ", other.name);
    case Likeness::kNear:
      break;
  }
  return absl::StrCat("nearly the same picture as ", other.name);
}

void AddDuplicate(const Look& look, const Look& other, Likeness likeness,
                  std::vector<DataProblem>& problems) {
  problems.push_back({Severity::kWarning, ProblemKind::kDuplicateImage, look.name, 0,
                      LikenessText(look, other, likeness)});
}

void AddLeak(const Look& look, const Look& other, Likeness likeness,
             std::vector<DataProblem>& problems) {
  problems.push_back({likeness == Likeness::kNear ? Severity::kWarning : Severity::kError,
                      ProblemKind::kLeak, look.name, 0,
                      absl::StrCat(LikenessText(look, other, likeness), " of the training data")});
}

void FindDuplicates(const std::vector<Look>& train, const std::vector<Look>& validation,
                    ImageProblems& result) {
  ImageIndex trained;
  for (size_t i = 0; i < train.size(); ++i) {
    const auto match = trained.Find(train[i]);
    if (match) AddDuplicate(train[i], train[match->image], match->likeness, result.train);
    trained.Add(static_cast<int64_t>(i), train[i], !match);
  }
  ImageIndex validated;
  for (size_t i = 0; i < validation.size(); ++i) {
    const Look& look = validation[i];
    const auto leak = trained.Find(look);
    const auto match = validated.Find(look);
    if (leak) {
      AddLeak(look, train[leak->image], leak->likeness, result.validation);
    } else if (match) {
      AddDuplicate(look, validation[match->image], match->likeness, result.validation);
    }
    validated.Add(static_cast<int64_t>(i), look, !match);
  }
}

// --- files without annotations ---

// How the images of one folder are annotated.
struct ImageFolder {
  bool is_annotated = false;
  std::set<std::string> named;  // the file names of images that annotations name
  // Folders and extensions of files for one image each, which are called like it.
  std::set<std::pair<std::string, std::string>> beside;
};

using ImageFolders = std::map<std::string, ImageFolder>;  // by path

void AddFolders(const Dataset& dataset, ImageFolders& folders) {
  for (int64_t index = 0; index < dataset.size(); ++index) {
    const std::string image_file = dataset.ImageFile(index);
    if (image_file.empty()) continue;
    const fs::path image = fs::path(image_file).lexically_normal();
    ImageFolder& folder = folders[image.parent_path().string()];
    const std::string annotation_file = dataset.AnnotationFile(index);
    if (annotation_file.empty()) continue;
    folder.is_annotated = true;
    const fs::path annotation(annotation_file);
    if (annotation.stem() == image.stem()) {
      folder.beside.emplace(annotation.parent_path().string(), annotation.extension().string());
    }
  }
}

void AddNames(const Dataset& dataset, ImageFolders& folders) {
  for (const std::string& file : dataset.NamedImageFiles()) {
    const fs::path image = fs::path(file).lexically_normal();
    const auto folder = folders.find(image.parent_path().string());
    if (folder != folders.end()) folder->second.named.insert(image.filename().string());
  }
}

// The names of image files in `path` that no annotation file names, sorted.
std::vector<std::string> UnnamedFiles(const std::string& path, const ImageFolder& folder) {
  std::vector<std::string> unnamed;
  if (!folder.is_annotated) return unnamed;
  std::error_code error;
  for (fs::directory_iterator entry(path.empty() ? "." : path, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!IsImageName(name) || folder.named.count(name) > 0) continue;
    const std::string stem = entry->path().stem().string();
    const bool has_file =
        std::any_of(folder.beside.begin(), folder.beside.end(), [&](const auto& place) {
          std::error_code ignored;
          return fs::exists(fs::path(place.first) / (stem + place.second), ignored);
        });
    if (!has_file) unnamed.push_back(name);
  }
  std::sort(unnamed.begin(), unnamed.end());
  return unnamed;
}

void FindUnnamedFiles(const Dataset* train, const Dataset* validation, ImageProblems& result) {
  ImageFolders folders;
  if (train != nullptr) AddFolders(*train, folders);
  std::set<std::string> of_train;
  for (const auto& [path, folder] : folders) of_train.insert(path);
  if (validation != nullptr) AddFolders(*validation, folders);
  for (const Dataset* dataset : {train, validation}) {
    if (dataset != nullptr) AddNames(*dataset, folders);
  }
  for (const auto& [path, folder] : folders) {
    std::vector<DataProblem>& problems =
        of_train.count(path) > 0 ? result.train : result.validation;
    for (const std::string& name : UnnamedFiles(path, folder)) {
      problems.push_back({Severity::kWarning, ProblemKind::kAnnotationMissingForImage,
                          (fs::path(path) / name).string(), 0, "no annotation names this image"});
    }
  }
}

void TakeProblems(std::vector<Look>& looks, std::vector<DataProblem>& problems) {
  for (Look& look : looks) {
    for (DataProblem& problem : look.problems) problems.push_back(std::move(problem));
  }
}

}  // namespace

ImageProblems FindImageProblems(const Dataset* train, const Dataset* validation,
                                const ImageCheckOptions& options) {
  CHECK_GE(options.threads, 0);
  cv::setNumThreads(0);  // there is a thread for each core already
  std::vector<Look> trained, validated;
  if (train != nullptr) trained = InspectAll(*train, options);
  if (validation != nullptr) validated = InspectAll(*validation, options);
  ImageProblems result;
  for (const std::vector<Look>* looks : {&trained, &validated}) {
    result.images_read +=
        std::count_if(looks->begin(), looks->end(), [](const Look& look) { return look.was_read; });
  }
  TakeProblems(trained, result.train);
  TakeProblems(validated, result.validation);
  FindDuplicates(trained, validated, result);
  FindUnnamedFiles(train, validation, result);
  return result;
}

}  // namespace ssd
