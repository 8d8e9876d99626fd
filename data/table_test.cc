#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "data/table_text.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kHeader[] = "image,x0,y0,x1,y1,label\n";

// --- the text ---

struct Parsed {
  absl::Status status;
  std::vector<TableRow> rows;
  std::vector<std::string> left_out;
  std::vector<std::pair<int64_t, std::string>> faults;
};

Parsed Parse(const std::string& text, const std::string& name, const std::string& options = "") {
  TableOptions table;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(options, &table)) << options;
  Parsed parsed;
  auto read = ParseTable(text, name, table, [&](int64_t line, const std::string& message) {
    parsed.faults.emplace_back(line, message);
    return absl::OkStatus();
  });
  parsed.status = read.status();
  if (read.ok()) {
    parsed.rows = std::move(read->rows);
    parsed.left_out = std::move(read->left_out);
  }
  return parsed;
}

// "3 a.png 40x30: cat 1 2 3 4": line, image, size, objects.
std::string Shown(const TableRow& row) {
  std::string shown =
      absl::StrCat(row.line, " ", row.image, " ", row.size.width, "x", row.size.height, ":");
  for (const TableObject& object : row.objects) {
    absl::StrAppend(&shown, " ", object.class_name, " ", object.box.x0, " ", object.box.y0, " ",
                    object.box.x1, " ", object.box.y1, object.difficult ? " difficult" : "",
                    object.crowd ? " crowd" : "");
  }
  return shown;
}

std::vector<std::string> Rows(const std::string& text, const std::string& name,
                              const std::string& options = "") {
  const Parsed parsed = Parse(text, name, options);
  EXPECT_TRUE(parsed.status.ok()) << parsed.status;
  EXPECT_TRUE(parsed.faults.empty()) << parsed.faults[0].first << ": " << parsed.faults[0].second;
  std::vector<std::string> rows;
  for (const TableRow& row : parsed.rows) rows.push_back(Shown(row));
  return rows;
}

// The rules of RFC 4180, section 2.
TEST(TableTextTest, ReadsCsv) {
  EXPECT_THAT(Rows(absl::StrCat(kHeader, "a.png,1,2,3,4,cat\n"), "t.csv"),
              ElementsAre("2 a.png 0x0: cat 1 2 3 4"));
  // Rules 1 and 2: CRLF; the last line need not end.
  EXPECT_THAT(Rows("image,x0,y0,x1,y1,label\r\na,1,2,3,4,cat\r\nb,1,2,3,4,dog", "t.csv"),
              ElementsAre("2 a 0x0: cat 1 2 3 4", "3 b 0x0: dog 1 2 3 4"));
  // Rules 5 to 7: quotes hold separators, line ends and, doubled, quotes.
  EXPECT_THAT(Rows(absl::StrCat(kHeader, "\"a,\"\"1\"\".png\",\"1\",2,3,4,\"big\r\ncat\"\n",
                                "b,1,2,3,4,dog\n"),
                   "t.csv"),
              ElementsAre("2 a,\"1\".png 0x0: big\r\ncat 1 2 3 4", "4 b 0x0: dog 1 2 3 4"));
  // What else is met: a byte order mark, blank lines, spaces, ends of old Macintosh files, further
  // columns, another order.
  EXPECT_THAT(
      Rows("\xef\xbb\xbflabel, image, x0, y0, x1, y1, who\n\n cat , \"a b\" ,1, 2 ,3,4,me\n",
           "t.csv"),
      ElementsAre("3 a b 0x0: cat 1 2 3 4"));
  EXPECT_THAT(Rows("image,x0,y0,x1,y1,label\ra,1,2,3,4,cat\r", "t.csv"),
              ElementsAre("2 a 0x0: cat 1 2 3 4"));
  EXPECT_THAT(Rows("image\tx0\ty0\tx1\ty1\tlabel\na, b\t1\t2\t3\t4\tcat\n", "t.TSV"),
              ElementsAre("2 a, b 0x0: cat 1 2 3 4"));
  EXPECT_THAT(Rows(kHeader, "t.csv"), IsEmpty());
}

