// The page of one run or of several, as the file that it is.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from 'vitest';

import { gridsWithin } from '../../lib/jobs/report/grids.js';
import { pageData } from '../../lib/jobs/report/page-data.js';
import { readRunView } from '../../lib/jobs/report/run-view.js';
import { report } from '../../lib/jobs/report/write-report.js';
import { eam } from '../helpers/command-line.js';
import { config, evaluation, grid, runFolder, stepMetrics } from '../helpers/run-folders.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const finished = { state: 'finished', versions: { 'eam-torch': '9.9.9' } };
const pageOf = async (...directories: string[]) =>
  readFileSync(await report(directories, { output: join(temporaryFolder(), 'page.html') }), 'utf8');
const dataOf = (html: string) => JSON.parse(/id="metrics">(.*?)<\/script>/s.exec(html)![1]!);
const headings = (html: string) => [...html.matchAll(/<h2 id="([\w-]+)"/g)].map((match) => match[1]);

describe('the page of a run', () => {
  it('is one file that needs nothing else', async () => {
    const html = await pageOf(runFolder({ evaluation, status: finished }));
    expect(html).toMatch(/^<!doctype html>/);
    expect(html).not.toMatch(/(src|href)="(?!data:)/);
    expect(html).not.toMatch(/@import|url\(/);
    for (const shade of [0, 10, 20, 30])
      expect(html.split(Buffer.from(grid(shade)).toString('base64'))).toHaveLength(2);
    expect(html).toContain('var uPlot=');
    expect(html).toContain('eam-torch 9.9.9');
  });

  it('lets no text from the run become markup', async () => {
    const problem = '<b>bold</b>';
    const html = await pageOf(runFolder({ name: 'a <b>"quoted"', status: { ...finished, state: 'failed', problem } }));
    expect(html).not.toContain('<b>');
    expect(html).not.toContain('<script>alert');
    expect(html).toContain('a &#60;b&#62;&#34;quoted&#34;');
  });

  it('carries the figures of every step, against each axis', async () => {
    const { runs, charts } = dataOf(await pageOf(runFolder()));
    const [{ axes }] = runs;
    expect(axes.steps).toEqual(Array.from({ length: 30 }, (_, at) => at + 1));
    expect(axes.evaluations.at(-1)).toBe(4500);
    expect(axes.seconds.at(-1)).toBeCloseTo(21);
    expect(charts.map(({ key }: { key: string }) => key)).toEqual([
      'reward',
      'rewards/digit-classifier',
      'rewards/stroke-weight',
      'weightedRewards',
      'drift',
      'loss',
      'gradNorm',
    ]);
    const lines = Object.fromEntries(charts.map(({ key, lines }: { key: string; lines: object[] }) => [key, lines]));
    expect(lines['loss'][0].values[3]).toBeNull();
    expect(lines['drift'][0].values.filter((value: number | null) => value !== null)).toHaveLength(6);
    expect(lines['rewards/digit-classifier'][0].values[29]).toBe(-29 - 1);
    expect(lines['weightedRewards'][0]).toMatchObject({ name: 'digit-classifier', run: 0 });
    expect(lines['weightedRewards'][0].values[29]).toBe(-60);
    expect(lines['reward'][0].spread[0]).toBe(1);
  });

  it('adds up what steps took where no totals are logged', async () => {
    const lines = [1, 2].map((step) => JSON.stringify({ step, loss: 1, forwards: 10, backwards: 5, seconds: step }));
    const { runs, charts } = dataOf(await pageOf(runFolder({ lines })));
    expect(runs[0].axes).toEqual({ steps: [1, 2], evaluations: [15, 30], seconds: [1, 2] });
    expect(charts.map(({ key }: { key: string }) => key)).toEqual(['loss']);
  });

  it('shows dropped samples where there were any', async () => {
    const lines = [0, 3].map((dropped, at) => JSON.stringify({ ...stepMetrics(at + 1), dropped }));
    const { charts } = dataOf(await pageOf(runFolder({ lines })));
    expect(charts.at(-1)).toMatchObject({ key: 'dropped', lines: [{ values: [0, 3] }] });
  });

  it('shows the evaluation, and headings in order', async () => {
    const html = await pageOf(runFolder({ evaluation, status: finished }));
    expect(html).toContain('+2.00 σ');
    expect(html).toContain('<td>90.0 %</td><td>95.0 %</td><td>+5.0 points</td>');
    expect(html.match(/<h1/g)).toHaveLength(1);
    expect(headings(html)).toEqual(['samples', 'training', 'evaluation', 'configuration']);
  });

  it.each([
    { what: 'nothing but a configuration', folder: { lines: [], grids: {} } },
    { what: 'metrics of other types', folder: { lines: ['{"step":1,"reward":"x","rewards":3,"total":null}'] } },
    { what: 'a configuration of other types', folder: { config: { steps: 'x', prompts: 3, model: null, samples: 1 } } },
  ])('is written of a run with $what', async ({ folder }) => {
    expect(await pageOf(runFolder(folder))).toContain('</html>');
  });

  it.each([
    {
      state: 'stopped',
      problem: 'interrupted by SIGINT',
      text: /Stopped after 30 of 60 steps: interrupted by SIGINT;/,
    },
    { state: 'stopped', text: /to go on: eam finetune \S+\/run --resume/ },
    { state: 'failed', problem: 'no memory', text: /Failed after 30 of 60 steps: no memory/ },
  ])('says that a run $state', async ({ text, ...status }) => {
    const folder = runFolder({ config: { ...config, steps: 60 }, status: { ...status, versions: {} } });
    expect(await pageOf(folder)).toMatch(text);
  });
});

describe('the page of several runs', () => {
  const other = { ...config, algorithm: { name: 'eam', lambda: 20 }, output: '/elsewhere' };

  it('has their curves, figures and the settings that differ', async () => {
    const runs = [
      runFolder({ name: 'a', evaluation, status: finished }),
      runFolder({ name: 'b', config: other, lines: [JSON.stringify({ ...stepMetrics(1), rewards: { third: 1 } })] }),
    ];
    const html = await pageOf(...runs);
    const { runs: drawn, charts } = dataOf(html);
    expect(drawn.map(({ name }: { name: string }) => name)).toEqual(['a', 'b']);
    expect(charts[0].lines.map(({ run, values }: { run: number; values: object[] }) => [run, values.length])).toEqual([
      [0, 30],
      [1, 1],
    ]);
    expect(charts.map(({ key }: { key: string }) => key)).toContain('rewards/third');
    expect(headings(html)).toEqual(['figures', 'samples', 'training', 'settings', 'configuration']);
    expect(html).toMatch(/<tr><th scope="row">algorithm.lambda<\/th><td>12<\/td><td>20<\/td><\/tr>\n<\/tbody>/);
    expect(html).toContain('<th scope="row">steps</th><td>30 steps</td><td>1 of 30 steps</td>');
    expect(html).toMatch(/evaluation: reward<\/th><td>-1.000 ± 0.500 → 0.000 ± 0.400\n\+2.00 σ<\/td><td>–<\/td>/);
  });

  it.each([
    { what: 'other settings of training', config: other, noise: 'of all runs start from the same noise' },
    {
      what: 'another seed',
      config: { ...config, samples: { ...config.samples, seed: 2 } },
      noise: 'samples.seed differs',
    },
    { what: 'other prompts', config: { ...config, prompts: ['4'] }, noise: 'prompts differs' },
    {
      what: 'another number and solver',
      config: { ...config, samples: { ...config.samples, count: 4, solver: 'heun' } },
      noise: 'samples.count, samples.solver differ',
    },
    { what: 'another model', config: { ...config, model: 'other' }, noise: 'model differs' },
  ])('says of runs with $what that $noise', async ({ config, noise }) => {
    expect(await pageOf(runFolder({ name: 'a' }), runFolder({ name: 'b', config }))).toContain(noise);
  });

  it.each([
    { what: 'one picture', first: 0, one: true },
    { what: 'two pictures', first: 5, one: false },
  ])('takes $what of pretrained models for one model: $one', async ({ first, one }) => {
    const b = runFolder({ name: 'b', grids: { 0: grid(first), 10: grid(11) } });
    expect(dataOf(await pageOf(runFolder({ name: 'a' }), b)).onePretrained).toBe(one);
  });

  it('names runs by as much of their paths as tells them apart', async () => {
    const [one, two] = [runFolder(), runFolder()];
    const { runs } = dataOf(await pageOf(one, two, runFolder({ name: 'third' })));
    expect(runs.map(({ name }: { name: string }) => name)).toEqual(
      [one, two].map((path) => path.split('/').slice(-2).join('/')).concat(expect.stringMatching(/.+\/third$/)),
    );
  });
});

describe('large grids', () => {
  it('are named where they are past the room for them, but for the first, the last and some between', async () => {
    const steps = Array.from({ length: 9 }, (_, at) => at * 10);
    const directory = runFolder({ grids: Object.fromEntries(steps.map((step) => [step, grid(step)])) });
    const views = [await readRunView(directory)];
    const page = join(directory, '..', 'other', 'page.html');
    const sources = async (room: number) => {
      const { runs } = await pageData(views, await gridsWithin(views, page, room));
      return runs[0]!.grids.map(({ step, src }) => (src!.startsWith('data:image/png;base64,') ? step : src));
    };
    const size = grid(0).length + 10;
    expect(await sources(9 * size)).toEqual(steps);
    const address = (step: number) => `../run/samples/step-${step}.png`;
    expect(await sources(5 * size)).toEqual([0, address(10), 20, address(30), 40, address(50), 60, address(70), 80]);
    expect(await sources(1)).toEqual([0, ...steps.slice(1, -1).map(address), 80]);
  });

  it('are left out where they are gone since they were listed', async () => {
    const directory = runFolder();
    const views = [await readRunView(directory)];
    rmSync(join(directory, 'samples', 'step-20.png'));
    const { runs } = await pageData(views, await gridsWithin(views, join(directory, 'report.html')));
    expect(runs[0]!.grids.map(({ step }) => step)).toEqual([0, 10, 30]);
  });
});

describe('eam report', () => {
  const home = process.cwd();
  afterEach(() => process.chdir(home));

  it("writes a run's page into its folder, and tells where", async () => {
    const directory = runFolder();
    const page = join(directory, 'report.html');
    expect(await eam('report', directory)).toEqual({ code: 0, stdout: `${page}\n`, stderr: '' });
    expect(readFileSync(page, 'utf8')).toContain('<h1>run</h1>');
  });

  it("writes several runs' page into the working directory, but not over another's file", async () => {
    const runs = [runFolder({ name: 'a' }), runFolder({ name: 'b' })];
    process.chdir(temporaryFolder());
    for (let time = 0; time < 2; time++) expect(await report(runs)).toBe('report.html');
    writeFileSync('report.html', 'mine');
    await expect(report(runs)).rejects.toThrow('report.html is not overwritten: it is no report of eam-torch');
    expect(readFileSync('report.html', 'utf8')).toBe('mine');
    expect(await report(runs, { output: 'report.html' })).toBe('report.html');
    expect(readFileSync('report.html', 'utf8')).toContain('</html>');
  });

  it.each([
    { what: 'no run', args: ['/no/such/run'], message: /\/no\/such\/run: expected a run's folder/ },
    { what: 'a run twice', args: ['RUN', 'RUN/'], message: /report: expected each run once, got \S+ twice/ },
    { what: 'a folder for the page', args: ['RUN', '--output', 'RUN'], message: /a file is to be written there/ },
    { what: 'a page below a file', args: ['RUN', '--output', 'RUN/config.json/x'], message: /is a file, not a direc/ },
  ])('refuses $what', async ({ args, message }) => {
    const directory = runFolder();
    const { code, stdout, stderr } = await eam('report', ...args.map((word) => word.replace('RUN', directory)));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it('says how it is used', async () => {
    expect((await eam('report')).code).toBe(2);
    await expect(report([])).rejects.toThrow('report: directories: expected an array of at least 1 items');
    await expect(report(runFolder(), { outptu: 'x' } as object)).rejects.toThrow(/did you mean "output"/);
  });
});
