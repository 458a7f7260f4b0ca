// The same flow as in plain-typescript.ts with TensorFlow.js as the network: tf.customGrad makes the kernels' losses
// differentiable, and everything behind them is TensorFlow.js's own: variables, backpropagation, optimizer.
//
//   node examples/tensorflow.ts        (in a clone after `npm run setup`; Node 22.18 or newer, with an older one: npx
//   tsx)
//
// Node runs no TypeScript under node_modules. With eam-torch installed, copy this folder out of it, into a project with
// "type": "module":
//
//   cp -r node_modules/eam-torch/examples . && node examples/tensorflow.ts
//
// It wants @tensorflow/tfjs-core and @tensorflow/tfjs-backend-cpu, which are not installed with eam-torch.

import { pathToFileURL } from 'node:url';

import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import {
  flowMatchingLossSync,
  type MatchingLoss,
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
import './tensorflow-gradients.ts';

const batch = 128;
const shape: [number, number] = [batch, 2];
const seed = 7n;
const delta = 0.1;
const terminalTime = 1 - delta;

export interface Options {
  pretraining: number;
  tilting: number;
  log?: (line: string) => void;
}

export async function run({
  pretraining,
  tilting,
  log = () => {},
}: Options): Promise<{ pretrained: Quality; tilted: Quality }> {
  await tf.setBackend('cpu');
  const random = randomFrom(1);
  const network = new Network(48, random);
  const points = new Float32Array(batch * 2);
  const times = new Float32Array(batch);
  const scratch = Tensor.from(new Float32Array(batch * 2), shape);
  const x1 = Tensor.from(points, shape);

  for (let step = 0; step < pretraining; ++step) {
    drawData(points, scratch, random, BigInt(step));
    const noise = { seed, stream: BigInt(step) };
    for (let i = 0; i < batch; ++i) times[i] = random();
    const xt = renoiseSync({ x1, t: times, noise });
    const loss = network.train(xt, times, learningRate(4e-3, step, pretraining), (velocity) =>
      flowMatchingLossSync({ velocity, x1, noise }),
    );
    if (step % 200 === 0) log(`pretraining ${step}: loss ${loss.toFixed(3)}`);
  }
  const pretrained = qualityOf(sample(network, 1024), 0);
  log(`pretrained: ${inWords(pretrained)}, E[r] = 0 is exact`);

  const reference = network.copy();
  const rollout = new OdeSolver({ solver: 'heun', times: timesUpTo(terminalTime, 5) });
  const rewardGrad = Tensor.from(
    Float32Array.from({ length: batch * 2 }, (_, i) => rewardGradient[i % 2]!),
    shape,
  );
  network.restartOptimizer();

  for (let step = 0; step < tilting; ++step) {
    const stream = BigInt(1_000_000 + step * 10);
    const endpoint = rollout.runSync((x, t) => network.velocityAt(x, t), philoxNormalSync(shape, { seed, stream }));
    const terminalGradient = terminalGradientSync({
      x: endpoint,
      velocity: reference.velocityAt(endpoint, terminalTime),
      rewardGrad,
      lambda,
      time: terminalTime,
    });
    let loss = 0;
    for (let m = 1n; m <= 3n; ++m) {
      const noise = { seed, stream: stream + m };
      for (let i = 0; i < batch; ++i) times[i] = terminalTime * random();
      const xt = renoiseSync({ x1: endpoint, t: times, noise, terminalTime });
      loss = network.train(xt, times, learningRate(2e-3, step, tilting), (velocity) =>
        matchingLossSync({ velocity, x1: endpoint, terminalGradient, t: times, C: 1, noise, terminalTime }),
      );
    }
    if (step % 50 === 0) log(`tilting ${step}: loss ${loss.toFixed(3)}`);
  }
  const tilted = qualityOf(sample(network, 1024), lambda);
  log(`tilted: ${inWords(tilted)}, E[r] = ${exactReward(lambda).toFixed(3)} is exact`);
  return { pretrained, tilted };
}

/** A kernel's loss as an operation of TensorFlow.js: its value, and its gradient with respect to the velocity. */
function lossOf(kernel: (velocity: Tensor) => MatchingLoss) {
  return tf.customGrad((...inputs) => {
    const velocity = inputs[0] as tf.Tensor;
    const { loss, grad } = kernel(Tensor.from(velocity.dataSync() as Float32Array, velocity.shape));
    return {
      value: tf.scalar(loss),
      gradFunc: (upstream: tf.Tensor) => tf.mul(tf.tensor(grad.dataSync() as Float32Array, velocity.shape), upstream),
    };
  });
}

class Network {
  private readonly variables: tf.Variable[];
  private optimizer = tf.train.adam(1e-3, 0.9, 0.99);

  constructor(source: number | readonly tf.Variable[], random?: () => number) {
    if (typeof source === 'number') {
      const uniform = (inputs: number, outputs: number, scale: number) =>
        tf.variable(
          tf.tensor2d(
            Float32Array.from({ length: inputs * outputs }, () => scale * (random!() * 2 - 1)),
            [inputs, outputs],
          ),
        );
      const zeros = (outputs: number) => tf.variable(tf.zeros([outputs]));
      this.variables = [
        uniform(8, source, 0.7),
        zeros(source),
        uniform(source, source, 2 / Math.sqrt(source)),
        zeros(source),
        uniform(source, 2, 0),
        zeros(2),
      ];
    } else {
      this.variables = source.map((variable) => tf.variable(variable.clone()));
    }
  }

  copy(): Network {
    return new Network(this.variables);
  }

  restartOptimizer(): void {
    this.optimizer = tf.train.adam(1e-3, 0.9, 0.99);
  }

  /** One step of the optimizer on `kernel`'s loss of the velocity at (xt, times). */
  train(xt: Tensor, times: Float32Array, rate: number, kernel: (velocity: Tensor) => MatchingLoss): number {
    return tf.tidy(() => {
      const { value, grads } = tf.variableGrads(
        () => lossOf(kernel)(this.forward(xt, times)) as tf.Scalar,
        this.variables,
      );
      (this.optimizer as unknown as { learningRate: number }).learningRate = rate;
      this.optimizer.applyGradients(Object.entries(grads).map(([name, tensor]) => ({ name, tensor })));
      return value.dataSync()[0]!;
    });
  }

  /** v(x, t) for an OdeSolver. */
  velocityAt(x: Tensor, t: number): Tensor {
    const velocity = tf.tidy(() => this.forward(x, new Float32Array(batch).fill(t)).dataSync() as Float32Array);
    return Tensor.from(velocity, shape);
  }

  private forward(x: Tensor, times: Float32Array): tf.Tensor {
    const t = tf.tensor2d(times.slice(), [batch, 1]);
    const angle = tf.mul(t, Math.PI);
    const input = tf.concat(
      [
        tf.tensor2d(x.dataSync() as Float32Array, shape),
        t,
        tf.sub(1, t),
        tf.sin(angle),
        tf.cos(angle),
        tf.sin(tf.mul(angle, 2)),
        tf.cos(tf.mul(angle, 2)),
      ],
      1,
    );
    const [w1, b1, w2, b2, w3, b3] = this.variables as unknown as [
      tf.Tensor2D,
      tf.Tensor1D,
      tf.Tensor2D,
      tf.Tensor1D,
      tf.Tensor2D,
      tf.Tensor1D,
    ];
    const silu = (z: tf.Tensor) => tf.mul(z, tf.sigmoid(z));
    const hidden = silu(tf.add(tf.matMul(silu(tf.add(tf.matMul(input, w1), b1)), w2), b2));
    return tf.add(tf.matMul(hidden, w3), b3);
  }
}

function sample(network: Network, count: number): Float32Array {
  const solver = new OdeSolver({ solver: 'heun', times: timesUpTo(1, 20) });
  const samples = new Float32Array(count * 2);
  for (let first = 0; first < count; first += batch) {
    const x0 = philoxNormalSync(shape, { seed: 99n, stream: BigInt(first) });
    samples.set(solver.runSync((x, t) => network.velocityAt(x, t), x0).dataSync() as Float32Array, first * 2);
  }
  return samples;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  await run({ pretraining: 1500, tilting: 200, log: console.log });