TEST(TableTextTest, ReadsOptionalColumns) {
  EXPECT_THAT(
      Rows("image,width,height,x0,y0,x1,y1,label,difficult,crowd\n"
           "a,40,30.0,1,2,3,4,cat,1,0\n"
           "a,,,1,2,3,4,cat,,true\n"
           "b,50,60,,,,,,,\n",
           "t.csv"),
      ElementsAre("2 a 40x30: cat 1 2 3 4 difficult", "3 a 0x0: cat 1 2 3 4 crowd", "4 b 50x60:"));
  // As columns of the box they are not the image's.
  EXPECT_THAT(Rows("file,x,y,width,height,class\na,1,2,3,4,cat\n", "t.csv",
                   "image_column: 'file' label_column: 'class' corners: X0_Y0_W_H "
                   "box_column: ['x', 'y', 'width', 'height']"),
              ElementsAre("2 a 0x0: cat 1 2 4 6"));
}

TEST(TableTextTest, ReadsEveryFormOfBox) {
  EXPECT_THAT(Rows("image,x0,y0,w,h,label\na,1,2,3,4,cat\n", "t.csv", "corners: X0_Y0_W_H"),
              ElementsAre("2 a 0x0: cat 1 2 4 6"));
  EXPECT_THAT(Rows("image,cx,cy,w,h,label\na,5,6,4,2,cat\n", "t.csv", "corners: CX_CY_W_H"),
              ElementsAre("2 a 0x0: cat 3 5 7 7"));
  EXPECT_THAT(Rows("image,l,t,r,b,label\na,1e1,-2,.5,+4,cat\n", "t.txt",
                   "format: CSV box_column: ['l', 't', 'r', 'b']"),
              ElementsAre("2 a 0x0: cat 10 -2 0.5 4"));
  const Parsed parsed = Parse(absl::StrCat(kHeader, "a,nan,1,inf,2,cat\n"), "t.csv");
  ASSERT_EQ(parsed.rows.size(), 1u);
  EXPECT_TRUE(std::isnan(parsed.rows[0].objects[0].box.x0));
  EXPECT_TRUE(std::isinf(parsed.rows[0].objects[0].box.x1));
}

TEST(TableTextTest, ReadsJsonLines) {
  EXPECT_THAT(Rows("{\"image\": \"a\", \"x0\": 1, \"y0\": 2, \"x1\": 3.5, \"y1\": 4, "
                   "\"label\": \"cat\", \"difficult\": true}\r\n"
                   "\n"
                   "{\"label\": 7, \"box\": [1, 2, 3, 4], \"image\": \"b\", \"width\": 40}\n"
                   "{\"image\": \"c\", \"label\": null, \"who\": {\"is\": [\"it\"]}}\n"
                   "{\"image\": \"d\", \"width\": 40, \"height\": 30, \"objects\": ["
                   "{\"label\": \"cat\", \"box\": [1, 2, 3, 4], \"crowd\": 1}, "
                   "{\"label\": \"d\\u00f6g\", \"x0\": 5, \"y0\": 6, \"x1\": 7, \"y1\": 8}]}\n"
                   "{\"image\": \"e\", \"objects\": []}",
                   "t.jsonl"),
              ElementsAre("1 a 0x0: cat 1 2 3.5 4 difficult", "3 b 40x0: 7 1 2 3 4", "4 c 0x0:",
                          "5 d 40x30: cat 1 2 3 4 crowd d\xc3\xb6g 5 6 7 8", "6 e 0x0:"));
  EXPECT_THAT(Rows("{\"file\": \"a\", \"class\": \"cat\", \"x\": 5, \"y\": 6, \"width\": 4, "
                   "\"height\": 2}",
                   "t.NDJSON",
                   "image_column: 'file' label_column: 'class' corners: CX_CY_W_H "
                   "box_column: ['x', 'y', 'width', 'height']"),
              ElementsAre("1 a 0x0: cat 3 5 7 7"));
  // However many digits: RapidJSON's precise numbers make 3e-45 of 25 noughts.
  const std::string zero = "0." + std::string(25, '0');
  EXPECT_EQ(
      Parse("{\"image\": \"a\", \"label\": \"cat\", \"box\": [" + zero + ", 2, 3, 4]}", "t.jsonl")
          .rows.at(0)
          .objects.at(0)
          .box.x0,
      0);
}

