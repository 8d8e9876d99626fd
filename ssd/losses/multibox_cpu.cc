#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "ssd/core/logging.h"
#include "ssd/core/vector_exp.h"
#include "ssd/losses/localization_term.h"
#include "ssd/losses/loss_terms.h"
#include "ssd/losses/multibox_terms.h"

namespace ssd {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What a loop over one image needs of the options.
template <typename T>
class Rules {
 public:
  explicit Rules(const MultiboxLossOptions& options)
      : localization_(options.localization()),
        beta_(static_cast<T>(options.smooth_l1_beta())),
        smoothing_(static_cast<T>(options.label_smoothing())),
        class_weights_(options.class_weight().begin(), options.class_weight().end()),
        mines_(options.mining() == MultiboxLossOptions::HARD_NEGATIVE),
        ratio_(options.negatives_per_positive()),
        least_negatives_(options.min_negatives()) {}

  // Whether the localisation term is one of codes, which the loops do.
  bool on_codes() const { return !ComparesBoxes(localization_); }
  T smoothing() const { return smoothing_; }

  // Negatives to choose for an image.
  double Negatives(int64_t positives) const {
    if (!mines_) return std::numeric_limits<double>::infinity();
    return std::max(least_negatives_, std::floor(static_cast<double>(positives) * ratio_));
  }

  T ClassWeight(int64_t label) const {
    return label > 0 && !class_weights_.empty() ? class_weights_[label - 1] : T{1};
  }

  // The confidence loss of an anchor whose -log p(label) is `loss`.
  T Confidence(T loss, const T* row, int64_t classes, int64_t label) const {
    if (smoothing_ > 0) {
      // The mean over classes c of -log p(c) exceeds -log p(label) by row[label] - mean(row).
      T sum = 0;
      for (int64_t c = 0; c < classes; ++c) sum += row[c];
      loss += smoothing_ * (row[label] - sum / static_cast<T>(classes));
    }
    return loss * ClassWeight(label);
  }

  // What a code costs that is x off, and the slope of that. NaN passes.
  T CodeLoss(T x) const {
    const T distance = std::abs(x);
    if (localization_ == LocalizationTerm::L1) return distance;
    if (localization_ == LocalizationTerm::L2) return distance * distance / 2;
    return distance < beta_ ? distance * distance / (2 * beta_) : distance - beta_ / 2;
  }
  T CodeSlope(T x) const {
    if (localization_ == LocalizationTerm::L1) return x > 0 ? 1 : x < 0 ? -1 : x;
    if (localization_ == LocalizationTerm::L2) return x;
    const T slope = x / beta_;
    return slope > 1 ? 1 : slope < -1 ? -1 : slope;
  }

 private:
  LocalizationTerm::Kind localization_;
  T beta_;
  T smoothing_;
  std::vector<T> class_weights_;
  bool mines_;
  double ratio_;
  double least_negatives_;
};

// log sum_c exp(row[c]), by way of the row's maximum: for any finite row.
template <typename T>
T SafeLogSumExp(const T* row, int64_t classes) {
  T largest = row[0];
  for (int64_t c = 1; c < classes; ++c) largest = std::max(largest, row[c]);
  T sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(row[c] - largest);
  return largest + std::log(sum);
}

// log sum_c exp(row[c]) of `count` rows; `scratch` holds count * classes numbers.
template <typename T>
void LogSumExps(const T* rows, int64_t count, int64_t classes, T* scratch, T* out) {
  if constexpr (std::is_same_v<T, float>) {
    // As long as no exponential overflows or vanishes, the maximum need not be taken out: the sum
    // has the same relative error. Then the whole block is one loop over contiguous memory.
    constexpr float kLargest = 80;
    int outside = 0;  // also of NaN
#pragma omp simd reduction(| : outside)
    for (int64_t i = 0; i < count * classes; ++i) {
      outside |= !(rows[i] <= kLargest) | !(rows[i] >= -kLargest);
      scratch[i] = VectorExp(rows[i]);
    }
    if (!outside) {
      for (int64_t r = 0; r < count; ++r) {
        const float* const row = scratch + r * classes;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < classes; ++c) sum += row[c];
        out[r] = std::log(sum);
      }
      return;
    }
  }
  for (int64_t r = 0; r < count; ++r) out[r] = SafeLogSumExp(rows + r * classes, classes);
}

