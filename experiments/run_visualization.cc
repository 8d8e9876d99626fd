#include "experiments/run_visualization.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <opencv2/core.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "data/dataset.h"
#include "data/image_header.h"
#include "experiments/anchor_matches.h"
#include "experiments/level_matches.h"
#include "experiments/run_data.h"
#include "experiments/run_device.h"
#include "experiments/sample_pipeline.h"
#include "experiments/trained_model.h"
#include "ssd/core/boxes.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/plural.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"
#include "ssd/model/detections_in_pixels.h"
#include "ssd/report/class_colors.h"
#include "ssd/report/drawing.h"
#include "ssd/report/judged_boxes.h"
#include "ssd/report/picture_sheet.h"
#include "ssd/train/test_time_views.h"

namespace ssd {
namespace {

constexpr std::array<const char*, 5> kSheets = {"truth", "anchors", "positives", "augmented",
                                                "detections"};
// Pixels of a sheet: 400 MB while it is drawn.
constexpr int64_t kMostPixels = int64_t{1} << 27;
constexpr int64_t kMostImages = 1000;

constexpr Rgb kTrueColor = {0x33, 0xbb, 0xee};
constexpr Rgb kFalseColor = {0xee, 0x77, 0x33};
constexpr Rgb kMissedColor = {0xee, 0x33, 0x77};
constexpr Rgb kNotJudgedColor = {0xbb, 0xbb, 0xbb};
constexpr Rgb kWhite = {0xff, 0xff, 0xff};

absl::Status FlagError(absl::string_view flag, absl::string_view value, absl::string_view rule) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": ", rule));
}

absl::Status CheckFlag(absl::string_view flag, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return FlagError(flag, absl::StrCat(value), absl::StrCat("must be ", least, " to ", most));
}

// A dataset of the experiment and the images of it that are shown.
struct ShownData {
  std::string field;  // "data.train"
  std::unique_ptr<Dataset> dataset;
  std::vector<int64_t> indices;  // empty: not chosen yet
};

// What the network sees of an image.
struct NetworkImage {
  Sample sample;
  cv::Mat rgb;
};

// The truths as they lie on a tile.
std::vector<Annotation> OnTile(std::vector<Annotation> objects, const FittedPicture& tile) {
  for (Annotation& object : objects) object.box = tile.Place(object.box);
  return objects;
}

class Visualization {
 public:
  Visualization(const Experiment& experiment, const VisualizationOptions& options)
      : experiment_(experiment), options_(options) {}

  absl::StatusOr<std::vector<std::string>> Run() {
    SSD_RETURN_IF_ERROR(CheckFlags());
    SSD_RETURN_IF_ERROR(SetThreads(options_.threads).status());
    SSD_ASSIGN_OR_RETURN(const c10::Device device, SelectDevice(options_.device));
    if (!options_.weights.empty()) {
      SSD_ASSIGN_OR_RETURN(model_, LoadTrainedModel(experiment_, options_.weights, device));
    }
    std::error_code error;
    std::filesystem::create_directories(options_.output, error);
    if (error) return FileError(error.value(), "cannot make the folder", options_.output);
    if (Shows("truth")) SSD_RETURN_IF_ERROR(DrawTruthSheet());
    if (Shows("anchors")) SSD_RETURN_IF_ERROR(DrawAnchorSheets());
    if (Shows("positives")) SSD_RETURN_IF_ERROR(DrawPositiveSheet());
    if (Shows("augmented")) SSD_RETURN_IF_ERROR(DrawAugmentedSheet());
    if (Shows("detections")) SSD_RETURN_IF_ERROR(DrawDetectionSheet());
    return files_;
  }

