import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { readSd3Directory } from '../../lib/models/sd3/directory.js';
import { schedulerSigmas, schedulerTimes, schedulerTimesteps } from '../../lib/models/sd3/scheduler.js';
import { disposeAll, readTensors } from '../../lib/files/safetensors.js';
import { tinySd3 } from '../helpers/sd3.js';

describe("the scheduler's noise levels", () => {
  it.each([4, 10, 28])("equal diffusers', to the bit, for %i steps", async (steps) => {
    const goldens = await readTensors(join(tinySd3, 'goldens.safetensors'));
    const { scheduler } = await readSd3Directory(tinySd3);
    const sigmas = schedulerSigmas(scheduler, steps);
    expect(sigmas).toEqual(goldens[`scheduler.sigmas.${steps}`]!.dataSync());
    expect(schedulerTimesteps(scheduler, sigmas.subarray(0, steps))).toEqual(
      goldens[`scheduler.timesteps.${steps}`]!.dataSync(),
    );
    disposeAll(goldens);
  });

  it('become times that rise from 0 to 1', () => {
    const times = schedulerTimes({ trainSteps: 1000, shift: 3 }, 28);
    expect(times).toHaveLength(29);
    expect([times[0], times.at(-1)]).toEqual([0, 1]);
    expect(times.every((time, step) => step === 0 || time > times[step - 1]!)).toBe(true);
    expect(schedulerTimes({ trainSteps: 1000, shift: 3 }, 1)).toEqual([0, 1]);
  });

  it('are evenly spaced without a shift, but for the last', () => {
    const times = schedulerTimes({ trainSteps: 1000, shift: 1 }, 3);
    expect(times.map((time) => Number(time.toFixed(4)))).toEqual([0, 0.4995, 0.999, 1]);
  });
});
