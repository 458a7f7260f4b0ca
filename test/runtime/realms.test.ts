// Arrays, errors and promises of another realm: what native code and Node make is of one under Jest, vitest's vm pools
// and in node:vm, where `instanceof` says of each that it is none.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';

import { describe, expect, it } from 'vitest';

import { EamError, isError, suppress, suppressedBy } from '../../lib/errors.js';
import { combine } from '../../lib/rewards/combine.js';
import { fromFunction } from '../../lib/rewards/from-function.js';
import { moduleReward } from '../../lib/rewards/module.js';
import { renoise } from '../../lib/runtime/kernels.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { compiled, runNode } from '../helpers/child.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

/** What an expression is in a realm of its own. */
const foreign = (expression: string): never => runInNewContext(expression, { setTimeout }) as never;
const images = () => Tensor.from(new Float32Array(4).fill(0.5), [2, 1, 1, 2]);

describe('values of another realm', () => {
  it.each(['new Float32Array([1, 2])', 'new Float64Array([1, 2])', 'new Int32Array([1, 2])', '[1, 2]'])(
    'are accepted as scores and gradients: %s',
    async (expression) => {
      const own = combine([[{ name: 'own', score: () => foreign(`Promise.resolve({ values: ${expression} })`) }, 1]]);
      expect(Array.from((await own.score(images(), ['', ''])).values as Float32Array)).toEqual([1, 2]);
      const grad = expression.replaceAll('1, 2', '1, 2, 3, 4');
      const computed = fromFunction('f', () => foreign(`({ values: ${expression}, grad: ${grad} })`));
      const scored = await combine([[computed, 2]]).score(images(), ['', ''], { gradient: true });
      expect(Array.from(scored.values as Float32Array)).toEqual([2, 4]);
      expect(Array.from((await scored.grad!.data()) as Float32Array)).toEqual([2, 4, 6, 8]);
    },
  );

  it.each([
    '"12"',
    '({ length: 2 })',
    'new Map()',
    'new Uint8Array(2)',
    'new DataView(new ArrayBuffer(8))',
    '["1", 2]',
  ])('are refused where they are no numbers: %s', async (expression) => {
    const own = combine([[{ name: 'own', score: async () => ({ values: foreign(expression) }) }, 1]]);
    await expect(own.score(images(), ['', ''])).rejects.toThrow(/^reward "own" failed: values.*: expected/);
  });

  it('are accepted as tensors, shapes and options', async () => {
    for (const type of ['Float32Array', 'Float64Array', 'Int32Array', 'BigInt64Array']) {
      const numbers = type.startsWith('Big') ? '[1n, 2n]' : '[1, 2]';
      const tensor = Tensor.from(foreign(`new ${type}(${numbers})`), foreign('[1, 2]'), foreign('({})'));
      expect([tensor.shape, Array.from((await tensor.data()) as Int32Array, Number)]).toEqual([
        [1, 2],
        [1, 2],
      ]);
    }
    const shared = Tensor.from(foreign('new Float32Array(new SharedArrayBuffer(8))'), [2]);
    expect(Array.from((await shared.data()) as Float32Array)).toEqual([0, 0]);
    const x1 = Tensor.from([1, 1], [2, 1]);
    const expected = await (await renoise({ x1, t: [0.5, 0.9], noise: { seed: 1n, stream: 0n } })).data();
    for (const t of ['[0.5, 0.9]', 'new Float64Array([0.5, 0.9])']) {
      const given = { x1, t: foreign(t), noise: foreign('({ seed: 1n, stream: 0n })') };
      expect(await (await renoise(given)).data()).toEqual(expected);
    }
  });

  it('are reported as errors, with their messages', async () => {
    const failures = ["new Error('theirs')", "new RangeError('theirs')", "new (class Own extends Error {})('theirs')"];
    for (const failure of failures) {
      const own = { name: 'own', score: async () => foreign(`Promise.reject(${failure})`) };
      const error: unknown = await combine([[own, 1]])
        .score(images(), ['', ''])
        .catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(EamError);
      expect((error as Error).message).toBe('reward "own" failed: theirs');
      const [first, second] = [foreign(failure), foreign(failure)];
      suppress(first, second);
      expect(suppressedBy(first)).toEqual([second]);
    }
    expect(["'no'", '({ message: 1 })', '[]', 'null', 'undefined'].map((text) => isError(foreign(text)))).toEqual(
      Array.from({ length: 5 }, () => false),
    );
    expect(isError(AbortSignal.abort().reason)).toBe(true);
    const file = join(temporaryFolder(), 'module.mjs');
    writeFileSync(file, "import { runInNewContext } from 'node:vm'; runInNewContext(`throw new TypeError('theirs')`);");
    await expect(moduleReward(file)).rejects.toThrow(/cannot be loaded: theirs$/);
  });
});

