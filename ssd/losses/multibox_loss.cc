#include "ssd/losses/multibox_loss.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/smooth_l1_loss.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"
#include "ssd/core/vector_exp.h"

namespace ssd {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

absl::Status CheckOption(bool in_range, const char* field, double value, const char* range) {
  if (in_range && std::isfinite(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("loss.multibox.", field, ": ", value, " must be ", range, " and finite"));
}

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
};

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
                       double ratio, T beta) {
  ImageSums sums;
  std::fill_n(image.chosen, num_anchors, uint8_t{0});
  int64_t positives = 0;
  for (int64_t a = 0; a < num_anchors; ++a) {
    const int64_t label = image.labels[a];
    CHECK(label >= -1 && label < classes)
        << "label " << label << " of " << classes - 1 << " classes";
    if (label <= 0) continue;
    ++positives;
    T loss = 0;
    for (int64_t i = 4 * a; i < 4 * a + 4; ++i) {
      const T distance = std::abs(image.codes[i] - image.target_codes[i]);
      loss += distance < beta ? distance * distance / (2 * beta) : distance - beta / 2;
    }
    sums.localization += loss;
    if (image.localization_detail) image.localization_detail[a] = static_cast<float>(loss);
  }
  // Without positives there are no negatives to choose either.
  if (positives == 0 && !image.classification_detail) return sums;

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
  const double wanted = std::floor(static_cast<double>(positives) * ratio);
  if (wanted < static_cast<double>(negatives.size())) {
    const auto last = negatives.begin() + static_cast<int64_t>(wanted);
    std::nth_element(negatives.begin(), last, negatives.end(),
                     [](const Key& a, const Key& b) { return ComesFirst(a, b); });
    negatives.erase(last, negatives.end());
  }
  for (const Key& negative : negatives) image.chosen[AnchorOf(negative)] = 1;
  for (int64_t a = 0; a < num_anchors; ++a) {
    if (image.chosen[a]) sums.classification += losses[a];
    if (image.classification_detail) {
      image.classification_detail[a] = static_cast<float>(losses[a]);
    }
  }
  return sums;
}

// The gradient of the logits (times scale_classification) and of the codes (times
// scale_localization), into zeroed memory.
template <typename T>
void BackwardImage(const ImageView<T>& image, int64_t num_anchors, int64_t classes, T beta,
                   T scale_classification, T scale_localization, T* grad_logits, T* grad_codes) {
  for (int64_t a = 0; a < num_anchors; ++a) {
    if (!image.chosen[a]) continue;
    const T* const row = image.logits + a * classes;
    T* const grad = grad_logits + a * classes;
    const T log_sum = SafeLogSumExp(row, classes);
    for (int64_t c = 0; c < classes; ++c) {
      grad[c] = scale_classification * std::exp(row[c] - log_sum);
    }
    grad[image.labels[a]] -= scale_classification;
    if (image.labels[a] == 0) continue;
    for (int64_t i = 4 * a; i < 4 * a + 4; ++i) {
      const T slope = (image.codes[i] - image.target_codes[i]) / beta;
      // NaN passes.
      grad_codes[i] = scale_localization * (slope > 1 ? 1 : slope < -1 ? -1 : slope);
    }
  }
}

