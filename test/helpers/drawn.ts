// What a model gives and draws, to be compared with what another project makes of the same files.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { exportAdapter } from '../../lib/models/adapter-files.js';
import type { AdapterLayoutName } from '../../lib/models/adapters/layout.js';
import type { Model } from '../../lib/models/model.js';
import type { NativeAutoencoder } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { Tensor } from '../../lib/runtime/native/tensor.js';

/** A model's output, negated as diffusers' networks have it, and an image of it. */
export interface Drawn {
  velocity: Tensor;
  image: Tensor;
}

/**
 * Computes the network's output at these noise levels, in [0, 1], and the image that four Euler steps from noise draw.
 * @param latents two of them
 */
export async function drawnBy(
  { native }: Model,
  autoencoder: NativeAutoencoder,
  { latents, levels, conditioning }: { latents: Tensor; levels: readonly number[]; conditioning: Tensor[] },
): Promise<Drawn> {
  const velocity = (sample: Tensor, times: readonly number[]) =>
    native.velocity(sample, Float32Array.from(times), conditioning, false);
  let sample = latents;
  for (const time of [0, 0.25, 0.5, 0.75])
    sample = await binding().weightedSum([sample, await velocity(sample, [time, time])], [1, 0.25]);
  const times = levels.map((level) => 1 - level);
  return {
    velocity: await binding().weightedSum([await velocity(latents, times)], [-1]),
    image: await autoencoder.decode(sample),
  };
}

/** Exports the adapter in folder/name in a layout, once, into a file or a folder beside it. */
export async function exportedOnce(folder: string, name: string, layout: AdapterLayoutName): Promise<string> {
  const isFile = layout === 'kohya' || layout === 'comfyui';
  const out = join(folder, `${name}-${layout}${isFile ? '.safetensors' : ''}`);
  if (!existsSync(out)) await exportAdapter(join(folder, name), out, layout);
  return out;
}
