// A real terminal that is closed under a run: what the kernel does then, and what the run leaves.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { checkpointsOf, program, runThat } from '../helpers/ending-run.js';
import { temporaryFolder, tensorHashes, tinyModelDirectory } from '../helpers/tiny-run.js';

/**
 * Runs a command in a terminal of its own, as a window does: prints what appears there, closes the terminal when it is
 * sent a line, and exits as the command did.
 */
const terminal = `
import os, pty, select, sys
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
watched = [0, master]
while True:
    ready, _, _ = select.select(watched, [], [])
    if 0 in ready:
        break
    try:
        os.write(1, os.read(master, 65536))
    except OSError:
        # Nobody has the terminal open at present.
        watched = [0]
os.close(master)
open(os.environ['CLOSED'], 'w').close()
_, status = os.waitpid(pid, 0)
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
`;

const hasTerminals = spawnSync('python3', ['-c', 'import pty; pty.openpty()']).status === 0;

/** Waits for a file, however long it takes. */
const appears = async (path: string): Promise<void> => {
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 20));
};

/** What the reward of a run does at its third step: it says that it is there, and waits. */
const until = (condition: string, waiting: string): string =>
  `fs.writeFileSync(${JSON.stringify(waiting)}, ''); ${condition}`;
const itIsStopped = "await new Promise((yes) => signal.addEventListener('abort', yes));";
const isClosed = (closed: string): string =>
  `while (!fs.existsSync(${JSON.stringify(closed)})) await pause(20); await pause(200);`;

interface Ended {
  code: number | null;
  shown: string;
}

/**
 * Closes the terminal of a command once `waiting` is there. Resolves when every process of it has ended: they share the
 * pipe of descriptor 3.
 */
async function hangUp(command: readonly string[], folder: string, waiting: string, closed: string): Promise<Ended> {
  const child: ChildProcess = spawn('python3', ['-c', terminal, ...command], {
    cwd: folder,
    env: { ...process.env, CLOSED: closed, _: undefined },
    stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
  });
  let shown = '';
  child.stdout!.on('data', (text) => {
    shown += String(text);
  });
  (child.stdio[3] as NodeJS.ReadableStream).resume();
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  await Promise.race([appears(waiting), ended]);
  child.stdin!.end('close\n');
  return { code: await ended, shown };
}

describe.runIf(hasTerminals)('a terminal that is closed (wants python3 and its pty)', () => {
  let model: string;
  let whole: Record<string, string>;
  beforeAll(async () => {
    model = await tinyModelDirectory();
    const { config, output } = runThat(model, '');
    expect(spawnSync(process.execPath, [program, 'finetune', config, '--quiet']).status).toBe(0);
    whole = tensorHashes(join(output, 'checkpoints'), 5);
  });

  /** A run that waits at its third step, for its signal or for the end of its terminal. */
  function waitingRun(waitsFor: 'signal' | 'closing') {
    const folder = temporaryFolder();
    const [waiting, closed] = [join(folder, 'waiting'), join(folder, 'closed')];
    const { config, output } = runThat(model, until(waitsFor === 'signal' ? itIsStopped : isClosed(closed), waiting));
    return { folder, waiting, closed, output, eam: [process.execPath, program, 'finetune', config] };
  }

  /** Goes on as a user does, and comes to the weights of a run that nothing has ended. */
  function expectResumed(output: string): void {
    const { status, stderr } = spawnSync(process.execPath, [program, 'finetune', output, '--resume'], {
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, expect.stringContaining('at step 2')]);
    expect(tensorHashes(join(output, 'checkpoints'), 5)).toEqual(whole);
  }

  it('ends a run with a checkpoint, from which it goes on bit for bit', async () => {
    const { folder, waiting, closed, output, eam } = waitingRun('signal');
    const { code, shown } = await hangUp(eam, folder, waiting, closed);
    // A terminal has made two characters of a line's end.
    expect(shown).toContain(`writing to ${output}\r\n`);
    expect([code, checkpointsOf(output)]).toEqual([130, ['step-2']]);
    expectResumed(output);
  });

  it('ends a run below a shell with a checkpoint, where the shell dies at once', async () => {
    const { folder, waiting, closed, output, eam } = waitingRun('signal');
    // The list keeps the shell from becoming the run itself.
    const { code } = await hangUp(['sh', '-c', '"$0" "$@"; true', ...eam], folder, waiting, closed);
    expect([code, checkpointsOf(output)]).toEqual([129, ['step-2']]);
    expectResumed(output);
  });

  it('ends nothing under nohup', async () => {
    const { folder, waiting, closed, output, eam } = waitingRun('closing');
    const { code } = await hangUp(['nohup', ...eam], folder, waiting, closed);
    expect([code, checkpointsOf(output)]).toEqual([0, ['step-5']]);
    expect(readFileSync(join(folder, 'nohup.out'), 'utf8')).toMatch(/report\.html/);
    expect(tensorHashes(join(output, 'checkpoints'), 5)).toEqual(whole);
  });

  it('ends nothing where a shell passes the signal over, though nobody sees the output any more', async () => {
    const { folder, waiting, closed, output, eam } = waitingRun('closing');
    const { code } = await hangUp(['sh', '-c', 'trap "" HUP; "$0" "$@"', ...eam], folder, waiting, closed);
    expect([code, checkpointsOf(output)]).toEqual([0, ['step-5']]);
    expect(tensorHashes(join(output, 'checkpoints'), 5)).toEqual(whole);
  });
});
