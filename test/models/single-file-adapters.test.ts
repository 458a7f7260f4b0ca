// Adapters in the layouts of kohya's sd-scripts and of ComfyUI, which other projects' loaders take:
// test/oracles/adapters.check.ts.
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { loadTensors, readHeader } from '../../lib/files/safetensors.js';
import { exportAdapter, readAdapter, readAdapterConfig } from '../../lib/models/adapter-files.js';
import { loadModel } from '../../lib/models/registry.js';
import { binding } from '../../lib/runtime/native/index.js';
import { adapterFile, scalar, sd35Adapter, updatesOf } from '../helpers/adapter-files.js';
import { eam } from '../helpers/command-line.js';
import { tinySd3 } from '../helpers/sd3.js';
import { floats, largestRelativeError, snapshot } from '../helpers/tiny-model.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

const newFile = (): string => join(temporaryFolder(), 'lora.safetensors');
const block = 'transformer_blocks.0';
const kohya = 'lora_unet_joint_blocks_0_x_block_attn';

async function readUpdates(path: string): Promise<Record<string, number[]>> {
  const { config, tensors } = await readAdapter(path);
  return updatesOf(tensors, config.alpha / config.rank);
}

describe.each([
  { layout: 'kohya', names: kohya, proj: `${kohya}_proj` },
  {
    layout: 'comfyui',
    names: 'diffusion_model.joint_blocks.0.x_block.attn',
    proj: 'diffusion_model.joint_blocks.0.x_block.attn.proj',
  },
] as const)('an adapter for $layout', ({ layout, names, proj }) => {
  it('has q, k and v in one matrix of three times the rank, and alpha so that it acts alike', async () => {
    const out = newFile();
    await exportAdapter(sd35Adapter, out, layout);
    const tensors = await loadTensors(out);
    const qkv = `${names}${layout === 'kohya' ? '_' : '.'}qkv`;
    const shapeOf = (name: string) => tensors[name]!.shape;
    expect([shapeOf(`${qkv}.lora_down.weight`), shapeOf(`${qkv}.lora_up.weight`)]).toEqual([
      [12, 32],
      [96, 12],
    ]);
    expect([shapeOf(`${proj}.lora_down.weight`), shapeOf(`${proj}.lora_up.weight`)]).toEqual([
      [4, 32],
      [32, 4],
    ]);
    expect([await floats(tensors[`${qkv}.alpha`]!), await floats(tensors[`${proj}.alpha`]!)]).toEqual([[24], [8]]);
    expect(shapeOf(`${qkv}.alpha`)).toEqual([]);
    expect((await readHeader(out)).metadata).toMatchObject({ ss_network_dim: '4', ss_network_alpha: '8' });
  });

  it('reads back to the bit, loads into a model, and is a file that eam sample takes', async () => {
    const out = newFile();
    const run = await eam('export', sd35Adapter, out, '--for', layout);
    expect(run).toEqual({ code: 0, stdout: '', stderr: `${out}\n` });
    const [before, after] = [await readAdapter(sd35Adapter), await readAdapter(out)];
    expect(after.config).toEqual({ ...before.config, layout, targets: before.modules });
    expect(await snapshot(after.tensors)).toEqual(await snapshot(before.tensors));
    const size = { width: 16, height: 16 };
    using model = await loadModel(tinySd3, { adapter: after.config, size });
    await model.loadAdapter(out);
    expect(await snapshot(model.native.trainable())).toEqual(await snapshot(before.tensors));
    const draw = ['sample', '--model', tinySd3, '--prompt', 'a fox', '--width', '16', '--steps', '1', '--quiet'];
    const images = [join(temporaryFolder(), 'a.png'), join(temporaryFolder(), 'b.png')];
    for (const [index, adapter] of [sd35Adapter, out].entries())
      expect(await eam(...draw, '--adapter', adapter, '--out', images[index]!)).toMatchObject({ code: 0 });
  });

  it('keeps what is not adapted out of the layers that it reads', async () => {
    const own = await adapterFile({
      [`transformer.${block}.attn.to_k.lora_A.weight`]: [2, 32],
      [`transformer.${block}.attn.to_k.lora_B.weight`]: [32, 2],
    });
    const out = newFile();
    await exportAdapter(own, out, layout, { model: tinySd3 });
    const read = await readAdapter(out);
    expect([read.modules, read.config.rank, read.config.alpha]).toEqual([[`${block}.attn.to_k`], 2, 2]);
    expect(await snapshot(read.tensors)).toEqual(await snapshot((await readAdapter(own)).tensors));
  });

  it('refuses a file that exists, another ending, and a model without such names', async () => {
    const out = newFile();
    await exportAdapter(sd35Adapter, out, layout);
    await expect(exportAdapter(sd35Adapter, out, layout)).rejects.toThrow(/exists already; name another file/);
    const folder = exportAdapter(sd35Adapter, join(temporaryFolder(), 'lora'), layout);
    await expect(folder).rejects.toThrow(/expected a file whose name ends in \.safetensors, got .*lora$/);
    using digits = await loadModel(await tinyModelDirectory(), { adapter: tinyAdapter });
    const saved = join(temporaryFolder(), 'digits');
    await digits.saveAdapter(saved);
    const refused = await exportAdapter(saved, newFile(), layout).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ConfigError);
    expect((refused as Error).message).toMatch(/no names for the layers of this model, such as blocks\.0\.attn\.qkv/);
  });
});

