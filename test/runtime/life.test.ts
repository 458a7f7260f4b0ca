// How a process or a worker ends while native work runs: with its own exit code, soon, and never by a signal. And that
// tensors do not pile up.
import { describe, expect, it } from 'vitest';

import { compiled, runNode } from '../helpers/child.js';

const imports = `
  import { parentPort, Worker } from 'node:worker_threads';
  import { once } from 'node:events';
  import { setTimeout as sleep } from 'node:timers/promises';
  const { philoxNormal, renoise } = await import(${compiled('runtime/kernels.js')});
  const { Tensor } = await import(${compiled('runtime/tensor.js')});
  const { binding } = await import(${compiled('runtime/native/index.js')});
  // Enough for seconds of work, none of it awaited: long kernels, or a network's many calls into LibTorch, whose static
  // objects are made in the first of them.
  const flood = () => { for (let i = 0n; i < 200n; ++i) philoxNormal([4_000_000], { seed: 1n, stream: i }).catch(() => {}); };
  const floodNetwork = async () => {
    const classifier = new (binding().DigitClassifier)({ imageSize: 28, channels: 1, widths: [16, 32], features: 64, classes: 10 }, 1n, 'cpu');
    const images = Tensor.from(new Float32Array(8 * 784), [8, 1, 28, 28]);
    await classifier.logProbability(images, new Int32Array(8), true);
    for (let i = 0; i < 5000; ++i) classifier.logProbability(images, new Int32Array(8), true).catch(() => {});
  };
`;
const run = (script: string, options = {}) => runNode(imports + script, options);

