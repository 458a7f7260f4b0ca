import { encode } from 'fast-png';
import { z } from 'zod';

import { cancellable } from '../runtime/cancellation.js';
import { promptsSchema } from '../schema/prompts.js';
import { abortSignal, callback, objectWith, seed64 } from '../schema/options.js';
import { validate } from '../schema/validate.js';
import { ConfigError, NonFiniteError } from '../errors.js';
import type { Model } from '../models/model.js';
import type { NativeOptimizer } from '../runtime/native/binding.js';
import { binding } from '../runtime/native/index.js';
import { solverNames } from '../runtime/native/choices.generated.js';
import type { SolverName } from '../runtime/ode-solver.js';
import { originOf } from '../files/origin.js';
import { disposeAll } from '../files/safetensors.js';
import type { Tensor } from '../runtime/native/tensor.js';

/** Members of options that are drawn by. */
export const drawingShape = {
  prompts: promptsSchema,
  seed: seed64,
  steps: z.int().min(1).optional(),
  solver: z.enum(solverNames).optional(),
  guidance: z.number().min(0).optional(),
  negativePrompt: z.string().optional(),
  average: objectWith('an optimizer', 'stepCount').optional(),
  batch: z.int().min(1).optional(),
  signal: abortSignal.optional(),
};
export const modelShape = objectWith('a model, such as loadModel gives', 'latentShape', 'encode');
const argumentsSchema = z.object({
  model: modelShape,
  options: z.strictObject({
    ...drawingShape,
    weights: z.enum(['trained', 'pretrained']).optional(),
    onNote: callback.optional(),
    onPrepare: callback.optional(),
  }),
});

/** These are the options of {@link sampleImages} and {@link sampleBatches}. */
export interface SampleOptions {
  /** The prompts: one for each image, at least one. */
  prompts: readonly string[];
  /** Sample i starts from noise that depends on `seed` and i alone, whatever the batches. */
  seed: bigint;
  /** How many of the model's own steps the solver takes; default, as for all that follows: the model's choice. */
  steps?: number | undefined;
  /** The solver of the ODE dX = v(X, t) dt, which goes from noise at t = 0 to data at t = 1. */
  solver?: SolverName | undefined;
  /** How strong the classifier-free guidance is; 1 stands for none. */
  guidance?: number | undefined;
  /** What guidance leads away from, where the model knows such prompts; default: no prompt. */
  negativePrompt?: string | undefined;
  /** The trained weights draw the images, or with `'pretrained'` those without the adapter. */
  weights?: 'trained' | 'pretrained' | undefined;
  /** The images are drawn with this optimizer's averaged weights. */
  average?: NativeOptimizer | undefined;
  /** A network evaluation takes at most this many samples. */
  batch?: number | undefined;
  /** It is told what the user should know: what {@link Model.prepare} tells, and how many images are not finite. */
  onNote?: ((message: string) => void) | undefined;
  /** It is told of the prompts that are encoded before anything is drawn, where any are: `done` of `total`. */
  onPrepare?: ((done: number, total: number) => void) | undefined;
  /** Once it is aborted, drawing stops between network evaluations. */
  signal?: AbortSignal | undefined;
}

/** A batch of images with their prompts, which {@link sampleBatches} yields. */
export interface SampleBatch {
  /** The images, [B, channels, H, W] in [0, 1], not clamped. The receiver disposes of them. */
  images: Tensor;
  /** The prompts: one for each image. */
  prompts: readonly string[];
  /** How many network evaluations they took; one sample at one time counts as one. */
  forwards: number;
}

/**
 * Draws one image a prompt, a batch at a time.
 * @throws ConfigError for options out of range and prompts that the model cannot follow; NonFiniteError where no image
 * so far is finite; the signal's reason
 */
