#include "data/sample_order.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

// Images that are nothing but their classes; "a" is label 1. A negative label is a crowd's.
class LabelledDataset : public Dataset {
 public:
  explicit LabelledDataset(std::vector<std::vector<int64_t>> images)
      : images_(std::move(images)), labels_{{"a", "b", "c"}, {1, 2, 3}} {}

  int64_t size() const override { return static_cast<int64_t>(images_.size()); }
  const LabelMap& labels() const override { return labels_; }
  absl::StatusOr<Annotations> GetAnnotations(int64_t index) const override {
    Annotations annotations;
    for (const int64_t label : images_[index]) {
      Annotation object;
      object.label = std::abs(label);
      object.crowd = label < 0;
      annotations.objects.push_back(object);
    }
    return annotations;
  }
  absl::StatusOr<Sample> Get(int64_t) const override {
    return absl::InternalError("the order needs no pixels");
  }
  std::string Fingerprint() const override { return "0000000000000000"; }

 private:
  const std::vector<std::vector<int64_t>> images_;
  const LabelMap labels_;
};

// So many images of each kind, one kind after another.
LabelledDataset Images(const std::vector<std::pair<int, std::vector<int64_t>>>& kinds) {
  std::vector<std::vector<int64_t>> images;
  for (const auto& [count, labels] : kinds) images.insert(images.end(), count, labels);
  return LabelledDataset(std::move(images));
}

SamplingConfig Parse(const std::string& text) {
  SamplingConfig config;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  return config;
}

SampleOrder Make(const Dataset& dataset, const std::string& sampling, uint64_t seed,
                 bool shuffle = true) {
  auto order = SampleOrder::Create(dataset, Parse(sampling), shuffle, seed);
  CHECK(order.ok()) << order.status();
  return *std::move(order);
}

std::vector<int64_t> ImagesOf(const std::vector<Showing>& showings) {
  std::vector<int64_t> images;
  for (const Showing& showing : showings) images.push_back(showing.image);
  return images;
}

constexpr const char* kRules[] = {"", "repeat_factor { threshold: 0.36 }",
                                  R"pb(weighted {
                                         class_weight { label: "c" weight: 9 }
                                         default_weight: 2
                                       })pb"};

TEST(SampleOrderTest, IsTheDatasetsWithoutShuffling) {
  const LabelledDataset dataset = Images({{5, {1}}});
  const SampleOrder order = Make(dataset, "", 7, /*shuffle=*/false);
  EXPECT_EQ(order.size(), 5);
  for (const int64_t epoch : {0, 3}) {
    EXPECT_EQ(ImagesOf(order.Epoch(epoch)), (std::vector<int64_t>{0, 1, 2, 3, 4}));
  }
}

TEST(SampleOrderTest, ShufflesByFisherAndYates) {
  const LabelledDataset dataset = Images({{50, {1}}});
  const SampleOrder order = Make(dataset, "", 7);
  for (const int64_t epoch : {0, 1, 9}) {
    std::vector<int64_t> expected(50);
    std::iota(expected.begin(), expected.end(), 0);
    Random random(7, static_cast<uint64_t>(epoch), std::numeric_limits<uint64_t>::max());
    for (int64_t i = 49; i > 0; --i) std::swap(expected[i], expected[random.Integer(0, i)]);
    const std::vector<Showing> showings = order.Epoch(epoch);
    EXPECT_EQ(ImagesOf(showings), expected);
    for (const Showing& showing : showings) {
      EXPECT_EQ(showing.random_index, static_cast<uint64_t>(showing.image));
    }
  }
}

TEST(SampleOrderTest, IsAFunctionOfSeedAndEpoch) {
  const LabelledDataset dataset = Images({{4, {3, 1}}, {25, {2}}, {71, {1}}});
  for (const char* const rule : kRules) {
    SCOPED_TRACE(rule);
    const SampleOrder order = Make(dataset, rule, 7);
    const std::vector<int64_t> third = ImagesOf(order.Epoch(3));
    EXPECT_NE(ImagesOf(order.Epoch(4)), third);
    EXPECT_EQ(ImagesOf(order.Epoch(3)), third);
    EXPECT_EQ(ImagesOf(Make(dataset, rule, 7).Epoch(3)), third);
    EXPECT_NE(ImagesOf(Make(dataset, rule, 8).Epoch(3)), third);
  }
}

