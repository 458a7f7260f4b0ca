// Adapters in PEFT's layout and in diffusers': read, written, carried from one to the other, refused. Those of kohya
// and ComfyUI are in single-file-adapters.test.ts.

import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CheckpointError } from '../../lib/errors.js';
import { exportAdapter, readAdapterConfig, readAdapter } from '../../lib/models/adapter-files.js';
import { loadModel } from '../../lib/models/registry.js';
import { binding } from '../../lib/runtime/native/index.js';
import { loadTensors, readHeader, saveTensors } from '../../lib/files/safetensors.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { eam } from '../helpers/command-line.js';
import { floats, randomise, snapshot } from '../helpers/tiny-model.js';

const fixtures = fileURLToPath(new URL('../fixtures/sd35-tiny', import.meta.url));
const projections = [
  'attn.to_q',
  'attn.to_k',
  'attn.to_v',
  'attn.to_out.0',
  'attn.add_q_proj',
  'attn.add_k_proj',
  'attn.add_v_proj',
  'attn.to_add_out',
];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'eam-adapters-'));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

/** A directory in diffusers' layout with these tensors, all zeros, and metadata. */
async function diffusersAdapter(
  name: string,
  shapes: Record<string, number[]>,
  metadata: Record<string, string> = {},
): Promise<string> {
  const directory = join(folder, name);
  const tensors = Object.fromEntries(
    Object.entries(shapes).map(([key, shape]) => [
      key,
      Tensor.from(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape),
    ]),
  );
  await cp(join(fixtures, 'lora_diffusers'), directory, { recursive: true });
  await rm(join(directory, 'pytorch_lora_weights.safetensors'));
  await saveTensors(join(directory, 'pytorch_lora_weights.safetensors'), tensors, metadata);
  return directory;
}

const pair = (module: string, rank = 2): Record<string, number[]> => ({
  [`transformer.${module}.lora_A.weight`]: [rank, 4],
  [`transformer.${module}.lora_B.weight`]: [4, rank],
});
const settings = (extra: object) => ({
  lora_adapter_metadata: JSON.stringify(
    Object.fromEntries(
      Object.entries({ r: 2, lora_alpha: 6, target_modules: ['to_q'], ...extra }).map(([key, value]) => [
        `transformer.${key}`,
        value,
      ]),
    ),
  ),
});

