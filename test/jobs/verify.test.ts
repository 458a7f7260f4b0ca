// `eam verify`: a directory against its goldens, whatever its shapes; a wrong number fails, what cannot be checked is
// said.

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { loadTensors, readHeader, readTensors, saveTensors } from '../../lib/files/safetensors.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { Goldens } from '../../lib/models/verification/goldens.js';
import { passes, type GoldenComparison, type Finding } from '../../lib/models/verification/finding.js';
import { verify } from '../../lib/jobs/verify/verify.js';
import { eam } from '../helpers/command-line.js';
import { numbersOf } from '../helpers/numbers.js';
import { fixture } from '../helpers/published.js';
import { writeRandomSd3 } from '../helpers/random-sd3.js';

const tiny = fixture('sd35-tiny');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'eam-verify-'));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

const copy = async (name: string): Promise<string> => {
  await cp(tiny, join(folder, name), { recursive: true });
  return join(folder, name);
};

/** Writes a file of tensors anew, with what `change` makes of them and of its metadata. */
async function rewrite(
  path: string,
  change: (tensors: Record<string, Tensor>, metadata: Record<string, string>) => void | Promise<void>,
): Promise<void> {
  const { metadata } = await readHeader(path);
  const tensors = await readTensors(path);
  await change(tensors, metadata);
  await rm(path, { force: true });
  await saveTensors(path, tensors, metadata);
}

const all = async (directory: string, options = {}): Promise<Finding[]> => {
  const findings: Finding[] = [];
  for await (const finding of verify(directory, options)) findings.push(finding);
  return findings;
};
const failed = (findings: Finding[]): string[] =>
  findings
    .filter((finding): finding is GoldenComparison => 'error' in finding)
    .filter((finding) => !passes(finding))
    .map(({ name }) => name);
const unchecked = (findings: Finding[]): Record<string, string> =>
  Object.fromEntries(
    findings.flatMap((finding) => ('notChecked' in finding ? [[finding.name, finding.notChecked]] : [])),
  );

describe('eam verify of the reference directory', () => {
  it('agrees with diffusers in every golden', async () => {
    const { code, stdout, stderr } = await eam('verify', tiny);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.trim().split('\n');
    // 6 of the schedule, 5 of the text, 3 of the autoencoder, 8 of the transformer, 5 of sampling, 47 of each adapter.
    expect(lines.slice(1, -1)).toHaveLength(6 + 5 + 3 + 8 + 5 + 2 * 47);
    expect(lines.at(-1)).toBe('121 of 121 goldens within 0.0001 of their scale');
    expect(lines[1]).toMatch(/^ *0\.0e\+0 {2}pass {2}scheduler\.sigmas\.10$/);
  });

  it('prints JSON, and comes nearer in float64 than in bfloat16', async () => {
    const { code, stdout } = await eam('verify', tiny, '--json', '--dtype', 'float64');
    const {
      passed,
      failed: failures,
      notChecked,
      goldens,
    } = JSON.parse(stdout) as {
      passed: number;
      failed: number;
      notChecked: number;
      goldens: (GoldenComparison & { relative: number; passes: boolean })[];
    };
    expect({ code, passed, failures, notChecked }).toEqual({ code: 0, passed: 121, failures: 0, notChecked: 0 });
    expect(Math.max(...goldens.map(({ relative }) => relative))).toBeLessThan(2e-5);
    const rough = await all(tiny, { dtype: 'bfloat16' });
    expect(failed(rough)).toEqual([]);
    expect(failed(rough.map((finding) => ({ ...finding, tolerance: 1e-4 })))).toContain('transformer.square.sample');
  });

  it.each([
    {
      file: 'transformer/diffusion_pytorch_model',
      name: 'transformer_blocks.1.ff.net.2.weight',
      wrong: 'transformer.square.sample',
      right: 'vae.image',
    },
    {
      file: 'vae/diffusion_pytorch_model',
      name: 'decoder.mid_block.resnets.1.conv2.weight',
      wrong: 'vae.grad_latents',
      right: 'transformer.wide.sample',
    },
    {
      file: 'text_encoder_2/model',
      name: 'text_model.encoder.layers.1.mlp.fc1.weight',
      wrong: 'prompt_embeds',
      right: 'ids.clip_g',
    },
    {
      file: 'lora_diffusers/pytorch_lora_weights',
      name: 'transformer.transformer_blocks.0.attn.to_q.lora_B.weight',
      wrong: 'lora.sample (lora_diffusers)',
      right: 'lora.sample (lora_peft)',
    },
  ])('fails where one tensor of $file is wrong', async ({ file, name, wrong, right }) => {
    const directory = await copy(file.replace('/', '-'));
    await rewrite(join(directory, `${file}.safetensors`), async (tensors) => {
      const numbers = await numbersOf(tensors[name]!);
      const largest = Math.max(...numbers.map(Math.abs));
      tensors[name] = Tensor.from(
        Float32Array.from(numbers, (value, index) => (index === 5 ? value + largest : value)),
        tensors[name]!.shape,
      );
    });
    const { code, stdout, stderr } = await eam('verify', directory);
    expect(code).toBe(1);
    expect(stderr).toMatch(/goldens differ by more than 0\.0001 of their scale/);
    expect(stdout).toMatch(new RegExp(`FAIL {2}${wrong.replace(/[.()]/g, '\\$&')}: off by`));
    expect(stdout).toMatch(new RegExp(`pass {2}${right.replace(/[.()]/g, '\\$&')}$`, 'm'));
  });

  it('fails where a setting or a golden is wrong', async () => {
    const directory = await copy('settings');
    const path = join(directory, 'scheduler/scheduler_config.json');
    const scheduler = JSON.parse(await readFile(path, 'utf8')) as object;
    await rm(path);
    await writeFile(path, JSON.stringify({ ...scheduler, shift: 2.9 }));
    await rewrite(join(directory, 'goldens.safetensors'), async (tensors) => {
      const ids = Int32Array.from((await tensors['ids.t5']!.data()) as Int32Array);
      ids[3] = ids[3]! + 1;
      tensors['ids.t5'] = Tensor.from(ids, tensors['ids.t5']!.shape);
      tensors['pooled_prompt_embeds'] = Tensor.from(new Float32Array(4 * 28).fill(NaN), [4, 28]);
    });
    const names = failed(await all(directory));
    expect(names.filter((name) => !name.startsWith('sampling.'))).toEqual(
      [
        'scheduler.sigmas.10',
        'scheduler.sigmas.28',
        'scheduler.sigmas.4',
        'scheduler.timesteps.10',
        'scheduler.timesteps.28',
        'scheduler.timesteps.4',
        'ids.t5',
        'pooled_prompt_embeds',
      ].filter((name) => names.includes(name)),
    );
    expect(names).toEqual(
      expect.arrayContaining(['scheduler.sigmas.4', 'ids.t5', 'pooled_prompt_embeds', 'sampling.image']),
    );
  });
});

