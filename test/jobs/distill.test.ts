// An adapter that draws without guidance what its model draws with it.
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { RandomStream, streamOf, Purpose } from '../../lib/runtime/random.js';
import { distill } from '../helpers/jobs.js';
import { Teacher } from '../../lib/jobs/distill/teacher.js';
import { readDistillConfig } from '../../lib/jobs/distill/config.js';
import { loadModel } from '../../lib/models/registry.js';
import { saveTensors } from '../../lib/files/safetensors.js';
import type { NativeTensor } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { sampleImages } from '../../lib/training/sampler.js';
import { EpochOrder } from '../../lib/training/epochs.js';
import { eam } from '../helpers/command-line.js';
import { configFile, distillation, metricsOf } from '../helpers/distill.js';
import { tinySd3 } from '../helpers/sd3.js';
import { adamW, floats, freshModel, labels, takeGradients, tinyConfig } from '../helpers/tiny-model.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

let model: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
});
const configOf = (change: object = {}) => distillation(model, change);

it('configs/distill-digits.json is valid', async () => {
  const config: unknown = JSON.parse(
    readFileSync(new URL('../../configs/distill-digits.json', import.meta.url), 'utf8'),
  );
  expect(await readDistillConfig(config)).toMatchObject({
    teacher: { guidance: 2, steps: 6, solver: 'midpoint' },
    samples: { steps: 6, solver: 'midpoint' },
    evaluation: { steps: 6, solver: 'midpoint' },
  });
});

describe('eam distill refuses before a folder is made', () => {
  const copyOf = (change: (directory: string) => void): string => {
    const copy = join(temporaryFolder(), 'model');
    cpSync(model, copy, { recursive: true });
    change(copy);
    return copy;
  };

  it.each([
    {
      what: 'guidance 1',
      change: () => ({ teacher: { guidance: 1 } }),
      says: /teacher\.guidance: expected a number other than 1, got 1: .*such as --guidance 4\.5/,
    },
    {
      what: "the model's own guidance where that is 1",
      change: () => ({ teacher: {} }),
      says: /teacher\.guidance: expected a number other than 1, got 1, the model's own: /,
    },
    {
      what: 'a guidance below 0',
      change: () => ({ teacher: { guidance: -1 } }),
      says: /teacher\.guidance: expected a number of at least 0, got -1/,
    },
    {
      what: 'a model that was always given a label',
      change: () => ({
        model: copyOf((copy) => writeFileSync(join(copy, 'recipe.json'), JSON.stringify({ labelDropout: 0 }))),
      }),
      says: /was trained with labelDropout 0: .*cannot be guided/,
    },
    {
      what: 'a rank above the width of a layer',
      change: () => ({ adapter: { ...tinyAdapter, rank: 17 } }),
      says: /adapter\.rank: expected at most 16, the width of .*, got 17/,
    },
    {
      what: 'a prompt that the model cannot follow',
      change: () => ({ prompts: ['0', 'a fox'] }),
      says: /a fox/,
    },
    {
      what: 'a judge of other images',
      change: () => ({ evaluation: { count: 2, judge: { name: 'digit-judge' } } }),
      says: /the judge "digit-judge" cannot read this model's images/,
    },
    {
      what: 'guidance in the grids, which are without',
      change: () => ({ samples: { guidance: 2 } }),
      says: /samples\.guidance: unknown key/,
    },
    {
      what: 'an unknown key',
      change: () => ({ timesEech: 2 }),
      says: /timesEech: unknown key; did you mean "timesEach"/,
    },
  ])('$what', async ({ change, says }) => {
    const config = configOf(change());
    const { code, stderr } = await eam('distill', configFile(config), '--quiet');
    expect([code === 1 || code === 2, stderr]).toEqual([true, expect.stringMatching(says)]);
    expect(existsSync(config.output)).toBe(false);
  });

  it('a model that guidance does not change', async () => {
    const still = join(temporaryFolder(), 'model');
    cpSync(model, still, { recursive: true });
    // Its last layer is zero.
    await saveTensors(join(still, 'model.safetensors'), freshModel().weights());
    const config = configOf({ model: still });
    await expect(distill(config)).rejects.toThrow(/guidance changes nothing of .*: it draws the same with the prompt/);
    expect(existsSync(config.output)).toBe(false);
  });

  it('a model that is not there, by its name', async () => {
    const { code, stderr } = await eam('distill', 'digit', '--guidance', '2', '--prompt', '3', '--quiet');
    expect([code === 1 || code === 2, stderr]).toEqual([true, expect.stringContaining('digit')]);
  });

  it('an output that holds something', async () => {
    const config = configOf();
    await distill(config);
    const { code, stderr } = await eam('distill', configFile(config), '--output', config.output, '--quiet');
    expect([code, stderr]).toEqual([2, expect.stringContaining('is there already: --resume')]);
    expect((await eam('distill', configFile(config), '--output', config.output, '--overwrite', '--quiet')).code).toBe(
      0,
    );
  });
});

