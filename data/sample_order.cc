#include "data/sample_order.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/core/random.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Repeat factors are counted in millionths or so: exact sums, whatever their order.
constexpr int kRepeatBits = 20;
constexpr int64_t kRepeatUnits = int64_t{1} << kRepeatBits;

// No image has this index, so the order shares no random numbers with a sample.
constexpr uint64_t kOrderIndex = std::numeric_limits<uint64_t>::max();
// Nor one from here on: they are for images that an epoch shows again.
constexpr uint64_t kFirstRepeatIndex = uint64_t{1} << 63;

constexpr char kField[] = "data.loader.sampling.";

absl::Status FieldError(absl::string_view field, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(kField, field, ": ", message));
}

absl::Status CheckWeight(absl::string_view field, double weight) {
  return CheckOption(weight >= 0, absl::StrCat(kField, field), weight, "0 or more");
}

// The classes an image teaches, each once.
std::set<int64_t> LearntLabels(const Annotations& image) {
  std::set<int64_t> labels;
  for (const Annotation& object : image.objects) {
    if (!object.crowd && !object.difficult) labels.insert(object.label);
  }
  return labels;
}

// Fisher and Yates.
template <typename T>
void Shuffle(Random& random, std::vector<T>& items) {
  for (int64_t last = static_cast<int64_t>(items.size()) - 1; last > 0; --last) {
    std::swap(items[last], items[random.Integer(0, last)]);
  }
}

}  // namespace

absl::Status ValidateSampling(const SamplingConfig& sampling) {
  if (sampling.has_repeat_factor()) {
    const double threshold = sampling.repeat_factor().threshold();
    return CheckOption(threshold > 0 && threshold <= 1,
                       absl::StrCat(kField, "repeat_factor.threshold"), threshold, "in (0, 1]");
  }
  const WeightedSampling& weighted = sampling.weighted();
  std::set<std::string> seen;
  for (int i = 0; i < weighted.class_weight_size(); ++i) {
    const WeightedSampling::ClassWeight& of_class = weighted.class_weight(i);
    const std::string field = absl::StrCat("weighted.class_weight[", i, "]");
    if (of_class.label().empty()) {
      return FieldError(field + ".label", "not set; give the name of a class");
    }
    if (!seen.insert(of_class.label()).second) {
      return FieldError(field + ".label",
                        absl::StrCat("\"", of_class.label(), "\" is there twice; keep one"));
    }
    if (!of_class.has_weight()) return FieldError(field + ".weight", "not set; set 0 or more");
    SSD_RETURN_IF_ERROR(CheckWeight(field + ".weight", of_class.weight()));
  }
  SSD_RETURN_IF_ERROR(CheckWeight("weighted.default_weight", weighted.default_weight()));
  return CheckWeight("weighted.weight_without_objects", weighted.weight_without_objects());
}

absl::StatusOr<std::vector<double>> RepeatFactors(const Dataset& dataset,
                                                  const RepeatFactorSampling& options) {
  std::vector<std::set<int64_t>> labels;
  std::vector<int64_t> images_with(static_cast<size_t>(dataset.labels().num_classes()) + 1);
  for (int64_t index = 0; index < dataset.size(); ++index) {
    SSD_ASSIGN_OR_RETURN(const Annotations image, dataset.GetAnnotations(index));
    labels.push_back(LearntLabels(image));
    for (const int64_t label : labels.back()) ++images_with.at(label);
  }
  std::vector<double> factors;
  for (const std::set<int64_t>& of_image : labels) {
    double factor = 1;
    for (const int64_t label : of_image) {
      const double share =
          static_cast<double>(images_with[label]) / static_cast<double>(dataset.size());
      factor = std::max(factor, std::sqrt(options.threshold() / share));
    }
    factors.push_back(factor);
  }
  return factors;
}

