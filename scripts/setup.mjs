// From a fresh clone to something that runs: npm packages, TypeScript, LibTorch and the native core, with its CUDA
// variant where a GPU and nvcc are. Every step is skipped where it is already done. Node's own modules only: nothing
// is installed when this starts.
// usage: npm run setup [-- --cpu-only | --typescript-only]

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { compiler, root, sourcesHash, stampName } from './dev/typescript.mjs';

const flags = process.argv.slice(2);
const typescriptOnly = flags.includes('--typescript-only');
const say = (line) => console.log(`setup: ${line}`);

function fail(message) {
  console.error(`setup failed: ${message}`);
  process.exit(1);
}

/** Runs a step with its output in build/setup-<name>.log, shown when the step fails. */
function step(name, what, command, args) {
  const logFile = join(root, 'build', `setup-${name}.log`);
  mkdirSync(join(root, 'build'), { recursive: true });
  const log = openSync(logFile, 'w');
  const started = performance.now();
  say(`${what} ...`);
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', log, log] });
  closeSync(log);
  if (result.status !== 0) {
    const output = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-60).join('\n');
    fail(
      `${command} ${args.join(' ')}: ` +
        `${result.error?.message ?? `exit code ${result.status ?? result.signal}`}\n${output}`,
    );
  }
  say(`${what}: done in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

function checkNode() {
  const required = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node.replace('>=', '');
  const [need, have] = [required, process.versions.node].map((version) => version.split('.').map(Number));
  if (have[0] < need[0] || (have[0] === need[0] && have[1] < need[1])) {
    fail(`Node ${process.versions.node} is too old; ${required} or newer is needed: https://nodejs.org`);
  }
}

/** Compares what npm installed with what package-lock.json asks for. */
function packagesAreCurrent() {
  const hidden = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(hidden)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(hidden, 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, entry]) => path === '' || entry.optional || installed[path]?.version === entry.version,
  );
}

function installPackages() {
  if (packagesAreCurrent()) return;
  // npm's own entry point where npm runs this script: the npm on PATH may be another one.
  const npm = /npm-cli\.[cm]?js$/.test(process.env.npm_execpath ?? '')
    ? [process.execPath, process.env.npm_execpath]
    : ['npm'];
  const args = ['ci', '--ignore-scripts', '--include=dev', '--no-audit', '--no-fund'];
  step('npm', 'npm packages', npm[0], [...npm.slice(1), ...args]);
}

/** Removes from `folder` what was compiled from a source that is gone. */
function removeOrphans(folder, sources) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && existsSync(join(sources, entry.name))) removeOrphans(path, join(sources, entry.name));
    else if (
      entry.isDirectory() ||
      !existsSync(join(sources, entry.name.replace(/(?:\.d\.ts|\.js|\.js\.map)$/, '.ts')))
    )
      rmSync(path, { recursive: true });
  }
}

function compileTypeScript() {
  const dist = join(root, 'dist');
  const stamp = join(dist, stampName);
  const hash = sourcesHash();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  // Compiled aside, where the compiler remembers what it has checked, copied and renamed, so that a running process
  // sees whole files.
  const aside = join(root, 'build', 'typescript');
  const next = `${dist}.next-${process.pid}`;
  const old = `${dist}.old-${process.pid}`;
  const incremental = ['--incremental', '--tsBuildInfoFile', join(aside, 'setup.json')];
  const output = join(aside, 'out');
  // Where the output was removed, the compiler would take it for written.
  if (!existsSync(output)) rmSync(join(aside, 'setup.json'), { force: true });
  step('typescript', 'TypeScript', process.execPath, [compiler, '-p', root, '--outDir', output, ...incremental]);
  removeOrphans(output, join(root, 'lib'));
  cpSync(output, next, { recursive: true });
  chmodSync(join(next, 'cli', 'main.js'), 0o755);
  writeFileSync(join(next, stampName), hash);
  if (existsSync(dist)) renameSync(dist, old);
  renameSync(next, dist);
  rmSync(old, { recursive: true, force: true });
}

async function buildNative() {
  const load = (name) => import(pathToFileURL(join(root, 'dist', 'jobs', 'build', name)).href);
  const [{ buildNative }, { findCudaToolkit }] = [await load('native-build.js'), await load('cuda-toolkit.js')];
  await buildNative({ variant: 'cpu', report: say });
  if (flags.includes('--cpu-only')) return;
  const { usable, because } = findCudaToolkit();
  if (because) say(`the CUDA variant is left out: ${because}`);
  if (!usable) return;
  try {
    await buildNative({ variant: 'cuda', report: say });
  } catch (error) {
    // What needs no GPU works all the same, and device 'cuda' says what is missing.
    if (!error.code?.startsWith('ERR_EAM')) throw error;
    say(`the CUDA variant is left out (--cpu-only does not try it): ${error.message}`);
  }
}

const started = performance.now();
for (const flag of flags)
  if (!['--cpu-only', '--typescript-only'].includes(flag)) fail(`'${flag}': expected --cpu-only or --typescript-only`);
checkNode();
installPackages();
compileTypeScript();
if (!typescriptOnly) {
  try {
    await buildNative();
  } catch (error) {
    fail(error.code?.startsWith('ERR_EAM') ? error.message : error.stack);
  }
}
say(`ready (${((performance.now() - started) / 1000).toFixed(1)} s)`);
