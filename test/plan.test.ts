// `eam plan`: numbers, evaluations and memory of a fine-tuning, from configurations alone, against what really happens.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createAlgorithm } from '../lib/algorithms.js';
import { finetuneSchema } from '../lib/config/finetune.js';
import { readSd3Directory } from '../lib/models/sd3/directory.js';
import { autoencoderShapes, clipTextShapes, parametersOf, t5Shapes, transformerShapes } from '../lib/models/sd3/shapes.js';
import { loadModel } from '../lib/models/registry.js';
import { evaluationsOf } from '../lib/plan/evaluations.js';
import { plan } from '../lib/plan/plan.js';
import { strokeWeight } from '../lib/rewards/stroke-weight.js';
import { readHeader } from '../lib/safetensors.js';
import { Trainer } from '../lib/trainer.js';
import { eam } from './helpers/command-line.js';
import { measure, planned } from './helpers/plan-measurement.js';
import { fixture } from './helpers/published.js';
import { tinyModelDirectory } from './helpers/tiny-run.js';

const tiny = fixture('sd35-tiny');
let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'eam-plan-'))));
afterAll(async () => rm(folder, { recursive: true, force: true }));

const config = {
  model: tiny,
  adapter: { rank: 4, alpha: 8 },
  prompts: ['a fox', 'a castle'],
  rewards: [{ name: 'stroke-weight' }],
  algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, guidance: 3 },
  optimizer: { learningRate: 1e-3 },
  image: { width: 64, height: 64 },
  samples: { count: 8, steps: 2, batch: 8 },
  textLength: 16,
  steps: 1,
  batch: 8,
};
const written = async (changes: object = {}): Promise<string> => {
  const path = join(folder, 'config.json');
  await writeFile(path, JSON.stringify({ ...config, ...changes }));
  return path;
};

describe('parameters', () => {
  it('are those in the files', async () => {
    const stored = async (file: string) =>
      (await readHeader(join(tiny, `${file}.safetensors`))).entries.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const { transformer, autoencoder, clip, t5 } = await readSd3Directory(tiny);
    expect(parametersOf(transformerShapes(transformer.config))).toBe(await stored('transformer/diffusion_pytorch_model'));
    expect(parametersOf(autoencoderShapes(autoencoder.config))).toBe(await stored('vae/diffusion_pytorch_model'));
    expect(parametersOf(clipTextShapes(clip[0].config))).toBe(await stored('text_encoder/model'));
    expect(parametersOf(clipTextShapes(clip[1].config))).toBe(await stored('text_encoder_2/model'));
    expect(parametersOf(t5Shapes(t5!.config))).toBe(await stored('text_encoder_3/model'));
    const adapter = (await readHeader(join(tiny, 'lora_peft/adapter_model.safetensors'))).entries.reduce((sum, { shape }) => sum + shape[0]! * shape[1]!, 0);
    expect((await plan(config)).memory!.trainable).toBe(adapter);
  });

  it('of Stable Diffusion 3.5 Medium are 2.47 billion, 84 million in its autoencoder', () => {
    const transformer = {
      patchSize: 2, inChannels: 16, outChannels: 16, layers: 24, heads: 24, headDim: 64, jointAttentionDim: 4096, captionProjectionDim: 1536,
      pooledProjectionDim: 2048, posEmbedMaxSize: 384, dualAttentionLayers: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], qkNorm: true,
    };
    expect(parametersOf(transformerShapes(transformer)) / 1e9).toBeCloseTo(2.47, 2);
    const autoencoder = {
      inChannels: 3, outChannels: 3, latentChannels: 16, blockOutChannels: [128, 256, 512, 512], layersPerBlock: 2, normGroups: 32,
      midBlockAttention: true, useQuantConv: false, usePostQuantConv: false, scalingFactor: 1.5305, shiftFactor: 0.0609,
    };
    expect(parametersOf(autoencoderShapes(autoencoder)) / 1e6).toBeCloseTo(83.8, 0);
  });
});

