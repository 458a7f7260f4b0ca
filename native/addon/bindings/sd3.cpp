#include <memory>

#include "addon/bindings/encoders.h"
#include "addon/bindings/models.h"
#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "nn/sd3/sd3_model.h"

namespace eam::addon {
namespace {

nn::Sd3TransformerConfig to_config(Napi::Value value) {
  const Options options(
      value, "loadSd3Model: `config`",
      {"patchSize", "inChannels", "outChannels", "layers", "heads", "headDim", "jointAttentionDim",
       "captionProjectionDim", "pooledProjectionDim", "posEmbedMaxSize", "dualAttentionLayers", "qkNorm"});
  nn::Sd3TransformerConfig config;
  config.patch_size = options.integer("patchSize");
  config.in_channels = options.integer("inChannels");
  config.out_channels = options.integer("outChannels");
  config.layers = options.integer("layers");
  config.heads = options.integer("heads");
  config.head_dim = options.integer("headDim");
  config.joint_attention_dim = options.integer("jointAttentionDim");
  config.caption_projection_dim = options.integer("captionProjectionDim");
  config.pooled_projection_dim = options.integer("pooledProjectionDim");
  config.pos_embed_max_size = options.integer("posEmbedMaxSize");
  config.dual_attention_layers = to_integers(options.get("dualAttentionLayers"), options.where("dualAttentionLayers"));
  config.qk_norm = options.boolean("qkNorm");
  return config;
}

// loadSd3Model({ config, tensors, autoencoder, lora, dtype, device, checkpointing })
Napi::Value load_sd3_model(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const Options options(info[0], "loadSd3Model",
                          {"config", "tensors", "autoencoder", "lora", "dtype", "device", "checkpointing"});
    std::shared_ptr<const nn::Autoencoder> autoencoder;
    if (options.has("autoencoder")) {
      autoencoder = to_autoencoder(options.get("autoencoder"), options.where("autoencoder"));
    }
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [config = to_config(options.get("config")),
             tensors = to_named_tensors(options.get("tensors"), options.where("tensors")), autoencoder,
             lora = to_lora(options.get("lora"), "loadSd3Model: `lora`"),
             dtype = to_stored_dtype(options.get("dtype"), options.where("dtype")),
             device = device_of(options.string("device"), options.where("device")),
             checkpointing = options.boolean("checkpointing")]() mutable -> std::shared_ptr<FlowModel> {
              return std::make_shared<nn::Sd3Model>(config, std::move(tensors), autoencoder, lora, dtype, device,
                                                    checkpointing);
            },
            [](Napi::Env env, std::shared_ptr<FlowModel> model) {
              return FlowModelObject::wrap(env, std::move(model));
            });
  });
}

}  // namespace

void define_sd3(Napi::Env env, Napi::Object exports) {
  exports.Set("loadSd3Model", Napi::Function::New<load_sd3_model>(env, "loadSd3Model"));
}

}  // namespace eam::addon
