// Which device a job takes, what it says and records of it, and what a resumed one keeps.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { chooseDevice } from '../../lib/runtime/device.js';
import { eam } from '../helpers/command-line.js';
import { tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

const { device: here, reason } = chooseDevice('auto');
let model: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
});

let run: string;
let config: string;
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'eam-device-'));
  run = join(folder, 'run');
  config = join(folder, 'config.json');
  const settings = {
    model,
    adapter: tinyAdapter,
    prompts: ['0', '1', '2'],
    rewards: [{ name: 'stroke-weight', scale: 4 }],
    algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 1, delta: 0.3 },
    optimizer: { learningRate: 1e-2 },
    steps: 1,
    batch: 2,
    samples: { count: 2, steps: 1 },
    output: run,
  };
  writeFileSync(config, JSON.stringify(settings));
});

const recorded = () => JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')) as { device: string };

describe('a configuration without a device', () => {
  it('takes what auto means here, says so and records it; a resumed run keeps what was recorded', async () => {
    const first = await eam('finetune', config);
    expect(first.stderr).toContain(`device: ${here} (auto: ${reason})\n`);
    expect(recorded().device).toBe(here);
    const second = await eam('finetune', config, '--resume', '--set', 'steps=2');
    expect(second.stderr).toContain(`device: ${here} (auto: the run's so far)\n`);
    expect(second.code).toBe(0);
    const told = await eam('finetune', config, '--resume', '--set', 'steps=3', '--set', 'device=cpu');
    expect(told.stderr).not.toContain('auto');
    expect(recorded().device).toBe('cpu');
  });

  it('resumes on the device of the run, and on no other', async () => {
    await eam('finetune', config, '--quiet');
    writeFileSync(join(run, 'config.json'), JSON.stringify({ ...recorded(), device: 'cuda:7' }));
    const { code, stderr } = await eam('finetune', config, '--resume', '--set', 'steps=2');
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^error: .*cuda:7/m);
  });
});

it.skipIf(here !== 'cpu')('an explicit device cuda never falls back to the CPU', async () => {
  const { code, stderr } = await eam('finetune', config, '--set', 'device=cuda');
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/^error: device: expected "cpu", since [^\n]*, got "cuda"\n$/);
});
