// Iterations of EAM on a Stable Diffusion 3 of random weights, stage by stage (iterations.mjs).
//
//   node benchmarks/sd3.mjs [--size full|half|tiny] [--device cuda] [--dtype bfloat16] [--pixels 512] [--batch 16]
//     [--iterations 3] [--threads N] [--reward pickscore=DIR] [--model DIR] [--output FILE.csv] [--quick]
//
// Without options: 3.5 Medium's published shape in bfloat16 where there is a GPU (5 GB on disk for a while), half its
// width and depth in float32 where there is none. The settings are those of configs/sd35-medium.json. Text encoders are
// not what is measured: the random ones have two layers, and zeros stand in for T5. --model measures a directory of
// yours. --quick takes seconds, shows that everything runs and says nothing about speed. Exits with 3, and says what is
// needed, where the GPU has too little memory free.

import { measureIterations } from './iterations.mjs';
import { sizes, writeRandomSd3 } from './random-sd3.mjs';

const library = {
  ...(await import('../dist/models/autoencoder-kl/config.js')),
  ...(await import('../dist/models/sd3/config.js')),
  ...(await import('../dist/files/safetensors.js')),
  ...(await import('../dist/runtime/native/index.js')),
};

await measureIterations({
  section: 'sd3',
  configuration: '../configs/sd35-medium.json',
  // The guided rollout that the configuration had when the first figures were measured, so that figures compare.
  changes: { guidance: 4.5, allowGuidedRollout: true },
  sizes,
  write: (directory, model, dtype) => writeRandomSd3(directory, model, library, dtype),
});
