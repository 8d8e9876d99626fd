#include "ssd/core/text_proto.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ssd {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::TextFormat;
using google::protobuf::io::ArrayInputStream;
using google::protobuf::io::Tokenizer;

// One thing wrong with a text. Lines and columns count from 0.
struct Fault {
  int line = 0;
  int column = 0;
  std::string what;    // "unknown field 'min_scle'"
  std::string remedy;  // "did you mean 'min_scale'?"; may be empty
};

class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (!fault.has_value()) fault = Fault{std::max(line, 0), std::max(column, 0), message, ""};
  }

  std::optional<Fault> fault;
};

// The text's tokens as protobuf's own parser sees them; the last one is the end.
std::vector<Tokenizer::Token> Tokenize(absl::string_view text) {
  ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
  FirstError errors;
  Tokenizer tokenizer(&stream, &errors);
  tokenizer.set_allow_f_after_float(true);
  tokenizer.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
  std::vector<Tokenizer::Token> tokens;
  do {
    tokenizer.Next();
    tokens.push_back(tokenizer.current());
  } while (tokens.back().type != Tokenizer::TYPE_END);
  return tokens;
}

const FieldDescriptor* FindField(const Descriptor& type, const std::string& name) {
  if (!absl::StartsWith(name, "[")) return type.FindFieldByName(name);
  return type.file()->pool()->FindExtensionByPrintableName(&type, name.substr(1, name.size() - 2));
}

// What stands around a token: the innermost message that is open there and the last field named in
// it. `type` is null inside a message that cannot be known.
struct Scope {
  const Descriptor* type = nullptr;
  std::string field;  // as FieldName; empty before the first
  size_t opened = 0;  // index of the '{'
};

// The messages open at token `end`, outermost (the whole text) first.
std::vector<Scope> ScopesAt(const std::vector<Tokenizer::Token>& tokens, size_t end,
                            const Descriptor& type) {
  std::vector<Scope> scopes = {{&type, "", 0}};
  for (size_t i = 0; i < end; ++i) {
    const std::string& text = tokens[i].text;
    if (text == "{" || text == "<") {
      const Scope& outer = scopes.back();
      const FieldDescriptor* const field = outer.type == nullptr || outer.field.empty()
                                               ? nullptr
                                               : FindField(*outer.type, outer.field);
      scopes.push_back({field == nullptr ? nullptr : field->message_type(), "", i});
    } else if (text == "}" || text == ">") {
      if (scopes.size() > 1) scopes.pop_back();
    } else if (tokens[i].type == Tokenizer::TYPE_IDENTIFIER || text == "[") {
      // A name, if a ':' or a '{' comes after it; the last token, if it is no value.
      std::string name = text;
      size_t last = i;
      if (text == "[") {
        while (last + 1 < end && tokens[last].text != "]") name += tokens[++last].text;
        if (tokens[last].text != "]") continue;
      }
      const bool after_value_mark =
          i > 0 && (tokens[i - 1].text == ":" || tokens[i - 1].text == "[" ||
                    tokens[i - 1].text == "," || tokens[i - 1].text == "-");
      const bool is_name = last + 1 >= end
                               ? !after_value_mark
                               : tokens[last + 1].text == ":" || tokens[last + 1].text == "{" ||
                                     tokens[last + 1].text == "<";
      if (is_name && name.size() > 2 * (text == "[")) {
        scopes.back().field = std::move(name);
        i = last;
      }
    }
  }
  return scopes;
}

std::string Expectation(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return "a whole number";
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a whole number that is not negative";
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "a number";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_STRING:
      return "a string in quotes";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "a message in braces, '{ ... }'";
    case FieldDescriptor::CPPTYPE_ENUM: {
      std::vector<std::string> names;
      for (int i = 0; i < field.enum_type()->value_count(); ++i) {
        names.push_back(field.enum_type()->value(i)->name());
      }
      return absl::StrCat("one of ", absl::StrJoin(names, ", "));
    }
  }
  return "";
}

// The text between `open` and the next `close` of a parser's message.
std::string Between(absl::string_view message, absl::string_view open, absl::string_view close) {
  const size_t begin = message.find(open);
  if (begin == absl::string_view::npos) return "";
  const absl::string_view rest = message.substr(begin + open.size());
  return std::string(rest.substr(0, rest.find(close)));
}

