// The package on other systems: clean roots of Debian 11, 12 and 13, in each of which that system's own compilers build
// the native core from this working tree and run it. docs/compatibility.md tells what came of it.
// usage: npm run test:systems [-- --roots FOLDER] [--compilers g++,g++-static,clang++-16] [bullseye bookworm trixie]
//
// In each root, for each compiler: `eam build` without a warning, `check_ops`, `eam doctor`, and the quickstart at five
// steps; g++-static is g++ that links libstdc++ statically of its own accord (-static-libstdc++, as some compilers'
// specs have it). Other compilers that a system has are installed into its root. The binary that
// `npm run prebuild -- libtorch-2.13-cpu` made is loaded and runs the quickstart, too.
// It needs Linux on x86-64, debootstrap, the right to mount and to change roots (root), and a LibTorch in the cache.
// The roots are kept (1.3 GB each); Node is the running one, and nothing is installed from npm.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { findLibTorch } from '../dist/runtime/native/libtorch.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const systems = { bullseye: 'Debian 11', bookworm: 'Debian 12', trixie: 'Debian 13' };
const compilers = ['g++', 'g++-static', 'clang++', 'prebuilt'];
/** Further ones of each system. */
const others = {
  bullseye: [],
  bookworm: ['g++-11', 'clang++-15', 'clang++-16'],
  trixie: ['g++-13', 'clang++-17', 'clang++-18'],
};
const packages = 'ca-certificates,g++,clang,cmake,ninja-build,binutils';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    roots: { type: 'string', default: join(root, 'build', 'systems') },
    compilers: { type: 'string' },
  },
});

function refuse(message) {
  console.error(`test:systems: ${message}`);
  process.exit(1);
}

const asked = flags.compilers?.split(',');
for (const name of asked ?? [])
  if (!compilers.includes(name) && !/^(g|clang)\+\+-\d+$/.test(name))
    refuse(`--compilers: expected ${compilers.join(', ')}, or such as g++-13 or clang++-17, got '${name}'`);
const suites = positionals.length > 0 ? positionals : Object.keys(systems);
for (const suite of suites)
  if (!(suite in systems)) refuse(`expected ${Object.keys(systems).join(', ')}, got '${suite}'`);
if (process.platform !== 'linux' || process.arch !== 'x64')
  refuse(`the roots are made on linux-x64; this is ${process.platform}-${process.arch}`);
if (process.getuid() !== 0) refuse('changing roots needs root');
const libtorch = findLibTorch('cpu') ?? refuse('there is no LibTorch here; run `npx eam libtorch` first');

/** The archive that this machine installs from. */
function archive() {
  for (const file of ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list']) {
    const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
    const uri = /^(?:URIs:|deb(?:\s+\[[^\]]*\])?)\s+(\S+)/m.exec(text)?.[1];
    if (uri) return uri;
  }
  return refuse('neither /etc/apt/sources.list.d/debian.sources nor /etc/apt/sources.list names an archive');
}

