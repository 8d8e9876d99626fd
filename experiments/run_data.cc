#include "experiments/run_data.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

absl::Status At(const std::string& field, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(field, ": ", status.message()));
}

absl::StatusOr<std::unique_ptr<Dataset>> Open(const DatasetConfig& config,
                                              const DatasetContext& context,
                                              const std::string& field) {
  absl::StatusOr<std::unique_ptr<Dataset>> dataset = CreateDataset(config, context);
  if (!dataset.ok()) return At(field, dataset.status());
  if ((*dataset)->labels().num_classes() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ": no annotation names an object, so there are no classes; set data.label"));
  }
  if ((*dataset)->size() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ": the dataset has no images; check its files and its subset (from, to)"));
  }
  return dataset;
}

}  // namespace

absl::StatusOr<const DatasetConfig*> DatasetOfSplit(const Experiment& experiment,
                                                    const std::string& split) {
  if (split == "train") return &experiment.data().train();
  if (split == "validation") return &experiment.data().validation();
  return absl::InvalidArgumentError(
      absl::StrCat("--split=", split, ": must be train or validation"));
}

absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const DatasetConfig& config,
                                                     const std::vector<std::string>& labels,
                                                     const std::string& field,
                                                     ProblemLog* problems) {
  std::vector<int64_t> bad_images;
  DatasetContext context;
  context.labels = labels;
  context.problems = problems;
  // Their places are kept, so that subsets hold the images that they hold in a run.
  if (problems != nullptr) context.bad_images = &bad_images;
  return Open(config, context, field);
}

absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const Experiment& experiment,
                                                     const DatasetConfig& config,
                                                     const std::vector<std::string>& labels,
                                                     const std::string& field, int64_t* left_out) {
  std::vector<int64_t> bad_images;
  DatasetContext context;
  context.labels = labels;
  if (experiment.data().loader().on_bad_image() == LoaderConfig::SKIP) {
    context.bad_images = &bad_images;
  }
  SSD_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> dataset, Open(config, context, field));
  if (left_out != nullptr) *left_out = static_cast<int64_t>(bad_images.size());
  return dataset;
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

absl::StatusOr<LoadedData> LoadData(const Experiment& experiment, const DatasetConfig& config,
                                    const std::vector<std::string>& labels, DataUse use,
                                    bool pin_memory, const std::string& field) {
  LoadedData data;
  BatchLoaderOptions options;
  SSD_ASSIGN_OR_RETURN(data.dataset,
                       OpenDataset(experiment, config, labels, field, &options.images_left_out));

  const TransformContext context = ContextOf(experiment.model());
  absl::StatusOr<std::vector<std::unique_ptr<Transform>>> transforms =
      CreateTransforms(config.transform(), context);
  if (!transforms.ok()) return At(field, transforms.status());

  const LoaderConfig& loader = experiment.data().loader();
  const bool training = use == DataUse::kTraining;
  options.input = context.input;
  options.batch_size = loader.batch_size();
  options.seed = experiment.seed();
  options.shuffle = training;
  if (training) options.sampling = loader.sampling();
  options.drop_last = training && loader.last_batch() == LoaderConfig::DROP;
  if (loader.on_bad_image() == LoaderConfig::SKIP) {
    options.bad_images = training ? BadImages::kReplace : BadImages::kLeaveOut;
  }
  options.prefetch_next_epoch = training;
  options.workers = loader.workers();
  options.prefetch_batches = loader.prefetch_batches();
  options.cache_megabytes = loader.cache().max_megabytes();
  options.cache_content = loader.cache().content();
  options.max_decode_reduction = loader.max_decode_reduction();
  options.pin_memory = pin_memory;
  absl::StatusOr<std::unique_ptr<BatchLoader>> created =
      BatchLoader::Create(*data.dataset, *std::move(transforms), options);
  if (!created.ok()) return At(field, created.status());
  data.loader = *std::move(created);
  return data;
}

absl::StatusOr<ValidationData> LoadValidationData(const Experiment& experiment,
                                                  const std::vector<std::string>& labels,
                                                  bool pin_memory, const std::string& field) {
  ValidationData validation;
  SSD_ASSIGN_OR_RETURN(validation.data, LoadData(experiment, experiment.data().validation(), labels,
                                                 DataUse::kEvaluation, pin_memory, field));
  EvaluatorContext context;
  context.labels = validation.data.dataset->labels();
  SSD_ASSIGN_OR_RETURN(context.truths, AllAnnotations(*validation.data.dataset));
  SSD_ASSIGN_OR_RETURN(validation.evaluator,
                       EvaluatorRegistry::Get().Create(experiment.evaluator(), context));
  return validation;
}

absl::StatusOr<RunData> LoadRunData(const Experiment& experiment, bool pin_memory) {
  RunData data;
  SSD_ASSIGN_OR_RETURN(data.train,
                       LoadData(experiment, experiment.data().train(), LabelNames(experiment),
                                DataUse::kTraining, pin_memory, "data.train"));
  SSD_ASSIGN_OR_RETURN(data.validation,
                       LoadValidationData(experiment, data.train.dataset->labels().names,
                                          pin_memory, "data.validation"));
  return data;
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