// Orders negatives as the mining does: larger loss first, then lower anchor. Losses are >= 0 up to
// rounding; NaN comes first, so that it reaches the loss.
struct Negative {
  double loss;
  int64_t anchor;
};

uint64_t RankingKey(float loss, int64_t anchor) {
  loss = loss <= 0 ? 0 : loss;
  uint32_t bits;  // of a float >= 0: ordered like the float
  std::memcpy(&bits, &loss, sizeof(bits));
  return uint64_t{bits & 0x7fffffffu} << 32 | (0xffffffffu - static_cast<uint32_t>(anchor));
}
int64_t AnchorOf(uint64_t key) { return 0xffffffffu - static_cast<uint32_t>(key); }
bool ComesFirst(uint64_t a, uint64_t b) { return a > b; }

Negative RankingKey(double loss, int64_t anchor) { return {loss <= 0 ? 0 : loss, anchor}; }
int64_t AnchorOf(const Negative& negative) { return negative.anchor; }
bool ComesFirst(const Negative& a, const Negative& b) {
  const bool nan_a = std::isnan(a.loss);
  const bool nan_b = std::isnan(b.loss);
  if (nan_a != nan_b) return nan_a;
  if (!nan_a && a.loss != b.loss) return a.loss > b.loss;
  return a.anchor < b.anchor;
}

// One image's part of the sums.
struct ImageSums {
  double classification = 0;
  double localization = 0;
  int64_t positives = 0;
};

// What an image's sums, and the batch's, are divided by.
double ImageDivisor(LossNormalizer::Kind kind, int64_t positives) {
  return kind == LossNormalizer::IMAGE_POSITIVES
             ? static_cast<double>(std::max<int64_t>(1, positives))
             : 1.0;
}
double BatchDivisor(LossNormalizer::Kind kind, int64_t batch, int64_t positives) {
  switch (kind) {
    case LossNormalizer::BATCH_POSITIVES:
      return static_cast<double>(std::max<int64_t>(1, positives));
    case LossNormalizer::IMAGE_POSITIVES:
    case LossNormalizer::BATCH_SIZE:
      return static_cast<double>(std::max<int64_t>(1, batch));
    case LossNormalizer::NONE:
      break;
  }
  return 1;
}

// An image's arrays; A anchors, `classes` of them with the background.
template <typename T>
struct ImageView {
  const T* logits;
  const T* codes;
  const int64_t* labels;
  const T* target_codes;
  uint8_t* chosen;               // out
  float* classification_detail;  // null unless asked for
  float* localization_detail;
};

template <typename T>
ImageSums ForwardImage(const ImageView<T>& image, int64_t num_anchors, int64_t classes,
                       const Rules<T>& rules) {
  ImageSums sums;
  std::fill_n(image.chosen, num_anchors, uint8_t{0});
  for (int64_t a = 0; a < num_anchors; ++a) {
    const int64_t label = image.labels[a];
    CHECK(label >= -1 && label < classes)
        << "label " << label << " of " << classes - 1 << " classes";
    if (label <= 0) continue;
    ++sums.positives;
    if (!rules.on_codes()) continue;
    T loss = 0;
    for (int64_t i = 4 * a; i < 4 * a + 4; ++i) {
      loss += rules.CodeLoss(image.codes[i] - image.target_codes[i]);
    }
    sums.localization += loss;
    if (image.localization_detail) image.localization_detail[a] = static_cast<float>(loss);
  }
  const double wanted = rules.Negatives(sums.positives);
  // Without positives there usually are no negatives to choose either.
  if (sums.positives == 0 && wanted == 0 && !image.classification_detail) return sums;

  const int64_t block = std::max<int64_t>(1, 2048 / classes);
  std::vector<T> scratch(block * classes);
  std::vector<T> log_sums(block);
  std::vector<T> losses(num_anchors, T{0});
  using Key = decltype(RankingKey(T{}, 0));
  std::vector<Key> negatives;
  negatives.reserve(num_anchors);
  for (int64_t begin = 0; begin < num_anchors; begin += block) {
    const int64_t count = std::min(block, num_anchors - begin);
    const T* const rows = image.logits + begin * classes;
    LogSumExps(rows, count, classes, scratch.data(), log_sums.data());
    for (int64_t r = 0; r < count; ++r) {
      const int64_t a = begin + r;
      const int64_t label = image.labels[a];
      if (label < 0) continue;
      losses[a] = log_sums[r] - rows[r * classes + label];
      if (label == 0) {
        negatives.push_back(RankingKey(losses[a], a));
      } else {
        image.chosen[a] = 1;
      }
    }
  }
  if (wanted < static_cast<double>(negatives.size())) {
    const auto last = negatives.begin() + static_cast<int64_t>(wanted);
    std::nth_element(negatives.begin(), last, negatives.end(),
                     [](const Key& a, const Key& b) { return ComesFirst(a, b); });
    negatives.erase(last, negatives.end());
  }
  for (const Key& negative : negatives) image.chosen[AnchorOf(negative)] = 1;
  for (int64_t a = 0; a < num_anchors; ++a) {
    if (!image.chosen[a] && !image.classification_detail) continue;
    const int64_t label = image.labels[a];
    if (label < 0) continue;
    const T loss = rules.Confidence(losses[a], image.logits + a * classes, classes, label);
    if (image.chosen[a]) sums.classification += loss;
    if (image.classification_detail) image.classification_detail[a] = static_cast<float>(loss);
  }
  return sums;
}

