import { z } from 'zod';

import { disposeAll } from '../../files/safetensors.js';
import { checkFitsMnist, drawShifts, loadMnist, mnistSettings } from '../../models/digits/mnist.js';
import { pretraining } from '../../models/pretraining.js';
import { binding } from '../../runtime/native/index.js';
import { Purpose, RandomStream, streamOf } from '../../runtime/random.js';
import { digitClassifierConfigSchema, newClassifier } from './digit-classifier.js';

/** Images that are read at a time when accuracy is measured. */
const measuredAtOnce = 500;

/** The classifier of digits, by cross-entropy. */
export const classifierPretraining = pretraining({
  type: 'digit-classifier',
  model: digitClassifierConfigSchema,
  settings: {
    data: z
      .strictObject({
        ...mnistSettings,
        noise: z
          .number()
          .min(0)
          .lt(1)
          .default(0)
          .describe(
            'Each image gets Gaussian noise of a standard deviation drawn from [0, noise], in units where white is 1.',
          ),
      })
      .prefault({})
      .describe('The network is trained on these images.'),
    labelSmoothing: z
      .number()
      .min(0)
      .lt(1)
      .default(0)
      .describe('This much of the probability is spread over all labels in the loss.'),
  },
  async start({ model: sizes, data, labelSmoothing, ...config }, signal) {
    checkFitsMnist(sizes);
    const seed = BigInt(config.seed);
    const classifier = newClassifier(sizes, seed, config.device);
    const { images: all, labels, train, heldOut } = await loadMnist(data.heldOut, config.device);
    return {
      network: classifier,
      load: (weights) => classifier.load(weights),
      examples: train,
      source: { name: data.name, heldOut: data.heldOut },
      async accumulate(rows, step) {
        signal?.throwIfAborted();
        let images = await binding().gatherImages(all, rows, drawShifts(rows.length, data.shift, seed, step), 1, 0);
        try {
          if (data.noise > 0) {
            const random = new RandomStream(seed, streamOf(step, 2, Purpose.data));
            // (1 − s) image + s ε: what a flow's latents look like shortly before time 1.
            const t = Float32Array.from(rows, () => 1 - data.noise * random.uniform());
            const clean = images;
            images = await binding().renoise({
              x1: clean,
              t,
              noise: { seed, stream: streamOf(step, 0, Purpose.renoise) },
            });
            clean.dispose();
          }
          const wanted = rows.map((row) => labels[row]!);
          const { loss, correct } = await classifier.accumulate(images, wanted, labelSmoothing);
          return { loss, accuracy: correct / rows.length };
        } finally {
          images.dispose();
        }
      },
      async measure() {
        let correct = 0;
        for (let first = 0; first < heldOut.length; first += measuredAtOnce) {
          const rows = heldOut.slice(first, first + measuredAtOnce);
          const images = await binding().gatherImages(all, rows, undefined, 1, 0);
          const wanted = rows.map((row) => labels[row]!);
          const { predicted, features } = await classifier.logProbability(images, wanted, false);
          correct += predicted.filter((label, index) => label === wanted[index]).length;
          disposeAll([images, features]);
        }
        return heldOut.length ? correct / heldOut.length : undefined;
      },
      [Symbol.dispose]: () => all.dispose(),
    };
  },
});