export async function* sampleBatches(model: Model, options: SampleOptions): AsyncGenerator<SampleBatch> {
  validate(argumentsSchema, { model, options }, 'sample');
  const { prompts, seed, weights = 'trained', average, negativePrompt, onNote, onPrepare } = options;
  const {
    steps = model.sampling.steps,
    solver = model.sampling.solver,
    guidance = model.sampling.guidance,
    batch = model.sampling.batch,
  } = options;
  // Before prompts are encoded, which may take long.
  if (guidance !== 1 && model.unguided !== undefined) throw new ConfigError(model.unguided);
  await model.prepare(prompts, { negativePrompt, onNote, onProgress: onPrepare, signal: options.signal });
  const times = model.times(steps);
  let broken = 0;
  for (let first = 0; first < prompts.length; first += batch) {
    const part = prompts.slice(first, first + batch);
    const conditioning = await model.encode(part);
    const unconditional = guidance === 1 ? undefined : await model.unconditional(part.length, negativePrompt);
    try {
      const { latents, forwards } = await cancellable(options.signal, (cancellation) =>
        binding().sample(model.native, {
          conditioning,
          ...(unconditional && { unconditional }),
          guidance,
          solver,
          times,
          shape: [part.length, ...model.latentShape],
          seed,
          firstSample: first,
          weights,
          ...(average && { average }),
          cancellation,
        }),
      );
      try {
        const images = await model.native.images(latents);
        await (await originOf(model))?.refuseChanged();
        broken += await countNonFinite(images);
        if (broken === first + part.length) {
          images.dispose();
          throw new NonFiniteError(whyNonFinite(model, weights, broken));
        }
        yield { images, prompts: part, forwards };
      } finally {
        latents.dispose();
      }
    } finally {
      disposeAll(conditioning);
      if (unconditional) disposeAll(unconditional);
    }
  }
  if (broken)
    onNote?.(`${broken} of the ${prompts.length} images hold numbers that are not finite, and are black there`);
}

/** Images with a number in them that is not finite: their mean is not, either. */
async function countNonFinite(images: Tensor): Promise<number> {
  const { values } = await binding().meanIntensity(images, false);
  return values.filter((value) => !Number.isFinite(value)).length;
}

function whyNonFinite({ source, dtype, adapter }: Model, weights: 'trained' | 'pretrained', count: number): string {
  const causes = [
    ...(dtype === 'float16' ? ["activations beyond float16's range: take dtype bfloat16 or float32"] : []),
    ...(adapter && weights === 'trained'
      ? ['an adapter that is damaged, or has diverged in training: draw without it']
      : []),
    `weights in ${source} that are damaged: compare the files' checksums with the published ones, or download ` +
      'them again',
  ];
  return (
    `${count === 1 ? 'the image' : `all ${count} images`} drawn so far hold${count === 1 ? 's' : ''} numbers that ` +
    `are not finite. Likely causes:\n  ${causes.join('\n  ')}`
  );
}

/**
 * Draws one image a prompt: [N, channels, H, W] float32 in [0, 1], not clamped, on the CPU. The device holds one batch
 * at a time; whoever wants to go on there takes {@link sampleBatches}.
 */
export async function sampleImages(model: Model, options: SampleOptions): Promise<Tensor> {
  validate(argumentsSchema, { model, options }, 'sample');
  const rows = options.prompts.length;
  let data = new Float32Array();
  let shape: readonly number[] = [];
  let offset = 0;
  for await (const { images } of sampleBatches(model, options)) {
    try {
      const part = (await images.data()) as Float32Array;
      if (offset === 0) {
        shape = images.shape.slice(1);
        data = new Float32Array((rows * part.length) / images.shape[0]!);
      }
      data.set(part, offset);
      offset += part.length;
    } finally {
      images.dispose();
    }
  }
  // Shares the array.
  return binding().Tensor.from(data, [rows, ...shape]);
}

/**
 * Encodes all images side by side as one PNG.
 * @param text stored as the PNG's text metadata, such as the settings the images were drawn with; what is not ASCII, as
 *   JSON escapes it
 * @param padding white pixels around each image
 */
export async function encodeGrid(
  images: Tensor,
  columns: number,
  text: Readonly<Record<string, string>> = {},
  padding = 2,
): Promise<Uint8Array> {
  validate(z.record(z.string(), z.string()), text, 'encodeGrid: text');
  const grid = await binding().imageGrid(images, columns, padding);
  const ascii = Object.entries(text).map(([key, value]) => [key, escapeToAscii(value)]);
  return encode({ ...grid, depth: 8, text: { Software: 'eam-torch', ...Object.fromEntries(ascii) } });
}

/** PNG's plain text is Latin-1. */
function escapeToAscii(text: string): string {
  return text.replace(/[^\x20-\x7e\n]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** `count` prompts that go through `prompts` in turn. */
export function cyclePrompts(prompts: readonly string[], count: number): string[] {
  return Array.from({ length: count }, (_, index) => prompts[index % prompts.length]!);
}
