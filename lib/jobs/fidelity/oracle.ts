import { cancellable } from '../../runtime/cancellation.js';
import { disposeAll } from '../../files/safetensors.js';
import type { GaussianMixtureModel } from '../../models/gaussian-mixture.js';
import type { GaussianMixture, NativeOptimizer } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { learningRateAt } from '../../training/schedule.js';
import { adamWOptions } from '../../training/settings.js';
import type { JobObserver } from '../progress.js';
import type { TrainingCost } from './result.js';
import type { FidelitySettings } from './settings.js';

/** Regressions a sample of the batch, as many as EAM's renoisings by default. */
const renoisings = 4;

export interface OracleOptions {
  settings: FidelitySettings;
  seed: number;
  observer: JobObserver;
  signal: AbortSignal | undefined;
}

/**
 * Trains the control network by flow matching on exact samples of the target, new ones every step: what the network,
 * the optimizer and the number of steps allow, whatever an algorithm knows of the target.
 */
export async function trainOnExactSamples(
  model: GaussianMixtureModel,
  target: GaussianMixture,
  { settings: { optimizer, steps, batch, sampling, device }, seed, observer, signal }: OracleOptions,
): Promise<TrainingCost & { average: NativeOptimizer | undefined }> {
  const adamW = new (binding().AdamW)(model.native, adamWOptions(optimizer));
  const count = renoisings * batch;
  const conditioning = await model.unconditional(count);
  let seconds = 0;
  observer.begin(steps, 0);
  try {
    for (let step = 0; step < steps; step++) {
      const start = performance.now();
      // Past the seeds of the samples that measurements compare with.
      const drawSeed = BigInt(sampling.seed) + (BigInt(seed) + 1n) * 2n ** 32n + BigInt(step);
      using x1 = await binding().drawMixture(target, count, drawSeed, device);
      const { loss } = await cancellable(signal, (cancellation) =>
        binding().flowMatching(model.native, {
          x1,
          conditioning,
          unconditional: [],
          seed: BigInt(seed),
          step,
          cancellation,
        }),
      );
      await adamW.step(learningRateAt(optimizer, step, steps), optimizer.clip);
      seconds += (performance.now() - start) / 1000;
      observer.advance(step + 1, { loss }, count);
    }
  } finally {
    disposeAll(conditioning);
    observer.end();
  }
  const evaluations = steps * count;
  const average = optimizer.emaDecay > 0 ? adamW : undefined;
  return { forwards: evaluations, vjps: 0, backwards: evaluations, seconds, average };
}
