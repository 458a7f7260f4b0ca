// `eam merge`: a copy of the model that is what base and adapter are together.

import { cp, lstat, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CheckpointError } from '../../lib/errors.js';
import { mergeAdapter } from '../../lib/jobs/merge/merge.js';
import { readAdapterConfig } from '../../lib/models/adapter-files.js';
import { loadModel } from '../../lib/models/registry.js';
import { shippedDirectory } from '../../lib/runtime/package.js';
import { loadTensors, readHeader, saveTensors } from '../../lib/files/safetensors.js';
import { eam } from '../helpers/command-line.js';
import { Sd3Copy } from '../helpers/sd3.js';
import { floats, normal, randomise, relativeError } from '../helpers/tiny-model.js';

const tiny = fileURLToPath(new URL('../fixtures/sd35-tiny', import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'eam-merge-'));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

describe('eam merge of the digits model', () => {
  let adapter: string;
  const conditions = [0.1, 0.6, 0.95];
  const velocity = async (source: string, adapted?: string) => {
    using model = await loadModel(source, adapted ? { adapter: await readAdapterConfig(adapted) } : {});
    if (adapted) await model.loadAdapter(adapted);
    const x = await normal([3, ...model.latentShape], 5n);
    return floats(
      await model.native.velocity(x, Float32Array.from(conditions), await model.encode(['0', '3', '7']), false),
    );
  };
  beforeAll(async () => {
    adapter = join(folder, 'adapter');
    using model = await loadModel('digits', { adapter: { rank: 3, alpha: 5 } });
    await randomise(model.native, 'trainable', 0.2);
    await model.saveAdapter(adapter);
  });

  /** The digits with their weights stored as another dtype: the package's own are float16. */
  const stored = async (dtype: 'float32' | 'bfloat16') => {
    const directory = join(folder, dtype);
    await cp(shippedDirectory('digits'), directory, { recursive: true });
    await rm(join(directory, 'model.safetensors'));
    const tensors = await loadTensors(join(shippedDirectory('digits'), 'model.safetensors'));
    for (const [name, tensor] of Object.entries(tensors)) tensors[name] = await tensor.to({ dtype });
    await saveTensors(join(directory, 'model.safetensors'), tensors, { format: 'pt' });
    return directory;
  };

  it('writes a model that draws what model and adapter draw', async () => {
    const base = await stored('float32');
    const out = join(folder, 'merged');
    const result = await eam('merge', '--model', base, '--adapter', adapter, '--out', out);
    expect(result).toMatchObject({ code: 0, stderr: `${out}: 24 layers with 5/3 of the adapter\n` });
    expect((await readdir(out)).sort()).toEqual((await readdir(base)).sort());
    const together = await velocity(base, adapter);
    expect(relativeError(await velocity(out), together)).toBeLessThan(1e-5);
    expect(relativeError(await velocity(base), together)).toBeGreaterThan(0.01);
  });

  it('finds the model that the adapter was trained on, and keeps dtype and metadata', async () => {
    const own = join(folder, 'own');
    const out = join(folder, 'half');
    await mergeAdapter({ adapter, out: own });
    expect(relativeError(await velocity(own), await velocity('digits', adapter))).toBeLessThan(5e-3);
    await mergeAdapter({ model: await stored('bfloat16'), adapter, out });
    const { entries, metadata } = await readHeader(join(out, 'model.safetensors'));
    expect(new Set(entries.map(({ dtype }) => dtype))).toEqual(new Set(['bfloat16']));
    expect(metadata).toEqual({ format: 'pt' });
    expect(relativeError(await velocity(out), await velocity('digits', adapter))).toBeLessThan(0.05);
  });

  it('refuses what cannot be merged, and leaves nothing behind', async () => {
    const out = join(folder, 'taken');
    await writeFile(out, 'mine');
    await expect(mergeAdapter({ adapter, out })).rejects.toThrow(
      /taken is a file, and a directory is to be written there/,
    );
    expect(await readFile(out, 'utf8')).toBe('mine');
    const nowhere = join(folder, 'nowhere');
    await expect(mergeAdapter({ adapter: join(tiny, 'lora_peft'), out: nowhere })).rejects.toThrow(
      /does not say which model/,
    );
    const other = mergeAdapter({ model: 'digits', adapter: join(tiny, 'lora_peft'), out: nowhere });
    await expect(other).rejects.toThrow(CheckpointError);
    await expect(other).rejects.toThrow(
      /transformer_blocks\.0\.attn\.add_k_proj\.weight: unknown to the model[\s\S]*and 15 more/,
    );
    expect((await readdir(folder)).filter((name) => name.startsWith('nowhere') || name.includes('.tmp-'))).toEqual([]);
    expect(await eam('merge', '--adapter', tiny, '--out', nowhere)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/: expected an adapter: .*, got /) as string,
    });
  });
});

