import { z } from 'zod';

import { expected } from '../../schema/validate.js';
import { ConfigError } from '../../errors.js';
import { solverNames, type SolverName } from '../../runtime/native/choices.generated.js';
import { applyOverrides } from '../../schema/json.js';
import { algorithmSchema, type AlgorithmSettings } from '../../training/algorithms.js';
import type { FidelityConfig } from '../settings/config.generated.js';
import { device, optimizerSchema, seed, type OptimizerSettings } from '../../training/settings.js';

/** What `eam fidelity` runs a problem with; the problem's λ is the algorithm's. */
export const fidelitySchema = z.strictObject({
  algorithm: algorithmSchema.describe("The algorithm's name and its options."),
  optimizer: optimizerSchema.describe('AdamW updates the control network, with these settings.'),
  network: z
    .strictObject({
      width: z.int().min(1).default(64).describe('A hidden layer has this many numbers.'),
      depth: z.int().min(1).default(2).describe('There are this many hidden layers.'),
    })
    .prefault({})
    .describe('The control network is a multilayer perceptron of x and t, zero at the start.'),
  steps: z.int().min(1).describe('A run takes this many training steps.'),
  batch: z.int().min(1).describe('A step draws this many samples.'),
  evaluateEvery: z
    .int()
    .min(1)
    .describe('A point of the curve is taken every so many steps, and always at the start and at the end.'),
  seeds: z.array(seed).min(1).default([0]).describe('There is one run with each of these seeds.'),
  sampling: z
    .strictObject({
      count: z
        .int()
        .min(10)
        .default(8192)
        .describe('Each final figure is of this many samples, and of as many exact ones.'),
      curveCount: z.int().min(10).default(2048).describe('Each point of the curve is of this many samples.'),
      steps: z.int().min(1).default(50).describe('The ODE is solved in this many steps, uniform in time.'),
      solver: z.enum(solverNames).default('heun').describe('The ODE is solved with this.'),
      trainedUntil: z
        .number()
        .gt(0)
        .max(1)
        .default(1)
        .describe('From this time on the pretrained velocity is followed; with 1 the trained one is, to the end.'),
      seed: seed
        .default(2 ** 32)
        .describe('Exact samples are drawn from this seed; run s draws its noise from seed + 1 + s.'),
    })
    .prefault({})
    .describe('Samples are drawn for the figures as this says.'),
  distances: z
    .strictObject({
      projections: z
        .int()
        .min(1)
        .default(128)
        .describe('The sliced Wasserstein distance takes this many random directions.'),
      neighbours: z
        .int()
        .min(1)
        .default(5)
        .describe('The entropy behind the KL divergence takes the k-th nearest neighbour; this is k.'),
    })
    .prefault({})
    .describe('Samples are compared with exact ones as this says.'),
  oracle: z
    .boolean()
    .default(true)
    .describe('True also trains the same network on exact samples with each seed, as a yardstick.'),
  valuesOnly: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe('The algorithm is kept from the gradient of this share of the reward.'),
  device: device
    .default('cpu')
    .describe('Everything is computed on this device; the tensors are small, which suits the CPU.'),
  threads: z.int().min(1).default(1).describe('An operator has this many threads; one makes times comparable.'),
});

/** How {@link fidelity} trains and measures: a {@link FidelityConfig} with every default filled in. */
export interface FidelitySettings {
  /** Its `lambda` is the problem's: it need not be given, and may not differ. */
  algorithm: AlgorithmSettings;
  /** AdamW over the control network's weights. */
  optimizer: OptimizerSettings;
  /** The control network: a multilayer perceptron of x and t, zero at the start. */
  network: {
    /** Numbers a hidden layer, ≥ 1. @defaultValue 64 */
    width: number;
    /** Hidden layers, ≥ 1. @defaultValue 2 */
    depth: number;
  };
  /** Training steps, ≥ 1. */
  steps: number;
  /** Samples a step, ≥ 1. */
  batch: number;
  /** Steps between points of the curve, ≥ 1; one is always taken at the start and at the end. */
  evaluateEvery: number;
  /** One run each; whole numbers ≥ 0. @defaultValue [0] */
  seeds: number[];
  /** How samples are drawn for the figures. */
  sampling: {
    /** Samples behind each final figure, and as many exact ones; ≥ 10. @defaultValue 8192 */
    count: number;
    /** Samples behind each point of the curve, ≥ 10. @defaultValue 2048 */
    curveCount: number;
    /** The ODE is solved in this many steps, ≥ 1, uniform in time. @defaultValue 50 */
    steps: number;
    /** The ODE dX = v(X, t) dt is solved with this. @defaultValue 'heun' */
    solver: SolverName;
    /**
     * From this time in (0, 1] on the pretrained velocity is followed; 1: the trained one to the end. @defaultValue 1
     */
    trainedUntil: number;
    /** Exact samples are drawn with this seed, ≥ 0; run s draws its noise with seed + 1 + s. @defaultValue 2 ** 32 */
    seed: number;
  };
  /** How samples are compared with exact ones. */
  distances: {
    /** Random directions of the sliced Wasserstein distance, ≥ 1. @defaultValue 128 */
    projections: number;
    /** k ≥ 1 of the nearest-neighbour entropy behind the KL divergence. @defaultValue 5 */
    neighbours: number;
  };
  /** Whether each seed also trains the same network on exact samples. @defaultValue true */
  oracle: boolean;
  /** The share of the reward whose gradient is kept from the algorithm, in [0, 1]. @defaultValue 0 */
  valuesOnly: number;
  /** `'cpu'`, `'cuda'` or `'cuda:N'`, or `'auto'`: CUDA where there is a device, else the CPU. @defaultValue 'cpu' */
  device: string;
  /** Threads of an operator, ≥ 1: the tensors are small, and one thread makes times comparable. @defaultValue 1 */
  threads: number;
}

/** What each algorithm is run with unless told otherwise; docs/fidelity.md says how they were chosen. */
export const fidelityPresets = {
  eam: {
    algorithm: { name: 'eam', steps: 8, delta: 0.05, rewardThroughDenoiser: true },
    optimizer: { learningRate: 2e-2, schedule: 'cosine', floor: 0.02, emaDecay: 0 },
    steps: 600,
    batch: 256,
    evaluateEvery: 100,
  },
  am: {
    algorithm: { name: 'am', steps: 20, drawnSteps: 10, finalFraction: 0.25 },
    optimizer: { learningRate: 2e-2, schedule: 'cosine', floor: 0.02, emaDecay: 0 },
    steps: 600,
    batch: 256,
    evaluateEvery: 100,
  },
} as const;

/**
 * An algorithm's preset with changes: `named` ones that are not undefined, then `key=value` ones.
 * @throws ConfigError where they leave no algorithm; `fidelity` checks all the rest
 */
export function settingsFor(
  algorithm: keyof typeof fidelityPresets,
  named: Readonly<Record<string, unknown>>,
  changes: readonly string[],
): FidelityConfig {
  const given = Object.entries(named).filter(([, value]) => value !== undefined);
  const settings = applyOverrides({ ...fidelityPresets[algorithm], ...Object.fromEntries(given) }, changes) as {
    algorithm?: unknown;
  };
  if (typeof settings.algorithm !== 'object' || settings.algorithm === null)
    throw new ConfigError(expected('algorithm', 'an object', JSON.stringify(settings.algorithm) ?? 'nothing'));
  return settings as FidelityConfig;
}
