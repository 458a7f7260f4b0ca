import { ConfigError } from '../../errors.js';
import { disposeAll } from '../../files/safetensors.js';
import { startingWeights } from '../../models/adapters/combine.js';
import type { Model } from '../../models/model.js';
import type { Belonging } from '../../training/belonging.js';
import { readChosen, refuseOtherModel, trainedWith } from '../chosen-adapters.js';

/**
 * Puts the weights of an adapter that is there into a model's adapter, which training then starts from. The pretrained
 * model of the training stays the model without adapters.
 * @param from an adapter, or a run's directory
 * @param allow what may be another than the adapter's run had
 * @throws ConfigError for an adapter that the model's has no room for, and for one that only makes sense as a part of
 *   the pretrained model; CheckpointError for one that cannot be read or is of another model
 */
export async function startFrom(
  model: Model,
  from: string,
  { allow = [], onNote }: { allow?: readonly Belonging[] | undefined; onNote: (line: string) => void },
): Promise<void> {
  const [chosen] = await readChosen([{ path: from, weight: 1 }], onNote);
  const { adapter, path } = chosen!;
  try {
    // Distilled: the model without it draws otherwise at guidance 1, and training would lead back to that.
    if ((await trainedWith(path)).teacher !== undefined) {
      throw new ConfigError(
        `adapter.from: ${path} was distilled from guidance, which the pretrained model of this training would not ` +
          `have: fold it in with eam merge --adapter ${path} --out MODEL, and fine-tune MODEL`,
      );
    }
    if (!allow.includes('model')) await refuseOtherModel(path, model, 'start from an adapter of this model');
    const weights = await startingWeights(model, adapter, path);
    try {
      await model.native.load('trainable', weights);
    } finally {
      disposeAll(weights);
    }
    onNote(`starting from ${path}; the pretrained model is ${model.source} without it`);
  } finally {
    disposeAll(adapter.tensors);
  }
}
