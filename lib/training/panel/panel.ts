import { setImmediate } from 'node:timers/promises';

import { NonFiniteError } from '../../errors.js';
import type { Drawing, Model } from '../../models/model.js';
import { uniqueNames } from '../../rewards/combine.js';
import { score, type Reward } from '../../rewards/reward.js';
import type { NativeOptimizer } from '../../runtime/native/binding.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { sampleBatches } from '../sampler.js';
import { spreadOf, type Spread } from '../statistics.js';
import { distancesOf, thumbnailOf } from './likeness.js';
import type { Baseline, Readings } from './limits.js';
import { pixelMeasures, type Picture } from './pixels.js';

/** The drawing of a {@link Panel}, and the rewards that score it. */
export interface PanelOptions {
  /** The prompts of the training; the panel takes some of them, with at least two images each. */
  prompts: readonly string[];
  negativePrompt?: string | undefined;
  /** How many images it draws, at least 2. */
  count: number;
  seed: bigint;
  drawing: Drawing;
  /** A network evaluation takes at most this many samples. */
  batch?: number | undefined;
  /** Rewards that take no part in training, whose fall is an alarm. */
  judges: readonly Reward[];
  /** Rewards that are only watched. */
  watched: readonly Reward[];
  /** The reward that is trained towards, where it is to be measured, too. */
  reward?: Reward | undefined;
  signal?: AbortSignal | undefined;
}

/** The result of {@link Panel.measure}: means over the images. */
export interface PanelReadings extends Readings {
  watched: Record<string, number>;
  /** The reward that is trained, where it was asked for. */
  reward?: number;
}

/** The baseline holds what {@link PanelReadings} does, of the pretrained model's images and with its spread. */
export interface PanelBaseline extends Baseline {
  watched: Record<string, Spread>;
  reward?: Spread;
}

/**
 * Watches for what no reward sees: a few images, always from the same noise, are measured and compared with those of
 * the pretrained model.
 */
export class Panel {
  readonly #prompts: readonly string[];
  readonly #scorers: readonly (readonly [group: 'judges' | 'watched' | 'reward', name: string, reward: Reward])[];
  #baseline!: PanelBaseline;
  /** The pretrained images' scores, image by image. */
  #judged: Readonly<Record<string, readonly number[]>> = {};

  private constructor(
    private readonly model: Model,
    private readonly options: PanelOptions,
  ) {
    this.#prompts = promptsOf(options.prompts, options.count);
    const named = (group: 'judges' | 'watched', rewards: readonly Reward[]) => {
      const names = uniqueNames(rewards.map(({ name }) => name));
      return rewards.map((reward, index) => [group, names[index]!, reward] as const);
    };
    const { judges, watched, reward } = options;
    this.#scorers = [
      ...named('judges', judges),
      ...named('watched', watched),
      ...(reward ? [['reward', reward.name, reward] as const] : []),
    ];
  }

  /** Draws the pretrained model's images and measures them. */
  static async create(model: Model, options: PanelOptions): Promise<Panel> {
    const panel = new Panel(model, options);
    const values = await panel.#draw('pretrained', undefined);
    panel.#baseline = spreads(values, options.count);
    panel.#judged = values.scores.judges;
    return panel;
  }

  /** The figures of the pretrained model's images. */
  get baseline(): PanelBaseline {
    return this.#baseline;
  }

  /**
   * Measures the model as it is trained by now; undefined where none of its images is finite.
   * @param average the optimizer whose averaged weights draw, if it averages
   */
  async measure(average: NativeOptimizer | undefined): Promise<PanelReadings | undefined> {
    try {
      const values = await this.#draw('trained', average);
      const fell = Object.entries(values.scores.judges).map(
        ([name, scores]) => [name, shareFallen(this.#judged[name]!, scores)] as const,
      );
      return { ...means(spreads(values, this.options.count)), fell: Object.fromEntries(fell) };
    } catch (error) {
      // The training has its own rule for numbers that are not finite, so that the panel ends no run for them.
      if (error instanceof NonFiniteError) return undefined;
      throw error;
    }
  }

  async #draw(weights: 'trained' | 'pretrained', average: NativeOptimizer | undefined): Promise<PanelValues> {
    const { negativePrompt, seed, drawing, batch, signal } = this.options;
    const values: PanelValues = { images: {}, scores: { judges: {}, watched: {}, reward: {} } };
    const thumbnails: Float32Array[] = [];
    const prompts = this.#prompts;
    for await (const drawn of sampleBatches(this.model, {
      prompts,
      negativePrompt,
      seed,
      ...drawing,
      batch,
      weights,
      average,
      signal,
    })) {
      using images = drawn.images;
      for (const picture of await picturesOf(images)) {
        for (const [name, value] of Object.entries(pixelMeasures(picture))) push(values.images, name, [value]);
        thumbnails.push(thumbnailOf(picture));
        // A large picture takes a while, so that other work gets its turn in between.
        await setImmediate();
      }
      for (const [group, name, reward] of this.#scorers) {
        const scored = await score(reward, images, drawn.prompts, { signal });
        push(values.scores[group], name, scored.values);
      }
    }
    Object.assign(values.images, distancesOf(thumbnails, prompts));
    return values;
  }
}

/** The figures of every image. */
interface PanelValues {
  images: Record<string, number[]>;
  scores: Record<'judges' | 'watched' | 'reward', Record<string, number[]>>;
}

function push(record: Record<string, number[]>, name: string, values: Iterable<number>): void {
  record[name] ??= [];
  record[name].push(...values);
}

const mapped = <From, To>(record: Readonly<Record<string, From>>, map: (value: From) => To): Record<string, To> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));

const shareFallen = (before: readonly number[], now: readonly number[]): number =>
  before.filter((value, image) => now[image]! < value).length / before.length;

function spreads({ images, scores }: PanelValues, count: number): PanelBaseline {
  const [reward] = Object.values(scores.reward);
  return {
    ...mapped(images, spreadOf),
    count,
    judges: mapped(scores.judges, spreadOf),
    watched: mapped(scores.watched, spreadOf),
    ...(reward && { reward: spreadOf(reward) }),
  };
}

function means({ judges, watched, reward, count: _, ...images }: PanelBaseline): Omit<PanelReadings, 'fell'> {
  const mean = (spread: Spread) => Number(spread.mean.toPrecision(6));
  return {
    ...mapped(images as Record<string, Spread>, mean),
    judges: mapped(judges, mean),
    watched: mapped(watched, mean),
    ...(reward && { reward: mean(reward) }),
  };
}

/** Takes prompts that are evenly spread over the distinct ones, with at least two images of each where that can be. */
function promptsOf(prompts: readonly string[], count: number): string[] {
  const distinct = [...new Set(prompts)];
  const taken = Math.max(1, Math.min(distinct.length, Math.floor(count / 2)));
  return Array.from(
    { length: count },
    (_, image) => distinct[Math.floor(((image % taken) * distinct.length) / taken)]!,
  );
}

async function picturesOf(images: Tensor): Promise<Picture[]> {
  using plain = await images.to({ dtype: 'float32', device: 'cpu' });
  const data = (await plain.data()) as Float32Array;
  const [count, channels, height, width] = images.shape as [number, number, number, number];
  const size = channels * height * width;
  return Array.from({ length: count }, (_, index) => ({
    data: data.subarray(index * size, (index + 1) * size),
    channels,
    height,
    width,
  }));
}
