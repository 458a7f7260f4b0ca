// The examples run, and reach what they are there to show. Exact: 98.9 % within three standard deviations of a mode,
// none in the wrong one, E[r] = 0 before and 1.0 after the tilt.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { describe, expect, it, vi } from 'vitest';

import { exactReward, lambda, means, type Quality, qualityOf } from '../../examples/eight-gaussians.ts';
import { run as colourShapes } from '../../examples/colour-shapes.ts';
import { run as plainTypeScript } from '../../examples/plain-typescript.ts';
import { run as tensorflow } from '../../examples/tensorflow.ts';
import { program } from '../helpers/finetune-config.js';
import { labelledImages } from '../helpers/labelled-images.js';

function expectTilt({ pretrained, tilted }: { pretrained: Quality; tilted: Quality }): void {
  expect(pretrained.inside).toBeGreaterThan(0.9);
  expect(pretrained.misplaced).toBeLessThan(0.12);
  expect(Math.abs(pretrained.reward)).toBeLessThan(0.12);
  // The reward rises to the exact tilt's, not beyond it, and the samples stay on the modes.
  expect(Math.abs(tilted.reward - exactReward(lambda))).toBeLessThan(0.15);
  expect(tilted.inside).toBeGreaterThan(0.85);
  expect(tilted.misplaced).toBeLessThan(0.2);
}

/** What examples/export_velocity.py writes for the shapes' captions. */
const shapesNetwork = fileURLToPath(new URL('../fixtures/torchscript-model/shapes', import.meta.url));

describe('the examples', () => {
  it('pretrain and tilt a flow in plain TypeScript with their own backpropagation', () => {
    expectTilt(plainTypeScript({ pretraining: 1200, tilting: 180 }));
  });

  it('do the same in TensorFlow.js with its variables, gradients and optimizer', async () => {
    expectTilt(await tensorflow({ pretraining: 700, tilting: 100 }));
  });

  it.each([
    { network: 'the shipped network', own: undefined },
    { network: 'a network in TorchScript', own: shapesNetwork },
    {
      network: 'a network in TypeScript',
      own: fileURLToPath(new URL('../../examples/shapes-network.ts', import.meta.url)),
    },
  ])('pretrain $network on drawn shapes and make them larger', async ({ own }) => {
    const output = await mkdtemp(join(tmpdir(), 'eam-shapes-'));
    const { before, after } = await colourShapes(output, { images: 180, pretraining: 300, tuning: 20, own });
    expect(before.colour).toBeGreaterThan(0.6);
    expect(after.size).toBeGreaterThan(1.1 * before.size);
    await rm(output, { recursive: true });
  });

  it('fine-tune with the trainer in ten lines', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'eam-example-'));
    const before = process.cwd();
    const log = vi.spyOn(console, 'log').mockImplementation(() => {});
    process.chdir(directory);
    try {
      await import('../../examples/trainer.ts');
      expect(log.mock.calls.map(([step]) => step as number)).toEqual([1, 2, 3, 4, 5]);
      for (const [, reward] of log.mock.calls) expect(Number(reward)).toBeLessThan(Infinity);
    } finally {
      process.chdir(before);
      log.mockRestore();
      await rm(directory, { recursive: true });
    }
  });
});

describe('the instructions of an example', () => {
  it.each(['plain-typescript', 'tensorflow', 'trainer', 'own-network', 'colour-shapes'])(
    'say in %s what is true of a clone and of an installed package',
    async (name) => {
      // In this clone and out of the packed package they are run by test/package/packed.test.ts and `npm run
      // test:installed`.
      const text = await readFile(fileURLToPath(new URL(`../../examples/${name}.ts`, import.meta.url)), 'utf8');
      expect(text.replaceAll(/\n\/\/ +/g, ' ')).toContain(
        `node examples/${name}.ts        (in a clone after \`npm run setup\`; Node 22.18 or newer, with an ` +
          'older one: npx tsx)',
      );
      expect(text).toContain(`//   cp -r node_modules/eam-torch/examples . && node examples/${name}.ts`);
    },
  );
});

