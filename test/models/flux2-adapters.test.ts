// FLUX.2's adapters in the names of kohya's trainers and of ComfyUI, which their own code takes in
// test/oracles/flux2.check.ts.
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { loadTensors } from '../../lib/files/safetensors.js';
import { exportAdapter, readAdapter } from '../../lib/models/adapter-files.js';
import { loadModel } from '../../lib/models/registry.js';
import { adapterFile, scalar, sd35Adapter, updatesOf } from '../helpers/adapter-files.js';
import { eam } from '../helpers/command-line.js';
import { otherFlux2, tinyFlux2 } from '../helpers/flux2.js';
import { failure, refusal } from '../helpers/refusal.js';
import { tinySd3 } from '../helpers/sd3.js';
import { floats, largestRelativeError, snapshot } from '../helpers/tiny-model.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const adapter = join(tinyFlux2, 'lora_peft');
const newFile = (): string => join(temporaryFolder(), 'lora.safetensors');
const layouts = [
  { layout: 'kohya', name: (layer: string) => `lora_unet_${layer.replaceAll('.', '_')}` },
  { layout: 'comfyui', name: (layer: string) => `diffusion_model.${layer}` },
] as const;

/** Every linear layer has its name in the single file, inputs and outputs here; q, k and v are 32 rows each. */
const linear: Readonly<Record<string, { single: string; shape: readonly [number, number] }>> = {
  x_embedder: { single: 'img_in', shape: [32, 16] },
  context_embedder: { single: 'txt_in', shape: [32, 72] },
  'time_guidance_embed.timestep_embedder.linear_1': { single: 'time_in.in_layer', shape: [32, 256] },
  'time_guidance_embed.timestep_embedder.linear_2': { single: 'time_in.out_layer', shape: [32, 32] },
  'double_stream_modulation_img.linear': { single: 'double_stream_modulation_img.lin', shape: [192, 32] },
  'double_stream_modulation_txt.linear': { single: 'double_stream_modulation_txt.lin', shape: [192, 32] },
  'single_stream_modulation.linear': { single: 'single_stream_modulation.lin', shape: [96, 32] },
  'norm_out.linear': { single: 'final_layer.adaLN_modulation.1', shape: [64, 32] },
  proj_out: { single: 'final_layer.linear', shape: [16, 32] },
  'transformer_blocks.1.attn.to_out.0': { single: 'double_blocks.1.img_attn.proj', shape: [32, 32] },
  'transformer_blocks.1.attn.to_add_out': { single: 'double_blocks.1.txt_attn.proj', shape: [32, 32] },
  'transformer_blocks.1.ff.linear_in': { single: 'double_blocks.1.img_mlp.0', shape: [192, 32] },
  'transformer_blocks.1.ff.linear_out': { single: 'double_blocks.1.img_mlp.2', shape: [32, 96] },
  'transformer_blocks.1.ff_context.linear_in': { single: 'double_blocks.1.txt_mlp.0', shape: [192, 32] },
  'transformer_blocks.1.ff_context.linear_out': { single: 'double_blocks.1.txt_mlp.2', shape: [32, 96] },
  'single_transformer_blocks.2.attn.to_qkv_mlp_proj': { single: 'single_blocks.2.linear1', shape: [288, 32] },
  'single_transformer_blocks.2.attn.to_out': { single: 'single_blocks.2.linear2', shape: [32, 128] },
};

/** An adapter of rank 2 of these layers in diffusers' layout. */
const adapterOf = (layers: Readonly<Record<string, { shape: readonly [number, number] }>>): Promise<string> =>
  adapterFile(
    Object.fromEntries(
      Object.entries(layers).flatMap(
        ([
          name,
          {
            shape: [rows, columns],
          },
        ]) => [
          [`transformer.${name}.lora_A.weight`, [2, columns]],
          [`transformer.${name}.lora_B.weight`, [rows, 2]],
        ],
      ),
    ),
  );

const updatesIn = async (path: string): Promise<Record<string, number[]>> => {
  const { config, tensors } = await readAdapter(path);
  return updatesOf(tensors, config.alpha / config.rank);
};

