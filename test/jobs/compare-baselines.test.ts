// Contenders that train nothing, beside the baselines, and the curves at equal cost.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import type { FinishedComparison } from '../../lib/jobs/compare/comparison.js';
import { heightAt } from '../../lib/jobs/compare/curves.js';
import { equalCost, equalCosts } from '../../lib/jobs/compare/equal-cost.js';
import type { CurvePoint, RunResult } from '../../lib/jobs/compare/results.js';
import { equalCostTitle, lossSentences } from '../../lib/jobs/compare/sentences.js';
import { equalCostTable } from '../../lib/jobs/compare/tables.js';
import { loadModel } from '../../lib/models/registry.js';
import { fromFunction } from '../../lib/rewards/from-function.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { bestBatches, measureBestOf } from '../../lib/training/best-of.js';
import { measure } from '../../lib/training/evaluation.js';
import { compare } from '../helpers/jobs.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

let directory: string;
beforeAll(async () => {
  directory = await tinyModelDirectory();
});

describe('the best of N images', () => {
  const drawing = { prompts: ['0', '1', '2', '0', '1'], seed: 4n, steps: 3, batch: 2 };
  const reward = strokeWeight({ scale: 4 });

  it('are those of the pretrained model with the highest reward, prompt by prompt', async () => {
    using model = await loadModel(directory);
    const values: number[][] = [];
    for (const candidates of [1, 2, 6]) {
      const measured: number[] = [];
      for await (const { images, prompts } of bestBatches(model, { candidates, reward, seed: 9 }, drawing)) {
        using taken = images;
        measured.push(...(await reward.score(taken, prompts)).values);
      }
      values.push(measured);
    }
    const plain = await measure(model, { ...drawing, count: 5, reward }, 'pretrained');
    expect(values[0]).toEqual(plain.samples.reward);
    for (let i = 0; i < 5; i++) {
      expect(values[1]![i]).toBeGreaterThanOrEqual(values[0]![i]!);
      expect(values[2]![i]).toBeGreaterThanOrEqual(values[1]![i]!);
    }
    expect(values[2]).not.toEqual(values[0]);
  });

  it('count every candidate, and are others for another seed', async () => {
    using model = await loadModel(directory);
    const best = async (seed: number) => measureBestOf(model, { candidates: 4, reward, seed }, undefined, drawing);
    expect((await best(1)).reward).toEqual((await best(1)).reward);
    expect((await best(1)).reward.mean).not.toBe((await best(2)).reward.mean);
    for await (const { images, forwards, prompts } of bestBatches(model, { candidates: 4, reward, seed: 1 }, drawing)) {
      images.dispose();
      expect(forwards).toBe(4 * prompts.length * (2 * 3 - 1));
    }
  });

  it('never take a value that is not a number before one that is', async () => {
    using model = await loadModel(directory);
    let call = 0;
    // The first candidate of every batch has none, later ones fall.
    const odd = fromFunction('odd', (_, prompts) => ({ values: prompts.map(() => (++call === 1 ? NaN : -call)) }));
    for await (const { images } of bestBatches(
      model,
      { candidates: 3, reward: odd, seed: 1 },
      { ...drawing, prompts: ['0'] },
    ))
      images.dispose();
    expect(call).toBe(3);
  });
});

describe('eam compare with baselines', () => {
  const config = (output: string, change: object = {}) => ({
    model: directory,
    adapter: tinyAdapter,
    prompts: ['0', '1', '2'],
    rewards: [{ name: 'stroke-weight', scale: 4 }],
    contenders: [
      { name: 'EAM', algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, delta: 0.3 } },
      { name: 'ReFL', algorithm: { name: 'refl', steps: 4, finalFraction: 0.5 } },
      { name: 'DRaFT-1', algorithm: { name: 'draft', steps: 3 } },
      { name: 'DRaFT-LV', algorithm: { name: 'draft', steps: 3, renoisings: 2 } },
      { name: 'AlignProp', algorithm: { name: 'alignprop', steps: 3 } },
      { name: 'best of 3', bestOf: 3 },
    ],
    optimizer: { emaDecay: 0.5 },
    batch: 6,
    budget: { evaluations: 200 },
    seeds: [1, 2],
    sweep: { learningRates: [1e-3, 1e-2], budget: { steps: 2 }, seed: 9 },
    tracking: { points: 2, count: 6, steps: 2, solver: 'heun' },
    evaluation: { count: 8, steps: 2 },
    samples: { count: 6, columns: 3, steps: 2 },
    output: join(temporaryFolder(), output),
    ...change,
  });

  it('runs them all, and takes them over', async () => {
    const settings = config('all');
    const { comparison, summary, report } = await compare(settings);
    expect(comparison.contenders.map(({ runs }) => runs.length)).toEqual([2, 2, 2, 2, 2, 2]);
    expect(comparison.speedUps.map(({ other }) => other)).toEqual(['ReFL', 'DRaFT-1', 'DRaFT-LV', 'AlignProp']);
    // 200 evaluations of batches of 6: DRaFT-1 takes 4 a sample, DRaFT-LV 8, ReFL 4.5, AlignProp 5, EAM 7.
    const stepsOf = (name: string) =>
      comparison.contenders.find((contender) => contender.name === name)!.runs[0]!.points.at(-1)!.step;
    expect(['EAM', 'ReFL', 'DRaFT-1', 'DRaFT-LV', 'AlignProp', 'best of 3'].map(stepsOf)).toEqual([4, 7, 8, 4, 6, 0]);
    const best = comparison.contenders.at(-1)!;
    expect(best).toMatchObject({ evaluationsPerImage: 9 });
    expect(best.learningRate).toBeUndefined();
    expect(best.runs[0]!.points).toHaveLength(1);
    expect(best.runs[0]!.points[0]).toMatchObject({ evaluations: 0, drift: 0 });
    expect(best.runs[0]!.points[0]!.reward).toBeGreaterThan(comparison.pretrained.tracking.reward.mean);
    expect(best.runs[0]!.final!.reward.mean).toBeGreaterThan(comparison.pretrained.evaluation.reward.mean);
    expect(summary).toMatch(/\| evaluations an image drawn +\|[^|]*\| +3 \| +3 \| +3 \| +3 \| +3 \| +9 \|/);
    expect(summary).toMatch(/After \d+ network evaluations, the most that every run took/);
    expect(summary).toMatch(/After \d+ seconds of training, the most that every run took/);
    expect(readFileSync(report, 'utf8')).toContain('id="equal-cost"');
    expect(readdirSync(join(settings.output, 'runs', 'best-of-3-seed-1'))).toEqual(['result.json']);

    rmSync(join(settings.output, 'runs', 'best-of-3-seed-2', 'result.json'));
    const notes: string[] = [];
    const observer = { begin() {}, advance() {}, note: (line: string) => void notes.push(line), end() {} };
    const again = await compare(settings, { resume: true, observer });
    expect(again.comparison.contenders.at(-1)!.runs).toEqual(best.runs);
    expect(notes.filter((note) => note.startsWith('best of 3'))).toEqual([
      'best of 3, seed 1 (run 6 of 12): finished before',
      'best of 3, seed 2 (run 12 of 12): measuring',
    ]);
    const other = config('', { output: settings.output });
    Object.assign(other.contenders.at(-1)!, { bestOf: 4 });
    await expect(compare(other, { resume: true })).rejects.toThrow(/of a run with other settings \(bestOf\)/);
  });
});