 private:
  absl::Status CheckFlags() {
    const std::vector<std::string> known(kSheets.begin(), kSheets.end());
    for (absl::string_view sheet : absl::StrSplit(options_.show, ',', absl::SkipEmpty())) {
      if (std::find(known.begin(), known.end(), sheet) == known.end()) {
        return FlagError("show", options_.show,
                         absl::StrCat("there is no sheet '", sheet, "'; ",
                                      SuggestName(sheet, known, "there are")));
      }
      shown_.emplace_back(sheet);
    }
    if (shown_.empty()) {
      shown_ = known;
      if (options_.weights.empty()) shown_.pop_back();
    }
    if (Shows("detections") && options_.weights.empty()) {
      return FlagError("show", options_.show,
                       "detections need a trained model; give --run=DIR or --weights=W");
    }
    if (!options_.split.empty()) {
      SSD_RETURN_IF_ERROR(DatasetOfSplit(experiment_, options_.split).status());
    }
    if (options_.output.empty()) {
      return absl::InvalidArgumentError("--output is not set; name a folder for the pictures");
    }
    SSD_RETURN_IF_ERROR(CheckFlag("count", options_.count, 1, kMostImages));
    SSD_RETURN_IF_ERROR(CheckFlag("columns", options_.columns, 1, 100));
    SSD_RETURN_IF_ERROR(CheckFlag("tile", options_.tile, 32, 4096));
    SSD_RETURN_IF_ERROR(CheckFlag("epoch", options_.epoch, 0, int64_t{1} << 40));
    if (!(options_.min_score >= 0 && options_.min_score <= 1)) {
      return FlagError("min_score", absl::StrCat(options_.min_score), "must be 0 to 1");
    }
    for (absl::string_view text : absl::StrSplit(options_.index, ',', absl::SkipEmpty())) {
      int64_t index = 0;
      if (!absl::SimpleAtoi(text, &index) || index < 0) {
        return FlagError("index", options_.index,
                         "must be places in the dataset, from 0, separated by commas");
      }
      indices_.push_back(index);
    }
    const int64_t images =
        indices_.empty() ? options_.count : static_cast<int64_t>(indices_.size());
    SSD_RETURN_IF_ERROR(CheckFlag("index (how many)", images, 1, kMostImages));
    const int64_t tiles = images * (Shows("augmented") ? options_.columns : 1);
    if (tiles * options_.tile * options_.tile > kMostPixels) {
      return FlagError("tile", absl::StrCat(options_.tile),
                       absl::StrCat("a sheet of ", tiles, " tiles would have more than ",
                                    kMostPixels, " pixels; lower --tile, --count or --columns"));
    }
    return absl::OkStatus();
  }

  bool Shows(absl::string_view sheet) const {
    return std::find(shown_.begin(), shown_.end(), sheet) != shown_.end();
  }

  std::string SplitOr(absl::string_view split) const {
    return options_.split.empty() ? std::string(split) : options_.split;
  }

  // The class names that labels stand for, which only data.train may know.
  absl::StatusOr<std::vector<std::string>> ClassNames() {
    if (model_.has_value()) return model_->labels.names;
    if (experiment_.data().label_size() > 0) return LabelNames(experiment_);
    SSD_ASSIGN_OR_RETURN(const ShownData* train, Open("train"));
    return train->dataset->labels().names;
  }

  // Opens a dataset once.
  absl::StatusOr<ShownData*> Open(const std::string& split) {
    std::optional<ShownData>& data = split == "train" ? train_ : validation_;
    if (data.has_value()) return &*data;
    ShownData opened;
    opened.field = absl::StrCat("data.", split);
    std::vector<std::string> names = LabelNames(experiment_);
    if (model_.has_value() || split != "train") {
      SSD_ASSIGN_OR_RETURN(names, ClassNames());
    }
    SSD_ASSIGN_OR_RETURN(const DatasetConfig* const config, DatasetOfSplit(experiment_, split));
    SSD_ASSIGN_OR_RETURN(opened.dataset, OpenDataset(experiment_, *config, names, opened.field));
    data = std::move(opened);
    return &*data;
  }

  // The dataset, with the images of it that are shown.
  absl::StatusOr<const ShownData*> Show(const std::string& split) {
    SSD_ASSIGN_OR_RETURN(ShownData* const data, Open(split));
    if (data->indices.empty()) SSD_RETURN_IF_ERROR(ChooseImages(*data));
    return data;
  }

