// What is written from the schemas of configurations: each file's path in the repository, and its text.

import { jsonSchemaOf, marked } from './json-schema.mjs';
import { configurationPage, sharedIn } from './page.mjs';
import { exportedType } from './types.mjs';

/** Where the JSON Schemas are, in the repository and in the package. */
export const schemaFile = (job) => `schemas/${job}.schema.json`;

/** Jobs whose configuration is a file. */
const filed = ({ fidelity: _, ...files }) => files;

const typeNames = {
  finetune: { name: 'FinetuneConfig', text: 'This is the configuration of {@link finetune}.' },
  compare: { name: 'CompareConfig', text: 'This is the configuration of {@link compare}.' },
  distill: { name: 'DistillConfig', text: 'This is the configuration of {@link distill}.' },
  pretrain: { name: 'PretrainConfig', text: 'This is the configuration of {@link pretrain}.' },
  fidelity: { name: 'FidelityConfig', text: 'This says how {@link fidelity} trains and measures.' },
};

const sharedTypes = {
  RewardConfig: 'This is a reward as a configuration names it.',
  JudgeConfig: 'This is a judge as a configuration names it.',
  DescribedModelConfig: 'This is a model as a configuration describes it.',
  TrainedAdapterConfig: 'This is the LoRA adapter that a job trains.',
  CheckpointsConfig: 'This says when checkpoints are written.',
  SamplesConfig: 'This says how grids of samples are drawn.',
  EvaluationConfig: 'This says how a model is evaluated before and after.',
};

const typesHead = `// Written by \`npm run generate\` from the schemas of configurations: change those, not this.

import type { Model } from '../../models/model.js';
import type { Judge, Reward } from '../../rewards/reward.js';
import type { AlignPropOptions, DraftOptions, ReflOptions } from '../../runtime/native/options.generated.js';
import type { Algorithm } from '../../training/algorithm.js';
import type { AdjointMatchingOptions, EamOptions } from '../../training/algorithms.js';
import type { OptimizerOptions } from '../../training/settings.js';

/** This is an algorithm as a configuration names it. */
export type AlgorithmConfig =
  | ({
      /** The name says which algorithm: Efficient Adjoint Matching. */
      name: 'eam';
    } & EamOptions)
  | ({
      /** The name says which algorithm: Adjoint Matching. */
      name: 'am';
    } & AdjointMatchingOptions)
  | ({
      /** The name says which algorithm: reward feedback learning. */
      name: 'refl';
    } & ReflOptions)
  | ({
      /** The name says which algorithm: direct reward fine-tuning. */
      name: 'draft';
    } & DraftOptions)
  | ({
      /** The name says which algorithm: AlignProp. */
      name: 'alignprop';
    } & AlignPropOptions);
`;

/** @param configurations the schema of each job, by its name */
export function outputs(configurations) {
  const jobs = Object.fromEntries(Object.entries(configurations).map(([job, schema]) => [job, marked(schema)]));
  const shared = sharedIn(Object.values(jobs));
  const types = [
    typesHead,
    ...Object.entries(sharedTypes).map(([name, text]) => exportedType(name, text, shared.get(name))),
    ...Object.entries(typeNames).map(([job, { name, text }]) => exportedType(name, text, jobs[job])),
  ].join('\n\n');
  return {
    'docs/configuration.md': configurationPage(jobs),
    'lib/jobs/settings/config.generated.ts': types,
    ...Object.fromEntries(
      Object.entries(filed(configurations)).map(([job, schema]) => [schemaFile(job), jsonSchemaOf(job, schema)]),
    ),
  };
}
