// The first load of an addon happens in a process of its own, and what comes prebuilt is checked before.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { AddonDescription } from '../../lib/runtime/native/addons.js';
import { inspect } from '../../lib/runtime/native/loader.js';
import { minorOf } from '../../lib/runtime/native/libtorch.js';
import { runNode } from '../helpers/child.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { loaded, error } = inspect();
if (!loaded) throw new Error(error);
const { addon, libtorch } = loaded;
const names = ['eam_torch.node', 'eam_loader.node', 'eam_torch.json'];

let home: string;
let build: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'eam trial ')); // with a space in it
  build = copyAddon(join(home, 'build'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function copyAddon(directory: string): string {
  mkdirSync(directory, { recursive: true });
  for (const name of names) copyFileSync(join(addon.directory, name), join(directory, name));
  return directory;
}

const records = (cache = join(home, '.cache')) =>
  readdirSync(join(cache, 'eam-torch', 'loaded')).map((name) => join(cache, 'eam-torch', 'loaded', name));
const libtorchOnly = { EAM_TORCH_LIBTORCH: libtorch.directory };

/** Loads in a process of its own and says what it took, how many trials it made, or its error's message. */
async function load(env: Record<string, string>, packageDirectory = root) {
  const loader = JSON.stringify(pathToFileURL(join(packageDirectory, 'dist', 'runtime', 'native', 'loader.js')).href);
  const ended = await runNode(
    `import child from 'node:child_process';
     import { syncBuiltinESMExports } from 'node:module';
     const { spawnSync } = child;
     let trials = 0;
     child.spawnSync = (command, args, options) => {
       if (String(args[0]).endsWith('trial-process.js')) ++trials;
       return spawnSync(command, args, options);
     };
     syncBuiltinESMExports();
     const { load } = await import(${loader});
     try {
       const { addon, libtorch } = load();
       console.log(JSON.stringify({ trials, addon: addon.directory, libtorch: libtorch.directory }));
     }
     catch (error) { console.log(JSON.stringify({ trials, name: error.name, message: error.message })); }`,
    { env: { HOME: home, PATH: join(home, 'bin'), ...env } },
  );
  expect(ended).toMatchObject({ code: 0, signal: null });
  return JSON.parse(ended.stdout) as {
    trials: number;
    addon?: string;
    libtorch?: string;
    name?: string;
    message?: string;
  };
}

describe('the first load of an addon with a LibTorch', () => {
  const env = () => ({ ...libtorchOnly, EAM_TORCH_BUILD_DIR: build });

  it('is tried in a process of its own, once', async () => {
    expect(await load(env())).toMatchObject({ trials: 1, addon: build });
    expect(await load(env())).toMatchObject({ trials: 0, addon: build });
    expect(records()).toHaveLength(1);
  });

  it('is a new one after either changed', async () => {
    await load(env());
    utimesSync(join(build, 'eam_torch.node'), 1e9, 1e9);
    expect(await load(env())).toMatchObject({ trials: 1, addon: build });
    expect(records()).toHaveLength(2);
  });

  it('is tried again where the record of it is damaged, which is then mended', async () => {
    await load(env());
    const [record] = records();
    const whole = readFileSync(record!, 'utf8');
    for (const text of ['', whole.slice(0, 40), '{"files": 3}']) {
      writeFileSync(record!, text);
      expect(await load(env())).toMatchObject({ trials: 1, addon: build });
      expect(readFileSync(record!, 'utf8')).toBe(whole);
    }
  });

  it('works where nothing can be remembered', async () => {
    writeFileSync(join(home, 'file'), '');
    expect(await load({ ...env(), XDG_CACHE_HOME: join(home, 'file') })).toMatchObject({ trials: 1, addon: build });
  });

  it('goes without a trial where EAM_TORCH_SKIP_TRIAL is 1, and then remembers nothing', async () => {
    expect(await load({ ...env(), EAM_TORCH_SKIP_TRIAL: '1' })).toMatchObject({ trials: 0, addon: build });
    expect(() => records()).toThrow(/ENOENT/);
  });

  it('does not hand NODE_OPTIONS to the trial', async () => {
    writeFileSync(
      join(home, 'throw.cjs'),
      "if (process.argv[1]?.endsWith('trial-process.js')) throw new Error('preloaded');",
    );
    expect(await load({ ...env(), NODE_OPTIONS: `--require "${join(home, 'throw.cjs')}"` })).toMatchObject({
      trials: 1,
      addon: build,
    });
  });
});

describe('an addon that does not load', () => {
  const compile = (body: string) => () => {
    writeFileSync(
      join(home, 'addon.c'),
      `#include <stdlib.h>\n#include <unistd.h>\n__attribute__((constructor)) static void start(void) { ${body} }\n`,
    );
    execFileSync('cc', ['-shared', '-fPIC', '-o', join(build, 'eam_torch.node'), join(home, 'addon.c')]);
  };
  const rewrite = (change: (bytes: Buffer) => Buffer) => () => {
    const path = join(build, 'eam_torch.node');
    writeFileSync(path, change(readFileSync(path)));
  };

  it.each<{ what: string; damage: () => void; reason: RegExp }>([
    {
      what: 'aborts',
      damage: compile('abort();'),
      reason: /a process that tried it was ended by SIGABRT while loading it/,
    },
    {
      what: 'touches memory that is not there',
      damage: compile('*(volatile int*)0 = 1;'),
      reason: /was ended by SIGSEGV while loading it/,
    },
    { what: 'ends its process', damage: compile('_exit(0);'), reason: /ended with exit code 0 while loading it/ },
    {
      what: 'ends its process with an error',
      damage: compile('write(2, "no luck\\n", 8); _exit(4);'),
      reason: /ended with exit code 4 while loading it: no luck/,
    },
    {
      what: 'aborts on the way out',
      damage: compile('atexit(abort);'),
      reason: /Module did not self-register|was ended by SIGABRT/,
    },
    {
      what: 'is cut short',
      damage: rewrite((bytes) => bytes.subarray(0, bytes.length >> 1)),
      reason: /file too short|was ended by SIG(BUS|SEGV)|ELF|cannot/,
    },
    { what: 'is cut within its header', damage: rewrite((bytes) => bytes.subarray(0, 40)), reason: /file too short/ },
    {
      what: 'is for another processor',
      damage: rewrite((bytes) => {
        bytes.writeUInt16LE(0xb7, 18);
        return bytes;
      }),
      reason: /cannot open shared object file|wrong ELF|ELF/,
    },
    { what: 'is no addon', damage: compile(''), reason: /Module did not self-register/ },
  ])('is an error and no crash where it $what', async ({ damage, reason }) => {
    damage();
    const { name, message, trials } = await load({ ...libtorchOnly, EAM_TORCH_BUILD_DIR: build });
    expect(name).toBe('NativeLoadError');
    expect(trials).toBe(1);
    expect(message).toContain(`- ${build}: `);
    expect(message).toMatch(reason);
    expect(message).toContain('npx eam build');
    expect(() => records()).toThrow(/ENOENT/); // nothing bad is remembered
  });
});

describe('a published addon', () => {
  let installed: string;
  const folder = (name: string) => join(installed, 'prebuilds', `${process.platform}-${process.arch}`, name);
  const good = `libtorch-${minorOf(addon.libtorch)}-${addon.variant}`;
  beforeEach(() => {
    installed = join(home, 'node_modules', 'eam-torch');
    mkdirSync(installed, { recursive: true });
    copyFileSync(join(root, 'package.json'), join(installed, 'package.json'));
    cpSync(join(root, 'dist'), join(installed, 'dist'), { recursive: true });
  });

  function prebuild(
    name: string,
    change: Partial<AddonDescription> = {},
    floors: Record<string, string> = { GLIBC: '2.14' },
  ): string {
    const directory = copyAddon(folder(name));
    const sha256 = Object.fromEntries(
      names.slice(0, 2).map((file) => [
        file,
        createHash('sha256')
          .update(readFileSync(join(directory, file)))
          .digest('hex'),
      ]),
    );
    const description = JSON.parse(readFileSync(join(directory, 'eam_torch.json'), 'utf8')) as AddonDescription;
    const prebuilt = { platform: 'linux-x64', revision: '0', floors, sha256, bytes: {} };
    writeFileSync(join(directory, 'eam_torch.json'), JSON.stringify({ ...description, prebuilt, ...change }));
    return directory;
  }

  it('is taken by the LibTorch that is there', async () => {
    for (const [name, version] of [
      ['libtorch-2.98-cpu', '2.98.0'],
      ['libtorch-2.99-cuda', '2.99.1'],
    ] as const)
      prebuild(name, { libtorch: version, variant: name.endsWith('cuda') ? 'cuda' : 'cpu' });
    const directory = prebuild(good);
    expect(await load(libtorchOnly, installed)).toMatchObject({ addon: directory, libtorch: libtorch.directory });
  });

  it('is second to what was built here', async () => {
    prebuild(good);
    const local = copyAddon(join(installed, 'build', addon.variant));
    expect(await load(libtorchOnly, installed)).toMatchObject({ addon: local });
    rmSync(local, { recursive: true });
    expect(await load(libtorchOnly, installed)).toMatchObject({ addon: folder(good) });
  });

  it('serves where what was built here is for another LibTorch', async () => {
    const directory = prebuild(good);
    const local = copyAddon(join(installed, 'build', addon.variant));
    writeFileSync(join(local, 'eam_torch.json'), JSON.stringify({ variant: addon.variant, libtorch: '2.99.0' }));
    expect(await load(libtorchOnly, installed)).toMatchObject({ addon: directory });
  });

  it('is left aside where EAM_TORCH_VARIANT asks for the other variant', async () => {
    prebuild(good);
    const { message } = await load(
      { ...libtorchOnly, EAM_TORCH_VARIANT: addon.variant === 'cpu' ? 'cuda' : 'cpu' },
      installed,
    );
    expect(message).not.toContain(good);
    expect(message).toContain(': not built');
  });

  it('is refused where a file is not the one that was published', async () => {
    const directory = prebuild(good);
    writeFileSync(
      join(directory, 'eam_torch.node'),
      Buffer.concat([readFileSync(join(directory, 'eam_torch.node')), Buffer.from('x')]),
    );
    const { message, trials } = await load(libtorchOnly, installed);
    expect(trials).toBe(0);
    expect(message).toMatch(
      new RegExp(
        `- ${directory}: eam_torch.node is damaged: its SHA-256 is [0-9a-f]{64}, and [0-9a-f]{64} was published`,
      ),
    );
  });

  it('is refused on a system whose C library is too old', async () => {
    const directory = prebuild(good, {}, { GLIBC: '9.99' });
    expect((await load(libtorchOnly, installed)).message).toMatch(
      new RegExp(`- ${directory}: it needs glibc 9.99, and this system has 2\\.\\d+`),
    );
  });

  it('is named with all others where no LibTorch fits, and with the ways to get one', async () => {
    prebuild('libtorch-2.98-cpu', { libtorch: '2.98.0' });
    prebuild('libtorch-2.99-cuda', { libtorch: '2.99.1', variant: 'cuda' });
    const { message } = await load(libtorchOnly, installed);
    expect(message).toContain(
      `: version ${libtorch.version}, ${libtorch.variant}, and the addons here are for 2.98 (cpu) or 2.99 (cuda)`,
    );
    expect(message).toMatch(
      /export EAM_TORCH_LIBTORCH=\S+ +# the folder with lib\/ of a LibTorch 2\.98 \(cpu\) or 2\.99 \(cuda\)/,
    );
    expect(message).toContain('npx eam libtorch');
    expect(message).toContain('npx eam build');
  });
});