describe('adapters in the layouts of PEFT and diffusers', () => {
  it('are told apart by their files, and say the same', async () => {
    const peft = await readAdapterConfig(join(fixtures, 'lora_peft'));
    const diffusers = await readAdapterConfig(join(fixtures, 'lora_diffusers'));
    expect(peft).toEqual({
      layout: 'peft',
      rank: 4,
      alpha: 8,
      targets: projections,
      base: undefined,
      alphaAssumed: false,
    });
    expect(diffusers).toEqual({ ...peft, layout: 'diffusers' });
    const [first, second] = [
      await readAdapter(join(fixtures, 'lora_peft')),
      await readAdapter(join(fixtures, 'lora_diffusers')),
    ];
    expect(first.modules).toHaveLength(23);
    expect(await snapshot(second.tensors)).toEqual(await snapshot(first.tensors));
  });

  it('convert into each other, byte for byte where the metadata is the same', async () => {
    const there = join(folder, 'there');
    const back = join(folder, 'back');
    await exportAdapter(join(fixtures, 'lora_peft'), there, 'diffusers');
    await exportAdapter(there, back, 'peft');
    expect(await readdir(there)).toEqual(['pytorch_lora_weights.safetensors']);
    const { entries, metadata } = await readHeader(join(there, 'pytorch_lora_weights.safetensors'));
    const published = await readHeader(join(fixtures, 'lora_diffusers/pytorch_lora_weights.safetensors'));
    expect(entries.map(({ name }) => name).sort()).toEqual(published.entries.map(({ name }) => name).sort());
    // What save_lora_weights records of a plain LoraConfig, and the key that diffusers 0.34 to 0.39 read unasked.
    const expected = {
      ...(JSON.parse(published.metadata['lora_adapter_metadata']!) as object),
      'transformer.rank_pattern': {},
    };
    expect(JSON.parse(metadata['lora_adapter_metadata']!)).toEqual(expected);
    const config = JSON.parse(await readFile(join(back, 'adapter_config.json'), 'utf8')) as object;
    expect(config).toMatchObject({ peft_type: 'LORA', r: 4, lora_alpha: 8, target_modules: projections });
    const original = await snapshot(await loadTensors(join(fixtures, 'lora_peft/adapter_model.safetensors')));
    expect(await snapshot(await loadTensors(join(back, 'adapter_model.safetensors')))).toEqual(original);
  });

  it('load into a model alike, by eam export too', async () => {
    const adapter = { rank: 2, alpha: 6 };
    using model = await loadModel('digits', { adapter });
    await randomise(model.native, 'trainable', 0.3);
    const saved = join(folder, 'digits-peft');
    const exported = join(folder, 'digits-diffusers');
    await model.saveAdapter(saved);
    const note =
      `${exported}: alpha 6 of rank 2 needs diffusers 0.34 or newer; an older one takes alpha to be the rank, ` +
      'which is the adapter at 0.333 of its strength: there, call pipeline.set_adapters(NAME, 3)';
    expect(await eam('export', saved, exported, '--for', 'diffusers')).toMatchObject({
      code: 0,
      stderr: `${note}\n${exported}\n`,
    });
    const peft = join(folder, 'digits-peft-again');
    expect(await eam('export', exported, peft, '--for', 'peft')).toMatchObject({ code: 0, stderr: `${peft}\n` });
    expect(await readAdapterConfig(exported)).toEqual({ ...(await readAdapterConfig(saved)), layout: 'diffusers' });
    using other = await loadModel('digits', { adapter });
    await other.loadAdapter(exported);
    expect(await snapshot(other.native.trainable())).toEqual(await snapshot(model.native.trainable()));
  });

  it('take alpha for the rank where diffusers would, and say so', async () => {
    const directory = await diffusersAdapter('no-alpha', { ...pair('blocks.0.to_q'), ...pair('blocks.1.to_q') });
    expect(await readAdapterConfig(directory)).toMatchObject({
      rank: 2,
      alpha: 2,
      targets: ['blocks.0.to_q', 'blocks.1.to_q'],
      alphaAssumed: true,
    });
    const { stderr } = await eam('export', directory, join(folder, 'no-alpha-peft'));
    expect(stderr).toContain('does not record alpha: 2, its rank, is assumed, as diffusers does');
    const digits = await diffusersAdapter('digits-no-alpha', {
      'transformer.blocks.0.attn.proj.lora_A.weight': [3, 128],
      'transformer.blocks.0.attn.proj.lora_B.weight': [128, 3],
    });
    const drawn = await eam(
      'sample',
      '--model',
      'digits',
      '--adapter',
      digits,
      '--prompt',
      '3',
      '--steps',
      '1',
      '--count',
      '1',
      '--out',
      join(folder, 'drawn.png'),
    );
    expect(drawn).toMatchObject({
      code: 0,
      stderr: expect.stringContaining(`${digits} does not record alpha: 3, its rank, is assumed`) as string,
    });
  });

  it('take from the tensors what the settings leave open', async () => {
    const directory = await diffusersAdapter(
      'regex',
      pair('blocks.0.to_q'),
      settings({ target_modules: 'blocks.*to_q' }),
    );
    expect(await readAdapterConfig(directory)).toMatchObject({ alpha: 6, targets: ['blocks.0.to_q'] });
    const partial = await diffusersAdapter('partial', pair('blocks.0.to_q'), settings({ layers_to_transform: [0] }));
    expect(await readAdapterConfig(partial)).toMatchObject({ alpha: 6, targets: ['blocks.0.to_q'] });
  });
});

