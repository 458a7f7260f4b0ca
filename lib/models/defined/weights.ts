import { basename } from 'node:path';

import { CheckpointError } from '../../errors.js';
import { contentHash } from '../../files/content.js';
import { disposeAll, readHeader, readTensors } from '../../files/safetensors.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import type { ModelDefinition } from './definition.js';
import { DefinedModel } from './model.js';

type Tensors = Readonly<Record<string, Tensor>>;

/**
 * The definition that is trained to become the pretrained model of another: the other's own network, whose tensors of
 * floating point all train. The pairs of LoRA are no part of it, and add nothing to its velocity.
 */
export function pretrainingOf({ weights = {}, trainable, adapter, ...definition }: ModelDefinition): ModelDefinition {
  const own = Object.entries({ ...weights, ...(adapter ? {} : trainable) });
  const isTrained = ([, tensor]: [string, Tensor]) => tensor.dtype.includes('float');
  // The function may ask for these tensors even where they add nothing, so that they are given to it as constants.
  const constants = { ...Object.fromEntries(own.filter((entry) => !isTrained(entry))), ...(adapter ? trainable : {}) };
  return {
    ...definition,
    trainable: Object.fromEntries(own.filter(isTrained)),
    velocity: (x, t, conditioning, { parameters }) =>
      definition.velocity(x, t, conditioning, { parameters: { ...constants, ...parameters }, pretrained: true }),
  };
}

/** The metadata of a file of pretrained weights. */
export async function weightsMetadata(module: string, latentVariance: number): Promise<Record<string, string>> {
  return { module: basename(module), sha256: await contentHash(module), latentVariance: String(latentVariance) };
}

/**
 * The model that a module defines, with the tensors of a file in the place of those that pretraining trains.
 * @param model the module's, which is disposed of
 * @throws CheckpointError for a file that cannot be read, that lacks a tensor, or has one too many or of another shape
 */
export async function withStoredWeights(model: DefinedModel, path: string): Promise<DefinedModel> {
  using unread = model;
  const definition = unread.definition();
  const { metadata } = await readHeader(path);
  const stored = await readTensors(path);
  let read: Tensors = {};
  try {
    using network = new DefinedModel(pretrainingOf(definition));
    await network.native.load('weights', stored).catch((error: unknown) => {
      throw error instanceof CheckpointError
        ? new CheckpointError(`${path}: ${error.message}`, { cause: error })
        : error;
    });
    read = network.native.weights();
    const replaced = (tensors: Tensors) =>
      Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, read[name] ?? tensor]));
    const variance = Number(metadata['latentVariance']);
    const known = new DefinedModel({
      ...definition,
      weights: replaced(definition.weights!),
      trainable: replaced(definition.trainable),
      latentVariance: definition.latentVariance ?? (variance > 0 ? variance : undefined),
    });
    known.source = model.source;
    known.weightsFile = path;
    known.note = await noteOf(model.source, path, metadata);
    return known;
  } finally {
    // These records have the same names, so that they cannot be one.
    for (const tensors of [stored, read, definition.weights!, definition.trainable]) disposeAll(tensors);
  }
}

/**
 * A note where the module's code has changed since its weights were trained: they still fit, but the changed code may
 * compute something else with them.
 */
async function noteOf(module: string, path: string, metadata: Readonly<Record<string, string>>) {
  const { sha256 } = metadata;
  if (sha256 === undefined || sha256 === (await contentHash(module))) return undefined;
  return `${module} is not what it was when ${path} was trained: its weights fit, if its velocity is still the same`;
}
