#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace eam::io {

// A private memory map of a whole file. Another process may cut the file short meanwhile: a page that is then read and
// is not there is zeros instead of the end of the process (SIGBUS), and counts as lost.
class MappedFile {
 public:
  // Maps an open file, whose descriptor stays the caller's; nullptr where its file system maps none.
  static std::shared_ptr<const MappedFile> open(const std::string& path, int descriptor, size_t size);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::byte* data() const { return data_; }

 private:
  struct Range;
  friend class LossWatch;

  MappedFile(std::string path, int descriptor, std::byte* data, size_t size, Range* range);
  void look_again() const;

  static Range* take_range();
  static void on_bus_error(int signal, void* info, void* context);
  static void catch_bus_errors();

  const std::string path_;
  const int descriptor_;
  std::byte* const data_;
  const size_t size_;
  Range* const range_;
};

// What is computed while one of these lives has read no lost page, or `check` throws.
class LossWatch {
 public:
  LossWatch();
  // Error(checkpoint) that names the file; what reads the page afterwards looks for it in the file again.
  void check() const;

 private:
  uint64_t before_;
};

}  // namespace eam::io