describe('a process', () => {
  it('ends by itself once its work is done', async () => {
    const ended = await run(`
      const x1 = Tensor.from(new Float32Array(6), [2, 3]);
      const x = await renoise({ x1, t: [0.1, 0.2], noise: { seed: 1n, stream: 1n } });
      console.log((await x.data()).length);
    `);
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: '6\n', stderr: '' });
  });

  it('stays alive while work is pending', async () => {
    const ended = await run(
      `philoxNormal([3_000_000], { seed: 1n, stream: 1n }).then((x) => console.log(x.shape[0]));`,
    );
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: '3000000\n' });
  });

  it('ends by itself with tensors that were never disposed', async () => {
    const ended = await run(`
      globalThis.kept = await philoxNormal([1_000_000], { seed: 1n, stream: 1n });
      globalThis.array = await kept.data();
      globalThis.borrowed = Tensor.from(new Float32Array(1_000_000), [1_000_000]);
      globalThis.converted = await borrowed.to({ dtype: 'float64' });
    `);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
  });

  it.each([
    ['kernels', 0, 'flood()'],
    ['kernels', 50, 'flood()'],
    ['a network', 0, 'await floodNetwork()'],
    ['a network', 200, 'await floodNetwork()'],
  ])('process.exit with %s in flight for %s ms', async (_, delay, work) => {
    const ended = await run(`${work}; await sleep(${delay}); process.exit(7);`);
    expect(ended).toMatchObject({ code: 7, signal: null, stderr: '' });
  });

  it.each([
    ['kernels', 'flood()'],
    ['a network', 'await floodNetwork()'],
  ])('SIGINT with %s in flight ends it at once, as it ends any program', async (_, work) => {
    const started = performance.now();
    const ended = await run(`${work}; await sleep(50); console.log('busy'); await sleep(30_000);`, {
      interrupt: 'busy',
    });
    expect(ended).toMatchObject({ code: null, signal: 'SIGINT', stderr: '' });
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it('SIGINT with a handler lets the program end as it wants, with work in flight', async () => {
    const ended = await run(
      `process.once('SIGINT', () => process.exit(130)); flood(); await sleep(50); console.log('busy'); await sleep(30_000);`,
      { interrupt: 'busy' },
    );
    expect(ended).toMatchObject({ code: 130, signal: null, stderr: '' });
  });

  it('process.exit inside a handler of finished work', async () => {
    const ended = await run(`philoxNormal([4], { seed: 1n, stream: 1n }).then(() => process.exit(9)); flood();`);
    expect(ended).toMatchObject({ code: 9, signal: null, stderr: '' });
  });

  it('an uncaught error with work in flight', async () => {
    const ended = await run(
      `await floodNetwork(); await sleep(100); setTimeout(() => { throw new Error('on purpose'); }, 1);`,
    );
    expect(ended).toMatchObject({ code: 1, signal: null });
    expect(ended.stderr).toContain('on purpose');
  });

  it('an unhandled rejection of native work shows the error, not native code', async () => {
    const ended = await run(
      `renoise({ x1: Tensor.from([1], [1]), t: [2], noise: { seed: 1n, stream: 1n } }); flood();`,
    );
    expect(ended).toMatchObject({ code: 1, signal: null });
    expect(ended.stderr).toMatch(/ConfigError: renoise: t/);
    expect(ended.stderr).not.toMatch(/c10|frame #/);
  });

  it('its event loop turns while work runs', async () => {
    const ended = await run(`
      let turns = 0;
      const timer = setInterval(() => ++turns, 1);
      await Promise.all(Array.from({ length: 20 }, (_, i) => philoxNormal([3_000_000], { seed: 1n, stream: BigInt(i) })));
      clearInterval(timer);
      console.log(turns > 10);
    `);
    expect(ended).toMatchObject({ code: 0, stdout: 'true\n' });
  });
});

describe('worker_threads', () => {
  // A worker from text is CommonJS in Node 20; from a data: URL it is a module everywhere.
  const module = (body: string) =>
    `new Worker(new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(imports + body)})))`;

  it('are started, used and ended ten times', async () => {
    const ended = await run(`
      for (let i = 0; i < 10; ++i) {
        const worker = ${module(`
          const x = await philoxNormal([1000], { seed: 42n, stream: 7n });
          globalThis.kept = [x, await x.data(), Tensor.from(new Float32Array(5000), [5000])];
          parentPort.postMessage((await x.data())[0]);
        `)};
        const exit = once(worker, 'exit'); // may come in the same turn as the message
        const [value] = await once(worker, 'message');
        const [code] = await exit;
        console.log(value.toFixed(5), code);
      }
    `);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '', stdout: '1.06515 0\n'.repeat(10) });
  });

  it('are started, used and terminated ten times', async () => {
    const ended = await run(`
      for (let i = 0; i < 10; ++i) {
        const worker = ${module(`
          const x = await philoxNormal([1000], { seed: 42n, stream: 7n });
          parentPort.postMessage((await x.data())[0]);
          flood();
          parentPort.on('message', () => {}); // stays
        `)};
        const [value] = await once(worker, 'message');
        console.log(value.toFixed(5), await worker.terminate());
      }
    `);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '', stdout: '1.06515 1\n'.repeat(10) });
  });

  // From before LibTorch is loaded, through the addon's start, to results that arrive while the worker ends.
  it('are terminated at any moment of their life', async () => {
    const ended = await run(`
      await philoxNormal([10], { seed: 1n, stream: 1n });
      for (let delay = 0; delay < 400; delay += 10) {
        const worker = ${module(`
          const x1 = Tensor.from(new Float32Array(3000), [3, 1000]);
          await [() => {}, flood, floodNetwork][Math.floor(Math.random() * 3)]();
          for (let i = 0n; ; ++i) {
            const noise = { seed: 2n, stream: i };
            await Promise.all([
              renoise({ x1, t: [0, 0.5, 1], noise }).then((x) => x.data()),
              renoise({ x1, t: [0, 0.5, 2], noise }).catch((error) => error.message),
              x1.to({ dtype: 'float16' }).then((x) => x.data()),
            ]);
          }
        `)};
        await sleep(delay);
        await worker.terminate();
      }
      console.log((await (await philoxNormal([10], { seed: 42n, stream: 7n })).data())[0].toFixed(5));
    `);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '', stdout: '1.06515\n' });
  });

  it('two at once beside the main thread give the same numbers', async () => {
    const body = `
      let last;
      for (let i = 0n; i < 50n; ++i) last = await philoxNormal([50_000], { seed: 42n, stream: i });
      parentPort.postMessage(Array.from((await last.data()).slice(-3)));
    `;
    const ended = await run(`
      const workers = [${module(body)}, ${module(body)}];
      const messages = Promise.all(workers.map((worker) => once(worker, 'message')));
      let last;
      for (let i = 0n; i < 50n; ++i) last = await philoxNormal([50_000], { seed: 42n, stream: i });
      const own = JSON.stringify(Array.from((await last.data()).slice(-3)));
      console.log((await messages).map(([message]) => JSON.stringify(message) === own).join());
    `);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '', stdout: 'true,true\n' });
  });

  it('process.exit of the main thread while workers compute', async () => {
    const ended = await run(`
      const workers = [${module('parentPort.postMessage(1); flood();')}, ${module('parentPort.postMessage(1); flood();')}];
      await Promise.all(workers.map((worker) => once(worker, 'message')));
      flood();
      await sleep(20);
      process.exit(5);
    `);
    expect(ended).toMatchObject({ code: 5, signal: null, stderr: '' });
  });

  it('an uncaught error in one leaves the others alone', async () => {
    const ended = await run(`
      const worker = ${module(`flood(); throw new Error('in a worker');`)};
      const [error] = await once(worker, 'error');
      console.log(error.message, (await philoxNormal([4], { seed: 1n, stream: 1n })).shape[0]);
    `);
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: 'in a worker 4\n' });
  });
});