describe.each(layouts)("FLUX.2's adapter for $layout", ({ layout, name }) => {
  it('has q, k and v in one matrix whose product is theirs, one below the other', async () => {
    const out = newFile();
    expect(await eam('export', adapter, out, '--for', layout)).toEqual({ code: 0, stdout: '', stderr: `${out}\n` });
    const tensors = await loadTensors(out);
    const qkv = name('double_blocks.1.txt_attn.qkv');
    expect([tensors[`${qkv}.lora_down.weight`]!.shape, tensors[`${qkv}.lora_up.weight`]!.shape]).toEqual([
      [12, 32],
      [96, 12],
    ]);
    expect(await floats(tensors[`${qkv}.alpha`]!)).toEqual([24]);
    expect(await floats(tensors[`${name('single_blocks.0.linear1')}.alpha`]!)).toEqual([8]);
    const found = await updatesOf(
      { 'x.lora_A.weight': tensors[`${qkv}.lora_down.weight`]!, 'x.lora_B.weight': tensors[`${qkv}.lora_up.weight`]! },
      24 / 12,
    );
    const own = await updatesIn(adapter);
    const parts = ['q', 'k', 'v'].map((letter) => own[`transformer_blocks.1.attn.add_${letter}_proj`]!);
    expect(found['x']).toEqual(parts.flat());
  });

  it('reads back to the bit, and loads into a model', async () => {
    const out = newFile();
    await exportAdapter(adapter, out, layout);
    const [before, after] = [await readAdapter(adapter), await readAdapter(out)];
    expect(after.config).toMatchObject({ layout, rank: 4, alpha: 8, alphaAssumed: false });
    expect(after.modules).toEqual(before.modules);
    expect(await snapshot(after.tensors)).toEqual(await snapshot(before.tensors));
    using model = await loadModel(tinyFlux2, { adapter: after.config, size: { width: 16, height: 16 } });
    await model.loadAdapter(out);
    expect(await snapshot(model.native.trainable())).toEqual(await snapshot(before.tensors));
  });

  it('is read where q, k and v were trained as one, with a rank and alpha of its own', async () => {
    const qkv = name('double_blocks.0.img_attn.qkv');
    const path = await adapterFile({
      [`${qkv}.lora_down.weight`]: [2, 32],
      [`${qkv}.lora_up.weight`]: [96, 2],
      [`${qkv}.alpha`]: scalar(1),
      [`${name('single_blocks.1.linear2')}.lora_down.weight`]: [3, 128],
      [`${name('single_blocks.1.linear2')}.lora_up.weight`]: [32, 3],
    });
    const own = await loadTensors(path);
    const fused = await updatesOf(
      { 'x.lora_A.weight': own[`${qkv}.lora_down.weight`]!, 'x.lora_B.weight': own[`${qkv}.lora_up.weight`]! },
      1 / 2,
    );
    const found = await updatesIn(path);
    expect(Object.keys(found)).toHaveLength(4);
    const parts = ['to_q', 'to_k', 'to_v'].map((each) => found[`transformer_blocks.0.attn.${each}`]!);
    expect(largestRelativeError({ x: parts.flat() }, fused)).toBeLessThan(1e-6);
    expect(found['single_transformer_blocks.1.attn.to_out']).toHaveLength(32 * 128);
  });
});

describe("every linear layer of FLUX.2's transformer", () => {
  it('has its name for ComfyUI, and is read back', async () => {
    const path = await adapterOf(linear);
    const out = newFile();
    await exportAdapter(path, out, 'comfyui');
    const names = Object.keys(await loadTensors(out)).filter((name) => name.endsWith('.lora_up.weight'));
    expect(names.sort()).toEqual(
      Object.values(linear)
        .map(({ single }) => `diffusion_model.${single}.lora_up.weight`)
        .sort(),
    );
    expect(await snapshot((await readAdapter(out)).tensors)).toEqual(await snapshot((await readAdapter(path)).tensors));
  });

  it("has the shift of the last modulation first there, as the model's single file has", async () => {
    const path = await adapterOf({ 'norm_out.linear': linear['norm_out.linear']! });
    const out = newFile();
    await exportAdapter(path, out, 'comfyui');
    const up = (await loadTensors(out))['diffusion_model.final_layer.adaLN_modulation.1.lora_up.weight']!;
    const B = await floats((await readAdapter(path)).tensors['norm_out.linear.lora_B.weight']!);
    expect(await floats(up)).toEqual([...B.slice(64), ...B.slice(0, 64)]);
  });

  it('is refused for kohya outside of the blocks, by name', async () => {
    const path = await adapterOf({ x_embedder: linear['x_embedder']! });
    expect(await failure(ConfigError, exportAdapter(path, newFile(), 'kohya'))).toContain(
      'musubi-tuner applies no adapter to img_in: it would be left out there without a word',
    );
  });
});