TEST(TableTextTest, NamesTheLineOfEachFault) {
  struct Case {
    std::string row;
    std::string fault;
  };
  const std::vector<Case> rows = {
      {"a,1,2,3,cat", "has 5 fields where the header has 8"},
      {"a,1,2,3,4,cat,0,0,", "has 9 fields"},
      {",1,2,3,4,cat,,", "names no image"},
      {"a,1,2,3,4,,,", "has a box but no label"},
      {"a,1,2,,4,cat,,", "x1 is ''; want a number"},
      {"a,,,,,cat,,", "x0 is ''"},
      {"a,1,2,3 px,4,cat,,", "x1 is '3 px'; want a number"},
      {"a,1,2,3,4,cat,-1,", "width is -1; want the image's pixels"},
      {"a,1,2,3,4,cat,10.5,", "width is 10.5"},
      {"a,1,2,3,4,cat,,2", "difficult is 2; want 0 or 1"},
      {"a,1,2,3,4,cat,,maybe", "difficult is 'maybe'"},
      {"\"a\"b,1,2,3,4,cat,,", "'b' follows the end of a quoted field"},
  };
  std::string text = "image,x0,y0,x1,y1,label,width,difficult\n";
  for (const Case& bad : rows) absl::StrAppend(&text, bad.row, "\n", "good,1,2,3,4,cat,,\n");
  absl::StrAppend(&text, "a,1,2,3,4,\"cat,,\n1\n");
  const Parsed parsed = Parse(text, "t.csv");
  ASSERT_TRUE(parsed.status.ok()) << parsed.status;
  EXPECT_EQ(parsed.rows.size(), rows.size());
  ASSERT_EQ(parsed.faults.size(), rows.size() + 1);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(parsed.faults[i].first, static_cast<int64_t>(2 + 2 * i)) << rows[i].row;
    EXPECT_THAT(parsed.faults[i].second, HasSubstr(rows[i].fault));
  }
  EXPECT_EQ(parsed.faults.back().first, static_cast<int64_t>(2 + 2 * rows.size()));
  EXPECT_THAT(parsed.faults.back().second, HasSubstr("a quoted field has no end"));
}

TEST(TableTextTest, NamesTheLineOfEachJsonFault) {
  struct Case {
    std::string line;
    std::string fault;
  };
  const std::vector<Case> lines = {
      {"[", "malformed JSON"},
      {"[1]", "no JSON object"},
      {"{\"image\": \"a\"", "malformed JSON at byte 1"},
      {"{\"image\": 3}", "no string 'image'"},
      {"{\"image\": \"\"}", "no string 'image'"},
      {"{\"image\": \"a\", \"objects\": 3}", "'objects' is not a list"},
      {"{\"image\": \"a\", \"width\": \"wide\"}", "'width' is not a number"},
      {"{\"image\": \"a\", \"width\": -4}", "width is -4"},
      {"{\"image\": \"a\", \"box\": [1, 2, 3, 4]}", "no string 'label'"},
      {"{\"image\": \"a\", \"label\": \"cat\"}", "no number 'x0'"},
      {"{\"image\": \"a\", \"label\": \"cat\", \"box\": [1, 2, 3]}", "list of four numbers"},
      {"{\"image\": \"a\", \"label\": \"cat\", \"box\": [1, 2, 3, \"4\"]}", "list of four numbers"},
      {"{\"image\": \"a\", \"label\": \"cat\", \"box\": [1, 2, 3, 4], \"crowd\": 2}", "crowd is 2"},
      {"{\"image\": \"a\", \"label\": \"cat\", \"box\": [1, 2, 3, 4], \"crowd\": \"\"}",
       "'crowd' that is neither"},
  };
  std::vector<std::string> text;
  for (const Case& bad : lines) text.push_back(bad.line);
  // Of an image with several objects, only the bad one is left out.
  text.push_back(
      "{\"image\": \"a\", \"objects\": [{\"label\": \"cat\", \"box\": [1, 2, 3, 4]}, 5]}");
  const Parsed parsed = Parse(absl::StrJoin(text, "\n"), "t.jsonl");
  ASSERT_TRUE(parsed.status.ok()) << parsed.status;
  ASSERT_EQ(parsed.faults.size(), text.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(parsed.faults[i].first, static_cast<int64_t>(i + 1)) << lines[i].line;
    EXPECT_THAT(parsed.faults[i].second, HasSubstr(lines[i].fault)) << lines[i].line;
  }
  EXPECT_THAT(parsed.faults.back().second, HasSubstr("objects[1] is not an object"));
  ASSERT_EQ(parsed.rows.size(), 1u);
  EXPECT_EQ(parsed.rows[0].objects.size(), 1u);
}

