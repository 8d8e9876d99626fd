#include "ssd/weights/class_rows.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "ssd/core/status_macros.h"
#include "ssd/weights/sources/source.h"

namespace ssd {
namespace {

constexpr char kBackground[] = "background";

// -1 when there is no class of that name.
int64_t RowOf(const std::vector<std::string>& classes, absl::string_view name) {
  const auto found = std::find(classes.begin(), classes.end(), name);
  return name.empty() || found == classes.end() ? -1 : found - classes.begin();
}

// Levels have equal notes.
void Note(std::string note, std::vector<std::string>& notes) {
  if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(std::move(note));
}

}  // namespace

absl::StatusOr<std::optional<std::vector<int64_t>>> ClassRows::Choose(
    int64_t rows, std::vector<std::string>& notes) const {
  using Chosen = std::optional<std::vector<int64_t>>;
  const Classes classes = ClassesOf(rows);
  if (!options_.class_row().empty()) {
    SSD_ASSIGN_OR_RETURN(std::vector<int64_t> given, AsGiven(rows, classes.names));
    Note("classes start from the rows that class_row names", notes);
    return Chosen(std::move(given));
  }
  std::vector<std::string> absent;
  std::vector<int64_t> chosen = ByName(classes.names, absent);
  const bool found = absent.size() < labels_.names.size();
  const bool as_many = rows == logits_;
  if (found && as_many && !classes.told) {
    SSD_RETURN_IF_ERROR(FillHoles(classes.names, absent, chosen));
  }
  // Names that are only guessed, and none of which is found, are those of another dataset.
  if (found || (classes.told && as_many)) {
    Note(absl::StrCat(
             "classes start from those of the same name among the file's ", rows,
             classes.told ? "" : ", which by their number are VOC's or COCO's",
             absent.empty() ? "" : "; these are none of them, and start as without the file: ",
             absl::StrJoin(absent, ", ")),
         notes);
    return Chosen(std::move(chosen));
  }
  if (!as_many) return Chosen();
  Note(absl::StrCat("the names of the file's ", rows,
                    " classes are unknown: they are taken one by one (class_row)"),
       notes);
  for (int64_t row = 0; row < rows; ++row) chosen[static_cast<size_t>(row)] = row;
  return Chosen(std::move(chosen));
}

ClassRows::Classes ClassRows::ClassesOf(int64_t rows) const {
  const int64_t known = static_cast<int64_t>(file_labels_.size());
  if (known == rows) return {file_labels_, true};
  if (known + 1 != rows || known == 0) return {PublishedClasses(rows), false};
  Classes classes = {{""}, true};
  classes.names.insert(classes.names.end(), file_labels_.begin(), file_labels_.end());
  return classes;
}

// The background's logit starts from row 0, where the file has one; all others from none.
std::vector<int64_t> ClassRows::WithBackground(const std::vector<std::string>& classes) const {
  std::vector<int64_t> chosen(static_cast<size_t>(logits_), -1);
  if (HasBackground() && (classes.empty() || classes[0].empty())) chosen[0] = 0;
  return chosen;
}

// The labels that are no class of the file's are added to `absent`.
std::vector<int64_t> ClassRows::ByName(const std::vector<std::string>& classes,
                                       std::vector<std::string>& absent) const {
  std::vector<int64_t> chosen = WithBackground(classes);
  for (size_t i = 0; i < labels_.names.size(); ++i) {
    const int64_t row = RowOf(classes, labels_.names[i]);
    if (row < 0) absent.push_back(labels_.names[i]);
    chosen[static_cast<size_t>(LogitOf(i))] = row;
  }
  return chosen;
}

// Of as many classes, guessed by their number, among which some labels are found: the others must
// be at places that COCO's ids leave free, to which programs with a class for each id give names of
// their own. Else the file's classes may be others, in another order.
absl::Status ClassRows::FillHoles(const std::vector<std::string>& classes,
                                  std::vector<std::string>& absent,
                                  std::vector<int64_t>& chosen) const {
  absent.clear();
  for (size_t i = 0; i < labels_.names.size(); ++i) {
    const size_t logit = static_cast<size_t>(LogitOf(i));
    if (chosen[logit] >= 0) continue;
    if (logit > 0 && classes[logit].empty()) {
      chosen[logit] = static_cast<int64_t>(logit);
    } else {
      absent.push_back(labels_.names[i]);
    }
  }
  if (absent.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "model.weights.class_row: not set, and the file does not name the classes of its ",
      classes.size(), " rows; by their number they are VOC's or COCO's, which of the labels these ",
      "are not: ", absl::StrJoin(absent, ", "), "; list which row each label starts from"));
}

absl::StatusOr<std::vector<int64_t>> ClassRows::AsGiven(
    int64_t rows, const std::vector<std::string>& classes) const {
  std::vector<int64_t> chosen = WithBackground(classes);
  for (int i = 0; i < options_.class_row_size(); ++i) {
    const WeightsOptions::ClassRow& entry = options_.class_row(i);
    const auto error = [i](absl::string_view field, absl::string_view what) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.weights.class_row[", i, "].", field, ": ", what));
    };
    int64_t logit = -1;
    const auto label = std::find(labels_.names.begin(), labels_.names.end(), entry.label());
    if (label != labels_.names.end()) {
      logit = LogitOf(static_cast<size_t>(label - labels_.names.begin()));
    } else if (entry.label() == kBackground && HasBackground()) {
      logit = 0;
    } else {
      return error("label", absl::StrCat("'", entry.label(), "' is none of the labels: ",
                                         absl::StrJoin(labels_.names, ", ")));
    }
    if (entry.has_row() == entry.has_from()) return error("row", "set either row or from");
    int64_t row = entry.row();
    if (entry.has_from()) {
      row = RowOf(classes, entry.from());
      if (row < 0) {
        return error("from", absl::StrCat("'", entry.from(), "' is no class of the file's ", rows,
                                          " rows, as far as is known; set row"));
      }
    } else if (row < 0 || row >= rows) {
      return error("row", absl::StrCat(row, " must be in [0, ", rows - 1, "]"));
    }
    chosen[static_cast<size_t>(logit)] = row;
  }
  return chosen;
}

}  // namespace ssd
