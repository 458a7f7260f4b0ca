import { createHash } from 'node:crypto';

import { ConfigError, DisposedError } from '../../errors.js';
import { Origin, setOrigin } from '../../files/origin.js';
import { disposeAll } from '../../files/safetensors.js';
import type { NativeFlowModel } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { loadAdapterOf, saveAdapterOf } from '../adapters/adapter.js';
import type { AdapterInfo, Model, ModelDType, PrepareOptions, SamplingDefaults } from '../model.js';
import { loadOwnParameters, saveOwnParameters } from '../own-parameters.js';
import { evenTimes } from '../times.js';
import { checkedConditioning } from './conditioning.js';
import { checkDefinition, type ModelDefinition } from './definition.js';
import { inContext } from './context.js';
import { recordingOf } from './recording.js';

const defaults = { steps: 20, solver: 'heun', guidance: 1, batch: 32 } as const;

/** A model whose velocity is written in JavaScript. */
export class DefinedModel implements Model {
  readonly name: string;
  readonly device: string;
  readonly dtype: ModelDType;
  readonly latentShape: readonly number[];
  readonly adapter: AdapterInfo | undefined;
  readonly sampling: SamplingDefaults;
  /** Its name, or the module that defines it. */
  source: string;
  /** The file whose weights it has in the place of those that it was defined with. */
  weightsFile: string | undefined;
  /** A note on its module that the user should read. */
  note: string | undefined;
  readonly #timeShift: number;
  readonly #definition: Omit<ModelDefinition, 'weights' | 'trainable'>;
  #native: NativeFlowModel | undefined;

  constructor(definition: ModelDefinition) {
    checkDefinition(definition);
    const { name, latentShape, adapter, weights = {}, trainable, device = 'cpu', dtype = 'float32' } = definition;
    const { latentVariance = 1, timeShift = 1, sampling } = definition;
    this.name = name;
    this.source = name;
    this.dtype = dtype;
    this.latentShape = [...latentShape];
    this.adapter = adapter && { rank: adapter.rank, alpha: adapter.alpha, targets: [...adapter.targets] };
    this.sampling = { ...defaults, ...sampling };
    this.#timeShift = timeShift;
    this.device = device === 'cuda' ? 'cuda:0' : device;
    const record = recordingOf(definition);
    const { network, firstValues } = binding().newRecordedModel({
      frozen: weights,
      trainable,
      device,
      dtype,
      latentVariance,
      record,
    });
    this.#native = network;
    const { weights: _, trainable: __, ...functions } = definition;
    this.#definition = functions;
    setOrigin(this, async () => Origin.ofSettings([name, latentShape, await contentOf(network, firstValues)]));
  }

  get native(): NativeFlowModel {
    if (!this.#native) throw new DisposedError(`the model "${this.name}" was used after dispose()`);
    return this.#native;
  }

  /**
   * The definition of the model. Its tensors hold the numbers that the model has now, and share their memory with it.
   */
  definition(): ModelDefinition {
    const trained = new Set(this.native.trainableNames);
    const tensors = Object.entries(this.native.weights());
    const some = (isTrained: boolean) =>
      Object.fromEntries(tensors.filter(([name]) => trained.has(name) === isTrained));
    return { ...this.#definition, weights: some(false), trainable: some(true) };
  }

  timeShift(): number {
    return this.#timeShift;
  }

  times(steps: number): number[] {
    return evenTimes(steps).map((t) => t / (t + this.#timeShift * (1 - t)));
  }

  async prepare(prompts: readonly string[], options: PrepareOptions = {}): Promise<void> {
    if (this.note !== undefined) options.onNote?.(this.note);
    await this.#definition.prepare?.(prompts, options);
  }

  async encode(prompts: readonly string[]): Promise<Tensor[]> {
    const where = `encode of "${this.name}"`;
    const given = await inContext(where, () => this.#definition.encode?.(prompts));
    return checkedConditioning(given, prompts.length, this.device, where);
  }

  async unconditional(count: number, negativePrompt = ''): Promise<Tensor[]> {
    if (!this.#definition.unconditional) {
      throw new ConfigError(
        `the model "${this.name}" defines no unconditional(), and cannot be guided: draw at guidance 1, or define it`,
      );
    }
    const { unconditional } = this.#definition;
    const where = `unconditional of "${this.name}"`;
    const given = await inContext(where, () => unconditional.call(this.#definition, count, negativePrompt));
    return checkedConditioning(given, count, this.device, where);
  }

  loadAdapter(directory: string): Promise<void> {
    return this.adapter ? loadAdapterOf(this, directory) : loadOwnParameters(this.native, directory);
  }

  saveAdapter(directory: string, tensors?: Readonly<Record<string, Tensor>>): Promise<void> {
    return this.adapter
      ? saveAdapterOf(this, directory, tensors)
      : saveOwnParameters(this.native, { module: this.source, weights: this.weightsFile }, directory, tensors);
  }

  dispose(): void {
    this.#native = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A fingerprint of the numbers that a model begins with. */
async function contentOf(network: NativeFlowModel, firstValues: Record<string, Tensor>): Promise<string> {
  const weights = network.weights();
  const hash = createHash('sha256');
  try {
    for (const [name, tensor] of Object.entries({ ...weights, ...firstValues })) {
      const { buffer, byteOffset, byteLength } = await tensor.data();
      hash.update(JSON.stringify([name, tensor.dtype, tensor.shape]));
      hash.update(new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength));
    }
  } finally {
    disposeAll(weights);
  }
  return hash.digest('hex');
}

/**
 * Makes a model of a velocity that is written with the operators of `ops`, for `Trainer`, `sampleImages`, `evaluate`
 * and all else that takes a model.
 *
 *     const model = defineModel({
 *       name: 'shift',
 *       latentShape: [1, 8, 8],
 *       trainable: { bias: Tensor.from(new Float32Array(64), [1, 8, 8]) },
 *       velocity: (x, t, conditioning, { parameters }) => ops.sub(parameters.bias, x),
 *     });
 *
 * @throws ConfigError, ShapeError for a definition that is none; an error in `velocity` comes with its first use
 */
export function defineModel(definition: ModelDefinition): Model {
  return new DefinedModel(definition);
}
