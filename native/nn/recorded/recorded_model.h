#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "nn/recorded/program.h"
#include "ops/flow_model.h"

namespace eam::nn {

// What is recorded of a model.
enum class RecordedPart { velocity, pretrained_velocity, images };

struct RecordedModelParts {
  NamedTensors frozen, trainable;  // the latter are copied, and become float32
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;  // what the frozen ones become, where they are of floating point
  double latent_variance = 1;

  // The program of a part for inputs like these, and the tensors of the model after them, the frozen ones first.
  std::function<std::shared_ptr<const Program>(RecordedPart part, const std::vector<at::Tensor>& inputs)> record;
};

// A network that was written in JavaScript: a program for every shape of its inputs, recorded when it is first needed.
// The pretrained velocity is that of the trainable tensors' first values.
class RecordedModel final : public FlowModel {
 public:
  explicit RecordedModel(RecordedModelParts parts);

  at::Tensor velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override;
  at::Tensor pretrained_velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override;
  at::Tensor images(const at::Tensor& latents) override;
  double latent_variance() const override { return parts_.latent_variance; }
  NamedTensors trainable() override { return parts_.trainable; }
  NamedTensors weights() override;
  bool pretrained_is_frozen() const override { return true; }

  // The trainable tensors as they were at first, which nothing changes.
  const NamedTensors& first_values() const { return first_values_; }

 private:
  at::Tensor velocity_with(RecordedPart part, const NamedTensors& trainable, const at::Tensor& x, const at::Tensor& t,
                           const Conditioning& conditioning);
  at::Tensor run(RecordedPart part, std::vector<at::Tensor> inputs, const NamedTensors& trainable);

  RecordedModelParts parts_;
  NamedTensors first_values_;                                                // of the trainable tensors
  std::map<std::vector<int64_t>, std::shared_ptr<const Program>> programs_;  // by part, dtypes and shapes
};

}  // namespace eam::nn
