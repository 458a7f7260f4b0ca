// How an autoencoder's decoder computes: float32, TF32 (float32 on the CPU) and bfloat16, and what hangs on it.
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeAll, describe, expect, it, vi } from 'vitest';

import type { DecoderPrecision } from '../../lib/models/model.js';
import { defaultDecoder } from '../../lib/models/autoencoder-kl/precision.js';
import { loadModel } from '../../lib/models/registry.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { binding } from '../../lib/runtime/native/index.js';
import { eam } from '../../lib/training/algorithms.js';
import { Trainer } from '../../lib/training/trainer.js';
import { finetune } from '../helpers/jobs.js';
import { config } from '../helpers/plan-config.js';
import { floats, normal, relativeError } from '../helpers/tiny-model.js';
import { fixture } from '../helpers/published.js';
import { tinyModelDirectory } from '../helpers/tiny-run.js';

const folder = mkdtempSync(join(tmpdir(), 'eam-decoder-'));
beforeAll(() => {
  // LibTorch may be in the user's own cache.
  binding();
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
});

const sd3 = fixture('sd35-tiny');
const flux2 = fixture('flux2-klein-tiny');
const load = (source: string, decoder?: DecoderPrecision) =>
  loadModel(source, { adapter: { rank: 2, alpha: 4 }, size: { width: 64, height: 64 }, decoder });

describe.each([
  { kind: 'Stable Diffusion 3', source: sd3 },
  { kind: 'FLUX.2', source: flux2 },
])('the decoder of $kind', ({ source }) => {
  /** Images of the same latents, and a gradient taken back to them. */
  async function decoded(decoder?: DecoderPrecision) {
    using model = await load(source, decoder);
    const latents = await normal([2, ...model.latentShape], 5n);
    const images = await floats(await model.native.images(latents));
    return { images, decoder: model.decoder };
  }

  it('is float32 on the CPU where nobody says, and tf32 is the same to the bit', async () => {
    const plain = await decoded();
    expect(plain.decoder).toBe('float32');
    const tf32 = await decoded('tf32');
    expect(tf32).toEqual({ images: plain.images, decoder: 'tf32' });
  });

  it('differs in bfloat16 by its rounding', async () => {
    const [exact, rounded] = [await decoded('float32'), await decoded('bfloat16')];
    const error = relativeError(rounded.images, exact.images);
    expect(error).toBeGreaterThan(1e-5);
    expect(error).toBeLessThan(0.02);
  });

  it('trains to about the same in bfloat16, and to the same in tf32', async () => {
    const trained = async (decoder: DecoderPrecision) => {
      using model = await load(source, decoder);
      const trainer = new Trainer({
        model,
        reward: strokeWeight({ scale: 4 }),
        prompts: ['a fox'],
        algorithm: eam({ steps: 1, solver: 'euler', renoisings: 1, delta: 0.3, decodeSlice: 1 }),
        optimizer: { learningRate: 1e-2 },
        batch: 2,
      });
      for await (const { rewardGradientNorm, reward } of trainer.run({ steps: 1 })) return [rewardGradientNorm, reward];
      return [];
    };
    const exact = await trained('float32');
    expect(await trained('tf32')).toEqual(exact);
    const rounded = await trained('bfloat16');
    expect(rounded).not.toEqual(exact);
    expect(relativeError(rounded, exact)).toBeLessThan(0.02);
  });
});

it('tf32 is the decoder on CUDA where nobody says', () => {
  expect([defaultDecoder('cpu'), defaultDecoder('cuda'), defaultDecoder('cuda:1')]).toEqual([
    'float32',
    'tf32',
    'tf32',
  ]);
});

it('a run records its decoder, and a checkpoint goes on with another one', async () => {
  const change = { image: { width: 16, height: 16 }, batch: 2, samples: { count: 1, steps: 1 }, panel: { every: 0 } };
  const settings = { ...config, ...change, output: join(folder, 'run') };
  const { directory } = await finetune(settings);
  const recorded = () => JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8'));
  expect(recorded().decoder).toBe('float32');
  await finetune({ ...settings, decoder: 'bfloat16', steps: 2 }, { resume: true });
  expect([recorded().decoder, recorded().steps]).toEqual(['bfloat16', 2]);
});

it('models without an autoencoder, and names that are none, are refused', async () => {
  await expect(loadModel(await tinyModelDirectory(), { decoder: 'float32' })).rejects.toThrow(
    'decoder: the digits model has no autoencoder',
  );
  await expect(load(sd3, 'tf23' as never)).rejects.toThrow(
    /loadModel options: decoder: expected "tf32" or "float32" or "bfloat16", got "tf23"|decoder: expected one of/,
  );
  await expect(loadModel(flux2, { textEncoders: 'sliced' })).rejects.toThrow(
    'textEncoders: expected "whole": this text encoder is not sliced, got "sliced"',
  );
});
