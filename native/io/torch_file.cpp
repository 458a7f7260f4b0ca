#include "io/torch_file.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <caffe2/serialize/inline_container.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <torch/csrc/jit/serialization/unpickler.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "io/pickle_filter.h"
#include "io/refuse.h"
#include "ops/error.h"

namespace eam::io {

namespace {

using caffe2::serialize::PyTorchStreamReader;

// How many bytes a zip archive has; what else the file is by its first ones. Without std::filesystem, which the oldest
// C++ library that the addon runs with does not have.
uint64_t size_of_zip(const std::string& path) {
  // O_NONBLOCK: opening a pipe would wait for somebody to write into it. It changes nothing for a file.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) refuse(std::string("opening failed: ") + std::strerror(errno));
  struct stat status{};
  std::string head(16, '\0');
  const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  const ssize_t count = regular ? ::pread(descriptor, head.data(), head.size(), 0) : 0;
  const int error = errno;
  ::close(descriptor);
  if (!regular) refuse("is not a regular file");
  if (count < 0) refuse(std::string("reading failed: ") + std::strerror(error));
  head.resize(static_cast<size_t>(count));
  if (head.starts_with("PK\x03\x04")) return static_cast<uint64_t>(status.st_size);
  if (head.empty()) refuse("it is empty");
  if (head.size() > 8 && head[8] == '{') refuse("it is a safetensors file, which needs no conversion");
  if (head.starts_with('\x80')) {
    refuse(
        "it is a bare pickle, as torch.save wrote before PyTorch 1.6, and none is read here. If you trust it, save "
        "it again in Python: torch.save(torch.load(path, weights_only=True), path)");
  }
  if (head.starts_with("version https://")) {
    refuse("it is a pointer of Git LFS, not the file itself; fetch that with git lfs pull");
  }
  refuse("it is no file of torch.save, which is a zip archive; perhaps a page was saved in its place");
}

// The records of the archive. One that says it is longer than the file is compressed, which torch.save never does, and
// could fill the memory.
class Archive {
 public:
  explicit Archive(const std::string& path) : size_(size_of_zip(path)), left_(size_), reader_(path) {}

  bool has(const std::string& name) { return reader_.hasRecord(name); }

  std::string text(const std::string& name) {
    const auto [data, size] = record(name);
    return std::string(static_cast<const char*>(data.get()), size);
  }

  // Several tensors may share one.
  at::DataPtr storage(const std::string& key) {
    std::shared_ptr<at::DataPtr>& held = storages_[key];
    if (!held) {
      auto [data, size] = record("data/" + key);
      sizes_[data.get()] = size;
      held = std::make_shared<at::DataPtr>(std::move(data));
    }
    return {held->get(), new std::shared_ptr<at::DataPtr>(held),
            [](void* shared) { delete static_cast<std::shared_ptr<at::DataPtr>*>(shared); }, at::kCPU};
  }

  // The tensor with memory in order; its bytes lie within the storage that it names.
  at::Tensor checked(const std::string& name, const at::Tensor& tensor) {
    const auto fail = [&](const std::string& why) { refuse("its tensor '" + name + "' " + why); };
    const auto found = sizes_.find(tensor.storage().data());
    const auto available = found == sizes_.end() ? int64_t{0} : static_cast<int64_t>(found->second);
    int64_t count = 1, last = tensor.storage_offset();
    bool overflow = last < 0, empty = false;
    for (int64_t i = 0; i < tensor.dim(); ++i) {
      const int64_t size = tensor.sizes()[i], stride = tensor.strides()[i];
      int64_t reach = 0;
      if (size < 0 || stride < 0) fail("has a negative size or stride");
      empty = empty || size == 0;
      overflow = overflow || (size > 1 && __builtin_mul_overflow(size - 1, stride, &reach)) ||
                 __builtin_add_overflow(last, reach, &last) ||
                 (size > 1 && __builtin_mul_overflow(count, size, &count));
    }
    if (empty) return at::empty(tensor.sizes(), tensor.options());
    const auto item = static_cast<int64_t>(tensor.element_size());
    if (overflow || last >= available / item) {
      std::ostringstream message;
      message << "has shape " << tensor.sizes() << ", and its storage " << available
              << " bytes, which do not hold it; the file was cut short or damaged";
      fail(message.str());
    }
    const at::ScalarType type = tensor.scalar_type();
    const bool narrow = type == at::kBool || type == at::kChar || type == at::kShort;
    if (tensor.is_contiguous() && !narrow) return tensor.detach();
    // Copies of one element, over and over, could fill the memory.
    if (count > available / item) fail("repeats elements of its storage; save a copy of it, tensor.clone()");
    copied_ += count * static_cast<int64_t>(narrow ? sizeof(int32_t) : static_cast<size_t>(item));
    if (copied_ > 8 * static_cast<int64_t>(size_)) refuse("its tensors share storages too often; save copies of them");
    return narrow ? tensor.detach().to(at::kInt).contiguous() : tensor.detach().contiguous();
  }

