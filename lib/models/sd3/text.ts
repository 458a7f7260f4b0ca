import type { NativeTextEncoder } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { clipLength, loadClipTokenizer } from '../tokenizers/clip.js';
import { loadT5Tokenizer } from '../tokenizers/t5.js';
import type { TextTokenizer } from '../tokenizers/tokenizer.js';
import { withComponent } from '../component-weights.js';
import type { ModelDType } from '../model.js';
import { identityOf } from '../pipeline/embedding-identity.js';
import { Embeddings } from '../pipeline/embeddings.js';
import {
  runEncoder,
  tokenize,
  wideType,
  zeros,
  type Elements,
  type EmbeddingFacts,
  type PromptEmbedding,
  type PromptEncoders,
} from '../pipeline/prompt-encoding.js';
import type { Sd3Directory } from './directory.js';

export interface TextOptions {
  dtype: ModelDType;
  device: string;
  /** Tokens a prompt that T5 reads; without T5 as many zeros stand in for its states, as in diffusers. */
  textLength: number;
  /** It says whether one block of T5 at a time is on the device; default: all of it. */
  sliced?: boolean;
}

export interface Tokenizers {
  clip: readonly [TextTokenizer, TextTokenizer];
  t5: TextTokenizer | undefined;
}

export async function loadTokenizers({ clip, t5 }: Sd3Directory, textLength: number): Promise<Tokenizers> {
  const first = await loadClipTokenizer(clip[0].tokenizer);
  return {
    // Their states stand side by side: as in diffusers, the first one's length is both's, whatever the second one says.
    clip: [first, await loadClipTokenizer(clip[1].tokenizer, { length: first.length })],
    t5: t5 && (await loadT5Tokenizer(t5.tokenizer, textLength)),
  };
}

/**
 * The embeddings of a directory's prompts: `states` [L, jointAttentionDim], CLIP's side by side, filled up with zeros,
 * then T5's; `pooled` [pooledProjectionDim], CLIP's features, side by side.
 */
export function sd3Embeddings(
  directory: Sd3Directory,
  options: TextOptions,
  cacheDirectory: string | undefined,
): Embeddings {
  const { dtype, device } = options;
  const facts = () => embeddingFacts(directory, options);
  return new Embeddings({ dtype, device, facts, load: () => TextEncoders.load(directory, options) }, cacheDirectory);
}

/** What is known of these without loading what computes them. */
export async function embeddingFacts(directory: Sd3Directory, options: TextOptions): Promise<EmbeddingFacts> {
  const { dtype, device, textLength } = options;
  const { jointAttentionDim, pooledProjectionDim } = directory.transformer.config;
  const length = await clipLength(directory.clip[0].tokenizer);
  return {
    shapes: { states: [length + textLength, jointAttentionDim], pooled: [pooledProjectionDim] },
    readers: [
      { key: 'clip', name: 'CLIP', length },
      { key: 't5', name: 'T5', length: textLength },
    ],
    identity: () =>
      identityOf([...directory.clip, ...(directory.t5 ? [directory.t5] : [])], {
        dtype,
        device: device.split(':')[0],
        textLength,
        jointAttentionDim,
      }),
  };
}

/** The three text encoders of a directory, in memory until they are disposed of. */
export class TextEncoders implements PromptEncoders {
  private constructor(
    private readonly directory: Sd3Directory,
    private readonly tokenizers: Tokenizers,
    private readonly options: TextOptions,
    private readonly clip: readonly NativeTextEncoder[],
    private readonly t5: NativeTextEncoder | undefined,
  ) {}

  /** @throws CheckpointError for weights or tokenizers that are missing, damaged or of other sizes */
  static async load(directory: Sd3Directory, options: TextOptions, tokenizers?: Tokenizers): Promise<TextEncoders> {
    const { dtype, device, textLength } = options;
    // Before the encoders, whose gigabytes need not be read to find that there are no tokenizers.
    tokenizers ??= await loadTokenizers(directory, textLength);
    const loaded: NativeTextEncoder[] = [];
    try {
      for (const { directory: folder, config } of directory.clip) {
        loaded.push(
          await withComponent(folder, (weights) =>
            binding().loadNetwork('clip-text', { config, weights, dtype, device }),
          ),
        );
      }
      const clip = [...loaded];
      let t5: NativeTextEncoder | undefined;
      if (directory.t5) {
        const { directory: folder } = directory.t5;
        const config = { ...directory.t5.config, sliced: options.sliced ?? false };
        const range = wideType(dtype);
        t5 = await withComponent(folder, (weights) =>
          binding().loadNetwork('t5-encoder', { config, weights, dtype: range, device }),
        );
        loaded.push(t5);
      }
      return new TextEncoders(directory, tokenizers, options, clip, t5);
    } catch (error) {
      for (const encoder of loaded) encoder.dispose();
      throw error;
    }
  }

  /** All prompts at once. */
  async encode(prompts: readonly string[]): Promise<PromptEmbedding[]> {
    const { dtype, textLength } = this.options;
    const { jointAttentionDim: width, pooledProjectionDim } = this.directory.transformer.config;
    const clipLength = this.tokenizers.clip[0].length;
    const length = clipLength + textLength;
    const rows = prompts.map(() => ({
      tensors: { states: zeros(dtype, length * width), pooled: zeros(dtype, pooledProjectionDim) },
      truncated: { clip: false, t5: false },
    }));
    let column = 0;
    let pooledColumn = 0;
    for (const [index, encoder] of this.clip.entries()) {
      const { ids, truncated } = tokenize(this.tokenizers.clip[index]!, prompts);
      const { hidden, pooled } = await runEncoder(encoder, ids, this.options);
      const { width: hiddenWidth, projection } = this.directory.clip[index]!.config;
      for (const [number, row] of rows.entries()) {
        copyRows(hidden, number * clipLength, clipLength, hiddenWidth, row.tensors.states, { row: 0, column, width });
        copyRows(pooled!, number, 1, projection, row.tensors.pooled, {
          row: 0,
          column: pooledColumn,
          width: pooledProjectionDim,
        });
        row.truncated.clip ||= truncated[number]!;
      }
      column += hiddenWidth;
      pooledColumn += projection;
    }
    if (this.t5) {
      const { ids, truncated } = tokenize(this.tokenizers.t5!, prompts);
      const { hidden } = await runEncoder(this.t5, ids, this.options);
      for (const [number, row] of rows.entries()) {
        copyRows(hidden, number * textLength, textLength, width, row.tensors.states, {
          row: clipLength,
          column: 0,
          width,
        });
        row.truncated.t5 = truncated[number]!;
      }
    }
    return rows;
  }

  dispose(): void {
    for (const encoder of this.clip) encoder.dispose();
    this.t5?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Copies `count` rows of `from`, `fromWidth` long, to a place in rows that are `to.width` long. */
function copyRows(
  from: Elements,
  first: number,
  count: number,
  fromWidth: number,
  target: Elements,
  to: { row: number; column: number; width: number },
): void {
  for (let row = 0; row < count; ++row) {
    const begin = (first + row) * fromWidth;
    target.set(from.subarray(begin, begin + fromWidth), (to.row + row) * to.width + to.column);
  }
}
