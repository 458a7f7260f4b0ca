// The names of FLUX.2's layers in single files, both ways; the files as diffusers' and ComfyUI's own code take them are
// in test/oracles/flux2.check.ts.
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { CheckpointError } from '../../lib/errors.js';
import { loadTensors, readHeader } from '../../lib/files/safetensors.js';
import { flux2Components, isFlux2SingleFile } from '../../lib/models/flux2/single-file.js';
import { flux2SingleFile } from '../../lib/models/flux2/single-file-keys.js';
import type { MovedTensor } from '../../lib/models/moved-tensors.js';
import { sd3SingleFile } from '../../lib/models/sd3/single-file-keys.js';
import { toSingleFile } from '../../lib/models/single-file.js';
import type { TensorEntry } from '../../lib/files/safetensors-header.js';
import type { Tensor } from '../../lib/runtime/native/tensor.js';
import { otherFlux2, tinyFlux2 } from '../helpers/flux2.js';
import { flux2Parts } from '../helpers/flux2-single-file.js';
import { refusal } from '../helpers/refusal.js';
import type { Part } from '../helpers/single-file.js';
import { floats } from '../helpers/tiny-model.js';

const file = 'diffusion_pytorch_model.safetensors';
const [transformer, autoencoder] = flux2SingleFile as [(typeof flux2SingleFile)[0], (typeof flux2SingleFile)[0]];
let own: Record<'transformer' | 'vae', Record<string, Tensor>>;
let single: Record<string, Tensor>;
let parts: Record<'transformer' | 'vae' | 'text_encoder', Part[]>;
beforeAll(async () => {
  own = {
    transformer: await loadTensors(join(tinyFlux2, 'transformer', file)),
    vae: await loadTensors(join(tinyFlux2, 'vae', file)),
  };
  single = {
    ...(await toSingleFile(transformer, own.transformer)),
    ...(await toSingleFile(autoencoder, own.vae)),
  };
  parts = await flux2Parts(tinyFlux2);
});

/** Entries of a header as those of a file that has these tensors one behind the other. */
function entriesOf(tensors: readonly Pick<Part, 'name' | 'dtype' | 'shape'>[]): TensorEntry[] {
  let end = 0;
  return tensors.map(({ name, dtype, shape }) => {
    const begin = end;
    end += 4 * shape.reduce((product, size) => product * size, 1);
    return { name, dtype, shape: [...shape], begin, end };
  });
}
const shapesOf = (tensors: readonly Pick<MovedTensor, 'name' | 'shape'>[]) =>
  Object.fromEntries(tensors.map(({ name, shape }) => [name, [...shape]]));
const componentsOf = (tensors: readonly Part[]) => flux2Components(entriesOf(tensors), 'model.safetensors');

describe("FLUX.2's names in a single file", () => {
  it.each(['transformer', 'vae'] as const)('have every tensor of the %s with its shape, both ways', async (folder) => {
    const { prefix } = folder === 'vae' ? autoencoder : transformer;
    const written = Object.entries(single).filter(([name]) => name.startsWith(prefix));
    // The way back, which knows nothing of lib/, has them so.
    const expected = parts[folder].map(({ name, shape }) => [prefix + name, [...shape]] as const);
    expect(Object.fromEntries(written.map(([name, { shape }]) => [name, [...shape]]))).toEqual(
      Object.fromEntries(expected),
    );
    const read = componentsOf(written.map(([name, { dtype, shape }]) => ({ name, dtype, shape }) as Part));
    expect(read.map((component) => component.folder)).toEqual([folder]);
    const { entries } = await readHeader(join(tinyFlux2, folder, file));
    expect(shapesOf(read[0]!.tensors)).toEqual(shapesOf(entries));
  });

  it.each([transformer, autoencoder])('are each of one layer: $folder', (network) => {
    const names = Object.keys(own[network.folder as 'vae']);
    const layers = network.layersOf(names);
    for (const list of [layers.map((layer) => layer.single), layers.flatMap((layer) => layer.own)])
      expect(new Set(list).size).toBe(list.length);
    // The single file's names tell as many blocks as the folder's.
    expect(network.layersOf(layers.map((layer) => `${layer.single}.weight`))).toEqual(layers);
  });

  it.each(['three-heads', 'double-only', 'single-only'] as const)('hold at other sizes: %s', async (name) => {
    for (const network of flux2SingleFile) {
      const tensors = await loadTensors(join(otherFlux2(name), network.folder, file));
      const read = componentsOf(
        Object.entries(await toSingleFile(network, tensors)).map(([key, { dtype, shape }]) => ({
          name: key,
          dtype,
          shape: [...shape],
        })) as Part[],
      );
      expect(shapesOf(read[0]!.tensors)).toEqual(
        Object.fromEntries(Object.entries(tensors).map(([key, { shape }]) => [key, [...shape]])),
      );
    }
  });

  it.each([
    {
      name: 'double_blocks.1.img_attn.qkv.weight',
      of: ['transformer_blocks.1.attn.to_q', 'transformer_blocks.1.attn.to_k', 'transformer_blocks.1.attn.to_v'],
    },
    {
      name: 'double_blocks.0.txt_attn.qkv.weight',
      of: ['add_q_proj', 'add_k_proj', 'add_v_proj'].map((each) => `transformer_blocks.0.attn.${each}`),
    },
    { name: 'double_blocks.1.txt_mlp.0.weight', of: ['transformer_blocks.1.ff_context.linear_in'] },
    { name: 'double_blocks.1.img_attn.norm.key_norm.scale', of: ['transformer_blocks.1.attn.norm_k'] },
    { name: 'single_blocks.2.linear1.weight', of: ['single_transformer_blocks.2.attn.to_qkv_mlp_proj'] },
    { name: 'single_blocks.2.norm.query_norm.scale', of: ['single_transformer_blocks.2.attn.norm_q'] },
    { name: 'double_stream_modulation_txt.lin.weight', of: ['double_stream_modulation_txt.linear'] },
  ])('have in $name the numbers of $of', async ({ name, of }) => {
    const numbers = await Promise.all(of.map((each) => floats(own.transformer[`${each}.weight`]!)));
    expect(await floats(single[`model.diffusion_model.${name}`]!)).toEqual(numbers.flat());
  });

  it("have the shift of the last layer's modulation first", async () => {
    const numbers = await floats(own.transformer['norm_out.linear.weight']!);
    const half = numbers.length / 2;
    expect(await floats(single['model.diffusion_model.final_layer.adaLN_modulation.1.weight']!)).toEqual([
      ...numbers.slice(half),
      ...numbers.slice(0, half),
    ]);
  });
});