describe('eam verify of other shapes and settings', () => {
  // diffusers' own values for three heads, no norm of queries, six latent channels.
  it('goes by the keys that are there: no T5, no adapters, another vocabulary, two steps', async () => {
    const directory = join(folder, 'three-heads');
    const path = fixture('sd3-shapes/three-heads.safetensors');
    const transformer = JSON.parse((await readHeader(path)).metadata['config']!) as object;
    const text = {
      projection_dim: 3,
      hidden_size: 4,
      intermediate_size: 8,
      num_hidden_layers: 2,
      num_attention_heads: 2,
    };
    writeRandomSd3(directory, {
      transformer,
      clipL: text,
      clipG: { ...text, hidden_act: 'gelu' },
      vae: {
        latent_channels: 6,
        block_out_channels: [8, 8],
        down_block_types: Array(2).fill('DownEncoderBlock2D'),
        up_block_types: Array(2).fill('UpDecoderBlock2D'),
        norm_num_groups: 4,
        shift_factor: null,
      },
    });
    const stored = await loadTensors(path);
    const of = async (name: string, factor = 1) =>
      Tensor.from(
        Float32Array.from(await numbersOf(stored[`golden.${name}`]!), (value) => factor * value),
        stored[`golden.${name}`]!.shape,
      );
    const times = await numbersOf(stored['golden.t']!);
    const only = 'transformer.only';
    const weights = Object.entries(stored).filter(([name]) => !name.startsWith('golden.'));
    await rm(join(directory, 'transformer/diffusion_pytorch_model.safetensors'));
    await saveTensors(join(directory, 'transformer/diffusion_pytorch_model.safetensors'), Object.fromEntries(weights));
    const gradient = 'transformer_blocks.0.attn.add_k_proj.weight';
    await saveTensors(
      join(directory, 'goldens.safetensors'),
      {
        [`${only}.hidden_states`]: await of('x'),
        [`${only}.encoder_hidden_states`]: await of('embeddings'),
        [`${only}.pooled_projections`]: await of('pooled'),
        [`${only}.timestep`]: Tensor.from(
          Float32Array.from(times, (t) => 1000 * (1 - t)),
          [times.length],
        ),
        [`${only}.upstream`]: await of('upstream'),
        [`${only}.sample`]: await of('velocity', -1),
        [`${only}.grad_hidden_states`]: await of('grad.x', -1),
        [`${only}.grad.${gradient}`]: await of(`grad.${gradient}`, -1),
        [`${only}.grad_of_something`]: await of('x'),
        'ids.t5': Tensor.from(new Int32Array(3), [1, 3]),
        'lora.sample': await of('x'),
        'sampling.initial_latents': await of('x'),
        'sampling.latents.step0': await of('x'),
        'scheduler.sigmas.2': Tensor.from([1, 0.75, 0], [3]),
        mystery: await of('t'),
      },
      { prompts: '["a"]' },
    );
    const findings = await all(directory);
    expect(findings.flatMap((finding) => ('error' in finding ? [finding.name] : []))).toEqual([
      'scheduler.sigmas.2',
      `${only}.sample`,
      `${only}.grad_hidden_states`,
      `${only}.grad.${gradient}`,
    ]);
    // The last level before 0 that diffusers takes is another than 0.75; everything else agrees.
    expect(failed(findings)).toEqual(['scheduler.sigmas.2']);
    expect(unchecked(findings)).toEqual({
      'ids.t5': 'the directory has no text_encoder_3',
      'sampling.initial_latents': 'the file lacks prompt_embeds and pooled_prompt_embeds',
      'sampling.latents.step0': 'the file lacks prompt_embeds and pooled_prompt_embeds',
      'lora.sample': 'the directory has neither lora_peft nor lora_diffusers',
      [`${only}.grad_of_something`]: 'nothing here computes such a golden',
      mystery: 'nothing here computes such a golden',
    });
  });
});

