#include "data/check/dataset_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "data/check/memory_dataset.h"
#include "data/check/network_view.h"
#include "ssd/core/annotations.h"
#include "ssd/core/geometry.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

using ::testing::ElementsAre;

Annotation Object(int64_t label, const PixelBox& box) {
  Annotation object;
  object.label = label;
  object.box = box;
  object.area = box.area();
  return object;
}

Annotations Image(ImageSize size, std::vector<Annotation> objects) {
  Annotations truth;
  truth.size = size;
  truth.objects = std::move(objects);
  return truth;
}

TEST(DatasetStatisticsTest, ClassesOfSizeAreCocos) {
  EXPECT_EQ(SizeClassOf(0), 0);
  EXPECT_EQ(SizeClassOf(1023.9), 0);
  EXPECT_EQ(SizeClassOf(1024), 1);
  EXPECT_EQ(SizeClassOf(9215.9), 1);
  EXPECT_EQ(SizeClassOf(9216), 2);
}

TEST(DatasetStatisticsTest, AspectRatiosAreInHalfOctaves) {
  EXPECT_DOUBLE_EQ(AspectRatioEdge(0), 0.125);
  EXPECT_DOUBLE_EQ(AspectRatioEdge(5), 0.70710678118654752);
  EXPECT_DOUBLE_EQ(AspectRatioEdge(6), 1);
  EXPECT_DOUBLE_EQ(AspectRatioEdge(12), 8);
  EXPECT_EQ(AspectRatioMiddle(0), -3.25);
  EXPECT_EQ(AspectRatioMiddle(7), 0.25);  // between 1 and the root of 2
  EXPECT_EQ(AspectRatioMiddle(13), 3.25);

  // A box on each edge and one far below, one far above.
  MemoryDataset dataset({"cat"});
  std::vector<Annotation> objects = {Object(1, {0, 0, 1, 100}), Object(1, {0, 0, 100, 1})};
  for (int edge = 0; edge <= 12; edge += 2) {
    objects.push_back(Object(1, {0, 0, 8 * AspectRatioEdge(edge), 8}));
  }
  dataset.Add(Image({100, 100}, objects));
  const auto statistics = ComputeDatasetStatistics(dataset, WarpedTo({100, 100}));
  ASSERT_TRUE(statistics.ok()) << statistics.status();
  EXPECT_THAT(statistics->all.original.aspect_ratios,
              ElementsAre(1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2));
}

TEST(DatasetStatisticsTest, CountsByClassAndSize) {
  MemoryDataset dataset({"cat", "dog", "bird"});
  Annotation difficult = Object(1, {0, 0, 20, 10});
  difficult.difficult = true;
  Annotation crowd = Object(2, {0, 0, 10, 10});
  crowd.crowd = true;
  // 300x300 is 1.5 times as wide and 3 times as high.
  dataset.Add(Image({100, 200}, {difficult, Object(2, {100, 0, 200, 100}), crowd}));
  dataset.Add(Image({100, 200}, {Object(1, {50, 40, 90, 80}), Object(1, {190, 90, 200, 100})}));
  dataset.Add(Image({50, 60}, {}));
  const auto result = ComputeDatasetStatistics(dataset, WarpedTo({300, 300}));
  ASSERT_TRUE(result.ok()) << result.status();

  EXPECT_EQ(result->images, 3);
  EXPECT_EQ(result->images_without_objects, 1);
  EXPECT_THAT(result->images_by_objects, ElementsAre(1, 0, 2));
  EXPECT_EQ(result->objects_per_image.median, 2);
  EXPECT_EQ(result->image_width.minimum, 60);
  EXPECT_EQ(result->image_height.maximum, 100);
  EXPECT_THAT(result->co_occurrence, ElementsAre(2, 1, 0, 1, 1, 0, 0, 0, 0));

  EXPECT_EQ(result->all.objects, 4);
  EXPECT_EQ(result->all.crowds, 1);
  EXPECT_EQ(result->all.difficult, 1);
  EXPECT_EQ(result->all.images, 2);
  EXPECT_THAT(result->all.original.sizes, ElementsAre(2, 1, 1));
  // 30x30, 150x300, 60x120, 15x30.
  EXPECT_THAT(result->all.view.sizes, ElementsAre(2, 1, 1));

  const ObjectStatistics& cat = result->classes[0];
  EXPECT_EQ(cat.name, "cat");
  EXPECT_EQ(cat.objects, 3);
  EXPECT_EQ(cat.images, 2);
  EXPECT_EQ(cat.difficult, 1);
  EXPECT_EQ(cat.original.width.minimum, 10);
  EXPECT_EQ(cat.original.width.median, 20);
  EXPECT_EQ(cat.original.width.maximum, 40);
  EXPECT_EQ(cat.view.height.maximum, 120);
  EXPECT_EQ(cat.view.area.median, 900);
  EXPECT_EQ(cat.positions[0 * kPositionCells + 0], 1);    // (10, 5) of 200x100
  EXPECT_EQ(cat.positions[9 * kPositionCells + 5], 1);    // (70, 60)
  EXPECT_EQ(cat.positions[15 * kPositionCells + 15], 1);  // (195, 95)

  const ObjectStatistics& dog = result->classes[1];
  EXPECT_EQ(dog.objects, 1);
  EXPECT_EQ(dog.crowds, 1);
  EXPECT_EQ(dog.original.area.mean, 10000);
  EXPECT_EQ(dog.view.width.mean, 150);
  EXPECT_EQ(result->classes[2].objects, 0);
  EXPECT_EQ(result->classes[2].original.width.count, 0);

  EXPECT_EQ(result->sizes[0].name, "small");
  EXPECT_EQ(result->sizes[0].objects, 2);
  EXPECT_EQ(result->sizes[0].crowds, 1);
  EXPECT_EQ(result->sizes[2].objects, 1);
}

