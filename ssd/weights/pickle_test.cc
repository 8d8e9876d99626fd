#include "ssd/weights/pickle.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

constexpr char kPath[] = "weights.pkl";

// What Python 3.11's pickle.dumps made of
//   {"a": [1, -2, 300, 70000, -70000, 1 << 40, -(1 << 40), 1 << 70],
//    "b": (2.5, None, True, False), "c": b"x\xff", "d": "\u00e9", "e": {7},
//    "f": OrderedDict([("k", ())]), "g": argparse.Namespace(lr=0.1), "h": frozenset([3]),
//    "i": bytearray(b"yz"), "j": (1,), "k": (1, 2), "l": (1, 2, 3, 4)}
const std::map<int, std::string>& Dumps() {
  static const auto* const dumps = new std::map<int, std::string>{
      {2,
       "80027d71002858010000006171015d7102284b014afeffffff4d2c014a701101004a90eefeff8a0600000000"
       "00018a060000000000ff8a09000000000000000040655801000000627103284740040000000000004e888974"
       "71045801000000637105635f636f646563730a656e636f64650a7106580300000078c3bf710758060000006c"
       "6174696e31710886710952710a580100000064710b5802000000c3a9710c580100000065710d635f5f627569"
       "6c74696e5f5f0a7365740a710e5d710f4b0761857110527111580100000066711263636f6c6c656374696f6e"
       "730a4f726465726564446963740a71132952711458010000006b711529735801000000677116636172677061"
       "7273650a4e616d6573706163650a7117298171187d711958020000006c72711a473fb999999999999a736258"
       "0100000068711b635f5f6275696c74696e5f5f0a66726f7a656e7365740a711c5d711d4b036185711e52711f"
       "5801000000697120635f5f6275696c74696e5f5f0a6279746561727261790a712168065802000000797a7122"
       "680886712352712485712552712658010000006a71274b0185712868154b014b0286712958010000006c712a"
       "284b014b024b034b0474712b752e"},
      {3,
       "80037d71002858010000006171015d7102284b014afeffffff4d2c014a701101004a90eefeff8a0600000000"
       "00018a060000000000ff8a09000000000000000040655801000000627103284740040000000000004e888974"
       "71045801000000637105430278ff710658010000006471075802000000c3a971085801000000657109636275"
       "696c74696e730a7365740a710a5d710b4b076185710c52710d580100000066710e63636f6c6c656374696f6e"
       "730a4f726465726564446963740a710f2952711058010000006b711129735801000000677112636172677061"
       "7273650a4e616d6573706163650a7113298171147d711558020000006c727116473fb999999999999a736258"
       "01000000687117636275696c74696e730a66726f7a656e7365740a71185d71194b036185711a52711b580100"
       "000069711c636275696c74696e730a6279746561727261790a711d4302797a711e85711f5271205801000000"
       "6a71214b0185712268114b014b0286712358010000006c7124284b014b024b034b04747125752e"},
      {4,
       "80049516010000000000007d94288c0161945d94284b014afeffffff4d2c014a701101004a90eefeff8a0600"
       "00000000018a060000000000ff8a09000000000000000040658c016294284740040000000000004e88897494"
       "8c016394430278ff948c0164948c02c3a9948c0165948f94284b07908c0166948c0b636f6c6c656374696f6e"
       "73948c0b4f726465726564446963749493942952948c016b9429738c0167948c086172677061727365948c09"
       "4e616d6573706163659493942981947d948c026c7294473fb999999999999a73628c016894284b0391948c01"
       "69948c086275696c74696e73948c096279746561727261799493944302797a94859452948c016a944b018594"
       "68104b014b0286948c016c94284b014b024b034b047494752e"},
      {5,
       "80059500010000000000007d94288c0161945d94284b014afeffffff4d2c014a701101004a90eefeff8a0600"
       "00000000018a060000000000ff8a09000000000000000040658c016294284740040000000000004e88897494"
       "8c016394430278ff948c0164948c02c3a9948c0165948f94284b07908c0166948c0b636f6c6c656374696f6e"
       "73948c0b4f726465726564446963749493942952948c016b9429738c0167948c086172677061727365948c09"
       "4e616d6573706163659493942981947d948c026c7294473fb999999999999a73628c016894284b0391948c01"
       "6994960200000000000000797a948c016a944b01859468104b014b0286948c016c94284b014b024b034b0474"
       "94752e"},
  };
  return *dumps;
}

