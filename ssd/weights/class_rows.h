#ifndef SSD_WEIGHTS_CLASS_ROWS_H_
#define SSD_WEIGHTS_CLASS_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ssd/core/annotations.h"
#include "ssd/weights/weights.pb.h"

namespace ssd {

// Which of a file's rows of class logits each of the detector's logits starts from: the rules of
// WeightsOptions.class_row.
class ClassRows {
 public:
  // `file_labels` are the classes that the file tells, label 1 first, or empty; `labels` are the
  // detector's, which has `logits` an anchor: one for each, with the background's or without. All
  // that is given must outlive this.
  ClassRows(const WeightsOptions& options, const std::vector<std::string>& file_labels,
            const LabelMap& labels, int64_t logits)
      : options_(options), file_labels_(file_labels), labels_(labels), logits_(logits) {}

  // For each of the detector's logits the file's, of which an anchor has `rows`; -1 for none.
  // nullopt when the file's classes cannot be told and are not as many. How it was chosen is added
  // to `notes`, once.
  // \error InvalidArgument naming class_row: it names what there is not, or it is not set and the
  // labels are as many as VOC's or COCO's classes, but only some of them are those.
  absl::StatusOr<std::optional<std::vector<int64_t>>> Choose(int64_t rows,
                                                             std::vector<std::string>& notes) const;

 private:
  // Of the file, by row: "" for the background and for rows without a class; empty when unknown.
  struct Classes {
    std::vector<std::string> names;
    bool told = false;  // by the file, or guessed by their number
  };

  bool HasBackground() const { return logits_ == labels_.num_classes() + 1; }
  // Of label i + 1.
  int64_t LogitOf(size_t i) const { return static_cast<int64_t>(i) + (HasBackground() ? 1 : 0); }
  Classes ClassesOf(int64_t rows) const;
  std::vector<int64_t> WithBackground(const std::vector<std::string>& classes) const;
  std::vector<int64_t> ByName(const std::vector<std::string>& classes,
                              std::vector<std::string>& absent) const;
  absl::Status FillHoles(const std::vector<std::string>& classes, std::vector<std::string>& absent,
                         std::vector<int64_t>& chosen) const;
  absl::StatusOr<std::vector<int64_t>> AsGiven(int64_t rows,
                                               const std::vector<std::string>& classes) const;

  const WeightsOptions& options_;
  const std::vector<std::string>& file_labels_;
  const LabelMap& labels_;
  const int64_t logits_;
};

}  // namespace ssd

#endif  // SSD_WEIGHTS_CLASS_ROWS_H_
