#include "ssd/core/text_proto.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "ssd/core/core_test.pb.h"

namespace ssd {
namespace {

using core_test::Circle;
using core_test::Polygon;
using core_test::Shape;
using core_test::Spiral;
using google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;

// The error that `text` gives when it is read as a Shape.
std::string Error(absl::string_view text) {
  Shape shape;
  const absl::Status status = ParseTextProto(text, "f.textproto", shape);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
  return std::string(status.message());
}

TEST(ParseTextProto, ReadsFieldsListsExtensionsAndComments) {
  Shape shape;
  shape.set_name("replaced");
  ASSERT_TRUE(ParseTextProto(R"pb(
                               # proto-message: ssd.core_test.Shape
                               polygon {
                                 corner {
                                   x: 1
                                   weight: [ 1, 2 ]
                                 }  # one
                                 corner: { y: -2e3 weight: 3 }
                               })pb",
                             "f", shape)
                  .ok());
  EXPECT_FALSE(shape.has_name());
  ASSERT_EQ(shape.polygon().corner_size(), 2);
  EXPECT_EQ(shape.polygon().corner(0).weight_size(), 2);
  EXPECT_EQ(shape.polygon().corner(1).y(), -2000);
  ASSERT_TRUE(ParseTextProto("[ssd.core_test.Spiral.ext] { turns: 3 }", "f", shape).ok());
  EXPECT_EQ(shape.GetExtension(Spiral::ext).turns(), 3);
}

TEST(ParseTextProto, UnknownFieldsAreNamedWithPlaceAndSuggestion) {
  EXPECT_EQ(Error("circle {\n  radus: 3\n}"),
            "unknown field 'radus' at f.textproto:2:3; did you mean 'radius'?");
  EXPECT_EQ(Error("circl {}"), "unknown field 'circl' at f.textproto:1:1; did you mean 'circle'?");
  EXPECT_EQ(Error("polygon { corner { x: 1 }\n corner {\n  wieght  # comment\n : [1] } }"),
            "unknown field 'wieght' at f.textproto:3:3; did you mean 'weight'?");
  EXPECT_EQ(Error("polygon { corner: [{ x: 1 }, { why: 1 }] }"),
            "unknown field 'why' at f.textproto:1:32; "
            "ssd.core_test.Polygon.Corner has the fields x, y, weight");
  EXPECT_EQ(Error("[ssd.core_test.Spiral.ext] { turn: 1 }"),
            "unknown field 'turn' at f.textproto:1:30; did you mean 'turns'?");
}

TEST(ParseTextProto, OneTypoInTwoHundredLines) {
  std::string text = "polygon {\n";
  for (int i = 2; i < 200; ++i) {
    absl::StrAppend(&text, i == 137 ? "  corner { x: 1 wight: 2 }\n" : "  corner { x: 1 y: 2 }\n");
  }
  EXPECT_EQ(Error(text + "}\n"),
            "unknown field 'wight' at f.textproto:137:17; did you mean 'weight'?");
}

TEST(ParseTextProto, UnknownExtensionsAndEnumValues) {
  EXPECT_EQ(Error("name: 'x' [ssd.core_test.Spirall.ext] {}"),
            "no extension [ssd.core_test.Spirall.ext] is linked into this program at "
            "f.textproto:1:11; did you mean '[ssd.core_test.Spiral.ext]'?");
  EXPECT_THAT(Error("[mylab.Swin.ext] {}"), HasSubstr("linked are [ssd.core_test.Spiral.ext]"));
  EXPECT_THAT(Error("circle { [mylab.Swin.ext] {} }"), HasSubstr("to the program's deps"));
  EXPECT_EQ(Error("circle { fill: solid }"),
            "field 'fill' has no value 'solid' at f.textproto:1:16; did you mean 'SOLID'?");
  EXPECT_EQ(
      Error("circle { fill: DOTTED }"),
      "field 'fill' has no value 'DOTTED' at f.textproto:1:16; there are NONE, SOLID, HATCHED");
}

TEST(ParseTextProto, WrongTypes) {
  EXPECT_EQ(Error("circle { radius: 'big' }"),
            "field 'radius' is ''big'' at f.textproto:1:18; it takes a number");
  EXPECT_EQ(Error("circle { radius: big }"),
            "field 'radius' is 'big' at f.textproto:1:18; it takes a number");
  EXPECT_EQ(Error("circle { segments: 1.5 }"),
            "field 'segments' is '1.5' at f.textproto:1:20; it takes a whole number");
  EXPECT_EQ(Error("circle { segments: 3000000000 }"),
            "field 'segments' is out of range at f.textproto:1:20; it takes a whole number, int32");
  EXPECT_EQ(Error("circle { closed: maybe }"),
            "field 'closed' is 'maybe' at f.textproto:1:18; it takes true or false");
  EXPECT_EQ(Error("name: 5"),
            "field 'name' is '5' at f.textproto:1:7; it takes a string in quotes");
  EXPECT_EQ(Error("circle: 5"),
            "field 'circle' is '5' at f.textproto:1:9; it takes a message in braces, '{ ... }'");
  EXPECT_EQ(Error("polygon { corner { weight: [1, two] } }"),
            "field 'weight' is 'two' at f.textproto:1:32; it takes a number");
  EXPECT_EQ(Error("circle { radius 5 }"),
            "':' is missing after 'radius' at f.textproto:1:17; it takes a number");
}

TEST(ParseTextProto, WhatIsNotClosedOrSetTwice) {
  EXPECT_EQ(Error("circle {\n  radius: 3\n"),
            "'{' without its '}' at f.textproto:1:8; the text ends before it is closed");
  EXPECT_EQ(Error("polygon {\n  corner { x: 1\n}\n"),
            "'{' without its '}' at f.textproto:1:9; the text ends before it is closed");
  EXPECT_THAT(Error("circle { radius: 3 } }"), HasSubstr("a '}' too many at f.textproto:1:22"));
  EXPECT_THAT(Error("name: \"abc\ncircle {}"), HasSubstr("at f.textproto:1:11"));
  EXPECT_EQ(Error("circle { radius: 3 radius: 4 }"),
            "field 'radius' is set twice at f.textproto:1:20; keep one of them");
  EXPECT_EQ(Error("circle {} polygon {}"),
            "'circle' and 'polygon' are both set at f.textproto:1:11; "
            "they exclude each other: keep one");
}

TEST(ParseTextProto, EmptyListsAndOtherTypesAreRefused) {
  EXPECT_THAT(Error("circle { tag: [] }"), HasSubstr("'[]' says nothing at f.textproto:1:15"));
  EXPECT_EQ(Error("# proto-message: ssd.Sweep\nname: 'x'"),
            "'ssd.Sweep' is declared at f.textproto:1:18; what is read here is "
            "'ssd.core_test.Shape'");
}

TEST(ParseTextProto, SaysWhereEachFieldWasSet) {
  Shape shape;
  FieldLocations locations;
  ASSERT_TRUE(ParseTextProto("name: 'x'\npolygon {\n  corner { x: 1 weight: [1, 2] }\n"
                             "  corner { y: 1 }\n}\n[ssd.core_test.Spiral.ext] { turns: 1 }",
                             "f", shape, &locations)
                  .ok());
  EXPECT_EQ(locations["name"], "f:1:1");
  EXPECT_EQ(locations["polygon"], "f:2:1");
  EXPECT_EQ(locations["polygon.corner[0].x"], "f:3:12");
  EXPECT_EQ(locations["polygon.corner[0].weight"], "f:3:17");
  EXPECT_EQ(locations["polygon.corner[1].y"], "f:4:12");
  EXPECT_EQ(locations["[ssd.core_test.Spiral.ext].turns"], "f:6:30");
}

TEST(ParseFieldValue, SetsScalarsStringsListsAndMessages) {
  Circle circle;
  const auto set = [&](const char* field, const char* value) {
    return ParseFieldValue(value, *Circle::descriptor()->FindFieldByName(field), circle);
  };
  EXPECT_TRUE(set("radius", "0.15").ok());
  EXPECT_TRUE(set("closed", "true").ok());
  EXPECT_TRUE(set("fill", "HATCHED").ok());
  EXPECT_TRUE(set("tag", "[a b, \"c, d\", e\"f]").ok());
  EXPECT_EQ(circle.radius(), 0.15);
  EXPECT_TRUE(circle.closed());
  EXPECT_EQ(circle.fill(), Circle::HATCHED);
  EXPECT_THAT(circle.tag(), ::testing::ElementsAre("a b", "c, d", "e\"f"));
  EXPECT_TRUE(set("tag", "one").ok());
  EXPECT_THAT(circle.tag(), ::testing::ElementsAre("one"));
  EXPECT_TRUE(set("tag", "[]").ok());
  EXPECT_EQ(circle.tag_size(), 0);
  EXPECT_EQ(set("radius", "big").message(), "field 'radius' is 'big'; it takes a number");
  EXPECT_THAT(std::string(set("radius", "1 segments: 2").message()), HasSubstr("is more than"));
  EXPECT_THAT(std::string(set("radius", "").message()), HasSubstr("it takes a number"));
  EXPECT_EQ(circle.radius(), 0.15) << "a refused value changes nothing";

  Shape shape;
  shape.mutable_circle()->set_segments(3);
  const auto& descriptor = *Shape::descriptor();
  EXPECT_TRUE(
      ParseFieldValue("a path/with space", *descriptor.FindFieldByName("name"), shape).ok());
  EXPECT_EQ(shape.name(), "a path/with space");
  EXPECT_TRUE(ParseFieldValue("{ radius: 2 }", *descriptor.FindFieldByName("circle"), shape).ok());
  EXPECT_FALSE(shape.circle().has_segments()) << "a message value replaces";
  EXPECT_TRUE(ParseFieldValue("[{ x: 1 }, {}]", *Polygon::descriptor()->FindFieldByName("corner"),
                              *shape.mutable_polygon())
                  .ok());
  EXPECT_EQ(shape.polygon().corner_size(), 2);
  EXPECT_TRUE(ParseFieldValue("{ turns: 2 }", *Spiral::descriptor()->extension(0), shape).ok());
  EXPECT_EQ(shape.GetExtension(Spiral::ext).turns(), 2);
}

TEST(PrintTextProto, ReadsBackEqual) {
  Shape shape;
  shape.set_name("häuser 家 \"quoted\" \\ \n");
  for (const double x : {0.1, 1e-300, -0.0, 1.0 / 3, std::numeric_limits<double>::max()}) {
    Polygon::Corner* const corner = shape.mutable_polygon()->add_corner();
    corner->set_x(x);
    corner->add_weight(x);
    corner->add_weight(2);
  }
  shape.MutableExtension(Spiral::ext)->set_turns(-4);
  Shape read;
  const std::string text = PrintTextProto(shape);
  ASSERT_TRUE(ParseTextProto(text, "printed", read).ok()) << text;
  EXPECT_TRUE(MessageDifferencer::Equals(shape, read)) << text;
  EXPECT_THAT(text, HasSubstr("häuser 家"));
  EXPECT_THAT(text, HasSubstr("x: 0.1\n"));
  EXPECT_THAT(text, HasSubstr("[ssd.core_test.Spiral.ext]"));
}

TEST(NearestName, FindsTypingErrorsOnly) {
  const std::vector<std::string> names = {"min_scale", "max_scale", "level", "lr"};
  EXPECT_EQ(NearestName("min_scle", names), "min_scale");
  EXPECT_EQ(NearestName("mni_scale", names), "min_scale");
  EXPECT_EQ(NearestName("MAX_SCALE", names), "max_scale");
  EXPECT_EQ(NearestName("lebel", names), "level");
  EXPECT_EQ(NearestName("backbone", names), "");
  EXPECT_EQ(NearestName("", names), "");
  EXPECT_EQ(NearestName("x", {}), "");
}

}  // namespace
}  // namespace ssd