describe('docs/own-network.md', async () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const text = await readFile(join(root, 'docs', 'own-network.md'), 'utf8');
  const programs = [...text.matchAll(/^```js\n(import .*?)^```$/gms)].map((match) => match[1]!);

  it('has programs that run as they are written', async () => {
    const folder = join(root, 'build', 'own-network'); // inside the package, so that `eam-torch` is this one
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'train.mjs'), programs[0]!);
    await writeFile(join(folder, 'reward.mjs'), programs[1]!);
    const check = `
      import { Tensor } from 'eam-torch';
      import { contrast } from './reward.mjs';
      const pixels = Float32Array.from({ length: 8 }, (_, i) => (i * 0.37) % 1);
      const images = (data) => Tensor.from(data, [2, 1, 2, 2]);
      const { values, grad } = await contrast.score(images(pixels));
      const slopes = await grad.data();
      const moved = await contrast.score(images(pixels.map((value, i) => value + 1e-3 * slopes[i])));
      const [before, after] = [await values.data(), await moved.values.data()];
      const rise = after[0] + after[1] - before[0] - before[1];
      console.log(before.length, (rise / 1e-3 / slopes.reduce((sum, slope) => sum + slope ** 2, 0)).toFixed(2));
    `;
    await writeFile(join(folder, 'check.mjs'), check);
    const run = async (name: string) => (await promisify(execFile)(process.execPath, [join(folder, name)])).stdout;
    expect(await run('train.mjs')).toMatch(/^1 \d\.\d{3}\n2 \d\.\d{3}\n3 \d\.\d{3}\n2 × 1 × 8 × 8\n$/);
    expect(await run('check.mjs')).toBe('2 1.00\n');
    await rm(folder, { recursive: true });
  });

  it('has a module that is pretrained and fine-tuned by its configurations as they are written', async () => {
    const folder = join(root, 'build', 'own-module'); // inside the package, so that `eam-torch` is this one
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'my-model.mjs'), programs[2]!);
    await cp(
      labelledImages((number) => ({ label: number % 3 }), 1, 8),
      join(folder, 'images'),
      { recursive: true },
    );
    const configs = [...text.matchAll(/^```json\n(.*?)^```$/gms)].map((match) => match[1]!);
    const eam = (...args: string[]) => promisify(execFile)(process.execPath, [program, ...args], { cwd: folder });
    for (const [index, job] of ['pretrain', 'finetune'].entries()) {
      await writeFile(join(folder, `${job}.json`), configs[index]!);
      const { stderr } = await eam(job, `${job}.json`, '--set', 'steps=2', '--set', 'batch=4');
      expect(stderr).toContain('step 2/2');
    }
    const command = /`(eam sample --model .*?)`/s.exec(text)![1]!.replaceAll('\n', ' ').split(' ').slice(1);
    expect((await eam(...command, '--adapter', 'runs/tuned')).stderr).toContain('drawn.png');
    await rm(folder, { recursive: true });
  });

  it.each([
    { name: 'own-network', words: (lines: number) => `with LoRA, in ${lines} lines` },
    { name: 'shapes-network', words: (lines: number) => `such a module in ${lines} lines, with LoRA` },
  ])('says of $name how long it is, which is less than 150 lines', async ({ name, words }) => {
    const lines = (await readFile(join(root, 'examples', `${name}.ts`), 'utf8')).trimEnd().split('\n').length;
    expect(lines).toBeLessThan(150);
    expect(text.replaceAll('\n', ' ')).toContain(words(lines));
  });
});

describe('docs/torchscript.md', () => {
  it('says of the script that exports a network how long it is', async () => {
    const root = fileURLToPath(new URL('../..', import.meta.url));
    const script = await readFile(join(root, 'examples', 'export_velocity.py'), 'utf8');
    const lines = script.split('\n').filter((line) => line.trim() !== '').length;
    const text = await readFile(join(root, 'docs', 'torchscript.md'), 'utf8');
    expect(text.replaceAll('\n', ' ')).toContain(`with LoRA inside, scripted, in ${lines} lines`);
  });
});

describe('docs/backend.md', async () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const text = await readFile(join(root, 'docs', 'backend.md'), 'utf8');
  const programs = [...text.matchAll(/^```js\n(import .*?)^```$/gms)].map((match) => match[1]!);

  it.each([
    { index: 0, output: /^\d+\.\d{3} 16\n$/ },
    { index: 1, output: /^-?\d+\.\d+\n$/ },
  ])('has a program $index that runs as it is written', async ({ index, output }) => {
    const folder = join(root, 'build', 'backend'); // inside the package, so that `eam-torch` is this one
    await mkdir(folder, { recursive: true });
    const path = join(folder, `program-${index}.mjs`);
    await writeFile(path, programs[index]!);
    expect((await promisify(execFile)(process.execPath, [path])).stdout).toMatch(output);
    await rm(folder, { recursive: true });
  });

  it('has the numbers of the results that it names', async () => {
    const [name] = /benchmarks\/results\/[\w.-]+\.csv/.exec(text)!;
    const lines = (await readFile(join(root, name), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => line.split(','));
    // The documents' tables are padded.
    const rows = text.replaceAll(/ {2,}/g, ' ');
    const columns = lines[0]!;
    const calls = lines.filter((line) => line[columns.indexOf('section')] === 'calls');
    const figures = (call: string) => {
      const found =
        calls.find((line) => line[columns.indexOf('name')] === call) ?? expect.fail(`${call} is not in ${name}`);
      const [low, median, high] = ['p20', 'p50', 'p80'].map((column) =>
        Number(found[columns.indexOf(column)]).toFixed(1),
      );
      return `${median} (${low}–${high})`;
    };
    for (const call of [
      'matchingLoss',
      'flowMatchingLoss',
      'renoise',
      'memorylessStep',
      'terminalGradient',
      'leanAdjointStep',
    ]) {
      expect(rows).toContain(`| \`${call}\` | ${figures(`${call}Sync`)} | ${figures(call)} |`);
    }
    expect(rows).toContain(
      `noise as a tensor | ${figures('matchingLossSync; noise as a tensor')} | ` +
        `${figures('matchingLoss; noise as a tensor')} |`,
    );
    expect(rows).toContain(`20 calls in flight | | ${figures('matchingLoss; 20 calls in flight')} a call |`);
    expect(rows).toContain(`\`dispose\` | ${figures('Tensor.from and dispose')} | |`);
  });

  it('links to files that are there', () => {
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) => match[1]!);
    expect(links.length).toBeGreaterThan(3);
    expect(links.filter((link) => !existsSync(join(root, 'docs', link)))).toEqual([]);
  });
});

describe('the measure of the examples', () => {
  it('tells the mixture from others', () => {
    const onModes = Float32Array.from(means.flat());
    expect(qualityOf(onModes, 0)).toEqual({ reward: expect.closeTo(0, 6) as number, inside: 1, misplaced: 0 });
    expect(qualityOf(onModes, lambda).misplaced).toBeGreaterThan(0.4);
    expect(qualityOf(new Float32Array(20), 0).inside).toBe(0);
    expect(exactReward(0)).toBeCloseTo(0, 12);
    expect(exactReward(lambda)).toBeGreaterThan(0.9);
  });
});
