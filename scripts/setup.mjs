// From a fresh clone to something that runs: npm packages, TypeScript, LibTorch and the native core. Every step is
// skipped where it is already done. Node's own modules only: nothing is installed when this starts.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
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
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const typescriptOnly = process.argv.includes('--typescript-only');
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
      `${command} ${args.join(' ')}: ${result.error?.message ?? `exit code ${result.status ?? result.signal}`}\n${output}`,
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

function hashOf(paths) {
  const hash = createHash('sha256');
  const visit = (path, directory) => {
    if (!directory)
      return hash
        .update(path)
        .update('\0')
        .update(readFileSync(join(root, path)))
        .update('\0');
    const entries = readdirSync(join(root, path), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) visit(`${path}/${entry.name}`, entry.isDirectory());
  };
  for (const path of paths) visit(path, path === 'lib');
  return hash.digest('hex');
}

function compileTypeScript() {
  const dist = join(root, 'dist');
  const stamp = join(dist, '.sources');
  const hash = hashOf(['lib', 'tsconfig.json', 'package-lock.json']);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  // Compiled aside and renamed, so that a removed source leaves nothing behind and a running process sees whole files.
  const next = `${dist}.next-${process.pid}`;
  const old = `${dist}.old-${process.pid}`;
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  step('typescript', 'TypeScript', process.execPath, [compiler, '-p', root, '--outDir', next]);
  chmodSync(join(next, 'cli', 'main.js'), 0o755);
  writeFileSync(join(next, '.sources'), hash);
  if (existsSync(dist)) renameSync(dist, old);
  renameSync(next, dist);
  rmSync(old, { recursive: true, force: true });
}

async function buildNative() {
  const { buildNative } = await import(pathToFileURL(join(root, 'dist', 'jobs', 'build', 'native-build.js')).href);
  await buildNative({ variant: 'cpu', report: say });
}

const started = performance.now();
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
