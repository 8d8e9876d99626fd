#include "experiments/run_data.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "data/transforms/transform.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

absl::Status At(const std::string& field, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(field, ": ", status.message()));
}

// What lies outside an image gets the colour the network sees as zero.
TransformContext ContextOf(const ModelConfig& model) {
  const InputConfig& input = model.input();
  TransformContext context;
  context.input = {input.height(), input.width()};
  for (int channel = 0; channel < 3 && input.mean_size() == 3; ++channel) {
    context.fill[channel] =
        input.mean(input.channel_order() == InputConfig::BGR ? 2 - channel : channel);
  }
  return context;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const DatasetConfig& config,
                                                     const std::vector<std::string>& labels,
                                                     const std::string& field) {
  absl::StatusOr<std::unique_ptr<Dataset>> dataset = CreateDataset(config, {labels});
  if (!dataset.ok()) return At(field, dataset.status());
  if ((*dataset)->labels().num_classes() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ": no annotation names an object, so there are no classes; set data.label"));
  }
  return dataset;
}

absl::StatusOr<LoadedData> LoadData(const Experiment& experiment, const DatasetConfig& config,
                                    const std::vector<std::string>& labels, DataUse use,
                                    bool pin_memory, const std::string& field) {
  LoadedData data;
  SSD_ASSIGN_OR_RETURN(data.dataset, OpenDataset(config, labels, field));

  const TransformContext context = ContextOf(experiment.model());
  absl::StatusOr<std::vector<std::unique_ptr<Transform>>> transforms =
      CreateTransforms(config.transform(), context);
  if (!transforms.ok()) return At(field, transforms.status());

  const LoaderConfig& loader = experiment.data().loader();
  const bool training = use == DataUse::kTraining;
  BatchLoaderOptions options;
  options.input = context.input;
  options.batch_size = loader.batch_size();
  options.seed = experiment.seed();
  options.shuffle = training;
  options.drop_last = training;
  options.prefetch_next_epoch = training;
  options.workers = loader.workers();
  options.prefetch_batches = loader.prefetch_batches();
  options.cache_megabytes = loader.cache().max_megabytes();
  options.pin_memory = pin_memory;
  absl::StatusOr<std::unique_ptr<BatchLoader>> created =
      BatchLoader::Create(*data.dataset, *std::move(transforms), options);
  if (!created.ok()) return At(field, created.status());
  data.loader = *std::move(created);
  return data;
}

absl::Status OpenDatasets(const Experiment& experiment) {
  const DataConfig& data = experiment.data();
  SSD_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> train,
                       OpenDataset(data.train(), LabelNames(experiment), "data.train"));
  return OpenDataset(data.validation(), train->labels().names, "data.validation").status();
}

std::vector<std::string> LabelNames(const Experiment& experiment) {
  return {experiment.data().label().begin(), experiment.data().label().end()};
}

absl::StatusOr<std::vector<Annotations>> AllAnnotations(const Dataset& dataset) {
  std::vector<Annotations> truths;
  truths.reserve(static_cast<size_t>(dataset.size()));
  for (int64_t index = 0; index < dataset.size(); ++index) {
    SSD_ASSIGN_OR_RETURN(truths.emplace_back(), dataset.GetAnnotations(index));
  }
  return truths;
}

}  // namespace ssd
