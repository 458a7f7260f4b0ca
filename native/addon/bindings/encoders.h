#pragma once

#include <napi.h>

#include <memory>
#include <optional>
#include <string>

#include "nn/clip/clip_text.h"
#include "nn/clip/clip_vision.h"
#include "nn/sd3/autoencoder.h"

// What the networks of published models have in common at the boundary.
namespace eam::addon {

// The network of a NativeAutoencoder argument; Error(config) for anything else, Error(disposed) after dispose().
std::shared_ptr<nn::Autoencoder> to_autoencoder(Napi::Value value, const std::string& where);

// ClipTextConfig and ClipVisionConfig of lib/runtime/native/binding.ts; `where` names the argument in errors.
nn::ClipTextConfig to_clip_text_config(Napi::Value value, const std::string& where);
nn::ClipVisionConfig to_clip_vision_config(Napi::Value value, const std::string& where);

// A floating-point dtype, or undefined: as stored.
std::optional<at::ScalarType> to_stored_dtype(Napi::Value value, const std::string& where);

// A network that takes its tensors from StoredWeights, all of them. Executor thread.
template <class Network, class Config>
std::shared_ptr<Network> load_network(const char* what, NamedTensors tensors, std::optional<at::ScalarType> dtype,
                                      at::Device device, const Config& config) {
  nn::StoredWeights weights(what, std::move(tensors), dtype, device);
  auto network = std::make_shared<Network>(weights, config);
  weights.finish();
  return network;
}

}  // namespace eam::addon
