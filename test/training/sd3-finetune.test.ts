import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { decode } from 'fast-png';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { finetune } from '../helpers/jobs.js';
import { loadModel } from '../../lib/models/registry.js';
import { TextEncoders } from '../../lib/models/sd3/text.js';
import { binding } from '../../lib/runtime/native/index.js';
import { disposeAll, readTensors } from '../../lib/files/safetensors.js';
import { sampleImages } from '../../lib/training/sampler.js';
import type { StepMetrics } from '../../lib/training/metrics.js';
import { eam } from '../helpers/command-line.js';
import { Sd3Copy, tinySd3 } from '../helpers/sd3.js';

const folder = mkdtempSync(join(tmpdir(), 'eam-sd3-finetune-'));
beforeAll(() => {
  // Where text embeddings are kept; not before LibTorch is found, which may be in the user's own cache.
  binding();
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
});
afterEach(() => void vi.restoreAllMocks());

const promptFile = join(folder, 'prompts.txt');
writeFileSync(promptFile, `a red fox in the snow\n\nthe moon, 35mm\n${'word '.repeat(90)}\n`);

/** A bright image is the one to draw. */
const config = (output: string, changes: object = {}) => ({
  model: tinySd3,
  image: { width: 16, height: 24 },
  textLength: 16,
  negativePrompt: 'grey',
  prompts: promptFile,
  adapter: { rank: 4, alpha: 8 },
  rewards: [{ name: 'stroke-weight', scale: 10 }],
  algorithm: {
    name: 'eam',
    C: 1,
    lambda: 3000,
    delta: 0.3,
    solver: 'euler',
    steps: 4,
    renoisings: 2,
    guidance: 1.5,
    allowGuidedRollout: true,
  },
  optimizer: { learningRate: 1e-2, clip: 10 },
  steps: 3,
  batch: 8,
  seed: 1,
  samples: { count: 3, columns: 3, steps: 3, solver: 'euler', guidance: 2 },
  output: join(folder, output),
  ...changes,
});

