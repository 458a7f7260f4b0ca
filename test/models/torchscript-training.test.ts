// A network in TorchScript trains its own parameters by name, and a resumed run repeats an uninterrupted one.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { readTensors } from '../../lib/files/safetensors.js';
import type { Model } from '../../lib/models/model.js';
import { loadModel } from '../../lib/models/registry.js';
import type { TorchScriptModel } from '../../lib/models/torchscript/settings.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import type { Algorithm } from '../../lib/training/algorithm.js';
import { adjointMatching, eam } from '../../lib/training/algorithms.js';
import { evaluate } from '../../lib/training/evaluation.js';
import { sampleImages } from '../../lib/training/sampler.js';
import { Trainer } from '../../lib/training/trainer.js';
import { refusal } from '../helpers/refusal.js';
import { fixture, numbersOf, velocityModel } from '../helpers/torchscript-model.js';
import { temporaryFolder } from '../helpers/tiny-run.js';
import { train } from '../helpers/training-run.js';

const algorithms: Record<string, () => Algorithm> = {
  eam: () => eam({ steps: 2, renoisings: 2, solver: 'euler', delta: 0.3, rewardThroughDenoiser: true }),
  'endpoints of the pretrained model': () =>
    eam({ steps: 2, renoisings: 2, solver: 'euler', delta: 0.3, endpoints: 'pretrained', endpointsPerPrompt: 4 }),
  'guided rollouts': () => eam({ steps: 2, solver: 'euler', delta: 0.3, guidance: 2, guidedLoss: true }),
  am: () => adjointMatching({ steps: 4, lambda: 10 }),
};

function trainerOf(model: Model, algorithm: Algorithm, directory = temporaryFolder()) {
  return new Trainer({
    model,
    reward: strokeWeight({ scale: 4 }),
    prompts: ['a red circle', 'a blue square'],
    algorithm,
    optimizer: { learningRate: 1e-2, emaDecay: 0.9 },
    batch: 4,
    seed: 7,
    checkpoints: { directory, every: 100 },
    endpointsDirectory: temporaryFolder(),
  });
}

const shaOf = (checkpoint: string): unknown =>
  JSON.parse(readFileSync(join(checkpoint, 'manifest.json'), 'utf8')).files['training.safetensors'].sha256;

describe('training a model in TorchScript', () => {
  it.each(Object.entries(algorithms))('with %s is the same when it is resumed, bit by bit', async (_, algorithm) => {
    const [whole, halves] = [temporaryFolder(), temporaryFolder()];
    using first = await loadModel(velocityModel);
    const metrics = await train(trainerOf(first, algorithm(), whole), 4);
    expect(metrics.at(-1)!.gradNorm).toBeGreaterThan(0);
    using second = await loadModel(velocityModel);
    await train(trainerOf(second, algorithm(), halves), 2);
    using third = await loadModel(velocityModel);
    const resumed = trainerOf(third, algorithm(), halves);
    await resumed.resume(join(halves, 'step-2'));
    await train(resumed, 4);
    expect(shaOf(join(halves, 'step-4'))).toBe(shaOf(join(whole, 'step-4')));
  });

  it.each<{ way: string; source: TorchScriptModel }>([
    { way: 'zeroed parameters', source: velocityModel },
    {
      way: 'a second module, of all its parameters',
      source: { ...velocityModel, trainable: undefined, pretrained: { module: velocityModel.torchscript } },
    },
    {
      way: 'a flag',
      source: { torchscript: fixture('flagged.pt'), shape: [3, 2, 2], pretrained: { flag: 'plain', flagValue: true } },
    },
  ])('against $way raises the reward and leaves the pretrained model as it is', async ({ source }) => {
    using model = await loadModel(source);
    const drawn = async (weights: 'trained' | 'pretrained') => {
      using images = await sampleImages(model, {
        prompts: ['a red circle', 'a blue square'],
        seed: 1n,
        steps: 3,
        weights,
      });
      return numbersOf(images);
    };
    const [pretrained, trained] = [await drawn('pretrained'), await drawn('trained')];
    const metrics = await train(trainerOf(model, eam({ lambda: 200, steps: 2, delta: 0.3 })), 12);
    expect(metrics.at(-1)!.reward).toBeGreaterThan(metrics[0]!.reward + 0.01);
    expect(await drawn('pretrained')).toEqual(pretrained);
    expect(await drawn('trained')).not.toEqual(trained);
    const settings = { reward: strokeWeight(), prompts: ['a red circle'], count: 4, seed: 3n, steps: 3 };
    expect((await evaluate(model, settings)).gain).toBeGreaterThan(0);
  });

  it('writes its own parameters by name into checkpoints, and which model they are of', async () => {
    const directory = temporaryFolder();
    using model = await loadModel(velocityModel);
    await train(trainerOf(model, algorithms['eam']!(), directory), 1);
    const checkpoint = join(directory, 'step-1');
    expect(readdirSync(checkpoint).sort()).toEqual([
      'manifest.json',
      'model.json',
      'parameters.safetensors',
      'state.json',
      'training.safetensors',
    ]);
    const stored = await readTensors(join(checkpoint, 'parameters.safetensors'));
    expect(Object.keys(stored).sort()).toEqual([...model.native.trainableNames].sort());
    expect(JSON.parse(readFileSync(join(checkpoint, 'model.json'), 'utf8'))).toEqual({
      type: 'torchscript',
      convention: 'rectified-flow',
      ...velocityModel,
    });
    // They are read back, and into another model's weights as well.
    using again = await loadModel(velocityModel);
    await again.loadAdapter(checkpoint);
    using merged = await loadModel({ ...velocityModel, weights: join(checkpoint, 'parameters.safetensors') });
    for (const each of [again, merged]) {
      for (const [name, tensor] of Object.entries(each.native.trainable()))
        expect(await numbersOf(tensor), name).toEqual(await numbersOf(stored[name]!));
    }
  });

  it('does not go on with another module, another convention or other conditioning', async () => {
    const directory = temporaryFolder();
    using model = await loadModel(velocityModel);
    await train(trainerOf(model, algorithms['eam']!(), directory), 1);
    for (const change of [
      { torchscript: fixture('traced.pt') },
      { convention: 'sigma' as const },
      { conditioning: { 'a red circle': fixture('1.safetensors'), 'a blue square': fixture('0.safetensors') } },
    ]) {
      using other = await loadModel({ ...velocityModel, ...change });
      const resumed = trainerOf(other, algorithms['eam']!(), directory);
      expect(await refusal(resumed.resume(join(directory, 'step-1')))).toContain(
        'another model (its files held something else)',
      );
    }
  });

  it('is refused without a pretrained velocity, which it would change', async () => {
    using model = await loadModel({ ...velocityModel, pretrained: undefined });
    expect(() => trainerOf(model, algorithms['eam']!())).toThrow(
      'training it would change the pretrained model that EAM matches against: load it with an ' +
        'adapter, or name its `pretrained` velocity',
    );
  });
});
