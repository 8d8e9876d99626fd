#include "data/jpeg_file.h"

// jerror.h counts its codes by what jpeglib.h says.
#include <jerror.h>

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

constexpr absl::string_view kEndOfImage("\xff\xd9", 2);

// As Adobe stores CMYK: 255 is no ink. Files without Adobe's marker do not say; like Pillow and
// OpenCV, with which people look at their images, this takes them for Adobe's.
cv::Mat RgbOfInvertedCmyk(const cv::Mat& cmyk) {
  cv::Mat rgb(cmyk.size(), CV_8UC3);
  for (int y = 0; y < cmyk.rows; ++y) {
    const cv::Vec4b* const from = cmyk.ptr<cv::Vec4b>(y);
    cv::Vec3b* const to = rgb.ptr<cv::Vec3b>(y);
    for (int x = 0; x < cmyk.cols; ++x) {
      for (int c = 0; c < 3; ++c) {
        to[x][c] = static_cast<uint8_t>((from[x][c] * from[x][3] + 127) / 255);
      }
    }
  }
  return rgb;
}

// The pixels of an image reduced by `reduction` that show `region`.
cv::Rect Reduced(const cv::Rect& region, int reduction) {
  const cv::Point end((region.br().x + reduction - 1) / reduction,
                      (region.br().y + reduction - 1) / reduction);
  return cv::Rect(cv::Point(region.x / reduction, region.y / reduction), end);
}

}  // namespace

void JpegReader::Errors::Exit(j_common_ptr jpeg) {
  jpeg->err->format_message(jpeg, Of(jpeg).message);
  std::longjmp(Of(jpeg).on_error, 1);
}

void JpegReader::Errors::Emit(j_common_ptr jpeg, int level) {
  if (level >= 0 || Of(jpeg).data_lost) return;  // a trace message, or the first is kept
  switch (jpeg->err->msg_code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
      Of(jpeg).data_lost = true;
      Of(jpeg).is_truncated = jpeg->err->msg_code == JWRN_JPEG_EOF;
      jpeg->err->format_message(jpeg, Of(jpeg).message);
      break;
    default:  // all pixels are there
      break;
  }
}

JpegReader::JpegReader(absl::string_view bytes, absl::string_view name)
    : bytes_(bytes), name_(name) {
  jpeg_.err = jpeg_std_error(&errors_.manager);
  errors_.manager.error_exit = Errors::Exit;
  errors_.manager.emit_message = Errors::Emit;
  errors_.manager.output_message = Errors::Print;
  errors_.message[0] = '\0';
  errors_.data_lost = false;
  errors_.is_truncated = false;
  created_ = Create();
}

JpegReader::~JpegReader() {
  if (created_) jpeg_destroy_decompress(&jpeg_);
}

absl::StatusOr<ImageHeader> JpegReader::ReadHeader() {
  if (!created_ || !Start() || errors_.data_lost) return Error();
  ImageHeader header;
  header.stored = {static_cast<int64_t>(jpeg_.image_height),
                   static_cast<int64_t>(jpeg_.image_width)};
  SSD_RETURN_IF_ERROR(CheckPixels(name_, header.stored));
  constexpr absl::string_view kExif("Exif\0\0", 6);
  for (auto marker = jpeg_.marker_list; marker != nullptr; marker = marker->next) {
    const absl::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (!absl::StartsWith(data, kExif)) continue;
    header.orientation = ExifOrientation(data.substr(kExif.size()));
    break;
  }
  return header;
}