  // Where data.loader.on_bad_image is SKIP, the next image stands in for one that cannot be
  // decoded, or none for one that was asked for by its index.
  absl::Status ChooseImages(ShownData& data) const {
    const int64_t size = data.dataset->size();
    std::vector<std::pair<int64_t, int64_t>> ranges;  // each shows its first image that is sound
    for (const int64_t index : indices_) {
      if (index >= size) {
        return FlagError("index", options_.index,
                         absl::StrCat(data.field, " has ", size, " images, 0 to ", size - 1));
      }
      ranges.emplace_back(index, index + 1);
    }
    const int64_t count = indices_.empty() ? std::min(options_.count, size) : 0;
    for (int64_t i = 0; i < count; ++i) {
      ranges.emplace_back(i * size / count, (i + 1) * size / count);
    }
    const bool skips = experiment_.data().loader().on_bad_image() == LoaderConfig::SKIP;
    absl::Status first_error;
    for (const auto& [begin, end] : ranges) {
      for (int64_t index = begin; index < end; ++index) {
        const absl::Status decoded = skips ? Decode(*data.dataset, index) : absl::OkStatus();
        if (decoded.ok()) {
          data.indices.push_back(index);
          break;
        }
        if (!IsBadImage(decoded)) return decoded;
        LOG(WARNING) << decoded.message() << "; it is not shown";
        first_error.Update(decoded);
      }
    }
    return data.indices.empty() ? first_error : absl::OkStatus();
  }

  static absl::Status Decode(const Dataset& dataset, int64_t index) {
    SSD_ASSIGN_OR_RETURN(const Sample sample, dataset.Get(index));
    return sample.image.Render().status();
  }

  absl::StatusOr<SamplePipeline> PipelineOf(const std::string& split) const {
    SSD_ASSIGN_OR_RETURN(const DatasetConfig* const config, DatasetOfSplit(experiment_, split));
    return SamplePipeline::Create(experiment_, *config, absl::StrCat("data.", split));
  }

  // The network whose anchors are shown: the model file's, else the experiment's.
  absl::StatusOr<std::shared_ptr<SsdDetector>> Network() {
    if (model_.has_value()) return model_->detector;
    if (network_ == nullptr) {
      SSD_ASSIGN_OR_RETURN(const std::vector<std::string> names, ClassNames());
      SSD_ASSIGN_OR_RETURN(
          network_, SsdDetector::Create(experiment_.model(), static_cast<int64_t>(names.size())));
    }
    return network_;
  }

  FittedPicture Fit(const cv::Mat& rgb) const {
    return FitPicture(rgb, static_cast<int>(options_.tile));
  }

  absl::StatusOr<NetworkImage> See(const ShownData& data, int64_t index,
                                   const SamplePipeline& pipeline, int64_t epoch) const {
    NetworkImage image;
    SSD_ASSIGN_OR_RETURN(image.sample,
                         pipeline.Make(*data.dataset, index, experiment_.seed(), epoch));
    SSD_ASSIGN_OR_RETURN(image.rgb, pipeline.Render(image.sample));
    return image;
  }

  PictureSheet NewSheet(std::string title) const {
    PictureSheet sheet;
    sheet.title = std::move(title);
    sheet.columns = static_cast<int>(options_.columns);
    return sheet;
  }

  absl::Status Write(const std::string& name, const PictureSheet& sheet) {
    const std::string path = (std::filesystem::path(options_.output) / name).string();
    SSD_RETURN_IF_ERROR(WriteSheet(path, sheet));
    files_.push_back(path);
    return absl::OkStatus();
  }

  static std::string NameOf(const Annotations& truth, int64_t index) {
    return absl::StrCat(index, ": ", truth.file_name);
  }

  absl::Status DrawTruthSheet() {
    SSD_ASSIGN_OR_RETURN(const ShownData* data, Show(SplitOr("train")));
    PictureSheet sheet = NewSheet(absl::StrCat("Truths of ", data->field));
    for (const int64_t index : data->indices) {
      SSD_ASSIGN_OR_RETURN(const Sample sample, data->dataset->Get(index));
      SSD_ASSIGN_OR_RETURN(const cv::Mat rgb, sample.image.Render());
      FittedPicture tile = Fit(rgb);
      DrawTruths(OnTile(sample.truth.objects, tile), data->dataset->labels(), tile.bgr);
      sheet.tiles.push_back({tile.bgr,
                             {NameOf(sample.truth, index),
                              absl::StrCat("id ", sample.truth.image_id, ", ",
                                           sample.truth.size.width, "x", sample.truth.size.height,
                                           ", ", Plural(sample.truth.objects.size(), "object"))}});
    }
    return Write("truth.png", sheet);
  }