 private:
  std::tuple<at::DataPtr, size_t> record(const std::string& name) {
    if (!has(name)) refuse("it has no record " + name + "; it was damaged, or another program wrote it");
    const size_t size = reader_.getRecordSize(name);
    if (size > left_) {
      refuse("its record " + name + " says it has " + std::to_string(size) +
             " bytes, more than the file has left; "
             "torch.save does not compress");
    }
    left_ -= size;
    return reader_.getRecord(name);
  }

  const uint64_t size_;
  uint64_t left_;
  PyTorchStreamReader reader_;
  std::map<std::string, std::shared_ptr<at::DataPtr>> storages_;
  std::map<const void*, size_t> sizes_;
  int64_t copied_ = 0;
};

c10::IValue unpickle(const std::string& pickle, Archive& archive) {
  size_t at = 0;
  const auto read = [&](char* buffer, size_t size) {
    const size_t count = std::min(size, pickle.size() - at);
    std::memcpy(buffer, pickle.data() + at, count);  // NOLINT(bugprone-not-null-terminated-result): bytes, no string
    at += count;
    return count;
  };
  const auto no_class = [](const c10::QualifiedName& name) -> c10::StrongTypePtr {
    refuse("it asks for the class " + name.qualifiedName());
  };
  torch::jit::Unpickler unpickler(
      read, no_class, torch::jit::ObjLoader(nullptr), [&](const std::string& key) { return archive.storage(key); },
      at::Device(at::kCPU));
  return unpickler.parse_ivalue();
}

void collect(const c10::Dict<c10::IValue, c10::IValue>& dict, const std::string& prefix, Archive& archive,
             NamedTensors& tensors) {
  for (const auto& item : dict) {
    const c10::IValue& key = item.key();
    const std::string name = prefix + (key.isString() ? key.toStringRef() : std::to_string(key.toInt()));
    if (item.value().isTensor()) tensors.emplace_back(name, archive.checked(name, item.value().toTensor()));
    if (item.value().isGenericDict()) collect(item.value().toGenericDict(), name + ".", archive, tensors);
  }
}

NamedTensors read(const std::string& path) {
  Archive archive(path);
  if (archive.has("constants.pkl")) {
    refuse("it is a TorchScript program, not a dictionary of tensors; where it is a reward, use torchScript(path)");
  }
  if (!archive.has("data.pkl")) refuse("it is a zip archive, but not one of torch.save: it has no data.pkl");
  if (archive.has("byteorder") && archive.text("byteorder") != "little") {
    refuse("its numbers are big-endian; save it again on a machine that is little-endian");
  }
  NamedTensors tensors;
  collect(unpickle(plain_pickle(archive.text("data.pkl")), archive).toGenericDict(), "", archive, tensors);
  if (tensors.empty()) refuse("it holds no tensor");
  std::set<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    if (names.insert(name).second) continue;
    refuse("it holds two tensors called '" + name + "', once the dictionaries are joined by dots");
  }
  return tensors;
}

// Keeps what a reader can use of LibTorch's "[enforce fail at FILE:180] . PytorchStreamReader failed reading zip
// archive: …" and "CONDITION INTERNAL ASSERT FAILED at "FILE":554, please report a bug to PyTorch. Expected …".
std::string first_line(std::string text) {
  for (const std::string_view before : {"] . ", "please report a bug to PyTorch. "}) {
    const size_t at = text.find(before);
    if (at != std::string::npos) text = text.substr(at + before.size());
  }
  return text.substr(0, text.find('\n'));
}

}  // namespace

NamedTensors read_torch_file(const std::string& path) {
  const auto fail = [&](const std::string& why) { throw Error(ErrorKind::checkpoint, path + ": " + why); };
  try {
    return read(path);
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error& error) {
    fail("it was cut short or damaged: " + first_line(error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    fail(first_line(error.what()));
  }
  __builtin_unreachable();
}

}  // namespace eam::io
