import { z } from 'zod';

import { algorithmSchema } from '../algorithms.js';
import { device, optimizerSchema, seed } from '../config/common.js';
import { solverNames } from '../algorithms.js';

/** What `eam fidelity` runs a problem with; the problem's λ is the algorithm's. */
export const fidelitySchema = z.strictObject({
  algorithm: algorithmSchema,
  optimizer: optimizerSchema,
  /** The control network: a multilayer perceptron of x and t, zero at the start. */
  network: z.strictObject({ width: z.int().min(1).default(64), depth: z.int().min(1).default(2) }).prefault({}),
  steps: z.int().min(1),
  batch: z.int().min(1),
  /** Steps between points of the curve; one is always taken at the start and at the end. */
  evaluateEvery: z.int().min(1),
  /** One run each. */
  seeds: z.array(seed).min(1).default([0]),
  sampling: z
    .strictObject({
      /** Samples behind each final figure, and as many exact ones. */
      count: z.int().min(10).default(8192),
      /** Samples behind each point of the curve. */
      curveCount: z.int().min(10).default(2048),
      /** Of the ODE, uniform in time. */
      steps: z.int().min(1).default(50),
      solver: z.enum(solverNames).default('heun'),
      /** From this time on the pretrained velocity is followed; 1: the trained one to the end. */
      trainedUntil: z.number().gt(0).max(1).default(1),
      /** Of the exact samples and of the noise; run s draws its noise from seed + 1 + s. */
      seed: seed.default(2 ** 32),
    })
    .prefault({}),
  distances: z
    .strictObject({
      /** Random directions of the sliced Wasserstein distance. */
      projections: z.int().min(1).default(128),
      /** k of the nearest-neighbour entropy behind the KL divergence. */
      neighbours: z.int().min(1).default(5),
    })
    .prefault({}),
  device,
  /** Threads of an operator: the tensors are small, and one thread makes times comparable. */
  threads: z.int().min(1).default(1),
});

/** How {@link fidelity} trains and measures. */
export type FidelitySettings = z.output<typeof fidelitySchema>;

/** What each algorithm is run with unless told otherwise; docs/fidelity.md says how they were chosen. */
export const fidelityPresets = {
  eam: {
    algorithm: { name: 'eam', steps: 8, renoisings: 4, delta: 0.05, C: 1, rewardThroughDenoiser: true },
    optimizer: { learningRate: 5e-3, schedule: 'cosine', floor: 0.02, emaDecay: 0 },
    steps: 600,
    batch: 256,
    evaluateEvery: 100,
  },
  am: {
    algorithm: { name: 'am', steps: 20, drawnSteps: 10, finalFraction: 0.25 },
    optimizer: { learningRate: 5e-3, schedule: 'cosine', floor: 0.02, emaDecay: 0 },
    steps: 600,
    batch: 256,
    evaluateEvery: 100,
  },
} as const;
