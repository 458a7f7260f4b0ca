import type { NativeTensor, NativeTextEncoder } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import type { ModelDType } from '../model.js';
import type { TextTokenizer } from '../tokenizers/tokenizer.js';

/** Numbers of one prompt: float16 and bfloat16 as their bits. */
export type Elements = Float32Array | Float64Array | Uint16Array;

/** What a transformer reads of one prompt. */
export interface PromptEmbedding {
  /** By name, in the order in which the network takes them. */
  tensors: Readonly<Record<string, Elements>>;
  /** By a reader's key: whether the prompt was longer than what it reads. */
  truncated: Readonly<Record<string, boolean>>;
}

/** A text encoder, or several that read the same tokens. */
export interface PromptReader {
  key: string;
  /** Its name for users. */
  name: string;
  /** Tokens a prompt that it reads. */
  length: number;
}

/** Text encoders in memory, until they are disposed of. */
export interface PromptEncoders extends Disposable {
  /** Encodes all of these prompts at once. */
  encode(prompts: readonly string[]): Promise<PromptEmbedding[]>;
}

/** What is known of a model's embeddings without loading what computes them. */
export interface EmbeddingFacts {
  /** Shapes of the tensors of one prompt, by name. */
  shapes: Readonly<Record<string, readonly number[]>>;
  readers: readonly PromptReader[];
  /** Identifies all that embeddings depend on besides the prompt. */
  identity(): Promise<string>;
}

/** How a model's prompts become embeddings. */
export interface PromptEncoding {
  dtype: ModelDType;
  device: string;
  facts(): Promise<EmbeddingFacts>;
  /** @throws CheckpointError for weights or tokenizers that are missing, damaged or of other sizes */
  load(): Promise<PromptEncoders>;
}

export function zeros(dtype: ModelDType, length: number): Elements {
  if (dtype === 'float32') return new Float32Array(length);
  return dtype === 'float64' ? new Float64Array(length) : new Uint16Array(length);
}

/** What encoders whose activations leave float16's range compute in; bfloat16 is as wide as float32. */
export const wideType = (dtype: ModelDType): ModelDType => (dtype === 'float16' ? 'bfloat16' : dtype);

/** Rows of token ids as an int64 tensor [B, L]. */
function tokenTensor(rows: readonly Int32Array[], device: string): NativeTensor {
  const length = rows[0]?.length ?? 0;
  return binding().Tensor.from(
    BigInt64Array.from(rows.flatMap((row) => Array.from(row, BigInt))),
    [rows.length, length],
    { device },
  );
}

/** An encoder's output, on the CPU and in the dtype asked for. @param masks which ids are of the text, not padding */
export async function runEncoder(
  encoder: NativeTextEncoder,
  rows: readonly Int32Array[],
  { dtype, device }: Pick<PromptEncoding, 'dtype' | 'device'>,
  masks?: readonly Int32Array[],
): Promise<{ hidden: Elements; pooled: Elements | undefined }> {
  const take = async (tensor: NativeTensor): Promise<Elements> => {
    const moved = await tensor.to({ dtype, device: 'cpu' });
    tensor.dispose();
    try {
      return (await moved.data()) as Elements;
    } finally {
      moved.dispose();
    }
  };
  const ids = tokenTensor(rows, device);
  const mask = masks && tokenTensor(masks, device);
  try {
    const { hidden, pooled } = await encoder.encode(ids, mask);
    return { hidden: await take(hidden), pooled: pooled && (await take(pooled)) };
  } finally {
    ids.dispose();
    mask?.dispose();
  }
}

/** A row a prompt, and which of them were cut. */
export function tokenize(
  tokenizer: TextTokenizer,
  prompts: readonly string[],
): { ids: Int32Array[]; truncated: boolean[] } {
  const each = prompts.map((prompt) => tokenizer.encode([prompt]));
  return { ids: each.map(({ ids }) => ids[0]!), truncated: each.map(({ truncated }) => truncated > 0) };
}
