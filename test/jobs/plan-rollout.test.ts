// What the plan chooses for a rollout from a GPU's free memory, what it counts for it, and that a run keeps it.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { withRecordedChoices } from '../../lib/jobs/finetune/recorded-choices.js';
import { needed, type Plan } from '../../lib/jobs/plan/plan.js';
import { readFinetuneConfig } from '../../lib/jobs/settings/finetune.js';
import { plan } from '../helpers/jobs.js';
import { eam } from '../helpers/command-line.js';
import { config, folder, useEmptyCaches, written } from '../helpers/plan-config.js';

useEmptyCaches();

const gib = 2 ** 30;
const onCuda = { ...config, device: 'cuda', algorithm: { ...config.algorithm, microBatch: 2 } };
const phase = ({ memory }: Plan, name: string) => memory!.phases.find((each) => each.name === name)!;
/** Bytes that a GPU must have free for what a phase takes, which is to be at most nine tenths of what is. */
const room = (made: Plan, name: string) =>
  needed({ device: 'cuda', memory: { ...made.memory!, peak: phase(made, name) } });

describe("the plan's choice for a rollout", () => {
  it('is all rows, and a folded adapter, where there is room', async () => {
    expect((await plan(onCuda, { memory: 80 * gib })).rollout).toEqual({
      rows: 16,
      folded: true,
      chosenFor: 80 * gib,
    });
    const unguided = { ...onCuda.algorithm, guidance: 1 };
    expect((await plan({ ...onCuda, algorithm: unguided }, { memory: 80 * gib })).rollout!.rows).toBe(8);
  });

  it('is as many rows as fit, in equal parts, and never fewer than the micro-batch', async () => {
    const seen = new Set<number>();
    const whole = room(await plan(onCuda, { memory: 80 * gib }), 'rolling out');
    const [least, most] = [0.5 * gib, 1.02 * whole].map((bytes) => bytes / 0.9);
    for (let free = least!; free < most!; free += (most! - least!) / 61) {
      const made = await plan(onCuda, { memory: free });
      const { rows } = made.rollout!;
      seen.add(rows);
      expect([2, 3, 4, 6, 8, 16]).toContain(rows);
      if (rows > 2) expect(room(made, 'rolling out')).toBeLessThanOrEqual(0.9 * free);
      const next = { 2: 3, 3: 4, 4: 6, 6: 8, 8: 16 }[rows];
      if (next === undefined) continue;
      const fold = made.rollout!.folded;
      const more = await plan(
        { ...onCuda, adapter: { ...config.adapter, fold }, algorithm: { ...onCuda.algorithm, rolloutBatch: next } },
        { memory: free },
      );
      expect(room(more, 'rolling out'), `${rows} of ${free}`).toBeGreaterThan(0.9 * free);
    }
    expect(seen.size).toBeGreaterThan(2);
  });

  it('gives up the copies first where there is too little', async () => {
    const { rollout } = await plan(onCuda, { memory: 0.5 * gib });
    expect(rollout).toEqual({ rows: 2, folded: false, chosenFor: 0.5 * gib });
  });

  it('keeps what is configured', async () => {
    const algorithm = { ...onCuda.algorithm, rolloutBatch: 3 };
    const asked = { ...onCuda, algorithm, adapter: { ...config.adapter, fold: false } };
    expect((await plan(asked, { memory: 80 * gib })).rollout).toEqual({ rows: 3, folded: false });
    expect((await plan({ ...onCuda, algorithm }, { memory: 80 * gib })).rollout).toMatchObject({
      rows: 3,
      folded: true,
    });
    expect((await plan({ ...onCuda, adapter: asked.adapter }, { memory: 80 * gib })).rollout).toMatchObject({
      rows: 16,
      folded: false,
    });
  });

  it('is none on a CPU, nor where no GPU is asked', async () => {
    expect((await plan({ ...onCuda, device: 'cpu' }, { memory: 80 * gib })).rollout).toEqual({ rows: 2, folded: true });
    expect((await plan({ ...config, device: 'cpu' })).rollout).toEqual({ rows: 16, folded: true });
  });

  it('is printed', async () => {
    const { stdout } = await eam('plan', await written({ device: 'cuda' }), '--memory', '24');
    expect(stdout).toMatch(
      /^ {2}rollout: at most 16 rows a network evaluation, the adapter folded in \(of 24.* that are free\)$/m,
    );
  });
});

describe('the memory of a rollout', () => {
  it('counts its rows, both conditionings once more, and the copies while the trained model draws', async () => {
    const made = async (changes: object) => plan({ ...config, ...changes });
    const folded = 'weights with the adapter folded in';
    const [with_, without] = [await made({}), await made({ adapter: { ...config.adapter, fold: false } })];
    // The tiny transformer's attention has 8 layers a block in its files, one less in the last.
    const copies = phase(with_, 'rolling out').parts[folded]!;
    expect(copies).toBeGreaterThan(0);
    for (const { name, parts } of with_.memory!.phases) {
      const draws = ['drawing samples', 'rolling out'].includes(name);
      expect([name, parts[folded]]).toEqual([name, draws ? copies : undefined]);
      expect(phase(without, name).parts[folded]).toBeUndefined();
    }
    const rows = async (rolloutBatch: number) =>
      phase(await made({ algorithm: { ...config.algorithm, microBatch: 1, rolloutBatch } }), 'rolling out').parts[
        'activations'
      ]!;
    expect([(await rows(4)) / (await rows(1)), (await rows(0)) / (await rows(16))]).toEqual([4, 1]);
    const conditioning = async (guidance: number) =>
      phase(await made({ algorithm: { ...config.algorithm, guidance } }), 'rolling out').parts['conditioning']!;
    expect((await conditioning(3)) / (await conditioning(1))).toBe(4);
  });
});

describe('a resumed run', () => {
  const read = (changes: object = {}) => readFinetuneConfig({ ...config, ...changes }, 'test');
  const place = async (record: object) => {
    const output = join(folder, 'resumed');
    await mkdir(output, { recursive: true });
    await writeFile(join(output, 'config.json'), JSON.stringify(record));
    return { resume: true, output, record: 'config.json' };
  };

  it('rolls out and scores in the parts that were recorded, where it is told no others', async () => {
    const recorded = await place({ algorithm: { rolloutBatch: 5, decodeSlice: 2 }, adapter: { fold: false } });
    const settings = await read();
    const found = await withRecordedChoices(settings, recorded);
    expect(found).toEqual({
      ...settings,
      algorithm: { ...settings.algorithm, rolloutBatch: 5, decodeSlice: 2 },
      adapter: { ...settings.adapter, fold: false },
    });
    const told = await read({
      algorithm: { ...config.algorithm, rolloutBatch: 2, decodeSlice: 0 },
      adapter: { ...config.adapter, fold: true },
    });
    expect(await withRecordedChoices(told, recorded)).toEqual(told);
  });

  it('and only then', async () => {
    const settings = await read();
    expect(await withRecordedChoices(settings, await place({}))).toEqual(settings);
    const recorded = await place({ algorithm: { rolloutBatch: 5 } });
    expect(await withRecordedChoices(settings, { ...recorded, resume: false })).toEqual(settings);
    expect(await withRecordedChoices(settings, { ...recorded, output: join(folder, 'nowhere') })).toEqual(settings);
  });
});
