import type { NativeTensor, NativeTextEncoder } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { loadClipTokenizer } from '../tokenizers/clip.js';
import { loadT5Tokenizer } from '../tokenizers/t5.js';
import type { TextTokenizer } from '../tokenizers/tokenizer.js';
import { withComponent } from '../component-weights.js';
import type { ModelDType } from '../model.js';
import type { Sd3Directory } from './directory.js';

/** Numbers of one prompt: float16 and bfloat16 as their bits. */
export type Elements = Float32Array | Float64Array | Uint16Array;

/** What the transformer reads of one prompt. */
export interface PromptEmbedding {
  /** [L, jointAttentionDim]: CLIP's states side by side, filled up with zeros, then T5's. */
  states: Elements;
  /** [pooledProjectionDim]: CLIP's features, side by side. */
  pooled: Elements;
  /** Whether the prompt was longer than CLIP's tokenizers, or T5's, go. */
  truncated: { clip: boolean; t5: boolean };
}

export interface TextOptions {
  dtype: ModelDType;
  device: string;
  /** Tokens a prompt that T5 reads; without T5 as many zeros stand in for its states, as in diffusers. */
  textLength: number;
}

export function zeros(dtype: ModelDType, length: number): Elements {
  if (dtype === 'float32') return new Float32Array(length);
  return dtype === 'float64' ? new Float64Array(length) : new Uint16Array(length);
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

/** The three text encoders of a directory, in memory until they are disposed of. */
export class TextEncoders implements Disposable {
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
        const { directory: folder, config } = directory.t5;
        // T5's activations leave float16's range; bfloat16 is as wide as float32.
        const range = dtype === 'float16' ? 'bfloat16' : dtype;
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
      states: zeros(dtype, length * width),
      pooled: zeros(dtype, pooledProjectionDim),
      truncated: { clip: false, t5: false },
    }));
    let column = 0;
    let pooledColumn = 0;
    for (const [index, encoder] of this.clip.entries()) {
      const { ids, truncated } = tokenize(this.tokenizers.clip[index]!, prompts);
      const { hidden, pooled } = await this.run(encoder, ids);
      const { width: hiddenWidth, projection } = this.directory.clip[index]!.config;
      for (const [number, row] of rows.entries()) {
        copyRows(hidden, number * clipLength, clipLength, hiddenWidth, row.states, { row: 0, column, width });
        copyRows(pooled!, number, 1, projection, row.pooled, {
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
      const { hidden } = await this.run(this.t5, ids);
      for (const [number, row] of rows.entries()) {
        copyRows(hidden, number * textLength, textLength, width, row.states, { row: clipLength, column: 0, width });
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

  /** An encoder's output, on the CPU and in the dtype asked for. */
  private async run(
    encoder: NativeTextEncoder,
    rows: readonly Int32Array[],
  ): Promise<{ hidden: Elements; pooled: Elements | undefined }> {
    const ids = tokenTensor(rows, this.options.device);
    try {
      const { hidden, pooled } = await encoder.encode(ids);
      return { hidden: await this.take(hidden), pooled: pooled && (await this.take(pooled)) };
    } finally {
      ids.dispose();
    }
  }

  private async take(tensor: NativeTensor): Promise<Elements> {
    const moved = await tensor.to({ dtype: this.options.dtype, device: 'cpu' });
    tensor.dispose();
    try {
      return (await moved.data()) as Elements;
    } finally {
      moved.dispose();
    }
  }
}

/** Rows of token ids as an int64 tensor [B, L]. */
function tokenTensor(rows: readonly Int32Array[], device: string): NativeTensor {
  const length = rows[0]?.length ?? 0;
  return binding().Tensor.from(
    BigInt64Array.from(rows.flatMap((row) => Array.from(row, BigInt))),
    [rows.length, length],
    { device },
  );
}

/** A row a prompt, and which of them were cut. */
function tokenize(tokenizer: TextTokenizer, prompts: readonly string[]): { ids: Int32Array[]; truncated: boolean[] } {
  const each = prompts.map((prompt) => tokenizer.encode([prompt]));
  return { ids: each.map(({ ids }) => ids[0]!), truncated: each.map(({ truncated }) => truncated > 0) };
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