describe('an adapter of a layer', () => {
  const swap = (values: readonly number[]) => [
    ...values.slice(values.length / 2),
    ...values.slice(0, values.length / 2),
  ];

  it.each([
    { own: 'norm_out.linear', single: 'final_layer.adaLN_modulation.1', rows: 64, swapped: true },
    {
      own: `${block}.norm1_context.linear`,
      single: 'joint_blocks.0.context_block.adaLN_modulation.1',
      rows: 64,
      swapped: true,
    },
    {
      own: `${block}.norm1_context.linear`,
      single: 'joint_blocks.0.context_block.adaLN_modulation.1',
      rows: 192,
      swapped: false,
    },
    { own: `${block}.norm1.linear`, single: 'joint_blocks.0.x_block.adaLN_modulation.1', rows: 192, swapped: false },
    { own: 'proj_out', single: 'final_layer.linear', rows: 16, swapped: false },
  ])('$own with $rows rows has its halves in the other order: $swapped', async ({ own, single, rows, swapped }) => {
    const written = await adapterFile({
      [`transformer.${own}.lora_A.weight`]: [2, 32],
      [`transformer.${own}.lora_B.weight`]: [rows, 2],
    });
    const out = newFile();
    await exportAdapter(written, out, 'comfyui');
    const B = await floats((await readAdapter(written)).tensors[`${own}.lora_B.weight`]!);
    const up = (await loadTensors(out))[`diffusion_model.${single}.lora_up.weight`]!;
    expect(await floats(up)).toEqual(swapped ? swap(B) : B);
    expect(await snapshot((await readAdapter(out)).tensors)).toEqual(
      await snapshot((await readAdapter(written)).tensors),
    );
  });

  it('that sd-scripts adapts nothing of is refused for kohya', async () => {
    const out = await adapterFile({
      'transformer.proj_out.lora_A.weight': [2, 32],
      'transformer.proj_out.lora_B.weight': [16, 2],
    });
    await expect(exportAdapter(out, newFile(), 'kohya')).rejects.toThrow(
      /sd-scripts applies no adapter to final_layer\.linear: it would be left out there without a word/,
    );
  });
});

