import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { expected } from '../../schema/validate.js';
import { readJson } from '../../schema/json.js';
import { CheckpointError, ConfigError } from '../../errors.js';
import { fetchHint, placeOf } from '../../files/hub-cache.js';

/** A directory of files as they are published. */
export class PublishedDirectory {
  readonly path: string;

  /**
   * @param source its path, or a name of the hub's
   * @param expected what belongs there, for messages: 'PickScore, a CLIPModel of transformers'
   */
  constructor(
    private readonly source: string,
    private readonly expected: string,
  ) {
    this.path = placeOf(source);
  }

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
      const what = `nothing that can be read: ${(error as Error).message}${fetchHint(this.source)}`;
      return new CheckpointError(expected(this.path, this.expected, what), { cause: error });
    }
    const pipeline = found.includes('model_index.json') ? ' (a diffusion pipeline)' : '';
    const listed = found.length > 20 ? [...found.slice(0, 20), '…'] : found;
    const what = `${listed.length ? listed.join(', ') : 'nothing'}${pipeline}; ${problem}`;
    return new CheckpointError(expected(this.path, this.expected, what));
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
}

/** The shapes of a file's tensors, by their names. */
export type Shapes = Readonly<Record<string, readonly number[]>>;

/** The length of one of a tensor's dimensions, for a network whose sizes only its weights tell. */
export function sizeOf(shapes: Shapes, path: string, name: string, dimension: number): number {
  const length = shapes[name]?.[dimension];
  if (length) return length;
  const known = Object.keys(shapes);
  throw new CheckpointError(
    expected(
      path,
      `${name}${shapes[name] ? ` of ${dimension + 1} dimensions` : ''}, by which its kind is known`,
      `${known.length} tensors, the first ${known.slice(0, 4).join(', ')}`,
    ),
  );
}

/** How many numbers n there are tensors of the name `prefix`n`.…` for. */
export function layersOf(shapes: Shapes, prefix: string): number {
  const numbers = Object.keys(shapes)
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number.parseInt(name.slice(prefix.length), 10));
  return new Set(numbers.filter(Number.isInteger)).size;
}

/** The side of a square image of `patches` patches. @throws ConfigError if they make no square */
export function sideOf(patches: number, patchSize: number, path: string): number {
  const side = Math.sqrt(patches);
  if (!Number.isInteger(side))
    throw new ConfigError(expected(path, 'positions of patches that make a square', patches));
  return side * patchSize;
}

/** How many heads of `headWidth` a tower of `width` has. @throws ConfigError naming `source` where they do not fit */
export function headsOf(width: number, headWidth: number, source: string): number {
  if (width % headWidth === 0) return width / headWidth;
  throw new ConfigError(expected(source, `a tower of a multiple of ${headWidth} numbers, a head's width`, width));
}
