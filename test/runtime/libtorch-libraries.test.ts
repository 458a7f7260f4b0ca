// Which libraries a process maps with a LibTorch, and how OpenMP among them waits.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { mainLibrary, minorOf } from '../../lib/runtime/native/libtorch.js';
import { neededLibraries } from '../../lib/runtime/native/needed-libraries.js';
import { compiled, runNode } from '../helpers/child.js';
import { addon, bare, fake, home, library, libtorch, load, useEmptyHome } from '../helpers/bare-home.js';

useEmptyHome();

/** A shared library of that name, from C, that needs those of these names in its own folder. */
function compile(directory: string, name: string, code = '', needed: readonly string[] = []): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(home, 'library.c'), code);
  const link = ['-Wl,-rpath,$ORIGIN', '-Wl,--no-as-needed', '-L', directory, ...needed.map((each) => `-l:${each}`)];
  const output = ['-o', join(directory, name), join(home, 'library.c')];
  execFileSync('cc', ['-shared', '-fPIC', `-Wl,-soname,${name}`, ...output, ...link]);
}

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
