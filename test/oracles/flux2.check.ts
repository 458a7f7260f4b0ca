// Adapters and merged models of FLUX.2 [klein] that are written for other projects, loaded there and drawn with.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { sizes, writeRandomFlux2 } from '../../benchmarks/random-flux2.mjs';
import { buildHeader, loadTensors, saveTensors } from '../../lib/files/safetensors.js';
import { mergeAdapter } from '../../lib/jobs/merge/merge.js';
import type { AdapterLayoutName } from '../../lib/models/adapters/layout.js';
import { withComponent } from '../../lib/models/component-weights.js';
import * as config from '../../lib/models/flux2/config.js';
import { transformerNames } from '../../lib/models/flux2/single-file-keys.js';
import type { Model } from '../../lib/models/model.js';
import { loadModel } from '../../lib/models/registry.js';
import { toSingleFile } from '../../lib/models/single-file.js';
import type { NativeAutoencoder } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { Tensor } from '../../lib/runtime/native/tensor.js';
import { type Drawn, drawnBy, exportedOnce } from '../helpers/drawn.js';
import { largeError, place, runOracle } from '../helpers/oracles.js';
import { scaledError } from '../helpers/published.js';
import { floats, normal, randomise } from '../helpers/tiny-model.js';

const sources = {
  diffusers: () => [join(place('EAM_DIFFUSERS'), 'src')],
  peft: () => [join(place('EAM_DIFFUSERS'), 'src')],
  comfyui: () => [place('EAM_COMFYUI')],
  'musubi-tuner': () => [join(place('EAM_MUSUBI_TUNER'), 'src')],
} as const;

const folder = mkdtempSync(join(tmpdir(), 'eam-oracles-flux2-'));
const directory = join(folder, 'model');

/** ComfyUI tells the heads from the width, 128 channels each, and takes the autoencoder to be of the published size. */
const model = {
  ...sizes.tiny,
  transformer: { num_layers: 2, num_single_layers: 2, num_attention_heads: 2, joint_attention_dim: 48 },
  vae: sizes.full.vae,
};

const inBlocks = [
  ...['to_q', 'to_k', 'to_v', 'to_out.0', 'add_q_proj', 'add_k_proj', 'add_v_proj', 'to_add_out'],
  ...['linear_in', 'linear_out', 'to_qkv_mlp_proj'],
  ...[0, 1].map((index) => `single_transformer_blocks.${index}.attn.to_out`),
];
const adapters = {
  blocks: { rank: 4, alpha: 6, targets: inBlocks },
  some: { rank: 3, alpha: 2, targets: ['attn.to_q', 'attn.add_v_proj', 'attn.to_qkv_mlp_proj'] },
  whole: {
    rank: 4,
    alpha: 6,
    targets: [
      ...inBlocks,
      ...['norm_out.linear', 'proj_out', 'x_embedder', 'context_embedder', 'linear_1', 'linear_2'],
      ...['double_stream_modulation_img', 'double_stream_modulation_txt', 'single_stream_modulation'].map(
        (name) => `${name}.linear`,
      ),
    ],
  },
} as const;
type AdapterName = keyof typeof adapters;
const all = Object.keys(adapters) as AdapterName[];

const size = { width: 96, height: 64 };
let inputs: Record<string, Tensor>;
let autoencoder: NativeAutoencoder;
/** What our network gives and what it draws, with an adapter or without. */
const drawn: Partial<Record<AdapterName | 'base', Drawn>> = {};

/** What our network gives at the inputs' noise levels, and draws from them. */
async function drawnWith(loaded: Model): Promise<Drawn> {
  const { latents, timestep, context } = inputs as Record<string, Tensor>;
  const levels = [...(await floats(timestep!))];
  return drawnBy(loaded, autoencoder, { latents: latents!, levels, conditioning: [context!] });
}

beforeAll(async () => {
  writeRandomFlux2(directory, model, { ...config, binding, buildHeader });
  inputs = {
    latents: await normal([2, 128, 4, 6], 1n),
    timestep: binding().Tensor.from([0.15, 0.9], [2], { dtype: 'float32' }),
    context: await normal([2, 7, 48], 2n),
    image: await normal([1, 3, 64, 64], 5n),
  };
  await saveTensors(join(folder, 'inputs.safetensors'), inputs);
  const vae = config.toAutoencoderConfig(
    config.autoencoderSchema.parse({ _class_name: 'AutoencoderKLFlux2', ...model.vae }),
  );
  autoencoder = await withComponent(join(directory, 'vae'), (weights) =>
    binding().loadNetwork('flux2-autoencoder', { config: vae, weights, dtype: 'float32', device: 'cpu' }),
  );
  const own = await loadTensors(join(directory, 'transformer/diffusion_pytorch_model.safetensors'));
  await saveTensors(join(folder, 'base.safetensors'), await toSingleFile({ ...transformerNames, prefix: '' }, own));
  using plain = await loadModel(directory, { size });
  drawn.base = await drawnWith(plain);
  for (const name of all) {
    const adapter = { ...adapters[name], targets: [...adapters[name].targets] };
    using adapted = await loadModel(directory, { size, adapter });
    await randomise(adapted.native, 'trainable', 0.1);
    drawn[name] = await drawnWith(adapted);
    await adapted.saveAdapter(join(folder, name));
  }
});

