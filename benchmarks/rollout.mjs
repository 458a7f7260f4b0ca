// Processor seconds of a velocity without gradient, of an SD3 of half of 3.5 Medium's width and depth with an adapter
// on its attention: unfolded and folded, with weights that stay mapped and with weights that are joined.
//
//   node benchmarks/rollout.mjs [--rounds 3] [--size half|tiny] [--pixels 256] [--rows 4] [--steps 8]
//
// Processor seconds and not a clock's, so that what else the machine does counts little.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { sizes, writeRandomSd3 } from './random-sd3.mjs';

const { binding } = await import('../dist/runtime/native/index.js');
const library = {
  ...(await import('../dist/models/autoencoder-kl/config.js')),
  ...(await import('../dist/models/sd3/config.js')),
  ...(await import('../dist/files/safetensors.js')),
  ...(await import('../dist/runtime/native/index.js')),
};
const { loadModel } = await import('../dist/models/registry.js');

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    size: { type: 'string', default: 'half' },
    pixels: { type: 'string', default: '256' },
    rows: { type: 'string', default: '4' },
    steps: { type: 'string', default: '8' },
  },
});
const [rounds, pixels, rows, steps] = [flags.rounds, flags.pixels, flags.rows, flags.steps].map(Number);
const native = binding();
const folder = mkdtempSync(join(tmpdir(), 'eam-rollout-'));
const textLength = sizes[flags.size].measured.textLength;

/** Processor seconds of a guided Euler step, an evaluation of `rows` rows. */
async function seconds(model, weights, steps) {
  const { jointAttentionDim, pooledProjectionDim } = library.toTransformerConfig(
    library.transformerSchema.parse({ _class_name: 'SD3Transformer2DModel', ...sizes[flags.size].transformer }),
  );
  const normal = (shape, stream) => native.philoxNormal(shape, { seed: 1n, stream });
  const conditioning = (stream) =>
    Promise.all([
      normal([1, 77 + textLength, jointAttentionDim], stream),
      normal([1, pooledProjectionDim], stream + 1n),
    ]);
  const before = process.cpuUsage();
  const { latents } = await native.sample(model.native, {
    conditioning: await conditioning(10n),
    unconditional: await conditioning(20n),
    guidance: 4,
    solver: 'euler',
    times: Array.from({ length: steps + 1 }, (_, index) => index / steps),
    shape: [rows / 2, ...model.latentShape],
    seed: 1n,
    firstSample: 0,
    weights,
    cancellation: new native.Cancellation(),
  });
  latents.dispose();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6 / steps;
}

const ways = [
  { name: 'the adapter apart, weights mapped', files: (dtype) => dtype, fold: false },
  { name: 'the adapter apart, weights joined', files: otherThan, fold: false },
  { name: 'folded, weights mapped', files: (dtype) => dtype, fold: true },
  { name: 'folded, weights joined', files: otherThan, fold: true },
  { name: 'without adapter, weights mapped', files: (dtype) => dtype, fold: false, weights: 'pretrained' },
  { name: 'without adapter, weights joined', files: otherThan, fold: false, weights: 'pretrained' },
];
function otherThan(dtype) {
  return dtype === 'float32' ? 'bfloat16' : 'float32';
}

try {
  for (const dtype of ['float32', 'bfloat16']) writeRandomSd3(join(folder, dtype), sizes[flags.size], library, dtype);
  for (const dtype of ['float32', 'bfloat16']) {
    const taken = ways.map(() => []);
    for (let round = 0; round < rounds; ++round) {
      for (const [index, { files, fold, weights = 'trained' }] of ways.entries()) {
        const model = await loadModel(join(folder, files(dtype)), {
          dtype,
          adapter: { rank: 32, alpha: 64, fold },
          size: { width: pixels, height: pixels },
        });
        await seconds(model, weights, 1); // warms up: mapped weights are read
        taken[index].push(await seconds(model, weights, steps));
        model.dispose();
        globalThis.gc?.();
      }
    }
    for (const [index, { name }] of ways.entries()) {
      const sorted = taken[index].sort((a, b) => a - b);
      const each = sorted.map((value) => value.toFixed(2)).join(', ');
      console.log(
        `${dtype}, ${name}: ${sorted[sorted.length >> 1].toFixed(2)} s an evaluation of ${rows} rows (${each})`,
      );
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