describe('reading an adapter', () => {
  const refused = async (directory: string, ...messages: (string | RegExp)[]) => {
    const error = await readAdapter(directory).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CheckpointError);
    for (const message of messages) expect((error as Error).message).toMatch(message);
  };

  it('refuses a directory without one', async () => {
    await refused(
      join(fixtures, 'vae'),
      'adapter_config.json and adapter_model.safetensors',
      'pytorch_lora_weights.safetensors',
      'got diffusion_pytorch_model.safetensors',
    );
    await refused(join(folder, 'nowhere'), 'nowhere holds no adapter');
  });

  it('refuses tensors that are no adapter, and lists them all', async () => {
    const shapes = {
      ...pair('a'),
      'transformer.c.lora_A.weight': [2, 4],
      'transformer.d.lora_A.weight': [2, 4],
      'transformer.d.lora_B.weight': [4, 3],
      'transformer.e.alpha': [],
      'transformer.f.weight': [4],
      'lora_unet_g.lora_down.weight': [2, 4],
    };
    const directory = await diffusersAdapter('odd', shapes, settings({}));
    await refused(
      directory,
      'c has A only, transformer.c.lora_A.weight [2, 4]',
      'd: B: expected [out, 2] as A has, got [4, 3]',
      'e has alpha only',
      'transformer.f.weight [4]',
      'lora_unet_g.lora_down.weight [2, 4]',
    );
    await refused(await diffusersAdapter('empty', {}), 'holds no adapter tensors');
    const ranks = await diffusersAdapter('ranks', { ...pair('a'), ...pair('b', 3) }, settings({}));
    await refused(ranks, 'b: rank: expected 2, got 3');
  });

  it('refuses settings that are not JSON, or of another kind of adapter', async () => {
    await refused(
      await diffusersAdapter('text', pair('a'), { lora_adapter_metadata: '{"transformer.r": 2' }),
      'is not JSON',
    );
    const other = join(folder, 'ia3');
    await cp(join(fixtures, 'lora_peft'), other, { recursive: true });
    await writeFile(join(other, 'adapter_config.json'), '{"peft_type": "IA3"}');
    await refused(other, 'peft_type: expected "LORA", got "IA3"');
  });

  it('refuses modules that the model has not, and another rank', async () => {
    using model = await loadModel('digits', { adapter: { rank: 2, alpha: 6 } });
    const directory = await diffusersAdapter('modules', pair('blocks.0.to_q'), settings({}));
    await expect(model.loadAdapter(directory)).rejects.toThrow(
      /adapts modules that the model's adapter does not: blocks\.0\.to_q$/,
    );
    const ranked = await diffusersAdapter('ranked', pair('blocks.0.to_q', 3), settings({ r: 3 }));
    await expect(model.loadAdapter(ranked)).rejects.toThrow(
      'expected an adapter of rank 2 and alpha 6, as the model has, got rank 3 and alpha 6',
    );
  });

  it('refuses to write over anything', async () => {
    await expect(exportAdapter(join(fixtures, 'lora_peft'), folder, 'diffusers')).rejects.toThrow(/exists already/);
    expect((await readdir(tmpdir())).filter((name) => name.includes('.tmp-'))).toEqual([]);
  });
});

describe('mergeLora', () => {
  it('computes W + scale B A, rounded once', async () => {
    const weight = Tensor.from([1, 2, 3, 4, 5, 6], [2, 3]);
    const a = Tensor.from([1, 0, -1], [1, 3]);
    const b = Tensor.from([0.5, 2], [2, 1]);
    expect(await floats(await binding().mergeLora(weight, a, b, 2))).toEqual([2, 2, 2, 8, 5, 2]);
    const half = await binding().mergeLora(await weight.to({ dtype: 'bfloat16' }), a, b, 2);
    expect([half.dtype, await floats(await half.to({ dtype: 'float32' }))]).toEqual(['bfloat16', [2, 2, 2, 8, 5, 2]]);
    await expect(binding().mergeLora(weight, b, a, 2)).rejects.toThrow(
      /expected \[out, in\], \[rank, in\] and \[out, rank\]/,
    );
  });

  it('is measured by largestDifference in float64', async () => {
    const [value, reference] = [Tensor.from([1, 2, NaN], [3]), Tensor.from([1, -4, 0], [3])];
    expect((await binding().largestDifference(value, reference)).largest).toBeNaN();
    expect(await binding().largestDifference(Tensor.from([1, 2], [2]), Tensor.from([1, -4], [2]))).toEqual({
      largest: 6,
      scale: 4,
    });
    await expect(binding().largestDifference(value, Tensor.from([1], [1]))).rejects.toThrow(
      /value: expected the reference's shape \[1\] .*, got \[3\]/,
    );
  });
});
