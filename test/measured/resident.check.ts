// That tensors do not pile up, as a process's resident memory shows it: also what is no tensor's, of the addon,
// LibTorch and Node. What LibTorch gives out is counted in test/runtime/memory.test.ts.
import { describe, expect, it } from 'vitest';

import { compiled, runNode } from '../helpers/child.js';
import { smallTensorRounds } from '../helpers/small-tensors.js';

const imports = `
  import { setTimeout as sleep } from 'node:timers/promises';
  const { philoxNormal, renoise } = await import(${compiled('runtime/kernels.js')});
  const { Tensor } = await import(${compiled('runtime/native/tensor.js')});
`;
const run = (script: string, options = {}) => runNode(imports + script, options);

describe.runIf(process.platform === 'linux')('resident memory', () => {
  // MB of the process beyond what it had after a first round.
  const growth = (round: string, args: string[] = []) =>
    run(
      `
      const round = async () => { ${round} };
      const settle = async () => {
        for (let i = 0; i < 5; ++i) {
          globalThis.gc();
          await sleep(10);
        }
        return process.memoryUsage().rss / 2 ** 20;
      };
      await round();
      const before = await settle();
      await round();
      console.log(Math.round(await settle() - before));
    `,
      { args: ['--expose-gc', ...args] },
    );

  it.each(smallTensorRounds(50_000))('does not grow with many small tensors $what', async ({ round }) => {
    const ended = await growth(round);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(Number(ended.stdout)).toBeLessThan(24);
  });

  it.each([
    'eam({ steps: 2, renoisings: 2 })',
    'eam({ steps: 2, renoisings: 2, decodeSlice: 3, microBatch: 3 })',
    'adjointMatching({ steps: 4, drawnSteps: 2 })',
  ])('does not grow from step to step of a training run: %s', async (algorithm) => {
    const ended = await growth(`
        const { Trainer, adjointMatching, eam, loadModel, strokeWeight } = await import(${compiled('index.js')});
        globalThis.trainer ??= new Trainer({
          model: await loadModel('digits', { adapter: { rank: 8, alpha: 16 } }),
          reward: strokeWeight({ scale: 10 }),
          prompts: ['0', '1'],
          algorithm: ${algorithm},
          optimizer: { learningRate: 1e-4, emaDecay: 0.9 },
          batch: 8,
        });
        for await (const { step } of trainer.run({ steps: trainer.step + 15 })) if (step % 5 === 0) await sleep(0);
      `);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    // A step that kept its graph would keep a megabyte at least: fifteen of them.
    expect(Number(ended.stdout)).toBeLessThan(12);
  });

  it('is what tensors and arrays hold, and goes back to where it was', async () => {
    // `external` counts arrays. What V8 is told of tensors, no number of Node's shows: resident memory does. Above 32
    // MiB the C library gives memory back as it is freed.
    const ended = await run(
      `
      const measure = async () => {
        for (let i = 0; i < 5; ++i) { globalThis.gc(); await sleep(10); }
        const { rss, external } = process.memoryUsage();
        return { rss: rss / 2 ** 20, external: external / 2 ** 20 };
      };
      const make = async () => {
        const kept = [];
        for (let i = 0n; i < 6n; ++i) kept.push(await philoxNormal([10_485_760], { seed: 1n, stream: i }));
        return kept;
      };
      for (const x of await make()) x.dispose();
      const before = await measure();
      let tensors = await make(); // 40 MiB each
      const seen = [await measure()];
      let arrays = await Promise.all(tensors.map((x) => x.data()));
      seen.push(await measure());
      for (const x of tensors.slice(0, 3)) x.dispose();
      arrays = arrays.slice(3);
      seen.push(await measure());
      tensors = arrays = undefined;
      seen.push(await measure());
      const grown = (one, name) => Math.round(one[name] - before[name]);
      const rows = seen.map((one) => ({ rss: grown(one, 'rss'), external: grown(one, 'external') }));
      console.log(JSON.stringify(rows));
    `,
      { args: ['--expose-gc'] },
    );
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    const seen = JSON.parse(ended.stdout) as { rss: number; external: number }[];
    // An array is the memory of its tensor: 240 MiB in all, of which half is held by tensors and arrays in the third.
    for (const [index, expected] of [
      { rss: 240, external: 0 },
      { rss: 240, external: 240 },
      { rss: 120, external: 120 },
      { rss: 0, external: 0 },
    ].entries()) {
      expect(Math.abs(seen[index]!.rss - expected.rss)).toBeLessThan(24);
      expect(Math.abs(seen[index]!.external - expected.external)).toBeLessThan(4);
    }
  });

  it('comes back at once when a tensor is disposed of', async () => {
    const ended = await run(`
      const x = await philoxNormal([64_000_000], { seed: 1n, stream: 1n });
      const before = process.memoryUsage().rss;
      x.dispose();
      console.log(Math.round((before - process.memoryUsage().rss) / 2 ** 20));
    `);
    expect(Number(ended.stdout)).toBeGreaterThan(200);
  });
});
