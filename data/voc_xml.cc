#include "data/voc_xml.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <pugixml.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

class VocXmlReader {
 public:
  explicit VocXmlReader(absl::string_view xml) : xml_(xml) {}

  VocAnnotation Read() {
    const pugi::xml_parse_result parsed = document_.load_buffer(xml_.data(), xml_.size());
    if (!parsed) return Unreadable(parsed.offset, parsed.description());
    const pugi::xml_node root = document_.child("annotation");
    if (!root) {
      result_.is_readable = false;
      result_.faults.push_back(
          {0, "no <annotation> element; a VOC annotation file has one as its root"});
      return std::move(result_);
    }
    result_.file_name =
        std::string(absl::StripAsciiWhitespace(root.child("filename").text().get()));
    ReadSize(root.child("size"));
    for (const pugi::xml_node element : root.children("object")) ReadObject(element);
    return std::move(result_);
  }

 private:
  VocAnnotation Unreadable(ptrdiff_t offset, const char* description) {
    result_.is_readable = false;
    result_.faults.push_back({LineAt(offset), absl::StrCat("malformed XML: ", description)});
    return std::move(result_);
  }

  int64_t LineAt(ptrdiff_t offset) const {
    if (offset < 0 || static_cast<size_t>(offset) > xml_.size()) return 0;
    return 1 + std::count(xml_.begin(), xml_.begin() + offset, '\n');
  }
  int64_t LineOf(pugi::xml_node node) const { return LineAt(node.offset_debug()); }

  // False, with a fault, if the child `name` is missing or empty.
  bool Text(pugi::xml_node parent, const char* name, std::string& text) {
    text = std::string(absl::StripAsciiWhitespace(parent.child(name).text().get()));
    if (!text.empty()) return true;
    result_.faults.push_back(
        {LineOf(parent), absl::StrCat("<", parent.name(), "> has no <", name, ">; it needs one")});
    return false;
  }

  // The child's text as a number, which may be NaN or infinite.
  bool Number(pugi::xml_node parent, const char* name, double& number) {
    std::string text;
    if (!Text(parent, name, text)) return false;
    if (absl::SimpleAtod(text, &number)) return true;
    result_.faults.push_back(
        {LineOf(parent.child(name)), absl::StrCat("<", name, "> is '", text, "'; want a number")});
    return false;
  }

  void ReadSize(pugi::xml_node size) {
    if (!size.child("width") || !size.child("height")) return;
    result_.size_line = LineOf(size);
    ImageSize stated;
    if (Side(size, "width", stated.width) && Side(size, "height", stated.height)) {
      result_.size = stated;
    }
  }

  bool Side(pugi::xml_node size, const char* name, int64_t& side) {
    constexpr double kLongest = 1e6;
    double value = 0;
    if (!Number(size, name, value)) return false;
    if (value >= 0 && value <= kLongest && value == std::floor(value)) {
      side = static_cast<int64_t>(value);
      return true;
    }
    result_.faults.push_back(
        {LineOf(size.child(name)),
         absl::StrCat("<", name, "> is ", value, "; want the image's pixels, or 0")});
    return false;
  }

  void ReadObject(pugi::xml_node element) {
    VocObject object;
    object.line = LineOf(element);
    if (!Text(element, "name", object.class_name)) return;
    if (element.child("difficult")) {
      double difficult = 0;
      if (!Number(element, "difficult", difficult)) return;
      object.difficult = difficult != 0;
    }
    const pugi::xml_node corners = element.child("bndbox");
    if (!corners) {
      result_.faults.push_back({object.line, "<object> has no <bndbox>; it needs one"});
      return;
    }
    double xmin = 0, ymin = 0, xmax = 0, ymax = 0;
    if (!Number(corners, "xmin", xmin) || !Number(corners, "ymin", ymin) ||
        !Number(corners, "xmax", xmax) || !Number(corners, "ymax", ymax)) {
      return;
    }
    object.box = {xmin - 1, ymin - 1, xmax, ymax};
    result_.objects.push_back(std::move(object));
  }

  const absl::string_view xml_;
  pugi::xml_document document_;
  VocAnnotation result_;
};

}  // namespace

VocAnnotation ParseVocXml(absl::string_view xml) { return VocXmlReader(xml).Read(); }

}  // namespace ssd
