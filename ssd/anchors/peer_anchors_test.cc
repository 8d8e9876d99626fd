// The anchors of every peer of priors.json, expressed as configs.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/anchors/anchor_generator.h"
#include "ssd/core/boxes.h"
#include "ssd/core/text_proto.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

using Sizes = std::vector<std::pair<int64_t, int64_t>>;

Anchors Generate(const std::string& text, const Sizes& maps, ImageSize input) {
  AnchorGeneratorConfig config;
  const absl::Status status = ParseTextProto(text, "test", config);
  EXPECT_TRUE(status.ok()) << status;
  const auto generator =
      AnchorGeneratorRegistry::Get().Create(config, {static_cast<int64_t>(maps.size())});
  EXPECT_TRUE(generator.ok()) << generator.status();
  std::vector<FeatureSpec> levels;
  for (const auto& [height, width] : maps) {
    FeatureSpec spec;
    spec.height = height;
    spec.width = width;
    levels.push_back(spec);
  }
  absl::StatusOr<Anchors> anchors = (*generator)->Generate(levels, input);
  EXPECT_TRUE(anchors.ok()) << anchors.status();
  return *std::move(anchors);
}

Sizes Squares(const std::vector<int64_t>& sides) {
  Sizes sizes;
  for (const int64_t side : sides) sizes.emplace_back(side, side);
  return sizes;
}

constexpr char kSsd300Levels[] =
    "beyond_last: CONTINUE_STEP whole_percent_step: true max_scale: 0.9 "
    "level { aspect_ratio: 2 step: 8 } level { aspect_ratio: [2, 3] step: 16 } "
    "level { aspect_ratio: [2, 3] step: 32 } level { aspect_ratio: [2, 3] step: 64 } "
    "level { aspect_ratio: 2 step: 100 } level { aspect_ratio: 2 step: 300 } ";
constexpr char kSsd512Levels[] =
    "beyond_last: CONTINUE_STEP whole_percent_step: true max_scale: 0.9 "
    "level { aspect_ratio: 2 step: 8 } level { aspect_ratio: [2, 3] step: 16 } "
    "level { aspect_ratio: [2, 3] step: 32 } level { aspect_ratio: [2, 3] step: 64 } "
    "level { aspect_ratio: [2, 3] step: 128 } level { aspect_ratio: 2 step: 256 } "
    "level { aspect_ratio: 2 step: 512 } ";
constexpr char kSixOfThreeRatios[] =
    "level { aspect_ratio: [2, 3] } level { aspect_ratio: [2, 3] } "
    "level { aspect_ratio: [2, 3] } level { aspect_ratio: [2, 3] } "
    "level { aspect_ratio: [2, 3] } level { aspect_ratio: [2, 3] } ";

// `more` is set beside the scales of the four published SSDs.
std::string Voc300(const std::string& more = "") {
  return absl::StrCat("ssd { first_scale: 0.1 min_scale: 0.2 ", kSsd300Levels, more, "}");
}
std::string Coco300(const std::string& more = "") {
  return absl::StrCat("ssd { first_scale: 0.07 min_scale: 0.15 ", kSsd300Levels, more, "}");
}
std::string Voc512(const std::string& more = "") {
  return absl::StrCat("ssd { first_scale: 0.07 min_scale: 0.15 ", kSsd512Levels, more, "}");
}
std::string Coco512(const std::string& more = "") {
  return absl::StrCat("ssd { first_scale: 0.04 min_scale: 0.1 ", kSsd512Levels, more, "}");
}

// Anchors (cx, cy, w, h) -> an entry's form and units.
using Form = std::function<at::Tensor(const Anchors&)>;

at::Tensor Corner(const Anchors& anchors) { return CornersFromCenters(anchors.boxes); }
at::Tensor Center(const Anchors& anchors) { return anchors.boxes; }

Form Pixels(double height, double width) {
  return [=](const Anchors& anchors) {
    return CornersFromCenters(anchors.boxes) *
           at::tensor({width, height, width, height}, at::kFloat);
  };
}