TEST(SampleOrderTest, NoTwoShowingsShareRandomNumbers) {
  const LabelledDataset dataset = Images({{4, {3, 1}}, {25, {2}}, {71, {1}}});
  for (const char* const rule : kRules) {
    SCOPED_TRACE(rule);
    const SampleOrder order = Make(dataset, rule, 7);
    for (int64_t epoch = 0; epoch < 5; ++epoch) {
      const std::vector<Showing> showings = order.Epoch(epoch);
      EXPECT_EQ(static_cast<int64_t>(showings.size()), order.size());
      std::set<uint64_t> indices;
      std::set<int64_t> shown;
      for (const Showing& showing : showings) {
        indices.insert(showing.random_index);
        // The order's own numbers.
        EXPECT_NE(showing.random_index, std::numeric_limits<uint64_t>::max());
        if (shown.insert(showing.image).second) {
          EXPECT_EQ(showing.random_index, static_cast<uint64_t>(showing.image));
        }
      }
      EXPECT_EQ(indices.size(), showings.size());
    }
  }
}

TEST(RepeatFactorsTest, AreThePapers) {
  // Shares of the images: a 0.71, b 0.25, c 0.04. A crowd is no instance to learn from.
  const LabelledDataset dataset =
      Images({{4, {3}}, {20, {2, 2}}, {5, {2, 1, -3}}, {66, {1}}, {5, {}}});
  RepeatFactorSampling options;
  options.set_threshold(0.36);
  const auto factors = RepeatFactors(dataset, options);
  ASSERT_TRUE(factors.ok()) << factors.status();
  ASSERT_EQ(factors->size(), 100u);
  for (size_t i = 0; i < 100; ++i) {
    // sqrt(0.36 / 0.04), sqrt(0.36 / 0.25), and sqrt(0.36 / 0.71) is below 1.
    EXPECT_NEAR((*factors)[i], i < 4 ? 3 : i < 29 ? 1.2 : 1, 1e-12) << i;
  }
  // LVIS's threshold repeats nothing here.
  EXPECT_EQ(*RepeatFactors(dataset, RepeatFactorSampling()), std::vector<double>(100, 1));
}

TEST(SampleOrderTest, RepeatsByTheirFactors) {
  const LabelledDataset dataset = Images({{4, {3}}, {25, {2}}, {71, {1}}});
  const SampleOrder order = Make(dataset, "repeat_factor { threshold: 0.36 }", 11);
  EXPECT_EQ(order.size(), 113);  // 4 * 3 + 25 * 1.2 + 71
  constexpr int kEpochs = 2000;
  std::vector<int64_t> total(100);
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    std::vector<int64_t> count(100);
    for (const int64_t image : ImagesOf(order.Epoch(epoch))) ++count[image];
    for (size_t i = 0; i < 100; ++i) {
      ASSERT_GE(count[i], i < 4 ? 2 : i < 29 ? 1 : 0);  // one is cut off, rarely
      ASSERT_LE(count[i], i < 4 ? 3 : i < 29 ? 2 : 1);
      total[i] += count[i];
    }
  }
  for (size_t i = 0; i < 100; ++i) {
    const double mean = static_cast<double>(total[i]) / kEpochs;
    const double factor = i < 4 ? 3 : i < 29 ? 1.2 : 1;
    // Of a draw with a chance of 0.2: five standard deviations.
    EXPECT_NEAR(mean, factor, 5 * std::sqrt(0.2 * 0.8 / kEpochs)) << i;
  }
}

// Images next to each other are not rounded together.
TEST(SampleOrderTest, RepeatsDifferentImagesEachEpoch) {
  const LabelledDataset dataset = Images({{40, {2}}, {60, {}}});
  // Factors of 1.5: 20 of 40 images are repeated.
  const SampleOrder order = Make(dataset, "repeat_factor { threshold: 0.9 }", 5);
  EXPECT_EQ(order.size(), 120);
  int64_t both = 0;
  constexpr int kEpochs = 1000;
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const std::vector<int64_t> images = ImagesOf(order.Epoch(epoch));
    both += std::count(images.begin(), images.end(), 0) == 2 &&
            std::count(images.begin(), images.end(), 1) == 2;
  }
  // About 20 / 40 * 19 / 39 of the epochs.
  EXPECT_NEAR(static_cast<double>(both) / kEpochs, 0.2436, 0.08);
}

