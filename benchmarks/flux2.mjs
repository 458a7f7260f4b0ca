// Iterations of EAM on a FLUX.2 [klein] of random weights, stage by stage (iterations.mjs).
//
//   node benchmarks/flux2.mjs [--size full|half|tiny] [--device cuda] [--dtype bfloat16] [--pixels 512] [--batch 16]
//     [--iterations 3] [--threads N] [--reward pickscore=DIR] [--model DIR] [--output FILE.csv] [--quick]
//
// Without options: the published shape of FLUX.2-klein-base-4B in bfloat16 where there is a GPU (8 GB on disk for a
// while), half its width and depth in float32 where there is none. The settings are those of
// configs/flux2-klein-4b.json. The text encoder is not what is measured: the random one has heads and feed-forward
// layers of a few numbers. --model measures a directory of yours. --quick takes seconds, shows that everything runs and
// says nothing about speed. Exits with 3, and says what is needed, where the GPU has too little memory free.

import { measureIterations } from './iterations.mjs';
import { sizes, writeRandomFlux2 } from './random-flux2.mjs';

const library = {
  ...(await import('../dist/models/flux2/config.js')),
  ...(await import('../dist/files/safetensors.js')),
  ...(await import('../dist/runtime/native/index.js')),
};

await measureIterations({
  section: 'flux2',
  configuration: '../configs/flux2-klein-4b.json',
  sizes,
  write: (directory, model, dtype) => writeRandomFlux2(directory, model, library, dtype),
});
