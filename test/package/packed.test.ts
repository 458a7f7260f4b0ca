// What is published, and whether it runs from another folder as it is unpacked. `npm run test:installed` goes further:
// npm installs it, on every Node.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Diagnosis } from '../../lib/jobs/build/diagnosis.js';
import { inspect } from '../../lib/runtime/native/loader.js';
import {
  answer,
  copyExamples,
  pack,
  packageOf,
  type Packed,
  projects,
  programs,
  readJson,
  requiresModules,
  root,
  runIn,
  runProject,
  runsTypeScript,
  trainerOutput,
  writePrograms,
} from '../helpers/installed.js';

const { loaded, error } = inspect();
if (!loaded) throw new Error(error);
const { addon, libtorch } = loaded;

let folder: string;
let packed: Packed;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'eam packed ')); // with spaces in it
  packed = pack(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the published files', () => {
  it('include every file that a program needs', () => {
    const needed = [
      'dist/index.js',
      'dist/index.d.ts',
      'dist/cli/main.js',
      'dist/runtime/native/trial-process.js',
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'THIRD_PARTY_NOTICES.md',
      'CMakeLists.txt',
      'cmake/FindLibTorch.cmake',
      'native/addon/bindings/addon.cpp',
      'native/addon/portable/exports.map',
      'native/addon/loader/loader.c',
      'assets/digits/model.safetensors',
      'configs/quickstart.json',
      'docs/compatibility.md',
    ];
    expect(needed.filter((name) => !packed.files.includes(name))).toEqual([]);
    const prebuilds = join(root, 'prebuilds', 'linux-x64');
    const prebuilt = existsSync(prebuilds)
      ? readdirSync(prebuilds).flatMap((name) =>
          ['eam_torch.node', 'eam_loader.node', 'eam_torch.json'].map((file) => `prebuilds/linux-x64/${name}/${file}`),
        )
      : [];
    expect(prebuilt.filter((name) => !packed.files.includes(name))).toEqual([]);
  });

  it('say whose code they hold', () =>
    expect(
      execFileSync(process.execPath, [join(root, 'scripts', 'notices.mjs'), '--check'], { encoding: 'utf8' }),
    ).toBe(''));

  it('hold the notices of the libraries whose constants the kernels have', () => {
    const notices = readFileSync(join(root, 'THIRD_PARTY_NOTICES.md'), 'utf8');
    const kernels = readFileSync(join(root, 'native', 'kernels', 'philox.h'), 'utf8');
    const owners = { fdlibm: 'Copyright (C) 1993 by Sun Microsystems, Inc.', Cephes: 'Stephen L. Moshier' };
    for (const [library, owner] of Object.entries(owners))
      expect({ library, used: kernels.includes(library), noticed: notices.includes(owner) }).toEqual({
        library,
        used: true,
        noticed: true,
      });
  });

  it('include no tests, no benchmarks, nothing of a build, nothing that npm would run', () => {
    const folders = /^(dist|lib|native|cmake|configs|schemas|assets|docs|examples|prebuilds)\//;
    const loose = /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|THIRD_PARTY_NOTICES\.md|CMakeLists\.txt)$/;
    const forbidden =
      /^native\/(test|bench|fuzz)\/|\.gyp$|\.test\.|(^|\/)(node_modules|build|test|scripts)\/|tsbuildinfo|\.sources$/;
    expect(
      packed.files.filter(
        (name) =>
          !(folders.test(name) || loose.test(name)) ||
          (forbidden.test(name) && !/^(dist|lib)\/jobs\/build\//.test(name)),
      ),
    ).toEqual([]);
    expect(packed.unpackedBytes).toBeLessThan(40e6);
    const { scripts, gypfile } = readJson(join(root, 'package.json')) as {
      scripts: Record<string, string>;
      gypfile: boolean;
    };
    expect(Object.keys(scripts).filter((name) => /^(pre|post)?install$|^(pre|post)?prepare$/.test(name))).toEqual([]);
    expect(gypfile).toBe(false); // with a binding.gyp in the root, npm would write an install script when publishing
  });
});

