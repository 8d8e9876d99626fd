#include "experiments/run_description.h"

#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "data/dataset.h"
#include "experiments/run_data.h"
#include "ssd/anchors/anchor_file.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"
#include "ssd/eval/text_table.h"
#include "ssd/model/model_summary.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {
namespace {

using Align = TextTable::Align;

// Multiply-adds are what papers and torchvision publish as FLOPs.
constexpr char kFlopsNote[] = "FLOPs count a multiplication with its addition as one.";

std::string Number(int64_t value) { return absl::StrCat(value); }

std::string LayerTable(const ModelSummary& summary) {
  TextTable table(
      {Align::kLeft, Align::kLeft, Align::kRight, Align::kRight, Align::kRight, Align::kRight});
  table.AddRow({"layer", "type", "output", "parameters", "FLOPs", "receptive field"});
  for (const LayerSummary& layer : summary.layers) {
    table.AddRow({layer.name, layer.type, absl::StrJoin(layer.output_shape, "x"),
                  Number(layer.parameters), Number(layer.multiply_adds),
                  layer.receptive_field.has_value() ? absl::StrCat(*layer.receptive_field) : ""});
  }
  return table.Render();
}

std::string LevelTable(const SsdDetector& detector) {
  TextTable table({Align::kRight, Align::kRight, Align::kRight, Align::kRight, Align::kRight,
                   Align::kRight, Align::kRight});
  table.AddRow({"level", "channels", "height", "width", "stride", "anchors a cell", "anchors"});
  for (size_t k = 0; k < detector.levels().size(); ++k) {
    const FeatureSpec& spec = detector.levels()[k];
    table.AddRow({Number(static_cast<int64_t>(k) + 1), Number(spec.channels), Number(spec.height),
                  Number(spec.width), absl::StrCat(spec.stride_y),
                  Number(detector.anchors_per_cell()[k]), Number(detector.anchors().per_level[k])});
  }
  return table.Render();
}

std::string Json(const SsdDetector& detector, const ModelSummary& summary,
                 const std::string& config) {
  rapidjson::StringBuffer buffer;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> json(buffer);
  json.SetIndent(' ', 2);
  json.SetFormatOptions(rapidjson::kFormatSingleLineArray);
  json.StartObject();
  json.Key("num_classes");
  json.Int64(detector.num_classes());
  json.Key("num_anchors");
  json.Int64(detector.anchors().boxes.size(0));
  json.Key("anchors_per_level");
  json.StartArray();
  for (int64_t count : detector.anchors().per_level) json.Int64(count);
  json.EndArray();
  json.Key("anchors_per_cell");
  json.StartArray();
  for (int64_t count : detector.anchors_per_cell()) json.Int64(count);
  json.EndArray();
  json.Key("feature_maps");
  json.StartArray();
  for (const FeatureSpec& spec : detector.levels()) {
    json.StartArray();
    for (int64_t extent : {spec.channels, spec.height, spec.width}) json.Int64(extent);
    json.EndArray();
  }
  json.EndArray();
  json.Key("parameters");
  json.Int64(summary.parameters);
  json.Key("flops");
  json.Int64(summary.multiply_adds);
  json.Key("layers");
  json.StartArray();
  for (const LayerSummary& layer : summary.layers) {
    json.StartObject();
    json.Key("name");
    json.String(layer.name.c_str());
    json.Key("type");
    json.String(layer.type.c_str());
    json.Key("output_shape");
    json.StartArray();
    for (int64_t extent : layer.output_shape) json.Int64(extent);
    json.EndArray();
    json.Key("parameters");
    json.Int64(layer.parameters);
    json.Key("flops");
    json.Int64(layer.multiply_adds);
    json.Key("receptive_field");
    layer.receptive_field.has_value() ? json.Double(*layer.receptive_field) : json.Null();
    json.EndObject();
  }
  json.EndArray();
  json.Key("config");
  json.String(config.c_str());
  json.EndObject();
  return absl::StrCat(absl::string_view(buffer.GetString(), buffer.GetSize()), "\n");
}

}  // namespace

absl::StatusOr<Description> DescribeExperiment(const Experiment& experiment,
                                               const std::string& anchors_file) {
  int64_t classes = experiment.data().label_size();
  if (classes == 0) {
    SSD_ASSIGN_OR_RETURN(
        const std::unique_ptr<Dataset> train,
        OpenDataset(experiment, experiment.data().train(), LabelNames(experiment), "data.train"));
    classes = train->labels().num_classes();
  }
  SSD_ASSIGN_OR_RETURN(const std::shared_ptr<SsdDetector> detector,
                       SsdDetector::Create(experiment.model(), classes));
  if (!anchors_file.empty()) {
    SSD_RETURN_IF_ERROR(WriteAnchorFile(anchors_file, detector->anchors().boxes));
  }
  const ModelSummary summary = SummarizeModel(*detector);
  const std::string config = PrintTextProto(experiment);
  Description description;
  description.text = absl::StrCat(
      config, "\n", LayerTable(summary), kFlopsNote, "\n\n", LevelTable(*detector), "\n",
      absl::StrFormat("%d anchors, %d classes, %.3f M parameters, %.3f GFLOPs at %dx%d\n",
                      detector->anchors().boxes.size(0), classes,
                      static_cast<double>(summary.parameters) / 1e6,
                      static_cast<double>(summary.multiply_adds) / 1e9,
                      detector->input_size().height, detector->input_size().width));
  description.json = Json(*detector, summary, config);
  return description;
}

}  // namespace ssd
