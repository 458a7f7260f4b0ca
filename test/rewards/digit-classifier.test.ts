import { beforeAll, describe, expect, it } from 'vitest';

import { loadMnist, type LabelledImages } from '../../lib/models/digits/mnist.js';
import { binding } from '../../lib/runtime/native/index.js';
import { digitClassifier, digitJudge } from '../../lib/rewards/digit-classifier/digit-classifier.js';
import { numbersOf } from '../helpers/numbers.js';

describe('the classifiers that come with the package', () => {
  let data: LabelledImages;
  beforeAll(async () => {
    data = await loadMnist(1000, 'cpu');
  });

  const heldOut = async () => {
    const rows = data.heldOut.slice(0, 400);
    return {
      batch: await binding().gatherImages(data.images, rows, undefined, 1, 0),
      asked: Array.from(rows, (row) => String(data.labels[row])),
    };
  };

  it('were never trained on the held-out digits, and read them', async () => {
    expect(data.train.length + data.heldOut.length).toBe(data.labels.length);
    expect(new Set([...data.train, ...data.heldOut]).size).toBe(data.labels.length);
    const { batch, asked } = await heldOut();
    const { matches, features } = await digitJudge().judge(batch, asked);
    expect(matches.filter(Boolean).length / 400).toBeGreaterThan(0.96);
    expect(features.shape).toEqual([400, 64]);
    const { values } = await digitClassifier().score(batch, asked);
    expect(values.filter((value) => value > Math.log(0.5)).length / 400).toBeGreaterThan(0.96);
  });

  it('score the digit that was asked for, not the one that is there', async () => {
    const { batch, asked } = await heldOut();
    const wrong = asked.map((digit) => String((Number(digit) + 1) % 10));
    const { values } = await digitClassifier().score(batch, wrong);
    expect(values.filter((value) => value < Math.log(0.5)).length / 400).toBeGreaterThan(0.96);
  });

  it('have a gradient that points uphill', async () => {
    const { batch, asked } = await heldOut();
    const reward = digitClassifier();
    const before = await reward.score(batch, asked, { gradient: true });
    const moved = await binding().weightedSum([batch, before.grad!], [1, 1e-3]);
    const after = await reward.score(moved, asked);
    let rise = 0;
    let predicted = 0;
    for (const slope of await numbersOf(before.grad!)) predicted += 1e-3 * slope * slope;
    for (const image of asked.keys()) rise += after.values[image]! - before.values[image]!;
    expect(rise / predicted).toBeGreaterThan(0.9);
    expect(rise / predicted).toBeLessThan(1.1);
  });

  it('are two networks', async () => {
    const { batch, asked } = await heldOut();
    const classifier = await digitJudge({
      directory: new URL('../../assets/digit-classifier', import.meta.url).pathname,
    }).judge(batch, asked);
    const judge = await digitJudge().judge(batch, asked);
    expect(await numbersOf(classifier.features)).not.toEqual(await numbersOf(judge.features));
  });
});