function run(command, args, options = {}) {
  const started = performance.now();
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 28, ...options });
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ? `${result.error.message}\n` : ''}`;
  return { ok: result.status === 0, output, seconds: (performance.now() - started) / 1000 };
}

function makeRoot(suite, folder) {
  const mark = join(folder, 'etc', 'eam-root');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === `${packages}\n`) return 0;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const args = ['--no-check-gpg', '--variant=minbase', `--include=${packages}`, suite, folder, archive()];
  const { ok, output, seconds } = run('debootstrap', args);
  if (!ok) throw new Error(`debootstrap failed:\n${output.split('\n').slice(-15).join('\n')}`);
  writeFileSync(mark, `${packages}\n`);
  return seconds;
}

/** Copies what git knows of the working tree, the compiled TypeScript, and the running Node. */
function copyClone(folder) {
  const clone = join(folder, 'clone');
  rmSync(clone, { recursive: true, force: true });
  mkdirSync(join(clone, 'node_modules'), { recursive: true });
  const copy = run('sh', [
    '-c',
    'cd "$1" && { git ls-files -z; find dist prebuilds -type f -print0 2>/dev/null; } | ' +
      'tar --null --files-from=- --ignore-failed-read -cf - | tar -C "$2" -xf - && cp "$3" "$4"',
    'copy',
    root,
    clone,
    process.execPath,
    join(folder, 'usr', 'local', 'bin', 'node'),
  ]);
  if (!copy.ok) throw new Error(`copying the clone failed:\n${copy.output}`);
  // A wrapper, as a compiler with -static-libstdc++ in its specs: the flag comes after everything of ours.
  const wrapper = join(folder, 'usr', 'local', 'bin', 'g++-static');
  writeFileSync(wrapper, '#!/bin/sh\nexec g++ "$@" -static-libstdc++\n', { mode: 0o755 });
}

/** Runs a shell script in the root, with the clone's packages and LibTorch mounted where they are expected. */
function inside(folder, script, env = {}) {
  const torch = '/libtorch';
  for (const place of ['proc', 'libtorch']) mkdirSync(join(folder, place), { recursive: true });
  const mounts = [
    'set -e',
    `mount --bind "${join(root, 'node_modules')}" "${join(folder, 'clone', 'node_modules')}"`,
    `mount --bind "${libtorch.directory}" "${join(folder, 'libtorch')}"`,
    `mount -t proc proc "${join(folder, 'proc')}"`,
    `exec chroot "${folder}" /bin/sh -c 'cd /clone && . /script'`,
  ].join('\n');
  writeFileSync(join(folder, 'script'), `set -e\n${script}\n`);
  return run('unshare', ['--mount', 'sh', '-c', mounts], {
    env: { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', HOME: '/root', EAM_TORCH_LIBTORCH: torch, ...env },
  });
}

const warnings = (text) => [...new Set(text.split('\n').filter((line) => /\bwarning:/.test(line)))];
const quickstart =
  'rm -rf runs && node dist/cli/main.js finetune configs/quickstart.json --set steps=5 --set evaluation.count=32 && ' +
  'test -s runs/quickstart/report.html';

function buildAndRun(folder, compiler) {
  const lap = {};
  const step = (name, script, env) => {
    const result = inside(folder, script, env);
    lap[name] = result.seconds;
    if (!result.ok) throw new Error(`${name}:\n${result.output.trimEnd().split('\n').slice(-25).join('\n')}`);
    return result.output;
  };
  if (compiler === 'prebuilt') {
    if (!existsSync(join(root, 'prebuilds'))) throw new Error('no prebuilds/ here; run `npm run prebuild` first');
    step('doctor', 'rm -rf build && node dist/cli/main.js doctor > "$HOME/doctor" && grep prebuilds "$HOME/doctor"');
  } else {
    const [, family, version = ''] = /^(clang|g)\+\+(-\d+)?/.exec(compiler);
    const cc = (family === 'g' ? 'gcc' : 'clang') + version;
    const needed = (family === 'g' ? 'g++' : 'clang') + version;
    if (version)
      step('install', `apt-get install --yes --no-install-recommends ${needed}`, { DEBIAN_FRONTEND: 'noninteractive' });
    step('build', 'rm -rf build && node dist/cli/main.js build', { CXX: compiler, CC: cc });
    const log = readFileSync(join(folder, 'clone', 'build', 'cpu', 'build.log'), 'utf8');
    if (warnings(log).length > 0) throw new Error(`warnings:\n${warnings(log).join('\n')}`);
    step(
      'checks',
      'cmake -DEAM_BUILD_CHECKS=ON build/cpu && cmake --build build/cpu --target check_ops && build/cpu/check_ops',
    );
    step('doctor', 'node dist/cli/main.js doctor');
  }
  step('quickstart', quickstart);
  return Object.entries(lap)
    .map(([name, seconds]) => `${name} ${seconds.toFixed(0)} s`)
    .join(', ');
}

let failed = false;
const say = (line) => console.log(`test:systems: ${line}`);
say(`LibTorch ${libtorch.version} from ${libtorch.source}, Node ${process.versions.node}`);
for (const suite of suites) {
  const folder = resolve(flags.roots, suite);
  let versions;
  try {
    const seconds = makeRoot(suite, folder);
    copyClone(folder);
    versions = inside(folder, 'ldd --version | head -n 1; g++ --version | head -n 1; clang++ --version | head -n 1');
    say(`${systems[suite]} (${suite}): root ${seconds.toFixed(0)} s; ${versions.output.trim().split('\n').join('; ')}`);
    if (!versions.ok) throw new Error(versions.output);
  } catch (error) {
    failed = true;
    say(`${systems[suite]}: FAILED: ${error.message}`);
    continue;
  }
  for (const compiler of asked ?? [...compilers, ...others[suite]]) {
    // What the README asks for: clang 14.
    const clang = Number(/clang version (\d+)/.exec(versions.output)?.[1]);
    if (compiler === 'clang++' && !(clang >= 14)) {
      say(`${systems[suite]}, clang++: left out, version ${clang} is older than 14`);
      continue;
    }
    try {
      say(`${systems[suite]}, ${compiler}: ok (${buildAndRun(folder, compiler)})`);
    } catch (error) {
      failed = true;
      say(`${systems[suite]}, ${compiler}: FAILED in ${error.message}`);
    }
  }
}
process.exitCode = failed ? 1 : 0;
