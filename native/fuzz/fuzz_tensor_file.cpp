// Feeds native/io/tensor_file.cpp entries and files that no parser has checked: map_tensors and read_tensors must
// refuse with Error(checkpoint) or give exactly the file's bytes. Files are also cut short while they are mapped: what
// is read then must be the file's bytes or zeros, and LossWatch must tell. Meant to be built with
// EAM_SANITIZE=address,undefined.
//
//     fuzz_tensor_file SECONDS SEED
//
// Prints the number of executions; exits with 1, and says which, at the first one that is wrong.
#include <ATen/core/Tensor.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "io/mapped_file.h"
#include "io/tensor_file.h"
#include "ops/error.h"

namespace {

using eam::io::TensorEntry;

constexpr at::ScalarType kDtypes[] = {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16,
                                      at::kInt,   at::kLong,   at::kByte};
constexpr int64_t kOdd[] = {0,
                            1,
                            -1,
                            2,
                            7,
                            8,
                            9,
                            4095,
                            4096,
                            4097,
                            int64_t{1} << 31,
                            int64_t{1} << 32,
                            (int64_t{1} << 53) - 1,
                            int64_t{1} << 53,
                            int64_t{1} << 60,
                            int64_t{1} << 61,
                            std::numeric_limits<int64_t>::max() - 7,
                            std::numeric_limits<int64_t>::max(),
                            std::numeric_limits<int64_t>::min()};

class Fuzzer {
 public:
  explicit Fuzzer(uint64_t seed) : random_(seed) {
    // A file in memory: a disk would set the pace.
    descriptor_ = ::memfd_create("fuzz_tensor_file", MFD_CLOEXEC);
    if (descriptor_ < 0) throw std::runtime_error(std::string("no file in memory: ") + std::strerror(errno));
    path_ = "/proc/self/fd/" + std::to_string(descriptor_);
  }
  ~Fuzzer() { ::close(descriptor_); }

  // Whether both readings gave tensors.
  bool execute() {
    make_file();
    make_entries();
    for (int64_t change = below(4); change > 0; --change) mutate();
    write_file();
    const bool mapped = attempt(eam::io::map_tensors), read = attempt(eam::io::read_tensors);
    if (mapped != read) throw std::runtime_error("map_tensors and read_tensors disagree");
    if (below(8) == 0) cut_under_map();
    return mapped;
  }

