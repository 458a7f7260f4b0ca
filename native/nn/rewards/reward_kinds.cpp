#include "nn/layers/network.h"
#include "nn/rewards/blip_reward.h"
#include "nn/rewards/clip_reward.h"

namespace eam::nn {

namespace {

template <class Reward, class Config>
Network make_reward(const Config& config, NetworkParts parts) {
  return std::shared_ptr<ImageReward>(std::make_shared<Reward>(config, *parts.weights, parts.dtype, parts.device));
}

}  // namespace

extern const NetworkKind<ClipRewardConfig> clip_reward;
constinit const NetworkKind<ClipRewardConfig> clip_reward = {
    .takes = {.files = true, .dtype = true}, .make = make_reward<ClipReward, ClipRewardConfig>, .layout = nullptr};

extern const NetworkKind<BlipRewardConfig> blip_reward;
constinit const NetworkKind<BlipRewardConfig> blip_reward = {
    .takes = {.files = true, .dtype = true}, .make = make_reward<BlipReward, BlipRewardConfig>, .layout = nullptr};

}  // namespace eam::nn
