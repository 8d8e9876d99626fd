#include "ssd/weights/pickle_functions.h"

#include "absl/strings/string_view.h"

namespace ssd {
namespace {

struct KnownFunction {
  const char* module;
  const char* name;
  PickleResult result;
};

// What the files of PyTorch and plain Python values call to make containers.
constexpr KnownFunction kKnownFunctions[] = {
    {"collections", "OrderedDict", PickleResult::kDict},
    {"collections", "defaultdict", PickleResult::kDict},
    {"collections", "Counter", PickleResult::kDict},
    {"collections", "deque", PickleResult::kList},
    {"builtins", "dict", PickleResult::kDict},
    {"builtins", "list", PickleResult::kList},
    {"builtins", "tuple", PickleResult::kTuple},
    {"builtins", "set", PickleResult::kSet},
    {"builtins", "frozenset", PickleResult::kSet},
    {"torch", "Size", PickleResult::kTuple},
    // TorchScript's lists and dicts, with the type of their elements.
    {"torch.jit._pickle", "restore_type_tag", PickleResult::kArgument},
    {"torch.jit._pickle", "build_intlist", PickleResult::kArgument},
    {"torch.jit._pickle", "build_doublelist", PickleResult::kArgument},
    {"torch.jit._pickle", "build_boollist", PickleResult::kArgument},
    {"torch.jit._pickle", "build_tensorlist", PickleResult::kArgument},
};

// Python 2's names of modules, as protocol 2 writes them for Python 3 too.
absl::string_view ModernModule(absl::string_view module) {
  if (module == "__builtin__") return "builtins";
  if (module == "copy_reg") return "copyreg";
  return module;
}

}  // namespace

PickleResult ResultOf(const PickleValue& function) {
  if (function.kind != PickleValue::kGlobal) return PickleResult::kUnknown;
  const absl::string_view module = ModernModule(function.text);
  for (const KnownFunction& known : kKnownFunctions) {
    if (module == known.module && function.name == known.name) return known.result;
  }
  return PickleResult::kUnknown;
}

}  // namespace ssd