describe('lib/', () => {
  it('asks no value whether it is an instance of a class of its own realm', () => {
    const globals =
      /instanceof (\w*Error|(\w+)?Array|ArrayBuffer|\w+Buffer|Promise|Map|Set|Date|RegExp|Object|Function)\b/;
    const ours =
      /instanceof (Eam|Config|Checkpoint|Hub|NonFinite|Stopped|NativeLoad|Cancelled|Build|ImageFile|Commander)Error\b/;
    const found = readdirSync('lib', { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && name !== 'errors.ts')
      .flatMap((name) => readFileSync(join('lib', name), 'utf8').split('\n'))
      .filter((line) => globals.test(line) && !ours.test(line));
    expect(found).toEqual([]);
  });
});

/** Loads the compiled package into a realm of its own, as Jest does, and runs a script there that sees it as `eam`. */
const inRealm = (script: string): string => `
  import { readFileSync } from 'node:fs';
  import { fileURLToPath } from 'node:url';
  import vm from 'node:vm';
  const context = vm.createContext({ process, Buffer, URL, performance, AbortController, AbortSignal, setTimeout,
    clearTimeout, setImmediate, console, TextDecoder, TextEncoder, queueMicrotask, structuredClone });
  const modules = new Map();
  const outside = async (name) => {
    const theirs = await import(name);
    const names = Object.keys(theirs);
    return new vm.SyntheticModule(names, function () { for (const key of names) this.setExport(key, theirs[key]); },
      { context });
  };
  const load = (specifier, from) => {
    const url = specifier.startsWith('.') ? new URL(specifier, from).href : specifier;
    if (!modules.has(url)) modules.set(url, !url.startsWith('file:')
      ? outside(url)
      : Promise.resolve(new vm.SourceTextModule(readFileSync(fileURLToPath(url), 'utf8'), { context, identifier: url,
        initializeImportMeta: (meta) => { meta.url = url; },
        importModuleDynamically: async (name) => {
          const found = await load(name, url);
          if (found.status === 'unlinked') await found.link(link);
          await found.evaluate();
          return found;
        } })));
    return modules.get(url);
  };
  const link = (specifier, from) => load(specifier, from.identifier);
  const index = await load(${compiled('index.js')}, import.meta.url);
  await index.link(link);
  await index.evaluate();
  context.eam = index.namespace;
  console.log(await vm.runInContext(${JSON.stringify(`(async () => { ${script} })()`)}, context));`;

describe('the package in a realm of its own', () => {
  it('takes what the addon makes, disposes of it, and trains', async () => {
    const script = `
      const { combine, strokeWeight, renoise, Tensor, EamError, Trainer, loadModel } = eam;
      if (Float32Array === Tensor.from([1], [1]).dataSync().constructor) return 'the addon is of this realm';
      const x1 = Tensor.from(new Float32Array([1, 1]), [2, 1]);
      const own = (score) => combine([[{ name: 'own', score }, 1]]);
      const images = Tensor.from(new Float32Array(2 * 784).fill(0.5), [2, 1, 28, 28]);
      const drawn = await own(async () => ({
        values: await (await renoise({ x1, t: [0.9, 0.9], noise: { seed: 1n, stream: 0n } })).data() }))
        .score(images, ['', '']);
      const native = await own((...given) => strokeWeight().score(...given))
        .score(images, ['1', '2'], { gradient: true });
      const wrong = await own(() => Tensor.from([1], [2])).score(images, ['', '']).catch((error) => error);
      const disposed = Tensor.from([1], [1]);
      disposed[Symbol.dispose]();
      const trainer = new Trainer({ model: await loadModel('digits', { adapter: { rank: 2, alpha: 2 } }), batch: 2,
        reward: combine([[strokeWeight(), 1]]), prompts: ['1'], optimizer: { learningRate: 1e-3 },
        algorithm: eam.eam({ lambda: 12, delta: 0.3, steps: 2, renoisings: 1 }) });
      const rewards = [];
      for await (const { reward } of trainer.run({ steps: 1 })) rewards.push(reward);
      return JSON.stringify([drawn.values.length, Array.from(native.values), wrong instanceof EamError,
        disposed.disposed, rewards.every(Number.isFinite)]);`;
    const { stdout, stderr, code } = await runNode(inRealm(script), {
      args: ['--experimental-vm-modules', '--no-warnings'],
    });
    expect([stderr, stdout, code]).toEqual(['', '[2,[5,5],true,true,true]\n', 0]);
  });
});