TEST(TableTextTest, NamesWhatIsWrongWithTheWholeFile) {
  struct Case {
    std::string text, name, options, error;
  };
  const std::vector<Case> cases = {
      {kHeader, "boxes.txt", "", "'.txt' does not tell the format"},
      {"", "t.csv", "", "t.csv: is empty"},
      {"\n\n", "t.csv", "", "t.csv: is empty"},
      {std::string("\xff\xfei\0", 4), "t.csv", "", "UTF-16"},
      {"image;x0\n", "t.csv", "", "t.csv:1: no column 'image'; the columns are image;x0"},
      {"\nimage,x0,y0,x1,y1\n", "t.csv", "", "t.csv:2: no column 'label'"},
      {kHeader, "t.csv", "corners: X0_Y0_W_H", "no column 'w'"},
      {kHeader, "t.csv", "image_column: 'file'", "correct table.image_column"},
      {"image,x0,y0,x1,y1,label,label\n", "t.csv", "", "two columns are called 'label'"},
      {"image,x0,y0,x1,y1,label,width,width\n", "t.csv", "", "two columns are called 'width'"},
      {kHeader, "t.csv", "box_column: ['x0', 'y0']", "table.box_column has 2 names; want four"},
      {"\"image,x0\n", "t.csv", "", "t.csv:1: a quoted field has no end"},
  };
  for (const Case& bad : cases) {
    const Parsed parsed = Parse(bad.text, bad.name, bad.options);
    EXPECT_EQ(parsed.status.code(), absl::StatusCode::kInvalidArgument) << bad.text;
    EXPECT_THAT(std::string(parsed.status.message()), HasSubstr(bad.error)) << bad.text;
  }
}

TEST(TableTextTest, NamesTheImagesOfRowsThatAreLeftOut) {
  const Parsed csv = Parse(absl::StrCat(kHeader,
                                        "a,1,2,3,4,cat\n"
                                        "b,1,2,3\n"
                                        "c,1,2,3,4,\n"
                                        "d,1,2,three,4,cat\n"
                                        ",1,2,3,4,cat\n"),
                           "t.csv");
  EXPECT_EQ(csv.rows.size(), 1u);
  EXPECT_EQ(csv.faults.size(), 4u);
  EXPECT_THAT(csv.left_out, ElementsAre("b", "c", "d"));

  // An object at fault leaves its row.
  const Parsed json = Parse(
      "{\"image\": \"a\", \"objects\": [{\"label\": \"cat\"}]}\n"
      "{\"image\": \"b\", \"objects\": 5}\n"
      "{\"image\": \"c\", \"label\": \"cat\", \"box\": [1, 2]}\n"
      "{\"image\": \"d\", \"width\": \"wide\"}\n"
      "{\"image\": 5}\n"
      "{\"image\": \"e\"\n",
      "t.jsonl");
  EXPECT_EQ(json.rows.size(), 1u);
  EXPECT_EQ(json.faults.size(), 6u);
  EXPECT_THAT(json.left_out, ElementsAre("b", "c", "d"));
}

TEST(TableTextTest, AnErrorOfTheListenerEndsTheReading) {
  int faults = 0;
  const auto rows = ParseTable(absl::StrCat(kHeader, "a\nb\n"), "t.csv", TableOptions(),
                               [&](int64_t, const std::string&) {
                                 ++faults;
                                 return absl::CancelledError("enough");
                               });
  EXPECT_EQ(rows.status(), absl::CancelledError("enough"));
  EXPECT_EQ(faults, 1);
}

