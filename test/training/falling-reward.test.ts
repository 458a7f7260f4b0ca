import { describe, expect, it } from 'vitest';

import { FallingReward } from '../../lib/training/falling-reward.js';

/** Normal numbers that are the same each time: Box–Muller over a linear congruential generator. */
function normals(seed: number): () => number {
  let state = seed;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

function told(count: number, reward: (step: number) => number): number[] {
  const falling = new FallingReward();
  return Array.from({ length: count }, (_, step) => step + 1).filter((step) => falling.add(reward(step)) !== undefined);
}

describe('FallingReward', () => {
  it('tells of a fall at the steps 32, 64, 128 and at no other', () => {
    const noise = normals(1);
    expect(told(140, (step) => -step / 10 + 0.1 * noise())).toEqual([32, 64, 128]);
  });

  it('gives the means of the first and the last quarter', () => {
    const falling = new FallingReward();
    for (let step = 1; step < 32; step++) falling.add(step <= 8 ? 1 : 0);
    expect(falling.add(0)).toEqual({ from: 1, to: 0 });
  });

  it('does not compare quarters in which a step has no finite reward', () => {
    expect(told(32, (step) => (step === 3 ? NaN : -step))).toEqual([]);
    expect(told(32, (step) => (step === 12 ? NaN : -step))).toEqual([32]);
  });

  it('is silent for rewards that rise, and in a thousand runs that do not move', () => {
    const noise = normals(2);
    expect(told(1000, (step) => step / 100 + noise())).toEqual([]);
    const alarmed = Array.from({ length: 1000 }, () => told(256, noise)).filter((steps) => steps.length > 0);
    // One in ten thousand of these 4000 looks alarms by chance, so that two or more alarms come in one run of sixteen.
    expect(alarmed.length).toBeLessThanOrEqual(2);
  });
});
