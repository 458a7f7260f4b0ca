import type { Model } from '../models/model.js';
import { hasGradient, score, type ArrayScore, type Reward } from '../rewards/reward.js';
import { cancellable } from '../runtime/cancellation.js';
import type { NativeAlgorithm, NativeDrawn } from '../runtime/native/binding.js';
import type { Tensor } from '../runtime/native/tensor.js';

/** What a batch's network evaluations are conditioned on. */
export interface Conditions extends Disposable {
  conditioning: Tensor[];
  unconditional?: Tensor[];
}

/** The batch that a step asks for. */
export interface BatchRequest {
  prompts: readonly string[];
  conditions: Conditions;
  step: number;
  signal: AbortSignal | undefined;
}

/** A batch of samples with their rewards, ready to be matched; `scored.grad`, where there is one, is the caller's. */
export interface ScoredBatch {
  samples: NativeDrawn;
  scored: ArrayScore;
  /** Mean over the batch of {@link EndpointWeights.effectiveShare}, where samples are drawn again by weight. */
  effectiveShare?: number;
}

/** Where a step's samples come from. */
export interface SampleSource {
  draw(request: BatchRequest): Promise<ScoredBatch>;
}

/** Each step's samples are drawn from the model as it is, and scored. */
export class CurrentSamples implements SampleSource {
  constructor(
    private readonly model: Pick<Model, 'latentShape'>,
    private readonly reward: Reward,
    private readonly algorithm: NativeAlgorithm,
    private readonly seed: bigint,
  ) {}

  async draw({ prompts, conditions, step, signal }: BatchRequest): Promise<ScoredBatch> {
    const { conditioning, unconditional } = conditions;
    const gradient = hasGradient(this.reward);
    const samples = await cancellable(signal, (cancellation) =>
      this.algorithm.rollout({
        conditioning,
        ...(unconditional && { unconditional }),
        shape: [prompts.length, ...this.model.latentShape],
        seed: this.seed,
        step,
        differentiable: gradient,
        cancellation,
      }),
    );
    try {
      return { samples, scored: await score(this.reward, samples.images, prompts, { gradient, signal }) };
    } catch (error) {
      samples.dispose();
      throw error;
    }
  }
}
