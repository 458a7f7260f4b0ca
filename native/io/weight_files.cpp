#include "io/weight_files.h"

#include <algorithm>
#include <map>
#include <utility>

#include "io/torch_file.h"
#include "ops/error.h"

namespace eam::io {

namespace {

bool begins_like_one(const std::string& name, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const auto& prefix) { return name.starts_with(prefix); });
}

NamedTensors selected(const WeightFile& file, NamedTensors tensors) {
  const bool has_within = !file.within.empty() && std::any_of(tensors.begin(), tensors.end(), [&](const auto& named) {
    return named.first.starts_with(file.within);
  });
  NamedTensors kept;
  for (auto& [name, tensor] : tensors) {
    if (has_within && !name.starts_with(file.within)) continue;
    std::string own = has_within ? name.substr(file.within.size()) : std::move(name);
    if (!file.only.empty() && !begins_like_one(own, file.only)) continue;
    kept.emplace_back(file.under + own, std::move(tensor));
  }
  return kept;
}

}  // namespace

NamedTensors open_weights(const std::vector<WeightFile>& files) {
  NamedTensors all;
  std::map<std::string, const std::string*> owners;
  for (const WeightFile& file : files) {
    NamedTensors read = file.entries ? map_tensors(file.path, *file.entries) : read_torch_file(file.path);
    for (auto& named : selected(file, std::move(read))) {
      const auto [owner, is_new] = owners.emplace(named.first, &file.path);
      if (!is_new) {
        throw Error(ErrorKind::checkpoint,
                    "tensor \"" + named.first + "\" is in both " + *owner->second + " and " + file.path);
      }
      all.push_back(std::move(named));
    }
  }
  return all;
}

}  // namespace eam::io
