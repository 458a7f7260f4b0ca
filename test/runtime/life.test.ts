// How a process or a worker ends while native work runs: with its own exit code, soon, and never by a signal.
import { describe, expect, it } from 'vitest';

import { imports, run } from '../helpers/native-work.js';

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
    { what: 'kernels', delay: 0, work: 'flood()' },
    { what: 'kernels', delay: 50, work: 'flood()' },
    { what: 'a network', delay: 0, work: 'await floodNetwork()' },
    { what: 'a network', delay: 200, work: 'await floodNetwork()' },
    { what: 'a job without an end', delay: 0, work: 'hold()' },
    { what: 'a job without an end', delay: 50, work: 'hold()' },
  ])('ends at once on process.exit with $what in flight for $delay ms', async ({ delay, work }) => {
    const ended = await run(`${work}; await sleep(${delay}); process.exit(7);`);
    expect(ended).toMatchObject({ code: 7, signal: null, stderr: '' });
  });

  it.each([
    { what: 'kernels', work: 'flood()' },
    { what: 'a network', work: 'await floodNetwork()' },
    { what: 'a job without an end', work: 'hold()' },
  ])('ends at once on SIGINT with $what in flight, as any program ends', async ({ work }) => {
    const ended = await run(`${work}; await sleep(50); console.log('busy'); hold(); setInterval(() => {}, 1000);`, {
      interrupt: 'busy',
    });
    expect(ended).toMatchObject({ code: null, signal: 'SIGINT', stderr: '' });
  });

  it('ends as its SIGINT handler wants, with work in flight', async () => {
    const ended = await run(
      "process.once('SIGINT', () => process.exit(130)); flood(); await sleep(50); console.log('busy'); hold();" +
        'setInterval(() => {}, 1000);',
      { interrupt: 'busy' },
    );
    expect(ended).toMatchObject({ code: 130, signal: null, stderr: '' });
  });

  it('ends on process.exit inside a handler of finished work', async () => {
    const ended = await run(`philoxNormal([4], { seed: 1n, stream: 1n }).then(() => process.exit(9)); flood();`);
    expect(ended).toMatchObject({ code: 9, signal: null, stderr: '' });
  });

  it('ends on an uncaught error with work in flight', async () => {
    const ended = await run(
      `await floodNetwork(); await sleep(100); setTimeout(() => { throw new Error('on purpose'); }, 1);`,
    );
    expect(ended).toMatchObject({ code: 1, signal: null });
    expect(ended.stderr).toContain('on purpose');
  });

  it('shows the error of an unhandled rejection of native work, not native code', async () => {
    const ended = await run(
      `renoise({ x1: Tensor.from([1], [1]), t: [2], noise: { seed: 1n, stream: 1n } }); flood();`,
    );
    expect(ended).toMatchObject({ code: 1, signal: null });
    expect(ended.stderr).toMatch(/ConfigError: renoise: t/);
    expect(ended.stderr).not.toMatch(/c10|frame #/);
  });

  it('turns its event loop while work runs', async () => {
    const ended = await run(`
      const release = hold();
      let done = false;
      const work = philoxNormal([3_000_000], { seed: 1n, stream: 1n }).then(() => (done = true));
      for (let turns = 0; turns < 20; ++turns) await sleep(1);
      console.log(done);
      release();
      console.log(await work);
    `);
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: 'false\ntrue\n' });
  });
});

describe('worker_threads', () => {
  // A worker from text is CommonJS in Node 20; from a data: URL it is a module everywhere.
  const module = (body: string) =>
    `new Worker(new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(imports + body)})))`;

  it('can be started, used and ended ten times', async () => {
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

  it('can be started, used and terminated ten times', async () => {
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
  it('can be terminated at any moment of their life', async () => {
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

  it('give the same numbers, two at once, beside the main thread', async () => {
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

  it('end with process.exit of the main thread while they compute', async () => {
    const ended = await run(`
      const start = () => ${module('parentPort.postMessage(1); flood();')};
      const workers = [start(), start()];
      await Promise.all(workers.map((worker) => once(worker, 'message')));
      flood();
      await sleep(20);
      process.exit(5);
    `);
    expect(ended).toMatchObject({ code: 5, signal: null, stderr: '' });
  });

  it('go on where another has an uncaught error', async () => {
    const ended = await run(`
      const worker = ${module(`flood(); throw new Error('in a worker');`)};
      const [error] = await once(worker, 'error');
      console.log(error.message, (await philoxNormal([4], { seed: 1n, stream: 1n })).shape[0]);
    `);
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: 'in a worker 4\n' });
  });
});
