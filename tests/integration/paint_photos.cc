// Paints photos for own_data_test.sh: paint_photos FOLDER writes 0001.jpg to 0012.jpg there and
// prints, for those that docs/own_data.md does not name, lines of its table.

#include <cstdint>
#include <cstdio>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>

#include "absl/strings/str_format.h"

int main(int argc, char** argv) {
  constexpr int kPhotos = 12, kNamedByThePage = 3;
  constexpr int kWidth = 640, kHeight = 480;
  if (argc != 2) {
    std::fprintf(stderr, "usage: paint_photos FOLDER\n");
    return 2;
  }
  for (int i = 1; i <= kPhotos; ++i) {
    // Large patches in random colours, so that no two photos are alike.
    cv::RNG random(static_cast<uint64_t>(i));
    cv::Mat patches(6, 8, CV_8UC3), photo;
    random.fill(patches, cv::RNG::UNIFORM, 0, 256);
    cv::resize(patches, photo, cv::Size(kWidth, kHeight), 0, 0, cv::INTER_LINEAR);
    const cv::Rect dog(20 + 10 * i, 40 + 5 * i, 120, 90);
    const cv::Rect person(300 + 10 * i, 60, 100, 240 + 10 * i);
    cv::rectangle(photo, dog, cv::Scalar(30, 60, 120), cv::FILLED);
    cv::rectangle(photo, person, cv::Scalar(200, 120, 40), cv::FILLED);
    const std::string name = absl::StrFormat("%04d.jpg", i);
    if (!cv::imwrite(std::string(argv[1]) + "/" + name, photo)) return 1;
    if (i <= kNamedByThePage) continue;
    for (const cv::Rect& box : {dog, person}) {
      absl::PrintF("%s,%d,%d,%d,%d,%s\n", name, box.x, box.y, box.br().x, box.br().y,
                   box == dog ? "dog" : "person");
    }
  }
  return 0;
}