describe('reading an adapter of another program', () => {
  it('takes the rows of a dense matrix apart', async () => {
    const path = await adapterFile({
      [`${kohya}_qkv.lora_down.weight`]: [2, 32],
      [`${kohya}_qkv.lora_up.weight`]: [96, 2],
      [`${kohya}_qkv.alpha`]: scalar(1),
    });
    const { config, modules, tensors } = await readAdapter(path);
    expect([config.rank, config.alpha, config.alphaAssumed]).toEqual([2, 1, false]);
    expect(modules).toEqual(['to_k', 'to_q', 'to_v'].map((name) => `${block}.attn.${name}`));
    const up = await floats((await loadTensors(path))[`${kohya}_qkv.lora_up.weight`]!);
    for (const [index, name] of ['to_q', 'to_k', 'to_v'].entries())
      expect(await floats(tensors[`${block}.attn.${name}.lora_B.weight`]!)).toEqual(
        up.slice(64 * index, 64 * (index + 1)),
      );
  });

  it('brings ranks and alphas of its layers to one, and acts as it did', async () => {
    const path = await adapterFile({
      [`${kohya}_proj.lora_down.weight`]: [2, 32],
      [`${kohya}_proj.lora_up.weight`]: [32, 2],
      [`${kohya}_proj.alpha`]: scalar(1),
      [`${kohya}_qkv.lora_down.weight`]: [5, 32],
      [`${kohya}_qkv.lora_up.weight`]: [96, 5],
      [`${kohya}_qkv.alpha`]: scalar(15),
    });
    const { config, tensors } = await readAdapter(path);
    expect([config.rank, config.alpha]).toEqual([5, 5]);
    const own = await loadTensors(path);
    const named = (layer: string, module: string) => ({
      [`${module}.lora_A.weight`]: own[`${layer}.lora_down.weight`]!,
      [`${module}.lora_B.weight`]: own[`${layer}.lora_up.weight`]!,
    });
    const proj = await updatesOf(named(`${kohya}_proj`, 'proj'), 1 / 2);
    const qkv = await updatesOf(named(`${kohya}_qkv`, 'qkv'), 3);
    const found = await updatesOf(tensors, config.alpha / config.rank);
    const expected = {
      [`${block}.attn.to_out.0`]: proj['proj']!,
      [`${block}.attn.to_q`]: qkv['qkv']!.slice(0, 1024),
      [`${block}.attn.to_k`]: qkv['qkv']!.slice(1024, 2048),
      [`${block}.attn.to_v`]: qkv['qkv']!.slice(2048),
    };
    expect(Object.keys(found).sort()).toEqual(Object.keys(expected).sort());
    expect(largestRelativeError(found, expected)).toBeLessThan(1e-6);
  });

  it.each([
    { what: "OneTrainer's names", A: `lora_transformer_transformer_blocks_0_attn_to_out_0.lora_down.weight` },
    { what: "diffusers' names with alpha", A: `transformer.${block}.attn.to_out.0.lora_A.weight` },
    { what: "diffusers' older names", A: `transformer.${block}.attn.to_out.0.lora.down.weight` },
    { what: "PEFT's names by themselves", A: `base_model.model.${block}.attn.to_out.0.lora_A.weight` },
    { what: "PEFT's names of a state", A: `base_model.model.${block}.attn.to_out.0.lora_A.default.weight` },
    { what: "ComfyUI's names with A and B", A: 'diffusion_model.joint_blocks.0.x_block.attn.proj.lora_A.weight' },
  ])('knows $what', async ({ A }) => {
    const B = A.replace('lora_A', 'lora_B').replace('down', 'up');
    const alpha = A.replace(/\.lora[._].*$/, '.alpha');
    const path = await adapterFile({ [A]: [2, 32], [B]: [32, 2], [alpha]: scalar(5) });
    const { config, modules } = await readAdapter(path);
    expect([config.rank, config.alpha, modules]).toEqual([2, 5, [`${block}.attn.to_out.0`]]);
    const tensors = {
      'x.lora_A.weight': (await loadTensors(path))[A]!,
      'x.lora_B.weight': (await loadTensors(path))[B]!,
    };
    const expected = (await updatesOf(tensors, 5 / 2))['x']!;
    const found = (await readUpdates(path))[`${block}.attn.to_out.0`]!;
    expect(found).toEqual(expected);
  });

  it('takes half precision, which a model has in float32', async () => {
    const tensors = await loadTensors(join(sd35Adapter, 'adapter_model.safetensors'));
    const half: Record<string, Awaited<ReturnType<(typeof tensors)[string]['to']>>> = {};
    for (const [name, tensor] of Object.entries(tensors)) half[name] = await tensor.to({ dtype: 'bfloat16' });
    const path = await adapterFile(half);
    const config = await readAdapterConfig(path);
    using model = await loadModel(tinySd3, { adapter: config, size: { width: 16, height: 16 } });
    await model.loadAdapter(path);
    const loaded = model.native.trainable();
    for (const [name, tensor] of Object.entries(loaded)) {
      const wide = await half[`base_model.model.${name}`]!.to({ dtype: 'float32' });
      expect([tensor.dtype, await floats(tensor)]).toEqual(['float32', await floats(wide)]);
    }
  });

  it('takes alpha for the rank where nothing says it, and says so', async () => {
    const path = await adapterFile({
      [`${kohya}_proj.lora_down.weight`]: [3, 32],
      [`${kohya}_proj.lora_up.weight`]: [32, 3],
    });
    expect(await readAdapterConfig(path)).toMatchObject({ rank: 3, alpha: 3, alphaAssumed: true });
    const { stderr } = await eam('export', path, join(temporaryFolder(), 'peft'), '--for', 'peft');
    expect(stderr).toContain(`${path} does not record alpha: 3, its rank, is assumed, as ComfyUI does`);
  });
});

