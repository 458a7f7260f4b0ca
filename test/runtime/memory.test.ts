// That tensors do not pile up.
import { describe, expect, it } from 'vitest';

import { compiled } from '../helpers/child.js';
import { smallTensorRounds } from '../helpers/small-tensors.js';
import { run } from '../helpers/native-work.js';

// Counted, not looked up: what is resident of it is the C library's affair and the kernel's. See
// test/measured/resident.check.ts.
describe('memory', () => {
  const settle = `async () => {
        for (let i = 0; i < 5; ++i) { globalThis.gc(); await sleep(10); }
        // All that was asked for before is done then.
        await philoxNormal([1], { seed: 1n, stream: 1n }).then((x) => x.dispose());
        return { tensors: binding().tensorMemory().bytes, arrays: process.memoryUsage().external };
      }`;
  // Bytes beyond those after a first round.
  const growth = async (round: string) => {
    const ended = await run(
      `
      const round = async () => { ${round} };
      const settle = ${settle};
      binding().tensorMemory();
      await round();
      const before = await settle();
      await round();
      const after = await settle();
      console.log(JSON.stringify({ tensors: after.tensors - before.tensors, arrays: after.arrays - before.arrays }));
    `,
      { args: ['--expose-gc'] },
    );
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    return JSON.parse(ended.stdout) as { tensors: number; arrays: number };
  };

  it.each(smallTensorRounds(5_000))('does not grow with many small tensors $what', async ({ round }) => {
    const { tensors, arrays } = await growth(round);
    expect(tensors).toBe(0);
    // One of a hundred kept, of 16 bytes, would be more.
    expect(arrays).toBeLessThan(800);
  });

  it.each([
    'eam({ steps: 2, renoisings: 2 })',
    'eam({ steps: 2, renoisings: 2, decodeSlice: 3, microBatch: 3 })',
    'adjointMatching({ steps: 4, drawnSteps: 2 })',
  ])('does not grow from step to step of a training run: %s', async (algorithm) => {
    const { tensors } = await growth(`
        const { Trainer, adjointMatching, eam, loadModel, strokeWeight } = await import(${compiled('index.js')});
        globalThis.trainer ??= new Trainer({
          model: await loadModel('digits', { adapter: { rank: 8, alpha: 16 } }),
          reward: strokeWeight({ scale: 10 }),
          prompts: ['0', '1'],
          algorithm: ${algorithm},
          optimizer: { learningRate: 1e-4, emaDecay: 0.9 },
          batch: 8,
        });
        for await (const { step } of trainer.run({ steps: trainer.step + 5 })) if (step % 2 === 0) await sleep(0);
      `);
    expect(tensors).toBe(0);
  });

  it('is what tensors and arrays hold, and goes back to where it was', async () => {
    const ended = await run(
      `
      const settle = ${settle};
      const make = async () => {
        const kept = [];
        for (let i = 0n; i < 6n; ++i) kept.push(await philoxNormal([10_485_760], { seed: 1n, stream: i }));
        return kept;
      };
      binding().tensorMemory();
      for (const x of await make()) x.dispose();
      const before = await settle();
      const seen = [];
      const measure = async () => {
        const { tensors, arrays } = await settle();
        const grown = [tensors - before.tensors, arrays - before.arrays].map((bytes) => Math.round(bytes / 2 ** 20));
        seen.push({ tensors: grown[0], arrays: grown[1] });
      };
      let tensors = await make(); // 40 MiB each
      await measure();
      let arrays = await Promise.all(tensors.map((x) => x.data()));
      await measure();
      for (const x of tensors.slice(0, 3)) x.dispose();
      arrays = arrays.slice(3);
      await measure();
      tensors = arrays = undefined;
      await measure();
      console.log(JSON.stringify(seen));
    `,
      { args: ['--expose-gc'] },
    );
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    // An array is the memory of its tensor: 240 MiB in all, of which half is held by tensors and arrays in the third.
    expect(JSON.parse(ended.stdout)).toEqual([
      { tensors: 240, arrays: 0 },
      { tensors: 240, arrays: 240 },
      { tensors: 120, arrays: 120 },
      { tensors: 0, arrays: 0 },
    ]);
  });

  it('comes back for large tensors that nobody disposes of: V8 knows their size', async () => {
    const ended = await run(`
      binding().tensorMemory();
      for (let i = 0n; i < 300n; ++i) { // 4.8 GB in all
        await philoxNormal([4_000_000], { seed: 1n, stream: i });
        // Its collector has other threads do some of the work, which may be late.
        while (binding().tensorMemory().bytes > 1e9) await sleep(1);
      }
      console.log('done');
    `);
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: 'done\n' });
  });

  it('comes back at once when a tensor is disposed of', async () => {
    const ended = await run(`
      const bytes = () => binding().tensorMemory().bytes;
      bytes();
      const x = await philoxNormal([64_000_000], { seed: 1n, stream: 1n });
      const before = bytes();
      x.dispose();
      console.log(before, bytes());
    `);
    expect(ended).toMatchObject({ code: 0, stdout: '256000000 0\n' });
  });
});
