#include "data/check/image_problems.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/check/memory_dataset.h"
#include "ssd/core/annotations.h"
#include "ssd/core/file.h"
#include "ssd/core/geometry.h"

namespace ssd {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// A smooth picture, of its own for each seed.
cv::Mat Picture(int seed, int width = 160, int height = 120) {
  cv::Mat patches(6, 8, CV_8UC3);
  cv::RNG(static_cast<uint64_t>(seed) + 1).fill(patches, cv::RNG::UNIFORM, 0, 256);
  cv::Mat picture;
  cv::resize(patches, picture, cv::Size(width, height), 0, 0, cv::INTER_LINEAR);
  return picture;
}

class ImageProblemsTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string name = absl::StrCat(
        "image_problems_", testing::UnitTest::GetInstance()->current_test_info()->name());
    folder_ = (std::filesystem::path(testing::TempDir()) / name).lexically_normal().string();
    Clear();
  }

  void Clear() const {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }

  std::string Path(const std::string& name) const { return absl::StrCat(folder_, "/", name); }

  void Write(const std::string& name, const std::string& content) const {
    const absl::Status status = WriteFileAtomically(Path(name), content);
    ASSERT_TRUE(status.ok()) << status;
  }

  // Writes the picture and adds it, annotated in `table`.
  void Add(MemoryDataset& dataset, const std::string& name, const cv::Mat& picture,
           const std::vector<int>& parameters = {}) const {
    ASSERT_TRUE(cv::imwrite(Path(name), picture, parameters));
    AddAnnotated(dataset, name, {picture.rows, picture.cols});
  }

  void AddAnnotated(MemoryDataset& dataset, const std::string& name, ImageSize size) const {
    Annotations truth;
    truth.file_name = name;
    truth.size = size;
    dataset.Add(truth, Path("truths.csv"), Path(name));
  }

  std::string folder_;
};

// The only problem of `problems`; a default one, and a failure, otherwise.
DataProblem OnlyOne(const std::vector<DataProblem>& problems) {
  EXPECT_THAT(problems, SizeIs(1));
  return problems.empty() ? DataProblem() : problems.front();
}

TEST_F(ImageProblemsTest, FindsNothingInSoundImages) {
  MemoryDataset train({"cat"}), validation({"cat"});
  for (int i = 0; i < 8; ++i) Add(train, absl::StrCat("train", i, ".png"), Picture(i));
  for (int i = 0; i < 4; ++i) {
    Add(validation, absl::StrCat("validation", i, ".jpg"), Picture(100 + i, 90, 70));
  }
  const ImageProblems problems = FindImageProblems(&train, &validation);
  EXPECT_THAT(problems.train, IsEmpty());
  EXPECT_THAT(problems.validation, IsEmpty());
  EXPECT_EQ(problems.images_read, 12);
  EXPECT_EQ(FindImageProblems(nullptr, nullptr).images_read, 0);
}

TEST_F(ImageProblemsTest, KnowsTheSamePictureInAnotherForm) {
  const cv::Mat picture = Picture(1);
  cv::Mat smaller, flipped;
  cv::resize(picture, smaller, cv::Size(120, 90), 0, 0, cv::INTER_AREA);
  cv::flip(picture, flipped, 1);
  struct Form {
    std::string name;
    cv::Mat picture;
    std::vector<int> parameters;
    std::string likeness;  // empty: another picture
  };
  const std::vector<Form> forms = {
      {"copy.png", picture, {}, "same file"},
      {"copy.bmp", picture, {}, "same pixels"},
      {"copy.jpg", picture, {cv::IMWRITE_JPEG_QUALITY, 90}, "nearly the same"},
      {"smaller.png", smaller, {}, "nearly the same"},
      {"flipped.png", flipped, {}, ""},
      {"brighter.png", picture + cv::Scalar(20, 20, 20), {}, ""},
  };
  for (const Form& form : forms) {
    SCOPED_TRACE(form.name);
    Clear();
    MemoryDataset first({"cat"}), second({"cat"}), both({"cat"});
    Add(first, "a.png", picture);
    Add(second, form.name, form.picture, form.parameters);
    Add(both, "a.png", picture);
    Add(both, form.name, form.picture, form.parameters);
    const ImageProblems apart = FindImageProblems(&first, &second);
    const ImageProblems together = FindImageProblems(&both, nullptr);
    EXPECT_THAT(apart.train, IsEmpty());
    if (form.likeness.empty()) {
      EXPECT_THAT(apart.validation, IsEmpty());
      EXPECT_THAT(together.train, IsEmpty());
      continue;
    }
    const DataProblem leak = OnlyOne(apart.validation);
    EXPECT_EQ(leak.kind, ProblemKind::kLeak);
    EXPECT_EQ(leak.file, Path(form.name));
    EXPECT_THAT(leak.message, HasSubstr(form.likeness));
    EXPECT_THAT(leak.message, HasSubstr(Path("a.png")));
    EXPECT_EQ(leak.severity,
              form.likeness == "nearly the same" ? Severity::kWarning : Severity::kError);
    const DataProblem duplicate = OnlyOne(together.train);
    EXPECT_EQ(duplicate.kind, ProblemKind::kDuplicateImage);
    EXPECT_EQ(duplicate.file, Path(form.name));
    EXPECT_THAT(duplicate.message, HasSubstr(form.likeness));
  }
}

TEST_F(ImageProblemsTest, DoesNotTellDarkPicturesApart) {
  // A few grey levels of noise: alike, but not the same picture.
  MemoryDataset train({"cat"});
  for (int i = 0; i < 3; ++i) {
    cv::Mat dark(60, 80, CV_8UC3);
    cv::RNG(static_cast<uint64_t>(i) + 1).fill(dark, cv::RNG::UNIFORM, 0, 8);
    Add(train, absl::StrCat(i, ".png"), dark);
  }
  EXPECT_THAT(FindImageProblems(&train, nullptr).train, IsEmpty());
}

