import { encode } from 'fast-png';
import { z } from 'zod';

import { cancellable } from './cancellation.js';
import { promptsSchema } from './config/prompts.js';
import { validate } from './config/validate.js';
import type { Model } from './models/model.js';
import type { NativeOptimizer } from './native/binding.js';
import { binding } from './native/index.js';
import type { SolverName } from './ode-solver.js';
import { disposeAll } from './safetensors.js';
import type { Tensor } from './tensor.js';

/** What would go wrong only in here: the rest is checked where it is used. */
const settingsSchema = z.object({ prompts: promptsSchema, steps: z.int().min(1), batch: z.int().min(1) });

/** Of {@link sampleImages} and {@link sampleBatches}. */
export interface SampleOptions {
  prompts: readonly string[];
  /** Sample i starts from noise that depends on `seed` and i alone, whatever the batches. */
  seed: bigint;
  /** Steps of the solver, through the model's own times; default 20. */
  steps?: number | undefined;
  solver?: SolverName | undefined;
  /** Classifier-free guidance; default 1, none. */
  guidance?: number | undefined;
  /** What guidance leads away from, where the model knows such prompts; default: no prompt. */
  negativePrompt?: string | undefined;
  /** `'pretrained'`: with the adapter off. */
  weights?: 'trained' | 'pretrained' | undefined;
  /** Sample with this optimizer's averaged weights. */
  average?: NativeOptimizer | undefined;
  /** Samples a network evaluation; default: the model's choice. */
  batch?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Images and their prompts, as {@link sampleBatches} yields them. */
export interface SampleBatch {
  /** [B, channels, H, W] in [0, 1], not clamped. The receiver disposes of it. */
  images: Tensor;
  prompts: readonly string[];
  /** Network evaluations, one sample at one time counted as one. */
  forwards: number;
}

/**
 * Draws one image a prompt, a batch at a time.
 * @throws ConfigError for options out of range and prompts that the model cannot follow; the signal's reason
 */
export async function* sampleBatches(model: Model, options: SampleOptions): AsyncGenerator<SampleBatch> {
  const { prompts, seed, steps = 20, solver = 'heun', guidance = 1, weights = 'trained', average, batch = model.sampleBatch, negativePrompt } = options;
  validate(settingsSchema, { prompts, steps, batch }, 'sample options');
  await model.prepare(prompts, { negativePrompt, signal: options.signal });
  const times = model.times(steps);
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
        yield { images: await model.native.images(latents), prompts: part, forwards };
      } finally {
        latents.dispose();
      }
    } finally {
      disposeAll(conditioning);
      if (unconditional) disposeAll(unconditional);
    }
  }
}

/** Draws one image a prompt: [N, channels, H, W] in [0, 1], not clamped. */
export async function sampleImages(model: Model, options: SampleOptions): Promise<Tensor> {
  const batches: Tensor[] = [];
  for await (const { images } of sampleBatches(model, options)) batches.push(images);
  if (batches.length === 1) return batches[0]!;
  try {
    return await concatenate(batches);
  } finally {
    disposeAll(batches);
  }
}

/** Float32 tensors joined along their first dimension, on the first one's device. */
export async function concatenate(tensors: readonly Tensor[]): Promise<Tensor> {
  const first = tensors[0]!;
  const rows = tensors.reduce((sum, tensor) => sum + tensor.shape[0]!, 0);
  const rowLength = first.shape.slice(1).reduce((product, length) => product * length, 1);
  const data = new Float32Array(rows * rowLength);
  let offset = 0;
  for (const tensor of tensors) {
    const part = (await tensor.data()) as Float32Array;
    data.set(part, offset);
    offset += part.length;
  }
  return binding().Tensor.from(data, [rows, ...first.shape.slice(1)], { device: first.device });
}

/**
 * One PNG of all images side by side.
 * @param text stored as the PNG's text metadata, such as the settings the images were drawn with
 */
export async function encodeGrid(
  images: Tensor,
  columns: number,
  text: Readonly<Record<string, string>> = {},
): Promise<Uint8Array> {
  const grid = await binding().imageGrid(images, columns, 2);
  return encode({ ...grid, depth: 8, text: { Software: 'eam-torch', ...text } });
}

/** `count` prompts that go through `prompts` in turn. */
export function cyclePrompts(prompts: readonly string[], count: number): string[] {
  return Array.from({ length: count }, (_, index) => prompts[index % prompts.length]!);
}