// Says what protobuf's parser found in our words: it quotes types where a user knows fields, has no
// suggestions, and points at the token after the one at fault.
Fault Explain(const Fault& found, absl::string_view text, const Descriptor& type) {
  const std::vector<Tokenizer::Token> tokens = Tokenize(text);
  size_t at = 0;
  while (at + 1 < tokens.size() &&
         std::pair(tokens[at].line, tokens[at].column) < std::pair(found.line, found.column)) {
    ++at;
  }
  const absl::string_view message = found.what;
  const auto fault = [&](size_t token, std::string what, std::string remedy) {
    return Fault{tokens[token].line, tokens[token].column, std::move(what), std::move(remedy)};
  };
  // The token before `at` that reads `name`.
  const auto last = [&](absl::string_view name) {
    size_t i = at;
    while (i > 0 && tokens[i].text != name) --i;
    return tokens[i].text == name ? i : at;
  };

  if (absl::StrContains(message, "has no field named")) {
    const std::string name = Between(message, "field named \"", "\"");
    const size_t token = last(name);
    const Descriptor* const scope = ScopesAt(tokens, token, type).back().type;
    return fault(token, absl::StrCat("unknown field '", name, "'"),
                 scope == nullptr
                     ? ""
                     : SuggestName(name, FieldNames(*scope),
                                   absl::StrCat(scope->full_name(), " has the fields")));
  }
  if (absl::StartsWith(message, "Extension \"")) {
    const std::string name = absl::StrCat("[", Between(message, "\"", "\""), "]");
    const size_t token = last("[");
    const Descriptor* const scope = ScopesAt(tokens, token, type).back().type;
    std::vector<std::string> names;
    if (scope != nullptr) names = FieldNames(*scope);
    names.erase(std::remove_if(names.begin(), names.end(),
                               [](const std::string& n) { return n.front() != '['; }),
                names.end());
    return fault(token, absl::StrCat("no extension ", name, " is linked into this program"),
                 names.empty() ? "add the target of its component to the program's deps"
                               : SuggestName(name, names, "linked are"));
  }

  const std::vector<Scope> scopes = ScopesAt(tokens, at, type);
  const Scope& scope = scopes.back();
  if (tokens[at].type == Tokenizer::TYPE_END && scopes.size() > 1 &&
      absl::StartsWith(message, "Expected")) {
    return fault(scope.opened, "'{' without its '}'", "the text ends before it is closed");
  }
  if (scopes.size() == 1 && (tokens[at].text == "}" || tokens[at].text == ">") &&
      absl::StartsWith(message, "Expected identifier")) {
    return fault(at, "a '}' too many", "nothing is open here");
  }
  if (absl::StartsWith(message, "Non-repeated field")) {
    const std::string name = Between(message, "field \"", "\"");
    return fault(at > 0 ? at - 1 : at, absl::StrCat("field '", name, "' is set twice"),
                 "keep one of them");
  }
  if (absl::StrContains(message, "is specified along with")) {
    const std::string name = Between(message, "Field \"", "\"");
    const std::string other = Between(message, "along with field \"", "\"");
    return fault(last(name), absl::StrCat("'", other, "' and '", name, "' are both set"),
                 "they exclude each other: keep one");
  }
  const FieldDescriptor* const field =
      scope.type == nullptr || scope.field.empty() ? nullptr : FindField(*scope.type, scope.field);
  if (field != nullptr) {
    if (absl::StartsWith(message, "Unknown enumeration value")) {
      const std::string value = Between(message, "\"", "\"");
      std::vector<std::string> names;
      for (int i = 0; i < field->enum_type()->value_count(); ++i) {
        names.push_back(field->enum_type()->value(i)->name());
      }
      return fault(last(value),
                   absl::StrCat("field '", scope.field, "' has no value '", value, "'"),
                   SuggestName(value, names, "there are"));
    }
    if (absl::StartsWith(message, "Invalid value for boolean")) {
      const std::string value = Between(message, "Value: \"", "\"");
      return fault(last(value), absl::StrCat("field '", scope.field, "' is '", value, "'"),
                   absl::StrCat("it takes ", Expectation(*field)));
    }
    if (absl::StartsWith(message, "Integer out of range")) {
      return fault(at, absl::StrCat("field '", scope.field, "' is out of range"),
                   absl::StrCat("it takes ", Expectation(*field), ", ", field->type_name()));
    }
    // The value follows the ':' or, in a list, a '[' or ','; or a message lacks its '{'.
    const std::string before = at > 0 ? tokens[at - 1].text : "";
    const bool at_value = before == ":" || before == "[" || before == "," || before == "-" ||
                          absl::StrContains(message, "Expected \"{\"");
    if (absl::StartsWith(message, "Expected") && at_value) {
      return fault(at, absl::StrCat("field '", scope.field, "' is '", tokens[at].text, "'"),
                   absl::StrCat("it takes ", Expectation(*field)));
    }
    if (absl::StartsWith(message, "Expected \":\"")) {
      return fault(at, absl::StrCat("':' is missing after '", scope.field, "'"),
                   absl::StrCat("it takes ", Expectation(*field)));
    }
  }
  Fault other = found;
  other.what = absl::StrCat("cannot be read (", absl::StripSuffix(message, "."), ")");
  return other;
}

