// Files of weights on their way to a network.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError, DisposedError, EamError } from '../../lib/errors.js';
import { disposeAll, saveTensors } from '../../lib/files/safetensors.js';
import { openWeights, shapesOf, withWeights } from '../../lib/files/weights.js';
import type { NativeFlowModel, NativeWeightFiles, WeightFileArgs } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { rewardFile } from '../helpers/published-rewards.js';
import { freshModel, snapshot, tinyConfig } from '../helpers/tiny-model.js';

const root = mkdtempSync(join(tmpdir(), 'eam-weights-'));
afterAll(() => rm(root, { recursive: true }));

let files = 0;
/** A new file with these tensors. */
const written = async (tensors: Record<string, Tensor>): Promise<string> => {
  const path = join(root, `${files++}.safetensors`);
  await saveTensors(path, tensors);
  return path;
};
const vector = (...values: number[]) => Tensor.from(Float32Array.from(values), [values.length]);
const failure = async (work: Promise<unknown>): Promise<EamError> => {
  const error = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(EamError);
  return error as EamError;
};
const load = (weights: NativeWeightFiles): Promise<NativeFlowModel> =>
  binding().loadNetwork('digits', { config: tinyConfig, weights, device: 'cpu' });

describe('openWeights', () => {
  it('tells names, types and shapes of the tensors in all files', async () => {
    const weights = await openWeights([
      { path: await written({ a: vector(1, 2), b: Tensor.from(new Int32Array(6), [2, 3]) }) },
      { path: await written({ c: Tensor.from(new Uint16Array(4), [4, 1], { dtype: 'bfloat16' }) }) },
    ]);
    expect(weights.tensors()).toEqual([
      { name: 'a', dtype: 'float32', shape: [2] },
      { name: 'b', dtype: 'int32', shape: [2, 3] },
      { name: 'c', dtype: 'bfloat16', shape: [4, 1] },
    ]);
    expect(shapesOf(weights)).toEqual({ a: [2], b: [2, 3], c: [4, 1] });
  });

  it('refuses a name that two files have, and says which', async () => {
    const [one, two] = [await written({ a: vector(1), b: vector(2) }), await written({ b: vector(3) })];
    const error = await failure(openWeights([{ path: one }, { path: two }]));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toBe(`tensor "b" is in both ${one} and ${two}`);
  });

  it('takes what is wanted of a file, under the names that are wanted', async () => {
    const path = await written({ 'inner.a': vector(1), 'inner.bb': vector(2), 'inner.c': vector(3), d: vector(4) });
    const names = async (part: object) => (await openWeights([{ path, ...part }])).tensors().map(({ name }) => name);
    expect(await names({ within: 'inner.' })).toEqual(['a', 'bb', 'c']);
    expect(await names({ within: 'nowhere.' })).toEqual(['d', 'inner.a', 'inner.bb', 'inner.c']);
    expect(await names({ within: 'inner.', only: ['b', 'c'], under: 'head.' })).toEqual(['head.bb', 'head.c']);
    expect(await names({ only: [] })).toHaveLength(4);
    // What is renamed apart is not the same name.
    const weights = await openWeights([{ path }, { path, under: 'again.' }]);
    expect(weights.tensors()).toHaveLength(8);
  });

  it('reads files of torch.save, beside safetensors', async () => {
    const head = rewardFile('aesthetic/sac+logos+ava1-l14-linearMSE.pth');
    const weights = await openWeights([{ path: head, under: 'head.' }, { path: await written({ a: vector(1) }) }]);
    expect(Object.keys(shapesOf(weights))).toEqual(expect.arrayContaining(['head.layers.0.weight', 'a']));
  });

  it.each([
    {
      title: 'a missing file',
      path: () => join(root, 'missing.safetensors'),
      message: /^cannot read .*missing\.safetensors: ENOENT/,
    },
    {
      title: 'a file that is cut short',
      path: async () => {
        const path = await written({ a: vector(1, 2, 3, 4) });
        writeFileSync(path, readFileSync(path).subarray(0, -4));
        return path;
      },
      message: /tensor "a" lies at bytes 0 to 16, outside the 12 bytes of data: the file is cut short or damaged/,
    },
    {
      title: 'a file of torch.save that is none',
      path: () => {
        const path = join(root, 'none.pt');
        writeFileSync(path, 'no archive');
        return path;
      },
      message: /none\.pt.*it is no file of torch\.save/,
    },
  ])('refuses $title', async ({ path, message }) => {
    const error = await failure(openWeights([{ path: await path() }]));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(message);
  });

  it('trusts no entries: the native side checks them against the file again', async () => {
    const path = await written({ a: vector(1, 2) });
    const open = (entry: object) =>
      binding().openWeights([
        { path, entries: [{ name: 'a', dtype: 'float32', shape: [2], begin: 0, end: 8, ...entry }] } as WeightFileArgs,
      ]);
    expect((await open({})).tensors()).toHaveLength(1);
    for (const entry of [{ end: 16 }, { begin: -8, end: 0 }, { shape: [3] }, { shape: [2 ** 31, 2 ** 31, 2 ** 31] }]) {
      expect(await failure(open(entry))).toBeInstanceOf(EamError);
    }
    expect(await failure(binding().openWeights([{ path } as never, 7 as never]))).toBeInstanceOf(ConfigError);
    expect(await failure(binding().openWeights('path' as never))).toBeInstanceOf(ConfigError);
  });
});

describe('a network made from files of weights', () => {
  const model = freshModel();
  const stored = async () => {
    const weights = model.weights();
    const path = await written(weights);
    disposeAll(weights);
    return path;
  };

  it('has the numbers in the files, and keeps them when the files are let go of', async () => {
    const weights = await openWeights([{ path: await stored() }]);
    const loaded = await load(weights);
    weights.dispose();
    weights.dispose();
    expect(await snapshot(loaded.weights())).toEqual(await snapshot(model.weights()));
    expect(await failure(load(weights))).toBeInstanceOf(DisposedError);
    expect(() => weights.tensors()).toThrow(DisposedError);
  });

  it('is refused with the source of its weights, which are let go of', async () => {
    let kept: NativeWeightFiles | undefined;
    const error = await failure(
      withWeights('the source', [{ path: await written({ a: vector(1) }) }], (weights) => {
        kept = weights;
        return load(weights);
      }),
    );
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(/^the source: digits: \d+ tensors do not fit the model's weights:/);
    expect(() => kept!.tensors()).toThrow(DisposedError);
  });

  it('cannot be made from an object that JavaScript constructs itself', async () => {
    const weights = await openWeights([{ path: await stored() }]);
    const Own = weights.constructor as new (...values: unknown[]) => NativeWeightFiles;
    expect(() => new Own()).toThrow(/no public constructor; use openWeights/);
    expect(await failure(load(Object.create(weights) as NativeWeightFiles))).toBeInstanceOf(EamError);
  });
});
