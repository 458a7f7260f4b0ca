// Finding LibTorch and the addon: the order, the reasons, and one message that says everything.
import { chmodSync, cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { inspect } from '../../lib/runtime/native/loader.js';
import { minorOf } from '../../lib/runtime/native/libtorch.js';
import { compiled, runNode } from '../helpers/child.js';
import { addon, bare, fake, home, libtorch, load, otherVersion, useEmptyHome } from '../helpers/bare-home.js';

useEmptyHome();

const inspectIn = async (env: Record<string, string>) =>
  JSON.parse(
    (
      await runNode(
        `import { inspect } from ${compiled('runtime/native/loader.js')}; console.log(JSON.stringify(inspect()));`,
        { env },
      )
    ).stdout,
  ) as ReturnType<typeof inspect>;

function command(name: string, body: string): void {
  const path = join(home, 'bin', name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
}

describe('the loader without a LibTorch', () => {
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
    expect(stdout).toContain('https://pytorch.org/get-started/locally/');
  });

  it('says how to get one by hand where there is no python3, and asks for no build tools', async () => {
    const { code, stdout, stderr } = await runNode(
      `process.argv.push('eam', 'libtorch'); await import(${compiled('cli/main.js')});`,
      { env: bare() },
    );
    expect(code).toBe(1);
    expect(stdout).toBe('');
    for (const part of [
      'python3 is not on PATH',
      'https://pytorch.org/get-started/locally/',
      'unzip it',
      'set EAM_TORCH_LIBTORCH',
    ])
      expect(stderr).toContain(part);
    expect(stderr).not.toMatch(/native build|cmake/);
  });

  it('never throws in inspect', async () => {
    const found = await inspectIn(bare({ EAM_TORCH_LIBTORCH: join(home, 'nowhere') }));
    expect(found.loaded).toBeUndefined();
    expect(found.error).toContain('the folder does not exist');
    expect(await inspectIn(bare({ EAM_TORCH_VARIANT: 'tpu', EAM_TORCH_BUILD_DIR: '' }))).toMatchObject({
      error: expect.stringContaining('EAM_TORCH_VARIANT: expected one of cuda, cpu, got tpu') as unknown,
    });
  });
});

describe('the loader without an addon', () => {
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
    cpSync(addon.directory, broken, {
      recursive: true,
      filter: (path) => path === addon.directory || /eam_(loader\.node|torch\.json)$/.test(path),
    });
    writeFileSync(join(broken, 'eam_torch.node'), 'garbage');
    const { code, stdout } = await load(bare({ EAM_TORCH_BUILD_DIR: broken, EAM_TORCH_LIBTORCH: libtorch.directory }));
    expect(code).toBe(3);
    expect(stdout).toMatch(new RegExp(`- ${broken}: .*(file too short|invalid ELF header)`));
    writeFileSync(join(broken, 'eam_loader.node'), 'garbage');
    const { stdout: second } = await load(
      bare({ EAM_TORCH_BUILD_DIR: broken, EAM_TORCH_LIBTORCH: libtorch.directory }),
    );
    expect(second).toContain('NativeLoadError');
    expect(second).toMatch(new RegExp(`- ${broken}: .*eam_loader.node.*(file too short|invalid ELF header)`));
    writeFileSync(join(broken, 'eam_torch.json'), '{');
    expect((await load(bare({ EAM_TORCH_BUILD_DIR: broken }))).stdout).toContain('eam_torch.json cannot be read');
  });
});

describe('EAM_TORCH_LIBTORCH', () => {
  it('is taken before anything else, and Python is not even asked', async () => {
    command('python3', `touch ${join(home, 'asked')}`);
    const { code, stdout } = await load(
      bare({ EAM_TORCH_LIBTORCH: libtorch.directory, LIBTORCH: fake('other', addon.libtorch) }),
    );
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
    {
      what: 'of another minor version',
      make: () => fake('old', otherVersion),
      reason:
        `version ${otherVersion}, but the ${addon.variant} addon was built against ${addon.libtorch} and needs ` +
        `${minorOf(addon.libtorch)}.x`,
    },
    {
      what: 'of another minor version in an archive',
      make: () => fake('old', otherVersion, { file: 'build-version' }),
      reason: `version ${otherVersion}, but`,
    },
    { what: 'without a version', make: () => fake('unknown', undefined), reason: 'its version is unknown' },
    {
      what: 'without libraries',
      make: () => fake('empty', addon.libtorch, { libraries: [] }),
      reason: 'no lib/libtorch_cpu.so in it',
    },
    { what: 'that does not exist', make: () => '/no/such/folder', reason: 'the folder does not exist' },
    { what: 'with a broken library', make: () => fake('broken', addon.libtorch), reason: 'invalid ELF header' },
  ])('is an error, never skipped, for a folder $what', async ({ make, reason }) => {
    mkdirSync(join(home, '.cache', 'eam-torch'), { recursive: true });
    const good = join(home, '.cache', 'eam-torch', `libtorch-${libtorch.version}-cpu`);
    symlinkSync(join(libtorch.directory, '..'), good);
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

describe('the search for a LibTorch', () => {
  it('lists every candidate that does not fit, each with its reason', async () => {
    const old = fake('old', otherVersion);
    const broken = fake('broken', addon.libtorch);
    const cached = fake(join('.cache', 'eam-torch', 'libtorch-1-cpu', 'torch'), undefined);
    command('python3', `echo ${broken}`);
    command('python', 'exit 4');
    const { code, stdout } = await load(bare({ LIBTORCH: old, VIRTUAL_ENV: join(home, 'venv') }));
    expect(code).toBe(3);
    expect(stdout).toContain(`- LIBTORCH, ${old} (${otherVersion}, ${addon.variant}): version ${otherVersion}`);
    expect(stdout).toMatch(/- Python of VIRTUAL_ENV: .*venv.bin.python: not found/);
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

  it('lists in inspect also what comes after the one that is taken', async () => {
    const found = await inspectIn(bare({ LIBTORCH: libtorch.directory }));
    expect(found.loaded?.libtorch).toMatchObject({ source: 'LIBTORCH', directory: libtorch.directory });
    expect(found.candidates.map((candidate) => candidate.source)).toEqual(
      expect.arrayContaining(['EAM_TORCH_LIBTORCH', 'LIBTORCH', 'python3', 'cache', 'system']),
    );
    expect(found.error).toBeUndefined();
  });
});