  absl::Status DrawAugmentedSheet() {
    const std::string split = SplitOr("train");
    SSD_ASSIGN_OR_RETURN(const ShownData* data, Show(split));
    SSD_ASSIGN_OR_RETURN(const SamplePipeline pipeline, PipelineOf(split));
    PictureSheet sheet = NewSheet(absl::StrCat("What the network sees of ", data->field, ", seed ",
                                               experiment_.seed(), ", an epoch a column"));
    for (const int64_t index : data->indices) {
      SSD_ASSIGN_OR_RETURN(const Annotations whole, data->dataset->GetAnnotations(index));
      for (int64_t column = 0; column < options_.columns; ++column) {
        const int64_t epoch = options_.epoch + column;
        SSD_ASSIGN_OR_RETURN(const NetworkImage seen, See(*data, index, pipeline, epoch));
        const std::vector<Annotation>& objects = seen.sample.truth.objects;
        FittedPicture tile = Fit(seen.rgb);
        DrawTruths(OnTile(objects, tile), data->dataset->labels(), tile.bgr);
        sheet.tiles.push_back(
            {tile.bgr,
             {NameOf(whole, index), absl::StrCat("epoch ", epoch, ": ", objects.size(), " of ",
                                                 Plural(whole.objects.size(), "object"))}});
      }
    }
    return Write("augmented.png", sheet);
  }

  // What the network sees of the split's images, at the first epoch.
  absl::StatusOr<std::vector<NetworkImage>> SeeAll(const ShownData& data,
                                                   const std::string& split) const {
    SSD_ASSIGN_OR_RETURN(const SamplePipeline pipeline, PipelineOf(split));
    std::vector<NetworkImage> images;
    for (const int64_t index : data.indices) {
      SSD_ASSIGN_OR_RETURN(images.emplace_back(), See(data, index, pipeline, options_.epoch));
    }
    return images;
  }

  absl::Status DrawAnchorSheets() {
    const std::string split = SplitOr("train");
    SSD_ASSIGN_OR_RETURN(const ShownData* data, Show(split));
    SSD_ASSIGN_OR_RETURN(const std::shared_ptr<SsdDetector> network, Network());
    SSD_ASSIGN_OR_RETURN(const std::vector<NetworkImage> images, SeeAll(*data, split));
    const AnchorSetting setting = AnchorSettingOf(*network);
    std::vector<std::vector<std::vector<AnchorMatch>>> matches;  // by image, then by truth
    for (const NetworkImage& image : images) {
      matches.push_back(
          MatchAnchors(setting, image.sample.truth.objects, image.sample.geometry.view));
    }
    const Tensor corners = CornersFromCenters(setting.anchors.boxes).contiguous();
    int64_t first_anchor = 0;
    for (size_t level = 0; level < setting.levels.size(); ++level) {
      const FeatureSpec& map = setting.levels[level];
      const int64_t per_cell = setting.anchors.per_level[level] / (map.height * map.width);
      PictureSheet sheet = NewSheet(absl::StrCat(
          "Default boxes of level ", level + 1, " of ", setting.levels.size(), ", ", map.height,
          "x", map.width, " cells, ", per_cell, " a cell, on ", data->field));
      sheet.legend = {{kWhite, LineStyle::kSolid, "two cells' default boxes"},
                      {ClassColor(1), LineStyle::kDotted, "truth"},
                      {ClassColor(1), LineStyle::kSolid, "answers for it, by its IoU"},
                      {ClassColor(1), LineStyle::kDashed, "answers for it, forced"}};
      for (size_t i = 0; i < images.size(); ++i) {
        const Sample& sample = images[i].sample;
        FittedPicture tile = Fit(images[i].rgb);
        std::vector<PixelBox> cells;
        for (const int64_t cell : SomeCells(map)) {
          for (int64_t shape = 0; shape < per_cell; ++shape) {
            const int64_t anchor = first_anchor + cell * per_cell + shape;
            cells.push_back(tile.Place(InPixels(corners, anchor, sample.geometry.view)));
          }
        }
        DrawAnchors(cells, /*label=*/0, tile.bgr);
        const std::vector<Annotation>& truths = sample.truth.objects;
        std::vector<OutlinedBox> boxes =
            OutlineLevelMatches(truths, matches[i], static_cast<int64_t>(level));
        for (OutlinedBox& box : boxes) box.box = tile.Place(box.box);
        DrawBoxes(boxes, tile.bgr);
        size_t all = 0;
        for (const std::vector<AnchorMatch>& of_truth : matches[i]) all += of_truth.size();
        sheet.tiles.push_back({tile.bgr,
                               {NameOf(sample.truth, data->indices[i]),
                                absl::StrCat(boxes.size() - truths.size(), " of ",
                                             Plural(all, "box"), " that answer for a truth")}});
      }
      SSD_RETURN_IF_ERROR(Write(absl::StrCat("anchors_level_", level + 1, ".png"), sheet));
      first_anchor += setting.anchors.per_level[level];
    }
    return absl::OkStatus();
  }

