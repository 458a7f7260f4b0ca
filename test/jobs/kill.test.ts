// A few kills; `npm run test:kill` does twenty, or EAM_KILLS of them.
import { expect, it } from 'vitest';

import { killRuns } from '../helpers/kill.js';

const wanted = Number(process.env['EAM_KILLS'] ?? 4);

it(
  'a run that is killed with SIGKILL at any moment and resumed ends as if it had not been',
  async () => {
    const { kills, writing, resumes } = await killRuns(
      wanted,
      Number(process.env['EAM_KILL_SEED'] ?? Date.now() % 2 ** 32),
    );
    expect(kills).toBe(wanted);
    expect(resumes).toBeGreaterThan(0);
    // Moments cannot be commanded, only aimed at.
    if (wanted >= 20) expect(writing).toBeGreaterThanOrEqual(wanted / 4);
  },
  1_200_000 + 120_000 * wanted,
);
