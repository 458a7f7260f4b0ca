import { ConfigError } from '../../errors.js';
import { disposeAll } from '../../files/safetensors.js';
import { refuseWideAdapter } from '../../models/adapters/adapter.js';
import type { Model } from '../../models/model.js';
import { cancellable } from '../../runtime/cancellation.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { EpochOrder } from '../../training/epochs.js';
import type { DistillSettings } from './config.js';

/**
 * The teacher's noise has seeds that no configuration's grids and evaluations have, which end at 2⁵³: the student is
 * compared on noise that it was not trained on.
 */
const teacherSeed = (seed: number): bigint => BigInt(seed) + 2n ** 63n;

/**
 * Refuses to train what cannot be learned: with an adapter that is wider than its layers, or from a model that guidance
 * does not change.
 * @throws ConfigError for either, and from a model that has no unconditional velocity
 */
export async function refuseUnguidable(
  model: Model,
  { prompts, negativePrompt }: Pick<DistillSettings, 'prompts' | 'negativePrompt'>,
): Promise<void> {
  refuseWideAdapter(model);
  const conditioning = await model.encode(prompts.slice(0, 1));
  try {
    const unconditional = await model.unconditional(1, negativePrompt);
    try {
      using x = await binding().philoxNormal([1, ...model.latentShape], {
        seed: 0n,
        stream: 0n,
        device: model.device,
      });
      const half = Float32Array.of(0.5);
      using guided = await model.native.velocity(x, half, conditioning, true);
      using free = await model.native.velocity(x, half, unconditional, true);
      const { largest } = await binding().largestDifference(guided, free);
      if (largest > 0) return;
      throw new ConfigError(
        `guidance changes nothing of ${model.source}: it draws the same with the prompt "${prompts[0]}" as ` +
          `${negativePrompt ? 'with the negative one' : 'without one'}, so there is nothing to distil; name a model ` +
          'that was trained with prompts left out, or other prompts',
      );
    } finally {
      disposeAll(unconditional);
    }
  } finally {
    disposeAll(conditioning);
  }
}

/** Samples of the pretrained model with guidance, and the student's flow matching on them. */
export class Teacher {
  readonly #order: EpochOrder;

  constructor(
    private readonly model: Model,
    private readonly config: DistillSettings,
  ) {
    this.#order = new EpochOrder(config.prompts.length, BigInt(config.seed));
  }

  /**
   * Draws the samples of step `step` and adds the gradients of the regression on them. All depend on the seed and the
   * step alone, so a run that is resumed needs nothing of the samples before.
   * @returns the loss, and the network evaluations that the samples took
   */
  async regress(step: number, signal: AbortSignal | undefined): Promise<{ loss: number; drawn: number }> {
    const { prompts, batch, seed, timesEach, timeDistribution, microBatch } = this.config;
    const asked = Array.from(this.#order.slice(step * batch, batch), (index) => prompts[index]!);
    const conditioning = await this.model.encode(asked);
    try {
      const { latents, forwards } = await this.#draw(step * batch, conditioning, signal);
      using x1 = latents;
      const { loss } = await cancellable(signal, (cancellation) =>
        binding().flowMatching(this.model.native, {
          x1,
          conditioning,
          unconditional: [],
          timeDistribution,
          timesEach,
          microBatch,
          seed: BigInt(seed),
          step,
          cancellation,
        }),
      );
      return { loss, drawn: forwards };
    } finally {
      disposeAll(conditioning);
    }
  }

  async #draw(firstSample: number, conditioning: Tensor[], signal: AbortSignal | undefined) {
    const { model } = this;
    const { teacher, negativePrompt, batch, seed } = this.config;
    const { steps, solver, guidance, batch: microBatch = model.sampling.batch } = teacher;
    const unconditional = await model.unconditional(1, negativePrompt);
    try {
      return await cancellable(signal, (cancellation) =>
        binding().sample(model.native, {
          conditioning,
          unconditional,
          guidance,
          solver,
          times: model.times(steps),
          shape: [batch, ...model.latentShape],
          seed: teacherSeed(seed),
          firstSample,
          weights: 'pretrained',
          microBatch,
          cancellation,
        }),
      );
    } finally {
      disposeAll(unconditional);
    }
  }
}
