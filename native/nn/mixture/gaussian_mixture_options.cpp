#include "nn/mixture/gaussian_mixture_options.h"

namespace eam::nn {

const OptionTable& GaussianMixtureConfig::table() {
  static const OptionTable table =
      Describe<GaussianMixtureConfig>("GaussianMixtureConfig",
                                      "This is the distribution Σ weights_i N(means_i, std² I), and a control network "
                                      "that is trained on top of its flow.")
          .required<&GaussianMixtureConfig::means>("means", "Each mode has a mean, all of one length d.")
          .required<&GaussianMixtureConfig::std>("std", above(0),
                                                 "Every mode has this standard deviation in every dimension.")
          .required<&GaussianMixtureConfig::weights>("weights", above(0),
                                                     "Each mode has a weight; they are normalised.")
          .required<&GaussianMixtureConfig::width>("width", at_least(1),
                                                   "The control network's hidden layers have this many numbers.")
          .required<&GaussianMixtureConfig::depth>("depth", at_least(1),
                                                   "The control network has this many hidden layers.");
  return table;
}

}  // namespace eam::nn
