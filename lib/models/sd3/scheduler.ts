import { z } from 'zod';

const { fround } = Math;

/** Refused by name where it is set: each changes the times, and no published Stable Diffusion 3 sets one. */
const unset = z.literal(false).nullish();

/** diffusers' FlowMatchEulerDiscreteScheduler; defaults are those of its constructor. */
export const schedulerSchema = z.object({
  _class_name: z.literal('FlowMatchEulerDiscreteScheduler'),
  num_train_timesteps: z.int().min(1).default(1000),
  shift: z.number().gt(0).default(1),
  use_dynamic_shifting: unset,
  stochastic_sampling: unset,
  invert_sigmas: unset,
  use_karras_sigmas: unset,
  use_exponential_sigmas: unset,
  use_beta_sigmas: unset,
  shift_terminal: z.null().optional(),
});

export interface SchedulerConfig {
  trainSteps: number;
  shift: number;
}

export const toSchedulerConfig = (json: z.output<typeof schedulerSchema>): SchedulerConfig => ({
  trainSteps: json.num_train_timesteps,
  shift: json.shift,
});

/**
 * The sampler's noise levels: `steps` of them, then 0. They are diffusers' to the last bit, and so shifted twice: the
 * range of the training's levels, shifted, is divided evenly, and the result is shifted again. Where diffusers computes
 * in float32 (the range) so does this, where in float64 (the division) this does, too.
 */
export function schedulerSigmas({ trainSteps, shift }: SchedulerConfig, steps: number): Float32Array {
  const trained = (timestep: number): number => {
    const sigma = fround(timestep / trainSteps);
    return fround(fround(shift * sigma) / fround(1 + fround((shift - 1) * sigma)));
  };
  const first = trained(trainSteps) * trainSteps;
  const last = trained(1) * trainSteps;
  const stride = (last - first) / Math.max(1, steps - 1);
  const sigmas = Float32Array.from({ length: steps + 1 }, (_, step) => {
    const timestep = step > 0 && step === steps - 1 ? last : step * stride + first;
    const sigma = timestep / trainSteps;
    return (shift * sigma) / (1 + (shift - 1) * sigma);
  });
  sigmas[steps] = 0;
  return sigmas;
}

/** What diffusers feeds the network at each of these levels. */
export function schedulerTimesteps({ trainSteps }: SchedulerConfig, sigmas: Float32Array): Float32Array {
  return sigmas.map((sigma) => sigma * trainSteps);
}

/** The solver's times, t = 1 − σ, from 0 to 1. */
export function schedulerTimes(config: SchedulerConfig, steps: number): number[] {
  return Array.from(schedulerSigmas(config, steps), (sigma) => 1 - sigma);
}
