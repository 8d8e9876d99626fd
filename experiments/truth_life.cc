#include "experiments/truth_life.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "data/image_file.h"
#include "data/image_header.h"
#include "experiments/run_data.h"
#include "experiments/run_device.h"
#include "experiments/sample_pipeline.h"
#include "experiments/trained_model.h"
#include "ssd/core/boxes.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/types.h"
#include "ssd/losses/loss.h"
#include "ssd/model/detections_in_pixels.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/train/compute_format.h"

namespace ssd {
namespace {

struct ImageAndBox {
  std::string image;
  int64_t box = 0;
};

absl::StatusOr<ImageAndBox> ParseTruth(const std::string& text) {
  const size_t colon = text.rfind(':');
  ImageAndBox result;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(text.substr(colon + 1), &result.box) || result.box < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--trace=", text,
                     ": must be IMAGE:BOX, the image's file name or id and the "
                     "place of the box among its objects, from 0"));
  }
  result.image = text.substr(0, colon);
  return result;
}

// The index of the image that `name` means: by file name, else by its last part, else by id;
// nullopt: there is none.
absl::StatusOr<std::optional<int64_t>> FindImage(const Dataset& dataset, const std::string& name,
                                                 const std::string& field) {
  int64_t id = 0;
  const bool may_be_id = absl::SimpleAtoi(name, &id);
  std::vector<int64_t> of_name, of_last_part, of_id;
  for (int64_t index = 0; index < dataset.size(); ++index) {
    SSD_ASSIGN_OR_RETURN(const Annotations truth, dataset.GetAnnotations(index));
    if (truth.file_name == name) of_name.push_back(index);
    if (std::filesystem::path(truth.file_name).filename().string() == name) {
      of_last_part.push_back(index);
    }
    if (may_be_id && truth.image_id == id) of_id.push_back(index);
  }
  for (const std::vector<int64_t>* found : {&of_name, &of_last_part, &of_id}) {
    if (found->size() == 1) return found->front();
    if (found->size() > 1) {
      return absl::InvalidArgumentError(absl::StrCat("--trace: ", found->size(), " images of ",
                                                     field, " are called '", name,
                                                     "'; give the id of one"));
    }
  }
  return std::optional<int64_t>();
}

// Whether `path` is of the image that is called `name`: whole, or by its last parts.
bool IsCalled(const std::string& path, const std::string& name) {
  return path == name || absl::EndsWith(path, absl::StrCat("/", name));
}

// The object that was at `place` before transforms dropped some (SamplePipeline numbers them).
const Annotation* Find(const Sample& sample, int64_t place) {
  for (const Annotation& object : sample.truth.objects) {
    if (object.id == place) return &object;
  }
  return nullptr;
}

// What the network says of a view, on the CPU.
struct Said {
  Tensor boxes;   // [A, 4] corners
  Tensor scores;  // [A, C]
  Detections detections;
  Tensor classification, localization;  // [A], of the loss
  double total = 0;
};

class TruthFollower {
 public:
  TruthFollower(const Experiment& experiment, const TraceOptions& options)
      : experiment_(experiment), options_(options) {}

  absl::StatusOr<TruthLife> Run() {
    SSD_ASSIGN_OR_RETURN(const ImageAndBox wanted, ParseTruth(options_.truth));
    SSD_RETURN_IF_ERROR(CheckFlags());
    SSD_RETURN_IF_ERROR(SetThreads(options_.threads).status());
    SSD_ASSIGN_OR_RETURN(const c10::Device device, SelectDevice(options_.device));
    if (!options_.weights.empty()) {
      SSD_ASSIGN_OR_RETURN(model_, LoadTrainedModel(experiment_, options_.weights, device));
    }
    SSD_RETURN_IF_ERROR(OpenImage(wanted));
    SSD_RETURN_IF_ERROR(MakeNetwork());
    SSD_RETURN_IF_ERROR(FollowTransforms());
    FollowMatching();
    if (model_.has_value()) SSD_RETURN_IF_ERROR(FollowDetection());
    return std::move(life_);
  }

 private:
  absl::Status CheckFlags() {
    SSD_ASSIGN_OR_RETURN(config_, DatasetOfSplit(experiment_, options_.split));
    if (options_.epoch < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--epoch=", options_.epoch, ": must be 0 or more"));
    }
    return absl::OkStatus();
  }

