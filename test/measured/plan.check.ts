// The plan against a model of half of Stable Diffusion 3.5 Medium's width and depth: minutes and gigabytes.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { sizes } from '../../benchmarks/random-sd3.mjs';
import { measure, planned, type Peaks } from '../helpers/plan-measurement.js';
import { writeRandomSd3 } from '../helpers/random-sd3.js';

describe.runIf(process.platform === 'linux')('a training run of half the published size', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eam-half-'));
    const { clipL, clipG, ...networks } = sizes.half;
    const model = {
      ...networks,
      clipL: { ...clipL, num_hidden_layers: 6 },
      clipG: { ...clipG, num_hidden_layers: 8 },
      t5: {
        vocab_size: 160,
        d_model: 2048,
        d_kv: 64,
        d_ff: 5120,
        num_layers: 4,
        num_heads: 32,
        feed_forward_proj: 'gated-gelu',
      },
    };
    // Each is mapped as it is: of files in another dtype the process reads both.
    for (const dtype of ['float32', 'bfloat16'] as const) writeRandomSd3(join(folder, dtype), model, dtype);
  });
  afterAll(async () => rm(folder, { recursive: true, force: true }));

  it.each([
    {},
    { checkpointing: true },
    { checkpointing: true, algorithm: { microBatch: 1, decodeSlice: 1 } },
    { dtype: 'bfloat16', algorithm: { decodeSlice: 1 } },
  ])(
    'takes the memory that the plan says: %j',
    async ({
      algorithm = {},
      dtype = 'float32',
      ...changes
    }: {
      algorithm?: object;
      checkpointing?: boolean;
      dtype?: string;
    }) => {
      const { metrics, plan, ...found } = await measure(
        {
          model: join(folder, dtype),
          dtype,
          adapter: { rank: 8, alpha: 8 },
          prompts: ['a fox', 'a castle'],
          rewards: [{ name: 'stroke-weight' }],
          algorithm: {
            name: 'eam',
            solver: 'euler',
            steps: 1,
            renoisings: 2,
            guidance: 2,
            allowGuidedRollout: true,
            ...algorithm,
          },
          optimizer: { learningRate: 1e-4 },
          image: { width: 256, height: 256 },
          textLength: 77,
          samples: { count: 2, steps: 1, batch: 2, solver: 'euler' },
          steps: 1,
          batch: 4,
          ...changes,
        },
        await mkdtemp(join(folder, 'cache-')),
        'resident',
      );
      const expected = planned(plan);
      const mib = ({ total, working }: Peaks) => `${(total / 2 ** 20).toFixed(0)} (${(working / 2 ** 20).toFixed(0)})`;
      for (const phase of ['encoding', 'drawing', 'iteration'] as const) {
        console.log(
          `${JSON.stringify({ dtype, ...changes, ...algorithm })} ${phase}: measured ${mib(found[phase])}, ` +
            `planned ${mib(expected[phase])} MiB, in all (of it working)`,
        );
        expect(Math.abs(found[phase].total / expected[phase].total - 1), phase).toBeLessThan(0.15);
      }
      // Before it the networks, of which the plan counts all as lasting, are mapped and not read.
      expect(Math.abs(found.iteration.working / expected.iteration.working - 1)).toBeLessThan(0.25);
      expect(plan.evaluations.most).toEqual({
        forwards: metrics.forwards,
        vjps: metrics.vjps,
        backwards: metrics.backwards,
      });
    },
  );
});
