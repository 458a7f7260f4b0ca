import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { ConfigError } from '../../errors.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import { packageDirectory } from '../../runtime/package.js';
import type { Scalar } from '../../training/metric-names.js';
import type { LoggedRun, RunLog } from './run-log.js';

/** W&B, and its process here, keep their files in this folder within a run's. */
const folder = 'wandb';

/** How the process is started, and how long a run bears with it. */
export interface WandbProcess {
  command: readonly string[];
  /** The run's end waits this long, in milliseconds, until everything is sent. */
  patience: number;
  /** This many bytes may wait to be read. */
  room: number;
}

/** W&B's own SDK, which exists for Python. */
const ownProcess: WandbProcess = {
  command: ['python3', join(packageDirectory, 'assets', 'logging', 'wandb_bridge.py')],
  patience: 120_000,
  room: 1 << 24,
};

/**
 * Refuses a machine that cannot log to W&B. No server is asked. A check that does not end in time refuses nothing,
 * since a slow machine may log all the same.
 * @throws ConfigError where Python or a package is missing, and where nobody has logged in
 */
export async function checkWandb({ command, patience }: WandbProcess = ownProcess): Promise<void> {
  const [python, ...args] = command;
  try {
    await promisify(execFile)(python!, [...args, '--check'], { timeout: patience });
  } catch (error) {
    const { code, killed, stdout } = error as { code?: string | number; killed?: boolean; stdout?: string };
    if (killed) return;
    const missing =
      `expected ${python} on PATH, which W&B's SDK is for, got none: install Python, then pip install ` +
      'wandb pillow';
    const said = stdout?.trim() || `expected W&B's SDK to be usable, got ${(error as Error).message.trim()}`;
    throw new ConfigError(`logging: "wandb": ${code === 'ENOENT' ? missing : said}`, { cause: error });
  }
}

/**
 * Weights & Biases. What goes wrong there is told once, and is nothing to the run: its figures are in its own files.
 */
export class WandbLog implements RunLog {
  #child: ChildProcess | undefined;
  #isOver = false;
  /** Whether the run has sent all that it has. */
  #isClosing = false;
  #ended = () => {};

  constructor(
    private readonly run: LoggedRun,
    private readonly start: WandbProcess = ownProcess,
  ) {}

  scalars(step: number, scalars: readonly Scalar[]): Promise<void> {
    return this.#send({ kind: 'scalars', step, values: Object.fromEntries(scalars) });
  }

  image(step: number, _png: Uint8Array, path: string): Promise<void> {
    return this.#send({ kind: 'image', step, path: resolve(path) });
  }

  config(config: object): Promise<void> {
    return this.#send({ kind: 'config', config });
  }

  summary(_step: number, scalars: readonly Scalar[]): Promise<void> {
    return this.#send({ kind: 'summary', values: Object.fromEntries(scalars) });
  }

  /** W&B takes no step twice: where steps come again, it keeps what it has of them. */
  rewind(): Promise<void> {
    return Promise.resolve();
  }

  async close(whole: boolean): Promise<void> {
    if (!this.#child || this.#isOver) return;
    await this.#send({ kind: 'finish', code: whole ? 0 : 1 });
    this.#isClosing = true;
    this.#child.stdin!.end();
    const { patience } = this.start;
    const late = `has not taken everything within ${patience / 1000} s of the run's end`;
    const later = `to send it: wandb sync ${join(this.run.directory, folder, '*run-*')}`;
    const timer = setTimeout(() => this.#end(`${late}; ${later}`), patience);
    if (!this.#isOver) await new Promise<void>((ended) => (this.#ended = ended));
    clearTimeout(timer);
  }

  /** Never waits: a process that reads slowly must not make the run slow. */
  #send(message: object): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    this.#child ??= this.#begin();
    const { stdin } = this.#child;
    if (stdin!.writableLength > this.start.room) this.#end('does not read what it is sent; the run goes on without it');
    else stdin!.write(`${JSON.stringify(message)}\n`);
    return Promise.resolve();
  }

  #begin(): ChildProcess {
    const { directory, group, onNote } = this.run;
    const [python, ...args] = this.start.command;
    const log = openLog(directory);
    // The process has a session of its own. Ctrl-C and a terminal that closes end the run, after which the process
    // still has to send the rest.
    const child = spawn(python!, args, { detached: true, stdio: ['pipe', 'pipe', log ?? 'ignore'] });
    if (log !== undefined) closeSync(log);
    const more = `the run goes on without it; ${join(directory, folder, logName)} may say why`;
    child.once('error', (error) => this.#end(`did not start (${error.message}); ${more}`));
    child.once('exit', (code, signal) => {
      const isDone = this.#isClosing && code === 0;
      this.#end(isDone ? undefined : `ended early (${signal ?? `exit code ${code}`}); ${more}`);
    });
    // Lines that the process did not read are lost with it; the listeners above tell of its end.
    child.stdin!.on('error', () => {});
    createInterface(child.stdout!).on('line', (line) => onNote(`W&B: ${line}`));
    const path = resolve(directory);
    child.stdin!.write(`${JSON.stringify({ directory: path, name: basename(path), group: group ?? null })}\n`);
    return child;
  }

  /** @param problem says how the process failed; undefined where it ended as it should */
  #end(problem: string | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (problem !== undefined) {
      this.run.onNote(`W&B: its process ${problem}`);
      this.#child!.stdin!.destroy();
      this.#child!.stdout!.destroy();
      this.#child!.kill('SIGKILL');
      this.#child!.unref();
    }
    this.#ended();
  }
}

const logName = 'eam-torch.log';

/** Opens the file in which the process says more than its notes do; undefined where that cannot be written. */
function openLog(directory: string): number | undefined {
  try {
    makeDirectory(join(directory, folder));
    return openSync(join(directory, folder, logName), 'a');
  } catch {
    return undefined;
  }
}
