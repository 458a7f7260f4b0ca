import { z } from 'zod';

import { ConfigError, ShapeError } from '../../errors.js';
import type { ModelDType } from '../../models/model.js';
import type { NativeImageReward } from '../../runtime/native/binding.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { descriptionsIn } from '../../files/content.js';
import { Origin, originOf, setOrigin } from '../../files/origin.js';
import { describe, type ArrayReward, type ArrayScore, type ScoreOptions } from '../reward.js';
import { PromptTokens, type Tokens } from './prompt-tokens.js';
import type { RewardSettings } from '../reward-kind.js';
import { callback, checkOptions, checkText } from '../../schema/options.js';
import { expected } from '../../schema/validate.js';

/** Every published reward has these options. */
export interface PublishedRewardOptions {
  /** It runs on this device, which is where the images are; default `'cpu'`. */
  device?: string | undefined;
  /** Its towers compute in this dtype, statistics and the score in float32; default `'float32'`. */
  dtype?: ModelDType | undefined;
  /** This many images are scored at a time, where memory is short; default 0, which is all of a batch. */
  slice?: number | undefined;
  /**
   * Score images as the reference scripts do, resized in bytes as PIL does: no gradient goes through that. Default
   * false.
   */
  asReference?: boolean | undefined;
  /**
   * It is told once of each prompt that is cut. By default nobody is; {@link PublishedReward.truncatedPrompts} counts.
   */
  onNote?: ((message: string) => void) | undefined;
}

/** This is what a {@link PublishedReward} is asked for. */
export interface PublishedScoreOptions extends ScoreOptions {
  /** Whether `features` are wanted, too; default false. */
  features?: boolean | undefined;
}

/** This is what a {@link PublishedReward} gives for a batch of images. */
export interface PublishedScore extends ArrayScore {
  /** The image tower's L2-normalised feature, [B, F], of the pass that gave the values; the caller disposes of it. */
  features?: Tensor | undefined;
}

/** A reward model read from the files that its authors published. It is loaded on first use, or by `load()`. */
export interface PublishedReward extends ArrayReward, Disposable {
  /** @throws CheckpointError, ConfigError for files that are missing, damaged or of another model */
  load(): Promise<void>;
  score(images: Tensor, prompts: readonly string[], options?: PublishedScoreOptions): Promise<PublishedScore>;
  /** How many different prompts so far were longer than the window and were cut. */
  readonly truncatedPrompts: number;
  /** Gives what the text encoder reads, [B, L]; undefined where the reward reads no prompts. */
  tokens(prompts: readonly string[]): Promise<
    | {
        /** The tokens' ids, [B, L] int64. */
        ids: Tensor;
        /** [B, L] with 1 for a token of the prompt and 0 for padding; left out where the encoder reads no mask. */
        mask?: Tensor;
      }
    | undefined
  >;
  /** Gives what the image tower reads: resized, cropped or padded, normalised, [B, 3, size, size]. */
  preprocess(images: Tensor): Promise<Tensor>;
  /**
   * Gives the image tower's L2-normalised feature alone, [B, F], in which a set's diversity is measured; `slice` images
   * at a time.
   */
  features(images: Tensor): Promise<Tensor>;
  /** Frees the weights. */
  dispose(): void;
}

/** What a reward's own file reads from its directory. */
export interface LoadedReward {
  native: NativeImageReward;
  /** Undefined where the reward reads no prompts. */
  tokenizer?: { encode(texts: readonly string[]): Tokens } | undefined;
}

/** Where a published reward's files are. */
export interface PublishedFiles {
  /** The files of its weights. @throws CheckpointError, ConfigError where they are not there */
  weights(): Promise<readonly string[]>;
  /** The folders of its configurations and vocabularies; several of them may be one. */
  folders: readonly string[];
}

