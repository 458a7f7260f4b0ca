#include "io/tensor_file.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <sstream>

#include "ops/error.h"

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

namespace eam::io {

namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw Error(ErrorKind::checkpoint, path + ": " + what);
}

[[noreturn]] void fail_with_errno(const std::string& path, const std::string& action, int error) {
  std::string message = action + ": " + std::strerror(error);
  if (error == ENOSPC) message += ". Free some space, or write to another disk";
  if (error == EDQUOT) message += ". Your quota on this disk is used up";
  fail(path, message);
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  // Some file systems report a failed write only here.
  int close() { return ::close(std::exchange(value_, -1)); }

 private:
  int value_;
};

class Map {
 public:
  Map(const std::string& path, int descriptor, size_t size) : size_(size) {
    data_ = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0);
    if (data_ == MAP_FAILED) fail_with_errno(path, "mapping into memory failed", errno);
  }
  ~Map() { ::munmap(data_, size_); }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  void* data_;
  size_t size_;
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

void sync_folder(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0) fail_with_errno(folder, "opening failed", errno);
  // Some file systems have nothing to sync in a folder and say so with EINVAL.
  if (::fsync(descriptor.get()) != 0 && errno != EINVAL) fail_with_errno(folder, "syncing failed", errno);
}

}  // namespace

NamedTensors map_tensors(const std::string& path, const std::vector<TensorEntry>& entries) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.get() < 0) fail_with_errno(path, "opening failed", errno);
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) fail_with_errno(path, "reading its size failed", errno);
  if (!S_ISREG(status.st_mode)) fail(path, "is not a regular file");
  const auto size = static_cast<uint64_t>(status.st_size);
  uint64_t header = 0;
  if (size < sizeof(header)) {
    fail(path, "has " + std::to_string(size) + " bytes, too few for a safetensors file; it was cut short or is of "
               "another kind");
  }
  const auto map = std::make_shared<Map>(path, descriptor.get(), size);
  std::memcpy(&header, map->data(), sizeof(header));
  if (header > size - sizeof(header)) {
    fail(path, "says its header has " + std::to_string(header) + " bytes, but the file has " + std::to_string(size) +
                   "; it was cut short or is of another kind");
  }
  const uint64_t data_begin = sizeof(header) + header, data_size = size - data_begin;

  NamedTensors tensors;
  for (const TensorEntry& entry : entries) {
    const int64_t bytes = byte_count(entry);
    if (entry.begin < 0 || entry.end < entry.begin || static_cast<uint64_t>(entry.end) > data_size) {
      std::ostringstream message;
      message << "tensor '" << entry.name << "' is at bytes " << entry.begin << " to " << entry.end
              << " of the data, which has " << data_size << "; the file was cut short or damaged";
      fail(path, message.str());
    }
    if (bytes != entry.end - entry.begin) {
      std::ostringstream message;
      message << "tensor '" << entry.name << "' has " << entry.end - entry.begin << " bytes, expected " << bytes
              << " for " << entry.dtype << " [";
      for (size_t i = 0; i < entry.shape.size(); ++i) message << (i ? ", " : "") << entry.shape[i];
      message << "]";
      fail(path, message.str());
    }
    std::byte* data = map->data() + data_begin + entry.begin;
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
  Descriptor descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (descriptor.get() < 0) fail_with_errno(path, "creating the file failed", errno);
  try {
    write_all(path, descriptor.get(), header.data(), header.size());
    for (const at::Tensor& tensor : tensors) {
      const at::Tensor host = tensor.detach().to(at::kCPU).contiguous();
      write_all(path, descriptor.get(), host.const_data_ptr(), host.nbytes());
    }
    if (::fsync(descriptor.get()) != 0) fail_with_errno(path, "syncing to disk failed", errno);
    if (descriptor.close() != 0) fail_with_errno(path, "closing failed", errno);
    sync_folder(path);
  } catch (...) {
    ::unlink(path.c_str());
    throw;
  }
}

}  // namespace eam::io
