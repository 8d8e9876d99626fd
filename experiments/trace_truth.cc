#include "experiments/trace_truth.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <opencv2/core.hpp>
#include <optional>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "data/dataset.h"
#include "experiments/anchor_matches.h"
#include "experiments/candidate_fates.h"
#include "experiments/run_data.h"
#include "experiments/run_device.h"
#include "experiments/sample_pipeline.h"
#include "experiments/trained_model.h"
#include "ssd/core/boxes.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"
#include "ssd/eval/evaluator.h"
#include "ssd/eval/text_table.h"
#include "ssd/losses/loss.h"
#include "ssd/model/detections_in_pixels.h"
#include "ssd/report/class_colors.h"
#include "ssd/report/drawing.h"
#include "ssd/report/judged_boxes.h"
#include "ssd/report/picture_sheet.h"
#include "ssd/train/compute_format.h"

namespace ssd {
namespace {

using Align = TextTable::Align;

// Lines of a table: the best, then a word about the others.
constexpr size_t kMostRows = 20;
// Detections that overlap the truth less than this are not told.
constexpr double kLeastOverlap = 0.1;

constexpr Rgb kTruthColor = {0xee, 0x33, 0x77};
constexpr Rgb kBoxColor = {0x33, 0xbb, 0xee};
constexpr Rgb kOtherColor = {0xee, 0x77, 0x33};

std::string BoxText(const PixelBox& box) {
  return absl::StrFormat("%.1f %.1f %.1f %.1f", box.x0, box.y0, box.x1, box.y1);
}

std::string SidesText(const PixelBox& box) {
  return absl::StrFormat("%.1f x %.1f", box.width(), box.height());
}

std::string SizeText(ImageSize size) { return absl::StrCat(size.width, " x ", size.height); }

PixelBox InPixels(const Corners& box, ImageSize view) {
  const auto width = static_cast<double>(view.width), height = static_cast<double>(view.height);
  return {box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height};
}

// "RBC 0.95".
std::string ScoredName(const LabelMap& labels, int64_t label, double score) {
  return absl::StrFormat("%s %.3f", labels.names[static_cast<size_t>(label - 1)], score);
}

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

// The index of the image that `name` means: by file name, else by its last part, else by id.
absl::StatusOr<int64_t> FindImage(const Dataset& dataset, const std::string& name,
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
  return absl::NotFoundError(absl::StrCat(
      "--trace: ", field, " has no image '", name,
      "'; give its file name or id, or --split=", field == "data.train" ? "validation" : "train"));
}

// The object that was at `place` before transforms dropped some (SamplePipeline numbers them).
const Annotation* Find(const Sample& sample, int64_t place) {
  for (const Annotation& object : sample.truth.objects) {
    if (object.id == place) return &object;
  }
  return nullptr;
}

// An image as a network sees it, and the truth that is traced in it.
struct TracedView {
  Sample sample;
  cv::Mat rgb;
  std::optional<size_t> object;  // its place among those that are left
  std::vector<AnchorMatch> matches;

  ImageSize size() const { return sample.geometry.view; }
  const Annotation& truth() const { return sample.truth.objects[*object]; }
};

// What the network says of a view, on the CPU.
struct Said {
  Tensor boxes;   // [A, 4] corners
  Tensor scores;  // [A, C]
  Detections detections;
  Tensor classification, localization;  // [A], of the loss
  double total = 0;
};

class Trace {
 public:
  Trace(const Experiment& experiment, const TraceOptions& options)
      : experiment_(experiment), options_(options) {}

