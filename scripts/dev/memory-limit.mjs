// Prefixes of a command that limit its memory: of all of its processes together where this system lets a group of
// processes be made (cgroup v2), and else of each of them.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * @param bytes the memory, in bytes
 * @param groups where cgroup v2 is mounted
 * @returns what is limited, in words, the prefix, and what removes the group afterwards; undefined where nothing limits
 */
export function memoryLimit(bytes, groups = '/sys/fs/cgroup') {
  return scope(bytes) ?? group(bytes, groups) ?? each(bytes);
}

const together = 'all processes together';

/** A group that systemd makes. Containers mostly have none. */
function scope(bytes) {
  const user = process.getuid?.() === 0 ? [] : ['--user'];
  const limits = ['-p', `MemoryMax=${bytes}`, '-p', 'MemorySwapMax=0'];
  const prefix = ['systemd-run', ...user, '--scope', '--quiet', ...limits, '--'];
  const { status } = spawnSync(prefix[0], [...prefix.slice(1), 'true'], { stdio: 'ignore' });
  return status === 0 ? { limits: together, prefix, remove() {} } : undefined;
}

/** A group that is made by hand, where this process may and where the controller is there and not in use. */
export function group(bytes, groups) {
  const folder = join(groups, `eam-load-${process.pid}`);
  const remove = () => {
    try {
      rmdirSync(folder);
    } catch {}
  };
  try {
    if (!/\bmemory\b/.test(readFileSync(join(groups, 'cgroup.controllers'), 'utf8'))) return undefined;
    writeFileSync(join(groups, 'cgroup.subtree_control'), '+memory');
    mkdirSync(folder);
    writeFileSync(join(folder, 'memory.max'), String(bytes));
    writeFileSync(join(folder, 'memory.swap.max'), '0');
  } catch {
    remove();
    return undefined;
  }
  const enter = 'echo $$ > "$0" && exec "$@"';
  return { limits: together, prefix: ['sh', '-c', enter, join(folder, 'cgroup.procs')], remove };
}

/** The limit is on memory that a process writes to; V8 reserves addresses far beyond. */
function each(bytes) {
  if (spawnSync('prlimit', ['--version'], { stdio: 'ignore' }).error) return undefined;
  return { limits: 'each process', prefix: ['prlimit', `--data=${bytes}`], remove() {} };
}
