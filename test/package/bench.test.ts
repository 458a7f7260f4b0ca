// The benchmarks run from end to end and write what docs/performance.md says; nothing here says anything about speed.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'eam-bench-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('npm run bench -- --quick writes a CSV in which everything is compared', () => {
  const output = join(folder, 'results.csv');
  const run = spawnSync(
    process.execPath,
    [join(root, 'benchmarks', 'run.mjs'), '--quick', '--only', 'kernels,iteration,trainer', '--output', output],
    {
      encoding: 'utf8',
      cwd: root,
    },
  );
  expect(run.status, run.stderr).toBe(0);
  const [header, ...lines] = readFileSync(output, 'utf8').trim().split('\n');
  expect(header).toBe(
    'date,machine,revision,libtorch,node,section,name,variant,dtype,elements,threads,repeats,unit,p20,p50,p80',
  );
  const rows = lines.map((line) => {
    const fields = line.split(',');
    expect(fields).toHaveLength(16);
    return Object.fromEntries(header!.split(',').map((name, i) => [name, fields[i]!]));
  });

  const steps = rows.filter((row) => row['name'] === 'fused step');
  for (const dtype of ['float32', 'float64', 'bfloat16', 'float16']) {
    const variants = steps.filter(
      (row) => row['dtype'] === dtype && row['threads'] === '1' && row['elements'] === '2000',
    );
    expect(variants.map((row) => row['variant'])).toEqual([
      'ours',
      'ours into new tensors',
      'ours drawing twice',
      'libtorch',
      'copy',
      'generator',
    ]);
  }
  for (const row of rows.filter((entry) => entry['unit'] !== 'share')) {
    const [low, median, high] = ['p20', 'p50', 'p80'].map((name) => Number(row[name]));
    expect(low).toBeGreaterThan(0);
    expect(median).toBeGreaterThanOrEqual(low!);
    expect(high).toBeGreaterThanOrEqual(median!);
    expect(high).toBeLessThan(Infinity);
  }
  const share = (part: string): number =>
    Number(rows.find((row) => row['variant'] === part && row['unit'] === 'share')!['p50']);
  for (const part of ['forward', 'backward', 'kernels', 'optimizer', 'TypeScript and reward']) {
    expect(share(part)).toBeGreaterThan(0);
    expect(share(part)).toBeLessThan(1);
  }
  expect(run.stdout).toContain('| fused step | float32 | 2000 | 1 |');
});

// Two Heun steps while rolling out, of the first with guidance.
it.each([
  { name: 'sd3', rollout: 8 },
  { name: 'flux2', rollout: 4 },
])('the benchmark $name takes an iteration apart, beside its plan', ({ name, rollout }) => {
  const output = join(folder, `${name}.csv`);
  const run = spawnSync(
    process.execPath,
    [join(root, 'benchmarks', `${name}.mjs`), '--quick', '--device', 'cpu', '--batch', '3', '--output', output],
    { encoding: 'utf8', cwd: root },
  );
  expect(run.status, run.stderr).toBe(0);
  const rows = readFileSync(output, 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => {
      const fields = line.split(',');
      expect(fields).toHaveLength(16);
      return { name: fields[6]!.split('; ').at(-1)!, variant: fields[7]!, value: Number(fields[14]) };
    });
  const amountOf = (name: string, variant: string) =>
    rows.find((row) => row.name === name && row.variant === variant)!.value;
  const named = (variant: string) =>
    rows.filter((row) => row.variant === variant && row.name !== 'iteration').map(({ name }) => name);
  const products = ['rolling out', 'decoding', "reward's gradient to the latents", 'matching'];
  expect(named('time')).toEqual([
    'rolling out',
    'decoding',
    'reward and its gradient',
    "reward's gradient to the latents",
    'matching',
    'update',
    'the rest',
  ]);
  expect(named('operations')).toEqual(products);
  expect(named('of the product rate')).toEqual(products);
  for (const variant of ['time', 'operations']) {
    const sum = named(variant).reduce((total, name) => total + amountOf(name, variant), 0);
    expect(sum / amountOf('iteration', variant)).toBeCloseTo(1, 2);
  }
  for (const { name, value } of rows) if (name !== 'vjps') expect(value, name).toBeGreaterThan(0);
  // The rate that the shares are of is the same for every stage: in the quick run everything is float32.
  const rates = products.map(
    (name) => amountOf(name, 'operations') / amountOf(name, 'time') / amountOf(name, 'of the product rate'),
  );
  for (const rate of rates) expect(rate / rates[0]!).toBeCloseTo(1, 2);
  expect(rates[0]! / amountOf('product of large matrices', 'rate')).toBeGreaterThanOrEqual(0.999);
  // The rollout, one denoised sample and two renoisings of each of three samples.
  for (const variant of ['measured', 'planned']) {
    expect(['forwards', 'vjps', 'backwards'].map((kind) => amountOf(kind, variant))).toEqual([
      3 * (rollout + 1 + 2),
      0,
      3 * 2,
    ]);
  }
});

it('benchmarks/rewards.mjs measures a reward forward and backward, alone where there is no PyTorch', () => {
  const output = join(folder, 'rewards.csv');
  const run = spawnSync(
    process.execPath,
    [join(root, 'benchmarks', 'rewards.mjs'), '--size', 'small', '--side', '56', '--rounds', '2', '--output', output],
    {
      encoding: 'utf8',
      cwd: root,
      env: { ...process.env, EAM_BENCH_PYTHON: join(folder, 'no-python') },
    },
  );
  expect(run.status, run.stderr).toBe(0);
  expect(run.stderr).toMatch(/no comparison with PyTorch/);
  const lines = readFileSync(output, 'utf8').trim().split('\n').slice(1);
  expect(lines.map((line) => line.split(',').slice(5, 8))).toEqual([
    ['rewards', 'small ViT forward; 2 images of 56', 'ours'],
    ['rewards', 'small ViT forward and backward; 2 images of 56', 'ours'],
  ]);
  for (const line of lines) expect(Number(line.split(',').at(-2))).toBeGreaterThan(0);
});
