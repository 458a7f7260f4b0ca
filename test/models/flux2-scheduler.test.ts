import { describe, expect, it } from 'vitest';

import { readFlux2Directory } from '../../lib/models/flux2/directory.js';
import { schedulerSigmas, schedulerTimes, timeShift } from '../../lib/models/flux2/scheduler.js';
import { loadModel } from '../../lib/models/registry.js';
import { tinyFlux2 } from '../helpers/flux2.js';

const { scheduler } = await readFlux2Directory(tinyFlux2);

describe("FLUX.2's levels", () => {
  it('are even levels, shifted by what steps and tokens ask for', () => {
    for (const [steps, tokens] of [
      [4, 36],
      [50, 4096],
      [10, 9216],
    ] as const) {
      const s = timeShift(scheduler, steps, tokens);
      const sigmas = schedulerSigmas(scheduler, steps, tokens);
      for (let step = 0; step < steps; step++) {
        const even = 1 - step / steps;
        expect(sigmas[step]).toBeCloseTo((s * even) / (1 + (s - 1) * even), 6);
      }
    }
  });

  it('end at 0, with times from 0 to 1', () => {
    const times = schedulerTimes(scheduler, 7, 100);
    expect([times[0], times.at(-1), times.length]).toEqual([0, 1, 8]);
    expect(times.every((time, index) => index === 0 || time > times[index - 1]!)).toBe(true);
  });

  it('shift less for more steps, and the same above 4300 tokens', () => {
    expect(timeShift(scheduler, 50, 1024)).toBeLessThan(timeShift(scheduler, 4, 1024));
    expect(timeShift(scheduler, 50, 4301)).toBe(timeShift(scheduler, 4, 4301));
  });

  it("are the model's own, of its size", async () => {
    using model = await loadModel(tinyFlux2, { size: { width: 24, height: 24 } });
    expect(model.times(4)).toEqual(schedulerTimes(scheduler, 4, 36));
    expect(model.timeShift(4)).toBe(timeShift(scheduler, 4, 36));
  });
});
