// Processes that see nothing of this machine but the tested addon.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach } from 'vitest';

import { inspect } from '../../lib/runtime/native/loader.js';
import { minorOf } from '../../lib/runtime/native/libtorch.js';
import { compiled, runNode } from './child.js';

const { loaded, error } = inspect();
if (!loaded) throw new Error(error);
export const { addon, libtorch } = loaded;
export const otherVersion = minorOf(addon.libtorch) === '2.12' ? '2.11.0' : '2.12.0';
export const library = `libtorch_${addon.variant}.so`;

/** The home of the test that runs, for {@link useEmptyHome}. */
export let home: string;

/** Gives every test of a file an empty `home` of its own. */
export function useEmptyHome(): void {
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'eam-loader-'));
    mkdirSync(join(home, 'bin'));
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));
}

/** The environment of a process that sees nothing of this machine: no Python, an empty home, and the tested addon. */
export const bare = (more: Record<string, string> = {}) => ({
  HOME: home,
  PATH: join(home, 'bin'),
  EAM_TORCH_BUILD_DIR: addon.directory,
  ...more,
});

/** Loads the addon in a process of its own, which prints the LibTorch that it took or the error. */
export const load = (env: Record<string, string>) =>
  runNode(
    `import { load } from ${compiled('runtime/native/loader.js')};
     try {
       const { source, directory } = load().libtorch;
       console.log(JSON.stringify({ source, directory }));
     } catch (error) { console.log(error.name, error.code); console.log(error.message); process.exitCode = 3; }`,
    { env },
  );

/** Makes a folder that looks like a LibTorch of some version; its libraries are not ones. */
export function fake(
  name: string,
  version: string | undefined,
  { file = 'version.py', libraries = ['libtorch_cpu.so', library] } = {},
): string {
  const directory = join(home, name);
  mkdirSync(join(directory, 'lib'), { recursive: true });
  for (const each of libraries) writeFileSync(join(directory, 'lib', each), 'not a library '.repeat(100));
  if (version)
    writeFileSync(join(directory, file), file === 'version.py' ? `__version__ = '${version}'\n` : `${version}\n`);
  return directory;
}
