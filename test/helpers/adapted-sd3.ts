// The tiny Stable Diffusion 3.5 with its adapter, and what it computes for a golden.
import { join } from 'node:path';

import type { NativeFlowModel } from '../../lib/runtime/native/binding.js';
import { loadTensors } from '../../lib/files/safetensors.js';
import { type Golden, loadSd3, numbers, sd35, sd35Lora, sd35Transformer } from './sd3-transformer.js';

export const tiny = await sd35Transformer();

export const gradients = (model: NativeFlowModel, golden: Golden, names: readonly string[] = []) =>
  model.gradients(golden.x, golden.t, golden.conditioning, golden.upstream, names);

export const velocity = async (model: NativeFlowModel, golden: Golden, pretrained = false): Promise<number[]> =>
  numbers(await model.velocity(golden.x, golden.t, golden.conditioning, pretrained));

/** Loads the transformer with the adapter in lora_peft. */
export async function adaptedModel(options: Parameters<typeof loadSd3>[1] = {}): Promise<NativeFlowModel> {
  const model = await loadSd3(tiny, { lora: sd35Lora, ...options });
  const stored = await loadTensors(join(sd35, 'lora_peft/adapter_model.safetensors'));
  await model.load(
    'trainable',
    Object.fromEntries(Object.entries(stored).map(([name, tensor]) => [name.replace('base_model.model.', ''), tensor])),
  );
  return model;
}
