import { createHash } from 'node:crypto';

import { join } from 'node:path';

import { CheckpointError } from '../../errors.js';
import { binding } from '../../runtime/native/index.js';
import { disposeAll, readHeader, removeUnfinished, saveTensors } from '../../files/safetensors.js';
import type { SafetensorsHeader } from '../../files/safetensors-header.js';
import type { ModelDType } from '../model.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import type { Elements, EmbeddingFacts, PromptEmbedding } from './prompt-encoding.js';
import { makeDirectory } from '../../runtime/make-directory.js';

/** Milliseconds after which a file that is not whole is nobody's any more: one is written in far less. */
const abandoned = 3_600_000;

const sha256 = (...parts: readonly (string | Elements)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

/** Embeddings of prompts on disk, a file each. Several processes may share the folder. */
export class EmbeddingCache {
  #swept = false;

  constructor(
    private readonly directory: string,
    private readonly identity: string,
    private readonly dtype: ModelDType,
    private readonly facts: Omit<EmbeddingFacts, 'identity'>,
  ) {}

  /** What is known of a stored embedding without reading it; undefined where there is none, or it is cut short. */
  async peek(prompt: string): Promise<PromptEmbedding['truncated'] | undefined> {
    const header = await this.header(prompt);
    return header && this.truncatedOf(header);
  }

  /** Undefined where it is not stored, or what is stored is damaged. */
  async read(prompt: string): Promise<PromptEmbedding | undefined> {
    const header = await this.header(prompt);
    if (!header) return undefined;
    const tensors = await unlessDamaged(binding().readTensors(this.path(prompt), header.entries));
    if (!tensors) return undefined;
    try {
      const elements: Record<string, Elements> = {};
      for (const name of this.names) elements[name] = (await tensors[name]!.data()) as Elements;
      return sha256(...Object.values(elements)) === header.metadata['sha256']
        ? { tensors: elements, truncated: this.truncatedOf(header) }
        : undefined;
    } finally {
      disposeAll(tensors);
    }
  }

  /** @throws CheckpointError where it cannot be written; what was there before is then still there */
  async write(prompt: string, embedding: PromptEmbedding): Promise<void> {
    const tensors: Record<string, Tensor> = {};
    for (const name of this.names)
      tensors[name] = binding().Tensor.from(embedding.tensors[name]!, [...this.facts.shapes[name]!], {
        dtype: this.dtype,
      });
    const flags = this.facts.readers.map(({ key }) => [truncatedKey(key), String(embedding.truncated[key])]);
    try {
      makeDirectory(this.directory);
      if (!this.#swept) await removeUnfinished(this.directory, abandoned);
      this.#swept = true;
      await saveTensors(this.path(prompt), tensors, {
        prompt,
        sha256: sha256(...this.names.map((name) => embedding.tensors[name]!)),
        ...(Object.fromEntries(flags) as Record<string, string>),
      });
    } catch (error) {
      if (error instanceof CheckpointError) throw error;
      throw new CheckpointError(`${this.directory} cannot be written: ${(error as Error).message}`, { cause: error });
    } finally {
      disposeAll(tensors);
    }
  }

  private async header(prompt: string): Promise<SafetensorsHeader | undefined> {
    const header = await unlessDamaged(readHeader(this.path(prompt)));
    const fits =
      header?.entries.length === this.names.length &&
      header.entries.every(
        ({ name, dtype, shape }) => dtype === this.dtype && String(shape) === String(this.facts.shapes[name]),
      );
    return fits && header.metadata['prompt'] === prompt ? header : undefined;
  }

  private truncatedOf({ metadata }: SafetensorsHeader): PromptEmbedding['truncated'] {
    return Object.fromEntries(
      this.facts.readers.map(({ key }) => [key, metadata[truncatedKey(key)] === 'true'] as const),
    );
  }

  private get names(): string[] {
    return Object.keys(this.facts.shapes);
  }

  private path(prompt: string): string {
    return join(this.directory, `${sha256(JSON.stringify([this.identity, prompt]))}.safetensors`);
  }
}

/** `truncatedClip` of the key `clip`. */
const truncatedKey = (key: string): string => `truncated${key[0]!.toUpperCase()}${key.slice(1)}`;

/** A damaged file is as good as none: what it held can be computed again. */
async function unlessDamaged<Value>(value: Promise<Value>): Promise<Value | undefined> {
  try {
    return await value;
  } catch (error) {
    if (error instanceof CheckpointError) return undefined;
    throw error;
  }
}