it("regresses the student on the frozen model's guided samples, at noise that no grid starts from", async () => {
  const config = await readDistillConfig(configOf({ seed: 5, timesEach: 3, timeDistribution: 'uniform' }));
  const step = 7;
  using student = await loadModel(model, { adapter: tinyAdapter, seed: 5n });
  // The teacher does not move with the adapter.
  const moved = Object.fromEntries(
    await Promise.all(
      Object.entries(student.native.trainable()).map(async ([name, { shape }]) => [
        name,
        await binding().philoxNormal(shape, { seed: 3n, stream: 0n }),
      ]),
    ),
  );
  await student.native.load('trainable', moved);
  const { loss, drawn } = await new Teacher(student, config).regress(step, undefined);
  await takeGradients(student.native);
  expect(drawn).toBe(4 * 4 * 2);

  using frozen = await loadModel(model);
  const prompts = Array.from(new EpochOrder(3, 5n).slice(step * 4, 4), (index) => config.prompts[index]!);
  const conditioning = await frozen.encode(prompts);
  const { latents } = await binding().sample(frozen.native, {
    conditioning,
    unconditional: await frozen.unconditional(4),
    guidance: 3,
    solver: 'euler',
    times: [0, 0.25, 0.5, 0.75, 1],
    shape: [4, 1, 8, 8],
    seed: 5n + 2n ** 63n,
    firstSample: step * 4,
    cancellation: new (binding().Cancellation)(),
  });
  const values = await floats(latents);
  const x1 = binding().Tensor.from(Float32Array.from([...values, ...values, ...values]), [12, 1, 8, 8]);
  const t = Float32Array.from(
    { length: 12 },
    (_, row) => (row + new RandomStream(5n, streamOf(step, row, Purpose.time)).uniform()) / 12,
  );
  const noise = {
    seed: 5n,
    stream: BigUint64Array.from({ length: 12 }, (_, row) => streamOf(step, row, Purpose.renoise)),
  };
  const rows = await student.encode([...prompts, ...prompts, ...prompts]);
  const velocity = await student.native.velocity(await binding().renoise({ x1, t, noise }), t, rows, false);
  const expected = await binding().flowMatchingLoss({ velocity, x1, noise });
  expect(loss / expected.loss).toBeCloseTo(1, 5);
});

/** The directory of a model that draws images of one grey each: N(−0.6, 0.3²), N(0, 0.3²) or N(0.6, 0.3²). */
async function greyModelDirectory(): Promise<string> {
  const native = freshModel();
  const optimizer = adamW(native);
  const unconditional = labels(tinyConfig.classes);
  for (let step = 0; step < 400; step++) {
    const classes = Array.from({ length: 48 }, (_, sample) => sample % 3);
    const greys = await floats(await binding().philoxNormal([48, 1], { seed: 8n, stream: BigInt(step) }));
    const pixels = classes.flatMap((each, i) => new Array<number>(64).fill(0.6 * (each - 1) + 0.3 * greys[i]!));
    await binding().flowMatching(native, {
      x1: binding().Tensor.from(Float32Array.from(pixels), [48, 1, 8, 8]),
      conditioning: labels(...classes),
      unconditional,
      dropout: 0.2,
      seed: 2n,
      step,
      cancellation: new (binding().Cancellation)(),
    });
    await optimizer.step(1e-2 * Math.min(1, (400 - step) / 200), 1);
  }
  const directory = temporaryFolder();
  writeFileSync(join(directory, 'config.json'), JSON.stringify({ type: 'digits', ...tinyConfig }));
  await saveTensors(join(directory, 'model.safetensors'), native.weights());
  return directory;
}