// An empty list is read as nothing at all: it would not even empty a base's list.
std::optional<Fault> FindEmptyList(absl::string_view text) {
  const std::vector<Tokenizer::Token> tokens = Tokenize(text);
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    if (tokens[i].text == "[" && tokens[i + 1].text == "]") {
      return Fault{tokens[i].line, tokens[i].column, "the empty list '[]' says nothing",
                   "leave the field out, or empty a base's list with clear: \"...\""};
    }
  }
  return std::nullopt;
}

std::optional<Fault> FindOtherType(absl::string_view text, const Descriptor& type) {
  constexpr absl::string_view kKey = "proto-message:";
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const absl::string_view stripped = absl::StripAsciiWhitespace(line);
    if (!stripped.empty() && stripped.front() != '#') break;
    const size_t key = line.find(kKey);
    if (key != absl::string_view::npos) {
      const absl::string_view name = absl::StripAsciiWhitespace(line.substr(key + kKey.size()));
      if (name == type.full_name()) break;
      return Fault{number, static_cast<int>(name.data() - line.data()),
                   absl::StrCat("'", name, "' is declared"),
                   absl::StrCat("what is read here is '", type.full_name(), "'")};
    }
    ++number;
  }
  return std::nullopt;
}

std::optional<Fault> Parse(absl::string_view text, Message& message,
                           TextFormat::ParseInfoTree* tree) {
  ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
  FirstError errors;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  if (tree != nullptr) parser.WriteLocationsTo(tree);
  if (!parser.Parse(&stream, &message)) {
    return Explain(errors.fault.value_or(Fault{0, 0, "unreadable", ""}), text,
                   *message.GetDescriptor());
  }
  return std::nullopt;
}

absl::Status ToStatus(const Fault& fault, absl::string_view source) {
  std::string text = fault.what;
  if (!source.empty()) {
    absl::StrAppend(&text, " at ", source, ":", fault.line + 1, ":", fault.column + 1);
  }
  if (!fault.remedy.empty()) absl::StrAppend(&text, "; ", fault.remedy);
  return absl::InvalidArgumentError(text);
}

void CollectLocations(const Message& message, const TextFormat::ParseInfoTree& tree,
                      absl::string_view source, const std::string& prefix,
                      FieldLocations& locations) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const int index = field->is_repeated() ? i : -1;
      const std::string path =
          absl::StrCat(prefix, FieldName(*field), index < 0 ? "" : absl::StrCat("[", i, "]"));
      const TextFormat::ParseLocation location = tree.GetLocation(field, index);
      if (location.line >= 0) {
        const std::string place =
            absl::StrCat(source, ":", location.line + 1, ":", location.column + 1);
        locations[path] = place;
        // The list as a whole is where its first entry is.
        if (index == 0) locations[absl::StrCat(prefix, FieldName(*field))] = place;
      }
      const TextFormat::ParseInfoTree* const nested =
          is_message ? tree.GetTreeForNested(field, index) : nullptr;
      if (nested == nullptr) continue;
      CollectLocations(index < 0 ? reflection.GetMessage(message, field)
                                 : reflection.GetRepeatedMessage(message, field, i),
                       *nested, source, absl::StrCat(path, "."), locations);
    }
  }
}

