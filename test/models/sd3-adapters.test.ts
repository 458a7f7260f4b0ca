// Adapters of Stable Diffusion 3's transformer against PEFT's numbers.
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { loadTensors } from '../../lib/files/safetensors.js';
import { loadSd3, numbers, sd35, sd35Lora } from '../helpers/sd3-transformer.js';
import { randomise, relativeError } from '../helpers/tiny-model.js';
import { adaptedModel, gradients, tiny, velocity } from '../helpers/adapted-sd3.js';

describe('adapters of the SD3 transformer', () => {
  it("compute what PEFT's do, and their gradients", async () => {
    const model = await adaptedModel();
    const goldens = await loadTensors(join(sd35, 'goldens.safetensors'));
    const found = await gradients(model, tiny.goldens['square']!, model.trainableNames);
    expect(relativeError(await numbers(found.velocity), await numbers(goldens['lora.sample'], -1))).toBeLessThan(1e-5);
    const names = Object.keys(goldens).filter((name) => name.startsWith('lora.grad.'));
    expect(names).toHaveLength(model.trainableNames.length);
    for (const name of names) {
      const gradient = await numbers(found.tensors[`${name.replace('lora.grad.', '')}.weight`]);
      const expected = await numbers(goldens[name], -1);
      // The last block drops its context, so that block's context queries change nothing.
      const none = name.startsWith('lora.grad.transformer_blocks.2.attn.add_q_proj');
      expect(
        expected.every((value) => value === 0),
        name,
      ).toBe(none);
      if (none)
        expect(
          gradient.every((value) => value === 0),
          name,
        ).toBe(true);
      else expect(relativeError(gradient, expected), name).toBeLessThan(1e-5);
    }
  });

  it.each([false, true])(
    'leave the pretrained velocity as it was, to the bit; checkpointing: %s',
    async (checkpointing) => {
      const golden = tiny.goldens['wide']!;
      const model = await adaptedModel({ checkpointing });
      const base = await velocity(await loadSd3(tiny), golden);
      expect(await velocity(model, golden, true)).toEqual(base);
      expect(relativeError(await velocity(model, golden), base)).toBeGreaterThan(1e-3);
    },
  );

  it('change nothing before training, to the bit', async () => {
    const golden = tiny.goldens['square']!;
    expect(await velocity(await loadSd3(tiny, { lora: sd35Lora }), golden)).toEqual(
      await velocity(await loadSd3(tiny), golden),
    );
  });

  it('can be on any linear layer', async () => {
    const targets = [
      'linear_1',
      'linear_2',
      'linear',
      'context_embedder',
      'net.2',
      'proj',
      'attn2.to_out.0',
      'proj_out',
    ];
    const model = await loadSd3(tiny, { lora: { rank: 2, alpha: 2, seed: 1n, targets }, checkpointing: true });
    await randomise(model, 'trainable', 0.1);
    const { tensors } = await gradients(model, tiny.goldens['square']!, model.trainableNames);
    expect(model.trainableNames).toHaveLength(2 * (4 + 7 + 1 + 5 + 5 + 2 + 1));
    for (const [name, gradient] of Object.entries(tensors)) {
      expect(Math.max(...(await numbers(gradient)).map(Math.abs)), name).toBeGreaterThan(0);
    }
  });
});
