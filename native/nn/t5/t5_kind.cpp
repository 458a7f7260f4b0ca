#include "nn/layers/stored_network.h"
#include "nn/t5/t5_encoder.h"

namespace eam::nn {

static constexpr char kT5EncoderName[] = "T5 encoder";
extern const NetworkKind<T5EncoderConfig> t5_encoder;
constinit const NetworkKind<T5EncoderConfig> t5_encoder =
    stored_kind<T5Encoder, TextEncoder, T5EncoderConfig, kT5EncoderName>();

}  // namespace eam::nn
