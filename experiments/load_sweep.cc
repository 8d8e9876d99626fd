#include "experiments/load_sweep.h"

#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "experiments/load_experiment.h"
#include "experiments/merge_experiment.h"
#include "experiments/run_folder.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

// `text` as a part of a folder's name. Letters of other scripts (bytes from 0x80 on) stay.
std::string InFolderName(const std::string& text) {
  std::string name;
  for (const char c : text) {
    const bool stays = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '-' ||
                       c == '.' || static_cast<unsigned char>(c) >= 0x80;
    if (stays) {
      name += c;
    } else if (name.empty() || name.back() != '_') {
      name += '_';
    }
  }
  return name;
}

absl::Status CheckAxes(const Sweep& sweep, const std::string& source) {
  const auto wrong = [&source](auto&&... what) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": ", what...));
  };
  if (!sweep.has_base())
    return wrong("base is missing; name the experiment that points start from");
  if (sweep.axis().empty() && sweep.seed().empty()) {
    return wrong("neither axis nor seed is set; a sweep varies at least one of them");
  }
  std::set<std::string> axes;
  for (int i = 0; i < sweep.axis_size(); ++i) {
    const Sweep::Axis& axis = sweep.axis(i);
    const std::string field = absl::StrCat("axis[", i, "]");
    if (axis.name().empty()) return wrong(field, ".name is missing");
    if (axis.name() == "seed") return wrong(field, ".name is 'seed'; list seeds in `seed`");
    if (!axes.insert(InFolderName(axis.name())).second) {
      return wrong(field, ".name '", axis.name(), "' names two axes; rename one");
    }
    if (axis.point().empty()) return wrong("axis '", axis.name(), "' has no point");
    std::set<std::string> labels;
    for (int j = 0; j < axis.point_size(); ++j) {
      const std::string& label = axis.point(j).label();
      const std::string point = absl::StrCat(field, ".point[", j, "].label");
      if (label.empty()) return wrong(point, " is missing");
      if (!labels.insert(InFolderName(label)).second) {
        return wrong(point, " '", label, "' names two points of axis '", axis.name(),
                     "', at least in folder names; rename one");
      }
    }
  }
  std::set<uint64_t> seeds;
  for (const uint64_t seed : sweep.seed()) {
    if (!seeds.insert(seed).second) return wrong("seed ", seed, " is listed twice");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoadedSweep> LoadSweep(const std::string& path,
                                      absl::Span<const std::string> overrides,
                                      const std::string& working_directory) {
  if (path.empty()) {
    return absl::InvalidArgumentError("no sweep is named; give one: --config=FILE");
  }
  const fs::path file = (fs::path(working_directory) / path).lexically_normal();
  const std::string source = ShownPath(path, working_directory);

  LoadedSweep loaded;
  loaded.name = file.stem().string();
  Sweep& sweep = loaded.sweep;
  SSD_ASSIGN_OR_RETURN(const std::string text, ReadFile(file.string()));
  SSD_RETURN_IF_ERROR(ParseTextProto(text, source, sweep));
  const std::string folder = file.parent_path().string();
  MakePathsAbsolute(sweep, folder);
  SSD_RETURN_IF_ERROR(CheckAxes(sweep, source));
  SSD_RETURN_IF_ERROR(CheckFolderName(absl::StrCat(source, ": the sweep's name"), loaded.name));

  std::vector<Override> common;
  for (const std::string& assignment : sweep.set()) common.push_back({assignment, folder});
  for (const std::string& assignment : overrides) common.push_back({assignment, working_directory});

  // The axes' positions count like a number, the last digit fastest.
  std::vector<int> position(static_cast<size_t>(sweep.axis_size()), 0);
  while (true) {
    SweepPoint point;
    std::vector<Override> assignments = common;
    for (int i = 0; i < sweep.axis_size(); ++i) {
      const Sweep::Point& chosen = sweep.axis(i).point(position[static_cast<size_t>(i)]);
      point.labels.push_back(chosen.label());
      absl::StrAppend(&point.name, InFolderName(sweep.axis(i).name()), "=",
                      InFolderName(chosen.label()), ",");
      for (const std::string& assignment : chosen.set())
        assignments.push_back({assignment, folder});
    }
    absl::StatusOr<Experiment> experiment =
        LoadExperiment(sweep.base(), assignments, working_directory);
    if (!experiment.ok()) {
      return absl::Status(
          experiment.status().code(),
          absl::StrCat(source, ": point ", point.name.substr(0, point.name.size() - 1), ": ",
                       experiment.status().message()));
    }
    std::vector<uint64_t> seeds(sweep.seed().begin(), sweep.seed().end());
    if (seeds.empty()) seeds.push_back(experiment->seed());
    for (const uint64_t seed : seeds) {
      SweepPoint run = point;
      run.seed = seed;
      absl::StrAppend(&run.name, "seed=", seed);
      SSD_RETURN_IF_ERROR(CheckFolderName(absl::StrCat(source, ": the point's name"), run.name));
      run.experiment = *experiment;
      run.experiment.set_seed(seed);
      run.experiment.set_name(run.name);
      loaded.points.push_back(std::move(run));
    }
    size_t axis = position.size();
    while (axis > 0 &&
           ++position[axis - 1] == sweep.axis(static_cast<int>(axis) - 1).point_size()) {
      position[--axis] = 0;
    }
    if (axis == 0) return loaded;
  }
}

}  // namespace ssd
