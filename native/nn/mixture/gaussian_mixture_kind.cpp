#include "nn/layers/network.h"
#include "nn/mixture/gaussian_mixture.h"

namespace eam::nn {

namespace {

Network make_gaussian_mixture(const GaussianMixtureConfig& config, NetworkParts parts) {
  return std::make_shared<GaussianMixtureModel>(config, *parts.seed, parts.dtype.value_or(at::kFloat), parts.device);
}

}  // namespace

extern const NetworkKind<GaussianMixtureConfig> gaussian_mixture;
constinit const NetworkKind<GaussianMixtureConfig> gaussian_mixture = {
    .takes = {.seed = true, .dtype = true}, .make = make_gaussian_mixture, .layout = nullptr};

}  // namespace eam::nn
