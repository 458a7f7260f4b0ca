#pragma once

#include <string>
#include <string_view>

namespace eam::nn {

// Whether a name ends in `end`, after a dot or whole: "blocks.0.attn.qkv" in "attn.qkv", and not in "kv".
inline bool ends_in(const std::string& name, std::string_view end) {
  return name == end || (name.size() > end.size() && name.ends_with(end) && name[name.size() - end.size() - 1] == '.');
}

}  // namespace eam::nn
