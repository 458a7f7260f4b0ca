// Runs of `eam finetune` and `eam distill` that are killed with SIGKILL, resumed, and compared with one that was left
// alone.
import { expect } from 'vitest';

import { type Aim, type Moment, reach, uniformNumbers } from './kill-moments.js';
import { KilledRun, type Profile, steps } from './killed-run.js';
import { tinyModelDirectory } from './tiny-run.js';

/** Runs that spend most of their life in writing an adapter as large as its model, and runs that mostly train. */
const profiles: readonly Profile[] = [
  { command: 'finetune', rank: 64, every: 1 },
  { command: 'distill', rank: 64, every: 1 },
  { command: 'finetune', rank: 2, every: 5 },
];

export interface KillCounts {
  kills: number;
  /** These came while a checkpoint was being written: its half is there. */
  writing: number;
  /** These came while an old one was being removed. */
  removing: number;
  /** These came before there was a whole checkpoint, and after the last step. */
  beforeFirst: number;
  afterLast: number;
  resumes: number;
  runs: number;
}

/** A run that was left alone: the milliseconds that it took, and its remains. */
interface Reference {
  profile: Profile;
  life: number;
  expected: Record<string, unknown>;
}

/**
 * Kills runs until there were `kills` kills: some at any moment of a run's life, some within the writing of a
 * checkpoint, some after the last step; some runs several times. Every run ends with what one that was left alone left
 * behind.
 */
export async function killRuns(kills: number, seed: number): Promise<KillCounts> {
  console.log(`kill test: seed ${seed}; EAM_KILL_SEED=${seed} repeats the moments that were drawn`);
  const model = await tinyModelDirectory({ width: 64 });
  const references: Reference[] = [];
  for (const profile of profiles) references.push(await leaveAlone(model, profile));

  const uniform = uniformNumbers(seed);
  const counts: KillCounts = { kills: 0, writing: 0, removing: 0, beforeFirst: 0, afterLast: 0, resumes: 0, runs: 0 };
  while (counts.kills < kills) {
    const reference = references[counts.runs % references.length]!;
    const run = new KilledRun(model, reference.profile);
    const planned = Math.min(1 + Math.floor(uniform() * 4), kills - counts.kills);
    await killSeveralTimes(run, reference, planned, uniform, counts);
    await finish(run, counts);
    counts.runs++;
    const found = await run.remains();
    for (const [name, value] of Object.entries(reference.expected))
      expect(found[name], `${run.directory}: ${name}`).toEqual(value);
    expect(Object.keys(found)).toEqual(Object.keys(reference.expected));
  }
  console.log(`kill test: ${JSON.stringify(counts)}`);
  return counts;
}

async function leaveAlone(model: string, profile: Profile): Promise<Reference> {
  const run = new KilledRun(model, profile);
  const begun = performance.now();
  expect(await run.start().ended).toMatchObject({ code: 0 });
  const life = performance.now() - begun;
  const expected = await run.remains();
  expect((expected['metrics'] as string[]).length).toBe(steps);
  return { profile, life, expected };
}

/** The first kill of each run falls anywhere; those that follow meet resumed runs. */
async function killSeveralTimes(
  run: KilledRun,
  { profile, life }: Reference,
  planned: number,
  uniform: () => number,
  counts: KillCounts,
): Promise<void> {
  for (let left = planned; left > 0; left--) {
    const inItsLife: Aim = counts.kills % 2 === 0 ? 'anywhere' : 'writing';
    const moment: Moment = {
      aim: left > 1 || profile.every > 1 ? inItsLife : 'ending',
      writings: Math.floor(uniform() * 6),
      delay: uniform() * 25,
      life: uniform() * life,
    };
    if (!(await kill(run, moment, counts))) return;
  }
}

/** False where the run was done before its time. */
async function kill(run: KilledRun, moment: Moment, counts: KillCounts): Promise<boolean> {
  if (run.wasStarted) counts.resumes++;
  const started = run.start();
  await reach(run, started, moment);
  started.child.kill('SIGKILL');
  const { code, stderr } = await started.ended;
  if (code !== null) {
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    return false;
  }
  count(run, counts);
  return true;
}

/** What the run was doing when it was killed, from what it left. */
function count(run: KilledRun, counts: KillCounts): void {
  const [newest, half] = [run.newestStep(), run.halfSteps()];
  counts.kills++;
  if (half.some((step) => step > newest)) counts.writing++;
  else if (half.length) counts.removing++;
  if (newest < 0) counts.beforeFirst++;
  if (newest === steps) counts.afterLast++;
}

async function finish(run: KilledRun, counts: KillCounts): Promise<void> {
  if (run.wasStarted) counts.resumes++;
  const { code, stderr } = await run.start().ended;
  expect([code, stderr], stderr).toEqual([0, expect.not.stringContaining('passed over')]);
}