// A value as Python would print it, or nearly so.
std::string Print(const PickleValue& value) {
  const auto join = [&value](size_t step) {
    std::string text;
    for (size_t i = 0; i < value.items.size(); i += step) {
      absl::StrAppend(&text, i > 0 ? " " : "", Print(*value.items[i]));
      if (step == 2) absl::StrAppend(&text, ":", Print(*value.items[i + 1]));
    }
    return text;
  };
  switch (value.kind) {
    case PickleValue::kNone:
      return "None";
    case PickleValue::kBool:
      return value.integer != 0 ? "True" : "False";
    case PickleValue::kInteger:
      return absl::StrCat(value.integer);
    case PickleValue::kLongInteger:
      return absl::StrCat("0x", absl::BytesToHexString(value.text));
    case PickleValue::kReal:
      return absl::StrCat(value.real);
    case PickleValue::kString:
      return absl::StrCat("'", value.text, "'");
    case PickleValue::kBytes:
      return absl::StrCat("b'", absl::BytesToHexString(value.text), "'");
    case PickleValue::kTuple:
      return absl::StrCat("(", join(1), ")");
    case PickleValue::kList:
      return absl::StrCat("[", join(1), "]");
    case PickleValue::kSet:
      return absl::StrCat("<", join(1), ">");
    case PickleValue::kDict:
      return absl::StrCat("{", join(2), "}");
    case PickleValue::kGlobal:
      return GlobalName(value);
    case PickleValue::kPersistent:
      return absl::StrCat("@", Print(*value.arguments));
    case PickleValue::kObject:
      return absl::StrCat(Print(*value.callable), Print(*value.arguments), "{", join(2), "}",
                          value.state == nullptr ? "" : Print(*value.state));
  }
  return "";
}

std::string Parsed(const std::string& bytes) {
  const absl::StatusOr<Pickle> pickle = Pickle::Parse(bytes, kPath);
  return pickle.ok() ? Print(pickle->root()) : std::string(pickle.status().message());
}

TEST(PickleTest, ReadsWhatPythonWrites) {
  for (const auto& [protocol, hex] : Dumps()) {
    const std::string bytes = absl::HexStringToBytes(hex);
    // Protocol 2 has no bytes, and protocols 2 to 4 no bytearray: they write a call.
    const std::string c = protocol == 2 ? "_codecs.encode('x\xc3\xbf' 'latin1'){}" : "b'78ff'";
    const std::string i = protocol == 2 ? "__builtin__.bytearray(_codecs.encode('yz' 'latin1'){}){}"
                          : protocol == 5 ? "b'797a'"
                                          : "builtins.bytearray(b'797a'){}";
    EXPECT_EQ(Parsed(bytes),
              absl::StrCat("{'a':[1 -2 300 70000 -70000 1099511627776 -1099511627776 "
                           "0x000000000000000040] 'b':(2.5 None True False) 'c':",
                           c,
                           " 'd':'\xc3\xa9' 'e':<7> 'f':{'k':()} "
                           "'g':argparse.Namespace(){}{'lr':0.1} 'h':<3> 'i':",
                           i, " 'j':(1) 'k':(1 2) 'l':(1 2 3 4)}"))
        << "protocol " << protocol;
    const absl::StatusOr<Pickle> pickle = Pickle::Parse(bytes, kPath);
    ASSERT_TRUE(pickle.ok());
    EXPECT_EQ(pickle->end(), bytes.size());
  }
}

