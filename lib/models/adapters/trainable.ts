// What training changes of a network, under the network's own names: for one whose adapter has no layout that others
// know.

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { disposeAll, readTensors, saveTensors } from '../../files/safetensors.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import type { Model } from '../model.js';

/** The file that holds these tensors, where nobody names another. */
const trainableFile = 'trainable.safetensors';

/** Whether a directory holds a network's trainable tensors under its own names. */
export const hasTrainable = (directory: string): boolean => existsSync(join(directory, trainableFile));

/** Reads the tensors into the network. @throws CheckpointError for a file that is missing or of another network */
export async function loadTrainableOf(
  { native }: Pick<Model, 'native'>,
  directory: string,
  file = trainableFile,
): Promise<void> {
  const tensors = await readTensors(join(directory, file));
  try {
    await native.load('trainable', tensors);
  } finally {
    disposeAll(tensors);
  }
}

/** Writes the network's trainable tensors, or `tensors` in their place. */
export async function saveTrainableOf(
  { native }: Pick<Model, 'native'>,
  directory: string,
  tensors: Readonly<Record<string, Tensor>> | undefined,
  file = trainableFile,
): Promise<void> {
  const own = tensors ? undefined : native.trainable();
  try {
    makeDirectory(directory);
    await saveTensors(join(directory, file), tensors ?? own!);
  } finally {
    if (own) disposeAll(own);
  }
}
