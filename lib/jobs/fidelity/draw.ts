import { cancellable } from '../../runtime/cancellation.js';
import type { Model } from '../../models/model.js';
import type { NativeOptimizer } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { OdeSolver } from '../../runtime/ode-solver.js';
import { disposeAll } from '../../files/safetensors.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import type { FidelitySettings } from './settings.js';

export interface DrawOptions {
  count: number;
  seed: bigint;
  weights: 'trained' | 'pretrained';
  sampling: Pick<FidelitySettings['sampling'], 'steps' | 'solver' | 'trainedUntil'>;
  average?: NativeOptimizer | undefined;
  signal?: AbortSignal | undefined;
}

/** Latents at time 1, [count, d]: the trained velocity up to `trainedUntil`, the pretrained one from there. */
export async function drawLatents(model: Model, options: DrawOptions): Promise<Tensor> {
  const {
    count,
    seed,
    weights,
    average,
    signal,
    sampling: { steps, solver, trainedUntil },
  } = options;
  // At least one step on either side.
  const before = trainedUntil === 1 ? steps : Math.min(steps - 1, Math.max(1, Math.round(trainedUntil * steps)));
  const conditioning = await model.encode(Array<string>(count).fill(model.name));
  try {
    const { latents } = await cancellable(signal, (cancellation) =>
      binding().sample(model.native, {
        conditioning,
        guidance: 1,
        solver,
        times: uniform(0, trainedUntil, before),
        shape: [count, ...model.latentShape],
        seed,
        firstSample: 0,
        weights,
        ...(average && { average }),
        cancellation,
      }),
    );
    if (trainedUntil === 1) return latents;
    try {
      const rest = new OdeSolver({ solver, times: uniform(trainedUntil, 1, steps - before) });
      return await rest.run(
        (x, t) => model.native.velocity(x, new Float32Array(count).fill(t), conditioning, true),
        latents,
        { signal },
      );
    } finally {
      latents.dispose();
    }
  } finally {
    disposeAll(conditioning);
  }
}

const uniform = (from: number, to: number, steps: number): number[] =>
  Array.from({ length: steps + 1 }, (_, step) => (step === steps ? to : from + ((to - from) * step) / steps));
