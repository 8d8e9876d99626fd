#include "ssd/train/test_time_views.h"

#include <ATen/ATen.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "ssd/core/logging.h"
#include "ssd/train/toy_detector.h"

namespace ssd {
namespace {

// The toy's: 4 x 4 cells of two squares each, in an input of 64 x 64.
constexpr int64_t kCells = 4;
constexpr int64_t kAnchors = kCells * kCells * 2;

TestTimeViewsConfig Config(const std::string& text) {
  TestTimeViewsConfig config;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  return config;
}

std::shared_ptr<SsdDetector> MakeDetector(bool keep_all) {
  ToyOptions options;
  options.batch_norm = false;
  options.keep_all = keep_all;
  auto detector = MakeToyDetector(options);
  detector->eval();
  return detector;
}

Detections Detect(SsdDetector& detector, const TestTimeViews& views, const Tensor& images) {
  return views.Detect(detector, images, {TrainerConfig::FP32, TrainerConfig::NCHW});
}

Detections Detect(SsdDetector& detector, const std::string& config, const Tensor& images) {
  const auto views = TestTimeViews::Create(Config(config), detector);
  CHECK(views.ok()) << views.status().message();
  return Detect(detector, *views, images);
}

Detections WithoutViews(SsdDetector& detector, const Tensor& images) {
  at::NoGradGuard no_grad;
  return detector.Detect(detector.Forward(images));
}

Detections Rows(const Detections& all, int64_t first, int64_t count) {
  return {all.boxes.narrow(1, first, count), all.scores.narrow(1, first, count),
          all.labels.narrow(1, first, count), all.counts};
}

bool SameBits(const Detections& a, const Detections& b) {
  return at::equal(a.boxes, b.boxes) && at::equal(a.scores, b.scores) &&
         at::equal(a.labels, b.labels);
}

TEST(TestTimeViews, OneViewIsNone) {
  at::manual_seed(1);
  const Tensor images = at::randint(256, {3, 3, 64, 64}, at::kByte);
  for (const bool keep_all : {false, true}) {
    const auto detector = MakeDetector(keep_all);
    const Detections expected = WithoutViews(*detector, images);
    for (const Detections& found :
         {Detect(*detector, TestTimeViews(), images), Detect(*detector, "", images)}) {
      EXPECT_TRUE(SameBits(found, expected));
      EXPECT_TRUE(at::equal(found.counts, expected.counts));
    }
  }
}

TEST(TestTimeViews, TheMirrorImagesBoxesAreLedBack) {
  at::manual_seed(2);
  const Tensor images = at::randint(256, {3, 3, 64, 64}, at::kByte);
  const auto detector = MakeDetector(/*keep_all=*/true);
  const Detections both = Detect(*detector, "horizontal_flip: true", images);
  ASSERT_EQ(both.boxes.sizes(), at::IntArrayRef({3, 2 * kAnchors, 4}));
  EXPECT_TRUE(SameBits(Rows(both, 0, kAnchors), WithoutViews(*detector, images)));
  const Detections second = Rows(both, kAnchors, kAnchors);
  const Detections mirrored = WithoutViews(*detector, images.flip({3}).contiguous());
  EXPECT_TRUE(at::equal(second.scores, mirrored.scores));
  EXPECT_TRUE(at::equal(second.labels, mirrored.labels));
  EXPECT_TRUE(at::equal(second.boxes.select(2, 0), 1 - mirrored.boxes.select(2, 2)));
  EXPECT_TRUE(at::equal(second.boxes.select(2, 1), mirrored.boxes.select(2, 1)));
  EXPECT_TRUE(at::equal(second.boxes.select(2, 2), 1 - mirrored.boxes.select(2, 0)));
  EXPECT_TRUE(at::equal(second.boxes.select(2, 3), mirrored.boxes.select(2, 3)));
}

// Where neither image nor network knows left from right, the mirror image gives the same boxes with
// the same scores once more, for suppression to remove.
TEST(TestTimeViews, TheMirrorImageOfASymmetricImageBringsNothingNew) {
  at::manual_seed(3);
  const auto detector = MakeDetector(/*keep_all=*/true);
  {
    at::NoGradGuard no_grad;
    for (const auto& item : detector->named_parameters()) {
      Tensor value = item.value();
      if (absl::StrContains(item.key(), "box_codes")) {
        value.zero_();
      } else if (value.dim() == 4) {
        value.copy_((value + value.flip({3})) / 2);
      }
    }
  }
  const Tensor left = at::randint(256, {2, 3, 64, 32}, at::kByte);
  const Tensor images = at::cat({left, left.flip({3})}, 3);
  const Detections both = Detect(*detector, "horizontal_flip: true", images);
  const Detections first = Rows(both, 0, kAnchors), second = Rows(both, kAnchors, kAnchors);
  std::vector<int64_t> twins;  // of each anchor, the one that its mirror image falls on
  for (int64_t row = 0; row < kCells; ++row) {
    for (int64_t column = 0; column < kCells; ++column) {
      for (int64_t shape = 0; shape < 2; ++shape) {
        twins.push_back((row * kCells + kCells - 1 - column) * 2 + shape);
      }
    }
  }
  const Tensor index = at::tensor(twins, at::kLong);
  EXPECT_TRUE(at::allclose(second.boxes.index_select(1, index), first.boxes, 1e-6, 1e-6));
  EXPECT_TRUE(at::allclose(second.scores.index_select(1, index), first.scores, 1e-5, 1e-6));
  EXPECT_TRUE(at::equal(second.labels.index_select(1, index), first.labels));
}

// A network that finds white cells, of class 1 and the first of the two shapes: their logit is the
// mean of what normalisation makes of white; all other logits are 0, but for 0.1 of that shape.
std::shared_ptr<SsdDetector> MakeWhiteFinder(bool keep_all) {
  const auto detector = MakeDetector(keep_all);
  at::NoGradGuard no_grad;
  auto parameters = detector->named_parameters();
  for (auto& item : parameters) item.value().zero_();
  parameters["backbone.conv1.weight"].fill_(1.0 / (3 * 4 * 4));
  parameters["backbone.conv2.weight"].fill_(1.0 / (8 * 4 * 4));
  for (const int64_t shape : {0, 1}) {
    const int64_t logit = shape * (kToyClasses + 1) + 1;
    parameters["head.class_logits.0.weight"][logit].select(1, 1).select(1, 1).fill_(1.0 / 16);
  }
  parameters["head.class_logits.0.bias"][1].fill_(0.1);
  return detector;
}

// White in the cell of row 1, column 2.
Tensor OneWhiteCell() {
  const Tensor image = at::zeros({1, 3, 64, 64}, at::kByte);
  image.slice(2, 16, 32).slice(3, 32, 48).fill_(255);
  return image;
}

TEST(TestTimeViews, AKnownNetworkFindsTheSameInEveryView) {
  const double white =
      ((255 - 123.675) / 58.395 + (255 - 116.28) / 57.12 + (255 - 103.53) / 57.375) / 3;
  const double score = std::exp(white + 0.1) / (std::exp(white + 0.1) + kToyClasses);
  const auto detector = MakeWhiteFinder(/*keep_all=*/false);
  // At other sizes the cell's edges are blurred, so that the input's own size has the best box.
  for (const char* views :
       {"", "horizontal_flip: true", "scale: [0.5, 2]", "horizontal_flip: true scale: [0.5, 2]"}) {
    const Detections found = Detect(*detector, views, OneWhiteCell());
    EXPECT_TRUE(at::allclose(found.boxes[0][0], at::tensor({0.5f, 0.25f, 0.75f, 0.5f}), 0, 1e-6))
        << views << found.boxes;
    EXPECT_NEAR(found.scores[0][0].item<float>(), score, 1e-5) << views;
    EXPECT_EQ(found.labels[0][0].item<int64_t>(), 1) << views;
  }
}

// Twice the size: twice as many cells on each side, of anchors of the same size in pixels.
TEST(TestTimeViews, AnchorsKeepTheirSizeInPixels) {
  const auto detector = MakeWhiteFinder(/*keep_all=*/true);
  const Detections all = Detect(*detector, "scale: 2", OneWhiteCell());
  const int64_t cells = 2 * kCells;
  ASSERT_EQ(all.boxes.size(1), kAnchors + cells * cells * 2);
  EXPECT_TRUE(SameBits(Rows(all, 0, kAnchors), WithoutViews(*detector, OneWhiteCell())));
  for (int64_t row = 0; row < cells; ++row) {
    for (int64_t column = 0; column < cells; ++column) {
      for (int64_t shape = 0; shape < 2; ++shape) {
        const int64_t i = kAnchors + (row * cells + column) * 2 + shape;
        const double x = (static_cast<double>(column) + 0.5) / static_cast<double>(cells);
        const double y = (static_cast<double>(row) + 0.5) / static_cast<double>(cells);
        const double half = shape == 0 ? 0.0625 : 0.125;
        const Tensor expected = at::tensor({x - half, y - half, x + half, y + half}).to(at::kFloat);
        EXPECT_TRUE(at::allclose(all.boxes[0][i], expected, 0, 1e-6)) << row << " " << column;
        // The white cell is four of these.
        const bool is_white = row / 2 == 1 && column / 2 == 2;
        const float score = all.scores[0][i].item<float>();
        EXPECT_TRUE(is_white ? score > 0.5f : score < 0.2f) << row << " " << column << " " << score;
      }
    }
  }
  // Of the own size they are the anchors themselves.
  const auto anchors = detector->AnchorsAt(detector->input_size());
  ASSERT_TRUE(anchors.ok()) << anchors.status();
  EXPECT_TRUE(at::equal(anchors->boxes, detector->anchors().boxes));
  EXPECT_EQ(anchors->per_level, detector->anchors().per_level);
}

TEST(TestTimeViews, RefuseBadScales) {
  const auto detector = MakeDetector(false);
  const auto error = [&detector](const char* config) {
    const absl::Status status = TestTimeViews::Create(Config(config), *detector).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << config;
    return std::string(status.message());
  };
  EXPECT_EQ(error("scale: 0"), "evaluator.views.scale: 0 must be in (0, 8]");
  EXPECT_EQ(error("scale: [2, -1]"), "evaluator.views.scale: -1 must be in (0, 8]");
  EXPECT_EQ(error("scale: nan"), "evaluator.views.scale: nan must be in (0, 8]");
  EXPECT_EQ(error("scale: 9"), "evaluator.views.scale: 9 must be in (0, 8]");
  EXPECT_EQ(error("scale: 1.001"),
            "evaluator.views.scale: 1.001 is the input's own size, which is always shown; leave it "
            "out");
  EXPECT_EQ(error("scale: [2, 0.5, 2.001]"),
            "evaluator.views.scale: 2.001 gives the size of another, 128x128; leave one out");
  EXPECT_EQ(
      error("scale: 0.1"),
      "evaluator.views.scale: 0.1: level 1 has no cells in an input of 6x6; use a larger one");
}

}  // namespace
}  // namespace ssd
