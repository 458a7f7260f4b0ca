// `eam plan`: numbers, evaluations and memory of a fine-tuning, from configurations alone, against what really happens.

import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { createAlgorithm } from '../../lib/training/algorithms.js';
import { finetuneSchema } from '../../lib/jobs/settings/finetune.js';
import { readSd3Directory } from '../../lib/models/sd3/directory.js';
import { LinearLayers, parametersOf } from '../../lib/models/sd3/layers.js';
import { loadModel } from '../../lib/models/registry.js';
import { evaluationsOf } from '../../lib/jobs/plan/evaluations.js';
import { plan, refuseSmall, type Plan } from '../../lib/jobs/plan/plan.js';
import { createRewards, type RewardConfig } from '../../lib/rewards/registry.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import type { NetworkKind, NetworkKinds } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { disposeAll, loadTensors, readHeader, saveTensors } from '../../lib/files/safetensors.js';
import { Trainer } from '../../lib/training/trainer.js';
import { eam } from '../helpers/command-line.js';
import { measure, planned } from '../helpers/plan-measurement.js';
import { fixture } from '../helpers/published.js';
import { copyOf, rewardDirectory } from '../helpers/reward-directories.js';
import { tinyModelDirectory } from '../helpers/tiny-run.js';

const tiny = fixture('sd35-tiny');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'eam-plan-'));
  // LibTorch may be in the user's own cache.
  binding();
});
// Where text embeddings are kept, which decide what has to be encoded.
beforeEach(async () => void vi.stubEnv('XDG_CACHE_HOME', await mkdtemp(join(folder, 'cache-'))));
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

const config = {
  model: tiny,
  adapter: { rank: 4, alpha: 8 },
  prompts: ['a fox', 'a castle'],
  rewards: [{ name: 'stroke-weight' }],
  algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, guidance: 3, allowGuidedRollout: true },
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
    { name: 'am', steps: 4, drawnSteps: 3 },
    { name: 'am', steps: 5, drawnSteps: 0, finalFraction: 0.4, guidance: 2, allowGuidedRollout: true },
    { name: 'am', steps: 8, drawnSteps: 2, finalFraction: 0.25 },
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
      expect([forwards, vjps]).toEqual([
        expect.toSatisfy((n) => n >= least.forwards && n <= most.forwards),
        expect.toSatisfy((n) => n >= least.vjps && n <= most.vjps),
      ]);
      expect(backwards).toBe(most.backwards);
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

  it('adds what checkpointing and slices compute again', async () => {
    const plain = await operations();
    const { matching } = await operations({ checkpointing: true });
    expect(matching).toBe(8 * 2 * (trained.forward + trained.checkpointed));
    const { rewardGradient } = await operations({ algorithm: { ...config.algorithm, decodeSlice: 2 } });
    expect(rewardGradient - plain.rewardGradient).toBe(8 * decoder.forward);
  });

  it('covers rewards through the denoiser, and Adjoint Matching', async () => {
    const algorithm = { ...config.algorithm, rewardThroughDenoiser: true, decodeSlice: 2, guidedLoss: true };
    const { rewardGradient, rollout, matching } = await operations({ algorithm });
    expect(rollout).toBe(8 * (4 * trained.forward + 2 * pretrained.forward));
    expect(rewardGradient).toBe(
      8 * (decoder.forward + decoder.backward + 2 * (pretrained.forward + pretrained.backward)),
    );
    expect(matching).toBe(8 * 4 * (trained.forward + trained.backward));
    const adjoint = await operations({
      algorithm: { name: 'am', steps: 4, drawnSteps: 3, finalFraction: 0.25, guidance: 2, allowGuidedRollout: true },
    });
    expect(adjoint.rollout).toBe(8 * 8 * trained.forward);
    const terms = 4 * (pretrained.forward + pretrained.backward + trained.forward + trained.backward);
    expect(adjoint.matching).toBe(8 * (pretrained.forward + terms));
  });
});

