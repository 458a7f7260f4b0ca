// The plan against a model of half of Stable Diffusion 3.5 Medium's width and depth: minutes and gigabytes, so by
// `npm run test:plan` alone.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { measure, planned, type Peaks } from './helpers/plan-measurement.js';
import { writeRandomSd3 } from './helpers/random-sd3.js';

const blocks = { down_block_types: Array(4).fill('DownEncoderBlock2D'), up_block_types: Array(4).fill('UpDecoderBlock2D') };

describe.runIf(process.env['EAM_LONG'] === '1' && process.platform === 'linux')('a model of half the size', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eam-half-'));
    writeRandomSd3(join(folder, 'model'), {
      transformer: {
        sample_size: 32, patch_size: 2, in_channels: 16, out_channels: 16, num_layers: 12, attention_head_dim: 64, num_attention_heads: 12,
        joint_attention_dim: 2048, caption_projection_dim: 768, pooled_projection_dim: 1024, pos_embed_max_size: 96,
        dual_attention_layers: [0, 1, 2, 3, 4, 5], qk_norm: 'rms_norm',
      },
      vae: { in_channels: 3, out_channels: 3, latent_channels: 16, block_out_channels: [64, 128, 256, 256], layers_per_block: 2, norm_num_groups: 32, scaling_factor: 1.5305, shift_factor: 0.0609, use_quant_conv: false, use_post_quant_conv: false, ...blocks },
      clipL: { hidden_size: 384, intermediate_size: 1536, projection_dim: 384, num_hidden_layers: 6, num_attention_heads: 6 },
      clipG: { hidden_size: 640, intermediate_size: 2560, projection_dim: 640, num_hidden_layers: 8, num_attention_heads: 10, hidden_act: 'gelu' },
      t5: { vocab_size: 160, d_model: 2048, d_kv: 64, d_ff: 5120, num_layers: 4, num_heads: 32, feed_forward_proj: 'gated-gelu' },
    });
  }, 300_000);
  afterAll(async () => rm(folder, { recursive: true, force: true }));

  it.each([
    {}, { checkpointing: true }, { checkpointing: true, algorithm: { microBatch: 1, decodeSlice: 1 } },
  ])('takes what the plan says: %j', async ({ algorithm = {}, ...changes }: { algorithm?: object; checkpointing?: boolean }) => {
    const { metrics, plan, ...found } = await measure({
      model: join(folder, 'model'), adapter: { rank: 8, alpha: 8 }, prompts: ['a fox', 'a castle'], rewards: [{ name: 'stroke-weight' }],
      algorithm: { name: 'eam', solver: 'euler', steps: 1, renoisings: 2, guidance: 2, ...algorithm }, optimizer: { learningRate: 1e-4 },
      image: { width: 256, height: 256 }, textLength: 77, samples: { count: 2, steps: 1, batch: 2, solver: 'euler' }, steps: 1, batch: 4, ...changes,
    }, folder, 600_000);
    const expected = planned(plan);
    const mib = ({ total, working }: Peaks) => `${(total / 2 ** 20).toFixed(0)} (${(working / 2 ** 20).toFixed(0)})`;
    for (const phase of ['encoding', 'drawing', 'iteration'] as const) {
      console.log(`${JSON.stringify({ ...changes, ...algorithm })} ${phase}: measured ${mib(found[phase])}, planned ${mib(expected[phase])} MiB, in all (of it working)`);
    }
    expect(Math.abs(found.iteration.total / expected.iteration.total - 1)).toBeLessThan(0.15);
    expect(Math.abs(found.iteration.working / expected.iteration.working - 1)).toBeLessThan(0.25);
    expect(plan.evaluations.most).toEqual({ forwards: metrics.forwards, vjps: metrics.vjps, backwards: metrics.backwards });
  }, 900_000);
});