const metricsOf = (directory: string) =>
  readFileSync(join(directory, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as StepMetrics & { drift?: number });
const figures = (directory: string) =>
  metricsOf(directory).map(({ reward, loss, gradNorm, drift }) => ({ reward, loss, gradNorm, drift }));
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('fine-tuning Stable Diffusion 3', () => {
  it('raises the reward, writes an adapter that draws so, and frees the text encoders before training', async () => {
    const [loaded, freed] = [vi.spyOn(TextEncoders, 'load'), vi.spyOn(TextEncoders.prototype, 'dispose')];
    const notes: string[] = [];
    const observer = {
      begin: () => expect(freed).toHaveBeenCalledTimes(1),
      advance() {},
      note: (line: string) => void notes.push(line),
      end() {},
    };
    const { directory, evaluation } = await finetune(
      config('raised', { steps: 20, evaluation: { count: 24, steps: 4, solver: 'euler' } }),
      { observer },
    );
    expect([loaded.mock.calls.length, freed.mock.calls.length]).toEqual([1, 1]);
    expect(notes.filter((line) => line.includes('longer than the'))).toEqual([
      expect.stringMatching(/^1 of 3 prompts is longer than the 77 tokens that CLIP reads/),
      expect.stringMatching(/^1 of 3 prompts is longer than the 16 tokens that T5 reads/),
    ]);
    const metrics = metricsOf(directory);
    const rewards = metrics.map(({ reward }) => reward);
    expect(mean(rewards.slice(-5))).toBeGreaterThan(mean(rewards.slice(0, 5)) + 2 * metrics[0]!.rewardStd);
    expect(evaluation!.gain).toBeGreaterThan(2);
    expect(metrics.at(-1)!.drift).toBeGreaterThan(0.01);
    const record = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as { prompts: string[] };
    expect(record.prompts).toEqual(['a red fox in the snow', 'the moon, 35mm', 'word '.repeat(90).trim()]);

    const out = join(folder, 'drawn');
    const common = [
      '--prompt',
      'a red fox',
      '--width',
      '16',
      '--height',
      '24',
      '--text-length',
      '16',
      '--steps',
      '3',
      '--seed',
      '3',
    ];
    expect(await eam('sample', '--adapter', directory, ...common, '--out', `${out}-trained.png`)).toMatchObject({
      code: 0,
    });
    expect(await eam('sample', '--model', tinySd3, ...common, '--out', `${out}-pretrained.png`)).toMatchObject({
      code: 0,
    });
    const [trained, pretrained] = ['trained', 'pretrained'].map((name) => decode(readFileSync(`${out}-${name}.png`)));
    expect([trained!.width, trained!.height]).toEqual([16, 24]);
    expect(mean(Array.from(trained!.data))).toBeGreaterThan(mean(Array.from(pretrained!.data)) + 1);

    // The run's own size and length of prompts are those of its samples, where no flag says otherwise.
    const prompt = ['--prompt', 'a red fox', '--steps', '3', '--seed', '3'];
    for (const [adapter, ...flags] of [
      [directory],
      [join(directory, 'checkpoints', 'step-20'), '--width', '32', '--text-length', '8'],
    ] as const) {
      expect(await eam('sample', '--adapter', adapter, ...prompt, ...flags, '--out', `${out}-own.png`)).toMatchObject({
        code: 0,
      });
      const { data, width, height, text } = decode(readFileSync(`${out}-own.png`));
      if (flags.length === 0) expect(data).toEqual(trained!.data);
      const settings =
        flags.length === 0 ? { width: 16, height: 24, textLength: 16 } : { width: 32, height: 32, textLength: 8 };
      expect({ width, height, ...(JSON.parse(text!['eam-torch']!) as object) }).toMatchObject(settings);
    }
  });

  it('takes the same steps with the adapter folded or not, and any rows in an evaluation of the rollout', async () => {
    const taken = async (name: string, fold: boolean, rolloutBatch: number) => {
      const settings = config(name, { steps: 2, panel: { every: 0 } });
      const algorithm = { ...settings.algorithm, rolloutBatch };
      const { directory } = await finetune({ ...settings, algorithm, adapter: { ...settings.adapter, fold } });
      const record = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as typeof settings;
      expect([record.adapter, record.algorithm]).toMatchObject([{ fold }, { rolloutBatch }]);
      return metricsOf(directory).map(({ reward, loss, gradNorm, forwards }) => ({ reward, loss, gradNorm, forwards }));
    };
    const expected = await taken('apart', false, 8);
    for (const [index, found] of [await taken('folded', true, 0), await taken('thirds', true, 3)].entries()) {
      for (const [step, { reward, loss, gradNorm, forwards }] of found.entries()) {
        const wanted = expected[step]!;
        expect(forwards).toBe(wanted.forwards);
        expect(reward / wanted.reward, `reward, ${index}`).toBeCloseTo(1, 3);
        expect(loss / wanted.loss, `loss, ${index}`).toBeCloseTo(1, 3);
        expect(gradNorm / wanted.gradNorm, `gradient, ${index}`).toBeCloseTo(1, 2);
      }
    }
  });

  it('goes on where it was stopped, to the same weights, with the prompts that it recorded', async () => {
    const whole = await finetune(config('whole', { steps: 4 }));
    const interrupt = new AbortController();
    const observer = {
      begin() {},
      advance: (done: number) => {
        if (done === 2) interrupt.abort(new Error('stop'));
      },
      note() {},
      end() {},
    };
    const settings = config('stopped', { steps: 4 });
    await expect(finetune(settings, { observer, signal: interrupt.signal })).rejects.toThrow('stop');
    // From the record alone, as `eam finetune DIRECTORY --resume` does.
    const record = JSON.parse(readFileSync(join(settings.output, 'config.json'), 'utf8')) as object;
    const resumed = await finetune(record, { resume: true });
    const [a, b] = [
      await readTensors(join(whole.adapter, 'adapter_model.safetensors')),
      await readTensors(join(resumed.adapter, 'adapter_model.safetensors')),
    ];
    expect(Object.keys(b)).toEqual(Object.keys(a));
    for (const [name, tensor] of Object.entries(a)) expect(b[name]!.dataSync()).toEqual(tensor.dataSync());
    disposeAll(a);
    disposeAll(b);
    await expect(finetune({ ...record, prompts: ['another'] }, { resume: true })).rejects.toThrow(/other prompts/);
  });

  it('computes the same with checkpointing, in less memory', async () => {
    const plain = await finetune(config('plain'));
    const checkpointed = await finetune(config('checkpointed', { checkpointing: true }));
    expect(figures(checkpointed.directory)).toEqual(figures(plain.directory));
  });

  it('computes the same in micro-batches and slices of the decoder', async () => {
    const { algorithm } = config('');
    const plain = await finetune(config('at-once'));
    const sliced = await finetune(
      config('sliced', {
        algorithm: { ...algorithm, microBatch: 3, decodeSlice: 2 },
        samples: { ...config('').samples, batch: 2 },
      }),
    );
    const [whole, parts] = [figures(plain.directory), figures(sliced.directory)];
    for (const [step, { reward, loss, gradNorm }] of whole.entries()) {
      expect(Math.abs(parts[step]!.reward / reward - 1)).toBeLessThan(1e-3);
      expect(Math.abs(parts[step]!.loss / loss - 1)).toBeLessThan(1e-2);
      expect(Math.abs(parts[step]!.gradNorm / gradNorm - 1)).toBeLessThan(1e-2);
    }
  });

  it('runs a bfloat16 network over float32 latents', async () => {
    const plain = await finetune(config('float32'));
    const { directory } = await finetune(config('bfloat16', { dtype: 'bfloat16' }));
    const [wide, narrow] = [figures(plain.directory), figures(directory)];
    expect(narrow).toHaveLength(3);
    expect(Math.abs(narrow[0]!.reward - wide[0]!.reward)).toBeLessThan(0.02 * Math.abs(wide[0]!.reward));
    expect(narrow.every(({ loss, drift }) => Number.isFinite(loss) && Number.isFinite(drift))).toBe(true);
  });

  it('draws and evaluates as the model says where nobody says otherwise, and records how', async () => {
    const own = { steps: 28, solver: 'euler', guidance: 4.5 };
    const settings = config('defaults', {
      steps: 1,
      samples: { count: 2, columns: 2 },
      evaluation: { count: 2, seed: 4 },
    });
    const { directory, evaluation } = await finetune(settings);
    const record = join(directory, 'config.json');
    const resolved = JSON.parse(readFileSync(record, 'utf8')) as Record<string, object>;
    expect(resolved).toMatchObject({ samples: own, evaluation: own });
    await finetune(resolved, { resume: true });
    expect(JSON.parse(readFileSync(record, 'utf8'))).toEqual(resolved);
    writeFileSync(record, JSON.stringify({ ...resolved, evaluation: undefined }));
    const { stdout } = await eam('evaluate', directory, '--count', '2', '--seed', '4', '--json', '--quiet');
    expect(JSON.parse(stdout)).toEqual(evaluation);
  });

  it('can be evaluated from the directory of its run, and trained by Adjoint Matching', async () => {
    const algorithm = { name: 'am', lambda: 30, steps: 4, drawnSteps: 2, guidance: 1 };
    const { directory } = await finetune(config('am', { algorithm, steps: 2 }));
    const { code, stdout } = await eam('evaluate', directory, '--count', '6', '--steps', '2', '--json', '--quiet');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ count: 6 });
  });
});

