#include "ssd/weights/pickle.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ssd/core/status_macros.h"
#include "ssd/tensor_files/little_endian.h"
#include "ssd/weights/pickle_functions.h"

namespace ssd {
namespace {

using Value = PickleValue;

// The opcodes that are read; names as in pickletools.
enum Opcode : unsigned char {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kInt = 'I',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kDict = 'd',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kList = 'l',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kObj = 'o',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kBinFloat = 'G',
  kEmptyTuple = ')',
  kEmptyList = ']',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kNewObjEx = 0x92,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
  kByteArray8 = 0x96,
};

// What may be called, or be an object's class: a name, what PyTorch's old files keep outside the
// pickle (classes of modules), or what another call would return.
bool IsCallable(const Value& value) {
  return value.kind == Value::kGlobal || value.kind == Value::kPersistent ||
         value.kind == Value::kObject;
}

bool IsSequence(const Value& value) {
  return value.kind == Value::kTuple || value.kind == Value::kList || value.kind == Value::kSet;
}

int64_t SignExtended(absl::string_view bytes) {
  uint64_t number = FromLittleEndian(bytes);
  if (!bytes.empty() && bytes.size() < 8 && (bytes.back() & 0x80) != 0) {
    number |= ~uint64_t{0} << (8 * bytes.size());
  }
  return static_cast<int64_t>(number);
}

}  // namespace

// The machine that a pickle is a program for.
class Unpickler {
 public:
  Unpickler(absl::string_view file, const std::string& path, size_t begin, Pickle& pickle)
      : file_(file), path_(path), position_(begin), pickle_(pickle) {}

  absl::Status Run() {
    if (position_ > file_.size()) return Corrupt("the file ends");
    while (!stopped_) {
      opcode_position_ = position_;
      absl::string_view opcode;
      SSD_RETURN_IF_ERROR(Take(1, opcode));
      SSD_RETURN_IF_ERROR(Execute(static_cast<unsigned char>(opcode[0])));
      const size_t most =
          std::max({pickle_.values_.size(), copied_, memo_.size(), stack_.size(), marks_.size()});
      if (most > Pickle::kMaxValues) {
        return Refuse(absl::StrCat("the pickle has more than ", Pickle::kMaxValues,
                                   " values, which is no file of weights"));
      }
    }
    pickle_.end_ = position_;
    return absl::OkStatus();
  }

 private:
  std::string Message(absl::string_view what) const {
    return absl::StrCat(path_, ": byte ", opcode_position_, ": ", what);
  }
  absl::Status Corrupt(absl::string_view what) const {
    return absl::DataLossError(Message(absl::StrCat("the pickle is cut off or corrupt: ", what)));
  }
  absl::Status Refuse(absl::string_view what) const {
    return absl::InvalidArgumentError(Message(what));
  }

  // --- bytes ---

  absl::Status Take(uint64_t size, absl::string_view& bytes) {
    if (size > file_.size() - position_) {
      return Corrupt(absl::StrCat(size, " bytes are wanted, ", file_.size() - position_, " left"));
    }
    bytes = file_.substr(position_, size);
    position_ += size;
    return absl::OkStatus();
  }

  absl::Status TakeNumber(size_t width, uint64_t& number) {
    absl::string_view bytes;
    SSD_RETURN_IF_ERROR(Take(width, bytes));
    number = FromLittleEndian(bytes);
    return absl::OkStatus();
  }

  // As many bytes as a number of `width` bytes says.
  absl::Status TakeCounted(size_t width, absl::string_view& bytes) {
    uint64_t size = 0;
    SSD_RETURN_IF_ERROR(TakeNumber(width, size));
    return Take(size, bytes);
  }

  absl::Status TakeLine(absl::string_view& line) {
    const size_t end = file_.find('\n', position_);
    if (end == absl::string_view::npos) return Corrupt("a line without end");
    line = file_.substr(position_, end - position_);
    position_ = end + 1;
    return absl::OkStatus();
  }

  // --- stack ---

