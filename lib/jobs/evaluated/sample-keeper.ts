import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { replaceFile } from '../../files/checkpoints.js';
import { encodeImage } from '../../files/png/write.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import type { EvaluatedPairs } from '../../training/evaluation.js';
import { appendRewards, rewardsByName, type SampleRewards } from '../../training/measured-model.js';
import { KeptPairs } from './kept-pairs.js';
import { Ranking } from './ranking.js';
import { writeSamples, type EvaluatedSamples } from './sample-file.js';

/** The folder of a run that holds images of samples. */
export const examplesFolder = 'examples';

/** The file of a sample's image, in a run's folder. */
export const exampleFile = (sample: number, when: 'before' | 'after'): string =>
  join(examplesFolder, `sample-${sample}-${when}.png`);

/** How many images are kept. */
export interface ExampleSettings {
  /** Best and worst ones by each reward. */
  each: number;
  /** Prompts whose best and worst one is kept. */
  prompts: number;
}

interface BestAndWorst {
  best: Ranking;
  worst: Ranking;
}

/** Keeps what an evaluation tells of every sample, and images of those that are best and worst so far. */
export class SampleKeeper {
  readonly #prompts: string[] = [];
  readonly #places = new Map<string, number>();
  readonly #prompt: number[] = [];
  readonly #before: SampleRewards = { reward: [], rewards: {} };
  readonly #after: SampleRewards = { reward: [], rewards: {} };
  readonly #byReward = new Map<string, BestAndWorst>();
  readonly #byPrompt = new Map<number, BestAndWorst>();
  readonly #kept = new KeptPairs();
  readonly #each: number;

  /** @param count of all samples to come */
  constructor(
    private readonly settings: ExampleSettings,
    count: number,
    private readonly seed: bigint,
  ) {
    // No sample should be among both the best and the worst.
    this.#each = Math.min(settings.each, Math.max(1, Math.floor(count / 2)));
  }

  /** Takes down a batch; its images are read before the promise is settled. */
  async add(pairs: EvaluatedPairs): Promise<void> {
    const { first, prompts, rewardsBefore, rewardsAfter } = pairs;
    appendRewards(this.#before, rewardsBefore);
    appendRewards(this.#after, rewardsAfter);
    for (const prompt of prompts) this.#prompt.push(this.#placeOf(prompt));
    for (const [name, values] of Object.entries(rankedBy(rewardsAfter))) {
      const ranking = entryOf(this.#byReward, name, this.#each);
      for (const [at, value] of values.entries()) offer(ranking, first + at, value);
    }
    for (const [at, value] of rewardsAfter.reward.entries()) {
      const prompt = this.#prompt[first + at]!;
      if (prompt < this.settings.prompts) offer(entryOf(this.#byPrompt, prompt, 1), first + at, value);
    }
    await this.#kept.update(pairs, this.#rankings());
  }

  /** The rewards that were taken down so far, and the samples that lead. */
  get samples(): EvaluatedSamples {
    return {
      seed: String(this.seed),
      prompts: this.#prompts,
      prompt: this.#prompt,
      before: this.#before,
      after: this.#after,
      examples: {
        rewards: Array.from(this.#byReward, ([name, { best, worst }]) => ({
          name,
          best: best.samples,
          worst: worst.samples,
        })),
        prompts: Array.from(this.#byPrompt, ([prompt, { best, worst }]) => ({ prompt, best, worst })).flatMap(
          ({ prompt, best, worst }) =>
            best.samples.length ? [{ prompt, best: best.samples[0]!, worst: worst.samples[0]! }] : [],
        ),
      },
    };
  }

  /** Writes the samples' rewards and the kept images into a run's folder, in the place of those that are there. */
  async write(directory: string): Promise<void> {
    await rm(join(directory, examplesFolder), { recursive: true, force: true });
    if (this.#kept.pairs.size) makeDirectory(join(directory, examplesFolder));
    for (const [sample, pair] of this.#kept.pairs) {
      for (const when of ['before', 'after'] as const) {
        const image = pair[when];
        if (image) await replaceFile(join(directory, exampleFile(sample, when)), encodeImage(image));
      }
    }
    await writeSamples(directory, this.samples);
  }

  #placeOf(prompt: string): number {
    let place = this.#places.get(prompt);
    if (place === undefined) {
      place = this.#prompts.push(prompt) - 1;
      this.#places.set(prompt, place);
    }
    return place;
  }

  *#rankings(): Generator<Ranking> {
    for (const { best, worst } of [...this.#byReward.values(), ...this.#byPrompt.values()]) yield* [best, worst];
  }
}

/** Values by the names under which samples are ranked: the whole reward, and each of several that it is made of. */
export const rankedBy = (samples: SampleRewards): Record<string, number[]> =>
  rewardsByName(Object.keys(samples.rewards).length > 1 ? samples : { ...samples, rewards: {} });

function entryOf<Key>(rankings: Map<Key, BestAndWorst>, key: Key, limit: number): BestAndWorst {
  let entry = rankings.get(key);
  if (!entry) {
    entry = { best: new Ranking(limit), worst: new Ranking(limit, true) };
    rankings.set(key, entry);
  }
  return entry;
}

function offer({ best, worst }: BestAndWorst, sample: number, value: number): void {
  best.offer(sample, value);
  worst.offer(sample, value);
}
