// Finding LibTorch and the addon: the order, the reasons, and one message that says everything.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { inspect } from '../../lib/runtime/native/loader.js';
import { mainLibrary, minorOf } from '../../lib/runtime/native/libtorch.js';
import { neededLibraries } from '../../lib/runtime/native/needed-libraries.js';
import { compiled, runNode } from '../helpers/child.js';

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
const bare = (more: Record<string, string> = {}) => ({
  HOME: home,
  PATH: join(home, 'bin'),
  EAM_TORCH_BUILD_DIR: addon.directory,
  ...more,
});

const load = (env: Record<string, string>) =>
  runNode(
    `import { load } from ${compiled('runtime/native/loader.js')};
     try {
       const { source, directory } = load().libtorch;
       console.log(JSON.stringify({ source, directory }));
     } catch (error) { console.log(error.name, error.code); console.log(error.message); process.exitCode = 3; }`,
    { env },
  );
const inspectIn = async (env: Record<string, string>) =>
  JSON.parse(
    (
      await runNode(
        `import { inspect } from ${compiled('runtime/native/loader.js')}; console.log(JSON.stringify(inspect()));`,
        { env },
      )
    ).stdout,
  ) as ReturnType<typeof inspect>;

/** A folder that looks like a LibTorch of some version; its libraries are not ones. */
function fake(
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

function command(name: string, body: string): void {
  const path = join(home, 'bin', name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
}

/** A shared library of that name, from C, that needs those of these names in its own folder. */
function compile(directory: string, name: string, code = '', needed: readonly string[] = []): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(home, 'library.c'), code);
  const link = ['-Wl,-rpath,$ORIGIN', '-Wl,--no-as-needed', '-L', directory, ...needed.map((each) => `-l:${each}`)];
  const output = ['-o', join(directory, name), join(home, 'library.c')];
  execFileSync('cc', ['-shared', '-fPIC', `-Wl,-soname,${name}`, ...output, ...link]);
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
      error: expect.stringContaining("EAM_TORCH_VARIANT is 'tpu'") as unknown,
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

describe('the libraries of a LibTorch', () => {
  const lib = join(libtorch.directory, 'lib');
  const main = mainLibrary(libtorch.directory, addon.variant);
  const own = neededLibraries(main).flatMap(({ path }) => (path === undefined ? [] : [path]));

  /** The LibTorch libraries and OpenMPs that a process has mapped, once it has loaded and drawn a number. */
  const mapped = async (env: Record<string, string>) => {
    const ended = await runNode(
      `const { philoxNormal } = await import(${compiled('runtime/kernels.js')});
       await philoxNormal([10], { seed: 1n, stream: 1n });
       const { readFileSync } = await import('node:fs');
       const paths = readFileSync('/proc/self/maps', 'utf8').split('\\n').map((line) => line.slice(line.indexOf('/')));
       console.log(JSON.stringify([...new Set(paths.filter((path) => /\\/lib(c10|torch|gomp)[^/]*$/.test(path)))]));`,
      { env: bare({ EAM_TORCH_LIBTORCH: libtorch.directory, ...env }) },
    );
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    return JSON.parse(ended.stdout) as string[];
  };

  it('are read from the files, each after what it needs', () => {
    const names = own.map((path) => basename(path));
    expect(names).toContain('libc10.so');
    for (const [index, path] of own.entries()) {
      const later = own.slice(index + 1);
      expect(
        neededLibraries(path).filter((needed) => needed.path !== undefined && later.includes(needed.path)),
      ).toEqual([]);
    }
  });

  it('are those of the LibTorch asked for, whatever LD_LIBRARY_PATH holds', async () => {
    const elsewhere = join(home, 'elsewhere');
    const names = readdirSync(lib).filter((name) => /^lib(c10|gomp|torch_cpu)\b.*\.so/.test(name));
    expect(names).toEqual(expect.arrayContaining(['libc10.so', 'libtorch_cpu.so']));
    for (const name of names) compile(elsewhere, name);
    const paths = await mapped({ LD_LIBRARY_PATH: elsewhere });
    expect(paths.map((path) => basename(path)).sort()).toEqual(
      expect.arrayContaining(['libc10.so', 'libtorch_cpu.so']),
    );
    expect(paths.filter((path) => dirname(path) !== realpathSync(lib))).toEqual([]);
  });

  it('are refused where one of them comes from elsewhere', async () => {
    const directory = fake('partial', addon.libtorch, { libraries: [] });
    for (const name of readdirSync(lib).filter((each) => each !== 'libc10.so'))
      symlinkSync(join(lib, name), join(directory, 'lib', name));
    const { code, stdout } = await load(bare({ EAM_TORCH_LIBTORCH: directory, LD_LIBRARY_PATH: lib }));
    expect(code).toBe(3);
    expect(stdout).toContain(
      `its libc10.so is not ${join(directory, 'lib', 'libc10.so')} but ${join(lib, 'libc10.so')}, which ` +
        'LD_LIBRARY_PATH',
    );
  });

  it('are refused where another addon has opened those of another LibTorch before', async () => {
    compile(join(home, 'other', 'lib'), 'libc10.so');
    const ended = await runNode(
      `import { createRequire } from 'node:module';
       const { open } = createRequire('/')(${JSON.stringify(join(addon.directory, 'eam_loader.node'))});
       open(${JSON.stringify(join(home, 'other', 'lib', 'libc10.so'))});
       const { load } = await import(${compiled('runtime/native/loader.js')});
       try { load(); } catch (error) { console.log(error.message); }`,
      { env: bare({ EAM_TORCH_LIBTORCH: libtorch.directory }) },
    );
    expect(ended).toMatchObject({ code: 0, signal: null });
    expect(ended.stdout).toContain(
      `its libc10.so is not ${join(lib, 'libc10.so')} but ${join(home, 'other', 'lib', 'libc10.so')}`,
    );
  });

  it('are refused where they are of another version than the file beside them says', async () => {
    const directory = fake('renamed', addon.libtorch, { libraries: [] });
    for (const name of new Set(['libtorch_cpu.so', library]))
      compile(
        join(directory, 'lib'),
        name,
        'unsigned long long aoti_torch_abi_version(void) { return 2ull << 56 | 10ull << 48 | 1ull << 40; }',
      );
    const { stdout } = await load(bare({ EAM_TORCH_LIBTORCH: directory }));
    expect(stdout).toContain(
      `${join(directory, 'lib', 'libtorch_cpu.so')} says that it is LibTorch 2.10.1, whatever the version file ` +
        `beside it says; the addon needs ${minorOf(addon.libtorch)}.x`,
    );
  });

  const says = (version: bigint) => `unsigned long long aoti_torch_abi_version(void) { return ${version}ull; }`;

  /**
   * A LibTorch 2.10 whose libtorch_user.so uses a variable of libc10_owner.so and does not name it, as libtorch_nvshmem
   * does.
   */
  const unnamed = (owner: string) => {
    const directory = fake('unnamed', addon.libtorch, { libraries: [] });
    const folder = join(directory, 'lib');
    compile(folder, 'libc10_owner.so', owner);
    compile(folder, 'libtorch_user.so', 'extern int allocator; int* user(void) { return &allocator; }');
    const needed = ['libtorch_user.so', 'libc10_owner.so'];
    if (library !== 'libtorch_cpu.so') compile(folder, 'libtorch_cpu.so', says((2n << 56n) | (10n << 48n)));
    compile(folder, library, says((2n << 56n) | (10n << 48n)), needed);
    return directory;
  };

  it('may use symbols of others that only the library which needs both brings with it', async () => {
    const { stdout } = await load(bare({ EAM_TORCH_LIBTORCH: unnamed('int allocator = 1;') }));
    expect(stdout).toContain('says that it is LibTorch 2.10.0'); // all of it is open by then
  });

  it('are refused where one uses a symbol that none of them has', async () => {
    const directory = unnamed('int another = 1;');
    const { code, stdout } = await load(bare({ EAM_TORCH_LIBTORCH: directory }));
    expect(code).toBe(3);
    expect(stdout).toContain(`${join(directory, 'lib', 'libtorch_user.so')}: undefined symbol: allocator`);
  });

  it('are refused where such a symbol comes from elsewhere', async () => {
    const directory = unnamed('int allocator = 1;');
    const elsewhere = join(home, 'elsewhere');
    compile(elsewhere, 'libtorch_user.so');
    const { stdout } = await load(bare({ EAM_TORCH_LIBTORCH: directory, LD_LIBRARY_PATH: elsewhere }));
    const [own, found] = [directory, home].map((folder, index) =>
      join(folder, index === 0 ? 'lib' : 'elsewhere', 'libtorch_user.so'),
    );
    expect(stdout).toContain(`its libtorch_user.so is not ${own} but ${found}, which LD_LIBRARY_PATH`);
  });

  it('say their version themselves', async () => {
    const ended = await runNode(
      `const { binding } = await import(${compiled('runtime/native/index.js')}); ` +
        'console.log(binding().libtorchVersion);',
      { env: bare({ EAM_TORCH_LIBTORCH: libtorch.directory }) },
    );
    expect(ended.stdout).toBe(`${libtorch.version.replace(/\+.*/, '')}\n`);
  });

  it('are tried again under another LD_LIBRARY_PATH, which their own dependencies may come from', async () => {
    const records = () => readdirSync(join(home, '.cache', 'eam-torch', 'loaded')).length;
    for (const [search, count] of [
      ['/nowhere', 1],
      ['/nowhere', 1],
      ['/elsewhere', 2],
    ] as const) {
      await load(bare({ EAM_TORCH_LIBTORCH: libtorch.directory, LD_LIBRARY_PATH: search }));
      expect(records()).toBe(count);
    }
  });
});

describe("OpenMP's threads", () => {
  /** What OpenMP's runtime says of OMP_WAIT_POLICY as it is loaded, in a worker or on the main thread. */
  const policy = async (where: 'main thread' | 'worker', env: Record<string, string> = {}) => {
    const body = `(await import(${compiled('runtime/native/tensor.js')})).Tensor.from([1], [1]);`;
    const script =
      where === 'worker'
        ? "const { Worker } = await import('node:worker_threads'); new Worker(new URL('data:text/javascript,' + " +
          `encodeURIComponent(${JSON.stringify(body)})));`
        : body;
    const ended = await runNode(script, {
      env: bare({ EAM_TORCH_LIBTORCH: libtorch.directory, OMP_DISPLAY_ENV: 'VERBOSE', ...env }),
    });
    expect(ended).toMatchObject({ code: 0, signal: null });
    return {
      policy: /OMP_WAIT_POLICY = '(\w+)'/.exec(ended.stderr)?.[1],
      spins: /GOMP_SPINCOUNT = '(\w+)'/.exec(ended.stderr)?.[1],
    };
  };

  it.each(['main thread', 'worker'] as const)('do not spin where LibTorch is first loaded in the %s', async (where) => {
    expect(await policy(where)).toEqual({ policy: 'PASSIVE', spins: '0' });
  });

  it.each(['main thread', 'worker'] as const)(
    'wait as the user says where LibTorch is first loaded in the %s',
    async (where) => {
      expect(await policy(where, { OMP_WAIT_POLICY: 'active' })).toMatchObject({ policy: 'ACTIVE' });
    },
  );
});