TEST(PickleTest, EveryCutIsAnError) {
  for (const auto& [protocol, hex] : Dumps()) {
    const std::string bytes = absl::HexStringToBytes(hex);
    for (size_t size = 0; size < bytes.size(); ++size) {
      const absl::Status status = Pickle::Parse(bytes.substr(0, size), kPath).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << protocol << " cut at " << size;
      EXPECT_EQ(status.message().find(absl::StrCat(kPath, ": byte ")), 0u) << status;
    }
  }
}

TEST(PickleTest, NoByteThatChangesCrashes) {
  for (const auto& [protocol, hex] : Dumps()) {
    const std::string bytes = absl::HexStringToBytes(hex);
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (int value = 0; value < 256; value += 5) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(value);
        // An error or some value.
        const absl::StatusOr<Pickle> pickle = Pickle::Parse(damaged, kPath);
        if (pickle.ok()) continue;
        EXPECT_EQ(pickle.status().message().find(absl::StrCat(kPath, ": byte ")), 0u);
      }
    }
  }
}

TEST(PickleTest, PythonTwosStringsAndDicts) {
  // pickle.dumps(OrderedDict([["a", 1]]), 2) of Python 2.7: a list of lists, and short strings.
  EXPECT_EQ(Parsed(std::string("\x80\x02"
                               "ccollections\nOrderedDict\nq\x00]q\x01]q\x02(U\x01"
                               "aq\x03K\x01"
                               "ea\x85q\x04Rq\x05.",
                               52)),
            "{'a':1}");
}

TEST(PickleTest, PersistentValuesAreListed) {
  const std::string bytes("\x80\x02U\x01xQU\x01yQ\x86.", 12);
  const absl::StatusOr<Pickle> pickle = Pickle::Parse(bytes, kPath);
  ASSERT_TRUE(pickle.ok()) << pickle.status();
  EXPECT_EQ(Print(pickle->root()), "(@'x' @'y')");
  ASSERT_EQ(pickle->persistent().size(), 2u);
  EXPECT_EQ(pickle->persistent()[1]->arguments->text, "y");
}

