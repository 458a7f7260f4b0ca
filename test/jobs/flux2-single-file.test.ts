// FLUX.2 merged into ComfyUI's single file, read from single files, and drawn with adapters in every layout.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { beforeAll, describe, expect, it } from 'vitest';

import { unpackModel } from '../../lib/jobs/unpack.js';
import { mergeAdapter } from '../../lib/jobs/merge/merge.js';
import { exportAdapter, readAdapter } from '../../lib/models/adapter-files.js';
import { eam } from '../helpers/command-line.js';
import { tinyFlux2 } from '../helpers/flux2.js';
import { flux2Parts } from '../helpers/flux2-single-file.js';
import { finetune } from '../helpers/jobs.js';
import { refusal } from '../helpers/refusal.js';
import { tinySd3 } from '../helpers/sd3.js';
import { type Part, tensorsIn, under, writeParts } from '../helpers/single-file.js';
import { snapshot } from '../helpers/tiny-model.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const adapter = join(tinyFlux2, 'lora_peft');
const weights = {
  transformer: 'transformer/diffusion_pytorch_model.safetensors',
  vae: 'vae/diffusion_pytorch_model.safetensors',
  text_encoder: 'text_encoder/model.safetensors',
} as const;
type Folder = keyof typeof weights;
const folders = Object.keys(weights) as Folder[];

let parts: Record<Folder, Part[]>;
beforeAll(async () => {
  parts = await flux2Parts(tinyFlux2);
});

/** A file of these tensors. */
function fileOf(tensors: readonly Part[]): string {
  const file = join(temporaryFolder(), 'flux-2-klein.safetensors');
  writeParts(file, tensors);
  return file;
}
const checkpoint = () => [
  ...under('model.diffusion_model.', parts.transformer),
  ...under('vae.', parts.vae),
  ...under('text_encoders.qwen3_4b.transformer.', parts.text_encoder),
];
const newFolder = () => join(temporaryFolder(), 'model');

/** What a folder's file holds, as in the reference directory. */
async function expectSame(directory: string, folder: Folder): Promise<void> {
  expect(await tensorsIn(join(directory, weights[folder])), folder).toEqual(
    await tensorsIn(join(tinyFlux2, weights[folder])),
  );
}

describe('eam convert of FLUX.2', () => {
  it('takes a checkpoint apart, byte for byte', async () => {
    const out = newFolder();
    const { unpacked, shared } = await unpackModel(fileOf(checkpoint()), out, tinyFlux2);
    expect([unpacked.sort(), shared]).toEqual([[...folders].sort(), []]);
    for (const folder of folders) await expectSame(out, folder);
  });

  it.each(folders)('takes the file of the %s alone, and the rest from the base', async (folder) => {
    const [file, out] = [fileOf(parts[folder]), newFolder()];
    const { code, stderr } = await eam('convert', file, out, '--base', tinyFlux2);
    const others = folders.filter((each) => each !== folder);
    expect([code, stderr.startsWith(`${out}: ${folder} from ${file}; `)]).toEqual([0, true]);
    for (const each of others) expect(stderr).toContain(each);
    for (const each of folders) await expectSame(out, each);
  });

  it('writes a directory that draws what the model draws', async () => {
    const out = newFolder();
    await unpackModel(fileOf(checkpoint()), out, tinyFlux2);
    const images = await Promise.all([tinyFlux2, out].map((model) => drawn('--model', model)));
    expect(images[1]).toEqual(images[0]);
  });

  it('refuses a base of another kind, and names what belongs to no part', async () => {
    const file = fileOf(parts.transformer);
    expect((await eam('convert', fileOf(parts.vae), newFolder())).stderr).toContain(
      'name a model that has them, --base',
    );
    const stranger = fileOf([...checkpoint(), { ...parts.vae[0]!, name: 'vision.x' }]);
    expect(await refusal(unpackModel(stranger, newFolder(), tinyFlux2))).toContain('no part of this model: vision.x');
    const out = newFolder();
    expect(await refusal(unpackModel(file, out, tinySd3))).toMatch(
      /^base: .*sd35-tiny: expected a model of the kind Flux2KleinPipeline, as .* is, got StableDiffusion3Pipeline$/,
    );
    expect(existsSync(out)).toBe(false);
  });

  it('is what a single file is told to where a model is wanted', async () => {
    const file = fileOf(parts.transformer);
    const { code, stderr } = await eam('sample', '--model', file, '--prompt', 'a fox', '--out', newFolder());
    expect([code, stderr]).toEqual([1, expect.stringContaining(`eam convert ${file} DIRECTORY --base MODEL`)]);
  });

  const sources = process.env['EAM_DIFFUSERS'];
  const python = process.env['EAM_HUB_PYTHON'] ?? 'python3';
  it.skipIf(!sources)("writes what diffusers' own functions make of the files", async () => {
    const out = newFolder();
    await unpackModel(fileOf(checkpoint()), out, tinyFlux2);
    const [transformer, vae] = [fileOf(parts.transformer), fileOf(parts.vae)];
    const script = fileURLToPath(new URL('../helpers/diffusers-flux2.py', import.meta.url));
    const { stdout, stderr, status } = spawnSync(python, [script, sources!, transformer, vae, out], {
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, expect.not.stringContaining('Traceback')]);
    expect(stdout.trim().split('\n')).toEqual(['transformer 53', 'vae 126']);
  });
});