describe('drawing with Stable Diffusion 3', () => {
  const draw = (options: object) =>
    loadModel(tinySd3, { size: { width: 16, height: 16 }, textLength: 16, embeddingCache: join(folder, 'cache') }).then(
      async (model) => {
        const images = await sampleImages(model, { prompts: ['a fox', 'the moon'], seed: 5n, steps: 3, ...options });
        model.dispose();
        return images.dataSync() as Float32Array;
      },
    );

  it('is decided by the seed, whatever the batches', async () => {
    const [one, again, other, single] = [
      await draw({}),
      await draw({}),
      await draw({ seed: 6n }),
      await draw({ batch: 1 }),
    ];
    expect(again).toEqual(one);
    expect(other).not.toEqual(one);
    expect(Math.max(...single.map((value, index) => Math.abs(value - one[index]!)))).toBeLessThan(1e-4);
  });

  it('follows guidance and negative prompts', async () => {
    const [guided, free, negative] = [
      await draw({}),
      await draw({ guidance: 1 }),
      await draw({ negativePrompt: 'a red fox' }),
    ];
    expect(guided).not.toEqual(free);
    expect(negative).not.toEqual(guided);
    // Without guidance there is nothing to lead away from.
    expect(await draw({ guidance: 1, negativePrompt: 'a red fox' })).toEqual(free);
  });

  it('writes a PNG a prompt, which keeps the settings', async () => {
    const out = join(folder, 'each');
    const { code, stderr } = await eam(
      'sample',
      '--model',
      tinySd3,
      '--prompt',
      'Ein Füchslein 🦊',
      '--prompt',
      'the moon',
      '--negative',
      'blurry',
      '--width',
      '16',
      '--text-length',
      '16',
      '--steps',
      '2',
      '--seed',
      '9',
      '--out',
      out,
    );
    expect([code, stderr]).toEqual([0, expect.stringContaining(join(out, '2-the-moon.png')) as string]);
    const { text, width, height } = decode(readFileSync(join(out, '1-ein-füchslein.png')));
    expect([width, height]).toEqual([16, 16]);
    expect(JSON.parse(text['eam-torch']!)).toMatchObject({
      model: tinySd3,
      adapter: null,
      prompt: 'Ein Füchslein 🦊',
      negative: 'blurry',
      textLength: 16,
      sample: 0,
      steps: 2,
      solver: 'euler',
      guidance: 4.5,
      seed: 9,
      width: 16,
      height: 16,
    });
  });

  it.each([
    { flags: ['--width', '18'], code: 2, message: /image width: expected a multiple of 4 pixels, such as 20, got 18/ },
    { flags: ['--width', '200'], code: 2, message: /expected at most 96 pixels, for which .* has positions, got 200/ },
  ])('refuses $flags', async ({ flags, code, message }) => {
    expect(
      await eam('sample', '--model', tinySd3, '--prompt', 'a', ...flags, '--out', join(folder, 'x.png')),
    ).toMatchObject({
      code,
      stderr: expect.stringMatching(message) as string,
    });
  });

  it('refuses weights that do not fit the configuration, and lists them', async () => {
    const copy = new Sd3Copy().set('transformer/config.json', { num_layers: 4 });
    const message = expect.stringMatching(/^\S+model.transformer: [\s\S]*transformer_blocks\.3\./) as string;
    await expect(loadModel(copy.path)).rejects.toMatchObject({ code: 'ERR_EAM_CHECKPOINT', message });
  });

  it.each([
    {
      what: 'that says no model',
      change: { base_model_name_or_path: null },
      message: /does not say which model it was trained on: name the model's directory \(--model\)/,
    },
    {
      what: 'of a model elsewhere',
      change: { base_model_name_or_path: 'someone/model' },
      message: /was trained on someone\/model, which is not here: name the model's directory \(--model\)/,
    },
  ])('does not guess the model of an adapter $what', async ({ change, message }) => {
    const copy = new Sd3Copy().set('lora_peft/adapter_config.json', change);
    expect(
      await eam('sample', '--adapter', copy.file('lora_peft'), '--prompt', 'a', '--out', join(folder, 'x.png')),
    ).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(message) as string,
    });
    expect(
      await eam(
        'sample',
        '--adapter',
        copy.file('lora_peft/adapter_model.safetensors'),
        '--prompt',
        'a',
        '--out',
        join(folder, 'x.png'),
      ),
    ).toMatchObject({
      code: 1,
      // A file in PEFT's folder is read with the settings beside it.
      stderr: expect.stringMatching(message) as string,
    });
  });
});
