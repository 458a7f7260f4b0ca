// Importing the package, reading configurations and planning need no LibTorch and no addon: the first computation loads
// them.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { inspect } from '../../lib/runtime/native/loader.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { compiled, runNode } from '../helpers/child.js';
import { tinySd3 } from '../helpers/sd3.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'eam-lazy-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The environment of a machine with nothing on it: no LibTorch, no addon, an empty home, no Python. */
const bare = (): NodeJS.ProcessEnv => ({
  HOME: folder,
  PATH: '/nowhere',
  EAM_TORCH_LIBTORCH: join(folder, 'no-libtorch'),
  EAM_TORCH_BUILD_DIR: join(folder, 'no-addon'),
});

/** The environment of this machine, and the LibTorch that is used there. */
const whole = process.env;
const libtorch = inspect().loaded!.libtorch.directory;

/**
 * Prints the native files that the process has opened; what belongs to Node itself and to the system is not among them.
 */
const printNative = `
  const opened = process.report.getReport().sharedObjects.filter((path) => /\\.node$|lib(torch|c10|gomp)/.test(path));
  console.log(JSON.stringify(opened));`;

describe('importing the package', () => {
  it.each([
    { machine: 'a bare machine', env: bare },
    { machine: 'this machine', env: () => whole },
  ])('opens no native file on $machine', async ({ env }) => {
    const ended = await runNode(
      `import { eam, adjointMatching, combine, strokeWeight, Tensor, OdeSolver, renoise } from ${compiled('index.js')};
       eam({ C: 0.7 });
       adjointMatching({ steps: 4 });
       combine([[strokeWeight(), 1]]);
       if ({} instanceof Tensor || [OdeSolver, renoise].some((each) => typeof each !== 'function')) throw new Error();
       console.log(Tensor);
       ${printNative}`,
      { env: env() },
    );
    expect(ended).toEqual({ code: 0, signal: null, stdout: '[Function: Tensor]\n[]\n', stderr: '' });
  });

  it('leaves the options of an algorithm checked', async () => {
    const ended = await runNode(
      `import { eam } from ${compiled('index.js')};
       try { eam({ C: 0.4 }); } catch (error) { console.log(error.code, error.message); }
       ${printNative}`,
      { env: bare() },
    );
    expect(ended.stdout).toMatch(/^ERR_EAM_CONFIG .*\bC\b.*\n\[\]\n$/s);
  });
});

describe('the command line on a bare machine', () => {
  const eam = (...args: string[]) => {
    const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
      env: bare(),
      encoding: 'utf8',
    });
    return { status, stdout, stderr };
  };
  const configFile = (changes: object = {}): string => {
    const path = join(folder, 'config.json');
    const config = {
      model: tinySd3,
      prompts: ['a fox'],
      rewards: [{ name: 'stroke-weight' }],
      algorithm: { name: 'eam', solver: 'euler', steps: 1 },
      optimizer: { learningRate: 1e-3 },
      image: { width: 64, height: 64 },
      textLength: 16,
      steps: 1,
      batch: 1,
      output: join(folder, 'run'),
      ...changes,
    };
    writeFileSync(path, JSON.stringify(config));
    return path;
  };

  it('shows its help', () => {
    expect(eam('--help')).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining('finetune') });
    expect(eam('finetune', '--help')).toMatchObject({ status: 0, stderr: '' });
  });

  it('plans the quickstart', () => {
    const config = fileURLToPath(new URL('../../configs/quickstart.json', import.meta.url));
    expect(eam('plan', config)).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining('forwards') });
  });

  it('plans a Stable Diffusion 3.5, whose GPU it cannot ask', () => {
    const { status, stdout, stderr } = eam('plan', configFile(), '--device', 'cuda');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Networks\n.* transformer, /);
    expect(stdout).toMatch(/Needed on cuda: .*; without LibTorch it cannot be asked, --memory says how much it has/);
    expect(eam('plan', configFile()).stdout).toMatch(/Needed on cpu: .* are free/);
  });

  it('refuses a wrong configuration in the words of the check', () => {
    const { status, stderr } = eam('finetune', configFile({ algorithm: { name: 'eam', C: 0.4 } }));
    expect(status).toBe(2);
    expect(stderr).toContain('algorithm.C');
    expect(stderr).not.toContain('native core');
  });

  it('says in a diagnosis what is missing', () => {
    const { status, stdout } = eam('doctor');
    expect(status).toBe(1);
    expect(stdout).toContain('no-addon: not built');
    expect(stdout).toContain('npx eam build');
  });
});