describe('stackLora, unstackLora, sumLora, joinRows and splitRows', () => {
  const tensor = (values: readonly number[], shape: readonly number[]) => binding().Tensor.from([...values], shape);

  it('compute what they say', async () => {
    const [a, b] = [tensor([1, 2], [1, 2]), tensor([3, 4], [2, 1])];
    const [c, d] = [tensor([5, 6, 7, 8], [2, 2]), tensor([1, 0, 0, 1], [2, 2])];
    const [A, B] = await binding().stackLora([a, c], [b, d]);
    expect([A.shape, await floats(A)]).toEqual([
      [3, 2],
      [1, 2, 5, 6, 7, 8],
    ]);
    expect([B.shape, await floats(B)]).toEqual([
      [4, 3],
      [3, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1],
    ]);
    const [sumA, sumB] = await binding().sumLora([a, c], [b, d], [2, 0.5], 4);
    expect([sumA.shape, await floats(sumA)]).toEqual([
      [4, 2],
      [1, 2, 5, 6, 7, 8, 0, 0],
    ]);
    expect([sumB.shape, await floats(sumB)]).toEqual([
      [2, 4],
      [6, 0.5, 0, 0, 8, 0, 0.5, 0],
    ]);
    const rows = await binding().splitRows(c, 2);
    expect(await Promise.all(rows.map(floats))).toEqual([
      [5, 6],
      [7, 8],
    ]);
    const joined = await binding().joinRows([rows[1]!, a], [2, 2, 1]);
    expect([joined.shape, await floats(joined)]).toEqual([
      [2, 2, 1],
      [7, 8, 1, 2],
    ]);
  });

  it('refuse what does not fit', async () => {
    const [a, b] = [tensor([1, 2], [1, 2]), tensor([3, 4], [2, 1])];
    const three = tensor([1, 2, 3], [3, 1]);
    await expect(binding().stackLora([a], [a])).rejects.toThrow(/stackLora: lora_A and lora_B: expected/);
    await expect(binding().stackLora([a], [])).rejects.toThrow(/stackLora: loraB: expected 1 of them, got 0/);
    await expect(binding().sumLora([a, a], [b, three], [1, 1], 2)).rejects.toThrow(/expected those of one layer/);
    await expect(binding().sumLora([a, a], [b, b], [1, 1], 1)).rejects.toThrow(/rank: expected at least 2/);
    await expect(binding().sumLora([], [], [], 1)).rejects.toThrow(/scales: expected one for each/);
    await expect(binding().splitRows(three, 2)).rejects.toThrow(/expected rows that go into 2 parts, got \[3, 1\]/);
    await expect(binding().joinRows([a, b], [4])).rejects.toThrow(/expected rows as of the first/);
    await expect(binding().joinRows([a], [3])).rejects.toThrow(/shape: expected one of 2 numbers, got \[3\]/);
  });
});