TEST(SampleOrderTest, DrawsByWeights) {
  const LabelledDataset dataset = Images({{10, {1, 2}}, {20, {2}}, {10, {}}});
  const SampleOrder order = Make(dataset,
                                 R"pb(weighted {
                                        class_weight { label: "a" weight: 3 }
                                        weight_without_objects: 0
                                      })pb",
                                 3);
  EXPECT_EQ(order.size(), 40);
  constexpr int kEpochs = 100;
  std::vector<double> count(40);
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    for (const int64_t image : ImagesOf(order.Epoch(epoch))) ++count[image];
  }
  double chi_square = 0;
  for (size_t i = 0; i < 30; ++i) {
    const double expected = kEpochs * 40 * (i < 10 ? 3 : 1) / 50.0;
    chi_square += (count[i] - expected) * (count[i] - expected) / expected;
  }
  EXPECT_LT(chi_square, 58.3);  // 29 degrees of freedom; one in a thousand is above
  for (size_t i = 30; i < 40; ++i) EXPECT_EQ(count[i], 0);
}

TEST(ImageWeightsTest, AreThoseOfTheHeaviestClass) {
  const LabelledDataset dataset = Images({{1, {1, 2}}, {1, {2, 3}}, {1, {}}, {1, {-1}}});
  const SamplingConfig config = Parse(R"pb(
    weighted {
      class_weight { label: "a" weight: 5 }
      class_weight { label: "b" weight: 0.5 }
      default_weight: 2
      weight_without_objects: 0.25
    })pb");
  EXPECT_EQ(*ImageWeights(dataset, config.weighted()), (std::vector<double>{5, 2, 0.25, 0.25}));
}

TEST(SampleOrderTest, WrongOptionsAreErrors) {
  const LabelledDataset dataset = Images({{3, {1}}, {2, {2}}});
  const auto error = [&](const std::string& text) {
    const absl::Status status = SampleOrder::Create(dataset, Parse(text), true, 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    return std::string(status.message());
  };
  for (const char* const threshold : {"0", "-1", "1.5", "nan"}) {
    const std::string text = absl::StrCat("repeat_factor { threshold: ", threshold, " }");
    EXPECT_TRUE(absl::StartsWith(error(text), "data.loader.sampling.repeat_factor.threshold: "));
  }
  EXPECT_EQ(error("weighted { class_weight { weight: 1 } }"),
            "data.loader.sampling.weighted.class_weight[0].label: not set; give the name of a "
            "class");
  EXPECT_EQ(error(R"pb(weighted { class_weight { label: "a" } })pb"),
            "data.loader.sampling.weighted.class_weight[0].weight: not set; set 0 or more");
  EXPECT_EQ(error(R"pb(weighted { class_weight { label: "a" weight: -2 } })pb"),
            "data.loader.sampling.weighted.class_weight[0].weight: -2 must be 0 or more");
  EXPECT_TRUE(absl::StartsWith(error(R"pb(weighted {
                                            class_weight { label: "a" weight: 1 }
                                            class_weight { label: "a" weight: 2 }
                                          })pb"),
                               "data.loader.sampling.weighted.class_weight[1].label: \"a\""));
  EXPECT_EQ(error(R"pb(weighted { class_weight { label: "dog" weight: 1 } })pb"),
            "data.loader.sampling.weighted.class_weight[0].label: no class is called \"dog\"; the "
            "classes are a, b, c");
  EXPECT_TRUE(absl::StartsWith(error("weighted { default_weight: -1 }"),
                               "data.loader.sampling.weighted.default_weight: -1"));
  EXPECT_TRUE(absl::StartsWith(error("weighted { weight_without_objects: inf }"),
                               "data.loader.sampling.weighted.weight_without_objects: inf"));
  EXPECT_TRUE(absl::StrContains(error("weighted { default_weight: 0 }"), "every image weighs 0"));
}

}  // namespace
}  // namespace ssd