  // A cell in the middle of the map and one half way to its corner.
  static std::vector<int64_t> SomeCells(const FeatureSpec& map) {
    const int64_t middle = map.height / 2 * map.width + map.width / 2;
    const int64_t quarter = map.height / 4 * map.width + map.width / 4;
    if (middle == quarter) return {middle};
    return {middle, quarter};
  }

  absl::Status DrawPositiveSheet() {
    const std::string split = SplitOr("train");
    SSD_ASSIGN_OR_RETURN(const ShownData* data, Show(split));
    SSD_ASSIGN_OR_RETURN(const std::shared_ptr<SsdDetector> network, Network());
    SSD_ASSIGN_OR_RETURN(const std::vector<NetworkImage> images, SeeAll(*data, split));
    const AnchorSetting setting = AnchorSettingOf(*network);
    PictureSheet sheet = NewSheet(absl::StrCat("Which default boxes answer for which truth, ",
                                               data->field, ", a color for each truth"));
    sheet.legend = {{ClassColor(1), LineStyle::kSolid, "truth (thick) and boxes by their IoU"},
                    {ClassColor(1), LineStyle::kDashed, "forced upon it"},
                    {ClassColor(1), LineStyle::kDashDotted, "difficult or crowd: never matched"}};
    for (size_t i = 0; i < images.size(); ++i) {
      const Sample& sample = images[i].sample;
      const std::vector<Annotation>& objects = sample.truth.objects;
      const std::vector<std::vector<AnchorMatch>> matches =
          MatchAnchors(setting, objects, sample.geometry.view);
      FittedPicture tile = Fit(images[i].rgb);
      std::vector<OutlinedBox> thin, thick;
      size_t all = 0, without = 0;
      for (size_t g = 0; g < objects.size(); ++g) {
        const Rgb color = ClassColor(static_cast<int64_t>(g) + 1);
        const bool ignored = objects[g].difficult || objects[g].crowd;
        all += matches[g].size();
        without += !ignored && matches[g].empty();
        for (const AnchorMatch& match : matches[g]) {
          thin.push_back({tile.Place(match.box), color,
                          match.forced ? LineStyle::kDashed : LineStyle::kSolid, "",
                          /*thin=*/true});
        }
        thick.push_back({tile.Place(objects[g].box), color,
                         ignored ? LineStyle::kDashDotted : LineStyle::kSolid,
                         absl::StrCat(LetterableName(data->dataset->labels(), objects[g].label),
                                      ": ", ignored ? "never" : absl::StrCat(matches[g].size()))});
      }
      DrawBoxes(thin, tile.bgr);
      DrawBoxes(thick, tile.bgr);
      sheet.tiles.push_back(
          {tile.bgr,
           {NameOf(sample.truth, data->indices[i]),
            absl::StrCat(Plural(all, "box"), " for ", Plural(objects.size(), "truth"), ", ",
                         without, " without")}});
    }
    return Write("positives.png", sheet);
  }

