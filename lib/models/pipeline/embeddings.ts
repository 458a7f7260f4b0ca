import type { NativeTensor } from '../../runtime/native/binding.js';
import { CheckpointError } from '../../errors.js';
import { binding } from '../../runtime/native/index.js';
import { noCacheDirectory } from '../../runtime/native/libtorch.js';
import type { PrepareOptions } from '../model.js';
import { EmbeddingCache } from './embedding-cache.js';
import { zeros, type EmbeddingFacts, type PromptEmbedding, type PromptEncoding } from './prompt-encoding.js';

/** Prompts that the encoders read at a time. */
export const encoderBatch = 16;

/** Memory for embeddings that are also on disk, in bytes. */
const memoryBudget = 2 ** 30;

interface Opened extends Pick<EmbeddingFacts, 'shapes' | 'readers'> {
  /** undefined: nothing is kept on disk. */
  cache: EmbeddingCache | undefined;
}

/**
 * The embeddings of prompts: computed once, by encoders that are loaded for it and freed after, kept on disk where
 * there is a directory for it, and served from memory or from there.
 */
export class Embeddings {
  /** The one used last is the last. */
  readonly #memory = new Map<string, PromptEmbedding>();
  #bytes = 0;
  /** Prompts that have a file, and whether they were cut. The others must stay in memory. */
  readonly #stored = new Map<string, PromptEmbedding['truncated']>();
  #toldUnwritable = false;
  #opened: Promise<Opened> | undefined;
  /** The encoders are loaded for one call at a time. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly encoding: PromptEncoding,
    private readonly cacheDirectory: string | undefined,
  ) {}

  /** Sees to it that the embeddings of these prompts and of the negative one are there. @throws the signal's reason */
  prepare(prompts: readonly string[], options: PrepareOptions = {}): Promise<void> {
    const { negativePrompt, onNote = () => {} } = options;
    return this.#enqueue(async () => {
      const distinct = [...new Set(prompts)];
      const missing = await this.missing(negativePrompt === undefined ? distinct : [...distinct, negativePrompt]);
      if (missing.length) {
        onNote(`encoding ${missing.length} prompt${missing.length > 1 ? 's' : ''}`);
        await this.#compute(missing, options);
      }
      await this.#tellTruncated(distinct, negativePrompt, onNote);
    });
  }

  /**
   * Those of these prompts, each once, whose embeddings are yet to be computed. Neither encoders nor the native core
   * are needed to tell.
   */
  async missing(prompts: readonly string[]): Promise<string[]> {
    const missing: string[] = [];
    for (const prompt of new Set(prompts)) {
      if (!(await this.#isKnown(prompt))) missing.push(prompt);
    }
    return missing;
  }

  /** Returns the network's conditioning for these prompts: a tensor a shape, [B, …]. */
  async rows(prompts: readonly string[]): Promise<NativeTensor[]> {
    await this.prepare(prompts);
    const { dtype, device } = this.encoding;
    const { shapes } = await this.#open();
    const parts = Object.entries(shapes).map(([name, shape]) => {
      const length = shape.reduce((product, size) => product * size, 1);
      return { name, shape, length, data: zeros(dtype, prompts.length * length) };
    });
    for (const [number, prompt] of prompts.entries()) {
      const { tensors } = await this.#get(prompt);
      for (const { name, length, data } of parts) data.set(tensors[name]!, number * length);
    }
    const { Tensor } = binding();
    return parts.map(({ shape, data }) => Tensor.from(data, [prompts.length, ...shape], { dtype, device }));
  }

  async #compute(prompts: readonly string[], { onNote = () => {}, onProgress, signal }: PrepareOptions): Promise<void> {
    signal?.throwIfAborted();
    using encoders = await this.encoding.load();
    for (let first = 0; first < prompts.length; first += encoderBatch) {
      signal?.throwIfAborted();
      const batch = prompts.slice(first, first + encoderBatch);
      for (const [number, embedding] of (await encoders.encode(batch)).entries())
        await this.#keep(batch[number]!, embedding, onNote);
      onProgress?.(first + batch.length, prompts.length);
    }
  }

  async #keep(prompt: string, embedding: PromptEmbedding, onNote: (message: string) => void): Promise<void> {
    const { cache } = await this.#open();
    try {
      if (!cache) throw new CheckpointError(noCacheDirectory);
      await cache.write(prompt, embedding);
      this.#stored.set(prompt, embedding.truncated);
    } catch (error) {
      // The next prompt is tried again: what is not on disk stays in memory however much it is.
      if (!this.#toldUnwritable) onNote(`text embeddings stay in memory: ${(error as Error).message}`);
      this.#toldUnwritable = true;
    }
    this.#remember(prompt, embedding);
  }

  async #isKnown(prompt: string): Promise<boolean> {
    if (this.#memory.has(prompt) || this.#stored.has(prompt)) return true;
    const truncated = await (await this.#open()).cache?.peek(prompt);
    if (truncated) this.#stored.set(prompt, truncated);
    return truncated !== undefined;
  }

  async #get(prompt: string): Promise<PromptEmbedding> {
    const { cache } = await this.#open();
    const known = this.#memory.get(prompt) ?? (await cache?.read(prompt));
    if (known) {
      this.#remember(prompt, known);
      return known;
    }
    // What its file holds is damaged, which its header does not tell, or it was removed since it was seen.
    this.#stored.delete(prompt);
    await this.#enqueue(() => this.#compute([prompt], {}));
    return this.#memory.get(prompt)!;
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    const run = this.#queue.then(work);
    this.#queue = run.catch(() => undefined);
    return run;
  }

  #remember(prompt: string, embedding: PromptEmbedding): void {
    this.#forget(prompt);
    this.#memory.set(prompt, embedding);
    this.#bytes += bytesOf(embedding);
    for (const oldest of this.#memory.keys()) {
      if (this.#bytes <= memoryBudget) break;
      if (oldest !== prompt && this.#stored.has(oldest)) this.#forget(oldest);
    }
  }

  #forget(prompt: string): void {
    const embedding = this.#memory.get(prompt);
    if (!embedding) return;
    this.#memory.delete(prompt);
    this.#bytes -= bytesOf(embedding);
  }

  async #tellTruncated(
    prompts: readonly string[],
    negativePrompt: string | undefined,
    onNote: (message: string) => void,
  ): Promise<void> {
    const { readers } = await this.#open();
    const truncatedOf = (prompt: string) => this.#memory.get(prompt)?.truncated ?? this.#stored.get(prompt);
    const cut = prompts.map(truncatedOf);
    for (const { key, name, length } of readers) {
      const count = cut.filter((truncated) => truncated?.[key]).length;
      const many = `${count} of ${prompts.length} ${prompts.length === 1 ? 'prompt' : 'prompts'}`;
      if (count)
        onNote(
          `${many} ${count === 1 ? 'is' : 'are'} longer than the ${length} tokens that ${name} reads: it does not ` +
            'read what comes after them',
        );
      if (negativePrompt !== undefined && truncatedOf(negativePrompt)?.[key]) {
        onNote(
          `the negative prompt is longer than the ${length} tokens that ${name} reads: it does not read what comes ` +
            'after them',
        );
      }
    }
  }

  #open(): Promise<Opened> {
    this.#opened ??= this.#read();
    return this.#opened;
  }

  /** Tokenizers are not loaded for this: where every prompt is known they are not needed. */
  async #read(): Promise<Opened> {
    const { shapes, readers, identity } = await this.encoding.facts();
    const cache =
      this.cacheDirectory === undefined
        ? undefined
        : new EmbeddingCache(this.cacheDirectory, await identity(), this.encoding.dtype, { shapes, readers });
    return { shapes, readers, cache };
  }
}

const bytesOf = ({ tensors }: PromptEmbedding): number =>
  Object.values(tensors).reduce((sum, { byteLength }) => sum + byteLength, 0);