describe('evaluations', () => {
  it.each([
    { name: 'eam' }, { name: 'eam', terminal: 'plugin', guidance: 2, steps: 3 }, { name: 'eam', solver: 'midpoint', steps: 2, microBatch: 2 },
    { name: 'eam', solver: 'dpmpp2m', steps: 3, rewardThroughDenoiser: true, renoisings: 3 },
    { name: 'eam', solver: 'euler', steps: 2, rewardThroughDenoiser: true, decodeSlice: 2, guidance: 2 },
    { name: 'eam', solver: 'euler', steps: 2, rewardThroughDenoiser: true, guidedLoss: true, guidance: 2 },
    { name: 'am', steps: 4, drawnSteps: 3 }, { name: 'am', steps: 5, drawnSteps: 0, finalFraction: 0.4, guidance: 2 },
    { name: 'am', steps: 8, drawnSteps: 2, finalFraction: 0.25 },
  ])('of $name are those that a step reports: %j', async (settings) => {
    const algorithm = finetuneSchema.parse({ ...config, algorithm: settings }).algorithm;
    using model = await loadModel(await tinyModelDirectory(), { adapter: { rank: 2, alpha: 4 } });
    const trainer = new Trainer({
      model, reward: strokeWeight(), prompts: ['0', '1'], algorithm: createAlgorithm(algorithm), optimizer: config.optimizer, batch: 5, seed: 3,
    });
    const { least, most } = evaluationsOf(algorithm, 5);
    for await (const { forwards, vjps, backwards } of trainer.run({ steps: 3 })) {
      if (JSON.stringify(least) === JSON.stringify(most)) expect({ forwards, vjps, backwards }).toEqual(most);
      expect([forwards, vjps]).toEqual([expect.toSatisfy((n) => n >= least.forwards && n <= most.forwards), expect.toSatisfy((n) => n >= least.vjps && n <= most.vjps)]);
      expect(backwards).toBe(most.backwards);
    }
  });
});

describe('operations', () => {
  // Of one sample: what PyTorch's FlopCounterMode counts of diffusers' SD3Transformer2DModel and AutoencoderKL with these configurations,
  // plain attention and the adapter's two products a layer; the way back is to the adapter, or to the latents.
  const counted = {
    trained: { forward: 94_675_584, backward: 138_477_568, checkpointed: 232_412_032 },
    pretrained: { forward: 92_578_944, backward: 155_261_696 },
    decoder: { forward: 153_419_776, backward: 220_528_640 },
  };
  const { trained, pretrained, decoder } = counted;
  const operations = async (changes: object = {}) => (await plan({ ...config, ...changes })).memory!.operations;

  it('are those that PyTorch counts, times the evaluations', async () => {
    expect(await operations()).toEqual({
      rollout: 8 * (2 * 2 * trained.forward + pretrained.forward),
      decoding: 8 * decoder.forward,
      rewardGradient: 8 * decoder.backward,
      matching: 8 * 2 * (trained.forward + trained.backward),
      total: 8 * (4 * trained.forward + pretrained.forward + decoder.forward + decoder.backward) + 16 * (trained.forward + trained.backward),
    });
  });

  it('grow with checkpointing and slices by what is computed again', async () => {
    const plain = await operations();
    const { matching } = await operations({ checkpointing: true });
    expect(matching).toBe(8 * 2 * (trained.forward + trained.checkpointed));
    const { rewardGradient } = await operations({ algorithm: { ...config.algorithm, decodeSlice: 2 } });
    expect(rewardGradient - plain.rewardGradient).toBe(8 * decoder.forward);
  });

  it('are counted where the reward goes through the denoiser, and of Adjoint Matching', async () => {
    const algorithm = { ...config.algorithm, rewardThroughDenoiser: true, decodeSlice: 2, guidedLoss: true };
    const { rewardGradient, rollout, matching } = await operations({ algorithm });
    expect(rollout).toBe(8 * (4 * trained.forward + 2 * pretrained.forward));
    expect(rewardGradient).toBe(8 * (decoder.forward + decoder.backward + 2 * (pretrained.forward + pretrained.backward)));
    expect(matching).toBe(8 * 4 * (trained.forward + trained.backward));
    const adjoint = await operations({ algorithm: { name: 'am', steps: 4, drawnSteps: 3, finalFraction: 0.25, guidance: 2 } });
    expect(adjoint.rollout).toBe(8 * 8 * trained.forward);
    expect(adjoint.matching).toBe(8 * 4 * (pretrained.forward + pretrained.backward + trained.forward + trained.backward));
  });
});