TEST(TableTextTest, ChangedTextIsNoHarm) {
  const std::string csv = absl::StrCat(kHeader, "a.png,1,2,3,4,cat\n\"b\",1,2,3,4,\"do\"\"g\"\n");
  const std::string json =
      "{\"image\": \"a\", \"objects\": [{\"label\": \"cat\", \"box\": [1, 2, 3, 4]}]}\n"
      "{\"image\": \"b\", \"x0\": 1, \"y0\": 2, \"x1\": 3, \"y1\": 4, \"label\": \"dog\"}\n";
  std::mt19937 random(1);
  for (int i = 0; i < 4000; ++i) {
    std::string text = i % 2 == 0 ? csv : json;
    for (uint32_t changes = 1 + random() % 4; changes > 0 && !text.empty(); --changes) {
      const size_t at = random() % text.size();
      if (random() % 2 == 0) {
        text[at] = static_cast<char>(random());
      } else {
        text.erase(at, 1 + random() % 9);
      }
    }
    const Parsed parsed = Parse(text, i % 2 == 0 ? "t.csv" : "t.jsonl");
    for (const TableRow& row : parsed.rows) EXPECT_FALSE(row.image.empty());
    for (const auto& fault : parsed.faults) EXPECT_GE(fault.first, 1);
  }
  // Deeper than a stack.
  const Parsed deep = Parse(std::string(1000000, '['), "t.jsonl");
  EXPECT_EQ(deep.faults.size(), 1u);
}

// --- the dataset ---

class TableTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = absl::StrCat(testing::TempDir(), "/table_",
                         testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/photos/sub");
  }

  void Write(const std::string& name, const std::string& content) const {
    const absl::Status status = WriteFileAtomically(root_ + "/" + name, content);
    ASSERT_TRUE(status.ok()) << status;
  }
  void WriteImage(const std::string& name, int width, int height) const {
    const cv::Mat image(height, width, CV_8UC3, cv::Scalar(10, 20, 30));
    ASSERT_TRUE(cv::imwrite(root_ + "/photos/" + name, image));
  }

  absl::StatusOr<std::unique_ptr<Dataset>> Create(const std::string& options,
                                                  const DatasetContext& context = {}) const {
    DatasetConfig config;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(options, config.mutable_table()));
    if (!config.table().has_file()) config.mutable_table()->set_file(root_ + "/boxes.csv");
    if (!config.table().has_images()) config.mutable_table()->set_images(root_ + "/photos");
    return CreateDataset(config, context);
  }

  std::string root_;
};

std::vector<double> Corners(const Annotation& object) {
  return {object.box.x0, object.box.y0, object.box.x1, object.box.y1};
}

TEST_F(TableTest, JoinsRowsToImages) {
  WriteImage("b.jpg", 40, 30);
  WriteImage("sub/a.png", 64, 48);
  WriteImage("none.png", 20, 10);
  Write("boxes.csv", absl::StrCat(kHeader, "b.jpg,1,2,11,22,dog\nsub/a.png,0,0,64,48,cat\n",
                                  "none.png,,,,,\nb.jpg,3,4,5,6,cat\n"));
  const auto dataset = Create("");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 3);
  EXPECT_THAT((*dataset)->labels().names, ElementsAre("cat", "dog"));
  const auto b = (*dataset)->GetAnnotations(0);
  EXPECT_EQ(b->file_name, "b.jpg");
  EXPECT_EQ(b->image_id, 1);
  EXPECT_EQ(b->size, (ImageSize{30, 40}));
  ASSERT_EQ(b->objects.size(), 2u);
  EXPECT_THAT(Corners(b->objects[0]), ElementsAre(1, 2, 11, 22));
  EXPECT_EQ(b->objects[0].label, 2);
  EXPECT_EQ(b->objects[0].area, 10 * 20);
  EXPECT_EQ(b->objects[0].line, 2);
  EXPECT_EQ(b->objects[1].label, 1);
  EXPECT_EQ(b->objects[1].line, 5);
  EXPECT_EQ((*dataset)->GetAnnotations(1)->size, (ImageSize{48, 64}));
  EXPECT_THAT((*dataset)->GetAnnotations(2)->objects, IsEmpty());
  EXPECT_EQ((*dataset)->AnnotationFile(1), root_ + "/boxes.csv");
  EXPECT_EQ(b->line, 2);  // the first of its rows
  EXPECT_EQ((*dataset)->GetAnnotations(2)->line, 4);
  EXPECT_EQ((*dataset)->ClassPlace(1).file, "");
  EXPECT_EQ((*dataset)->ImageFile(1), root_ + "/photos/sub/a.png");
  EXPECT_TRUE((*dataset)->Get(1)->image.Render().ok());

  // Images beside the table need no folder.
  std::filesystem::rename(root_ + "/boxes.csv", root_ + "/photos/boxes.csv");
  DatasetConfig config;
  config.mutable_table()->set_file(root_ + "/photos/boxes.csv");
  const auto beside = CreateDataset(config, {});
  ASSERT_TRUE(beside.ok()) << beside.status();
  EXPECT_EQ((*beside)->Fingerprint(), (*dataset)->Fingerprint());
}

