#include "nn/layers/lora_options.h"

namespace eam::nn {

const OptionTable& LoraConfig::table() {
  static const OptionTable table =
      Describe<LoraConfig>("LoraConfig",
                           "This is a low-rank adapter (LoRA, arXiv 2106.09685), y = W x + b + (alpha/rank) B A x.")
          .required<&LoraConfig::rank>("rank", at_least(1), "The update B A has this rank.")
          .required<&LoraConfig::alpha>("alpha", "The update is scaled by alpha / rank.")
          .required<&LoraConfig::targets>(
              "targets",
              "Layers are adapted whose names end in one of these, after a dot or whole, such as 'attn.qkv'.")
          .required<&LoraConfig::seed>("seed", "A is drawn from this seed.")
          .option<&LoraConfig::fold>("fold",
                                     "True adds the update to a copy of the adapted layers' weights for as long as a "
                                     "rollout takes, or the drawing of a batch, which are faster then.");
  return table;
}

}  // namespace eam::nn