describe('memory', () => {
  // Of the half-size model: npm run test:plan. Below a few tens of megabytes, what V8 and LibTorch keep hides it.
  it.runIf(process.platform === 'linux')('is what a process takes, on the tiny model', async () => {
    const { iteration, metrics, plan: made } = await measure({ ...config, batch: 16, image: { width: 96, height: 96 } }, folder);
    expect(Math.abs(iteration.working / planned(made).iteration.working - 1)).toBeLessThan(0.2);
    expect(made.evaluations.most).toEqual({ forwards: metrics.forwards, vjps: metrics.vjps, backwards: metrics.backwards });
  });

  it('is less with checkpointing, micro-batches, slices and small numbers', async () => {
    const peak = async (changes: object, phase: string) => (await plan({ ...config, ...changes })).memory!.phases.find(({ name }) => name === phase)!.bytes;
    const training = await peak({}, 'training');
    expect(await peak({ checkpointing: true }, 'training')).toBeLessThan(0.8 * training);
    expect(await peak({ algorithm: { ...config.algorithm, microBatch: 2 } }, 'training')).toBeLessThan(0.3 * training);
    expect(await peak({ dtype: 'bfloat16' }, 'training')).toBeLessThan(0.6 * training);
    expect(await peak({ algorithm: { ...config.algorithm, guidedLoss: true } }, 'training')).toBeGreaterThan(1.7 * training);
    const scoring = await peak({}, 'decoding and scoring');
    expect(await peak({ algorithm: { ...config.algorithm, decodeSlice: 1 } }, 'decoding and scoring')).toBeLessThan(0.5 * scoring);
    expect(await peak({ rewards: [{ name: 'pickscore', directory: fixture('rewards-tiny/pickscore') }] }, 'training')).toBeGreaterThan(training);
  });
});

describe('eam plan', () => {
  it('prints the plan, and refuses a device that is too small, with the numbers', async () => {
    const fits = await eam('plan', await written());
    expect(fits).toMatchObject({ code: 0, stderr: '' });
    expect(fits.stdout).toMatch(/^ {2}transformer, float32 +148688 +0\.6 MiB$/m);
    expect(fits.stdout).toMatch(/^ {2}forwards +56$/m);
    expect(fits.stdout).toMatch(/<- the most$/m);
    expect(fits.stdout).toMatch(/^ {2}training +0\.00373 TFLOP$/m);
    const small = await eam('plan', await written(), '--memory', '0.005', '--set', 'dtype=bfloat16');
    expect(small.code).toBe(1);
    expect(small.stderr).toMatch(/^error: cpu is too small: the plan needs \d+\.\d MiB, most of it while .+, and 5\.1 MiB of 5\.1 MiB are free\. Less is needed with/);
  });

  it('plans for a device that is not there, and counts the evaluations of a model that is small', async () => {
    const { code, stdout } = await eam('plan', await written(), '--device', 'cuda:97', '--json');
    const { needed, fits, memory } = JSON.parse(stdout) as { needed: number; fits: boolean | null; memory: { peak: { bytes: number } } };
    expect({ code, fits }).toEqual({ code: 0, fits: null });
    expect(needed).toBeGreaterThan(memory.peak.bytes + 2 ** 28);
    const digits = await eam('plan', await written({ model: 'digits', prompts: ['3'] }));
    expect(digits).toMatchObject({ code: 0 });
    expect(digits.stdout).toMatch(/forwards +56[^]*The memory of this model is not planned/);
  });

  it('names what is wrong in the configuration or the directory', async () => {
    expect(await eam('plan', await written({ batch: 0 }))).toMatchObject({ code: 2, stderr: expect.stringContaining('batch: expected') });
    expect(await eam('plan', await written({ image: { width: 65, height: 64 } }))).toMatchObject({ code: 2, stderr: expect.stringContaining('expected a multiple of 4') });
    expect(await eam('plan', join(folder, 'nowhere.json'))).toMatchObject({ code: 2, stderr: expect.stringContaining('nowhere.json') });
  });
});
