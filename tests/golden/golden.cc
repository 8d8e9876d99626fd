#include "tests/golden/golden.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <vector>

#include "ssd/core/file.h"
#include "ssd/core/logging.h"

namespace ssd::golden {
namespace {

void Append(const rapidjson::Value& value, std::vector<double>& numbers) {
  if (value.IsArray()) {
    for (const auto& element : value.GetArray()) Append(element, numbers);
  } else {
    numbers.push_back(value.GetDouble());
  }
}

}  // namespace

const rapidjson::Document& File(const std::string& name) {
  static auto* const files = new std::map<std::string, std::unique_ptr<rapidjson::Document>>;
  std::unique_ptr<rapidjson::Document>& document = (*files)[name];
  if (!document) {
    document = std::make_unique<rapidjson::Document>();
    const auto text = ReadFile("tests/golden/" + name);
    CHECK(text.ok()) << text.status();
    document->Parse<rapidjson::kParseFullPrecisionFlag>(text->c_str());
    CHECK(!document->HasParseError()) << name;
  }
  return *document;
}

at::Tensor Numbers(const rapidjson::Value& array, at::IntArrayRef row) {
  std::vector<int64_t> shape;
  const rapidjson::Value* level = &array;
  while (level->IsArray()) {
    shape.push_back(level->Size());
    if (level->Empty()) {
      shape.insert(shape.end(), row.begin(), row.end());
      break;
    }
    level = &(*level)[0];
  }
  std::vector<double> numbers;
  Append(array, numbers);
  const at::Tensor result = at::empty(shape, at::kDouble);
  CHECK_EQ(result.numel(), static_cast<int64_t>(numbers.size())) << "a ragged array";
  std::copy(numbers.begin(), numbers.end(), result.mutable_data_ptr<double>());
  return result;
}

void ExpectNear(const at::Tensor& actual, const at::Tensor& expected, const std::string& what,
                double relative, double absolute) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  const at::Tensor a = actual.detach().to(at::kCPU, at::kDouble).contiguous();
  const at::Tensor e = expected.detach().to(at::kCPU, at::kDouble).contiguous();
  double largest = 0;           // absolute
  double largest_relative = 0;  // where the absolute tolerance alone does not do
  int64_t failures = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double x = a.const_data_ptr<double>()[i];
    const double y = e.const_data_ptr<double>()[i];
    const double deviation = std::abs(x - y);
    largest = std::max(largest, deviation);
    if (deviation > absolute)
      largest_relative = std::max(largest_relative, deviation / std::abs(y));
    if (!(deviation <= std::max(absolute, relative * std::abs(y))) && ++failures <= 5) {
      ADD_FAILURE() << what << ": element " << i << " is " << x << ", expected " << y;
    }
  }
  EXPECT_EQ(failures, 0) << what << ", of " << a.numel();
  std::printf(
      "[  golden  ] %s: largest deviation %.1e, relative %.1e above the absolute tolerance\n",
      what.c_str(), largest, largest_relative);
}

}  // namespace ssd::golden