it('makes an adapter that draws without guidance what its model draws with it', async () => {
  const adapter = { rank: 8, alpha: 16, targets: ['attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2'] };
  const how = { steps: 8, solver: 'heun' } as const;
  const config = configOf({
    model: await greyModelDirectory(),
    adapter,
    teacher: { guidance: 3, ...how },
    optimizer: { learningRate: 1e-2, emaDecay: 0.95, warmup: 5, schedule: 'cosine' },
    timesEach: 4,
    batch: 24,
    steps: 250,
  });
  const result = await distill(config);
  const metrics = metricsOf(config.output);
  // Heun's eight steps are 15 evaluations, each with and without the prompt; four regressions a sample.
  expect(metrics).toHaveLength(250);
  expect(metrics[0]).toMatchObject({ forwards: 24 * (30 + 4), backwards: 24 * 4 });
  using student = await loadModel(config.model, { adapter });
  await student.loadAdapter(result.adapter);
  const draw = (seed: bigint, guidance: number, weights: 'trained' | 'pretrained') => {
    const prompts = Array.from({ length: 600 }, (_, index) => String(index % 3));
    return sampleImages(student, { prompts, seed, ...how, guidance, weights });
  };
  const teacher = await draw(1n, 3, 'pretrained');
  const distance = async (images: Promise<NativeTensor>) => binding().slicedWasserstein(teacher, await images, 64, 0n);
  const unguided = await distance(draw(2n, 1, 'pretrained'));
  const floor = await distance(draw(2n, 3, 'pretrained'));
  const distilled = await distance(draw(2n, 1, 'trained'));
  expect(floor).toBeLessThan(0.3 * unguided);
  expect(distilled).toBeLessThan(0.5 * unguided);
}, 600_000);

it('eam distill takes a model, guidance and prompts from flags, and prints what the judge saw', async () => {
  const output = join(temporaryFolder(), 'run');
  const settings = { steps: 1, batch: 2, timesEach: 1, 'teacher.steps': 2, 'samples.count': 2 };
  const set = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  const judge = ['--set', 'evaluation={"count":4,"steps":2,"judge":{"name":"digit-judge"}}'];
  const named = ['digits', '--guidance', '2.5', '--prompt', '3', '--prompt', '7', '--output', output];
  const { code, stdout, stderr } = await eam('distill', ...named, ...set, ...judge);
  expect([code, stderr]).toEqual([0, expect.stringContaining('draws at guidance 1 what it drew at 2.5')]);
  expect(stdout).toMatch(/teacher, guidance 2\.5 .*%.*\npretrained, guidance 1 .*%.*\ndistilled, guidance 1 .*%/);
  const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as Record<string, unknown>;
  expect(config).toMatchObject({ model: 'digits', prompts: ['3', '7'], teacher: { guidance: 2.5, solver: 'heun' } });
  expect(config['samples']).toMatchObject({ steps: 2, solver: 'heun' });
  const likeness = JSON.parse(readFileSync(join(output, 'evaluation.json'), 'utf8')) as Record<string, object>;
  expect(likeness).toMatchObject({ count: 4, guidance: 2.5, seed: '2' });
  for (const which of ['teacher', 'unguided', 'student'])
    expect(likeness[which]).toEqual({
      accuracy: expect.any(Number),
      diversity: expect.any(Number),
      distance: expect.any(Number),
    });
}, 300_000);

it('distils Stable Diffusion 3.5, at its own guidance and a sample at a time', async () => {
  const output = join(temporaryFolder(), 'run');
  const { adapter } = await distill({
    model: tinySd3,
    adapter: { rank: 2, alpha: 2 },
    image: { width: 16, height: 16 },
    prompts: ['a fox', 'a lake'],
    negativePrompt: 'blurry',
    teacher: { steps: 2, batch: 1 },
    timesEach: 3,
    microBatch: 2,
    optimizer: { learningRate: 1e-3 },
    steps: 2,
    batch: 2,
    samples: { count: 2 },
    output,
  });
  const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as Record<string, unknown>;
  expect(config).toMatchObject({ teacher: { guidance: 4.5, solver: 'euler' } });
  for (const { loss, gradNorm, forwards, backwards } of metricsOf(output)) {
    expect(loss).toBeGreaterThan(0);
    expect(gradNorm).toBeGreaterThan(0);
    expect([forwards, backwards]).toEqual([2 * (2 * 2 + 3), 6]);
  }
  using drawn = await loadModel(tinySd3, { adapter: { rank: 2, alpha: 2 }, size: { width: 16, height: 16 } });
  await drawn.loadAdapter(adapter);
}, 300_000);