  absl::StatusOr<TruthTrace> Run() {
    SSD_ASSIGN_OR_RETURN(const ImageAndBox wanted, ParseTruth(options_.truth));
    SSD_RETURN_IF_ERROR(CheckFlags());
    SSD_RETURN_IF_ERROR(SetThreads(options_.threads).status());
    SSD_ASSIGN_OR_RETURN(const c10::Device device, SelectDevice(options_.device));
    if (!options_.weights.empty()) {
      SSD_ASSIGN_OR_RETURN(model_, LoadTrainedModel(experiment_, options_.weights, device));
    }
    SSD_RETURN_IF_ERROR(OpenImage(wanted));
    SSD_RETURN_IF_ERROR(MakeNetwork());
    TellAnnotation();
    SSD_ASSIGN_OR_RETURN(const TracedView training, TellTransforms());
    TellMatches(training);
    if (model_.has_value()) {
      SSD_ASSIGN_OR_RETURN(evaluation_, View("data.validation", experiment_.data().validation(),
                                             /*epoch=*/0, nullptr));
      TellDetection(*evaluation_);
    }
    TruthTrace trace;
    trace.text = text_;
    if (!options_.output.empty()) {
      SSD_ASSIGN_OR_RETURN(trace.picture, WritePicture(training));
    }
    return trace;
  }

 private:
  absl::Status CheckFlags() const {
    if (options_.split != "train" && options_.split != "validation") {
      return absl::InvalidArgumentError(
          absl::StrCat("--split=", options_.split, ": must be train or validation"));
    }
    if (options_.epoch < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--epoch=", options_.epoch, ": must be 0 or more"));
    }
    if (options_.tile < 32 || options_.tile > 4096) {
      return absl::InvalidArgumentError(
          absl::StrCat("--tile=", options_.tile, ": must be 32 to 4096"));
    }
    return absl::OkStatus();
  }

  const DatasetConfig& Config() const {
    return options_.split == "train" ? experiment_.data().train() : experiment_.data().validation();
  }

  absl::Status OpenImage(const ImageAndBox& wanted) {
    field_ = absl::StrCat("data.", options_.split);
    std::vector<std::string> names = LabelNames(experiment_);
    if (model_.has_value()) {
      names = model_->labels.names;
    } else if (names.empty() && options_.split != "train") {
      // Labels stand for what data.train collects.
      SSD_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> train,
                           OpenDataset(experiment_.data().train(), names, "data.train"));
      names = train->labels().names;
    }
    SSD_ASSIGN_OR_RETURN(dataset_, OpenDataset(Config(), names, field_));
    SSD_ASSIGN_OR_RETURN(index_, FindImage(*dataset_, wanted.image, field_));
    SSD_ASSIGN_OR_RETURN(image_, dataset_->GetAnnotations(index_));
    place_ = wanted.box;
    const auto objects = static_cast<int64_t>(image_.objects.size());
    if (place_ < objects) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("--trace=", options_.truth, ": ", image_.file_name, " has ", objects,
                     " objects", objects == 0 ? "" : absl::StrCat(", 0 to ", objects - 1)));
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

  const Annotation& Annotated() const { return image_.objects[static_cast<size_t>(place_)]; }

  void TellAnnotation() {
    const Annotation& object = Annotated();
    absl::StrAppend(&text_, "Truth ", place_, " of ", image_.file_name, " (id ", image_.image_id,
                    ", image ", index_, " of ", field_, ")\n");
    const std::string file = dataset_->AnnotationFile(index_);
    if (!file.empty()) {
      absl::StrAppend(&text_, "annotation  ", file,
                      object.line > 0 ? absl::StrCat(":", object.line) : "", "\n");
    }
    absl::StrAppend(&text_, "class       ", ClassName(object.label), " (label ", object.label, ")",
                    object.difficult ? ", difficult: never matched" : "",
                    object.crowd ? ", a crowd: never matched" : "", "\n");
  }

  const std::string& ClassName(int64_t label) const {
    return dataset_->labels().names[static_cast<size_t>(label - 1)];
  }

  // The image through the transforms of `config`.
  absl::StatusOr<TracedView> View(const std::string& field, const DatasetConfig& config,
                                  int64_t epoch, const SamplePipeline::Observer& observer) const {
    SSD_ASSIGN_OR_RETURN(const SamplePipeline pipeline,
                         SamplePipeline::Create(experiment_, config, field));
    TracedView view;
    SSD_ASSIGN_OR_RETURN(view.sample,
                         pipeline.Make(*dataset_, index_, experiment_.seed(), epoch, observer));
    SSD_ASSIGN_OR_RETURN(view.rgb, pipeline.Render(view.sample));
    if (const Annotation* object = Find(view.sample, place_); object != nullptr) {
      view.object = static_cast<size_t>(object - view.sample.truth.objects.data());
      view.matches = MatchAnchors(Setting(), view.sample.truth.objects, view.size())[*view.object];
    }
    return view;
  }

