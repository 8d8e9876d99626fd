#include <algorithm>
#include <filesystem>
#include <memory>
#include <opencv2/imgproc.hpp>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "data/digest.h"
#include "data/digit_scenes.h"
#include "data/idx.h"
#include "data/subset_indices.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

// Some of a file's digits.
struct ScannedDigits {
  std::vector<cv::Mat> images;  // CV_8UC1
  std::vector<int> classes;     // 0..9
};

// Scanned digits as they are: white on black, the brighter where two meet.
class ScannedStyle : public DigitStyle {
 public:
  explicit ScannedStyle(ScannedDigits digits) : digits_(std::move(digits)) {}

  DigitInk Draw(Random& random, int side) const override {
    const int64_t last = static_cast<int64_t>(digits_.images.size()) - 1;
    const size_t chosen = static_cast<size_t>(random.Integer(0, last));
    const cv::Mat& scanned = digits_.images[chosen];
    DigitInk drawn;
    drawn.digit = digits_.classes[chosen];
    cv::resize(scanned, drawn.ink, cv::Size(side, side), 0, 0,
               side < scanned.rows ? cv::INTER_AREA : cv::INTER_LINEAR);
    return drawn;
  }

  cv::Mat Paint(Random&, int canvas_size, const std::vector<PlacedDigit>& digits) const override {
    cv::Mat grey = cv::Mat::zeros(canvas_size, canvas_size, CV_8UC1);
    for (const PlacedDigit& digit : digits) {
      cv::Mat field = grey(cv::Rect(digit.origin, digit.drawn.ink.size()));
      cv::max(field, digit.drawn.ink, field);
    }
    cv::Mat rgb;
    cv::cvtColor(grey, rgb, cv::COLOR_GRAY2RGB);
    return rgb;
  }

  std::string Fingerprint() const override {
    Digest digest;
    for (size_t i = 0; i < digits_.images.size(); ++i) {
      const cv::Mat& image = digits_.images[i];
      digest.AddInteger(digits_.classes[i]);
      digest.AddBytes(absl::string_view(image.ptr<char>(), image.total()));
    }
    return digest.Hex();
  }

 private:
  const ScannedDigits digits_;
};

// `stem` in `folder`, plain or with .gz.
absl::StatusOr<std::string> FindIdx(const fs::path& folder, const std::string& stem) {
  for (const char* extension : {"", ".gz"}) {
    const fs::path path = folder / (stem + extension);
    if (std::error_code ignored; fs::is_regular_file(path, ignored)) return path.string();
  }
  return absl::NotFoundError(
      absl::StrCat((folder / stem).string(),
                   "[.gz]: no such file; correct mnist.folder, or mnist.part where the folder has "
                   "the other part only"));
}

absl::StatusOr<ScannedDigits> ReadDigits(const MnistOptions& options) {
  const fs::path folder(options.folder());
  const std::string part = options.part() == MnistOptions::TRAIN ? "train" : "t10k";
  SSD_ASSIGN_OR_RETURN(const std::string image_path, FindIdx(folder, part + "-images-idx3-ubyte"));
  SSD_ASSIGN_OR_RETURN(const std::string label_path, FindIdx(folder, part + "-labels-idx1-ubyte"));
  SSD_ASSIGN_OR_RETURN(const IdxArray images, ReadIdx(image_path));
  SSD_ASSIGN_OR_RETURN(const IdxArray labels, ReadIdx(label_path));
  constexpr int64_t kLongestSide = 256;
  if (images.shape.size() != 3 || images.shape[1] != images.shape[2] ||
      images.shape[1] > kLongestSide) {
    return absl::InvalidArgumentError(absl::StrCat(image_path, ": no list of square images up to ",
                                                   kLongestSide, " pixels; want MNIST's"));
  }
  if (labels.shape.size() != 1 || labels.shape[0] != images.shape[0]) {
    return absl::InvalidArgumentError(absl::StrCat(label_path, ": no list of ", images.shape[0],
                                                   " labels, one for each image of ", image_path));
  }
  const auto wrong = std::find_if(labels.values.begin(), labels.values.end(),
                                  [](uint8_t label) { return label > 9; });
  if (wrong != labels.values.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        label_path, ": label ", wrong - labels.values.begin(), " is ", *wrong, "; want 0 to 9"));
  }
  SSD_ASSIGN_OR_RETURN(const std::vector<int64_t> chosen,
                       SubsetIndices(images.shape[0], options.digits(), "mnist.digits", "digits"));
  ScannedDigits digits;
  const int side = static_cast<int>(images.shape[1]);
  for (const int64_t index : chosen) {
    cv::Mat image(side, side, CV_8UC1);
    std::copy_n(images.values.data() + index * side * side, side * side, image.ptr<uint8_t>());
    digits.images.push_back(image);
    digits.classes.push_back(labels.values[static_cast<size_t>(index)]);
  }
  return digits;
}

// Scenes of MNIST's digits (http://yann.lecun.com/exdb/mnist/), white on black in three equal
// channels. `digits {}` is the part of the file that scenes are made of: datasets with disjoint
// parts share no digit.
//   mnist { folder: "mnist" part: TEST digits { to: 0.8 } max_digits: 3 scenes: 10000 }
class MnistScenes {
 public:
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(const MnistOptions& options,
                                                         const DatasetContext& context) {
    if (options.folder().empty()) {
      return absl::InvalidArgumentError(
          "mnist.folder is not set; give the folder of MNIST's IDX files");
    }
    const DigitSceneOptions scenes = DigitSceneOptions::From(options);
    SSD_RETURN_IF_ERROR(scenes.Validate("mnist"));  // before the files are read
    SSD_ASSIGN_OR_RETURN(ScannedDigits digits, ReadDigits(options));
    return DigitScenes::Create(scenes, "mnist", std::make_shared<ScannedStyle>(std::move(digits)),
                               context);
  }
};

SSD_REGISTER_DATASET(MnistOptions, MnistScenes);

}  // namespace
}  // namespace ssd
