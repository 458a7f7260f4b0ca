// T5 with one block at a time in the network's type and on its device: the same embeddings, in less memory.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it, vi } from 'vitest';

import { CheckpointError } from '../../lib/errors.js';
import { withComponent } from '../../lib/models/component-weights.js';
import { readSd3Directory } from '../../lib/models/sd3/directory.js';
import { sd3Embeddings, TextEncoders } from '../../lib/models/sd3/text.js';
import { binding } from '../../lib/runtime/native/index.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { tinySd3 } from '../helpers/sd3.js';

const directory = await readSd3Directory(tinySd3);
const { directory: folder, config } = directory.t5!;
const load = (dtype: 'float32' | 'bfloat16' | 'float16', sliced: boolean) =>
  withComponent(folder, (weights) =>
    binding().loadNetwork('t5-encoder', { config: { ...config, sliced }, weights, dtype, device: 'cpu' }),
  );

it.each(['float32', 'bfloat16', 'float16'] as const)(
  'T5 in slices has the same states to the bit in %s',
  async (dtype) => {
    const ids = Tensor.from(
      BigInt64Array.from({ length: 24 }, (_, i) => BigInt((7 * i) % 30)),
      [2, 12],
    );
    const states = async (sliced: boolean) => {
      const encoder = await load(dtype, sliced);
      const { hidden } = await encoder.encode(ids);
      encoder.dispose();
      return { dtype: hidden.dtype, numbers: Array.from((await hidden.data()) as ArrayLike<number>) };
    };
    const whole = await states(false);
    expect(await states(true)).toEqual(whole);
    expect(new Set(whole.numbers).size).toBeGreaterThan(100);
  },
);

it('T5 in slices converts one block at a time', async () => {
  const converted = async (sliced: boolean) => {
    binding().tensorMemory();
    const before = binding().tensorMemory().bytes;
    const encoder = await load('bfloat16', sliced);
    const { bytes } = binding().tensorMemory();
    encoder.dispose();
    return bytes - before;
  };
  const { tensors } = binding().networkLayout('t5-encoder', config);
  const numbers = (of: (name: string) => boolean) =>
    Object.entries(tensors)
      .filter(([name]) => of(name))
      .reduce((sum, [, shape]) => sum + shape.reduce((product, size) => product * size, 1), 0);
  const inBlocks = (name: string) => name.startsWith('encoder.block.') && !name.includes('relative_attention_bias');
  const saved = (await converted(false)) - (await converted(true));
  // Tensors are given out in multiples of 64 bytes.
  expect(Math.abs(saved - 2 * numbers(inBlocks))).toBeLessThan(64 * Object.keys(tensors).length);
});

it('prompts have the same embeddings in slices, and find those of the whole encoders in the cache', async () => {
  const options = { dtype: 'bfloat16', device: 'cpu', textLength: 16 } as const;
  const prompts = ['a red fox', 'the moon, 35mm'];
  const rows = async (sliced: boolean, cache: string) => {
    const tensors = await sd3Embeddings(directory, { ...options, sliced }, cache).rows(prompts);
    return Promise.all(tensors.map(async (tensor) => Array.from((await tensor.data()) as Uint16Array)));
  };
  const cache = () => mkdtempSync(join(tmpdir(), 'eam-sliced-'));
  const first = cache();
  const whole = await rows(false, first);
  expect(await rows(true, cache())).toEqual(whole);
  const loaded = vi.spyOn(TextEncoders, 'load');
  expect(await rows(true, first)).toEqual(whole);
  expect(loaded).not.toHaveBeenCalled();
});

it('T5 in slices names what is missing in its files', async () => {
  const weights = { 'shared.weight': Tensor.from(new Float32Array(1), [1]) };
  const wrong = { config: { ...config, sliced: true }, weights, device: 'cpu' };
  await expect(binding().loadNetwork('t5-encoder', wrong)).rejects.toThrow(CheckpointError);
  await expect(binding().loadNetwork('t5-encoder', wrong)).rejects.toThrow(/encoder\.block\.0\.layer\.0/);
});