  AnchorSetting Setting() const { return AnchorSettingOf(*network_); }

  absl::StatusOr<TracedView> TellTransforms() {
    absl::StrAppend(&text_, "\nTransforms of ", field_, ", seed ", experiment_.seed(), ", epoch ",
                    options_.epoch, "; boxes in pixels of the view\n");
    TextTable table({Align::kLeft, Align::kLeft, Align::kRight, Align::kRight});
    table.AddRow({"after", "box (x0 y0 x1 y1)", "width x height", "view"});
    const PixelBox original = Annotated().box;
    table.AddRow({"(annotated)", BoxText(original), SidesText(original), SizeText(image_.size)});
    bool dropped = false;
    const SamplePipeline::Observer observer = [&](const std::string& name, const Sample& sample) {
      if (dropped) return;
      const Annotation* object = Find(sample, place_);
      dropped = object == nullptr;
      const PixelBox box = dropped ? sample.geometry.ToView(original) : object->box;
      table.AddRow({name, absl::StrCat(dropped ? "dropped: would be " : "", BoxText(box)),
                    SidesText(box), SizeText(sample.geometry.view)});
    };
    SSD_ASSIGN_OR_RETURN(TracedView view, View(field_, Config(), options_.epoch, observer));
    absl::StrAppend(&text_, table.Render());
    return view;
  }

  // Appends "and 5 more" where a table was cut.
  void TellRest(size_t all) {
    if (all > kMostRows) absl::StrAppend(&text_, "and ", all - kMostRows, " more\n");
  }

  static std::vector<std::string> PlaceCells(const AnchorPlace& place) {
    return {absl::StrCat(place.level + 1), absl::StrCat(place.row), absl::StrCat(place.column),
            absl::StrCat(place.shape)};
  }

  void TellMatches(const TracedView& view) {
    absl::StrAppend(&text_, "\nDefault boxes that answer for it\n");
    if (!view.object.has_value()) {
      absl::StrAppend(&text_, "none: the network is not shown it\n");
      return;
    }
    const AnchorSetting setting = Setting();
    const AnchorMatch nearest = NearestAnchor(setting, view.truth(), view.size());
    if (view.matches.empty()) {
      absl::StrAppendFormat(
          &text_, "none; the nearest is on level %d, row %d, column %d, shape %d: IoU %.3f\n",
          nearest.place.level + 1, nearest.place.row, nearest.place.column, nearest.place.shape,
          nearest.iou);
      return;
    }
    std::optional<Said> said;
    if (model_.has_value()) said = Ask(view);
    std::vector<std::string> heads = {"level",          "row", "column", "shape",
                                      "width x height", "IoU", "matched"};
    if (said.has_value()) {
      heads.push_back("class. loss");
      heads.push_back("loc. loss");
    }
    std::vector<Align> columns(heads.size(), Align::kRight);
    columns[6] = Align::kLeft;
    TextTable table(columns);
    table.AddRow(heads);
    for (size_t i = 0; i < std::min(view.matches.size(), kMostRows); ++i) {
      const AnchorMatch& match = view.matches[i];
      std::vector<std::string> row = PlaceCells(match.place);
      row.push_back(SidesText(match.box));
      row.push_back(absl::StrFormat("%.3f", match.iou));
      const char* const by_iou = setting.positive_iou.has_value() ? "by IoU" : "";
      row.push_back(match.forced ? "forced" : by_iou);
      if (said.has_value()) {
        for (const Tensor* loss : {&said->classification, &said->localization}) {
          row.push_back(absl::StrFormat("%.4f", loss->const_data_ptr<float>()[match.anchor]));
        }
      }
      table.AddRow(row);
    }
    absl::StrAppend(&text_, table.Render());
    TellRest(view.matches.size());
    absl::StrAppend(&text_, "Levels count from 1, rows, columns and shapes from 0.\n");
    if (said.has_value()) {
      absl::StrAppendFormat(&text_,
                            "Losses before normalisation; of the image as a batch of one: %.4f.\n",
                            said->total);
    }
  }

