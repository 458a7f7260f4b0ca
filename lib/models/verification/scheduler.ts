import { binding } from '../../runtime/native/index.js';
import type { Goldens } from './goldens.js';
import type { Findings } from './verification.js';

/** What a scheduler gives for some steps; `setting` is the rest of a golden's name, such as `28`. */
export interface ScheduledGoldens {
  /** σ of each step, then the last one. */
  sigmas(setting: string): Float32Array;
  /** What the network is fed at each of these levels. */
  timesteps(sigmas: Float32Array): Float32Array;
}

/** The noise levels of `scheduler.sigmas.…`, and the timesteps of `scheduler.timesteps.…`. */
export async function* verifyScheduler(goldens: Goldens, { sigmas, timesteps }: ScheduledGoldens): Findings {
  const vector = (values: Float32Array) => binding().Tensor.from(values, [values.length]);
  for (const setting of goldens.under('scheduler.sigmas.'))
    yield goldens.compare(`scheduler.sigmas.${setting}`, vector(sigmas(setting)));
  for (const setting of goldens.under('scheduler.timesteps.'))
    yield goldens.compare(`scheduler.timesteps.${setting}`, vector(timesteps(sigmas(setting).subarray(0, -1))));
}