class MultiboxFunction : public torch::autograd::Function<MultiboxFunction> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& logits_in,
                               const Tensor& codes_in, const Tensor& labels_in,
                               const Tensor& target_codes_in, double ratio, double beta,
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
      float* const classification =
          detail ? detail->classification.mutable_data_ptr<float>() : nullptr;
      float* const localization = detail ? detail->localization.mutable_data_ptr<float>() : nullptr;
      at::parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
          ImageView<scalar_t> image = At(all, b, num_anchors, logits.size(2));
          image.classification_detail = detail ? classification + b * num_anchors : nullptr;
          image.localization_detail = detail ? localization + b * num_anchors : nullptr;
          sums[b] =
              ForwardImage(image, num_anchors, logits.size(2), ratio, static_cast<scalar_t>(beta));
        }
      });
    });
    if (detail) detail->chosen = chosen.to(at::kBool);
    // In the order of the images, so that the number of threads does not matter.
    ImageSums total;
    for (const ImageSums& image : sums) {
      total.classification += image.classification;
      total.localization += image.localization;
    }
    const double normalizer =
        std::max<double>(1, static_cast<double>((labels > 0).sum().item<int64_t>()));
    context->save_for_backward({logits, codes, labels, target_codes, chosen});
    context->saved_data["beta"] = beta;
    context->saved_data["normalizer"] = normalizer;
    return {at::full({}, total.classification / normalizer, logits.options()),
            at::full({}, total.localization / normalizer, logits.options())};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& logits = saved[0];
    const int64_t batch = logits.size(0);
    const int64_t num_anchors = logits.size(1);
    const int64_t classes = logits.size(2);
    const double beta = context->saved_data["beta"].toDouble();
    const double normalizer = context->saved_data["normalizer"].toDouble();
    const auto scale = [&](const Tensor& grad) {
      return grad.defined() ? grad.item<double>() / normalizer : 0.0;
    };
    const double scale_classification = scale(grads[0]);
    const double scale_localization = scale(grads[1]);
    const Tensor grad_logits = at::empty_like(logits);
    const Tensor grad_codes = at::empty_like(saved[1]);
    AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "multibox_loss", [&] {
      const ImageView<scalar_t> all =
          View<scalar_t>(logits, saved[1], saved[2], saved[3], saved[4]);
      scalar_t* const to_logits = grad_logits.mutable_data_ptr<scalar_t>();
      scalar_t* const to_codes = grad_codes.mutable_data_ptr<scalar_t>();
      at::parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
          scalar_t* const image_logits = to_logits + b * num_anchors * classes;
          scalar_t* const image_codes = to_codes + b * num_anchors * 4;
          std::fill_n(image_logits, num_anchors * classes, scalar_t{0});
          std::fill_n(image_codes, num_anchors * 4, scalar_t{0});
          BackwardImage(At(all, b, num_anchors, classes), num_anchors, classes,
                        static_cast<scalar_t>(beta), static_cast<scalar_t>(scale_classification),
                        static_cast<scalar_t>(scale_localization), image_logits, image_codes);
        }
      });
    });
    return {grad_logits, grad_codes, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
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

Tensor Upcast(const Tensor& predictions) {
  return predictions.scalar_type() == at::kDouble ? predictions : predictions.to(at::kFloat);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> MultiboxLoss::Create(const MultiboxLossOptions& options,
                                                           const LossContext& context) {
  CHECK_GT(context.num_classes, 0);
  const double ratio = options.negatives_per_positive();
  SSD_RETURN_IF_ERROR(CheckOption(ratio >= 0, "negatives_per_positive", ratio, ">= 0"));
  const double weight = options.localization_weight();
  SSD_RETURN_IF_ERROR(CheckOption(weight >= 0, "localization_weight", weight, ">= 0"));
  const double beta = options.smooth_l1_beta();
  SSD_RETURN_IF_ERROR(CheckOption(beta > 0, "smooth_l1_beta", beta, "> 0"));
  return std::unique_ptr<Loss>(new MultiboxLoss(options, context.num_classes));
}

Losses MultiboxLoss::Compute(const Predictions& predictions, const Targets& targets,
                             const BoxDecoder& /*decode*/, LossDetail* per_anchor) const {
  CHECK_EQ(predictions.class_logits.size(-1), num_classes_ + 1);
  CHECK(predictions.class_logits.sizes().slice(0, 2) == targets.labels.sizes());
  CHECK(predictions.box_codes.sizes() == targets.box_codes.sizes());
  // Both of the wider type, should they differ.
  const Tensor logits = Upcast(predictions.class_logits);
  const Tensor codes = Upcast(predictions.box_codes).to(logits.scalar_type());
  const MultiboxTerms terms =
      logits.is_cpu() ? MultiboxTermsOnCpu({codes, logits}, targets, options_, per_anchor)
                      : MultiboxTermsByTensorOps({codes, logits}, targets, options_, per_anchor);
  return {terms.classification + terms.localization * options_.localization_weight(),
          terms.classification, terms.localization};
}

MultiboxTerms MultiboxTermsOnCpu(const Predictions& predictions, const Targets& targets,
                                 const MultiboxLossOptions& options, LossDetail* per_anchor) {
  const variable_list terms = MultiboxFunction::apply(
      predictions.class_logits, predictions.box_codes, targets.labels, targets.box_codes,
      options.negatives_per_positive(), options.smooth_l1_beta(), per_anchor);
  return {terms[0], terms[1]};
}

MultiboxTerms MultiboxTermsByTensorOps(const Predictions& predictions, const Targets& targets,
                                       const MultiboxLossOptions& options, LossDetail* per_anchor) {
  const Tensor& logits = predictions.class_logits;
  const Tensor& codes = predictions.box_codes;
  const Tensor positive = targets.labels > 0;
  const Tensor negative = targets.labels == 0;
  const Tensor losses =
      logits.logsumexp(-1) -
      logits.gather(-1, targets.labels.clamp_min(0).unsqueeze(-1)).squeeze(-1);  // [B, A]

  const Tensor hardness = at::where(negative, losses.detach().clamp_min(0), -1.0);
  // Stable: ties go to the lower anchor.
  const Tensor order = std::get<1>(at::sort(hardness, /*stable=*/true, 1, /*descending=*/true));
  const Tensor rank = at::empty_like(order).scatter_(
      1, order, at::arange(order.size(1), order.options()).expand_as(order));
  const Tensor wanted =
      (positive.sum(1, true).to(at::kDouble) * options.negatives_per_positive()).floor();
  const Tensor chosen = positive.logical_or(negative.logical_and(rank < wanted));

  const Tensor distance =
      at::where(positive.unsqueeze(-1), codes - targets.box_codes.to(codes.scalar_type()), 0.0);
  const Tensor offsets = at::smooth_l1_loss(distance, at::zeros_like(distance), at::Reduction::None,
                                            options.smooth_l1_beta())
                             .sum(-1);  // [B, A]
  if (per_anchor) {
    per_anchor->classification =
        at::where(targets.labels >= 0, losses.detach(), 0.0).to(at::kFloat);
    per_anchor->localization = offsets.detach().to(at::kFloat);
    per_anchor->chosen = chosen;
  }
  const Tensor normalizer = positive.sum().clamp_min(1).to(logits.scalar_type());
  return {at::where(chosen, losses, 0.0).sum() / normalizer, offsets.sum() / normalizer};
}

SSD_REGISTER_LOSS(MultiboxLossOptions, MultiboxLoss);

}  // namespace ssd
