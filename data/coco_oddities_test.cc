// A COCO file with what real ones have beside sound photographs: images of every odd kind, bad
// ones, faulty entries, names in any script.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "data/batch_loader.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "data/image_header.h"
#include "data/image_testing.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kWidth = 40;
constexpr int kHeight = 24;

// What is wrong with an image.
enum class Fault {
  kNone,
  kStatedSize,  // that of the COCO file is not the image's
  kPixels,      // shows when they are decoded
  kHeader       // not even its size can be read
};

struct OddImage {
  std::string file;
  std::string bytes;
  // Of a sound one: its pixels, RGB, and how far off they may be.
  cv::Mat shown;
  double tolerance = 0;
  // Of another: a part of the error.
  Fault fault = Fault::kNone;
  std::string error = "";
};

// By name, for what is odd about their entries and not their files.
constexpr char kCrowd[] = "crowd.png";
constexpr char kWithoutObjects[] = "without_objects.png";
constexpr char kMissing[] = "missing.jpg";

std::vector<OddImage> Images() {
  const cv::Mat image = Gradient(kWidth, kHeight);
  const std::string png = Encode(".png", Swapped(image));
  const std::string jpeg = Jpeg(image);
  const std::string turned_jpeg = WithExif(jpeg, Tiff(/*orientation=*/6, /*little=*/true));
  cv::Mat turned;
  cv::rotate(image, turned, cv::ROTATE_90_CLOCKWISE);

  cv::Mat grey, grey_shown, wide, transparent;
  cv::extractChannel(image, grey, 0);
  cv::cvtColor(grey, grey_shown, cv::COLOR_GRAY2RGB);
  Swapped(image).convertTo(wide, CV_16U, 256, 200);  // 16 bits are cut, not rounded
  cv::cvtColor(image, transparent, cv::COLOR_RGB2BGRA);
  cv::insertChannel(cv::Mat(image.size(), CV_8UC1, cv::Scalar(128)), transparent, 3);

  // Inverted, as Adobe stores them: red = C * K / 255.
  const cv::Mat inks(kHeight, kWidth, CV_8UC4, cv::Scalar(200, 100, 50, 204));
  JpegForm cmyk;
  cmyk.stored = JCS_CMYK;
  cmyk.quality = 100;
  const cv::Mat printed(kHeight, kWidth, CV_8UC3, cv::Scalar(160, 80, 40));

  constexpr int kByPalette = 3;
  const std::string palette = PngChunk("PLTE", std::string("\x0a\x14\x1e\xc8\x96\x64", 6));
  cv::Mat by_palette(1, 2, CV_8UC3);
  by_palette.at<cv::Vec3b>(0, 0) = cv::Vec3b(200, 150, 100);
  by_palette.at<cv::Vec3b>(0, 1) = cv::Vec3b(10, 20, 30);

  const std::string forever = Integer(1, 4, false) + Integer(0, 4, false);  // one frame
  constexpr double kLossy = 8;
  const auto bad = [](std::string file, std::string bytes, Fault fault, std::string error) {
    return OddImage{std::move(file), std::move(bytes), cv::Mat(), 0, fault, std::move(error)};
  };
  return {
      {"plain.png", png, image},
      {"turned.jpg", turned_jpeg, turned, kLossy},
      {"cmyk.jpg", Jpeg(inks, cmyk), printed, 2},
      bad("truncated.jpg", jpeg.substr(0, jpeg.size() - 20), Fault::kPixels, "truncated JPEG"),
      {"grey.png", Encode(".png", grey), grey_shown},
      {"sixteen_bits.png", Encode(".png", wide), image},
      {"alpha.png", Encode(".png", transparent), image},
      {"palette.png", PngRow(2, 8, kByPalette, palette, std::string("\x01\x00", 2)), by_palette},
      {"animated.png", WithPngChunk(png, PngChunk("acTL", forever)), image},
      bad("animated.gif", AnimatedGif(), Fault::kHeader, "GIF, which is not read"),
      bad("animated.webp", AnimatedWebP(kWidth, kHeight), Fault::kHeader, "animated WebP"),
      bad("empty.png", "", Fault::kHeader, "empty file"),
      bad("huge.png", PngWithoutPixels(1 << 16, 1 << 15), Fault::kHeader, "65536x32768 pixels"),
      bad(kMissing, "", Fault::kHeader, "cannot read"),
      bad("resized.png", Encode(".png", Swapped(Gradient(30, 20))), Fault::kStatedSize,
          "30x20 pixels (after EXIF orientation), but 40x24 are announced"),
      bad("stored_size.jpg", turned_jpeg, Fault::kStatedSize,
          "24x40 pixels (after EXIF orientation), but 40x24 are announced"),
      {"copy.png", png, image},   // the same bytes
      {"plain.png", png, image},  // the same file
      {"фото 写真.jpg", jpeg, image, kLossy},
      {kCrowd, png, image},
      {kWithoutObjects, png, image},
  };
}

