#ifndef DATA_IMAGE_TESTING_H_
#define DATA_IMAGE_TESTING_H_

#include <cstdint>
#include <cstdio>
// libjpeg's header needs <cstdio> before it.
#include <jpeglib.h>

#include <opencv2/core.hpp>
#include <string>
#include <vector>

namespace ssd {

// Image files for tests, made in memory. Images are RGB unless said otherwise.

// Smooth, so that JPEG keeps it nearly; no two corners and no two channels alike.
cv::Mat Gradient(int width, int height);

// Red and blue exchanged.
cv::Mat Swapped(const cv::Mat& image);

// `image` as OpenCV keeps it (BGR), encoded by OpenCV.
std::string Encode(const char* extension, const cv::Mat& image,
                   const std::vector<int>& parameters = {});

struct JpegForm {
  J_COLOR_SPACE stored = JCS_YCbCr;
  // Samples of brightness for one of colour, on each axis: 2 and 2 are 4:2:0.
  int across = 1;
  int down = 1;
  bool progressive = false;
  int restart_rows = 0;  // rows of blocks between restart markers; 0: no markers
  int quality = 95;
  bool adobe_marker = true;  // of CMYK and YCCK
};

// By libjpeg: of one channel, RGB or CMYK.
std::string Jpeg(const cv::Mat& pixels, const JpegForm& form);
std::string Jpeg(const cv::Mat& rgb);

// An unsigned number of `size` bytes.
std::string Integer(uint32_t value, int size, bool little);

// A TIFF structure whose 0th IFD has two tags: ImageWidth and Orientation.
std::string Tiff(int orientation, bool little);

std::string WithExif(const std::string& jpeg, const std::string& tiff);

std::string PngChunk(const std::string& type, const std::string& data);

// With `chunk` after the header.
std::string WithPngChunk(const std::string& png, const std::string& chunk);

// A PNG of one row. `tables` are chunks before its pixels, which are stored as they are.
std::string PngRow(int width, int bits, int color, const std::string& tables,
                   const std::string& pixels);

// Less than 100 bytes that announce a PNG of so many pixels.
std::string PngWithoutPixels(uint32_t width, uint32_t height);

// What an animation begins with.
std::string AnimatedWebP(uint32_t width, uint32_t height);
std::string AnimatedGif();

// 1e9 for images of different size or type.
double LargestDifference(const cv::Mat& a, const cv::Mat& b);

}  // namespace ssd

#endif  // DATA_IMAGE_TESTING_H_
