import { join } from 'node:path';

import { DisposedError } from '../errors.js';
import type { GaussianMixtureConfig, NativeFlowModel } from '../runtime/native/binding.js';
import { binding } from '../runtime/native/index.js';
import { disposeAll, loadTensors, saveTensors } from '../files/safetensors.js';
import type { Tensor } from '../runtime/native/tensor.js';
import type { Model, ModelDType } from './model.js';
import { evenTimes } from './times.js';
import { makeDirectory } from '../runtime/make-directory.js';

const controlFile = 'control.safetensors';

/**
 * A rectified flow whose pretrained velocity is a Gaussian mixture's own, in closed form, plus a small control network
 * that training changes. It draws samples of d numbers, as images [d, 1, 1]; prompts are not read.
 */
export class GaussianMixtureModel implements Model {
  readonly name = 'gaussian-mixture';
  readonly source = 'gaussian-mixture';
  readonly adapter = undefined;
  readonly sampling = { steps: 20, solver: 'heun', guidance: 1, batch: 128 } as const;
  readonly latentShape: readonly number[];
  #native: NativeFlowModel | undefined;

  /** @throws ConfigError for a mixture that is none, or a dtype that is neither float32 nor float64 */
  constructor(
    config: GaussianMixtureConfig,
    { seed = 0n, dtype = 'float32', device = 'cpu' }: { seed?: bigint; dtype?: ModelDType; device?: string } = {},
  ) {
    this.#native = binding().newNetwork('gaussian-mixture', { config, seed, dtype, device });
    this.latentShape = [config.means[0]!.length];
    this.dtype = dtype;
    this.device = device;
  }

  readonly dtype: ModelDType;
  readonly device: string;

  get native(): NativeFlowModel {
    if (!this.#native) throw new DisposedError('the Gaussian mixture model was used after dispose()');
    return this.#native;
  }

  timeShift(): number {
    return 1;
  }

  times(steps: number): number[] {
    return evenTimes(steps);
  }

  async prepare(): Promise<void> {}

  /** A row a sample, and nothing in it. */
  async encode(prompts: readonly string[]): Promise<Tensor[]> {
    return this.unconditional(prompts.length);
  }

  async unconditional(count: number): Promise<Tensor[]> {
    return [binding().Tensor.from(new Float32Array(0), [count, 0], { device: this.device })];
  }

  /** Reads a control network that `saveAdapter` wrote. */
  async loadAdapter(directory: string): Promise<void> {
    const tensors = await loadTensors(join(directory, controlFile));
    try {
      await this.native.load('trainable', tensors);
    } finally {
      disposeAll(tensors);
    }
  }

  async saveAdapter(directory: string, tensors?: Readonly<Record<string, Tensor>>): Promise<void> {
    const own = tensors ? undefined : this.native.trainable();
    try {
      makeDirectory(directory);
      await saveTensors(join(directory, controlFile), tensors ?? own!);
    } finally {
      if (own) disposeAll(own);
    }
  }

  dispose(): void {
    this.#native = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
