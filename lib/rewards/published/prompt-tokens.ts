import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';

/** What a tokenizer gives for some texts, a row each. */
export interface Tokens {
  ids: readonly Int32Array[];
  mask?: readonly Int32Array[] | undefined;
  truncated: number;
}

/** The token ids of prompts, each worked out once: a run asks for the same ones again and again. */
export class PromptTokens {
  readonly #rows = new Map<string, { ids: Int32Array; mask: Int32Array | undefined }>();
  #truncated = 0;

  constructor(
    private readonly tokenizer: { encode(texts: readonly string[]): Tokens },
    private readonly onTruncated: (shortened: string) => void,
  ) {}

  /** Different prompts that were cut. */
  get truncated(): number {
    return this.#truncated;
  }

  /** int64 [B, L]; the caller disposes of them. */
  tensors(prompts: readonly string[]): { ids: Tensor; mask?: Tensor } {
    const rows = prompts.map((prompt) => this.#row(prompt));
    const masks = rows.flatMap(({ mask }) => (mask ? [mask] : []));
    return { ids: toTensor(rows.map(({ ids }) => ids)), ...(masks.length && { mask: toTensor(masks) }) };
  }

  #row(prompt: string): { ids: Int32Array; mask: Int32Array | undefined } {
    const known = this.#rows.get(prompt);
    if (known) return known;
    const { ids, mask, truncated } = this.tokenizer.encode([prompt]);
    if (truncated) {
      this.#truncated += 1;
      this.onTruncated(JSON.stringify(prompt.length > 60 ? `${prompt.slice(0, 60)}…` : prompt));
    }
    const row = { ids: ids[0]!, mask: mask?.[0] };
    this.#rows.set(prompt, row);
    return row;
  }
}

function toTensor(rows: readonly Int32Array[]): Tensor {
  const length = rows[0]?.length ?? 0;
  const data = new BigInt64Array(rows.length * length);
  for (const [index, row] of rows.entries()) data.set(Array.from(row, BigInt), index * length);
  return binding().Tensor.from(data, [rows.length, length]);
}
