#include "nn/kinds.h"

#include <iomanip>
#include <string>
#include <utility>
#include <vector>

#include "nn/kind_list.h"
#include "ops/error.h"

namespace eam::nn {

#define EAM_DECLARE(kind, name, Config, interface) extern const NetworkKind<Config> kind;
EAM_NETWORKS(EAM_DECLARE)
#undef EAM_DECLARE

namespace {

template <class Config>
ListedKind listed(std::string_view name, const NetworkKind<Config>& kind) {
  ListedKind entry = {
      .name = name,
      .table = Config::table,
      .new_config = [] { return std::make_shared<Config>(); },
      .takes = kind.takes,
      .make = [&kind](const void* config,
                      NetworkParts parts) { return kind.make(*static_cast<const Config*>(config), std::move(parts)); },
      .layout = nullptr};
  if (kind.layout) {
    entry.layout = [&kind](const void* config) { return kind.layout(*static_cast<const Config*>(config)); };
  }
  return entry;
}

const std::vector<ListedKind>& kinds() {
#define EAM_LISTED(kind, name, Config, interface) listed(name, kind),
  static const std::vector<ListedKind> kinds = {EAM_NETWORKS(EAM_LISTED)};
#undef EAM_LISTED
  return kinds;
}

}  // namespace

const ListedKind& network_kind(std::string_view name) {
  std::vector<std::string> names;
  for (const ListedKind& kind : kinds()) {
    if (kind.name == name) return kind;
    names.emplace_back(kind.name);
  }
  throw bad_value("kind", one_of(names), quoted(name));
}

void check_parts(const ListedKind& kind, const NetworkParts& parts) {
  const auto refuse = [&](const char* part, bool taken, bool given) {
    if (given && !taken)
      throw Error(ErrorKind::config, words(kind.name, ": ", part, ": this network has no use for it"));
  };
  refuse("weights", kind.takes.files, parts.weights.has_value());
  refuse("seed", kind.takes.seed, parts.seed.has_value());
  refuse("dtype", kind.takes.dtype, parts.dtype.has_value());
  refuse("lora", kind.takes.lora, parts.lora.has_value());
  refuse("checkpointing", kind.takes.checkpointing, parts.checkpointing.has_value());
  refuse("autoencoder", kind.takes.autoencoder, parts.autoencoder != nullptr);
  if (!parts.weights && !parts.seed) {
    throw missing_value(words(kind.name, kind.takes.seed ? ": seed" : ": weights"),
                        kind.takes.seed ? "that of fresh weights" : "the weights of its files");
  }
}

}  // namespace eam::nn
