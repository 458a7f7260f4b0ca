import { expected } from '../../schema/validate.js';
import { ConfigError } from '../../errors.js';
import { binding } from '../../runtime/native/index.js';
import type { PublishedReward } from '../../rewards/published/published-reward.js';
import { combine } from '../../rewards/combine.js';
import { rewardExamples } from '../../rewards/examples.js';
import { score, type Reward } from '../../rewards/reward.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { summarize, type Diversity, type SampleScores, type ScoreSummary, type SkippedImage } from './summary.js';

/** What an image is, beside its scores. */
export type SampleLabel = Omit<SampleScores, 'scores'>;

/** Scores images, a batch at a time, and keeps what the summary is made of. */
export class ScoreBook {
  readonly #samples: SampleScores[] = [];
  /** Images that have no scores. */
  readonly skipped: SkippedImage[] = [];
  /** The features of each image, for prompts that have several. */
  readonly #features = new Map<string, Float32Array[]>();
  readonly #reward;
  readonly #featured: PublishedReward | undefined;

  /**
   * @param prompts of all images to come
   * @throws ConfigError without a reward
   */
  constructor(rewards: readonly Reward[], prompts: readonly string[]) {
    if (rewards.length === 0)
      throw new ConfigError(expected('rewards', `at least one, such as --reward ${rewardExamples[0]}`, 'none'));
    const counts = new Map<string, number>();
    for (const prompt of prompts) counts.set(prompt, (counts.get(prompt) ?? 0) + 1);
    for (const [prompt, count] of counts) if (count > 1) this.#features.set(prompt, []);
    this.#featured = this.#features.size
      ? (rewards.find((reward) => 'features' in reward) as PublishedReward | undefined)
      : undefined;
    this.#reward = combine(
      rewards.map((reward) => [reward === this.#featured ? this.#keepingFeatures(this.#featured) : reward, 1] as const),
    );
  }

  /** Scores a batch [B, channels, H, W], one label an image. */
  async add(images: Tensor, labels: readonly SampleLabel[], signal?: AbortSignal): Promise<SampleScores[]> {
    const { parts = {} } = await score(
      this.#reward,
      images,
      labels.map(({ prompt }) => prompt),
      { signal },
    );
    const samples = labels.map((label, index) => ({
      ...label,
      scores: Object.fromEntries(
        Object.entries(parts).map(([name, values]) => [name, Number.isFinite(values[index]) ? values[index]! : null]),
      ),
    }));
    this.#samples.push(...samples);
    return samples;
  }

  /** Takes down that an image could not be read. */
  skip(file: string, problem: string): void {
    this.skipped.push({ file, problem });
  }

  async summary(): Promise<ScoreSummary> {
    const summary = summarize(this.#samples, await this.#diversity());
    return this.skipped.length ? { ...summary, skipped: this.skipped } : summary;
  }

  /**
   * The reward; what its tower makes of the images that are scored is kept, so that they need not go through it again.
   */
  #keepingFeatures(reward: PublishedReward): Reward {
    return {
      name: reward.name,
      score: async (images, prompts) => {
        const { values, features } = await reward.score(images, prompts, { features: true });
        using owned = features!;
        using single = await owned.to({ dtype: 'float32' });
        const data = (await single.data()) as Float32Array;
        const length = data.length / prompts.length;
        for (const [index, prompt] of prompts.entries())
          this.#features.get(prompt)?.push(data.slice(index * length, (index + 1) * length));
        return { values };
      },
    };
  }

  async #diversity(): Promise<Diversity | undefined> {
    if (!this.#featured) return undefined;
    let sum = 0;
    let prompts = 0;
    for (const rows of this.#features.values()) {
      // A distance needs two images, and unreadable ones of a prompt have no row.
      if (rows.length < 2) continue;
      const length = rows[0]!.length;
      const data = new Float32Array(rows.length * length);
      for (const [index, row] of rows.entries()) data.set(row, index * length);
      using features = binding().Tensor.from(data, [rows.length, length]);
      const distance = await binding().meanPairwiseCosineDistance(features);
      // An image whose pixels are not finite has no direction.
      if (!Number.isFinite(distance)) continue;
      sum += distance;
      prompts += 1;
    }
    return prompts ? { meanCosineDistance: sum / prompts, features: this.#featured.name, prompts } : undefined;
  }
}