describe("FLUX.2's adapter of another program", () => {
  const q = 'transformer_blocks.0.attn.to_q';
  it.each([
    { what: "OneTrainer's", A: 'lora_transformer_transformer_blocks_0_attn_to_q.lora_down.weight' },
    {
      what: "OneTrainer's of a single-stream block",
      A: 'lora_transformer_single_transformer_blocks_0_attn_to_out.lora_down.weight',
    },
    {
      what: "PEFT's prefix before the single file's names",
      A: 'base_model.model.single_blocks.0.linear2.lora_A.weight',
    },
    { what: "AI Toolkit's", A: 'diffusion_model.single_blocks.0.linear2.lora_A.weight' },
  ])('is known by its names: $what', async ({ A }) => {
    const isDouble = A.includes('to_q');
    const B = A.replace('lora_A', 'lora_B').replace('down', 'up');
    const path = await adapterFile({ [A]: [2, isDouble ? 32 : 128], [B]: [32, 2] });
    expect((await readAdapter(path)).modules).toEqual([isDouble ? q : 'single_transformer_blocks.0.attn.to_out']);
  });

  it.each([
    { name: 'lora_unet_double_blocks_0_img_attn_proj.dora_scale', says: /DoRA/ },
    { name: 'diffusion_model.single_blocks.0.linear1.hada_w1_a', says: /LoHa/ },
    { name: 'diffusion_model.single_blocks.0.linear1.lokr_w1', says: /LoKr/ },
    { name: 'lora_te_model_layers_0_self_attn_q_proj.lora_down.weight', says: /adapt a text encoder/ },
    { name: 'text_encoder.model.layers.0.self_attn.q_proj.lora_A.weight', says: /adapt a text encoder/ },
    { name: 'diffusion_model.img_in.reshape_weight', says: /weights that are changed or replaced whole/ },
  ])('is refused where it is no plain LoRA of the transformer: $name', async ({ name, says }) => {
    const path = await adapterFile({
      'lora_unet_double_blocks_0_img_attn_proj.lora_down.weight': [2, 32],
      'lora_unet_double_blocks_0_img_attn_proj.lora_up.weight': [32, 2],
      [name]: [2, 32],
    });
    const message = await refusal(readAdapter(path));
    expect(message).toMatch(says);
    expect(message).toContain(name);
  });

  it.each(['double_blocks.0.img_mod.lin', 'single_blocks.0.modulation.lin', 'single_blocks.0.linear1_qkv'])(
    'is refused with layers of FLUX.1 or a part of one: %s',
    async (layer) => {
      const name = `diffusion_model.${layer}`;
      const path = await adapterFile({ [`${name}.lora_A.weight`]: [2, 32], [`${name}.lora_B.weight`]: [96, 2] });
      expect(await refusal(readAdapter(path))).toMatch(
        /layers: expected those of one network that is known here, got diffusion_model\./,
      );
    },
  );
});

describe('exportAdapter of layers that several kinds of model have', () => {
  const attention = {
    'transformer_blocks.0.attn.to_q': { shape: [32, 32] },
    'transformer_blocks.0.attn.to_add_out': { shape: [32, 32] },
  } as const;
  const namesIn = async (path: string) => Object.keys(await loadTensors(path)).map((name) => name.split('.')[1]);

  it('asks for the model where the adapter names none', async () => {
    const message = await failure(ConfigError, exportAdapter(await adapterOf(attention), newFile(), 'comfyui'));
    expect(message).toMatch(
      /models of 2 kinds have layers of these names, such as transformer_blocks\.0\.attn\.to_add_out, .*--model.*flux2/,
    );
  });

  it.each([
    { model: tinyFlux2, block: 'double_blocks' },
    { model: 'flux2-klein-4b', block: 'double_blocks' },
    { model: tinySd3, block: 'joint_blocks' },
    { model: 'sd3.5-medium', block: 'joint_blocks' },
  ])('takes the names of $model', async ({ model, block }) => {
    const out = newFile();
    const run = await eam('export', await adapterOf(attention), out, '--for', 'comfyui', '--model', model);
    expect([run.code, new Set(await namesIn(out))]).toEqual([0, new Set([block])]);
  });

  it.each([
    { model: otherFlux2('double-only'), block: 'double_blocks' },
    { model: tinySd3, block: 'joint_blocks' },
  ])('takes the names of the model that a run was of: $block', async ({ model, block }) => {
    const settings = { rank: 1, alpha: 1, targets: ['attn.to_q', 'attn.to_v'] };
    using adapted = await loadModel(model, { adapter: settings });
    const saved = join(temporaryFolder(), 'adapter');
    await adapted.saveAdapter(saved);
    const out = newFile();
    await exportAdapter(saved, out, 'comfyui');
    expect(new Set(await namesIn(out))).toEqual(new Set([block]));
  });

  it('refuses a model of another kind, and one without such names', async () => {
    const exported = (path: string, model: string) => exportAdapter(path, newFile(), 'kohya', { model });
    expect(await failure(ConfigError, exported(adapter, tinySd3))).toContain(
      `model: expected one that has the layers of ${adapter}, got ${tinySd3}`,
    );
    expect(await failure(ConfigError, exported(sd35Adapter, 'digits'))).toContain(
      'there are no single files of a model',
    );
    expect(await failure(ConfigError, exportAdapter(adapter, newFile(), 'kohya', { modle: 'x' } as object))).toContain(
      'did you mean "model"',
    );
  });
});
