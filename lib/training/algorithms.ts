import { z } from 'zod';

import { called } from '../schema/configuration.js';
import { validate } from '../schema/validate.js';
import { binding } from '../runtime/native/index.js';
import {
  adjointMatchingOptionsSchema,
  eamOptionsSchema,
  modeOptionsSchema,
  type AdjointMatchingOptions as NativeAdjointMatchingOptions,
  type AdjointMatchingSettings as NativeAdjointMatchingSettings,
  type EamOptions as NativeEamOptions,
  type AlignPropSettings,
  type DraftSettings,
  type EamSettings as NativeEamSettings,
  type ReflSettings,
} from '../runtime/native/options.generated.js';
import type { Algorithm, StoredEndpoints } from './algorithm.js';
import { alignProp, alignPropSchema, draft, draftSchema, refl, reflSchema } from './backpropagation.js';
import { type GuidedRolloutOptions, guidedRolloutShape, refuseGuidedRollout } from './guided-rollout.js';

export type { AlgorithmOptions, ModeOptions } from '../runtime/native/options.generated.js';

/** These are the options of {@link eam}. */
export interface EamOptions extends NativeEamOptions, GuidedRolloutOptions {}
/** These are the options of {@link adjointMatching}. */
export interface AdjointMatchingOptions extends NativeAdjointMatchingOptions, GuidedRolloutOptions {}

export const eamSchema = z
  .strictObject({ ...eamOptionsSchema.shape, ...guidedRolloutShape })
  .superRefine(refuseGuidedRollout);
export const adjointMatchingSchema = z
  .strictObject({ ...adjointMatchingOptionsSchema.shape, ...guidedRolloutShape })
  .superRefine(refuseGuidedRollout);

/** These are {@link EamOptions} with every default filled in. */
export interface EamSettings extends NativeEamSettings, Required<GuidedRolloutOptions> {}
/** These are {@link AdjointMatchingOptions} with every default filled in. */
export interface AdjointMatchingSettings extends NativeAdjointMatchingSettings, Required<GuidedRolloutOptions> {}

/**
 * Efficient Adjoint Matching (arXiv 2605.11480): few-step deterministic rollouts, a closed-form regression target.
 * @throws ConfigError for an option outside its range or an unknown one
 */
export function eam(options: EamOptions = {}): Algorithm {
  const checked = validate(eamSchema, withModes(options), 'eam options');
  const { allowGuidedRollout: _, ...native } = checked;
  return {
    name: 'eam',
    options: checked,
    guidance: checked.guidance,
    needsGradient: !checked.modes && checked.endpoints === 'current',
    ...(checked.endpoints === 'pretrained' && { endpoints: storedEndpoints(checked) }),
    create: (model) =>
      new (binding().Eam)(model.native, { ...native, shift: native.shift ?? model.timeShift(native.steps) }),
  };
}

/**
 * Adjoint Matching (arXiv 2409.08861), the baseline: memoryless stochastic rollouts of K steps, the lean adjoint
 * carried back through the pretrained model by K vector–Jacobian products.
 * @throws ConfigError for an option outside its range or an unknown one
 */
export function adjointMatching(options: AdjointMatchingOptions = {}): Algorithm {
  const checked = validate(adjointMatchingSchema, options, 'adjointMatching options');
  const { allowGuidedRollout: _, ...native } = checked;
  return {
    name: 'am',
    options: checked,
    guidance: checked.guidance,
    needsGradient: true,
    create: (model) => new (binding().AdjointMatching)(model.native, native),
  };
}

/** `modes: true` written out, and the C that it was measured to want, where none is given: docs/beyond-the-paper.md. */
function withModes(options: unknown): unknown {
  const { modes, endpoints, C = 0.6 } = (options ?? {}) as EamOptions;
  if (!modes) return endpoints === 'pretrained' ? { ...(options as EamOptions), C } : options;
  return { ...(options as EamOptions), C, modes: modes === true ? modeOptionsSchema.parse({}) : modes };
}

function storedEndpoints(settings: Omit<EamSettings, 'name'>): StoredEndpoints {
  const { lambda, endpointsPerPrompt, delta, solver, steps, shift, guidance, guidedLoss, rewardThroughDenoiser } =
    settings;
  const drawnWith = { delta, solver, steps, shift, guidance, guidedLoss, rewardThroughDenoiser };
  return { perPrompt: endpointsPerPrompt, lambda, steps, drawnWith };
}

const named = <Name extends string>(name: Name) => ({
  name: z.literal(name).describe('The name says which algorithm.'),
});

const algorithms = z.discriminatedUnion('name', [
  z.strictObject({ ...named('eam'), ...eamSchema.shape }).superRefine(refuseGuidedRollout),
  z.strictObject({ ...named('am'), ...adjointMatchingSchema.shape }).superRefine(refuseGuidedRollout),
  reflSchema.extend(named('refl')),
  draftSchema.safeExtend(named('draft')),
  alignPropSchema.safeExtend(named('alignprop')),
]);

/** An algorithm that a function such as {@link eam} made, as a configuration names it; all else as it is. */
export function settingsOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('create' in value) || !('options' in value)) return value;
  const { name, options } = value as Algorithm;
  return { name, ...options };
}

/** Best-of-N trains nothing. */
function refuseBestOf(value: unknown, context: z.core.$RefinementCtx): void {
  const { name } = (value ?? {}) as { name?: unknown };
  if (typeof name !== 'string' || !/^best.?of/i.test(name)) return;
  context.addIssue({
    code: 'custom',
    path: ['name'],
    message: 'expected an algorithm that trains; best-of-N is a contender of `eam compare`: { "name": …, "bestOf": 8 }',
  });
}

/** What a configuration's `algorithm` may be; a new algorithm is one more entry above and in `factories`. */
export const algorithmSchema = z
  .preprocess((value, context) => {
    refuseBestOf(value, context);
    return withModes(settingsOf(value));
  }, algorithms)
  .meta({ ...called('AlgorithmConfig'), also: 'Algorithm' }) as unknown as typeof algorithms;

/** What a configuration's `algorithm` becomes. */
export type AlgorithmSettings =
  | EamSettings
  | AdjointMatchingSettings
  | ReflSettings
  | DraftSettings
  | AlignPropSettings;

const factories = { eam, am: adjointMatching, refl, draft, alignprop: alignProp };

export function createAlgorithm({ name, ...options }: AlgorithmSettings): Algorithm {
  return (factories[name] as (options: object) => Algorithm)(options);
}
