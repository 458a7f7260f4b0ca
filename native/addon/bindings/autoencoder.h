#pragma once

#include <napi.h>

#include <memory>
#include <string>

namespace eam::nn {
class Autoencoder;
}

namespace eam::addon {

// The network of a NativeAutoencoder argument; Error(config) for anything else, Error(disposed) after dispose().
std::shared_ptr<nn::Autoencoder> to_autoencoder(Napi::Value value, const std::string& where);

}  // namespace eam::addon