describe('the published package, unpacked in another folder', () => {
  let app: string;
  const env = { EAM_TORCH_LIBTORCH: libtorch.directory, EAM_TORCH_BUILD_DIR: '', EAM_TORCH_VARIANT: addon.variant };
  beforeAll(() => {
    app = join(folder, 'an app');
    mkdirSync(packageOf(app), { recursive: true });
    execFileSync('tar', ['-xzf', packed.tarball, '--strip-components=1', '-C', packageOf(app)]);
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules')); // its dependencies, and @types/node
    const prebuilt = join(
      packageOf(app),
      'prebuilds',
      'linux-x64',
      `libtorch-${libtorch.version.split('.').slice(0, 2).join('.')}-${addon.variant}`,
    );
    // Where nothing was prebuilt, as after `npx eam build`.
    if (!existsSync(prebuilt)) {
      const destination = join(packageOf(app), 'build', addon.variant);
      for (const name of ['eam_torch.node', 'eam_loader.node', 'eam_torch.json'])
        cpSync(join(addon.directory, name), join(destination, name));
    }
    writePrograms(app, { types: [] });
  });

  const works = ({ status, stdout, stderr }: { status: number | null; stdout: string; stderr: string }) => {
    expect({ status, said: status === 0 ? stderr : stdout + stderr }).toEqual({ status: 0, said: '' });
    expect(JSON.parse(stdout)).toEqual(answer);
  };

  it.each(Object.keys(programs))('runs %s', (name) => {
    if (name === 'commonjs.cjs' && !requiresModules(process.version)) return;
    works(runIn(app, process.execPath, [name], env));
  });

  it.each(Object.keys(projects))('compiles and runs a strict TypeScript program with moduleResolution %s', (name) => {
    works(runProject(app, name, process.execPath, env));
  });

  it('runs an example where it says that it can be run, and nowhere else', (context) => {
    copyExamples(app, 'my examples');
    const inPlace = runIn(app, process.execPath, [join(packageOf(app), 'examples', 'trainer.ts')], env);
    expect(inPlace.stderr).toMatch(/ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING|ERR_UNKNOWN_FILE_EXTENSION/);
    if (!runsTypeScript(process.version))
      context.skip(`Node ${process.version} runs no TypeScript; \`npm run test:installed\` does it through tsx`);
    const { status, stdout, stderr } = runIn(join(app, 'my examples'), process.execPath, ['examples/trainer.ts'], env);
    expect({ status, stdout, said: status === 0 ? '' : stderr }).toEqual({
      status: 0,
      stdout: expect.stringMatching(trainerOutput) as string,
      said: '',
    });
  });

  it('runs eam doctor', () => {
    const { status, stdout } = runIn(
      app,
      process.execPath,
      [join(packageOf(app), 'dist', 'cli', 'main.js'), 'doctor', '--json'],
      env,
    );
    const { usable, native } = JSON.parse(stdout) as Diagnosis;
    expect({ status, usable }).toEqual({ status: 0, usable: true });
    expect(native.loaded?.addon.directory).toContain(app);
  });

  it('says what to do on a machine without a LibTorch', () => {
    const bare = {
      ...env,
      EAM_TORCH_LIBTORCH: '',
      LIBTORCH: '',
      VIRTUAL_ENV: '',
      CONDA_PREFIX: '',
      PATH: '/nowhere',
      HOME: folder,
      XDG_CACHE_HOME: folder,
    };
    const { status, stderr } = runIn(app, process.execPath, ['esm.mjs'], bare);
    expect(status).toBe(1);
    expect(stderr).toContain('NativeLoadError');
    for (const way of ['export EAM_TORCH_LIBTORCH=', 'npx eam libtorch', 'npx eam build', 'npx eam doctor'])
      expect(stderr).toContain(way);
  });
});
