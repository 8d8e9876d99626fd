#ifndef TESTS_GOLDEN_GOLDEN_H_
#define TESTS_GOLDEN_GOLDEN_H_

#include <ATen/core/Tensor.h>
#include <rapidjson/document.h>

#include <string>

// Reads the values of this folder and compares with them. Files: README.md here.
namespace ssd::golden {

// The parsed file, "nms.json" say; dies if it is not there. Parsed once.
const rapidjson::Document& File(const std::string& name);

// Nested arrays of numbers as a float64 tensor. `row` is the shape of what an empty array is empty
// of: {4} makes it [0, 4].
at::Tensor Numbers(const rapidjson::Value& array, at::IntArrayRef row = {});

// Expects equal shapes and |actual - expected| <= max(absolute, relative * |expected|) everywhere,
// and prints the largest deviation. `what` names the comparison.
void ExpectNear(const at::Tensor& actual, const at::Tensor& expected, const std::string& what,
                double relative = 1e-6, double absolute = 1e-7);

}  // namespace ssd::golden

#endif  // TESTS_GOLDEN_GOLDEN_H_
