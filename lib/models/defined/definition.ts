import { z } from 'zod';

import { ConfigError, ShapeError } from '../../errors.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { solverNames } from '../../runtime/native/choices.generated.js';
import { callback, objectWith } from '../../schema/options.js';
import { expected, validate } from '../../schema/validate.js';
import type { AdapterInfo, ModelDType, PrepareOptions, SamplingDefaults } from '../model.js';

/** What {@link ModelDefinition.velocity} and {@link ModelDefinition.decode} compute with. */
export interface ModelContext {
  /**
   * The tensors of `weights` and of `trainable`, by their names. For the pretrained velocity, those of `trainable` are
   * what they were when the model was defined.
   */
  parameters: Readonly<Record<string, Tensor>>;
  /** Whether the pretrained velocity is recorded, so that adapters which add nothing to it can be left out. */
  pretrained: boolean;
}

/** What {@link defineModel} makes a model of. */
export interface ModelDefinition {
  /** A name for messages, and for the adapters that are written. */
  name: string;
  /** The shape of one latent, without a dimension for the batch, such as [channels, height, width]. */
  latentShape: readonly number[];
  /**
   * The tensors that stay as they are; default: none. They are cast to `dtype` where they are of floating point, and
   * shared where nothing changes; the program may dispose of its own.
   */
  weights?: Readonly<Record<string, Tensor>> | undefined;
  /** The tensors that training changes, floating-point; they are copied, as float32. */
  trainable: Readonly<Record<string, Tensor>>;
  /**
   * Computes v(x, t) = E[Ẋ | X_t = x], from noise at t = 0 to data at t = 1, with the operators of `ops`. It is not
   * asynchronous, and is called once for each set of shapes: what it calls is recorded, and computed natively from then
   * on. A tensor with numbers that it takes from elsewhere becomes a constant.
   * @param x [B, …latentShape], float32
   * @param t [B], float32, in [0, 1]
   * @param conditioning what `encode` gave
   * @returns a tensor of x's shape
   */
  velocity(x: Tensor, t: Tensor, conditioning: readonly Tensor[], context: ModelContext): Tensor;
  /**
   * Computes what the velocity is conditioned on: tensors whose first dimension is the batch. They are handed over, and
   * disposed of after use. Left out by a model that reads no prompts.
   */
  encode?(prompts: readonly string[]): readonly Tensor[] | Promise<readonly Tensor[]>;
  /**
   * Computes the conditioning of `count` samples of no prompt, or of a negative one, which guidance leads away from.
   * Left out by a model that cannot be guided.
   */
  unconditional?(count: number, negativePrompt: string): readonly Tensor[] | Promise<readonly Tensor[]>;
  /** Does at once what `encode` needs for these prompts, before the first of them. */
  prepare?(prompts: readonly string[], options: PrepareOptions): void | Promise<void>;
  /**
   * Computes images [B, channels, H, W] in [0, 1] of latents [B, …latentShape], as `velocity` is computed. Left out
   * where latents are images in [−1, 1].
   */
  decode?(latents: Tensor, context: ModelContext): Tensor;
  /**
   * Says that `trainable` holds pairs NAME.lora_A.weight [rank, in] and NAME.lora_B.weight [out, rank] of LoRA, so that
   * checkpoints hold an adapter in PEFT's layout.
   */
  adapter?: AdapterInfo | undefined;
  /** How it is sampled where nobody says otherwise; default: 20 steps of Heun, no guidance, 32 samples at a time. */
  sampling?: Partial<SamplingDefaults> | undefined;
  /** s in t ↦ t / (t + s (1 − t)), which the times of sampling go through; default 1, which leaves them even. */
  timeShift?: number | undefined;
  /** The variance of the elements of the latents at time 1; default 1. */
  latentVariance?: number | undefined;
  /** `'cpu'`, `'cuda'` or `'cuda:N'`; default `'cpu'`. */
  device?: string | undefined;
  /** What `weights` are kept in; default `'float32'`. */
  dtype?: ModelDType | undefined;
}

const tensors = z.record(z.string().min(1), objectWith('a Tensor', 'shape', 'dataSync'));
const natural = z.int().min(1);

const definitionSchema = z.strictObject({
  name: z.string().min(1),
  latentShape: z.array(natural).min(1),
  weights: tensors.optional(),
  trainable: tensors,
  velocity: callback,
  encode: callback.optional(),
  unconditional: callback.optional(),
  prepare: callback.optional(),
  decode: callback.optional(),
  adapter: z.object({ rank: natural, alpha: z.number().gt(0), targets: z.array(z.string().min(1)) }).optional(),
  sampling: z
    .strictObject({
      steps: natural.optional(),
      solver: z.enum(solverNames).optional(),
      guidance: z.number().min(0).optional(),
      batch: natural.optional(),
      count: natural.optional(),
    })
    .optional(),
  timeShift: z.number().gt(0).optional(),
  latentVariance: z.number().gt(0).optional(),
  device: z.string().optional(),
  dtype: z.enum(['float32', 'float64', 'bfloat16', 'float16']).optional(),
});

/** @throws ConfigError, ShapeError for a definition that is none */
export function checkDefinition(definition: ModelDefinition): void {
  validate(definitionSchema, definition, 'defineModel');
  const { latentShape, weights = {}, trainable, adapter, decode } = definition;
  const twice = Object.keys(trainable).find((name) => Object.hasOwn(weights, name));
  if (twice !== undefined)
    throw new ConfigError(`defineModel: "${twice}" is in weights and in trainable: name it once`);
  for (const [name, { dtype, shape }] of Object.entries(trainable)) {
    const where = `defineModel: trainable['${name}']`;
    if (!dtype.includes('float')) throw new ShapeError(expected(where, 'floating-point numbers', dtype));
    if (adapter) checkPair(name, shape, where, adapter);
  }
  if (!decode && latentShape.length !== 3) {
    const what = 'a function, since latents of another shape than [channels, height, width] are no images';
    throw new ConfigError(expected('defineModel: decode', what, 'none'));
  }
}

function checkPair(name: string, shape: readonly number[], where: string, { rank }: AdapterInfo): void {
  const [, part] = /\.lora_([AB])\.weight$/.exec(name) ?? [];
  const shapes = `NAME.lora_A.weight [${rank}, in] or NAME.lora_B.weight [out, ${rank}], as adapter says`;
  if (part === undefined) throw new ConfigError(expected(where, shapes, 'another name; or leave out adapter'));
  if (shape.length !== 2 || shape[part === 'A' ? 0 : 1] !== rank)
    throw new ShapeError(expected(where, shapes, `shape [${shape.join(', ')}]`));
}
