#include "io/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <set>

#include "ops/error.h"

namespace eam::io {

// Where a file is mapped, for the signal handler, which may take no lock: ranges are never freed, only used again.
struct MappedFile::Range {
  std::atomic<uintptr_t> begin = 0, end = 0;
  std::atomic<uintptr_t> lost = 0;  // the first byte that was not there; 0: all were
  std::atomic<bool> taken = true;
  Range* next = nullptr;
};

namespace {

std::atomic<uint64_t> losses = 0;
struct sigaction previous_action;

std::mutex live_mutex;
std::set<const MappedFile*> live_files;

size_t page_size() {
  static const auto size = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

template <class Range>
std::atomic<Range*>& ranges() {
  static std::atomic<Range*> first = nullptr;
  return first;
}

}  // namespace

MappedFile::Range* MappedFile::take_range() {
  for (Range* range = ranges<Range>().load(); range; range = range->next) {
    if (!range->taken.exchange(true)) return range;
  }
  auto* range = new Range;
  range->next = ranges<Range>().load();
  while (!ranges<Range>().compare_exchange_weak(range->next, range)) {
  }
  return range;
}

// The rest of the map from the page on becomes zeros: what is behind a cut is not there either.
void MappedFile::on_bus_error(int, void* info, void*) {
  const int error = errno;
  const auto address = reinterpret_cast<uintptr_t>(static_cast<siginfo_t*>(info)->si_addr);
  for (Range* range = ranges<Range>().load(); range; range = range->next) {
    const uintptr_t end = range->end;
    if (address < range->begin || address >= end) continue;
    const uintptr_t page = address & ~(page_size() - 1);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): of an address that the processor gave
    void* zeros = ::mmap(reinterpret_cast<void*>(page), end - page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED) break;
    uintptr_t lost = range->lost;
    while ((lost == 0 || page < lost) && !range->lost.compare_exchange_weak(lost, page)) {
    }
    losses.fetch_add(1);
    errno = error;
    return;
  }
  // Not ours: it happens again, and meets whoever handled it before.
  ::sigaction(SIGBUS, &previous_action, nullptr);
  errno = error;
}

void MappedFile::catch_bus_errors() {
  static std::once_flag once;
  std::call_once(once, [] {
    page_size();
    struct sigaction action{};
    action.sa_sigaction = [](int signal, siginfo_t* info, void* context) { on_bus_error(signal, info, context); };
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &previous_action);
  });
}

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path, int descriptor, size_t size) {
  catch_bus_errors();
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0);
  if (data == MAP_FAILED) return nullptr;
  const int own = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, own, static_cast<std::byte*>(data), size, take_range()));
}

MappedFile::MappedFile(std::string path, int descriptor, std::byte* data, size_t size, Range* range)
    : path_(std::move(path)), descriptor_(descriptor), data_(data), size_(size), range_(range) {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  range_->lost = 0;
  range_->begin = begin;
  range_->end = begin + size;
  const std::lock_guard lock(live_mutex);
  live_files.insert(this);
}

MappedFile::~MappedFile() {
  {
    const std::lock_guard lock(live_mutex);
    live_files.erase(this);
  }
  range_->end = 0;
  range_->begin = 0;
  range_->taken = false;
  ::munmap(data_, size_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

// Maps the file again where pages were lost. Without a descriptor they stay zeros, and lost.
void MappedFile::look_again() const {
  const uintptr_t lost = range_->lost;
  if (lost == 0 || descriptor_ < 0) return;
  const auto begin = reinterpret_cast<uintptr_t>(data_);
  std::byte* place = data_ + (lost - begin);
  void* again = ::mmap(place, begin + size_ - lost, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED,
                       descriptor_, static_cast<off_t>(lost - begin));
  if (again != MAP_FAILED) range_->lost = 0;
}

LossWatch::LossWatch() : before_(losses) {}

void LossWatch::check() const {
  if (losses == before_) return;
  const std::lock_guard lock(live_mutex);
  std::string path = "a file of weights";
  for (const MappedFile* file : live_files) {
    if (file->range_->lost == 0) continue;
    path = file->path_;
    file->look_again();
  }
  throw Error(ErrorKind::checkpoint,
              path + " was cut short or became unreadable while it was in use; put the file back as it was");
}

}  // namespace eam::io
