import { ConfigError, NonFiniteError } from '../../errors.js';
import { contentHash } from '../../files/content.js';
import { originOf } from '../../files/origin.js';
import { disposeAll } from '../../files/safetensors.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { expected } from '../../schema/validate.js';
import { folderTask, folderTaskSettings, imageShape } from '../folder-task.js';
import type { Model } from '../model.js';
import { pretraining } from '../pretraining.js';
import { DefinedModel } from './model.js';
import { definedBy, moduleDrawing, moduleDrawingOf } from './module.js';
import { untrainedModuleSchema } from './settings.js';
import { pretrainingOf, weightsMetadata } from './weights.js';

/** The network that a module defines, by flow matching on images. */
export const modulePretraining = pretraining({
  type: 'module',
  model: untrainedModuleSchema,
  settings: folderTaskSettings,
  drawing: moduleDrawing,
  drawingOf: ({ module }) => moduleDrawingOf(module),
  async start({ model: { type, module }, ...config }, signal) {
    const defined = await definedBy(module, { device: config.device, seed: BigInt(config.seed) });
    if (!(defined instanceof DefinedModel))
      throw new ConfigError(expected(`${module}: its default export`, 'a model of defineModel to pretrain', 'another'));
    const definition = defined.definition();
    const { encode, unconditional, decode, latentVariance } = definition;
    const images = imageShape(defined.latentShape, decode !== undefined);
    // A model that reads no prompts has none to drop.
    const labelDropout = encode ? config.labelDropout : 0;
    if (labelDropout > 0 && !unconditional)
      throw new ConfigError(
        expected(
          'labelDropout',
          `0, as ${module} defines no unconditional() that prompts are dropped to`,
          labelDropout,
        ),
      );
    const model = new DefinedModel(pretrainingOf(definition));
    const identity = [await contentHash(module), await (await originOf(model))!.identity()];
    const rehearsed = async (prompts: readonly string[], batch: number) => {
      await rehearse(model, prompts, batch, labelDropout > 0, signal);
      return model;
    };
    const { task, variance } = await folderTask({ ...config, labelDropout }, images, rehearsed, signal);
    return {
      ...task,
      identity,
      metadata: await weightsMetadata(module, latentVariance ?? variance),
      writeModel: async () => ({ type, module, weights: 'model.safetensors' }),
    };
  },
});

/**
 * Computes the velocity for every prompt, and the gradients of one step, before anything is written.
 * @throws ConfigError for a prompt that the model cannot follow, NonFiniteError for numbers that are none, what the
 *   module throws, and the signal's reason
 */
async function rehearse(
  model: Model,
  prompts: readonly string[],
  batch: number,
  dropsPrompts: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  await model.prepare(prompts);
  const { native, latentShape, device, name } = model;
  const free = dropsPrompts ? await model.unconditional(batch) : undefined;
  try {
    for (let first = 0; first < prompts.length; first += batch) {
      signal?.throwIfAborted();
      const some = Array.from({ length: batch }, (_, row) => prompts[(first + row) % prompts.length]!);
      const conditioning = await model.encode(some);
      using x = await binding().philoxNormal([batch, ...latentShape], { seed: 0n, stream: 0n, device });
      const times = Float32Array.from(some, (_, row) => (row + 0.5) / batch);
      try {
        if (free) refuseOthers(conditioning, free, name);
        // Prompts differ in their conditioning: the gradients of the first ones stand for those of all.
        if (first > 0) {
          using velocity = await native.velocity(x, times, conditioning, false);
          await refuseNonFinite('velocity', velocity, name);
          continue;
        }
        const found = await native.gradients(x, times, conditioning, x, native.trainableNames);
        try {
          await refuseNonFinite('velocity', found.velocity, name);
          for (const [part, tensor] of Object.entries(found.tensors))
            await refuseNonFinite(`the gradient of ${part}`, tensor, name);
        } finally {
          disposeAll([found.velocity, ...Object.values(found.tensors), found.x]);
        }
      } finally {
        disposeAll(conditioning);
      }
    }
  } finally {
    disposeAll(free ?? []);
  }
}

/**
 * Refuses a conditioning without a prompt whose tensors differ in kind from those of prompts: in a batch, rows of the
 * one take the places of rows of the other.
 * @throws ConfigError
 */
function refuseOthers(conditioning: readonly Tensor[], free: readonly Tensor[], name: string): void {
  const text = (tensors: readonly Tensor[]) =>
    tensors.map(({ dtype, shape }) => `${dtype} [${shape.join(', ')}]`).join(', ');
  if (text(conditioning) === text(free)) return;
  throw new ConfigError(
    expected(`unconditional of "${name}"`, `${text(conditioning)}, as encode gives for as many prompts`, text(free)),
  );
}

/** @param part `velocity`, or what else of the model the tensor is */
async function refuseNonFinite(part: string, tensor: Tensor, name: string): Promise<void> {
  const numbers = (await tensor.data()) as Float32Array;
  const found = numbers.find((number) => !Number.isFinite(number));
  if (found === undefined) return;
  const where = part === 'velocity' ? `velocity of "${name}"` : `"${name}": ${part}`;
  throw new NonFiniteError(`${expected(where, 'finite numbers from its first weights', found)}; see how it draws them`);
}
