#include "ssd/weights/checkpoint.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/weights/pickle.h"

namespace ssd {
namespace {

using Items = std::vector<std::pair<std::string, std::string>>;

constexpr char kTensor[] = "ctorch._utils\n_rebuild_tensor_v2\n)R";

// The pickle of a dict with these keys and pickles of values.
std::string Dict(const Items& items) {
  std::string bytes = "}";
  for (const auto& [key, value] : items) {
    absl::StrAppend(&bytes, "U", std::string(1, static_cast<char>(key.size())), key, value, "s");
  }
  return bytes;
}

// Of an object of mylab.Net with that state.
std::string Object(const std::string& state) {
  return absl::StrCat("cmylab\nNet\n)\x81", state, "b");
}

const std::string kWeights = Dict({{"w", kTensor}});

// The keys on the way to the weights, joined by dots; "" for all of the file.
std::string Found(const Items& items, std::map<std::string, std::string>* metadata = nullptr) {
  const std::string bytes = absl::StrCat("\x80\x02", Dict(items), ".");
  const absl::StatusOr<Pickle> pickle = Pickle::Parse(bytes, "file.pt");
  EXPECT_TRUE(pickle.ok()) << pickle.status();
  std::map<std::string, std::string> found_metadata;
  const absl::StatusOr<const PickleValue*> found =
      FindCheckpointWeights(pickle->root(), "file.pt", found_metadata);
  if (metadata != nullptr) *metadata = found_metadata;
  if (!found.ok()) return std::string(found.status().message());
  std::map<const PickleValue*, std::string> names = {{&pickle->root(), ""}};
  std::vector<const PickleValue*> ahead = {&pickle->root()};
  while (!ahead.empty()) {
    const PickleValue& dict = *ahead.back();
    ahead.pop_back();
    if (dict.kind != PickleValue::kDict) continue;
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      const std::string& prefix = names.at(&dict);
      std::string name = absl::StrCat(prefix, prefix.empty() ? "" : ".", dict.items[i]->text);
      const bool is_new = names.emplace(dict.items[i + 1], std::move(name)).second;
      if (is_new) ahead.push_back(dict.items[i + 1]);
    }
  }
  return names.at(*found);
}

TEST(FindCheckpointWeightsTest, UsualKeysComeFirst) {
  for (const char* const key :
       {"state_dict", "model_state_dict", "model", "net", "module", "ema", "weights"}) {
    EXPECT_EQ(Found({{"other", kWeights}, {key, kWeights}}), key);
    EXPECT_EQ(Found({{"other", kWeights}, {key, Object(kWeights)}}), key);
  }
  EXPECT_EQ(Found({{"ema", kWeights}, {"model", kWeights}, {"state_dict", kWeights}}),
            "state_dict");
  // One without tensors is none.
  EXPECT_EQ(Found({{"model", "}"}, {"ema", kWeights}}), "ema");
  EXPECT_EQ(Found({{"model", "N"}, {"net", Dict({{"name", "U\x03ssd"}})}, {"mine", kWeights}}),
            "mine");
  EXPECT_EQ(Found({{"model", Dict({{"state_dict", kWeights}})}}), "model.state_dict");
  // A weight may have such a name.
  EXPECT_EQ(Found({{"weights", kTensor}, {"bias", kTensor}}), "");
}

TEST(FindCheckpointWeightsTest, TheOnlyOneIsTaken) {
  std::map<std::string, std::string> metadata;
  EXPECT_EQ(Found({{"epoch", "K\x03"},
                   {"detector", kWeights},
                   {"optimizer", Dict({{"m", kTensor}})},
                   {"optimizers", absl::StrCat("]", kTensor, "a")},
                   {"lr", "G?\xe0" + std::string(6, '\0')}},
                  &metadata),
            "detector");
  EXPECT_EQ(metadata, (std::map<std::string, std::string>{{"epoch", "3"}, {"lr", "0.5"}}));
  EXPECT_EQ(Found({{"detector", Object(kWeights)}}), "detector");
  // What a tensor is given to has no name.
  EXPECT_EQ(
      Found({{"detector", kWeights}, {"meter", absl::StrCat("cmylab\nMeter\n", kTensor, "\x85R")}}),
      "detector");
  EXPECT_EQ(Found({{"detector", Dict({{"a", kWeights}, {"b", kWeights}})}}), "detector");
}

TEST(FindCheckpointWeightsTest, WithTensorsOfItsOwnTheDictIsTheWeights) {
  EXPECT_EQ(Found({{"w", kTensor}, {"extra", kWeights}}), "");
  EXPECT_EQ(Found({{"w", absl::StrCat("ctorch.nn.parameter\nParameter\n", kTensor, "\x85R")},
                   {"extra", kWeights}}),
            "");
  EXPECT_EQ(Found({{"maps", absl::StrCat("]", kTensor, "a")}}), "");
  EXPECT_EQ(Found({{"epoch", "K\x03"}}), "");
}

TEST(FindCheckpointWeightsTest, SeveralAreAnErrorThatListsThem) {
  const std::string error =
      Found({{"epoch", "K\x03"}, {"generator", kWeights}, {"discriminator", Object(kWeights)}});
  EXPECT_EQ(error.find("file.pt: byte 2: 2 entries have tensors ('generator', 'discriminator')"),
            0u)
      << error;
  EXPECT_NE(error.find("state_dict, model_state_dict"), std::string::npos) << error;
  Items many;
  for (int i = 0; i < 20; ++i) many.emplace_back(absl::StrCat("part", i), kWeights);
  EXPECT_NE(Found(many).find("20 entries have tensors ('part0', "), std::string::npos);
  // Below a usual key they are parts of the weights.
  EXPECT_EQ(Found({{"model", Dict({{"a", kWeights}, {"b", kWeights}})}}), "model");
}

TEST(FindCheckpointWeightsTest, CirclesAndManyValuesEnd) {
  // {"model": {"model": <itself>, "state": <an object whose state is itself>}}
  EXPECT_EQ(Found({{"model", absl::StrCat("}q\x01U\x05modelh\x01s",
                                          "U\x05statecmylab\nNet\n)\x81q\x02h\x02", "bs")}}),
            "");
  // 3,000 entries with one list of 2,000 values, which is looked at once.
  Items shared = {{"first", absl::StrCat("](", std::string(2000, 'N'), "eq\x01")}};
  for (int i = 0; i < 3000; ++i) shared.emplace_back(absl::StrCat("k", i), "h\x01");
  shared.emplace_back("detector", kWeights);
  EXPECT_EQ(Found(shared), "detector");
  // The same list before a tensor again and again, which has to be looked at each time.
  Items again = {{"model", "N"}};
  const std::string list = absl::StrCat("](", std::string(200'000, 'N'), kTensor, "eq\x01");
  for (int i = 0; i < 20; ++i) {
    again.emplace_back(absl::StrCat("k", i), absl::StrCat("]", i == 0 ? list : "h\x01", "a"));
  }
  EXPECT_NE(Found(again).find("more values than any file of weights has"), std::string::npos);
}

}  // namespace
}  // namespace ssd