  Value& New(Value::Kind kind) {
    Value& value = pickle_.values_.emplace_back();
    value.kind = kind;
    value.position = opcode_position_;
    return value;
  }

  absl::Status Push(Value& value) {
    stack_.push_back(&value);
    return absl::OkStatus();
  }

  absl::Status PushInteger(Value::Kind kind, int64_t integer) {
    Value& value = New(kind);
    value.integer = integer;
    return Push(value);
  }

  // A string, or bytes, of which there are as many as a number of `width` bytes says.
  absl::Status PushText(Value::Kind kind, size_t width) {
    absl::string_view text;
    SSD_RETURN_IF_ERROR(TakeCounted(width, text));
    Value& value = New(kind);
    value.text = text;
    return Push(value);
  }

  // Values above the last mark.
  size_t Available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }

  absl::Status Pop(Value*& value) {
    if (Available() == 0) return Corrupt("the stack is empty");
    value = stack_.back();
    stack_.pop_back();
    return absl::OkStatus();
  }

  absl::Status Top(Value*& value) const {
    if (Available() == 0) return Corrupt("the stack is empty");
    value = stack_.back();
    return absl::OkStatus();
  }

  absl::Status PopMark(std::vector<Value*>& values) {
    if (marks_.empty()) return Corrupt("there is no mark");
    values.assign(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return absl::OkStatus();
  }

  // --- opcodes ---

  absl::Status Execute(unsigned char opcode) {
    switch (opcode) {
      case kProto:
        return Protocol();
      case kFrame: {
        uint64_t size = 0;
        SSD_RETURN_IF_ERROR(TakeNumber(8, size));
        return size <= file_.size() - position_ ? absl::OkStatus()
                                                : Corrupt("a frame leaves the file");
      }
      case kStop: {
        Value* root = nullptr;
        SSD_RETURN_IF_ERROR(Pop(root));
        pickle_.root_ = root;
        stopped_ = true;
        return absl::OkStatus();
      }

      case kMark:
        marks_.push_back(stack_.size());
        return absl::OkStatus();
      case kPop: {
        // As in Python, it takes a mark where nothing lies above it.
        if (Available() == 0 && !marks_.empty()) {
          marks_.pop_back();
          return absl::OkStatus();
        }
        Value* ignored = nullptr;
        return Pop(ignored);
      }
      case kPopMark: {
        std::vector<Value*> ignored;
        return PopMark(ignored);
      }
      case kDup: {
        Value* value = nullptr;
        SSD_RETURN_IF_ERROR(Top(value));
        return Push(*value);
      }

      case kNone:
        return Push(New(Value::kNone));
      case kNewTrue:
        return PushInteger(Value::kBool, 1);
      case kNewFalse:
        return PushInteger(Value::kBool, 0);
      case kInt:
        return TextInteger();
      case kBinInt:
        return SignedInteger();
      case kBinInt1:
        return UnsignedInteger(1);
      case kBinInt2:
        return UnsignedInteger(2);
      case kLong1:
        return LongInteger(1);
      case kLong4:
        return LongInteger(4);
      case kBinFloat:
        return Real();
      // Python 2's strings are bytes; what PyTorch's files have of them are names.
      case kShortBinString:
        return PushText(Value::kString, 1);
      case kBinString:
        return PushText(Value::kString, 4);
      case kShortBinUnicode:
        return PushText(Value::kString, 1);
      case kBinUnicode:
        return PushText(Value::kString, 4);
      case kBinUnicode8:
        return PushText(Value::kString, 8);
      case kShortBinBytes:
        return PushText(Value::kBytes, 1);
      case kBinBytes:
        return PushText(Value::kBytes, 4);
      case kBinBytes8:
      case kByteArray8:
        return PushText(Value::kBytes, 8);

      case kEmptyTuple:
        return Push(New(Value::kTuple));
      case kTuple1:
        return ShortTuple(1);
      case kTuple2:
        return ShortTuple(2);
      case kTuple3:
        return ShortTuple(3);
      case kTuple:
        return Marked(Value::kTuple);
      case kEmptyList:
        return Push(New(Value::kList));
      case kList:
        return Marked(Value::kList);
      case kAppend:
      case kAppends:
        return AddElements(opcode == kAppend, Value::kList);
      case kEmptySet:
        return Push(New(Value::kSet));
      case kFrozenSet:
        return Marked(Value::kSet);
      case kAddItems:
        return AddElements(false, Value::kSet);
      case kEmptyDict:
        return Push(New(Value::kDict));
      case kDict:
        return Marked(Value::kDict);
      case kSetItem:
      case kSetItems:
        return SetItems(opcode == kSetItem);

      case kBinPut:
        return Put(1);
      case kLongBinPut:
        return Put(4);
      case kMemoize:
        return Memoize(memo_.size());
      case kBinGet:
        return Get(1);
      case kLongBinGet:
        return Get(4);

      case kGlobal:
        return Global();
      case kStackGlobal:
        return StackGlobal();
      case kReduce:
        return Reduce();
      case kObj:
        return OldObject();
      case kNewObj:
        return NewObject(false);
      case kNewObjEx:
        return NewObject(true);
      case kBuild:
        return Build();
      case kBinPersId:
        return PersistentId();
      default:
        return Refuse(absl::StrFormat(
            "opcode 0x%02x is none of the pickles that PyTorch writes (protocols 2 to 5)", opcode));
    }
  }

  absl::Status Protocol() {
    uint64_t version = 0;
    SSD_RETURN_IF_ERROR(TakeNumber(1, version));
    if (version >= 2 && version <= 5) return absl::OkStatus();
    return Refuse(absl::StrCat("pickle protocol ", version, "; 2 to 5 are read"));
  }

  // What Python 2 writes for an integer beyond 32 bits.
  absl::Status TextInteger() {
    absl::string_view line;
    SSD_RETURN_IF_ERROR(TakeLine(line));
    int64_t number = 0;
    if (!absl::SimpleAtoi(line, &number)) return Corrupt("a number without digits");
    return PushInteger(Value::kInteger, number);
  }

  absl::Status UnsignedInteger(size_t width) {
    uint64_t number = 0;
    SSD_RETURN_IF_ERROR(TakeNumber(width, number));
    return PushInteger(Value::kInteger, static_cast<int64_t>(number));
  }

  absl::Status SignedInteger() {
    absl::string_view bytes;
    SSD_RETURN_IF_ERROR(Take(4, bytes));
    return PushInteger(Value::kInteger, SignExtended(bytes));
  }

  absl::Status LongInteger(size_t width) {
    absl::string_view bytes;
    SSD_RETURN_IF_ERROR(TakeCounted(width, bytes));
    if (bytes.size() <= 8) return PushInteger(Value::kInteger, SignExtended(bytes));
    Value& value = New(Value::kLongInteger);
    value.text = bytes;
    return Push(value);
  }

  absl::Status Real() {
    absl::string_view bytes;
    SSD_RETURN_IF_ERROR(Take(8, bytes));
    // Highest byte first, unlike everything else.
    std::string reversed(bytes.rbegin(), bytes.rend());
    const uint64_t bits = FromLittleEndian(reversed);
    Value& value = New(Value::kReal);
    std::memcpy(&value.real, &bits, sizeof(bits));
    return Push(value);
  }

  absl::Status ShortTuple(size_t size) {
    if (Available() < size) return Corrupt("the stack is empty");
    Value& tuple = New(Value::kTuple);
    tuple.items.assign(stack_.end() - static_cast<std::ptrdiff_t>(size), stack_.end());
    stack_.resize(stack_.size() - size);
    return Push(tuple);
  }

  // A container of everything above the mark.
  absl::Status Marked(Value::Kind kind) {
    std::vector<Value*> items;
    SSD_RETURN_IF_ERROR(PopMark(items));
    if (kind == Value::kDict && items.size() % 2 != 0) return Corrupt("a key without a value");
    Value& value = New(kind);
    value.items = std::move(items);
    return Push(value);
  }

  // What is to be added to the container below it: one or two values, or all above the mark.
  absl::Status PopItems(size_t count, bool marked, std::vector<Value*>& items) {
    if (marked) return PopMark(items);
    if (Available() < count) return Corrupt("the stack is empty");
    items.assign(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return absl::OkStatus();
  }

  absl::Status AddElements(bool single, Value::Kind kind) {
    std::vector<Value*> elements;
    SSD_RETURN_IF_ERROR(PopItems(1, !single, elements));
    Value* container = nullptr;
    SSD_RETURN_IF_ERROR(Top(container));
    if (container->kind == Value::kObject) {
      for (Value* const element : elements) {
        Value& key = New(Value::kInteger);
        key.integer = static_cast<int64_t>(container->items.size() / 2);
        container->items.push_back(&key);
        container->items.push_back(element);
      }
      return absl::OkStatus();
    }
    if (container->kind != kind) return Corrupt("elements for what is no list or set");
    container->items.insert(container->items.end(), elements.begin(), elements.end());
    return absl::OkStatus();
  }

  absl::Status SetItems(bool single) {
    std::vector<Value*> items;
    SSD_RETURN_IF_ERROR(PopItems(2, !single, items));
    Value* container = nullptr;
    SSD_RETURN_IF_ERROR(Top(container));
    if (items.size() % 2 != 0) return Corrupt("a key without a value");
    if (container->kind != Value::kDict && container->kind != Value::kObject) {
      return Corrupt("items for what is no dict");
    }
    container->items.insert(container->items.end(), items.begin(), items.end());
    return absl::OkStatus();
  }

  absl::Status Memoize(uint64_t index) {
    Value* value = nullptr;
    SSD_RETURN_IF_ERROR(Top(value));
    memo_[index] = value;
    return absl::OkStatus();
  }

  absl::Status Put(size_t width) {
    uint64_t index = 0;
    SSD_RETURN_IF_ERROR(TakeNumber(width, index));
    return Memoize(index);
  }

  absl::Status Get(size_t width) {
    uint64_t index = 0;
    SSD_RETURN_IF_ERROR(TakeNumber(width, index));
    const auto found = memo_.find(index);
    if (found == memo_.end()) return Corrupt(absl::StrCat("no value is memoized as ", index));
    return Push(*found->second);
  }

  absl::Status Global() {
    absl::string_view module;
    absl::string_view name;
    SSD_RETURN_IF_ERROR(TakeLine(module));
    SSD_RETURN_IF_ERROR(TakeLine(name));
    Value& value = New(Value::kGlobal);
    value.text = module;
    value.name = name;
    return Push(value);
  }

  absl::Status StackGlobal() {
    Value* name = nullptr;
    Value* module = nullptr;
    SSD_RETURN_IF_ERROR(Pop(name));
    SSD_RETURN_IF_ERROR(Pop(module));
    if (name->kind != Value::kString || module->kind != Value::kString) {
      return Corrupt("a class without a name");
    }
    Value& value = New(Value::kGlobal);
    value.text = module->text;
    value.name = name->text;
    return Push(value);
  }

  // A record of an object of the class, or of a call of the function, with these arguments.
  Value& NewRecord(Value* callable, Value* arguments) {
    Value& value = New(Value::kObject);
    value.callable = callable;
    value.arguments = arguments;
    return value;
  }

  absl::Status NewObject(bool with_keywords) {
    Value* keywords = nullptr;
    Value* arguments = nullptr;
    Value* type = nullptr;
    if (with_keywords) SSD_RETURN_IF_ERROR(Pop(keywords));
    SSD_RETURN_IF_ERROR(Pop(arguments));
    SSD_RETURN_IF_ERROR(Pop(type));
    if (!IsCallable(*type)) return Corrupt("an object of what is no class");
    return Push(NewRecord(type, arguments));
  }

  // Of Python 2's old kind of classes: class and arguments stand above the mark.
  absl::Status OldObject() {
    std::vector<Value*> values;
    SSD_RETURN_IF_ERROR(PopMark(values));
    if (values.empty() || !IsCallable(*values[0])) return Corrupt("an object of what is no class");
    Value& arguments = New(Value::kTuple);
    arguments.items.assign(values.begin() + 1, values.end());
    return Push(NewRecord(values[0], &arguments));
  }

  absl::Status Reduce() {
    Value* arguments = nullptr;
    Value* callable = nullptr;
    SSD_RETURN_IF_ERROR(Pop(arguments));
    SSD_RETURN_IF_ERROR(Pop(callable));
    if (!IsCallable(*callable)) return Corrupt("a call of what is no function");
    if (arguments->kind != Value::kTuple) return Corrupt("a call without arguments");
    const PickleResult result = ResultOf(*callable);
    const bool has_argument = !arguments->items.empty();
    if (result == PickleResult::kArgument) {
      return has_argument ? Push(*arguments->items[0]) : Corrupt("a call without arguments");
    }
    // A container of what another call would return: its elements are unknown.
    const bool is_unknown = has_argument && arguments->items[0]->kind == Value::kObject;
    switch (is_unknown ? PickleResult::kUnknown : result) {
      case PickleResult::kDict:
        return PushDict(arguments->items);
      case PickleResult::kList:
        return PushElements(Value::kList, arguments->items);
      case PickleResult::kTuple:
        return PushElements(Value::kTuple, arguments->items);
      case PickleResult::kSet:
        return PushElements(Value::kSet, arguments->items);
      default:
        return Push(NewRecord(callable, arguments));
    }
  }

  absl::Status PushElements(Value::Kind kind, const std::vector<Value*>& arguments) {
    Value& value = New(kind);
    if (!arguments.empty()) {
      if (!IsSequence(*arguments[0])) return Corrupt("elements of what is no list");
      value.items = arguments[0]->items;
      copied_ += value.items.size();
    }
    return Push(value);
  }

  // dict(dict), dict([(key, value), ...]); the first argument of defaultdict is a class.
  absl::Status PushDict(const std::vector<Value*>& arguments) {
    Value& value = New(Value::kDict);
    if (arguments.empty()) return Push(value);
    const Value& source = *arguments[0];
    if (IsCallable(source) || source.kind == Value::kNone) return Push(value);
    copied_ += source.items.size();
    if (source.kind == Value::kDict) {
      value.items = source.items;
      return Push(value);
    }
    if (!IsSequence(source)) return Corrupt("items of what is no dict");
    for (const Value* const pair : source.items) {
      if (!IsSequence(*pair) || pair->items.size() != 2) return Corrupt("a key without a value");
      value.items.insert(value.items.end(), pair->items.begin(), pair->items.end());
    }
    return Push(value);
  }

  absl::Status Build() {
    Value* state = nullptr;
    Value* object = nullptr;
    SSD_RETURN_IF_ERROR(Pop(state));
    SSD_RETURN_IF_ERROR(Top(object));
    if (object->kind != Value::kObject && object->kind != Value::kDict) {
      return Corrupt("a state for what is no object");
    }
    object->state = state;
    return absl::OkStatus();
  }

  absl::Status PersistentId() {
    Value* id = nullptr;
    SSD_RETURN_IF_ERROR(Pop(id));
    Value& value = New(Value::kPersistent);
    value.arguments = id;
    pickle_.persistent_.push_back(&value);
    return Push(value);
  }

  const absl::string_view file_;
  const std::string& path_;
  size_t position_;
  size_t opcode_position_ = 0;
  Pickle& pickle_;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  // Ordered: no file can make its keys collide.
  std::map<uint64_t, Value*> memo_;
  size_t copied_ = 0;  // items that calls copied: a few bytes can ask for many
  bool stopped_ = false;
};

absl::StatusOr<Pickle> Pickle::Parse(absl::string_view file, const std::string& path,
                                     size_t begin) {
  Pickle pickle;
  SSD_RETURN_IF_ERROR(Unpickler(file, path, begin, pickle).Run());
  return pickle;
}

}  // namespace ssd