TEST_F(ImageProblemsTest, ReadsOnlyHeadersIfSoAsked) {
  MemoryDataset train({"cat"});
  Add(train, "a.jpg", Picture(1));
  Add(train, "b.png", cv::Mat(60, 80, CV_8UC3, cv::Scalar(7, 7, 7)));
  const auto bytes = ReadFile(Path("a.jpg"));
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  Write("a.jpg", bytes->substr(0, bytes->size() - 200));  // the header is whole
  ImageCheckOptions options;
  options.decode = false;
  EXPECT_THAT(FindImageProblems(&train, nullptr, options).train, IsEmpty());
  const std::vector<DataProblem> decoded = FindImageProblems(&train, nullptr).train;
  ASSERT_THAT(decoded, SizeIs(2));
  EXPECT_EQ(decoded[0].kind, ProblemKind::kUnreadableImage);
  EXPECT_EQ(decoded[0].file, Path("a.jpg"));
  EXPECT_THAT(decoded[0].message, Not(HasSubstr("a.jpg")));
  EXPECT_EQ(decoded[1].kind, ProblemKind::kUniformImage);
  EXPECT_THAT(decoded[1].message, HasSubstr("(7, 7, 7)"));
}

TEST_F(ImageProblemsTest, NamesTheAnnotationOfAnotherSize) {
  MemoryDataset train({"cat"});
  Add(train, "a.png", Picture(1));
  ASSERT_TRUE(cv::imwrite(Path("b.png"), Picture(2, 100, 80)));
  Annotations truth;
  truth.file_name = "b.png";
  truth.size = {120, 160};
  truth.line = 7;
  train.Add(truth, Path("truths.csv"), Path("b.png"));
  const DataProblem problem = OnlyOne(FindImageProblems(&train, nullptr).train);
  EXPECT_EQ(problem.kind, ProblemKind::kSizeMismatch);
  EXPECT_EQ(problem.severity, Severity::kError);
  EXPECT_EQ(problem.file, Path("truths.csv"));
  EXPECT_EQ(problem.line, 7);
  EXPECT_EQ(problem.message,
            absl::StrCat("image ", Path("b.png"), " is 100x80 pixels, but annotated as 160x120"));

  MemoryDataset without({"cat"});  // an annotation file
  without.Add(truth, "", Path("b.png"));
  const DataProblem other = OnlyOne(FindImageProblems(&without, nullptr).train);
  EXPECT_EQ(other.file, Path("b.png"));
  EXPECT_EQ(other.line, 0);
}

TEST_F(ImageProblemsTest, DoesNotDependOnThreads) {
  MemoryDataset train({"cat"}), validation({"cat"});
  for (int i = 0; i < 40; ++i) {
    const std::string name = absl::StrCat("train", i, ".png");
    Add(train, name, Picture(i / 2, 40, 30));  // each twice
    if (i % 7 == 0) Write(name, "no image");
    if (i % 11 == 0) std::filesystem::remove(Path(name));
  }
  for (int i = 0; i < 20; ++i) {
    Add(validation, absl::StrCat("validation", i, ".png"), Picture(10 + i, 40, 30));
  }
  using Facts = std::vector<std::tuple<ProblemKind, std::string, std::string>>;
  const auto check = [&](int threads) {
    ImageCheckOptions options;
    options.threads = threads;
    const ImageProblems found = FindImageProblems(&train, &validation, options);
    Facts facts;
    for (const std::vector<DataProblem>* problems : {&found.train, &found.validation}) {
      for (const DataProblem& problem : *problems) {
        facts.emplace_back(problem.kind, problem.file, problem.message);
      }
    }
    return facts;
  };
  const Facts expected = check(1);
  // 5 unreadable, 4 missing, 11 of the 20 pairs are whole, pictures 10 to 19 are in both.
  EXPECT_EQ(expected.size(), 30u);
  for (const int threads : {0, 2, 16, 100}) EXPECT_EQ(check(threads), expected);
}

TEST_F(ImageProblemsTest, FindsImagesThatNobodyNames) {
  MemoryDataset train({"cat"}), validation({"cat"});
  Add(train, "a.png", Picture(1));
  Add(validation, "b.png", Picture(2));
  // Of the annotations, but of a part that neither dataset takes.
  ASSERT_TRUE(cv::imwrite(Path("c d.png"), Picture(3)));
  validation.LeaveOut(Path("./c d.png"));
  ASSERT_TRUE(cv::imwrite(Path("e.png"), Picture(4)));
  train.LeaveOut(Path("other/e.png"));  // in another folder
  Write("notes.txt", "no image");
  const ImageProblems found = FindImageProblems(&train, &validation);
  const DataProblem unnamed = OnlyOne(found.train);
  EXPECT_EQ(unnamed.kind, ProblemKind::kAnnotationMissingForImage);
  EXPECT_EQ(unnamed.file, Path("e.png"));
  EXPECT_THAT(found.validation, IsEmpty());

  // Files for one image each are known by their name.
  MemoryDataset single({"cat"});
  Annotations truth;
  truth.file_name = "a.png";
  truth.size = {120, 160};
  single.Add(truth, Path("labels/a.txt"), Path("a.png"));
  std::filesystem::create_directories(Path("labels"));
  for (const char* name : {"a", "b", "e"}) Write(absl::StrCat("labels/", name, ".txt"), "");
  EXPECT_EQ(OnlyOne(FindImageProblems(&single, nullptr).train).file, Path("c d.png"));
}

}  // namespace
}  // namespace ssd
