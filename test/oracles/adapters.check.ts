// Adapters and merged models that are written for other projects, loaded there and drawn with.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { sizes } from '../../benchmarks/random-sd3.mjs';
import { loadTensors, saveTensors } from '../../lib/files/safetensors.js';
import { mergeAdapter } from '../../lib/jobs/merge/merge.js';
import { readAdapter } from '../../lib/models/adapter-files.js';
import type { AdapterLayoutName } from '../../lib/models/adapters/layout.js';
import type { Model } from '../../lib/models/model.js';
import { withComponent } from '../../lib/models/component-weights.js';
import { loadModel } from '../../lib/models/registry.js';
import { autoencoderSchema, toAutoencoderConfig } from '../../lib/models/autoencoder-kl/config.js';
import type { NativeAutoencoder } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { Tensor } from '../../lib/runtime/native/tensor.js';
import { type Drawn, drawnBy, exportedOnce } from '../helpers/drawn.js';
import { largeError, place, runOracle } from '../helpers/oracles.js';
import { scaledError } from '../helpers/published.js';
import { writeRandomSd3 } from '../helpers/random-sd3.js';
import { floats, normal, randomise } from '../helpers/tiny-model.js';

const sources = {
  diffusers: () => [join(place('EAM_DIFFUSERS'), 'src')],
  peft: () => [join(place('EAM_DIFFUSERS'), 'src')],
  comfyui: () => [place('EAM_COMFYUI')],
  'sd-scripts': () => [place('EAM_SD_SCRIPTS'), join(place('EAM_DIFFUSERS'), 'src')],
} as const;
type Project = keyof typeof sources;

const folder = mkdtempSync(join(tmpdir(), 'eam-oracles-'));
const directory = join(folder, 'model');

/** ComfyUI and sd-scripts tell depth and heads from the width: a block for each 64. */
const model = {
  ...sizes.tiny,
  transformer: { ...sizes.tiny.transformer, num_layers: 2, num_attention_heads: 2, dual_attention_layers: [0] },
  vae: sizes.full.vae,
};

/** What is adapted: every linear layer of the blocks, or of the whole network. */
const inBlocks = [
  ...['to_q', 'to_k', 'to_v', 'to_out.0', 'add_q_proj', 'add_k_proj', 'add_v_proj', 'to_add_out'],
  ...['ff.net.0.proj', 'ff.net.2', 'ff_context.net.0.proj', 'ff_context.net.2', 'norm1.linear', 'norm1_context.linear'],
];
const adapters = {
  blocks: { rank: 4, alpha: 6, targets: inBlocks },
  some: { rank: 3, alpha: 1, targets: ['attn.to_q', 'attn.add_v_proj', 'attn2.to_k'] },
  whole: {
    rank: 4,
    alpha: 6,
    targets: [...inBlocks, 'norm_out.linear', 'proj_out', 'context_embedder', 'linear_1', 'linear_2'],
  },
} as const;
type AdapterName = keyof typeof adapters;

const size = { width: 96, height: 64 };
let inputs: Record<string, Tensor>;
let autoencoder: NativeAutoencoder;
/** What our network gives and what it draws, with an adapter or without. */
const drawn: Partial<Record<AdapterName | 'base', Drawn>> = {};

/** What our network gives at the inputs' noise levels, and draws from them. */
async function drawnWith(loaded: Model): Promise<Drawn> {
  const { latents, timestep, context, pooled } = inputs as Record<string, Tensor>;
  const levels = Array.from(await floats(timestep!), (level) => level / 1000);
  return drawnBy(loaded, autoencoder, { latents: latents!, levels, conditioning: [context!, pooled!] });
}

beforeAll(async () => {
  writeRandomSd3(directory, model);
  inputs = {
    latents: await normal([2, 16, 8, 12], 1n),
    timestep: binding().Tensor.from([150, 900], [2], { dtype: 'float32' }),
    context: await normal([2, 7, 256], 2n),
    pooled: await normal([2, 128], 3n),
    image: await normal([1, 3, 64, 64], 5n),
  };
  await saveTensors(join(folder, 'inputs.safetensors'), inputs);
  autoencoder = await autoencoderOf();
  using plain = await loadModel(directory, { size });
  drawn.base = await drawnWith(plain);
  for (const [name, adapter] of Object.entries(adapters)) {
    using adapted = await loadModel(directory, { size, adapter: { ...adapter, targets: [...adapter.targets] } });
    await randomise(adapted.native, 'trainable', 0.2);
    drawn[name as AdapterName] = await drawnWith(adapted);
    await adapted.saveAdapter(join(folder, name));
  }
});

const exported = (name: AdapterName, layout: AdapterLayoutName) => exportedOnce(folder, name, layout);

function autoencoderOf(): Promise<NativeAutoencoder> {
  const config = toAutoencoderConfig(autoencoderSchema.parse({ _class_name: 'AutoencoderKL', ...model.vae }));
  return withComponent(join(directory, 'vae'), (weights) =>
    binding().loadNetwork('autoencoder-kl', { config, weights, dtype: 'float32', device: 'cpu' }),
  );
}

/** Runs a project's loader over these files. */
function outputsOf(project: Project, job: object): Promise<Record<string, Tensor>> {
  const [transformer, vae] = [join(directory, 'transformer'), join(directory, 'vae')];
  return runOracle('adapters.py', project, sources[project](), folder, { transformer, vae, ...job });
}