 private:
  int64_t below(int64_t limit) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(limit)); }
  static int64_t moved(int64_t value, int64_t by) {  // past the end: from the other end
    return static_cast<int64_t>(static_cast<uint64_t>(value) + static_cast<uint64_t>(by));
  }
  int64_t odd() { return kOdd[below(std::size(kOdd))]; }

  void make_file() {
    const uint64_t header = static_cast<uint64_t>(below(64));
    // Around a page now and then: what lies behind a map's last page is not ours.
    const int64_t data = below(8) ? below(300) : 4096 - 8 - static_cast<int64_t>(header) + below(3) - 1;
    file_.assign(8 + header + static_cast<uint64_t>(data), 0);
    for (uint8_t& byte : file_) byte = static_cast<uint8_t>(random_());
    std::memcpy(file_.data(), &header, sizeof(header));
    data_begin_ = 8 + header;
  }

  // Neighbours that fill the data section as far as their element sizes allow.
  void make_entries() {
    entries_.clear();
    const auto size = static_cast<int64_t>(file_.size() - data_begin_);
    for (int64_t begin = 0; entries_.size() < 8;) {
      const at::ScalarType dtype = kDtypes[below(std::size(kDtypes))];
      const auto width = static_cast<int64_t>(c10::elementSize(dtype));
      const int64_t count = (size - begin) / width ? below((size - begin) / width + 1) : 0;
      std::vector<int64_t> shape{count};
      if (count % 2 == 0 && below(2)) shape = {2, count / 2};
      if (below(4) == 0) shape.push_back(1);
      entries_.push_back(
          {std::string("t") + std::to_string(entries_.size()), dtype, shape, begin, begin + count * width});
      begin += count * width;
    }
  }

  void mutate() {
    TensorEntry& entry = entries_[static_cast<size_t>(below(static_cast<int64_t>(entries_.size())))];
    switch (below(10)) {
      case 0:
        entry.begin = below(2) ? odd() : moved(entry.begin, below(17) - 8);
        break;
      case 1:
        entry.end = below(2) ? odd() : moved(entry.end, below(17) - 8);
        break;
      case 2:
        std::swap(entry.begin, entry.end);
        break;
      case 3:
        entry.dtype = kDtypes[below(std::size(kDtypes))];
        break;
      case 4:
        entry.shape.assign(static_cast<size_t>(below(80)), odd());
        break;
      case 5:
        entry.shape.insert(entry.shape.begin() + below(static_cast<int64_t>(entry.shape.size()) + 1), odd());
        break;
      case 6: {
        const int64_t move = below(2) ? odd() : below(16);
        entry.begin = moved(entry.begin, move);
        entry.end = moved(entry.end, move);
        break;
      }
      case 7:
        entries_.push_back(entry);
        break;
      case 8:
        file_.resize(static_cast<size_t>(below(static_cast<int64_t>(file_.size()) + 1)));
        break;
      case 9: {
        uint64_t header = below(2) ? static_cast<uint64_t>(odd()) : random_();
        if (below(2)) header = file_.size() - 8 + static_cast<uint64_t>(below(3)) - 1;
        if (file_.size() >= sizeof(header)) std::memcpy(file_.data(), &header, sizeof(header));
        break;
      }
    }
  }

  // What another process does that overwrites a file in place, or takes it away, and puts it back.
  void cut_under_map() {
    const auto page = ::sysconf(_SC_PAGESIZE);
    file_.assign(static_cast<size_t>(1 + below(5 * page)), 0);
    for (uint8_t& byte : file_) byte = static_cast<uint8_t>(random_());
    write_file();
    const auto size = static_cast<int64_t>(file_.size());
    const auto map = eam::io::MappedFile::open(path_, descriptor_, file_.size());
    if (!map) throw std::runtime_error("the temporary file cannot be mapped");
    const int64_t cut = below(size + 1);
    if (::ftruncate(descriptor_, cut) != 0) throw std::runtime_error("the temporary file cannot be cut");
    // The rest of a page that is there in part is zeros.
    const int64_t there = (cut + page - 1) / page * page;
    bool is_lost = false;
    const eam::io::LossWatch watch;
    for (int64_t reading = below(4); reading >= 0; --reading) {
      const int64_t begin = below(size), end = begin + 1 + below(size - begin);
      compare(*map, begin, end, cut);
      is_lost = is_lost || end > there;
    }
    if (tells_loss(watch) != is_lost) throw std::runtime_error("the watch is wrong about lost pages");
    write_file();
    const eam::io::LossWatch again;
    compare(*map, 0, size, size);
    if (tells_loss(again)) throw std::runtime_error("a file that was put back is still lost");
  }

  void compare(const eam::io::MappedFile& map, int64_t begin, int64_t end, int64_t cut) const {
    for (int64_t i = begin; i < end; ++i) {
      const auto expected = static_cast<std::byte>(i < cut ? file_[static_cast<size_t>(i)] : 0);
      if (map.data()[i] != expected) throw std::runtime_error("the map is wrong at byte " + std::to_string(i));
    }
  }

  static bool tells_loss(const eam::io::LossWatch& watch) {
    try {
      watch.check();
      return false;
    } catch (const eam::Error& error) {
      if (error.kind() != eam::ErrorKind::checkpoint) throw;
      return true;
    }
  }

  void write_file() {
    if (::ftruncate(descriptor_, 0) != 0 ||
        ::pwrite(descriptor_, file_.data(), file_.size(), 0) != static_cast<ssize_t>(file_.size())) {
      throw std::runtime_error(std::string("writing the temporary file failed: ") + std::strerror(errno));
    }
  }

  template <class Load>
  bool attempt(Load load) {
    eam::NamedTensors tensors;
    try {
      tensors = load(path_, entries_);
    } catch (const eam::Error& error) {
      if (error.kind() != eam::ErrorKind::checkpoint) throw;
      return false;
    }
    uint64_t header = 0;
    std::memcpy(&header, file_.data(), sizeof(header));
    if (tensors.size() != entries_.size()) throw std::runtime_error("a tensor is missing");
    for (size_t i = 0; i < tensors.size(); ++i) {
      const TensorEntry& entry = entries_[i];
      const at::Tensor copy = tensors[i].second.clone();  // LibTorch reads every byte
      const auto bytes = static_cast<uint64_t>(entry.end - entry.begin);
      if (copy.nbytes() != bytes || copy.sizes() != at::IntArrayRef(entry.shape) ||
          (bytes && std::memcmp(copy.const_data_ptr(), file_.data() + 8 + header + entry.begin, bytes) != 0)) {
        throw std::runtime_error("tensor " + std::to_string(i) + " is not what the file holds at bytes " +
                                 std::to_string(entry.begin) + " to " + std::to_string(entry.end));
      }
    }
    return true;
  }

  std::mt19937_64 random_;
  int descriptor_ = -1;
  std::string path_;
  std::vector<uint8_t> file_;
  uint64_t data_begin_ = 0;
  std::vector<TensorEntry> entries_;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 3 && count != 4) {
    std::fprintf(stderr, "usage: fuzz_tensor_file SECONDS SEED [EXECUTIONS]\n");
    return 2;
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(std::atof(arguments[1]));
  const uint64_t limit = count == 4 ? std::strtoull(arguments[3], nullptr, 10) : UINT64_MAX;
  const uint64_t seed = std::strtoull(arguments[2], nullptr, 10);
  uint64_t executions = 0, accepted = 0;
  try {
    Fuzzer fuzzer(seed);
    for (; executions < limit && std::chrono::steady_clock::now() < end; ++executions) accepted += fuzzer.execute();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "execution %llu of seed %llu: %s\n", static_cast<unsigned long long>(executions),
                 static_cast<unsigned long long>(seed), error.what());
    return 1;
  }
  std::printf("native: %llu executions, %llu accepted, %llu refused, seed %llu\n",
              static_cast<unsigned long long>(executions), static_cast<unsigned long long>(accepted),
              static_cast<unsigned long long>(executions - accepted), static_cast<unsigned long long>(seed));
  return 0;
}
