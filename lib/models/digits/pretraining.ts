import { z } from 'zod';

import { disposeAll } from '../../files/safetensors.js';
import { cancellable } from '../../runtime/cancellation.js';
import { timeDistributions } from '../../runtime/native/choices.generated.js';
import { binding } from '../../runtime/native/index.js';
import { pretraining } from '../pretraining.js';
import { checkFitsMnist, drawShifts, loadMnist, mnistSettings } from './mnist.js';
import { digitsConfigSchema, digitsDrawing, newDigitsModel } from './model.js';

/** The digits, by flow matching. */
export const digitsPretraining = pretraining({
  type: 'digits',
  model: digitsConfigSchema,
  settings: {
    data: z.strictObject(mnistSettings).prefault({}).describe('The network is trained on these images.'),
    labelDropout: z
      .number()
      .min(0)
      .max(1)
      .default(0.1)
      .describe('This fraction of the labels is dropped, so that the model also learns to draw unconditionally.'),
    timeDistribution: z.enum(timeDistributions).default('logit_normal').describe('The times are drawn from this.'),
  },
  drawing: digitsDrawing,
  async start({ model: sizes, data, labelDropout, timeDistribution, ...config }, signal) {
    checkFitsMnist(sizes);
    const seed = BigInt(config.seed);
    const model = newDigitsModel(sizes, config.output, { device: config.device, seed });
    const { images, labels, train } = await loadMnist(data.heldOut, config.device);
    const unconditional = await model.unconditional(config.batch);
    return {
      network: model.native,
      load: (weights) => model.native.load('weights', weights),
      examples: train,
      source: { name: data.name, heldOut: data.heldOut },
      async accumulate(rows, step) {
        // Latents are in [−1, 1].
        const x1 = await binding().gatherImages(images, rows, drawShifts(rows.length, data.shift, seed, step), 2, -1);
        const conditioning = await model.encode(Array.from(rows, (row) => String(labels[row])));
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
      samples: { model, prompts: Array.from({ length: sizes.classes }, (_, digit) => String(digit)) },
      [Symbol.dispose]() {
        model.dispose();
        disposeAll([images, ...unconditional]);
      },
    };
  },
});
