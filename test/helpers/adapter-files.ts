// Adapters as files, made up and read back.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { saveTensors } from '../../lib/files/safetensors.js';
import { binding } from '../../lib/runtime/native/index.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { floats } from './tiny-model.js';
import { waves } from './published.js';
import { temporaryFolder } from './tiny-run.js';

export const sd35Adapter = fileURLToPath(new URL('../fixtures/sd35-tiny/lora_peft', import.meta.url));

/** A safetensors file of waves, or of the tensors that are given. */
export async function adapterFile(
  tensors: Readonly<Record<string, readonly number[] | Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<string> {
  const path = join(temporaryFolder(), 'adapter.safetensors');
  const made: Record<string, Tensor> = {};
  for (const [index, [name, value]] of Object.entries(tensors).entries())
    made[name] = value instanceof Tensor ? value : await waves(value, index, 0.5).to({ dtype: 'float32' });
  await saveTensors(path, made, metadata);
  return path;
}

export const scalar = (value: number): Tensor => Tensor.from([value], [], { dtype: 'float32' });

/** scale B A of each layer, by its name: what an adapter adds to the weights. */
export async function updatesOf(
  tensors: Readonly<Record<string, Tensor>>,
  scale: number,
): Promise<Record<string, number[]>> {
  const updates: Record<string, number[]> = {};
  for (const name of Object.keys(tensors).filter((each) => each.endsWith('.lora_A.weight'))) {
    const layer = name.slice(0, -'.lora_A.weight'.length);
    const [a, b] = [tensors[name]!, tensors[`${layer}.lora_B.weight`]!];
    const shape = [b.shape[0]!, a.shape[1]!];
    const nothing = Tensor.from(new Float64Array(shape[0]! * shape[1]!), shape);
    const update = await binding().mergeLora(nothing, a, b, scale);
    updates[layer] = await floats(await update.to({ dtype: 'float32' }));
  }
  return updates;
}
