import type { CompareConfig, DistillConfig, FinetuneConfig, PretrainConfig } from './settings/config.generated.js';

/** These are the configurations of the jobs, by the names of their commands. */
export interface JobConfigs {
  /** `eam finetune` takes this. */
  finetune: FinetuneConfig;
  /** `eam compare` takes this. */
  compare: CompareConfig;
  /** `eam distill` takes this. */
  distill: DistillConfig;
  /** `eam pretrain` takes this. */
  pretrain: PretrainConfig;
}

/**
 * Gives back the configuration that it is given, so that an editor completes and checks what is the
 * default export of a file of `eam finetune config.ts`. Other jobs are named: `defineConfig<'compare'>({ … })`.
 */
export const defineConfig = <Job extends keyof JobConfigs = 'finetune'>(config: JobConfigs[Job]): JobConfigs[Job] =>
  config;