// The gradient of the logits (times scale_classification) and of the codes (times
// scale_localization), into zeroed memory; grad_codes is null where the codes have none here.
template <typename T>
void BackwardImage(const ImageView<T>& image, int64_t num_anchors, int64_t classes,
                   const Rules<T>& rules, T scale_classification, T scale_localization,
                   T* grad_logits, T* grad_codes) {
  for (int64_t a = 0; a < num_anchors; ++a) {
    if (!image.chosen[a]) continue;
    const int64_t label = image.labels[a];
    const T* const row = image.logits + a * classes;
    T* const grad = grad_logits + a * classes;
    const T log_sum = SafeLogSumExp(row, classes);
    const T scale = scale_classification * rules.ClassWeight(label);
    for (int64_t c = 0; c < classes; ++c) grad[c] = scale * std::exp(row[c] - log_sum);
    grad[label] -= scale * (1 - rules.smoothing());
    if (rules.smoothing() > 0) {
      const T share = scale * rules.smoothing() / static_cast<T>(classes);
      for (int64_t c = 0; c < classes; ++c) grad[c] -= share;
    }
    if (label == 0 || !grad_codes) continue;
    for (int64_t i = 4 * a; i < 4 * a + 4; ++i) {
      grad_codes[i] = scale_localization * rules.CodeSlope(image.codes[i] - image.target_codes[i]);
    }
  }
}

