#include "nn/layers/stored_network.h"
#include "nn/t5/t5_encoder.h"

namespace eam::nn {

namespace {

Network make_t5_encoder(const T5EncoderConfig& config, NetworkParts parts) {
  return make_stored<T5Encoder, TextEncoder>("T5 encoder", config, std::move(parts));
}

NetworkLayout t5_encoder_layout(const T5EncoderConfig& config) {
  return stored_layout<T5Encoder>("T5 encoder", config);
}

}  // namespace

extern const NetworkKind<T5EncoderConfig> t5_encoder;
constinit const NetworkKind<T5EncoderConfig> t5_encoder = {
    .takes = {.files = true, .dtype = true}, .make = make_t5_encoder, .layout = t5_encoder_layout};

}  // namespace eam::nn