// NVIDIA orders a level by shape, then cell.
at::Tensor ShapeMajor(const Anchors& anchors) {
  std::vector<at::Tensor> levels;
  const std::vector<int64_t> shapes = {4, 6, 6, 6, 4, 4};
  const std::vector<at::Tensor> parts = at::split_with_sizes(anchors.boxes, anchors.per_level);
  for (size_t k = 0; k < parts.size(); ++k) {
    levels.push_back(parts[k].view({-1, shapes[k], 4}).transpose(0, 1).reshape({-1, 4}));
  }
  return at::cat(levels);
}

struct Entry {
  const char* name;
  std::string config;
  Sizes maps;
  ImageSize input;
  Form form;
};

TEST(PeerAnchors, EqualEveryEntry) {
  const ImageSize s300{300, 300};
  const ImageSize s512{512, 512};
  const Sizes m300 = Squares({38, 19, 10, 5, 3, 1});
  const Sizes m512 = Squares({64, 32, 16, 8, 4, 2, 1});
  const std::string whole = "whole_pixels: true ";
  const std::string caffe_clip = "whole_pixels: true clip: CORNERS ";
  const std::string center_size = "clip: CENTER_SIZE ";
  const std::string size = "clip: SIZE ";
  const std::vector<Entry> entries = {
      {"caffe_ssd300_voc", Voc300(whole), m300, s300, Corner},
      {"caffe_clip_ssd300_voc", Voc300(caffe_clip), m300, s300, Corner},
      {"lufficc_ssd300_voc", Voc300(center_size), m300, s300, Center},
      {"lufficc_noclip_ssd300_voc", Voc300(), m300, s300, Center},
      {"amdegroot_ssd300_voc", Voc300(center_size), m300, s300, Center},
      {"pierluigi_ssd300_voc", Voc300(), m300, s300, Center},
      {"torchvision_ssd300_vocscales", Voc300(size), m300, s300, Pixels(300, 300)},
      {"torchvision_ssd300_vocscales_noclip", Voc300(), m300, s300, Pixels(300, 300)},
      {"caffe_ssd300_coco", Coco300(whole), m300, s300, Corner},
      {"caffe_clip_ssd300_coco", Coco300(caffe_clip), m300, s300, Corner},
      {"lufficc_ssd300_coco", Coco300(center_size), m300, s300, Center},
      {"lufficc_noclip_ssd300_coco", Coco300(), m300, s300, Center},
      {"amdegroot_ssd300_coco", Coco300(center_size), m300, s300, Center},
      {"torchvision_ssd300_vgg16_default", Coco300(size), m300, s300, Pixels(300, 300)},
      {"nvidia_dboxes300_coco", Coco300(center_size), m300, s300, ShapeMajor},
      {"caffe_ssd512_voc", Voc512(whole), m512, s512, Corner},
      {"caffe_clip_ssd512_voc", Voc512(caffe_clip), m512, s512, Corner},
      // lufficc's file has 537.65 where Caffe's script gives 537.6.
      {"lufficc_ssd512_voc",
       "fixed_size { clip: CENTER_SIZE "
       "level { min_size: 35.84 max_size: 76.8 aspect_ratio: 2 step: 8 } "
       "level { min_size: 76.8 max_size: 153.6 aspect_ratio: [2, 3] step: 16 } "
       "level { min_size: 153.6 max_size: 230.4 aspect_ratio: [2, 3] step: 32 } "
       "level { min_size: 230.4 max_size: 307.2 aspect_ratio: [2, 3] step: 64 } "
       "level { min_size: 307.2 max_size: 384 aspect_ratio: [2, 3] step: 128 } "
       "level { min_size: 384 max_size: 460.8 aspect_ratio: 2 step: 256 } "
       "level { min_size: 460.8 max_size: 537.65 aspect_ratio: 2 step: 512 } }",
       m512, s512, Center},
      {"lufficc_noclip_ssd512_voc", Voc512(), m512, s512, Center},
      {"caffe_ssd512_coco", Coco512(whole), m512, s512, Corner},
      {"caffe_clip_ssd512_coco", Coco512(caffe_clip), m512, s512, Corner},
      {"lufficc_ssd512_coco", Coco512(center_size), m512, s512, Center},
      {"lufficc_noclip_ssd512_coco", Coco512(), m512, s512, Center},
      {"torchvision_ssdlite320",
       absl::StrCat("ssd { min_scale: 0.2 max_scale: 0.95 clip: SIZE ", kSixOfThreeRatios, "}"),
       Squares({20, 10, 5, 3, 2, 1}),
       {320, 320},
       Pixels(320, 320)},
      {"torchvision_rect_200x400",
       absl::StrCat("ssd { clip: SIZE ", kSixOfThreeRatios, "}"),
       {{3, 5}, {2, 3}},
       {200, 400},
       Pixels(200, 400)},
      {"caffe_rect_200x400",
       "fixed_size { whole_pixels: true "
       "level { min_size: 60 max_size: 110 aspect_ratio: [2, 3] } "
       "level { min_size: [110, 60] max_size: [180, 90] aspect_ratio: 2 } }",
       {{3, 5}, {2, 3}},
       {200, 400},
       Corner},
      {"caffe_no_max_size",
       "fixed_size { whole_pixels: true level { min_size: 12 aspect_ratio: [2, 3] } }",
       Squares({4}),
       {64, 64},
       Corner},
      {"rykov8_pickle_ssd300_v1",
       "fixed_size { clip: CORNERS level { min_size: 30 aspect_ratio: 2 } "
       "level { min_size: 60 max_size: 114 aspect_ratio: [2, 3] } "
       "level { min_size: 114 max_size: 168 aspect_ratio: [2, 3] } "
       "level { min_size: 168 max_size: 222 aspect_ratio: [2, 3] } "
       "level { min_size: 222 max_size: 276 aspect_ratio: [2, 3] } "
       "level { min_size: 276 max_size: 330 aspect_ratio: [2, 3] } }",
       m300, s300, Corner},
  };
  const auto& file = golden::File("priors.json")["entries"];
  EXPECT_EQ(file.MemberCount(), entries.size());
  for (const Entry& entry : entries) {
    ASSERT_TRUE(file.HasMember(entry.name)) << entry.name;
    const auto& expected = file[entry.name];
    const at::Tensor boxes = entry.form(Generate(entry.config, entry.maps, entry.input));
    ASSERT_EQ(boxes.size(0), expected["total"].GetInt64()) << entry.name;
    const bool in_pixels = std::string(expected["form"].GetString()) == "xyxy_px";
    const double absolute = in_pixels ? 1e-7 * static_cast<double>(entry.input.width) : 1e-7;
    const std::string name = absl::StrCat("priors/", entry.name);
    golden::ExpectNear(boxes.narrow(0, 0, 8), golden::Numbers(expected["first8"]), name + "/first",
                       1e-6, absolute);
    golden::ExpectNear(boxes.narrow(0, boxes.size(0) - 8, 8), golden::Numbers(expected["last8"]),
                       name + "/last", 1e-6, absolute);
    for (const auto& probe : expected["probes"].GetObject()) {
      const at::Tensor got = boxes[std::stoll(probe.name.GetString())].to(at::kDouble);
      EXPECT_TRUE(at::allclose(got, golden::Numbers(probe.value), 1e-6, absolute))
          << entry.name << " " << probe.name.GetString();
    }
    // All boxes and their order.
    const at::Tensor wide = boxes.to(at::kDouble);
    golden::ExpectNear(wide.sum(0), golden::Numbers(expected["sum"]), name + "/sum");
    const at::Tensor weights =
        at::arange(boxes.size(0), at::kDouble).remainder(97).add(1).unsqueeze(1);
    golden::ExpectNear((wide * weights).sum(0), golden::Numbers(expected["order_checksum"]),
                       name + "/order");
  }
}

