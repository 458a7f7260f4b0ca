#include "io/tensor_file.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <sstream>
#include <utility>

#include "io/mapped_file.h"
#include "ops/error.h"

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

namespace eam::io {

namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw Error(ErrorKind::checkpoint, path + ": " + what);
}

[[noreturn]] void fail_with_errno(const std::string& path, const std::string& action, int error) {
  std::string message = action + ": " + std::strerror(error);
  if (error == ENOSPC) message += " (ENOSPC). Free some space, or write to another disk";
  if (error == EDQUOT) message += " (EDQUOT). Your quota on this disk is used up";
  if (error == EFBIG) message += " (EFBIG). The file system or `ulimit -f` allows no file of this size";
  fail(path, message);
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return value_; }
  // Some file systems report a failed write only here.
  int close() { return ::close(std::exchange(value_, -1)); }

 private:
  int value_;
};

// numel · itemsize, or −1 where it does not fit in 63 bits.
int64_t byte_count(const TensorEntry& entry) {
  auto bytes = static_cast<int64_t>(c10::elementSize(entry.dtype));
  bool empty = false;
  for (const int64_t size : entry.shape) {
    if (size < 0) return -1;
    empty = empty || size == 0;
    if (size > 0 && __builtin_mul_overflow(bytes, size, &bytes)) return -1;
  }
  return empty ? 0 : bytes;
}

void read_all(const std::string& path, int descriptor, uint64_t offset, void* data, size_t size) {
  auto* next = static_cast<std::byte*>(data);
  while (size > 0) {
    const ssize_t count =
        ::pread(descriptor, next, std::min<size_t>(size, size_t{1} << 30), static_cast<off_t>(offset));
    if (count < 0) {
      if (errno == EINTR) continue;
      fail_with_errno(path, "reading failed", errno);
    }
    if (count == 0) fail(path, "ends at byte " + std::to_string(offset) + ": it was cut short while it was being read");
    next += count;
    offset += static_cast<uint64_t>(count);
    size -= static_cast<size_t>(count);
  }
}

void write_all(const std::string& path, int descriptor, const void* data, size_t size) {
  const auto* next = static_cast<const std::byte*>(data);
  while (size > 0) {
    // Linux moves at most 2 GiB a call.
    const ssize_t written = ::write(descriptor, next, std::min<size_t>(size, size_t{1} << 30));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail_with_errno(path, "writing failed", errno);
    }
    next += written;
    size -= static_cast<size_t>(written);
  }
}

// A file that can hold the header it announces, whose length is read and not mapped: a map of a cut file kills.
struct OpenFile {
  Descriptor descriptor;
  uint64_t size, data_begin;
};

OpenFile open_file(const std::string& path) {
  // O_NONBLOCK: opening a pipe would wait for somebody to write into it. It changes nothing for a file.
  OpenFile file{Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), 0, 0};
  const int descriptor = file.descriptor.get();
  if (descriptor < 0) fail_with_errno(path, "opening failed", errno);
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) fail_with_errno(path, "reading its size failed", errno);
  if (!S_ISREG(status.st_mode)) fail(path, "is not a regular file");
  file.size = static_cast<uint64_t>(status.st_size);
  uint64_t header = 0;
  if (file.size < sizeof(header)) {
    fail(path, "has " + std::to_string(file.size) +
                   " bytes, too few for a safetensors file; it was cut short or is "
                   "of another kind");
  }
  read_all(path, descriptor, 0, &header, sizeof(header));
  if (header > file.size - sizeof(header)) {
    fail(path, "says its header has " + std::to_string(header) + " bytes, but the file has " +
                   std::to_string(file.size) + "; it was cut short or is of another kind");
  }
  file.data_begin = sizeof(header) + header;
  return file;
}

