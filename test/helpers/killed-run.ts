// A short run of `eam finetune` or `eam distill`, started, and what it leaves behind.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

import { newestWholeCheckpoint } from '../../lib/files/checkpoints.js';
import { temporaryFolder } from './tiny-run.js';

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Every run takes so many steps. */
export const steps = 24;

/** What a run spends its life on. */
export interface Profile {
  command: 'finetune' | 'distill';
  rank: number;
  every: number;
}

/** What only one of the commands is told. */
const ofCommand = {
  finetune: {
    rewards: [{ name: 'stroke-weight', scale: 4 }],
    algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, delta: 0.3, rewardGradientQuantile: 0.9 },
    evaluation: { count: 8, steps: 2 },
  },
  distill: { teacher: { guidance: 2, solver: 'euler', steps: 2 }, timesEach: 2 },
};

export interface Started {
  child: ChildProcess;
  ended: Promise<{ code: number | null; stderr: string }>;
}

/** A run's configuration and directory, which is not there yet. */
export class KilledRun {
  readonly #config: string;
  readonly directory: string;

  constructor(
    model: string,
    private readonly profile: Profile,
  ) {
    const { command, rank, every } = profile;
    const folder = temporaryFolder();
    this.#config = join(folder, 'config.json');
    this.directory = join(folder, 'run');
    const config = {
      model,
      adapter: { rank, alpha: rank },
      prompts: ['0', '1', '2', '2'],
      optimizer: { learningRate: 1e-2, emaDecay: 0.9, warmup: 3, schedule: 'cosine' },
      steps,
      batch: 6,
      seed: 3,
      checkpoints: { every, keep: 2 },
      samples: { every: 5, count: 6, columns: 3, steps: 2 },
      output: this.directory,
      ...ofCommand[command],
    };
    writeFileSync(this.#config, JSON.stringify(config));
  }

  /** Whether the next start is a resume. */
  get wasStarted(): boolean {
    return existsSync(this.directory);
  }

  /** Starts the run, or goes on with it. */
  start(): Started {
    const args = [this.profile.command, this.#config, ...(this.wasStarted ? ['--resume'] : [])];
    const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (text) => {
      stderr += String(text);
    });
    return { child, ended: new Promise((resolve) => child.on('close', (code) => resolve({ code, stderr }))) };
  }

  get #checkpoints(): string {
    return join(this.directory, 'checkpoints');
  }

  #stepsNamed(pattern: RegExp): number[] {
    if (!existsSync(this.#checkpoints)) return [];
    return readdirSync(this.#checkpoints)
      .flatMap((name) => pattern.exec(name)?.[1] ?? [])
      .map(Number);
  }

  /** The step of the newest checkpoint that is in place; -1 where there is none. */
  newestStep(): number {
    return Math.max(...this.#stepsNamed(/^step-(\d+)$/), -1);
  }

  /** The steps of the checkpoints that are being written or removed, or were when the run was killed. */
  halfSteps(): number[] {
    return this.#stepsNamed(/^step-(\d+)\.tmp$/);
  }

  /** Everything that a finished run leaves behind, but for how long it took and where it lies. */
  async remains(): Promise<Record<string, unknown>> {
    const last = join(this.#checkpoints, `step-${steps}`);
    expect(await newestWholeCheckpoint(this.#checkpoints)).toEqual({ step: steps, directory: last });
    const read = (...path: string[]) => readFileSync(join(this.directory, ...path), 'utf8');
    return {
      files: readdirSync(this.directory).sort(),
      checkpoints: readdirSync(this.#checkpoints).sort(),
      config: timeless(read('config.json')),
      metrics: read('metrics.jsonl').trimEnd().split('\n').map(timeless),
      ...(this.profile.command === 'finetune' && { evaluation: timeless(read('evaluation.json')) }),
      samples: contents(join(this.directory, 'samples')),
      ...contents(last, ['manifest.json']),
    };
  }
}

/** JSON without the seconds that something took, and without the place of the run. */
function timeless(text: string): string {
  const without = (_: string, value: unknown): unknown => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const { seconds: _seconds, stages: _stages, output: _output, ...rest } = value as Record<string, unknown>;
    return rest;
  };
  return JSON.stringify(JSON.parse(text), without);
}

/** The files of a folder by name; state.json tells times, too. */
function contents(folder: string, except: readonly string[] = []): Record<string, string> {
  const names = readdirSync(folder)
    .sort()
    .filter((name) => !except.includes(name));
  return Object.fromEntries(
    names.map((name) => [
      name,
      name === 'state.json'
        ? timeless(readFileSync(join(folder, name), 'utf8'))
        : readFileSync(join(folder, name), 'base64'),
    ]),
  );
}
