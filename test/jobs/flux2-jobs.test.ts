// The jobs that compare and measure, with FLUX.2 [klein] on the tiny directory.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { Comparison } from '../../lib/jobs/compare/comparison.js';
import type { Diff } from '../../lib/jobs/diff/result.js';
import { eam } from '../helpers/command-line.js';
import { metricsOf } from '../helpers/distill.js';
import { lines, promptsOf } from '../helpers/evaluation-files.js';
import { otherFlux2, tinyFlux2 } from '../helpers/flux2.js';
import { finetune } from '../helpers/jobs.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const adapter = join(tinyFlux2, 'lora_peft');
const small = { image: { width: 8, height: 8 }, textLength: 8, prompts: ['a red fox', 'the moon'] };

/** A file of a configuration, and the directory that the job writes to. */
function configured(config: object): { file: string; output: string } {
  const folder = temporaryFolder();
  const [file, output] = [join(folder, 'config.json'), join(folder, 'out')];
  writeFileSync(file, JSON.stringify({ model: tinyFlux2, ...small, ...config, output }));
  return { file, output };
}

describe('eam compare of FLUX.2', () => {
  it('trains two contenders and judges them', async () => {
    const algorithm = { name: 'eam', solver: 'euler', renoisings: 1, delta: 0.3 };
    const { file, output } = configured({
      adapter: { rank: 2, alpha: 2 },
      rewards: [{ name: 'stroke-weight' }],
      contenders: [
        { name: 'two steps', learningRate: 1e-2, algorithm: { ...algorithm, steps: 2 } },
        { name: 'three steps', learningRate: 1e-2, algorithm: { ...algorithm, steps: 3 } },
      ],
      batch: 2,
      budget: { steps: 1 },
      seeds: [1],
      tracking: { points: 1, count: 2, steps: 2 },
      evaluation: { count: 2, steps: 2 },
      samples: { count: 2, columns: 2, steps: 2 },
    });
    expect(await eam('compare', file, '--quiet')).toMatchObject({ code: 0 });
    const report = readFileSync(join(output, 'report.html'), 'utf8');
    expect([report.includes('two steps'), report.includes('three steps')]).toEqual([true, true]);
    const { contenders } = JSON.parse(readFileSync(join(output, 'compare.json'), 'utf8')) as Comparison;
    expect(contenders.map(({ name, runs }) => [name, runs.length])).toEqual([
      ['two steps', 1],
      ['three steps', 1],
    ]);
  });
});

describe('eam distill of FLUX.2', () => {
  it('trains an adapter that draws without guidance', async () => {
    const { file, output } = configured({
      adapter: { rank: 2, alpha: 2 },
      teacher: { guidance: 4, steps: 2, solver: 'euler' },
      timesEach: 1,
      steps: 2,
      batch: 2,
      samples: { count: 2, columns: 2 },
    });
    expect(await eam('distill', file, '--quiet')).toMatchObject({ code: 0 });
    const metrics = metricsOf(output);
    expect(metrics).toHaveLength(2);
    for (const { loss } of metrics) expect(loss).toBeGreaterThan(0);
  });

  it('is refused for a model that was distilled already', async () => {
    const { file } = configured({ model: otherFlux2('single-only'), teacher: { guidance: 4, steps: 2 }, steps: 1 });
    const { code, stderr } = await eam('distill', file, '--quiet');
    expect([code, stderr]).toEqual([2, expect.stringContaining('cannot be guided')]);
  });
});

describe('eam evaluate of FLUX.2', () => {
  it('scores what the model draws with an adapter', async () => {
    const out = join(temporaryFolder(), 'scores.jsonl');
    const what = ['--model', tinyFlux2, '--adapter', adapter, '--reward', 'stroke-weight', '--samples', '2'];
    const how = ['--width', '8', '--text-length', '8', '--steps', '2', '--seed', '5', '--quiet'];
    const run = await eam('evaluate', ...what, ...how, '--prompts', promptsOf('a fox', 'the moon'), '--out', out);
    expect([run.code, run.stdout]).toEqual([0, expect.stringMatching(/stroke-weight +4 /)]);
    const scores = lines(out) as { prompt: string; scores: Record<string, number> }[];
    expect(scores.map(({ prompt }) => prompt)).toEqual(['a fox', 'a fox', 'the moon', 'the moon']);
    for (const sample of scores) expect(Number.isFinite(sample.scores['stroke-weight'])).toBe(true);
  });
});

describe('eam diff of FLUX.2', () => {
  it('shows what a run changed', async () => {
    const output = join(temporaryFolder(), 'run');
    await finetune({
      model: tinyFlux2,
      ...small,
      adapter: { rank: 2, alpha: 2 },
      rewards: [{ name: 'stroke-weight' }],
      algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 1, delta: 0.3 },
      optimizer: { learningRate: 0.05 },
      ...{ steps: 1, batch: 2, samples: { count: 1, steps: 1 }, evaluation: { count: 2, steps: 2 }, output },
    });
    const { code, stdout } = await eam('diff', output, '--count', '2', '--show', '1', '--quiet', '--json');
    expect(code).toBe(0);
    const { count, notFinite, samples } = JSON.parse(stdout) as Diff;
    expect([count, notFinite]).toEqual([2, 0]);
    for (const { change } of samples) expect(change).toBeGreaterThan(0);
    expect(readFileSync(join(output, 'diff.html'), 'utf8').match(/<img /g)).toHaveLength(3);
  });
});