describe('a single file of FLUX.2', () => {
  it.each(['transformer', 'vae', 'text_encoder'] as const)('may hold the %s alone, without a prefix', (folder) => {
    const [component, ...others] = componentsOf(parts[folder]);
    expect(isFlux2SingleFile(entriesOf(parts[folder]))).toBe(true);
    expect([component!.folder, others]).toEqual([folder, []]);
  });

  it('may hold the autoencoder with the names that diffusers gives it', async () => {
    const { entries } = await readHeader(join(tinyFlux2, 'vae', file));
    expect(isFlux2SingleFile(entries)).toBe(true);
    const [component] = flux2Components(entries, 'vae.safetensors');
    expect([component!.folder, shapesOf(component!.tensors)]).toEqual(['vae', shapesOf(entries)]);
  });

  it('may call the weights of norms as ComfyUI saves them', () => {
    const saved = parts.transformer.map((part) => ({
      ...part,
      name: part.name.replace(/_norm\.scale$/, '_norm.weight'),
    }));
    expect(saved.some(({ name }) => name.endsWith('.query_norm.weight'))).toBe(true);
    expect(shapesOf(componentsOf(saved)[0]!.tensors)).toEqual(shapesOf(componentsOf(parts.transformer)[0]!.tensors));
  });

  it.each([
    { what: "FLUX.2 [dev]'s embedding of guidance", name: 'guidance_in.in_layer.weight' },
    { what: "FLUX.1's modulation of a block", name: 'double_blocks.0.img_mod.lin.weight' },
    { what: "an adapter's tensor", name: 'double_blocks.0.img_attn.qkv.lora_down.weight' },
  ])('is refused with $what, by its name', async ({ name }) => {
    const stranger = { ...parts.transformer[0]!, name };
    const refused = Promise.resolve().then(() => componentsOf([...parts.transformer, stranger]));
    await expect(refused).rejects.toThrow(CheckpointError);
    await expect(refused).rejects.toThrow(
      `model.safetensors has tensors that belong to no part of this model: ${name}`,
    );
  });

  it('is refused with rows that are not those of three layers', async () => {
    const broken = parts.transformer.map((part) =>
      part.name === 'double_blocks.1.txt_attn.qkv.weight' ? { ...part, shape: [95, 32] } : part,
    );
    expect(await refusal(Promise.resolve().then(() => componentsOf(broken)))).toBe(
      'model.safetensors: double_blocks.1.txt_attn.qkv.weight: expected rows that go into 3 equal parts, got [95, 32]',
    );
  });

  it('is no file of FLUX.1, of its autoencoder, or of Stable Diffusion 3', async () => {
    const flux1 = parts.transformer.filter(({ name }) => !name.includes('modulation'));
    const vae1 = parts.vae.filter(({ name }) => !name.startsWith('bn.'));
    for (const tensors of [flux1, vae1]) expect(isFlux2SingleFile(entriesOf(tensors))).toBe(false);
    const layers = sd3SingleFile[0]!.layersOf(['transformer_blocks.1.attn.to_q']);
    const names = layers.map((layer) => ({ name: `${layer.single}.weight`, dtype: 'float32' as const, shape: [1] }));
    expect(isFlux2SingleFile(entriesOf(names))).toBe(false);
  });
});

describe('toSingleFile of FLUX.2', () => {
  it('refuses tensors without a name there, and a matrix that is there in part', async () => {
    const tensor = own.transformer['proj_out.weight']!;
    expect(await refusal(toSingleFile(transformer, { ...own.transformer, 'controlnet.weight': tensor }))).toContain(
      'transformer: expected tensors that the single file has names for, got controlnet.weight',
    );
    const { 'transformer_blocks.0.attn.to_v.weight': _, ...rest } = own.transformer;
    expect(await refusal(toSingleFile(transformer, rest))).toMatch(/expected all of .*to_q.*to_k.*to_v\.weight, got 2/);
  });
});
