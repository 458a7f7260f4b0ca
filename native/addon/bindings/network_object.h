#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "addon/runtime/errors.h"
#include "addon/runtime/instance.h"
#include "ops/flow_model.h"

// JavaScript objects around a network that a promise made: what their classes share.
namespace eam::nn {
class Autoencoder;
class Classifier;
class ImageReward;
class TextEncoder;
}  // namespace eam::nn

namespace eam::addon {

// The JavaScript object of a network, by its interface.
Napi::Object wrap_network(Napi::Env env, std::shared_ptr<FlowModel> network);
Napi::Object wrap_network(Napi::Env env, std::shared_ptr<nn::TextEncoder> network);
Napi::Object wrap_network(Napi::Env env, std::shared_ptr<nn::Autoencoder> network);
Napi::Object wrap_network(Napi::Env env, std::shared_ptr<nn::ImageReward> network);
Napi::Object wrap_network(Napi::Env env, std::shared_ptr<nn::Classifier> network);

// `network` until dispose().
template <class Network>
const std::shared_ptr<Network>& alive(const std::shared_ptr<Network>& network, const std::string& what) {
  if (!network) throw Error(ErrorKind::disposed, what + " has been disposed");
  return network;
}

// JavaScript can reach a constructor through an object of the class; one without a network would end the process.
template <class Network>
std::shared_ptr<Network> constructed(const Napi::CallbackInfo& info, const char* name, const char* factory) {
  return guarded(info.Env(), [&] {
    if (info.Length() != 1 || !info[0].IsExternal()) {
      throw Error(ErrorKind::config, std::string(name) + " has no public constructor; use " + factory);
    }
    return std::move(*info[0].As<Napi::External<std::shared_ptr<Network>>>().Data());
  });
}

template <class Object, class Network>
Napi::Object wrap(Napi::Env env, std::shared_ptr<Network> network) {
  return instance(env).constructor<Object>().New({Napi::External<std::shared_ptr<Network>>::New(env, &network)});
}

}  // namespace eam::addon
