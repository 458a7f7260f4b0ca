// `eam reproduce` from its needs to the row beside the published ones, on tiny files.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { formatTable } from '../../lib/jobs/evaluate/table/format.js';
import type { PanelMetrics } from '../../lib/training/metrics.js';
import { reachOf95 } from '../../lib/training/student.js';
import type { Reproduction } from '../../lib/index.js';
import { eam } from '../helpers/command-line.js';
import { tinyRecipe } from '../helpers/recipe-run.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

let folder: string;
let printed: string;
let result: Reproduction;
const out = (...path: string[]) => join(folder, 'out', ...path);
const text = (...path: string[]) => readFileSync(out(...path), 'utf8');
const rowOf = (name: string) => result.rows.find((row) => row.name === name)!;

beforeAll(async () => {
  folder = temporaryFolder();
  const { code, stdout, stderr } = await eam(...tinyRecipe(folder), '--yes', '--quiet');
  expect([code, stderr]).toEqual([0, '']);
  printed = stdout;
  result = JSON.parse(text('hpdv2', 'result.json')) as Reproduction;
});

describe('eam reproduce hpdv2', () => {
  it('says first what it needs, and who gives each setting', () => {
    const needs = printed.slice(0, printed.indexOf('FlowBP-Lagrange (published)'));
    expect(needs).toMatch(/reward hpsv2: there, \S+ MB, .*rewards-tiny.hpsv2/);
    expect(needs).toContain('4 prompts of the training: there');
    expect(needs).toContain('3 prompts of the evaluation: there');
    expect(needs).toContain('2 trainings, 8 images in all; 9 images of the evaluation');
    expect(needs).toMatch(/Memory on cpu: \S+ MiB while .*, \S+ MiB in the evaluation/);
    expect(needs).toMatch(/checkpoints: \S+ MiB in .*out\n/);
    expect(needs).toContain('evaluation.guidance 3.5 (eval.guidance_scale)');
    expect(needs).toContain('steps 2 (train.max_train_steps: 19 200 images in all; published: 300)');
    expect(needs).toMatch(/Settings that are ours[\s\S]*algorithm\.lambda 5000 \(/);
  });

  it('trains ordinary runs, a seed each, on as many different prompts as images are drawn', () => {
    for (const seed of [42, 43]) {
      expect(existsSync(out(`seed-${seed}`, 'report.html'))).toBe(true);
      const config = JSON.parse(text(`seed-${seed}`, 'config.json'));
      expect(config).toMatchObject({ seed, steps: 2, batch: 2, prompts: ['a cup', 'a tree', 'a house', 'a hill'] });
      expect(config.rewards).toMatchObject([{ name: 'hpsv2', dtype: 'bfloat16', slice: 4 }]);
      expect(config.algorithm).toMatchObject({ guidance: 3.5, guidedLoss: true });
    }
  });

  it('has the published rows as their authors print them', () => {
    const published = result.rows.filter(({ kind }) => kind === 'published');
    const values = published.map(({ name, rewards }) => [name, ...Object.values(rewards).map(({ mean }) => mean)]);
    expect(values).toEqual([
      ['SD3.5-M', 0.2881, 22.5004, 0.9504],
      ['ReFL', 0.3872, 23.4021, 1.3799],
      ['DRaFT-LV', 0.3818, 23.3506, 1.3673],
      ['DRTune', 0.387, 23.2882, 1.3794],
      ['LeapAlign', 0.3924, 23.3142, 1.4425],
      ['FlowBP-Sparse', 0.3939, 23.4104, 1.4299],
      ['FlowBP-Bridge', 0.3966, 23.413, 1.4386],
      ['FlowBP-Lagrange', 0.3998, 23.504, 1.4538],
    ]);
    expect(printed).toMatch(/FlowBP-Lagrange \(published\) +0\.3998 +23\.5040 +1\.4538 +– +– +– +– +– +–\n/);
    expect(printed).toContain('published rows: Main Results of the README of github.com/RuoyuWang-2077/FlowBP');
  });

  it("has the evaluation's means of all five rewards, and their interval over the seeds", () => {
    const [base, ...seeds] = result.table.rows;
    const names = ['hpsv2', 'pickscore', 'imagereward', 'clipscore', 'aesthetic'];
    expect(result.rewards.map(({ name }) => name)).toEqual(names);
    for (const name of names) {
      expect(rowOf('SD3.5-M, here').rewards[name]).toEqual({ mean: base!.rewards[name]!.mean });
      const [one, two] = seeds.map((row) => row.rewards[name]!.mean!) as [number, number];
      expect([rowOf('EAM, seed 42'), rowOf('EAM, seed 43')].map((row) => row.rewards[name]!.mean)).toEqual([one, two]);
      const { mean, interval } = rowOf('EAM, 2 seeds').rewards[name]!;
      // Student's t with one degree of freedom: the half of the difference, times t.
      const reach = (reachOf95(1) * Math.abs(one - two)) / 2;
      expect(mean).toBeCloseTo((one + two) / 2, 12);
      expect(interval![1] - interval![0]).toBeCloseTo(2 * reach, 10);
    }
  });

  it('has what others leave out, from the panel of each run', () => {
    for (const seed of [42, 43]) {
      const lines = text(`seed-${seed}`, 'metrics.jsonl').trim().split('\n');
      const { panel } = JSON.parse(lines.at(-1)!) as { panel: PanelMetrics };
      const { baseline } = JSON.parse(text(`seed-${seed}`, 'panel.json'));
      const { diversity, drift, alarms } = rowOf(`EAM, seed ${seed}`).watched!;
      expect(diversity.mean).toBeCloseTo(panel.diversity! / baseline.diversity.mean, 12);
      expect([drift.mean, alarms]).toEqual([panel.drift, panel.alarms]);
    }
    expect(rowOf('EAM, 2 seeds').watched!.diversity.interval).toHaveLength(2);
    expect(rowOf('SD3.5-M, here').watched).toMatchObject({ diversity: { mean: 1 }, drift: { mean: 0 } });
    expect(rowOf('ReFL').watched).toBeUndefined();
  });

  it('lists what differs from the protocol, and says that the rows are not comparable', () => {
    const differs = Object.fromEntries(result.deviations.map(({ what, binding }) => [what, binding]));
    expect(differs).toMatchObject({
      model: true,
      'reward hpsv2': true,
      'prompts of the training': true,
      'prompts of the evaluation': true,
      image: true,
      batch: true,
      'evaluation.steps': true,
      adapter: false,
      'optimizer.learningRate': false,
    });
    expect(differs).not.toHaveProperty('evaluation.guidance');
    expect(printed).toMatch(/NOT COMPARABLE with the published rows: model, reward hpsv2, .*image.* differ/);
    expect(printed).toMatch(
      /prompts of the evaluation +3 of .*test\.txt +400 of datasets\/ymhao\/HPDv2\/test\.json +no/,
    );
  });

  it('writes the table as Markdown, CSV and LaTeX, with the paired figures of each training', () => {
    const page = text('hpdv2', 'table.md');
    const lines = page.replace(/ {2,}/g, ' ');
    expect(lines).toContain('| FlowBP-Lagrange (published) | 0.3998 | 23.5040 | 1.4538 | – | – | – | – | – | – |');
    expect(page).toContain(formatTable(result.table, 'markdown'));
    expect(lines).toContain('| algorithm.C | 1 | not given | ours: as configs/sd35-medium.json |');
    const csv = text('hpdv2', 'table.csv').split('\n');
    expect(csv[0]).toBe('row,kind,measure,mean,low,high');
    expect(csv).toContain('LeapAlign,published,imagereward,1.4425,,');
    expect(csv.filter((line) => line.startsWith('"EAM, 2 seeds",all seeds,'))).toHaveLength(8);
    expect(text('hpdv2', 'table.tex')).toContain('ReFL (published) & 0.3872 & 23.4021 & 1.3799 & -- & ');
    expect(text('hpdv2', 'table.tex')).toMatch(/EAM, 2 seeds & 0\.\d{4} \$\\pm\$ /);
  });

  it('computes nothing again, asks for nothing, and gives the same figures', async () => {
    const before = readFileSync(out('seed-42', 'metrics.jsonl'), 'utf8');
    const parts = () => readdirSync(out('hpdv2', 'evaluation')).sort();
    const kept = parts();
    const { code, stdout } = await eam(...tinyRecipe(folder), '--quiet', '--json');
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as Reproduction).rows).toEqual(result.rows);
    expect([readFileSync(out('seed-42', 'metrics.jsonl'), 'utf8'), parts()]).toEqual([before, kept]);
  });

  it('uses the same runs for DrawBench, five images a prompt', async () => {
    const before = readFileSync(out('seed-43', 'run.json'), 'utf8');
    const { code, stdout } = await eam(...tinyRecipe(folder, 'drawbench'), '--quiet');
    expect(code).toBe(0);
    expect(stdout).toContain('here: 15 images a model of 3 prompts');
    expect(stdout).toContain('no figures are known that were measured in this way');
    expect(stdout).not.toContain('(published)');
    expect(readFileSync(out('seed-43', 'run.json'), 'utf8')).toBe(before);
    expect(existsSync(out('drawbench', 'table.md'))).toBe(true);
  });

  it('refuses to tell figures of other settings as this recipe’s', async () => {
    const { code, stderr } = await eam(
      ...tinyRecipe(folder),
      '--set',
      'optimizer.learningRate=2e-4',
      '--yes',
      '--quiet',
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /seed-42: optimizer: expected .*0\.0002.*, got .*0\.0001.*: it is a run with other settings/,
    );
    writeFileSync(join(folder, 'other.txt'), 'a cat\n');
    const other = await eam(...tinyRecipe(folder), '--train-prompts', join(folder, 'other.txt'), '--yes', '--quiet');
    expect(other.stderr).toMatch(/seed-42: prompts: expected \["a cat"\], got \["a cup"/);
  });
});
