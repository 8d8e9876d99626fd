#include "data/digit_scenes.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <opencv2/imgproc.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "data/dataset.h"
#include "data/idx.h"
#include "data/strokes.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string BigEndian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

std::string Idx(const std::vector<uint32_t>& shape, const std::string& values) {
  std::string file("\0\0\x08", 3);
  file += static_cast<char>(shape.size());
  for (const uint32_t dimension : shape) file += BigEndian(dimension);
  return file + values;
}

void WriteGzip(const std::string& path, const std::string& content) {
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(gzwrite(file, content.data(), static_cast<unsigned>(content.size())),
            static_cast<int>(content.size()));
  ASSERT_EQ(gzclose(file), Z_OK);
}

DatasetConfig Parse(const std::string& text) {
  DatasetConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  return config;
}

std::unique_ptr<Dataset> MakeOrDie(const std::string& text,
                                   const std::vector<std::string>& labels = {}) {
  absl::StatusOr<std::unique_ptr<Dataset>> dataset = CreateDataset(Parse(text), {labels});
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  return dataset.ok() ? *std::move(dataset) : nullptr;
}

std::string ErrorOf(const std::string& text, const std::vector<std::string>& labels = {}) {
  const auto dataset = CreateDataset(Parse(text), {labels});
  return dataset.ok() ? "no error" : dataset.status().ToString();
}

class IdxTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& content) {
    EXPECT_TRUE(WriteFileAtomically(path_, content).ok());
    return path_;
  }
  std::string ErrorFor(const std::string& content) {
    const auto array = ReadIdx(Write(content));
    return array.ok() ? "no error" : array.status().ToString();
  }
  const std::string path_ = testing::TempDir() + "/array-idx";
};

