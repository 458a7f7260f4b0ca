// A trainer that owns its network uses only the kernels: a 2-D flow with hand-written backpropagation is pretrained by
// `flowMatchingLoss`, then tilted towards a reward by Efficient Adjoint Matching with `matchingLoss`. Every call is
// synchronous, and the kernels read and write the network's own buffers.
//
//   node examples/plain-typescript.ts        (in a clone after `npm run setup`; Node 22.18 or newer, with an older one:
//   npx tsx)
//
// Node runs no TypeScript under node_modules. With eam-torch installed, copy this folder out of it, into a project with
// "type": "module":
//
//   cp -r node_modules/eam-torch/examples . && node examples/plain-typescript.ts

import { pathToFileURL } from 'node:url';

import {
  flowMatchingLossSync,
  matchingLossSync,
  OdeSolver,
  philoxNormalSync,
  renoiseSync,
  Tensor,
  terminalGradientSync,
} from 'eam-torch';

import {
  drawData,
  exactReward,
  inWords,
  lambda,
  learningRate,
  type Quality,
  qualityOf,
  randomFrom,
  rewardGradient,
  timesUpTo,
} from './eight-gaussians.ts';
import { Mlp } from './mlp.ts';

const batch = 128;
const shape = [batch, 2];
const seed = 7n;

/** δ: training samples stop at time 1 − δ, where the score is still well-behaved. */
const delta = 0.1;
const terminalTime = 1 - delta;

export interface Options {
  pretraining: number;
  tilting: number;
  log?: (line: string) => void;
}

export function run({ pretraining, tilting, log = () => {} }: Options): { pretrained: Quality; tilted: Quality } {
  const random = randomFrom(1);
  const network = new Mlp(batch, 64, random);

  // Memory that the network and the kernels share.
  const points = new Float32Array(batch * 2);
  const noisy = new Float32Array(batch * 2);
  const times = new Float32Array(batch);
  const x1 = Tensor.from(points, shape);
  const xt = Tensor.from(noisy, shape);
  const velocity = Tensor.from(network.velocity, shape);
  const grad = Tensor.from(network.velocityGradient, shape);
  const scratch = Tensor.from(new Float32Array(batch * 2), shape);

  for (let step = 0; step < pretraining; ++step) {
    drawData(points, scratch, random, BigInt(step));
    const noise = { seed, stream: BigInt(step) };
    for (let i = 0; i < batch; ++i) times[i] = random();
    renoiseSync({ x1, t: times, noise, out: xt });
    network.forward(noisy, times);
    const { loss } = flowMatchingLossSync({ velocity, x1, noise, grad });
    network.backward(learningRate(3e-3, step, pretraining));
    if (step % 500 === 0) log(`pretraining ${step}: loss ${loss.toFixed(3)}`);
  }
  const pretrained = qualityOf(sample(network, 2048), 0);
  log(`pretrained: ${inWords(pretrained)}, E[r] = 0 is exact`);

  const reference = new Mlp(batch, 64, random);
  reference.parameters.set(network.parameters);
  const rollout = new OdeSolver({ solver: 'heun', times: timesUpTo(terminalTime, 6) });
  const rewardGrad = Tensor.from(
    Float32Array.from({ length: batch * 2 }, (_, i) => rewardGradient[i % 2]!),
    shape,
  );

  for (let step = 0; step < tilting; ++step) {
    const stream = BigInt(1_000_000 + step * 10);
    const endpoint = rollout.runSync(field(network), philoxNormalSync(shape, { seed, stream }));
    const terminalGradient = terminalGradientSync({
      x: endpoint,
      velocity: field(reference)(endpoint, terminalTime),
      rewardGrad,
      lambda,
      time: terminalTime,
    });
    let loss = 0;
    for (let m = 1n; m <= 4n; ++m) {
      const noise = { seed, stream: stream + m };
      for (let i = 0; i < batch; ++i) times[i] = terminalTime * random();
      renoiseSync({ x1: endpoint, t: times, noise, terminalTime, out: xt });
      network.forward(noisy, times);
      ({ loss } = matchingLossSync({
        velocity,
        x1: endpoint,
        terminalGradient,
        t: times,
        C: 1,
        noise,
        terminalTime,
        grad,
      }));
      network.backward(learningRate(5e-3, step, tilting));
    }
    if (step % 50 === 0) log(`tilting ${step}: loss ${loss.toFixed(3)}`);
  }
  const tilted = qualityOf(sample(network, 2048), lambda);
  log(`tilted: ${inWords(tilted)}, E[r] = ${exactReward(lambda).toFixed(3)} is exact`);
  return { pretrained, tilted };
}

/** The network as an OdeSolver wants it. */
function field(network: Mlp) {
  const times = new Float32Array(batch);
  const velocity = Tensor.from(network.velocity, shape);
  return (x: Tensor, t: number): Tensor => {
    network.forward(x.dataSync() as Float32Array, times.fill(t));
    return velocity;
  };
}

function sample(network: Mlp, count: number): Float32Array {
  const solver = new OdeSolver({ solver: 'heun', times: timesUpTo(1, 20) });
  const samples = new Float32Array(count * 2);
  for (let first = 0; first < count; first += batch) {
    const x0 = philoxNormalSync(shape, { seed: 99n, stream: BigInt(first) });
    samples.set(solver.runSync(field(network), x0).dataSync() as Float32Array, first * 2);
  }
  return samples;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  run({ pretraining: 3000, tilting: 300, log: console.log });
