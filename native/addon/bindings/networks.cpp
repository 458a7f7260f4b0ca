#include <memory>
#include <string>
#include <utility>

#include "addon/bindings/autoencoder.h"
#include "addon/bindings/network_object.h"
#include "addon/bindings/weight_files.h"
#include "addon/convert/convert.h"
#include "addon/convert/options.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "nn/kinds.h"
#include "nn/layers/lora_options.h"

// The functions that make networks, of whatever kind: native/nn/kind_list.h has the kinds, each of which describes its
// own configuration.
namespace eam::addon {
namespace {

struct Config {
  const nn::ListedKind& kind;
  std::shared_ptr<void> values;
};

Config to_config(Napi::Value kind, Napi::Value value, const char* function) {
  const nn::ListedKind& found =
      named(function, [&]() -> const nn::ListedKind& { return nn::network_kind(to_string(kind, "kind")); });
  Config config = {found, found.new_config()};
  read_options(found.table(), config.values.get(), value, std::string(found.name));
  return config;
}

// A network to make, of (kind, { config, weights, dtype, device, seed, lora, checkpointing, autoencoder }).
struct Recipe {
  Config config;
  nn::NetworkParts parts;

  // Executor thread.
  nn::Network make() {
    const std::string kind(config.kind.name);
    return named(kind.c_str(), [&] { return config.kind.make(config.values.get(), std::move(parts)); });
  }
};

Recipe to_recipe(const Napi::CallbackInfo& info, const char* function) {
  const Options options(info[1], function,
                        {"config", "weights", "dtype", "device", "seed", "lora", "checkpointing", "autoencoder"});
  Recipe recipe = {to_config(info[0], options.get("config"), function), {}};
  nn::NetworkParts& parts = recipe.parts;
  if (options.has("weights")) parts.weights = to_weights(options.get("weights"), options.where("weights"));
  if (options.has("dtype")) parts.dtype = floating_dtype_of(options.string("dtype"), options.where("dtype"));
  parts.device = device_of(options.string("device"), options.where("device"));
  if (options.has("seed")) parts.seed = options.uint64("seed");
  if (options.has("lora"))
    parts.lora = to_options<nn::LoraConfig>(options.get("lora"), words(recipe.config.kind.name, ": adapter"));
  if (options.has("checkpointing")) parts.checkpointing = options.boolean("checkpointing");
  if (options.has("autoencoder")) {
    parts.autoencoder = to_autoencoder(options.get("autoencoder"), options.where("autoencoder"));
  }
  nn::check_parts(recipe.config.kind, parts);
  return recipe;
}

Napi::Value wrap_any(Napi::Env env, nn::Network network) {
  return std::visit([&](auto made) -> Napi::Value { return wrap_network(env, std::move(made)); }, std::move(network));
}

// loadNetwork(kind, args): a promise
Napi::Value load_network(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(), [recipe = to_recipe(info, "loadNetwork")]() mutable { return recipe.make(); }, wrap_any);
  });
}

// newNetwork(kind, args): for a small one, at once
Napi::Value new_network(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Recipe recipe = to_recipe(info, "newNetwork");
    return wrap_any(info.Env(), instance(info.Env()).executor.call(info.Env(), [&] { return recipe.make(); }));
  });
}

// networkLayout(kind, config): { tensors: { NAME: shape }, adaptable: names }, at once
Napi::Value network_layout(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Config config = to_config(info[0], info[1], "networkLayout");
    const std::string kind(config.kind.name);
    if (!config.kind.layout) {
      throw Error(ErrorKind::config, kind + ": its configuration does not state the shapes of all of its tensors");
    }
    const nn::NetworkLayout layout = instance(info.Env()).executor.call(info.Env(), [&] {
      return named(kind.c_str(), [&] { return config.kind.layout(config.values.get()); });
    });
    Napi::Object tensors = Napi::Object::New(info.Env());
    for (const auto& [name, tensor] : layout.weights) tensors.Set(name, from_shape(info.Env(), tensor.sizes()));
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("tensors", tensors);
    result.Set("adaptable", from_strings(info.Env(), layout.adaptable));
    return result;
  });
}

}  // namespace

void define_networks(Napi::Env env, Napi::Object exports) {
  exports.Set("loadNetwork", Napi::Function::New<load_network>(env, "loadNetwork"));
  exports.Set("newNetwork", Napi::Function::New<new_network>(env, "newNetwork"));
  exports.Set("networkLayout", Napi::Function::New<network_layout>(env, "networkLayout"));
}

}  // namespace eam::addon
