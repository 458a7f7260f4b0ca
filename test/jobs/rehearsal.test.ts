// A configuration that cannot finish is refused before anything is made.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { beforeAll, describe, expect, it } from 'vitest';

import { eam as eamAlgorithm } from '../../lib/training/algorithms.js';
import { loadModel } from '../../lib/models/registry.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { Trainer } from '../../lib/training/trainer.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

const sd35 = fileURLToPath(new URL('../fixtures/sd35-tiny', import.meta.url));

let model: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
});

function moduleFile(text: string): string {
  const path = join(temporaryFolder(), 'reward.mjs');
  writeFileSync(path, text);
  return path;
}

/** A configuration, and a comparison of the same with itself. */
function configFiles(change: object) {
  const folder = temporaryFolder();
  const common = {
    model,
    adapter: tinyAdapter,
    prompts: ['0', '1'],
    rewards: [{ name: 'stroke-weight' }],
    batch: 2,
    samples: { count: 2, columns: 2, steps: 1 },
    evaluation: { count: 2, steps: 1 },
    output: join(folder, 'run'),
    ...change,
  };
  const algorithm = { name: 'eam', solver: 'euler', steps: 1, renoisings: 1 };
  const finetune = { ...common, algorithm, optimizer: { learningRate: 1e-3 }, steps: 2 };
  const contenders = ['one', 'two'].map((name) => ({ name, algorithm, learningRate: 1e-3 }));
  const compare = { ...common, contenders, budget: { steps: 1 }, seeds: [1] };
  const write = (name: string, config: object) => {
    writeFileSync(join(folder, name), JSON.stringify(config));
    return join(folder, name);
  };
  return { output: common.output, files: { finetune: write('f.json', finetune), compare: write('c.json', compare) } };
}

const noGradient = 'export default (images, prompts) => ({ values: prompts.map(() => 0) })';
const fails = "export default () => { throw new Error('no key for the service'); }";
const rgb = { model: sd35, adapter: { rank: 2, alpha: 2 }, image: { width: 16, height: 16 }, prompts: ['a fox'] };

describe.each(['finetune', 'compare'] as const)('eam %s, before it makes a folder,', (command) => {
  it.each([
    {
      what: 'a reward without a gradient',
      change: () => ({ rewards: [{ name: 'module', file: moduleFile(noGradient) }] }),
      says: /reward "reward" failed: it returned no gradient/,
    },
    {
      what: 'a reward of values alone where the algorithm follows gradients',
      change: () => ({ rewards: [{ name: 'module', file: moduleFile(noGradient), differentiable: false }] }),
      says: /rewards: "reward" has values alone, .*algorithm\.modes=true/,
    },
    {
      what: 'a reward that fails',
      change: () => ({ rewards: [{ name: 'module', file: moduleFile(fails) }] }),
      says: /no key for the service/,
    },
    {
      what: 'a reward of images with other channels',
      change: () => ({ ...rgb, rewards: [{ name: 'digit-classifier' }] }),
      says: /reward "digit-classifier" failed/,
    },
    {
      what: 'a judge of other images',
      change: () => ({ ...rgb, evaluation: { count: 2, steps: 1, judge: { name: 'digit-judge' } } }),
      says: /the judge "digit-judge" cannot read this model's images/,
    },
    {
      what: 'a rank above the width of a layer',
      change: () => ({ adapter: { ...tinyAdapter, rank: 17 } }),
      says: /adapter\.rank: expected at most 16, the width of .*, got 17/,
    },
  ])('refuses $what', async ({ change, says }) => {
    const { output, files } = configFiles(change());
    const { code, stderr } = await eam(command, files[command], '--quiet');
    expect([code === 1 || code === 2, stderr]).toEqual([true, expect.stringMatching(says)]);
    expect(existsSync(output)).toBe(false);
  });
});

it('eam finetune refuses modes on endpoints of the pretrained model before it makes a folder', async () => {
  const { output, files } = configFiles({});
  const both = ['--set', 'algorithm.endpoints=pretrained', '--set', 'algorithm.modes=true'];
  const { code, stderr } = await eam('finetune', files.finetune, '--quiet', ...both);
  expect([code, stderr]).toEqual([2, expect.stringMatching(/modes: expected none with the endpoints "pretrained"/)]);
  expect(existsSync(output)).toBe(false);
});

it('a trainer refuses a rank above the width of a layer', async () => {
  using wide = await loadModel(model, { adapter: { rank: 40, alpha: 1, targets: ['mlp.fc2'] } });
  const make = () =>
    new Trainer({
      model: wide,
      reward: strokeWeight(),
      prompts: ['0'],
      algorithm: eamAlgorithm(),
      optimizer: { learningRate: 1 },
    });
  expect(make).toThrow(/adapter\.rank: expected at most \d+, the width of .*mlp\.fc2, got 40/);
});

describe('eam pretrain', () => {
  it.each([
    { recipe: 'pretrain-digits.json', set: 'model.imageSize=32', says: /model\.imageSize: expected 28, .*got 32/ },
    { recipe: 'pretrain-digits.json', set: 'model.channels=3', says: /model\.channels: expected 1, .*got 3/ },
    { recipe: 'pretrain-digits.json', set: 'model.classes=7', says: /model\.classes: expected 10, .*got 7/ },
    { recipe: 'pretrain-classifier.json', set: 'model.channels=3', says: /model\.channels: expected 1, .*got 3/ },
    { recipe: 'pretrain-classifier.json', set: 'model.classes=12', says: /model\.classes: expected 10, .*got 12/ },
    { recipe: 'pretrain-digits.json', set: 'model.patchSize=5', says: /patchSize/ },
  ])('refuses in $recipe a network for other images than its data: $set', async ({ recipe, set, says }) => {
    const output = join(temporaryFolder(), 'run');
    const path = fileURLToPath(new URL(`../../configs/${recipe}`, import.meta.url));
    const { code, stderr } = await eam('pretrain', path, '--output', output, '--set', set, '--quiet');
    expect([code, stderr]).toEqual([2, expect.stringMatching(says)]);
    expect(existsSync(output)).toBe(false);
  });
});

it('a run leaves its report and says how to repeat the evaluation where that fails', async () => {
  // One call of the rehearsal's and two steps.
  const file = moduleFile(`let calls = 0;
export default ({ data }, prompts) => {
  if (++calls > 3) throw new Error('the service is away');
  return { values: prompts.map(() => 0), grad: new Float32Array(data.length) };
};`);
  const { output, files } = configFiles({ rewards: [{ name: 'module', file }] });
  const { code, stderr } = await eam('finetune', files.finetune);
  expect([code, stderr]).toEqual([1, expect.stringContaining('the service is away')]);
  expect(stderr).toContain(`the evaluation did not finish; to repeat it: eam evaluate ${output}`);
  expect(readFileSync(join(output, 'report.html'), 'utf8')).toContain('id="training"');
  expect(existsSync(join(output, 'checkpoints', 'step-2'))).toBe(true);
});
