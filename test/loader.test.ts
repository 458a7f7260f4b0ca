// Finding LibTorch and the addon: the order, the reasons, and one message that says everything.
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { inspect } from '../lib/native/loader.js';
import { minorOf } from '../lib/native/libtorch.js';
import { compiled, runNode } from './helpers/child.js';

const { loaded, error } = inspect();
if (!loaded) throw new Error(error);
const { addon, libtorch } = loaded;
const otherVersion = minorOf(addon.libtorch) === '2.12' ? '2.11.0' : '2.12.0';
const library = `libtorch_${addon.variant}.so`;

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'eam-loader-'));
  mkdirSync(join(home, 'bin'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

/** Nothing of this machine: no Python, an empty home, and the tested addon. */
const bare = (more: Record<string, string> = {}) => ({ HOME: home, PATH: join(home, 'bin'), EAM_TORCH_BUILD_DIR: addon.directory, ...more });

const load = (env: Record<string, string>) =>
  runNode(
    `import { load } from ${compiled('native/loader.js')};
     try { const { libtorch } = load(); console.log(JSON.stringify({ source: libtorch.source, directory: libtorch.directory })); }
     catch (error) { console.log(error.name, error.code); console.log(error.message); process.exitCode = 3; }`,
    { env },
  );
const inspectIn = async (env: Record<string, string>) =>
  JSON.parse((await runNode(`import { inspect } from ${compiled('native/loader.js')}; console.log(JSON.stringify(inspect()));`, { env })).stdout) as ReturnType<typeof inspect>;

/** A folder that looks like a LibTorch of some version; its libraries are not ones. */
function fake(name: string, version: string | undefined, { file = 'version.py', libraries = ['libtorch_cpu.so', library] } = {}): string {
  const directory = join(home, name);
  mkdirSync(join(directory, 'lib'), { recursive: true });
  for (const each of libraries) writeFileSync(join(directory, 'lib', each), 'not a library '.repeat(100));
  if (version) writeFileSync(join(directory, file), file === 'version.py' ? `__version__ = '${version}'\n` : `${version}\n`);
  return directory;
}

function command(name: string, body: string): void {
  const path = join(home, 'bin', name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
}

describe('without a LibTorch', () => {
  it('says where it looked and what to do', async () => {
    const { code, stdout } = await load(bare());
    expect(code).toBe(3);
    expect(stdout).toContain('NativeLoadError ERR_EAM_NATIVE_LOAD');
    expect(stdout).toContain('- EAM_TORCH_LIBTORCH: not set');
    expect(stdout).toContain('- LIBTORCH: not set');
    expect(stdout).toContain('- python3: not found');
    expect(stdout).toContain(`- cache, ${join(home, '.cache', 'eam-torch')}: nothing fetched yet`);
    expect(stdout).toContain('- system, /opt/libtorch: the folder does not exist');
    expect(stdout).toContain('npx eam build');
    expect(stdout).toContain('export EAM_TORCH_LIBTORCH=');
  });

  it('importing the package says the same, and other modules still load', async () => {
    const ended = await runNode(
      `await import(${compiled('errors.js')});
       await import(${compiled('tensor.js')}).catch((error) => console.log(error.name, error.message.split('\\n')[0]));`, { env: bare() });
    expect(ended).toMatchObject({ code: 0, stdout: 'NativeLoadError eam-torch could not load its native core.\n' });
  });

  it('inspect never throws', async () => {
    const found = await inspectIn(bare({ EAM_TORCH_LIBTORCH: join(home, 'nowhere') }));
    expect(found.loaded).toBeUndefined();
    expect(found.error).toContain('the folder does not exist');
    expect(await inspectIn(bare({ EAM_TORCH_VARIANT: 'tpu', EAM_TORCH_BUILD_DIR: '' }))).toMatchObject({ error: expect.stringContaining("EAM_TORCH_VARIANT is 'tpu'") as unknown });
  });
});

describe('without an addon', () => {
  it('says which folders are empty', async () => {
    const empty = join(home, 'build');
    mkdirSync(empty);
    const { stdout } = await load(bare({ EAM_TORCH_BUILD_DIR: empty }));
    expect(stdout).toContain(`- ${empty}: not built`);
    expect(stdout).toContain('npx eam build');
    expect(stdout).not.toContain('LibTorch:'); // no version to look for
  });

  it('reports an addon that cannot be opened', async () => {
    const broken = join(home, 'build');
    cpSync(addon.directory, broken, { recursive: true, filter: (path) => path === addon.directory || /eam_(loader\.node|torch\.json)$/.test(path) });
    writeFileSync(join(broken, 'eam_torch.node'), 'garbage');
    const { code, stdout } = await load(bare({ EAM_TORCH_BUILD_DIR: broken, EAM_TORCH_LIBTORCH: libtorch.directory }));
    expect(code).toBe(3);
    expect(stdout).toMatch(new RegExp(`- ${broken}: .*(file too short|invalid ELF header)`));
    writeFileSync(join(broken, 'eam_loader.node'), 'garbage');
    const { stdout: second } = await load(bare({ EAM_TORCH_BUILD_DIR: broken, EAM_TORCH_LIBTORCH: libtorch.directory }));
    expect(second).toContain('NativeLoadError');
    expect(second).toMatch(new RegExp(`- ${broken}: .*eam_loader.node.*(file too short|invalid ELF header)`));
    writeFileSync(join(broken, 'eam_torch.json'), '{');
    expect((await load(bare({ EAM_TORCH_BUILD_DIR: broken }))).stdout).toContain('eam_torch.json cannot be read');
  });
});

describe('EAM_TORCH_LIBTORCH', () => {
  it('is taken before anything else, and Python is not even asked', async () => {
    command('python3', `touch ${join(home, 'asked')}`);
    const { code, stdout } = await load(bare({ EAM_TORCH_LIBTORCH: libtorch.directory, LIBTORCH: fake('other', addon.libtorch) }));
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ source: 'EAM_TORCH_LIBTORCH', directory: libtorch.directory });
    expect(existsSync(join(home, 'asked'))).toBe(false);
  });

  it('may name the folder that holds torch', async () => {
    mkdirSync(join(home, 'site-packages'));
    symlinkSync(libtorch.directory, join(home, 'site-packages', 'torch'));
    expect((await load(bare({ EAM_TORCH_LIBTORCH: join(home, 'site-packages') }))).code).toBe(0);
  });

  it.each([
    ['of another minor version', () => fake('old', otherVersion), `version ${otherVersion}, but the ${addon.variant} addon was built against ${addon.libtorch} and needs ${minorOf(addon.libtorch)}.x`],
    ['of another minor version in an archive', () => fake('old', otherVersion, { file: 'build-version' }), `version ${otherVersion}, but`],
    ['without a version', () => fake('unknown', undefined), 'its version is unknown'],
    ['without libraries', () => fake('empty', addon.libtorch, { libraries: [] }), 'no lib/libtorch_cpu.so in it'],
    ['that does not exist', () => '/no/such/folder', 'the folder does not exist'],
    ['with a broken library', () => fake('broken', addon.libtorch), 'invalid ELF header'],
  ])('%s is an error, never skipped', async (_, make, reason) => {
    mkdirSync(join(home, '.cache', 'eam-torch'), { recursive: true });
    symlinkSync(join(libtorch.directory, '..'), join(home, '.cache', 'eam-torch', `libtorch-${libtorch.version}-cpu`)); // a good one
    const directory = make();
    const { code, stdout } = await load(bare({ EAM_TORCH_LIBTORCH: directory }));
    expect(code).toBe(3);
    expect(stdout).toContain('NativeLoadError');
    expect(stdout).toContain(`- EAM_TORCH_LIBTORCH, ${directory}`);
    expect(stdout).toContain(reason);
    expect(stdout).toContain('unset EAM_TORCH_LIBTORCH');
    expect((await load(bare())).code).toBe(0); // the good one, once it is unset
  });
});

describe('the search', () => {
  it('lists every candidate that does not fit, each with its reason', async () => {
    const old = fake('old', otherVersion);
    const broken = fake('broken', addon.libtorch);
    const cached = fake(join('.cache', 'eam-torch', 'libtorch-1-cpu', 'torch'), undefined);
    command('python3', `echo ${broken}`);
    command('python', 'exit 4');
    const { code, stdout } = await load(bare({ LIBTORCH: old, VIRTUAL_ENV: join(home, 'venv') }));
    expect(code).toBe(3);
    expect(stdout).toContain(`- LIBTORCH, ${old} (${otherVersion}, ${addon.variant}): version ${otherVersion}`);
    expect(stdout).toMatch(new RegExp(`- Python of VIRTUAL_ENV: .*venv.bin.python: not found`));
    expect(stdout).toMatch(new RegExp(`- python3, ${broken} .*invalid ELF header`));
    expect(stdout).toContain('- python: failed with status 4');
    expect(stdout).toContain(`- cache, ${cached} `.trimEnd());
    expect(stdout).not.toContain('unset EAM_TORCH_LIBTORCH');
  });

  it('goes on after one that does not open', async () => {
    command('python3', `echo ${libtorch.directory}`);
    const { stdout } = await load(bare({ LIBTORCH: fake('broken', addon.libtorch) }));
    expect(JSON.parse(stdout)).toEqual({ source: 'python3', directory: libtorch.directory });
  });

  it('asks the active environment before the Python on PATH', async () => {
    command('python3', `echo ${fake('other', addon.libtorch)}`);
    command(join('..', 'venv', 'bin', 'python'), `echo ${libtorch.directory}`);
    const { stdout } = await load(bare({ VIRTUAL_ENV: join(home, 'venv') }));
    expect(JSON.parse(stdout)).toEqual({ source: 'Python of VIRTUAL_ENV', directory: libtorch.directory });
  });

  it('finds what was fetched into the cache', async () => {
    mkdirSync(join(home, 'cache', 'eam-torch', 'libtorch-x-cpu'), { recursive: true });
    symlinkSync(libtorch.directory, join(home, 'cache', 'eam-torch', 'libtorch-x-cpu', 'torch'));
    const { stdout } = await load(bare({ XDG_CACHE_HOME: join(home, 'cache') }));
    expect(JSON.parse(stdout)).toMatchObject({ source: 'cache' });
  });

  it('inspect lists also what comes after the one that is taken', async () => {
    const found = await inspectIn(bare({ LIBTORCH: libtorch.directory }));
    expect(found.loaded?.libtorch).toMatchObject({ source: 'LIBTORCH', directory: libtorch.directory });
    expect(found.candidates.map((candidate) => candidate.source)).toEqual(expect.arrayContaining(['EAM_TORCH_LIBTORCH', 'LIBTORCH', 'python3', 'cache', 'system']));
    expect(found.error).toBeUndefined();
  });
});