describe('the planned memory', () => {
  // What is resident of a process, of the half-size model, too: test/measured/plan.check.ts.
  it('is what LibTorch gives out, on the tiny model', async () => {
    const large = { ...config, batch: 16, image: { width: 96, height: 96 } };
    const { iteration, metrics, plan: made } = await measure(large, join(folder, 'iteration'), 'given out');
    expect(Math.abs(iteration.working / planned(made).iteration.working - 1)).toBeLessThan(0.2);
    const samples = { count: 64, steps: 2, batch: 64, solver: 'euler', guidance: 3 };
    const drawn = await measure({ ...large, samples }, join(folder, 'drawing'), 'given out');
    expect(Math.abs(drawn.drawing.working / planned(drawn.plan).drawing.working - 1)).toBeLessThan(0.25);
    expect(made.evaluations.most).toEqual({
      forwards: metrics.forwards,
      vjps: metrics.vjps,
      backwards: metrics.backwards,
    });
  });

  it('is less with checkpointing, micro-batches, slices and small numbers', async () => {
    const peak = async (changes: object, phase: string) =>
      (await plan({ ...config, ...changes })).memory!.phases.find(({ name }) => name === phase)!.bytes;
    const training = await peak({}, 'training');
    expect(await peak({ checkpointing: true }, 'training')).toBeLessThan(0.8 * training);
    expect(await peak({ algorithm: { ...config.algorithm, microBatch: 2 } }, 'training')).toBeLessThan(0.3 * training);
    expect(await peak({ dtype: 'bfloat16' }, 'training')).toBeLessThan(0.6 * training);
    expect(await peak({ algorithm: { ...config.algorithm, guidedLoss: true } }, 'training')).toBeGreaterThan(
      1.7 * training,
    );
    const scoring = await peak({}, 'decoding and scoring');
    expect(await peak({ algorithm: { ...config.algorithm, decodeSlice: 1 } }, 'decoding and scoring')).toBeLessThan(
      0.5 * scoring,
    );
    expect(
      await peak({ rewards: [{ name: 'pickscore', directory: fixture('rewards-tiny/pickscore') }] }, 'training'),
    ).toBeGreaterThan(training);
  });
});

/** Bytes of a phase, NaN where it is left out. */
const bytesOf = ({ memory }: Plan, name: string): number =>
  memory!.phases.find((phase) => phase.name === name)?.bytes ?? NaN;

describe('the plan of encoding prompts', () => {
  const encoded = async (prompts: string[], negativePrompt: string) => {
    using model = await loadModel(tiny, { size: config.image, textLength: config.textLength });
    await model.prepare(prompts, { negativePrompt });
  };

  it('is left out where the cache has every prompt of the same dtype, device and length', async () => {
    const settings = { ...config, negativePrompt: 'grey' };
    const before = await plan(settings);
    expect(before.memory!.prompts).toEqual({ count: 3, missing: 3 });
    await encoded(config.prompts, '');
    expect((await plan(settings)).memory!.prompts).toEqual({ count: 3, missing: 1 });
    expect((await eam('plan', await written({ negativePrompt: 'grey' }))).stdout).toMatch(
      /^ {2}2 of 3 prompts are in the cache already\n {2}encoding prompts +\d/m,
    );
    await encoded(config.prompts, 'grey');
    const after = await plan(settings);
    expect(after.memory!.prompts).toEqual({ count: 3, missing: 0 });
    expect(after.memory!.phases.map(({ name }) => name)).toEqual(
      before.memory!.phases.slice(1).map(({ name }) => name),
    );
    const { code, stdout } = await eam('plan', await written({ negativePrompt: 'grey' }));
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/^ {2}encoding prompts: left out, the embeddings of all 3 are in the cache$/m),
    ]);
    for (const change of [
      { dtype: 'bfloat16' },
      { device: 'cuda' },
      { textLength: 17 },
      { prompts: ['a fox', 'a bear'] },
    ]) {
      expect(bytesOf(await plan({ ...settings, ...change }), 'encoding prompts')).toBeGreaterThan(0);
    }
  });

  it('counts the activations of the prompts that are missing, at most 16 at a time', async () => {
    const activations = async (count: number) => {
      const prompts = Array.from({ length: count }, (_, index) => `${index} foxes`);
      return (await plan({ ...config, prompts })).memory!.phases[0]!.parts['activations']!;
    };
    const one = (await activations(1)) / 2;
    expect(await activations(9)).toBe(10 * one);
    expect([await activations(15), await activations(40)]).toEqual([16 * one, 16 * one]);
  });

  it('counts the networks on a GPU, and on the CPU not yet in memory where their files are mapped', async () => {
    const networks = async (changes: object) =>
      (await plan({ ...config, ...changes })).memory!.phases[0]!.parts['networks'] ?? 0;
    const {
      networks: [transformer, autoencoder],
    } = (await plan(config)).memory! as { networks: { bytes: number }[] };
    expect(await networks({})).toBe(0);
    expect(await networks({ device: 'cuda' })).toBe(transformer!.bytes + autoencoder!.bytes);
    expect(await networks({ dtype: 'bfloat16' })).toBe(transformer!.bytes / 2);
  });
});

