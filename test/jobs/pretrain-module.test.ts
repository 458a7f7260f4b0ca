// Pretraining of a network that a module defines, on a folder of images; and what is made of its weights.
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { readHeader, readTensors, saveTensors } from '../../lib/files/safetensors.js';
import type { Model } from '../../lib/models/model.js';
import { loadModel } from '../../lib/models/registry.js';
import { binding } from '../../lib/runtime/native/index.js';
import { philoxNormal } from '../../lib/runtime/kernels.js';
import { eam } from '../helpers/command-line.js';
import { finetune, pretrain } from '../helpers/jobs.js';
import { labelledImages } from '../helpers/labelled-images.js';
import { loraNetwork, moduleFile, wholeNetwork } from '../helpers/module-network.js';
import { numbersOf } from '../helpers/numbers.js';
import { refusal } from '../helpers/refusal.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const images = labelledImages((number) => ({ label: number % 3 }), 1, 4);
const kinds = [
  { what: 'all of it', text: wholeNetwork },
  { what: 'LoRA beside it', text: loraNetwork },
];
type Kind = (typeof kinds)[number]['what'];

const recipe = (module: string, change: object = {}) => ({
  model: { module },
  data: { path: images },
  optimizer: { learningRate: 1e-2, emaDecay: 0.9 },
  steps: 6,
  batch: 4,
  checkpoints: { every: 2 },
  samples: { count: 4, columns: 2 },
  output: join(temporaryFolder(), 'model'),
  ...change,
});

const tuning = (model: object, change: object = {}) => ({
  model,
  adapter: { rank: 2, alpha: 4 },
  prompts: ['0', '2'],
  rewards: [{ name: 'stroke-weight' }],
  algorithm: { name: 'eam', steps: 2, delta: 0.3, solver: 'euler' },
  optimizer: { learningRate: 1e-1 },
  steps: 2,
  batch: 2,
  samples: { count: 2 },
  output: join(temporaryFolder(), 'run'),
  ...change,
});

const read = (directory: string, name: string) => JSON.parse(readFileSync(join(directory, name), 'utf8'));
const losses = (directory: string): number[] =>
  readFileSync(join(directory, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).loss);

/** A model's velocity of the same three samples. */
async function velocityOf(model: Model, pretrained: boolean): Promise<number[]> {
  using x = await philoxNormal([3, 1, 4, 4], { seed: 5n, stream: 0n });
  return numbersOf(
    await model.native.velocity(x, Float32Array.of(0.1, 0.5, 0.9), await model.encode(['0', '1', '2']), pretrained),
  );
}

