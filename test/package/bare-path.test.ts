// A machine on which PATH finds nothing: no git, no python3, no compiler, no CMake. What is built works as elsewhere.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { Diagnosis } from '../../lib/jobs/build/diagnosis.js';
import { inspect } from '../../lib/runtime/native/loader.js';
import { root } from '../helpers/installed.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

const { loaded, error } = inspect();
if (!loaded) throw new Error(error);
const libtorch = loaded.libtorch.directory;

/** Runs a program of this repository without anything on PATH. */
function bare(program: readonly string[], args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const PATH = temporaryFolder();
  const { VIRTUAL_ENV: _, CONDA_PREFIX: __, ...inherited } = process.env;
  return spawnSync(process.execPath, [join(root, ...program), ...args], {
    encoding: 'utf8',
    env: { ...inherited, EAM_TORCH_LIBTORCH: libtorch, ...env, PATH },
  });
}
const eam = (args: readonly string[], env?: NodeJS.ProcessEnv) => bare(['dist', 'cli', 'main.js'], args, env);

describe('with nothing on PATH', () => {
  it('eam doctor finds the set-up usable, and says of each tool that it is missing', () => {
    const { status, stdout } = eam(['doctor', '--json']);
    const { usable, tools } = JSON.parse(stdout) as Diagnosis;
    expect([status, usable]).toEqual([0, true]);
    for (const { name, problem } of tools) expect([name, problem]).toEqual([name, expect.stringContaining('on PATH')]);
    expect(eam(['doctor']).stdout).toContain('python3 is not on PATH');
  });

  it('eam plan plans', () => {
    const { status, stdout, stderr } = eam(['plan', join(root, 'configs', 'quickstart.json')]);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain('An iteration, batch');
  });

  it('eam finetune trains, and its run is evaluated', async () => {
    const output = join(temporaryFolder(), 'run');
    const config = join(temporaryFolder(), 'config.json');
    const settings = {
      model: await tinyModelDirectory(),
      adapter: tinyAdapter,
      prompts: ['0'],
      rewards: [{ name: 'stroke-weight' }],
      algorithm: { name: 'eam', solver: 'euler', steps: 1, renoisings: 1 },
      optimizer: { learningRate: 1e-3 },
      steps: 1,
      batch: 2,
      samples: { count: 2, columns: 2, steps: 1 },
      output,
    };
    writeFileSync(config, JSON.stringify(settings));
    const trained = eam(['finetune', config, '--quiet']);
    expect([trained.status, trained.stderr]).toEqual([0, '']);
    expect(readdirSync(join(output, 'checkpoints'))).toEqual(['step-1']);
    expect(existsSync(join(output, 'report.html'))).toBe(true);
    const evaluated = eam(['evaluate', output, '--count', '2', '--quiet']);
    expect([evaluated.status, evaluated.stderr]).toEqual([0, '']);
  });

  it('set-up has nothing to do where the native core is built, whatever program built it', () => {
    const { status, stdout, stderr } = bare(['scripts', 'setup.mjs'], ['--cpu-only'], {
      EAM_TORCH_LIBTORCH: undefined,
    });
    expect([status, stderr, stdout]).toEqual([0, '', expect.stringMatching(/^setup: ready \([\d.]+ s\)\n$/)]);
  });

  it('eam libtorch says that python3 is missing, and how to do without', () => {
    const nowhere = { EAM_TORCH_LIBTORCH: undefined, LIBTORCH: undefined, XDG_CACHE_HOME: temporaryFolder() };
    const { status, stdout, stderr } = eam(['libtorch'], nowhere);
    expect([status, stdout]).toEqual([1, '']);
    for (const part of ["python3's pip fetches LibTorch, and python3 is not on PATH", 'do without Python'])
      expect(stderr).toContain(part);
  });

  it.each([
    ['lint', 'line-length.mjs'],
    ['lint', 'clang-format.mjs'],
    ['prebuild', 'complete.mjs'],
  ])('scripts/%s/%s says that it asks git', (...path) => {
    const { status, stdout, stderr } = bare(['scripts', ...path], []);
    expect([status, stdout, stderr]).toEqual([
      1,
      '',
      expect.stringMatching(/^git [\w-]+: git is not on PATH; this script asks git about a checkout of the sources\n$/),
    ]);
  });
});
