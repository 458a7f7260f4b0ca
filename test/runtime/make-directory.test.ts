import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';

import { describe, expect, it } from 'vitest';

import { inspect } from '../../lib/runtime/native/loader.js';
import { makeDirectory } from '../../lib/runtime/make-directory.js';
import { runNode, compiled } from '../helpers/child.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const codeOf = (path: string): string | undefined => {
  try {
    makeDirectory(path);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
};

describe('makeDirectory', () => {
  it('makes what is missing, and says which was the topmost', () => {
    const folder = temporaryFolder();
    expect(makeDirectory(join(folder, 'a', 'b', 'c'))).toBe(join(folder, 'a'));
    expect(makeDirectory(join(folder, 'a', 'b', 'd'))).toBe(join(folder, 'a', 'b', 'd'));
    expect(makeDirectory(join(folder, 'a', 'b'))).toBeUndefined();
    expect(makeDirectory(`${relative('.', folder)}/e/../f/`)).toMatch(/f\/$/);
    expect(['a/b/c', 'a/b/d', 'f'].every((name) => statSync(join(folder, name)).isDirectory())).toBe(true);
    expect(existsSync(join(folder, 'e'))).toBe(false);
    expect(makeDirectory('.')).toBeUndefined();
    expect(makeDirectory('/')).toBeUndefined();
  });

  it('takes a link to a directory for one, and refuses a file, what is below one, and a link to nothing', () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'there'));
    symlinkSync('there', join(folder, 'link'));
    symlinkSync('nowhere', join(folder, 'broken'));
    writeFileSync(join(folder, 'file'), '');
    expect(makeDirectory(join(folder, 'link'))).toBeUndefined();
    expect(makeDirectory(join(folder, 'link', 'new'))).toBe(join(folder, 'link', 'new'));
    expect(codeOf(join(folder, 'file'))).toBe('EEXIST');
    expect(codeOf(join(folder, 'file', 'a', 'b'))).toBe('ENOTDIR');
    expect(codeOf(join(folder, 'broken'))).toBe('EEXIST');
    expect(codeOf(join(folder, 'broken', 'a'))).toBe('EEXIST');
  });

  it.skipIf(process.getuid?.() === 0)('says where it may not write', () => {
    const folder = temporaryFolder();
    chmodSync(folder, 0o500);
    expect(codeOf(join(folder, 'a', 'b'))).toBe('EACCES');
    chmodSync(folder, 0o700);
    rmSync(folder, { recursive: true });
  });

  // Node's own never comes back from these; in a process of its own, that can be ended.
  it.runIf(existsSync('/proc/self'))('ends where a directory is there and takes no new one', async () => {
    const script = `
      const { makeDirectory } = await import(${compiled('runtime/make-directory.js')});
      for (const path of ['/proc/a', '/proc/a/b/c', '/proc/self/a/b', '/sys/a/b', '/dev/fd/a/b']) {
        try { makeDirectory(path); } catch (error) { console.log(typeof error.code); }
      }`;
    const { code, stdout } = await runNode(script);
    expect([code, stdout]).toEqual([0, 'string\n'.repeat(5)]);
  });
});

describe('lib/', () => {
  it('makes directories by makeDirectory alone, or one level of them', () => {
    const files = readdirSync('lib', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
    expect(files.length).toBeGreaterThan(100);
    const recursive = /mkdir(Sync)?\([^;]*recursive/;
    expect(files.filter((name) => recursive.test(readFileSync(join('lib', name), 'utf8')))).toEqual([]);
  });
});

describe('a process without a home', () => {
  const { loaded } = inspect();
  const refusing = `data:text/javascript,${encodeURIComponent(`
    import os from 'node:os';
    import { syncBuiltinESMExports } from 'node:module';
    const refuse = (name) => () => { throw new Error(name + ' returned ENOENT'); };
    os.homedir = refuse('uv_os_homedir');
    os.userInfo = refuse('uv_os_get_passwd');
    os.hostname = refuse('uv_os_gethostname');
    os.tmpdir = refuse('uv_os_tmpdir');
    syncBuiltinESMExports();`)}`;
  const { HOME: _, XDG_CACHE_HOME: __, ...env } = process.env;

  it.each([
    { what: 'without a user that the system knows', args: ['--import', refusing], more: {} },
    { what: 'with an empty HOME', args: [], more: { HOME: '' } },
    { what: 'with a HOME that is no absolute path', args: [], more: { HOME: 'home' } },
    { what: 'with a HOME that takes no directories', args: [], more: { HOME: '/proc' } },
    { what: 'with a cache below a file', args: [], more: { XDG_CACHE_HOME: '/dev/null' } },
    { what: 'without a user or programs', args: ['--import', refusing], more: { PATH: '/nowhere' } },
  ])('imports the package, and computes, $what', async ({ args, more }) => {
    const script = `
      const { Tensor } = await import(${compiled('index.js')});
      console.log(Array.from(await Tensor.from([1, 2], [2]).data()).join());`;
    const given = { ...env, EAM_TORCH_LIBTORCH: loaded!.libtorch.directory, ...more };
    const { code, stdout, stderr } = await runNode(script, { args, env: given });
    expect([code, stdout, stderr]).toEqual([0, '1,2\n', '']);
  });
});
