import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';

import { readJson } from '../../schema/json.js';
import { CheckpointError, ConfigError, EamError } from '../../errors.js';
import type { NativeTensor } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { disposeAll, loadTensors } from '../../files/safetensors.js';

/** A directory of files as they are published. */
export class PublishedDirectory {
  /** @param expected what belongs there, for messages: 'PickScore, a CLIPModel of transformers' */
  constructor(
    readonly path: string,
    private readonly expected: string,
  ) {}

  has(name: string): boolean {
    return existsSync(join(this.path, name));
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Says what was found beside `problem`. */
  async refusal(problem: string): Promise<CheckpointError> {
    let found: string[];
    try {
      found = (await readdir(this.path)).sort();
    } catch (error) {
      return new CheckpointError(`cannot read ${this.path}: ${(error as Error).message}; expected ${this.expected}`, {
        cause: error,
      });
    }
    const pipeline = found.includes('model_index.json') ? ' (a diffusion pipeline)' : '';
    const listed = found.length > 20 ? [...found.slice(0, 20), '…'] : found;
    return new CheckpointError(
      `${this.path}: ${problem}; expected ${this.expected}, found ${listed.length ? listed.join(', ') : 'nothing'}${pipeline}`,
    );
  }

  /** @throws CheckpointError that lists the directory if it is not there */
  async json(name: string): Promise<unknown> {
    if (!this.has(name)) throw await this.refusal(`there is no ${name}`);
    return readJson(this.file(name));
  }

  /** The first of `names` that is there. @throws CheckpointError that lists the directory if there is none of them */
  async locate(names: readonly string[]): Promise<string> {
    const name = names.find((candidate) => this.has(candidate));
    if (!name) throw await this.refusal(`there is no ${names.join(' or ')}`);
    return this.file(name);
  }

  /**
   * The tensors of the first of `names` that is there: .safetensors or, through LibTorch's restricted unpickler, .pt and
   * .pth. Prefixes that hold the whole dictionary are taken off.
   * @throws CheckpointError if there is none of them, or it is damaged
   */
  async tensors(
    names: readonly string[],
    prefix = '',
  ): Promise<{ path: string; tensors: Record<string, NativeTensor> }> {
    const path = await this.locate(names);
    const read = extname(path) === '.safetensors' ? await loadTensors(path) : await binding().readTorchFile(path);
    return { path, tensors: withoutPrefix(read, prefix) };
  }
}

/** Only the names that start with `prefix`, without it, where there are such names. */
function withoutPrefix(tensors: Record<string, NativeTensor>, prefix: string): Record<string, NativeTensor> {
  if (!prefix || !Object.keys(tensors).some((name) => name.startsWith(prefix))) return tensors;
  const kept = only(tensors, (name) => name.startsWith(prefix));
  return Object.fromEntries(Object.entries(kept).map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}

/** The tensors whose names are wanted; the others are disposed of. */
export function only(
  tensors: Record<string, NativeTensor>,
  wanted: (name: string) => boolean,
): Record<string, NativeTensor> {
  const kept: Record<string, NativeTensor> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    if (wanted(name)) kept[name] = tensor;
    else tensor.dispose();
  }
  return kept;
}

/** The length of one of a tensor's dimensions, for a network whose sizes only its weights tell. */
export function sizeOf(tensors: Record<string, NativeTensor>, path: string, name: string, dimension: number): number {
  const length = tensors[name]?.shape[dimension];
  if (length) return length;
  const known = Object.keys(tensors);
  throw new CheckpointError(
    `${path} has no ${name}${tensors[name] ? ` of ${dimension + 1} dimensions` : ''}, by which its kind is known; ` +
      `it has ${known.length} tensors, the first are ${known.slice(0, 4).join(', ')}`,
  );
}

/** How many numbers n there are tensors of the name `prefix`n`.…` for. */
export function layersOf(tensors: Record<string, NativeTensor>, prefix: string): number {
  const numbers = Object.keys(tensors)
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number.parseInt(name.slice(prefix.length), 10));
  return new Set(numbers.filter(Number.isInteger)).size;
}

/** The side of a square image of `patches` patches. @throws ConfigError if they make no square */
export function sideOf(patches: number, patchSize: number, path: string): number {
  const side = Math.sqrt(patches);
  if (!Number.isInteger(side)) throw new ConfigError(`${path}: its ${patches} positions of patches make no square`);
  return side * patchSize;
}

/** How many heads of `headWidth` a tower of `width` has. @throws ConfigError naming `source` where they do not fit */
export function headsOf(width: number, headWidth: number, source: string): number {
  if (width % headWidth === 0) return width / headWidth;
  throw new ConfigError(`${source}: a tower of ${width} numbers has no heads of ${headWidth}`);
}

/**
 * Gives the tensors to what loads a network of them; it keeps what it needs.
 * @param source where they are from, for messages: a job may have several rewards
 */
export async function consume<Network>(
  source: string,
  tensors: Record<string, NativeTensor>,
  load: () => Promise<Network>,
): Promise<Network> {
  try {
    return await load();
  } catch (error) {
    if (error instanceof EamError) error.message = `${source}: ${error.message}`;
    throw error;
  } finally {
    disposeAll(tensors);
  }
}
