import { expected } from '../../schema/validate.js';
import { ConfigError, DisposedError } from '../../errors.js';
import type { NativeFlowModel } from '../../runtime/native/binding.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { loadAdapterOf, saveAdapterOf } from '../adapters/adapter.js';
import type {
  AdapterInfo,
  AdapterOptions,
  DecoderPrecision,
  ImageSize,
  Model,
  ModelDType,
  PrepareOptions,
  SamplingDefaults,
} from '../model.js';
import type { SingleFileNetwork } from '../single-file.js';
import type { Embeddings } from './embeddings.js';

/** The sampler's times, and how they follow the resolution. */
export interface PipelineScheduler {
  times(steps: number): number[];
  timeShift(steps: number): number;
}

/** What a {@link PipelineModel} is made of. */
export interface PipelineParts {
  /** What {@link Model.name} says. */
  name: string;
  /** Its name in messages. */
  title: string;
  native: NativeFlowModel;
  embeddings: Embeddings;
  scheduler: PipelineScheduler;
  source: string;
  device: string;
  dtype: ModelDType;
  decoder: DecoderPrecision;
  adapter: AdapterInfo | undefined;
  latentShape: readonly number[];
  sampling: SamplingDefaults;
  /** What {@link Model.unguided} says. */
  unguided?: string | undefined;
  /** The networks of a published single file of its kind, whose names adapters may have. */
  networks?: readonly SingleFileNetwork[];
}

/** A published model in diffusers' layout: a flow on an autoencoder's latents, conditioned on embeddings of prompts. */
export class PipelineModel implements Model {
  readonly name: string;
  readonly source: string;
  readonly device: string;
  readonly dtype: ModelDType;
  readonly decoder: DecoderPrecision;
  readonly adapter: AdapterInfo | undefined;
  readonly latentShape: readonly number[];
  readonly sampling: SamplingDefaults;
  readonly unguided: string | undefined;
  #native: NativeFlowModel | undefined;

  constructor(private readonly parts: PipelineParts) {
    const { name, source, device, dtype, decoder, adapter, latentShape, sampling, native } = parts;
    this.name = name;
    this.source = source;
    this.device = device;
    this.dtype = dtype;
    this.decoder = decoder;
    this.adapter = adapter;
    this.latentShape = latentShape;
    this.sampling = sampling;
    this.unguided = parts.unguided;
    this.#native = native;
  }

  get native(): NativeFlowModel {
    if (!this.#native) throw new DisposedError(`the ${this.parts.title} model was used after dispose()`);
    return this.#native;
  }

  timeShift(steps: number): number {
    return this.parts.scheduler.timeShift(steps);
  }

  times(steps: number): number[] {
    return this.parts.scheduler.times(steps);
  }

  async prepare(prompts: readonly string[], options: PrepareOptions = {}): Promise<void> {
    const { negativePrompt = '' } = options;
    const guided = this.unguided === undefined;
    await this.parts.embeddings.prepare(prompts, { ...options, negativePrompt: guided ? negativePrompt : undefined });
  }

  async encode(prompts: readonly string[]): Promise<Tensor[]> {
    return this.parts.embeddings.rows(prompts);
  }

  async unconditional(count: number, negativePrompt = ''): Promise<Tensor[]> {
    if (this.unguided !== undefined) throw new ConfigError(this.unguided);
    return this.parts.embeddings.rows(Array<string>(count).fill(negativePrompt));
  }

  loadAdapter(directory: string): Promise<void> {
    return loadAdapterOf(this, directory, this.parts.networks);
  }

  saveAdapter(directory: string, tensors?: Readonly<Record<string, Tensor>>): Promise<void> {
    return saveAdapterOf(this, directory, tensors);
  }

  dispose(): void {
    this.#native = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The adapter that options ask for, on these layers where they name none. */
export const adapterInfo = ({ rank, alpha, targets }: AdapterOptions, own: readonly string[]): AdapterInfo => ({
  rank,
  alpha,
  targets: targets ?? own,
});

/** Pixels that are sampled at a time where nobody says: two images of 1024 × 1024. */
const sampledPixels = 2 ** 21;

/** Images of this many pixels that are drawn at a time. */
export const sampleBatchOf = (pixels: number): number => Math.min(128, Math.max(1, Math.floor(sampledPixels / pixels)));

/** @throws ConfigError for a side that is no multiple of `granularity`, in pixels */
export function checkSides({ width, height }: ImageSize, granularity: number): void {
  for (const [name, pixels] of Object.entries({ width, height })) {
    if (Number.isSafeInteger(pixels) && pixels >= granularity && pixels % granularity === 0) continue;
    const near = Math.max(granularity, Math.round(pixels / granularity) * granularity);
    throw new ConfigError(expected(`image ${name}`, `a multiple of ${granularity} pixels, such as ${near}`, pixels));
  }
}

/** @throws ConfigError for a number of tokens that is none */
export function checkTextLength(textLength: number): void {
  if (Number.isSafeInteger(textLength) && textLength >= 1) return;
  throw new ConfigError(expected('textLength', 'a whole number from 1', textLength));
}
