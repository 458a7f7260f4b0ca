// PEFT's settings of an adapter: applied as what they are, or refused by name.

import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { CheckpointError } from '../../lib/errors.js';
import { loadTensors, readHeader, saveTensors } from '../../lib/files/safetensors.js';
import { mergeAdapter } from '../../lib/jobs/merge/merge.js';
import { exportAdapter, readAdapterConfig } from '../../lib/models/adapter-files.js';
import { loadModel } from '../../lib/models/registry.js';
import { eam } from '../helpers/command-line.js';
import { floats, snapshot } from '../helpers/tiny-model.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const base = fileURLToPath(new URL('../fixtures/sd35-tiny', import.meta.url));
const byPeft = (name: string): string => fileURLToPath(new URL(`../fixtures/peft-settings/${name}`, import.meta.url));

/** A copy of an adapter that PEFT wrote, with other settings. */
async function peftWith(settings: object): Promise<string> {
  const directory = join(temporaryFolder(), 'peft');
  await cp(byPeft('gaussian'), directory, { recursive: true });
  const path = join(directory, 'adapter_config.json');
  const written = JSON.parse(await readFile(path, 'utf8')) as object;
  await writeFile(path, JSON.stringify({ ...written, ...settings }));
  return directory;
}

/** The same in the layout of diffusers, whose settings are in the metadata of the tensors. */
async function diffusersWith(settings: object): Promise<string> {
  const directory = join(temporaryFolder(), 'diffusers');
  await exportAdapter(byPeft('gaussian'), directory, 'diffusers');
  const path = join(directory, 'pytorch_lora_weights.safetensors');
  const written = JSON.parse(await readFile(join(byPeft('gaussian'), 'adapter_config.json'), 'utf8')) as object;
  const named = Object.entries({ ...written, ...settings }).map(([key, value]) => [`transformer.${key}`, value]);
  const tensors = await loadTensors(path);
  await saveTensors(path, tensors, { lora_adapter_metadata: JSON.stringify(Object.fromEntries(named)) });
  return directory;
}
const layouts = { peft: peftWith, diffusers: diffusersWith };

describe('an adapter of PEFT', () => {
  it.each([
    'gaussian',
    'orthogonal',
    'mica',
    'eva',
    'random',
    'excluded',
    'layers',
    'one-layer',
    'regex',
    'rank-stabilised',
    'patterns',
  ])('is merged as PEFT merges it, loaded, and carried to diffusers with the settings of "%s"', async (name) => {
    const out = join(temporaryFolder(), 'merged');
    const { modules } = await mergeAdapter({ model: base, adapter: byPeft(name), out });
    const expected = await loadTensors(join(byPeft(name), 'merged.safetensors'));
    const { entries } = await readHeader(join(byPeft(name), 'merged.safetensors'));
    expect(modules.map((module) => `${module}.weight`)).toEqual(entries.map((entry) => entry.name).sort());
    const merged = await loadTensors(join(out, 'transformer', 'diffusion_pytorch_model.safetensors'));
    const original = await loadTensors(join(base, 'transformer', 'diffusion_pytorch_model.safetensors'));
    for (const key of Object.keys(original)) {
      const wanted = await floats(expected[key] ?? original[key]!);
      const found = await floats(merged[key]!);
      expect(Math.max(...found.map((value, index) => Math.abs(value - wanted[index]!)))).toBeLessThan(1e-6);
    }
    const carried = join(temporaryFolder(), 'diffusers');
    await exportAdapter(byPeft(name), carried, 'diffusers');
    const size = { width: 32, height: 32 };
    using model = await loadModel(base, { adapter: await readAdapterConfig(byPeft(name)), size });
    await model.loadAdapter(byPeft(name));
    expect(Object.keys(await snapshot(model.native.trainable()))).toHaveLength(2 * modules.length);
    using other = await loadModel(base, { adapter: await readAdapterConfig(carried), size });
    await other.loadAdapter(carried);
    expect(await snapshot(other.native.trainable())).toEqual(await snapshot(model.native.trainable()));
  });
});

/** What PEFT 0.21 knows, and what it does not. */
const refusals: Record<string, unknown[]> = {
  alora_invocation_tokens: [[1, 2]],
  arrow_config: [{ top_k: 3 }],
  bias: ['all', 'lora_only'],
  fan_in_fan_out: [true],
  init_lora_weights: ['pissa', 'pissa_niter_16', 'olora', 'OLoRA', 'corda', 'loftq', 'lora_ga', 'of tomorrow'],
  kasa_config: [{ beta: 1 }],
  layer_replication: [[[0, 2]]],
  lora_bias: [true],
  megatron_config: [{ num_layers: 2 }],
  modules_to_save: [['proj_out']],
  monteclora_config: [{ num_samples: 8 }],
  peft_type: ['LOHA'],
  target_parameters: [['experts.gate']],
  trainable_token_indices: [[1], { embed: [1] }],
  use_bdlora: [{ nblocks: 2 }, true],
  use_dora: [true],
  use_qalora: [true],
  use_rslora: ['yes', 2],
  of_tomorrow: [true, 1, 'yes', ['a'], { a: 1 }],
};

