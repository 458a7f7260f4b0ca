// A merged model as ComfyUI's single file, which ComfyUI itself loads in test/oracles/adapters.check.ts.
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError } from '../../lib/errors.js';
import { loadTensors } from '../../lib/files/safetensors.js';
import { mergeAdapter } from '../../lib/jobs/merge/merge.js';
import { loadModel } from '../../lib/models/registry.js';
import { sd3SingleFile } from '../../lib/models/sd3/single-file-keys.js';
import { toSingleFile } from '../../lib/models/single-file.js';
import type { Tensor } from '../../lib/runtime/native/tensor.js';
import { sd35Adapter } from '../helpers/adapter-files.js';
import { eam } from '../helpers/command-line.js';
import { Sd3Copy, tinySd3 } from '../helpers/sd3.js';
import { floats } from '../helpers/tiny-model.js';
import { temporaryFolder, tinyModelDirectory } from '../helpers/tiny-run.js';

const weights = 'diffusion_pytorch_model.safetensors';
let single: Record<string, Tensor>;
let merged: Record<string, Tensor>;
let autoencoder: Record<string, Tensor>;
beforeAll(async () => {
  const [file, directory] = [join(temporaryFolder(), 'model.safetensors'), join(temporaryFolder(), 'model')];
  const command = ['merge', '--model', tinySd3, '--adapter', sd35Adapter];
  expect(await eam(...command, '--for', 'comfyui', '--out', file)).toMatchObject({ code: 0 });
  await mergeAdapter({ model: tinySd3, adapter: sd35Adapter, out: directory });
  single = await loadTensors(file);
  merged = await loadTensors(join(directory, 'transformer', weights));
  autoencoder = await loadTensors(join(tinySd3, 'vae', weights));
});

const numbers = async (...tensors: Tensor[]): Promise<number[]> => (await Promise.all(tensors.map(floats))).flat();
const halves = (values: readonly number[]) => [
  ...values.slice(values.length / 2),
  ...values.slice(0, values.length / 2),
];

