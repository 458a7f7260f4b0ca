import { access } from 'node:fs/promises';
import { join } from 'node:path';

import { expected } from '../../schema/validate.js';
import { CheckpointError } from '../../errors.js';
import { binding } from '../../runtime/native/index.js';
import { disposeAll, readHeader } from '../../files/safetensors.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import type { GoldenComparison } from './finding.js';

const fileName = 'goldens.safetensors';

/** What a published implementation computes with a directory, from its goldens.safetensors; CPU tensors. */
export class Goldens implements Disposable {
  readonly #seen = new Set<string>();

  private constructor(
    readonly path: string,
    readonly metadata: Readonly<Record<string, string>>,
    private readonly tensors: Readonly<Record<string, Tensor>>,
    private readonly tolerance: number,
  ) {}

  /** @throws CheckpointError for a directory without goldens, or a damaged file */
  static async open(directory: string, tolerance: number): Promise<Goldens> {
    const path = join(directory, fileName);
    await access(path).catch((error: unknown) => {
      throw new CheckpointError(
        `${directory} holds no ${fileName}: there is nothing to compare with. It comes from running the published ` +
          'implementation on this very directory; its keys are in docs/verify.md',
        { cause: error },
      );
    });
    const { entries, metadata } = await readHeader(path);
    return new Goldens(path, metadata, await binding().readTensors(path, entries), tolerance);
  }

  get names(): string[] {
    return Object.keys(this.tensors);
  }

  /** Names that start so, without the start. */
  under(prefix: string): string[] {
    return this.names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  }

  has(...names: string[]): boolean {
    return names.every((name) => Object.hasOwn(this.tensors, name));
  }

  /** A golden that is compared, or an input: either way known. @throws CheckpointError if it is missing */
  get(name: string): Tensor {
    const tensor = this.tensors[name];
    if (!tensor) throw new CheckpointError(`${this.path} holds no "${name}", which others of its tensors go with`);
    this.#seen.add(name);
    return tensor;
  }

  /**
   * Compares, and disposes of what was computed.
   * @param options `label`: what tells several comparisons with one golden apart; `tolerance`: another than the rest's
   * @throws CheckpointError for another shape than the golden's
   */
  async compare(
    name: string,
    computed: Tensor,
    options: { label?: string; tolerance?: number } = {},
  ): Promise<GoldenComparison> {
    const { label, tolerance = this.tolerance } = options;
    try {
      const golden = this.get(name);
      if (String(computed.shape) !== String(golden.shape)) {
        throw new CheckpointError(
          expected(
            `${this.path}: "${name}"`,
            `shape [${computed.shape.join(', ')}] as was computed`,
            `[${golden.shape.join(', ')}]: the goldens belong to another configuration`,
          ),
        );
      }
      const { largest, scale } = await binding().largestDifference(computed, golden);
      return { name: label ? `${name} (${label})` : name, error: largest, scale, tolerance };
    } finally {
      computed.dispose();
    }
  }

  /** Names that were neither compared nor read. */
  get unseen(): string[] {
    return this.names.filter((name) => !this.#seen.has(name));
  }

  [Symbol.dispose](): void {
    disposeAll(this.tensors);
  }
}