// The same boxes by scale and by size.
TEST(PeerAnchors, FixedSizeEqualsScales) {
  const Sizes maps = {{5, 8}, {3, 4}};
  const ImageSize input{200, 320};
  const std::string more = "whole_pixels: true offset: 0.25 ";
  const Anchors by_scale =
      Generate(absl::StrCat("ssd { min_scale: 0.2 max_scale: 0.5 beyond_last: CONTINUE_STEP ",
                            "square_in_pixels: true level { aspect_ratio: [2, 3] } ",
                            "level { aspect_ratio: 2 step: 60 } ", more, "}"),
               maps, input);
  const Anchors by_size = Generate(
      absl::StrCat("fixed_size { level { min_size: 40 max_size: 100 aspect_ratio: [2, 3] ",
                   "} level { min_size: 100 max_size: 160 aspect_ratio: 2 step: 60 } ", more, "}"),
      maps, input);
  EXPECT_TRUE(at::allclose(by_scale.boxes, by_size.boxes, 1e-6, 1e-7));
  EXPECT_EQ(by_scale.per_level, by_size.per_level);
}

TEST(PeerAnchors, ScalesAreThoseOfCaffesScripts) {
  for (const auto& script : golden::File("priors.json")["caffe_script_sizes"].GetObject()) {
    const std::string name = script.name.GetString();
    const auto& sizes = script.value;
    const double min_dim = sizes["min_dim"].GetDouble();
    const int64_t m = sizes["n_layers"].GetInt64();
    std::string config =
        absl::StrCat("ssd { first_scale: ", sizes["min_sizes"][0].GetDouble() / min_dim,
                     " min_scale: ", sizes["min_ratio"].GetDouble() / 100,
                     " max_scale: ", sizes["max_ratio"].GetDouble() / 100,
                     " beyond_last: CONTINUE_STEP whole_percent_step: true");
    for (int64_t k = 0; k < m; ++k) config += " level {}";
    // A cell has the square of the minimum size and that of the mean with the maximum.
    const int64_t side = static_cast<int64_t>(min_dim);
    const at::Tensor widths =
        Generate(config + "}", Squares(std::vector<int64_t>(m, 1)), {side, side})
            .boxes.select(1, 2)
            .view({m, 2})
            .to(at::kDouble) *
        min_dim;
    const at::Tensor min_sizes = golden::Numbers(sizes["min_sizes"]);
    golden::ExpectNear(widths.select(1, 0), min_sizes, "script/" + name);
    golden::ExpectNear(widths.select(1, 1),
                       (min_sizes * golden::Numbers(sizes["max_sizes"])).sqrt(),
                       "script/" + name + "/max");
  }
}

// TensorFlow's counts, of its SSD's lowest layer reduced to three boxes and not.
TEST(PeerAnchors, CountsEqualTensorFlows) {
  const auto& tests = golden::File("priors.json")["published_unit_test_values"];
  const auto& counts = tests
      ["tensorflow/models create_ssd_anchors shapes (6 layers, .2..0.95, ar "
       "1,2,3,1/2,1/3)"];
  const Sizes maps = Squares({38, 19, 10, 5, 3, 1});
  const Anchors all =
      Generate(absl::StrCat("ssd { min_scale: 0.2 max_scale: 0.95 ", kSixOfThreeRatios, "}"), maps,
               {300, 300});
  EXPECT_EQ(all.boxes.size(0), counts["False"].GetInt64());
  const Anchors reduced =
      Generate(absl::StrCat("ssd { min_scale: 0.2 max_scale: 0.95 level { aspect_ratio: 2 "
                            "square_scale: 0.1 sqrt_scale: false } ",
                            kSixOfThreeRatios, "}"),
               maps, {300, 300});
  EXPECT_EQ(reduced.boxes.size(0), counts["reduce_boxes_in_lowest_layer=True"].GetInt64());
}

}  // namespace
}  // namespace ssd
