#ifndef TESTS_FUZZ_MEMORY_FILE_H_
#define TESTS_FUZZ_MEMORY_FILE_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <string>

namespace ssd {

// A file in memory, for readers that want a path.
class MemoryFile {
 public:
  MemoryFile() : file_(memfd_create("fuzz", MFD_CLOEXEC)) {
    if (file_ < 0) std::abort();
  }
  ~MemoryFile() { close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  // Replaces the content.
  void Write(const void* data, size_t size) {
    if (ftruncate(file_, 0) != 0) std::abort();
    if (pwrite(file_, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  }

  // Of this process alone.
  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  const int file_;
};

}  // namespace ssd

#endif  // TESTS_FUZZ_MEMORY_FILE_H_
