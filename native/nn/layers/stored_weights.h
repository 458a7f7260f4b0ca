#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ops/flow_model.h"

namespace eam::nn {

// The tensors of a published network's files, handed to its layers by name. Each is moved to the device once; on the
// CPU, where the dtype is the stored one, it stays the memory map that it was.
class StoredWeights {
 public:
  // From the name under which a network takes a tensor to what its file calls it, for messages.
  using FileName = std::function<std::string(const std::string&)>;

  // what: names the network in messages, such as "transformer". dtype: none: as stored. file_name: none: the same. On
  // the meta device nothing need be stored: every tensor that is asked for is there, and has no numbers.
  StoredWeights(std::string what, NamedTensors stored, std::optional<at::ScalarType> dtype, at::Device device,
                FileName file_name = {});

  // The tensor of this name. Where it is missing, of another shape or of integers that is noted for finish(), which
  // reports all of them together, and zeros stand in for it. dtype, device: others than the network's, for a tensor
  // that needs it; a dtype of none is the stored one.
  at::Tensor take(const std::string& name, at::IntArrayRef shape) { return take(name, shape, dtype_); }
  at::Tensor take(const std::string& name, at::IntArrayRef shape, std::optional<at::ScalarType> dtype) {
    return take(name, shape, dtype, device_);
  }
  at::Tensor take(const std::string& name, at::IntArrayRef shape, std::optional<at::ScalarType> dtype,
                  at::Device device);

  bool has(const std::string& name) const { return stored_.contains(name); }

  // It says whether a tensor that was taken is a copy of what is stored, in another place or type.
  bool copied(const at::Tensor& taken) const { return copied_.contains(taken.unsafeGetTensorImpl()); }

  // Puts another tensor of the same numbers in the place of one that was taken.
  void replace(const at::Tensor& taken, const at::Tensor& by);

  // The stored shape; empty where there is no such tensor. For sizes that no configuration states.
  std::vector<int64_t> shape(const std::string& name) const;

  // Leaves out a tensor that is no weight, such as a stored range of positions.
  void ignore(const std::string& name) { stored_.erase(name); }

  // Leaves out the parts of a file that the network does not use, by how their names begin.
  void ignore_prefix(const std::string& prefix) {
    std::erase_if(stored_, [&](const auto& entry) { return entry.first.starts_with(prefix); });
  }

  // Error(checkpoint) with every tensor that was missing, misshapen, or left over.
  void finish() const;

  // All that was taken, under its names and in order.
  const NamedTensors& taken() const { return taken_; }

  at::Device device() const { return device_; }

 private:
  std::string shown(const std::string& name) const { return file_name_ ? file_name_(name) : name; }

  const std::string what_;
  std::map<std::string, at::Tensor> stored_;
  const std::optional<at::ScalarType> dtype_;
  const at::Device device_;
  const FileName file_name_;
  NamedTensors taken_;
  std::set<const c10::TensorImpl*> copied_;  // of what was taken, which is held above
  std::vector<std::string> problems_;
};

}  // namespace eam::nn