/** Checks the arguments of a published reward. @param own further options, beside those of every one */
export function checkPublished(
  source: string,
  directory: string,
  options: PublishedRewardOptions,
  own: Record<string, z.ZodType> = {},
): void {
  checkText(directory, 'directory', source);
  checkOptions({ ...optionsShape, ...own }, options, `${source} options`);
}

const optionsShape = {
  device: z.string(),
  dtype: z.enum(['float32', 'float64', 'bfloat16', 'float16']),
  slice: z.number(),
  asReference: z.boolean(),
  onNote: callback,
};

/** What a configuration and a job say of a reward, as its options. */
export function optionsFrom(
  {
    dtype,
    slice,
    tower,
    tokenizer,
  }: PublishedRewardOptions & { tower?: string | undefined; tokenizer?: string | undefined },
  settings: RewardSettings,
  device: string,
) {
  return { dtype, slice, tower, tokenizer, ...settings, device };
}

/** The reward that `load` reads from `files`. */
export function publishedReward(
  name: string,
  files: PublishedFiles,
  load: (settings: { dtype: ModelDType; device: string; bytes: boolean }) => Promise<LoadedReward>,
  { device = 'cpu', dtype = 'float32', slice = 0, asReference = false, onNote }: PublishedRewardOptions,
): PublishedReward {
  let loading: Promise<{ native: NativeImageReward; prompts: PromptTokens | undefined }> | undefined;
  let prompts: PromptTokens | undefined;
  const loaded = () => (loading ??= loadOnce());
  async function loadOnce() {
    // Where a file is missing, loading says it better.
    await originOf(reward).catch(() => undefined);
    const { native, tokenizer } = await load({ dtype, device, bytes: asReference });
    prompts =
      tokenizer &&
      new PromptTokens(tokenizer, (text) => onNote?.(`${name}: cut a prompt that is longer than its window: ${text}`));
    return { native, prompts };
  }
  const dispose = () =>
    void loading?.then(
      ({ native }) => native.dispose(),
      () => undefined,
    );
  const reward: PublishedReward = {
    name,
    get truncatedPrompts() {
      return prompts?.truncated ?? 0;
    },
    async load() {
      await loaded();
    },
    async score(images, texts, { gradient = false, features = false } = {}) {
      checkImages(name, images, texts.length);
      checkPrompts(name, texts);
      const model = await loaded();
      const tokens = await model.prompts?.tensors(texts);
      try {
        return await model.native.score(images, tokens?.ids, tokens?.mask, { grad: gradient, features }, slice);
      } finally {
        tokens?.ids.dispose();
        tokens?.mask?.dispose();
      }
    },
    async tokens(texts) {
      return (await loaded()).prompts?.tensors(texts);
    },
    async preprocess(images) {
      return (await loaded()).native.preprocess(images);
    },
    async features(images) {
      return (await loaded()).native.features(images, slice);
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
  setOrigin(reward, async () => {
    const described = await Promise.all([...new Set(files.folders)].map(descriptionsIn));
    return Origin.of([...described.flat(), ...(await files.weights())], { name, asReference });
  });
  return reward;
}

/**
 * Digits have one channel: a model and a reward that do not belong together are told so before anything is computed.
 */
function checkImages(name: string, images: Tensor, prompts: number): void {
  const { shape } = images;
  if (shape.length === 4 && shape[1] === 3 && shape[0] === prompts) return;
  throw new ShapeError(
    expected(
      `${name}: images`,
      `shape [${prompts}, 3, height, width], in red, green and blue`,
      `[${shape.join(', ')}]`,
    ),
  );
}

function checkPrompts(name: string, prompts: readonly unknown[]): void {
  const wrong = prompts.findIndex((prompt) => typeof prompt !== 'string');
  if (wrong >= 0) throw new ConfigError(expected(`${name}: prompts[${wrong}]`, 'a string', describe(prompts[wrong])));
}

/** A job is told of a directory that does not fit before it starts. */
export async function loaded(reward: PublishedReward): Promise<PublishedReward> {
  await reward.load();
  return reward;
}