absl::StatusOr<DecodedRegion> JpegReader::ReadRegion(const cv::Rect& region, int max_reduction) {
  DecodedRegion decoded;
  constexpr int kLargestReduction = 8;  // a block is one pixel then
  while (2 * decoded.reduction <= std::min(max_reduction, kLargestReduction)) {
    decoded.reduction *= 2;
  }
  const bool is_cmyk = jpeg_.jpeg_color_space == JCS_CMYK || jpeg_.jpeg_color_space == JCS_YCCK;
  jpeg_.out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_.scale_num = 1;
  jpeg_.scale_denom = static_cast<unsigned>(decoded.reduction);
  const bool ends = HasEnd();
  if (!StartPixels()) return Error();

  const cv::Rect whole(0, 0, static_cast<int>(jpeg_.output_width),
                       static_cast<int>(jpeg_.output_height));
  const cv::Rect wanted = Reduced(region, decoded.reduction);
  const bool reads_whole = jpeg_has_multiple_scans(&jpeg_) || jpeg_.arith_code;
  cv::Rect read = reads_whole ? whole : wanted;
  if (read != whole && !ends) return TruncatedImageError(name_, "JPEG", bytes_);
  // Where two steps of reduced colour remain, libjpeg-turbo before 3.0 counts kept columns wrong.
  const bool can_keep_columns = decoded.reduction == 1 || jpeg_.max_h_samp_factor <= 2;
  if (!can_keep_columns) {
    read.x = 0;
    read.width = whole.width;
  }
  if (read.width < whole.width) {
    // Colour of lower resolution is interpolated between neighbours: next to where columns are left
    // out, pixels are others than in the whole image. These are decoded, and left out too.
    constexpr int kMargin = 4;
    const int left = std::max(0, read.x - kMargin);
    const int right = std::min(whole.width, read.br().x + kMargin);
    auto first = static_cast<JDIMENSION>(left);
    auto columns = static_cast<JDIMENSION>(right - left);
    if (!KeepColumns(&first, &columns)) return Error();
    read.x = static_cast<int>(first);
    read.width = static_cast<int>(columns);
  }
  cv::Mat pixels(read.size(), is_cmyk ? CV_8UC4 : CV_8UC3);
  if (!ReadRows(static_cast<JDIMENSION>(read.y), static_cast<JDIMENSION>(read.br().y), pixels.data,
                pixels.step) ||
      errors_.data_lost) {
    return Error();
  }
  pixels = pixels(wanted - read.tl());
  decoded.pixels = is_cmyk ? RgbOfInvertedCmyk(pixels) : pixels;
  decoded.area = cv::Rect(wanted.tl() * decoded.reduction, wanted.size() * decoded.reduction);
  return decoded;
}

bool JpegReader::Create() {
  if (setjmp(errors_.on_error) != 0) return false;
  jpeg_create_decompress(&jpeg_);
  return true;
}

bool JpegReader::Start() {
  if (setjmp(errors_.on_error) != 0) return false;
  jpeg_mem_src(&jpeg_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
  constexpr int kLongestMarker = 0xffff;
  jpeg_save_markers(&jpeg_, JPEG_APP0 + 1, kLongestMarker);
  jpeg_read_header(&jpeg_, TRUE);
  return true;
}

bool JpegReader::StartPixels() {
  if (setjmp(errors_.on_error) != 0) return false;
  jpeg_start_decompress(&jpeg_);
  return true;
}

bool JpegReader::KeepColumns(JDIMENSION* first, JDIMENSION* columns) {
  if (setjmp(errors_.on_error) != 0) return false;
  jpeg_crop_scanline(&jpeg_, first, columns);
  return true;
}

bool JpegReader::ReadRows(JDIMENSION first, JDIMENSION end, unsigned char* rows,
                          size_t bytes_per_row) {
  if (setjmp(errors_.on_error) != 0) return false;
  if (first > 0) jpeg_skip_scanlines(&jpeg_, first);
  while (jpeg_.output_scanline < end) {
    JSAMPROW row = rows + bytes_per_row * (jpeg_.output_scanline - first);
    jpeg_read_scanlines(&jpeg_, &row, 1);
  }
  if (end == jpeg_.output_height) jpeg_finish_decompress(&jpeg_);
  return true;
}

absl::Status JpegReader::Error() const {
  if (errors_.manager.msg_code == JERR_OUT_OF_MEMORY) return OutOfMemoryError(name_);
  if (errors_.is_truncated) return TruncatedImageError(name_, "JPEG", bytes_);
  return CorruptImageError(name_, errors_.message);
}

bool JpegReader::HasEnd() const {
  // From the end: a thumbnail before the image has a mark of its own.
  return absl::string_view(reinterpret_cast<const char*>(jpeg_.src->next_input_byte),
                           jpeg_.src->bytes_in_buffer)
             .rfind(kEndOfImage) != absl::string_view::npos;
}

}  // namespace ssd
