import type { DType, NativeFlowModel } from '../runtime/native/binding.js';
import type { SolverName } from '../runtime/ode-solver.js';
import type { Tensor } from '../runtime/native/tensor.js';

/** The floating-point types that networks compute in. */
export type ModelDType = Extract<DType, 'float32' | 'float64' | 'bfloat16' | 'float16'>;

/**
 * How an autoencoder's decoder computes: in float32; in float32 but for its convolutions, which on CUDA round what they
 * multiply to the 10 bits of TF32; or in bfloat16.
 */
export type DecoderPrecision = 'tf32' | 'float32' | 'bfloat16';

/** What a {@link DecoderPrecision} can be. */
export const decoderPrecisions = ['tf32', 'float32', 'bfloat16'] as const satisfies readonly DecoderPrecision[];

/** What the LoRA adapter is like that {@link loadModel} gives a model to train. */
export interface AdapterOptions {
  /** The rank of the low-rank update (LoRA, arXiv 2106.09685); at least 1. */
  rank: number;
  /** The update is scaled by alpha / rank. */
  alpha: number;
  /** The layers whose names end in one of these are adapted; without it, the model's own choice. */
  targets?: readonly string[] | undefined;
  /**
   * Whether rollouts and drawing compute with copies of the adapted layers' weights that the update is added to, which
   * are in memory that long; default true. Half types round the sums up or down by chance, so that their mean is
   * right.
   */
  fold?: boolean | undefined;
}

/** Options of {@link loadModel}. */
export interface LoadModelOptions {
  /** `'cpu'`, `'cuda'` or `'cuda:N'`; default `'cpu'`. It is never another than the one that is asked for. */
  device?: string | undefined;
  /**
   * What the network computes in; default `'float32'`. Latents, rewards and the adapter's own weights stay float32
   * where it is half.
   */
  dtype?: ModelDType | undefined;
  /** Without it the model has no adapter, and can be sampled from but not fine-tuned. */
  adapter?: AdapterOptions | undefined;
  /** The adapter's first weights are drawn from this seed. */
  seed?: bigint | undefined;
  /** The size of the images in pixels; without it, the size that the model was made for. */
  size?: ImageSize | undefined;
  /** Whether only one block's activations are kept, and all are computed again in the backward pass: less memory. */
  checkpointing?: boolean | undefined;
  /** How many tokens of a prompt a text encoder reads that has no limit of its own; the default is the model's. */
  textLength?: number | undefined;
  /** How the decoder of its autoencoder computes; default: `'tf32'` on CUDA and `'float32'` on the CPU. */
  decoder?: DecoderPrecision | undefined;
  /**
   * `'sliced'` has one block of the largest text encoder on the device at a time while prompts are encoded, which takes
   * longer: all of its weights go to a GPU for each 16 prompts. The embeddings are the same. Default `'whole'`.
   */
  textEncoders?: 'whole' | 'sliced' | undefined;
  /** Where embeddings of prompts are kept, if it computes any; default: `text-embeddings` in the user's cache. */
  embeddingCache?: string | undefined;
}

/** How large images are, in pixels. */
export interface ImageSize {
  /** The width in pixels: at least 1, and a multiple of what the model asks for. */
  width: number;
  /** The height in pixels, likewise. */
  height: number;
}

/** Options of {@link Model.prepare}. */
export interface PrepareOptions {
  /** What guidance is to lead away from; default: no prompt. */
  negativePrompt?: string | undefined;
  /** It is told what the user should know, such as how many prompts were too long; at most once a matter. */
  onNote?: ((message: string) => void) | undefined;
  /** It is told of the prompts that are encoded, where any are: `done` of `total`. */
  onProgress?: ((done: number, total: number) => void) | undefined;
  /** Once it is aborted, encoding stops between batches of prompts. */
  signal?: AbortSignal | undefined;
}

/** How a sample is drawn. */
export interface Drawing {
  /** How many steps the solver takes. */
  steps: number;
  /** The solver of the ODE dX = v(X, t) dt, which goes from noise at t = 0 to data at t = 1. */
  solver: SolverName;
  /** How strong the classifier-free guidance is; 1 stands for none. */
  guidance: number;
}

/** Defaults of {@link Model.sampling}. */
export interface SamplingDefaults extends Drawing {
  /** A network evaluation takes at most this many samples, which should fit in memory. */
  batch: number;
  /** How many images are drawn in all; where it is left out, one for each prompt. */
  count?: number | undefined;
}

/** What is known of the LoRA adapter that a model carries. */
export interface AdapterInfo {
  /** The rank r of the update W + (alpha/r) B A. */
  rank: number;
  /** The update is scaled by alpha / rank. */
  alpha: number;
  /** The layers whose names end in one of these are adapted. */
  targets: readonly string[];
}

/**
 * A generative model: what the trainer and the sampler know of one. `loadModel` and `defineModel` make one. A class of
 * one's own can implement it, too, with the `native` of a model that these made: everything else is plain JavaScript.
 */
export interface Model {
  /** Its type, such as `'digits'`, or the name that it was defined with. */
  readonly name: string;
  /** Where its weights came from: `'digits'`, a directory or a module. Adapters record it. */
  readonly source: string;
  /** Where its weights and latents are: `'cpu'` or `'cuda:N'`. */
  readonly device: string;
  /** What the network computes in. */
  readonly dtype: ModelDType;
  /** The shape of one latent, which has no dimension for the batch. */
  readonly latentShape: readonly number[];
  /** The adapter it was loaded with, if any; one that trains its own parameters has none. */
  readonly adapter: AdapterInfo | undefined;
  /** How it is sampled where nobody says otherwise. */
  readonly sampling: SamplingDefaults;
  /** How the decoder of its autoencoder computes, where it has one. */
  readonly decoder?: DecoderPrecision | undefined;
  /** Why the model cannot be guided, where it cannot: `unconditional` then throws it. */
  readonly unguided?: string | undefined;
  /** The network, which only this package makes. @throws DisposedError after `dispose()` */
  readonly native: NativeFlowModel;

  /**
   * Computes s in t ↦ t / (t + s (1 − t)), which carries so many even times to those that suit the resolution; 1 leaves
   * them even.
   */
  timeShift(steps: number): number;
  /** Computes the sampler's times, which go from 0 to 1: `steps` + 1 of them. */
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
   * Computes the conditioning of no prompt, or of a negative one, which guidance leads away from.
   * @throws ConfigError where the model knows no negative prompts, or cannot be guided
   */
  unconditional(count: number, negativePrompt?: string): Promise<Tensor[]>;

  /**
   * Reads what was trained into the network: an adapter's directory in PEFT's layout or diffusers', or a file of
   * diffusers', of kohya's sd-scripts or of ComfyUI; or the model's own parameters.
   * @throws CheckpointError if it does not fit
   */
  loadAdapter(path: string): Promise<void>;
  /** Writes what is trained, or `tensors` in its place: an adapter in PEFT's layout, or the model's own parameters. */
  saveAdapter(directory: string, tensors?: Readonly<Record<string, Tensor>>): Promise<void>;

  /** Frees the weights; every use after it throws DisposedError. */
  dispose(): void;
  /** Disposes of the model where `using` ends. */
  [Symbol.dispose](): void;
}
