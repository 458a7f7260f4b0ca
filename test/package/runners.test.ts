// A project that uses this package, under the test runners that give each of its files a realm of its own.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { inspect } from '../../lib/runtime/native/loader.js';
import { packageOf, root, runIn } from '../helpers/installed.js';

const { loaded, error } = inspect();
if (!loaded) throw new Error(error);
const env = { EAM_TORCH_BUILD_DIR: loaded.addon.directory, EAM_TORCH_LIBTORCH: loaded.libtorch.directory };

const suite = readFileSync(join(root, 'test', 'fixtures', 'runners', 'suite.js'), 'utf8');
const modules = `import * as eam from 'eam-torch';\nconst load = async () => eam;\n${suite}`;
const tests = {
  // The second one meets an addon that the first one's realm has loaded.
  'first.test.mjs': modules,
  'second.test.mjs': modules,
  'commonjs.test.cjs': `const load = () => import('eam-torch');\n${suite}`,
};
const inEachFile = suite.match(/^test\(/gm)!.length;

let app: string;
beforeAll(() => {
  const folder = mkdtempSync(join(tmpdir(), 'eam-runners-'));
  app = join(folder, 'app');
  mkdirSync(packageOf(app), { recursive: true });
  // Copied, for runners treat what lies below node_modules by other rules, and follow links first.
  for (const name of ['dist', 'assets', 'package.json'])
    cpSync(join(root, name), join(packageOf(app), name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules')); // its dependencies
  writeFileSync(join(app, 'package.json'), '{ "private": true }');
  for (const [name, text] of Object.entries(tests)) writeFileSync(join(app, name), text);
});
afterAll(() => rmSync(join(app, '..'), { recursive: true, force: true }));

/** What both runners write with their JSON reporters. */
interface Results {
  testResults: { name: string; message: string; assertionResults: { title: string; failureMessages: string[] }[] }[];
}

function run(args: readonly string[]): { failures: string[]; passed: Record<string, number> } {
  const results = join(app, 'results.json');
  const { status, stderr } = runIn(app, process.execPath, [...args, `--outputFile=${results}`], env);
  const { testResults } = JSON.parse(readFileSync(results, 'utf8')) as Results;
  rmSync(results);
  const failures = testResults.flatMap(({ message, assertionResults }) =>
    assertionResults.length === 0 ? [message] : assertionResults.flatMap(({ failureMessages }) => failureMessages),
  );
  if (status !== 0 && failures.length === 0) failures.push(stderr);
  const counts = testResults.map(({ name, assertionResults }) => [basename(name), assertionResults.length]);
  return { failures, passed: Object.fromEntries(counts) as Record<string, number> };
}

const require = createRequire(import.meta.url);
const expected = (...names: (keyof typeof tests)[]) => ({
  failures: [],
  passed: Object.fromEntries(names.map((name) => [name, inEachFile])),
});

describe('the package in the tests of a project', () => {
  it('runs under Jest, as its documentation sets up ES modules, imported from CommonJS, too', () => {
    const jest = require.resolve('jest/bin/jest');
    const config = {
      testMatch: ['**/*.test.*js'],
      moduleFileExtensions: ['js', 'mjs', 'cjs', 'json'],
      transform: {},
      watchman: false,
      cacheDirectory: join(app, '.cache'),
    };
    const args = ['--experimental-vm-modules', jest, `--config=${JSON.stringify(config)}`, '--runInBand', '--json'];
    expect(run(args)).toEqual(expected('first.test.mjs', 'second.test.mjs', 'commonjs.test.cjs'));
  });

  it.each(['vmThreads', 'vmForks'])("runs in vitest's pool %s", (pool) => {
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const args = [vitest, 'run', '--globals', `--pool=${pool}`, '--maxWorkers=1', '--reporter=json', '.test.mjs'];
    expect(run(args)).toEqual(expected('first.test.mjs', 'second.test.mjs'));
  });
});