/** An image of two steps. */
async function drawn(...args: string[]): Promise<Buffer> {
  const folder = newFolder();
  mkdirSync(folder, { recursive: true });
  const out = join(folder, 'image.png');
  const how = ['--prompt', 'a fox', '--width', '16', '--steps', '2', '--text-length', '16', '--seed', '3', '--quiet'];
  expect(await eam('sample', ...args, ...how, '--out', out)).toMatchObject({ code: 0 });
  // The model's place is recorded in the picture.
  return pixelsOf(out);
}

const pixelsOf = (path: string): Buffer => {
  const bytes = readFileSync(path);
  const at = bytes.indexOf('IDAT');
  return bytes.subarray(at, at + 4 + bytes.readUInt32BE(at - 4));
};

describe('eam merge of FLUX.2 for comfyui', () => {
  it('writes one file of the transformer and the autoencoder, which reads back as the merged directory', async () => {
    const [file, merged, out] = [join(temporaryFolder(), 'merged.safetensors'), newFolder(), newFolder()];
    const command = ['merge', '--model', tinyFlux2, '--adapter', adapter];
    expect(await eam(...command, '--for', 'comfyui', '--out', file)).toMatchObject({ code: 0 });
    await mergeAdapter({ model: tinyFlux2, adapter, out: merged });
    const names = Object.keys(await tensorsIn(file));
    expect(names.every((name) => /^(model\.diffusion_model|vae)\./.test(name))).toBe(true);
    await unpackModel(file, out, tinyFlux2);
    for (const folder of ['transformer', 'vae'] as const)
      expect(await tensorsIn(join(out, weights[folder]))).toEqual(await tensorsIn(join(merged, weights[folder])));
    const before = await tensorsIn(join(tinyFlux2, weights.transformer));
    const after = await tensorsIn(join(out, weights.transformer));
    for (const name of ['transformer_blocks.1.attn.to_v', 'single_transformer_blocks.2.attn.to_qkv_mlp_proj'])
      expect(after[`${name}.weight`]).not.toBe(before[`${name}.weight`]);
  });

  it('folds in an adapter in the names of ComfyUI alike', async () => {
    const [lora, other] = [join(temporaryFolder(), 'a.safetensors'), join(temporaryFolder(), 'b.safetensors')];
    await exportAdapter(adapter, lora, 'comfyui');
    const again = join(temporaryFolder(), 'c.safetensors');
    await mergeAdapter({ model: tinyFlux2, adapter, out: other, for: 'comfyui' });
    await mergeAdapter({ model: tinyFlux2, adapter: lora, out: again, for: 'comfyui' });
    expect(await tensorsIn(again)).toEqual(await tensorsIn(other));
  });
});

describe("FLUX.2's adapter", () => {
  it('draws the same image in each of the four layouts', async () => {
    const places = [adapter, join(tinyFlux2, 'lora_diffusers')];
    for (const layout of ['kohya', 'comfyui'] as const) {
      places.push(join(temporaryFolder(), `${layout}.safetensors`));
      await exportAdapter(adapter, places.at(-1)!, layout);
    }
    const [first, ...others] = await Promise.all(
      places.map((place) => drawn('--model', tinyFlux2, '--adapter', place)),
    );
    for (const other of others) expect(other).toEqual(first);
    expect(await drawn('--model', tinyFlux2)).not.toEqual(first);
  });

  it.each(['kohya', 'comfyui'] as const)('is where a training starts: %s', async (layout) => {
    const from = join(temporaryFolder(), `${layout}.safetensors`);
    await exportAdapter(adapter, from, layout);
    const { adapter: trained } = await finetune({
      model: tinyFlux2,
      image: { width: 8, height: 8 },
      textLength: 8,
      prompts: ['a fox'],
      adapter: { from },
      rewards: [{ name: 'stroke-weight' }],
      algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 1, delta: 0.3 },
      // So small a step leaves float32 what it was.
      optimizer: { learningRate: 1e-30, weightDecay: 0 },
      steps: 1,
      batch: 1,
      samples: { count: 1, steps: 1 },
      output: join(temporaryFolder(), 'run'),
    });
    expect(await snapshot((await readAdapter(trained)).tensors)).toEqual(
      await snapshot((await readAdapter(adapter)).tensors),
    );
  });
});