TEST_F(TableTest, JoinsOneImageByTwoSpellings) {
  WriteImage("a.png", 40, 30);
  Write("boxes.csv", absl::StrCat(kHeader, "a.png,1,2,3,4,cat\n./a.png,1,2,3,5,cat\n",
                                  "sub/../a.png,1,2,3,6,cat\n"));
  const auto dataset = Create("");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 1);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->file_name, "a.png");
  EXPECT_EQ((*dataset)->GetAnnotations(0)->objects.size(), 3u);
}

TEST_F(TableTest, SharesAreOfTheImage) {
  WriteImage("a.png", 200, 100);
  Write(
      "boxes.jsonl",
      "{\"image\": \"a.png\", \"objects\": [{\"label\": \"cat\", \"box\": [0.5, 0.5, 0.2, 0.4]}]}");
  const auto dataset =
      Create(absl::StrCat("normalized: true corners: CX_CY_W_H file: '", root_, "/boxes.jsonl'"));
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  const PixelBox box = (*dataset)->GetAnnotations(0)->objects[0].box;
  EXPECT_NEAR(box.x0, 80, 1e-9);
  EXPECT_NEAR(box.y0, 30, 1e-9);
  EXPECT_NEAR(box.x1, 120, 1e-9);
  EXPECT_NEAR(box.y1, 70, 1e-9);
}

TEST_F(TableTest, StatedSizesNeedNoLookAtTheImages) {
  Write("photos/a.png", "no image");
  Write("boxes.csv", "image,width,height,x0,y0,x1,y1,label\na.png,40,30,1,2,3,4,cat\n");
  const auto dataset = Create("");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->GetAnnotations(0)->size, (ImageSize{30, 40}));

  Write("boxes.csv",
        "image,width,height,x0,y0,x1,y1,label\n"
        "a.png,,30,1,2,3,4,cat\na.png,40,30,1,2,3,4,cat\na.png,40,31,1,2,3,4,cat\n");
  EXPECT_THAT(std::string(Create("").status().message()),
              HasSubstr("boxes.csv:4: image 'a.png' is 31 pixels high here and 30 before"));
}

TEST_F(TableTest, NamesWhatIsMissing) {
  const auto error = [this](const std::string& options) {
    return std::string(Create(options).status().message());
  };
  DatasetConfig config;
  config.mutable_table();
  EXPECT_THAT(std::string(CreateDataset(config, {}).status().message()), HasSubstr("table.file"));
  EXPECT_THAT(error(""), HasSubstr("boxes.csv"));
  EXPECT_THAT(error("images: '/no/such/folder'"), HasSubstr("correct table.images"));
  Write("boxes.csv", kHeader);
  EXPECT_THAT(error(""), HasSubstr("no image"));
  Write("boxes.csv", absl::StrCat(kHeader, "gone.png,1,2,3,4,cat\n"));
  EXPECT_THAT(error(""), HasSubstr("boxes.csv:2: image 'gone.png': no file"));
  Write("photos/bad.png", "no image");
  Write("boxes.csv", absl::StrCat(kHeader, "bad.png,1,2,3,4,cat\n"));
  EXPECT_THAT(error(""), HasSubstr("photos/bad.png: "));
  WriteImage("a.png", 40, 30);
  Write("boxes.csv", absl::StrCat(kHeader, "a.png,1,2,x,4,cat\n"));
  EXPECT_THAT(error(""), HasSubstr("boxes.csv:2: x1 is 'x'; want a number"));
  // Sizes stated: one look, at the first image.
  Write("boxes.csv", "image,width,height,x0,y0,x1,y1,label\ngone.png,40,30,1,2,3,4,cat\n");
  EXPECT_THAT(error(""), HasSubstr("correct table.images"));
}