  absl::Status DrawDetectionSheet() {
    SSD_ASSIGN_OR_RETURN(const ShownData* data, Show(SplitOr("validation")));
    // As evaluation shows them, whichever dataset they are of.
    SSD_ASSIGN_OR_RETURN(const SamplePipeline pipeline, PipelineOf("validation"));
    SSD_ASSIGN_OR_RETURN(const TestTimeViews views,
                         TestTimeViews::Create(experiment_.evaluator().views(), *model_->detector));
    const double min_iou = LeastTrueIou(experiment_.evaluator());
    PictureSheet sheet =
        NewSheet(absl::StrFormat("Detections in %s that score %g or more, truths at IoU %g",
                                 data->field, options_.min_score, min_iou));
    sheet.legend = {
        {kTrueColor, LineStyle::kSolid, "true: finds a truth"},
        {kFalseColor, LineStyle::kDashed, "false: finds none"},
        {kMissedColor, LineStyle::kDotted, "missed: a truth that none finds"},
        {kNotJudgedColor, LineStyle::kDashDotted, "difficult or crowd, and what lies on it"}};
    for (const int64_t index : data->indices) {
      SSD_ASSIGN_OR_RETURN(const Sample original, data->dataset->Get(index));
      SSD_ASSIGN_OR_RETURN(const cv::Mat rgb, original.image.Render());
      // Evaluation has one epoch.
      SSD_ASSIGN_OR_RETURN(const NetworkImage seen, See(*data, index, pipeline, /*epoch=*/0));
      const Tensor image =
          PlaceImages(ImageTensor(seen.rgb), model_->device, model_->format.memory_format);
      const Detections found = views.Detect(*model_->detector, image, model_->format);
      const std::vector<PixelDetection> in_pixels =
          DetectionsInPixels(found, {original.truth.image_id}, {seen.sample.geometry})[0]
              .detections;
      FittedPicture tile = Fit(rgb);
      const std::string summary = DrawJudged(
          JudgeDetections(in_pixels, original.truth.objects, options_.min_score, min_iou),
          original.truth.objects, data->dataset->labels(), tile);
      sheet.tiles.push_back({tile.bgr, {NameOf(original.truth, index), summary}});
    }
    return Write("detections.png", sheet);
  }

  // Returns "3 true, 1 false, 2 missed".
  static std::string DrawJudged(const JudgedImage& judged, const std::vector<Annotation>& truths,
                                const LabelMap& labels, FittedPicture& tile) {
    std::vector<OutlinedBox> boxes;
    size_t missed = 0;
    for (size_t g = 0; g < truths.size(); ++g) {
      const bool counts = !truths[g].difficult && !truths[g].crowd;
      if (counts && judged.found[g]) continue;
      missed += counts;
      boxes.push_back({tile.Place(truths[g].box), counts ? kMissedColor : kNotJudgedColor,
                       counts ? LineStyle::kDotted : LineStyle::kDashDotted,
                       LetterableName(labels, truths[g].label)});
    }
    size_t right = 0, wrong = 0;
    std::vector<OutlinedBox> found;
    for (const JudgedDetection& detection : judged.detections) {
      OutlinedBox box;
      box.box = tile.Place(detection.detection.box);
      box.text = absl::StrFormat("%s %.2f", LetterableName(labels, detection.detection.label),
                                 detection.detection.score);
      switch (detection.verdict) {
        case DetectionVerdict::kTrue:
          ++right;
          box.color = kTrueColor;
          box.style = LineStyle::kSolid;
          break;
        case DetectionVerdict::kFalse:
          ++wrong;
          box.color = kFalseColor;
          box.style = LineStyle::kDashed;
          break;
        case DetectionVerdict::kNotJudged:
          box.color = kNotJudgedColor;
          box.style = LineStyle::kDashDotted;
          break;
      }
      found.push_back(std::move(box));
    }
    boxes.insert(boxes.end(), found.rbegin(), found.rend());  // the best on top
    DrawBoxes(boxes, tile.bgr);
    return absl::StrCat(right, " true, ", wrong, " false, ", missed, " missed");
  }

  const Experiment& experiment_;
  const VisualizationOptions& options_;
  std::vector<std::string> shown_;
  std::vector<int64_t> indices_;  // that were asked for
  std::optional<TrainedModel> model_;
  std::shared_ptr<SsdDetector> network_;
  std::optional<ShownData> train_, validation_;
  std::vector<std::string> files_;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> RunVisualization(const Experiment& experiment,
                                                          const VisualizationOptions& options) {
  return Visualization(experiment, options).Run();
}

}  // namespace ssd
