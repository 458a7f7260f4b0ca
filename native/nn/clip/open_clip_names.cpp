#include "nn/clip/open_clip_names.h"

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <string_view>

namespace eam::nn {

namespace {

using Renaming = std::pair<std::string_view, std::string_view>;

constexpr std::array<Renaming, 11> outside_layers = {{
    {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
    {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
    {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
    {"visual.ln_pre.weight", "vision_model.pre_layrnorm.weight"},
    {"visual.ln_pre.bias", "vision_model.pre_layrnorm.bias"},
    {"visual.ln_post.weight", "vision_model.post_layernorm.weight"},
    {"visual.ln_post.bias", "vision_model.post_layernorm.bias"},
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final.weight", "text_model.final_layer_norm.weight"},
    {"ln_final.bias", "text_model.final_layer_norm.bias"},
}};

constexpr std::array<Renaming, 2> transposed = {{
    {"visual.proj", "visual_projection.weight"},
    {"text_projection", "text_projection.weight"},
}};

constexpr std::array<Renaming, 2> towers = {{
    {"visual.transformer.resblocks.", "vision_model.encoder.layers."},
    {"transformer.resblocks.", "text_model.encoder.layers."},
}};

constexpr std::array<Renaming, 5> inside_layers = {{
    {"ln_1.", "layer_norm1."},
    {"ln_2.", "layer_norm2."},
    {"attn.out_proj.", "self_attn.out_proj."},
    {"mlp.c_fc.", "mlp.fc1."},
    {"mlp.c_proj.", "mlp.fc2."},
}};

// One tensor holds the three; what its parts are, in order.
constexpr std::array<Renaming, 3> joint = {{
    {"queries", "self_attn.q_proj."},
    {"keys", "self_attn.k_proj."},
    {"values", "self_attn.v_proj."},
}};
constexpr std::string_view joint_prefix = "attn.in_proj_";

// NAME of a tensor in a layer, whose place in the new layout is `layer`: "text_model.encoder.layers.3.".
bool rename_in_layer(const std::string& layer, std::string_view name, const at::Tensor& tensor, NamedTensors& renamed) {
  if (name.starts_with(joint_prefix) && tensor.dim() > 0 && tensor.size(0) % 3 == 0) {
    const std::vector<at::Tensor> parts = tensor.chunk(3, 0);
    const std::string kind(name.substr(joint_prefix.size()));
    for (size_t i = 0; i < joint.size(); ++i) {
      std::string place = layer;
      place.append(joint[i].second).append(kind);
      renamed.emplace_back(std::move(place), parts[i]);
    }
    return true;
  }
  for (const auto& [from, to] : inside_layers) {
    if (!name.starts_with(from)) continue;
    renamed.emplace_back(layer + std::string(to) + std::string(name.substr(from.size())), tensor);
    return true;
  }
  return false;
}

bool rename(std::string_view name, const at::Tensor& tensor, NamedTensors& renamed) {
  for (const auto& [from, to] : outside_layers) {
    if (name != from) continue;
    renamed.emplace_back(to, tensor);
    return true;
  }
  for (const auto& [from, to] : transposed) {
    if (name != from || tensor.dim() != 2) continue;
    renamed.emplace_back(to, tensor.t());
    return true;
  }
  for (const auto& [from, to] : towers) {
    if (!name.starts_with(from)) continue;
    const size_t dot = name.find('.', from.size());
    if (dot == std::string_view::npos) return false;
    const std::string layer = std::string(to) + std::string(name.substr(from.size(), dot + 1 - from.size()));
    return rename_in_layer(layer, name.substr(dot + 1), tensor, renamed);
  }
  return false;
}

// The inverse of rename_in_layer; empty for a name that it does not give.
std::string name_in_layer(std::string_view name) {
  for (const auto& [part, to] : joint) {
    if (!name.starts_with(to)) continue;
    return std::string(joint_prefix) + std::string(name.substr(to.size())) + " (its " + std::string(part) + ")";
  }
  for (const auto& [from, to] : inside_layers) {
    if (name.starts_with(to)) return std::string(from) + std::string(name.substr(to.size()));
  }
  return "";
}

}  // namespace

NamedTensors from_open_clip(const NamedTensors& tensors) {
  NamedTensors renamed;
  for (const auto& [name, tensor] : tensors) {
    if (!rename(name, tensor, renamed)) renamed.emplace_back(name, tensor);
  }
  return renamed;
}

std::string open_clip_name(const std::string& name) {
  for (const auto& [from, to] : outside_layers) {
    if (name == to) return std::string(from);
  }
  for (const auto& [from, to] : transposed) {
    if (name == to) return std::string(from) + " (transposed)";
  }
  for (const auto& [from, to] : towers) {
    const size_t dot = name.starts_with(to) ? name.find('.', to.size()) : std::string::npos;
    if (dot == std::string::npos) continue;
    const std::string inside = name_in_layer(std::string_view(name).substr(dot + 1));
    if (!inside.empty()) return std::string(from) + name.substr(to.size(), dot + 1 - to.size()) + inside;
  }
  return name;
}

}  // namespace eam::nn
