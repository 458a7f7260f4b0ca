import type { Model } from '../models/model.js';
import type { ArrayScore, Reward } from '../rewards/reward.js';
import { cancellable } from '../runtime/cancellation.js';
import type { NativeAlgorithm, NativeDrawn, NativeRollout } from '../runtime/native/binding.js';
import type { Tensor } from '../runtime/native/tensor.js';
import { cyclePrompts } from './sampler.js';
import { scoreSamples } from './scored-samples.js';
import type { StageClock } from './stage-clock.js';

/** A batch's network evaluations are conditioned on these tensors. */
export interface Conditions extends Disposable {
  conditioning: Tensor[];
  unconditional?: Tensor[];
}

/** A step asks for this batch. */
export interface BatchRequest {
  prompts: readonly string[];
  conditions: Conditions;
  step: number;
  signal: AbortSignal | undefined;
  /** Times the stages of the step. */
  clock: StageClock;
}

/** These samples have their rewards and can be matched; the caller disposes of `scored.grad`, where there is one. */
export interface ScoredBatch {
  samples: NativeDrawn;
  scored: ArrayScore;
  /** The batch's mean of {@link EndpointWeights.effectiveShare}, where samples are taken again by weight. */
  effectiveShare?: number;
}

/** A step's samples come from here. */
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
    /** Whether the reward is asked for its gradient. */
    private readonly gradient: boolean,
  ) {}

  async draw(request: BatchRequest): Promise<ScoredBatch> {
    const { clock } = request;
    return clock.time('reward', this.score(await clock.time('rollout', this.rollout(request)), request));
  }

  /** Draws samples, which are not scored yet; the caller disposes of them. */
  async rollout({ prompts, conditions, step, signal }: Omit<BatchRequest, 'clock'>): Promise<NativeRollout> {
    const { conditioning, unconditional } = conditions;
    return cancellable(signal, (cancellation) =>
      this.algorithm.rollout({
        conditioning,
        ...(unconditional && { unconditional }),
        shape: [prompts.length, ...this.model.latentShape],
        seed: this.seed,
        step,
        differentiable: this.gradient,
        cancellation,
      }),
    );
  }

  /** Scores what {@link rollout} drew, and disposes of it where that fails. */
  async score(
    samples: NativeRollout,
    { prompts, signal }: Pick<BatchRequest, 'prompts' | 'signal'>,
  ): Promise<ScoredBatch> {
    try {
      const { gradient } = this;
      // A row of a rollout is an image, of which a sample may have several.
      const asked = cyclePrompts(prompts, samples.endpoint.shape[0]!);
      return { samples, scored: await scoreSamples(this.reward, samples, asked, { gradient, signal }) };
    } catch (error) {
      samples.dispose();
      throw error;
    }
  }
}