// The entry's bytes, which lie within the data section and are those of its shape.
size_t checked_bytes(const std::string& path, const OpenFile& file, const TensorEntry& entry) {
  const uint64_t data_size = file.size - file.data_begin;
  if (entry.begin < 0 || entry.end < entry.begin || static_cast<uint64_t>(entry.end) > data_size) {
    std::ostringstream message;
    message << "tensor '" << entry.name << "' is at bytes " << entry.begin << " to " << entry.end
            << " of the data, which has " << data_size << "; the file was cut short or damaged";
    fail(path, message.str());
  }
  const int64_t bytes = byte_count(entry);
  if (bytes != entry.end - entry.begin) {
    const std::string size = bytes < 0 ? "more bytes than any file has" : words(bytes, " bytes");
    throw bad_value(words(path, ": tensor '", entry.name, "'"),
                    words(size, " for ", entry.dtype, " ", at::IntArrayRef(entry.shape)), entry.end - entry.begin,
                    ErrorKind::checkpoint);
  }
  return static_cast<size_t>(bytes);
}

// A new file beside `path` that no other writer of the same path has: neither another process, nor another thread. What
// a killed one left behind is passed over, even if the process that comes to have its number is this one.
struct AsideFile {
  std::string path;
  Descriptor descriptor;
};

AsideFile create_aside(const std::string& path) {
  static std::atomic<uint64_t> count{0};
  for (;;) {
    std::string aside = path + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
    Descriptor descriptor(::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (descriptor.get() >= 0) return {std::move(aside), std::move(descriptor)};
    if (errno != EEXIST) fail_with_errno(path, "creating the file failed", errno);
  }
}

// Whether data did not reach the disk; other errors say that a file system has nothing to sync there.
bool is_failed_sync(int error) {
  return error == EIO || error == ENOSPC || error == EDQUOT || error == EFBIG || error == EROFS;
}

void sync_folder(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // A folder that may be written to and not read cannot be synced.
  if (descriptor.get() < 0) return;
  if (::fsync(descriptor.get()) != 0 && is_failed_sync(errno)) fail_with_errno(folder, "syncing failed", errno);
}

}  // namespace

NamedTensors read_tensors(const std::string& path, const std::vector<TensorEntry>& entries) {
  const OpenFile file = open_file(path);
  NamedTensors tensors;
  for (const TensorEntry& entry : entries) {
    const size_t bytes = checked_bytes(path, file, entry);
    at::Tensor tensor = at::empty(entry.shape, at::dtype(entry.dtype));
    if (bytes > 0) {
      read_all(path, file.descriptor.get(), file.data_begin + static_cast<uint64_t>(entry.begin),
               tensor.mutable_data_ptr(), bytes);
    }
    tensors.emplace_back(entry.name, std::move(tensor));
  }
  return tensors;
}

NamedTensors map_tensors(const std::string& path, const std::vector<TensorEntry>& entries) {
  const OpenFile file = open_file(path);
  const auto map = MappedFile::open(path, file.descriptor.get(), file.size);
  if (!map) return read_tensors(path, entries);
  NamedTensors tensors;
  for (const TensorEntry& entry : entries) {
    const size_t bytes = checked_bytes(path, file, entry);
    std::byte* data = map->data() + file.data_begin + entry.begin;
    if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(entry.dtype) == 0 && bytes > 0) {
      tensors.emplace_back(entry.name, at::from_blob(data, entry.shape, [map](void*) {}, at::dtype(entry.dtype)));
    } else {
      at::Tensor copy = at::empty(entry.shape, at::dtype(entry.dtype));
      if (bytes > 0) std::memcpy(copy.mutable_data_ptr(), data, bytes);
      tensors.emplace_back(entry.name, std::move(copy));
    }
  }
  return tensors;
}

void write_tensors(const std::string& path, const std::vector<uint8_t>& header,
                   const std::vector<at::Tensor>& tensors) {
  auto [aside, descriptor] = create_aside(path);
  try {
    write_all(path, descriptor.get(), header.data(), header.size());
    for (const at::Tensor& tensor : tensors) {
      const at::Tensor host = tensor.detach().to(at::kCPU).contiguous();
      write_all(path, descriptor.get(), host.const_data_ptr(), host.nbytes());
    }
    if (::fsync(descriptor.get()) != 0 && is_failed_sync(errno)) {
      fail_with_errno(path, "syncing to disk failed", errno);
    }
    if (descriptor.close() != 0) fail_with_errno(path, "closing failed", errno);
    if (::rename(aside.c_str(), path.c_str()) != 0) fail_with_errno(path, "renaming to it failed", errno);
  } catch (...) {
    ::unlink(aside.c_str());
    throw;
  }
  sync_folder(path);
}

}  // namespace eam::io
