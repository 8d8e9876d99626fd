#ifndef DATA_JPEG_FILE_H_
#define DATA_JPEG_FILE_H_

#include <csetjmp>
#include <cstddef>
#include <cstdio>
// libjpeg's header needs <cstdio> before it.
#include <jpeglib.h>

#include <opencv2/core.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/image_header.h"
#include "data/lazy_image.h"

namespace ssd {

// One JPEG in memory, decoded by libjpeg-turbo, whole or in part. Stored pixels, not turned. Prints
// nothing. A JPEG whose data ends early or does not decode is an error; harmless faults that
// libjpeg warns of (stray bytes between markers, an odd JFIF version) are not.
//
// libjpeg reports errors by longjmp, so nothing between setjmp and there may have a destructor:
// hence plain pointers, and a class that frees libjpeg's memory.
class JpegReader {
 public:
  // `bytes` and `name`, which stands in messages, outlive the reader.
  JpegReader(absl::string_view bytes, absl::string_view name);
  ~JpegReader();
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  // Once, first. \error DataLoss, ResourceExhausted for too many pixels, Internal without memory.
  absl::StatusOr<ImageHeader> ReadHeader();

  // Once, after ReadHeader: what ImageSource::DecodeRegion says, of stored pixels. Decodes the
  // blocks around the region alone; coefficients before them are read over, those after are not
  // looked at. An image in several scans (progressive), or arithmetically coded, is decoded whole.
  absl::StatusOr<DecodedRegion> ReadRegion(const cv::Rect& region, int max_reduction);

 private:
  // libjpeg's error manager, without output and without exit().
  struct Errors {
    jpeg_error_mgr manager;  // first: libjpeg knows the address of this alone
    std::jmp_buf on_error;
    char message[JMSG_LENGTH_MAX];
    bool data_lost;
    bool is_truncated;  // the first that was lost is the end

    static Errors& Of(j_common_ptr jpeg) { return *reinterpret_cast<Errors*>(jpeg->err); }
    static void Exit(j_common_ptr jpeg);
    static void Emit(j_common_ptr jpeg, int level);
    static void Print(j_common_ptr) {}
  };

  // Each is false after an error, whose message errors_ has.
  bool Create();
  bool Start();
  bool StartPixels();
  // Of each row, pixels [*first, *first + *columns) alone; moves *first to the left as it must.
  bool KeepColumns(JDIMENSION* first, JDIMENSION* columns);
  bool ReadRows(JDIMENSION first, JDIMENSION end, unsigned char* rows, size_t bytes_per_row);

  absl::Status Error() const;
  // The marker that ends an image. One that lacks it lacks rows, or comes from a broken program.
  bool HasEnd() const;

  const absl::string_view bytes_;
  const absl::string_view name_;
  jpeg_decompress_struct jpeg_;
  Errors errors_;
  bool created_ = false;
};

}  // namespace ssd

#endif  // DATA_JPEG_FILE_H_
