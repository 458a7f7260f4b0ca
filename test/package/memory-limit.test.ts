// The limit on memory of `npm run test:load`, with folders in the place of the system's control groups.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, describe, expect, it, vi } from 'vitest';

import { group, memoryLimit } from '../../scripts/dev/memory-limit.mjs';
import { temporaryFolder } from '../helpers/tiny-run.js';

afterEach(() => vi.unstubAllEnvs());

/** A mount of cgroup v2 with these controllers. */
function mount(controllers: string): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'cgroup.controllers'), controllers);
  writeFileSync(join(folder, 'cgroup.subtree_control'), '');
  return folder;
}

describe('a group of processes with a limit on memory', () => {
  it('has the limit, no swap, and the command that runs in it', () => {
    const folder = mount('cpu memory pids');
    const limit = group(4 * 2 ** 30, folder)!;
    expect(limit.limits).toBe('all processes together');
    const own = join(folder, `eam-load-${process.pid}`);
    expect(readFileSync(join(folder, 'cgroup.subtree_control'), 'utf8')).toBe('+memory');
    expect(readFileSync(join(own, 'memory.max'), 'utf8')).toBe('4294967296');
    expect(readFileSync(join(own, 'memory.swap.max'), 'utf8')).toBe('0');
    const [command, ...rest] = [...limit.prefix, 'sh', '-c', 'echo $$; exit 7'];
    const { status, stdout } = spawnSync(command!, rest, { encoding: 'utf8' });
    expect([status, stdout]).toEqual([7, readFileSync(join(own, 'cgroup.procs'), 'utf8')]);
  });

  it.each([
    { what: 'without the controller', prepare: () => mount('cpu pids') },
    { what: 'that is not mounted', prepare: () => join(temporaryFolder(), 'none') },
    {
      what: 'that refuses',
      prepare: () => {
        const folder = mount('memory');
        // Nobody writes into a folder, as nobody does into the groups of others.
        mkdirSync(join(folder, `eam-load-${process.pid}`, 'memory.max'), { recursive: true });
        return folder;
      },
    },
  ])('is not made $what', ({ prepare }) => expect(group(1e9, prepare())).toBeUndefined());

  it('is removed afterwards', () => {
    const folder = mount('memory');
    const limit = group(1e9, folder)!;
    const own = join(folder, `eam-load-${process.pid}`);
    // The kernel's own files vanish with the group; these do not.
    for (const name of readdirSync(own)) rmSync(join(own, name));
    limit.remove();
    expect(existsSync(own)).toBe(false);
  });
});

describe('memoryLimit', () => {
  it('falls back to a limit for each process, and says so', () => {
    const bin = temporaryFolder();
    writeFileSync(join(bin, 'prlimit'), '#!/bin/sh\n', { mode: 0o755 });
    vi.stubEnv('PATH', bin);
    const limit = memoryLimit(4 * 2 ** 30, join(bin, 'none'));
    expect(limit).toMatchObject({ limits: 'each process', prefix: ['prlimit', '--data=4294967296'] });
  });

  it('is undefined where nothing limits', () => {
    vi.stubEnv('PATH', temporaryFolder());
    expect(memoryLimit(1e9, '/none')).toBeUndefined();
  });
});
