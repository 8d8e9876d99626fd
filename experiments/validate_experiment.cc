#include "experiments/validate_experiment.h"

#include <ATen/ops/zeros.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "data/batch_loader.h"
#include "data/dataset.h"
#include "data/sample_order.h"
#include "data/transforms/transform.h"
#include "experiments/field_path.h"
#include "experiments/run_folder.h"
#include "ssd/core/random_state.h"
#include "ssd/core/status_macros.h"
#include "ssd/eval/evaluator.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/optim/optimizer.h"
#include "ssd/optim/parameter_groups.h"
#include "ssd/optim/schedule.h"
#include "ssd/train/run_length.h"
#include "ssd/train/test_time_views.h"

namespace ssd {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Components judge their own options when they are made, so all that need no data are made once;
// this class adds which field that is and where it was set.
class Validator {
 public:
  Validator(const Experiment& experiment, const FieldLocations& locations)
      : experiment_(experiment), locations_(locations) {}

  absl::Status Run(NetworkFrom network) const {
    SSD_RETURN_IF_ERROR(CheckNumbers(experiment_, ""));
    SSD_RETURN_IF_ERROR(At("name", CheckFolderName("name", experiment_.name())));
    SSD_RETURN_IF_ERROR(CheckKinds());
    if (network == NetworkFrom::kConfig) SSD_RETURN_IF_ERROR(CheckModel());
    SSD_RETURN_IF_ERROR(CheckData());
    SSD_RETURN_IF_ERROR(At("trainer", ValidateTrainerConfig(experiment_.trainer())));
    return CheckOptimization();
  }

 private:
  // A component's error with the field's full path and place. Components name the field at fault
  // first: from the experiment ("schedule.warmup.steps: ..."), or from the `scope` they are in
  // ("resize.interpolation: ..."). `scope` stands in for those that name none.
  absl::Status At(const std::string& scope, const absl::Status& status) const {
    if (status.ok()) return status;
    const std::string message(status.message());
    const std::string name = message.substr(0, message.find_first_of(": "));
    const auto is_field = [](const std::string& path) {
      return IsFieldPath(*Experiment::descriptor(), path);
    };
    const std::string within = absl::StrCat(scope, ".", name);
    const std::string path = is_field(name) ? name : is_field(within) ? within : scope;
    const std::string rest =
        path == scope && name != scope ? absl::StrCat(": ", message) : message.substr(name.size());
    const std::string place = PlaceOf(path);
    return absl::Status(status.code(), absl::StrCat(place, place.empty() ? "" : ": ", path, rest));
  }

  // Where the field, or the nearest message around it, was set.
  std::string PlaceOf(const std::string& path) const {
    const std::pair<const std::string, std::string>* nearest = nullptr;
    for (const auto& entry : locations_) {
      const std::string& around = entry.first;
      const bool contains = around.empty() || path == around ||
                            (absl::StartsWith(path, around) &&
                             (path[around.size()] == '.' || path[around.size()] == '['));
      // The map is sorted: of those that contain the path, the longest comes last.
      if (contains) nearest = &entry;
    }
    return nearest == nullptr ? "" : nearest->second;
  }

  absl::Status Check(bool valid, const std::string& path, double value,
                     const std::string& rule) const {
    if (valid) return absl::OkStatus();
    return At(path, absl::InvalidArgumentError(absl::StrCat(path, ": ", value, " must be ", rule)));
  }