TEST_F(IdxTest, ReadsPlainAndGzip) {
  const std::string content = Idx({2, 3}, "abcdef");
  for (const bool gzip : {false, true}) {
    if (gzip) {
      WriteGzip(path_, content);
    } else {
      Write(content);
    }
    const auto array = ReadIdx(path_);
    ASSERT_TRUE(array.ok()) << array.status();
    EXPECT_EQ(array->shape, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(std::string(array->values.begin(), array->values.end()), "abcdef");
  }
}

TEST_F(IdxTest, BadFilesAreErrorsThatNameTheFile) {
  EXPECT_THAT(ErrorFor(""), AllOf(HasSubstr(path_), HasSubstr("shorter than a header")));
  EXPECT_THAT(ErrorFor("\x89PNG and more"), AllOf(HasSubstr(path_), HasSubstr("137 80 78")));
  EXPECT_THAT(ErrorFor(std::string("\0\0\x0d\x01", 4)), HasSubstr("0 0 13"));  // floats
  EXPECT_THAT(ErrorFor(std::string("\0\0\x08\x09", 4)), HasSubstr("9 dimensions"));
  EXPECT_THAT(ErrorFor(std::string("\0\0\x08\x03\0\0", 6)), HasSubstr("within its header"));
  EXPECT_THAT(ErrorFor(Idx({2, 3}, "abcde")),
              AllOf(HasSubstr(path_), HasSubstr("5 of the 6 values"), HasSubstr("DATA_LOSS")));
  EXPECT_THAT(ErrorFor(Idx({2, 3}, "abcdefg")), HasSubstr("goes on after"));
  EXPECT_THAT(ErrorFor(Idx({0, 28, 28}, "")), HasSubstr("dimension of 0"));
  // 2^96 values: neither an overflow nor an allocation.
  EXPECT_THAT(ErrorFor(Idx({0xffffffff, 0xffffffff, 0xffffffff}, "")),
              HasSubstr("dimension of 4294967295"));
  EXPECT_THAT(ErrorFor(Idx({1 << 30}, "abc")), HasSubstr("3 of the 1073741824"));
  EXPECT_THAT(ReadIdx("/no/such/file").status().ToString(), HasSubstr("/no/such/file"));
  EXPECT_FALSE(ReadIdx(testing::TempDir()).ok());
}

TEST_F(IdxTest, DamagedGzipIsDataLoss) {
  std::string values(10000, ' ');
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<char>(i * i >> 3);
  WriteGzip(path_, Idx({10000}, values));
  const std::string whole = *ReadFile(path_);
  EXPECT_THAT(ErrorFor(whole.substr(0, whole.size() / 2)), HasSubstr("DATA_LOSS"));
  std::string flipped = whole;
  flipped[whole.size() - 6] ^= 1;  // the checksum
  EXPECT_THAT(ErrorFor(flipped), HasSubstr("DATA_LOSS"));
}

TEST(StrokesTest, InkIsTheDistanceToTheLine) {
  cv::Mat ink = cv::Mat::zeros(20, 20, CV_8UC1);
  DrawStroke({{5, 10}, {15, 10}}, 2, ink);
  EXPECT_EQ(ink.at<uint8_t>(9, 10), 255);  // centre half a pixel off the line
  EXPECT_EQ(ink.at<uint8_t>(8, 10), 255);  // 1.5
  EXPECT_EQ(ink.at<uint8_t>(7, 10), 0);    // 2.5
  EXPECT_EQ(ink.at<uint8_t>(10, 1), 0);    // 3.5 before its start
  EXPECT_EQ(ink.at<uint8_t>(10, 3), 234);  // sqrt(2.5) from it: 255 (2.5 - sqrt(2.5))
  // As much ink as the stroke has area: 10 x 4 and a circle of radius 2.
  EXPECT_NEAR(cv::sum(ink)[0] / 255, 40 + M_PI * 4, 1);
}

TEST(StrokesTest, DrawsPartsOutsideAndLeavesThemOut) {
  cv::Mat ink = cv::Mat::zeros(10, 10, CV_8UC1);
  DrawStroke({{-100, 5}, {100, 5}}, 1, ink);
  DrawStroke({{50, 50}}, 3, ink);
  EXPECT_EQ(cv::countNonZero(ink.row(5)), 10);
  EXPECT_EQ(cv::countNonZero(ink.row(9)), 0);
  cv::Mat rgb = cv::Mat::zeros(10, 10, CV_8UC3);
  BlendInk(ink, {7, -2}, {255, 100, 0}, 0.5f, rgb);
  EXPECT_EQ(rgb.at<cv::Vec3b>(3, 8), cv::Vec3b(128, 50, 0));
  EXPECT_EQ(rgb.at<cv::Vec3b>(3, 6), cv::Vec3b(0, 0, 0));
}

TEST(StrokesTest, SplinesPassThroughTheirPoints) {
  const std::vector<cv::Point2f> points = {{0, 0}, {4, 1}, {5, 7}, {-2, 3}};
  for (const bool closed : {false, true}) {
    const Polyline line = Spline(points, closed, 5);
    ASSERT_EQ(line.size(), closed ? 21u : 16u);
    for (size_t i = 0; i < points.size(); ++i) {
      EXPECT_NEAR(line[5 * i].x, points[i].x, 1e-6);
      EXPECT_NEAR(line[5 * i].y, points[i].y, 1e-6);
    }
    EXPECT_EQ(line.back(), closed ? points.front() : points.back());
  }
}

// MNIST-like files in which digit i is a solid square of its own grey: scenes tell which digits of
// the file they are made of.
class MnistTest : public ::testing::Test {
 protected:
  static constexpr int kDigits = 100;

  void SetUp() override {
    std::filesystem::create_directories(folder_);
    std::string images, labels;
    for (int i = 0; i < kDigits; ++i) {
      cv::Mat image = cv::Mat::zeros(28, 28, CV_8UC1);
      image(cv::Rect(6, 4, 16, 20)) = 100 + i;
      images.append(image.ptr<char>(), image.total());
      labels += static_cast<char>(i % 10);
    }
    WriteGzip(folder_ + "/t10k-images-idx3-ubyte.gz", Idx({kDigits, 28, 28}, images));
    ASSERT_TRUE(
        WriteFileAtomically(folder_ + "/t10k-labels-idx1-ubyte", Idx({kDigits}, labels)).ok());
  }

  std::string Config(const std::string& more) const {
    return absl::StrCat("mnist { folder: '", folder_, "' part: TEST ", more, " }");
  }

  // The digits of the file that a dataset's scenes show.
  static std::set<int> DigitsIn(const Dataset& dataset) {
    std::set<int> digits;
    for (int64_t i = 0; i < dataset.size(); ++i) {
      const Sample sample = *dataset.Get(i);
      const cv::Mat image = *sample.image.Render();
      for (const Annotation& object : sample.truth.objects) {
        const int x = static_cast<int>(object.box.x0 + object.box.x1) / 2;
        const int y = static_cast<int>(object.box.y0 + object.box.y1) / 2;
        const int digit = image.at<cv::Vec3b>(y, x)[0] - 100;
        EXPECT_EQ(object.label, digit % 10 + 1);
        digits.insert(digit);
      }
    }
    return digits;
  }

  const std::string folder_ = testing::TempDir() + "/mnist";
};

TEST_F(MnistTest, DisjointPartsShareNoDigitAndLeaveNoneOut) {
  for (const char* shuffle : {"", "shuffle_seed: 3"}) {
    const auto part = [&](const char* range) {
      return DigitsIn(*MakeOrDie(
          Config(absl::StrCat("scenes: 1000 max_digits: 1 digits { ", range, " ", shuffle, " }"))));
    };
    const std::set<int> train = part("to: 0.8"), test = part("from: 0.8");
    EXPECT_EQ(train.size(), 80u);
    EXPECT_EQ(test.size(), 20u);
    std::vector<int> shared;
    std::set_intersection(train.begin(), train.end(), test.begin(), test.end(),
                          std::back_inserter(shared));
    EXPECT_TRUE(shared.empty());
    EXPECT_EQ(*test.begin() == 80, *shuffle == '\0');
  }
}

TEST_F(MnistTest, ScenesAreGreyOnBlackWithTightBoxes) {
  const auto dataset = MakeOrDie(Config("scenes: 50 canvas_size: 100"));
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const Sample sample = *dataset->Get(i);
    cv::Mat channels[3];
    cv::split(*sample.image.Render(), channels);
    EXPECT_EQ(cv::norm(channels[0], channels[1], cv::NORM_INF), 0);
    EXPECT_EQ(cv::norm(channels[0], channels[2], cv::NORM_INF), 0);
    cv::Mat rest = channels[0].clone();
    for (const Annotation& object : sample.truth.objects) {
      const PixelBox& box = object.box;
      const cv::Rect rect(cv::Point(static_cast<int>(box.x0), static_cast<int>(box.y0)),
                          cv::Point(static_cast<int>(box.x1), static_cast<int>(box.y1)));
      const cv::Mat ink = channels[0](rect) > kInkThreshold;
      // Every edge of the box has ink.
      EXPECT_GT(cv::countNonZero(ink.row(0)), 0);
      EXPECT_GT(cv::countNonZero(ink.row(ink.rows - 1)), 0);
      EXPECT_GT(cv::countNonZero(ink.col(0)), 0);
      EXPECT_GT(cv::countNonZero(ink.col(ink.cols - 1)), 0);
      EXPECT_DOUBLE_EQ(object.area, rect.area());
      rest(rect) = 0;
    }
    double brightest = 0;
    cv::minMaxLoc(rest, nullptr, &brightest);
    EXPECT_LE(brightest, kInkThreshold);
  }
}

