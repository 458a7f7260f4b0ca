import type { GaussianMixture } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { score, type Reward } from '../../rewards/reward.js';
import { spreadOf } from '../../training/statistics.js';
import type { Tensor } from '../../runtime/native/tensor.js';

/** Samples against the exact target. */
export interface FidelityMeasurement {
  /** Mean of r over the samples. */
  reward: number;
  /** That mean's standard error. */
  rewardError: number;
  /** Maximum-likelihood weights of the target's modes, their shapes given. */
  modeWeights: number[];
  /** Total variation distance of the mode weights from the target's: half the sum of the differences, in [0, 1]. */
  totalVariation: number;
  /** MMD² to exact samples, unbiased and therefore sometimes slightly negative. */
  mmdSquared: number;
  /** Sliced Wasserstein-2 distance to exact samples. */
  slicedWasserstein: number;
  /** KL(samples ‖ target) in nats, by nearest neighbours. */
  kl: number;
}

/** What a point of the curve holds: the figures that are cheap. */
export type QuickMeasurement = Pick<FidelityMeasurement, 'reward' | 'rewardError' | 'mmdSquared'>;

/** Multiples of the median distance between exact samples: details within a mode, and whole modes. */
const bandwidthFactors = [0.25, 0.5, 1, 2, 4];

/** The exact target and a set of samples from it, against which sets of samples are measured. */
export class Yardstick implements Disposable {
  private constructor(
    private readonly target: GaussianMixture,
    private readonly reward: Reward,
    private readonly exact: Tensor,
    private readonly bandwidths: readonly number[],
    private readonly exactKernel: number,
    private readonly options: { projections: number; neighbours: number },
  ) {}

  /** Takes over `exact`, samples of the target. */
  static async create(
    target: GaussianMixture,
    reward: Reward,
    exact: Tensor,
    options: { projections: number; neighbours: number },
  ): Promise<Yardstick> {
    const native = binding();
    const median = await native.medianDistance(exact);
    const bandwidths = bandwidthFactors.map((factor) => factor * median);
    return new Yardstick(
      target,
      reward,
      exact,
      bandwidths,
      await native.meanKernel(exact, undefined, bandwidths),
      options,
    );
  }

  /** @param samples [N, …]; slicedWasserstein needs as many as there are exact ones */
  async measure(samples: Tensor): Promise<FidelityMeasurement> {
    const native = binding();
    const { projections, neighbours } = this.options;
    const quick = await this.quick(samples);
    const modeWeights = await native.fitMixtureWeights(this.target, samples);
    return {
      reward: quick.reward,
      rewardError: quick.rewardError,
      modeWeights,
      totalVariation:
        modeWeights.reduce((sum, weight, mode) => sum + Math.abs(weight - this.target.weights[mode]!), 0) / 2,
      mmdSquared: quick.mmdSquared,
      slicedWasserstein: await native.slicedWasserstein(samples, this.exact, projections, 0n),
      kl: -(await native.entropy(samples, neighbours)) - (await native.mixtureMeanLogDensity(this.target, samples)),
    };
  }

  async quick(samples: Tensor): Promise<QuickMeasurement> {
    const native = binding();
    const count = samples.shape[0]!;
    const { values } = await score(this.reward, samples, Array<string>(count).fill(''), {});
    const { mean, std } = spreadOf(values);
    const within = await native.meanKernel(samples, undefined, this.bandwidths);
    const across = await native.meanKernel(samples, this.exact, this.bandwidths);
    return { reward: mean, rewardError: std / Math.sqrt(count), mmdSquared: within + this.exactKernel - 2 * across };
  }

  [Symbol.dispose](): void {
    this.exact.dispose();
  }
}
