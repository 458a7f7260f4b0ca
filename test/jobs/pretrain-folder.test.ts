// Pretraining on a folder of images: the shipped network at another size, and one in TorchScript; then fine-tuned.
import { cpSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { loadModel } from '../../lib/models/registry.js';
import { pretrain } from '../helpers/jobs.js';
import { eam } from '../helpers/command-line.js';
import { labelledImages } from '../helpers/labelled-images.js';
import { refusal } from '../helpers/refusal.js';
import { numbersOf, velocityModel } from '../helpers/torchscript-model.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const captions = ['a red circle', 'a blue square'];

const captioned = labelledImages((number) => ({ caption: captions[number % 2]! }));
const labelled = labelledImages((number) => ({ label: number % 3 }));

const shipped = { type: 'digits', imageSize: 16, channels: 3, width: 16, depth: 1, heads: 2 };
const { pretrained, ...rest } = velocityModel;
const own = { ...rest, pretrained };

const recipe = (model: object, path: string, change: object = {}) => ({
  model,
  data: { name: 'folder', path },
  optimizer: { learningRate: 1e-2 },
  steps: 4,
  batch: 4,
  checkpoints: { every: 2 },
  samples: { count: 4, columns: 2, steps: 2 },
  output: join(temporaryFolder(), 'model'),
  ...change,
});

const read = (directory: string, name: string) => JSON.parse(readFileSync(join(directory, name), 'utf8'));

describe('pretraining on a folder', () => {
  it('makes classes of captions, which are prompts from then on', async () => {
    const { directory } = await pretrain(recipe({ ...shipped, classes: 2 }, captioned));
    expect(read(directory, 'config.json')).toMatchObject({ classes: 2, prompts: [...captions].sort(), channels: 3 });
    expect(read(directory, 'config.json').latentVariance).toBeGreaterThan(0);
    using model = await loadModel(directory, { adapter: { rank: 2, alpha: 4 } });
    // Classes are numbered by the alphabet.
    expect(await (await model.encode(captions))[0]!.data()).toEqual(BigInt64Array.of(1n, 0n));
    expect(await refusal(model.encode(['a red square']))).toBe(
      'prompt: expected one that this model knows, "a blue square", "a red circle", got "a red square"',
    );
  });

  it('takes the names of classes in the order that the model says', async () => {
    const { directory } = await pretrain(recipe({ ...shipped, classes: 2, prompts: captions }, captioned));
    using model = await loadModel(directory);
    expect(await (await model.encode(captions))[0]!.data()).toEqual(BigInt64Array.of(0n, 1n));
  });

  it('takes labels as numbers, also past nine', async () => {
    const many = labelledImages((number) => ({ label: number * 2 + (number > 0 ? 1 : 0) }));
    expect(await refusal(pretrain(recipe({ ...shipped, classes: 12 }, many)))).toContain(
      `expected images of each of the model's 12 classes, got none of 1, 2, 4, 6, 8, 10`,
    );
    const { directory } = await pretrain(recipe({ ...shipped, classes: 3 }, labelled));
    using model = await loadModel(directory);
    expect(await (await model.encode(['2', 'zero']))[0]!.data()).toEqual(BigInt64Array.of(2n, 0n));
  });

  it.each([
    {
      that: 'more captions than classes',
      model: { ...shipped, classes: 3 },
      path: captioned,
      message: /^model\.classes: expected 2, as .* has captions, got 3$/,
    },
    {
      that: 'a label that is no class',
      model: { ...shipped, classes: 2 },
      path: labelled,
      message: /: labels: expected those of the model's classes, "0", "1", got "2"$/,
    },
    {
      that: 'a caption that is no name of a class',
      model: { ...shipped, classes: 2, prompts: ['a', 'b'] },
      path: captioned,
      message: /expected those of the model's classes, "a", "b", got "a red circle"$/,
    },
    {
      that: 'images of another size',
      model: { ...shipped, classes: 2, imageSize: 8 },
      path: captioned,
      message: /0\.png: expected 8 × 8 pixels, as the model takes, got 16 × 16/,
    },
    {
      that: 'a caption that the conditioning has no file for',
      model: own,
      path: labelledImages(() => ({ caption: 'a dog' })),
      message: /expected a prompt that conditioning names a file for, "a red circle", "a blue square", got "a dog"/,
    },
    {
      that: 'a decoder',
      model: { ...own, decoder: own.torchscript },
      path: captioned,
      message: /a network on pixels to pretrain, of shape \[1 or 3, height, width\] and without a decoder/,
    },
    {
      that: 'a pretrained module',
      model: { ...own, pretrained: { module: own.torchscript } },
      path: captioned,
      message: /model\.pretrained\.module: expected none, as pretraining makes the pretrained model/,
    },
  ])('is refused before anything is written with $that', async ({ model, path, message }) => {
    const config = recipe(model, path);
    expect(await refusal(pretrain(config))).toMatch(message);
    expect(() => readFileSync(join(config.output, 'recipe.json'))).toThrow('ENOENT');
  });

  it('says what data may be', async () => {
    expect(await refusal(pretrain({ ...recipe(shipped, captioned), data: { name: 'folder' } }))).toContain(
      'data.path: expected a string, but it is missing',
    );
    expect(await refusal(pretrain({ ...recipe(shipped, captioned), data: { name: 'imagenet' } }))).toContain('data');
  });
});

describe('pretraining a network in TorchScript', () => {
  let whole: string;
  beforeAll(async () => {
    whole = (await pretrain(recipe(own, captioned, { steps: 6 }))).directory;
  });

  it('trains what fine-tuning leaves alone', async () => {
    using before = await loadModel(own);
    using after = await loadModel(whole);
    for (const [name, tensor] of Object.entries(after.native.weights())) {
      const numbers = await numbersOf(tensor);
      const initial = await numbersOf(before.native.weights()[name]!);
      if (name.includes('lora')) expect(numbers, name).toEqual(initial);
      else if (name !== 'captions.weight') expect(numbers, name).not.toEqual(initial);
    }
    expect(after.native.trainableNames).toEqual(before.native.trainableNames);
  });

  it('is the same when it is resumed, with the same images alone', async () => {
    const config = recipe(own, captioned, { steps: 6 });
    const controller = new AbortController();
    const observer = { note() {}, begin() {}, end() {}, advance: (step: number) => step === 3 && controller.abort() };
    await expect(pretrain(config, { signal: controller.signal, observer })).rejects.toThrow();
    const others = { ...config, data: { name: 'folder', path: labelledImages(() => ({ caption: captions[0]! })) } };
    expect(await refusal(pretrain(others, { resume: true }))).toContain('with other prompts or images');
    const { directory } = await pretrain(config, { resume: true });
    expect(readFileSync(join(directory, 'model.safetensors'))).toEqual(readFileSync(join(whole, 'model.safetensors')));
  });

  it('writes a directory that is all of the model, wherever it is moved, and is fine-tuned', async () => {
    const moved = join(temporaryFolder(), 'moved');
    cpSync(whole, moved, { recursive: true });
    renameSync(whole, `${whole}-gone`);
    try {
      const config = join(temporaryFolder(), 'finetune.json');
      const output = join(temporaryFolder(), 'run');
      const settings = {
        model: moved,
        prompts: captions,
        rewards: [{ name: 'stroke-weight' }],
        algorithm: { name: 'eam', steps: 2, delta: 0.3, solver: 'euler' },
        optimizer: { learningRate: 1e-2 },
        steps: 2,
        batch: 2,
        samples: { count: 2, steps: 2 },
        output,
      };
      writeFileSync(config, JSON.stringify(settings));
      expect(await eam('finetune', config, '--quiet')).toMatchObject({ code: 0, stderr: '' });
      const parameters = join(output, 'checkpoints', 'step-2', 'parameters.safetensors');
      expect(readFileSync(parameters).length).toBeGreaterThan(1000);
    } finally {
      renameSync(`${whole}-gone`, whole);
      rmSync(moved, { recursive: true });
    }
  });
});