describe('the curves at equal cost', () => {
  const point = (step: number, evaluations: number, seconds: number, reward: number, drift: number): CurvePoint => ({
    step,
    forwards: evaluations,
    vjps: 0,
    backwards: 0,
    evaluations,
    seconds,
    reward,
    rewards: { a: reward },
    accuracy: 0.5,
    diversity: 2 * reward,
    drift,
  });
  const run = (contender: string, points: CurvePoint[], change: Partial<RunResult> = {}): RunResult => ({
    contender,
    seed: 1,
    settings: {},
    belongsTo: {},
    points,
    ...change,
  });
  const comparison = (...runs: RunResult[][]) =>
    ({
      contenders: runs.map((own) => ({ name: own[0]!.contender, runs: own })),
      pretrained: { tracking: { reward: { mean: 0 }, accuracy: 0.4, diversity: 4 } },
    }) as unknown as FinishedComparison;
  const start = point(0, 0, 0, 0, 0);
  const eam = [run('EAM', [start, point(1, 100, 4, 2, 0.2)]), run('EAM', [start, point(1, 100, 6, 4, 0.4)])];
  const draft = [run('DRaFT', [start, point(2, 50, 10, 5, 0.1)])];
  const best = [run('best', [point(0, 0, 0, 1.2, 0)])];

  it('are read on the straight line between measurements, and at the ends beyond them', () => {
    expect(heightAt([0, 10, 20], [1, 3, 2], 5)).toBe(2);
    expect(heightAt([0, 10, 20], [1, 3, 2], 20)).toBe(2);
    expect(heightAt([0], [7], 5)).toBe(7);
  });

  it('are read at the most that every run took, with one that trains nothing the same everywhere', () => {
    const evaluations = equalCost(comparison(eam, draft, best), 'evaluations')!;
    expect(evaluations.cost).toBe(50);
    expect(evaluations.measures.reward.map((summary) => summary!.mean)).toEqual([1.5, 5, 1.2]);
    expect(evaluations.measures.reward[0]).toMatchObject({ low: 1, high: 2, count: 2 });
    const seconds = equalCost(comparison(eam, draft, best), 'seconds')!;
    expect(seconds.cost).toBe(4);
    expect(seconds.measures.reward.map((summary) => summary!.mean)).toEqual([
      expect.closeTo((2 + (4 * 4) / 6) / 2),
      expect.closeTo(2),
      1.2,
    ]);
  });

  it('are a table, and sentences on where the first contender is behind', () => {
    const all = comparison(eam, draft, best);
    const [evaluations] = equalCosts(all);
    expect(equalCostTitle(evaluations!)).toBe('After 50 network evaluations');
    const { head, rows } = equalCostTable(all, evaluations!);
    expect(head).toEqual(['', 'pretrained', 'EAM', 'DRaFT', 'best']);
    expect(rows.map(([name]) => name)).toEqual([
      'reward',
      'judge sees the prompt',
      'diversity, of the pretrained',
      'drift from the pretrained',
    ]);
    expect(rows[0]).toEqual(['reward', '0.000', '1.500 ± 0.707', '5.000', '1.200']);
    expect(rows[2]!.slice(3)).toEqual(['250.0 %', '60.0 %']);
    expect(lossSentences(all, evaluations!)).toEqual([
      'After 50 network evaluations EAM is behind in reward, with 1.500, to DRaFT (5.000).',
      'After 50 network evaluations EAM is behind in diversity, with 3.000, to DRaFT (10.000).',
      'After 50 network evaluations EAM is behind in drift, with 0.150, to DRaFT (0.100), best (0.000).',
    ]);
  });

  it('leave out runs that ended early, and are none where a contender has no other', () => {
    const failed = run('DRaFT', [start, point(1, 10, 1, 9, 0)], { failure: 'it burst' });
    expect(equalCost(comparison(eam, [...draft, failed]), 'evaluations')!.cost).toBe(50);
    expect(equalCosts(comparison(eam, [failed]))).toEqual([]);
  });
});