TEST_F(MnistTest, TheFingerprintIsOfTheDigitsNotOfTheirFolder) {
  const std::string copy = testing::TempDir() + "/mnist_copy";
  std::filesystem::copy(
      folder_, copy,
      std::filesystem::copy_options::overwrite_existing | std::filesystem::copy_options::recursive);
  const auto fingerprint = [](const std::string& config) {
    return MakeOrDie(config)->Fingerprint();
  };
  const std::string here = fingerprint(Config(""));
  EXPECT_EQ(here, fingerprint(absl::StrCat("mnist { folder: '", copy, "' part: TEST }")));
  EXPECT_NE(here, fingerprint(Config("digits { to: 0.5 }")));
  EXPECT_NE(here, fingerprint(Config("scene_seed: 2")));
}

TEST_F(MnistTest, BadInputsNameFileAndRemedy) {
  EXPECT_THAT(ErrorOf("mnist {}"), HasSubstr("mnist.folder is not set"));
  EXPECT_THAT(ErrorOf(absl::StrCat("mnist { folder: '", folder_, "' }")),  // part: TRAIN
              AllOf(HasSubstr("train-images-idx3-ubyte[.gz]"), HasSubstr("mnist.part")));
  EXPECT_THAT(ErrorOf(Config("digits { from: 0.5 to: 0.5 }")), HasSubstr("mnist.digits"));
  EXPECT_THAT(ErrorOf(Config("digits { from: 0.001 to: 0.002 }")), HasSubstr("holds none"));
  EXPECT_THAT(ErrorOf(Config("digits { to: nan }")), HasSubstr("0 <= from < to <= 1"));
  EXPECT_THAT(ErrorOf(Config(""), {"0", "1"}), HasSubstr("class '2'"));

  const std::string labels = folder_ + "/t10k-labels-idx1-ubyte";
  ASSERT_TRUE(WriteFileAtomically(labels, Idx({99}, std::string(99, '\0'))).ok());
  EXPECT_THAT(ErrorOf(Config("")), AllOf(HasSubstr(labels), HasSubstr("100 labels")));
  ASSERT_TRUE(WriteFileAtomically(labels, Idx({100}, std::string(100, '\x0b'))).ok());
  EXPECT_THAT(ErrorOf(Config("")), AllOf(HasSubstr(labels), HasSubstr("label 0 is 11")));
  ASSERT_TRUE(
      WriteFileAtomically(folder_ + "/t10k-images-idx3-ubyte", Idx({1, 2, 3}, std::string(6, '\0')))
          .ok());
  EXPECT_THAT(ErrorOf(Config("")), HasSubstr("square images"));
}