const exported = (name: AdapterName, layout: AdapterLayoutName) => exportedOnce(folder, name, layout);
const files = async (layout: AdapterLayoutName, names: readonly AdapterName[]) =>
  Object.fromEntries(await Promise.all(names.map(async (name) => [name, await exported(name, layout)] as const)));

function outputsOf(project: keyof typeof sources, job: object): Promise<Record<string, Tensor>> {
  const [transformer, vae] = [join(directory, 'transformer'), join(directory, 'vae')];
  const base = join(folder, 'base.safetensors');
  return runOracle('flux2.py', project, sources[project](), folder, { transformer, vae, base, ...job });
}

/** Compares what the project drew with what ours draws; an adapter that was passed over would draw the base. */
async function compare(
  outputs: Record<string, Tensor>,
  pairs: Readonly<Record<string, AdapterName | 'base'>>,
): Promise<void> {
  for (const [name, ours] of Object.entries(pairs)) {
    const own = drawn[ours]!;
    expect(await scaledError(outputs[name]!, own.velocity), name).toBeLessThan(2e-5);
    expect(await scaledError(outputs[`${name}.image`]!, own.image), `${name}.image`).toBeLessThan(2e-5);
    if (ours === 'base') continue;
    for (const what of ['velocity', 'image'] as const)
      expect(await scaledError(own[what], drawn.base![what]), name).toBeGreaterThan(0.01);
  }
}
const alike = { base: 'base', blocks: 'blocks', some: 'some', whole: 'whole' } as const;

describe('exportAdapter writes what loads and draws alike for FLUX.2', () => {
  it('in PEFT', async () => {
    await compare(await outputsOf('peft', { adapters: await files('peft', all) }), alike);
  });

  it("in diffusers, which reads kohya's names, too", async () => {
    const adapted = { ...(await files('diffusers', all)), kohya: await exported('blocks', 'kohya') };
    await compare(await outputsOf('diffusers', { adapters: adapted }), { ...alike, kohya: 'blocks' });
  });

  it('in ComfyUI, and so do a merged single file and its autoencoder', async () => {
    const single = join(folder, 'merged.safetensors');
    await mergeAdapter({ model: directory, adapter: join(folder, 'whole'), out: single, for: 'comfyui' });
    const adapted = { ...(await files('comfyui', all)), kohya: await exported('blocks', 'kohya') };
    const outputs = await outputsOf('comfyui', { adapters: adapted, single });
    await compare(outputs, { ...alike, kohya: 'blocks', single: 'whole' });
    expect(await scaledError(outputs['latents']!, await autoencoder.encode(inputs['image']!))).toBeLessThan(2e-5);
  });

  it('in musubi-tuner, which merges it into the same weights; and so is what it trains here', async () => {
    const written = join(folder, 'trained.safetensors');
    const shapes = { hidden_size: 256, context_in_dim: 48, num_heads: 2, depth: 2, depth_single_blocks: 2 };
    const own = await files('kohya', ['blocks', 'some']);
    const outputs = await outputsOf('musubi-tuner', { adapters: own, sizes: shapes, written });
    const base = await loadTensors(join(folder, 'base.safetensors'));
    for (const [name, adapter] of Object.entries({
      blocks: join(folder, 'blocks'),
      some: join(folder, 'some'),
      trained: written,
    })) {
      const out = join(folder, `${name}-merged.safetensors`);
      await mergeAdapter({ model: directory, adapter, out, for: 'comfyui' });
      const ours = await loadTensors(out);
      const keys = Object.keys(outputs).filter((key) => key.startsWith(`${name}/`));
      let changed = 0;
      for (const key of keys) {
        const layer = key.slice(name.length + 1);
        expect(await largeError(ours[transformerNames.prefix + layer]!, outputs[key]!), key).toBeLessThan(1e-6);
        if ((await largeError(outputs[key]!, base[layer]!)) > 1e-3) changed++;
      }
      expect(keys).toHaveLength(Object.keys(base).length);
      expect(changed).toBeGreaterThan(3);
    }
    await expect(exported('whole', 'kohya')).rejects.toThrow(/musubi-tuner applies no adapter to .*img_in/);
  });
});