// What Python 3.11's pickle.dumps(..., 4) made of
//   {"a": deque([1, 2], 3), "b": Mode.TRAIN, "c": PurePosixPath("runs/x"),
//    "d": datetime(2020, 1, 2, 3, 4, 5), "e": argparse.Namespace(lr=0.5, mode=Mode.TRAIN),
//    "f": Meter(), "g": History([5, 6]), "h": Point(1, 2), "i": Config(k=7),
//    "j": functools.partial(int, base=2), "k": complex(1, 2), "l": range(3),
//    "m": defaultdict(list, {"z": [1]}), "n": slice(1, 2)}
// with mylab's Mode an enum.Enum, Meter a class with an attribute, History a list, Point a
// namedtuple, Config a dict.
TEST(PickleTest, InstancesOfAnyClassAreRecords) {
  const std::string bytes = absl::HexStringToBytes(
      "80049526020000000000007d94288c0161948c0b636f6c6c656374696f6e73948c05646571756594939429"
      "4b0386945294284b014b02658c0162948c056d796c6162948c044d6f64659493944b01859452948c016394"
      "8c07706174686c6962948c0d50757265506f736978506174689493948c0472756e73948c01789486945294"
      "8c0164948c086461746574696d65948c086461746574696d65949394430a07e40102030405000000948594"
      "52948c0165948c086172677061727365948c094e616d6573706163659493942981947d94288c026c729447"
      "3fe00000000000008c046d6f646594680c75628c01669468088c054d657465729493942981947d948c0574"
      "6f74616c9447400400000000000073628c01679468088c07486973746f7279949394298194284b054b0665"
      "8c01689468088c05506f696e749493944b014b02869481948c01699468088c06436f6e6669679493942981"
      "948c016b944b07738c016a948c0966756e63746f6f6c73948c077061727469616c9493948c086275696c74"
      "696e73948c03696e749493948594529428683e297d948c0462617365944b02734e7494626837683c8c0763"
      "6f6d706c6578949394473ff0000000000000474000000000000000869452948c016c94683c8c0572616e67"
      "659493944b004b034b01879452948c016d9468028c0b64656661756c7464696374949394683c8c046c6973"
      "74949394859452948c017a945d944b0161738c016e94683c8c05736c6963659493944b014b024e87945294"
      "752e");
  EXPECT_EQ(Parsed(bytes),
            "{'a':[1 2] 'b':mylab.Mode(1){} 'c':pathlib.PurePosixPath('runs' 'x'){} "
            "'d':datetime.datetime(b'07e40102030405000000'){} "
            "'e':argparse.Namespace(){}{'lr':0.5 'mode':mylab.Mode(1){}} "
            "'f':mylab.Meter(){}{'total':2.5} 'g':mylab.History(){0:5 1:6} 'h':mylab.Point(1 2){} "
            "'i':mylab.Config(){'k':7} "
            "'j':functools.partial(builtins.int){}(builtins.int () {'base':2} None) "
            "'k':builtins.complex(1 2){} 'l':builtins.range(0 3 1){} 'm':{'z':[1]} "
            "'n':builtins.slice(1 2 None){}}");
  // Of Python 2: an instance of an old kind of class, and an integer beyond 32 bits.
  EXPECT_EQ(Parsed("\x80\x02(cmylab\nOld\nK\x01K\x02o}U\x01xI4294967296\nsb."),
            "mylab.Old(1 2){}{'x':4294967296}");
  // A nested class by getattr, and a list of what another call would return.
  EXPECT_EQ(Parsed("\x80\x02"
                   "cbuiltins\ngetattr\ncmylab\nOuter\nU\x05Inner\x86R)\x81."),
            "builtins.getattr(mylab.Outer 'Inner'){}(){}");
  EXPECT_EQ(Parsed("\x80\x02"
                   "cbuiltins\nlist\ncmylab\nrows\n)R\x85R."),
            "builtins.list(mylab.rows(){}){}");
}

// Nothing that a pickle names is looked up or called: it stays a name.
TEST(PickleTest, CodeIsOnlyRecorded) {
  for (const char* const name :
       {"os.system", "posix.system", "__builtin__.eval", "builtins.exec", "subprocess.Popen",
        "mylab.model.build", "torch.hub.load", "torch._utils._import_dotted_name"}) {
    const std::string text = name;
    const size_t dot = text.rfind('.');
    EXPECT_EQ(Parsed(absl::StrCat("\x80\x02", "c", text.substr(0, dot), "\n", text.substr(dot + 1),
                                  "\nU\x05touch\x85R.")),
              absl::StrCat(name, "('touch'){}"));
  }
  // By the newer opcode, and through an id from outside.
  EXPECT_EQ(Parsed(std::string("\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.", 22)),
            "os.system('ls'){}");
  EXPECT_EQ(Parsed("\x80\x02U\x01xQU\x02ls\x85R."), "@'x'('ls'){}");
  // Opcodes of protocols 0 and 1.
  for (const char* const text : {"(S'ls'\nios\nsystem\n.", "F1.5\n.", "P1\n."}) {
    EXPECT_EQ(Parsed(text).find(absl::StrCat(kPath, ": byte ")), 0u) << text;
    EXPECT_NE(Parsed(text).find("opcode 0x"), std::string::npos) << text;
  }
  const std::string protocol = Parsed("\x80\x82\x01.");
  EXPECT_EQ(protocol.find(absl::StrCat(kPath, ": byte ")), 0u) << protocol;
  EXPECT_NE(protocol.find("protocol 130"), std::string::npos) << protocol;
}

