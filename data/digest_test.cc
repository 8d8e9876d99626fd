#include "data/digest.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "ssd/core/annotations.h"

namespace ssd {
namespace {

Annotations OneObject() {
  Annotations annotations;
  annotations.image_id = 42;
  annotations.file_name = "a.jpg";
  annotations.size = {480, 640};
  Annotation object;
  object.box = {1.5, 2.25, 100, 200};
  object.label = 3;
  object.crowd = true;
  object.area = 1234.5;
  object.id = 7;
  annotations.objects = {object};
  return annotations;
}

// The first two are from Noll's table of test vectors (http://www.isthe.com/chongo/tech/comp/fnv):
// of no bytes, and of the eight of "chongo w". The others are of the bytes that are documented, by
// an FNV-1a in Python. Saved fingerprints must not change.
TEST(DigestTest, IsFnv1a) {
  EXPECT_EQ(Digest().Hex(), "cbf29ce484222325");
  int64_t eight_letters = 0;  // the first in the lowest byte
  const std::string letters = "chongo w";
  for (auto letter = letters.rbegin(); letter != letters.rend(); ++letter) {
    eight_letters = eight_letters * 256 + *letter;
  }
  EXPECT_EQ(Digest().AddInteger(eight_letters).Hex(), "d1edd10b507344d0");
  EXPECT_EQ(Digest().AddInteger(-1).Hex(), "8cf51a8bfca3883d");
  EXPECT_EQ(Digest().AddNumber(0.1).Hex(), "4fa09cc0eec310c4");
  EXPECT_EQ(Digest().AddBytes("").Hex(), "a8c7f832281a39c5");
  EXPECT_EQ(Digest().AddBytes("foobar").Hex(), "b277229a2d9d19f2");
  EXPECT_EQ(Digest().AddLabels({{"cat", "dog"}, {17, 18}}).Hex(), "5d410db9e8300980");
  EXPECT_EQ(Digest().AddAnnotations(OneObject()).Hex(), "e6ff81986e96eff3");
}

TEST(DigestTest, TellsWhereAStringEnds) {
  EXPECT_NE(Digest().AddBytes("ab").AddBytes("c").Hex(),
            Digest().AddBytes("a").AddBytes("bc").Hex());
  EXPECT_NE(Digest().AddBytes("a").Hex(), Digest().AddBytes("a").AddBytes("").Hex());
}

TEST(DigestTest, SeesEveryChangeOfATruth) {
  const std::vector<std::function<void(Annotations&)>> changes = {
      [](Annotations&) {},
      [](Annotations& image) { image.image_id = 43; },
      [](Annotations& image) { image.file_name = "b.jpg"; },
      [](Annotations& image) {
        image.size = {640, 480};
      },
      [](Annotations& image) { image.objects.clear(); },
      [](Annotations& image) { image.objects.push_back(image.objects[0]); },
      [](Annotations& image) { image.objects[0].box.x0 += 1e-12; },
      [](Annotations& image) { image.objects[0].box.y0 = -2.25; },
      [](Annotations& image) { image.objects[0].box.x1 = 101; },
      [](Annotations& image) { image.objects[0].box.y1 = 201; },
      [](Annotations& image) { image.objects[0].label = 2; },
      [](Annotations& image) { image.objects[0].crowd = false; },
      [](Annotations& image) { image.objects[0].difficult = true; },
      [](Annotations& image) { image.objects[0].area = 1234; },
      [](Annotations& image) { image.objects[0].id = 8; },
  };
  std::set<std::string> digests;
  for (const auto& change : changes) {
    Annotations image = OneObject();
    change(image);
    digests.insert(Digest().AddAnnotations(image).Hex());
  }
  EXPECT_EQ(digests.size(), changes.size());

  // Where an object stands in its file is not what it is.
  Annotations moved = OneObject();
  moved.objects[0].line = 9;
  EXPECT_EQ(Digest().AddAnnotations(moved).Hex(), Digest().AddAnnotations(OneObject()).Hex());
}

}  // namespace
}  // namespace ssd