describe('mergeAdapter for comfyui', () => {
  it('writes every number of the network and the autoencoder, and no other', () => {
    const count = (tensors: Record<string, Tensor>) =>
      Object.values(tensors).reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
    expect(count(single)).toBe(count(merged) + count(autoencoder));
    const names = Object.keys(single);
    expect(names.every((name) => /^(model\.diffusion_model|first_stage_model)\./.test(name))).toBe(true);
    // Of q, k and v three times two tensors become two.
    const fused = names.filter((name) => /qkv\.(weight|bias)$/.test(name)).length;
    expect(names).toHaveLength(Object.keys(merged).length + Object.keys(autoencoder).length - 2 * fused);
  });

  it.each([
    { name: 'joint_blocks.1.x_block.attn.qkv', own: ['attn.to_q', 'attn.to_k', 'attn.to_v'] },
    { name: 'joint_blocks.1.x_block.attn2.qkv', own: ['attn2.to_q', 'attn2.to_k', 'attn2.to_v'] },
    { name: 'joint_blocks.1.context_block.attn.qkv', own: ['attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj'] },
    { name: 'joint_blocks.1.context_block.attn.proj', own: ['attn.to_add_out'] },
    { name: 'joint_blocks.1.context_block.adaLN_modulation.1', own: ['norm1_context.linear'] },
    { name: 'joint_blocks.1.x_block.mlp.fc2', own: ['ff.net.2'] },
  ])('has the rows of $own in $name, with the adapter folded in', async ({ name, own }) => {
    for (const kind of ['weight', 'bias']) {
      const parts = own.map((each) => merged[`transformer_blocks.1.${each}.${kind}`]!);
      const found = single[`model.diffusion_model.${name}.${kind}`]!;
      expect(found.shape).toEqual([parts.length * parts[0]!.shape[0]!, ...parts[0]!.shape.slice(1)]);
      expect(await floats(found)).toEqual(await numbers(...parts));
    }
  });

  it.each([
    { name: 'final_layer.adaLN_modulation.1', own: 'norm_out.linear' },
    { name: 'joint_blocks.2.context_block.adaLN_modulation.1', own: 'transformer_blocks.2.norm1_context.linear' },
  ])('has the shift of $own first', async ({ name, own }) => {
    for (const kind of ['weight', 'bias']) {
      const found = await floats(single[`model.diffusion_model.${name}.${kind}`]!);
      expect(found).toEqual(halves(await floats(merged[`${own}.${kind}`]!)));
    }
  });

  it.each([
    { name: 'decoder.up.0.block.1.conv1.weight', own: 'decoder.up_blocks.1.resnets.1.conv1.weight' },
    { name: 'decoder.up.1.upsample.conv.bias', own: 'decoder.up_blocks.0.upsamplers.0.conv.bias' },
    { name: 'encoder.down.0.downsample.conv.weight', own: 'encoder.down_blocks.0.downsamplers.0.conv.weight' },
    { name: 'encoder.mid.block_2.norm1.weight', own: 'encoder.mid_block.resnets.1.norm1.weight' },
    { name: 'decoder.mid.attn_1.norm.bias', own: 'decoder.mid_block.attentions.0.group_norm.bias' },
    { name: 'encoder.norm_out.weight', own: 'encoder.conv_norm_out.weight' },
    { name: 'encoder.down.1.block.0.nin_shortcut.weight', own: 'encoder.down_blocks.1.resnets.0.conv_shortcut.weight' },
  ])('calls $own of the autoencoder $name', async ({ name, own }) => {
    expect(await floats(single[`first_stage_model.${name}`]!)).toEqual(await floats(autoencoder[own]!));
  });

  it("has the autoencoder's attention as convolutions of one pixel", async () => {
    const found = single['first_stage_model.decoder.mid.attn_1.proj_out.weight']!;
    const own = autoencoder['decoder.mid_block.attentions.0.to_out.0.weight']!;
    expect([found.shape, await floats(found)]).toEqual([[16, 16, 1, 1], await floats(own)]);
    expect(single['first_stage_model.decoder.mid.attn_1.proj_out.bias']!.shape).toEqual([16]);
  });

  it('refuses a directory to write to, a file that exists, and a kind of model without such files', async () => {
    const merge = (out: string, model = tinySd3, adapter = sd35Adapter) =>
      mergeAdapter({ model, adapter, out, for: 'comfyui' });
    await expect(merge(join(temporaryFolder(), 'model'))).rejects.toThrow(
      /expected a file whose name ends in \.safetensors/,
    );
    const file = join(temporaryFolder(), 'model.safetensors');
    await merge(file);
    await expect(merge(file)).rejects.toThrow(/exists already; name another file, or remove it/);
    const digits = await tinyModelDirectory();
    using adapted = await loadModel(digits, { adapter: { rank: 1, alpha: 1 } });
    const saved = join(temporaryFolder(), 'digits');
    await adapted.saveAdapter(saved);
    const refused = await merge(join(temporaryFolder(), 'a.safetensors'), digits, saved).catch(
      (error: unknown) => error,
    );
    expect(refused).toBeInstanceOf(ConfigError);
    expect((refused as Error).message).toMatch(/there are no single files of a model of the kind digits/);
  });

  it('refuses a model whose autoencoder is not there', async () => {
    const copy = new Sd3Copy().remove('vae');
    const out = join(temporaryFolder(), 'a.safetensors');
    const merge = mergeAdapter({ model: copy.path, adapter: sd35Adapter, out, for: 'comfyui' });
    await expect(merge).rejects.toThrow(CheckpointError);
  });
});

describe('toSingleFile', () => {
  const [network] = sd3SingleFile;

  it('refuses tensors that have no name there, and a layer that is there in part', async () => {
    await expect(toSingleFile(network!, { ...merged, 'learned.sigma': merged['proj_out.bias']! })).rejects.toThrow(
      'transformer: expected tensors that the single file has names for, got learned.sigma',
    );
    const { 'transformer_blocks.0.attn.to_k.weight': _, ...others } = merged;
    await expect(toSingleFile(network!, others)).rejects.toThrow(
      /expected all of .*to_q\.weight, .*to_k\.weight, .*to_v\.weight, got 2/,
    );
  });
});
