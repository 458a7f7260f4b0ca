import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { withLock } from '../../lib/jobs/lock.js';
import { BuildError, runCommand } from '../../lib/jobs/build/run-command.js';
import { findExecutable, inspectTools, missingToolsMessage } from '../../lib/jobs/build/tools.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'eam-build-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function script(name: string, body: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

describe("the check of the build's tools", () => {
  it('names every missing tool at once, with the command that installs it', () => {
    script('apt-get', 'exit 0');
    const message = missingToolsMessage(inspectTools(['compiler', 'cmake', 'make', 'python'], folder), folder)!;
    for (const name of ['g++', 'cmake', 'ninja-build', 'python3-pip']) {
      expect(message).toMatch(new RegExp(`apt-get install -y .*${name.replaceAll('+', '\\+')}`));
    }
    expect(message).toMatch(/apt-get install -y g\+\+ cmake ninja-build python3 python3-pip/);
    expect(message).not.toContain('dnf');
  });

  it('gives the commands of every package manager it knows where it finds none', () => {
    const message = missingToolsMessage(inspectTools(['cmake'], folder), folder)!;
    expect(message).toContain('apt-get install -y cmake');
    expect(message).toContain('dnf install -y cmake');
    expect(message).toContain('brew install cmake');
  });

  it('rejects a cmake that is too old and a compiler without C++20', () => {
    script('cmake', 'echo cmake version 3.16.3');
    script(
      'g++',
      'case "$1" in --version) echo g++ 7.5.0;; *) echo "unrecognized option -std=c++20" >&2; exit 1;; esac',
    );
    const message = missingToolsMessage(inspectTools(['compiler', 'cmake'], folder), folder)!;
    expect(message).toContain('is version 3.16.3');
    expect(message).toContain('cannot compile C++20: unrecognized option -std=c++20');
  });

  it('accepts what is complete, and says nothing', () => {
    expect(missingToolsMessage(inspectTools(['compiler', 'cmake', 'make']))).toBeUndefined();
  });

  it('finds only what can be executed', () => {
    writeFileSync(join(folder, 'cmake'), 'not executable', { mode: 0o644 });
    expect(findExecutable(['cmake'], folder)).toBeUndefined();
    expect(findExecutable(['nothing'], folder)).toBeUndefined();
  });
});

describe('a step of the build', () => {
  it('keeps its output in a log and ends its error with it', async () => {
    const logFile = join(folder, 'step.log');
    const failing = runCommand('sh', ['-c', 'echo first; echo broken >&2; exit 3'], { logFile });
    await expect(failing).rejects.toThrow(BuildError);
    await expect(failing).rejects.toThrow(/exit code 3[\s\S]*first[\s\S]*broken/);
  });

  it('says so where the command does not exist', async () => {
    await expect(runCommand(join(folder, 'absent'), [], { logFile: join(folder, 'log') })).rejects.toThrow(/ENOENT/);
  });
});

describe('the lock of the build', () => {
  it('lets one in at a time', async () => {
    const lock = join(folder, 'lock');
    let inside = 0;
    let most = 0;
    const enter = () =>
      withLock(
        lock,
        () => {},
        async () => {
          most = Math.max(most, ++inside);
          await new Promise((resolve) => setTimeout(resolve, 20));
          inside--;
        },
      );
    await Promise.all([enter(), enter(), enter()]);
    expect(most).toBe(1);
    expect(existsSync(lock)).toBe(false);
  });

  it('is taken over from a process that died', async () => {
    const child = spawn('true');
    await once(child, 'exit');
    const lock = join(folder, 'lock');
    writeFileSync(lock, String(child.pid));
    expect(
      await withLock(
        lock,
        () => {},
        async () => 'in',
      ),
    ).toBe('in');
  });

  it('is released where the work throws', async () => {
    const lock = join(folder, 'lock');
    await expect(
      withLock(
        lock,
        () => {},
        async () => {
          throw new Error('broken');
        },
      ),
    ).rejects.toThrow('broken');
    expect(existsSync(lock)).toBe(false);
  });
});
