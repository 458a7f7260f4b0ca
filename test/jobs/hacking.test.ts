// Runs whose reward has an exploit: the panel tells before a judge that was not trained on falls by half a σ.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import type { LoggedMetrics } from '../../lib/jobs/finetune/watch.js';
import type { PanelBaseline } from '../../lib/training/panel/panel.js';
import { finetune } from '../helpers/jobs.js';
import { tinySd3 } from '../helpers/sd3.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

/** A reward Σ scale·w·x over the pixels, or −Σ scale·(x − w)², as a module. */
function exploit(weight: string, kind: 'linear' | 'distance', scale: number): { name: string; file: string } {
  const file = join(temporaryFolder(), 'exploit.mjs');
  const [value, slope] =
    kind === 'linear' ? ['weight * pixel', 'weight'] : ['-((pixel - weight) ** 2)', '-2 * (pixel - weight)'];
  writeFileSync(
    file,
    `export default ({ data, shape }) => {
  const [count, channels, height, width] = shape;
  const size = channels * height * width;
  const values = new Float32Array(count);
  const grad = new Float32Array(data.length);
  data.forEach((pixel, at) => {
    const x = at % width;
    const y = Math.floor(at / width) % height;
    const weight = ${weight};
    values[Math.floor(at / size)] += (${scale} / size) * (${value});
    grad[at] = (${scale} / size) * (${slope});
  });
  return { values, grad };
};`,
  );
  return { name: 'module', file };
}

const brightness = '1';
const checkerboard = '((x + y) % 2 ? 1 : -1)';
const fixedPicture = 'Number(Math.abs(x - width / 2) < width / 6)';

const digits = {
  model: 'digits',
  adapter: { rank: 8, alpha: 16 },
  prompts: [...'0123456789'],
  judge: {
    name: 'digit-classifier',
    directory: fileURLToPath(new URL('../../assets/digit-judge', import.meta.url)),
  },
};
const tiny = {
  model: tinySd3,
  // The default adapts attention alone, which hardly moves a model whose weights are random.
  adapter: { rank: 8, alpha: 16, targets: ['proj_out', 'ff.net.2', 'attn.to_out.0'] },
  prompts: ['a red fox', 'a boat at sea', 'two cups', 'a house'],
  judge: {
    name: 'pickscore',
    directory: fileURLToPath(new URL('../fixtures/rewards-tiny/pickscore', import.meta.url)),
  },
};

/**
 * Runs a fine-tuning that is watched at each step, and gives what it told and how far its judge had fallen by then, in
 * σ.
 */
async function hacked(
  { judge, ...config }: { model: string; adapter: object; prompts: string[]; judge: object },
  rewards: readonly object[],
  { steps, lambda, learningRate }: { steps: number; lambda: number; learningRate: number },
) {
  const { directory } = await finetune({
    ...config,
    rewards,
    algorithm: { name: 'eam', lambda, delta: 0.3, solver: 'euler', steps: 4, guidance: 1, renoisings: 2 },
    optimizer: { learningRate },
    steps,
    batch: 4,
    checkpoints: { every: 1000 },
    samples: { count: 2, columns: 2, steps: 1, guidance: 1 },
    panel: { every: 1, judges: [judge] },
    output: join(temporaryFolder(), 'run'),
  });
  const { baseline } = JSON.parse(readFileSync(join(directory, 'panel.json'), 'utf8')) as { baseline: PanelBaseline };
  const lines = readFileSync(join(directory, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => {
    const { step, reward: value, panel } = JSON.parse(line) as LoggedMetrics;
    const { mean, std } = Object.values(baseline.judges)[0]!;
    return { step, reward: value, alarms: panel!.alarms, judge: (Object.values(panel!.judges)[0]! - mean) / std };
  });
}

describe('a reward that is hacked', () => {
  it.each([
    { what: 'brightness on the digits', of: digits, weight: brightness, kind: 'linear', scale: 100 },
    { what: 'a high-frequency pattern on the digits', of: digits, weight: checkerboard, kind: 'linear', scale: 400 },
    { what: 'one fixed picture on the digits', of: digits, weight: fixedPicture, kind: 'distance', scale: 200 },
  ] as const)('is told of before the judge falls by half a σ: $what', async ({ of, weight, kind, scale }) => {
    const steps = await hacked(of, [exploit(weight, kind, scale)], { steps: 6, lambda: 12, learningRate: 2e-3 });
    const alarm = steps.find(({ alarms }) => alarms.length > 0);
    expect(alarm?.judge).toBeGreaterThan(-0.5);
  });

  it.each([
    { what: 'brightness', weight: brightness, kind: 'linear', scale: 100 },
    { what: 'a high-frequency pattern', weight: checkerboard, kind: 'linear', scale: 400 },
    { what: 'one fixed picture', weight: fixedPicture, kind: 'distance', scale: 200 },
  ] as const)('is told of on a tiny Stable Diffusion 3.5: $what', async ({ weight, kind, scale }) => {
    const steps = await hacked(tiny, [exploit(weight, kind, scale)], { steps: 5, lambda: 2000, learningRate: 2e-2 });
    const alarm = steps.find(({ alarms }) => alarms.length > 0);
    expect(alarm?.judge).toBeGreaterThan(-0.5);
  });

  it('is told from an honest one, which raises no alarm', async () => {
    const { rewards } = JSON.parse(readFileSync(new URL('../../configs/quickstart.json', import.meta.url), 'utf8'));
    const steps = await hacked(digits, rewards, { steps: 6, lambda: 12, learningRate: 2e-3 });
    expect(steps.map(({ alarms }) => alarms)).toEqual(steps.map(() => []));
  });
});
