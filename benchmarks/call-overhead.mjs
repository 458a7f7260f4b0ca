// What one call costs from TypeScript to its result, at sizes where the arithmetic hardly counts: microseconds, the
// median and the 20th and 80th percentile over many calls, each kind measured in turns so that a busy moment falls on
// all of them.
//
//   node benchmarks/call-overhead.mjs [elements, default 2000] [rounds, default 200] > overhead.csv

import { cpus } from 'node:os';

import {
  flowMatchingLoss,
  flowMatchingLossSync,
  leanAdjointStep,
  leanAdjointStepSync,
  matchingLoss,
  matchingLossSync,
  memorylessStep,
  memorylessStepSync,
  renoise,
  renoiseSync,
  Tensor,
  terminalGradient,
  terminalGradientSync,
} from 'eam-torch';

const elements = Number(process.argv[2] ?? 2000);
const rounds = Number(process.argv[3] ?? 200);
const callsPerRound = 20;

const batch = 8;
const shape = [batch, Math.ceil(elements / batch)];
const filled = () => Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => Math.sin(i));
const tensor = () => Tensor.from(filled(), shape);
const [x, v, g, out] = [tensor(), tensor(), tensor(), tensor()];
const t = new Float32Array(batch).fill(0.5);
const noise = { seed: 1n, stream: 1n };
const array = filled();

const step = { x, velocity: v, t: 0.5, h: 0.1, noise };
const lean = { adjoint: x, vjp: v, t: 0.5, h: 0.1 };
const terminal = { x, velocity: v, rewardGrad: g, lambda: 1, time: 0.9 };
const matching = { velocity: v, x1: x, terminalGradient: g, t, C: 1, noise };
const stored = { ...matching, noise: out };
const flow = { velocity: v, x1: x, noise };

/** Name, call, whether it returns a promise. */
const calls = [
  ['Tensor.from and dispose', () => Tensor.from(array, shape).dispose(), false],
  ['terminalGradientSync into out', () => terminalGradientSync({ ...terminal, out }), false],
  ['leanAdjointStepSync', () => leanAdjointStepSync(lean).dispose(), false],
  ['terminalGradientSync', () => terminalGradientSync(terminal).dispose(), false],
  ['memorylessStepSync', () => memorylessStepSync(step).dispose(), false],
  ['renoiseSync', () => renoiseSync({ x1: x, t, noise }).dispose(), false],
  ['flowMatchingLossSync', () => flowMatchingLossSync(flow).grad.dispose(), false],
  ['matchingLossSync', () => matchingLossSync(matching).grad.dispose(), false],
  ['matchingLossSync, noise as a tensor', () => matchingLossSync(stored).grad.dispose(), false],
  [
    'matchingLossSync from arrays to an array',
    () => {
      const { grad } = matchingLossSync({ ...matching, velocity: Tensor.from(array, shape) });
      return grad.dataSync();
    },
    false,
  ],
  ['leanAdjointStep', async () => (await leanAdjointStep(lean)).dispose(), true],
  ['terminalGradient', async () => (await terminalGradient(terminal)).dispose(), true],
  ['memorylessStep', async () => (await memorylessStep(step)).dispose(), true],
  ['renoise', async () => (await renoise({ x1: x, t, noise })).dispose(), true],
  ['flowMatchingLoss', async () => (await flowMatchingLoss(flow)).grad.dispose(), true],
  ['matchingLoss', async () => (await matchingLoss(matching)).grad.dispose(), true],
  ['matchingLoss, noise as a tensor', async () => (await matchingLoss(stored)).grad.dispose(), true],
  [
    'matchingLoss, 20 calls in flight',
    async () => {
      const results = await Promise.all(Array.from({ length: 20 }, () => matchingLoss(matching)));
      for (const { grad } of results) grad.dispose();
    },
    true,
    20,
  ],
];

const times = calls.map(() => []);
for (let round = -20; round < rounds; ++round) {
  // the first ones warm up
  for (const [index, [, call, isAsync, perCall = 1]] of calls.entries()) {
    for (let i = 0; i < callsPerRound / perCall; ++i) {
      const begin = process.hrtime.bigint();
      if (isAsync) await call();
      else call();
      const microseconds = Number(process.hrtime.bigint() - begin) / 1000 / perCall;
      if (round >= 0) times[index].push(microseconds);
    }
  }
  await new Promise((resolve) => setImmediate(resolve));
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))].toFixed(1);
console.log(
  `# ${cpus()[0].model}, ${cpus().length} cores, Node ${process.version}, [${shape}] float32, microseconds a call`,
);
console.log('call,p20,median,p80');
for (const [index, [name]] of calls.entries()) {
  const sorted = times[index].sort((a, b) => a - b);
  console.log(`"${name}",${quantile(sorted, 0.2)},${quantile(sorted, 0.5)},${quantile(sorted, 0.8)}`);
}