// With holes, and in no ascending order.
int64_t IdOf(size_t index) { return 900 - 12 * static_cast<int64_t>(index); }

// With holes.
constexpr int64_t kCategories[] = {3, 44, 90};

class CocoOdditiesTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = absl::StrCat(testing::TempDir(), "/coco_oddities_",
                         testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/images");
    for (const OddImage& image : images_) {
      if (image.file == kMissing) continue;
      const absl::Status status = WriteFileAtomically(PathOf(image), image.bytes);
      ASSERT_TRUE(status.ok()) << status;
    }
  }

  std::string PathOf(const OddImage& image) const {
    return absl::StrCat(root_, "/images/", image.file);
  }

  // An item a line; `more` are further annotations. Sizes are stated where `states_sizes`.
  std::string Json(bool states_sizes, const std::vector<std::string>& more = {}) const {
    std::string json = "{\"images\": [";
    for (size_t i = 0; i < images_.size(); ++i) {
      const OddImage& image = images_[i];
      absl::StrAppend(&json, i == 0 ? "\n" : ",\n", R"({"id": )", IdOf(i), R"(, "file_name": ")",
                      image.file, "\"");
      if (states_sizes) {
        const cv::Size size = image.shown.empty() ? cv::Size(kWidth, kHeight) : image.shown.size();
        absl::StrAppend(&json, R"(, "width": )", size.width, R"(, "height": )", size.height);
      }
      absl::StrAppend(&json, "}");
    }
    absl::StrAppend(&json, "\n], \"annotations\": [");
    const char* separator = "\n";
    for (size_t i = 0; i < images_.size(); ++i) {
      if (images_[i].file == kWithoutObjects) continue;
      absl::StrAppend(&json, separator, R"({"id": )", 7000 + 3 * i, R"(, "image_id": )", IdOf(i),
                      R"(, "category_id": )", kCategories[i % 3], R"(, "bbox": [0, 0, 1, 1])",
                      R"(, "iscrowd": )", images_[i].file == kCrowd ? 1 : 0, "}");
      separator = ",\n";
    }
    for (const std::string& annotation : more) absl::StrAppend(&json, separator, annotation);
    // As it is, escaped, and escaped as two halves.
    return absl::StrCat(json, R"(
], "categories": [
{"id": 90, "name": "\ud83d\udc08"},
{"id": 3, "name": "猫"},
{"id": 44, "name": "\u0441\u043e\u0431\u0430\u043a\u0430"}
]}
)");
  }

  absl::StatusOr<std::unique_ptr<Dataset>> Create(const std::string& json,
                                                  const DatasetContext& context = {}) const {
    EXPECT_TRUE(WriteFileAtomically(root_ + "/instances.json", json).ok());
    DatasetConfig config;
    config.mutable_coco()->set_annotations(root_ + "/instances.json");
    config.mutable_coco()->set_images(root_ + "/images");
    return CreateDataset(config, context);
  }

  const std::vector<OddImage> images_ = Images();
  std::string root_;
};

TEST_F(CocoOdditiesTest, EveryImageIsShownOrNamed) {
  const auto dataset = Create(Json(/*states_sizes=*/true));
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("猫", "собака", "🐈"));
  EXPECT_THAT((*dataset)->labels().source_ids, ElementsAre(3, 44, 90));
  ASSERT_EQ((*dataset)->size(), static_cast<int64_t>(images_.size()));
  for (size_t i = 0; i < images_.size(); ++i) {
    const OddImage& image = images_[i];
    SCOPED_TRACE(image.file);
    const auto sample = (*dataset)->Get(static_cast<int64_t>(i));
    ASSERT_TRUE(sample.ok()) << sample.status();
    EXPECT_EQ(sample->truth.image_id, IdOf(i));
    EXPECT_EQ(sample->truth.file_name, image.file);
    ASSERT_EQ(sample->truth.objects.size(), image.file == kWithoutObjects ? 0u : 1u);
    for (const Annotation& object : sample->truth.objects) {
      EXPECT_EQ(object.label, static_cast<int64_t>(1 + i % 3));
      EXPECT_EQ(object.crowd, image.file == kCrowd);
    }
    const auto pixels = sample->image.Render();
    if (image.fault == Fault::kNone) {
      ASSERT_TRUE(pixels.ok()) << pixels.status();
      EXPECT_EQ(sample->truth.size, (ImageSize{image.shown.rows, image.shown.cols}));
      EXPECT_LE(LargestDifference(*pixels, image.shown), image.tolerance);
    } else {
      EXPECT_TRUE(IsBadImage(pixels.status())) << pixels.status();
      EXPECT_THAT(std::string(pixels.status().message()),
                  AllOf(StartsWith(PathOf(image) + ": "), HasSubstr(image.error)));
    }
  }
}

