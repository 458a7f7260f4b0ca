import type { DType, NativeFlowModel } from '../runtime/native/binding.js';
import type { SolverName } from '../runtime/ode-solver.js';
import type { Tensor } from '../runtime/native/tensor.js';

/** Floating-point types that networks compute in. */
export type ModelDType = Extract<DType, 'float32' | 'float64' | 'bfloat16' | 'float16'>;

/** The LoRA adapter to train; of {@link loadModel}. */
export interface AdapterOptions {
  /** Rank of the low-rank update (LoRA, arXiv 2106.09685). */
  rank: number;
  /** The update is scaled by alpha / rank. */
  alpha: number;
  /** Suffixes of the names of the layers to adapt; without it, the model's own choice. */
  targets?: readonly string[] | undefined;
}

/** Options of {@link loadModel}. */
export interface LoadModelOptions {
  /** `'cpu'`, `'cuda'` or `'cuda:N'`; default `'cpu'`. Never another than the one that is asked for. */
  device?: string | undefined;
  /**
   * What the network computes in; default `'float32'`. Latents, rewards and the adapter's own weights stay float32
   * where it is half.
   */
  dtype?: ModelDType | undefined;
  /** Without it the model has no adapter, and can be sampled from but not fine-tuned. */
  adapter?: AdapterOptions | undefined;
  /** Seed of the adapter's initialisation. */
  seed?: bigint | undefined;
  /** The size of the images in pixels; without it, the size that the model was made for. */
  size?: ImageSize | undefined;
  /** Keep one block's activations at a time and compute them again in the backward pass, for less memory. */
  checkpointing?: boolean | undefined;
  /** Tokens a prompt that a T5 text encoder reads; default 256. */
  textLength?: number | undefined;
  /** Where embeddings of prompts are kept, if it computes any; default: `text-embeddings` in the user's cache. */
  embeddingCache?: string | undefined;
}

/** A size of images, in pixels. */
export interface ImageSize {
  /** At least 1; a multiple of what the model asks for. */
  width: number;
  /** In pixels. */
  height: number;
}

/** Options of {@link Model.prepare}. */
export interface PrepareOptions {
  /** What guidance is to lead away from; default: no prompt. */
  negativePrompt?: string | undefined;
  /** Told what the user should know, such as how many prompts were too long; at most once a matter. */
  onNote?: ((message: string) => void) | undefined;
  /** Told of the prompts that are encoded, where any are: `done` of `total`. */
  onProgress?: ((done: number, total: number) => void) | undefined;
  /** Stops between batches of prompts. */
  signal?: AbortSignal | undefined;
}

/** How a sample is drawn. */
export interface Drawing {
  /** Steps of the solver. */
  steps: number;
  /** Solves the ODE dX = v(X, t) dt from noise at t = 0 to data at t = 1. */
  solver: SolverName;
  /** Classifier-free guidance; 1: none. */
  guidance: number;
}

/** Defaults of {@link Model.sampling}. */
export interface SamplingDefaults extends Drawing {
  /** Samples a network evaluation: what should fit in memory. */
  batch: number;
  /** Images in all; left out: one a prompt. */
  count?: number | undefined;
}

/** A LoRA adapter as a model carries it. */
export interface AdapterInfo {
  /** r of W + (alpha/r) B A. */
  rank: number;
  /** The update is scaled by alpha / rank. */
  alpha: number;
  /** Suffixes of the names of the adapted layers. */
  targets: readonly string[];
}

/** A generative model: what the trainer and the sampler know of one. */
export interface Model {
  /** Its type, such as `'digits'`: the name of its loader. */
  readonly name: string;
  /** Where its weights came from: `'digits'` or a directory. Recorded in adapters. */
  readonly source: string;
  /** Where its weights and latents are: `'cpu'` or `'cuda:N'`. */
  readonly device: string;
  /** What the network computes in. */
  readonly dtype: ModelDType;
  /** Shape of one latent, without the batch. */
  readonly latentShape: readonly number[];
  /** The adapter it was loaded with, if any. */
  readonly adapter: AdapterInfo | undefined;
  /** How it is sampled where nobody says otherwise. */
  readonly sampling: SamplingDefaults;
  /** s of t ↦ t / (t + s (1 − t)), which carries even times to those that suit the resolution; 1: left even. */
  readonly timeShift: number;
  /** @throws DisposedError after `dispose()` */
  readonly native: NativeFlowModel;

  /** The sampler's times, from 0 to 1: `steps` + 1 of them. */
  times(steps: number): number[];
  /**
   * Computes what `encode` and `unconditional` need for these prompts, at once, and frees what computed it. Not needed
   * before `encode`, but cheaper than a batch of prompts at a time.
   * @throws ConfigError for a prompt that the model cannot follow; the signal's reason
   */
  prepare(prompts: readonly string[], options?: PrepareOptions): Promise<void>;
  /**
   * What the network is conditioned on, for a batch of prompts; the first dimension of each tensor is the batch.
   * @throws ConfigError for a prompt that the model cannot follow
   */
  encode(prompts: readonly string[]): Promise<Tensor[]>;
  /**
   * The conditioning of no prompt, or of a negative one: what guidance leads away from.
   * @throws ConfigError where the model knows no negative prompts
   */
  unconditional(count: number, negativePrompt?: string): Promise<Tensor[]>;

  /** Reads an adapter, in PEFT's layout or diffusers', into the network. @throws CheckpointError if it does not fit */
  loadAdapter(directory: string): Promise<void>;
  /** Writes the adapter, or `tensors` in place of its weights, in PEFT's layout. */
  saveAdapter(directory: string, tensors?: Readonly<Record<string, Tensor>>): Promise<void>;

  /** Frees the weights; every use after it throws DisposedError. */
  dispose(): void;
  /** Disposes of the model where `using` ends. */
  [Symbol.dispose](): void;
}