describe('eam verify', () => {
  const refused = async (directory: string, message: string | RegExp, ...options: string[]) => {
    const { code, stdout, stderr } = await eam('verify', directory, ...options);
    // No head of a table that has no lines.
    expect(stdout).not.toMatch(/golden\n$/);
    expect(stderr).toMatch(message);
    expect(code).toBeGreaterThan(0);
  };

  it('refuses a directory without goldens, a reward that is none, and one that is no model', async () => {
    await refused(
      await copy('plain').then(async (path) => {
        await rm(join(path, 'goldens.safetensors'));
        return path;
      }),
      /plain holds no goldens\.safetensors: there is nothing to compare with/,
    );
    await refused(fixture('rewards-tiny/pickscore'), 'model_index.json');
    await refused(
      fixture('rewards-tiny/pickscore'),
      /no reward "picscore" can be verified; those that can be: pickscore/,
      '--reward',
      'picscore',
    );
  });

  it('refuses another pipeline or transformer before it asks for goldens', async () => {
    const path = async (name: string, file: string, change: object) => {
      const directory = await copy(name);
      await rm(join(directory, 'goldens.safetensors'));
      await writeFile(
        join(directory, file),
        JSON.stringify({ ...(JSON.parse(await readFile(join(directory, file), 'utf8')) as object), ...change }),
      );
      return directory;
    };
    const flux = await path('flux', 'model_index.json', { _class_name: 'FluxPipeline' });
    const message =
      /model_index\.json: expected the pipeline StableDiffusion3Pipeline, Flux2KleinPipeline, got FluxPipeline/;
    await refused(flux, message);
    expect(
      (await eam('sample', '--model', flux, '--prompt', 'a fox', '--out', join(folder, 'never.png'))).stderr,
    ).toMatch(message);
    await refused(
      await path('entry', 'model_index.json', { transformer: ['diffusers', 'FluxTransformer2DModel'] }),
      /transformer: expected the class SD3Transformer2DModel, got FluxTransformer2DModel/,
    );
    await refused(
      await path('network', 'transformer/config.json', { _class_name: 'FluxTransformer2DModel' }),
      /transformer.config\.json: _class_name: expected "SD3Transformer2DModel", got "FluxTransformer2DModel"/,
    );
    await refused(
      await path('unnamed', 'model_index.json', { _class_name: undefined }),
      /model_index\.json names no class; supported: StableDiffusion3Pipeline/,
    );
  });

  it('refuses goldens of another shape, without prompts, or with nothing to compare', async () => {
    const directory = await copy('odd');
    const path = join(directory, 'goldens.safetensors');
    await rewrite(path, (tensors, metadata) => {
      delete metadata['prompts'];
      delete metadata['guidance'];
      for (const name of Object.keys(tensors)) if (!/^(ids|prompt|pooled|sampling)/.test(name)) delete tensors[name];
    });
    await refused(directory, 'no golden could be compared');
    const reasons = unchecked(await all(directory));
    expect(reasons['ids.t5']).toBe("the file's metadata has no list of prompts");
    expect(reasons['sampling.image']).toBe("the file's metadata has no guidance");
    await rewrite(path, (tensors) => {
      tensors['vae.latents'] = Tensor.from(new Float32Array(64), [1, 4, 4, 4]);
      tensors['vae.image'] = tensors['vae.latents'];
    });
    await refused(
      directory,
      /"vae\.image": expected shape \[1, 3, 8, 8\] as was computed, got \[1, 4, 4, 4\]: the goldens belong to another /,
    );
  });

  it('refuses to read a golden that is not there', async () => {
    using goldens = await Goldens.open(tiny, 1e-4);
    expect(() => goldens.get('nothing')).toThrow(/holds no "nothing"/);
  });
});
