import { z } from 'zod';

import { disposeAll } from '../files/safetensors.js';
import { cancellable } from '../runtime/cancellation.js';
import { timeDistributions } from '../runtime/native/choices.generated.js';
import type { FlowMatchingOptions } from '../runtime/native/options.generated.js';
import { binding } from '../runtime/native/index.js';
import type { Tensor } from '../runtime/native/tensor.js';
import type { Model } from './model.js';
import type { PretrainTask } from './pretraining.js';

/** The settings of flow matching that a configuration has. */
export const flowSettings = {
  labelDropout: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe('This fraction of the labels or prompts is dropped, so that the model also learns to draw without one.'),
  timeDistribution: z.enum(timeDistributions).default('logit_normal').describe('The times are drawn from this.'),
};

/** What a model is pretrained on, whose latents are the images themselves, in [-1, 1]. */
export interface FlowExamples extends Pick<PretrainTask, 'examples' | 'source'> {
  /** [N, channels, height, width] float32 in [0, 1]. */
  images: Tensor;
  /** The prompt of an image, by its number. */
  promptOf(image: number): string;
  /** What is drawn to look at. */
  prompts: readonly string[];
  /** How far the images of a batch are shifted, (down, right) each; left out: not at all. */
  shifts?: (count: number, step: number) => Int32Array | undefined;
}

/** How it is pretrained on them. */
export interface FlowTaskSettings extends Pick<FlowMatchingOptions, 'timeDistribution'> {
  /** The fraction of prompts that are dropped, so that the model also learns to draw without one. */
  labelDropout: number;
  batch: number;
  seed: bigint;
  signal: AbortSignal | undefined;
}

/** Flow matching of a model on images. The task disposes of both. */
export async function flowTask(
  model: Model,
  { images, examples, source, promptOf, prompts, shifts }: FlowExamples,
  { labelDropout, timeDistribution, batch, seed, signal }: FlowTaskSettings,
): Promise<PretrainTask> {
  const unconditional = labelDropout > 0 ? await model.unconditional(batch) : [];
  return {
    network: model.native,
    load: (weights) => model.native.load('weights', weights),
    examples,
    source,
    async accumulate(rows, step) {
      const x1 = await binding().gatherImages(images, rows, shifts?.(rows.length, step), 2, -1);
      const conditioning = await model.encode(Array.from(rows, (row) => promptOf(row)));
      try {
        return await cancellable(signal, (cancellation) =>
          binding().flowMatching(model.native, {
            x1,
            conditioning,
            unconditional,
            dropout: labelDropout,
            timeDistribution,
            seed,
            step,
            cancellation,
          }),
        );
      } finally {
        x1.dispose();
        disposeAll(conditioning);
      }
    },
    samples: { model, prompts },
    [Symbol.dispose]() {
      model.dispose();
      disposeAll([images, ...unconditional]);
    },
  };
}
