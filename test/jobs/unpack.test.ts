// Models that are stored as a single file, and weights in 8 bits: written as a directory, and read.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { unpack, unpackModel } from '../../lib/jobs/unpack.js';
import { loadTensors } from '../../lib/files/safetensors.js';
import { loadModel } from '../../lib/models/registry.js';
import { problemOf } from '../helpers/hub-home.js';
import { Sd3Copy, tinySd3 } from '../helpers/sd3.js';
import { singleFileOf, tensorsIn, writeParts } from '../helpers/single-file.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const weights = (folder: string): string =>
  `${folder}/${folder.startsWith('text_encoder') ? 'model' : 'diffusion_pytorch_model'}.safetensors`;
const encoders = ['text_encoder', 'text_encoder_2', 'text_encoder_3'];

async function written(withEncoders: boolean): Promise<{ single: string; out: string }> {
  const folder = temporaryFolder();
  const single = join(folder, 'sd3.5_medium.safetensors');
  writeParts(single, await singleFileOf(tinySd3, withEncoders));
  return { single, out: join(folder, 'model') };
}

describe('unpackModel', () => {
  it('takes transformer and autoencoder from the file, and the text encoders from the base', async () => {
    const { single, out } = await written(false);
    const result = await unpackModel(single, out, tinySd3);
    expect(result.unpacked.sort()).toEqual(['transformer', 'vae']);
    expect(result.shared).toEqual(encoders);
    for (const folder of ['transformer', 'vae'])
      expect(await tensorsIn(join(out, weights(folder))), folder).toEqual(
        await tensorsIn(join(tinySd3, weights(folder))),
      );
    expect(statSync(join(out, weights('text_encoder'))).size).toBe(
      statSync(join(tinySd3, weights('text_encoder'))).size,
    );
    const options = { size: { width: 16, height: 16 }, embeddingCache: temporaryFolder() };
    using model = await loadModel(out, options);
    await model.prepare(['a fox']);
  });

  it('takes the text encoders from a file that has them', async () => {
    const { single, out } = await written(true);
    expect((await unpackModel(single, out, tinySd3)).shared).toEqual([]);
    for (const folder of encoders)
      expect(await tensorsIn(join(out, weights(folder))), folder).toEqual(
        await tensorsIn(join(tinySd3, weights(folder))),
      );
  });

  it('puts the identity where a file leaves out the first projection', async () => {
    const { single, out } = await written(true);
    const projection = 'text_encoders.clip_l.transformer.text_projection.weight';
    writeParts(
      single,
      (await singleFileOf(tinySd3, true)).filter(({ name }) => name !== projection),
    );
    await unpackModel(single, out, tinySd3);
    const tensors = await loadTensors(join(out, weights('text_encoder')));
    const tensor = tensors['text_projection.weight']!;
    const data = Array.from((await (await tensor.to({ dtype: 'float32' })).data()) as Float32Array);
    const [width] = tensor.shape as [number];
    expect(data.every((value, index) => value === (Math.floor(index / width) === index % width ? 1 : 0))).toBe(true);
  });

  const sources = process.env['EAM_DIFFUSERS'];
  const python = process.env['EAM_HUB_PYTHON'] ?? 'python3';
  it.skipIf(!sources)("writes what diffusers' own functions make of the file", async () => {
    const { single, out } = await written(true);
    const projection = 'text_encoders.clip_l.transformer.text_projection.weight';
    writeParts(
      single,
      (await singleFileOf(tinySd3, true)).filter(({ name }) => name !== projection),
    );
    await unpackModel(single, out, tinySd3);
    const script = fileURLToPath(new URL('../helpers/diffusers-single-file.py', import.meta.url));
    const package_ = join(sources!, 'src', 'diffusers');
    const { stdout, stderr, status } = spawnSync(python, [script, package_, single, out], { encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(5);
  });

  it.each([
    {
      what: 'a file of another model',
      change: (parts: Awaited<ReturnType<typeof singleFileOf>>) => parts.filter(({ name }) => name.startsWith('first')),
      problem: 'expected the weights of a model in one file',
    },
    {
      what: 'tensors of no part',
      change: (parts: Awaited<ReturnType<typeof singleFileOf>>) => [...parts, { ...parts[0]!, name: 'control.x' }],
      problem: 'has tensors that belong to no part of this model: control.x',
    },
  ])('refuses $what', async ({ change, problem }) => {
    const { single, out } = await written(false);
    writeParts(single, change(await singleFileOf(tinySd3, false)));
    expect(await problemOf(unpackModel(single, out, tinySd3))).toContain(problem);
    expect(existsSync(out)).toBe(false);
  });

  it('refuses to go without a base, and a base that is not there', async () => {
    const { single, out } = await written(false);
    expect(await problemOf(unpack(single, out, undefined))).toContain('--base MODEL');
    expect(await problemOf(unpackModel(single, out, 'artists/none'))).toContain('eam fetch artists/none');
  });

  it('is what a single file is told to where a model is wanted', async () => {
    expect(await problemOf(loadModel('sd3.5_medium.safetensors'))).toContain(
      'eam convert sd3.5_medium.safetensors DIRECTORY --base MODEL',
    );
  });
});

describe('weights in 8 bits without scales', () => {
  /** Every number of a type, in the order of its bits. */
  const file = (dtype: string, name = 'w'): Uint8Array => {
    const header = Buffer.from(JSON.stringify({ [name]: { dtype, shape: [256], data_offsets: [0, 256] } }));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    return Buffer.concat([length, header, Buffer.from(Array.from({ length: 256 }, (_, bits) => bits))]);
  };

  /** Sign, exponent and fraction as the OCP's specification of 8-bit floating point has them. */
  function numberOf(bits: number, exponentBits: number, isE4M3: boolean): number {
    const fractionBits = 7 - exponentBits;
    const bias = 2 ** (exponentBits - 1) - 1;
    const sign = bits & 0x80 ? -1 : 1;
    const exponent = (bits & 0x7f) >> fractionBits;
    const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
    const isTop = exponent === 2 ** exponentBits - 1;
    if (isTop && isE4M3 && fraction === 7 / 8) return Number.NaN;
    if (isTop && !isE4M3) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * (exponent ? 2 ** (exponent - bias) * (1 + fraction) : 2 ** (1 - bias) * fraction);
  }

  it.each([
    { dtype: 'F8_E4M3', exponentBits: 4 },
    { dtype: 'F8_E5M2', exponentBits: 5 },
  ])('of $dtype are widened without loss', async ({ dtype, exponentBits }) => {
    const path = join(temporaryFolder(), 'w.safetensors');
    writeFileSync(path, file(dtype));
    const { w } = await loadTensors(path);
    expect(w!.dtype).toBe('float16');
    const values = Array.from((await (await w!.to({ dtype: 'float32' })).data()) as Float32Array);
    const expected = values.map((_, bits) => numberOf(bits, exponentBits, dtype === 'F8_E4M3'));
    for (const [bits, value] of expected.entries())
      if (Number.isNaN(value)) expect(values[bits], String(bits)).toBeNaN();
      else expect(values[bits], String(bits)).toBe(value);
  });

  it('make a network that is that of the same numbers in float16', async () => {
    const copy = new Sd3Copy();
    const path = weights('text_encoder_3');
    const source = readFileSync(join(tinySd3, path));
    const length = Number(source.readBigUInt64LE());
    const header = JSON.parse(source.subarray(8, 8 + length).toString()) as Record<string, { shape: number[] }>;
    const names = Object.keys(header).filter((name) => name !== '__metadata__');
    const parts = names.map((name) => {
      const size = header[name]!.shape.reduce((a, b) => a * b, 1);
      const data = Buffer.from(Array.from({ length: size }, (_, index) => 0x20 + (index % 16)));
      return { name, dtype: 'float16' as const, stored: 'float8_e4m3fn' as const, shape: header[name]!.shape, data };
    });
    writeParts(join(temporaryFolder(), 'unused.safetensors'), parts);
    copy.write(path, '');
    writeParts(copy.file(path), parts);
    const options = { size: { width: 16, height: 16 } };
    const states = async (directory: string) => {
      using model = await loadModel(directory, { ...options, embeddingCache: temporaryFolder() });
      await model.prepare(['a fox']);
      const [rows] = await model.encode(['a fox']);
      return Array.from((await rows!.data()) as Float32Array);
    };
    const eight = await states(copy.path);
    const tensors = await loadTensors(copy.file(path));
    const { saveTensors } = await import('../../lib/files/safetensors.js');
    copy.write(path, '');
    await saveTensors(copy.file(path), tensors);
    expect(eight).toEqual(await states(copy.path));
    expect(eight.some((value) => value !== 0)).toBe(true);
  });

  it.each(['scaled_fp8', 'blocks.0.scale_weight', 'blocks.0.weight_scale'])(
    'are refused with scales (%s), by name',
    async (name) => {
      const copy = new Sd3Copy();
      const path = weights('transformer');
      writeParts(copy.write(path, '').file(path), [
        { name: 'w', dtype: 'float16', stored: 'float8_e4m3fn', shape: [1], data: Buffer.from([0x38]) },
        { name, dtype: 'float32', shape: [1], data: Buffer.alloc(4) },
      ]);
      expect(await problemOf(loadModel(copy.path))).toContain(`its weights are in 8 bits with scales (${name})`);
    },
  );
});