TEST(PickleTest, CorruptProgramsAreErrors) {
  const auto expect = [](absl::string_view bytes, const char* what) {
    const std::string message = Parsed(std::string(bytes));
    EXPECT_EQ(message.find(absl::StrCat(kPath, ": byte ")), 0u) << message;
    EXPECT_NE(message.find(what), std::string::npos) << message;
  };
  expect(".", "the stack is empty");
  expect("R.", "the stack is empty");
  expect("t.", "there is no mark");
  expect("K\x01(\x85.", "the stack is empty");  // below the mark
  expect("h\x05.", "no value is memoized as 5");
  expect("q\x05.", "the stack is empty");
  expect("}K\x01(u.", "items for what is no dict");
  expect("}(K\x01u.", "a key without a value");
  expect(
      "(K\x01"
      "d.",
      "a key without a value");
  expect(
      "NK\x01"
      "a.",
      "elements for what is no list or set");
  expect("NNb.", "a state for what is no object");
  expect("N)\x81.", "an object of what is no class");
  expect("ccollections\nOrderedDict\nNR.", "a call without arguments");
  expect("U\x02ls)R.", "a call of what is no function");
  expect("(o.", "an object of what is no class");
  expect("(U\x02lso.", "an object of what is no class");
  expect("Ix\n.", "a number without digits");
  expect("ccollections\nOrderedDict\nK\x01\x85R.", "items of what is no dict");
  expect("NN\x93.", "a class without a name");
  expect("cabc", "a line without end");
  expect("X\xff\xff\xff\xffgh.", "4294967295 bytes are wanted, 3 left");
  expect(absl::string_view("\x8d\xff\xff\xff\xff\xff\xff\xff\xffgh.", 12), "bytes are wanted");
  expect(absl::string_view("\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.", 11),
         "a frame leaves the file");
}

TEST(PickleTest, CirclesAndDeepNestingAreOnlyValues) {
  // l = []; l.append(l)
  const absl::StatusOr<Pickle> circle = Pickle::Parse(absl::string_view("\x80\x02]q\x00h\x00"
                                                                        "a.",
                                                                        9),
                                                      kPath);
  ASSERT_TRUE(circle.ok()) << circle.status();
  EXPECT_EQ(circle->root().items.at(0), &circle->root());

  // 200,000 lists in each other: no recursion in reading them, nor in forgetting them.
  constexpr size_t kDepth = 200'000;
  const std::string deep =
      absl::StrCat(std::string(kDepth, ']'), std::string(kDepth - 1, 'a'), ".");
  EXPECT_TRUE(Pickle::Parse(deep, kPath).ok());
}

TEST(PickleTest, AFewBytesCannotAskForMuchMemory) {
  const auto expect_refused = [](const std::string& bytes) {
    const absl::Status status = Pickle::Parse(bytes, kPath).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(status.message().find(absl::StrCat(kPath, ": byte ")), 0u) << status;
  };
  // More values than any file of weights has.
  expect_refused(std::string(Pickle::kMaxValues + 10, ')'));
  // One value under more numbers than that, or as many times on the stack, or as many marks.
  for (const char* const program : {"N\x94", "N2", "N("}) {
    expect_refused(program[0] + std::string(Pickle::kMaxValues + 10, program[1]));
  }
  // A list of 50,000 elements, copied again and again: each time by 6 bytes.
  std::string copies = "\x80\x02";
  absl::StrAppend(&copies, "cbuiltins\nlist\n", absl::string_view("q\x00", 2), "](",
                  std::string(50'000, 'N'), "eq\x01");
  for (int i = 0; i < 1000; ++i) {
    absl::StrAppend(&copies, absl::string_view("h\x00h\x01\x85R", 6));
  }
  copies += '.';
  expect_refused(copies);
}

}  // namespace
}  // namespace ssd