describe.each(kinds)('pretraining a module whose fine-tuning trains $what', ({ what, text }) => {
  const module = moduleFile(text);
  let directory: string;
  let weights: string;
  beforeAll(async () => {
    ({ directory } = await pretrain(recipe(module, { steps: 40 })));
    weights = join(directory, 'model.safetensors');
  });

  it('lowers the loss, and stores the network by its own names', async () => {
    const all = losses(directory);
    const mean = (some: number[]) => some.reduce((sum, loss) => sum + loss) / some.length;
    expect(mean(all.slice(-8))).toBeLessThan(0.8 * mean(all.slice(0, 8)));
    const { entries, metadata } = await readHeader(weights);
    expect(entries.map(({ name }) => name).sort()).toEqual(['in', 'labels', 'out']);
    expect(metadata).toMatchObject({ module: 'network.mjs', latentVariance: expect.stringMatching(/^0\.\d+/) });
    expect(read(directory, 'config.json')).toEqual({ type: 'module', module, weights: 'model.safetensors' });
    // The module says how samples are drawn where the configuration does not.
    expect(read(directory, 'recipe.json').samples).toMatchObject({ steps: 2, solver: 'euler' });
  });

  it('is the same when it is resumed, with the same module alone', async () => {
    const path = moduleFile(text);
    const config = recipe(path, { steps: 40 });
    const controller = new AbortController();
    const observer = { note() {}, begin() {}, end() {}, advance: (step: number) => step === 3 && controller.abort() };
    await expect(pretrain(config, { signal: controller.signal, observer })).rejects.toThrow();
    appendFileSync(path, '// changed\n');
    expect(await refusal(pretrain(config, { resume: true }))).toContain('a run with another model');
    writeFileSync(path, text);
    const resumed = await pretrain(config, { resume: true });
    expect(readFileSync(join(resumed.directory, 'model.safetensors'))).toEqual(readFileSync(weights));
    expect(losses(resumed.directory)).toEqual(losses(directory));
  });

  it('gives fine-tuning its pretrained velocity, which training leaves alone', async () => {
    const described = { module, weights };
    using before = await loadModel(described, { adapter: { rank: 2, alpha: 4 } });
    const stored = await readTensors(weights);
    for (const [name, tensor] of Object.entries(stored))
      expect(await numbersOf(before.native.weights()[name]!), name).toEqual(await numbersOf(tensor));
    const pretrainedVelocity = await velocityOf(before, true);
    expect(await velocityOf(before, false)).toEqual(pretrainedVelocity);
    using untrained = await loadModel(module);
    expect(await velocityOf(untrained, true)).not.toEqual(pretrainedVelocity);

    const { adapter } = await finetune(tuning(described));
    await before.loadAdapter(adapter);
    expect(await velocityOf(before, true)).toEqual(pretrainedVelocity);
    expect(await velocityOf(before, false)).not.toEqual(pretrainedVelocity);
    const trained: Record<Kind, string[]> = {
      'all of it': ['in', 'labels', 'out'],
      'LoRA beside it': ['in.lora_A.weight', 'in.lora_B.weight'],
    };
    expect([...before.native.trainableNames].sort()).toEqual(trained[what]);
  });

  it('draws where the module is named, with the weights of the adapter or those that are named', async () => {
    const { directory: run } = await finetune(tuning({ module, weights }));
    const draw = async (name: string, ...args: string[]) => {
      const out = join(temporaryFolder(), `${name}.png`);
      const { code, stderr } = await eam('sample', '--prompt', '1', '--count', '2', '--out', out, ...args, '--quiet');
      return code === 0
        ? readFileSync(out)
            .toString('hex')
            .replace(/.*49444154/, '')
        : stderr;
    };
    const tuned = await draw('tuned', '--model', module, '--adapter', run);
    const named = await draw('named', '--model', module, '--adapter', run, '--weights', weights);
    expect(named).toBe(tuned);
    const pretrained = await draw('pretrained', '--model', module, '--weights', weights);
    expect(pretrained).not.toBe(tuned);
    expect(await draw('untrained', '--model', module)).not.toBe(pretrained);
    // Code is run only where the module is named.
    const asks = `whose code is run only where it is named`;
    expect(await draw('unnamed', '--adapter', run)).toContain(`was trained on the module ${module}, ${asks}`);
    expect(await draw('directory', '--model', directory)).toBe(
      `error: ${directory} holds weights of the module ${module}, ${asks}: ` +
        `{"module":"${module}","weights":"${weights}"} as the model, or --model ${module} --weights ${weights}\n`,
    );
    expect(await draw('misplaced', '--weights', weights)).toContain('--weights: expected a module as --model');
  });

  it('refuses weights with a tensor too few, too many or of another shape', async () => {
    const stored = await readTensors(weights);
    const { labels, ...lacking } = stored;
    const other = join(temporaryFolder(), 'other.safetensors');
    const refused = async (tensors: typeof stored) => {
      await saveTensors(other, tensors);
      return refusal(loadModel({ module, weights: other }));
    };
    expect(await refused(lacking)).toMatch(/^.*other\.safetensors: 1 tensor does not fit .*\n +labels: expected/);
    expect(await refused({ ...stored, more: labels! })).toContain('more: unknown tensor of shape [4, 8]');
    const wide = binding().Tensor.from(new Float32Array(8), [4, 2]);
    expect(await refused({ ...lacking, labels: wide })).toContain('labels: expected shape [4, 8], got [4, 2]');
    expect(await refusal(loadModel({ module, weights: `${other}.gone` }))).toContain('other.safetensors.gone');
  });

  it('says where the module is not the one that the weights were trained with', async () => {
    const edited = moduleFile(`${text}// edited\n`);
    const notes: string[] = [];
    for (const path of [edited, moduleFile(text)]) {
      using model = await loadModel({ module: path, weights });
      await model.prepare(['1'], { onNote: (note) => notes.push(note) });
    }
    expect(notes).toEqual([
      `${edited} is not what it was when ${weights} was trained: its weights fit, if its velocity is still the same`,
    ]);
  });
});

