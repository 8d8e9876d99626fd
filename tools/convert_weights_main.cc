#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ssd/core/status_macros.h"
#include "ssd/eval/text_table.h"
#include "ssd/weights/convert_weights.h"
#include "tools/command_line.h"

namespace {

absl::Status Convert(ssd::ConversionOptions options, const std::vector<std::string>& positional) {
  for (const std::string& file : positional) {
    std::string& place = options.input.empty() ? options.input : options.output;
    if (!place.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", file, "' is a file too many: there are IN, which is ", options.input,
                       ", and OUT, which is ", options.output));
    }
    place = file;
  }
  if (options.input.empty()) return absl::InvalidArgumentError("IN, the file to read, is not set");
  if (options.output.empty()) {
    return absl::InvalidArgumentError("OUT, the file to write, is not set");
  }
  options.input = ssd::UserPath(options.input);
  options.output = ssd::UserPath(options.output);
  SSD_ASSIGN_OR_RETURN(const ssd::Conversion conversion, ssd::ConvertWeights(options));
  using Align = ssd::TextTable::Align;
  ssd::TextTable table({Align::kLeft, Align::kLeft, Align::kLeft, Align::kLeft});
  table.AddRow({"name", "in the input", "shape", "type"});
  table.AddRule();
  for (const ssd::Conversion::Row& row : conversion.rows) {
    table.AddRow({row.name, row.file_name, absl::StrJoin(row.shape, "x"), row.type});
  }
  std::cout << table.Render();
  std::cerr << conversion.rows.size() << " weights, " << conversion.elements << " numbers, of "
            << conversion.source << ", named as " << conversion.target << ", in " << options.output
            << "\n";
  if (!conversion.left_out.empty()) {
    std::cerr << "left out: " << absl::StrJoin(conversion.left_out, ", ") << "\n";
  }
  for (const std::string& note : conversion.notes) std::cerr << "note: " << note << "\n";
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  ssd::ConversionOptions options;
  ssd::CommandLine command_line(
      "convert_weights", "IN OUT.{safetensors,pt} [--names=torchvision|own]",
      "Writes the weights of a file, this program's or another project's, for other programs.");
  command_line.Group("Weights");
  command_line.Add("input", &options.input, "F",
                   "IN: best.pt, .pt or .pth of PyTorch, .safetensors, or .caffemodel.");
  command_line.Add("output", &options.output, "G",
                   "OUT, the file to write: .safetensors, or .pt or .pth for torch.load.");
  command_line.Add("names", &options.names, "N",
                   "torchvision: as its models name them; own: as this program does.");
  return ssd::RunCommand(command_line, argc, argv, [&](const std::vector<std::string>& positional) {
    return ssd::ExitStatus(Convert(options, positional));
  });
}