  // What the trained network says of the view; everything on the CPU.
  Said Ask(const TracedView& view) const {
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

  void TellDetection(const TracedView& view) {
    absl::StrAppend(&text_, "\nDetection, as data.validation's transforms show the image\n");
    if (!view.object.has_value()) {
      absl::StrAppend(&text_, "none: the network is not shown it\n");
      return;
    }
    const Said said = Ask(view);
    const int64_t label = Annotated().label;
    TellVerdict(view, said);
    TellDetectionsOn(view, said);

    // What might have found it: boxes that answer for it, and boxes that lie on it.
    const Truth truth = TruthTensors({view.truth()}, view.size());
    const Tensor ious = PairwiseIou(truth.boxes[0], said.boxes).contiguous();
    const float* const iou = ious.const_data_ptr<float>();
    const int64_t anchors = said.boxes.size(0);
    std::set<int64_t> matched;
    for (const AnchorMatch& match : view.matches) matched.insert(match.anchor);
    std::vector<int64_t> candidates(matched.begin(), matched.end());
    for (int64_t anchor = 0; anchor < anchors; ++anchor) {
      if (iou[anchor] >= MinIou() && matched.count(anchor) == 0) candidates.push_back(anchor);
    }
    const auto scores = said.scores.accessor<float, 2>();
    std::stable_sort(candidates.begin(), candidates.end(), [&](int64_t a, int64_t b) {
      return scores[a][label - 1] > scores[b][label - 1];
    });
    if (candidates.empty()) {
      const int64_t nearest = std::max_element(iou, iou + anchors) - iou;
      absl::StrAppendFormat(&text_,
                            "No box of the network's lies on it; the nearest has IoU %.3f and "
                            "scores %.4f.\n",
                            iou[nearest], scores[nearest][label - 1]);
      return;
    }
    absl::StrAppendFormat(&text_, "\nBoxes that answer for it or have IoU %g or more with it\n",
                          MinIou());
    const std::optional<SelectionRules> rules =
        SelectionRulesOf(network_->config().post_processor());
    const AnchorSetting setting = Setting();
    TextTable table({Align::kRight, Align::kRight, Align::kRight, Align::kRight, Align::kLeft,
                     Align::kRight, Align::kRight, Align::kLeft, Align::kLeft});
    table.AddRow({"level", "row", "column", "shape", "answers", "IoU", "score", "best class",
                  "what became of it"});
    for (size_t i = 0; i < std::min(candidates.size(), kMostRows); ++i) {
      const int64_t anchor = candidates[i];
      const CandidateFate fate =
          FateOf(anchor, label, said.boxes, said.scores, said.detections, rules);
      std::vector<std::string> row = PlaceCells(PlaceOfAnchor(anchor, setting));
      row.push_back(matched.count(anchor) > 0 ? "yes" : "");
      row.push_back(absl::StrFormat("%.3f", iou[anchor]));
      row.push_back(absl::StrFormat("%.4f", fate.score));
      row.push_back(BestClass(said, anchor));
      row.push_back(FateText(fate, said, rules));
      table.AddRow(row);
    }
    absl::StrAppend(&text_, table.Render());
    TellRest(candidates.size());
  }

  double MinIou() const { return LeastTrueIou(experiment_.evaluator()); }

  std::string BestClass(const Said& said, int64_t anchor) const {
    const auto scores = said.scores.accessor<float, 2>();
    int64_t best = 0;
    for (int64_t c = 1; c < said.scores.size(1); ++c) {
      if (scores[anchor][c] > scores[anchor][best]) best = c;
    }
    return ScoredName(dataset_->labels(), best + 1, scores[anchor][best]);
  }

  // As the evaluator would have it, among all detections of the image.
  void TellVerdict(const TracedView& view, const Said& said) {
    const std::vector<PixelDetection> found =
        DetectionsInPixels(said.detections, {image_.image_id}, {view.sample.geometry})[0]
            .detections;
    const JudgedImage judged = JudgeDetections(found, image_.objects, /*min_score=*/0, MinIou());
    for (const JudgedDetection& detection : judged.detections) {
      if (detection.truth != place_) continue;
      absl::StrAppendFormat(
          &text_, "found at IoU %.3f by %s\n", detection.iou,
          ScoredName(dataset_->labels(), detection.detection.label, detection.detection.score));
      return;
    }
    absl::StrAppendFormat(&text_, "missed: no detection of its class takes it at IoU %g\n",
                          MinIou());
  }

  static Corners DetectedBox(const Said& said, int64_t detection) {
    const auto box = said.detections.boxes.accessor<float, 3>()[0][detection];
    return {box[0], box[1], box[2], box[3]};
  }

  static int64_t DetectedLabel(const Said& said, int64_t detection) {
    return said.detections.labels.accessor<int64_t, 2>()[0][detection];
  }

  static double DetectedScore(const Said& said, int64_t detection) {
    return said.detections.scores.accessor<float, 2>()[0][detection];
  }

  std::string DetectedName(const Said& said, int64_t detection) const {
    return ScoredName(dataset_->labels(), DetectedLabel(said, detection),
                      DetectedScore(said, detection));
  }

  void TellDetectionsOn(const TracedView& view, const Said& said) {
    TextTable table({Align::kRight, Align::kLeft, Align::kLeft, Align::kRight});
    table.AddRow({"detection", "class and score", "box (x0 y0 x1 y1)", "IoU"});
    const int64_t count = said.detections.counts.accessor<int64_t, 1>()[0];
    size_t on_it = 0;
    for (int64_t i = 0; i < count; ++i) {
      const PixelBox box = InPixels(DetectedBox(said, i), view.size());
      const double iou = BoxIou(box, view.truth().box);
      if (iou < kLeastOverlap) continue;
      detections_.push_back({iou, {box, DetectedScore(said, i), DetectedLabel(said, i)}});
      if (++on_it > kMostRows) continue;
      table.AddRow(
          {absl::StrCat(i + 1), DetectedName(said, i), BoxText(box), absl::StrFormat("%.3f", iou)});
    }
    if (on_it == 0) {
      absl::StrAppend(&text_, "none of the image's ", count, " detections has IoU ", kLeastOverlap,
                      " or more with it\n");
    } else {
      absl::StrAppend(&text_, table.Render());
      TellRest(on_it);
    }
  }

  std::string FateText(const CandidateFate& fate, const Said& said,
                       const std::optional<SelectionRules>& rules) const {
    const auto detection = [&] {
      return absl::StrCat("detection ", fate.detection + 1, " (",
                          DetectedName(said, fate.detection), ")");
    };
    switch (fate.fate) {
      case Fate::kDetected:
        return detection();
      case Fate::kBelowScore:
        return absl::StrFormat("cut by score_threshold %g", rules->score_threshold);
      case Fate::kOtherClass:
        return "its anchor takes part with its best class";
      case Fate::kBeyondCandidates:
        return absl::StrCat("cut by ",
                            rules->across_classes ? "max_candidates " : "max_candidates_per_class ",
                            rules->max_candidates);
      case Fate::kSuppressed:
        return absl::StrFormat("suppressed by %s, IoU %.3f, limit %g", detection(), fate.iou,
                               fate.limit);
      case Fate::kBeyondDetections:
        return absl::StrCat("cut by max_detections ", rules->max_detections);
      case Fate::kNotKept:
        break;
    }
    if (fate.detection < 0) return "not kept; overlaps no detection";
    return absl::StrFormat("not kept; overlaps %s, IoU %.3f", detection(), fate.iou);
  }

  SheetTile Tile(const cv::Mat& rgb, const PixelBox* truth, std::vector<OutlinedBox> others,
                 std::vector<std::string> caption) const {
    FittedPicture fitted = FitPicture(rgb, static_cast<int>(options_.tile));
    for (OutlinedBox& other : others) other.box = fitted.Place(other.box);
    if (truth != nullptr) {
      OutlinedBox outlined;
      outlined.box = fitted.Place(*truth);
      outlined.color = kTruthColor;
      outlined.style = LineStyle::kDotted;
      others.push_back(outlined);
    }
    DrawBoxes(others, fitted.bgr);
    return {fitted.bgr, std::move(caption)};
  }

  absl::StatusOr<std::string> WritePicture(const TracedView& training) const {
    SSD_ASSIGN_OR_RETURN(const Sample original, dataset_->Get(index_));
    SSD_ASSIGN_OR_RETURN(const cv::Mat rgb, original.image.Render());
    PictureSheet sheet;
    sheet.columns = 3;
    sheet.title = absl::StrCat("Truth ", place_, " of ", image_.file_name);
    sheet.legend = {{kTruthColor, LineStyle::kDotted, "the truth"},
                    {kBoxColor, LineStyle::kSolid, "default box by its IoU, or detection"},
                    {kBoxColor, LineStyle::kDashed, "default box, forced"},
                    {kOtherColor, LineStyle::kDashDotted, "detection that does not find it"}};
    sheet.tiles.push_back(
        Tile(rgb, &Annotated().box, {}, {"as annotated", ClassName(Annotated().label)}));
    std::vector<OutlinedBox> anchors;
    for (const AnchorMatch& match : training.matches) {
      anchors.push_back({match.box, kBoxColor,
                         match.forced ? LineStyle::kDashed : LineStyle::kSolid, "",
                         /*thin=*/true});
    }
    sheet.tiles.push_back(
        Tile(training.rgb, training.object.has_value() ? &training.truth().box : nullptr, anchors,
             {absl::StrCat("epoch ", options_.epoch, " of training"),
              training.object.has_value()
                  ? absl::StrCat("default boxes that answer for it: ", training.matches.size())
                  : "not shown to the network"}));
    if (evaluation_.has_value() && evaluation_->object.has_value()) {
      std::vector<OutlinedBox> found;
      for (const DetectionOnTruth& on_it : detections_) {
        const bool finds = on_it.iou >= MinIou() && on_it.found.label == Annotated().label;
        found.push_back(
            {on_it.found.box, finds ? kBoxColor : kOtherColor,
             finds ? LineStyle::kSolid : LineStyle::kDashDotted,
             absl::StrFormat("%s %.2f", LetterableName(dataset_->labels(), on_it.found.label),
                             on_it.found.score)});
      }
      std::reverse(found.begin(), found.end());  // the best on top
      sheet.tiles.push_back(
          Tile(evaluation_->rgb, &evaluation_->truth().box, found,
               {"in evaluation", absl::StrCat("detections on it: ", detections_.size())}));
    }
    std::error_code error;
    std::filesystem::create_directories(options_.output, error);
    if (error) return FileError(error.value(), "cannot make the folder", options_.output);
    const std::string path = (std::filesystem::path(options_.output) / "trace.png").string();
    SSD_RETURN_IF_ERROR(WriteSheet(path, sheet));
    return path;
  }

  struct DetectionOnTruth {
    double iou = 0;
    PixelDetection found;  // in pixels of the view
  };

  const Experiment& experiment_;
  const TraceOptions& options_;
  std::optional<TrainedModel> model_;
  std::shared_ptr<SsdDetector> network_;
  std::string field_;
  std::unique_ptr<Dataset> dataset_;
  int64_t index_ = 0;
  int64_t place_ = 0;
  Annotations image_;
  std::optional<TracedView> evaluation_;
  std::vector<DetectionOnTruth> detections_;
  std::string text_;
};

}  // namespace

absl::StatusOr<TruthTrace> TraceTruth(const Experiment& experiment, const TraceOptions& options) {
  return Trace(experiment, options).Run();
}

}  // namespace ssd
