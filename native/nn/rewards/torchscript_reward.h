#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace eam::nn {

// A reward computed by a TorchScript module:
//
//   forward(images: Tensor, …) -> Tensor
//
// images is [B, channels, H, W], float32, in [0, 1] and not clamped; the result is floating, [B] or [B, 1]. A further
// argument of type List[str] is given the prompts, those of type Tensor the caller's tensors in order, others their
// defaults. The module is in evaluation mode, its parameters frozen. Loading and scoring run the code in the file.
class TorchScriptReward {
 public:
  // Whatever device it was saved on. Error(config) says why the file is no such module.
  TorchScriptReward(const std::string& path, at::Device device);
  ~TorchScriptReward();

  struct Score {
    std::vector<float> values;  // [B]
    at::Tensor grad;            // ∂(Σ values)/∂images where wanted
  };
  // Error(shape) for images that do not fit, Error(config) for a module that fails or returns something else.
  Score score(const at::Tensor& images, const std::vector<std::string>& prompts, const std::vector<at::Tensor>& tensors,
              bool want_grad) const;

  // How many tensors beside the images forward needs at least.
  int64_t required_tensors() const { return required_tensors_; }

 private:
  struct Script;

  void check_images(const at::Tensor& images) const;

  const at::Device device_;
  std::unique_ptr<Script> script_;
  int64_t required_tensors_ = 0;
  int64_t accepted_tensors_ = 0;
};

}  // namespace eam::nn
