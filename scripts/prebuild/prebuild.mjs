// Builds the addons that are published, each into prebuilds/<platform>/libtorch-<minor>-<variant>: prebuildify drives
// node-gyp, which drives CMake. One addon a LibTorch minor version and variant, since LibTorch's C++ symbols change
// between minor versions; they all go into the one package, as npm could not choose between platform packages by the
// LibTorch or the CUDA that is there, and together they are smaller than one such package's limit.
// usage: npm run prebuild [-- libtorch-2.13-cpu …]

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { fetchLibTorch } from '../../dist/jobs/build/fetch-libtorch.js';
import { findExecutable } from '../../dist/jobs/build/tools.js';
import { cacheDirectory } from '../../dist/runtime/native/libtorch.js';
import { git } from '../git.mjs';
import { inspectElf, problemsOf } from './elf.mjs';
import { files, published } from './published.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const platform = `${process.platform}-${process.arch}`;

function fail(message) {
  console.error(`prebuild failed: ${message}`);
  process.exit(1);
}

/** The commit, marked where what is compiled is not what was committed. */
function revision() {
  return (
    git('rev-parse', 'HEAD').trim() +
    (git('status', '--porcelain', '--', 'native', 'cmake', 'CMakeLists.txt') ? '-modified' : '')
  );
}

async function libtorchOf({ variant, version }) {
  const python = findExecutable(['python3']) ?? fail('python3 is not on PATH');
  process.env.EAM_TORCH_LIBTORCH_VERSION = version;
  return fetchLibTorch({ variant, cache: cacheDirectory(), python, report: console.log });
}

function prebuildify(name, variant, libtorch) {
  const staging = join(root, 'build', 'prebuild', `${name}.staging`);
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  const artifacts = join(staging, 'artifacts');
  const output = join(root, 'build', 'prebuild', name);
  const program = createRequire(import.meta.url).resolve('prebuildify/bin.js');
  const result = spawnSync(
    process.execPath,
    [
      program,
      '--napi',
      '--strip',
      '--name',
      'eam_torch',
      '--cwd',
      join(root, 'scripts', 'prebuild'),
      '--out',
      staging,
      '--artifacts',
      artifacts,
    ],
    {
      stdio: 'inherit',
      env: { ...process.env, EAM_PREBUILD: JSON.stringify({ variant, libtorch, output, artifacts }) },
    },
  );
  if (result.status !== 0) fail(`prebuildify ended with ${result.signal ?? result.status}`);
  return join(staging, 'prebuilds', platform);
}

function describe(directory, variant, from) {
  const elves = files.map((name) => inspectElf(join(directory, name)));
  const sets = [...new Set(elves.flatMap(({ floors }) => Object.keys(floors)))].sort();
  const newest = (set) =>
    elves
      .map(({ floors }) => floors[set])
      .filter(Boolean)
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
      .at(-1);
  const perFile = (value) =>
    Object.fromEntries(files.map((name, index) => [name, value(join(directory, name), elves[index])]));
  return {
    ...JSON.parse(readFileSync(join(directory, 'eam_torch.json'), 'utf8')),
    variant,
    prebuilt: {
      platform,
      revision: from,
      floors: Object.fromEntries(sets.map((set) => [set, newest(set)])),
      sha256: perFile((path) => createHash('sha256').update(readFileSync(path)).digest('hex')),
      bytes: perFile((_, { bytes }) => bytes),
    },
  };
}

async function prebuild(name) {
  const { variant, libtorch } = published[name];
  if (variant === 'cuda' && !findExecutable(['nvcc']))
    fail(`${name} needs nvcc, which is not on PATH; name the others to build those`);
  if (variant === 'cuda') {
    const resources = spawnSync(process.execPath, [join(root, 'benchmarks', 'cuda-resources.mjs')], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    console.log(resources.stdout);
    if (resources.status !== 0) fail('the CUDA kernels are not what they should be; what is wrong stands above');
  }
  const from = revision();
  const built = prebuildify(name, variant, await libtorchOf(libtorch));
  if (revision() !== from) fail(`the sources changed from ${from} while ${name} was compiled; run it again`);
  for (const file of files) {
    const problems = problemsOf(join(built, file));
    if (problems.length > 0) fail(`${name}/${file}: ${problems.join('; ')}`);
    chmodSync(join(built, file), 0o755);
  }
  const description = describe(built, variant, from);
  writeFileSync(join(built, 'eam_torch.json'), `${JSON.stringify(description, null, 2)}\n`);
  const destination = join(root, 'prebuilds', platform, name);
  rmSync(destination, { recursive: true, force: true });
  mkdirSync(join(destination, '..'), { recursive: true });
  renameSync(built, destination);
  rmSync(join(root, 'build', 'prebuild', `${name}.staging`), { recursive: true, force: true });
  console.log(
    `${destination}: ${JSON.stringify(description.prebuilt.bytes)} bytes, ` +
      `${JSON.stringify(description.prebuilt.floors)}`,
  );
}

if (platform !== 'linux-x64') fail(`addons are published for linux-x64; this is ${platform}`);
const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(published);
for (const name of names)
  if (!(name in published)) fail(`'${name}' is not one of ${Object.keys(published).join(', ')}`);
for (const name of names) await prebuild(name);