describe('pretraining a module is refused before anything is written', () => {
  const changed = (from: string, to: string, text = wholeNetwork): string => {
    expect(text).toContain(from);
    return moduleFile(text.replace(from, to));
  };
  const captioned = labelledImages((number) => ({ caption: number ? 'a cat' : 'a dog' }), 1, 4);
  const broken = labelledImages((number) => ({ label: number % 3 }), 1, 4);
  writeFileSync(join(broken, '3.png'), 'no picture');

  it.each([
    {
      that: 'has an output of another shape',
      module: () => changed('p.out), x.shape)', 'p.out), [x.shape[0], 16])'),
      message: /velocity of "small": expected a velocity of x's shape, \[4, 1, 4, 4\], got float32 \[4, 16\]/,
    },
    {
      that: 'computes no number',
      module: () => changed('ops.tanh(', 'ops.log('),
      message: /velocity of "small": expected finite numbers from its first weights, got NaN/,
    },
    {
      that: 'throws',
      module: () => changed('const flat', "throw new Error('on purpose'); const flat"),
      message: /^velocity of "small": on purpose$/,
    },
    {
      that: 'leaves a tensor out',
      module: () => changed('labels: draw(', 'spare: draw([2], 9n), labels: draw('),
      message: /expected every trainable tensor to be used, got no use of spare/,
    },
    {
      that: 'has a decoder',
      module: () => changed('encode:', 'decode: (latents) => latents, encode:'),
      message: /a network on pixels to pretrain, of shape \[1 or 3, height, width\] and without a decoder/,
    },
    {
      that: 'draws images of two channels',
      module: () => changed('latentShape: [1', 'latentShape: [2'),
      message: /a network on pixels to pretrain, .* got the shape \[2, 4, 4\]/,
    },
    {
      that: 'draws images of another size',
      module: () => changed('latentShape: [1, 4, 4]', 'latentShape: [1, 8, 2]'),
      message: /0\.png: expected 2 × 8 pixels, as the model takes, got 4 × 4/,
    },
    {
      that: 'has no velocity without a prompt',
      module: () => changed("unconditional: (count) => labelsOf(Array(count).fill('3')),", ''),
      message: /^labelDropout: expected 0, as .*network\.mjs defines no unconditional\(\) .*, got 0\.1$/,
    },
    {
      that: 'has another conditioning without a prompt',
      module: () =>
        changed(
          "labelsOf(Array(count).fill('3'))",
          "[...labelsOf(Array(count).fill('3'))].concat(labelsOf(Array(count).fill('3')))",
        ),
      message: /unconditional of "small": expected int64 \[4\], as encode gives .*, got int64 \[4\], int64 \[4\]/,
    },
    {
      that: 'has no class for a label',
      module: () => changed('labels: draw([4, 8]', 'labels: draw([2, 8]'),
      message: /embedding/,
    },
    {
      that: 'makes a model elsewhere than it is asked to',
      module: () => changed('device, dtype, sampling', "device, dtype: 'bfloat16', sampling"),
      message: /expected a model on cpu in float32: hand the options device and dtype on/,
    },
    {
      that: 'makes no model',
      module: () => moduleFile('export default () => 3;'),
      message: /its default export: expected a function that returns a model, got one that returns number/,
    },
    {
      that: 'is not there',
      module: () => '/gone/network.mjs',
      message: /^\/gone\/network\.mjs: there is no such module$/,
    },
    {
      that: 'does not know a caption',
      module: () => moduleFile(wholeNetwork),
      change: { data: { path: captioned } },
      message: /^encode of "small": Cannot convert a cat to a BigInt$/,
    },
    {
      that: 'is given a broken picture',
      module: () => moduleFile(wholeNetwork),
      change: { data: { path: broken } },
      message: /images and labels do not fit:\n.*3\.png/,
    },
    {
      that: 'is given weights',
      module: () => moduleFile(wholeNetwork),
      change: { model: { module: 'network.mjs', weights: 'x.safetensors' } },
      message: /model\.weights: unknown key/,
    },
  ])('where it $that', async ({ module, change = {}, message }) => {
    const config = recipe(module(), change);
    await expect(pretrain(config)).rejects.toThrow(message);
    expect(() => readFileSync(join(config.output, 'recipe.json'))).toThrow('ENOENT');
  });

  it('and keeps the steps before where encode throws at the third', async () => {
    // The rehearsal has asked once already, so that the fourth question is that of the third step.
    const encode = "(prompts) => { if (++asked === 4) throw new Error('on purpose'); return labelsOf(prompts); }";
    const module = moduleFile(`let asked = 0;\n${wholeNetwork.replace('encode: labelsOf', `encode: ${encode}`)}`);
    const config = recipe(module, { checkpoints: { every: 100 } });
    expect(await pretrain(config).catch((error: Error) => error.message)).toBe('encode of "small": on purpose');
    expect(losses(config.output)).toHaveLength(2);
    expect(readdirSync(join(config.output, 'checkpoints'))).toEqual(['step-2']);
  });

  it('and stops where the loss is no number ten times in a row', async () => {
    // At this rate Adam soon makes weights of which the exponential overflows.
    const module = moduleFile(wholeNetwork.replace('ops.tanh(ops.add(hidden, low))', 'ops.exp(ops.add(hidden, low))'));
    const config = recipe(module, { optimizer: { learningRate: 50 }, steps: 60 });
    expect(await refusal(pretrain(config))).toMatch(/the gradient was not finite in 10 steps in a row, up to step \d+/);
  });
});