TEST_F(TableTest, LeavesOutBadImagesWhereTheyAreCounted) {
  WriteImage("a.png", 40, 30);
  Write("photos/bad.png", "no image");
  Write("boxes.csv", absl::StrCat(kHeader,
                                  "gone.png,1,2,3,4,cat\n"
                                  "bad.png,1,2,3,4,cat\n"
                                  "a.png,1,2,3,4,cat\n"
                                  "bad.png,5,6,7,8,cat\n"));
  std::vector<int64_t> bad_images;
  DatasetContext context;
  context.bad_images = &bad_images;
  const auto dataset = Create("", context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT(bad_images, ElementsAre(0, 1));
  ASSERT_EQ((*dataset)->size(), 1);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->file_name, "a.png");
  EXPECT_EQ((*dataset)->GetAnnotations(0)->image_id, 3);
  EXPECT_FALSE(Create("").ok());

  // Where sizes are stated, a missing image is the loader's to count, the first as any other.
  Write("boxes.csv",
        "image,width,height,x0,y0,x1,y1,label\ngone.png,40,30,1,2,3,4,cat\n"
        "a.png,40,30,1,2,3,4,cat\n");
  bad_images.clear();
  const auto stated = Create("", context);
  ASSERT_TRUE(stated.ok()) << stated.status();
  EXPECT_EQ((*stated)->size(), 2);
  EXPECT_THAT(bad_images, IsEmpty());
  // A wrong folder is still told at once.
  std::filesystem::remove(root_ + "/photos/a.png");
  EXPECT_THAT(std::string(Create("", context).status().message()),
              HasSubstr("boxes.csv:2: image 'gone.png': no file"));
  EXPECT_THAT(bad_images, IsEmpty());
}

// Links in a ring, as a disk that fails: nobody can tell whether the file is there.
TEST_F(TableTest, AnImageThatCannotBeLookedForIsNotMissing) {
  WriteImage("a.png", 40, 30);
  std::filesystem::create_symlink("ring.png", root_ + "/photos/ring.png");
  Write("boxes.csv",
        "image,width,height,x0,y0,x1,y1,label\nring.png,40,30,1,2,3,4,cat\n"
        "a.png,40,30,1,2,3,4,cat\n");
  std::vector<int64_t> bad_images;
  DatasetContext context;
  context.bad_images = &bad_images;
  const absl::Status status = Create("", context).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("ring.png: cannot look for"));

  ProblemLog log;
  DatasetContext logging;
  logging.problems = &log;
  const auto dataset = Create("", logging);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 1);
  const std::vector<DataProblem> problems = log.Take();
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].kind, ProblemKind::kUnreadableImage);
  EXPECT_EQ(problems[0].file, root_ + "/photos/ring.png");
}

TEST_F(TableTest, ASubsetHoldsTheSameOtherImagesWithoutADamagedOne) {
  constexpr int kImages = 11;
  std::string table = kHeader;
  for (int i = 0; i < kImages; ++i) {
    WriteImage(absl::StrCat(i, ".png"), 40, 30);
    absl::StrAppend(&table, i, ".png,0,0,9,9,cat\n");
  }
  Write("boxes.csv", table);
  struct Part {
    std::vector<std::string> images;
    std::vector<int64_t> bad_images;
  };
  const auto part = [this](const std::string& subset, ProblemLog* problems) {
    DatasetConfig config;
    config.mutable_table()->set_file(root_ + "/boxes.csv");
    config.mutable_table()->set_images(root_ + "/photos");
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(subset, config.mutable_subset()));
    Part result;
    DatasetContext context;
    context.problems = problems;
    context.bad_images = &result.bad_images;
    const auto dataset = CreateDataset(config, context);
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    if (!dataset.ok()) return result;
    for (int64_t i = 0; i < (*dataset)->size(); ++i) {
      result.images.push_back((*dataset)->GetAnnotations(i)->file_name);
    }
    return result;
  };
  const std::vector<std::string> subsets = {"to: 0.5", "from: 0.5", "to: 0.5 shuffle_seed: 7",
                                            "from: 0.5 shuffle_seed: 7"};
  std::vector<Part> whole;
  for (const std::string& subset : subsets) whole.push_back(part(subset, nullptr));

  for (int damaged = 0; damaged < kImages; ++damaged) {
    SCOPED_TRACE(damaged);
    const std::string name = absl::StrCat(damaged, ".png");
    std::filesystem::resize_file(root_ + "/photos/" + name, 0);
    std::vector<size_t> bad;  // images of each part
    for (size_t i = 0; i < subsets.size(); ++i) {
      SCOPED_TRACE(subsets[i]);
      const Part rest = part(subsets[i], nullptr);
      bad.push_back(rest.bad_images.size());
      // `check`, which records faults, sees what a run sees.
      ProblemLog log;
      const Part checked = part(subsets[i], &log);
      EXPECT_EQ(checked.images, rest.images);
      EXPECT_EQ(checked.bad_images, rest.bad_images);
      EXPECT_EQ(log.Take().size(), 1u);
      std::vector<std::string> images = rest.images;
      for (const int64_t place : rest.bad_images) images.insert(images.begin() + place, name);
      EXPECT_EQ(images, whole[i].images);
    }
    EXPECT_EQ(bad[0] + bad[1], 1u);
    EXPECT_EQ(bad[2] + bad[3], 1u);
    WriteImage(name, 40, 30);
  }

  // A part of nothing but damaged images is none.
  for (int i = 0; i < 2; ++i) {
    std::filesystem::resize_file(absl::StrCat(root_, "/photos/", i, ".png"), 0);
  }
  DatasetConfig config;
  config.mutable_table()->set_file(root_ + "/boxes.csv");
  config.mutable_table()->set_images(root_ + "/photos");
  config.mutable_subset()->set_to(0.2);
  std::vector<int64_t> bad_images;
  DatasetContext context;
  context.bad_images = &bad_images;
  EXPECT_THAT(std::string(CreateDataset(config, context).status().message()),
              HasSubstr("none of its 2 images could be read"));
}

