// The counts of a plan against the files, the native networks, the trainer and PyTorch.
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { createAlgorithm } from '../../lib/training/algorithms.js';
import { finetuneSchema } from '../../lib/jobs/settings/finetune.js';
import { readSd3Directory } from '../../lib/models/sd3/directory.js';
import { LinearLayers, parametersOf } from '../../lib/models/pipeline/layers.js';
import { loadModel } from '../../lib/models/registry.js';
import { evaluationsOf } from '../../lib/jobs/plan/evaluations.js';
import { plan } from '../helpers/jobs.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import type { NetworkKind, NetworkKinds } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { readHeader } from '../../lib/files/safetensors.js';
import { Trainer } from '../../lib/training/trainer.js';
import { tinyModelDirectory } from '../helpers/tiny-run.js';
import { config, tiny, useEmptyCaches } from '../helpers/plan-config.js';

useEmptyCaches();

/** How many numbers the native network of a configuration has. */
const asked: <Kind extends NetworkKind>(kind: Kind, sizes: NetworkKinds[Kind]['config']) => number = (kind, sizes) =>
  parametersOf(Object.entries(binding().networkLayout(kind, sizes).tensors).map(([name, shape]) => ({ name, shape })));

describe("the plan's count of parameters", () => {
  it('finds those that are in the files and that the native networks take', async () => {
    const stored = async (file: string) =>
      (await readHeader(join(tiny, `${file}.safetensors`))).entries.reduce(
        (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
        0,
      );
    const { transformer, autoencoder, clip, t5 } = await readSd3Directory(tiny);
    expect(asked('sd3', transformer.config)).toBe(await stored('transformer/diffusion_pytorch_model'));
    expect(asked('autoencoder-kl', autoencoder.config)).toBe(await stored('vae/diffusion_pytorch_model'));
    expect(asked('clip-text', clip[0].config)).toBe(await stored('text_encoder/model'));
    expect(asked('clip-text', clip[1].config)).toBe(await stored('text_encoder_2/model'));
    expect(asked('t5-encoder', t5!.config)).toBe(await stored('text_encoder_3/model'));
    const { networks, encoders } = (await plan(config)).memory!;
    expect([...networks, ...encoders].map(({ parameters }) => parameters)).toEqual([
      asked('sd3', transformer.config),
      asked('autoencoder-kl', autoencoder.config),
      asked('clip-text', clip[0].config),
      asked('clip-text', clip[1].config),
      asked('t5-encoder', t5!.config),
    ]);
    const adapter = (await readHeader(join(tiny, 'lora_peft/adapter_model.safetensors'))).entries.reduce(
      (sum, { shape }) => sum + shape[0]! * shape[1]!,
      0,
    );
    expect((await plan(config)).memory!.trainable).toBe(adapter);
  });

  it('finds 2.47 billion in Stable Diffusion 3.5 Medium, and 84 million in its autoencoder', () => {
    const transformer = {
      patchSize: 2,
      inChannels: 16,
      outChannels: 16,
      layers: 24,
      heads: 24,
      headDim: 64,
      jointAttentionDim: 4096,
      captionProjectionDim: 1536,
      pooledProjectionDim: 2048,
      posEmbedMaxSize: 384,
      dualAttentionLayers: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
      qkNorm: true,
    };
    expect(asked('sd3', transformer) / 1e9).toBeCloseTo(2.47, 2);
    const autoencoder = {
      inChannels: 3,
      outChannels: 3,
      latentChannels: 16,
      blockOutChannels: [128, 256, 512, 512],
      layersPerBlock: 2,
      normGroups: 32,
      midBlockAttention: true,
      useQuantConv: false,
      usePostQuantConv: false,
      scalingFactor: 1.5305,
      shiftFactor: 0.0609,
    };
    expect(asked('autoencoder-kl', autoencoder) / 1e6).toBeCloseTo(83.8, 0);
  });
});

it('the plan finds the layers that an adapter can be trained on, as the native network lists them', async () => {
  const { entries } = await readHeader(join(tiny, 'transformer/diffusion_pytorch_model.safetensors'));
  const { transformer } = await readSd3Directory(tiny);
  expect(new LinearLayers(entries).names.sort()).toEqual(
    binding().networkLayout('sd3', transformer.config).adaptable.sort(),
  );
});

describe("the plan's count of evaluations", () => {
  it.each([
    { name: 'eam' },
    { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, modes: { times: 2 } },
    { name: 'eam', terminal: 'plugin', guidance: 2, allowGuidedRollout: true, steps: 3 },
    { name: 'eam', solver: 'midpoint', steps: 2, microBatch: 2 },
    { name: 'eam', solver: 'dpmpp2m', steps: 3, rewardThroughDenoiser: true, renoisings: 3 },
    {
      name: 'eam',
      solver: 'euler',
      steps: 2,
      rewardThroughDenoiser: true,
      decodeSlice: 2,
      guidance: 2,
      allowGuidedRollout: true,
    },
    { name: 'eam', solver: 'euler', steps: 2, rewardThroughDenoiser: true, guidedLoss: true, guidance: 2 },
    { name: 'eam', solver: 'euler', steps: 2, endpoints: 'pretrained', endpointsPerPrompt: 4 },
    { name: 'am', steps: 4, drawnSteps: 3 },
    { name: 'am', steps: 5, drawnSteps: 0, finalFraction: 0.4, guidance: 2, allowGuidedRollout: true },
    { name: 'am', steps: 8, drawnSteps: 2, finalFraction: 0.25 },
    { name: 'refl', steps: 4, finalFraction: 0.5, solver: 'heun' },
    { name: 'refl', steps: 4, guidance: 2, microBatch: 2 },
    { name: 'draft', steps: 3, lastSteps: 2, solver: 'heun' },
    { name: 'draft', steps: 3, renoisings: 2, solver: 'midpoint', microBatch: 2 },
    { name: 'alignprop', steps: 4, mostSteps: 3, solver: 'dpmpp2m', guidance: 2 },
  ])('agrees with what a step of $name reports: %j', async (settings) => {
    const algorithm = finetuneSchema.parse({ ...config, algorithm: settings }).algorithm;
    using model = await loadModel(await tinyModelDirectory(), { adapter: { rank: 2, alpha: 4 } });
    const trainer = new Trainer({
      model,
      reward: strokeWeight(),
      prompts: ['0', '1'],
      algorithm: createAlgorithm(algorithm),
      optimizer: config.optimizer,
      batch: 5,
      seed: 3,
    });
    const { least, most } = evaluationsOf(algorithm, 5);
    for await (const { forwards, vjps, backwards } of trainer.run({ steps: 3 })) {
      if (JSON.stringify(least) === JSON.stringify(most)) expect({ forwards, vjps, backwards }).toEqual(most);
      expect([forwards, vjps, backwards]).toEqual([
        expect.toSatisfy((n) => n >= least.forwards && n <= most.forwards),
        expect.toSatisfy((n) => n >= least.vjps && n <= most.vjps),
        expect.toSatisfy((n) => n >= least.backwards && n <= most.backwards),
      ]);
    }
  });
});

describe("the plan's count of operations", () => {
  // PyTorch's FlopCounterMode counts these for one sample of diffusers' SD3Transformer2DModel and AutoencoderKL, with
  // these configurations, plain attention and the adapter's two products a layer; gradients go to the adapter or to
  // the latents.
  const counted = {
    trained: { forward: 94_675_584, backward: 138_477_568, checkpointed: 232_412_032 },
    pretrained: { forward: 92_578_944, backward: 155_261_696 },
    decoder: { forward: 153_419_776, backward: 220_528_640 },
  };
  const { trained, pretrained, decoder } = counted;
  const operations = async (changes: object = {}) => (await plan({ ...config, ...changes })).memory!.operations;

  it("agrees with PyTorch's, times the evaluations", async () => {
    expect(await operations()).toEqual({
      rollout: 8 * (2 * 2 * trained.forward + pretrained.forward),
      decoding: 8 * decoder.forward,
      rewardGradient: 8 * decoder.backward,
      matching: 8 * 2 * (trained.forward + trained.backward),
      total:
        8 * (4 * trained.forward + pretrained.forward + decoder.forward + decoder.backward) +
        16 * (trained.forward + trained.backward),
    });
  });

  it('adds what checkpointing computes again, and nothing for slices of images', async () => {
    const plain = await operations();
    const { matching } = await operations({ checkpointing: true });
    expect(matching).toBe(8 * 2 * (trained.forward + trained.checkpointed));
    const { rewardGradient } = await operations({ algorithm: { ...config.algorithm, decodeSlice: 2 } });
    expect(rewardGradient).toBe(plain.rewardGradient);
  });

  it('covers the images and the last steps of the baselines', async () => {
    const { rollout, decoding, rewardGradient, matching } = await operations({
      algorithm: { name: 'draft', steps: 4, renoisings: 2 },
    });
    expect(rollout).toBe(8 * 3 * trained.forward);
    expect([decoding, rewardGradient]).toEqual([8 * 3 * decoder.forward, 8 * 3 * decoder.backward]);
    expect(matching).toBe(8 * 3 * (trained.forward + trained.backward));
  });

  it('covers rewards through the denoiser, and Adjoint Matching', async () => {
    const algorithm = { ...config.algorithm, rewardThroughDenoiser: true, decodeSlice: 2, guidedLoss: true };
    const { rewardGradient, rollout, matching } = await operations({ algorithm });
    expect(rollout).toBe(8 * (4 * trained.forward + 2 * pretrained.forward));
    expect(rewardGradient).toBe(8 * (decoder.backward + 2 * pretrained.backward));
    expect(matching).toBe(8 * 4 * (trained.forward + trained.backward));
    const adjoint = await operations({
      algorithm: { name: 'am', steps: 4, drawnSteps: 3, finalFraction: 0.25, guidance: 2, allowGuidedRollout: true },
    });
    expect(adjoint.rollout).toBe(8 * 8 * trained.forward);
    const terms = 4 * (pretrained.forward + pretrained.backward + trained.forward + trained.backward);
    expect(adjoint.matching).toBe(8 * (pretrained.forward + terms));
  });
});
