#include "experiments/merge_experiment.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "experiments/field_path.h"
#include "ssd/core/field_options.pb.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string Shown(const fs::path& path, const fs::path& folder) {
  const fs::path relative = path.lexically_relative(folder);
  return relative.empty() || *relative.begin() == ".." ? path.string() : relative.string();
}

fs::path Absolute(const fs::path& path, const fs::path& folder) {
  const fs::path joined = path.is_absolute() ? path : folder / path;
  return joined.lexically_normal();
}

// Forgets where `path` and everything in it was set.
void Forget(FieldLocations& locations, const std::string& path) {
  for (auto it = locations.lower_bound(path);
       it != locations.end() && absl::StartsWith(it->first, path);) {
    const char next = it->first.size() == path.size() ? '.' : it->first[path.size()];
    it = next == '.' || next == '[' ? locations.erase(it) : std::next(it);
  }
}

// Merges `overlay`, which is used up, over `base`: messages merge, everything else that is set
// replaces, and so does what excludes something (a oneof's other member, a family's other kind).
void Merge(Message& base, Message& overlay, const std::string& prefix, FieldLocations& locations) {
  const Reflection& reflection = *base.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(overlay, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = absl::StrCat(prefix, FieldName(*field));
    while (const FieldDescriptor* const rival = RivalOf(base, *field)) {
      reflection.ClearField(&base, rival);
      Forget(locations, absl::StrCat(prefix, FieldName(*rival)));
    }
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (is_message && !field->is_repeated() && reflection.HasField(base, field)) {
      Merge(*reflection.MutableMessage(&base, field), *reflection.MutableMessage(&overlay, field),
            absl::StrCat(path, "."), locations);
    } else {
      reflection.ClearField(&base, field);
      reflection.SwapFields(&base, &overlay, {field});
      Forget(locations, path);
    }
  }
}

// One file with its bases. `chain` holds the files that led here, outermost first.
absl::Status ReadWithBases(const fs::path& file, const fs::path& working_directory,
                           std::vector<fs::path>& chain, Experiment& experiment,
                           FieldLocations& locations) {
  const auto shown_chain = [&] {
    return absl::StrJoin(chain, " -> ", [&](std::string* out, const fs::path& link) {
      *out += Shown(link, working_directory);
    });
  };
  std::error_code ignored;
  const fs::path canonical = fs::weakly_canonical(file, ignored);
  bool seen = false;
  for (const fs::path& earlier : chain) seen |= fs::weakly_canonical(earlier, ignored) == canonical;
  chain.push_back(file);
  if (seen) {
    return absl::InvalidArgumentError(
        absl::StrCat("bases in a circle: ", shown_chain(), "; remove one `base`"));
  }

  const std::string source = Shown(file, working_directory);
  const absl::StatusOr<std::string> text = ReadFile(file.string());
  if (!text.ok()) {
    return absl::Status(text.status().code(),
                        chain.size() == 1
                            ? std::string(text.status().message())
                            : absl::StrCat(text.status().message(), " (", shown_chain(), ")"));
  }
  Experiment own;
  FieldLocations own_locations;
  SSD_RETURN_IF_ERROR(ParseTextProto(*text, source, own, &own_locations));
  MakePathsAbsolute(own, file.parent_path().string());
  if (own.clear_size() > 0 && !own.has_base()) {
    return absl::InvalidArgumentError(
        absl::StrCat(own_locations["clear"], ": clear: \"", own.clear(0),
                     "\": this file has no base to empty a field of; remove it, or name a base"));
  }
  if (own.has_base()) {
    SSD_RETURN_IF_ERROR(ReadWithBases(own.base(), working_directory, chain, experiment, locations));
  }
  for (int i = 0; i < own.clear_size(); ++i) {
    const absl::Status cleared = ClearFieldAt(experiment, own.clear(i));
    if (!cleared.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(own_locations[absl::StrCat("clear[", i, "]")],
                                                     ": clear: ", cleared.message()));
    }
    Forget(locations, own.clear(i));
  }
  own.clear_base();
  own.clear_clear();
  Merge(experiment, own, "", locations);
  for (auto& [path, place] : own_locations) locations[path] = std::move(place);
  return absl::OkStatus();
}

absl::Status Apply(const Override& override, Experiment& experiment, FieldLocations& locations) {
  // The first '=' outside brackets: extension names have none, but a value may.
  const size_t equals = override.assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", override.assignment, "' is no override; write path.to.field=value"));
  }
  const absl::string_view assignment = override.assignment;
  const std::string path(absl::StripAsciiWhitespace(assignment.substr(0, equals)));
  if (path == "base" || path == "clear") {
    return absl::InvalidArgumentError(
        absl::StrCat("'", assignment, "': ", path, " only works in a file"));
  }
  const absl::Status set = SetFieldAt(experiment, path, assignment.substr(equals + 1));
  if (!set.ok() && !override.flag.empty()) {
    return absl::Status(set.code(), absl::StrCat(override.flag, ": ", set.message()));
  }
  SSD_RETURN_IF_ERROR(set);
  // All other paths are absolute already.
  MakePathsAbsolute(experiment, override.folder);
  Forget(locations, path);
  locations[path] =
      override.flag.empty() ? absl::StrCat("override '", assignment, "'") : override.flag;
  return absl::OkStatus();
}

}  // namespace

void MakePathsAbsolute(Message& message, const std::string& folder) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  const auto absolute = [&folder](const std::string& path) {
    return path.empty() ? path : Absolute(path, folder).string();
  };
  for (const FieldDescriptor* field : fields) {
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 0;
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!field->is_repeated()) {
        MakePathsAbsolute(*reflection.MutableMessage(&message, field), folder);
      }
      for (int i = 0; i < count; ++i) {
        MakePathsAbsolute(*reflection.MutableRepeatedMessage(&message, field, i), folder);
      }
    } else if (field->options().GetExtension(is_path)) {
      if (!field->is_repeated()) {
        reflection.SetString(&message, field, absolute(reflection.GetString(message, field)));
      }
      for (int i = 0; i < count; ++i) {
        reflection.SetRepeatedString(&message, field, i,
                                     absolute(reflection.GetRepeatedString(message, field, i)));
      }
    }
  }
}

absl::StatusOr<Experiment> MergeExperiment(const std::string& path,
                                           absl::Span<const Override> overrides,
                                           const std::string& working_directory,
                                           FieldLocations& locations) {
  if (path.empty()) {
    return absl::InvalidArgumentError("no experiment is named; give one: --config=FILE");
  }
  const fs::path file = Absolute(path, working_directory);
  Experiment experiment;
  std::vector<fs::path> chain;
  SSD_RETURN_IF_ERROR(ReadWithBases(file, working_directory, chain, experiment, locations));
  for (const Override& override : overrides) {
    SSD_RETURN_IF_ERROR(Apply(override, experiment, locations));
  }
  locations[""] = Shown(file, working_directory);
  if (!experiment.has_name()) experiment.set_name(file.stem().string());
  return experiment;
}

std::string ShownPath(const std::string& path, const std::string& working_directory) {
  return Shown(Absolute(path, working_directory), working_directory);
}

}  // namespace ssd