describe('the plan of drawing samples', () => {
  it('holds a batch of images on a GPU, all of them on the CPU', async () => {
    const images = async (count: number, device: string) =>
      (await plan({ ...config, device, samples: { ...config.samples, count } })).memory!.phases.find(
        ({ name }) => name === 'drawing samples',
      )!.parts['images']!;
    const image = 4 * 3 * 64 * 64;
    expect([await images(8, 'cuda'), await images(100, 'cuda')]).toEqual([8 * image, 8 * image]);
    expect([await images(8, 'cpu'), await images(100, 'cpu')]).toEqual([16 * image, 108 * image]);
  });
});

describe('the plan of rewards', () => {
  const rewardBytes = async (reward: object) =>
    (await plan({ ...config, rewards: [reward] })).memory!.rewards[0]!.bytes!;
  const numbersIn = async (path: string, wanted = (_: string) => true) =>
    (await readHeader(path)).entries.reduce(
      (sum, { name, dtype, shape }) => sum + (wanted(name) && dtype !== 'int64' ? shape.reduce((a, b) => a * b, 1) : 0),
      0,
    );

  it('counts numbers in the dtype that they are loaded in, and no other file of the folder', async () => {
    const directory = copyOf('pickscore');
    const file = join(directory, 'model.safetensors');
    const numbers = await numbersIn(file);
    await copyFile(file, join(directory, 'another.safetensors'));
    for (const stored of ['float32', 'float16'] as const) {
      if (stored === 'float16') {
        const tensors = await loadTensors(file);
        const halves = Object.fromEntries(
          await Promise.all(
            Object.entries(tensors).map(
              async ([name, tensor]) =>
                [name, await tensor.to(tensor.dtype === 'float32' ? { dtype: stored } : {})] as const,
            ),
          ),
        );
        disposeAll(tensors);
        await rm(file);
        await saveTensors(file, halves);
        disposeAll(halves);
      }
      expect(await rewardBytes({ name: 'pickscore', directory })).toBe(4 * numbers);
      expect(await rewardBytes({ name: 'pickscore', directory, dtype: 'bfloat16' })).toBe(2 * numbers);
    }
  });

  it('counts the image tower of the aesthetic predictor, and its head in float32', async () => {
    const [directory, tower] = [rewardDirectory('aesthetic'), rewardDirectory('clipscore')];
    const image = await numbersIn(
      join(tower, 'model.safetensors'),
      (name) => name.startsWith('vision_model.') || name.startsWith('visual_projection.'),
    );
    const head = 10_901;
    expect(await rewardBytes({ name: 'aesthetic', directory, tower })).toBe(4 * image + head);
    expect(await rewardBytes({ name: 'aesthetic', directory, tower, dtype: 'float16' })).toBe(2 * image + head);
  });

  it.each(['hpsv2', 'imagereward'] as const)(
    "takes from %s's file of torch.save which dtype its numbers have",
    async (name) => {
      const directory = copyOf(name);
      const file = join(directory, name === 'hpsv2' ? 'HPS_v2.1_compressed.pt' : 'ImageReward.pt');
      const tensors = await binding().readTorchFile(file);
      const numbers = Object.values(tensors).reduce(
        (sum, { dtype, shape }) => sum + (dtype === 'int64' ? 0 : shape.reduce((a, b) => a * b, 1)),
        0,
      );
      disposeAll(tensors);
      // The little that is not numbers is much of a tiny file.
      expect((await rewardBytes({ name, directory })) / (4 * numbers)).toBeCloseTo(1, 0);
      expect(await rewardBytes({ name, directory, dtype: 'bfloat16' })).toBe(
        (await rewardBytes({ name, directory })) / 2,
      );
      const bytes = Buffer.alloc(3_000_000, 1);
      for (const [storages, factor] of [
        [['Half'], 2],
        [['BFloat16'], 2],
        [['Double'], 0.5],
        [['Long', 'Float', 'Half'], 2],
        [[], 1],
      ] as const) {
        await writeFile(
          file,
          Buffer.concat([
            Buffer.from(
              storages
                .map((storage) => `ctorch\n${storage}Storage\n`)
                .join('')
                .padEnd(100),
            ),
            bytes,
          ]),
        );
        expect(await rewardBytes({ name, directory })).toBe(3_000_100 * factor);
      }
    },
  );

  it.each([
    { name: 'pickscore', directory: 'nowhere' },
    { name: 'clipscore', directory: tiny },
    { name: 'hpsv2', directory: 'nowhere' },
    { name: 'imagereward', directory: rewardDirectory('aesthetic') },
    { name: 'aesthetic', directory: rewardDirectory('hpsv2'), tower: rewardDirectory('clipscore') },
    { name: 'aesthetic', directory: rewardDirectory('aesthetic'), tower: 'nowhere' },
    { name: 'aesthetic', directory: rewardDirectory('aesthetic') },
    { name: 'torchscript', file: 'nowhere.pt' },
    { name: 'module', file: 'nowhere.mjs' },
  ])('refuses missing files as fine-tuning does: %j', async (reward) => {
    const loading = (await createRewards([{ weight: 1, options: {}, ...reward } as RewardConfig], 'cpu').catch(
      (error: unknown) => error,
    )) as Error & { code: string };
    const planning = (await plan({ ...config, rewards: [reward] }).catch((error: unknown) => error)) as Error & {
      code: string;
    };
    expect(planning.code).toBe(loading.code);
    expect(planning.message).toMatch(/nowhere|expected/);
  });
});