describe.each(Object.entries(layouts))("adapter settings in the layout '%s'", (_, adapterWith) => {
  it.each(Object.entries(refusals))('refuse %s by its name', async (key, values) => {
    for (const value of values) {
      const error = await readAdapterConfig(await adapterWith({ [key]: value })).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(CheckpointError);
      const named = key === 'peft_type' ? /peft_type.*"LOHA"/ : `${key} is ${JSON.stringify(value)}`;
      expect((error as Error).message).toMatch(named);
    }
  });

  it('name every setting that is refused, and what to do where PEFT can undo it', async () => {
    const adapter = await adapterWith({ use_dora: true, init_lora_weights: 'pissa', lora_bias: true });
    await expect(readAdapterConfig(adapter)).rejects.toThrow(
      /use_dora is true.*path_initial_model_for_weight_conversion/,
    );
    await expect(readAdapterConfig(adapter)).rejects.toThrow(/lora_bias is true.*supported is plain LoRA/);
    await expect(readAdapterConfig(await adapterWith({ init_lora_weights: 'loftq' }))).rejects.not.toThrow(
      /conversion/,
    );
  });

  it('refuse ranks and alphas of layers by expressions, and ranks that the tensors have not', async () => {
    for (const key of ['rank_pattern', 'alpha_pattern']) {
      for (const value of [{ 'to_(q|k)': 4 }, { to_q: 'four' }, ['to_q'], 4]) {
        await expect(readAdapterConfig(await adapterWith({ [key]: value }))).rejects.toThrow(
          `${key}: expected numbers by names of layers or ends of them, got ${JSON.stringify(value)}`,
        );
      }
    }
    const ranked = await adapterWith({ rank_pattern: { 'attn.to_q': 4 } });
    await expect(readAdapterConfig(ranked)).rejects.toThrow(/attn\.to_q: rank: expected 4, got 2/);
    // An end of a name begins at a dot.
    expect(await readAdapterConfig(await adapterWith({ alpha_pattern: { o_q: 4 } }))).toMatchObject({ alpha: 6 });
    expect(await readAdapterConfig(await adapterWith({ alpha_pattern: { to_q: 4 } }))).toMatchObject({ alpha: 4 });
  });

  it('may say nothing out of the ordinary under any name', async () => {
    const plain = { rank: 2, alpha: 6, targets: ['0.attn.to_q'] };
    for (const value of [null, false, 0, '', [], {}]) {
      const settings = { of_tomorrow: value, use_dora: value, rank_pattern: value, init_lora_weights: 'Gaussian' };
      expect(await readAdapterConfig(await adapterWith(settings))).toMatchObject(plain);
    }
    // How it was trained, and from where on, is in no tensor.
    const history = { lora_dropout: 0.5, eva_config: { rho: 1 }, velora_config: { scale: 1 }, task_type: 'CAUSAL_LM' };
    expect(await readAdapterConfig(await adapterWith(history))).toMatchObject(plain);
  });

  it('scale a rank-stabilised adapter by alpha/√rank', async () => {
    const { rank, alpha } = await readAdapterConfig(await adapterWith({ use_rslora: true }));
    expect(alpha / rank).toBeCloseTo(6 / Math.sqrt(2), 14);
    for (const value of [false, null, 0])
      expect(await readAdapterConfig(await adapterWith({ use_rslora: value }))).toMatchObject({ rank: 2, alpha: 6 });
  });

  it('leave it to the tensors what was adapted where only some of the layers were, the first one too', async () => {
    for (const selection of [{ layers_to_transform: 0 }, { layers_to_transform: [0] }, { exclude_modules: '1.attn' }]) {
      const read = await readAdapterConfig(await adapterWith({ target_modules: ['attn.to_q'], ...selection }));
      expect(read.targets).toEqual(['transformer_blocks.0.attn.to_q']);
    }
  });

  it('are read by every command that takes an adapter', async () => {
    const adapter = await adapterWith({ use_dora: true });
    const [folder, prompts] = [temporaryFolder(), join(temporaryFolder(), 'prompts.txt')];
    await writeFile(prompts, 'a fox\n');
    const model = ['--model', base, '--adapter', adapter];
    const commands = [
      ['sample', ...model, '--prompt', 'a fox', '--width', '32', '--out', join(folder, 'a.png')],
      ['merge', ...model, '--out', join(folder, 'merged')],
      ['export', adapter, join(folder, 'exported')],
      ['evaluate', ...model, '--prompts', prompts, '--reward', 'stroke-weight'],
    ];
    for (const command of commands) {
      const { code, stderr } = await eam(...command);
      expect([command[0], code, stderr]).toEqual([
        command[0],
        1,
        expect.stringContaining('use_dora is true') as string,
      ]);
    }
    using trained = await loadModel(base, {
      adapter: { rank: 2, alpha: 6, targets: ['0.attn.to_q'] },
      size: { width: 32, height: 32 },
    });
    await expect(trained.loadAdapter(adapter)).rejects.toThrow(/use_dora is true/);
  });
});
