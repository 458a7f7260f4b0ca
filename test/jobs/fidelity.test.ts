// `eam fidelity` from end to end.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, describe, expect, it, vi } from 'vitest';

import * as api from '../../lib/index.js';
import type { FidelityResult } from '../../lib/jobs/fidelity/result.js';
import { eam } from '../helpers/command-line.js';

afterEach(() => vi.restoreAllMocks());

describe('eam fidelity', () => {
  const run = (...args: string[]) => eam('fidelity', ...args);

  const file = (value: unknown): string => {
    const path = join(mkdtempSync(join(tmpdir(), 'eam-fidelity-')), 'problem.json');
    writeFileSync(path, JSON.stringify(value));
    return path;
  };

  const small = [
    '--batch',
    '64',
    '--set',
    'sampling.count=1000',
    '--set',
    'sampling.curveCount=500',
    '--set',
    'sampling.steps=20',
    '--set',
    'optimizer.learningRate=1e-2',
  ];

  it.each(['eam', 'am'])('comes closer to the exact answer with %s, and says how close', async (algorithm) => {
    const { code, stdout, stderr } = await run(
      '--problem',
      'overlapping',
      '--algorithm',
      algorithm,
      '--seeds',
      '3,4',
      '--steps',
      '40',
      '--evaluate-every',
      '20',
      ...small,
      '--json',
    );
    expect(stderr).toContain('seed 4');
    expect(code).toBe(0);
    expect(stdout.trim()).not.toContain('\n');
    const result = JSON.parse(stdout) as FidelityResult;
    expect(result.exact.reward).toBeCloseTo(2.0871, 4);
    expect(result.exact.pretrainedReward).toBeCloseTo(-0.87, 6);
    expect(result.settings.algorithm).toMatchObject({ name: algorithm, lambda: 1 });
    expect(result.runs.map(({ seed }) => seed)).toEqual([3, 4]);
    for (const reached of result.runs) {
      expect(Math.abs(reached.reward - 2.0871)).toBeLessThan(1);
      expect(Math.abs(result.pretrained.reward - 2.0871)).toBeGreaterThan(2.5);
      expect(reached.mmdSquared).toBeLessThan(result.pretrained.mmdSquared / 5);
      expect(reached.kl).toBeLessThan(result.pretrained.kl / 3);
      expect(reached.modeWeights).toHaveLength(4);
      expect(reached.modeWeights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 6);
      expect(reached.forwards).toBeGreaterThan(0);
      expect(reached.vjps).toBeGreaterThan(0);
      expect(reached.backwards).toBeGreaterThan(0);
      expect(reached.seconds).toBeGreaterThan(0);
      expect(reached.curve.map(({ step }) => step)).toEqual([0, 20, 40]);
      expect(reached.curve[0]).toMatchObject({ forwards: 0, seconds: 0, reward: result.pretrained.reward });
      expect(reached.curve[2]!.forwards).toBe(reached.forwards);
      expect(reached.curve[2]!.seconds).toBeGreaterThan(reached.curve[1]!.seconds);
    }
    expect(Math.abs(result.floor.mmdSquared)).toBeLessThan(5e-3);
    expect(result.summary.reward.mean).toBeCloseTo((result.runs[0]!.reward + result.runs[1]!.reward) / 2, 10);
  });

  it('trains the same network on exact samples, once a seed, unless told not to', async () => {
    const path = file(sound);
    const args = ['--problem', path, '--steps', '60', '--modes', ...small];
    const { code, stdout, stderr } = await run(...args, '--seeds', '2');
    expect(code).toBe(0);
    const { settings, runs, oracle, exact, pretrained } = JSON.parse(stdout) as FidelityResult;
    expect(settings).toMatchObject({ oracle: true, algorithm: { modes: { gain: 8 }, C: 0.6 } });
    expect(oracle!.runs.map(({ seed }) => seed)).toEqual([0, 1]);
    expect(oracle!.runs[0]).toMatchObject({ forwards: 60 * 4 * 64, vjps: 0, backwards: 60 * 4 * 64 });
    expect(Math.abs(oracle!.summary.reward.mean - exact.reward)).toBeLessThan(
      Math.abs(pretrained.reward - exact.reward) / 2,
    );
    for (const { modeWeights, totalVariation } of [...runs, ...oracle!.runs]) {
      const differences = modeWeights.map((weight, mode) => Math.abs(weight - exact.modeWeights[mode]!));
      expect(totalVariation).toBeCloseTo(differences.reduce((sum, value) => sum + value) / 2, 12);
    }
    expect(stderr).toMatch(/^oracle 1 /m);

    const without = await run(...args, '--no-oracle');
    const alone = JSON.parse(without.stdout) as FidelityResult;
    expect(alone).not.toHaveProperty('oracle');
    expect(alone.runs[0]!.reward).toBe(runs[0]!.reward);
  });

  it('reads a problem file of any dimension, equal weights and no reward terms but one', async () => {
    const path = file({
      means: [
        [0, 0, 1],
        [1, 0, 0],
      ],
      std: 0.5,
      reward: { linear: [1, 0, 0] },
      lambda: 0.5,
    });
    const { code, stdout } = await run('--problem', path, '--steps', '2', ...small, '--quiet');
    expect(code).toBe(0);
    const { problem: read } = JSON.parse(stdout) as FidelityResult;
    expect(read).toMatchObject({ weights: [0.5, 0.5], reward: { quadratic: [0, 0, 0], center: [0, 0, 0] } });
  });

  const sound = {
    means: [
      [0, 0],
      [1, 1],
    ],
    std: 1,
    reward: { linear: [1, 0] },
    lambda: 1,
  };
  it.each([
    { value: { ...sound, std: 0 }, message: /std: expected a number above 0, got 0/ },
    { value: { ...sound, means: [[0, 0], [1]] }, message: /means\[1\]: expected 2 numbers, as many as means\[0\]/ },
    { value: { ...sound, weights: [1] }, message: /weights: expected 2 numbers, as many as there are means/ },
    { value: { ...sound, weights: [1, 0] }, message: /weights\[1\]: expected a number above 0/ },
    { value: { ...sound, reward: { linear: [1] } }, message: /reward\.linear: expected 2 numbers/ },
    { value: { ...sound, reward: { linaer: [1, 0] } }, message: /reward\.linaer: unknown key; did you mean "linear"/ },
    {
      value: { ...sound, reward: { quadratic: [0, -2] } },
      message: /reward\.quadratic\[1\]: expected a number above -1, .*, got -2$/m,
    },
    { value: { ...sound, lambda: 'much' }, message: /lambda: expected a number/ },
  ])('refuses $value', async ({ value, message }) => {
    const { code, stderr, stdout } = await run('--problem', file(value), '--quiet');
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
    expect(stdout).toBe('');
  });

  it.each([
    { args: ['--set', 'algorithm.C=0.4'], message: /algorithm\.C: expected a number above 0\.5/ },
    {
      args: ['--set', 'algorithm.lambda=3'],
      message: /algorithm\.lambda: expected the problem's lambda, 1, got 3: change it there/,
    },
    { args: ['--set', 'algorithm=3'], message: /algorithm: expected an object, got 3/ },
    { args: ['--set', 'network.breadth=3'], message: /network\.breadth: unknown key/ },
    { args: ['--seeds', '0'], message: /--seeds/ },
    { args: ['--modes', '--algorithm', 'am'], message: /algorithm\.modes: unknown key/ },
    { args: ['--algorithm', 'ppo'], message: /Allowed choices are eam, am/ },
  ])('ends with bad usage for $args', async ({ args, message }) => {
    const { code, stderr } = await run('--problem', 'overlapping', '--quiet', ...args);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  it('says which file it could not read', async () => {
    const { code, stderr } = await run('--problem', 'overlaping');
    expect(stderr).toMatch(/cannot read overlaping/);
    expect(code).toBe(2);
  });
});

describe('fidelity', () => {
  const asked = async (algorithm: api.Algorithm) => ({
    problem: await api.readProblem('overlapping'),
    settings: {
      algorithm,
      optimizer: { learningRate: 1e-2 },
      steps: 1,
      batch: 4,
      evaluateEvery: 1,
      oracle: false,
      sampling: { count: 10, curveCount: 10, steps: 2 },
    },
  });

  it('takes an algorithm that a program made', async () => {
    const { settings, runs } = await api.fidelity(await asked(api.eam({ steps: 5, lambda: 1 })));
    expect(settings.algorithm).toMatchObject({ name: 'eam', steps: 5, lambda: 1 });
    expect(runs).toHaveLength(1);
  });

  it("refuses one whose lambda is not the problem's", async () => {
    await expect(api.fidelity(await asked(api.eam({ lambda: 3 })))).rejects.toThrow(
      "algorithm.lambda: expected the problem's lambda, 1, got 3: change it there",
    );
  });
});
