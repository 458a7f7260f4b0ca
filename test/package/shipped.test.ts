// The model that comes with the package: its size, what it draws, and what it refuses to draw.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { loadModel } from '../../lib/models/registry.js';
import { shippedDirectory } from '../../lib/runtime/package.js';
import { digitJudge } from '../../lib/rewards/digit-classifier/digit-classifier.js';
import { readHeader } from '../../lib/files/safetensors.js';
import { cyclePrompts, sampleImages } from '../../lib/training/sampler.js';

describe('the published digits model', () => {
  const file = join(shippedDirectory('digits'), 'model.safetensors');

  it('has 1 to 3 million parameters in at most 8 MB', async () => {
    const { entries } = await readHeader(file);
    const parameters = entries.reduce(
      (sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1),
      0,
    );
    expect(parameters).toBeGreaterThan(1e6);
    expect(parameters).toBeLessThan(3e6);
    expect(statSync(file).size).toBeLessThanOrEqual(8e6);
  });

  it('draws the digit that is asked for, as a judge reads it', async () => {
    using model = await loadModel('digits');
    const prompts = cyclePrompts(
      Array.from({ length: 10 }, (_, digit) => String(digit)),
      60,
    );
    const images = await sampleImages(model, { prompts, seed: 11n, steps: 10, guidance: 2 });
    const { matches } = await digitJudge().judge(images, prompts);
    expect(matches.filter(Boolean).length / prompts.length).toBeGreaterThan(0.85);
  });

  it.each([
    { change: { prompts: [] }, message: /prompts: expected an array of at least 1 items/ },
    { change: { prompts: [3 as never] }, message: /prompts\[0\]: expected a string, got 3/ },
    { change: { steps: 0 }, message: /steps: expected a number of at least 1, got 0/ },
    { change: { batch: 0 }, message: /batch: expected a number of at least 1, got 0/ },
  ])('refuses to be sampled with $change', async ({ change, message }) => {
    using model = await loadModel('digits');
    await expect(sampleImages(model, { prompts: ['3'], seed: 0n, ...change })).rejects.toThrow(message);
  });
});
