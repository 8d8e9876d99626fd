#ifndef EXPERIMENTS_TRACE_OPTIONS_H_
#define EXPERIMENTS_TRACE_OPTIONS_H_

#include <cstdint>
#include <string>

namespace ssd {

// Which truth to trace, and how.
struct TraceOptions {
  // IMAGE:BOX: the image's file name, its last part, or its id; the box's place among the image's
  // objects, from 0.
  std::string truth;
  std::string split = "train";  // or "validation": whose image it is
  int64_t epoch = 0;            // of random transforms; >= 0
  std::string weights;          // a model file; empty: the trace ends with the matching
  std::string device = "auto";
  int64_t threads = 0;
  // Longest side of a picture in pixels; in [32, 4096].
  int64_t tile = 400;
  // A folder for trace.png, made if it is not there; empty: no picture.
  std::string output;
};

}  // namespace ssd

#endif  // EXPERIMENTS_TRACE_OPTIONS_H_
