import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';

import { evaluationTable } from '../../lib/jobs/report/evaluation-table.js';
import type { Evaluation } from '../../lib/training/evaluation.js';
import { observe } from '../../lib/jobs/progress.js';
import { duration } from '../../lib/jobs/text.js';
import { renderReport, type ReportedStep } from '../../lib/jobs/report/report.js';

const metrics: ReportedStep[] = Array.from({ length: 30 }, (_, at) => ({
  step: at + 1,
  reward: -3 + at / 10,
  rewardStd: 1,
  rewards: { 'digit-classifier': -at, 'stroke-weight': at },
  weightedRewards: { 'digit-classifier': -2 * at, 'stroke-weight': at / 2 },
  loss: at === 3 ? NaN : 1 / (at + 1),
  gradNorm: 0.5,
  ...(at % 5 === 4 && { drift: at / 100 }),
  total: { forwards: 100 * (at + 1), vjps: 0, backwards: 50 * (at + 1), seconds: 0.7 * (at + 1) },
}));

const evaluation: Evaluation = {
  count: 512,
  seed: '2',
  before: {
    reward: { mean: -1, std: 0.5 },
    rewards: { a: { mean: 1, std: 2 }, b: { mean: 0, std: 1 } },
    accuracy: 0.9,
    diversity: 4,
  },
  after: {
    reward: { mean: 0, std: 0.4 },
    rewards: { a: { mean: 2, std: 2 }, b: { mean: -1, std: 1 } },
    accuracy: 0.95,
    diversity: 3,
  },
  gain: 2,
  diversityRatio: 0.75,
};

const png = encode({ width: 2, height: 1, channels: 1, data: Uint8Array.of(0, 255) });

const render = (change: object = {}) =>
  renderReport({
    title: 'runs/a <b>"quoted"</b>',
    config: {
      model: 'digits',
      batch: 32,
      prompts: ['</script><script>alert(1)</script>', '3'],
      algorithm: { name: 'eam' },
    },
    metrics,
    evaluation,
    grids: [
      { step: 0, png },
      { step: 30, png },
    ],
    versions: { 'eam-torch': '0.1.0' },
    finished: new Date(0),
    ...change,
  });

describe('the report', () => {
  it('is one file that needs nothing else', async () => {
    const html = await render();
    expect(html).toMatch(/^<!doctype html>/);
    expect(html).not.toMatch(/(src|href)="(?!data:)/);
    expect(html).not.toMatch(/@import|url\(/);
    expect(html.match(/data:image\/png;base64,/g)).toHaveLength(2);
    expect(html).toContain(Buffer.from(png).toString('base64'));
    expect(html).toContain('var uPlot=');
  });

  it('lets no text from the run become markup', async () => {
    const html = await render();
    expect(html).not.toContain('<b>');
    expect(html).not.toContain('<script>alert');
    expect(html).toContain('runs/a &#60;b&#62;');
  });

  it('carries the figures of every step, against each axis', async () => {
    const html = await render();
    const embedded = /id="metrics">(.*?)<\/script>/s.exec(html)![1]!;
    const data = JSON.parse(embedded);
    expect(data.axes.steps).toEqual(metrics.map(({ step }) => step));
    expect(data.axes.evaluations.at(-1)).toBe(4500);
    expect(data.axes.seconds.at(-1)).toBeCloseTo(21);
    expect(data.loss[3]).toBeNull();
    expect(data.drift.filter((value: number | null) => value !== null)).toHaveLength(6);
    expect(data.rewards.map(({ name }: { name: string }) => name)).toEqual(['digit-classifier', 'stroke-weight']);
    expect(data.rewards[0].values[29]).toBe(-29);
    expect(data.rewards[0].weighted[29]).toBe(-58);
  });

  it('shows the evaluation, and headings in order', async () => {
    const html = await render();
    expect(html).toContain('+2.00 σ');
    expect(html).toContain('<td>90.0 %</td><td>95.0 %</td><td>+5.0 points</td>');
    expect(html.match(/<h1/g)).toHaveLength(1);
    expect([...html.matchAll(/<h2 id="(\w+)"/g)].map((match) => match[1])).toEqual([
      'samples',
      'training',
      'evaluation',
      'configuration',
    ]);
  });

  it('does without an evaluation and without steps', async () => {
    const html = await render({ evaluation: undefined, metrics: [] });
    expect([...html.matchAll(/<h2 id="(\w+)"/g)].map((match) => match[1])).toEqual(['samples', 'configuration']);
  });
});

describe('the evaluation table', () => {
  it('lines its columns up', () => {
    const lines = evaluationTable(evaluation).split('\n');
    expect(lines).toHaveLength(6);
    expect(new Set(lines.map((line) => line.length)).size).toBe(1);
    expect(lines[1]).toMatch(/^reward +-1\.000 ± 0\.500 +0\.000 ± 0\.400 +\+2\.00 σ$/);
    expect(lines[3]).toContain('−1.00 σ');
    expect(lines[5]).toMatch(/diversity +4\.000 +3\.000 +× 0\.75/);
  });
});

describe('the progress of a run', () => {
  it('writes plain lines where there is no terminal', () => {
    let text = '';
    const observer = observe({
      isTTY: false,
      write(line: string) {
        text += line;
        return true;
      },
    } as unknown as NodeJS.WriteStream);
    observer.note('hello');
    observer.begin(3, 0);
    for (const step of [1, 2, 3]) observer.advance(step, { reward: -1.23456, loss: 0.00001 }, 100);
    observer.end();
    const lines = text.trimEnd().split('\n');
    // The first and the last step; those between fall within the interval.
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(/^step 1\/3 {2}reward -1\.235 {2}loss 1\.0e-5 {2}\d+ evaluations\/s {2}\d+s left$/);
    expect(lines[2]).toMatch(/^step 3\/3 .* 0s left$/);
    text = '';
    observer.begin(2, 0, 'image');
    observer.advance(2, {});
    expect(text).toMatch(/^image 2\/2 {2}\d+\.\d\d images\/s {2}0s left\n$/);
  });

  it.each([
    { seconds: 12.4, text: '12s' },
    { seconds: 75, text: '1m15s' },
    { seconds: 3720, text: '1h02m' },
  ])('writes $seconds seconds as $text', ({ seconds, text }) => {
    expect(duration(seconds)).toBe(text);
  });
});