TEST_F(TableTest, RecordsProblemsAndGoesOn) {
  WriteImage("a.png", 40, 30);
  Write("photos/bad.png", "no image");
  Write("boxes.csv", absl::StrCat(kHeader,
                                  "a.png,1,2,3,4,cat\n"
                                  "gone.png,1,2,3,4,cat\n"
                                  "gone.png,5,6,7,8,cat\n"
                                  "bad.png,1,2,3,4,cat\n"
                                  "a.png,1,2,3,four,cat\n"
                                  "a.png,9,2,3,4,cat\n"));
  ProblemLog log;
  DatasetContext context;
  context.problems = &log;
  const auto dataset = Create("", context);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 1);
  EXPECT_EQ((*dataset)->GetAnnotations(0)->objects.size(), 1u);
  struct Expected {
    ProblemKind kind;
    std::string file;
    int64_t line;
  };
  const std::vector<Expected> expected = {
      {ProblemKind::kUnreadableAnnotation, "/boxes.csv", 6},
      {ProblemKind::kMissingImage, "/boxes.csv", 3},
      {ProblemKind::kUnreadableImage, "/photos/bad.png", 0},
      {ProblemKind::kBoxInverted, "/boxes.csv", 7},
  };
  const std::vector<DataProblem> problems = log.Take();
  ASSERT_EQ(problems.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(problems[i].kind, expected[i].kind) << problems[i].message;
    EXPECT_EQ(problems[i].file, root_ + expected[i].file);
    EXPECT_EQ(problems[i].line, expected[i].line);
    EXPECT_EQ(problems[i].severity, Severity::kError);
  }
}

// Enough images for several threads, each of another size.
TEST_F(TableTest, KeepsTheOrderOfManyImages) {
  constexpr int kImages = 900;
  std::string table = kHeader;
  for (int i = 0; i < kImages; ++i) {
    const std::string name = absl::StrCat((i * 7) % kImages, ".ppm");
    // Not Write, which waits for the disk.
    std::ofstream(root_ + "/photos/" + name) << "P6\n"
                                             << i + 1 << " 1\n255\n"
                                             << std::string(3 * (i + 1), 'x');
    absl::StrAppend(&table, name, ",0,0,", i + 1, ",1,cat\n");
  }
  Write("boxes.csv", table);
  const auto dataset = Create("");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), kImages);
  for (int i = 0; i < kImages; ++i) {
    const auto truth = (*dataset)->GetAnnotations(i);
    ASSERT_EQ(truth->file_name, absl::StrCat((i * 7) % kImages, ".ppm"));
    ASSERT_EQ(truth->size.width, i + 1);
    ASSERT_EQ(truth->objects[0].box.x1, i + 1);
  }
}

}  // namespace
}  // namespace ssd