describe('eam merge of Stable Diffusion 3', () => {
  it.each<{ what: string; change: (copy: Sd3Copy) => unknown; message: RegExp; ends?: number }>([
    {
      what: 'another pipeline',
      change: (copy) => copy.set('model_index.json', { _class_name: 'FluxPipeline' }),
      message:
        /model_index\.json: expected the pipeline StableDiffusion3Pipeline, Flux2KleinPipeline, got FluxPipeline/,
    },
    {
      what: 'an index that names another transformer',
      change: (copy) => copy.set('model_index.json', { transformer: ['diffusers', 'FluxTransformer2DModel'] }),
      message: /transformer: expected the class SD3Transformer2DModel, got FluxTransformer2DModel/,
    },
    {
      what: 'another transformer',
      change: (copy) => copy.set('transformer/config.json', { _class_name: 'FluxTransformer2DModel' }),
      message: /transformer.config\.json: _class_name: expected "SD3Transformer2DModel", got "FluxTransformer2DModel"/,
    },
    {
      what: 'no transformer',
      change: (copy) => copy.remove('transformer'),
      message: /lacks transformer.config\.json, which its model_index\.json names/,
      ends: 1,
    },
  ])('refuses a directory with $what', async ({ change, message, ends = 2 }) => {
    const copy = new Sd3Copy();
    change(copy);
    const out = join(folder, 'refused');
    const { code, stderr } = await eam(
      'merge',
      '--model',
      copy.path,
      '--adapter',
      join(tiny, 'lora_peft'),
      '--out',
      out,
    );
    expect([code, stderr]).toEqual([ends, expect.stringMatching(message)]);
    expect((await readdir(folder)).filter((name) => name.startsWith('refused'))).toEqual([]);
  });

  it.each(['text_encoder_3', 'vae', 'transformer', 'tokenizer'])('follows a link to a folder: %s', async (name) => {
    const model = await mkdtemp(join(folder, 'linked-'));
    await cp(tiny, model, { recursive: true });
    await cp(join(model, name), `${model}-shared`, { recursive: true });
    await rm(join(model, name), { recursive: true });
    await symlink(`${model}-shared`, join(model, name));
    // Folders that are of no component are left out, links to them as well.
    await symlink(tiny, join(model, 'other'));
    await symlink(tiny, join(model, 'scheduler', 'other'));
    const out = `${model}-merged`;
    await mergeAdapter({ model, adapter: join(tiny, 'lora_peft'), out });
    expect(await readdir(join(out, name))).toEqual(await readdir(join(tiny, name)));
    expect((await lstat(join(out, name))).isDirectory()).toBe(true);
    expect((await readdir(out)).includes('other')).toBe(false);
    const expected = await velocity(tiny, join(tiny, 'lora_peft'));
    expect(relativeError(await velocity(out), expected)).toBeLessThan(1e-5);
  });

  const load = async (directory: string, adapter?: string) => {
    const options = { size: { width: 16, height: 24 }, textLength: 12, embeddingCache: join(folder, 'cache') };
    const model = await loadModel(
      directory,
      adapter ? { ...options, adapter: await readAdapterConfig(adapter) } : options,
    );
    if (adapter) await model.loadAdapter(adapter);
    return model;
  };
  const velocity = async (directory: string, adapter?: string) => {
    using model = await load(directory, adapter);
    const x = await normal([2, ...model.latentShape], 5n);
    return floats(
      await model.native.velocity(x, Float32Array.of(0.2, 0.8), await model.encode(['a fox', 'a castle']), false),
    );
  };

  it('writes a model that draws what model and adapter draw, from either layout, a file or shards', async () => {
    const sharded = join(folder, 'sharded');
    await cp(tiny, sharded, { recursive: true });
    const weights = join(sharded, 'transformer/diffusion_pytorch_model.safetensors');
    const tensors = Object.entries(await loadTensors(join(tiny, 'transformer/diffusion_pytorch_model.safetensors')));
    await rm(weights);
    const map: Record<string, string> = {};
    for (const [index, part] of [tensors.slice(0, 50), tensors.slice(50)].entries()) {
      const name = `diffusion_pytorch_model-0000${index + 1}-of-00002.safetensors`;
      await saveTensors(join(sharded, 'transformer', name), Object.fromEntries(part), { format: 'pt' });
      for (const [key] of part) map[key] = name;
    }
    await writeFile(
      join(sharded, 'transformer/diffusion_pytorch_model.safetensors.index.json'),
      JSON.stringify({ metadata: {}, weight_map: map }),
    );

    const expected = await velocity(tiny, join(tiny, 'lora_peft'));
    for (const [index, [source, layout]] of (
      [
        [tiny, 'lora_peft'],
        [tiny, 'lora_diffusers'],
        [sharded, 'lora_peft'],
      ] as const
    ).entries()) {
      const out = join(folder, `sd3-${index}`);
      await mergeAdapter({ model: source, adapter: join(tiny, layout), out });
      expect(relativeError(await velocity(out), expected)).toBeLessThan(1e-5);
      expect((await readdir(join(out, 'transformer'))).sort()).toEqual(
        (await readdir(join(source, 'transformer'))).sort(),
      );
      // What is not of the merged model any more: goldens, adapters.
      expect((await readdir(out)).sort()).toEqual(
        (await readdir(tiny)).filter((name) => !/^(goldens|lora)/.test(name)).sort(),
      );
    }
    const link = await stat(join(folder, 'sd3-0/vae/diffusion_pytorch_model.safetensors'));
    expect(link.size).toBe((await stat(join(tiny, 'vae/diffusion_pytorch_model.safetensors'))).size);
    expect(relativeError(await velocity(tiny), expected)).toBeGreaterThan(0.01);
  });
});