describe('the plan for a device that is too small', () => {
  const advice = async (changes: object, name: string) => {
    const made = await plan({ ...config, ...changes });
    const { memory } = made;
    const peak = memory!.phases.find((phase) => phase.name === name)!;
    try {
      refuseSmall({ ...made, memory: { ...memory!, peak } }, { free: 1, total: 1 });
      return 'nothing';
    } catch (error) {
      return /most of it while (.*), and .*Less is needed there with (.*)\. `eam plan`/
        .exec((error as Error).message)!
        .slice(1)
        .join(': ');
    }
  };

  it('says what makes the largest phase smaller and is not set already', async () => {
    expect(await advice({}, 'encoding prompts')).toBe(
      'encoding prompts: text embeddings in the cache: where another machine has encoded these prompts, encoders ' +
        'are not loaded (docs/stable-diffusion.md); dtype bfloat16',
    );
    expect(await advice({ dtype: 'bfloat16' }, 'training')).toBe(
      'training: checkpointing; algorithm.microBatch; a smaller image; a smaller batch',
    );
    const { algorithm } = config;
    const small = {
      dtype: 'float16',
      checkpointing: true,
      algorithm: { ...algorithm, microBatch: 4, decodeSlice: 1 },
      optimizer: { learningRate: 1e-3, emaDecay: 0.9 },
    };
    expect(await advice(small, 'training')).toBe(
      'training: a smaller algorithm.microBatch; a smaller image; a smaller batch; optimizer.emaDecay 0',
    );
    expect(await advice(small, 'decoding and scoring')).toBe(
      'decoding and scoring: a smaller image; a smaller batch; optimizer.emaDecay 0',
    );
    const rewards = [{ name: 'pickscore', directory: fixture('rewards-tiny/pickscore') }];
    expect(await advice({ ...small, rewards }, 'drawing samples')).toBe(
      'drawing samples: a smaller samples.batch; a smaller image; dtype bfloat16 of the rewards; optimizer.emaDecay 0',
    );
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
    expect(small.stderr).toMatch(
      new RegExp(
        String.raw`^error: cpu is too small: the plan needs \d+\.\d MiB, most of it while .+, and 5\.1 MiB of ` +
          String.raw`5\.1 MiB are free\. Less is needed there with algorithm\.decodeSlice; a smaller image; a ` +
          String.raw`smaller batch\.`,
      ),
    );
  });

  it('plans for a device that is not there, and counts the evaluations of a model that is small', async () => {
    const { code, stdout } = await eam('plan', await written(), '--device', 'cuda:97', '--json');
    const { needed, fits, memory } = JSON.parse(stdout) as {
      needed: number;
      fits: boolean | null;
      memory: { peak: { bytes: number } };
    };
    expect({ code, fits }).toEqual({ code: 0, fits: null });
    expect(needed).toBeGreaterThan(memory.peak.bytes + 2 ** 28);
    const digits = await eam('plan', await written({ model: 'digits', prompts: ['3'] }));
    expect(digits).toMatchObject({ code: 0 });
    expect(digits.stdout).toMatch(/forwards +56[\s\S]*The memory of this model is not planned/);
  });

  it('names what is wrong in the configuration or the directory', async () => {
    expect(await eam('plan', await written({ batch: 0 }))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('batch: expected'),
    });
    expect(await eam('plan', await written({ image: { width: 65, height: 64 } }))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('expected a multiple of 4'),
    });
    expect(await eam('plan', join(folder, 'nowhere.json'))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('nowhere.json'),
    });
  });
});
