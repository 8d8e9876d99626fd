#include "experiments/run_packing.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "data/dataset.h"
#include "experiments/run_data.h"
#include "ssd/core/status_macros.h"

namespace ssd {

absl::StatusOr<PackSummary> RunPacking(const Experiment& experiment, const std::string& split,
                                       const PackOptions& options, const std::string& output) {
  SSD_ASSIGN_OR_RETURN(const DatasetConfig* const config, DatasetOfSplit(experiment, split));
  if (output.empty()) return absl::InvalidArgumentError("give --output=FILE, a new file");
  SSD_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> dataset,
                       OpenDataset(*config, LabelNames(experiment), absl::StrCat("data.", split)));
  return PackDataset(*dataset, options, output);
}

std::string PackText(const PackSummary& summary, const std::string& file) {
  return absl::StrFormat(
      "%s: %d images, %d objects of %d classes; %.1f MB, digest %s\n"
      "packed { file: \"%s\" }\n",
      file, summary.images, summary.objects, summary.classes,
      static_cast<double>(summary.bytes) / 1e6, summary.digest, file);
}

std::string PackJson(const PackSummary& summary, const std::string& file) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> json(buffer);
  json.StartObject();
  json.Key("file");
  json.String(file.c_str());
  json.Key("images");
  json.Int64(summary.images);
  json.Key("objects");
  json.Int64(summary.objects);
  json.Key("classes");
  json.Int64(summary.classes);
  json.Key("bytes");
  json.Int64(summary.bytes);
  json.Key("digest");
  json.String(summary.digest.c_str());
  json.EndObject();
  return absl::StrCat(buffer.GetString(), "\n");
}

}  // namespace ssd
