#include "nn/layers/stored_network.h"
#include "nn/qwen3/qwen3_encoder.h"

namespace eam::nn {

static constexpr char kQwen3EncoderName[] = "Qwen3 encoder";
extern const NetworkKind<Qwen3EncoderConfig> qwen3_encoder;
constinit const NetworkKind<Qwen3EncoderConfig> qwen3_encoder =
    stored_kind<Qwen3Encoder, TextEncoder, Qwen3EncoderConfig, kQwen3EncoderName>();

}  // namespace eam::nn