// Those whose sizes are not stated are missed when the dataset is opened, the others when they are
// decoded; the sum counts each.
TEST_F(CocoOdditiesTest, SkippingPassesOverEachBadImageOnce) {
  for (const bool states_sizes : {true, false}) {
    SCOPED_TRACE(states_sizes ? "sizes stated" : "sizes read");
    std::vector<int64_t> readable, unknown_sizes;  // ids; places
    for (size_t i = 0; i < images_.size(); ++i) {
      const Fault fault = images_[i].fault;
      const bool is_readable =
          fault == Fault::kNone || (fault == Fault::kStatedSize && !states_sizes);
      if (is_readable) readable.push_back(IdOf(i));
      if (fault == Fault::kHeader && !states_sizes) {
        unknown_sizes.push_back(static_cast<int64_t>(i));
      }
    }
    std::vector<int64_t> left_out;
    DatasetContext context;
    context.bad_images = &left_out;
    const auto dataset = Create(Json(states_sizes), context);
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ(left_out, unknown_sizes);

    for (const BadImages bad_images : {BadImages::kLeaveOut, BadImages::kReplace}) {
      DatasetConfig config;
      config.add_transform()->mutable_resize();
      BatchLoaderOptions options;
      options.input = {32, 32};
      options.batch_size = 4;
      options.bad_images = bad_images;
      options.images_left_out = static_cast<int64_t>(left_out.size());
      options.prefetch_next_epoch = false;
      options.workers = 2;
      auto transforms = CreateTransforms(config.transform(), {options.input, {123, 117, 104}});
      ASSERT_TRUE(transforms.ok()) << transforms.status();
      const auto loader = BatchLoader::Create(**dataset, *std::move(transforms), options);
      ASSERT_TRUE(loader.ok()) << loader.status();
      ASSERT_TRUE((*loader)->Start(0, 0).ok());
      std::vector<int64_t> ids;
      for (;;) {
        const absl::StatusOr<std::optional<Batch>> batch = (*loader)->Next();
        ASSERT_TRUE(batch.ok()) << batch.status();
        if (!batch->has_value()) break;
        ids.insert(ids.end(), (*batch)->image_ids.begin(), (*batch)->image_ids.end());
      }
      if (bad_images == BadImages::kLeaveOut) {
        EXPECT_EQ(ids, readable);
      } else {
        EXPECT_EQ(std::set<int64_t>(ids.begin(), ids.end()),
                  std::set<int64_t>(readable.begin(), readable.end()));
      }
      EXPECT_EQ((*loader)->statistics().skipped_images,
                static_cast<int64_t>(images_.size() - readable.size()));
    }
  }
}

TEST_F(CocoOdditiesTest, FaultyEntriesAreNamedOrRecorded) {
  const std::string of_no_image =
      R"({"id": 1, "image_id": 7777, "category_id": 3, "bbox": [0, 0, 1, 1]})";
  const std::string of_no_category = absl::StrCat(R"({"id": 2, "image_id": )", IdOf(0),
                                                  R"(, "category_id": 4, "bbox": [0, 0, 1, 1]})");
  const auto line_of = [](const std::string& json, const std::string& entry) {
    const auto end = json.begin() + static_cast<std::ptrdiff_t>(json.find(entry));
    return static_cast<int64_t>(1 + std::count(json.begin(), end, '\n'));
  };
  for (const auto& [entry, message] : {std::pair(of_no_image, "annotation 1: image_id 7777"),
                                       std::pair(of_no_category, "annotation 2: category_id 4")}) {
    const std::string json = Json(/*states_sizes=*/true, {entry});
    const absl::Status status = Create(json).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat("instances.json:", line_of(json, entry), ": ", message)));
  }

  const std::string json = Json(/*states_sizes=*/true, {of_no_image, of_no_category});
  ProblemLog log;
  DatasetContext context;
  context.problems = &log;
  const auto dataset = Create(json, context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), static_cast<int64_t>(images_.size()) - 1);  // one has no file
  const std::vector<DataProblem> problems = log.Take();
  std::vector<ProblemKind> kinds;
  for (const DataProblem& problem : problems) kinds.push_back(problem.kind);
  ASSERT_THAT(kinds, ElementsAre(ProblemKind::kCategoryHole, ProblemKind::kMissingImage,
                                 ProblemKind::kDuplicateImageId,  // two entries of one file
                                 ProblemKind::kUnknownImage, ProblemKind::kUnknownCategory));
  EXPECT_EQ(problems[1].line, line_of(json, kMissing));
  EXPECT_EQ(problems[3].line, line_of(json, of_no_image));
  EXPECT_EQ(problems[4].line, line_of(json, of_no_category));
}

}  // namespace
}  // namespace ssd
