import type { z } from 'zod';

import { validate } from '../schema/validate.js';
import type { Model } from '../models/model.js';
import { binding } from '../runtime/native/index.js';
import {
  alignPropOptionsSchema,
  draftOptionsSchema,
  reflOptionsSchema,
  type AlignPropOptions,
  type DraftOptions,
  type ReflOptions,
} from '../runtime/native/options.generated.js';
import type { Algorithm } from './algorithm.js';

export const reflSchema = reflOptionsSchema;

export const draftSchema = draftOptionsSchema.superRefine(({ lastSteps, renoisings, steps }, context) => {
  // A number that is out of its own range is said once.
  if (context.issues.length > 0) return;
  const refuse = (message: string) => context.addIssue({ code: 'custom', path: ['lastSteps'], message });
  if (lastSteps > steps) refuse(`expected at most the rollout's ${steps} steps`);
  if (renoisings > 0 && lastSteps !== 1) refuse('expected 1 with renoisings, which are of the last step alone');
});

export const alignPropSchema = alignPropOptionsSchema.superRefine(({ fewestSteps, mostSteps, steps }, context) => {
  if (context.issues.length > 0) return;
  const refuse = (name: string, message: string) => context.addIssue({ code: 'custom', path: [name], message });
  const most = mostSteps ?? steps;
  if (most > steps) refuse('mostSteps', `expected at most the rollout's ${steps} steps`);
  else if (fewestSteps > most) refuse('fewestSteps', `expected at most ${most}, the most steps`);
});

/**
 * Reward feedback learning (ReFL, arXiv 2304.05977), a baseline: the rollout stops before one of its last steps, and
 * the reward of the estimate of the data there is raised through that one evaluation.
 * @throws ConfigError for an option outside its range or an unknown one
 */
export function refl(options: ReflOptions = {}): Algorithm {
  const checked = validate(reflSchema, options, 'refl options');
  return backpropagation('refl', checked, (model, native) => new (binding().Refl)(model.native, native));
}

/**
 * Direct reward fine-tuning (DRaFT-K, arXiv 2309.17400), a baseline: the reward is raised through the last K steps of
 * the rollout; with `renoisings` it is DRaFT-LV, which takes the last step several times.
 * @throws ConfigError for an option outside its range or an unknown one
 */
export function draft(options: DraftOptions = {}): Algorithm {
  const checked = validate(draftSchema, options, 'draft options');
  return backpropagation('draft', checked, (model, native) => new (binding().Draft)(model.native, native));
}

/**
 * AlignProp (arXiv 2310.03739), a baseline: the reward is raised through the last K steps of the rollout, K drawn anew
 * in each iteration.
 * @throws ConfigError for an option outside its range or an unknown one
 */
export function alignProp(options: AlignPropOptions = {}): Algorithm {
  const checked = validate(alignPropSchema, options, 'alignProp options');
  return backpropagation('alignprop', checked, (model, native) => new (binding().AlignProp)(model.native, native));
}

type Checked = z.output<typeof reflSchema> | z.output<typeof draftSchema> | z.output<typeof alignPropSchema>;

function backpropagation<Options extends Checked>(
  name: string,
  options: Options,
  create: (model: Pick<Model, 'native'>, options: Options) => ReturnType<Algorithm['create']>,
): Algorithm {
  return {
    name,
    options,
    guidance: options.guidance,
    needsGradient: true,
    create: (model) => create(model, { ...options, shift: options.shift ?? model.timeShift(options.steps) }),
  };
}
