#ifndef SSD_CODERS_CENTER_SIZE_H_
#define SSD_CODERS_CENTER_SIZE_H_

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "ssd/coders/box_coder.h"

namespace ssd {

// Centre offsets and log sizes relative to the anchor d (Liu et al., arXiv:1512.02325, equation 2;
// the variances v are Caffe's):
//
//   g_cx = (t_cx - d_cx) / (d_w v_c),   g_cy = (t_cy - d_cy) / (d_h v_c)
//   g_w  = log(t_w / d_w) / v_s,        g_h  = log(t_h / d_h) / v_s
//
// Decode clamps log(t_w / d_w) and log(t_h / d_h) to [min_log_size, max_log_size]; unset, the
// latter is 80, short of what float32 can hold. Variances of 1 give Caffe's codes with
// variance_encoded_in_target.
//
//   box_coder { center_size { center_variance: 0.1 size_variance: 0.2 } }
class CenterSizeBoxCoder final : public BoxCoder {
 public:
  // \error InvalidArgument if a variance or max_log_size is not > 0, or min_log_size not < 0.
  static absl::StatusOr<std::unique_ptr<BoxCoder>> Create(const CenterSizeOptions& options,
                                                          const BoxCoderContext& context);

  Tensor Encode(const Tensor& boxes, const Tensor& anchors) const override;
  Tensor Decode(const Tensor& codes, const Tensor& anchors) const override;

 private:
  explicit CenterSizeBoxCoder(const CenterSizeOptions& options);

  double center_variance_;
  double size_variance_;
  double max_log_size_;
  std::optional<double> min_log_size_;
};

}  // namespace ssd

#endif  // SSD_CODERS_CENTER_SIZE_H_
