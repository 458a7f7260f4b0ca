import { z } from 'zod';

const { exp, fround } = Math;

/** Refused by name where it is set: each changes the times, and no published FLUX.2 sets one. */
const unset = z.literal(false).nullish();

/** diffusers' FlowMatchEulerDiscreteScheduler; defaults are those of its constructor. */
export const schedulerSchema = z.object({
  _class_name: z.literal('FlowMatchEulerDiscreteScheduler'),
  num_train_timesteps: z.int().min(1).default(1000),
  shift: z.number().gt(0).default(1),
  use_dynamic_shifting: z.boolean().default(false),
  time_shift_type: z.enum(['exponential', 'linear']).default('exponential'),
  stochastic_sampling: unset,
  invert_sigmas: unset,
  use_karras_sigmas: unset,
  use_exponential_sigmas: unset,
  use_beta_sigmas: unset,
  shift_terminal: z.null().optional(),
});

export interface SchedulerConfig {
  trainSteps: number;
  /** s itself, or `'exponential'` or `'linear'`: how s follows from the empirical shift. */
  shift: number | 'exponential' | 'linear';
}

export const toSchedulerConfig = (json: z.output<typeof schedulerSchema>): SchedulerConfig => ({
  trainSteps: json.num_train_timesteps,
  shift: json.use_dynamic_shifting ? json.time_shift_type : json.shift,
});

/** Above so many tokens the number of steps does not matter any more. */
const manyTokens = 4300;

/**
 * The shift μ for an image of so many tokens and so many steps: a line in the steps, through one line in the tokens for
 * 10 steps and another for 200 (`compute_empirical_mu` of diffusers' Flux2KleinPipeline).
 */
function empiricalShift(tokens: number, steps: number): number {
  const for200 = 0.00016927 * tokens + 0.45666666;
  if (tokens > manyTokens) return for200;
  const for10 = 8.73809524e-5 * tokens + 1.89833333;
  const slope = (for200 - for10) / 190;
  return slope * steps + (for200 - 200 * slope);
}

/** s in σ ↦ s σ / (1 + (s − 1) σ), for latents of so many places. */
export function timeShift({ shift }: SchedulerConfig, steps: number, tokens: number): number {
  if (typeof shift === 'number') return shift;
  const mu = empiricalShift(tokens, steps);
  return shift === 'exponential' ? exp(mu) : mu;
}

/**
 * The sampler's noise levels: `steps` of them, from 1 to 1/steps evenly and then shifted, then 0. As diffusers, this
 * computes in float32 from where they are even.
 */
export function schedulerSigmas(config: SchedulerConfig, steps: number, tokens: number): Float32Array {
  const s = timeShift(config, steps, tokens);
  const stride = steps > 1 ? (1 / steps - 1) / (steps - 1) : 0;
  const sigmas = Float32Array.from({ length: steps + 1 }, (_, step) => {
    const even = fround(step > 0 && step === steps - 1 ? 1 / steps : 1 + step * stride);
    if (typeof config.shift === 'number') return fround(s * even) / fround(1 + fround((s - 1) * even));
    return fround(s) / fround(fround(s) + fround(fround(1 / even) - 1));
  });
  sigmas[steps] = 0;
  return sigmas;
}

/** What diffusers calls the timestep of each of these levels. */
export function schedulerTimesteps({ trainSteps }: SchedulerConfig, sigmas: Float32Array): Float32Array {
  return sigmas.map((sigma) => sigma * trainSteps);
}

/** The solver's times, t = 1 − σ, from 0 to 1. */
export function schedulerTimes(config: SchedulerConfig, steps: number, tokens: number): number[] {
  return Array.from(schedulerSigmas(config, steps, tokens), (sigma) => 1 - sigma);
}
