// Runs of `eam finetune` that are killed with SIGKILL, resumed, and compared with one that was left alone.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

import { newestWholeCheckpoint } from '../../lib/files/checkpoints.js';
import { temporaryFolder, tinyModelDirectory } from './tiny-run.js';

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const steps = 24;

interface Profile {
  rank: number;
  every: number;
}

/** Runs that spend most of their life in writing an adapter larger than its model, and runs that mostly train. */
const profiles: readonly Profile[] = [
  { rank: 256, every: 1 },
  { rank: 2, every: 5 },
];

function writeConfig(model: string, { rank, every }: Profile): { config: string; run: string } {
  const folder = temporaryFolder();
  const config = join(folder, 'config.json');
  const run = join(folder, 'run');
  writeFileSync(
    config,
    JSON.stringify({
      model,
      adapter: { rank, alpha: rank },
      prompts: ['0', '1', '2', '2'],
      rewards: [{ name: 'stroke-weight', scale: 4 }],
      algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, delta: 0.3, rewardGradientQuantile: 0.9 },
      optimizer: { learningRate: 1e-2, emaDecay: 0.9, warmup: 3, schedule: 'cosine' },
      steps,
      batch: 6,
      seed: 3,
      checkpoints: { every, keep: 2 },
      samples: { every: 5, count: 6, columns: 3, steps: 2 },
      evaluation: { count: 8, steps: 2 },
      output: run,
    }),
  );
  return { config, run };
}

function start(
  config: string,
  ...args: string[]
): { child: ChildProcess; ended: Promise<{ code: number | null; stderr: string }> } {
  const child = spawn(process.execPath, [program, 'finetune', config, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr!.on('data', (text) => (stderr += String(text)));
  return { child, ended: new Promise((resolve) => child.on('close', (code) => resolve({ code, stderr }))) };
}

/** Everything that a run leaves behind, but for how long it took and where it lies. */
async function remains(run: string): Promise<Record<string, unknown>> {
  const timeless = (_: string, value: unknown): unknown => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const { seconds: _seconds, output: _output, ...rest } = value as Record<string, unknown>;
    return rest;
  };
  const json = (text: string) => JSON.stringify(JSON.parse(text), timeless);
  const checkpoints = join(run, 'checkpoints');
  const last = join(checkpoints, `step-${steps}`);
  const read = (...path: string[]) => readFileSync(join(...path), 'utf8');
  expect(await newestWholeCheckpoint(checkpoints)).toEqual({ step: steps, directory: last });
  return {
    files: readdirSync(run).sort(),
    checkpoints: readdirSync(checkpoints).sort(),
    config: json(read(run, 'config.json')),
    metrics: read(run, 'metrics.jsonl').trimEnd().split('\n').map(json),
    evaluation: json(read(run, 'evaluation.json')),
    samples: Object.fromEntries(
      readdirSync(join(run, 'samples'))
        .sort()
        .map((name) => [name, readFileSync(join(run, 'samples', name), 'base64')]),
    ),
    ...Object.fromEntries(
      readdirSync(last)
        .sort()
        .filter((name) => name !== 'manifest.json')
        .map((name) => [
          name,
          name === 'state.json' ? json(read(last, name)) : readFileSync(join(last, name), 'base64'),
        ]),
    ),
  };
}

export interface KillCounts {
  kills: number;
  /** Of these, while a checkpoint was being written: its half is there. */
  writing: number;
  /** And while an old one was being removed. */
  removing: number;
  /** Before there was a whole checkpoint, and after the last step. */
  beforeFirst: number;
  afterLast: number;
  resumes: number;
  runs: number;
}

interface Reference {
  profile: Profile;
  /** Milliseconds that the run took which was left alone, and its remains. */
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
  let state = seed >>> 0;
  /** mulberry32 */
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };

  const model = await tinyModelDirectory();
  const references: Reference[] = [];
  for (const profile of profiles) {
    const { config, run } = writeConfig(model, profile);
    const begun = performance.now();
    expect(await start(config, '--quiet').ended).toMatchObject({ code: 0 });
    const life = performance.now() - begun;
    const expected = await remains(run);
    expect((expected['metrics'] as string[]).length).toBe(steps);
    references.push({ profile, life, expected });
  }

  const counts: KillCounts = { kills: 0, writing: 0, removing: 0, beforeFirst: 0, afterLast: 0, resumes: 0, runs: 0 };
  while (counts.kills < kills) {
    const { profile, life, expected } = references[counts.runs % references.length]!;
    const { config, run } = writeConfig(model, profile);
    const checkpoints = join(run, 'checkpoints');
    const temporary = (): number[] =>
      existsSync(checkpoints)
        ? readdirSync(checkpoints)
            .flatMap((name) => /^step-(\d+)\.tmp$/.exec(name)?.[1] ?? [])
            .map(Number)
        : [];
    const go = () => {
      if (!existsSync(run)) return start(config);
      counts.resumes++;
      return start(config, '--resume');
    };
    // The first kill of each run falls anywhere; those that follow meet resumed runs.
    for (let left = Math.min(1 + Math.floor(uniform() * 4), kills - counts.kills); left > 0; left--) {
      const aim = left > 1 || profile.every > 1 ? (['anywhere', 'writing'] as const)[counts.kills % 2]! : 'ending';
      // Which of the writings that this process does, and how far into it.
      const target = Math.floor(uniform() * 6);
      const delay = uniform() * 25;
      const moment = uniform() * life;
      const { child, ended } = go();
      let over = false;
      void ended.then(() => (over = true));
      if (aim === 'ending') {
        while (!over && (await newestNumber(checkpoints)) !== steps) await sleep(1);
        for (const from = performance.now(); !over && performance.now() - from < 4 * delay; ) await turn();
      } else if (aim === 'writing') {
        const old = new Set(temporary());
        const seen = new Set<number>();
        while (!over && seen.size <= target) {
          const done = (await newestNumber(checkpoints)) ?? -1;
          for (const step of temporary()) if (step > done && !old.has(step)) seen.add(step);
          await turn();
        }
        // Busy, not asleep: a timer's millisecond is long beside what is aimed at.
        for (const from = performance.now(); !over && performance.now() - from < delay; ) await turn();
      } else {
        for (const from = performance.now(); !over && performance.now() - from < moment; ) await sleep(1);
      }
      child.kill('SIGKILL');
      const { code, stderr } = await ended;
      if (code !== null) {
        // It was done before its time: no kill.
        expect([code, stderr]).toEqual([0, expect.any(String)]);
        break;
      }
      counts.kills++;
      const newest = (await newestNumber(checkpoints)) ?? -1;
      const half = temporary();
      if (half.some((step) => step > newest)) counts.writing++;
      else if (half.length) counts.removing++;
      if (newest < 0) counts.beforeFirst++;
      if (newest === steps) counts.afterLast++;
    }
    const { code, stderr } = await go().ended;
    expect([code, stderr], stderr).toEqual([0, expect.not.stringContaining('passed over')]);
    counts.runs++;
    const found = await remains(run);
    for (const [name, value] of Object.entries(expected)) expect(found[name], `${run}: ${name}`).toEqual(value);
    expect(Object.keys(found)).toEqual(Object.keys(expected));
  }
  console.log(`kill test: ${JSON.stringify(counts)}`);
  return counts;
}

async function newestNumber(checkpoints: string): Promise<number | undefined> {
  if (!existsSync(checkpoints)) return undefined;
  return Math.max(
    ...readdirSync(checkpoints)
      .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
      .map(Number),
    -1,
  );
}