absl::StatusOr<std::vector<double>> ImageWeights(const Dataset& dataset,
                                                 const WeightedSampling& options) {
  const std::vector<std::string>& names = dataset.labels().names;
  std::vector<double> of_label(names.size() + 1, options.default_weight());
  for (int i = 0; i < options.class_weight_size(); ++i) {
    const std::string& label = options.class_weight(i).label();
    const auto found = std::find(names.begin(), names.end(), label);
    if (found == names.end()) {
      return FieldError(absl::StrCat("weighted.class_weight[", i, "].label"),
                        absl::StrCat("no class is called \"", label, "\"; the classes are ",
                                     absl::StrJoin(names, ", ")));
    }
    of_label[found - names.begin() + 1] = options.class_weight(i).weight();
  }
  std::vector<double> weights;
  for (int64_t index = 0; index < dataset.size(); ++index) {
    SSD_ASSIGN_OR_RETURN(const Annotations image, dataset.GetAnnotations(index));
    const std::set<int64_t> labels = LearntLabels(image);
    double weight = labels.empty() ? options.weight_without_objects() : 0;
    for (const int64_t label : labels) weight = std::max(weight, of_label.at(label));
    weights.push_back(weight);
  }
  if (std::all_of(weights.begin(), weights.end(), [](double weight) { return weight == 0; })) {
    return FieldError("weighted",
                      "every image weighs 0, so none can be drawn; give a class of the dataset a "
                      "weight above 0");
  }
  return weights;
}

absl::StatusOr<SampleOrder> SampleOrder::Create(const Dataset& dataset,
                                                const SamplingConfig& sampling, bool shuffle,
                                                uint64_t seed) {
  SampleOrder order(dataset.size(), shuffle, seed);
  if (sampling.rule_case() == SamplingConfig::RULE_NOT_SET) return order;
  CHECK(shuffle) << "sampling without shuffling";
  SSD_RETURN_IF_ERROR(ValidateSampling(sampling));
  if (sampling.has_repeat_factor()) {
    SSD_ASSIGN_OR_RETURN(const std::vector<double> factors,
                         RepeatFactors(dataset, sampling.repeat_factor()));
    int64_t sum = 0;
    for (const double factor : factors) {
      // Upwards, but for noise: factors of 1.2 shall add up to no less than they do on paper.
      constexpr double kNoise = 1e-3;
      const double units = factor * static_cast<double>(kRepeatUnits) - kNoise;
      order.repeats_.push_back(static_cast<int64_t>(std::ceil(units)));
      sum += order.repeats_.back();
    }
    order.size_ = sum >> kRepeatBits;
    return order;
  }
  SSD_ASSIGN_OR_RETURN(order.weight_sums_, ImageWeights(dataset, sampling.weighted()));
  std::partial_sum(order.weight_sums_.begin(), order.weight_sums_.end(),
                   order.weight_sums_.begin());
  return order;
}

std::vector<Showing> SampleOrder::Epoch(int64_t epoch) const {
  CHECK_GE(epoch, 0);
  Random random(seed_, static_cast<uint64_t>(epoch), kOrderIndex);
  std::vector<int64_t> images(static_cast<size_t>(images_));
  std::iota(images.begin(), images.end(), 0);
  if (!weight_sums_.empty()) {
    // Zero weights leave steps of no height, which the first sum above a number never is.
    const double sum = weight_sums_.back();
    const auto first_of_sum = std::lower_bound(weight_sums_.begin(), weight_sums_.end(), sum);
    for (int64_t& image : images) {
      const auto drawn =
          std::upper_bound(weight_sums_.begin(), first_of_sum, random.Uniform() * sum);
      image = drawn - weight_sums_.begin();
    }
  } else if (shuffle_) {
    Shuffle(random, images);
  }
  if (!repeats_.empty()) {
    // Systematic sampling along the shuffled images: one draw shifts the sums of their factors, and
    // each image is shown as often as a whole number lies in its part. That is its factor rounded
    // up or down, the factor on average, and the sum of all in every epoch but for a fraction.
    std::vector<int64_t> repeated;
    int64_t end = random.Integer(0, kRepeatUnits - 1);
    for (const int64_t image : images) {
      const int64_t begin = end;
      end += repeats_[image];
      repeated.insert(repeated.end(),
                      static_cast<size_t>((end >> kRepeatBits) - (begin >> kRepeatBits)), image);
    }
    Shuffle(random, repeated);
    CHECK_GE(static_cast<int64_t>(repeated.size()), size_);
    repeated.resize(static_cast<size_t>(size_));
    images = std::move(repeated);
  }

  std::vector<Showing> showings;
  showings.reserve(images.size());
  std::vector<bool> shown(static_cast<size_t>(images_));
  for (const int64_t image : images) {
    // An image's first showing has the same random numbers under every rule.
    const auto place = static_cast<uint64_t>(showings.size());
    showings.push_back(
        {image, shown[image] ? kFirstRepeatIndex + place : static_cast<uint64_t>(image)});
    shown[image] = true;
  }
  return showings;
}

}  // namespace ssd
