#include "nn/layers/stored_weights.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <sstream>

#include "ops/error.h"
#include "ops/float8.h"

namespace eam::nn {

StoredWeights::StoredWeights(std::string what, NamedTensors stored, std::optional<at::ScalarType> dtype,
                             at::Device device, FileName file_name)
    : what_(std::move(what)),
      stored_(std::make_move_iterator(stored.begin()), std::make_move_iterator(stored.end())),
      dtype_(dtype),
      device_(device),
      file_name_(std::move(file_name)) {}

std::vector<int64_t> StoredWeights::shape(const std::string& name) const {
  const auto found = stored_.find(name);
  return found == stored_.end() ? std::vector<int64_t>{} : found->second.sizes().vec();
}

at::Tensor StoredWeights::take(const std::string& name, at::IntArrayRef shape, std::optional<at::ScalarType> dtype,
                               at::Device device) {
  if (device_.is_meta()) {
    return taken_.emplace_back(name, at::empty(shape, at::device(device_).dtype(dtype.value_or(at::kFloat)))).second;
  }
  const auto found = stored_.find(name);
  std::optional<Error> problem;
  if (found == stored_.end()) {
    problem = missing_value(shown(name), words("shape ", shape));
  } else if (found->second.sizes() != shape) {
    problem = bad_shape(shown(name), words("shape ", shape), found->second.sizes());
  } else if (!found->second.is_floating_point()) {
    problem = bad_shape(shown(name), "a floating-point type", found->second.scalar_type());
  }
  at::Tensor value;
  if (!problem) {
    // Detached: training the network must not make its caller's tensors require gradients.
    value = found->second.detach().to(device, dtype.value_or(widened(found->second.scalar_type())));
    if (!value.is_alias_of(found->second)) copied_.insert(value.unsafeGetTensorImpl());
  } else {
    problems_.emplace_back(problem->what());
    // One number for all of it: a network of which much is missing needs no memory.
    value = at::zeros({}, at::device(device).dtype(dtype.value_or(at::kFloat))).expand(shape);
  }
  if (found != stored_.end()) stored_.erase(found);
  return taken_.emplace_back(name, std::move(value)).second;
}

void StoredWeights::replace(const at::Tensor& taken, const at::Tensor& by) {
  for (auto& [name, tensor] : taken_) {
    if (tensor.is_same(taken)) tensor = by;
  }
}

void StoredWeights::finish() const {
  constexpr size_t listed = 20;  // a message of a thousand names helps nobody
  std::vector<std::string> problems = problems_;
  for (const auto& [name, tensor] : stored_) {
    problems.push_back(words(shown(name), ": unknown tensor of shape ", tensor.sizes()));
  }
  if (problems.empty()) return;
  std::ostringstream message;
  message << problems.size() << (problems.size() == 1 ? " tensor does" : " tensors do") << " not fit the " << what_
          << ":";
  for (size_t i = 0; i < problems.size() && i < listed; ++i) message << "\n  " << problems[i];
  if (problems.size() > listed) message << "\n  and " << problems.size() - listed << " more";
  message << "\nCheck that its files are complete and belong to its configuration.";
  throw Error(ErrorKind::checkpoint, message.str());
}

}  // namespace eam::nn