describe('the first computation', () => {
  it.each([
    { computation: 'Tensor.from', call: 'Tensor.from([1], [1])' },
    { computation: 'a class that extends Tensor', call: '(class extends Tensor {})' },
    { computation: 'a synchronous kernel', call: 'coefficients(0.5, 1)' },
    { computation: 'a solver', call: "new OdeSolver({ solver: 'euler', times: [0, 1] })" },
  ])('$computation throws the NativeLoadError that names what was tried', async ({ call }) => {
    const ended = await runNode(
      `import { coefficients, NativeLoadError, OdeSolver, Tensor } from ${compiled('index.js')};
       try { ${call}; } catch (error) { console.log(error instanceof NativeLoadError, error.message); }`,
      { env: bare() },
    );
    expect(ended.stdout).toMatch(/^true eam-torch could not load its native core\.\n/);
    expect(ended.stdout).toContain('no-addon: not built');
    expect(ended.stdout).toContain('npx eam build');
  });

  it.each([
    { computation: 'a kernel', call: 'philoxNormal([1], { seed: 1n, stream: 1n })' },
    { computation: 'a model', call: "loadModel('digits')" },
  ])('$computation that returns a promise rejects with it', async ({ call }) => {
    const ended = await runNode(
      `import { loadModel, NativeLoadError, philoxNormal } from ${compiled('index.js')};
       await ${call}.catch((error) => console.log(error instanceof NativeLoadError));`,
      { env: bare() },
    );
    expect(ended).toMatchObject({ code: 0, stdout: 'true\n', stderr: '' });
  });

  it('loads the addon once, whichever module asks first', async () => {
    const ended = await runNode(
      `import { binding } from ${compiled('runtime/native/index.js')};
       const before = binding().Tensor.from([1, 2], [2]);
       const { Tensor } = await import(${compiled('index.js')});
       console.log(before instanceof Tensor, before.constructor === Tensor, Tensor.from === binding().Tensor.from);`,
    );
    expect(ended).toMatchObject({ stdout: 'true true true\n', stderr: '' });
  });
});

describe('Tensor', () => {
  it('is the class of its instances, as the addon declares it', () => {
    using tensor = Tensor.from([1, 2], [2]);
    expect(tensor).toBeInstanceOf(Tensor);
    expect(tensor.constructor).toBe(Tensor);
    expect(Object.getPrototypeOf(tensor)).toBe(Tensor.prototype);
    expect((Tensor as unknown as { name: string }).name).toBe('Tensor');
    expect(tensor[Symbol.dispose]).toBeTypeOf('function');
    for (const other of [undefined, null, 1, {}, [], Object.create(null)]) expect(other instanceof Tensor).toBe(false);
  });

  it('has no public constructor, neither its own nor by way of a class that extends it', () => {
    type Constructor = new () => Tensor;
    const own = Tensor as unknown as Constructor;
    class Extended extends own {}
    expect(() => new own()).toThrow('use Tensor.from(data, shape)');
    expect(() => new Extended()).toThrow('use Tensor.from(data, shape)');
    expect(() => (Tensor as unknown as () => Tensor)()).toThrow(TypeError);
    using tensor = (Extended as unknown as typeof Tensor).from([1], [1]);
    expect(tensor).toBeInstanceOf(Tensor);
    expect(tensor).not.toBeInstanceOf(Extended);
  });

  it('has the methods that a program adds to its prototype before anything is computed', async () => {
    const ended = await runNode(
      `import { Tensor } from ${compiled('index.js')};
       Tensor.prototype.size = function () { return this.shape.reduce((a, b) => a * b, 1); };
       console.log(Tensor.from([1, 2, 3, 4], [2, 2]).size());`,
    );
    expect(ended).toMatchObject({ stdout: '4\n', stderr: '' });
  });
});

describe('a process without a home', () => {
  /** Programs as a user that the system does not know, without HOME; undefined where this process may not start one. */
  const nobody = process.getuid?.() === 0 ? 54321 : undefined;
  const homeless = (): NodeJS.ProcessEnv => {
    const { HOME: _, XDG_CACHE_HOME: __, ...environment } = whole;
    return environment;
  };
  const run = (script: string, env: NodeJS.ProcessEnv, uid?: number) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      env,
      encoding: 'utf8',
      cwd: tmpdir(),
      ...(uid !== undefined && { uid, gid: uid }),
    });
  const report = `import { cacheDirectory } from ${compiled('runtime/native/libtorch.js')};
    import ${compiled('index.js')};
    import ${compiled('cli/program.js')};
    console.log(cacheDirectory());`;

  it('has no cache where HOME is set and empty', () => {
    expect(run(report, { ...homeless(), HOME: '' })).toMatchObject({ status: 0, stdout: 'undefined\n', stderr: '' });
  });

  it.runIf(nobody)('has no cache for a user that the system does not know', () => {
    expect(run(report, homeless(), nobody)).toMatchObject({ status: 0, stdout: 'undefined\n', stderr: '' });
  });

  it('computes, and says where it would need a cache that it has none', () => {
    const env = { ...homeless(), HOME: '', EAM_TORCH_LIBTORCH: libtorch, EAM_TORCH_SKIP_TRIAL: '1' };
    const script = `import { coefficients } from ${compiled('index.js')};
      import { run } from ${compiled('cli/run.js')};
      import { fetchLibTorch } from ${compiled('jobs/build/fetch-libtorch.js')};
      console.log(coefficients(0.5, 1).kappa);
      await run(['cache', '--clear']);
      const request = { variant: 'cpu', cache: undefined, python: 'none', report: () => undefined };
      await fetchLibTorch(request).catch((error) => console.log(error.message));`;
    const { stdout, stderr } = run(script, env);
    const none = 'this user has no home directory and XDG_CACHE_HOME is not set';
    expect(stderr).toBe('');
    expect(stdout).toBe(`1\nthere is no cache: ${none}\nThere is no place for LibTorch: ${none}.\n`);
  });
});