TEST(DigitsTest, ScenesAreAFunctionOfSeedAndIndex) {
  const auto dataset = MakeOrDie("digits { scenes: 20 scene_seed: 5 }");
  const auto same = MakeOrDie("digits { scenes: 30 scene_seed: 5 }");
  const auto other = MakeOrDie("digits { scenes: 20 scene_seed: 6 }");
  for (int64_t i = 0; i < 20; ++i) {
    const cv::Mat image = *dataset->Get(i)->image.Render();
    EXPECT_EQ(cv::norm(image, *same->Get(i)->image.Render(), cv::NORM_INF), 0);
    EXPECT_GT(cv::norm(image, *other->Get(i)->image.Render(), cv::NORM_INF), 0);
  }
}

TEST(DigitsTest, ScenesHaveTheDigitsAskedFor) {
  const auto dataset = MakeOrDie("digits { scenes: 3000 min_digits: 1 max_digits: 3 }");
  std::map<size_t, int> counts;
  std::map<int64_t, int> labels;
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const Annotations truth = *dataset->GetAnnotations(i);
    ++counts[truth.objects.size()];
    for (size_t a = 0; a < truth.objects.size(); ++a) {
      const PixelBox& box = truth.objects[a].box;
      ++labels[truth.objects[a].label];
      // 20/28 of a field of 24 to 56 pixels, rounded to whole ones.
      const double longer = std::max(box.width(), box.height());
      EXPECT_GE(longer, 24 * 20 / 28.0 - 2);
      EXPECT_LE(longer, 56 * 20 / 28.0 + 2);
      for (size_t b = 0; b < a; ++b) {
        const PixelBox& other = truth.objects[b].box;
        const double width = std::min(box.x1, other.x1) - std::max(box.x0, other.x0);
        const double height = std::min(box.y1, other.y1) - std::max(box.y0, other.y0);
        if (width <= 0 || height <= 0) continue;
        EXPECT_LE(width * height, 0.1 * std::min(box.area(), other.area()));
      }
    }
  }
  ASSERT_EQ(counts.size(), 3u);
  for (const auto& [digits, scenes] : counts) EXPECT_NEAR(scenes, 1000, 120) << digits;
  ASSERT_EQ(labels.size(), 10u);
  for (const auto& [label, objects] : labels) EXPECT_NEAR(objects, 600, 120) << label;
}

