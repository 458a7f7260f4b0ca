import { readFileSync } from 'node:fs';

import { expect, it } from 'vitest';

import { evaluationTable } from '../../lib/jobs/report/evaluation-table.js';
import { evaluate } from '../../lib/training/evaluation.js';
import { loadModel } from '../../lib/models/registry.js';
import { report } from '../../lib/jobs/report/write-report.js';
import { runFolder } from '../helpers/run-folders.js';
import type { Judge, Reward } from '../../lib/rewards/reward.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

const constant = (name: string, value: number): Reward => ({
  name,
  score: async (_, prompts) => ({ values: new Float32Array(prompts.length).fill(value) }),
});

it('the evaluation has no gain over rewards that do not vary, and no ratio to no diversity', async () => {
  using model = await loadModel(await tinyModelDirectory(), { adapter: tinyAdapter });
  const judge: Judge = {
    name: 'blind',
    judge: async (_, prompts) => ({
      matches: prompts.map(() => true),
      features: Tensor.from(new Float32Array(2 * prompts.length), [prompts.length, 2]),
    }),
  };
  const inner = constant('flat', 1);
  const reward: Reward = {
    name: 'both',
    score: async (...args) => ({
      ...(await inner.score(...args)),
      parts: { a: new Float32Array(args[1].length), b: new Float32Array(args[1].length).fill(1) },
    }),
  };
  const evaluation = await evaluate(model, {
    reward,
    judge,
    prompts: ['0', '1'],
    count: 4,
    seed: 1n,
    steps: 2,
    solver: 'euler',
    guidance: 1,
  });
  expect(evaluation).toMatchObject({
    gain: null,
    diversityRatio: null,
    before: { reward: { mean: 1, std: 0 }, diversity: 0 },
  });
  expect(JSON.parse(JSON.stringify(evaluation))).toEqual(evaluation);

  const lines = evaluationTable(evaluation).split('\n');
  for (const name of ['reward', 'a', 'b', 'diversity'])
    expect(lines.find((line) => line.startsWith(`${name} `))).toMatch(/ –$/);
  const html = readFileSync(await report(runFolder({ evaluation })), 'utf8');
  expect(html).toContain('<strong>–</strong><span>reward</span>');
  expect(html).toContain('<strong>–</strong><span>of the diversity kept</span>');
  expect(html).not.toMatch(/\b(Infinity|NaN)\b σ/);
});