class MultiboxFunction : public torch::autograd::Function<MultiboxFunction> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& logits_in,
                               const Tensor& codes_in, const Tensor& labels_in,
                               const Tensor& target_codes_in, const MultiboxLossOptions* options,
                               LossDetail* detail) {
    const Tensor logits = logits_in.contiguous();
    const Tensor codes = codes_in.contiguous();
    const Tensor labels = labels_in.contiguous();
    const Tensor target_codes = target_codes_in.to(codes.scalar_type()).contiguous();
    const int64_t batch = logits.size(0);
    const int64_t num_anchors = logits.size(1);
    const Tensor chosen = at::empty({batch, num_anchors}, at::kByte);
    if (detail) {
      detail->classification = at::zeros({batch, num_anchors}, at::kFloat);
      detail->localization = at::zeros({batch, num_anchors}, at::kFloat);
    }
    std::vector<ImageSums> sums(batch);
    AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "multibox_loss", [&] {
      const ImageView<scalar_t> all = View<scalar_t>(logits, codes, labels, target_codes, chosen);
      const Rules<scalar_t> rules(*options);
      float* const classification =
          detail ? detail->classification.mutable_data_ptr<float>() : nullptr;
      float* const localization = detail ? detail->localization.mutable_data_ptr<float>() : nullptr;
      at::parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
          ImageView<scalar_t> image = At(all, b, num_anchors, logits.size(2));
          image.classification_detail = detail ? classification + b * num_anchors : nullptr;
          image.localization_detail = detail ? localization + b * num_anchors : nullptr;
          sums[b] = ForwardImage(image, num_anchors, logits.size(2), rules);
        }
      });
    });
    if (detail) detail->chosen = chosen.to(at::kBool);
    // In the order of the images, so that the number of threads does not matter.
    ImageSums total;
    for (const ImageSums& image : sums) {
      const double divisor = ImageDivisor(options->normalizer(), image.positives);
      total.classification += image.classification / divisor;
      total.localization += image.localization / divisor;
      total.positives += image.positives;
    }
    const double divisor = BatchDivisor(options->normalizer(), batch, total.positives);
    context->save_for_backward({logits, codes, labels, target_codes, chosen});
    context->saved_data["options"] = options->SerializeAsString();
    context->saved_data["divisor"] = divisor;
    return {at::full({}, total.classification / divisor, logits.options()),
            at::full({}, total.localization / divisor, logits.options())};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& logits = saved[0];
    const int64_t batch = logits.size(0);
    const int64_t num_anchors = logits.size(1);
    const int64_t classes = logits.size(2);
    MultiboxLossOptions options;
    CHECK(options.ParseFromString(context->saved_data["options"].toStringRef()));
    const double divisor = context->saved_data["divisor"].toDouble();
    const auto scale = [&](const Tensor& grad) {
      return grad.defined() ? grad.item<double>() / divisor : 0.0;
    };
    const double scale_classification = scale(grads[0]);
    const double scale_localization = scale(grads[1]);
    const Tensor grad_logits = at::empty_like(logits);
    // Left undefined, which means none, where the term on boxes has the gradient of the codes.
    const Tensor grad_codes =
        ComparesBoxes(options.localization()) ? Tensor() : at::empty_like(saved[1]);
    AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "multibox_loss", [&] {
      const ImageView<scalar_t> all =
          View<scalar_t>(logits, saved[1], saved[2], saved[3], saved[4]);
      const Rules<scalar_t> rules(options);
      scalar_t* const to_logits = grad_logits.mutable_data_ptr<scalar_t>();
      scalar_t* const to_codes =
          grad_codes.defined() ? grad_codes.mutable_data_ptr<scalar_t>() : nullptr;
      at::parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
          const ImageView<scalar_t> image = At(all, b, num_anchors, classes);
          scalar_t* const image_logits = to_logits + b * num_anchors * classes;
          scalar_t* const image_codes = to_codes ? to_codes + b * num_anchors * 4 : nullptr;
          std::fill_n(image_logits, num_anchors * classes, scalar_t{0});
          if (image_codes) std::fill_n(image_codes, num_anchors * 4, scalar_t{0});
          const int64_t positives = std::count_if(image.labels, image.labels + num_anchors,
                                                  [](int64_t label) { return label > 0; });
          const double image_divisor = ImageDivisor(options.normalizer(), positives);
          BackwardImage(image, num_anchors, classes, rules,
                        static_cast<scalar_t>(scale_classification / image_divisor),
                        static_cast<scalar_t>(scale_localization / image_divisor), image_logits,
                        image_codes);
        }
      });
    });
    return {grad_logits, grad_codes, Tensor(), Tensor(), Tensor(), Tensor()};
  }

 private:
  template <typename T>
  static ImageView<T> View(const Tensor& logits, const Tensor& codes, const Tensor& labels,
                           const Tensor& target_codes, const Tensor& chosen) {
    return {logits.const_data_ptr<T>(),
            codes.const_data_ptr<T>(),
            labels.const_data_ptr<int64_t>(),
            target_codes.const_data_ptr<T>(),
            chosen.mutable_data_ptr<uint8_t>(),
            nullptr,
            nullptr};
  }

  template <typename T>
  static ImageView<T> At(const ImageView<T>& all, int64_t b, int64_t num_anchors, int64_t classes) {
    return {all.logits + b * num_anchors * classes,
            all.codes + b * num_anchors * 4,
            all.labels + b * num_anchors,
            all.target_codes + b * num_anchors * 4,
            all.chosen + b * num_anchors,
            nullptr,
            nullptr};
  }
};

}  // namespace

MultiboxTerms MultiboxTermsOnCpu(const Predictions& predictions, const Targets& targets,
                                 const MultiboxLossOptions& options, const BoxDecoder& decode,
                                 LossDetail* per_anchor) {
  const variable_list terms =
      MultiboxFunction::apply(predictions.class_logits, predictions.box_codes, targets.labels,
                              targets.box_codes, &options, per_anchor);
  if (!ComparesBoxes(options.localization())) return {terms[0], terms[1]};
  const Tensor localization = LocalizationPerAnchor(
      predictions.box_codes, targets, decode, options.localization(), options.smooth_l1_beta());
  if (per_anchor) per_anchor->localization = localization.detach().to(at::kFloat);
  const Normalizer normalizer(options.normalizer(), targets.labels > 0);
  return {terms[0], normalizer.Normalize(localization)};
}

}  // namespace ssd