  // NaN and infinity are values no field takes.
  absl::Status CheckNumbers(const Message& message, const std::string& prefix) const {
    const Reflection& reflection = *message.GetReflection();
    std::vector<const FieldDescriptor*> set;
    reflection.ListFields(message, &set);
    for (const FieldDescriptor* field : set) {
      const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
      for (int i = 0; i < count; ++i) {
        const bool repeated = field->is_repeated();
        const std::string path =
            absl::StrCat(prefix, FieldName(*field), repeated ? absl::StrCat("[", i, "]") : "");
        double value = 0;
        if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
          SSD_RETURN_IF_ERROR(CheckNumbers(repeated
                                               ? reflection.GetRepeatedMessage(message, field, i)
                                               : reflection.GetMessage(message, field),
                                           absl::StrCat(path, ".")));
        } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
          value = repeated ? reflection.GetRepeatedDouble(message, field, i)
                           : reflection.GetDouble(message, field);
        } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
          value = repeated ? reflection.GetRepeatedFloat(message, field, i)
                           : reflection.GetFloat(message, field);
        }
        SSD_RETURN_IF_ERROR(Check(std::isfinite(value), path, value, "a finite number"));
      }
    }
    return absl::OkStatus();
  }

  // Families whose components need data, and so are not made here: at least that one is named, and
  // linked.
  absl::Status CheckKinds() const {
    const DataConfig& data = experiment_.data();
    SSD_RETURN_IF_ERROR(CheckLinked("data.train", data.train(), DatasetRegistry::Get().Names()));
    SSD_RETURN_IF_ERROR(
        CheckLinked("data.validation", data.validation(), DatasetRegistry::Get().Names()));
    return CheckLinked("evaluator", experiment_.evaluator(), EvaluatorRegistry::Get().Names());
  }

  absl::Status CheckLinked(const std::string& path, const Message& family,
                           const std::vector<std::string>& linked) const {
    const absl::StatusOr<const Message*> options = SetKind(family);
    if (!options.ok()) return At(path, options.status());
    const std::string& name = (*options)->GetDescriptor()->full_name();
    if (std::find(linked.begin(), linked.end(), name) != linked.end()) return absl::OkStatus();
    return At(path, absl::NotFoundError(absl::StrCat("no component for ", name,
                                                     " is linked into this program; linked are ",
                                                     absl::StrJoin(linked, ", "))));
  }

  // Makes the whole network once: whether its parts fit is theirs to say, and some other options
  // name its parameters or its input.
  absl::Status CheckModel() const {
    const RandomStateScope random_state;
    const absl::StatusOr<std::shared_ptr<SsdDetector>> detector =
        SsdDetector::Create(experiment_.model(), StatedClasses());
    SSD_RETURN_IF_ERROR(At("model", detector.status()));
    SSD_RETURN_IF_ERROR(
        At("optimizer", NamedParameters(**detector, experiment_.optimizer()).status()));
    return At("evaluator",
              TestTimeViews::Create(experiment_.evaluator().views(), **detector).status());
  }

  // How many classes the text says there are; 1 where only the data know.
  int64_t StatedClasses() const {
    const int labels = experiment_.data().label_size();
    const int weights = experiment_.model().loss().multibox().class_weight_size();
    return std::max(1, labels > 0 ? labels : weights);
  }

  absl::Status CheckData() const {
    const LoaderConfig& loader = experiment_.data().loader();
    SSD_RETURN_IF_ERROR(Check(loader.batch_size() > 0, "data.loader.batch_size",
                              loader.batch_size(), "at least 1"));
    SSD_RETURN_IF_ERROR(
        Check(loader.workers() >= -1 && loader.workers() <= kMostLoaderWorkers,
              "data.loader.workers", loader.workers(),
              absl::StrCat("0 to ", kMostLoaderWorkers, ", or -1 for as many as there are cores")));
    SSD_RETURN_IF_ERROR(
        Check(loader.prefetch_batches() > 0 && loader.prefetch_batches() <= kMostPrefetchBatches,
              "data.loader.prefetch_batches", loader.prefetch_batches(),
              absl::StrCat("1 to ", kMostPrefetchBatches)));
    SSD_RETURN_IF_ERROR(Check(loader.cache().max_megabytes() >= 0,
                              "data.loader.cache.max_megabytes",
                              static_cast<double>(loader.cache().max_megabytes()), "at least 0"));
    SSD_RETURN_IF_ERROR(At("data.loader", ValidateSampling(loader.sampling())));
    const int reduction = loader.max_decode_reduction();
    const bool is_whole = loader.cache().max_megabytes() > 0 &&
                          loader.cache().content() == LoaderConfig::Cache::DECODED;
    SSD_RETURN_IF_ERROR(Check(reduction == 1 || reduction == 2 || reduction == 4 || reduction == 8,
                              "data.loader.max_decode_reduction", reduction, "1, 2, 4 or 8"));
    SSD_RETURN_IF_ERROR(Check(reduction == 1 || !is_whole, "data.loader.max_decode_reduction",
                              reduction, "1 with cache.content DECODED, which keeps whole images"));
    SSD_RETURN_IF_ERROR(CheckDataset("data.train", experiment_.data().train()));
    return CheckDataset("data.validation", experiment_.data().validation());
  }

  absl::Status CheckDataset(const std::string& path, const DatasetConfig& dataset) const {
    const Subset& subset = dataset.subset();
    SSD_RETURN_IF_ERROR(
        Check(subset.from() >= 0, absl::StrCat(path, ".subset.from"), subset.from(), "in [0, 1]"));
    SSD_RETURN_IF_ERROR(
        Check(subset.to() <= 1, absl::StrCat(path, ".subset.to"), subset.to(), "in [0, 1]"));
    SSD_RETURN_IF_ERROR(Check(subset.from() < subset.to(), absl::StrCat(path, ".subset.from"),
                              subset.from(), "below subset.to"));
    const InputConfig& input = experiment_.model().input();
    TransformContext context;
    context.input = {input.height(), input.width()};
    for (int i = 0; i < dataset.transform_size(); ++i) {
      SSD_RETURN_IF_ERROR(
          At(absl::StrCat(path, ".transform[", i, "]"),
             TransformRegistry::Get().Create(dataset.transform(i), context).status()));
    }
    return absl::OkStatus();
  }

  absl::Status CheckOptimization() const {
    OptimizerContext optimizer;
    optimizer.parameters.push_back({"weight", at::zeros({1}).requires_grad_()});
    SSD_RETURN_IF_ERROR(At(
        "optimizer", OptimizerRegistry::Get().Create(experiment_.optimizer(), optimizer).status()));
    // Options are judged alike for a run of any length.
    ScheduleContext schedule;
    schedule.total_steps = 1000;
    schedule.steps_per_epoch = 100;
    return At("schedule", CreateSchedule(experiment_.schedule(), schedule).status());
  }

  const Experiment& experiment_;
  const FieldLocations& locations_;
};

}  // namespace

absl::Status Validate(const Experiment& experiment, const FieldLocations& locations,
                      NetworkFrom network) {
  return Validator(experiment, locations).Run(network);
}

}  // namespace ssd
