#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"

// What Node's file system lacks.
namespace eam::addon {
namespace {

int open_at(const std::string& path, int access) {
  const int fd = open(path.c_str(), access | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) throw Error(ErrorKind::checkpoint, path + " cannot be opened: " + std::strerror(errno));
  return fd;
}

// Locks a descriptor for this process alone: 0, or errno. An exclusive lock is another run's. A shared one is that of
// is_locked, which lets go of it at once; a stranger who keeps one is not waited for.
int lock_exclusively(int fd) {
  for (int tries = 0; tries < 100; ++tries) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
    if (errno != EWOULDBLOCK || flock(fd, LOCK_SH | LOCK_NB) != 0) return errno;
    flock(fd, LOCK_UN);
    usleep(1000);
  }
  return EWOULDBLOCK;
}

// lockFile(path): a descriptor of the file, which is locked until that is closed or the process ends, however it ends;
// undefined where another descriptor has the lock. The file is made where there is none.
Napi::Value lock_file(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string path = to_string(info[0], "lockFile: path");
    // A file open for writing would keep its file system from being turned read-only; but NFS locks no other.
    int fd = open_at(path, O_RDONLY);
    int failure = lock_exclusively(fd);
    if (failure == EBADF) {
      close(fd);
      fd = open_at(path, O_RDWR);
      failure = lock_exclusively(fd);
    }
    // Where a file system knows no locks, nothing can be kept from others.
    if (failure != EWOULDBLOCK) return Napi::Number::New(info.Env(), fd);
    close(fd);
    return info.Env().Undefined();
  });
}

// isLocked(path): whether a descriptor has the lock of `lockFile`. The test makes no file. Where nobody has the lock,
// the test takes a shared one for a moment and lets go of it again.
Napi::Value is_locked(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string path = to_string(info[0], "isLocked: path");
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0) close(fd);
    return Napi::Boolean::New(info.Env(), held);
  });
}

}  // namespace

void define_file_lock(Napi::Env env, Napi::Object exports) {
  exports.Set("lockFile", Napi::Function::New<lock_file>(env, "lockFile"));
  exports.Set("isLocked", Napi::Function::New<is_locked>(env, "isLocked"));
}

}  // namespace eam::addon
