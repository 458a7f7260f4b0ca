#include "nn/clip/clip_text.h"
#include "nn/layers/stored_network.h"

namespace eam::nn {

static constexpr char kClipTextName[] = "CLIP text encoder";
extern const NetworkKind<ClipTextConfig> clip_text;
constinit const NetworkKind<ClipTextConfig> clip_text =
    stored_kind<ClipText, TextEncoder, ClipTextConfig, kClipTextName>();

}  // namespace eam::nn