TEST(DigitsTest, ASingleDigitAndEmptyScenes) {
  const auto single = MakeOrDie("digits { scenes: 100 max_digits: 1 }");
  for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(single->GetAnnotations(i)->objects.size(), 1u);
  const auto maybe = MakeOrDie("digits { scenes: 100 min_digits: 0 max_digits: 1 }");
  size_t objects = 0;
  for (int64_t i = 0; i < 100; ++i) objects += maybe->GetAnnotations(i)->objects.size();
  EXPECT_GT(objects, 25u);
  EXPECT_LT(objects, 75u);
}

TEST(DigitsTest, ACrowdedCanvasLeavesDigitsOut) {
  const auto dataset = MakeOrDie(
      "digits { scenes: 10 min_digits: 50 max_digits: 50 canvas_size: 60 min_size: 30 max_size: 60 "
      "}");
  for (int64_t i = 0; i < 10; ++i) {
    const size_t objects = dataset->GetAnnotations(i)->objects.size();
    EXPECT_GE(objects, 1u);
    EXPECT_LT(objects, 30u);
  }
}

TEST(DigitsTest, LabelsFollowTheExperimentsOrder) {
  const std::vector<std::string> reversed = {"9", "8", "7", "6", "5", "4", "3", "2", "1", "0"};
  const auto usual = MakeOrDie("digits { scenes: 20 }");
  const auto turned = MakeOrDie("digits { scenes: 20 }", reversed);
  EXPECT_EQ(turned->labels().names, reversed);
  for (int64_t i = 0; i < 20; ++i) {
    const Annotations a = *usual->GetAnnotations(i), b = *turned->GetAnnotations(i);
    ASSERT_EQ(a.objects.size(), b.objects.size());
    for (size_t k = 0; k < a.objects.size(); ++k) {
      EXPECT_EQ(a.objects[k].label + b.objects[k].label, 11);
    }
  }
}

TEST(DigitsTest, BadOptionsNameTheField) {
  EXPECT_THAT(ErrorOf("digits { min_digits: -1 }"), HasSubstr("digits.min_digits is -1"));
  EXPECT_THAT(ErrorOf("digits { min_digits: 4 }"), HasSubstr("digits.max_digits is 3"));
  EXPECT_THAT(ErrorOf("digits { min_digits: 0 max_digits: 0 }"), HasSubstr("digits.max_digits"));
  EXPECT_THAT(ErrorOf("digits { scenes: 0 }"), HasSubstr("digits.scenes is 0"));
  EXPECT_THAT(ErrorOf("digits { canvas_size: 8 }"), HasSubstr("digits.canvas_size is 8"));
  EXPECT_THAT(ErrorOf("digits { min_size: 4 }"), HasSubstr("digits.min_size is 4"));
  EXPECT_THAT(ErrorOf("digits { min_size: nan }"), HasSubstr("digits.min_size is nan"));
  EXPECT_THAT(ErrorOf("digits { max_size: 200 }"), HasSubstr("digits.max_size is 200"));
  EXPECT_THAT(ErrorOf("digits { max_size: nan }"), HasSubstr("digits.max_size is nan"));
}

}  // namespace
}  // namespace ssd
