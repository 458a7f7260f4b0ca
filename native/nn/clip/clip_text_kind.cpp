#include "nn/clip/clip_text.h"
#include "nn/layers/stored_network.h"

namespace eam::nn {

namespace {

Network make_clip_text(const ClipTextConfig& config, NetworkParts parts) {
  return make_stored<ClipText, TextEncoder>("CLIP text encoder", config, std::move(parts));
}

NetworkLayout clip_text_layout(const ClipTextConfig& config) {
  return stored_layout<ClipText>("CLIP text encoder", config);
}

}  // namespace

extern const NetworkKind<ClipTextConfig> clip_text;
constinit const NetworkKind<ClipTextConfig> clip_text = {
    .takes = {.files = true, .dtype = true}, .make = make_clip_text, .layout = clip_text_layout};

}  // namespace eam::nn
