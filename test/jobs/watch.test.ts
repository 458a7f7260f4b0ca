// A run measures more than its rewards, and ends where that crosses a limit.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, describe, expect, it, vi } from 'vitest';

import { contentsOf } from '../../lib/files/tensorboard/events.js';
import { recordsIn } from '../../lib/files/tensorboard/records.js';
import type { LoggedMetrics } from '../../lib/jobs/finetune/watch.js';
import { Panel } from '../../lib/training/panel/panel.js';
import { runOf } from '../../lib/jobs/run-record.js';
import { eam } from '../helpers/command-line.js';
import { configFile, outputOf } from '../helpers/finetune-config.js';
import { temporaryFolder, tensorHashes } from '../helpers/tiny-run.js';

afterEach(() => vi.restoreAllMocks());

const linesOf = (run: string): LoggedMetrics[] =>
  readFileSync(join(run, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
const panels = (run: string) => linesOf(run).map(({ panel }) => panel!);
const hashes = (run: string, step: number) => tensorHashes(join(run, 'checkpoints'), step);
const judge = { name: 'stroke-weight', scale: -1 };

/** Makes a run of four steps that comes to its end, with whose measurements others are compared. */
async function uninterrupted(change: object = {}): Promise<string> {
  const config = configFile(change);
  expect((await eam('finetune', config, '--quiet')).code).toBe(0);
  return outputOf(config);
}

describe('the panel', () => {
  it('measures after its steps what the pretrained model is compared by', async () => {
    const run = await uninterrupted({
      panel: { every: 2, count: 5, judges: [judge, judge] },
      logging: ['tensorboard'],
      steps: 5,
    });
    const { baseline, ...settings } = JSON.parse(readFileSync(join(run, 'panel.json'), 'utf8'));
    // The panel draws as the algorithm does where the configuration says nothing.
    expect(settings).toMatchObject({ every: 2, count: 5, seed: 3, steps: 2, solver: 'euler', guidance: 1 });
    const measured = panels(run);
    expect(measured.map((panel) => panel !== undefined)).toEqual([false, true, false, true, false]);
    for (const panel of [measured[1]!, measured[3]!]) {
      expect(Object.keys(panel.judges)).toEqual(['stroke-weight', 'stroke-weight-2']);
      expect(panel.dropped).toBe(0);
      expect(panel.drift).toBeGreaterThan(0);
      expect(Object.keys(panel.driftByTime!)).toEqual(['0.00-0.25', '0.25-0.50', '0.50-0.75', '0.75-1.00']);
      for (const name of ['edges', 'brightness', 'diversity', 'promptDiversity', 'gridPeak'] as const)
        expect(panel[name]).toBeGreaterThan(0);
      expect(panel).not.toHaveProperty('saturation');
    }
    // The judge is −1 times the mean intensity, which is the brightness apart from values that brightness clamps.
    expect(baseline.judges['stroke-weight'].mean).toBeLessThan(0);
    expect(baseline.edges.std).toBeGreaterThan(0);
    const events = readdirSync(join(run, 'tensorboard')).flatMap((name) =>
      recordsIn(readFileSync(join(run, 'tensorboard', name))).map(({ data }) => contentsOf(data)),
    );
    const stepsWith = (tag: string) => events.filter(({ tags }) => tags.includes(tag)).map(({ step }) => step);
    expect(stepsWith('panel/edges')).toEqual([2, 4]);
    expect(stepsWith('panel/judges/stroke-weight-2')).toEqual([2, 4]);
    expect(stepsWith('panel/driftByTime/0.25-0.50')).toEqual([2, 4]);
    expect(stepsWith('panel/baseline/edges/mean')).toEqual([0]);
  });

  it('changes nothing of what is trained', async () => {
    const off = await uninterrupted({ panel: { every: 0 } });
    const on = await uninterrupted({ panel: { every: 1, count: 4, judges: [judge] }, stopWhen: { drift: '> 1000' } });
    expect(hashes(on, 4)).toEqual(hashes(off, 4));
    expect(panels(off)).toEqual([undefined, undefined, undefined, undefined]);
    expect(existsSync(join(off, 'panel.json'))).toBe(false);
  });

  it('is measured after a resume where a run ended between a step and its measurement', async () => {
    const change = { panel: { every: 2, count: 4, judges: [judge] } };
    const whole = await uninterrupted(change);
    const config = configFile(change);
    vi.spyOn(Panel.prototype, 'measure').mockRejectedValueOnce(new Error('no measurement'));
    expect(await eam('finetune', config)).toMatchObject({ code: 1 });
    expect((await eam('finetune', config, '--resume', '--quiet')).code).toBe(0);
    expect(panels(outputOf(config))).toEqual(panels(whole));
    expect(hashes(outputOf(config), 4)).toEqual(hashes(whole, 4));
  });

  it('tells of an alarm once, also in a run that is resumed', async () => {
    const file = join(temporaryFolder(), 'falling.mjs');
    // Every image scores lower each time.
    writeFileSync(
      file,
      'let calls = 0; export default (_, prompts) => ({ values: prompts.map((_, i) => i - 9 * calls++) });',
    );
    const falling = { name: 'module', file, differentiable: false };
    const config = configFile({ panel: { every: 1, count: 8, judges: [falling] }, steps: 3 });
    const first = await eam('finetune', config);
    expect(first.code).toBe(0);
    const alarmed = panels(outputOf(config)).map((panel) => panel!.alarms.includes('judge'));
    const told = (text: string) => text.match(/alarm after step \d+: judge falling is .*/g) ?? [];
    expect(alarmed).toEqual([true, true, true]);
    expect(told(first.stderr)).toEqual([expect.stringMatching(/step 1: .* the pretrained model's .*, below −0.25σ/)]);
    const second = await eam('finetune', outputOf(config), '--resume', '--set', 'steps=5');
    expect([second.code, told(second.stderr)]).toEqual([0, []]);
  });

  it.each([
    { change: { stopWhen: { diversty: '< 0.7×' } }, said: 'stopWhen.diversty: unknown key; did you mean "diversity"?' },
    { change: { stopWhen: { diversity: '70 %' } }, said: 'stopWhen.diversity: expected <, > or ±, a number' },
    { change: { panel: { evry: 3 } }, said: 'panel.evry: unknown key; did you mean "every"?' },
    { change: { panel: { count: 1 } }, said: 'panel.count: expected a number of at least 2, got 1' },
    { change: { panel: { judges: [{ name: 'strok-weight' }] } }, said: 'panel.judges[0].name: expected one of' },
  ])('refuses $change', async ({ change, said }) => {
    const { code, stderr } = await eam('finetune', configFile(change));
    expect([code, stderr]).toEqual([2, expect.stringContaining(said)]);
  });
});

describe('rewards that are only watched', () => {
  it('score the panel and the evaluation, and train nothing', async () => {
    const watched = { name: 'stroke-weight', scale: 7 };
    const evaluation = { count: 4, steps: 2 };
    const without = await uninterrupted({ evaluation, panel: { every: 2, count: 4 } });
    const run = await uninterrupted({
      evaluation: { ...evaluation, rewards: [watched] },
      panel: { every: 2, count: 4 },
    });
    expect(hashes(run, 4)).toEqual(hashes(without, 4));
    const [, measured] = panels(run);
    expect(Object.keys(measured!.watched)).toEqual(['stroke-weight']);
    const { before, after, gain } = JSON.parse(readFileSync(join(run, 'evaluation.json'), 'utf8'));
    // The reward of weight 1 has a scale of 4, the watched one of 7; the sum has the first alone.
    for (const { reward, rewards } of [before, after]) {
      expect(reward.mean).toBeCloseTo(rewards['stroke-weight'].mean, 6);
      expect(rewards['stroke-weight-2'].mean).toBeCloseTo((7 / 4) * reward.mean, 5);
    }
    expect(gain).toBe(JSON.parse(readFileSync(join(without, 'evaluation.json'), 'utf8')).gain);
    const evaluated = await eam('evaluate', run, '--json', '--quiet');
    expect(JSON.parse(evaluated.stdout).after.rewards['stroke-weight-2']).toEqual(after.rewards['stroke-weight-2']);
  });
});

describe('a reward that falls', () => {
  const signed = (sign: string) => {
    const file = join(temporaryFolder(), 'mean.mjs');
    writeFileSync(
      file,
      `export default ({ data }, prompts) => {
  const size = data.length / prompts.length;
  const mean = (i) => data.slice(i * size, (i + 1) * size).reduce((sum, x) => sum + x, 0) / size;
  return { values: prompts.map((_, i) => 40 * mean(i)), grad: data.map(() => (${sign}40) / size) };
};`,
    );
    const rewards = [{ name: 'module', file }];
    return configFile({ rewards, steps: 32, panel: { every: 0 }, checkpoints: { every: 16 } });
  };

  it('is warned of where its gradient is followed in the wrong direction, also in a run that is resumed', async () => {
    const config = signed('-');
    expect((await eam('finetune', config, '--quiet', '--set', 'steps=20')).code).toBe(0);
    const { code, stderr } = await eam('finetune', config, '--resume');
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^warning after step 32: the reward has fallen from /m)]);
    expect(stderr).toContain('the gradient has the wrong sign; eam check-reward tells more of it');
  });

  it('is not taken for a wrong sign where the gradient is right', async () => {
    // The velocity of random weights pulls somewhere else, and with λ = 1 the reward is weaker than this pull.
    const { code, stderr } = await eam('finetune', signed(''));
    expect([code, stderr]).toEqual([0, expect.stringContaining('which rises along it: the pull of the pretrained')]);
    expect(stderr).not.toContain('wrong sign');
  });
});

describe('stopWhen', () => {
  it('ends the run, keeps the best checkpoint before it, and lets the run go on past a looser limit', async () => {
    const panel = { every: 1, count: 4 };
    const whole = await uninterrupted({ panel, stopWhen: { drift: '> 1000' } });
    const drifts = panels(whole).map(({ drift }) => drift!);
    const [, second, third] = drifts as [number, number, number];
    expect(third).toBeGreaterThan(second);
    const rewards = panels(whole).map(({ reward }) => reward!);
    const best = rewards[1]! > rewards[0]! ? 2 : 1;

    const off = Object.fromEntries(alarmsIn(whole).map((name) => [name, false]));
    const config = configFile({ panel, stopWhen: { ...off, drift: `> ${(second + third) / 2}` } });
    const run = outputOf(config);
    const stopped = await eam('finetune', config);
    expect(stopped.code).toBe(3);
    expect(stopped.stderr).toMatch(/^stopped after step 3 by stopWhen: drift is [\d.]+, above [\d.]+$/m);
    expect(stopped.stderr).toContain(`is kept: ${join(run, 'best', `step-${best}`)}`);
    expect(stopped.stderr).toContain(`eam finetune ${run} --resume --set 'stopWhen.drift=...'`);
    expect(stopped.stderr).not.toContain('error:');
    expect(readdirSync(join(run, 'best'))).toEqual([`step-${best}`]);
    expect(readdirSync(join(run, 'checkpoints'))).toContain('step-3');
    expect(tensorHashes(join(run, 'best'), best)).toMatchObject({ adapter: expect.any(String) });
    expect(runOf(join(run, 'best', `step-${best}`))).toBe(run);
    expect(existsSync(join(run, 'report.html'))).toBe(true);
    expect(linesOf(run)).toHaveLength(3);

    // This limit is still crossed, so that nothing is trained.
    const again = await eam('finetune', run, '--resume');
    expect([again.code, again.stderr]).toEqual([3, expect.stringContaining('stopped after step 3 by stopWhen: drift')]);
    expect(linesOf(run)).toHaveLength(3);

    const loosened = await eam('finetune', run, '--resume', '--quiet', '--set', 'stopWhen.drift="> 1000"');
    expect(loosened.code).toBe(0);
    expect(hashes(run, 4)).toEqual(hashes(whole, 4));
    expect(panels(run).map(({ drift }) => drift)).toEqual(drifts);
  });

  it('says where no checkpoint was without an alarm', async () => {
    const { code, stderr } = await eam(
      'finetune',
      configFile({ panel: { every: 1, count: 4 }, stopWhen: { drift: '> 0' } }),
    );
    expect([code, stderr]).toEqual([3, expect.stringContaining('no measurement before it was without an alarm')]);
  });
});

const alarmsIn = (run: string) => [...new Set(panels(run).flatMap(({ alarms }) => alarms))];