const files = async (layout: AdapterLayoutName, names: readonly AdapterName[]) =>
  Object.fromEntries(await Promise.all(names.map(async (name) => [name, await exported(name, layout)] as const)));

/** The largest difference of what the project drew with the adapters from what ours draws, of its largest number. */
async function compare(outputs: Record<string, Tensor>, names: readonly (AdapterName | 'base')[]): Promise<void> {
  for (const name of names) {
    await compareDrawn(outputs, name, name);
    // An adapter that was passed over would draw what the base draws.
    if (name === 'base') continue;
    for (const what of ['velocity', 'image'] as const)
      expect(await scaledError(drawn[name]![what], drawn.base![what]), name).toBeGreaterThan(0.01);
  }
}

async function compareDrawn(outputs: Record<string, Tensor>, name: string, ours: AdapterName | 'base'): Promise<void> {
  expect(await scaledError(outputs[name]!, drawn[ours]!.velocity), name).toBeLessThan(2e-5);
  expect(await scaledError(outputs[`${name}.image`]!, drawn[ours]!.image), `${name}.image`).toBeLessThan(2e-5);
}

/** Compares the weights that sd-scripts merged, under their names of it, with ours; those of layers were changed. */
async function compareWeights(outputs: Record<string, Tensor>, name: string, adapter: string): Promise<void> {
  const out = join(folder, `${name}-merged.safetensors`);
  await mergeAdapter({ model: directory, adapter, out, for: 'comfyui' });
  const ours = await loadTensors(out);
  const base = await loadTensors(join(folder, 'base.safetensors'));
  const names = Object.keys(outputs).filter((key) => key.startsWith(`${name}/`));
  let changed = 0;
  for (const key of names) {
    const own = `model.diffusion_model.${key.slice(name.length + 1)}`;
    expect(await largeError(ours[own]!, outputs[key]!), key).toBeLessThan(1e-6);
    if ((await largeError(ours[own]!, base[own]!)) > 1e-3) changed++;
  }
  expect(names.length).toBeGreaterThan(60);
  expect(changed).toBeGreaterThan(3);
}

const all = Object.keys(adapters) as AdapterName[];

describe('exportAdapter writes what loads and draws alike', () => {
  it.each(['diffusers', 'peft'] as const)('in %s', async (project) => {
    const outputs = await outputsOf(project, { adapters: await files(project, all) });
    await compare(outputs, ['base', ...all]);
  });

  it('in ComfyUI, and so do a merged single file and its autoencoder', async () => {
    const single = join(folder, 'merged.safetensors');
    await mergeAdapter({ model: directory, adapter: join(folder, 'whole'), out: single, for: 'comfyui' });
    const fromFile = (await files('comfyui', ['whole']))['whole']!;
    const again = join(folder, 'again.safetensors');
    await mergeAdapter({ model: directory, adapter: fromFile, out: again, for: 'comfyui' });
    const outputs = await outputsOf('comfyui', {
      adapters: {
        ...(await files('comfyui', ['blocks', 'some'])),
        whole: fromFile,
        kohya: await exported('blocks', 'kohya'),
      },
      single,
    });
    await compare(outputs, ['base', ...all]);
    await compareDrawn(outputs, 'kohya', 'blocks');
    await compareDrawn(outputs, 'single', 'whole');
    expect(await scaledError(outputs['latents']!, await autoencoder.encode(inputs['image']!))).toBeLessThan(2e-5);
  });

  it('in sd-scripts, which merges it into the same weights; and so is what sd-scripts trains here', async () => {
    const base = join(folder, 'base.safetensors');
    const written = join(folder, 'trained');
    // An adapter of zeros leaves the model what it is.
    using adapted = await loadModel(directory, { adapter: { rank: 1, alpha: 1 } });
    await adapted.saveAdapter(join(folder, 'zero'));
    await mergeAdapter({ model: directory, adapter: join(folder, 'zero'), out: base, for: 'comfyui' });
    const own = await files('kohya', ['blocks', 'some']);
    const outputs = await outputsOf('sd-scripts', { adapters: own, base, written });
    for (const name of ['blocks', 'some'] as const) {
      expect(await scaledError(outputs[`${name}.applied`]!, outputs[`${name}.merged`]!), name).toBeLessThan(2e-5);
      await compareWeights(outputs, name, join(folder, name));
    }
    for (const name of ['own', 'split', 'ranks'])
      await compareWeights(outputs, `trained-${name}`, `${written}-${name}.safetensors`);
    await expect(exported('whole', 'kohya')).rejects.toThrow(/sd-scripts applies no adapter to .*final_layer\.linear/);
  });

  it.each(['kohya', 'comfyui'] as const)('and reads %s back to the bit', async (layout) => {
    for (const name of ['blocks', 'some'] as const) {
      const [before, after] = [await readAdapter(join(folder, name)), await readAdapter(await exported(name, layout))];
      expect([after.config.rank, after.config.alpha, after.modules]).toEqual([
        before.config.rank,
        before.config.alpha,
        before.modules,
      ]);
      for (const [tensor, value] of Object.entries(before.tensors))
        expect(await floats(after.tensors[tensor]!)).toEqual(await floats(value));
    }
  });
});