// `value` in quotes, unless it is already.
std::string Quoted(absl::string_view value) {
  if (!value.empty() && (value.front() == '"' || value.front() == '\'')) return std::string(value);
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

// The entries of "[a, 'b, c', d]", or of "a" the one.
std::vector<absl::string_view> Entries(absl::string_view list) {
  if (!absl::StartsWith(list, "[") || !absl::EndsWith(list, "]")) return {list};
  list = list.substr(1, list.size() - 2);
  std::vector<absl::string_view> entries;
  size_t begin = 0;
  char quote = 0;
  for (size_t i = 0; i <= list.size(); ++i) {
    if (i == list.size() || (list[i] == ',' && quote == 0)) {
      entries.push_back(absl::StripAsciiWhitespace(list.substr(begin, i - begin)));
      begin = i + 1;
    } else if (quote != 0) {
      if (list[i] == '\\') ++i;
      if (i < list.size() && list[i] == quote) quote = 0;
    } else if (list[i] == '"' || list[i] == '\'') {
      quote = list[i];
    }
  }
  return entries;
}

// The least number of insertions, deletions, substitutions and swaps of neighbours that turn one
// word into the other (optimal string alignment).
int EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = static_cast<int>(i);
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const int substitution = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, substitution});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

absl::Status ParseTextProto(absl::string_view text, absl::string_view source, Message& message,
                            FieldLocations* locations) {
  message.Clear();
  std::optional<Fault> fault = FindOtherType(text, *message.GetDescriptor());
  if (fault.has_value()) return ToStatus(*fault, source);
  TextFormat::ParseInfoTree tree;
  fault = Parse(text, message, &tree);
  if (!fault.has_value()) fault = FindEmptyList(text);
  if (fault.has_value()) return ToStatus(*fault, source);
  if (locations != nullptr) CollectLocations(message, tree, source, "", *locations);
  return absl::OkStatus();
}

absl::Status ParseFieldValue(absl::string_view value, const FieldDescriptor& field,
                             Message& message) {
  value = absl::StripAsciiWhitespace(value);
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (value == "[]" && field.is_repeated()) {
    reflection.ClearField(&message, &field);
    return absl::OkStatus();
  }
  std::string text(value);
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    text = field.is_repeated()
               ? absl::StrCat(
                     "[",
                     absl::StrJoin(Entries(value), ", ",
                                   [](std::string* out, auto entry) { *out += Quoted(entry); }),
                     "]")
               : Quoted(value);
  }
  const std::unique_ptr<Message> parsed(message.New());
  text = absl::StrCat(FieldName(field), ": ", text);
  std::optional<Fault> fault = Parse(text, *parsed, nullptr);
  if (!fault.has_value()) fault = FindEmptyList(text);
  if (fault.has_value()) return ToStatus(*fault, "");
  std::vector<const FieldDescriptor*> set;
  reflection.ListFields(*parsed, &set);
  if (set.size() != 1 || set.front() != &field) {
    return absl::InvalidArgumentError(absl::StrCat("'", value, "' is more than the value of '",
                                                   FieldName(field), "'; it takes ",
                                                   Expectation(field)));
  }
  // Moves the parsed field over: swapping exchanges presence, too.
  reflection.ClearField(&message, &field);
  reflection.SwapFields(&message, parsed.get(), {&field});
  return absl::OkStatus();
}

std::string PrintTextProto(const Message& message) {
  TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  printer.SetUseShortRepeatedPrimitives(true);
  std::string text;
  printer.PrintToString(message, &text);
  return text;
}

std::string FieldName(const FieldDescriptor& field) {
  return field.is_extension() ? absl::StrCat("[", field.PrintableNameForExtension(), "]")
                              : field.name();
}

std::vector<std::string> FieldNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  std::vector<const FieldDescriptor*> extensions;
  type.file()->pool()->FindAllExtensions(&type, &extensions);
  for (const FieldDescriptor* extension : extensions) names.push_back(FieldName(*extension));
  return names;
}

std::string NearestName(absl::string_view word, const std::vector<std::string>& candidates) {
  const std::string lower = absl::AsciiStrToLower(word);
  std::string nearest;
  int least = std::max<int>(1, static_cast<int>(word.size()) / 3) + 1;
  for (const std::string& candidate : candidates) {
    const int distance = EditDistance(lower, absl::AsciiStrToLower(candidate));
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string SuggestName(absl::string_view word, const std::vector<std::string>& candidates,
                        absl::string_view list_title) {
  const std::string nearest = NearestName(word, candidates);
  if (!nearest.empty()) return absl::StrCat("did you mean '", nearest, "'?");
  return absl::StrCat(list_title, " ", absl::StrJoin(candidates, ", "));
}

}  // namespace ssd