describe('memory', () => {
  // MB of the process beyond what it had after a first round.
  const growth = (round: string, args: string[] = []) =>
    run(
      `
      const round = async () => { ${round} };
      const settle = async () => { for (let i = 0; i < 5; ++i) { globalThis.gc(); await sleep(10); } return process.memoryUsage().rss / 2 ** 20; };
      await round();
      const before = await settle();
      await round();
      console.log(Math.round(await settle() - before));
    `,
      { args: ['--expose-gc', ...args], timeout: 120_000 },
    );

  it.each([
    ['disposed', `for (let i = 0; i < 50_000; ++i) Tensor.from(new Float32Array(4), [4]).dispose();`],
    [
      'left to the garbage collector',
      `for (let i = 0; i < 50_000; ++i) { Tensor.from([1, 2, 3, 4], [2, 2]); if (i % 1000 === 0) await sleep(0); }`,
    ],
    [
      'made by kernels',
      `const x1 = Tensor.from([1, 2], [1, 2]);
      for (let i = 0; i < 50_000; ++i) { const x = await renoise({ x1, t: [0.5], noise: { seed: 1n, stream: 1n } }); x.dispose(); }`,
    ],
    [
      'that failed',
      `for (let i = 0; i < 20_000; ++i) await renoise({ x1: Tensor.from([1], [1]), t: [2], noise: { seed: 1n, stream: 1n } }).catch(() => {});`,
    ],
  ])('of many small tensors %s does not grow', async (_, round) => {
    const ended = await growth(round);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(Number(ended.stdout)).toBeLessThan(24);
  });

  it.each([
    'eam({ steps: 2, renoisings: 2 })',
    'eam({ steps: 2, renoisings: 2, decodeSlice: 3, microBatch: 3 })',
    'adjointMatching({ steps: 4, drawnSteps: 2 })',
  ])(
    'of a training run does not grow from step to step: %s',
    async (algorithm) => {
      const ended = await growth(`
        const { Trainer, adjointMatching, eam, loadModel, strokeWeight } = await import(${compiled('index.js')});
        globalThis.trainer ??= new Trainer({
          model: await loadModel('digits', { adapter: { rank: 8, alpha: 16 } }), reward: strokeWeight({ scale: 10 }), prompts: ['0', '1'],
          algorithm: ${algorithm}, optimizer: { learningRate: 1e-4, emaDecay: 0.9 }, batch: 8,
        });
        for await (const { step } of trainer.run({ steps: trainer.step + 15 })) if (step % 5 === 0) await sleep(0);
      `);
      expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
      // A step that kept its graph would keep a megabyte at least: fifteen of them.
      expect(Number(ended.stdout)).toBeLessThan(12);
    },
    120_000,
  );

  it('is what tensors and arrays hold, and goes back to where it was', async () => {
    // `external` counts arrays. What V8 is told of tensors, no number of Node's shows: resident memory does. Above 32 MiB
    // the C library gives memory back as it is freed.
    const ended = await run(
      `
      const measure = async () => {
        for (let i = 0; i < 5; ++i) { globalThis.gc(); await sleep(10); }
        const { rss, external } = process.memoryUsage();
        return { rss: rss / 2 ** 20, external: external / 2 ** 20 };
      };
      const make = async () => { const kept = []; for (let i = 0n; i < 6n; ++i) kept.push(await philoxNormal([10_485_760], { seed: 1n, stream: i })); return kept; };
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
      console.log(JSON.stringify(seen.map(({ rss, external }) => ({ rss: Math.round(rss - before.rss), external: Math.round(external - before.external) }))));
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

  it('of large tensors that nobody disposes comes back: V8 knows their size', async () => {
    const ended = await run(`
      let peak = 0;
      for (let i = 0n; i < 300n; ++i) { // 4.8 GB in all
        const x = await philoxNormal([4_000_000], { seed: 1n, stream: i });
        peak = Math.max(peak, process.memoryUsage().rss / 2 ** 20);
      }
      console.log(Math.round(peak));
    `);
    expect(ended).toMatchObject({ code: 0, signal: null });
    expect(Number(ended.stdout)).toBeLessThan(1500);
  });

  it('of a disposed tensor comes back at once', async () => {
    const ended = await run(`
      const x = await philoxNormal([64_000_000], { seed: 1n, stream: 1n });
      const before = process.memoryUsage().rss;
      x.dispose();
      console.log(Math.round((before - process.memoryUsage().rss) / 2 ** 20));
    `);
    expect(Number(ended.stdout)).toBeGreaterThan(200);
  });
});
