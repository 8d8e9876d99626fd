#ifndef DATA_TRANSFORMS_TRANSFORM_TESTING_H_
#define DATA_TRANSFORMS_TRANSFORM_TESTING_H_

#include <rapidjson/document.h>

#include <cstdint>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "data/transforms/transform.h"

namespace ssd {

// What the tests of transforms share.

// tests/golden/transforms.json.
const rapidjson::Document& Golden();

// Rows of pixels of three channels each.
cv::Mat ToMat(const rapidjson::Value& rows);

// RGB from BGR and back.
cv::Mat ReverseChannels(const cv::Mat& image);

// Four corners times `unit`.
PixelBox ToBox(const rapidjson::Value& corners, double unit);

// The largest difference between two values at one place.
double MaxDifference(const cv::Mat& a, const cv::Mat& b);

// Pixels of any value.
cv::Mat NoiseImage(ImageSize size, uint64_t seed);

// The transform that `text`, a TransformConfig, names; dies if there is none.
std::unique_ptr<Transform> MakeTransform(const std::string& text, ImageSize input = {60, 80});

// The same with these colours outside images and with its status.
// \error as the registry's, without a position: "expand.max_ratio: 0.5 ...".
absl::StatusOr<std::unique_ptr<Transform>> CreateTransform(const std::string& text,
                                                           const TransformContext& context);

// A sample of an image held in memory with a truth for each box: label 1, ids from 0.
Sample MakeSample(const cv::Mat& image, const std::vector<PixelBox>& boxes);

void ExpectNear(const PixelBox& a, const PixelBox& b, double tolerance);

// Expects that the transform is refused as InvalidArgument with a message that starts so:
//   ExpectRefused("expand { max_ratio: 0.5 }", "expand.max_ratio: 0.5");
void ExpectRefused(const std::string& text, const std::string& message);

// A uniform number, as pixel values show it: a share `changed` of runs has another value than
// without the transform, which is the middle of [least, greatest], in units of the measure.
struct Spread {
  double changed;
  double least;
  double greatest;
};

// Expects that of `measure` over runs of `transform` on `image`: the share and the mean within four
// standard deviations, no value out of range but for rounding, and both ends reached within 5 % of
// the range.
void ExpectSpread(const Transform& transform, const cv::Mat& image,
                  int (*measure)(const cv::Mat& rgb), const Spread& expected);

}  // namespace ssd

#endif  // DATA_TRANSFORMS_TRANSFORM_TESTING_H_