  bool SkipsBadImages() const {
    return experiment_.data().loader().on_bad_image() == LoaderConfig::SKIP;
  }

  absl::Status OpenImage(const ImageAndBox& wanted) {
    life_.field = absl::StrCat("data.", options_.split);
    std::vector<std::string> names = LabelNames(experiment_);
    if (model_.has_value()) {
      names = model_->labels.names;
    } else if (names.empty() && options_.split != "train") {
      // Labels stand for what data.train collects.
      SSD_ASSIGN_OR_RETURN(
          const std::unique_ptr<Dataset> train,
          OpenDataset(experiment_, experiment_.data().train(), names, "data.train"));
      names = train->labels().names;
    }
    SSD_ASSIGN_OR_RETURN(dataset_, OpenDataset(experiment_, *config_, names, life_.field));
    SSD_ASSIGN_OR_RETURN(const std::optional<int64_t> index,
                         FindImage(*dataset_, wanted.image, life_.field));
    if (!index.has_value()) return NoSuchImage(wanted.image);
    life_.index = *index;
    SSD_ASSIGN_OR_RETURN(life_.image, dataset_->GetAnnotations(life_.index));
    life_.place = wanted.box;
    life_.annotation_file = dataset_->AnnotationFile(life_.index);
    life_.labels = dataset_->labels();
    const auto objects = static_cast<int64_t>(life_.image.objects.size());
    if (life_.place < objects) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("--trace=", options_.truth, ": ", life_.image.file_name, " has ", objects,
                     " objects", objects == 0 ? "" : absl::StrCat(", 0 to ", objects - 1)));
  }

  // Why the dataset has no image that is called `name`.
  absl::Status NoSuchImage(const std::string& name) const {
    const std::string other = options_.split == "train" ? "validation" : "train";
    const std::string missing =
        absl::StrCat("--trace: ", life_.field, " has no image '", name, "'");
    if (IsIn(other, name)) {
      return absl::NotFoundError(
          absl::StrCat(missing, "; data.", other, " has it: give --split=", other));
    }
    bool is_named = false;
    for (const std::string& file : dataset_->NamedImageFiles()) {
      if (!IsCalled(file, name)) continue;
      is_named = true;
      if (!SkipsBadImages()) break;
      const absl::Status readable = ReadImageSize(file).status();
      if (!readable.ok()) {
        return absl::Status(readable.code(),
                            absl::StrCat(missing,
                                         ": data.loader.on_bad_image: SKIP leaves out what cannot "
                                         "be read: ",
                                         readable.message()));
      }
    }
    if (is_named) {
      return absl::NotFoundError(absl::StrCat(
          missing, ": its files name it, but subset or drop_images_without_objects leaves it out"));
    }
    return absl::NotFoundError(
        absl::StrCat(missing, ", nor has data.", other, "; give the file name or id of one"));
  }

  // Whether the dataset of another split has the image.
  bool IsIn(const std::string& split, const std::string& name) const {
    const absl::StatusOr<const DatasetConfig*> config = DatasetOfSplit(experiment_, split);
    if (!config.ok()) return false;
    const std::string field = absl::StrCat("data.", split);
    const absl::StatusOr<std::unique_ptr<Dataset>> dataset =
        OpenDataset(experiment_, **config, LabelNames(experiment_), field);
    if (!dataset.ok()) return false;
    const absl::StatusOr<std::optional<int64_t>> index = FindImage(**dataset, name, field);
    return index.ok() && index->has_value();
  }

  absl::Status MakeNetwork() {
    if (model_.has_value()) {
      network_ = model_->detector;
      return absl::OkStatus();
    }
    SSD_ASSIGN_OR_RETURN(
        network_, SsdDetector::Create(experiment_.model(), dataset_->labels().num_classes()));
    return absl::OkStatus();
  }

  // The image through the transforms of `config`.
  absl::StatusOr<TruthView> View(const std::string& field, const DatasetConfig& config,
                                 int64_t epoch, const SamplePipeline::Observer& observer) const {
    SSD_ASSIGN_OR_RETURN(const SamplePipeline pipeline,
                         SamplePipeline::Create(experiment_, config, field));
    TruthView view;
    SSD_ASSIGN_OR_RETURN(
        view.sample, pipeline.Make(*dataset_, life_.index, experiment_.seed(), epoch, observer));
    absl::StatusOr<cv::Mat> rgb = pipeline.Render(view.sample);
    if (!rgb.ok() && SkipsBadImages() && IsBadImage(rgb.status())) {
      return absl::Status(
          rgb.status().code(),
          absl::StrCat("--trace: ", life_.image.file_name,
                       " cannot be decoded; training shows the next image in its place, evaluation "
                       "counts its truths as missed (data.loader.on_bad_image: SKIP): ",
                       rgb.status().message()));
    }
    if (!rgb.ok()) return rgb.status();
    view.rgb = *std::move(rgb);
    if (const Annotation* object = Find(view.sample, life_.place); object != nullptr) {
      view.object = static_cast<size_t>(object - view.sample.truth.objects.data());
      view.matches = MatchAnchors(Setting(), view.sample.truth.objects, view.size())[*view.object];
    }
    return view;
  }

  AnchorSetting Setting() const { return AnchorSettingOf(*network_); }

  absl::Status FollowTransforms() {
    life_.seed = experiment_.seed();
    life_.epoch = options_.epoch;
    bool is_dropped = false;
    PixelBox original = life_.annotated().box;  // in the image's pixels, cut as crops have cut it
    const SamplePipeline::Observer observer = [&](const std::string& name, const Sample& sample) {
      if (is_dropped) return;
      const Annotation* object = Find(sample, life_.place);
      is_dropped = object == nullptr;
      const PixelBox box = is_dropped ? sample.geometry.ToView(original) : object->box;
      original = sample.geometry.ToOriginal(box);
      life_.transforms.push_back({name, box, sample.geometry.view, is_dropped});
    };
    SSD_ASSIGN_OR_RETURN(life_.training, View(life_.field, *config_, options_.epoch, observer));
    SSD_ASSIGN_OR_RETURN(Sample whole, dataset_->Get(life_.index));
    life_.original = std::move(whole.image);
    return absl::OkStatus();
  }

  void FollowMatching() {
    const AnchorSetting setting = Setting();
    life_.has_iou_rule = setting.positive_iou.has_value();
    const TruthView& view = life_.training;
    if (!view.object.has_value()) return;
    if (view.matches.empty()) {
      life_.nearest = NearestAnchor(setting, view.truth(), view.size());
      return;
    }
    if (!model_.has_value()) return;
    const Said said = Ask(view);
    MatchLosses& losses = life_.losses.emplace();
    for (const AnchorMatch& match : view.matches) {
      losses.classification.push_back(said.classification.const_data_ptr<float>()[match.anchor]);
      losses.localization.push_back(said.localization.const_data_ptr<float>()[match.anchor]);
    }
    losses.total = said.total;
  }

  // What the trained network says of the view; everything on the CPU.
  Said Ask(const TruthView& view) const {
    const at::NoGradGuard no_grad;
    SsdDetector& detector = *model_->detector;
    const Tensor images =
        PlaceImages(ImageTensor(view.rgb), model_->device, model_->format.memory_format);
    Predictions predictions;
    {
      const AutocastScope autocast(model_->device, model_->format.precision);
      predictions = detector.Forward(images);
    }
    predictions.box_codes = predictions.box_codes.to(at::kFloat);
    predictions.class_logits = predictions.class_logits.to(at::kFloat);
    const Tensor boxes =
        detector.box_coder().Decode(predictions.box_codes, detector.anchors().boxes);
    const bool sigmoid = detector.config().head().activation() == HeadConfig::SIGMOID;
    const Tensor scores = sigmoid ? at::sigmoid(predictions.class_logits)
                                  : at::softmax(predictions.class_logits, -1).slice(2, 1);
    Truth truth = TruthTensors(view.sample.truth.objects, view.size());
    truth.boxes = truth.boxes.to(model_->device);
    truth.labels = truth.labels.to(model_->device);
    truth.ignore = truth.ignore.to(model_->device);
    LossDetail detail;
    const Losses losses = detector.ComputeLosses(predictions, truth, &detail);
    const Detections found = detector.post_processor().Process(boxes, predictions.class_logits);
    Said said;
    said.boxes = boxes[0].cpu().contiguous();
    said.scores = scores[0].cpu().contiguous();
    said.detections = {found.boxes.cpu(), found.scores.cpu(), found.labels.cpu(),
                       found.counts.cpu()};
    said.classification = detail.classification[0].cpu().contiguous();
    said.localization = detail.localization[0].cpu().contiguous();
    said.total = losses.total.item<double>();
    return said;
  }

  absl::Status FollowDetection() {
    life_.min_iou = LeastTrueIou(experiment_.evaluator());
    life_.rules = SelectionRulesOf(network_->config().post_processor());
    TruthDetection& detection = life_.detection.emplace();
    SSD_ASSIGN_OR_RETURN(detection.view, View("data.validation", experiment_.data().validation(),
                                              /*epoch=*/0, nullptr));
    if (!detection.view.object.has_value()) return absl::OkStatus();
    const Said said = Ask(detection.view);
    FindFinder(said, detection);
    ListDetections(said, detection);
    ListCandidates(said, detection);
    return absl::OkStatus();
  }

  // As the evaluator would have it, among all detections of the image.
  void FindFinder(const Said& said, TruthDetection& detection) const {
    const std::vector<PixelDetection> found =
        DetectionsInPixels(said.detections, {life_.image.image_id},
                           {detection.view.sample.geometry})[0]
            .detections;
    const JudgedImage judged =
        JudgeDetections(found, life_.image.objects, /*min_score=*/0, life_.min_iou);
    for (const JudgedDetection& each : judged.detections) {
      if (each.truth != life_.place) continue;
      detection.finder = each;
      return;
    }
  }

  static void ListDetections(const Said& said, TruthDetection& detection) {
    const Tensor boxes = said.detections.boxes[0].contiguous();
    const auto scores = said.detections.scores.accessor<float, 2>();
    const auto labels = said.detections.labels.accessor<int64_t, 2>();
    const int64_t count = said.detections.counts.accessor<int64_t, 1>()[0];
    for (int64_t i = 0; i < count; ++i) {
      const PixelBox box = InPixels(boxes, i, detection.view.size());
      const double iou = BoxIou(box, detection.view.truth().box);
      if (iou >= kLeastOverlap) detection.near.push_back({detection.detections.size(), iou});
      detection.detections.push_back({box, scores[0][i], labels[0][i]});
    }
  }

  void ListCandidates(const Said& said, TruthDetection& detection) const {
    const TruthView& view = detection.view;
    const int64_t label = life_.annotated().label;
    const Truth truth = TruthTensors({view.truth()}, view.size());
    const Tensor ious = PairwiseIou(truth.boxes[0], said.boxes).contiguous();
    const float* const iou = ious.const_data_ptr<float>();
    const int64_t anchors = said.boxes.size(0);
    const auto scores = said.scores.accessor<float, 2>();
    const int64_t nearest = std::max_element(iou, iou + anchors) - iou;
    detection.nearest_iou = iou[nearest];
    detection.nearest_score = scores[nearest][label - 1];

    std::set<int64_t> matched;
    for (const AnchorMatch& match : view.matches) matched.insert(match.anchor);
    std::vector<int64_t> candidates(matched.begin(), matched.end());
    for (int64_t anchor = 0; anchor < anchors; ++anchor) {
      if (iou[anchor] >= life_.min_iou && matched.count(anchor) == 0) candidates.push_back(anchor);
    }
    std::stable_sort(candidates.begin(), candidates.end(), [&](int64_t a, int64_t b) {
      return scores[a][label - 1] > scores[b][label - 1];
    });
    const AnchorSetting setting = Setting();
    for (const int64_t anchor : candidates) {
      TruthCandidate& candidate = detection.candidates.emplace_back();
      candidate.place = PlaceOfAnchor(anchor, setting);
      candidate.answers = matched.count(anchor) > 0;
      candidate.iou = iou[anchor];
      candidate.fate = FateOf(anchor, label, said.boxes, said.scores, said.detections, life_.rules);
      int64_t best = 0;
      for (int64_t c = 1; c < said.scores.size(1); ++c) {
        if (scores[anchor][c] > scores[anchor][best]) best = c;
      }
      candidate.best_label = best + 1;
      candidate.best_score = scores[anchor][best];
    }
  }

  const Experiment& experiment_;
  const TraceOptions& options_;
  const DatasetConfig* config_ = nullptr;  // that options_.split names
  std::optional<TrainedModel> model_;
  std::shared_ptr<SsdDetector> network_;
  std::unique_ptr<Dataset> dataset_;
  TruthLife life_;
};

}  // namespace

absl::StatusOr<TruthLife> FollowTruth(const Experiment& experiment, const TraceOptions& options) {
  return TruthFollower(experiment, options).Run();
}

}  // namespace ssd