TEST(DatasetStatisticsTest, QuantilesAreTheNearestRanks) {
  MemoryDataset dataset({"cat"});
  Random random(1, 0, 0);
  std::vector<int> widths(100);
  std::iota(widths.begin(), widths.end(), 1);
  for (size_t i = widths.size() - 1; i > 0; --i) {
    std::swap(widths[i], widths[random.Integer(0, static_cast<int64_t>(i))]);
  }
  for (const int width : widths) {
    dataset.Add(Image({500, 500}, {Object(1, {0, 0, static_cast<double>(width), 50})}));
  }
  const auto result = ComputeDatasetStatistics(dataset, WarpedTo({300, 300}));
  ASSERT_TRUE(result.ok()) << result.status();
  const Distribution& width = result->all.original.width;
  EXPECT_EQ(width.count, 100);
  EXPECT_DOUBLE_EQ(width.mean, 50.5);
  EXPECT_EQ(width.minimum, 1);
  EXPECT_EQ(width.percentile_5, 5);
  EXPECT_EQ(width.percentile_25, 25);
  EXPECT_EQ(width.median, 50);
  EXPECT_EQ(width.percentile_75, 75);
  EXPECT_EQ(width.percentile_95, 95);
  EXPECT_EQ(width.maximum, 100);
}

TEST(DatasetStatisticsTest, SumsAgree) {
  MemoryDataset dataset({"a", "b", "c"});
  Random random(2, 0, 0);
  for (int i = 0; i < 50; ++i) {
    Annotations image = Image({200, 300}, {});
    for (int64_t k = random.Integer(0, 8); k > 0; --k) {
      const double x = random.Uniform(0, 250), y = random.Uniform(0, 150);
      image.objects.push_back(Object(random.Integer(1, 3), {x, y, x + random.Uniform(1, 300 - x),
                                                            y + random.Uniform(1, 200 - y)}));
    }
    dataset.Add(image);
  }
  const auto result = ComputeDatasetStatistics(dataset, WarpedTo({300, 300}));
  ASSERT_TRUE(result.ok()) << result.status();
  const auto sum = [](const auto& counts) {
    return std::accumulate(counts.begin(), counts.end(), int64_t{0});
  };
  int64_t of_classes = 0, of_sizes = 0, of_images = 0;
  for (const ObjectStatistics& entry : result->classes) {
    of_classes += entry.objects;
    EXPECT_EQ(sum(entry.positions), entry.objects);
    EXPECT_EQ(sum(entry.original.aspect_ratios), entry.objects);
    EXPECT_EQ(sum(entry.view.sizes), entry.objects);
    EXPECT_EQ(entry.view.height.count, entry.objects);
  }
  for (const ObjectStatistics& entry : result->sizes) of_sizes += entry.objects;
  for (size_t i = 0; i < result->images_by_objects.size(); ++i) {
    of_images += static_cast<int64_t>(i) * result->images_by_objects[i];
  }
  EXPECT_EQ(of_classes, result->all.objects);
  EXPECT_EQ(of_sizes, result->all.objects);
  EXPECT_EQ(of_images, result->all.objects);
  EXPECT_EQ(sum(result->images_by_objects), 50);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(result->co_occurrence[i * 3 + i], result->classes[i].images);
    EXPECT_EQ(result->co_occurrence[i * 3 + (i + 1) % 3],
              result->co_occurrence[(i + 1) % 3 * 3 + i]);
  }
}

}  // namespace
}  // namespace ssd
