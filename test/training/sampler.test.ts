// Drawing many images: what is held of them while they are drawn.
import { expect, it, vi } from 'vitest';

import { loadModel } from '../../lib/models/registry.js';
import { sampleBatches, sampleImages } from '../../lib/training/sampler.js';
import type { Tensor } from '../../lib/runtime/native/tensor.js';
import { tinyModelDirectory } from '../helpers/tiny-run.js';

const prompts = ['0', '1', '2', '0', '1', '2', '0'];

it('the sampler holds one batch of images on the device, and gives all of them on the CPU', async () => {
  using model = await loadModel(await tinyModelDirectory());
  const drawn: Tensor[] = [];
  const images = model.native.images.bind(model.native);
  const held: number[] = [];
  vi.spyOn(model.native, 'images').mockImplementation(async (latents) => {
    held.push(drawn.filter(({ disposed }) => !disposed).length);
    const batch = await images(latents);
    drawn.push(batch);
    return batch;
  });
  using all = await sampleImages(model, { prompts, seed: 3n, steps: 2, batch: 3 });
  expect(held).toEqual([0, 0, 0]);
  expect(drawn.every(({ disposed }) => disposed)).toBe(true);
  expect([all.device, all.shape]).toEqual(['cpu', [7, 1, 8, 8]]);
  const rows: number[] = [];
  for await (const batch of sampleBatches(model, { prompts, seed: 3n, steps: 2, batch: 3 })) {
    rows.push(...((await batch.images.data()) as Float32Array));
    batch.images.dispose();
  }
  expect(Array.from((await all.data()) as Float32Array)).toEqual(rows);
});
