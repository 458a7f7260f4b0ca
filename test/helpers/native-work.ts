// Scripts that keep the native core busy, in processes of their own.
import { compiled, runNode } from './child.js';

/** The lines that such a script begins with. */
export const imports = `
  import { parentPort, Worker } from 'node:worker_threads';
  import { once } from 'node:events';
  import { setTimeout as sleep } from 'node:timers/promises';
  const { philoxNormal, renoise } = await import(${compiled('runtime/kernels.js')});
  const { Tensor } = await import(${compiled('runtime/native/tensor.js')});
  const { binding } = await import(${compiled('runtime/native/index.js')});
  // Keeps the executor busy until the function that it returns is called.
  const hold = () => {
    const cancellation = new (binding().Cancellation)();
    binding().hold(cancellation).catch(() => {});
    return () => cancellation.cancel();
  };
  // Much work, none of it awaited: long kernels, or a network's many calls into LibTorch, whose static objects are made
  // in the first of them.
  const flood = () => {
    for (let i = 0n; i < 200n; ++i) philoxNormal([4_000_000], { seed: 1n, stream: i }).catch(() => {});
  };
  const floodNetwork = async () => {
    const classifier = binding().newNetwork('digit-classifier', {
      config: { imageSize: 28, channels: 1, widths: [16, 32], features: 64, classes: 10 },
      seed: 1n,
      device: 'cpu',
    });
    const images = Tensor.from(new Float32Array(8 * 784), [8, 1, 28, 28]);
    await classifier.logProbability(images, new Int32Array(8), true);
    for (let i = 0; i < 5000; ++i) classifier.logProbability(images, new Int32Array(8), true).catch(() => {});
  };
`;

/** Runs a script, after {@link imports}, in a process of its own. */
export const run = (script: string, options = {}) => runNode(imports + script, options);
